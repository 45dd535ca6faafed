//! How the pixels of an object answer to its parameters: the derivatives that a Fisher matrix is made of.

use super::{Component, Light, Renderer};
use crate::object::TruthObject;
use fathom::geometry::{Box2, PixelPoint};
use ndarray::{Array2, s};

/// Half of the step of the central differences by size and shear.
const STEP: f64 = 0.02;

/// Central difference of eighth order, by distance \[1/pixel\]: to 1 % of itself up to 0.34 cycles per pixel, beyond which a PSF of
/// FWHM 2 pixels has passed 9 % of a power that counts for less than 1 % of a position.
const SLOPE: [f64; 4] = [4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0];

/// Radius that holds the information about an object: PSF widths, and half-light radii of each component.
const REACH_FWHM: f64 = 3.0;
const REACH_HALF_LIGHT: f64 = 4.0;

/// Derivatives of an object's noiseless pixels \[nJy\].
///
/// All parameters live on the sky. Size and shear change the light's positions about the centre by the symmetric matrix
/// 1 + κ + γ₊ (north - east) + γₓ (both across): r ↦ (1 + κ) r for the size √(ab), e ↦ e + 2 (γ - e (e·γ)) for the ellipticity
/// e = (a² - b²)/(a² + b²) (cos 2φ, sin 2φ), φ the position angle. So nothing is singular at a round object, and every profile, a real
/// galaxy's too, has the same three.
#[derive(Debug, Clone)]
pub struct Responses {
    /// Pixels covered, in the frame of the exposure.
    pub bbox: Box2,
    /// By the logarithm of the flux: the pixels themselves.
    pub flux: Array2<f64>,
    /// By the position towards east and north \[nJy/arcsec\].
    pub position: [Array2<f64>; 2],
    /// By κ, γ₊, γₓ; none for a point source.
    pub shape: Option<[Array2<f64>; 3]>,
}

impl Renderer<'_> {
    /// Half-width of the square that holds all but a little of the information about an object: 3 FWHM of the PSF (at the middle of the exposure) and 4
    /// half-light radii.
    ///
    /// Against a background's noise less than 0.1 % of a star's is outside, of a disc's size 0.2 %; of the few whose own photons are all
    /// the noise it is the share of their light: 1 % of a star's (Moffat, β = 3), 12 % for de Vaucouleurs' law (tested below).
    #[must_use]
    pub fn information_half_px(&self, object: &TruthObject) -> Option<i32> {
        let at = self.place(object)?;
        let trail = self.trail_px(object, at).map_or(0.0, |[x, y]| 0.5 * x.abs().max(y.abs()));
        let reach = |c: &Component| {
            let size = match &c.light {
                Light::Round(profile) => profile.reach().min(REACH_HALF_LIGHT),
                Light::Stamp(stamp) => stamp.half_side().min(REACH_HALF_LIGHT),
            };
            size * c.shape.iter().map(|[a, b]| a.hypot(*b)).fold(0.0, f64::max)
        };
        let light = if object.is_point() { 0.0 } else { self.components(object, at).iter().map(reach).fold(0.0, f64::max) };
        let largest = super::SIDES_PX[super::SIDES_PX.len() - 1] as f64 / 2.0 - 8.0;
        let fwhm_px = *self.fwhm_px.get_or_init(|| {
            let (ny, nx) = self.meta.shape;
            self.meta.psf.fwhm_px(PixelPoint::new(0.5 * nx as f64, 0.5 * ny as f64))
        });
        Some((REACH_FWHM * fwhm_px + light + trail).ceil().min(largest) as i32)
    }

    /// Derivatives on the square of half-width `half_px` around the object; None where the WCS has no pixel for it.
    ///
    /// By position: differences of neighbouring pixels (exact for what is sampled well); by size and shear: central differences of two drawings
    /// (error 1e-4 of itself).
    #[must_use]
    pub fn responses(&self, object: &TruthObject, half_px: i32) -> Option<Responses> {
        let at = self.place(object)?;
        let margin = SLOPE.len();
        let side = 2 * (half_px.max(1) as usize + margin);
        let draw = |components: &[Component]| self.extended(object, at, components, self.side_of_at_least(side as f64), side);
        let components = if object.is_point() { Vec::new() } else { self.components(object, at) };
        let (bbox, wide) = if object.is_point() { self.render_square(object, side)? } else { draw(&components) };
        let inside = s![margin..side - margin, margin..side - margin];
        let jacobian = self.meta.wcs.jacobian_arcsec(at);
        let shape = (!object.is_point()).then(|| {
            [[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]].map(|sheared| {
                let drawn = |step: f64| draw(&components.iter().map(|c| c.strained(&jacobian, sheared, step)).collect::<Vec<_>>()).1;
                ((drawn(STEP) - drawn(-STEP)) / (2.0 * STEP)).slice(inside).to_owned()
            })
        });
        let [along_x, along_y] = slopes(&wide, margin);
        // A step on the sky moves the light over the pixels; the pixels' values change against it.
        let position = [(1.0, 0.0), (0.0, 1.0)].map(|(east, north)| {
            let [x, y] = self.to_px(at, east, north);
            &along_x * -x + &along_y * -y
        });
        Some(Responses { bbox: bbox.grown(-(margin as i32)), flux: wide.slice(inside).to_owned(), position, shape })
    }

    /// One object in the place of two: their flux, at their common centre, the shape of `first` widened to their second moments.
    ///
    /// Moments of the profile itself count as its half-light ellipse: near enough to start a linear step from.
    #[must_use]
    pub fn merged(first: &TruthObject, second: &TruthObject) -> TruthObject {
        let flux_njy = first.flux_njy + second.flux_njy;
        let share = second.flux_njy / flux_njy;
        let (east, north) = first.position.offset_to_arcsec(&second.position);
        let position = first.position.offset_by_arcsec(share * east, share * north);
        if first.is_point() {
            return TruthObject { position, flux_njy, ..first.clone() };
        }
        let (sin, cos) = first.position_angle_deg.to_radians().sin_cos();
        let (a2, b2) = (first.half_light_radius_arcsec.powi(2), (first.half_light_radius_arcsec * first.axis_ratio).powi(2));
        let spread = share * (1.0 - share);
        let nn = a2 * cos * cos + b2 * sin * sin + spread * north * north;
        let ee = a2 * sin * sin + b2 * cos * cos + spread * east * east;
        let ne = (a2 - b2) * sin * cos + spread * north * east;
        let (mean, half) = (0.5 * (nn + ee), (0.5 * (nn - ee)).hypot(ne));
        TruthObject {
            position,
            flux_njy,
            half_light_radius_arcsec: (mean + half).sqrt(),
            axis_ratio: ((mean - half) / (mean + half)).max(1e-4).sqrt(),
            position_angle_deg: 0.5 * ne.atan2(0.5 * (nn - ee)).to_degrees(),
            ..first.clone()
        }
    }
}

impl Component {
    /// Its light moved by 1 + step · `strain`, a matrix on (east, north), about the centre.
    fn strained(&self, jacobian: &[[f64; 2]; 2], strain: [[f64; 2]; 2], step: f64) -> Self {
        let [[a, b], [c, d]] = *jacobian;
        let det = a * d - b * c;
        let on_sky = product(*jacobian, self.shape);
        let moved = product([[1.0 + step * strain[0][0], step * strain[0][1]], [step * strain[1][0], 1.0 + step * strain[1][1]]], on_sky);
        Self { shape: product([[d / det, -b / det], [-c / det, a / det]], moved), ..self.clone() }
    }
}

fn product([[a, b], [c, d]]: [[f64; 2]; 2], [[e, f], [g, h]]: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    [[a * e + b * g, a * f + b * h], [c * e + d * g, c * f + d * h]]
}

/// Derivatives along x and y, of all but `margin` pixels at each edge.
fn slopes(values: &Array2<f64>, margin: usize) -> [Array2<f64>; 2] {
    let (ny, nx) = values.dim();
    let shape = (ny - 2 * margin, nx - 2 * margin);
    let (mut along_x, mut along_y) = (Array2::zeros(shape), Array2::zeros(shape));
    let part = |dy: isize, dx: isize| {
        let start = |d: isize| (margin as isize + d) as usize;
        values.slice(s![start(dy)..start(dy) + shape.0, start(dx)..start(dx) + shape.1])
    };
    for (k, weight) in SLOPE.into_iter().enumerate() {
        let d = k as isize + 1;
        for sign in [1, -1] {
            along_x.scaled_add(weight * sign as f64, &part(0, sign * d));
            along_y.scaled_add(weight * sign as f64, &part(sign * d, 0));
        }
    }
    [along_x, along_y]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{meta, object};
    use super::*;
    use crate::object::Bulge;

    fn galaxy(object: TruthObject, sersic_n: f64, half_light_radius_arcsec: f64) -> TruthObject {
        TruthObject { half_light_radius_arcsec, axis_ratio: 0.6, position_angle_deg: 20.0, sersic_n, ..object }
    }

    fn cut(renderer: &Renderer, object: &TruthObject, bbox: &Box2) -> Array2<f64> {
        let (full, stamp) = renderer.render(object).unwrap();
        let mut out = Array2::zeros(bbox.shape());
        let part = full.intersect(bbox);
        out.slice_mut(bbox.slice_of(&part)).assign(&stamp.slice(full.slice_of(&part)));
        out
    }

    fn assert_close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64, what: &str) {
        let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < tolerance * scale, "{what}: {worst} of {scale}");
    }

    /// Objects with one column changed, drawn by the renderer as catalogs are: the position on the sky; the radius at a fixed axis ratio
    /// is κ; axis ratio and angle give e, and de = 2 (γ - e (e·γ)).
    #[test]
    fn derivatives_are_those_of_the_catalog() {
        let meta = meta(33.0, false);
        let renderer = Renderer::new(&meta);
        let at = PixelPoint::new(101.37, 95.81);
        for object in [
            object(&meta, at),
            galaxy(object(&meta, at), 1.0, 0.5),
            TruthObject {
                bulge: Some(Bulge { fraction: 0.3, half_light_radius_arcsec: 0.4, axis_ratio: 0.9, sersic_n: 4.0 }),
                ..galaxy(object(&meta, at), 1.0, 0.6)
            },
        ] {
            let half = renderer.information_half_px(&object).unwrap();
            let found = renderer.responses(&object, half).unwrap();
            assert_eq!((found.bbox.shape(), found.flux.dim()), ((2 * half as usize, 2 * half as usize), found.bbox.shape()));
            assert_close(&found.flux, &cut(&renderer, &object, &found.bbox), 1e-3, "flux");
            let difference = |plus: &TruthObject, minus: &TruthObject, step: f64| {
                (cut(&renderer, plus, &found.bbox) - cut(&renderer, minus, &found.bbox)) / (2.0 * step)
            };
            for (k, (east, north)) in [(1.0, 0.0), (0.0, 1.0)].into_iter().enumerate() {
                let moved = |h: f64| TruthObject { position: object.position.offset_by_arcsec(h * east, h * north), ..object.clone() };
                assert_close(&found.position[k], &difference(&moved(0.01), &moved(-0.01), 0.01), 5e-3, "position");
            }
            let Some(shape) = &found.shape else { continue };
            let scaled = |h: f64| {
                let bulge = object.bulge.map(|b| Bulge { half_light_radius_arcsec: b.half_light_radius_arcsec * (1.0 + h), ..b });
                TruthObject { half_light_radius_arcsec: object.half_light_radius_arcsec * (1.0 + h), bulge, ..object.clone() }
            };
            assert_close(&shape[0], &difference(&scaled(0.02), &scaled(-0.02), 0.02), 5e-3, "size");
            if object.bulge.is_some() {
                continue; // one shear is not one step of both ratios
            }
            let e = |o: &TruthObject| {
                let q2 = o.axis_ratio.powi(2);
                let (sin, cos) = (2.0 * o.position_angle_deg.to_radians()).sin_cos();
                [(1.0 - q2) / (1.0 + q2) * cos, (1.0 - q2) / (1.0 + q2) * sin]
            };
            // At a fixed area: the size is √(ab).
            let other = |dq: f64, dpa: f64| {
                let axis_ratio = object.axis_ratio + dq;
                let half_light_radius_arcsec = object.half_light_radius_arcsec * (object.axis_ratio / axis_ratio).sqrt();
                TruthObject { axis_ratio, half_light_radius_arcsec, position_angle_deg: object.position_angle_deg + dpa, ..object.clone() }
            };
            for (plus, minus) in [(other(0.01, 0.0), other(-0.01, 0.0)), (other(0.0, 1.0), other(0.0, -1.0))] {
                let (e0, ep, em) = (e(&object), e(&plus), e(&minus));
                let de = [ep[0] - em[0], ep[1] - em[1]];
                // The inverse of 2 (1 - e eᵀ) is (1 + e eᵀ/(1 - e²))/2.
                let along = (e0[0] * de[0] + e0[1] * de[1]) / (1.0 - e0[0].powi(2) - e0[1].powi(2));
                let gamma = [0.5 * (de[0] + e0[0] * along), 0.5 * (de[1] + e0[1] * along)];
                let expected = difference(&plus, &minus, 0.5);
                assert_close(&(&shape[1] * gamma[0] + &shape[2] * gamma[1]), &expected, 1e-2, "shear");
            }
        }
    }

    /// What the square leaves out of F = Σ (∂m)² for constant noise, and of Σ (∂m)²/m for noise of the object's own photons.
    #[test]
    fn little_information_is_outside() {
        let meta = meta(0.0, false);
        let renderer = Renderer::new(&meta);
        let star = object(&meta, PixelPoint::new(100.2, 99.7));
        for (sersic_n, background_limited, source_limited) in [(0.0, 1e-3, 0.02), (1.0, 2e-3, 0.02), (4.0, 5e-3, 0.13)] {
            let object = if sersic_n > 0.0 { galaxy(star.clone(), sersic_n, 0.4) } else { star.clone() };
            let half = renderer.information_half_px(&object).unwrap();
            let (near, far) = (renderer.responses(&object, half).unwrap(), renderer.responses(&object, 4 * half).unwrap());
            let planes = |r: &Responses| -> Vec<Array2<f64>> {
                [r.flux.clone()].into_iter().chain(r.position.clone()).chain(r.shape.clone().into_iter().flatten()).collect()
            };
            for (k, (n, f)) in planes(&near).iter().zip(&planes(&far)).enumerate() {
                let sum = |p: &Array2<f64>| p.iter().map(|v| v * v).sum::<f64>();
                assert!(sum(n) > (1.0 - background_limited) * sum(f), "n = {sersic_n}, parameter {k}: {} of {}", sum(n), sum(f));
            }
            let lost = 1.0 - near.flux.sum() / far.flux.sum();
            assert!(lost < source_limited, "n = {sersic_n}: {lost}");
        }
    }

    /// Two equal stars 0.2 arcsec apart: one of twice the flux between them; a galaxy is widened along the line.
    #[test]
    fn a_merged_object_keeps_flux_and_centre() {
        let meta = meta(0.0, false);
        let at = PixelPoint::new(100.0, 100.0);
        let first = object(&meta, at);
        let second = TruthObject { position: first.position.offset_by_arcsec(0.0, 0.2), ..first.clone() };
        let one = Renderer::merged(&first, &second);
        let (east, north) = first.position.offset_to_arcsec(&one.position);
        assert!(one.is_point() && (one.flux_njy - 10_000.0).abs() < 1e-9 && east.abs() < 1e-9 && (north - 0.1).abs() < 1e-9);
        let round = TruthObject { half_light_radius_arcsec: 0.3, sersic_n: 1.0, ..first };
        let one = Renderer::merged(&round, &second);
        assert!((one.half_light_radius_arcsec - (0.09f64 + 0.01).sqrt()).abs() < 1e-9, "{one:?}");
        assert!((one.axis_ratio - (0.09f64 / 0.1).sqrt()).abs() < 1e-9 && one.position_angle_deg.abs() < 1e-6, "{one:?}");
    }
}

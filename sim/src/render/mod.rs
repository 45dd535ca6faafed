//! Noiseless objects on an exposure's pixels.
//!
//! Point sources are the exposure's own PSF stamps. Everything else is a product in Fourier space: the PSF's transform times the
//! profile's analytic one, so that neither small nor flattened galaxies are undersampled, and a flux is F(k = 0) exactly. The pixel
//! response is in the effective PSF and is not applied again.
//!
//! A discrete transform repeats the plane: the light beyond the square comes back into it. It is taken off again ([`far_light`]), so that a
//! stamp holds what lies there: to 1e-4 of the flux, and no pixel off by more than 1e-3 of the peak (5e-3 for n > 4).

mod far_light;
mod psf_square;
mod responses;
mod spectrum;
mod stamp_noise;

pub use responses::Responses;

use crate::SimError;
use crate::object::{Morphology, TruthObject};
use crate::profile::{Radial, Sersic, StampGalaxy};
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::ExposureMeta;
use ndarray::{Array2, ArrayViewMut2};
use psf_square::PsfSquares;
use rayon::prelude::*;
use spectrum::Spectrum;
use std::sync::{Arc, OnceLock};

/// Sides of the transforms \[pixel\]: few, so that the PSF's are shared; products of 2, 3 and 5, multiples of 16.
const SIDES_PX: [usize; 14] = [32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024];

/// Objects rendered at a time; bounds the memory, and fixes nothing else.
const CHUNK: usize = 64;

/// A motion within the exposure below this is not drawn \[pixel\]: a trail of length L widens the PSF's variance by L²/12.
const TRAIL_FROM_PX: f64 = 0.02;

/// One object without noise: the pixels it covers, in the frame of the whole exposure, and its flux per pixel \[nJy\].
///
/// The stamp holds all but 1e-4 of an exponential disc's light before the PSF, and all but 0.5 % of n = 4 and above (up to 1024 pixels on a side); what
/// lies beyond is cut off. None where
/// the WCS has no pixel for it. The box may reach beyond the exposure.
///
/// # Errors
/// [`SimError::Object`] if its shape cannot be drawn.
pub fn render_object(meta: &ExposureMeta, object: &TruthObject) -> Result<Option<(Box2, Array2<f64>)>, SimError> {
    object.check()?;
    Ok(Renderer::new(meta).render(object))
}

/// The disc on the sky, centre and radius \[arcsec\], outside which no object's stamp touches an exposure.
#[must_use]
pub fn reach(meta: &ExposureMeta) -> (SkyPoint, f64) {
    let (ny, nx) = (meta.shape.0 as f64, meta.shape.1 as f64);
    let center = meta.wcs.pixel_to_sky(PixelPoint::new((nx - 1.0) / 2.0, (ny - 1.0) / 2.0));
    let half = SIDES_PX[SIDES_PX.len() - 1] as f64 / 2.0;
    // Along the edges too: with distortion the farthest point need not be a corner.
    let edge = |u: f64, v: f64| PixelPoint::new(-half + u * (nx + 2.0 * half), -half + v * (ny + 2.0 * half));
    let points = (0..=16).map(|i| f64::from(i) / 16.0).flat_map(|t| [edge(t, 0.0), edge(t, 1.0), edge(0.0, t), edge(1.0, t)]);
    let radius = points.map(|p| meta.wcs.pixel_to_sky(p).separation_arcsec(&center)).fold(0.0, f64::max);
    (center, radius)
}

/// Light in nJy per pixel as counts of the exposure, pixel by pixel where its calibration varies.
///
/// `bbox`: pixels covered by `values_njy`, `[y, x]`, in the frame of the exposure; beyond its edges the calibration goes on.
#[must_use]
pub fn counts_of(meta: &ExposureMeta, bbox: &Box2, values_njy: Array2<f64>) -> Array2<f64> {
    let mut counts = values_njy / meta.photo_calib.mean_njy_per_adu;
    if let Some(relative) = &meta.photo_calib.relative {
        counts.zip_mut_with(&relative.image(bbox, 1.0), |c, r| *c /= f64::from(*r));
    }
    counts
}

/// Draws objects on one exposure; keeps what they share (transforms of the PSF).
pub struct Renderer<'a> {
    meta: &'a ExposureMeta,
    squares: PsfSquares<'a>,
    /// At the middle of the exposure; measured when it is asked for.
    fwhm_px: OnceLock<f64>,
}

/// Part of an object: its flux, its profile, and its size and shape.
#[derive(Clone)]
struct Component {
    flux_njy: f64,
    light: Light,
    /// From half-light radii along the major and minor axis to pixels.
    shape: [[f64; 2]; 2],
}

#[derive(Clone)]
enum Light {
    Round(Arc<dyn Radial>),
    Stamp(Arc<StampGalaxy>),
}

impl Component {
    /// True for light that falls slowly in all directions, so that a coarse grid holds it where it is folded.
    fn is_winged(&self) -> bool {
        let [[a, b], [c, d]] = self.shape;
        let is_round = (a * d - b * c).abs() > 0.25 * (a * a + b * b).max(c * c + d * d);
        is_round && matches!(&self.light, Light::Round(profile) if profile.reach() > 10.0)
    }

    /// Half-width of the light along x and y \[pixel\].
    fn reach_px(&self) -> f64 {
        let of_rows = |length: fn(f64, f64) -> f64| self.shape.iter().map(|[a, b]| length(*a, *b)).fold(0.0, f64::max);
        match &self.light {
            // The ellipse's: the lengths of the shape matrix's rows. The square's: the sums.
            Light::Round(profile) => profile.reach() * of_rows(f64::hypot),
            Light::Stamp(stamp) => stamp.half_side() * of_rows(|a, b| a.abs() + b.abs()),
        }
    }
}

impl<'a> Renderer<'a> {
    /// For the exposure of `meta`.
    #[must_use]
    pub fn new(meta: &'a ExposureMeta) -> Self {
        Self { meta, squares: PsfSquares::new(&meta.psf), fwhm_px: OnceLock::new() }
    }

    /// Adds all objects, each times `scale`, to `image` over the pixels of `bbox`: in the order given, on any number of threads.
    pub(crate) fn add_all(&self, objects: &[TruthObject], scale: f64, bbox: &Box2, mut image: ArrayViewMut2<f64>) {
        let near: Vec<_> = objects.iter().filter(|o| self.may_touch(o, bbox)).collect();
        for chunk in near.chunks(CHUNK) {
            let stamps: Vec<_> = chunk.par_iter().map(|o| self.render(o)).collect();
            for (stamp_box, stamp) in stamps.into_iter().flatten() {
                let part = stamp_box.intersect(bbox);
                if !part.is_empty() {
                    image.slice_mut(bbox.slice_of(&part)).scaled_add(scale, &stamp.slice(stamp_box.slice_of(&part)));
                }
            }
        }
    }

    /// False for objects whose stamp cannot reach `bbox`: most of a large sky.
    #[must_use]
    pub fn may_touch(&self, object: &TruthObject, bbox: &Box2) -> bool {
        let Ok(at) = self.meta.wcs.sky_to_pixel(object.position) else { return false };
        let largest = (SIDES_PX[SIDES_PX.len() - 1] / 2) as f64;
        let half = if object.is_point() {
            self.meta.psf.radius_px() as f64 + 1.0 + self.trail_px(object, at).map_or(0.0, |[x, y]| 0.5 * x.abs().max(y.abs()))
        } else if bbox.grown(largest as i32 + 1).contains_point(at) {
            (self.side_of(&self.components(object, at)) / 2) as f64
        } else {
            return false;
        };
        bbox.grown(half as i32 + 1).contains_point(at)
    }

    /// The object's pixels and their box, or None where the WCS has no pixel for it; see [`render_object`], which checks the shape first.
    ///
    /// # Panics
    /// For a Sérsic index out of range: objects of [`TruthObject::of_table`] have none.
    #[must_use]
    pub fn render(&self, object: &TruthObject) -> Option<(Box2, Array2<f64>)> {
        let at = self.place(object)?;
        if object.is_point() {
            return Some(self.point(object, at));
        }
        let components = self.components(object, at);
        let side = self.side_of(&components);
        Some(self.extended(object, at, &components, side, side))
    }

    /// The square of `side_px` pixels (even) around the object: of an extended one what lies there, however far its light reaches.
    ///
    /// Its pixels agree with those of [`Self::render`] to the accuracy that the module's page states.
    #[must_use]
    pub fn render_square(&self, object: &TruthObject, side_px: usize) -> Option<(Box2, Array2<f64>)> {
        let at = self.place(object)?;
        let half = (side_px / 2).max(1);
        if object.is_point() {
            let (full, stamp) = self.point(object, at);
            let (ix, iy) = at.pixel();
            let square = Box2::new(ix - half as i32, iy - half as i32, 2 * half as i32, 2 * half as i32);
            let part = square.intersect(&full);
            let mut out = Array2::zeros(square.shape());
            if !part.is_empty() {
                out.slice_mut(square.slice_of(&part)).assign(&stamp.slice(full.slice_of(&part)));
            }
            return Some((square, out));
        }
        let components = self.components(object, at);
        // The next image of the square must keep its core, as wide as the PSF, and most of its light out of the stamp; the rest can be taken off.
        // Wings beyond n = 2 go on far and smoothly: half of the way to where they are cut does for them.
        let share = |c: &Component| if c.is_winged() { 0.5 } else { 1.0 };
        let reach_px = components.iter().map(|c| share(c) * c.reach_px()).fold(8.0, f64::max);
        let needed = half as f64 + reach_px.max(self.meta.psf.radius_px() as f64 + 8.0);
        let side = self.side_of_at_least(needed.max(2.0 * half as f64));
        Some(self.extended(object, at, &components, side, (2 * half).min(side)))
    }

    /// Side of the stamp that holds the light of all components.
    fn side_of(&self, components: &[Component]) -> usize {
        let reach_px = components.iter().map(Component::reach_px).fold(0.0, f64::max);
        self.side_of_at_least(2.0 * (self.meta.psf.radius_px() as f64 + reach_px + 1.0))
    }

    fn side_of_at_least(&self, needed: f64) -> usize {
        let largest = SIDES_PX[SIDES_PX.len() - 1].max((2 * self.meta.psf.radius_px() + 2).next_multiple_of(16));
        SIDES_PX.into_iter().find(|&s| s as f64 >= needed).unwrap_or(largest)
    }

    fn place(&self, object: &TruthObject) -> Option<PixelPoint> {
        self.meta.wcs.sky_to_pixel(object.position).ok().filter(|at| at.x.abs() < 1e6 && at.y.abs() < 1e6)
    }

    fn point(&self, object: &TruthObject, at: PixelPoint) -> (Box2, Array2<f64>) {
        let psf = &self.meta.psf;
        let r = psf.radius_px() as i32;
        let Some([trail_x, trail_y]) = self.trail_px(object, at) else {
            let (ix, iy) = at.pixel();
            let mut stamp = psf.stamp(at, at.x - f64::from(ix), at.y - f64::from(iy));
            stamp *= object.flux_njy;
            return (Box2::new(ix - r, iy - r, 2 * r + 1, 2 * r + 1), stamp);
        };
        // Gauss-Legendre panels of two pixels: a PSF's light along the trail is a smooth function of time.
        const NODES: [(f64, f64); 4] = [
            (-0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
            (-0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
            (0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
            (0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
        ];
        let n_panels = (0.5 * trail_x.hypot(trail_y)).ceil().max(1.0);
        let shares = (0..n_panels as usize).flat_map(|i| NODES.map(|(t, w)| ((i as f64 + 0.5 + t) / n_panels - 0.5, w / n_panels)));
        let half = [trail_x, trail_y].map(|v| (0.5 * v.abs()).ceil() as i32 + r + 1);
        let (cx, cy) = at.pixel();
        let all = Box2::new(cx - half[0], cy - half[1], 2 * half[0] + 1, 2 * half[1] + 1);
        let mut sum = Array2::<f64>::zeros(all.shape());
        for (time, weight) in shares {
            let p = PixelPoint::new(at.x + time * trail_x, at.y + time * trail_y);
            let (ix, iy) = p.pixel();
            let part = Box2::new(ix - r, iy - r, 2 * r + 1, 2 * r + 1);
            let stamp = psf.stamp(at, p.x - f64::from(ix), p.y - f64::from(iy));
            sum.slice_mut(all.slice_of(&part)).scaled_add(object.flux_njy * weight, &stamp);
        }
        (all, sum)
    }

    /// The way that it moves during the exposure \[pixel\], if that is noticed; at most a hundred thousand pixels.
    fn trail_px(&self, object: &TruthObject, at: PixelPoint) -> Option<[f64; 2]> {
        let days = self.meta.exposure_time_s / 86_400.0;
        let [east, north] = object.motion_arcsec_per_day.map(|v| v * days);
        if !(east.abs() > 0.0 || north.abs() > 0.0) {
            return None;
        }
        let [x, y] = self.to_px(at, east, north);
        let length = x.hypot(y);
        let shorten = (1e5 / length).min(1.0);
        (length > TRAIL_FROM_PX).then_some([x * shorten, y * shorten])
    }

    /// All components in pixels at `at`.
    fn components(&self, object: &TruthObject, at: PixelPoint) -> Vec<Component> {
        let bulge_flux = object.bulge.map_or(0.0, |b| b.fraction * object.flux_njy);
        let main = |light| Component {
            flux_njy: object.flux_njy - bulge_flux,
            light,
            shape: self.shape_px(object.position_angle_deg, object.half_light_radius_arcsec, object.axis_ratio, at),
        };
        let mut components = Vec::with_capacity(2);
        match &object.morphology {
            // A disc without extent, beside a bulge that has one: any profile of size 0.
            Morphology::Sersic => {
                components.push(main(Light::Round(Sersic::of_index(if object.sersic_n > 0.0 { object.sersic_n } else { 1.0 }))))
            }
            Morphology::Gaussians(mixture) => components.push(main(Light::Round(mixture.clone()))),
            Morphology::Stamp(stamp) => components.push(main(Light::Stamp(stamp.clone()))),
        }
        if let Some(bulge) = &object.bulge {
            components.push(Component {
                flux_njy: bulge_flux,
                light: Light::Round(Sersic::of_index(bulge.sersic_n)),
                shape: self.shape_px(object.position_angle_deg, bulge.half_light_radius_arcsec, bulge.axis_ratio, at),
            });
        }
        components
    }

    /// `side_px` pixels of an extended object, by transforms of `square_px`.
    fn extended(
        &self,
        object: &TruthObject,
        at: PixelPoint,
        components: &[Component],
        square_px: usize,
        side_px: usize,
    ) -> (Box2, Array2<f64>) {
        let (ix, iy) = at.pixel();
        let offset = [at.x - f64::from(ix), at.y - f64::from(iy)];
        let psf = self.squares.at(square_px, at);
        let mut spectrum = Spectrum::new(&psf);
        spectrum.draw(&psf, components, offset, self.trail_px(object, at));
        let mut stamp = spectrum.into_pixels(&psf, side_px);
        for component in components {
            if let Light::Round(profile) = &component.light {
                let psf_sum = psf.sum();
                far_light::subtract(&mut stamp, profile.as_ref(), component.shape, psf_sum * component.flux_njy, offset, square_px);
            }
        }
        let half = side_px as i32 / 2;
        (Box2::new(ix - half, iy - half, side_px as i32, side_px as i32), stamp)
    }

    /// Matrix from the unit circle to the half-light ellipse in pixels; columns: major and minor axis.
    fn shape_px(&self, position_angle_deg: f64, major_arcsec: f64, axis_ratio: f64, at: PixelPoint) -> [[f64; 2]; 2] {
        let (sin, cos) = position_angle_deg.to_radians().sin_cos();
        // Not zero: the far light divides by the area.
        let major = major_arcsec.max(1e-9);
        let minor = major * axis_ratio;
        let ([mx, my], [wx, wy]) = (self.to_px(at, major * sin, major * cos), self.to_px(at, minor * cos, -minor * sin));
        [[mx, wx], [my, wy]]
    }

    /// A step on the sky \[arcsec\] in pixels.
    fn to_px(&self, at: PixelPoint, east: f64, north: f64) -> [f64; 2] {
        let [[a, b], [c, d]] = self.meta.wcs.jacobian_arcsec(at);
        let det = a * d - b * c;
        [(d * east - b * north) / det, (a * north - c * east) / det]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::{assert_abs_diff_eq, assert_relative_eq};
    use fathom::geometry::{SkyPoint, Wcs};
    use fathom::image::psf::PsfModel;
    use fathom::image::{ApCorrMap, ExposureId, PhotoCalib, Psf};

    const SIGMA_PSF_PX: f64 = 1.9;

    /// Pixels of 0.2 arcsec, rotated, and mirrored if asked for.
    pub(super) fn meta(rotation_deg: f64, is_flipped: bool) -> ExposureMeta {
        let (sin, cos) = rotation_deg.to_radians().sin_cos();
        let scale = 0.2 / 3600.0;
        let sign = if is_flipped { 1.0 } else { -1.0 };
        let cd = [[sign * scale * cos, scale * sin], [-sign * scale * sin, scale * cos]];
        let s2 = SIGMA_PSF_PX * SIGMA_PSF_PX;
        let model = PsfModel::GaussianMixture { components: vec![[1.0, 0.0, 0.0, s2, s2, 0.0]], radius_px: 16, pixel_integrated: true };
        ExposureMeta {
            id: ExposureId("r_00".into()),
            band: "r".into(),
            mjd: 60_000.0,
            exposure_time_s: 60.0,
            shape: (200, 200),
            psf: Psf::new(model).unwrap(),
            wcs: Wcs::tan(SkyPoint::from_degrees(150.1, 2.2), PixelPoint::new(99.5, 99.5), cd).unwrap(),
            photo_calib: PhotoCalib::from_zero_point(27.0),
            ap_corr: ApCorrMap::default(),
            gain_e_per_adu: 1.5,
            read_noise_e: 6.0,
            saturation_adu: f64::INFINITY,
            known_sky_adu: None,
        }
    }

    pub(super) fn object(meta: &ExposureMeta, at: PixelPoint) -> TruthObject {
        TruthObject::point(1, meta.wcs.pixel_to_sky(at), 5000.0)
    }

    /// Sum, centre, and second moments (xx, xy, yy) in the exposure's frame.
    fn moments(stamp_box: &Box2, stamp: &Array2<f64>) -> (f64, [f64; 2], [f64; 3]) {
        let sum = stamp.sum();
        let mean = |f: &dyn Fn(f64, f64) -> f64| {
            stamp
                .indexed_iter()
                .map(|((j, i), v)| v * f(f64::from(stamp_box.x0) + i as f64, f64::from(stamp_box.y0) + j as f64))
                .sum::<f64>()
                / sum
        };
        let (x0, y0) = (mean(&|x, _| x), mean(&|_, y| y));
        let second = [mean(&|x, _| (x - x0).powi(2)), mean(&|x, y| (x - x0) * (y - y0)), mean(&|_, y| (y - y0).powi(2))];
        (sum, [x0, y0], second)
    }

    #[test]
    fn star_is_the_psf_times_its_flux() {
        let meta = meta(0.0, false);
        for (x, y) in [(80.0, 90.0), (80.3, 89.6), (-7.49, 205.2)] {
            let (stamp_box, stamp) = render_object(&meta, &object(&meta, PixelPoint::new(x, y))).unwrap().unwrap();
            let (sum, [x0, y0], _) = moments(&stamp_box, &stamp);
            assert_relative_eq!(sum, 5000.0 * meta.psf.stamp(PixelPoint::new(x, y), 0.0, 0.0).sum(), max_relative = 1e-6);
            assert_abs_diff_eq!(x0, x, epsilon = 1e-4);
            assert_abs_diff_eq!(y0, y, epsilon = 1e-4);
        }
    }

    /// A Gaussian (n = 0.5, σ = r_e / √(2 ln 2)) through a Gaussian PSF: covariances add. The ellipse's major axis points
    /// to its position angle on the sky, whatever the WCS makes of it.
    #[test]
    fn gaussian_galaxy_adds_its_moments_to_the_psf() {
        for (rotation_deg, is_flipped) in [(0.0, false), (33.0, false), (-71.0, true)] {
            let meta = meta(rotation_deg, is_flipped);
            let at = PixelPoint::new(101.37, 95.81);
            let (re_arcsec, ratio, angle_deg) = (0.7f64, 0.45, 28.0f64);
            let galaxy = TruthObject {
                half_light_radius_arcsec: re_arcsec,
                axis_ratio: ratio,
                position_angle_deg: angle_deg,
                sersic_n: 0.5,
                ..object(&meta, at)
            };
            let (stamp_box, stamp) = render_object(&meta, &galaxy).unwrap().unwrap();
            let (sum, [x0, y0], [xx, xy, yy]) = moments(&stamp_box, &stamp);
            assert_relative_eq!(sum, 5000.0 * meta.psf.stamp(at, 0.0, 0.0).sum(), max_relative = 1e-6);
            assert_abs_diff_eq!(x0, at.x, epsilon = 1e-4);
            assert_abs_diff_eq!(y0, at.y, epsilon = 1e-4);

            // The direction of the major axis in pixels, by the WCS itself: one step on the sky along the position angle.
            let (sin, cos) = angle_deg.to_radians().sin_cos();
            let tip = meta.wcs.sky_to_pixel(galaxy.position.offset_by_arcsec(sin, cos)).unwrap();
            let (ux, uy) = ((tip.x - at.x) / (tip.x - at.x).hypot(tip.y - at.y), (tip.y - at.y) / (tip.x - at.x).hypot(tip.y - at.y));
            let major = (re_arcsec / 0.2).powi(2) / (2.0 * std::f64::consts::LN_2);
            let minor = major * ratio * ratio;
            let s2 = SIGMA_PSF_PX * SIGMA_PSF_PX;
            let expected = [s2 + major * ux * ux + minor * uy * uy, (major - minor) * ux * uy, s2 + major * uy * uy + minor * ux * ux];
            for (found, expected) in [xx, xy, yy].into_iter().zip(expected) {
                // The table is good to 1e-6 of the flux, at 60 pixels from the centre.
                assert_abs_diff_eq!(found, expected, epsilon = 2e-3 * major);
            }
        }
    }

    /// A galaxy of no size is a star; every index keeps the flux.
    #[test]
    fn galaxies_keep_the_flux_and_shrink_to_stars() {
        let meta = meta(12.0, false);
        let at = PixelPoint::new(60.2, 70.9);
        let star = object(&meta, at);
        let (star_box, star_stamp) = render_object(&meta, &star).unwrap().unwrap();
        for sersic_n in [0.5, 1.0, 2.5, 4.0] {
            let big = TruthObject { half_light_radius_arcsec: 0.5, axis_ratio: 0.6, sersic_n, ..star.clone() };
            let (_, stamp) = render_object(&meta, &big).unwrap().unwrap();
            // What lies beyond the stamp is cut off, and nothing is folded in.
            assert!(stamp.sum() <= star_stamp.sum() && stamp.sum() > 0.995 * star_stamp.sum(), "n = {sersic_n}: {}", stamp.sum());
            let tiny = TruthObject { half_light_radius_arcsec: 1e-4, ..big.clone() };
            let (tiny_box, tiny_stamp) = render_object(&meta, &tiny).unwrap().unwrap();
            let same = star_box.grown(-2);
            let (a, b) = (star_stamp.slice(star_box.slice_of(&same)), tiny_stamp.slice(tiny_box.slice_of(&same)));
            let peak = star_stamp.iter().fold(0.0f64, |m, v| m.max(*v));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * peak), "n = {sersic_n}");
        }
    }

    /// F(k = 0) is the flux times the PSF's sum, whatever the profile, its size and its place: to the quadrature of the tables.
    #[test]
    fn the_transform_at_zero_is_the_flux() {
        let meta = meta(20.0, false);
        let renderer = Renderer::new(&meta);
        let mixture = Morphology::Gaussians(Arc::new(crate::GaussianMixture::new(&[(0.6, 0.5), (0.4, 1.7)]).unwrap()));
        let laws = [0.3, 0.5, 1.0, 2.5, 4.0, 6.2].map(|n| (n, Morphology::Sersic)).into_iter().chain([(0.0, mixture)]);
        for (sersic_n, morphology) in laws {
            for (half_light_radius_arcsec, axis_ratio) in [(0.02, 1.0), (0.7, 0.1), (20.0, 0.4)] {
                let at = PixelPoint::new(90.3, 101.8);
                let bulge = Some(crate::Bulge { fraction: 0.3, half_light_radius_arcsec: 0.4, axis_ratio: 0.9, sersic_n: 4.0 });
                let shape = TruthObject { half_light_radius_arcsec, axis_ratio, sersic_n, position_angle_deg: 33.0, ..object(&meta, at) };
                for bulge in [None, bulge] {
                    let galaxy = TruthObject { morphology: morphology.clone(), bulge, ..shape.clone() };
                    let psf = renderer.squares.at(64, at);
                    let mut spectrum = Spectrum::new(&psf);
                    spectrum.draw(&psf, &renderer.components(&galaxy, at), [0.3, -0.2], None);
                    let square = spectrum.into_pixels(&psf, 64);
                    assert_relative_eq!(square.sum(), 5000.0 * meta.psf.stamp(at, 0.0, 0.0).sum(), max_relative = 2e-8);
                }
            }
        }
    }

    /// Stamps of PSF and galaxy are larger than this exposure: what lies on it is drawn, beyond its edges too.
    #[test]
    fn stamps_larger_than_the_exposure_are_drawn_partly() {
        let meta = ExposureMeta { shape: (20, 24), ..meta(20.0, false) };
        let bbox = meta.bbox();
        let star = object(&meta, PixelPoint::new(-4.3, 10.0));
        let shape =
            TruthObject { half_light_radius_arcsec: 3.0, axis_ratio: 0.6, sersic_n: 1.0, ..object(&meta, PixelPoint::new(12.0, 30.5)) };
        let galaxy = TruthObject { id: 2, ..shape };
        let mut image = Array2::zeros(meta.shape);
        let renderer = Renderer::new(&meta);
        renderer.add_all(&[star.clone(), galaxy.clone()], 2.0, &bbox, image.view_mut());
        let mut expected = Array2::<f64>::zeros(meta.shape);
        for object in [&star, &galaxy] {
            let (stamp_box, stamp) = render_object(&meta, object).unwrap().unwrap();
            assert!(stamp_box.width > bbox.width && stamp_box.height > bbox.height);
            let part = stamp_box.intersect(&bbox);
            expected.slice_mut(bbox.slice_of(&part)).scaled_add(2.0, &stamp.slice(stamp_box.slice_of(&part)));
        }
        assert!(image == expected && image.sum() > 100.0, "{}", image.sum());
    }

    #[test]
    fn impossible_shapes_are_named() {
        let meta = meta(0.0, false);
        let bad = TruthObject { half_light_radius_arcsec: 0.5, axis_ratio: 1.4, sersic_n: 1.0, ..object(&meta, PixelPoint::new(5.0, 5.0)) };
        assert!(render_object(&meta, &bad).unwrap_err().to_string().contains("axis_ratio of object 1 is 1.4"));
    }
}

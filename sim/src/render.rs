//! Noiseless objects on an exposure's pixels.
//!
//! Point sources are the exposure's own PSF stamps. Galaxies are the product of the stamp's discrete transform and the
//! profile's analytic one: exact for an effective PSF that is sampled well enough (FWHM of 2.5 pixels and more).

use crate::SimError;
use crate::profile::{SERSIC_RANGE, Sersic};
use fathom::catalog::Table;
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::ExposureMeta;
use ndarray::{Array2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};

/// Sides of the galaxies' stamps \[pixel\]: few, so that the PSF's transforms are shared.
const SIDES_PX: [usize; 10] = [48, 64, 80, 96, 128, 160, 192, 256, 384, 512];

/// Share of a galaxy's light inside the stamp before the PSF; the rest wraps around, and no flux is lost.
const ENCLOSED: f64 = 0.995;

/// Objects rendered at a time; bounds the memory, and fixes nothing else.
const CHUNK: usize = 64;

/// One object in one band: a row of the truth catalog.
///
/// Variables, transients and movers are drawn as what they are on average: the mean flux at the mean position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthObject {
    /// Unique number.
    pub id: i64,
    /// Position.
    pub position: SkyPoint,
    /// Total flux \[nJy\].
    pub flux_njy: f64,
    /// Half-light radius along the major axis \[arcsec\]; 0 for a point source.
    pub half_light_radius_arcsec: f64,
    /// Minor / major axis.
    pub axis_ratio: f64,
    /// Of the major axis, east of north \[deg\].
    pub position_angle_deg: f64,
    /// Sérsic index; 0 for a point source.
    pub sersic_n: f64,
}

impl TruthObject {
    /// All objects of a truth catalog with a flux in `band`, sorted by id: the order of every sum over objects.
    ///
    /// # Errors
    /// [`SimError::Truth`] if a column is missing, [`SimError::Object`] if a shape cannot be drawn.
    pub fn of_table(table: &Table, band: &str) -> Result<Vec<Self>, SimError> {
        fathom::format::truth::check(table, &[band.to_owned()])?;
        let (ids, ra, dec) = (table.i64("id")?, table.f64("ra")?, table.f64("dec")?);
        let (flux, radius) = (table.f64(&format!("{band}_flux"))?, table.f64("half_light_radius")?);
        let (ratio, angle, index) = (table.f64("axis_ratio")?, table.f64("position_angle")?, table.f64("sersic_n")?);
        let mut objects = Vec::with_capacity(ids.len());
        for i in 0..ids.len() {
            let object = Self {
                id: ids[i],
                position: SkyPoint::from_degrees(ra[i], dec[i]),
                flux_njy: flux[i],
                half_light_radius_arcsec: radius[i],
                axis_ratio: ratio[i],
                position_angle_deg: angle[i],
                sersic_n: index[i],
            };
            if object.flux_njy.is_finite() && object.flux_njy != 0.0 {
                object.check()?;
                objects.push(object);
            }
        }
        objects.sort_by_key(|o| o.id);
        Ok(objects)
    }

    /// True if it has no extent.
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.half_light_radius_arcsec <= 0.0 || self.sersic_n <= 0.0
    }

    fn check(&self) -> Result<(), SimError> {
        let check = |is_good: bool, key, found, expected| {
            if is_good { Ok(()) } else { Err(SimError::Object { id: self.id, key, found, expected }) }
        };
        check(self.position.ra_rad().is_finite(), "ra", self.position.ra_deg(), "degrees")?;
        check(self.position.dec_rad().abs() <= 1.6, "dec", self.position.dec_deg(), "degrees in -90..=90")?;
        check(self.half_light_radius_arcsec.is_finite(), "half_light_radius", self.half_light_radius_arcsec, "a finite number")?;
        if self.is_point() {
            return Ok(());
        }
        check(self.axis_ratio > 0.0 && self.axis_ratio <= 1.0, "axis_ratio", self.axis_ratio, "a number in (0, 1]")?;
        check(self.position_angle_deg.is_finite(), "position_angle", self.position_angle_deg, "a finite number")?;
        check(SERSIC_RANGE.contains(&self.sersic_n), "sersic_n", self.sersic_n, "0 (point source) or 0.5..=6")
    }
}

/// One object without noise: the pixels it covers, in the frame of the whole exposure, and its flux per pixel \[nJy\].
///
/// The pixels sum to the object's flux times the sum of the PSF's stamp. None where the WCS has no pixel for it. The box
/// may reach beyond the exposure.
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

/// Draws objects on one exposure; keeps what they share.
pub(crate) struct Renderer<'a> {
    meta: &'a ExposureMeta,
    /// By side: the transform of a constant PSF.
    shared: Mutex<BTreeMap<usize, Arc<PsfTransform>>>,
}

/// Transform of a PSF stamp on a square of even side, and the way back.
struct PsfTransform {
    values: Array2<Complex64>,
    backward: Arc<dyn Fft<f64>>,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(meta: &'a ExposureMeta) -> Self {
        Self { meta, shared: Mutex::default() }
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
    pub(crate) fn may_touch(&self, object: &TruthObject, bbox: &Box2) -> bool {
        let half = SIDES_PX[SIDES_PX.len() - 1] as i32 / 2;
        self.meta.wcs.sky_to_pixel(object.position).is_ok_and(|at| bbox.grown(half).contains_point(at))
    }

    pub(crate) fn render(&self, object: &TruthObject) -> Option<(Box2, Array2<f64>)> {
        let at = self.meta.wcs.sky_to_pixel(object.position).ok()?;
        if !(at.x.abs() < 1e6 && at.y.abs() < 1e6) {
            return None;
        }
        let (ix, iy) = at.pixel();
        let (dx, dy) = (at.x - f64::from(ix), at.y - f64::from(iy));
        if object.is_point() {
            let r = self.meta.psf.radius_px() as i32;
            let mut stamp = self.meta.psf.stamp(at, dx, dy);
            stamp *= object.flux_njy;
            return Some((Box2::new(ix - r, iy - r, 2 * r + 1, 2 * r + 1), stamp));
        }
        let stamp = self.galaxy(object, at, dx, dy);
        let half = stamp.nrows() as i32 / 2;
        Some((Box2::new(ix - half, iy - half, 2 * half, 2 * half), stamp))
    }

    /// The galaxy with its centre at element (side/2 + `dx`, side/2 + `dy`).
    fn galaxy(&self, object: &TruthObject, at: PixelPoint, dx: f64, dy: f64) -> Array2<f64> {
        let profile = Sersic::of_index(object.sersic_n);
        let shape = self.shape_px(object, at);
        // Half-width of the ellipse along x and y: the lengths of the shape matrix's rows.
        let reach_px = shape.iter().map(|[a, b]| a.hypot(*b)).fold(0.0, f64::max) * profile.radius_enclosing(ENCLOSED);
        let needed = 2 * (self.meta.psf.radius_px() + reach_px.ceil() as usize + 1);
        let largest = SIDES_PX[SIDES_PX.len() - 1].max((2 * self.meta.psf.radius_px() + 2).next_multiple_of(16));
        let side = SIDES_PX.into_iter().find(|&s| s >= needed).unwrap_or(largest);
        let psf = self.psf_transform(side, at);

        // |Aᵀ k|² = kᵀ A Aᵀ k, with A from the unit circle to pixels.
        let [[a, b], [c, d]] = shape;
        let (xx, xy, yy) = (a * a + b * b, a * c + b * d, c * c + d * d);
        let frequency = |i: usize| (if i < side / 2 { i as f64 } else { i as f64 - side as f64 }) / side as f64;
        let middle = (side / 2) as f64;
        let phases = |shift: f64| -> Vec<Complex64> { (0..side).map(|i| Complex64::cis(-TAU * frequency(i) * (middle + shift))).collect() };
        let (phase_x, phase_y) = (phases(dx), phases(dy));
        let factor = object.flux_njy / (side * side) as f64;
        let mut spectrum = psf.values.clone();
        for (j, mut row) in spectrum.rows_mut().into_iter().enumerate() {
            let ky = frequency(j);
            for (i, value) in row.iter_mut().enumerate() {
                let kx = frequency(i);
                let q = (xx * kx * kx + 2.0 * xy * kx * ky + yy * ky * ky).max(0.0).sqrt();
                *value *= phase_x[i] * phase_y[j] * (factor * profile.transform(q));
            }
        }
        transform_2d(&mut spectrum, psf.backward.as_ref());
        spectrum.mapv(|v| v.re)
    }

    /// Matrix from the unit circle to the half-light ellipse in pixels; columns: major and minor axis.
    fn shape_px(&self, object: &TruthObject, at: PixelPoint) -> [[f64; 2]; 2] {
        let (sin, cos) = object.position_angle_deg.to_radians().sin_cos();
        let (major, minor) = (object.half_light_radius_arcsec, object.half_light_radius_arcsec * object.axis_ratio);
        // (east, north) of the two axes.
        let (m_e, m_n, w_e, w_n) = (major * sin, major * cos, minor * cos, -minor * sin);
        let [[a, b], [c, d]] = self.meta.wcs.jacobian_arcsec(at);
        let det = a * d - b * c;
        let to_px = |e: f64, n: f64| ((d * e - b * n) / det, (a * n - c * e) / det);
        let ((mx, my), (wx, wy)) = (to_px(m_e, m_n), to_px(w_e, w_n));
        [[mx, wx], [my, wy]]
    }

    fn psf_transform(&self, side: usize, at: PixelPoint) -> Arc<PsfTransform> {
        let psf = &self.meta.psf;
        // A PSFEx model of degree 0 is constant too, but scaled by its coefficient: that is the same everywhere.
        if !psf.is_constant() {
            return Arc::new(PsfTransform::new(psf.stamp(at, 0.0, 0.0), side));
        }
        let mut shared = self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.entry(side).or_insert_with(|| Arc::new(PsfTransform::new(psf.stamp(at, 0.0, 0.0), side))).clone()
    }
}

impl PsfTransform {
    /// From a stamp of odd side; its centre goes to element (0, 0), the rest around it.
    fn new(stamp: Array2<f64>, side: usize) -> Self {
        let r = stamp.nrows() / 2;
        let mut values = Array2::<Complex64>::zeros((side, side));
        for ((j, i), &v) in stamp.indexed_iter() {
            values[[(j + side - r) % side, (i + side - r) % side]].re = v;
        }
        let mut planner = FftPlanner::new();
        transform_2d(&mut values, planner.plan_fft_forward(side).as_ref());
        Self { values, backward: planner.plan_fft_inverse(side) }
    }
}

/// Both axes of a square array in turn.
fn transform_2d(square: &mut Array2<Complex64>, fft: &dyn Fft<f64>) {
    for _ in 0..2 {
        fft.process(square.as_slice_mut().expect("owned arrays are contiguous"));
        transpose(square);
    }
}

/// In place, in blocks: a plain double loop misses the cache at every step.
fn transpose(square: &mut Array2<Complex64>) {
    const BLOCK: usize = 16;
    let n = square.len_of(Axis(0));
    for j0 in (0..n).step_by(BLOCK) {
        for i0 in (j0..n).step_by(BLOCK) {
            for j in j0..(j0 + BLOCK).min(n) {
                for i in i0.max(j + 1)..(i0 + BLOCK).min(n) {
                    square.swap([j, i], [i, j]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::{assert_abs_diff_eq, assert_relative_eq};
    use fathom::geometry::Wcs;
    use fathom::image::psf::PsfModel;
    use fathom::image::{ApCorrMap, ExposureId, PhotoCalib, Psf};

    const SIGMA_PSF_PX: f64 = 1.9;

    /// Pixels of 0.2 arcsec, rotated, and mirrored if asked for.
    fn meta(rotation_deg: f64, is_flipped: bool) -> ExposureMeta {
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

    fn object(meta: &ExposureMeta, at: PixelPoint) -> TruthObject {
        TruthObject {
            id: 1,
            position: meta.wcs.pixel_to_sky(at),
            flux_njy: 5000.0,
            half_light_radius_arcsec: 0.0,
            axis_ratio: 1.0,
            position_angle_deg: 0.0,
            sersic_n: 0.0,
        }
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
            let big = TruthObject { half_light_radius_arcsec: 0.5, axis_ratio: 0.6, sersic_n, ..star };
            let (_, stamp) = render_object(&meta, &big).unwrap().unwrap();
            assert_relative_eq!(stamp.sum(), star_stamp.sum(), max_relative = 1e-6);
            let tiny = TruthObject { half_light_radius_arcsec: 1e-4, ..big };
            let (tiny_box, tiny_stamp) = render_object(&meta, &tiny).unwrap().unwrap();
            let same = star_box.grown(-2);
            let (a, b) = (star_stamp.slice(star_box.slice_of(&same)), tiny_stamp.slice(tiny_box.slice_of(&same)));
            let peak = star_stamp.iter().fold(0.0f64, |m, v| m.max(*v));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * peak), "n = {sersic_n}");
        }
    }

    #[test]
    fn impossible_shapes_are_named() {
        let meta = meta(0.0, false);
        let bad = TruthObject { half_light_radius_arcsec: 0.5, axis_ratio: 1.4, sersic_n: 1.0, ..object(&meta, PixelPoint::new(5.0, 5.0)) };
        assert!(render_object(&meta, &bad).unwrap_err().to_string().contains("axis_ratio of object 1 is 1.4"));
    }
}

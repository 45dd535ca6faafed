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

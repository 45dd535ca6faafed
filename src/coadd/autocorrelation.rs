//! Autocorrelation of a band's PSFs per cell: what the noise of Ψ is correlated by, and what a point source looks like in Ψ.

use super::fft2::{RealFft2, fast_length};
use super::mapping::{Jacobian, area_ratio};
use super::morphology::centred;
use super::prepared::Prepared;
use crate::geometry::{Cell, PixelPoint, Tract};
use crate::image::{ExposureMeta, spline};
use ndarray::{Array2, Array3, ArrayView2};
use rayon::prelude::*;
use rustfft::num_complex::Complex64;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A(d) = Σ_e (φ_e ⋆ φ_e)(J_e d)/v_e on the tract's pixel lags d, one a cell, over the exposures that cover it.
///
/// As Ψ is sampled: with the mean gain over the sub-pixel phases, which lowers A(0) by 6e-4 for an FWHM of 2.5 px and less for others.
/// Away from masks and edges, A(0) = Φ, Cov(Ψ(x), Ψ(x + d)) = A(d), and a point source of flux F at x adds F A(d) to Ψ(x + d).
#[derive(Debug, Clone, PartialEq)]
pub struct PsfAutocorrelation {
    /// Half-width h: lags -h..=h.
    pub half_width: usize,
    /// Columns and rows of the cells, in the order of the other fields.
    pub cells: Vec<(u32, u32)>,
    /// A(d) \[1/nJy²\], `[cell, dy + h, dx + h]`; 0 without data.
    pub autocorrelation: Array3<f32>,
    /// Σ_e 1/(v_e |J_e|) \[1/nJy²\]: the inverse variance of blank sky, per tract pixel, of all exposures together.
    pub weight: Vec<f64>,
}

/// The autocorrelation of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct CellAutocorrelation {
    /// A(d) \[1/nJy²\], `[2h+1, 2h+1]`.
    pub lags: Array2<f32>,
    /// Σ_e 1/(v_e |J_e|) \[1/nJy²\].
    pub weight: f64,
}

/// Curvature l2 = -ρ''(0) per axis \[1/pixel²\] of the noise of ν, ρ = A/A(0): ½ Σ k² Â(k)/Σ Â(k) with k in radians per pixel.
///
/// `lags`: A(d) of a cell, `[2h+1, 2h+1]`; of several bands, the mean of their curvatures is that of χ and of the free SED.
#[must_use]
pub fn noise_curvature(lags: ArrayView2<f32>) -> f64 {
    let fft = RealFft2::<f64>::new(fast_length(lags.nrows() + 1));
    let n = fft.n();
    let spectrum = fft.of_stamp(lags.mapv(f64::from).view());
    let frequency = |i: usize| std::f64::consts::TAU * (if i > n / 2 { i as f64 - n as f64 } else { i as f64 }) / n as f64;
    let (mut power, mut curvature) = (0.0, 0.0);
    for ((i, j), a) in spectrum.indexed_iter() {
        // Half of the plane is kept: its inner columns stand for two.
        let a = if i == 0 || i == n / 2 { a.re } else { 2.0 * a.re };
        power += a;
        curvature += 0.5 * (frequency(i).powi(2) + frequency(j).powi(2)) * a;
    }
    curvature / power
}

/// Sample positions along a cell's side: the share of them on an exposure is the share of the cell that it covers.
const SAMPLES: usize = 6;

/// Spacing of the places of an exposure at which the autocorrelation of a varying PSF is made, bilinear between \[exposure pixel\].
const NODE_PX: f64 = 128.0;

/// Share of ΣA(d) that may lie outside the lags that are kept.
const OUTSIDE_SHARE: f64 = 1e-4;

/// Half-width at least and at most \[tract pixel\]. With cells of 64 px the widest takes 4.1 bytes a pixel of the coadd, Moffat PSFs of 3.5 px
/// (h = 21) 1.8, beside 28 of its planes.
const HALF_WIDTHS: std::ops::RangeInclusive<usize> = 4..=32;

/// One exposure's PSF as Fourier transforms, from which its autocorrelation at any place takes one transform back.
///
/// The autocorrelation is made once an exposure, or at nodes if the PSF varies, and sampled at J d for every cell.
struct PsfSpectrum<'a> {
    meta: &'a ExposureMeta,
    fft: RealFft2,
    /// Of the grid with half the step.
    fine: RealFft2,
    /// b̂_k.
    basis: Vec<Array2<Complex64>>,
    /// Lags up to this can be asked for \[exposure pixel\].
    reach: usize,
}

impl<'a> PsfSpectrum<'a> {
    fn new(meta: &'a ExposureMeta, reach: usize) -> Self {
        // No lag of the stamp comes round the edge to one that is asked for, nor to the spline's taps around it.
        let fft = RealFft2::new(fast_length(2 * meta.psf.radius_px() + 1 + reach + spline::PREFILTER_MARGIN_PX));
        let basis = (0..meta.psf.n_basis()).map(|k| fft.of_stamp(meta.psf.basis_stamp(k, 0.0, 0.0).view())).collect();
        Self { meta, fine: RealFft2::new(2 * fft.n()), fft, basis, reach }
    }

    /// Lags at the nodes around all these places; one node does for a PSF that does not vary.
    fn nodes(&self, places: impl Iterator<Item = PixelPoint>) -> BTreeMap<(i32, i32), Array2<f64>> {
        let around: BTreeSet<_> = places.flat_map(|at| self.weights(at)).map(|(node, _)| node).collect();
        let at = |(i, j): (i32, i32)| PixelPoint::new(f64::from(i) * NODE_PX, f64::from(j) * NODE_PX);
        around.into_par_iter().map(|node| (node, self.lags(at(node)))).collect()
    }

    /// Nodes around a place with their bilinear weights.
    fn weights(&self, at: PixelPoint) -> Vec<((i32, i32), f64)> {
        if self.meta.psf.is_constant() {
            return vec![((0, 0), 1.0)];
        }
        let split = |v: f64| {
            let i = (v / NODE_PX).floor();
            (i as i32, v / NODE_PX - i)
        };
        let ((i, u), (j, v)) = (split(at.x), split(at.y));
        vec![((i, j), (1.0 - u) * (1.0 - v)), ((i + 1, j), u * (1.0 - v)), ((i, j + 1), (1.0 - u) * v), ((i + 1, j + 1), u * v)]
    }

    /// Lags at a place, between those of the nodes around it.
    fn between<'n>(&self, nodes: &'n BTreeMap<(i32, i32), Array2<f64>>, at: PixelPoint) -> Cow<'n, Array2<f64>> {
        match self.weights(at).as_slice() {
            [(only, _)] => Cow::Borrowed(&nodes[only]),
            several => {
                let mut sum = Array2::zeros(nodes[&several[0].0].dim());
                several.iter().for_each(|(node, weight)| sum.scaled_add(*weight, &nodes[node]));
                Cow::Owned(sum)
            }
        }
    }

    /// |φ̂|² of the PSF at a place.
    fn power(&self, at: PixelPoint) -> Array2<Complex64> {
        let mut c = vec![0.0; self.basis.len()];
        self.meta.psf.coefficients(at, &mut c);
        let mut psf: Array2<Complex64> = Array2::zeros(self.basis[0].dim());
        for (b, &c) in self.basis.iter().zip(&c).filter(|(_, c)| **c != 0.0) {
            psf.zip_mut_with(b, |p, b| *p += b * c);
        }
        psf.mapv_inplace(|p| Complex64::new(p.norm_sqr(), 0.0));
        psf
    }

    /// (φ ⋆ φ)(δ), as the mean over sub-pixel phases of what sampling by a quintic spline makes of it, as spline coefficients with two
    /// a pixel, the lag 0 in the middle: on a grid twice as fine the spline's own error vanishes.
    fn lags(&self, at: PixelPoint) -> Array2<f64> {
        let (n, fine) = (self.fft.n(), self.fine.n());
        let power = self.power(at);
        let mut spectrum = Array2::zeros((fine / 2 + 1, fine));
        // The power at the Nyquist frequency, of either sign, is left out: there is next to none.
        for (kx, ky) in (0..n / 2).flat_map(|kx| (0..n).filter(|ky| *ky != n / 2).map(move |ky| (kx, ky))) {
            let to = if ky > n / 2 { ky + fine - n } else { ky };
            let of = |k: usize, at: usize| {
                let signed = if k > n / 2 { k as f64 - n as f64 } else { k as f64 };
                spline_gain(signed / n as f64) / sampled_spline(at as f64 / fine as f64)
            };
            // Four values of the fine grid for one.
            spectrum[[kx, to]] = power[[kx, ky]] * (4.0 * of(kx, kx) * of(ky, to));
        }
        centred(&self.fine.inverse(spectrum), 2 * self.reach + 3)
    }
}

/// Σ_n β⁵(n) exp(-2πi k n) of the quintic B-spline, k in cycles per pixel: 66, 26, 1 (over 120) at the integers.
fn sampled_spline(k: f64) -> f64 {
    let w = std::f64::consts::TAU * k;
    (66.0 + 52.0 * w.cos() + 2.0 * (2.0 * w).cos()) / 120.0
}

/// Gain of sampling by a quintic spline at frequency k (cycles per pixel of the exposure), mean over the phases: transform of the
/// interpolating spline, sinc⁶ over the sampled B-spline.
pub(super) fn spline_gain(k: f64) -> f64 {
    let x = std::f64::consts::PI * k;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    sinc.powi(6) / sampled_spline(k)
}

/// Power that sampling by a quintic spline leaves of white noise at frequency k, its images in, mean over the phases.
pub(super) fn spline_noise(k: f64) -> f64 {
    (-3..=3).map(|m| spline_gain(k + f64::from(m)).powi(2)).sum()
}

/// Lags of the exposure's pixels that those of the tract reach: a property of the exposure, not of the patch, and no more than two stamps.
fn reach_px(tract: &Tract, meta: &ExposureMeta, half_width: usize) -> usize {
    let exposure_px = tract.config().pixel_scale_arcsec / meta.wcs.pixel_area_arcsec2(meta.center()).sqrt();
    // √2 for a rotation by 45 degrees; the rest for pixels that are not square and scales that vary.
    ((1.5 * exposure_px * half_width as f64).ceil() as usize + 1).min(2 * meta.psf.radius_px())
}

/// Half-width that holds all of ΣA of every exposure's PSF but [`OUTSIDE_SHARE`] \[tract pixel\].
///
/// `inputs`: exposures, each with the tract's pixels per side of one of its own.
pub(crate) fn half_width_for<'a>(inputs: impl Iterator<Item = (&'a ExposureMeta, f64)>) -> usize {
    let needed = |(meta, tract_px): (&ExposureMeta, f64)| {
        let r = meta.psf.radius_px();
        let spectrum = PsfSpectrum::new(meta, 2 * r);
        let lags = centred(&spectrum.fft.inverse(spectrum.power(meta.center())), 2 * r);
        let total = lags.sum();
        let inside = |h: usize| lags.slice(ndarray::s![2 * r - h..=2 * r + h, 2 * r - h..=2 * r + h]).sum();
        let native = (1..2 * r).find(|&h| total - inside(h) < OUTSIDE_SHARE * total).unwrap_or(2 * r);
        (native as f64 * tract_px).ceil() as usize
    };
    inputs.map(needed).max().unwrap_or(0).clamp(*HALF_WIDTHS.start(), *HALF_WIDTHS.end())
}

/// Sums over the exposures.
pub(crate) struct AutocorrelationSums {
    cells: Vec<Cell>,
    half_width: usize,
    /// Σ (φ ⋆ φ)(J d)/v, one a cell.
    sums: Vec<Array2<f64>>,
    weights: Vec<f64>,
}

impl AutocorrelationSums {
    pub fn new(cells: Vec<Cell>, half_width: usize) -> Self {
        let side = 2 * half_width + 1;
        Self { half_width, sums: vec![Array2::zeros((side, side)); cells.len()], weights: vec![0.0; cells.len()], cells }
    }

    /// Adds one exposure, to every cell by the share of it that it covers.
    pub fn add(&mut self, tract: &Tract, meta: &ExposureMeta, prepared: &Prepared, jacobian: impl Fn(PixelPoint) -> Jacobian + Sync) {
        let covered: Vec<_> = self.cells.par_iter().map(|cell| Covered::new(cell, tract, meta, prepared, &jacobian)).collect();
        if covered.iter().all(Option::is_none) {
            return;
        }
        let h = self.half_width as i64;
        let spectrum = PsfSpectrum::new(meta, reach_px(tract, meta, self.half_width));
        let middle = (2 * spectrum.reach + 3) as f64;
        let nodes = spectrum.nodes(covered.iter().flatten().map(|c| c.at));
        (covered, &mut self.sums, &mut self.weights).into_par_iter().for_each(|(covered, sum, weight)| {
            let Some(Covered { at, jacobian: j, inverse_variance }) = covered else { return };
            let lags = spectrum.between(&nodes, at);
            *weight += inverse_variance / area_ratio(&j);
            // A(-d) = A(d): half of the lags are enough.
            for dy in 0..=h {
                for dx in if dy == 0 { 0 } else { -h }..=h {
                    let u = j[0][0] * dx as f64 + j[0][1] * dy as f64;
                    let v = j[1][0] * dx as f64 + j[1][1] * dy as f64;
                    if u.abs().max(v.abs()) > spectrum.reach as f64 {
                        continue;
                    }
                    let value = inverse_variance * spline::value(lags.view(), middle + 2.0 * u, middle + 2.0 * v);
                    sum[[(dy + h) as usize, (dx + h) as usize]] += value;
                    if (dx, dy) != (0, 0) {
                        sum[[(h - dy) as usize, (h - dx) as usize]] += value;
                    }
                }
            }
        });
    }

    pub fn finish(self) -> PsfAutocorrelation {
        let side = 2 * self.half_width + 1;
        let mut autocorrelation = Array3::zeros((self.cells.len(), side, side));
        for (mut out, sum) in autocorrelation.outer_iter_mut().zip(&self.sums) {
            out.assign(&sum.mapv(|v| v as f32));
        }
        let cells = self.cells.iter().map(|c| (c.column, c.row)).collect();
        PsfAutocorrelation { half_width: self.half_width, cells, autocorrelation, weight: self.weights }
    }
}

/// What an exposure gives to a cell.
struct Covered {
    /// The cell's middle on the exposure.
    at: PixelPoint,
    jacobian: Jacobian,
    /// Mean over the cell of 1/v, 0 where the exposure does not reach \[1/nJy²\].
    inverse_variance: f64,
}

impl Covered {
    fn new(
        cell: &Cell,
        tract: &Tract,
        meta: &ExposureMeta,
        prepared: &Prepared,
        jacobian: &impl Fn(PixelPoint) -> Jacobian,
    ) -> Option<Self> {
        let middle = |start: i32, n: i32| f64::from(start) + f64::from(n - 1) / 2.0;
        let tract_at = PixelPoint::new(middle(cell.bbox.x0, cell.bbox.width), middle(cell.bbox.y0, cell.bbox.height));
        let at = meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(tract_at)).ok()?;
        let j = jacobian(tract_at);
        let inverse_variance: f64 = (0..SAMPLES * SAMPLES)
            .filter_map(|k| {
                let along = |k: usize, n: i32| ((k as f64 + 0.5) / SAMPLES as f64 - 0.5) * f64::from(n);
                let (dx, dy) = (along(k % SAMPLES, cell.bbox.width), along(k / SAMPLES, cell.bbox.height));
                let p = PixelPoint::new(at.x + j[0][0] * dx + j[0][1] * dy, at.y + j[1][0] * dx + j[1][1] * dy);
                let (x, y) = p.pixel();
                meta.bbox().contains(x, y).then(|| prepared.bbox.index(x, y))?.map(|p| prepared.background_njy2()[p])
            })
            .map(|v| 1.0 / f64::from(v))
            .sum();
        (inverse_variance > 0.0).then(|| Self { at, jacobian: j, inverse_variance: inverse_variance / (SAMPLES * SAMPLES) as f64 })
    }
}

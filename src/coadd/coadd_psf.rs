//! The PSF of a direct coadd at any point: the weighted mean of the warped PSFs that contribute there.

use super::kernel::{Lanczos, MAX_TAPS};
use super::mapping::{Jacobian, area_ratio, jacobian_at};
use crate::geometry::{PixelPoint, Wcs};
use crate::image::{ExposureMeta, Psf};
use ndarray::{Array2, ArrayView3, Axis, s};
use std::collections::BTreeMap;

/// One exposure of a coadd.
#[derive(Debug, Clone)]
pub struct CoaddPsfInput {
    /// PSF, WCS, calibration of the exposure.
    pub meta: ExposureMeta,
    /// Aperture corrections of the exposure.
    pub ap_corr: crate::image::ApCorrMap,
    /// Its weight in the stack.
    pub weight: f64,
}

/// PSFs of all exposures of one band of the tract, ready to be drawn anywhere.
#[derive(Debug, Clone)]
pub struct CoaddPsf {
    inputs: Vec<CoaddPsfInput>,
    tract_wcs: Wcs,
    kernel: Lanczos,
}

impl CoaddPsf {
    /// `inputs` in the order of [`super::BandCoadd::inputs`]; `lanczos_order` that of the coadd.
    #[must_use]
    pub fn new(inputs: Vec<CoaddPsfInput>, tract_wcs: Wcs, lanczos_order: usize) -> Self {
        Self { inputs, tract_wcs, kernel: Lanczos::new(lanczos_order) }
    }

    /// Contributors: (input, position on it).
    fn contributors<'a>(&'a self, at: PixelPoint, words: &'a [u64]) -> impl Iterator<Item = (&'a CoaddPsfInput, PixelPoint)> + 'a {
        let sky = self.tract_wcs.pixel_to_sky(at);
        self.inputs
            .iter()
            .enumerate()
            .filter(|(i, _)| words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1))
            .filter_map(move |(_, input)| input.meta.wcs.sky_to_pixel(sky).ok().map(|p| (input, p)))
    }

    /// The set of contributors that most pixels share: the PSF that holds for the most of a source's light.
    ///
    /// `words`: [`super::BandCoadd::inputs_wyx`] on a box, `[word, y, x]`. Ties go to the smaller set of bits.
    #[must_use]
    pub fn common_contributors(words: ArrayView3<u64>) -> Vec<u64> {
        let mut counts: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        for lane in words.lanes(Axis(0)).into_iter().filter(|lane| lane.iter().any(|w| *w != 0)) {
            *counts.entry(lane.to_vec()).or_default() += 1;
        }
        // `max_by_key` takes the last of equals, so the order is turned round.
        counts.into_iter().rev().max_by_key(|(_, n)| *n).map_or_else(|| vec![0; words.len_of(Axis(0))], |(set, _)| set)
    }

    /// Where the PSF of the reference set holds: pixels whose contributors differ from it by less than `tolerance` of its weight.
    #[must_use]
    pub fn agrees(&self, words: ArrayView3<u64>, reference: &[u64], tolerance: f64) -> Array2<bool> {
        let weight =
            |set: &dyn Fn(usize) -> bool| self.inputs.iter().enumerate().filter(|(i, _)| set(*i)).map(|(_, p)| p.weight).sum::<f64>();
        let has = |words: &[u64], i: usize| words[i / 64] >> (i % 64) & 1 == 1;
        let all = weight(&|i| has(reference, i));
        let (_, ny, nx) = words.dim();
        Array2::from_shape_fn((ny, nx), |(j, i)| {
            let here = words.slice(s![.., j, i]).to_vec();
            here == reference || weight(&|k| has(&here, k) != has(reference, k)) < tolerance * all
        })
    }

    /// Image of a unit-flux point source at `at` (tract pixels) on the tract's pixels: `[2r+1, 2r+1]`,
    /// its central pixel being `at.pixel()`. Each exposure's PSF is drawn at its native phase and warped with the coadd's kernel.
    ///
    /// `contributors`: words of [`super::BandCoadd::inputs_wyx`] at the source's pixel. None contributes: all zero.
    #[must_use]
    pub fn stamp(&self, at: PixelPoint, contributors: &[u64], radius_px: usize) -> Array2<f64> {
        let side = 2 * radius_px + 1;
        let mut out = Array2::<f64>::zeros((side, side));
        let mut weights = 0.0;
        let (cx, cy) = at.pixel();
        for (input, p) in self.contributors(at, contributors) {
            let jacobian = jacobian_at(&self.tract_wcs, &input.meta.wcs, at);
            weights += input.weight;
            let from_central = (at.x - f64::from(cx), at.y - f64::from(cy));
            add_warped(&self.kernel, &input.meta.psf, p, &jacobian, from_central, input.weight, &mut out);
        }
        if weights > 0.0 {
            out /= weights;
        }
        out
    }

    /// Image of a unit-flux point source at `at` where contributors differ from pixel to pixel, as across the edge of an exposure: every pixel is that of
    /// [`Self::stamp`] for its own contributors.
    ///
    /// `words`: [`super::BandCoadd::inputs_wyx`] on the square around `at.pixel()`, `[word, 2r+1, 2r+1]`; the image is `[2r+1, 2r+1]`, zero where none
    /// contributes.
    #[must_use]
    pub fn image(&self, at: PixelPoint, words: ArrayView3<u64>) -> Array2<f64> {
        let (_, side, _) = words.dim();
        let mut stamps: BTreeMap<Vec<u64>, Array2<f64>> = BTreeMap::new();
        Array2::from_shape_fn((side, side), |(j, i)| {
            let set = words.slice(s![.., j, i]).to_vec();
            stamps.entry(set).or_insert_with_key(|set| self.stamp(at, set, side / 2))[[j, i]]
        })
    }

    /// Aperture correction of a flux on the coadd: the harmonic mean Σw / Σ(w/A) of the contributors; and whether it is known
    /// (every contributor's correction is).
    ///
    /// Exact for fixed apertures. For PSF fluxes it neglects that the coadd's PSF, not the exposure's, is the filter: with PSF
    /// models right to a per cent the difference is of second order.
    #[must_use]
    pub fn ap_corr(&self, algorithm: &str, at: PixelPoint, contributors: &[u64]) -> (f64, bool) {
        let (mut weights, mut inverse, mut is_known) = (0.0, 0.0, true);
        for (input, p) in self.contributors(at, contributors) {
            let corr = input.ap_corr.by_algorithm.get(algorithm);
            is_known &= corr.is_some_and(|c| !c.is_flagged);
            weights += input.weight;
            inverse += input.weight / corr.map_or(1.0, |c| c.factor.at(p));
        }
        if inverse > 0.0 { (weights / inverse, is_known) } else { (1.0, false) }
    }
}

/// Adds `factor` times the image of a unit-flux point source on one exposure, warped onto tract pixels, to a stamp of odd side.
///
/// `p`: the source on the exposure, which fixes its native phase; `from_central`: the source from the stamp's central pixel \[tract pixel\].
pub(super) fn add_warped(
    kernel: &Lanczos,
    psf: &Psf,
    p: PixelPoint,
    jacobian: &Jacobian,
    from_central: (f64, f64),
    factor: f64,
    out: &mut Array2<f64>,
) {
    let radius_px = out.nrows() / 2;
    let (px, py) = p.pixel();
    // Only the part that the kernel reaches.
    let [[a, b], [c, d]] = jacobian;
    let stretch = (a.abs() + b.abs()).max(c.abs() + d.abs());
    let reach = ((radius_px as f64 + 1.0) * stretch).ceil() as usize + kernel.n_taps() / 2 + 1;
    let native = psf.core(p, p.x - f64::from(px), p.y - f64::from(py), reach);
    let r = (native.nrows() / 2) as f64;
    let factor = factor * area_ratio(jacobian);
    for ((j, i), value) in out.indexed_iter_mut() {
        // Over a stamp the mapping is affine to better than the mapping's own tolerance.
        let (dx, dy) = (i as f64 - radius_px as f64 - from_central.0, j as f64 - radius_px as f64 - from_central.1);
        let x = p.x + a * dx + b * dy - f64::from(px) + r;
        let y = p.y + c * dx + d * dy - f64::from(py) + r;
        *value += factor * sample(kernel, &native, x, y);
    }
}

/// The kernel's value of a stamp at an array position; zero outside the stamp.
fn sample(kernel: &Lanczos, stamp: &Array2<f64>, x: f64, y: f64) -> f64 {
    let side = stamp.nrows() as i64;
    let n = kernel.n_taps() as i64;
    let (fx, fy) = (x.floor(), y.floor());
    let (x0, y0) = (fx as i64 + kernel.first_tap(), fy as i64 + kernel.first_tap());
    if x0 >= side || y0 >= side || x0 + n <= 0 || y0 + n <= 0 {
        return 0.0;
    }
    let (wx, wy) = (kernel.weights::<MAX_TAPS>(x - fx), kernel.weights::<MAX_TAPS>(y - fy));
    let mut sum = 0.0;
    for j in (0.max(-y0))..n.min(side - y0) {
        let row = stamp.row((y0 + j) as usize);
        let mut along = 0.0;
        for i in (0.max(-x0))..n.min(side - x0) {
            along += wx[i as usize] * row[(x0 + i) as usize];
        }
        sum += wy[j as usize] * along;
    }
    sum
}

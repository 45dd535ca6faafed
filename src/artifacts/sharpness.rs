//! What the PSF of an exposure allows: how bright a source of the static sky may be in it, and how sharp anything may be.

use super::static_sky::median;
use ndarray::{Array2, ArrayView2};

/// Parts of a PSF fainter than this share of its peak are left to chance: nothing there is known, or stands out.
const FAINTEST: f64 = 1e-4;

/// Steps to a pixel's neighbours, one of each opposite pair: (rows, columns).
const DIRECTIONS: [(isize, isize); 4] = [(0, 1), (1, 0), (1, 1), (1, -1)];

/// By how much, at most, a point source is brighter in each exposure than in the median of all: max over r of φ_i(r) / median_j φ_j(r), at
/// least 1.
///
/// Light is positive, so what holds for a point source holds, with the same factor, for a sum of them. In the best seeing it is the core that
/// is brighter, in the worst the wings.
///
/// # Arguments
/// * `psfs`: `[2r+1, 2r+1]`, on one grid, all of one shape, the source in the middle.
pub(super) fn excess_ratios(psfs: &[&Array2<f64>]) -> Vec<f64> {
    let mut ratios = vec![1.0f64; psfs.len()];
    let Some(first) = psfs.first() else { return ratios };
    let r = first.nrows() / 2;
    let mut values = Vec::with_capacity(psfs.len());
    let mut median_at = |at: [usize; 2]| {
        values.clear();
        values.extend(psfs.iter().map(|p| p[at]));
        median(&mut values)
    };
    let limit = FAINTEST * median_at([r, r]);
    for (j, i) in (0..first.nrows()).flat_map(|j| (0..first.ncols()).map(move |i| (j, i))) {
        let of_all = median_at([j, i]);
        if of_all > limit {
            ratios.iter_mut().zip(psfs).for_each(|(ratio, p)| *ratio = ratio.max(p[[j, i]] / of_all));
        }
    }
    ratios
}

/// Mean of a PSF at its two neighbours over its value, in the four directions: no light drops faster.
///
/// For a source beside the pixel's middle the mean is larger: of a Gaussian at distance d, by cosh(d / σ²).
pub(super) fn neighbour_ratios(psf: ArrayView2<f64>) -> [f64; 4] {
    let r = (psf.nrows() / 2) as isize;
    let at = |dy: isize, dx: isize| psf[[(r + dy) as usize, (r + dx) as usize]];
    DIRECTIONS.map(|(dy, dx)| (0.5 * (at(dy, dx) + at(-dy, -dx)) / at(0, 0)).clamp(0.0, 1.0))
}

/// By how many sigma a pixel stands out of its neighbours more than the PSF allows: the largest, over the four directions, of
/// (ρ p - m) / √(σ² (ρ² + 1/2) + (ε p)²), p the pixel's value, m the mean of its two neighbours, ρ of [`neighbour_ratios`].
///
/// A track of any length is sharp across its own direction. Directions with a NaN do not count; `None` if none is left.
///
/// # Arguments
/// * `residual`: light that the static sky has not, at a step (rows, columns) from the pixel; NaN where it is not known.
/// * `sigma`: noise of a pixel; `model_error` ε: relative error of ρ.
///
/// # Source
/// The third condition of SDSS's search for cosmic rays (photo; Lupton et al. 2001), with the PSF's own ratios.
pub(super) fn sharpness(residual: impl Fn(isize, isize) -> f64, ratios: &[f64; 4], sigma: f64, model_error: f64) -> Option<f64> {
    let p = residual(0, 0);
    let along = |(&(dy, dx), &ratio): (&(isize, isize), &f64)| {
        let mean = 0.5 * (residual(dy, dx) + residual(-dy, -dx));
        let error = (sigma * sigma * (ratio * ratio + 0.5) + (model_error * p).powi(2)).sqrt();
        Some((ratio * p - mean) / error).filter(|s| !s.is_nan())
    };
    DIRECTIONS.iter().zip(ratios).filter_map(along).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::gaussian_psf;

    fn of(image: &Array2<f64>, at: [usize; 2], ratios: &[f64; 4], model_error: f64) -> Option<f64> {
        let value = |dy: isize, dx: isize| {
            let near = at[0].checked_add_signed(dy).zip(at[1].checked_add_signed(dx));
            near.and_then(|near| image.get(near)).copied().unwrap_or(f64::NAN)
        };
        sharpness(value, ratios, 1.0, model_error)
    }

    /// Of three Gaussians the narrowest is brighter in the core by the ratio of areas; the broadest in the wings, without a limit but the
    /// median's faintest part: 1e-4 of the peak at r² = 18.4 σ², where it has exp(-18.4/2 σ²/σ_b²) σ²/σ_b².
    #[test]
    fn ratios_bound_core_and_wings() {
        let psfs = [3.0, 4.0, 5.0].map(|fwhm| gaussian_psf(fwhm, 30));
        let found = excess_ratios(&psfs.iter().collect::<Vec<_>>());
        assert!((found[0] - 16.0 / 9.0).abs() < 1e-3, "{found:?}");
        // Where the other two cross it is not the median.
        assert!((1.0..1.2).contains(&found[1]), "{found:?}");
        let expected = 16.0 / 25.0 * (1e4f64.ln() * (1.0 - 16.0 / 25.0)).exp();
        // The last pixel inside is up to one pixel short of that radius.
        assert!(found[2] < expected && found[2] > 0.5 * expected, "{found:?}, {expected}");
        assert!(excess_ratios(&[]).is_empty() && (excess_ratios(&[&psfs[0]])[0] - 1.0).abs() < 1e-12);
    }

    /// A PSF at any phase is not sharp, a lone pixel and a line are.
    #[test]
    fn only_what_is_sharper_than_the_psf_is_sharp() {
        let ratios = neighbour_ratios(gaussian_psf(3.0, 20).view());
        let sigma_px = 3.0f64 / 2.354_82;
        for (dx, dy) in [(0.0, 0.0), (0.5, 0.0), (0.3, -0.4), (0.5, 0.5)] {
            let star = Array2::from_shape_fn((9, 9), |(j, i)| {
                1000.0 * (-((i as f64 - 4.0 - dx).powi(2) + (j as f64 - 4.0 - dy).powi(2)) / (2.0 * sigma_px * sigma_px)).exp()
            });
            for at in (2..7).flat_map(|j| (2..7).map(move |i| [j, i])) {
                assert!(of(&star, at, &ratios, 0.0).unwrap() < 1e-6, "{dx} {dy} {at:?}");
            }
        }
        let mut pixel = Array2::zeros((9, 9));
        pixel[[4, 4]] = 20.0;
        let expected = 20.0 * ratios[0] / (ratios[0].powi(2) + 0.5).sqrt();
        assert!((of(&pixel, [4, 4], &ratios, 0.0).unwrap() - expected).abs() < 1e-9);
        let line = Array2::from_shape_fn((9, 9), |(_, i)| if i == 4 { 20.0 } else { 0.0 });
        assert!(of(&line, [4, 4], &ratios, 0.05).unwrap() > 8.0);
        // Beside pixels without a value only the other direction counts.
        let mut beside = line.clone();
        beside.column_mut(5).fill(f64::NAN);
        assert!(of(&beside, [4, 4], &ratios, 0.05).unwrap() < 0.0);
        assert!(of(&Array2::from_elem((1, 1), 5.0), [0, 0], &ratios, 0.05).is_none());
    }
}

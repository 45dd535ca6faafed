//! Fits one exposure's aperture corrections to its stars.

use crate::geometry::{Box2, PixelPoint};
use crate::image::{ApCorr, Chebyshev2};
use serde::{Deserialize, Serialize};

/// Settings: section `[visit.ap_corr]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApCorrConfig {
    /// Radius of the calibration aperture \[arcsec\].
    pub calibration_radius_arcsec: f64,
    /// Least signal-to-noise of a star.
    pub min_snr: f64,
    /// Fewer stars than this: the correction is 1 and flagged.
    pub min_stars: usize,
    /// Largest error of the mean correction; if the stars cannot do better, it is 1 and flagged: a correction that is less sure than
    /// this adds an error to every flux of the exposure instead of taking one away.
    pub max_error: f64,
    /// Highest order of the Chebyshev (triangular); lowered while there are too few stars.
    pub order: usize,
}

impl Default for ApCorrConfig {
    fn default() -> Self {
        Self { calibration_radius_arcsec: 2.0, min_snr: 100.0, min_stars: 5, max_error: 0.002, order: 0 }
    }
}

/// Fluxes of one star on one exposure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StarFluxes {
    /// Column \[pixel\].
    pub x: f64,
    /// Row \[pixel\].
    pub y: f64,
    /// Flux in the calibration aperture, corrected for the PSF model's light outside it.
    pub calibration: f64,
    /// Flux of the algorithm to be corrected.
    pub algorithm: f64,
    /// Error of the ratio calibration / algorithm.
    pub ratio_err: f64,
}

/// Fits calibration / algorithm over the exposure, weighted by its errors; rejects outliers at 4 MAD sigma, four times.
#[must_use]
pub fn fit_ap_corr(stars: &[StarFluxes], bbox: Box2, config: &ApCorrConfig) -> ApCorr {
    let flagged = |n: usize| ApCorr { factor: Chebyshev2::constant(bbox, 1.0), error: 0.0, n_stars: n as u32, is_flagged: true };
    let mut used: Vec<StarFluxes> =
        stars.iter().copied().filter(|s| s.algorithm > 0.0 && s.ratio_err > 0.0 && (s.calibration / s.algorithm).is_finite()).collect();
    let mut order = config.order;
    for _ in 0..4 {
        if used.len() < config.min_stars.max(1) {
            return flagged(used.len());
        }
        while order > 0 && used.len() < 2 * n_terms(order) {
            order -= 1;
        }
        let Some(factor) = fit(&used, bbox, order) else { return flagged(used.len()) };
        let pulls: Vec<f64> = used.iter().map(|s| residual(s, &factor) / s.ratio_err).collect();
        // Errors may be underestimated: the scatter counts, but never less than the errors themselves.
        let sigma = (1.4826 * median(pulls.iter().map(|p| p.abs()).collect())).max(1.0);
        let kept: Vec<StarFluxes> = used.iter().zip(&pulls).filter(|(_, p)| p.abs() <= 4.0 * sigma).map(|(s, _)| *s).collect();
        if kept.len() == used.len() {
            break;
        }
        used = kept;
    }
    if used.len() < config.min_stars.max(1) {
        return flagged(used.len());
    }
    let Some(factor) = fit(&used, bbox, order) else { return flagged(used.len()) };
    let chi2: f64 = used.iter().map(|s| (residual(s, &factor) / s.ratio_err).powi(2)).sum();
    let excess = (chi2 / (used.len() - n_terms(order).min(used.len() - 1)) as f64).max(1.0).sqrt();
    let error = excess * (n_terms(order) as f64 / used.iter().map(|s| s.ratio_err.powi(-2)).sum::<f64>()).sqrt();
    if error > config.max_error {
        return flagged(used.len());
    }
    ApCorr { factor, error, n_stars: used.len() as u32, is_flagged: false }
}

fn n_terms(order: usize) -> usize {
    (order + 1) * (order + 2) / 2
}

fn residual(star: &StarFluxes, factor: &Chebyshev2) -> f64 {
    star.calibration / star.algorithm - factor.at(PixelPoint::new(star.x, star.y))
}

fn median(mut values: Vec<f64>) -> f64 {
    let n = values.len();
    *values.select_nth_unstable_by(n / 2, f64::total_cmp).1
}

fn fit(stars: &[StarFluxes], bbox: Box2, order: usize) -> Option<Chebyshev2> {
    let sample = |s: &StarFluxes| (PixelPoint::new(s.x, s.y), s.calibration / s.algorithm, s.ratio_err.powi(-2));
    Chebyshev2::fit(bbox, &stars.iter().map(sample).collect::<Vec<_>>(), order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn stars(n: usize, ratio: f64) -> Vec<StarFluxes> {
        (0..n)
            .map(|i| StarFluxes {
                x: (i * 37 % 100) as f64,
                y: (i * 53 % 100) as f64,
                calibration: 1000.0 * (ratio + if i % 2 == 0 { 1e-3 } else { -1e-3 }),
                algorithm: 1000.0,
                ratio_err: 1e-3,
            })
            .collect()
    }

    #[test]
    fn too_few_stars_are_flagged() {
        let fit = fit_ap_corr(&stars(4, 1.05), Box2::new(0, 0, 100, 100), &ApCorrConfig::default());
        assert!(fit.is_flagged);
        assert_abs_diff_eq!(fit.factor.at(PixelPoint::new(5.0, 5.0)), 1.0);
    }

    #[test]
    fn a_constant_is_found_despite_an_outlier() {
        let mut s = stars(20, 1.05);
        s[3].calibration = 3000.0;
        let fit = fit_ap_corr(&s, Box2::new(0, 0, 100, 100), &ApCorrConfig::default());
        assert!(!fit.is_flagged && fit.n_stars == 19);
        // Errors of 1e-3 each: the mean of 19 is good to 2.3e-4.
        assert_abs_diff_eq!(fit.factor.at(PixelPoint::new(50.0, 50.0)), 1.05, epsilon = 3.0 * 2.3e-4);
        assert_abs_diff_eq!(fit.error, 1e-3 / 19f64.sqrt(), epsilon = 1e-4);
    }

    #[test]
    fn noisy_stars_are_flagged() {
        let noisy: Vec<_> = stars(6, 1.0).into_iter().map(|s| StarFluxes { ratio_err: 0.1, ..s }).collect();
        assert!(fit_ap_corr(&noisy, Box2::new(0, 0, 100, 100), &ApCorrConfig::default()).is_flagged);
    }
}

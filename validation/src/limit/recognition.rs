//! When are two sources one? The separation below which a pair is no worse described by a single source, at given signal to noise.
//!
//! The best single point source leaves Δχ² of a noiseless pair unexplained. With noise, the likelihood ratio of pair and single source
//! then follows χ'²₃(Δχ²): a flux and a position more. The pair counts as recognised if the ratio exceeds 5², the significance that
//! a source must have by itself; so a pair far apart is recognised where its fainter member is detected, and the recognised fraction is
//! [`super::completeness`] at √Δχ² (Neyman & Pearson 1933; Wilks 1938).

use super::completeness::{completeness, snr50};
use super::fisher::BlendFisher;
use nalgebra::{DMatrix, DVector};
use ndarray::ArrayView2;
use std::f64::consts::PI;

/// √ of the likelihood ratio above which two sources are recognised.
pub const RECOGNITION_THRESHOLD: f64 = 5.0;

/// Farthest separation looked at \[FWHM\].
const FARTHEST_FWHM: f64 = 4.0;

/// Share of pairs recognised whose best single source leaves `delta_chi2` unexplained.
#[must_use]
pub fn recognised_fraction(delta_chi2: f64) -> f64 {
    completeness(delta_chi2.max(0.0).sqrt(), RECOGNITION_THRESHOLD, 1)
}

/// Δχ² at which half of the pairs are recognised: 4.79².
#[must_use]
pub fn recognition_delta_chi2() -> f64 {
    snr50(RECOGNITION_THRESHOLD, 1).powi(2)
}

/// Autocorrelation of a PSF along a line, A(d) = Σ φ(x) φ(x + d) / Σ φ²: what a matched filter at one star sees of another.
#[derive(Debug, Clone)]
pub struct Autocorrelation {
    /// At 0, 1, 2, ... pixels.
    lags: Vec<f64>,
    fwhm_px: f64,
}

impl Autocorrelation {
    /// Of a well-sampled PSF image of that FWHM \[pixel\]; the mean of its two axes.
    #[must_use]
    pub fn of_psf(psf: ArrayView2<f64>, fwhm_px: f64) -> Self {
        let n = psf.nrows().min(psf.ncols());
        let lag = |d: usize| -> f64 {
            let along = |p: ArrayView2<f64>| -> f64 {
                p.rows().into_iter().map(|row| row.iter().zip(row.iter().skip(d)).map(|(a, b)| a * b).sum::<f64>()).sum()
            };
            0.5 * (along(psf) + along(psf.t()))
        };
        let norm = lag(0);
        Self { lags: (0..n).map(|d| lag(d) / norm).collect(), fwhm_px }
    }

    /// Of a Gaussian PSF: exp(-d²/4σ²).
    #[must_use]
    pub fn of_gaussian() -> Self {
        let sigma_px = 2.0;
        let lags = (0..30).map(|d| (-f64::from(d * d) / (4.0 * sigma_px * sigma_px)).exp()).collect();
        Self { lags, fwhm_px: sigma_px * (8.0 * std::f64::consts::LN_2).sqrt() }
    }

    /// A at a separation \[FWHM\]: the band-limited function through the values at whole pixels.
    #[must_use]
    pub fn at(&self, separation_fwhm: f64) -> f64 {
        let d = separation_fwhm * self.fwhm_px;
        let sinc = |x: f64| if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let both = |(l, a): (usize, &f64)| if l == 0 { a * sinc(d) } else { a * (sinc(d - l as f64) + sinc(d + l as f64)) };
        self.lags.iter().enumerate().map(both).sum()
    }

    /// Δχ² of the best single point source against a noiseless pair.
    ///
    /// ν² [1 + r² + 2 r A(d) - max_x (A(x) + r A(d - x))²], with ν the signal to noise of the brighter star alone and r = fainter / brighter.
    #[must_use]
    pub fn delta_chi2(&self, snr: f64, flux_ratio: f64, separation_fwhm: f64) -> f64 {
        let (r, d) = (flux_ratio, separation_fwhm);
        let filter = |x: f64| self.at(x) + r * self.at(d - x);
        // The peak lies between the brighter star and the centre.
        let (mut low, mut high) = (0.0, 0.5 * d);
        for _ in 0..60 {
            let (a, b) = (low + 0.382 * (high - low), low + 0.618 * (high - low));
            if filter(a) < filter(b) { low = a } else { high = b }
        }
        let best = filter(0.5 * (low + high)).max(filter(0.0));
        (snr * snr * (1.0 + r * r + 2.0 * r * self.at(d) - best * best)).max(0.0)
    }

    /// Separation \[FWHM\] at which half of the pairs are recognised; NaN where the fainter star is too faint at any.
    #[must_use]
    pub fn separation_limit_fwhm(&self, snr: f64, flux_ratio: f64) -> f64 {
        let enough = recognition_delta_chi2();
        let is_enough = |d: f64| self.delta_chi2(snr, flux_ratio, d) >= enough;
        if !is_enough(FARTHEST_FWHM) {
            return f64::NAN;
        }
        let (mut low, mut high) = (0.0, FARTHEST_FWHM);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if is_enough(middle) { high = middle } else { low = middle }
        }
        0.5 * (low + high)
    }
}

impl BlendFisher {
    /// Part of Σ r²/v over all bands that no linear change of the parameters of object `by` explains: of the residual r of a pair against one
    /// source, entered as the flux response of object `residual`, what is left of it after the best step, r² - gᵀ F⁻¹ g.
    #[must_use]
    pub fn unexplained(&self, residual: usize, by: usize) -> f64 {
        let parameters: Vec<_> = self.parameters_of(by).collect();
        let scale: Vec<f64> = parameters.iter().map(|&p| self.element((by, p), (by, p)).sqrt().recip()).collect();
        let n = parameters.len();
        let matrix = DMatrix::from_fn(n, n, |a, b| {
            if a == b { 1.0 + 1e-9 } else { self.element((by, parameters[a]), (by, parameters[b])) * scale[a] * scale[b] }
        });
        let gradient = DVector::from_fn(n, |a, _| self.response_to_light(parameters[a], by, residual) * scale[a]);
        let all: f64 = (0..self.n_bands()).map(|band| self.flux_information(band, residual)).sum();
        let Some(factors) = matrix.cholesky() else { return f64::NAN };
        (all - gradient.dot(&factors.solve(&gradient))).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Responses, information};
    use approx::assert_relative_eq;
    use fathom::geometry::Box2;
    use ndarray::Array2;

    const SIGMA: f64 = 2.0;
    const FWHM: f64 = 2.354_820_045 * SIGMA;

    fn star(x: f64, y: f64) -> Array2<f64> {
        Array2::from_shape_fn((61, 61), |(j, i)| {
            (-((i as f64 - 30.0 - x).powi(2) + (j as f64 - 30.0 - y).powi(2)) / (2.0 * SIGMA * SIGMA)).exp() / (2.0 * PI * SIGMA * SIGMA)
        })
    }

    #[test]
    fn autocorrelation_of_a_gaussian() {
        let found = Autocorrelation::of_psf(star(0.0, 0.0).view(), FWHM);
        for d in [0.0, 0.13, 0.5, 1.0, 1.77] {
            let expected = (-(d * FWHM).powi(2) / (4.0 * SIGMA * SIGMA)).exp();
            assert!((found.at(d) - expected).abs() < 1e-6 && (Autocorrelation::of_gaussian().at(d) - expected).abs() < 1e-6, "{d}");
        }
    }

    /// Close pairs, by expansion: a residual F r/(1+r)² · d²/2 · φ'' whose part across φ and φ' has the norm ½/σ⁴:
    /// Δχ² = ν² (r/(1+r))² d⁴/(8σ⁴). Far ones: the fainter star itself, (rν)².
    #[test]
    fn close_and_wide_pairs_are_closed_form() {
        let a = Autocorrelation::of_gaussian();
        for r in [1.0, 0.3] {
            let d = 0.05;
            let expected = 1e4 * (r / (1.0 + r) * (d * FWHM / SIGMA).powi(2)).powi(2) / 8.0;
            assert_relative_eq!(a.delta_chi2(100.0, r, d), expected, max_relative = 0.01);
            assert_relative_eq!(a.delta_chi2(100.0, r, 3.5), 1e4 * r * r, max_relative = 1e-3);
        }
        assert!(a.separation_limit_fwhm(30.0, 0.1).is_nan());
        let limit = a.separation_limit_fwhm(30.0, 0.5);
        assert_relative_eq!(a.delta_chi2(30.0, 0.5, limit), recognition_delta_chi2(), max_relative = 1e-6);
        assert!((recognised_fraction(recognition_delta_chi2()) - 0.5).abs() < 1e-9);
        assert!(a.separation_limit_fwhm(100.0, 0.5) < limit && a.separation_limit_fwhm(30.0, 0.25) > limit);
    }

    /// One linear step from a single star at the centre explains what the best single star explains, for pairs in one band as in two.
    #[test]
    fn a_linear_step_finds_the_best_single_source() {
        let bbox = Box2::new(0, 0, 61, 61);
        let (snr, r) = (50.0, 0.4);
        // With Σφ² = 1/4πσ² and weight 4πσ² the star of flux ν has the signal to noise ν.
        let weight = Array2::from_elem((61, 61), 4.0 * PI * SIGMA * SIGMA);
        // The step is linear, and the farther apart the longer: where it matters the pair is recognised in any case.
        for (d, tolerance) in [(0.3, 0.02), (0.5, 0.03), (0.8, 0.1)] {
            let d_px = d * FWHM;
            let center = d_px * r / (1.0 + r);
            let single = |x: f64, y: f64| star(x, y) * (snr * (1.0 + r));
            let slope = |plus: Array2<f64>, minus: Array2<f64>| (plus - minus) / 0.02;
            let planes = vec![
                star(center, 0.0),
                slope(single(center + 0.01, 0.0), single(center - 0.01, 0.0)),
                slope(single(center, 0.01), single(center, -0.01)),
            ];
            let residual = (star(0.0, 0.0) + star(d_px, 0.0) * r) * snr - single(center, 0.0);
            let objects = [Responses { bbox, planes }, Responses { bbox, planes: vec![residual] }];
            let mut fisher = BlendFisher::new(2);
            for band in 0..2 {
                for (i, j) in [(0, 0), (0, 1), (1, 1)] {
                    fisher.add(band, i, j, &information(&objects[i], &objects[j], &bbox, weight.view()));
                }
            }
            let expected = 2.0 * Autocorrelation::of_gaussian().delta_chi2(snr, r, d);
            assert_relative_eq!(fisher.unexplained(1, 0), expected, max_relative = tolerance);
        }
    }
}

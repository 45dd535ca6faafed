//! Peaks that noise alone makes in a layer, per area of sky.

use statrs::function::gamma::ln_gamma;
use std::f64::consts::PI;

/// Peaks per arcsec² above `threshold` in the noise of one band: n(>ν) = l2 (2π)^(-3/2) ν exp(-ν²/2).
///
/// `skewness` γ of the map scales it by 1 + (γ/6)(ν³ - 3ν) for positive and, with -γ, for negative peaks.
#[must_use]
pub fn band_peak_density(threshold: f64, sqrt_l2: f64, skewness: f64) -> f64 {
    let nu = threshold;
    let gaussian = sqrt_l2.powi(2) * (2.0 * PI).powf(-1.5) * nu * (-nu * nu / 2.0).exp();
    gaussian * (1.0 + skewness / 6.0 * (nu.powi(3) - 3.0 * nu)).max(0.0)
}

/// Peaks per arcsec² above `threshold` of T = √Σ max(ν_b, 0)² in the noise of `n_bands` bands.
///
/// n(>T) = l2 Σ_k C(n,k) 2^-n (1/2π) T^(k-2) e^(-T²/2) (T² - k + 1) / (2^((k-2)/2) Γ(k/2)), l2 the mean over the bands.
#[must_use]
pub fn free_sed_peak_density(threshold: f64, l2: f64, n_bands: usize) -> f64 {
    let (t, n) = (threshold, n_bands as u32);
    let mut choose = 1.0;
    let mut sum = 0.0;
    for k in 1..=n {
        choose *= f64::from(n - k + 1) / f64::from(k);
        let k = f64::from(k);
        let chi = t.powf(k - 2.0) * (t * t - k + 1.0) / (2f64.powf((k - 2.0) / 2.0) * ln_gamma(k / 2.0).exp());
        sum += choose * chi;
    }
    l2 * sum * 0.5f64.powi(n_bands as i32) / (2.0 * PI) * (-t * t / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// At ν = 5 and l2 = 1 by hand: (2π)^-1.5 · 5 · e^-12.5.
    #[test]
    fn false_peaks_of_one_band() {
        assert_relative_eq!(band_peak_density(5.0, 1.0, 0.0), 0.063_493_6 * 5.0 * 3.726_653e-6, max_relative = 1e-5);
        // Skewness: γ/6 (125 - 15).
        let ratio = band_peak_density(5.0, 1.0, 0.003) / band_peak_density(5.0, 1.0, 0.0);
        assert_relative_eq!(ratio, 1.0 + 0.0005 * 110.0, max_relative = 1e-12);
    }

    /// The thresholds of equal peak density as ν = 5 in one band, for n = 2..6 bands.
    #[test]
    fn false_peaks_of_free_sed() {
        let one = band_peak_density(5.0, 1.3, 0.0);
        for (n, t) in [(2, 5.290), (3, 5.504), (4, 5.683), (5, 5.841), (6, 5.984)] {
            assert_relative_eq!(free_sed_peak_density(t, 1.69, n), one, max_relative = 6e-3);
        }
        // One band: the positive half of a Gaussian map has all its positive peaks, so both formulas agree.
        assert_relative_eq!(free_sed_peak_density(5.0, 1.69, 1), one, max_relative = 1e-9);
    }
}

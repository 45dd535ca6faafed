//! What blank sky makes of the detection statistics: their tail at a point, and the density of their peaks.
//!
//! Densities are peaks per pixel of the continuous map above a height, 4 σ or more (below, maxima are not isolated). Pixel maxima fall
//! short of them; heights refined by [`quadratic_peak`](super::quadratic_peak) do not, for an FWHM of 2.5 px or more. l2 = -ρ''(0) per
//! axis \[1/pixel²\] is the curvature of ν's autocorrelation: [`noise_curvature`](crate::coadd::noise_curvature).

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use statrs::function::gamma::gamma;
use std::f64::consts::TAU;

/// The numbers of ways to choose k = 1..=n of n bands, times 2^-n: with what probability k of them are positive.
fn shares_of_positive(n: usize) -> impl Iterator<Item = (usize, f64)> {
    let mut binomial = 0.5f64.powi(n as i32);
    (1..=n).map(move |k| {
        binomial *= (n + 1 - k) as f64 / k as f64;
        (k, binomial)
    })
}

/// P(ν > t) at a point for one band or one SED, Ψ/√Φ: a unit normal.
#[must_use]
pub fn normal_tail(t: f64) -> f64 {
    Normal::standard().sf(t)
}

/// P(χ > t) at a point for χ² = Σ_b ν_b² over `n` bands.
#[must_use]
pub fn chi_tail(t: f64, n: usize) -> f64 {
    if n == 0 {
        return 0.0;
    }
    ChiSquared::new(n as f64).expect("n ≥ 1").sf(t * t)
}

/// P(T > t) at a point for T² = Σ_b max(ν_b, 0)² over `n` bands: Σ_k C(n, k) 2^-n P(χ²_k > t²).
#[must_use]
pub fn free_sed_tail(t: f64, n: usize) -> f64 {
    shares_of_positive(n).map(|(k, share)| share * chi_tail(t, k)).sum()
}

/// Peaks of ν = Ψ/√Φ above `t` per pixel: l2 (2π)^(-3/2) t exp(-t²/2).
///
/// # Source
/// Bardeen et al. 1986, ApJ 304, 15: the Euler characteristic of the excursion set, which for high t counts its parts.
#[must_use]
pub fn normal_peak_density(t: f64, l2_per_px2: f64) -> f64 {
    l2_per_px2 * TAU.powf(-1.5) * t * (-0.5 * t * t).exp()
}

/// Peaks of χ = √Σ_b ν_b² above `t` per pixel, over `n` bands of mean curvature l2:
/// l2/(2π) t^(n-2) exp(-t²/2) (t² - n + 1) / (2^((n-2)/2) Γ(n/2)).
///
/// # Source
/// Worsley 1994, Adv. Appl. Prob. 26, 13 (χ² fields in two dimensions).
#[must_use]
pub fn chi_peak_density(t: f64, n: usize, l2_per_px2: f64) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let n = n as f64;
    let norm = 2f64.powf(0.5 * n - 1.0) * gamma(0.5 * n);
    l2_per_px2 / TAU * t.powf(n - 2.0) * (-0.5 * t * t).exp() * (t * t - n + 1.0) / norm
}

/// Peaks of T = √Σ_b max(ν_b, 0)² above `t` per pixel: Σ_k C(n, k) 2^-n of the χ fields of k bands.
#[must_use]
pub fn free_sed_peak_density(t: f64, n: usize, l2_per_px2: f64) -> f64 {
    shares_of_positive(n).map(|(k, share)| share * chi_peak_density(t, k, l2_per_px2)).sum()
}

/// Maxima of ν per pixel, of any height, where ρ = exp(-l2 d²/2): l2/(2√3 π).
///
/// # Source
/// Longuet-Higgins 1957, Phil. Trans. R. Soc. A 249, 321.
#[must_use]
pub fn maximum_density(l2_per_px2: f64) -> f64 {
    l2_per_px2 / (2.0 * 3.0f64.sqrt() * std::f64::consts::PI)
}

/// ln of the density, over t, of the dips of maxima of ν by their significance t: depth of the saddle towards higher ground over √(2 (1 - ρ)), ρ the
/// correlation at the saddle.
///
/// The share exp(-1.38 t - 0.098 t² - 0.0417 t⁴) has t or more, whatever l2 is: fitted to simulated noise, to 3 % up to t = 1.5 and 10 % at 2.5; beyond 3
/// (2 in 10⁴) carried on. No theory is known to us.
#[must_use]
pub fn ln_dip_density(t: f64) -> f64 {
    ln_dip_share(t) + (1.38 + t * (2.0 * 0.098 + 4.0 * 0.0417 * t * t)).ln()
}

fn ln_dip_share(t: f64) -> f64 {
    -t * (1.38 + t * (0.098 + 0.0417 * t * t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::fft2::RealFft2;
    use crate::coadd::gaussian_psf;
    use crate::detect::maxima;
    use crate::random::keyed_rng;
    use approx::assert_relative_eq;
    use ndarray::Array2;
    use rand_distr::{Distribution, StandardNormal};

    /// One band: both signs of ν count in χ, one in T. Two bands: χ has the tail exp(-t²/2).
    #[test]
    fn few_bands_are_known() {
        for t in [3.5, 4.0, 5.0] {
            assert_relative_eq!(chi_tail(t, 1), 2.0 * normal_tail(t), max_relative = 1e-9);
            assert_relative_eq!(free_sed_tail(t, 1), normal_tail(t), max_relative = 1e-9);
            assert_relative_eq!(chi_tail(t, 2), (-0.5 * t * t).exp(), max_relative = 1e-9);
            assert_relative_eq!(chi_peak_density(t, 1, 0.3), 2.0 * normal_peak_density(t, 0.3), max_relative = 1e-12);
            assert_relative_eq!(free_sed_peak_density(t, 1, 0.3), normal_peak_density(t, 0.3), max_relative = 1e-12);
        }
        assert_relative_eq!(chi_tail(4.0, 0) + chi_peak_density(4.0, 0, 1.0), 0.0);
    }

    /// Two templates: the density of maxima, and what share of them has dips of so many sigma. Errors of counts, and of the fit.
    #[test]
    fn dips_of_noise() {
        const SIDE: usize = 768;
        for (k, width) in [1.5, 3.0].into_iter().enumerate() {
            let fft = RealFft2::<f64>::new(SIDE);
            let filter = fft.of_stamp(gaussian_psf(width * 2.354_82, (6.0 * width) as usize).view());
            let l2 = 0.5 / (width * width);
            let mut dips: Vec<f64> = Vec::new();
            for field in 0..3 {
                let mut rng = keyed_rng(11, "dips of noise", k as u64, field);
                let white = Array2::from_shape_simple_fn((SIDE, SIDE), || -> f64 { StandardNormal.sample(&mut rng) });
                let noise = fft.inverse(fft.forward(white) * &filter);
                let scale = noise.std(0.0).recip();
                let map = noise.mapv(|v| (v * scale) as f32);
                dips.extend(maxima(map.view(), |_, _| true).iter().filter_map(|m| {
                    let join = m.join?;
                    let d2 = [(m.at.0, join.at.0), (m.at.1, join.at.1)].map(|(a, b)| (a as f64 - b as f64).powi(2)).iter().sum::<f64>();
                    Some(f64::from(m.value - join.height) / (2.0 * (1.0 - (-0.5 * l2 * d2).exp())).sqrt())
                }));
            }
            let n = dips.len() as f64;
            let expected = maximum_density(l2) * (3 * SIDE * SIDE) as f64;
            // Maxima closer than pixels resolve are missed by the sharper template: 8 % of them at 1.5 pixels.
            assert!(n > 0.9 * expected && n < expected + 3.0 * expected.sqrt(), "{n} of {expected}");
            for (t, misfit) in [(0.5, 0.03), (1.0, 0.03), (1.5, 0.04), (2.0, 0.06), (2.5, 0.1)] {
                let (found, share) = (dips.iter().filter(|d| **d >= t).count() as f64, ln_dip_share(t).exp());
                let bound = 3.0 * (n * share).sqrt() + misfit * n * share;
                assert!((found - n * share).abs() < bound, "{width}: {found} of {n} above {t}, {} expected", n * share);
            }
        }
    }

    /// Thresholds on T with the peak density of one band at 5 σ: algorithms 2.0.
    #[test]
    fn equal_peak_densities() {
        for (n, t) in [(2, 5.290), (3, 5.504), (4, 5.683), (5, 5.841), (6, 5.984)] {
            assert_relative_eq!(free_sed_peak_density(t, n, 1.0), normal_peak_density(5.0, 1.0), max_relative = 4e-3);
        }
    }
}

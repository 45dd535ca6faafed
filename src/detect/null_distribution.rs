//! What blank sky makes of the detection statistics: their tail at a point, and the density of their peaks.
//!
//! Densities are peaks per pixel of the continuous map above a height, 4 σ or more (below, maxima are not isolated). Pixel maxima fall
//! short of them; heights refined by [`quadratic_peak`](super::quadratic_peak) do not, for an FWHM of 2.5 px or more. l2 = -ρ''(0) per
//! axis \[1/pixel²\] is the curvature of ν's autocorrelation: [`noise_curvature`](crate::coadd::noise_curvature).

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use std::f64::consts::{FRAC_PI_2, TAU};

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
    l2_per_px2 / TAU * t.powi(n as i32 - 2) * (-0.5 * t * t).exp() * (t * t - n as f64 + 1.0) / chi_norm(n)
}

/// 2^((n-2)/2) Γ(n/2), by Γ(x + 1) = x Γ(x).
fn chi_norm(n: usize) -> f64 {
    let (first, start) = if n.is_multiple_of(2) { (1.0, 2) } else { (FRAC_PI_2.sqrt(), 1) };
    (start..n).step_by(2).fold(first, |norm, k| norm * k as f64)
}

/// Peaks of T = √Σ_b max(ν_b, 0)² above `t` per pixel: Σ_k C(n, k) 2^-n of the χ fields of k bands.
#[must_use]
pub fn free_sed_peak_density(t: f64, n: usize, l2_per_px2: f64) -> f64 {
    shares_of_positive(n).map(|(k, share)| share * chi_peak_density(t, k, l2_per_px2)).sum()
}

/// Peaks of T per pixel and sigma about the height `t`: -d/dt of [`free_sed_peak_density`].
#[must_use]
pub fn free_sed_peaks_per_sigma(t: f64, n: usize, l2_per_px2: f64) -> f64 {
    let t2 = t * t;
    let of = |(k, share): (usize, f64)| {
        let n = k as f64;
        share / chi_norm(k) * t.powi(k as i32 - 3) * (t2 * (t2 - 2.0 * n + 1.0) + (n - 1.0) * (n - 2.0))
    };
    l2_per_px2 / TAU * (-0.5 * t2).exp() * shares_of_positive(n).map(of).sum::<f64>()
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

/// Density, over k, of the maxima along a ridge of light by their curvature -ν''/l2 = k along it, which noise makes: k/v exp(-k²/2v), v the variance of
/// ν''/l2: 3 where ρ = exp(-l2 d²/2).
///
/// # Source
/// Rice 1945, Bell Syst. Tech. J. 24, 46: maxima of a Gaussian process in one dimension.
#[must_use]
pub fn ridge_curvature_density(k: f64, variance: f64) -> f64 {
    k / variance * (-0.5 * k * k / variance).exp()
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
        for n in 1..8 {
            for t in [3.0, 4.5, 9.0] {
                let step = 1e-4;
                let [above, below] = [t + step, t - step].map(|t| free_sed_peak_density(t, n, 0.3));
                assert_relative_eq!(free_sed_peaks_per_sigma(t, n, 0.3), (below - above) / (2.0 * step), max_relative = 1e-5);
            }
        }
        assert_relative_eq!(chi_norm(5), 2f64.powf(1.5) * statrs::function::gamma::gamma(2.5), max_relative = 1e-12);
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

    /// Maxima on ridges of 60 sigma: mean √(3π/2) and share above 4 of the weaker curvature, in errors of counts; the quadratic through nine pixels makes it
    /// 7 % less at this width.
    #[test]
    fn curvature_of_noise_on_ridges() {
        const SIDE: usize = 768;
        let fft = RealFft2::<f64>::new(SIDE);
        let (width, spacing) = (2.5f64, 32);
        let filter = fft.of_stamp(gaussian_psf(width * 2.354_82, (6.0 * width) as usize).view());
        let l2 = 0.5 / (width * width);
        let mut rng = keyed_rng(12, "noise on ridges", 0, 0);
        let white = Array2::from_shape_simple_fn((SIDE, SIDE), || -> f64 { StandardNormal.sample(&mut rng) });
        let noise = fft.inverse(fft.forward(white) * &filter);
        let scale = noise.std(0.0).recip();
        let ridge = |y: usize| 60.0 * (-0.5 * l2 * ((y % spacing) as f64 - 16.0).powi(2)).exp();
        let map = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| (scale * noise[[y, x]] + ridge(y)) as f32);
        let inner = 2..SIDE - 2;
        let weaker = |(y, x): (usize, usize)| {
            let near = map.slice(ndarray::s![y - 1..=y + 1, x - 1..=x + 1]).mapv(f64::from);
            let [xx, xy, yy] = crate::detect::Quadratic::fit(near.view()).curvature();
            (0.5 * (xx + yy) - (0.25 * (xx - yy).powi(2) + xy * xy).sqrt()) / l2
        };
        let on_ridge = maxima(map.view(), |_, v| v > 50.0);
        let all: Vec<f64> = on_ridge.iter().map(|m| m.at).filter(|(y, x)| inner.contains(y) && inner.contains(x)).map(weaker).collect();
        let n = all.len() as f64;
        // √(3 l2)/(2π) a pixel of a ridge.
        let expected = (3.0 * l2).sqrt() / TAU * (SIDE * SIDE / spacing) as f64;
        assert!((n - expected).abs() < 3.0 * expected.sqrt(), "{n} of {expected}");
        let mean = all.iter().sum::<f64>() / n / 0.93;
        let (rms, theory) = ((3.0 * (2.0 - FRAC_PI_2) / n).sqrt(), (3.0 * FRAC_PI_2).sqrt());
        assert!((mean - theory).abs() < 3.0 * rms + 0.02, "{mean} {theory} ± {rms}");
        let (above, share) = (all.iter().filter(|k| **k / 0.93 > 4.0).count() as f64, (-16.0f64 / 6.0).exp());
        assert!((above - n * share).abs() < 3.0 * (n * share).sqrt(), "{above} of {}", n * share);
    }

    /// Thresholds on T with the peak density of one band at 5 σ: algorithms 2.0.
    #[test]
    fn equal_peak_densities() {
        for (n, t) in [(2, 5.290), (3, 5.504), (4, 5.683), (5, 5.841), (6, 5.984)] {
            assert_relative_eq!(free_sed_peak_density(t, n, 1.0), normal_peak_density(5.0, 1.0), max_relative = 4e-3);
        }
    }
}

//! Completeness that an ideal detection on the same data reaches: the optimal filter's curve C(s).
//!
//! A source is found if the highest peak of a layer near it passes the layer's threshold. With s the true signal to noise of the matched filter
//! (`<band>_snr_optimal` of the truth), the amplitude at the true position is s + N(0, 1); the search over positions adds two degrees of
//! freedom. `reports/validation/limits.md` has the curve beside 10⁴ noisy images.

use fathom::random::keyed_rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use statrs::function::gamma::{gamma_ur, ln_gamma};

/// P(X > x) of a noncentral χ² variable with `dof` degrees of freedom and noncentrality `lambda`.
///
/// The Poisson-weighted sum of central χ²: Σ_j e^(-λ/2) (λ/2)^j / j! · Q(dof/2 + j, x/2), over the j that carry
/// all but 1e-14 of the weight.
#[must_use]
pub fn noncentral_chi2_survival(x: f64, dof: f64, lambda: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let mean = lambda / 2.0;
    if mean <= 0.0 {
        return gamma_ur(dof / 2.0, x / 2.0);
    }
    // Poisson weights beyond 9 standard deviations (+ 40 for small means) are below 1e-14.
    let reach = 9.0 * mean.sqrt() + 40.0;
    let (first, last) = ((mean - reach).max(0.0).floor() as u64, (mean + reach).ceil() as u64);
    let sum: f64 = (first..=last)
        .map(|j| {
            let j = j as f64;
            (j * mean.ln() - mean - ln_gamma(j + 1.0)).exp() * gamma_ur(dof / 2.0 + j, x / 2.0)
        })
        .sum();
    sum.clamp(0.0, 1.0)
}

/// Completeness of a point source found by the highest peak of one layer near its position.
///
/// C(s) = P(χ'²(n + 2 dof; s²) > T²): n bands and two degrees of freedom of the position, which the search over
/// positions adds. n = 1 is a single-band layer.
#[must_use]
pub fn completeness(snr: f64, threshold: f64, n_bands: usize) -> f64 {
    noncentral_chi2_survival(threshold * threshold, n_bands as f64 + 2.0, snr * snr)
}

/// True S/N at which [`completeness`] is one half.
#[must_use]
pub fn snr50(threshold: f64, n_bands: usize) -> f64 {
    let (mut low, mut high) = (0.0, threshold + 5.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if completeness(middle, threshold, n_bands) < 0.5 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// [`completeness`] of one layer, tabulated in S/N for fits that ask for it often.
#[derive(Debug, Clone)]
pub struct CompletenessCurve {
    values: Vec<f64>,
}

impl CompletenessCurve {
    const STEP: f64 = 0.05;

    /// Tabulates C(s) from 0 to where it is 1.
    #[must_use]
    pub fn new(threshold: f64, n_bands: usize) -> Self {
        let n = ((threshold + 8.0) / Self::STEP).ceil() as usize;
        Self { values: (0..=n).map(|i| completeness(i as f64 * Self::STEP, threshold, n_bands)).collect() }
    }

    /// C(s), linear between the nodes (error below 2e-4).
    #[must_use]
    pub fn at(&self, snr: f64) -> f64 {
        let x = snr.max(0.0) / Self::STEP;
        let i = x.floor() as usize;
        if i + 1 >= self.values.len() {
            return 1.0;
        }
        let t = x - i as f64;
        self.values[i] * (1.0 - t) + self.values[i + 1] * t
    }
}

/// One layer as the catalog's completeness needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum TheoryLayer {
    /// Single band: index into the bands, threshold.
    Band(usize, f64),
    /// Free SED: threshold of T.
    FreeSed(f64),
}

/// Probability that in any layer the highest peak near an object passes that layer's threshold, by keyed Monte Carlo.
///
/// Per band the amplitude is z_b = s_b + N(0, 1). The search over positions adds c², a χ² of two degrees of freedom, which
/// all layers share because they see the same displaced peak; a band layer finds the object if z_b > 0 and
/// z_b² + c² > T², the free-SED layer if Σ max(z_b, 0)² + c² > T². For one layer this is [`completeness`], but for
/// amplitudes below zero. c² counts only where a band holds signal: without a source there is no peak to displace.
///
/// # Arguments
/// * `snr`: true S/N per band; NaN where a band has no data.
/// * `key`: (seed, arm, id) of the stream of random numbers.
/// * `n_draws`: draws; the error is at most 0.5/√n.
#[must_use]
pub fn any_layer_completeness(snr: &[f64], layers: &[TheoryLayer], key: (u64, u64, u64), n_draws: usize) -> f64 {
    let mut rng = keyed_rng(key.0, "validate completeness", key.2, key.1);
    let has_signal = snr.iter().any(|&s| s > 0.0);
    let mut z = vec![0.0; snr.len()];
    let mut n_found = 0usize;
    for _ in 0..n_draws {
        for (z, &s) in z.iter_mut().zip(snr) {
            // The draw is made for bands without data too, so that a lost band does not change the others' noise.
            let noise: f64 = StandardNormal.sample(&mut rng);
            *z = if s.is_finite() { s + noise } else { 0.0 };
        }
        let exponential: f64 = Exp1.sample(&mut rng);
        let gain = if has_signal { 2.0 * exponential } else { 0.0 };
        let free: f64 = z.iter().map(|z| z.max(0.0).powi(2)).sum();
        let found = layers.iter().any(|layer| match *layer {
            TheoryLayer::Band(band, t) => {
                let gain = if snr[band] > 0.0 { gain } else { 0.0 };
                z[band] > 0.0 && z[band].powi(2) + gain > t * t
            }
            TheoryLayer::FreeSed(t) => free + gain > t * t,
        });
        n_found += usize::from(found);
    }
    n_found as f64 / n_draws.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// Calculated independently with scipy.stats.ncx2.
    #[test]
    fn half_of_the_point_sources_are_found_just_below_the_threshold() {
        for (nu, s) in [(5.0, 4.79), (4.5, 4.27), (4.0, 3.74)] {
            assert!((snr50(nu, 1) - s).abs() < 0.006, "{nu}: {}", snr50(nu, 1));
        }
    }

    /// Without noncentrality it is the central χ²; with two degrees of freedom that is exp(-x/2).
    #[test]
    fn no_noncentrality_is_the_central_distribution() {
        assert_relative_eq!(noncentral_chi2_survival(7.0, 2.0, 0.0), (-3.5f64).exp(), max_relative = 1e-12);
        assert_relative_eq!(noncentral_chi2_survival(7.0, 2.0, 1e-13), (-3.5f64).exp(), max_relative = 1e-9);
    }

    /// One degree of freedom: χ'² = (s + N)², so P = Q(ν - s) + Q(ν + s) in closed form.
    #[test]
    fn one_degree_of_freedom_is_a_shifted_normal() {
        use statrs::function::erf::erfc;
        for (nu, s) in [(5.0, 4.0), (3.0, 0.5), (20.0, 21.0)] {
            let q = |x: f64| 0.5 * erfc(x / 2f64.sqrt());
            assert_relative_eq!(noncentral_chi2_survival(nu * nu, 1.0, s * s), q(nu - s) + q(nu + s), max_relative = 1e-8);
        }
    }

    #[test]
    fn the_table_equals_the_function() {
        let curve = CompletenessCurve::new(5.0, 1);
        for s in [0.0, 1.234, 4.0, 4.79, 5.03, 7.7, 30.0] {
            assert!((curve.at(s) - completeness(s, 5.0, 1)).abs() < 2e-4);
        }
    }

    /// With one layer the Monte Carlo draws from C(s); tolerance 4/(2√n).
    #[test]
    fn monte_carlo_of_one_layer_is_the_closed_form() {
        let n = 20_000;
        for s in [3.0, 4.79, 6.0] {
            let drawn = any_layer_completeness(&[s], &[TheoryLayer::Band(0, 5.0)], (1, 0, 7), n);
            assert!((drawn - completeness(s, 5.0, 1)).abs() < 2.0 / (n as f64).sqrt());
        }
    }
}

//! Sérsic profiles: their Fourier transform, tabulated once per index.

use rayon::prelude::*;
use statrs::function::gamma::{gamma_lr, ln_gamma};
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::{Arc, LazyLock, Mutex};

/// Sérsic indices that can be drawn: below, the transform oscillates; above, the core outresolves any table.
pub const SERSIC_RANGE: std::ops::RangeInclusive<f64> = 0.5..=6.0;

/// Scale and step of the table, uniform in s = ln(1 + q / Q_SCALE); cubic interpolation is then good to 1e-6.
const Q_SCALE: f64 = 0.02;
const S_STEP: f64 = 0.03;
/// Largest tabulated q = k r_e \[cycles\]; beyond, a power law, as the transform of a cusp.
const Q_MAX: f64 = 30.0;

/// I(r) ∝ exp(-b (r/r_e)^(1/n)) of total flux 1, half of it inside r_e.
///
/// # Source
/// Sérsic 1968; Graham & Driver 2005, PASA 22, 118 for b and the growth curve.
#[derive(Debug)]
pub struct Sersic {
    n: f64,
    b: f64,
    /// F at s = -S_STEP, 0, S_STEP, ...
    table: Vec<f64>,
}

impl Sersic {
    /// The profile of index `n`, which must lie in [`SERSIC_RANGE`]; made once per process and index.
    ///
    /// # Panics
    /// If `n` is out of range.
    #[must_use]
    pub fn of_index(n: f64) -> Arc<Self> {
        static MADE: LazyLock<Mutex<BTreeMap<u64, Arc<Sersic>>>> = LazyLock::new(Mutex::default);
        assert!(SERSIC_RANGE.contains(&n), "Sérsic index {n} is outside {SERSIC_RANGE:?}");
        let find = || MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&n.to_bits()).cloned();
        // The lock is not held while the table is made: that runs on the thread pool, whose threads may ask here themselves.
        find().unwrap_or_else(|| {
            let made = Arc::new(Self::new(n));
            MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(n.to_bits()).or_insert(made).clone()
        })
    }

    fn new(n: f64) -> Self {
        let b = bisect(0.05, 20.0, |b| gamma_lr(2.0 * n, b) - 0.5);
        let n_nodes = ((Q_MAX / Q_SCALE).ln_1p() / S_STEP).ceil() as usize + 3;
        // F is even in q: the node before 0 is the transform at the mirrored (slightly other) q.
        let table = (0..n_nodes).into_par_iter().map(|i| hankel(n, b, (Q_SCALE * ((i as f64 - 1.0) * S_STEP).exp_m1()).abs())).collect();
        Self { n, b, table }
    }

    /// Fourier transform at q = k r_e (k in cycles per length); 1 at 0.
    #[must_use]
    pub fn transform(&self, q: f64) -> f64 {
        if q > Q_MAX {
            // The cusp r^(1/n) gives F ∝ q^-(2 + 1/n); a Gaussian has none, and is zero here.
            return if self.n <= 0.5 { 0.0 } else { self.transform(Q_MAX) * (q / Q_MAX).powf(-2.0 - 1.0 / self.n) };
        }
        let t = (q / Q_SCALE).ln_1p() / S_STEP;
        let i = (t as usize).min(self.table.len() - 4);
        let f = t - i as f64;
        let [y0, y1, y2, y3] = [self.table[i], self.table[i + 1], self.table[i + 2], self.table[i + 3]];
        // Lagrange through the nodes -1, 0, 1, 2.
        let (a, b, c) = (f + 1.0, f - 1.0, f - 2.0);
        -f * b * c / 6.0 * y0 + a * b * c / 2.0 * y1 - a * f * c / 2.0 * y2 + a * f * b / 6.0 * y3
    }

    /// Share of the flux inside `r` \[r_e\].
    #[must_use]
    pub fn enclosed(&self, r: f64) -> f64 {
        if r > 0.0 { gamma_lr(2.0 * self.n, self.b * r.powf(1.0 / self.n)) } else { 0.0 }
    }

    /// Radius \[r_e\] that holds a share of the flux, in 0..1.
    #[must_use]
    pub fn radius_enclosing(&self, share: f64) -> f64 {
        bisect(0.0, 1e4, |r| self.enclosed(r) - share)
    }
}

fn bisect(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// F(q) = b^2n / Γ(2n) ∫ e^(-bu) J0(2π q u^n) u^(2n-1) du, the Hankel transform in r = r_e u^n.
///
/// Gauss-Legendre panels, each no longer than 3 rad of the Bessel function's phase and one e-folding of the profile.
fn hankel(n: f64, b: f64, q: f64) -> f64 {
    /// Half of the nodes and weights of 8-point quadrature on [-1, 1] (Abramowitz & Stegun, table 25.4).
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_27),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    let log_norm = 2.0 * n * b.ln() - ln_gamma(2.0 * n);
    let integrand = |u: f64| (log_norm - b * u + (2.0 * n - 1.0) * u.ln()).exp() * libm::j0(TAU * q * u.powf(n));
    // No more than 1e-7 of the light lies beyond.
    let end = bisect(0.0, 100.0, |u| gamma_lr(2.0 * n, b * u) - (1.0 - 1e-7));
    let (mut sum, mut from) = (0.0, 0.0f64);
    while from < end {
        let by_phase = if q > 0.0 { (from.powf(n) + 3.0 / (TAU * q)).powf(1.0 / n) } else { end };
        let to = by_phase.min(from + 1.0 / b).min(end);
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        sum += half * NODES.iter().map(|(x, w)| w * (integrand(middle - half * x) + integrand(middle + half * x))).sum::<f64>();
        from = to;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Exponential disc of scale h = r_e / 1.678347: F = (1 + (2π k h)²)^(-3/2).
    #[test]
    fn exponential_disc_is_closed_form() {
        let disc = Sersic::of_index(1.0);
        for q in [0.0, 0.003, 0.05, 0.2, 0.77, 3.0, 12.0, 29.0, 100.0] {
            let expected = (1.0 + (TAU * q / 1.678_346_99f64).powi(2)).powf(-1.5);
            assert_abs_diff_eq!(disc.transform(q), expected, epsilon = 2e-6);
        }
    }

    /// Gaussian, b = ln 2: F = exp(-(π q)² / ln 2).
    #[test]
    fn gaussian_is_closed_form() {
        let gaussian = Sersic::of_index(0.5);
        for q in [0.0, 0.01, 0.1, 0.3, 0.5, 1.0, 5.0, 40.0] {
            let expected = (-(std::f64::consts::PI * q).powi(2) / std::f64::consts::LN_2).exp();
            assert_abs_diff_eq!(gaussian.transform(q), expected, epsilon = 2e-6);
        }
    }

    /// The transform at 0 is the flux; growth curve and b as Graham & Driver's table (b = 7.669 at n = 4).
    #[test]
    fn every_index_has_unit_flux_and_half_light_radius() {
        for n in [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0] {
            let profile = Sersic::of_index(n);
            assert_abs_diff_eq!(profile.transform(0.0), 1.0, epsilon = 2e-7);
            assert_abs_diff_eq!(profile.enclosed(1.0), 0.5, epsilon = 1e-9);
            assert_abs_diff_eq!(profile.radius_enclosing(0.5), 1.0, epsilon = 1e-6);
            assert!(profile.transform(0.1) > profile.transform(0.2));
        }
        assert_abs_diff_eq!(Sersic::of_index(4.0).b, 7.669_249_44, epsilon = 1e-6);
    }
}

//! Draws of counts: Poisson or Gaussian.

use crate::camera::NoiseLaw;
use rand::Rng;
use rand_distr::{Distribution, Poisson, StandardNormal};

/// Above this mean, a Gaussian: its skewness, 1/√mean, is below 1e-3.
const GAUSSIAN_FROM: f64 = 1e6;

impl NoiseLaw {
    /// Electrons drawn with the expectation and the variance `mean_e`; a mean of zero or less is returned as it is (the
    /// ringing of a transform and a PSF model's negative wings are no photons).
    pub(crate) fn draw(self, mean_e: f64, rng: &mut impl Rng) -> f64 {
        if mean_e.is_nan() || mean_e <= 0.0 {
            return mean_e;
        }
        match self {
            Self::Poisson if mean_e < GAUSSIAN_FROM => Poisson::new(mean_e).expect("0 < mean < 1e6").sample(rng),
            _ => mean_e + mean_e.sqrt() * normal(rng),
        }
    }
}

/// A unit normal.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::random::keyed_rng;

    /// The mean of n draws scatters by √(λ/n); their variance by λ √(2/n + 1/(n λ)) (fourth moment of a Poisson law).
    #[test]
    fn mean_and_variance_are_those_of_the_law() {
        let n = 20_000;
        for law in [NoiseLaw::Poisson, NoiseLaw::Gaussian] {
            for mean in [0.3, 8.0, 500.0, 3e6] {
                let mut rng = keyed_rng(1, "noise-test", mean as u64, 0);
                let draws: Vec<f64> = (0..n).map(|_| law.draw(mean, &mut rng)).collect();
                let found = draws.iter().sum::<f64>() / f64::from(n);
                let variance = draws.iter().map(|d| (d - found).powi(2)).sum::<f64>() / f64::from(n - 1);
                assert!((found - mean).abs() < 4.0 * (mean / f64::from(n)).sqrt(), "{law:?} {mean}: mean {found}");
                let tolerance = 4.0 * mean * (2.0 / f64::from(n) + 1.0 / (f64::from(n) * mean)).sqrt();
                assert!((variance - mean).abs() < tolerance, "{law:?} {mean}: variance {variance}");
            }
        }
    }

    #[test]
    fn negative_means_are_kept() {
        let mut rng = keyed_rng(1, "noise-test", 0, 0);
        assert!((NoiseLaw::Poisson.draw(-0.25, &mut rng) + 0.25).abs() < 1e-15);
    }
}

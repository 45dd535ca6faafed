//! What is left of a peak if it stands on smooth light that no object models: a halo, a spike, the outskirts of a galaxy.
//!
//! Light of an even brightness has in a filter φ the height x √A, A = (Σφ)²/Σφ² its area. A broader filter at the same place tells how much there is: of
//! heights ν and ν' in filters of areas A and A' it takes q ν' from ν, q = √(A/A'), and no gradient changes that. A point source stays nearly whole.

use super::scene::MIN_VARIANCE;
use std::f64::consts::PI;

/// What a peak is in one band in its own filter and in a broader one at its place, beyond what the objects make there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// Heights that are left \[sigma\]: own, broader.
    pub rest: [f64; 2],
    /// Heights that the objects make.
    pub predicted: [f64; 2],
    /// Variances of what is left of noise, and their covariance.
    pub variance: [f64; 2],
    pub covariance: f64,
    /// √(A/A').
    pub q: f64,
    /// Relative error of templates.
    pub error: f64,
}

impl Pair {
    /// What is left of the peak over smooth light, in its own noise and the templates' errors; smooth light only adds.
    pub fn over_smooth(&self) -> f64 {
        let [own, broad] = self.rest;
        if self.smooth() <= 0.0 {
            return own / (self.variance[0] + (self.error * self.predicted[0]).powi(2)).sqrt();
        }
        let noise = self.variance[0] - 2.0 * self.q * self.covariance + self.q * self.q * self.variance[1];
        let of_objects = self.predicted[0] - self.q * self.predicted[1];
        let doubt = of_objects * of_objects + (self.q * broad).powi(2);
        (own - self.q * broad) / (noise.max(MIN_VARIANCE) + self.error * self.error * doubt).sqrt()
    }

    /// Significance of light in the broader filter that neither the peak nor the objects make.
    pub fn smooth(&self) -> f64 {
        let share = self.covariance / self.variance[0];
        let noise = self.variance[1] - share * self.covariance;
        let doubt = self.predicted[1].powi(2) + (share * self.rest[0]).powi(2);
        (self.rest[1] - share * self.rest[0]) / (noise.max(MIN_VARIANCE) + self.error * self.error * doubt).sqrt()
    }
}

/// Density by height of light that no object models, among places above the threshold \[1/sigma\]: a tenth of them, over ten sigma,
const SMOOTH_PER_SIGMA: f64 = 0.01;
/// and of light on ridges: one of two hundred.
const RIDGE_PER_SIGMA: f64 = 0.0005;

/// ln of the probability that there is smooth light at a place where the square of the significance of light beyond the objects' is `excess2`.
pub(super) fn ln_share_of_smooth(excess2: f64) -> f64 {
    ln_share(SMOOTH_PER_SIGMA, excess2)
}

/// The same of a ridge.
pub(super) fn ln_share_of_ridges(excess2: f64) -> f64 {
    ln_share(RIDGE_PER_SIGMA, excess2)
}

fn ln_share(per_sigma: f64, excess2: f64) -> f64 {
    let ln_odds = (per_sigma * (2.0 * PI).sqrt()).ln() + 0.5 * excess2;
    -(-ln_odds).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaussian filters of widths 1.5 and 6: overlap 2 s t/(s² + t²), areas as s². No neighbours.
    fn pair(own: f64, broad: f64) -> Pair {
        let (s, t) = (1.5, 6.0);
        Pair {
            rest: [own, broad],
            predicted: [0.0; 2],
            variance: [1.0; 2],
            covariance: 2.0 * s * t / (s * s + t * t),
            q: s / t,
            error: 0.05,
        }
    }

    /// Even light leaves nothing, whatever there is of it; a bump on it is left, as far as light may be wrong.
    #[test]
    fn even_light_is_taken_off() {
        for light in [2.0, 20.0, 200.0] {
            assert!(pair(light, 4.0 * light).over_smooth().abs() < 1e-12);
            assert!(pair(light, 4.0 * light).smooth() > light.min(50.0), "{}", pair(light, 4.0 * light).smooth());
        }
        let noise = (1.0f64 - 2.0 * 0.25 * pair(0.0, 0.0).covariance + 0.0625).sqrt();
        assert!((pair(22.0, 80.0).over_smooth() - 2.0 / (noise * noise + 1.0).sqrt()).abs() < 1e-12);
    }

    /// A point source is as significant as the filter less the broader one lets it be, and makes no smooth light.
    #[test]
    fn a_point_source_stays() {
        let source = pair(8.0, 8.0 * pair(0.0, 0.0).covariance);
        assert!(source.smooth().abs() < 1e-12);
        assert!((source.over_smooth() - 8.0).abs() < 1e-12);
        // A little light beside it: what is left is (1 - q R)/√(1 - 2 q R + q²) of it.
        let r = source.covariance;
        let beside = pair(8.0, 8.0 * r + 1e-9).over_smooth();
        let expected = 8.0 * (1.0 - 0.25 * r) / (1.0 - 0.5 * r + 0.0625 + (0.05 * 0.25 * 8.0 * r).powi(2)).sqrt();
        assert!((beside - expected).abs() < 1e-6 && expected > 7.5, "{beside} {expected}");
    }

    #[test]
    fn smooth_light_is_rare_and_then_certain() {
        assert!((ln_share_of_smooth(0.0) + 3.71).abs() < 0.01);
        assert!((ln_share_of_ridges(0.0) + 6.68).abs() < 0.01);
        assert!(ln_share_of_smooth(16.0).abs() < 0.02 && ln_share_of_ridges(25.0).abs() < 0.01);
    }
}

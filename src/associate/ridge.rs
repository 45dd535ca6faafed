//! Whether noise on a ridge of light, such as a spike, makes a peak: by its curvature along the ridge.
//!
//! A ridge may be as narrow as the PSF, so that a broader filter takes little of it. But along it a maximum of noise is curved by a few sigma only
//! ([`ridge_curvature_density`]), where the curvature of an object grows with its height.

use crate::detect::{maximum_density, ridge_curvature_density};

/// Variance of the curvature of noise over l2.
const NOISE_VARIANCE: f64 = 3.0;

/// The curvature of a peak along its flatter axis, over l2 of its layer \[sigma\].
#[derive(Debug, Clone, Copy)]
pub(super) struct Ridge {
    k: f64,
    /// Its variance on a ridge: noise, and the error of what the objects add.
    variance: f64,
}

impl Ridge {
    /// None where the curvature is not known.
    ///
    /// * `covariance_px2`: of the position (xx, xy, yy), l2 H⁻² of the curvatures H; `objects`: what the other objects add to H \[sigma/pixel²\], wrong by
    ///   the share `error`.
    pub fn of([xx, xy, yy]: [f64; 3], l2: f64, objects: [f64; 3], error: f64) -> Option<Self> {
        let root = (xx * yy - xy * xy).sqrt();
        // √C = (C + √|C|)/√(tr C + 2 √|C|), and H = √l2 C^-1/2.
        let scale = l2.sqrt() / (root * (xx + yy + 2.0 * root).sqrt());
        let curvature = [(yy + root) * scale, -xy * scale, (xx + root) * scale];
        if !curvature.iter().all(|c| c.is_finite()) {
            return None;
        }
        let [a, b, c] = std::array::from_fn(|i| (curvature[i] - objects[i]) / l2);
        let [xx, xy, yy] = objects;
        let doubt = error * (xx * xx + 2.0 * xy * xy + yy * yy).sqrt() / l2;
        Some(Self { k: 0.5 * (a + c) - (0.25 * (a - c).powi(2) + b * b).sqrt(), variance: NOISE_VARIANCE + doubt * doubt })
    }

    /// ln of the odds that the peak is an object, given that there is a ridge.
    ///
    /// * `objects`: by significance \[1/pixel²/sigma\]; `l2`: curvature of the noise, of all layers that might have the peak \[1/pixel²\].
    pub fn log_odds(&self, objects: f64, l2: f64) -> f64 {
        // What is flatter than most noise is no less likely noise.
        let k = self.k.max(self.variance.sqrt());
        let noise = maximum_density(l2) * ridge_curvature_density(k, self.variance);
        // Far out the density underflows: its logarithm goes as -k²/2v.
        if noise > 1e-250 { (objects / noise).ln() } else { 0.5 * k * k / self.variance }
    }
}

/// Minus the second derivatives xx, xy, yy at the offset (x, y) of the wing (1 + u/β)^-β, u = (x² + y²)/(2 `variance`).
pub(super) fn wing_curvature(x: f64, y: f64, variance: f64, beta: f64) -> [f64; 3] {
    let base = 1.0 + (x * x + y * y) / (2.0 * variance * beta);
    let first = base.powf(-beta - 1.0) / variance;
    let second = (beta + 1.0) / beta * base.powf(-beta - 2.0) / (variance * variance);
    [first - second * x * x, -second * x * y, first - second * y * y]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    const L2: f64 = 0.2;

    /// The covariance of curvatures H.
    fn covariance([a, b, c]: [f64; 3]) -> [f64; 3] {
        let det = a * c - b * b;
        let [a, b, c] = [c / det, -b / det, a / det];
        [a * a + b * b, b * (a + c), b * b + c * c].map(|v| L2 * v)
    }

    #[test]
    fn the_flatter_axis_counts() {
        // 30 sigma across and 2.5 along, at 30 degrees.
        let (cos, sin) = (0.75f64.sqrt(), 0.5);
        let h = [30.0 * cos * cos + 2.5 * sin * sin, 27.5 * sin * cos, 30.0 * sin * sin + 2.5 * cos * cos].map(|v| v * L2);
        let ridge = Ridge::of(covariance(h), L2, [0.0; 3], 0.05).unwrap();
        assert_relative_eq!(ridge.k, 2.5, max_relative = 1e-9);
        // A neighbour that takes 4 sigma of curvature along it.
        let neighbour = [-4.0 * sin * sin, 4.0 * sin * cos, -4.0 * cos * cos].map(|v| v * L2);
        let beside = Ridge::of(covariance(h), L2, neighbour, 0.05).unwrap();
        assert_relative_eq!(beside.k, 6.5, max_relative = 1e-9);
        assert_relative_eq!(beside.variance, 3.04, max_relative = 1e-9);
        assert!(Ridge::of([f64::INFINITY, 0.0, f64::INFINITY], L2, [0.0; 3], 0.05).is_none());
    }

    /// Noise up to 6.2 sigma, and objects above.
    #[test]
    fn odds_rise_with_roundness() {
        let odds = |k: f64| Ridge { k, variance: 3.0 }.log_odds(6e-5, L2);
        assert!((1..400).all(|i| odds(0.25 * f64::from(i)) >= odds(0.25 * f64::from(i - 1))));
        assert!(odds(6.1) < 0.0 && odds(6.3) > 0.0, "{} {}", odds(6.1), odds(6.3));
    }

    #[test]
    fn curvature_of_wings() {
        let light = |x: f64, y: f64| (1.0 + (x * x + y * y) / (2.0 * 7.0 * 2.0f64)).powi(-2);
        for (x, y) in [(0.0, 0.0), (3.0, -1.0), (0.5, 8.0)] {
            let e = 1e-3;
            let second = |dx: f64, dy: f64| 2.0 * light(x, y) - light(x + dx, y + dy) - light(x - dx, y - dy);
            let numeric = [second(e, 0.0), 0.25 * (second(e, e) - second(e, -e)), second(0.0, e)].map(|v| v / (e * e));
            for (a, b) in wing_curvature(x, y, 7.0, 2.0).into_iter().zip(numeric) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }
}

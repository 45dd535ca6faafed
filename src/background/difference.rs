//! Differences of exposures on one superpixel: robust means for every pair, and the levels that agree with all of them.

use nalgebra::{DMatrix, DVector};

/// Rounds of clipping.
const N_ROUNDS: usize = 3;

/// Mean difference of two exposures over the pixels that both have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairDifference {
    /// First exposure's index among those of the superpixel.
    pub first: usize,
    /// Second's.
    pub second: usize,
    /// Mean of first less second \[nJy per pixel\].
    pub difference_njy: f64,
    /// Its error \[nJy\]: √((v₁ + v₂) / n).
    pub error_njy: f64,
    /// Pixels used.
    pub n_pixels: usize,
}

/// Robust mean of `first` - `second` and the number of pixels used: within `clip_sigma` × `scatter` of the mean, iterated from `start`;
/// `None` if fewer than `min_pixels` are left.
///
/// `first`, `second`: the same pixels of both, NaN where bad. Clipping is symmetric, so that noise alone is not biased; `scatter` is given,
/// not measured, so that a few bright pixels cannot widen it.
#[must_use]
pub fn mean_difference(
    first: &[f32],
    second: &[f32],
    start: f64,
    scatter: f64,
    clip_sigma: f64,
    min_pixels: usize,
) -> Option<(f64, usize)> {
    let limit = clip_sigma * scatter;
    let mut center = start;
    let mut n_pixels = 0;
    for _ in 0..N_ROUNDS {
        let (mut sum, mut n) = (0.0, 0usize);
        for (a, b) in first.iter().zip(second) {
            let d = f64::from(*a) - f64::from(*b) - center;
            // NaN fails the comparison.
            if d.abs() <= limit {
                sum += d;
                n += 1;
            }
        }
        if n < min_pixels {
            return None;
        }
        (center, n_pixels) = (center + sum / n as f64, n);
    }
    Some((center, n_pixels))
}

/// Levels m of `n` exposures that minimise Σ (D_uv - (m_u - m_v))² / σ_uv², and the connected set that each belongs to (sets numbered by
/// their first member). Each set has Σ weights × levels = 0, with the given weights: differences know nothing of the common level.
#[must_use]
pub fn adjust_levels(weights: &[f64], pairs: &[PairDifference]) -> Vec<(usize, f64)> {
    let n = weights.len();
    let sets = connected_sets(n, pairs.iter().map(|p| (p.first, p.second)));
    let mut normal = DMatrix::<f64>::zeros(n, n);
    let mut rhs = DVector::<f64>::zeros(n);
    for pair in pairs {
        let w = pair.error_njy.powi(-2);
        for (a, b, sign) in [(pair.first, pair.second, 1.0), (pair.second, pair.first, -1.0)] {
            normal[(a, a)] += w;
            normal[(a, b)] -= w;
            rhs[a] += sign * w * pair.difference_njy;
        }
    }
    // The first of each set is held at zero: then the matrix has an inverse.
    for (a, _) in sets.iter().enumerate().filter(|(a, set)| a == *set) {
        normal.row_mut(a).fill(0.0);
        normal.column_mut(a).fill(0.0);
        normal[(a, a)] = 1.0;
        rhs[a] = 0.0;
    }
    let levels = normal.cholesky().expect("a connected graph with one fixed level").solve(&rhs);
    let mut means = vec![(0.0, 0.0); n];
    for (a, &set) in sets.iter().enumerate() {
        means[set] = (means[set].0 + weights[a] * levels[a], means[set].1 + weights[a]);
    }
    sets.iter().enumerate().map(|(a, &set)| (set, levels[a] - means[set].0 / means[set].1)).collect()
}

/// The connected set of each of `n` nodes, named by its smallest member.
#[must_use]
pub fn connected_sets(n: usize, edges: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..n).collect();
    fn root(parent: &mut [usize], mut a: usize) -> usize {
        while parent[a] != a {
            parent[a] = parent[parent[a]];
            a = parent[a];
        }
        a
    }
    for (a, b) in edges {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        let (low, high) = (a.min(b), a.max(b));
        parent[high] = low;
    }
    (0..n).map(|a| root(&mut parent, a)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::keyed_rng;
    use approx::assert_abs_diff_eq;
    use rand_distr::{Distribution, StandardNormal};

    /// Gaussian noise with 2 % of outliers on one side: within 4 standard errors, and the outliers are not counted.
    #[test]
    fn outliers_do_not_move_the_mean() {
        let mut rng = keyed_rng(1, "difference-test", 0, 0);
        let mut draw = |scale: f64| -> f64 { scale * Distribution::<f64>::sample(&StandardNormal, &mut rng) };
        let n = 4096;
        let mut first: Vec<f32> = (0..n).map(|_| (5.0 + draw(1.0)) as f32).collect();
        let second: Vec<f32> = (0..n).map(|i| if i % 10 == 0 { f32::NAN } else { (2.0 + draw(0.5)) as f32 }).collect();
        first.iter_mut().skip(7).step_by(50).for_each(|z| *z += 40.0);
        let scatter = 1.25f64.sqrt();
        let (mean, n_pixels) = mean_difference(&first, &second, 0.0, 20.0 * scatter, 4.0, 32).unwrap();
        assert!(mean > 3.5 && n_pixels > 3600, "a wide limit clips nothing");
        let (mean, n_pixels) = mean_difference(&first, &second, 3.1, scatter, 4.0, 32).unwrap();
        assert!((3540..=3620).contains(&n_pixels), "{n_pixels}");
        assert_abs_diff_eq!(mean, 3.0, epsilon = 4.0 * scatter / f64::from(n_pixels as u32).sqrt());
        assert!(mean_difference(&first, &second, 3.1, scatter, 4.0, n).is_none());
    }

    /// Differences that close give back the levels; a separate pair is a set of its own.
    #[test]
    fn levels_agree_with_all_pairs() {
        let truth = [3.0, -1.0, 0.5, 7.0, 8.0, 100.0];
        let weights = [1.0, 2.0, 4.0, 1.0, 3.0, 1.0];
        let pair = |first: usize, second: usize| PairDifference {
            first,
            second,
            difference_njy: truth[first] - truth[second],
            error_njy: 0.1 * (1.0 + first as f64),
            n_pixels: 100,
        };
        let found = adjust_levels(&weights, &[pair(0, 1), pair(1, 2), pair(0, 2), pair(4, 3)]);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 0, 0, 3, 3, 5]);
        let mean = (3.0 - 2.0 + 2.0) / 7.0;
        for k in 0..3 {
            assert_abs_diff_eq!(found[k].1, truth[k] - mean, epsilon = 1e-12);
        }
        assert_abs_diff_eq!(found[4].1 - found[3].1, 1.0, epsilon = 1e-12);
        assert_abs_diff_eq!(found[3].1 + 3.0 * found[4].1, 0.0, epsilon = 1e-12);
        assert_abs_diff_eq!(found[5].1, 0.0);
    }
}

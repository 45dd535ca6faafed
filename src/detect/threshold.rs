//! Thresholds of the free-SED statistic.

use super::null_distribution::{free_sed_tail, normal_tail};

/// Threshold on T over `n` bands with the pointwise false-positive rate of a single band at `threshold` sigma.
///
/// For 5 σ and n = 2/3/4/5/6: 5.279/5.488/5.663/5.818/5.958.
#[must_use]
pub fn free_sed_threshold(threshold: f64, n: usize) -> f64 {
    if n <= 1 {
        return threshold;
    }
    let rate = normal_tail(threshold);
    let (mut lo, mut hi) = (threshold, threshold + 10.0);
    for _ in 0..60 {
        let mid = 0.5 * (lo + hi);
        if free_sed_tail(mid, n) > rate { lo = mid } else { hi = mid }
    }
    0.5 * (lo + hi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn thresholds_of_five_sigma() {
        for (n, expected) in [(1, 5.0), (2, 5.279), (3, 5.488), (4, 5.663), (5, 5.818), (6, 5.958)] {
            assert_abs_diff_eq!(free_sed_threshold(5.0, n), expected, epsilon = 1e-3);
        }
    }
}

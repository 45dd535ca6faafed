//! The static sky at a pixel: what most exposures agree on.

use ndarray::Array2;

/// Departures larger than this do not count \[sigma\].
const CLIP_SIGMA: f64 = 3.0;

/// Variance of a median over that of the mean, of many Gaussian values.
pub(super) const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;

/// The median; the mean of the two in the middle of an even number. Reorders `values`, which are not empty.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + upper)
}

/// Mean of the values within 3 σ of their median, weighted by 1/σ², and its variance.
///
/// One outlier of three is recognised: the median is then one of the other two. Where an even number of values splits in halves so that none
/// is near the median, it is the median itself, with π/2 of the mean's variance.
///
/// # Arguments
/// * `values`: at least one, with their variances in `variances`, which hold a source's own noise and model error at the given level.
/// * `scratch`: reused memory.
pub(super) fn clipped_mean_of(values: &[f64], variances: impl Fn(usize, f64) -> f64, scratch: &mut Vec<f64>) -> (f64, f64) {
    scratch.clear();
    scratch.extend_from_slice(values);
    let middle = median(scratch);
    let (mut sum, mut weights, mut all) = (0.0, 0.0, 0.0);
    for (k, z) in values.iter().enumerate() {
        let v = variances(k, middle);
        all += v.recip();
        if (z - middle).powi(2) <= CLIP_SIGMA * CLIP_SIGMA * v {
            sum += z / v;
            weights += v.recip();
        }
    }
    if weights > 0.0 { (sum / weights, weights.recip()) } else { (middle, MEDIAN_VARIANCE / all) }
}

/// |∇| by central differences; 0 at the edges and beside NaN.
pub(super) fn slope(image: &Array2<f64>) -> Array2<f64> {
    let (ny, nx) = image.dim();
    Array2::from_shape_fn((ny, nx), |(j, i)| {
        if j == 0 || i == 0 || j + 1 == ny || i + 1 == nx {
            return 0.0;
        }
        let along_x = 0.5 * (image[[j, i + 1]] - image[[j, i - 1]]);
        let along_y = 0.5 * (image[[j + 1, i]] - image[[j - 1, i]]);
        let slope = along_x.hypot(along_y);
        if slope.is_nan() { 0.0 } else { slope }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of three values one is 100 σ off: the mean of the two others, with half the variance. Of four that disagree by halves: the median.
    #[test]
    fn one_of_three_is_recognised() {
        let mut scratch = Vec::new();
        let mut of = |values: &[f64]| clipped_mean_of(values, |_, _| 4.0, &mut scratch);
        assert_eq!(of(&[1.0, 200.0, 2.0]), (1.5, 2.0));
        assert_eq!(of(&[1.0, 2.0, 3.0]), (2.0, 4.0 / 3.0));
        assert_eq!(of(&[7.0]), (7.0, 4.0));
        let (mean, variance) = of(&[0.0, 1.0, 200.0, 201.0]);
        assert_eq!((mean, variance), (100.5, MEDIAN_VARIANCE));
        assert!((median(&mut [3.0, 1.0, 2.0, 10.0]) - 2.5).abs() < 1e-12);
    }
}

//! The static sky at a pixel: what most exposures agree on.

use ndarray::Array2;

/// Departures larger than this do not count \[sigma\].
const CLIP_SIGMA: f64 = 3.0;

/// Variance of a median over that of the mean, of many Gaussian values.
pub(super) const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;

/// So few values are sorted sooner than searched.
const FEW: usize = 20;

/// The median; the mean of the two in the middle of an even number. Reorders `values`, which are not empty.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n <= FEW {
        for i in 1..n {
            let value = values[i];
            let mut k = i;
            while k > 0 && values[k - 1] > value {
                values[k] = values[k - 1];
                k -= 1;
            }
            values[k] = value;
        }
        return if n % 2 == 1 { values[n / 2] } else { 0.5 * (values[n / 2 - 1] + values[n / 2]) };
    }
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
pub(super) fn slope(image: &Array2<f32>) -> Array2<f32> {
    let (ny, nx) = image.dim();
    let mut out = Array2::zeros((ny, nx));
    for j in 1..ny.max(1) - 1 {
        let row = |j: usize| image.row(j).to_slice().expect("standard layout");
        let (below, here, above) = (row(j - 1), row(j), row(j + 1));
        let across = below[1..].iter().zip(&above[1..]);
        let along = here.windows(3).map(|w| w[2] - w[0]);
        let mut out = out.row_mut(j);
        let out = out.as_slice_mut().expect("standard layout");
        for (out, (along, (below, above))) in out[1..].iter_mut().zip(along.zip(across)) {
            let across = above - below;
            let slope = 0.5 * (along * along + across * across).sqrt();
            *out = if slope.is_nan() { 0.0 } else { slope };
        }
    }
    out
}

/// Mean over the square of 2r + 1 pixels around a pixel, of those that have a value; NaN without any.
pub(super) fn mean_around(image: &Array2<f32>, [j, i]: [usize; 2], r: usize) -> f32 {
    let (ny, nx) = image.dim();
    let near = |k: usize, n: usize| k.saturating_sub(r)..(k + r + 1).min(n);
    let (mut sum, mut n) = (0.0, 0.0);
    for row in near(j, ny).map(|j| image.row(j).to_slice().expect("standard layout")) {
        for z in row[near(i, nx)].iter().filter(|z| !z.is_nan()) {
            (sum, n) = (sum + z, n + 1.0);
        }
    }
    sum / n
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

    /// A plane has its slope everywhere but at the edges and beside a gap; its means are its own but at the edges, a gap is filled.
    #[test]
    fn slopes_and_means_of_a_plane() {
        let plane = Array2::from_shape_fn((9, 11), |(j, i)| 3.0 * i as f32 - 4.0 * j as f32);
        let mut gap = plane.clone();
        gap[[4, 5]] = f32::NAN;
        let (found, smooth) = (slope(&gap), |at| mean_around(&gap, at, 1));
        for ((j, i), s) in found.indexed_iter() {
            let is_known =
                (1..8).contains(&j) && (1..10).contains(&i) && (j, i) != (4, 4) && (j, i) != (4, 6) && (j, i) != (3, 5) && (j, i) != (5, 5);
            assert!((*s - if is_known { 5.0 } else { 0.0 }).abs() < 1e-5, "{j} {i}");
        }
        assert!((smooth([4, 5]) - plane[[4, 5]]).abs() < 1e-5 && (smooth([1, 1]) - plane[[1, 1]]).abs() < 1e-5);
        assert!((smooth([0, 0]) - (3.0 - 4.0) * 0.5).abs() < 1e-5);
        assert!(mean_around(&Array2::from_elem((3, 3), f32::NAN), [1, 1], 1).is_nan());
    }
}

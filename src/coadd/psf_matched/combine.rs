//! The values of all exposures at one pixel made one: weighted mean, clipped mean, median.

use super::config::{PsfMatchedConfig, StackMethod};
use std::f64::consts::FRAC_PI_2;

/// What one exposure says of a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub image: f64,
    pub variance: f64,
    /// Of the whole exposure.
    pub weight: f64,
    /// It counts: false once clipped.
    pub is_kept: bool,
}

/// All exposures together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Combined {
    pub image: f64,
    pub variance: f64,
    /// Something was left out.
    pub is_clipped: bool,
    /// The values disagree, and nothing says which is wrong.
    pub is_suspect: bool,
}

/// n times the variance of the median of n unit normals: 1 up to two (a mean), π/2 for many.
///
/// Good to 1e-3: fitted to the integrals over the densities of the order statistics, which even and odd n approach on curves of their own.
pub(super) fn median_variance(n: usize) -> f64 {
    let real = n as f64;
    match n {
        0..=2 => 1.0,
        _ if n % 2 == 1 => FRAC_PI_2 * real / (real + 0.43 + 0.2 / real),
        _ => FRAC_PI_2 * real / (real + 1.41 - 0.57 / real),
    }
}

/// Σ w z / Σ w of the kept values and its variance Σ w² v / (Σ w)².
fn mean(values: &[Value]) -> (f64, f64) {
    let (mut weights, mut image, mut variance) = (0.0, 0.0, 0.0);
    for value in values.iter().filter(|v| v.is_kept) {
        weights += value.weight;
        image += value.weight * value.image;
        variance += value.weight * value.weight * value.variance;
    }
    (image / weights, variance / (weights * weights))
}

/// The middle value, or the mean of the two.
fn median(values: &[Value], scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    scratch.extend(values.iter().map(|v| v.image));
    scratch.sort_unstable_by(f64::total_cmp);
    let half = scratch.len() / 2;
    if scratch.len() % 2 == 1 { scratch[half] } else { 0.5 * (scratch[half - 1] + scratch[half]) }
}

/// Combines the values of a pixel, at least one; `is_kept` is set for each.
///
/// - `mean`: weights of whole exposures, so that stars keep the PSF of the target whatever their brightness.
/// - `clipped_mean`: the same of what lies within `clip_sigma` of the centre, which is the median first, then the mean of those kept. The
///   scatter is that of the variance plane and `model_error` of the centre: a scatter measured from three values hides one outlier
///   in it. Two values that disagree are both kept, and suspect.
/// - `median`: of N values with errors σ_e the variance is c_N N / (Σ 1/σ_e)², c_N from [`median_variance`] (Kendall & Stuart 1977, §14:
///   ¼ over N times the squared density at the centre, for many).
pub(super) fn combine(values: &mut [Value], config: &PsfMatchedConfig, scratch: &mut Vec<f64>) -> Combined {
    values.iter_mut().for_each(|v| v.is_kept = true);
    let plain = |values: &[Value], is_clipped, is_suspect| {
        let (image, variance) = mean(values);
        Combined { image, variance, is_clipped, is_suspect }
    };
    match config.stack {
        StackMethod::Median if values.len() > 2 => {
            let inverse: f64 = values.iter().map(|v| v.variance.sqrt().recip()).sum();
            let n = values.len();
            let variance = median_variance(n) * n as f64 / (inverse * inverse);
            Combined { image: median(values, scratch), variance, is_clipped: false, is_suspect: false }
        }
        StackMethod::Median => {
            let n = values.len() as f64;
            let (image, variance) = values.iter().fold((0.0, 0.0), |(z, v), x| (z + x.image / n, v + x.variance / (n * n)));
            Combined { image, variance, is_clipped: false, is_suspect: false }
        }
        StackMethod::Mean => plain(values, false, false),
        StackMethod::ClippedMean => {
            let is_suspect = clip(values, config, scratch);
            plain(values, values.iter().any(|v| !v.is_kept), is_suspect)
        }
    }
}

/// Marks the values to leave out; true if they disagree and none can be told to be the wrong one.
fn clip(values: &mut [Value], config: &PsfMatchedConfig, scratch: &mut Vec<f64>) -> bool {
    let limit = config.clip_sigma;
    let (mut low, mut high, mut least) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
    for v in values.iter() {
        (low, high, least) = (low.min(v.image), high.max(v.image), least.min(v.variance));
    }
    // Nothing is further from any centre than the range: the common case.
    if values.len() < 2 || high - low <= limit * least.sqrt() {
        return false;
    }
    let is_near = |v: &Value, centre: f64| {
        let off = v.image - centre;
        off * off <= limit * limit * (v.variance + (config.model_error * centre).powi(2))
    };
    if let [a, b] = values {
        let centre = 0.5 * (a.image + b.image);
        let model = 2.0 * (config.model_error * centre).powi(2);
        return (a.image - b.image).powi(2) > limit * limit * (a.variance + b.variance + model);
    }
    let mut centre = median(values, scratch);
    for _ in 0..config.clip_iterations {
        let before = values.iter().filter(|v| v.is_kept).count();
        let is_first = before == values.len();
        if !values.iter().any(|v| is_near(v, centre)) {
            // Two groups that disagree: the median lies between them.
            values.iter_mut().for_each(|v| v.is_kept = true);
            return true;
        }
        let mut is_same = true;
        for v in values.iter_mut() {
            let is_kept = is_near(v, centre);
            is_same &= is_kept == v.is_kept;
            v.is_kept = is_kept;
        }
        if is_same && !is_first {
            break;
        }
        centre = mean(values).0;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    fn values(images: &[f64], variance: f64) -> Vec<Value> {
        images.iter().map(|&image| Value { image, variance, weight: 1.0 / variance, is_kept: true }).collect()
    }

    fn config(stack: StackMethod) -> PsfMatchedConfig {
        PsfMatchedConfig { stack, ..PsfMatchedConfig::default() }
    }

    /// One and two values are defined for every method; of three, one outlier is found whichever it is.
    #[test]
    fn few_values_are_defined() {
        let mut scratch = Vec::new();
        for stack in [StackMethod::Mean, StackMethod::ClippedMean, StackMethod::Median] {
            let one = combine(&mut values(&[7.0], 4.0), &config(stack), &mut scratch);
            assert_eq!(one, Combined { image: 7.0, variance: 4.0, is_clipped: false, is_suspect: false });
            let two = combine(&mut values(&[7.0, 8.0], 4.0), &config(stack), &mut scratch);
            assert_eq!(two, Combined { image: 7.5, variance: 2.0, is_clipped: false, is_suspect: false });
        }
        let apart = combine(&mut values(&[0.0, 80.0], 4.0), &config(StackMethod::ClippedMean), &mut scratch);
        assert!(apart.is_suspect && !apart.is_clipped && (apart.image - 40.0).abs() < 1e-12);
        for outlier in 0..3 {
            let mut images = [1.0, -1.0, 0.5];
            images[outlier] = 50.0;
            let mut three = values(&images, 1.0);
            let found = combine(&mut three, &config(StackMethod::ClippedMean), &mut scratch);
            assert!(found.is_clipped && !three[outlier].is_kept && (found.variance - 0.5).abs() < 1e-12, "{outlier}: {found:?}");
        }
    }

    /// Weights are of whole exposures; a star's three per cent are no outlier.
    #[test]
    fn weights_and_model_errors_count() {
        let mut scratch = Vec::new();
        let mut two = values(&[10.0, 20.0], 1.0);
        two[0].weight = 3.0;
        let found = combine(&mut two, &config(StackMethod::Mean), &mut scratch);
        assert!((found.image - 12.5).abs() < 1e-12 && (found.variance - 10.0 / 16.0).abs() < 1e-12);
        let star = combine(&mut values(&[10_000.0, 10_200.0, 9_900.0], 1.0), &config(StackMethod::ClippedMean), &mut scratch);
        assert!(!star.is_clipped);
    }

    /// The variances of median and clipped mean against keyed draws: 20 000 draws know a variance to 1 %.
    #[test]
    fn variances_are_those_of_draws() {
        let mut scratch = Vec::new();
        for n in [3usize, 4, 7, 20] {
            for stack in [StackMethod::Median, StackMethod::ClippedMean] {
                let (mut sum_sq, mut predicted) = (0.0, 0.0);
                let n_draws = 20_000;
                let mut rng = keyed_rng(3, "combine-test", n as u64, stack as u64);
                for _ in 0..n_draws {
                    // Errors that differ by a quarter about their mean.
                    let mut all: Vec<Value> = (0..n)
                        .map(|e| {
                            let sigma = 1.0 + 0.25 * (e as f64 / (n - 1) as f64 - 0.5);
                            let draw: f64 = StandardNormal.sample(&mut rng);
                            Value { image: sigma * draw, variance: sigma * sigma, weight: 1.0 / (sigma * sigma), is_kept: true }
                        })
                        .collect();
                    let found = combine(&mut all, &config(stack), &mut scratch);
                    sum_sq += found.image * found.image;
                    predicted += found.variance;
                }
                let ratio = sum_sq / predicted;
                assert!((ratio - 1.0).abs() < 0.04, "{stack:?} of {n}: {ratio}");
            }
        }
    }
}

//! Robust and plain moments of a list of values.

/// Median; the mean of the middle two for an even number. NaN without values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    median_in_place(&mut values)
}

fn median_in_place(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + upper)
}

/// Standard deviation as the median absolute deviation says it (x 1.4826, exact for a normal).
#[must_use]
pub fn mad_std(values: &[f64]) -> f64 {
    let centre = median(values);
    let mut deviations: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
    1.482_602_2 * median_in_place(&mut deviations)
}

/// Mean; NaN without values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation about the mean (n - 1); NaN below two values.
#[must_use]
pub fn std(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let centre = mean(values);
    (values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn robust_moments() {
        assert_relative_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_relative_eq!(median(&[4.0, 3.0, 1.0, 2.0]), 2.5);
        assert_relative_eq!(mad_std(&[1.0, 2.0, 3.0, 4.0, 100.0]), 1.482_602_2);
        assert_relative_eq!(std(&[1.0, 3.0]), 2f64.sqrt());
        // Without values the sum over n - 1 would be 0 / -1.
        assert!(std(&[]).is_nan() && std(&[1.0]).is_nan() && median(&[]).is_nan());
    }
}

//! Shares a parent's pixels among its children, exactly.

/// Shares `pixel_njy` in proportion to `weights` (not negative), into `shares`.
///
/// Each share is rounded towards zero to a multiple of the unit in the last place of the pixel, and the remainder goes to the
/// largest weight (the first of equals). All shares then are whole numbers of that unit, no partial sum exceeds the pixel, and
/// so the f32 sum is the pixel exactly, in any order of summing.
/// All weights zero: everything goes to `fallback`. NaN pixels: every share is NaN.
pub fn apportion(pixel_njy: f32, weights: &[f64], fallback: usize, shares: &mut [f32]) {
    debug_assert_eq!(weights.len(), shares.len());
    if !pixel_njy.is_finite() {
        shares.fill(f32::NAN);
        return;
    }
    shares.fill(0.0);
    let total: f64 = weights.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        shares[fallback] = pixel_njy;
        return;
    }
    let unit = unit_in_the_last_place(pixel_njy);
    let n_units = f64::from(pixel_njy) / unit;
    let mut largest = 0;
    let mut rest = n_units;
    for (i, &w) in weights.iter().enumerate() {
        let share = (n_units * (w / total)).trunc();
        rest -= share;
        shares[i] = (share * unit) as f32;
        if w > weights[largest] {
            largest = i;
        }
    }
    shares[largest] = ((f64::from(shares[largest]) / unit + rest) * unit) as f32;
}

/// Distance of a finite value to the next larger magnitude of its binade, as f64 (exact, subnormal values included).
fn unit_in_the_last_place(v: f32) -> f64 {
    let exponent = ((v.to_bits() >> 23) & 0xff) as i32;
    2f64.powi(exponent.max(1) - 127 - 23)
}

#[cfg(test)]
// Exact sums are the point.
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_sum_exactly_in_any_order(pixel in -1e30f32..1e30, scale in -40i32..1, weights in prop::collection::vec(0.0f64..10.0, 1..12)) {
            let pixel = (f64::from(pixel) * 10f64.powi(scale)) as f32;
            let mut shares = vec![0.0; weights.len()];
            apportion(pixel, &weights, 0, &mut shares);
            prop_assert_eq!(shares.iter().sum::<f32>(), pixel);
            prop_assert_eq!(shares.iter().rev().sum::<f32>(), pixel);
            let total: f64 = weights.iter().sum();
            if total > 0.0 {
                let slack = f64::from(pixel).abs() * 1.2e-7 * weights.len() as f64 + 1e-44;
                for (s, w) in shares.iter().zip(&weights) {
                    prop_assert!((f64::from(*s) - f64::from(pixel) * w / total).abs() <= slack);
                }
            }
        }
    }

    #[test]
    fn corner_cases() {
        let mut shares = [1.0, 1.0];
        apportion(3.5, &[0.0, 0.0], 1, &mut shares);
        assert_eq!(shares, [0.0, 3.5]);
        apportion(f32::NAN, &[1.0, 0.0], 1, &mut shares);
        assert!(shares.iter().all(|s| s.is_nan()));
        apportion(0.0, &[1.0, 2.0], 0, &mut shares);
        assert_eq!(shares, [0.0, 0.0]);
    }
}

//! Shares a parent's pixels among its children, exactly.

/// Shares `pixel_njy` in proportion to `weights` (not negative), into `shares`.
///
/// Each share is rounded to a multiple of the unit in the last place of the pixel, and the remainder goes to the
/// largest weight (the first of equals), so that the f32 sum is the pixel exactly, in any order of summing.
/// All weights zero: everything goes to `fallback`. NaN pixels: every share is NaN.
pub fn apportion(_pixel_njy: f32, _weights: &[f64], _fallback: usize, _shares: &mut [f32]) {
    todo!()
}

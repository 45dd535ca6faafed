//! Warping: one exposure at one tract pixel, through a Lanczos kernel.

use super::kernel::Lanczos;
use super::prepared::Prepared;

/// Value of one exposure at one tract pixel, before the pixel-area ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Warped {
    pub flux_njy: f64,
    pub variance_njy2: f64,
    /// Some taps were bad and the rest renormalised.
    pub is_inexact: bool,
}

/// What an exposure gives at a position.
pub(crate) enum WarpOutcome {
    /// A value.
    Value(Warped),
    /// Too much of the kernel falls on bad pixels.
    Masked,
    /// The kernel leaves the exposure.
    Outside,
}

/// Σ k z / Σ k and Σ k² v / (Σ k)² over the good taps around (`x`, `y`) (exposure pixels), x, y > -2³¹.
///
/// Kept where the good taps supply at least `min_weight` of both Σk and Σk²; `exposure_shape` is that of the whole exposure.
pub(crate) fn warp_pixel(
    prepared: &Prepared,
    kernel: &Lanczos,
    exposure_shape: (usize, usize),
    x: f64,
    y: f64,
    min_weight: f64,
) -> WarpOutcome {
    // With the number of taps known to the compiler the sums are unrolled: twice as fast.
    match kernel.n_taps() {
        6 => warp_with::<6>(prepared, kernel, exposure_shape, x, y, min_weight),
        10 => warp_with::<10>(prepared, kernel, exposure_shape, x, y, min_weight),
        n => unreachable!("a Lanczos kernel of {n} taps"),
    }
}

fn warp_with<const N: usize>(
    prepared: &Prepared,
    kernel: &Lanczos,
    (ny, nx): (usize, usize),
    x: f64,
    y: f64,
    min_weight: f64,
) -> WarpOutcome {
    let (ix, iy) = (floor(x), floor(y));
    let (x0, y0) = (ix + kernel.first_tap(), iy + kernel.first_tap());
    if x0 < 0 || y0 < 0 || x0 + N as i64 > nx as i64 || y0 + N as i64 > ny as i64 {
        return WarpOutcome::Outside;
    }
    let (wx, wy) = (kernel.weights::<N>(x - ix as f64), kernel.weights::<N>(y - iy as f64));
    let (ax, ay) = (x0 - i64::from(prepared.bbox.x0), y0 - i64::from(prepared.bbox.y0));
    let bad = prepared.bad.windows::<N>(ay as usize, ax as usize);
    let (width, first) = (prepared.flux_njy.ncols(), ay as usize * prepared.flux_njy.ncols() + ax as usize);
    let flux_njy = prepared.flux_njy.as_slice().expect("standard layout");
    let variance_njy2 = prepared.variance_njy2.as_slice().expect("standard layout");
    let taps = |plane: &[f32], j: usize| -> [f32; N] { plane[first + j * width..][..N].try_into().expect("N pixels") };
    // Along y first: the columns are independent lanes. Bad pixels hold 0 in both planes, so they need no care here.
    let (mut column_z, mut column_v) = ([0.0; N], [0.0; N]);
    for (j, &wy) in wy.iter().enumerate() {
        let (z, v, wy2) = (taps(flux_njy, j), taps(variance_njy2, j), wy * wy);
        for i in 0..N {
            column_z[i] += wy * f64::from(z[i]);
            column_v[i] += wy2 * f64::from(v[i]);
        }
    }
    let (mut flux, mut variance) = (0.0, 0.0);
    for i in 0..N {
        flux += wx[i] * column_z[i];
        variance += wx[i] * wx[i] * column_v[i];
    }
    if bad.iter().fold(0, |any, b| any | b) == 0 {
        return WarpOutcome::Value(Warped { flux_njy: flux, variance_njy2: variance, is_inexact: false });
    }
    // The good taps' share of Σk (which is 1) and of Σk²: all less the bad ones, which are few.
    let all_2 = wx.iter().map(|w| w * w).sum::<f64>() * wy.iter().map(|w| w * w).sum::<f64>();
    let (mut good_1, mut good_2) = (1.0, all_2);
    for (&bits, &wy) in bad.iter().zip(&wy) {
        let mut bits = bits;
        while bits != 0 {
            let k = wx[bits.trailing_zeros() as usize] * wy;
            bits &= bits - 1;
            good_1 -= k;
            good_2 -= k * k;
        }
    }
    if good_1 < min_weight || good_2 < min_weight * all_2 {
        return WarpOutcome::Masked;
    }
    WarpOutcome::Value(Warped { flux_njy: flux / good_1, variance_njy2: variance / (good_1 * good_1), is_inexact: true })
}

/// The whole number below: without SSE 4.1 `f64::floor` is a call.
pub(crate) fn floor(x: f64) -> i64 {
    let whole = x as i64;
    whole - i64::from(x < whole as f64)
}

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

/// Σ k z / Σ k and Σ k² v / (Σ k)² over the good taps around (`x`, `y`) (exposure pixels).
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
    let n = kernel.n_taps();
    let (fx, fy) = (x.floor(), y.floor());
    let (x0, y0) = (fx as i64 + kernel.first_tap(), fy as i64 + kernel.first_tap());
    let (ny, nx) = exposure_shape;
    if x0 < 0 || y0 < 0 || x0 + n as i64 > nx as i64 || y0 + n as i64 > ny as i64 {
        return WarpOutcome::Outside;
    }
    let (wx, wy) = (kernel.weights(x - fx), kernel.weights(y - fy));
    let (ax, ay) = (x0 - i64::from(prepared.bbox.x0), y0 - i64::from(prepared.bbox.y0));
    let (mut flux, mut variance) = (0.0, 0.0);
    let (mut good_1, mut good_2) = (0.0, 0.0);
    let mut n_bad = 0;
    for (j, &wy) in wy.iter().enumerate().take(n) {
        let bad = prepared.bad.window(ay + j as i64, ax, n);
        let row = (ay as usize + j, ax as usize);
        let z = &prepared.flux_njy.row(row.0);
        let v = &prepared.variance_njy2.row(row.0);
        if bad == 0 {
            let (mut along_z, mut along_v) = (0.0, 0.0);
            for (i, &wx) in wx.iter().enumerate().take(n) {
                along_z += wx * f64::from(z[row.1 + i]);
                along_v += wx * wx * f64::from(v[row.1 + i]);
            }
            flux += wy * along_z;
            variance += wy * wy * along_v;
        }
        if bad != 0 {
            n_bad += 1;
            for (i, &wx) in wx.iter().enumerate().take(n).filter(|(i, _)| bad >> i & 1 == 0) {
                let k = wx * wy;
                flux += k * f64::from(z[row.1 + i]);
                variance += k * k * f64::from(v[row.1 + i]);
                good_1 += k;
                good_2 += k * k;
            }
        } else {
            good_1 += wy;
            good_2 += wy * wy * wx.iter().map(|w| w * w).sum::<f64>();
        }
    }
    if n_bad == 0 {
        return WarpOutcome::Value(Warped { flux_njy: flux, variance_njy2: variance, is_inexact: false });
    }
    let all_2 = wx.iter().map(|w| w * w).sum::<f64>() * wy.iter().map(|w| w * w).sum::<f64>();
    if good_1 < min_weight || good_2 < min_weight * all_2 {
        return WarpOutcome::Masked;
    }
    WarpOutcome::Value(Warped { flux_njy: flux / good_1, variance_njy2: variance / (good_1 * good_1), is_inexact: true })
}

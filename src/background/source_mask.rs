//! Pixels of one exposure that sources touch.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};

/// Truncation of the Gaussian filters \[σ\].
const REACH_SIGMA: f64 = 3.0;

/// True where the image departs from the sky: where it, filtered with a Gaussian of the PSF's width, or of three times that (wings),
/// exceeds `limit` sigma, grown by one FWHM.
///
/// Negative departures count as positive ones do: masking only upward noise would leave a sky that is too low.
///
/// # Arguments
/// * `residual`: `[y, x]`, background subtracted; 0 at unusable pixels.
/// * `pixel_sigma`: noise of a pixel, in the units of `residual`.
#[must_use]
pub fn source_mask(residual: ArrayView2<f32>, pixel_sigma: f64, fwhm_px: f64, limit: f64) -> Array2<bool> {
    let sigma_px = fwhm_px / 2.354_82;
    let mut mask = Array2::from_elem(residual.dim(), false);
    for width in [sigma_px, 3.0 * sigma_px] {
        let (filtered, gain) = gaussian_filter(residual, width);
        let threshold = (limit * pixel_sigma * gain) as f32;
        Zip::from(&mut mask).and(&filtered).for_each(|m, &v| *m |= v.abs() > threshold);
    }
    dilate(&mask, fwhm_px.ceil() as usize)
}

/// Separable Gaussian filter of unit sum, zero beyond the edges; and √Σk², its effect on white noise.
#[must_use]
pub fn gaussian_filter(image: ArrayView2<f32>, sigma_px: f64) -> (Array2<f32>, f64) {
    let reach = (REACH_SIGMA * sigma_px).ceil() as i64;
    let mut kernel: Array1<f64> = (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma_px).powi(2)).exp()).collect();
    kernel /= kernel.sum();
    let gain = kernel.mapv(|k| k * k).sum();
    let taps: Vec<f32> = kernel.iter().map(|&k| k as f32).collect();
    let mut out = image.to_owned();
    for axis in 0..2 {
        // Whole rows at a time: along y the sum runs over rows, along x over shifted views of a row.
        let input = out.clone();
        out.fill(0.0);
        let n = input.len_of(Axis(axis)) as i64;
        for (tap, k) in taps.iter().enumerate() {
            let shift = tap as i64 - reach;
            let (from, to) = ((-shift).max(0), (n - shift).min(n));
            if from >= to {
                continue;
            }
            let (a, b) = (from as isize, to as isize);
            let (c, d) = ((from + shift) as isize, (to + shift) as isize);
            if axis == 0 {
                out.slice_mut(s![a..b, ..]).scaled_add(*k, &input.slice(s![c..d, ..]));
            } else {
                out.slice_mut(s![.., a..b]).scaled_add(*k, &input.slice(s![.., c..d]));
            }
        }
    }
    (out, gain)
}

/// Grows a mask by a box of half-width `r`.
fn dilate(mask: &Array2<bool>, r: usize) -> Array2<bool> {
    let mut out = mask.clone();
    for axis in 0..2 {
        let input = out.clone();
        for (mut to, from) in out.lanes_mut(Axis(axis)).into_iter().zip(input.lanes(Axis(axis))) {
            let n = to.len();
            let mut last: Option<usize> = None;
            for i in 0..n {
                last = if from[i] { Some(i) } else { last };
                to[i] = last.is_some_and(|l| i - l <= r);
            }
            let mut next: Option<usize> = None;
            for i in (0..n).rev() {
                next = if from[i] { Some(i) } else { next };
                to[i] |= next.is_some_and(|l| l - i <= r);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_masked_and_grown() {
        let mut image = Array2::<f32>::zeros((40, 50));
        image[[20, 25]] = 100.0;
        let mask = source_mask(image.view(), 1.0, 3.0, 5.0);
        assert!(mask[[20, 25]] && mask[[17, 25]] && !mask[[0, 0]]);
        image[[20, 25]] = -100.0;
        assert_eq!(mask, source_mask(image.view(), 1.0, 3.0, 5.0));
    }

    #[test]
    fn the_filter_keeps_the_flux() {
        let mut image = Array2::<f32>::zeros((41, 41));
        image[[20, 20]] = 1.0;
        let (out, gain) = gaussian_filter(image.view(), 2.0);
        assert!((out.sum() - 1.0).abs() < 1e-5);
        let power: f32 = out.mapv(|v| v * v).sum();
        assert!((f64::from(power).sqrt() - gain).abs() < 1e-6);
    }
}

//! Matching one known PSF to another: a kernel by regularised division in Fourier space, and the target to match to.

use super::fft2::{RealFft2, fast_length};
use super::pair_fft::{PairFft, PairScratch, SharedFilter};
use ndarray::{Array2, ArrayView2, Zip};
use rustfft::num_complex::{Complex32, Complex64};

/// Floor of the division, relative to the power at k = 0: where a PSF holds less than this, nothing is restored.
const POWER_FLOOR: f64 = 1e-8;

/// A Gaussian PSF of unit sum, `[2r+1, 2r+1]`, pixel included in its width.
#[must_use]
pub fn gaussian_psf(fwhm_px: f64, radius_px: usize) -> Array2<f64> {
    let (side, r) = (2 * radius_px + 1, radius_px as f64);
    let sigma_px = fwhm_px / 2.354_82;
    let stamp = Array2::from_shape_fn((side, side), |(j, i)| {
        (-0.5 * ((i as f64 - r).powi(2) + (j as f64 - r).powi(2)) / (sigma_px * sigma_px)).exp()
    });
    let sum = stamp.sum();
    stamp / sum
}

/// Kernel K of unit sum with K * `from` = `to`, on one grid of pixels: `[2h+1, 2h+1]`, h = `half_width_px`.
///
/// In Fourier space K = T F* / (|F|² + λ), with F and T the two PSFs brought to unit sum (a matching kernel must keep the level of the
/// sky, whatever share of the light the stamps hold) and λ = 10⁻⁸. No deconvolution is done where T is broader than F.
///
/// # Arguments
/// * `from`, `to`: PSFs with odd sides, the source on the central pixel.
///
/// # Source
/// Aniano et al. 2011, PASP 123, 1218; with a Wiener floor instead of their low-pass filter.
#[must_use]
pub fn matching_kernel(from: ArrayView2<f64>, to: ArrayView2<f64>, half_width_px: usize) -> Array2<f64> {
    // Light must not run round the edges: the kernel on top of the wider stamp fits.
    let n = fast_length(from.nrows().max(to.nrows()) + 2 * half_width_px + 1);
    let fft = RealFft2::new(n);
    let (from_sum, to_sum) = (from.sum(), to.sum());
    let mut spectrum: Array2<Complex64> = fft.of_stamp(to);
    Zip::from(&mut spectrum).and(&fft.of_stamp(from)).for_each(|t, f| {
        let f = f / from_sum;
        *t = *t / to_sum * f.conj() / (f.norm_sqr() + POWER_FLOOR);
    });
    let image = fft.inverse(spectrum);
    let side = 2 * half_width_px + 1;
    let at = |k: usize| (k + n - half_width_px) % n;
    let kernel = Array2::from_shape_fn((side, side), |(j, i)| image[[at(j), at(i)]]);
    let sum = kernel.sum();
    kernel / sum
}

/// FWHM of the target: `factor` times the one below which `fraction` of the exposures lie (NaN without any).
///
/// A Gaussian a fifth broader than the broadest Moffat profile is reached from all of them without deconvolution (tested below).
#[must_use]
pub fn target_fwhm_px(mut fwhms_px: Vec<f64>, fraction: f64, factor: f64) -> f64 {
    fwhms_px.sort_by(f64::total_cmp);
    let rank = (fraction * fwhms_px.len() as f64).ceil() as usize;
    fwhms_px.get(rank.max(1) - 1).map_or(f64::NAN, |w| factor * w)
}

/// An image whose gaps are filled with nothing, convolved with a kernel of unit sum and brought back to level: Σ k z / Σ k over the good pixels.
///
/// Exact where the image is flat; in single precision, 10⁻⁷ of the root mean square of the pixels. `None` without a good pixel in the result.
///
/// # Arguments
/// * `image`: `[y, x]`, NaN where bad, at most `fft.n()` a side.
/// * `half_width_px`: of the kernel; the result, `[y - 2h, x - 2h]`, ends this far from the image's edges. It is NaN where the kernel finds less than
///   `min_weight` of its sum on good pixels.
pub(super) fn masked_convolution(
    image: ArrayView2<f32>,
    fft: &PairFft,
    filter: &SharedFilter,
    half_width_px: usize,
    min_weight: f32,
    scratch: &mut PairScratch,
) -> Option<Array2<f32>> {
    let (n, h, (ny, nx)) = (fft.n(), half_width_px, image.dim());
    scratch.pixels.fill(Complex32::ZERO);
    let (mut sum_sq, mut n_good) = (0.0f64, 0usize);
    for (row, to) in image.rows().into_iter().zip(scratch.pixels.chunks_mut(n)) {
        for (z, to) in row.iter().zip(to) {
            if !z.is_nan() {
                to.re = *z;
                sum_sq += f64::from(z * z);
                n_good += 1;
            }
        }
    }
    if n_good == 0 {
        return None;
    }
    // Gaps go beside the pixels as imaginary part, on their scale: the rounding errors of one reach the other.
    let gap = if sum_sq > 0.0 { (sum_sq / n_good as f64).sqrt() as f32 } else { 1.0 };
    let has_gaps = n_good < ny * nx;
    if has_gaps {
        for (row, to) in image.rows().into_iter().zip(scratch.pixels.chunks_mut(n)) {
            row.iter().zip(to).filter(|(z, _)| z.is_nan()).for_each(|(_, to)| to.im = gap);
        }
    }
    fft.forward(scratch, ny);
    let (height, width) = (ny - 2 * h, nx - 2 * h);
    fft.filtered_alike(scratch, filter, h..h + height);
    let mut out = Array2::from_elem((height, width), f32::NAN);
    let mut has_any = false;
    for (mut row, from) in out.rows_mut().into_iter().zip(scratch.pixels[h * n..].chunks(n)) {
        for (z, value) in row.iter_mut().zip(&from[h..]) {
            let weight = if has_gaps { 1.0 - value.im / gap } else { 1.0 };
            if weight >= min_weight {
                *z = value.re / weight;
                has_any = true;
            }
        }
    }
    has_any.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PixelPoint;
    use crate::image::psf::{Psf, PsfModel};

    fn moffat(fwhm_px: f64, beta: f64, e1: f64) -> Array2<f64> {
        let model = PsfModel::Moffat { fwhm_px, beta, e1, e2: 0.3 * e1, radius_px: 40, pixel_integrated: false };
        Psf::new(model).unwrap().stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0)
    }

    fn convolve(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        let fft = RealFft2::new(fast_length(a.nrows() + b.nrows()));
        fft.inverse(fft.of_stamp(a.view()) * fft.of_stamp(b.view()))
    }

    /// The matched PSF is the target to 1e-3 of its peak, for every seeing from half of the broadest on and for elliptical PSFs, and
    /// white noise grows nowhere.
    #[test]
    fn matched_psfs_are_the_target() {
        let (broadest, radius) = (6.1, 31);
        let fwhm = target_fwhm_px(vec![4.0, broadest, 3.0], 1.0, 1.2);
        assert!((fwhm - 7.32).abs() < 1e-12);
        let target = gaussian_psf(fwhm, radius);
        for (fwhm_px, beta, e1) in [(3.0, 3.5, 0.05), (4.5, 3.5, -0.05), (broadest, 3.5, 0.1), (broadest, 4.7, 0.0)] {
            let from = moffat(fwhm_px, beta, e1);
            let kernel = matching_kernel(from.view(), target.view(), (4.0 * fwhm).ceil() as usize);
            let unit = &from / from.sum();
            let matched = convolve(&unit, &kernel);
            let n = matched.nrows();
            let mut residual = matched;
            for ((j, i), t) in target.indexed_iter() {
                residual[[(j + n - radius) % n, (i + n - radius) % n]] -= t;
            }
            let worst = residual.iter().fold(0.0f64, |m, r| m.max(r.abs())) / target[[radius, radius]];
            assert!(worst < 1e-3, "FWHM {fwhm_px}, beta {beta}: {worst:.1e}");
            let gain = kernel.mapv(|k| k * k).sum().sqrt();
            assert!((kernel.sum() - 1.0).abs() < 1e-12 && gain < 0.5, "{gain}");
        }
    }

    /// The same PSF on both sides: the kernel is a single pixel.
    #[test]
    fn nothing_to_do_is_a_delta() {
        let psf = gaussian_psf(2.0, 12);
        let kernel = matching_kernel(psf.view(), psf.view(), 8);
        // At the corner of the frequencies its power is 7e-7: the floor takes 1.5 % of that.
        assert!((kernel[[8, 8]] - 1.0).abs() < 0.01, "{}", kernel[[8, 8]]);
    }

    /// A flat image with gaps stays flat; a gap that holds too much of the kernel stays a gap.
    #[test]
    fn gaps_do_not_change_the_level() {
        let kernel = gaussian_psf(4.0, 8);
        let fft = PairFft::new(fast_length(64));
        let mut scratch = fft.scratch();
        let filter = fft.shared_filter(&mut scratch, kernel.view());
        let image = Array2::from_shape_fn((60, 64), |(j, i)| if j == 30 || (20..32).contains(&i) && j > 40 { f32::NAN } else { 7.0 });
        let mut run = |image: &Array2<f32>| masked_convolution(image.view(), &fft, &filter, 8, 0.7, &mut scratch);
        let out = run(&image).unwrap();
        assert_eq!(out.dim(), (44, 48));
        assert!(out.iter().filter(|z| !z.is_nan()).all(|z| (z - 7.0).abs() < 1e-5));
        assert!((out[[22, 4]] - 7.0).abs() < 1e-5 && out[[40, 18]].is_nan());
        assert!(run(&Array2::zeros((60, 64))).unwrap().iter().all(|z| *z == 0.0));
        assert!(run(&Array2::from_elem((60, 64), f32::NAN)).is_none());
    }
}

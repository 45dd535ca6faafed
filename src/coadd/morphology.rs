//! Extended morphologies on the tract's pixels: band-limited stamps g, and what they make of the point-source maps.
//!
//! Ψ_g(x) = Σ_t g(t) Ψ(x + t) is exact for any masks, variances and PSFs, because correlation is linear. Φ_g is no such sum of Φ; it
//! is summed exposure by exposure in the coadd phase, or follows, away from masks and edges, from a cell's
//! [autocorrelation](super::PsfAutocorrelation).

use super::fft2::{RealFft2, fast_length};
use ndarray::{Array2, ArrayView2, s};
use rustfft::num_complex::Complex64;

/// Half-light radius of an exponential disc in scale lengths: 1 - (1 + x) e^-x = 1/2.
const HALF_LIGHT_SCALES: f64 = 1.678_346_990;

/// Reach of a stamp in scale lengths: (1 + 12) e^-12 = 8e-5 of the light lies beyond.
const REACH_SCALES: f64 = 12.0;

/// Least reach of a stamp \[pixel\]: the ripples of a profile smaller than a pixel fall off as 1/x², those beyond hold 3e-5.
const MIN_REACH_PX: usize = 16;

/// Share by which a pixel's Φ may differ from A(0) of its cell where A stands for the noise there.
pub const MAX_PHI_DEVIATION: f64 = 0.05;

/// A round exponential disc of unit flux on the tract's pixels, `[2r+1, 2r+1]`, centred; its sum is the share of the light inside.
///
/// Band-limited: the values (1 + 4π²k²h²)^(-3/2) of its Fourier transform at the grid's frequencies k, transformed back (h:
/// scale length). Samples of the profile would bias the flux of a disc of 1 px by -3.7 % at an FWHM of 2.5 px, means over the pixels by
/// +1.5 %: the PSFs hold the pixel already.
///
/// # Arguments
/// * `half_light_px`: half-light radius \[tract pixel\], positive.
#[must_use]
pub fn exponential_stamp(half_light_px: f64) -> Array2<f64> {
    let scale_px = half_light_px / HALF_LIGHT_SCALES;
    let radius_px = ((REACH_SCALES * scale_px).ceil() as usize).max(MIN_REACH_PX);
    band_limited(radius_px, |kx, ky| {
        let w = std::f64::consts::TAU * scale_px;
        (1.0 + w * w * (kx * kx + ky * ky)).powf(-1.5)
    })
}

/// The stamp `[2r+1, 2r+1]` of a profile that is even in x and in y, from its Fourier transform at frequencies in cycles per pixel.
fn band_limited(radius_px: usize, fourier: impl Fn(f64, f64) -> f64) -> Array2<f64> {
    // Light beyond the grid's edge returns on the other side: a grid twice the stamp keeps that out of the stamp.
    let n = fast_length(4 * radius_px + 2);
    let frequency = |i: usize| (if i > n / 2 { i as f64 - n as f64 } else { i as f64 }) / n as f64;
    let spectrum = Array2::from_shape_fn((n / 2 + 1, n), |(i, j)| Complex64::new(fourier(frequency(i), frequency(j)), 0.0));
    centred(&RealFft2::new(n).inverse(spectrum), radius_px)
}

/// The `[2r+1, 2r+1]` pixels around the origin of a periodic image.
pub(super) fn centred(image: &Array2<f64>, radius_px: usize) -> Array2<f64> {
    let n = image.nrows();
    let at = |i: usize| (i + n - radius_px) % n;
    Array2::from_shape_fn((2 * radius_px + 1, 2 * radius_px + 1), |(j, i)| image[[at(j), at(i)]])
}

/// (g ⋆ g)(d) = Σ_t g(t) g(t + d), `[2h+1, 2h+1]`, h = `half_width`: lags beyond the stamp's sides are 0.
#[must_use]
pub fn stamp_autocorrelation(stamp: ArrayView2<f64>, half_width: usize) -> Array2<f64> {
    // Lags wrap at n: beyond the side plus the half-width they cannot reach those that are kept.
    let n = fast_length(stamp.nrows().max(half_width + 1) + half_width);
    let fft = RealFft2::new(n);
    let power = fft.of_stamp(stamp).mapv(|v| Complex64::new(v.norm_sqr(), 0.0));
    let side = stamp.nrows() as i64;
    let mut lags = centred(&fft.inverse(power), half_width);
    lags.indexed_iter_mut().for_each(|((j, i), v)| {
        let is_beyond = |k: usize| (k as i64 - half_width as i64).abs() >= side;
        if is_beyond(j) || is_beyond(i) {
            *v = 0.0;
        }
    });
    lags
}

/// Φ_g = Σ_d A(d) (g ⋆ g)(d) \[1/nJy²\] of a source whose profile is `stamp`, from a cell's autocorrelation.
///
/// Exact where the variances are uniform and nothing is masked over the source; beside masks and edges it errs by as much as Φ
/// itself differs from A(0): see [`is_uniform`].
///
/// # Arguments
/// * `autocorrelation`: A(d) \[1/nJy²\], `[2h+1, 2h+1]`.
/// * `stamp`: g, unit flux, odd side.
#[must_use]
pub fn phi_of_morphology(autocorrelation: ArrayView2<f32>, stamp: ArrayView2<f64>) -> f64 {
    let lags = stamp_autocorrelation(stamp, autocorrelation.nrows() / 2);
    autocorrelation.iter().zip(&lags).map(|(&a, g)| f64::from(a) * g).sum()
}

/// True where A(d) of the cell holds for a pixel: its Φ differs from A(0) by at most [`MAX_PHI_DEVIATION`].
#[must_use]
pub fn is_uniform(phi: f32, phi_of_cell: f64) -> bool {
    (f64::from(phi) - phi_of_cell).abs() <= MAX_PHI_DEVIATION * phi_of_cell
}

/// Ψ_g(x) = Σ_t g(t) Ψ(x + t) \[1/nJy\] on the pixels at least r = (side - 1)/2 from the edges: `[ny - 2r, nx - 2r]`.
///
/// In f64; to be called on a cell with its margins, so that the result depends on no patch.
///
/// # Arguments
/// * `psi`: Ψ \[1/nJy\], `[ny, nx]`, both larger than 2r; 0 without data.
/// * `stamp`: g, unit flux, `[2r+1, 2r+1]`.
#[must_use]
pub fn psi_of_morphology(psi: ArrayView2<f32>, stamp: ArrayView2<f64>) -> Array2<f64> {
    let ((ny, nx), r) = (psi.dim(), stamp.nrows() / 2);
    // What wraps round falls on the margins.
    let fft = RealFft2::new(fast_length(ny.max(nx)));
    let mut spectrum = fft.forward(padded(psi, fft.n()));
    spectrum.zip_mut_with(&fft.of_stamp(stamp), |v, g| *v *= g.conj());
    fft.inverse(spectrum).slice(s![r..ny - r, r..nx - r]).to_owned()
}

/// An image in the corner of an n x n array of zeros.
pub(super) fn padded(image: ArrayView2<f32>, n: usize) -> Array2<f64> {
    let mut out = Array2::zeros((n, n));
    out.slice_mut(s![..image.nrows(), ..image.ncols()]).zip_mut_with(&image, |o, &v| *o = f64::from(v));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Seen through a Gaussian PSF of 2.5 px FWHM, the stamp's sum and its flux through the PSF are those of the continuous disc.
    #[test]
    fn a_disc_seen_through_a_psf_is_the_continuous_one() {
        let sigma_px = 2.5 / 2.354_82;
        for half_light_px in [0.5, 1.0, 2.0, 4.0, 8.0] {
            let g = exponential_stamp(half_light_px);
            let r = (g.nrows() / 2) as f64;
            // Ripples of a disc of half a pixel go on beyond the stamp.
            assert_abs_diff_eq!(g.sum(), 1.0, epsilon = 1e-3);
            let psf =
                |x: f64, y: f64| (-(x * x + y * y) / (2.0 * sigma_px * sigma_px)).exp() / (std::f64::consts::TAU * sigma_px * sigma_px);
            let h = half_light_px / HALF_LIGHT_SCALES;
            for offset in [0.0, 0.5] {
                let seen: f64 = g.indexed_iter().map(|((j, i), v)| v * psf(i as f64 - r - offset, j as f64 - r)).sum();
                // ∫ of the profile times the PSF over polar coordinates around the disc's centre.
                let (n_r, n_angles) = (4000, 64);
                let step = 16.0 * h.max(1.0) / f64::from(n_r);
                let expected: f64 = (0..n_r)
                    .map(|k| (f64::from(k) + 0.5) * step)
                    .map(|radius| {
                        let around = (0..n_angles).map(|a| f64::from(a) / f64::from(n_angles) * std::f64::consts::TAU);
                        let ring: f64 = around.map(|a| psf(radius * a.cos() - offset, radius * a.sin())).sum();
                        radius * (-radius / h).exp() / (h * h) * ring / f64::from(n_angles) * step
                    })
                    .sum();
                // A PSF of 2.5 px has 3e-6 of its power beyond the grid's band.
                assert!((seen / expected - 1.0).abs() < 2e-4, "r_half {half_light_px} px, offset {offset}: {seen} {expected}");
            }
        }
    }

    /// Against the sums written out.
    #[test]
    fn correlations_are_their_sums() {
        let stamp = Array2::from_shape_fn((7, 7), |(j, i)| ((3 * j + 5 * i) % 7) as f64 - 2.0);
        let lags = stamp_autocorrelation(stamp.view(), 9);
        for (dy, dx) in [(0, 0), (2, -3), (-6, 6), (7, 0), (9, 9), (-1, 5)] {
            let inside = |v: i64| usize::try_from(v).ok().filter(|v| *v < 7);
            let other = |j: usize, i: usize| inside(j as i64 + dy).zip(inside(i as i64 + dx)).map_or(0.0, |(j, i)| stamp[[j, i]]);
            let expected: f64 = stamp.indexed_iter().map(|((j, i), v)| v * other(j, i)).sum();
            assert_abs_diff_eq!(lags[[(dy + 9) as usize, (dx + 9) as usize]], expected, epsilon = 1e-10);
        }
        let psi = Array2::from_shape_fn((20, 15), |(j, i)| ((11 * j + 7 * i) % 13) as f32);
        let found = psi_of_morphology(psi.view(), stamp.view());
        assert_eq!(found.dim(), (14, 9));
        for ((j, i), v) in found.indexed_iter() {
            let expected: f64 = stamp.indexed_iter().map(|((b, a), g)| g * f64::from(psi[[j + b, i + a]])).sum();
            assert_abs_diff_eq!(*v, expected, epsilon = 1e-10);
        }
    }

    /// A point source is the morphology of one pixel: Φ_g = A(0).
    #[test]
    fn a_point_has_the_phi_of_the_cell() {
        let a = Array2::from_shape_fn((11, 11), |(j, i)| (-((j as f32 - 5.0).powi(2) + (i as f32 - 5.0).powi(2)) / 9.0).exp());
        assert_abs_diff_eq!(phi_of_morphology(a.view(), Array2::ones((1, 1)).view()), 1.0, epsilon = 1e-12);
        assert!(is_uniform(1.04, 1.0) && !is_uniform(0.94, 1.0) && !is_uniform(0.0, 1.0));
    }
}

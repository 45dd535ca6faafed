//! Core flux, size and ellipticity of a matched PSF against its target, as linear sums over the unmatched one.
//!
//! A sum Σ g (K * F) over the pixels of K * F is Σ F (g ⋆ K): with g ⋆ K at hand, a place costs one PSF stamp and five sums.

use crate::coadd::fft2::{RealFft2, fast_length};
use ndarray::{Array2, ArrayView2};

/// Number of sums.
pub(super) const N_SUMS: usize = 5;

/// Sums that the shape is made of: flux within half the target's FWHM; and Σ W, Σ W x², Σ W y², Σ W x y with the target itself for W.
pub(super) type ShapeSums = [f64; N_SUMS];

/// How far a PSF is from the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PsfResidual {
    /// Flux within half the target's FWHM of the centre, relative to the target's, less 1.
    pub core_flux: f64,
    /// Size (root of the trace of the second moments, weighted by the target) relative to the target's, less 1.
    pub size: f64,
    /// (xx - yy) / (xx + yy) of these moments.
    pub e1: f64,
    /// 2 xy / (xx + yy).
    pub e2: f64,
}

impl PsfResidual {
    /// The largest of them, without sign.
    #[must_use]
    pub fn worst(&self) -> f64 {
        [self.core_flux, self.size, self.e1, self.e2].into_iter().fold(0.0, |worst, r| worst.max(r.abs()))
    }
}

/// The target and what measures a PSF against it.
pub(super) struct ShapeProbe {
    /// The functions g, `[2r+1, 2r+1]`.
    functions: [Array2<f64>; N_SUMS],
    of_target: ShapeSums,
    fft: RealFft2,
}

impl ShapeProbe {
    /// `target`: `[2r+1, 2r+1]`; kernels have the same shape.
    pub fn new(target: ArrayView2<f64>, target_fwhm_px: f64) -> Self {
        let r = (target.nrows() / 2) as f64;
        let function =
            |g: &dyn Fn(f64, f64, f64) -> f64| Array2::from_shape_fn(target.dim(), |(j, i)| g(i as f64 - r, j as f64 - r, target[[j, i]]));
        let functions = [
            function(&|x, y, _| f64::from(u8::from(x.hypot(y) <= 0.5 * target_fwhm_px))),
            function(&|_, _, w| w),
            function(&|x, _, w| w * x * x),
            function(&|_, y, w| w * y * y),
            function(&|x, y, w| w * x * y),
        ];
        let of_target = functions.each_ref().map(|g| (g * &target).sum());
        Self { functions, of_target, fft: RealFft2::new(fast_length(2 * target.nrows())) }
    }

    /// g ⋆ K for all functions: Σ g (K * F) = Σ F (g ⋆ K), for PSFs F of side 2 `radius_px` + 1, at most twice the target's.
    pub fn through(&self, kernel: ArrayView2<f64>, radius_px: usize) -> [Array2<f64>; N_SUMS] {
        let (n, r, side) = (self.fft.n(), radius_px, 2 * radius_px + 1);
        let kernel_spectrum = self.fft.of_stamp(kernel);
        let at = |k: usize| (k + n - r) % n;
        self.functions.each_ref().map(|g| {
            let mut spectrum = self.fft.of_stamp(g.view());
            spectrum.zip_mut_with(&kernel_spectrum, |g, k| *g *= k.conj());
            let image = self.fft.inverse(spectrum);
            Array2::from_shape_fn((side, side), |(j, i)| image[[at(j), at(i)]])
        })
    }

    /// Sums of a PSF that is matched already.
    #[cfg(test)]
    pub fn sums(&self, matched: &Array2<f64>) -> ShapeSums {
        self.functions.each_ref().map(|g| (g * matched).sum())
    }

    /// The shape of given sums.
    pub fn residual(&self, sums: &ShapeSums) -> PsfResidual {
        let size = |s: &ShapeSums| ((s[2] + s[3]) / s[1]).sqrt();
        let trace = sums[2] + sums[3];
        PsfResidual {
            core_flux: sums[0] / self.of_target[0] - 1.0,
            size: size(sums) / size(&self.of_target) - 1.0,
            e1: (sums[2] - sums[3]) / trace,
            e2: 2.0 * sums[4] / trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::psf_match::gaussian_psf;

    /// Sums through the kernel are those of the matched PSF; the target is itself; a PSF a per cent broader is so by its moments.
    #[test]
    fn sums_through_a_kernel_are_those_after_it() {
        let (fwhm, r) = (5.0, 20);
        let target = gaussian_psf(fwhm, r);
        let probe = ShapeProbe::new(target.view(), fwhm);
        assert!(probe.residual(&probe.sums(&target)).worst() < 1e-12);
        // Gaussians: widths add in squares.
        let (from, kernel) = (gaussian_psf(3.0, r), gaussian_psf(4.0, r));
        let sums = probe.through(kernel.view(), r).map(|g| (&g * &from).sum());
        assert!(probe.residual(&sums).worst() < 1e-6, "{:?}", probe.residual(&sums));
        let broad = gaussian_psf(1.01 * fwhm, r);
        let found = probe.residual(&probe.sums(&broad));
        // 1/σ² of the product is the sum of both: d ln σ = ½ d ln σ_PSF. Within half the FWHM: 1 - 2^-(1/1.01²) of the flux.
        assert!((found.size - 0.005).abs() < 2e-4 && (found.core_flux + 0.0139).abs() < 1e-3 && found.e1.abs() < 1e-9, "{found:?}");
    }
}

//! The matching kernel at one place of an exposure, the noise that it leaves, and how it measures the matched PSF.

use super::shape::{N_SUMS, ShapeProbe, ShapeSums};
use crate::coadd::coadd_psf::add_warped;
use crate::coadd::covariance::{Overlaps, lag_half_width, lag_sums};
use crate::coadd::fft2::{RealFft2, fast_length};
use crate::coadd::kernel::Lanczos;
use crate::coadd::mapping::{Jacobian, area_ratio, jacobian_at};
use crate::coadd::pair_fft::{PairFft, PairFilter, PairScratch};
use crate::coadd::psf_match::matching_kernel;
use crate::geometry::{PixelPoint, Wcs};
use crate::image::ExposureMeta;
use ndarray::{Array2, ArrayView2};
use rustfft::num_complex::Complex64;

/// Sample positions along a tile's side: their sub-pixel phases stand for those of all pixels.
const SAMPLES: usize = 6;

/// Pixels of a place whose sub-pixel phases stand for those of all.
const PHASES: i32 = 200;

/// A position on an exposure and the tract pixels around it for which it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// On the exposure.
    pub at: PixelPoint,
    /// Side of their square \[tract pixel\].
    pub spread_px: f64,
}

/// What every kernel of a band has in common.
pub(super) struct Matching {
    pub tract_wcs: Wcs,
    pub lanczos: Lanczos,
    pub overlaps: Overlaps,
    pub target: Array2<f64>,
    pub probe: ShapeProbe,
    /// Of kernels \[tract pixel\].
    pub half_width_px: usize,
    /// Of PSF stamps \[tract pixel\]: light beyond is lost to the kernel's level.
    pub psf_radius_px: usize,
    /// Of the noise covariance \[tract pixel\].
    pub lag_half_width_px: usize,
}

/// A matching kernel, ready to be applied.
pub(super) struct PlaceKernel {
    /// `[2h+1, 2h+1]`, of unit sum.
    pub kernel: Array2<f64>,
    pub filter: PairFilter,
    pub noise: MatchedNoise,
    /// Exposure pixels per tract pixel.
    pub area_ratio: f64,
    through: [Array2<f64>; N_SUMS],
}

/// The noise of a matched exposure whose pixels have unit variance \[(nJy per tract pixel)² per (nJy per exposure pixel)²\].
#[derive(Debug, Clone)]
pub(super) struct MatchedNoise {
    /// Stationary covariance by lag, `[dy + h, dx + h]`, brought to the sum over all lags.
    pub covariance: Array2<f64>,
    /// Share of Σ|C| that lies beyond its support.
    pub lost_share: f64,
    /// What K² is multiplied with to take the warp's variance plane to the matched one: what the plane lacks is the covariance.
    pub gain: f64,
}

impl PlaceKernel {
    /// Variance of a pixel of blank sky, for pixels of unit variance.
    pub fn unit_variance(&self) -> f64 {
        let h = self.noise.covariance.nrows() / 2;
        self.noise.covariance[[h, h]]
    }

    /// What measures the matched PSF of an unmatched one on the tract.
    pub fn sums(&self, psf: &Array2<f64>) -> ShapeSums {
        self.through.each_ref().map(|g| (g * psf).sum())
    }

    pub fn amplification(&self, matching: &Matching) -> f64 {
        matching.amplification(self.kernel.view())
    }
}

impl Matching {
    /// The kernel at a position of an exposure, its filter and noise.
    pub fn place_kernel(&self, meta: &ExposureMeta, place: Place, fft: &PairFft, scratch: &mut PairScratch) -> PlaceKernel {
        self.with_kernel(self.kernel(meta, place), meta, place, fft, scratch)
    }

    /// The same for a kernel that is given.
    pub fn with_kernel(
        &self,
        kernel: Array2<f64>,
        meta: &ExposureMeta,
        place: Place,
        fft: &PairFft,
        scratch: &mut PairScratch,
    ) -> PlaceKernel {
        let (on_tract, jacobian) = self.on_tract(meta, place.at);
        let noise = self.noise(kernel.view(), place, on_tract, &jacobian);
        let filter = fft.filter(scratch, kernel.view(), kernel.mapv(|k| noise.gain * k * k).view());
        let through = self.probe.through(kernel.view(), self.psf_radius_px);
        PlaceKernel { filter, noise, through, area_ratio: area_ratio(&jacobian), kernel }
    }

    /// The kernel of unit sum from an exposure's PSF at a position to the target.
    pub fn kernel(&self, meta: &ExposureMeta, place: Place) -> Array2<f64> {
        matching_kernel(self.mean_psf(meta, place).view(), self.target.view(), self.half_width_px)
    }

    /// Largest amplification of any wave: max |K(k)|; 1 for k = 0.
    ///
    /// The kernel is the ratio of the PSFs' transforms; where a PSF falls faster than its target the ratio exceeds 1, and noise with it:
    /// that is deconvolution, whichever direction or wavelength it has. Two Gaussians of one width have 1, 5 % more has 1.7.
    pub fn amplification(&self, kernel: ArrayView2<f64>) -> f64 {
        let fft = RealFft2::new(fast_length(2 * kernel.nrows()));
        fft.of_stamp(kernel).iter().fold(0.0, |most, k| most.max(k.norm()))
    }

    /// Tract position and Jacobian of a position on the exposure.
    fn on_tract(&self, meta: &ExposureMeta, at: PixelPoint) -> (PixelPoint, Jacobian) {
        let on_tract = self.tract_wcs.sky_to_pixel(meta.wcs.pixel_to_sky(at)).unwrap_or(PixelPoint::new(f64::NAN, f64::NAN));
        (on_tract, jacobian_at(&self.tract_wcs, &meta.wcs, on_tract))
    }

    /// The exposure's PSF at a place on the tract's pixels, the mean over the sub-pixel phases of its pixels.
    ///
    /// Warping leaves an image of the PSF at the next wave number, which goes with e^(2πi phase) along each axis. Its mean is r e^(iψ): 1 in length where
    /// all pixels have one phase, 0 where they have all; two phases, ψ/2π and half a pixel on, with weights (1 ± r)/2 have the same.
    pub fn mean_psf(&self, meta: &ExposureMeta, place: Place) -> Array2<f64> {
        let (on_tract, jacobian) = self.on_tract(meta, place.at);
        let (x, y) = on_tract.pixel();
        let first = (f64::from(x) - on_tract.x, f64::from(y) - on_tract.y);
        let (mut mean_x, mut mean_y) = (Complex64::ZERO, Complex64::ZERO);
        for k in 0..PHASES {
            // Whole pixels of a sequence without a period (Roberts' R2): a lattice of them could have one phase where the pixels have all.
            let along = |ratio: f64| (((f64::from(k) + 0.5) * ratio).fract() - 0.5) * place.spread_px;
            let (dx, dy) = (first.0 + along(0.754_877_666).floor(), first.1 + along(0.569_840_291).floor());
            let turn = |position: f64| Complex64::from_polar(1.0 / f64::from(PHASES), std::f64::consts::TAU * position.fract());
            mean_x += turn(place.at.x + jacobian[0][0] * dx + jacobian[0][1] * dy);
            mean_y += turn(place.at.y + jacobian[1][0] * dx + jacobian[1][1] * dy);
        }
        let two = |mean: Complex64, near: f64| {
            // The position of this phase that is nearest to the place.
            let phase = mean.arg() / std::f64::consts::TAU;
            let position = near + (phase - near) - (phase - near).round();
            [(position, 0.5 * (1.0 + mean.norm())), (position + 0.5, 0.5 * (1.0 - mean.norm()))]
        };
        let mut out = self.empty_stamp();
        for ((x, wx), (y, wy)) in two(mean_x, place.at.x).into_iter().flat_map(|x| two(mean_y, place.at.y).map(move |y| (x, y))) {
            add_warped(&self.lanczos, &meta.psf, PixelPoint::new(x, y), &jacobian, (0.0, 0.0), wx * wy, &mut out);
        }
        out
    }

    /// The exposure's PSF for a source on a whole pixel of the tract, as it is warped there: at its own phase.
    pub fn psf_on_tract(&self, meta: &ExposureMeta, (x, y): (i32, i32)) -> Option<Array2<f64>> {
        let on_tract = PixelPoint::new(f64::from(x), f64::from(y));
        let p = meta.wcs.sky_to_pixel(self.tract_wcs.pixel_to_sky(on_tract)).ok()?;
        let mut out = self.empty_stamp();
        add_warped(&self.lanczos, &meta.psf, p, &jacobian_at(&self.tract_wcs, &meta.wcs, on_tract), (0.0, 0.0), 1.0, &mut out);
        Some(out)
    }

    fn empty_stamp(&self) -> Array2<f64> {
        let side = 2 * self.psf_radius_px + 1;
        Array2::zeros((side, side))
    }

    /// Noise behind the kernel: C = (K ⋆ K) * C_warp, with C_warp that of the warp for the sub-pixel phases of the place.
    fn noise(&self, kernel: ArrayView2<f64>, place: Place, on_tract: PixelPoint, jacobian: &Jacobian) -> MatchedNoise {
        let area = area_ratio(jacobian);
        let h = lag_half_width(self.lanczos.n_taps(), area.sqrt());
        let (x, y) = on_tract.pixel();
        let positions: Vec<(f64, f64)> = (0..SAMPLES * SAMPLES)
            .map(|k| {
                // Whole tract pixels, spread over the place.
                let along = |k: usize| (((k as f64 + 0.5) / SAMPLES as f64 - 0.5) * place.spread_px).floor();
                let (dx, dy) = (f64::from(x) - on_tract.x + along(k % SAMPLES), f64::from(y) - on_tract.y + along(k / SAMPLES));
                (place.at.x + jacobian[0][0] * dx + jacobian[0][1] * dy, place.at.y + jacobian[1][0] * dx + jacobian[1][1] * dy)
            })
            .collect();
        let warp = lag_sums(&self.overlaps, jacobian, &positions, h) * (area * area / positions.len() as f64);
        let r = kernel.nrows() / 2;
        let fft = RealFft2::new(fast_length(4 * r + 2 * h + 2));
        let mut spectrum = fft.of_stamp(kernel);
        spectrum.zip_mut_with(&fft.of_stamp(warp.view()), |k, c| *k = *c * k.norm_sqr());
        let image = fft.inverse(spectrum);
        let (n, lag) = (fft.n(), self.lag_half_width_px);
        let at = |k: usize| (k + n - lag) % n;
        let covariance = Array2::from_shape_fn((2 * lag + 1, 2 * lag + 1), |(j, i)| image[[at(j), at(i)]]);
        let absolute = |a: &Array2<f64>| a.iter().map(|c| c.abs()).sum::<f64>();
        let lost_share = (1.0 - absolute(&covariance) / absolute(&image)).max(0.0);
        let variance = covariance[[lag, lag]];
        // Means over many pixels depend on the sum alone, which truncation must not touch.
        let to_whole = image.sum() / covariance.sum();
        let gain = variance / (kernel.mapv(|k| k * k).sum() * warp[[h, h]]);
        MatchedNoise { covariance: covariance * to_whole, lost_share, gain }
    }
}

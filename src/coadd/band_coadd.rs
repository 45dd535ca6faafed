//! The coadd of one band on the pixels of one patch.

use super::{Decision, PsfAutocorrelation};
use crate::geometry::Box2;
use crate::image::ExposureId;
use ndarray::{Array2, Array3};

/// One exposure's part in a coadd.
#[derive(Debug, Clone, PartialEq)]
pub struct CoaddInputRecord {
    /// Exposure.
    pub id: ExposureId,
    /// Weight in the direct coadd, for the whole exposure (a per-pixel weight would imprint the sources on the PSF).
    pub weight: f64,
    /// Pixels of the patch to which it contributes.
    pub n_pixels: u64,
    /// Middle of the exposure, MJD (TAI).
    pub mjd: f64,
    /// Electrons per nJy.
    pub electrons_per_njy: f64,
    /// FWHM of its PSF at its centre \[tract pixel\].
    pub fwhm_px: f64,
}

/// Likelihood maps of the exposures of one step of the ladder of time windows; planes of the coadd's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowMaps {
    /// Ψ \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
}

/// Noise autocorrelation of the direct coadd, one per cell.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseCovariance {
    /// Half-width h of the support: lags -h..=h.
    pub half_width: usize,
    /// Columns and rows of the cells, in the order of `covariance_njy2`.
    pub cells: Vec<(u32, u32)>,
    /// Cov(x, x + d) of blank sky \[nJy²\], `[cell, dy + h, dx + h]`, the mean over the cell.
    pub covariance_njy2: Array3<f64>,
}

/// Everything that the coadd phase makes of one band on one patch; planes have shape `bbox.shape()`.
#[derive(Debug, Clone, PartialEq)]
pub struct BandCoadd {
    /// Band name.
    pub band: String,
    /// Pixels, in tract coordinates (a patch's inner pixels).
    pub bbox: Box2,
    /// Direct coadd \[nJy per pixel\], background subtracted; NaN without data.
    pub image_njy: Array2<f32>,
    /// Its variance \[nJy²\], per pixel, sources' own noise included, without covariance; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`crate::MaskPlane`].
    pub mask: Array2<u32>,
    /// Which exposures contribute: bit i % 64 of word i / 64 for input i, `[word, y, x]`.
    pub inputs_wyx: Array3<u64>,
    /// Selected exposures of the band in the whole tract, in the order of the sums (the same list in every patch).
    pub inputs: Vec<CoaddInputRecord>,
    /// What was decided about every exposure of the band; those of `inputs` are the selected ones.
    pub decisions: Vec<Decision>,
    /// Ψ = Σ φ ⋆ z/v \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ = Σ φ² ⋆ 1/v \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
    /// Φ3 = Σ φ³ ⋆ 1/(g v²) \[1/nJy³\]: Var(flux F) = (Φ + F Φ3)/Φ².
    pub phi3: Array2<f32>,
    /// Ω = Σ φ ⋆ 1/v \[1/nJy²\]: a residual background b is taken off by Ψ - bΩ.
    pub omega: Array2<f32>,
    /// Half-light radii of the round exponential profiles of `phi_morphology` \[arcsec\].
    pub morphologies_arcsec: Vec<f64>,
    /// Φ_g = Σ (φ * g)² ⋆ 1/v \[1/nJy²\], one plane a profile; 0 without data. (Ψ_g is g ⋆ Ψ.)
    pub phi_morphology: Vec<Array2<f32>>,
    /// Covariance of the direct coadd's noise.
    pub covariance: NoiseCovariance,
    /// Autocorrelation of the PSFs, per cell.
    pub autocorrelation: PsfAutocorrelation,
    /// Mean FWHM of the band's PSF on the tract \[pixel\], weighted as the coadd (one number for the tract).
    pub fwhm_px: f64,
}

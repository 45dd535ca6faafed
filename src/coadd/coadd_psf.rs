//! The PSF of a direct coadd at any point: the weighted mean of the warped PSFs that contribute there.

use crate::geometry::{PixelPoint, Wcs};
use crate::image::ExposureMeta;
use ndarray::Array2;

/// One exposure of a coadd.
#[derive(Debug, Clone)]
pub struct CoaddPsfInput {
    /// PSF, WCS, calibration of the exposure.
    pub meta: ExposureMeta,
    /// Aperture corrections of the exposure.
    pub ap_corr: crate::image::ApCorrMap,
    /// Its weight in the stack.
    pub weight: f64,
}

/// PSFs of all exposures of one band of the tract, ready to be drawn anywhere.
#[derive(Debug, Clone)]
pub struct CoaddPsf {
    inputs: Vec<CoaddPsfInput>,
    tract_wcs: Wcs,
}

impl CoaddPsf {
    /// `inputs` in the order of [`super::BandCoadd::inputs`].
    #[must_use]
    pub fn new(inputs: Vec<CoaddPsfInput>, tract_wcs: Wcs) -> Self {
        Self { inputs, tract_wcs }
    }

    /// Image of a unit-flux point source at `at` (tract pixels) on the tract's pixels: `[2r+1, 2r+1]`,
    /// its central pixel being `at.pixel()`. Each exposure's PSF is drawn at its native phase and warped with the coadd's kernel.
    ///
    /// `contributors`: words of [`super::BandCoadd::inputs_wyx`] at the source's pixel. None contributes: all zero.
    #[must_use]
    pub fn stamp(&self, _at: PixelPoint, _contributors: &[u64], _radius_px: usize) -> Array2<f64> {
        let _ = (&self.inputs, &self.tract_wcs);
        todo!()
    }

    /// Aperture correction of a fixed-aperture flux: the harmonic mean Σw / Σ(w/A) of the contributors.
    #[must_use]
    pub fn ap_corr(&self, _algorithm: &str, _at: PixelPoint, _contributors: &[u64]) -> f64 {
        todo!()
    }
}

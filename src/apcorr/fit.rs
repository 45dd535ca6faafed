//! Fits one exposure's aperture corrections to its stars.

use crate::geometry::Box2;
use crate::image::ApCorr;
use serde::{Deserialize, Serialize};

/// Settings: section `[visit.ap_corr]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApCorrConfig {
    /// Radius of the calibration aperture \[arcsec\].
    pub calibration_radius_arcsec: f64,
    /// Least signal-to-noise of a star.
    pub min_snr: f64,
    /// Fewer stars than this: the correction is 1 and flagged.
    pub min_stars: usize,
    /// Highest order of the Chebyshev (triangular); lowered while there are too few stars.
    pub order: usize,
}

impl Default for ApCorrConfig {
    fn default() -> Self {
        Self { calibration_radius_arcsec: 3.0, min_snr: 100.0, min_stars: 5, order: 0 }
    }
}

/// Fluxes of one star on one exposure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StarFluxes {
    /// Column \[pixel\].
    pub x: f64,
    /// Row \[pixel\].
    pub y: f64,
    /// Flux in the calibration aperture, corrected for the PSF model's light outside it.
    pub calibration: f64,
    /// Flux of the algorithm to be corrected.
    pub algorithm: f64,
    /// Error of the ratio calibration / algorithm.
    pub ratio_err: f64,
}

/// Fits calibration / algorithm over the exposure; rejects outliers at 4 MAD sigma, four times.
#[must_use]
pub fn fit_ap_corr(_stars: &[StarFluxes], _bbox: Box2, _config: &ApCorrConfig) -> ApCorr {
    todo!()
}

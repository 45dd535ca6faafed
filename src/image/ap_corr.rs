//! Aperture corrections of one exposure: per algorithm, calibration flux / algorithm flux.

use crate::geometry::PixelPoint;
use crate::image::Chebyshev2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Correction factor of one algorithm over one exposure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApCorr {
    /// Factor on the algorithm's flux.
    pub factor: Chebyshev2,
    /// Scatter of the stars' ratios around it.
    pub error: f64,
    /// Stars that it was fitted to.
    pub n_stars: u32,
    /// Too few stars: the factor is 1.
    pub is_flagged: bool,
}

/// Corrections of one exposure by algorithm name; an algorithm that is not listed needs none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ApCorrMap {
    /// By algorithm, e.g. `psf_flux`.
    pub by_algorithm: BTreeMap<String, ApCorr>,
}

impl ApCorrMap {
    /// Factor of `algorithm` at a position; 1 where none is known.
    #[must_use]
    pub fn at(&self, algorithm: &str, p: PixelPoint) -> f64 {
        self.by_algorithm.get(algorithm).map_or(1.0, |a| a.factor.at(p))
    }
}

//! Photometric calibration: counts to nJy.

use crate::geometry::PixelPoint;
use crate::image::Chebyshev2;
use serde::{Deserialize, Serialize};

/// AB magnitude of a flux \[nJy\]; NaN unless positive.
#[must_use]
pub fn ab_magnitude(flux_njy: f64) -> f64 {
    if flux_njy > 0.0 { 31.4 - 2.5 * flux_njy.log10() } else { f64::NAN }
}

/// Flux \[nJy\] of an AB magnitude.
#[must_use]
pub fn flux_njy(ab_magnitude: f64) -> f64 {
    10f64.powf(0.4 * (31.4 - ab_magnitude))
}

/// Turns an exposure's counts into nJy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhotoCalib {
    /// nJy per count, the mean over the exposure.
    pub mean_njy_per_adu: f64,
    /// Factor on the mean, by position; none means 1 everywhere.
    pub relative: Option<Chebyshev2>,
}

impl PhotoCalib {
    /// The same calibration everywhere.
    #[must_use]
    pub fn uniform(mean_njy_per_adu: f64) -> Self {
        Self { mean_njy_per_adu, relative: None }
    }

    /// From the AB magnitude of one count.
    #[must_use]
    pub fn from_zero_point(magnitude: f64) -> Self {
        Self::uniform(flux_njy(magnitude))
    }

    /// nJy per count at a position.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        self.mean_njy_per_adu * self.relative.as_ref().map_or(1.0, |r| r.at(p))
    }
}

//! The measurement stage: the configured measurements, one after the other, on one source.

use super::{ColumnSpec, MeasureError, Measurement, Row, SourcePixels};
use serde::{Deserialize, Serialize};

/// Settings of [`MeasureSources`]: section `[measure]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeasureConfig {
    /// Measurements, in order.
    pub algorithms: Vec<String>,
    /// Radii of the aperture fluxes \[arcsec\].
    pub aperture_radii_arcsec: Vec<f64>,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        Self {
            algorithms: ["centroid", "psf_flux", "aperture_flux", "moments", "blendedness"].map(String::from).to_vec(),
            aperture_radii_arcsec: vec![0.6, 1.0, 1.5, 3.0],
        }
    }
}

/// The measurement stage.
pub struct MeasureSources {
    measurements: Vec<Box<dyn Measurement>>,
}

impl MeasureSources {
    /// # Errors
    /// [`MeasureError::Config`] for an unknown measurement or a setting outside its range.
    pub fn new(_config: &MeasureConfig) -> Result<Self, MeasureError> {
        todo!()
    }

    /// All columns, in order.
    #[must_use]
    pub fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        self.measurements.iter().flat_map(|m| m.columns(bands)).collect()
    }

    /// Half-width of the box around the peak that the measurements want to see \[pixel\].
    #[must_use]
    pub fn radius_px(&self, _fwhm_px: f64, _pixel_scale_arcsec: f64) -> usize {
        todo!()
    }

    /// One row.
    #[must_use]
    pub fn run(&self, _source: &SourcePixels) -> Row {
        todo!()
    }
}

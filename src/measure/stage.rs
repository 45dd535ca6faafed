//! The measurement stage: the configured measurements, one after the other, on one source.

use super::{ApertureFlux, Blendedness, Centroid, ColumnSpec, MeasureError, Measurement, Moments, PsfFlux, Row, SourcePixels};
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
    largest_arcsec: f64,
}

impl MeasureSources {
    /// # Errors
    /// [`MeasureError::Config`] for an unknown measurement or a setting outside its range.
    pub fn new(config: &MeasureConfig) -> Result<Self, MeasureError> {
        let mut measurements: Vec<Box<dyn Measurement>> = Vec::new();
        for name in &config.algorithms {
            measurements.push(match name.as_str() {
                "centroid" => Box::new(Centroid),
                "psf_flux" => Box::new(PsfFlux),
                "aperture_flux" => Box::new(ApertureFlux::new(&config.aperture_radii_arcsec)?),
                "moments" => Box::new(Moments),
                "blendedness" => Box::new(Blendedness),
                other => {
                    let expected = "centroid, psf_flux, aperture_flux, moments or blendedness".to_owned();
                    return Err(MeasureError::Config { key: "algorithms", found: format!("{other:?}"), expected });
                }
            });
        }
        let largest_arcsec = config.aperture_radii_arcsec.iter().copied().fold(0.0, f64::max);
        Ok(Self { measurements, largest_arcsec })
    }

    /// All columns, in order.
    #[must_use]
    pub fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        self.measurements.iter().flat_map(|m| m.columns(bands)).collect()
    }

    /// Half-width of the box around the peak that the measurements want to see \[pixel\].
    #[must_use]
    pub fn radius_px(&self, fwhm_px: f64, pixel_scale_arcsec: f64) -> usize {
        // PSF flux: 3 FWHM; centroids may move by one.
        (4.0 * fwhm_px).max(self.largest_arcsec / pixel_scale_arcsec + 0.75 * fwhm_px).ceil() as usize + 3
    }

    /// One row.
    #[must_use]
    pub fn run(&self, source: &SourcePixels) -> Row {
        let mut row = Row::default();
        for measurement in &self.measurements {
            measurement.measure(source, &mut row);
        }
        row
    }
}

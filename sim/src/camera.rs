//! The camera: which exposures are taken, under which sky, with which PSF.

use fathom::geometry::SkyPoint;
use fathom::image::ExposureMeta;
use serde::{Deserialize, Serialize};

/// Settings of the simulated camera: section `[camera]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraConfig {
    /// Exposures per band.
    pub n_exposures: usize,
    /// Size \[pixel\], [columns, rows].
    pub size_px: [usize; 2],
    /// Pixel scale \[arcsec\].
    pub pixel_scale_arcsec: f64,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self { n_exposures: 6, size_px: [1000, 1000], pixel_scale_arcsec: 0.2 }
    }
}

/// One exposure to be taken: everything but the objects and the noise.
#[derive(Debug, Clone)]
pub struct ExposurePlan {
    /// Calibrations.
    pub meta: ExposureMeta,
    /// Sky level \[electrons per pixel\].
    pub sky_e: f64,
}

/// All exposures, band by band, sorted by id. Keyed by `seed`.
///
/// # Errors
/// [`crate::SimError::Config`] if a setting is outside its range.
pub fn plan_exposures(
    _config: &CameraConfig,
    _center: SkyPoint,
    _bands: &[String],
    _seed: u64,
) -> Result<Vec<ExposurePlan>, crate::SimError> {
    todo!()
}

//! Characterises one exposure: background, background variance, stars, aperture corrections.

use super::{BackgroundMesh, BackgroundMeshConfig, BackgroundVariance};
use crate::catalog::Table;
use crate::image::{ApCorrMap, Exposure, ExposureId, PixelCounts};
use serde::{Deserialize, Serialize};

/// Settings of [`CharacterizeVisit`]: section `[visit]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisitConfig {
    /// `mesh` (estimate), `known` (the simulation's true sky level), `none` (already subtracted).
    pub background: BackgroundMode,
    /// Mesh settings.
    pub mesh: BackgroundMeshConfig,
    /// Order of the background-variance polynomial.
    pub variance_order: usize,
    /// Detection limit of the source mask \[sigma of the PSF-filtered image\].
    pub source_mask_sigma: f64,
    /// Aperture corrections.
    pub ap_corr: crate::apcorr::ApCorrConfig,
}

/// Where the background comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundMode {
    /// Estimated on a mesh.
    Mesh,
    /// The true sky level that the exposure carries.
    Known,
    /// Already subtracted.
    None,
}

/// Why an exposure could not be characterised.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum BackgroundError {
    /// A setting out of range.
    #[error("visit.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// Not enough source-free pixels.
    #[error("exposure {id}: {n_good} usable source-free pixels of {n_pixels}; too few for a background")]
    NoPixels {
        /// Exposure.
        id: ExposureId,
        /// Usable.
        n_good: usize,
        /// All.
        n_pixels: usize,
    },
    /// `known` was asked of an exposure that does not know its sky.
    #[error("exposure {id}: visit.background is \"known\", but the exposure carries no known sky level")]
    NotKnown {
        /// Exposure.
        id: ExposureId,
    },
}

/// What the visit stage makes of one exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitProduct {
    /// Exposure it belongs to.
    pub id: ExposureId,
    /// Background still in the exposure \[counts\].
    pub background: BackgroundMesh,
    /// Variance of source-free pixels \[ADU²\].
    pub background_variance: BackgroundVariance,
    /// Aperture corrections, measured or taken over.
    pub ap_corr: ApCorrMap,
    /// Stars used: x, y \[pixel\], psf_flux, psf_flux_err, aperture_flux \[ADU\], is_used.
    pub stars: Table,
    /// Unusable pixels, counted.
    pub counts: PixelCounts,
}

/// The visit stage.
#[derive(Debug, Clone)]
pub struct CharacterizeVisit {
    config: VisitConfig,
}

impl CharacterizeVisit {
    /// # Errors
    /// [`BackgroundError::Config`] if a setting is outside its range.
    pub fn new(config: VisitConfig) -> Result<Self, BackgroundError> {
        Ok(Self { config })
    }

    /// Characterises a sanitised, whole exposure.
    ///
    /// # Errors
    /// [`BackgroundError`] if there are too few usable pixels.
    pub fn run(&self, _exposure: &Exposure, _counts: PixelCounts) -> Result<VisitProduct, BackgroundError> {
        let _ = &self.config;
        todo!()
    }
}

impl Default for VisitConfig {
    fn default() -> Self {
        Self {
            background: BackgroundMode::Mesh,
            mesh: BackgroundMeshConfig::default(),
            variance_order: 1,
            source_mask_sigma: 3.0,
            ap_corr: crate::apcorr::ApCorrConfig::default(),
        }
    }
}

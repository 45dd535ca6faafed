//! Makes the coadds of one band on one patch, exposure by exposure.

use super::BandCoadd;
use crate::background::VisitProduct;
use crate::geometry::{Box2, Patch, Tract};
use crate::image::{Exposure, ExposureId, ExposureMeta};
use serde::{Deserialize, Serialize};

/// Settings of [`MakeCoadd`]: section `[coadd]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoaddConfig {
    /// Order of the Lanczos kernel of the direct coadd, 3 or 5.
    pub lanczos_order: usize,
    /// Least share of Σk and of Σk² that good pixels must supply, in 0..=1; below it: no data from that exposure.
    pub min_kernel_weight: f64,
}

impl Default for CoaddConfig {
    fn default() -> Self {
        Self { lanczos_order: 3, min_kernel_weight: 0.97 }
    }
}

/// Why a coadd could not be made.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum CoaddError {
    /// A setting out of range.
    #[error("coadd.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// An exposure whose WCS cannot be inverted over the patch.
    #[error("exposure {id}: {why}")]
    Exposure {
        /// Exposure.
        id: ExposureId,
        /// Reason.
        why: String,
    },
}

/// The coadd stage.
#[derive(Debug, Clone)]
pub struct MakeCoadd {
    config: CoaddConfig,
}

/// The sums of one band on one patch while exposures are added.
pub struct CoaddSums {
    // sums, one cell after the other
}

impl MakeCoadd {
    /// # Errors
    /// [`CoaddError::Config`] if a setting is outside its range.
    pub fn new(config: CoaddConfig) -> Result<Self, CoaddError> {
        Ok(Self { config })
    }

    /// Pixels of the exposure that the patch needs (kernels' support and whole tiles included); empty if they do not meet.
    ///
    /// # Errors
    /// [`CoaddError::Exposure`] if the WCS fails.
    pub fn needed(&self, _tract: &Tract, _patch: &Patch, _meta: &ExposureMeta) -> Result<Box2, CoaddError> {
        let _ = &self.config;
        todo!()
    }

    /// Starts a coadd. `all` lists every exposure of the band in the tract, in id order: weights and the FWHM are those of the tract.
    ///
    /// # Errors
    /// [`CoaddError`] if an exposure cannot be used.
    pub fn start(
        &self,
        _tract: &Tract,
        _patch: &Patch,
        _band: &str,
        _all: &[(&ExposureMeta, &VisitProduct)],
    ) -> Result<CoaddSums, CoaddError> {
        todo!()
    }
}

impl CoaddSums {
    /// Adds exposure `index` (of the list given to `start`); `exposure` holds at least the pixels that `needed` named, sanitised.
    /// To be called in rising order of `index`; threads share the cells and tiles.
    ///
    /// # Errors
    /// [`CoaddError`] if the WCS fails.
    pub fn add(&mut self, _index: usize, _exposure: &Exposure, _visit: &VisitProduct) -> Result<(), CoaddError> {
        todo!()
    }

    /// The coadd.
    #[must_use]
    pub fn finish(self) -> BandCoadd {
        todo!()
    }
}

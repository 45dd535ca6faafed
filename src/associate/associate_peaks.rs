//! Joins footprints across layers and patch borders, and associates their peaks.

use super::{Parent, PeakRecord};
use crate::detect::Layer;
use crate::geometry::Box2;
use serde::{Deserialize, Serialize};

/// Settings of [`AssociatePeaks`]: section `[associate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssociateConfig {
    /// Growth of footprints \[FWHM of the PSF\].
    pub grow_fwhm: f64,
    /// Peaks of different layers nearer than this are the same object \[FWHM\].
    pub merge_radius_fwhm: f64,
}

impl Default for AssociateConfig {
    fn default() -> Self {
        Self { grow_fwhm: 1.0, merge_radius_fwhm: 0.6 }
    }
}

/// Why association could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum AssociateError {
    /// A setting out of range.
    #[error("associate.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// More peaks in one parent than an id can hold.
    #[error("parent at tract pixel ({x}, {y}) has {found} peaks; an id holds {max}")]
    TooManyPeaks {
        /// Column.
        x: i32,
        /// Row.
        y: i32,
        /// Number.
        found: usize,
        /// Largest.
        max: usize,
    },
}

/// The association stage.
#[derive(Debug, Clone)]
pub struct AssociatePeaks {
    config: AssociateConfig,
}

impl AssociatePeaks {
    /// # Errors
    /// [`AssociateError::Config`] if a setting is outside its range.
    pub fn new(config: AssociateConfig) -> Result<Self, AssociateError> {
        Ok(Self { config })
    }

    /// Parents of the tract, by id, and every peak with its decision.
    ///
    /// `patches`: the layers of every patch, in any order: the result does not depend on how the tract is cut.
    /// `tract`: all pixels of the tract (growth stops there). `fwhm_px`: mean PSF FWHM over the bands.
    ///
    /// # Errors
    /// [`AssociateError::TooManyPeaks`].
    pub fn run(&self, _patches: &[Vec<Layer>], _tract: &Box2, _fwhm_px: f64) -> Result<(Vec<Parent>, Vec<PeakRecord>), AssociateError> {
        let _ = &self.config;
        todo!()
    }
}

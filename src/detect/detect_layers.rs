//! Finds peaks and above-threshold pixels in every layer of one patch.

use super::Layer;
use crate::geometry::Box2;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Settings of [`DetectLayers`]: section `[detect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Threshold of a single-band layer \[sigma\]; the free-SED layer gets the one with the same pointwise false-positive rate.
    pub threshold: f64,
    /// Layers: `free_sed`, band names; `bands` stands for every band.
    pub layers: Vec<String>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self { threshold: 5.0, layers: vec!["free_sed".into(), "bands".into()] }
    }
}

/// Why detection could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DetectError {
    /// A setting out of range.
    #[error("detect.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
}

/// Likelihood maps of one band on the inner pixels of a patch and a margin of at least [`DetectLayers::MARGIN_PX`]
/// around them (Φ = 0 where the tract ends).
#[derive(Debug, Clone)]
pub struct LikelihoodMaps {
    /// Band name.
    pub band: String,
    /// Pixels covered.
    pub bbox: Box2,
    /// Ψ \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
}

/// The detection stage.
#[derive(Debug, Clone)]
pub struct DetectLayers {
    config: DetectConfig,
}

impl DetectLayers {
    /// Pixels needed beyond a patch's inner ones.
    pub const MARGIN_PX: i32 = 2;

    /// # Errors
    /// [`DetectError::Config`] if a setting is outside its range.
    pub fn new(config: DetectConfig, _bands: &[String]) -> Result<Self, DetectError> {
        Ok(Self { config })
    }

    /// Layers of one patch, in the order of the configuration; the same order in every patch.
    #[must_use]
    pub fn run(&self, _maps: &[LikelihoodMaps], _inner: &Box2) -> Vec<Layer> {
        let _ = &self.config;
        todo!()
    }
}

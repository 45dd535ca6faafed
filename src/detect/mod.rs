//! Detection layers: thresholds, connected pixels, peaks.

mod detect_layers;
mod layer;

pub use detect_layers::{DetectConfig, DetectError, DetectLayers, LikelihoodMaps};
pub use layer::{Layer, LayerKind};

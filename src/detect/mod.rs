//! Detection layers: thresholds, connected pixels, peaks.

mod detect_layers;
mod layer;
mod threshold;

pub use detect_layers::{DetectConfig, DetectError, DetectLayers, LikelihoodMaps, quadratic_peak};
pub use layer::{Layer, LayerKind};
pub use threshold::{free_sed_tail, free_sed_threshold};

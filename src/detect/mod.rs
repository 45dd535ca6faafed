//! Detection layers: thresholds, connected pixels, peaks.

mod detect_layers;
mod layer;
mod null_distribution;
mod threshold;

pub use detect_layers::{DetectConfig, DetectError, DetectLayers, LikelihoodMaps, quadratic_peak};
pub use layer::{Layer, LayerKind};
pub use null_distribution::{chi_peak_density, chi_tail, free_sed_peak_density, free_sed_tail, normal_peak_density, normal_tail};
pub use threshold::free_sed_threshold;

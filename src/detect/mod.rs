//! Detection: layers = (selection of exposures) x (SED) x (morphology), their thresholds, connected pixels and peaks.
//!
//! [`DetectLayers`] makes every layer on tiles from the single-band maps of a [`MapSource`]; no exposure is touched.

mod calibrate;
mod config;
mod convolver;
mod detect_layers;
mod layer;
mod map_source;
mod maxima;
mod movers;
mod noise_model;
mod null_distribution;
mod peaks;
mod quadratic;
mod sed;
#[cfg(test)]
mod tests;
mod threshold;
mod tile_grid;
mod tile_maps;
mod time_windows;
mod transients;
mod velocity_ladder;

pub use calibrate::FalsePeaks;
pub use config::{DetectConfig, DetectError, MoversConfig, Strategy, TransientsConfig};
pub use convolver::Convolver;
pub use detect_layers::{DetectFrame, DetectLayers, is_good};
pub use layer::{Layer, LayerKind, PatchLayers, Sed, SkyObject};
pub use map_source::{LikelihoodMaps, MapSource, Window, WindowPlanes};
pub use maxima::{Join, Maximum, maxima};
pub use noise_model::{Autocorrelations, LayerNoise, layer_noise};
pub use null_distribution::{
    chi_peak_density, chi_tail, free_sed_peak_density, free_sed_peaks_per_sigma, free_sed_tail, ln_dip_density, maximum_density,
    normal_peak_density, normal_tail, ridge_curvature_density,
};
pub use quadratic::{Quadratic, quadratic_peak};
pub use sed::SedDefinition;
pub use threshold::free_sed_threshold;
pub use tile_grid::SADDLE_REACH_PX;
pub use tile_maps::{BandPlanes, MapPlan, Statistic, TileMaps};
pub use velocity_ladder::{EpochMaps, MoverLimits, MoverMaps, VelocityLadder, search_movers};

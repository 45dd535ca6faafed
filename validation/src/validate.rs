//! From catalog and truth to metrics.

use crate::Metric;
use fathom::catalog::Table;
use serde::{Deserialize, Serialize};

/// Settings: section `[validate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    /// Largest distance of a match \[FWHM\].
    pub match_radius_fwhm: f64,
    /// Width of a magnitude bin.
    pub magnitude_bin: f64,
    /// Truth fainter than this true S/N (all bands together) neither counts as missed nor explains a detection.
    pub ignore_below_snr: f64,
    /// Bootstrap resamplings.
    pub n_bootstrap: usize,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self { match_radius_fwhm: 1.0, magnitude_bin: 0.25, ignore_below_snr: 2.0, n_bootstrap: 400 }
    }
}

/// Peaks of one detection layer of one arm.
#[derive(Debug, Clone)]
pub struct LayerPeaks {
    /// `free_sed` or a band.
    pub name: String,
    /// Threshold \[sigma\].
    pub threshold: f64,
    /// Positions \[deg\] and significances of the positive peaks: ra, dec, significance.
    pub peaks: Vec<[f64; 3]>,
    /// The same of the negated map.
    pub negative_peaks: Vec<[f64; 3]>,
    /// Area with data \[arcmin²\].
    pub area_arcmin2: f64,
    /// Bands with data in the layer (1 for a band).
    pub n_bands: usize,
}

/// One arm of a run.
#[derive(Debug, Clone)]
pub struct ArmData {
    /// `control`, `real_00`, ... or `main`.
    pub name: String,
    /// Truth with the limits joined in: `<band>_snr_true` (F √Φ at the true position, NaN without data), `<band>_flux_err_limit`,
    /// `is_usable` (bool: covered in all bands, no bad mask within 1 FWHM, not near a control-run parent). Empty table: no truth.
    pub truth: Table,
    /// The catalog (design section 5).
    pub catalog: Table,
    /// Peaks by layer.
    pub layers: Vec<LayerPeaks>,
}

/// Everything that validation needs.
#[derive(Debug, Clone)]
pub struct ValidateInput {
    /// Bands, in the order of the run.
    pub bands: Vec<String>,
    /// Mean FWHM of the PSF per band \[arcsec\].
    pub fwhm_arcsec: Vec<f64>,
    /// √l2 per band \[1/arcsec\]: a position error is 1/(ν √l2).
    pub sqrt_l2: Vec<f64>,
    /// Arms with truth: one for a simulation, several realisations of an injection.
    pub arms: Vec<ArmData>,
    /// The run without injection, if any: its detections are real objects, not spurious ones.
    pub control: Option<ArmData>,
    /// Seed of the Monte Carlo curves.
    pub seed: u64,
}

/// Why validation could not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ValidationError {
    /// A setting out of range.
    #[error("validate.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// A table lacks a column.
    #[error("{what}: {source}")]
    Table {
        /// Which table.
        what: String,
        /// Reason.
        source: fathom::catalog::TableError,
    },
    /// A plot could not be drawn.
    #[error("plot {name}: {why}")]
    Plot {
        /// Plot.
        name: String,
        /// Reason.
        why: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] std::sync::Arc<fathom::format::FormatError>),
}

/// What validation makes.
#[derive(Debug, Clone)]
pub struct Validated {
    /// Figures.
    pub metrics: Vec<Metric>,
    /// One row a truth object or unmatched detection, per arm: `arm`, `truth_id`, `object_id` (0: none), `separation_arcsec`, `status`
    /// (`matched`, `missed`, `spurious`, `real`, `ignored`, `ambiguous`), `parent_id`.
    pub matches: Table,
}

/// Matches and measures.
///
/// # Errors
/// [`ValidationError`].
pub fn validate(_config: &ValidateConfig, _input: &ValidateInput) -> Result<Validated, ValidationError> {
    todo!()
}

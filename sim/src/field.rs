//! Fields: which objects are on the sky.

use crate::{ExposurePlan, SimError};
use fathom::catalog::Table;
use fathom::geometry::Tract;
use serde::{Deserialize, Serialize};

/// Settings of the simulated sky: section `[sky]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldConfig {
    /// Which field: `survey`, `grid`, `injection_grid`, `empty`.
    pub field: String,
}

impl Default for FieldConfig {
    fn default() -> Self {
        Self { field: "survey".into() }
    }
}

/// The truth catalog ([`fathom::format::truth`]) of one arm. Keyed by `seed` and `arm`.
///
/// `exposures` gives the depth (survey and grid fields scale to it); empty for an injection by magnitudes.
///
/// # Errors
/// [`SimError`] if a setting is outside its range.
pub fn make_truth(
    _config: &FieldConfig,
    _tract: &Tract,
    _bands: &[String],
    _exposures: &[ExposurePlan],
    _seed: u64,
    _arm: u64,
) -> Result<Table, SimError> {
    todo!()
}

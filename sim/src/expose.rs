//! Draws a truth catalog into exposures: new ones, or real ones.

use crate::{CameraConfig, ExposurePlan};
use fathom::catalog::Table;
use fathom::image::Exposure;

/// Why a simulation could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum SimError {
    /// A setting out of range.
    #[error("{key} is {found}; expected {expected}")]
    Config {
        /// Section and setting.
        key: String,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
    /// The truth catalog lacks something.
    #[error("truth catalog: {0}")]
    Truth(#[from] fathom::catalog::TableError),
    /// An exposure could not be put together.
    #[error(transparent)]
    Exposure(#[from] fathom::image::ExposureError),
}

/// Takes one exposure: objects, sky, Poisson and read noise, defects, cosmic rays, saturation. Keyed by `seed`, `arm` and the exposure's id.
///
/// # Errors
/// [`SimError`].
pub fn simulate(_plan: &ExposurePlan, _camera: &CameraConfig, _truth: &Table, _seed: u64, _arm: u64) -> Result<Exposure, SimError> {
    todo!()
}

/// Adds the objects of a truth catalog to a real exposure, with their own Poisson noise (pixels and variance plane). Keyed as [`simulate`].
///
/// # Errors
/// [`SimError`].
pub fn inject(_exposure: &mut Exposure, _truth: &Table, _seed: u64, _arm: u64) -> Result<(), SimError> {
    todo!()
}

//! `run.h5`: ties a run folder together: merged tables inside, external links to the product files.

use super::FormatError;
use crate::catalog::Table;
use std::path::{Path, PathBuf};

/// What goes into `run.h5`.
#[derive(Debug, Clone, Default)]
pub struct RunIndex {
    /// Merged tables by group path, e.g. (`catalog`, ...) or (`real_00/truth`, ...).
    pub tables: Vec<(String, Table)>,
    /// External links: (group path, file relative to the run folder, group in it).
    pub links: Vec<(String, PathBuf, String)>,
    /// Resolved configuration, TOML, at `/config`.
    pub config: String,
    /// Provenance, JSON, at `/provenance`.
    pub provenance: String,
}

/// Writes `run.h5` into the run folder, atomically.
///
/// # Errors
/// [`FormatError`].
pub fn write(_folder: &Path, _index: &RunIndex) -> Result<(), FormatError> {
    todo!()
}

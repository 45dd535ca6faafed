//! `fathom-parents` files: parents of the tract, and every peak with its decision.

use super::FormatError;
use crate::associate::{Parent, PeakRecord};
use std::path::Path;

/// Writes parents and peaks.
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _parents: &[Parent], _peaks: &[PeakRecord]) -> Result<(), FormatError> {
    todo!()
}

/// Reads them.
///
/// # Errors
/// [`FormatError`].
pub fn read(_path: &Path) -> Result<(Vec<Parent>, Vec<PeakRecord>), FormatError> {
    todo!()
}

//! `fathom-blends` files: children of one batch of parents, as HeavyFootprints.

use super::FormatError;
use crate::deblend::Deblended;
use std::path::Path;

/// Writes a batch: (parent id, children).
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _bands: &[String], _blends: &[(i64, Deblended)]) -> Result<(), FormatError> {
    todo!()
}

/// Reads it.
///
/// # Errors
/// [`FormatError`].
pub fn read(_path: &Path) -> Result<Vec<(i64, Deblended)>, FormatError> {
    todo!()
}

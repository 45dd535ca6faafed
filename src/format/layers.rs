//! `fathom-layers` files: detection layers of one patch.

use super::FormatError;
use crate::detect::Layer;
use std::path::Path;

/// Writes the layers of one patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _layers: &[Layer]) -> Result<(), FormatError> {
    todo!()
}

/// Reads them.
///
/// # Errors
/// [`FormatError`].
pub fn read(_path: &Path) -> Result<Vec<Layer>, FormatError> {
    todo!()
}

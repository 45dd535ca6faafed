//! `fathom-exposure` files.

use super::FormatError;
use crate::geometry::Box2;
use crate::image::{Exposure, ExposureMeta};
use std::path::Path;

/// Writes a whole exposure.
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _exposure: &Exposure) -> Result<(), FormatError> {
    todo!()
}

/// Reads calibrations only.
///
/// # Errors
/// [`FormatError`] naming what is missing: an exposure without PSF or WCS, singular WCS, ...
pub fn read_meta(_path: &Path) -> Result<ExposureMeta, FormatError> {
    todo!()
}

/// Reads the pixels of `part` (cut to the exposure), or all of them.
///
/// # Errors
/// [`FormatError`].
pub fn read(_path: &Path, _part: Option<&Box2>) -> Result<Exposure, FormatError> {
    todo!()
}

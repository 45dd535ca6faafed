//! `fathom-visit` files: what the visit phase makes of one exposure.

use super::FormatError;
use crate::background::VisitProduct;
use std::path::Path;

/// Writes the product.
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _product: &VisitProduct) -> Result<(), FormatError> {
    todo!()
}

/// Reads it.
///
/// # Errors
/// [`FormatError`].
pub fn read(_path: &Path) -> Result<VisitProduct, FormatError> {
    todo!()
}

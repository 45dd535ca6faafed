//! Tables: one group a table, one dataset a column, with `unit` and `description`.

use super::FormatError;
use crate::catalog::Table;
use std::path::Path;

/// Writes a product that is one table, in group `/<name>`.
///
/// # Errors
/// [`FormatError`].
pub fn write(_path: &Path, _key: &str, _name: &str, _table: &Table) -> Result<(), FormatError> {
    todo!()
}

/// Reads the table `/<name>` of any product file.
///
/// # Errors
/// [`FormatError`] if it is missing or its columns differ in length.
pub fn read(_path: &Path, _name: &str) -> Result<Table, FormatError> {
    todo!()
}

//! Product files: written aside, synced, renamed; `complete` and the key written last.

use super::FormatError;
use std::path::Path;

/// What every product says of itself: root attributes `format`, `version`, `key`, `complete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name of the format, e.g. `fathom-exposure`.
    pub format: &'static str,
    /// Version of the format.
    pub version: u32,
    /// Product key, see design: hash of configuration, inputs and format version.
    pub key: String,
}

/// Writes a product atomically: `fill` writes into the temporary file's root group.
///
/// # Errors
/// [`FormatError`]; then no file stands under `path` that was not there before, and no temporary one is left.
pub fn write(path: &Path, header: &Header, fill: impl FnOnce(&hdf5::Group) -> Result<(), FormatError>) -> Result<(), FormatError> {
    let _ = (path, header, fill);
    todo!()
}

/// Key of a finished product; `None` if there is no file or it is not complete (truncated, temporary, other format).
#[must_use]
pub fn key(_path: &Path) -> Option<String> {
    todo!()
}

/// Writes text (JSON, HTML, TOML) atomically: aside, synced, renamed.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write_text(_path: &Path, _text: &str) -> Result<(), FormatError> {
    todo!()
}

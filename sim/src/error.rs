//! What can go wrong in a simulation, and the check of settings.

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
    /// An object of the truth catalog cannot be drawn.
    #[error("truth catalog: {key} of object {id} is {found}; expected {expected}")]
    Object {
        /// Object.
        id: i64,
        /// Column.
        key: String,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
    /// A table file (catalog, pointings, seeing) cannot be used.
    #[error("{0}")]
    Format(String),
    /// A value in a table file is wrong.
    #[error("{path}: {column} in row {row} is {found}; expected {expected}")]
    TableRow {
        /// File.
        path: std::path::PathBuf,
        /// Row, from 1, not counting a header.
        row: usize,
        /// Column, as the file names it.
        column: String,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
    /// An exposure could not be put together.
    #[error(transparent)]
    Exposure(#[from] fathom::image::ExposureError),
    /// Seeing, shape and stamp make no PSF.
    #[error(transparent)]
    Psf(#[from] fathom::image::PsfError),
    /// Pointing and pixel scale make no WCS.
    #[error(transparent)]
    Wcs(#[from] fathom::geometry::WcsError),
}

/// Checks one setting.
pub(crate) fn check(section: &str, key: &str, is_good: bool, found: impl std::fmt::Debug, expected: &str) -> Result<(), SimError> {
    if is_good {
        return Ok(());
    }
    Err(SimError::Config { key: format!("{section}.{key}"), found: format!("{found:?}"), expected: expected.to_owned() })
}

/// True for finite `low <= high` inside `min..=max`.
pub(crate) fn is_range([low, high]: [f64; 2], min: f64, max: f64) -> bool {
    min <= low && low <= high && high <= max
}

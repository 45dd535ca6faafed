//! Why a file could not be read or written.

use std::path::PathBuf;

/// A file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// HDF5 refused: truncated, not HDF5, disk full.
    #[error("{path}: {what}: {why}")]
    Hdf5 {
        /// File.
        path: PathBuf,
        /// What was tried.
        what: String,
        /// HDF5's own words.
        why: String,
    },
    /// cfitsio refused: truncated, not FITS, no such HDU.
    #[error("{path}: {what}: {why}")]
    Fits {
        /// File.
        path: PathBuf,
        /// What was tried.
        what: String,
        /// cfitsio's own words.
        why: String,
    },
    /// The file lacks something, or holds something else.
    #[error("{path}: {key} is {found}; expected {expected}")]
    Content {
        /// File.
        path: PathBuf,
        /// Dataset, attribute, card or column.
        key: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The layout of an import is wrong.
    #[error("{path}: {why}")]
    Layout {
        /// Layout file.
        path: PathBuf,
        /// Reason, naming the key.
        why: String,
    },
}

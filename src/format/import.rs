//! Layouts: a TOML file that says how any survey's files become fathom exposures (and a truth catalog).

use super::FormatError;
use crate::catalog::Table;
use crate::image::Exposure;
use std::path::{Path, PathBuf};

/// A parsed and checked layout.
#[derive(Debug, Clone)]
pub struct Layout {
    // filled by the import module
    _path: PathBuf,
}

/// One exposure that a layout names, not yet read.
#[derive(Debug, Clone)]
pub struct ImportItem {
    /// Name of the exposure to come.
    pub name: String,
    /// Input files, for the product key: (path, size, modification is not used) hashed by content.
    pub files: Vec<PathBuf>,
}

impl Layout {
    /// Reads and checks a layout. Relative paths and `${FATHOM_DATA}` in it are resolved against `data` (if given)
    /// or the environment.
    ///
    /// # Errors
    /// [`FormatError::Layout`] naming the key; also if `FATHOM_DATA` is needed and not set.
    pub fn read(path: &Path, _data: Option<&Path>) -> Result<Self, FormatError> {
        let _ = path;
        todo!()
    }

    /// Exposures that the layout finds, sorted by name.
    ///
    /// # Errors
    /// [`FormatError`] if a pattern matches nothing or a companion file is missing.
    pub fn items(&self) -> Result<Vec<ImportItem>, FormatError> {
        let _ = &self._path;
        todo!()
    }

    /// Reads one exposure.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn load(&self, _item: &ImportItem) -> Result<Exposure, FormatError> {
        todo!()
    }

    /// The truth catalog, if the layout has a `[truth]` table.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn truth(&self) -> Result<Option<Table>, FormatError> {
        todo!()
    }
}

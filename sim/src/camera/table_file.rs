//! A table from a file with errors that name file, row and column.

use crate::SimError;
use fathom::catalog::{ColumnData, Table};
use fathom::format::any_table;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Columns by name. Rows are counted from 1, the header not included.
#[derive(Debug)]
pub(super) struct TableFile {
    path: PathBuf,
    table: Table,
}

impl TableFile {
    /// Whatever [`any_table`] reads; `group`: that of an HDF5 file.
    ///
    /// # Errors
    /// [`SimError::Format`] if there is no such file, or it holds no rows.
    pub(super) fn open(path: &Path, group: &str) -> Result<Self, SimError> {
        let table = any_table::read(path, group).map_err(|e| SimError::Format(e.to_string()))?;
        if table.n_rows() == 0 {
            return Err(SimError::Format(format!("{}: it has no rows; expected at least one", path.display())));
        }
        Ok(Self { path: path.to_owned(), table })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.table.has(name)
    }

    /// A column, as text.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, SimError> {
        let missing = |_| SimError::Format(format!("{}: column {name} is missing", self.path.display()));
        match &self.table.column(name).map_err(missing)?.data {
            ColumnData::Text(v) => Ok(v.clone()),
            ColumnData::F64(v) => Ok(v.iter().map(f64::to_string).collect()),
            ColumnData::I64(v) => Ok(v.iter().map(i64::to_string).collect()),
            ColumnData::Bool(_) => Err(self.wrong(1, name, "a flag", "texts or numbers")),
        }
    }

    /// A column of numbers, each in `range`.
    pub(super) fn numbers(&self, name: &str, range: RangeInclusive<f64>, expected: &str) -> Result<Vec<f64>, SimError> {
        let parse = |(i, text): (usize, String)| match text.parse::<f64>() {
            Ok(v) if range.contains(&v) => Ok(v),
            _ => Err(self.wrong(i + 1, name, &format!("{text:?}"), expected)),
        };
        self.texts(name)?.into_iter().enumerate().map(parse).collect()
    }

    pub(super) fn wrong(&self, row: usize, column: &str, found: &str, expected: &str) -> SimError {
        let (column, found, expected) = (column.to_owned(), found.to_owned(), expected.to_owned());
        SimError::TableRow { path: self.path.clone(), row, column, found, expected }
    }
}

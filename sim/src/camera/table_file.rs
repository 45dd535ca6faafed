//! A table from a file: CSV (also gzipped) or HDF5, with errors that name file, row and column.

use crate::SimError;
use fathom::catalog::{ColumnData, Table};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Columns by name. Rows are counted from 1, the header not included.
#[derive(Debug)]
pub(super) struct TableFile {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Csv { header: Vec<String>, rows: Vec<csv::StringRecord> },
    Hdf5(Table),
}

impl TableFile {
    /// By the file's ending: `.h5`, `.hdf5` (group `group`, as fathom writes tables), else CSV with a header; `.gz` is unpacked.
    ///
    /// # Errors
    /// [`SimError::TableFile`] if there is no such file, or it holds no rows; [`SimError::TableRow`] for a torn row.
    pub(super) fn open(path: &Path, group: &str) -> Result<Self, SimError> {
        let failed = |why: &dyn std::fmt::Display| SimError::TableFile { path: path.display().to_string(), why: why.to_string() };
        let ends = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let source = if ends("h5") || ends("hdf5") {
            Source::Hdf5(fathom::format::table::read(path, group).map_err(|e| failed(&e))?)
        } else {
            let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
            let text: Box<dyn Read> = if ends("gz") { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(std::io::BufReader::new(text));
            let header = reader.headers().map_err(|e| failed(&e))?.iter().map(str::to_owned).collect();
            Source::Csv { header, rows: reader.records().collect::<Result<_, _>>().map_err(|e| failed(&e))? }
        };
        let table = Self { path: path.to_owned(), source };
        if table.n_rows() == 0 { Err(failed(&"it has no rows; expected at least one")) } else { Ok(table) }
    }

    pub(super) fn n_rows(&self) -> usize {
        match &self.source {
            Source::Csv { rows, .. } => rows.len(),
            Source::Hdf5(table) => table.n_rows(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Csv { header, .. } => header.iter().any(|h| h == name),
            Source::Hdf5(table) => table.has(name),
        }
    }

    /// A column as it stands, as text.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, SimError> {
        match &self.source {
            Source::Csv { header, rows } => {
                let column = header.iter().position(|h| h == name).ok_or_else(|| self.missing(name))?;
                Ok(rows.iter().map(|row| row.get(column).unwrap_or("").to_owned()).collect())
            }
            Source::Hdf5(table) => match table.column(name).map_err(|_| self.missing(name))?.data.clone() {
                ColumnData::Text(v) => Ok(v),
                ColumnData::F64(v) => Ok(v.iter().map(f64::to_string).collect()),
                ColumnData::I64(v) => Ok(v.iter().map(i64::to_string).collect()),
                other => Err(self.wrong(1, name, &format!("of type {other:?}"), "texts or numbers")),
            },
        }
    }

    /// A column of numbers, each in `range`.
    pub(super) fn numbers(&self, name: &str, range: RangeInclusive<f64>, expected: &'static str) -> Result<Vec<f64>, SimError> {
        let parse = |(i, text): (usize, String)| match text.parse::<f64>() {
            Ok(v) if range.contains(&v) => Ok(v),
            _ => Err(self.wrong(i + 1, name, &format!("{text:?}"), expected)),
        };
        self.texts(name)?.into_iter().enumerate().map(parse).collect()
    }

    pub(super) fn wrong(&self, row: usize, column: &str, found: &str, expected: &'static str) -> SimError {
        SimError::TableRow { path: self.path.display().to_string(), row, column: column.to_owned(), found: found.to_owned(), expected }
    }

    fn missing(&self, name: &str) -> SimError {
        SimError::TableFile { path: self.path.display().to_string(), why: format!("column {name} is missing") }
    }
}

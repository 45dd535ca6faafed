//! FITS binary tables.

use super::{Target, WriteRows};
use crate::catalog::{Column, ColumnData, Table};
use crate::format::FormatError;
use crate::format::fits_write::{FitsWriter, TableColumn};

/// Most columns that FITS allows.
const MAX_COLUMNS: usize = 999;

/// Rows on their way.
pub(super) struct Rows {
    fits: FitsWriter,
    n_rows: usize,
}

impl Rows {
    /// Begins the file.
    pub fn new(file: &Target, name: &str, schema: &Table, widths: &[usize]) -> Result<Self, FormatError> {
        let n = schema.columns().len();
        if n > MAX_COLUMNS || widths.len() != n {
            return Err(FormatError::Content {
                path: file.path.clone(),
                key: "the table".to_owned(),
                found: format!("{n} columns"),
                expected: format!("at most {MAX_COLUMNS}, as FITS allows; choose some"),
            });
        }
        let form = |column: &Column, width: usize| match column.data {
            ColumnData::F64(_) => "D".to_owned(),
            ColumnData::I64(_) => "K".to_owned(),
            ColumnData::Bool(_) => "L".to_owned(),
            // A column of no characters is one that some readers refuse.
            ColumnData::Text(_) => format!("{}A", width.max(1)),
        };
        let columns: Vec<TableColumn> = schema
            .columns()
            .iter()
            .zip(widths)
            .map(|(c, &width)| TableColumn { name: &c.name, form: form(c, width), unit: &c.unit, description: &c.description })
            .collect();
        let mut fits = FitsWriter::create(&file.temporary, &file.path)?;
        fits.table(name, &columns)?;
        Ok(Self { fits, n_rows: 0 })
    }
}

impl WriteRows for Rows {
    fn write(&mut self, block: &Table) -> Result<(), FormatError> {
        for (i, column) in block.columns().iter().enumerate() {
            self.fits.column(i, self.n_rows, &column.data)?;
        }
        self.n_rows += block.n_rows();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.fits.close()
    }
}

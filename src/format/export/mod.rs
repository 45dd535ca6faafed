//! Tables for other programs: FITS, Parquet and ECSV, with unit and description of every column.
//!
//! Rows go out in blocks of [`BLOCK_ROWS`], so that memory is that of a block however long the table. What a format cannot hold as it
//! is becomes:
//!
//! | ours | FITS (first extension, `EXTNAME` = the table's name) | Parquet | CSV |
//! |---|---|---|---|
//! | f64, NaN kept | `D` | DOUBLE | shortest digits that read back the same; `nan`, `inf` |
//! | i64 | `K` | INT64 | digits |
//! | flag | `L` | BOOLEAN | `True`, `False` |
//! | text | `<width>A` | BYTE_ARRAY (String) | quoted where needed |
//! | unit | `TUNITn` | see below | ECSV header |
//! | description | `TCOMMn` | see below | ECSV header |
//!
//! - Parquet: required columns, Snappy. The file's metadata holds `fathom.columns`, JSON: name to `unit` and `description`; and, for TOPCAT and astropy,
//!   the VOTable header of the VOParquet convention (`IVOA.VOTable-Parquet.content`).
//! - CSV: commas; the lines above the names, which begin with `#`, are the header of ECSV 1.0 (astropy APE 6). astropy and TOPCAT read it with units;
//!   pandas by `read_csv(path, comment="#")`.

#[cfg(feature = "fits")]
mod binary_table;
mod ecsv;
mod parquet;

use super::FormatError;
use super::product::Aside;
use crate::catalog::{ColumnData, Table};
use std::path::{Path, PathBuf};

/// Rows that are written at once.
pub const BLOCK_ROWS: usize = 65_536;

/// A format of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// FITS binary table.
    Fits,
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with an ECSV header.
    Csv,
}

impl Format {
    /// All, by name.
    pub const ALL: [(&'static str, Self); 3] = [("fits", Self::Fits), ("parquet", Self::Parquet), ("csv", Self::Csv)];

    /// Ending of a file's name.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

/// What every format does with a block of rows.
trait WriteRows {
    fn write(&mut self, block: &Table) -> Result<(), FormatError>;
    fn finish(self: Box<Self>) -> Result<(), FormatError>;
}

/// A table on its way into a file: written aside and renamed when it is whole.
pub struct Export<'a> {
    aside: Aside<'a>,
    rows: Box<dyn WriteRows>,
    /// Rows not yet written.
    pending: Table,
    n_rows: usize,
}

impl<'a> Export<'a> {
    /// Begins a file.
    ///
    /// # Arguments
    /// * `name`: of the table.
    /// * `schema`: a table with the columns; its rows do not count.
    /// * `text_widths`: bytes of the longest text of every column, 0 for others; only FITS asks for it.
    ///
    /// # Errors
    /// [`FormatError`] if the file cannot be made, or the format cannot hold such a table.
    pub fn new(path: &'a Path, format: Format, name: &str, schema: &Table, text_widths: &[usize]) -> Result<Self, FormatError> {
        let aside = Aside::new(path)?;
        let schema = schema.take(&[]);
        let file = Target { path: path.to_owned(), temporary: aside.temporary.clone() };
        let rows: Box<dyn WriteRows> = match format {
            Format::Fits => fits_rows(file, name, &schema, text_widths)?,
            Format::Parquet => Box::new(parquet::Rows::new(file, name, &schema)?),
            Format::Csv => Box::new(ecsv::Rows::new(file, &schema)?),
        };
        Ok(Self { aside, rows, pending: schema, n_rows: 0 })
    }

    /// Appends rows; their columns are those of the schema.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn append(&mut self, rows: Table) -> Result<(), FormatError> {
        self.n_rows += rows.n_rows();
        self.pending.append(rows).map_err(|e| FormatError::Content {
            path: self.aside.path.to_owned(),
            key: "rows".to_owned(),
            found: e.to_string(),
            expected: "the columns of the table".to_owned(),
        })?;
        if self.pending.n_rows() >= BLOCK_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        let empty = self.pending.take(&[]);
        let block = std::mem::replace(&mut self.pending, empty);
        if block.n_rows() > 0 { self.rows.write(&block) } else { Ok(()) }
    }

    /// Writes what is left and gives the file its name; returns the number of rows.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn finish(mut self) -> Result<usize, FormatError> {
        self.flush()?;
        self.rows.finish()?;
        self.aside.publish()?;
        Ok(self.n_rows)
    }
}

/// Where the bytes go, and the name that messages show.
struct Target {
    path: PathBuf,
    temporary: PathBuf,
}

impl Target {
    fn io(&self, source: std::io::Error) -> FormatError {
        FormatError::Io { path: self.path.clone(), source }
    }

    fn create(&self) -> Result<std::fs::File, FormatError> {
        std::fs::File::create(&self.temporary).map_err(|e| self.io(e))
    }
}

/// Bytes of the longest text of every column; 0 for columns of another kind.
#[must_use]
pub fn text_widths(table: &Table) -> Vec<usize> {
    let width = |data: &ColumnData| match data {
        ColumnData::Text(texts) => texts.iter().map(String::len).max().unwrap_or(0),
        _ => 0,
    };
    table.columns().iter().map(|c| width(&c.data)).collect()
}

#[cfg(feature = "fits")]
fn fits_rows(file: Target, name: &str, schema: &Table, widths: &[usize]) -> Result<Box<dyn WriteRows>, FormatError> {
    Ok(Box::new(binary_table::Rows::new(&file, name, schema, widths)?))
}

#[cfg(not(feature = "fits"))]
fn fits_rows(file: Target, _name: &str, _schema: &Table, _widths: &[usize]) -> Result<Box<dyn WriteRows>, FormatError> {
    let (key, found) = ("the format".to_owned(), "FITS".to_owned());
    Err(FormatError::Content {
        path: file.path,
        key,
        found,
        expected: "another one: fathom was built without the feature `fits`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: std::ops::Range<i64>) -> Table {
        let mut table = Table::new();
        let n = rows.clone().count();
        table.push("id", "", "row; \"quoted\", with a comma", ColumnData::I64(rows.clone().map(|i| i + (1 << 60)).collect())).unwrap();
        let real = |i: i64| if i % 3 == 0 { f64::NAN } else { 0.1 * i as f64 };
        table.push("flux", "nJy", "flux", ColumnData::F64(rows.clone().map(real).collect())).unwrap();
        table.push("flag", "", "a flag", ColumnData::Bool(rows.clone().map(|i| i % 2 == 0).collect())).unwrap();
        table.push("name", "", "a text", ColumnData::Text(rows.map(|i| format!("a,\"{i}")).collect())).unwrap();
        assert_eq!(table.n_rows(), n);
        table
    }

    fn written(format: Format, blocks: &[Table]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("a.{}", format.ending()));
        let widths = blocks.iter().map(text_widths).reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect()).unwrap();
        let mut export = Export::new(&path, format, "catalog", &blocks[0], &widths).unwrap();
        for block in blocks {
            export.append(block.clone()).unwrap();
        }
        assert_eq!(export.finish().unwrap(), blocks.iter().map(Table::n_rows).sum::<usize>());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
        (folder, path)
    }

    /// What our own reader of foreign tables reads back: FITS bit by bit, CSV by shortest digits; NaN stays NaN.
    fn assert_reads_back(path: &Path, expected: &Table) {
        let found = crate::format::any_table::read(path, "").unwrap();
        assert_eq!(found.i64("id").unwrap(), expected.i64("id").unwrap());
        let bits = |t: &Table| t.f64("flux").unwrap().iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(expected));
        assert_eq!(found.text("name").unwrap(), expected.text("name").unwrap());
    }

    #[test]
    fn blocks_become_one_csv_table() {
        let (_folder, path) = written(Format::Csv, &[table(1..7), table(7..40), table(40..41)]);
        assert_reads_back(&path, &table(1..41));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# %ECSV 1.0\n# ---\n# delimiter: ','\n"), "{text}");
        assert!(text.contains(r##"# - {name: "flux", unit: "nJy", datatype: float64, description: "flux"}"##), "{text}");
        assert_eq!(crate::format::any_table::read(&path, "").unwrap().bool("flag").unwrap()[..2], [false, true]);
    }

    #[cfg(feature = "fits")]
    #[test]
    fn blocks_become_one_fits_table_with_units() {
        use crate::format::fits::{Fits, Hdu, Value};
        let (_folder, path) = written(Format::Fits, &[table(1..7), table(7..40)]);
        assert_reads_back(&path, &table(1..40));
        let header = Fits::open(&path).unwrap().header(&Hdu::Name("catalog".into())).unwrap();
        assert_eq!(header.get("TUNIT2"), Some(&Value::Text("nJy".into())));
        assert_eq!(header.get("TCOMM1"), Some(&Value::Text("row; \"quoted\", with a comma".into())));
        assert_eq!(header.get("TFORM3"), Some(&Value::Text("L".into())));
        assert_eq!(header.get("NAXIS2"), Some(&Value::Number(39.0)));
    }

    /// Read with the writer's own crate; other programs' readers stand in tests/python.
    #[test]
    fn blocks_become_one_parquet_table() {
        use ::parquet::file::reader::{FileReader, SerializedFileReader};
        let (_folder, path) = written(Format::Parquet, &[table(1..7), table(7..40)]);
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!(metadata.num_rows(), 39);
        let of = |key: &str| {
            let found = metadata.key_value_metadata().unwrap().iter().find(|kv| kv.key == key);
            found.and_then(|kv| kv.value.clone()).unwrap()
        };
        let columns: serde_json::Value = serde_json::from_str(&of("fathom.columns")).unwrap();
        assert_eq!(columns["flux"]["unit"], "nJy");
        assert!(of("IVOA.VOTable-Parquet.content").contains("unit=\"nJy\""));
        let expected = table(1..40);
        for (i, row) in reader.get_row_iter(None).unwrap().enumerate() {
            use ::parquet::record::RowAccessor;
            let row = row.unwrap();
            assert_eq!(row.get_long(0).unwrap(), expected.i64("id").unwrap()[i]);
            assert!(row.get_double(1).unwrap().is_nan() == (i % 3 == 2));
            assert_eq!(row.get_bool(2).unwrap(), expected.bool("flag").unwrap()[i]);
            assert_eq!(row.get_string(3).unwrap(), &expected.text("name").unwrap()[i]);
        }
    }

    #[test]
    fn a_table_without_rows_is_a_table() {
        for (_, format) in Format::ALL {
            let (_folder, path) = written(format, &[table(0..0)]);
            assert!(path.is_file());
        }
    }
}

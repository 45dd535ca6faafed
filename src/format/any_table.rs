//! Tables of other programs, whatever the columns: HDF5, FITS, CSV, told apart by the file's ending.
//!
//! - `.h5`, `.hdf5`, `.hdf`: a group with one dataset of one axis a column; integers of any width become `i64`, reals `f64`, fathom's flags `bool`.
//! - `.fits`, `.fit`, also `.gz`, `.fz`: a table; a column of several values a row is left out.
//! - `.csv`, also `.csv.gz`: a line of names, then values; a column of whole numbers becomes `i64`, one of numbers (empty: NaN) `f64`, of `true` and `false` `bool`,
//!   any other text. Lines that begin with `#` are comments.

use super::FormatError;
use super::hdf5_io::{Node, describe, hdf5_error, open_file};
use crate::catalog::{ColumnData, Table};
use hdf5::types::TypeDescriptor;
use std::path::Path;

/// Reads a table; `place` is a group (HDF5; empty: `truth`) or the number or name of an HDU (FITS; empty: the first table).
///
/// # Errors
/// [`FormatError`] naming the file and what is wrong in it, also for an unknown ending.
pub fn read(path: &Path, place: &str) -> Result<Table, FormatError> {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    if is(&[".csv", ".csv.gz"]) {
        read_csv(path)
    } else if is(&[".h5", ".hdf5", ".hdf"]) {
        read_hdf5(path, if place.is_empty() { "truth" } else { place })
    } else if is(&[".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz"]) {
        read_fits(path, place)
    } else {
        Err(wrong(path, "the name's ending", &name, ".csv, .csv.gz, .h5, .hdf5, .fits or .fits.gz"))
    }
}

fn wrong(path: &Path, key: &str, found: &str, expected: &str) -> FormatError {
    FormatError::Content { path: path.to_owned(), key: key.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

fn push(table: &mut Table, path: &Path, name: &str, data: ColumnData) -> Result<(), FormatError> {
    table.push(name, "", "", data).map_err(|e| wrong(path, name, &e.to_string(), "columns of one length"))
}

fn read_csv(path: &Path) -> Result<Table, FormatError> {
    let file = std::fs::File::open(path).map_err(|source| FormatError::Io { path: path.to_owned(), source })?;
    let is_packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    let text: Box<dyn std::io::Read> = if is_packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(std::io::BufReader::new(text));
    let failed = |e: csv::Error| match e.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            wrong(path, &format!("line {line}"), &format!("of {len} values"), &format!("{expected_len}, as in the line of names"))
        }
        _ => wrong(path, "the text", &e.to_string(), "comma-separated values in UTF-8"),
    };
    let names: Vec<String> = reader.headers().map_err(failed)?.iter().map(ToOwned::to_owned).collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        for (column, value) in columns.iter_mut().zip(&record) {
            column.push(value.to_owned());
        }
    }
    let mut table = Table::new();
    for (name, values) in names.iter().zip(columns) {
        push(&mut table, path, name, of_texts(values))?;
    }
    Ok(table)
}

/// The narrowest type that holds every value.
fn of_texts(values: Vec<String>) -> ColumnData {
    if let Ok(whole) = values.iter().map(|v| v.parse()).collect() {
        return ColumnData::I64(whole);
    }
    let real = |v: &String| if v.is_empty() { Ok(f64::NAN) } else { v.parse() };
    if values.iter().any(|v| !v.is_empty())
        && let Ok(reals) = values.iter().map(real).collect()
    {
        return ColumnData::F64(reals);
    }
    match values.iter().map(|v| v.to_lowercase().parse()).collect() {
        Ok(flags) => ColumnData::Bool(flags),
        Err(_) => ColumnData::Text(values),
    }
}

fn read_hdf5(path: &Path, group: &str) -> Result<Table, FormatError> {
    let file = open_file(path)?;
    let root = Node::new(path, &file.as_group().map_err(|e| hdf5_error(path, "open /", &e))?);
    let node = root.child(group, "a group with one dataset a column")?;
    let mut table = Table::new();
    for name in node.members()? {
        // Groups and images beside the columns are none of our business.
        let Ok(dataset) = node.dataset(&name, "a column") else { continue };
        if dataset.ndim() != 1 {
            continue;
        }
        let failed = |e: hdf5::Error| hdf5_error(path, &format!("read /{group}/{name}"), &e);
        let kind = dataset.dtype().and_then(|t| t.to_descriptor()).ok();
        let data = match kind {
            Some(TypeDescriptor::Float(_)) => ColumnData::F64(dataset.read_raw().map_err(failed)?),
            Some(TypeDescriptor::Boolean) => ColumnData::Bool(dataset.read_raw().map_err(failed)?),
            Some(TypeDescriptor::Unsigned(_)) if node.about(&dataset, "kind") == "bool" => {
                ColumnData::Bool(dataset.read_raw::<u8>().map_err(failed)?.into_iter().map(|b| b != 0).collect())
            }
            Some(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => ColumnData::I64(dataset.read_raw().map_err(failed)?),
            Some(
                TypeDescriptor::VarLenUnicode
                | TypeDescriptor::VarLenAscii
                | TypeDescriptor::FixedAscii(_)
                | TypeDescriptor::FixedUnicode(_),
            ) => ColumnData::Text(node.text_column(&name)?),
            _ => return Err(node.wrong(&name, &describe(&dataset), "numbers, flags or texts")),
        };
        push(&mut table, path, &name, data)?;
    }
    Ok(table)
}

#[cfg(feature = "fits")]
fn read_fits(path: &Path, place: &str) -> Result<Table, FormatError> {
    use super::fits::{Fits, Hdu};
    let hdu = match (place, place.parse::<usize>()) {
        ("", _) => Hdu::FirstTable,
        (_, Ok(number)) => Hdu::Number(number),
        (name, Err(_)) => Hdu::Name(name.to_owned()),
    };
    let mut fits = Fits::open(path)?;
    let mut table = Table::new();
    for name in fits.column_names(&hdu)? {
        if fits.is_text_column(&hdu, &name)? {
            let texts = fits.column_text(&hdu, &name)?;
            push(&mut table, path, &name, ColumnData::Text(texts))?;
            continue;
        }
        let (reals, per_row) = fits.column_f64(&hdu, &name)?;
        if per_row != 1 {
            continue;
        }
        // Reals hold whole numbers up to 2^53 exactly: larger ids are read again as what they are.
        let are_whole = !reals.is_empty() && reals.iter().all(|v| v.fract().abs() <= 0.0);
        let data = if are_whole { ColumnData::I64(fits.column_i64(&hdu, &name)?.0) } else { ColumnData::F64(reals) };
        push(&mut table, path, &name, data)?;
    }
    Ok(table)
}

#[cfg(not(feature = "fits"))]
fn read_fits(path: &Path, _place: &str) -> Result<Table, FormatError> {
    Err(wrong(path, "the file", "FITS", "another format: fathom was built without the feature `fits`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_table_has_the_types_of_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "# made by hand\nid, x, y, ok, name\n1, 1.5, 2, true, a\n2, , 3, FALSE, 7b\n").unwrap();
        let table = read(&path, "").unwrap();
        assert_eq!(table.i64("id").unwrap(), [1, 2]);
        assert!(table.f64("x").unwrap()[1].is_nan());
        assert_eq!(table.i64("y").unwrap(), [2, 3]);
        assert_eq!(table.bool("ok").unwrap(), [true, false]);
        assert_eq!(table.text("name").unwrap(), ["a", "7b"]);
        std::fs::write(&path, "a,b\n1,2\n3\n").unwrap();
        let message = read(&path, "").unwrap_err().to_string();
        assert!(message.ends_with("a.csv: line 3 is of 1 values; expected 2, as in the line of names"), "{message}");
        assert!(read(Path::new("a.txt"), "").unwrap_err().to_string().contains(".csv"));
    }

    #[test]
    fn our_own_tables_and_foreign_groups_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let mut table = Table::new();
        table.push("id", "", "", ColumnData::I64(vec![7, 8])).unwrap();
        table.push("is", "", "", ColumnData::Bool(vec![true, false])).unwrap();
        table.push("text", "", "", ColumnData::Text(vec!["a".into(), "b".into()])).unwrap();
        crate::format::table::write(&path, "key", "truth", &table).unwrap();
        let found = read(&path, "").unwrap();
        for name in ["id", "is", "text"] {
            assert_eq!(found.column(name).unwrap().data, table.column(name).unwrap().data);
        }
        let foreign = folder.path().join("b.h5");
        {
            let file = hdf5::File::create(&foreign).unwrap();
            let group = file.create_group("objects").unwrap();
            group.new_dataset_builder().with_data(&[1.5f32, 2.5]).create("x").unwrap();
            group.new_dataset_builder().with_data(&[1i16, 2]).create("n").unwrap();
        }
        let found = read(&foreign, "objects").unwrap();
        assert_eq!((found.f64("x").unwrap(), found.i64("n").unwrap()), (&[1.5, 2.5][..], &[1, 2][..]));
        assert!(read(&foreign, "").unwrap_err().to_string().contains("/truth is missing"));
    }
}

//! CSV with the header of ECSV 1.0.

use super::{Target, WriteRows};
use crate::catalog::{ColumnData, Table};
use crate::format::FormatError;
use std::io::{BufWriter, Write};

/// Rows on their way.
pub(super) struct Rows {
    file: Target,
    csv: csv::Writer<BufWriter<std::fs::File>>,
}

impl Rows {
    /// Writes header and names.
    pub fn new(file: Target, schema: &Table) -> Result<Self, FormatError> {
        let mut out = BufWriter::new(file.create()?);
        out.write_all(header(schema).as_bytes()).map_err(|e| file.io(e))?;
        let mut rows = Self { file, csv: csv::Writer::from_writer(out) };
        rows.record(schema.columns().iter().map(|c| c.name.clone()))?;
        Ok(rows)
    }

    fn record(&mut self, values: impl Iterator<Item = String>) -> Result<(), FormatError> {
        self.csv.write_record(values).map_err(|e| self.file.io(e.into()))
    }
}

impl WriteRows for Rows {
    fn write(&mut self, block: &Table) -> Result<(), FormatError> {
        for i in 0..block.n_rows() {
            self.record(block.columns().iter().map(|c| value(&c.data, i)))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        self.csv.flush().map_err(|e| self.file.io(e))
    }
}

fn value(data: &ColumnData, i: usize) -> String {
    match data {
        ColumnData::F64(v) if v[i].is_nan() => "nan".to_owned(),
        // Shortest digits that read back the same, with an exponent where that is shorter.
        ColumnData::F64(v) => format!("{:?}", v[i]),
        ColumnData::I64(v) => v[i].to_string(),
        ColumnData::Bool(v) => if v[i] { "True" } else { "False" }.to_owned(),
        ColumnData::Text(v) => v[i].clone(),
    }
}

/// YAML in comments: a flow mapping a column, its texts quoted as JSON does, which is YAML too.
fn header(schema: &Table) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n".to_owned();
    for column in schema.columns() {
        let kind = match column.data {
            ColumnData::F64(_) => "float64",
            ColumnData::I64(_) => "int64",
            ColumnData::Bool(_) => "bool",
            ColumnData::Text(_) => "string",
        };
        let unit = if column.unit.is_empty() { String::new() } else { format!("unit: {}, ", quoted(&column.unit)) };
        text += &format!("# - {{name: {}, {unit}datatype: {kind}, description: {}}}\n", quoted(&column.name), quoted(&column.description));
    }
    text + "# schema: astropy-2.0\n"
}

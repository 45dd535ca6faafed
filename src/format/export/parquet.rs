//! Apache Parquet, a row group a block.

use super::{Target, WriteRows};
use crate::catalog::{Column, ColumnData, Table};
use crate::format::FormatError;
use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows on their way.
pub(super) struct Rows {
    path: PathBuf,
    writer: SerializedFileWriter<std::fs::File>,
}

fn failed(path: &Path, what: &str, error: &ParquetError) -> FormatError {
    FormatError::Io { path: path.to_owned(), source: std::io::Error::other(format!("{what}: {error}")) }
}

impl Rows {
    /// Begins the file.
    pub fn new(file: Target, name: &str, schema: &Table) -> Result<Self, FormatError> {
        let out = file.create()?;
        let begin = || {
            let fields = schema.columns().iter().map(field).collect::<Result<Vec<TypePtr>, _>>()?;
            let root = Type::group_type_builder("schema").with_fields(fields).build()?;
            let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
            let metadata = vec![
                pair("fathom.columns", columns_json(schema)),
                pair("IVOA.VOTable-Parquet.version", "1.0".to_owned()),
                pair("IVOA.VOTable-Parquet.content", votable(name, schema)),
            ];
            let properties =
                WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(metadata)).build();
            SerializedFileWriter::new(out, Arc::new(root), Arc::new(properties))
        };
        let writer = begin().map_err(|e| failed(&file.path, "beginning the file", &e))?;
        Ok(Self { path: file.path, writer })
    }
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (kind, logical) = match column.data {
        ColumnData::F64(_) => (Physical::DOUBLE, None),
        ColumnData::I64(_) => (Physical::INT64, None),
        ColumnData::Bool(_) => (Physical::BOOLEAN, None),
        ColumnData::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, kind).with_repetition(Repetition::REQUIRED).with_logical_type(logical);
    Ok(Arc::new(builder.build()?))
}

impl WriteRows for Rows {
    fn write(&mut self, block: &Table) -> Result<(), FormatError> {
        let put = |writer: &mut SerializedFileWriter<std::fs::File>| {
            let mut group = writer.next_row_group()?;
            for column in block.columns() {
                let Some(mut out) = group.next_column()? else { break };
                match &column.data {
                    ColumnData::F64(v) => out.typed::<DoubleType>().write_batch(v, None, None)?,
                    ColumnData::I64(v) => out.typed::<Int64Type>().write_batch(v, None, None)?,
                    ColumnData::Bool(v) => out.typed::<BoolType>().write_batch(v, None, None)?,
                    ColumnData::Text(v) => {
                        let texts: Vec<ByteArray> = v.iter().map(|t| ByteArray::from(t.as_str())).collect();
                        out.typed::<ByteArrayType>().write_batch(&texts, None, None)?
                    }
                };
                out.close()?;
            }
            group.close()?;
            Ok(())
        };
        put(&mut self.writer).map_err(|e| failed(&self.path, "writing rows", &e))
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.writer.close().map(|_| ()).map_err(|e| failed(&self.path, "closing the file", &e))
    }
}

fn columns_json(schema: &Table) -> String {
    let about = |c: &Column| (c.name.clone(), serde_json::json!({ "unit": c.unit, "description": c.description }));
    serde_json::Value::Object(schema.columns().iter().map(about).collect()).to_string()
}

/// A VOTable without data.
///
/// # Source
/// VOParquet 1.0, IVOA note 2024: columns of the VOTable's one table are those of the file, in order.
fn votable(name: &str, schema: &Table) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<VOTABLE version=\"1.4\" xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\">\n\
         <RESOURCE>\n<TABLE name=\"{}\">\n",
        escape(name)
    );
    for column in schema.columns() {
        let kind = match column.data {
            ColumnData::F64(_) => "datatype=\"double\"",
            ColumnData::I64(_) => "datatype=\"long\"",
            ColumnData::Bool(_) => "datatype=\"boolean\"",
            ColumnData::Text(_) => "datatype=\"unicodeChar\" arraysize=\"*\"",
        };
        let unit = if column.unit.is_empty() { String::new() } else { format!(" unit=\"{}\"", escape(&column.unit)) };
        let (name, description) = (escape(&column.name), escape(&column.description));
        text += &format!("<FIELD name=\"{name}\" {kind}{unit}><DESCRIPTION>{description}</DESCRIPTION></FIELD>\n");
    }
    text + "</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
}

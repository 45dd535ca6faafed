//! Columnar tables: name, unit and description per column.

mod table;

pub use table::{Column, ColumnData, Table, TableError};

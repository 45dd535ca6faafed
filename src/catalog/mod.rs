//! Columnar tables: name, unit and description per column.

mod filter;
mod table;

pub use filter::{Filter, FilterError};
pub use table::{Column, ColumnData, Table, TableError};

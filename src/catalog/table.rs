//! A table of equally long, typed columns.

use serde::{Deserialize, Serialize};

/// Values of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ColumnData {
    /// Real numbers; NaN for a failed measurement.
    F64(Vec<f64>),
    /// Integers and ids.
    I64(Vec<i64>),
    /// Flags.
    Bool(Vec<bool>),
    /// Short texts.
    Text(Vec<String>),
}

impl ColumnData {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::F64(_) => "f64",
            Self::I64(_) => "i64",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name, e.g. `r_psf_flux`.
    pub name: String,
    /// Unit, e.g. `nJy`; empty for a pure number.
    pub unit: String,
    /// What it is, in one line.
    pub description: String,
    /// Values.
    pub data: ColumnData,
}

/// Why a table was refused or a column not found.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum TableError {
    /// No such column.
    #[error("column {name} is missing; the table has: {present}")]
    NoColumn {
        /// Name asked for.
        name: String,
        /// Names present.
        present: String,
    },
    /// Another type.
    #[error("column {name} holds {found}; expected {expected}")]
    Kind {
        /// Column.
        name: String,
        /// Its type.
        found: &'static str,
        /// The type asked for.
        expected: &'static str,
    },
    /// Another length.
    #[error("column {name} has {found} rows; expected {expected}")]
    Length {
        /// Column.
        name: String,
        /// Its length.
        found: usize,
        /// Length of the others.
        expected: usize,
    },
    /// Two tables do not have the same columns.
    #[error("tables differ in their columns: {left} against {right}")]
    Columns {
        /// Column of the first.
        left: String,
        /// Column of the second.
        right: String,
    },
}

/// Equally long columns, in a fixed order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    columns: Vec<Column>,
}

impl Table {
    /// A table without columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows; 0 without columns.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |c| c.data.len())
    }

    /// All columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Appends a column.
    ///
    /// # Errors
    /// [`TableError::Length`] if its length differs from the others'.
    pub fn push(&mut self, name: &str, unit: &str, description: &str, data: ColumnData) -> Result<(), TableError> {
        if !self.columns.is_empty() && data.len() != self.n_rows() {
            return Err(TableError::Length { name: name.to_owned(), found: data.len(), expected: self.n_rows() });
        }
        self.columns.push(Column { name: name.to_owned(), unit: unit.to_owned(), description: description.to_owned(), data });
        Ok(())
    }

    /// Column by name.
    ///
    /// # Errors
    /// [`TableError::NoColumn`] if there is none.
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| TableError::NoColumn {
            name: name.to_owned(),
            present: self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// True if there is such a column.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|c| c.name == name)
    }

    /// Values of a real column.
    ///
    /// # Errors
    /// [`TableError`] if there is none, or it holds another type.
    pub fn f64(&self, name: &str) -> Result<&[f64], TableError> {
        match &self.column(name)?.data {
            ColumnData::F64(v) => Ok(v),
            other => Err(TableError::Kind { name: name.to_owned(), found: other.kind(), expected: "f64" }),
        }
    }

    /// Values of an integer column.
    ///
    /// # Errors
    /// [`TableError`] if there is none, or it holds another type.
    pub fn i64(&self, name: &str) -> Result<&[i64], TableError> {
        match &self.column(name)?.data {
            ColumnData::I64(v) => Ok(v),
            other => Err(TableError::Kind { name: name.to_owned(), found: other.kind(), expected: "i64" }),
        }
    }

    /// Values of a flag column.
    ///
    /// # Errors
    /// [`TableError`] if there is none, or it holds another type.
    pub fn bool(&self, name: &str) -> Result<&[bool], TableError> {
        match &self.column(name)?.data {
            ColumnData::Bool(v) => Ok(v),
            other => Err(TableError::Kind { name: name.to_owned(), found: other.kind(), expected: "bool" }),
        }
    }

    /// Values of a text column.
    ///
    /// # Errors
    /// [`TableError`] if there is none, or it holds another type.
    pub fn text(&self, name: &str) -> Result<&[String], TableError> {
        match &self.column(name)?.data {
            ColumnData::Text(v) => Ok(v),
            other => Err(TableError::Kind { name: name.to_owned(), found: other.kind(), expected: "text" }),
        }
    }

    /// Appends the rows of a table with the same columns; an empty table takes them over.
    ///
    /// # Errors
    /// [`TableError::Columns`] if names or types differ.
    pub fn append(&mut self, other: Self) -> Result<(), TableError> {
        if self.columns.is_empty() {
            *self = other;
            return Ok(());
        }
        let name_of = |c: Option<&Column>| c.map_or("nothing".to_owned(), |c| format!("{} ({})", c.name, c.data.kind()));
        let differ =
            |i: usize, other: &Self| TableError::Columns { left: name_of(self.columns.get(i)), right: name_of(other.columns.get(i)) };
        for i in 0..self.columns.len().max(other.columns.len()) {
            match (self.columns.get(i), other.columns.get(i)) {
                (Some(a), Some(b)) if a.name == b.name && a.data.kind() == b.data.kind() => {}
                _ => return Err(differ(i, &other)),
            }
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            match (&mut mine.data, theirs.data) {
                (ColumnData::F64(a), ColumnData::F64(b)) => a.extend(b),
                (ColumnData::I64(a), ColumnData::I64(b)) => a.extend(b),
                (ColumnData::Bool(a), ColumnData::Bool(b)) => a.extend(b),
                (ColumnData::Text(a), ColumnData::Text(b)) => a.extend(b),
                _ => unreachable!("types were compared above"),
            }
        }
        Ok(())
    }

    /// The columns with these names, in that order.
    ///
    /// # Errors
    /// [`TableError::NoColumn`] if there is none of a name.
    pub fn select(&self, names: &[String]) -> Result<Self, TableError> {
        Ok(Self { columns: names.iter().map(|name| self.column(name).cloned()).collect::<Result<_, _>>()? })
    }

    /// The rows with these indices, in that order.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let pick = |data: &ColumnData| match data {
            ColumnData::F64(v) => ColumnData::F64(rows.iter().map(|&i| v[i]).collect()),
            ColumnData::I64(v) => ColumnData::I64(rows.iter().map(|&i| v[i]).collect()),
            ColumnData::Bool(v) => ColumnData::Bool(rows.iter().map(|&i| v[i]).collect()),
            ColumnData::Text(v) => ColumnData::Text(rows.iter().map(|&i| v[i].clone()).collect()),
        };
        Self { columns: self.columns.iter().map(|c| Column { data: pick(&c.data), ..c.clone() }).collect() }
    }
}

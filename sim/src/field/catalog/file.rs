//! A table file with its column map: every value by row and column.

use crate::SimError;
use fathom::catalog::{ColumnData, Table};
use std::collections::BTreeMap;
use std::path::Path;

/// A file with its column map.
pub(super) struct File<'a> {
    pub path: &'a Path,
    pub table: Table,
    pub columns: &'a BTreeMap<String, String>,
}

impl File<'_> {
    /// The file's name of one of our columns.
    pub fn name<'n>(&'n self, ours: &'n str) -> &'n str {
        self.columns.get(ours).map_or(ours, String::as_str)
    }

    pub fn has(&self, ours: &str) -> bool {
        self.table.has(self.name(ours))
    }

    pub fn wrong(&self, i_row: usize, ours: &str, found: impl ToString, expected: impl ToString) -> SimError {
        SimError::TableRow {
            path: self.path.to_owned(),
            row: i_row + 1,
            column: self.name(ours).to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    fn missing(&self, ours: &str) -> SimError {
        let present: Vec<&str> = self.table.columns().iter().map(|c| c.name.as_str()).collect();
        SimError::Format(
            fathom::format::FormatError::Content {
                path: self.path.to_owned(),
                key: format!("column {}", self.name(ours)),
                found: "missing".into(),
                expected: format!("a column for {ours}; the file has {}", present.join(", ")),
            }
            .to_string(),
        )
    }

    /// Numbers of a column, or the default in every row; without default the column must be there.
    pub fn reals(&self, ours: &str, default: Option<f64>) -> Result<Vec<f64>, SimError> {
        if !self.has(ours) {
            return default.map(|d| vec![d; self.table.n_rows()]).ok_or_else(|| self.missing(ours));
        }
        match &self.table.column(self.name(ours))?.data {
            ColumnData::F64(v) => Ok(v.clone()),
            ColumnData::I64(v) => Ok(v.iter().map(|n| *n as f64).collect()),
            ColumnData::Bool(v) => v.first().map_or(Ok(Vec::new()), |b| Err(self.wrong(0, ours, b, "a number"))),
            ColumnData::Text(v) => {
                let number = |(i, t): (usize, &String)| t.parse().map_err(|_| self.wrong(i, ours, format!("\"{t}\""), "a number"));
                v.iter().enumerate().map(number).collect()
            }
        }
    }

    pub fn texts(&self, ours: &str, default: Option<&str>) -> Result<Vec<String>, SimError> {
        if !self.has(ours) {
            return default.map(|d| vec![d.to_owned(); self.table.n_rows()]).ok_or_else(|| self.missing(ours));
        }
        Ok(match &self.table.column(self.name(ours))?.data {
            ColumnData::Text(v) => v.clone(),
            ColumnData::I64(v) => v.iter().map(ToString::to_string).collect(),
            ColumnData::F64(v) => v.iter().map(|x| if x.is_nan() { String::new() } else { x.to_string() }).collect(),
            ColumnData::Bool(v) => v.iter().map(ToString::to_string).collect(),
        })
    }

    pub fn wholes(&self, ours: &str, default: Vec<i64>) -> Result<Vec<i64>, SimError> {
        if !self.has(ours) {
            return Ok(default);
        }
        match &self.table.column(self.name(ours))?.data {
            ColumnData::I64(v) => Ok(v.clone()),
            _ => {
                let whole = |(i, x): (usize, f64)| {
                    if x.fract().abs() <= 0.0 { Ok(x as i64) } else { Err(self.wrong(i, ours, x, "a whole number")) }
                };
                self.reals(ours, None)?.into_iter().enumerate().map(whole).collect()
            }
        }
    }

    /// Every value of the rows that count must pass.
    pub fn check(&self, ours: &str, values: &[f64], expected: &str, is_good: impl Fn(usize, f64) -> bool) -> Result<(), SimError> {
        match values.iter().enumerate().find(|(i, v)| !is_good(*i, **v)) {
            Some((i, v)) => Err(self.wrong(i, ours, v, expected)),
            None => Ok(()),
        }
    }
}

//! `fathom catalog`: a run's tables for other programs.

use crate::command::compare::rows_of;
use crate::command::status::open;
use crate::config::ConfigError;
use crate::phase::{Phase, measure::Measure, truth::Truth};
use crate::run::Run;
use anyhow::{Context, Result, anyhow};
use fathom::catalog::{ColumnData, Filter, Table};
use fathom::format::export::{Export, Format, text_widths};
use fathom::format::table;
use std::path::{Path, PathBuf};

/// What the command line asked for.
pub struct Wanted<'a> {
    pub format: Format,
    /// `catalog`, `truth` or `matches`.
    pub table: &'a str,
    /// Columns, in this order; empty: all.
    pub columns: Vec<String>,
    pub condition: Option<&'a str>,
    pub arm: Option<&'a str>,
    pub out: Option<&'a Path>,
}

/// Writes a table of a run, batch by batch: memory is that of a batch and a block of the file, however large the catalog.
pub fn catalog(folder: &Path, wanted: &Wanted) -> Result<()> {
    let run = open(folder)?;
    let arm = arm_of(&run, wanted.arm)?;
    let condition = wanted.condition.map(Filter::parse).transpose().map_err(|e| ConfigError(format!("--where: {e}")))?;
    let pieces = pieces(&run, arm, wanted.table)?;
    let read = |path: &PathBuf| -> Result<Table> {
        let whole = table::read(path, table_name(wanted.table)).with_context(|| "the run is not finished, or has no such table")?;
        let rows = if wanted.table == "matches" { rows_of(&whole, &run.arms[arm].name)? } else { whole };
        chosen(&rows, condition.as_ref(), &wanted.columns)
    };
    let Some(first) = pieces.first() else { return Err(anyhow!("the run has no {} in arm {}", wanted.table, run.arms[arm].name)) };
    let first = read(first)?;
    let widths = widths(&first, wanted.format, pieces.iter().map(&read))?;
    let default = folder.join(format!("{}.{}", wanted.table, wanted.format.ending()));
    let out = wanted.out.unwrap_or(&default);
    let mut export = Export::new(out, wanted.format, wanted.table, &first, &widths)?;
    for piece in &pieces {
        export.append(read(piece)?)?;
    }
    let n_rows = export.finish()?;
    eprintln!("{n_rows} rows, {} columns", first.columns().len());
    println!("{}", out.display());
    Ok(())
}

/// The arm by name; else the first with truth.
pub fn arm_of(run: &Run, name: Option<&str>) -> Result<usize> {
    match name {
        None => Ok(run.arms.iter().position(|a| a.realisation.is_some()).unwrap_or(0)),
        Some(name) => run.arms.iter().position(|a| a.name == name).ok_or_else(|| {
            let names: Vec<&str> = run.arms.iter().map(|a| a.name.as_str()).collect();
            ConfigError(format!("--arm {name}: the run has no such arm; expected one of {}", names.join(", "))).into()
        }),
    }
}

/// Files that hold a table's rows, in order.
fn pieces(run: &Run, arm: usize, table: &str) -> Result<Vec<PathBuf>> {
    let of = |phase: &dyn Phase| -> Result<Vec<PathBuf>> {
        let tasks = phase.tasks(run).context("the run is not finished")?;
        Ok(tasks.into_iter().filter(|t| t.arm == arm).map(|t| run.path(t.path)).collect())
    };
    match table {
        "catalog" => of(&Measure),
        "truth" => of(&Truth),
        _ => Ok(vec![run.path("validation.h5")]),
    }
}

/// Name of the table in its file.
fn table_name(table: &str) -> &str {
    if table == "truth" { "limits" } else { table }
}

fn chosen(table: &Table, condition: Option<&Filter>, columns: &[String]) -> Result<Table> {
    let wrong = |option: &str, e: &dyn std::fmt::Display| ConfigError(format!("{option}: {e}"));
    let rows = match condition {
        None => table.clone(),
        Some(condition) => {
            let holds = condition.rows(table).map_err(|e| wrong("--where", &e))?;
            table.take(&(0..table.n_rows()).filter(|&i| holds[i]).collect::<Vec<_>>())
        }
    };
    if columns.is_empty() { Ok(rows) } else { rows.select(columns).map_err(|e| wrong("--columns", &e).into()) }
}

/// Longest texts of the columns: FITS must know them before the first row, so the pieces are read once more if there are texts.
fn widths(first: &Table, format: Format, pieces: impl Iterator<Item = Result<Table>>) -> Result<Vec<usize>> {
    let mut widths = text_widths(first);
    let has_text = first.columns().iter().any(|c| matches!(c.data, ColumnData::Text(_)));
    if format == Format::Fits && has_text {
        for piece in pieces {
            for (width, more) in widths.iter_mut().zip(text_widths(&piece?)) {
                *width = (*width).max(more);
            }
        }
    }
    Ok(widths)
}

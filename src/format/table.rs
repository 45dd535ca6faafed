//! `fathom-table` files, and tables inside any other product: one group a table, one dataset a column.
//!
//! # Format, version 1
//!
//! Group `/<name>`:
//! - attribute `columns`: names of the columns, in order (absent from a table without columns); `n_columns` (u64), `n_rows` (u64).
//! - dataset `<column>` `[n_rows]`: `f64`, `i64`, `u8` (a flag, with the attribute `kind` = `bool`) or variable-length UTF-8; with
//!   the attributes `unit` and `description`. Shuffled and deflated.
//!
//! # Products that are tables
//!
//! | file | tables |
//! |---|---|
//! | `<arm>/catalog/<batch>.h5`, `<arm>/limits/<batch>.h5`, `<arm>/drawn/<id>.h5` | `catalog`; `limits`; `drawn` |
//! | `<arm>/assess/blends-<batch>.h5` | `blends`: a row per child and true object in one parent of which it holds light |
//! | `<arm>/assess/background-<id>.h5` | `backgrounds`: a row per exposure with a known sky |
//! | `<arm>/assess/coadd-<patch>.h5` | `depths`, `noise`: a row per cell, band (and kind of sum); `psf_stars`: a row per star and band |
//! | `validation.h5` | `matches`, `worst_blends`, and all of these merged, `blends` with a column `arm` |
//!
//! `blends`: `parent_id`, `object_id` (the child's row of the catalog), `truth_id`, `n_children` (1: no blend), and per band `<band>_`:
//!
//! | column | unit | what |
//! |---|---|---|
//! | `flux_held` | nJy | M_kj = Σ_x s_k(x) T_j(x): light of the object that the child holds; s_k its share of the parent's pixel, T_j noiseless |
//! | `light_held` | nJy | Σ_j M_kj: all light that the child holds |
//! | `flux_inside` | nJy | light of the object on the parent's pixels |
//! | `flux_total` | nJy | all its light on the coadd: what is not inside is outside every child of this parent |
//! | `blendedness` | | 1 - Σ T_j² / Σ T_j M, M the light of all true objects |
//! | `chi2` | | Σ (child - T_j)² / variance |
//! | `expected_chi2` | | the same if the shares were right: Σ s_k² |
//!
//! Pairs that concern less than a thousandth of the child's light and of the object's, in every band, are left out. Without
//! `[truth] pixels` the table has no columns.
//!
//! `worst_blends` (parents with more than one child): `arm`, `parent_id`, `score` (√Σ (light of a detectable object held by a child not matched to it / its point-source flux
//! error)², over objects, children, bands), `n_children`, `n_truth` (detectable objects with light in it); worst first.

use super::FormatError;
use super::hdf5_io::{About, Node, describe};
use super::product::{self, Header};
use crate::catalog::{ColumnData, Table};
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use std::ops::Range;
use std::path::Path;

/// Writes a product that is one table, in group `/<name>`.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, name: &str, table: &Table) -> Result<(), FormatError> {
    write_all(path, key, &[(name, table)])
}

/// Writes a product that is several tables, each in its group.
///
/// # Errors
/// [`FormatError`].
pub fn write_all(path: &Path, key: &str, tables: &[(&str, &Table)]) -> Result<(), FormatError> {
    let header = Header { format: "fathom-table", version: 1, key: key.to_owned() };
    product::write(path, &header, |root| tables.iter().try_for_each(|(name, table)| put(&Node::new(path, root), name, table)))
}

/// Reads the table `/<name>` of any product file.
///
/// # Errors
/// [`FormatError`] if it is missing or its columns differ in length.
pub fn read(path: &Path, name: &str) -> Result<Table, FormatError> {
    take(&Node::open(path, None)?, name, None)
}

/// Writes a table as a group of `parent`.
pub(super) fn put(parent: &Node, name: &str, table: &Table) -> Result<(), FormatError> {
    let group = parent.create(name)?;
    group.put("n_columns", table.columns().len() as u64)?;
    group.put("n_rows", table.n_rows() as u64)?;
    if !table.columns().is_empty() {
        group.put_texts("columns", table.columns().iter().map(|c| c.name.as_str()))?;
    }
    for column in table.columns() {
        let about = About::new(&column.name, &column.unit, &column.description);
        match &column.data {
            ColumnData::F64(v) => group.write_column(about, v)?,
            ColumnData::I64(v) => group.write_column(about, v)?,
            ColumnData::Bool(v) => group.write_flags(about, v)?,
            ColumnData::Text(v) => group.write_texts(about, v)?,
        }
    }
    Ok(())
}

/// Reads a table that is a group of `parent`, whole or the rows of `rows`, range after range.
pub(super) fn take(parent: &Node, name: &str, rows: Option<&[Range<usize>]>) -> Result<Table, FormatError> {
    let group = parent.child(name, "a table")?;
    let mut table = Table::new();
    if group.count("n_columns")? == 0 {
        return Ok(table);
    }
    for name in group.texts("columns")? {
        let dataset = group.dataset(&name, "a column")?;
        let kind = dataset.dtype().and_then(|t| t.to_descriptor()).ok();
        let data = match kind {
            Some(TypeDescriptor::Float(FloatSize::U8)) => ColumnData::F64(group.column_rows(&name, rows)?),
            Some(TypeDescriptor::Integer(IntSize::U8)) => ColumnData::I64(group.column_rows(&name, rows)?),
            Some(TypeDescriptor::Unsigned(IntSize::U1)) if group.about(&dataset, "kind") == "bool" => {
                ColumnData::Bool(group.column_rows::<u8>(&name, rows)?.into_iter().map(|b| b != 0).collect())
            }
            Some(
                TypeDescriptor::VarLenUnicode
                | TypeDescriptor::VarLenAscii
                | TypeDescriptor::FixedAscii(_)
                | TypeDescriptor::FixedUnicode(_),
            ) => ColumnData::Text(group.text_rows(&name, rows)?),
            _ => return Err(group.wrong(&name, &describe(&dataset), "float64, int64, flags (uint8, kind = bool) or texts")),
        };
        let (unit, description) = (group.about(&dataset, "unit"), group.about(&dataset, "description"));
        table.push(&name, &unit, &description, data).map_err(|e| group.wrong(&name, &e.to_string(), "columns of one length"))?;
    }
    Ok(table)
}

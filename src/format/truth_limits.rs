//! What the data allow for the true objects of a batch: `<arm>/limits/<batch>.h5`.
//!
//! # Format, version 1
//!
//! Two tables ([`super::table`]):
//! - `/limits`: the rows of the truth catalog with the columns that the truth phase joins ([`super::truth`]);
//! - `/blend_fisher`: one row for every member of every object's blend (empty of columns where limits were not asked for):
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `id` | i64 | | object whose blend it is |
//! | `neighbour_id` | i64 | | member of its blend: overlap of at least `truth.min_overlap` in some band, S/N of at least `truth.min_snr` |
//! | `<band>_overlap` | f64 | | light in common, F_ij / √(F_ii F_jj) with F the Fisher matrix of the fluxes |
//! | `<band>_flux_covariance` | f64 | nJy2 | covariance of the best estimates of both fluxes, all parameters of all members unknown; NaN where they cannot be told apart |
//!
//! The blend of an object is the object and its 15 neighbours of the largest overlap at most; so a huge blend is cut differently for each of
//! its members, and the rows (a, b) and (b, a) may differ by what lies around a and b. In `run.h5` the tables of all batches stand in `/truth` and
//! `/blend_fisher`.

use super::FormatError;
use super::hdf5_io::Node;
use super::product::{self, Header};
use super::table;
use crate::catalog::Table;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-truth-limits", 1);

/// Writes both tables of a batch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, limits: &Table, blend_fisher: &Table) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        table::put(&root, "limits", limits)?;
        table::put(&root, "blend_fisher", blend_fisher)
    })
}

/// The objects of a batch with their limits.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<Table, FormatError> {
    table::take(&Node::open(path, Some(FORMAT))?, "limits", None)
}

/// The flux covariances in the blends of a batch.
///
/// # Errors
/// [`FormatError`].
pub fn read_blend_fisher(path: &Path) -> Result<Table, FormatError> {
    table::take(&Node::open(path, Some(FORMAT))?, "blend_fisher", None)
}

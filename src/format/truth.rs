//! The truth catalog: what sim drew or an independent simulator says; where sim and validation meet.
//!
//! A [`Table`](crate::catalog::Table) in group `/truth`, one row an object:
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `id` | i64 | | unique, > 0 |
//! | `ra`, `dec` | f64 | deg | ICRS, at the mean epoch |
//! | `class` | text | | `star`, `galaxy`, `variable`, `transient`, `mover` |
//! | `<band>_flux` | f64 | nJy | total flux, mean over the epochs |
//! | `half_light_radius` | f64 | arcsec | along the major axis; 0 for a point source |
//! | `axis_ratio` | f64 | | minor / major, 1 for a point source |
//! | `position_angle` | f64 | deg | of the major axis, east of north |
//! | `sersic_n` | f64 | | 0 for a point source |
//! | `is_injected` | bool | | added to real pixels |
//!
//! and, where the scene prescribes it, `snr_target` (f64; NaN else) and `regime` (text, e.g. `faint`, `bright`).

use crate::catalog::Table;

/// Checks that a table is a truth catalog for these bands.
///
/// # Errors
/// [`crate::catalog::TableError`] naming the missing or wrong column.
pub fn check(table: &Table, bands: &[String]) -> Result<(), crate::catalog::TableError> {
    table.i64("id")?;
    for name in ["ra", "dec", "half_light_radius", "axis_ratio", "position_angle", "sersic_n"] {
        table.f64(name)?;
    }
    table.text("class")?;
    table.bool("is_injected")?;
    for band in bands {
        table.f64(&format!("{band}_flux"))?;
    }
    Ok(())
}

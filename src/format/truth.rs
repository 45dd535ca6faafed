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
//!
//! A catalog may say more; a column that is missing has the default for all rows ([`optional_f64`], [`optional_text`]):
//!
//! | column | type | unit | default | what |
//! |---|---|---|---|---|
//! | `epoch` | f64 | MJD | 0 | at which `ra`, `dec` hold |
//! | `pm_ra`, `pm_dec` | f64 | mas/yr | 0 | proper motion, cos(dec) included in `pm_ra`; movers too: 1 arcsec/h is 8.77e6 mas/yr |
//! | `parallax` | f64 | mas | 0 | |
//! | `variability` | text | | | empty: constant; `sine`, `walk` (damped random walk), `transient` (rise and fall) |
//! | `var_period` | f64 | d | NaN | period; damping time of a walk; e-folding time of a transient's fall (its rise takes a fifth) |
//! | `var_amplitude` | f64 | mag | 0 | half of peak to peak; standard deviation of a walk; not used by a transient |
//! | `var_t0` | f64 | MJD | NaN | of maximum light; `<band>_flux` of a transient is that at maximum, of all others the mean |
//! | `<band>_bulge_fraction` | f64 | | 0 | share of the flux in a bulge; the other shape columns are then those of the disc |
//! | `bulge_half_light_radius`, `bulge_axis_ratio`, `bulge_sersic_n` | f64 | arcsec, , | 0, 1, 4 | same angle as the disc |
//! | `morphology` | text | | | empty: Sérsic; `stamp:<name>`: a real galaxy, its `half_light_radius` scaled to the column's |
//! | `redshift` | f64 | | NaN | |
//! | `sed` | text | | | name of the template |
//! | `cluster_id`, `host_id` | i64 | | 0 | cluster that it belongs to; galaxy that a transient lies on |

use crate::catalog::{Table, TableError};

/// A column, or `default` in every row where the catalog has none.
///
/// # Errors
/// [`TableError`] if the column is of another type.
pub fn optional_f64(table: &Table, name: &str, default: f64) -> Result<Vec<f64>, TableError> {
    if table.column(name).is_ok() { table.f64(name).map(<[f64]>::to_vec) } else { Ok(vec![default; table.n_rows()]) }
}

/// A column of text, or empty text in every row where the catalog has none.
///
/// # Errors
/// [`TableError`] if the column is of another type.
pub fn optional_text(table: &Table, name: &str) -> Result<Vec<String>, TableError> {
    if table.column(name).is_ok() { table.text(name).map(<[String]>::to_vec) } else { Ok(vec![String::new(); table.n_rows()]) }
}

/// Checks that a table is a truth catalog for these bands.
///
/// # Errors
/// [`TableError`] naming the missing or wrong column.
pub fn check(table: &Table, bands: &[String]) -> Result<(), TableError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnData;

    #[test]
    fn missing_columns_have_their_default_and_wrong_ones_are_errors() {
        let mut table = Table::new();
        table.push("id", "", "", ColumnData::I64(vec![1, 2])).unwrap();
        table.push("parallax", "mas", "", ColumnData::F64(vec![3.0, 4.0])).unwrap();
        assert_eq!(optional_f64(&table, "parallax", 0.0).unwrap(), [3.0, 4.0]);
        assert_eq!(optional_f64(&table, "pm_ra", 0.5).unwrap(), [0.5, 0.5]);
        assert_eq!(optional_text(&table, "sed").unwrap(), ["", ""]);
        assert!(optional_text(&table, "parallax").is_err());
    }
}

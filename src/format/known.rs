//! Lists of known sources, of any program: [`super::any_table`].
//!
//! Columns `ra`, `dec` \[deg\]; optional `id` (whole numbers; else the row), `epoch` \[MJD\] (else the source does not move), `pm_ra`, `pm_dec` \[mas/yr, cos(dec)
//! included\] (0), `position_error_mas` (50).

use super::{FormatError, any_table};
use crate::associate::KnownSource;
use std::path::Path;

/// Error of a position for which the list gives none \[mas\].
const POSITION_ERROR_MAS: f64 = 50.0;

/// Reads a list; `place` as for [`any_table::read`].
///
/// # Errors
/// [`FormatError`] naming the file, the row and the column that cannot be used.
pub fn read(path: &Path, place: &str) -> Result<Vec<KnownSource>, FormatError> {
    let table = any_table::read(path, place)?;
    let wrong = |key: String, found: String, expected: &str| FormatError::Content {
        path: path.to_owned(),
        key,
        found,
        expected: expected.to_owned(),
    };
    let n = table.n_rows();
    let column = |name: &str, default: Option<f64>| -> Result<Vec<f64>, FormatError> {
        match (table.has(name), default) {
            (false, Some(value)) => Ok(vec![value; n]),
            (false, None) => Err(wrong(format!("column {name}"), "none".into(), "ra and dec in degrees")),
            (true, _) => match (table.f64(name), table.i64(name)) {
                (Ok(values), _) => Ok(values.to_vec()),
                (_, Ok(values)) => Ok(values.iter().map(|v| *v as f64).collect()),
                (Err(e), _) => Err(wrong(format!("column {name}"), e.to_string(), "numbers")),
            },
        }
    };
    let (ra, dec) = (column("ra", None)?, column("dec", None)?);
    let (epoch, error) = (column("epoch", Some(f64::NAN))?, column("position_error_mas", Some(POSITION_ERROR_MAS))?);
    let (pm_ra, pm_dec) = (column("pm_ra", Some(0.0))?, column("pm_dec", Some(0.0))?);
    let ids: Vec<i64> = match (table.has("id"), table.i64("id")) {
        (true, Ok(ids)) => ids.to_vec(),
        (true, Err(e)) => return Err(wrong("column id".into(), e.to_string(), "whole numbers")),
        (false, _) => (0..n as i64).collect(),
    };
    let source = |i: usize| {
        let check = |is_good: bool, name: &str, value: f64, expected: &str| {
            if is_good { Ok(()) } else { Err(wrong(format!("row {i}, column {name}"), value.to_string(), expected)) }
        };
        check((-360.0..=360.0).contains(&ra[i]), "ra", ra[i], "-360..=360 degrees")?;
        check((-90.0..=90.0).contains(&dec[i]), "dec", dec[i], "-90..=90 degrees")?;
        check(error[i] > 0.0 && error[i].is_finite(), "position_error_mas", error[i], "a positive number")?;
        // Catalogs leave the motion of faint sources empty.
        let or_zero = |v: f64| if v.is_finite() { v } else { 0.0 };
        let pm_mas_yr = (or_zero(pm_ra[i]), or_zero(pm_dec[i]));
        Ok(KnownSource { id: ids[i], radec_deg: (ra[i], dec[i]), epoch_mjd: epoch[i], pm_mas_yr, position_error_mas: error[i] })
    };
    (0..n).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.csv");
        let read_text = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path, "")
        };
        let found = read_text("id,ra,dec,epoch,pm_ra,pm_dec\n5,150,2.5,57388.5,10,\n6,150.1,2.6,57388.5,,3\n").unwrap();
        assert_eq!(
            found[0],
            KnownSource { id: 5, radec_deg: (150.0, 2.5), epoch_mjd: 57388.5, pm_mas_yr: (10.0, 0.0), position_error_mas: 50.0 }
        );
        assert_eq!((found.len(), found[1].pm_mas_yr), (2, (0.0, 3.0)));
        let error = |text: &str| read_text(text).unwrap_err().to_string();
        assert!(error("id,ra\n5,150\n").contains("column dec"));
        let e = error("ra,dec\n150,2\n150,95\n");
        assert!(e.contains("row 1, column dec") && e.contains("95") && e.contains("known.csv"), "{e}");
    }
}

//! What is wrong with the input, in words: a report must say so, and not only show figures that are missing.

use crate::{ArmData, ValidateInput};
use fathom::catalog::{ColumnData, Table};

/// Share of values that may be NaN before it is said.
const MANY: f64 = 0.5;

/// One line for everything that keeps figures from being measured, or makes them doubtful.
pub(crate) fn notes(input: &ValidateInput) -> Vec<String> {
    let mut notes = Vec::new();
    for arm in &input.arms {
        let mut note = |text: String| notes.push(format!("arm {}: {text}", arm.name));
        if arm.truth.columns().is_empty() {
            continue;
        }
        if arm.catalog.n_rows() == 0 {
            note("the catalog has no rows".into());
        }
        if arm.truth.n_rows() == 0 {
            note("the truth has no rows: it is known that nothing is there".into());
        }
        for (what, table) in [("truth", &arm.truth), ("catalog", &arm.catalog)] {
            match repeated_ids(table) {
                0 => {}
                n => note(format!("the {what} has {n} rows with an id that another row has: what is named by id is not one object")),
            }
            for text in broken_columns(table, &input.bands) {
                note(format!("the {what} {text}"));
            }
        }
        if let Some(text) = apart(arm) {
            note(text);
        }
        if arm.truth.n_rows() > 0 && arm.truth.bool("is_usable").is_ok_and(|u| !u.contains(&true)) {
            note("no truth object is usable (covered in all bands, not masked)".into());
        }
    }
    notes
}

fn repeated_ids(table: &Table) -> usize {
    let Ok(ids) = table.i64("id") else { return 0 };
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|c| c.len() - 1).sum()
}

/// Columns that figures rest on and that hold mostly NaN or infinity.
fn broken_columns(table: &Table, bands: &[String]) -> Vec<String> {
    let of_bands = ["flux", "snr_true", "flux_err_limit", "psf_flux", "psf_flux_err"];
    let names = ["ra", "dec", "ra_err", "dec_err"].map(str::to_owned).into_iter();
    let names = names.chain(bands.iter().flat_map(|b| of_bands.map(|k| format!("{b}_{k}"))));
    names
        .filter_map(|name| {
            let column = table.columns().iter().find(|c| c.name == name)?;
            let ColumnData::F64(values) = &column.data else { return None };
            let n_bad = values.iter().filter(|v| !v.is_finite()).count();
            (n_bad as f64 > MANY * values.len() as f64).then(|| format!("has no number in {n_bad} of {} rows of {name}", values.len()))
        })
        .collect()
}

/// Said if truth and catalog do not lie on the same field.
fn apart(arm: &ArmData) -> Option<String> {
    let range = |table: &Table, name: &str| {
        let values = table.f64(name).ok()?.iter().copied().filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (low <= high).then_some((low, high))
    };
    for name in ["ra", "dec"] {
        let (truth, found) = (range(&arm.truth, name)?, range(&arm.catalog, name)?);
        // A field across RA 0 has both ends: it overlaps everything and is not judged.
        if truth.1 < found.0 || found.1 < truth.0 {
            return Some(format!(
                "truth and catalog lie on different fields: {name} {:.4} to {:.4} deg against {:.4} to {:.4} deg",
                truth.0, truth.1, found.0, found.1
            ));
        }
    }
    None
}

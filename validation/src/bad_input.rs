//! Input that is wrong or empty: the figures say "not measured", the notes say why, and nothing is divided by nothing.

use crate::selftest::field;
use crate::{Metric, ValidateConfig, ValidateInput, Validated, validate};
use fathom::catalog::{Column, ColumnData, Table};

fn run(input: &ValidateInput) -> Validated {
    let validated = validate(&ValidateConfig { n_bootstrap: 20, ..ValidateConfig::default() }, input).unwrap();
    // Metric::new drops what is not finite; a plot must not hold it either.
    let plots = serde_json::to_string(&validated.plots).unwrap();
    assert!(!plots.contains("null"), "a plot holds a number that is none");
    validated
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    let is_it = |m: &&Metric| m.name == name && m.band.is_empty() && m.class.is_empty() && m.regime.is_empty();
    metrics.iter().find(is_it).unwrap_or_else(|| panic!("no record {name}"))
}

fn has_note(validated: &Validated, text: &str) -> bool {
    validated.notes.iter().any(|n| n.contains(text))
}

/// The table with a column changed.
fn changed(table: &Table, name: &str, change: impl Fn(&mut ColumnData)) -> Table {
    let mut out = Table::new();
    for Column { name: of, unit, description, data } in table.columns() {
        let mut data = data.clone();
        if of == name {
            change(&mut data);
        }
        out.push(of, unit, description, data).unwrap();
    }
    out
}

fn set_nan(data: &mut ColumnData) {
    if let ColumnData::F64(values) = data {
        values.fill(f64::NAN);
    }
}

#[test]
fn empty_truth() {
    let mut input = field(300, 1);
    input.arms[0].truth = input.arms[0].truth.take(&[]);
    let validated = run(&input);
    assert!(has_note(&validated, "the truth has no rows"));
    assert_eq!(find(&validated.metrics, "detection.completeness").value, None);
    assert_eq!(find(&validated.metrics, "detection.purity").value, Some(0.0));
    assert!(validated.matches.text("status").unwrap().iter().all(|s| s == "spurious"));
}

#[test]
fn empty_catalog() {
    let mut input = field(300, 1);
    input.arms[0].catalog = input.arms[0].catalog.take(&[]);
    let validated = run(&input);
    assert!(has_note(&validated, "the catalog has no rows"));
    assert_eq!(find(&validated.metrics, "detection.completeness").value, Some(0.0));
    assert_eq!(find(&validated.metrics, "detection.purity").value, None);
    let bias = validated.metrics.iter().find(|m| m.name == "photometry.psf_flux.bias").unwrap();
    assert_eq!((bias.value, bias.n), (None, 0));
}

#[test]
fn nothing_at_all() {
    let mut input = field(300, 1);
    input.arms[0].catalog = input.arms[0].catalog.take(&[]);
    input.arms[0].truth = input.arms[0].truth.take(&[]);
    input.arms[0].layers.clear();
    let validated = run(&input);
    // Counts are 0; all else is not measured.
    let is_count = |m: &Metric| m.name.starts_with("matching.") || m.name == "deblend.recognised_blends";
    for m in validated.metrics.iter().filter(|m| !is_count(m)) {
        assert_eq!(m.value, None, "{m:?}");
    }
    input.arms.clear();
    assert!(run(&input).metrics.iter().all(|m| m.value.is_none()));
}

/// The catalog of another field: nothing matches, and the note says where both lie.
#[test]
fn different_fields() {
    let mut input = field(300, 1);
    input.arms[0].catalog = changed(&input.arms[0].catalog, "ra", |data| {
        if let ColumnData::F64(values) = data {
            values.iter_mut().for_each(|ra| *ra += 7.0);
        }
    });
    let validated = run(&input);
    assert!(has_note(&validated, "truth and catalog lie on different fields: ra 149."), "{:?}", validated.notes);
    assert_eq!(find(&validated.metrics, "detection.completeness").value, Some(0.0));
    assert_eq!(find(&validated.metrics, "detection.purity").value, Some(0.0));
}

#[test]
fn one_band_only() {
    let mut input = field(600, 1);
    input.bands.truncate(1);
    input.fwhm_arcsec.truncate(1);
    input.sqrt_l2.truncate(1);
    let validated = run(&input);
    assert!(find(&validated.metrics, "detection.completeness").value.unwrap() > 0.5);
    assert!(validated.metrics.iter().all(|m| !m.name.contains("colour")));
}

/// Columns full of NaN: fluxes, their errors, positions of the truth, of the catalog.
#[test]
fn columns_of_nan() {
    for name in ["r_psf_flux", "r_psf_flux_err", "ra_err", "detect_snr", "ra"] {
        let mut input = field(400, 1);
        input.arms[0].catalog = changed(&input.arms[0].catalog, name, set_nan);
        let validated = run(&input);
        assert_eq!(has_note(&validated, &format!("of {name}")), name != "detect_snr", "{name}: {:?}", validated.notes);
    }
    for name in ["r_flux", "r_snr_true", "r_flux_err_limit", "dec", "half_light_radius"] {
        let mut input = field(400, 1);
        input.arms[0].truth = changed(&input.arms[0].truth, name, set_nan);
        run(&input);
    }
}

#[test]
fn infinite_and_absurd_values() {
    let mut input = field(400, 1);
    input.arms[0].catalog = changed(&input.arms[0].catalog, "r_psf_flux", |data| {
        if let ColumnData::F64(values) = data {
            values[0] = f64::INFINITY;
            values[1] = -1e30;
            values[2] = 1e300;
        }
    });
    run(&input);
}

/// Two rows with one id: both are judged by their place, and the note says that names are not unique.
#[test]
fn duplicate_ids() {
    for what in ["truth", "catalog"] {
        let mut input = field(300, 1);
        let table = if what == "truth" { &mut input.arms[0].truth } else { &mut input.arms[0].catalog };
        *table = changed(table, "id", |data| {
            if let ColumnData::I64(ids) = data {
                ids[1] = ids[0];
            }
        });
        let validated = run(&input);
        assert!(has_note(&validated, &format!("the {what} has 1 rows with an id that another row has")), "{:?}", validated.notes);
    }
}

/// Good input has nothing to be said about.
#[test]
fn good_input_has_no_notes() {
    assert_eq!(run(&field(300, 1)).notes, Vec::<String>::new());
}

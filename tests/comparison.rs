//! Two runs on the same pixels, object by object; other pixels are refused; trends of several runs.

use crate::launch::{self, SMOKE, text};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The smoke scene with another setting, on the reference's pixels.
fn variant(folder: &TempDir, name: &str, setting: &str) -> PathBuf {
    let out = folder.path().join(name);
    launch::solo(&["run", SMOKE, "--out", text(&out), "--reuse", text(launch::reference()), "--set", setting]).ok();
    out
}

fn comparison(folder: &Path) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("compare.json")).unwrap()).unwrap();
    assert_eq!(all["schema"], 1);
    all["comparisons"][0].clone()
}

fn figure<'a>(comparison: &'a serde_json::Value, name: &str, band: &str) -> &'a serde_json::Value {
    let is = |f: &&serde_json::Value| f["name"] == name && f["band"] == band && f["class"] == "" && f["regime"] == "";
    comparison["figures"].as_array().unwrap().iter().find(is).unwrap_or_else(|| panic!("no {name} of band {band}"))
}

/// A high threshold loses objects and gains none: the discordant ones are all on one side, and every count adds up.
#[test]
fn a_higher_threshold_finds_fewer() {
    let folder = launch::temporary();
    let strict = variant(&folder, "strict", "detect.threshold=9.0");
    let out = folder.path().join("report");
    let said = launch::solo(&["compare", text(launch::reference()), text(&strict), "--out", text(&out)]).ok();
    assert!(said.stdout.contains("strict against ") && said.stdout.contains("report: "), "{said}");
    let found = comparison(&out);
    let settings = found["settings"].as_array().unwrap();
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!((settings[0]["key"].as_str(), settings[0]["other"].as_str()), (Some("detect.threshold"), Some("9.0")));
    let completeness = figure(&found, "detection.completeness", "");
    let count = |key: &str| completeness[key].as_u64().unwrap();
    assert!(count("n_worse") > 4 && count("n_better") == 0, "{completeness}");
    // McNemar: all n discordant objects on one side have probability 2^(1-n); so small a field need not be sure of the loss.
    let expected = 2f64.powi(1 - count("n_worse") as i32);
    assert!((completeness["p"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9);
    assert_eq!(completeness["change"], if expected < 0.05 { "worse" } else { "same" });
    // The table of objects holds the same ones.
    let objects = fathom::format::any_table::read(&out.join("objects-strict.csv"), "").unwrap();
    let (first, other) = (objects.text("first").unwrap(), objects.text("other").unwrap());
    let lost = first.iter().zip(other).filter(|(a, b)| *a == "found" && *b != "found").count() as u64;
    assert_eq!((lost, objects.n_rows() as u64), (count("n_worse"), count("n")));
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("detect.threshold") && !page.contains("http://") && !page.contains("https://"));
    assert!(out.join("report.md").is_file() && out.join("figures-strict.csv").is_file());
}

/// Another deblender setting: the same detections, object by object.
#[test]
fn another_deblender_changes_no_detection() {
    let folder = launch::temporary();
    let blend = variant(&folder, "blend", "deblend.symmetric.psf_chi2=0.5");
    let out = folder.path().join("report");
    launch::solo(&["compare", text(launch::reference()), text(&blend), "--out", text(&out)]).ok();
    let found = comparison(&out);
    let figures = found["figures"].as_array().unwrap();
    let errors = figure(&found, "photometry.psf_flux.abs_error", "r");
    let completeness = figure(&found, "detection.completeness", "");
    assert_eq!((completeness["n_better"].as_u64(), completeness["n_worse"].as_u64()), (Some(0), Some(0)), "{completeness}");
    let is_isolated =
        |f: &&serde_json::Value| f["name"] == "photometry.psf_flux.abs_error" && f["band"] == "r" && f["regime"] == "isolated";
    let isolated = figures.iter().find(is_isolated).unwrap();
    assert!(errors["n"].as_u64() >= isolated["n"].as_u64());
}

/// A run compared with itself is the same everywhere, exactly.
#[test]
fn a_run_is_the_same_as_itself() {
    let folder = launch::temporary();
    let copy = variant(&folder, "copy", "run.name=\"copy\"");
    let out = folder.path().join("report");
    launch::solo(&["compare", text(launch::reference()), text(&copy), "--out", text(&out)]).ok();
    for f in comparison(&out)["figures"].as_array().unwrap() {
        assert!(["same", "not_measured"].contains(&f["change"].as_str().unwrap()), "{f}");
        assert!(f["difference"].is_null() || f["difference"].as_f64().unwrap().abs() < 1e-12, "{f}");
        assert_eq!((f["n_better"].as_u64(), f["n_worse"].as_u64()), (Some(0), Some(0)), "{f}");
    }
}

fn other_pixels() -> &'static Path {
    static OTHER: OnceLock<TempDir> = OnceLock::new();
    OTHER
        .get_or_init(|| {
            let folder = launch::temporary();
            launch::solo(&["run", SMOKE, "--out", text(folder.path()), "--set", "run.seed=6"]).ok();
            folder
        })
        .path()
}

#[test]
fn other_pixels_are_refused() {
    let folder = launch::temporary();
    let (a, b) = (launch::reference(), other_pixels());
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
    let out = folder.path().join("report");
    launch::solo(&["compare", text(a), text(b), "--out", text(&out)])
        .fails(2, &[&name(a), &name(b), "not on the same pixels", "exposures_key"]);
    assert!(!out.exists());
    launch::solo(&["compare", text(a), text(&folder.path().join("absent"))]).fails(2, &["absent", "is no run folder"]);
}

/// Another match radius would look like another catalog.
#[test]
fn runs_that_were_measured_otherwise_are_refused() {
    let folder = launch::temporary();
    let wide = variant(&folder, "wide", "validate.match_radius_fwhm=1.5");
    launch::solo(&["compare", text(launch::reference()), text(&wide)])
        .fails(2, &["were not measured alike", "validate.match_radius_fwhm is 1.5 in wide; expected 1.0"]);
}

/// Trends may cross runs of other pixels.
#[test]
fn history_lists_runs_in_order() {
    let folder = launch::temporary();
    let out = folder.path().join("history");
    let said = launch::solo(&["history", text(launch::reference()), text(other_pixels()), "--out", text(&out)]).ok();
    assert!(said.stdout.lines().any(|l| l.starts_with("purity ")), "{said}");
    let csv = fathom::format::any_table::read(&out.join("history.csv"), "").unwrap();
    let purity = |folder: &Path| {
        let all = launch::metrics(folder);
        all.iter().find(|m| m["name"] == "detection.purity" && m["regime"] == "" && m["band"] == "").unwrap()["value"].as_f64().unwrap()
    };
    let rows: Vec<usize> = csv.text("figure").unwrap().iter().enumerate().filter(|(_, f)| *f == "purity").map(|(i, _)| i).collect();
    let values: Vec<f64> = rows.iter().map(|&i| csv.f64("value").unwrap()[i]).collect();
    assert_eq!(values.len(), 2);
    for (value, folder) in values.iter().zip([launch::reference(), other_pixels()]) {
        assert!((value - 100.0 * purity(folder)).abs() < 1e-9);
    }
    assert!(csv.text("date").unwrap()[0].ends_with('Z'));
    launch::solo(&["history", text(&folder.path().join("absent"))]).fails(2, &["absent/metrics.json", "expected a validated run"]);
}

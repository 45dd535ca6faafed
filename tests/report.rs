//! The report: drawn again from the run folder, with its text and its numbers beside it.

use crate::launch;
use std::path::Path;

/// `fathom report` draws the same page from the files alone, and says what it needs.
#[test]
fn the_report_is_drawn_again_from_the_run_folder() {
    let reference = launch::reference();
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::smoke(1, folder.path(), &["--reuse", launch::text(reference)]);
    std::fs::remove_dir_all(folder.path().join("report")).unwrap();
    let again = launch::solo(&["report", out]).ok();
    assert!(again.stdout.trim().ends_with("report/index.html") && again.stderr.is_empty(), "{again}");
    launch::assert_same_products(folder.path(), reference, "drawn again");

    std::fs::remove_file(folder.path().join("plots.json")).unwrap();
    launch::solo(&["report", out]).fails(1, &["plots.json", "run validate first"]);
}

/// Beside the page lie its text and, for every plot, its curves with units and its picture.
#[test]
fn text_and_curves_lie_beside_the_page() {
    let report = launch::reference().join("report");
    let page = std::fs::read_to_string(report.join("index.html")).unwrap();
    let text = std::fs::read_to_string(report.join("report.md")).unwrap();
    for heading in ["## Summary", "## Detection", "## Photometry", "50 % completeness", "plots/completeness.csv"] {
        assert!(text.contains(heading), "{heading} is not in report.md");
    }
    let names: Vec<&str> = page.split("href=\"plots/").skip(1).filter_map(|rest| rest.split(".csv\"").next()).collect();
    assert!(names.len() >= 8 && names.contains(&"completeness") && names.contains(&"map_depth"), "{names:?}");
    for name in names {
        let csv = std::fs::read_to_string(report.join("plots").join(format!("{name}.csv"))).unwrap();
        let rows: Vec<&str> = csv.lines().filter(|l| !l.starts_with('#')).collect();
        assert!(csv.starts_with(&format!("# {name}: ")) && csv.contains("# panel 1: x = "), "{name}: no axes");
        assert!(rows[0] == "panel,series,kind,x,x_end,y,lo,hi,n,value" && rows.len() > 1, "{name}: no rows");
        assert!(is_png(&report.join("plots").join(format!("{name}.png"))), "{name}: no picture");
    }
}

fn is_png(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG") && bytes.len() > 1000)
}

//! Requirements end to end: a file of one's own, verdicts in metrics.json, exit status 3 when asked.

use crate::launch::{self, Outcome, SMOKE, text};
use std::path::Path;

fn run_with(ranks: usize, folder: &Path, file: &Path, more: &[&str]) -> Outcome {
    let setting = format!("validate.requirements={:?}", text(file));
    let arguments = ["run", SMOKE, "--out", text(folder), "--reuse", text(launch::reference()), "--set", &setting];
    launch::fathom(ranks, &[&arguments[..], more].concat())
}

fn requirements(folder: &Path) -> Vec<serde_json::Value> {
    let all = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    all["requirements"].as_array().unwrap().clone()
}

const GOOD: &str = "[[requirement]]\nname = \"purity\"\nmetric = \"detection.purity\"\nmin = 10.0\nunit = \"%\"\nwhy = \"a tenth of the catalog is real\"\n\
                    [[requirement]]\nname = \"unknown\"\nmetric = \"detection.nonsense\"\nmax = 1.0\nwhy = \"nobody measures it\"\n";
const HARD: &str =
    "[[requirement]]\nname = \"depth\"\nmetric = \"detection.purity\"\nmin = 200.0\nunit = \"%\"\nwhy = \"nothing is that pure\"\n";

#[test]
fn a_failed_requirement_is_status_3_when_asked() {
    let folder = launch::temporary();
    let file = folder.path().join("my.toml");
    std::fs::write(&file, format!("{GOOD}{HARD}")).unwrap();
    let out = folder.path().join("run");
    // Not asked: status 0, and the verdicts are written all the same.
    let run = run_with(1, &out, &file, &[]).ok();
    assert!(run.stdout.contains("requirements: 1 pass, 1 fail, 1 not measured"), "{run}");
    assert!(run.stdout.contains("fail: depth, detection.purity is "), "{run}");
    let verdicts = requirements(&out);
    let outcomes: Vec<&str> = verdicts.iter().map(|v| v["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["pass", "not_measured", "fail"]);
    let value =
        launch::metrics(&out).iter().find(|m| m["name"] == "detection.purity" && m["regime"] == "").unwrap()["value"].as_f64().unwrap();
    assert!((verdicts[0]["value"].as_f64().unwrap() - 100.0 * value).abs() < 1e-9);
    assert!((verdicts[2]["margin"].as_f64().unwrap() - (100.0 * value - 200.0)).abs() < 1e-9);
    assert!(verdicts[1]["value"].is_null() && verdicts[1]["why"].as_str().unwrap().contains("no such figure"));
    // Asked, on two ranks: everything is written, then status 3 with the name and the report.
    let strict = folder.path().join("strict");
    let message = ["1 of 3 requirements failed: depth", "report/index.html"];
    run_with(2, &strict, &file, &["--enforce"]).fails(3, &message);
    assert!(strict.join("run.h5").is_file() && strict.join("report/index.html").is_file());
    assert_eq!(requirements(&strict).len(), 3);
    // `fathom validate` on what stands there says the same.
    let setting = format!("validate.requirements={:?}", text(&file));
    launch::solo(&["validate", SMOKE, "--out", text(&strict), "--set", &setting, "--enforce"]).fails(3, &message);
    // All kept or not measured: status 0. Another content is another validation, under the same name.
    std::fs::write(&file, GOOD).unwrap();
    let again = launch::solo(&["validate", SMOKE, "--out", text(&strict), "--set", &setting, "--enforce"]).ok();
    assert_eq!(again.tasks("validate"), (1, 1), "{again}");
}

#[test]
fn wrong_requirements_stop_the_run_before_it_begins() {
    let folder = launch::temporary();
    let (file, out) = (folder.path().join("my.toml"), folder.path().join("run"));
    for (content, expected) in [
        (GOOD.replace("min = 10.0", "least = 10.0"), "unknown field `least`"),
        (GOOD.replace("min = 10.0\n", "min = 10.0\nof = \"value * limit\"\n"), "unknown variant `value * limit`"),
        (GOOD.replace("min = 10.0\n", ""), "requirement 1 (purity): it has 0 bounds"),
        (GOOD.replace("\"unknown\"", "\"purity\""), "requirement 2 (purity): the name stands twice"),
    ] {
        std::fs::write(&file, content).unwrap();
        run_with(1, &out, &file, &[]).fails(2, &[text(&file), expected]);
    }
    run_with(1, &out, &folder.path().join("absent.toml"), &[]).fails(2, &["validate.requirements", "absent.toml"]);
    assert!(!out.exists());
}

/// The shipped list names figures that runs have, with units that go with them.
#[test]
fn the_shipped_requirements_speak_of_what_is_measured() {
    let verdicts = requirements(launch::reference());
    let metrics = launch::metrics(launch::reference());
    let names: Vec<&str> = metrics.iter().map(|m| m["name"].as_str().unwrap()).collect();
    for verdict in &verdicts {
        let (name, metric) = (verdict["name"].as_str().unwrap(), verdict["metric"].as_str().unwrap());
        // Figures of truth pixels and of several realisations are not made for this scene.
        let is_elsewhere = ["PA1", "misassigned", "PA1-truth"].contains(&name);
        assert!(metric.is_empty() || is_elsewhere || names.contains(&metric), "{name} asks for {metric}, which no run has");
    }
    // So small a field has too few objects for most verdicts; every requirement has one all the same.
    assert!(verdicts.len() > 20, "{verdicts:?}");
}

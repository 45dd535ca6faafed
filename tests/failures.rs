//! A rank that dies takes the job down at once and leaves nothing that a later run mistakes for finished.

use crate::launch::{self, SMOKE};
use std::path::PathBuf;

/// Runs on three ranks with a fault, then resumes on two.
fn falls_and_rises(fault: &str, check: impl Fn(&launch::Outcome)) {
    let reference = launch::reference();
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    let phase = fault.split(':').next().unwrap();
    let failed = launch::fathom_with(3, &["run", SMOKE, "--out", out], &[("FATHOM_FAULT", fault)]);
    assert_ne!(failed.status, Some(0), "{failed}");
    check(&failed);
    // It ended within 10 s of the fault, which no task of the phases before had.
    let before: f64 = failed.stderr.lines().filter_map(|l| l.split(" tasks in ").nth(1)?.split(' ').next()?.parse::<f64>().ok()).sum();
    assert!(failed.seconds - before < 10.0, "the job took {:.1} s after the {before:.1} s of the phases before {phase}", failed.seconds);
    assert!(!folder.path().join("run.h5").exists() && !folder.path().join("metrics.json").exists());
    // What stands under a product's name is whole. A temporary file may be so too: its rank was ended before it could rename it.
    let is_temporary = |p: &PathBuf| p.extension().is_some_and(|e| e == "tmp");
    for path in launch::files(&folder.path().join("main")).into_iter().filter(|p| !is_temporary(p)) {
        let full = folder.path().join("main").join(&path);
        assert!(fathom::format::product::key(&full).is_some(), "{} is half a product", path.display());
        let expected = std::fs::read(reference.join("main").join(&path)).unwrap();
        assert!(std::fs::read(&full).unwrap() == expected, "{} differs", path.display());
    }
    let resumed = launch::fathom(2, &["run", SMOKE, "--out", out, "--resume"]).ok();
    let (done, all) = resumed.tasks("sky");
    assert!(done == 0 && all == 1, "{resumed}");
    launch::assert_same_products(folder.path(), reference, &format!("after {fault}"));
}

#[test]
fn a_panic_ends_all_ranks() {
    falls_and_rises("visit:main/r_00:panic", |failed| {
        let messages = failed.messages();
        assert_eq!(messages.len(), 1, "{failed}");
        for part in ["rank ", "phase visit", "task main/r_00", "panicked", "FATHOM_FAULT asked for a panic"] {
            assert!(messages[0].contains(part) || failed.stderr.contains(part), "{part}: {failed}");
        }
        assert_eq!(failed.status, Some(101), "{failed}");
    });
}

#[test]
fn an_error_ends_all_ranks() {
    falls_and_rises("measure:main/batch_00000:fail", |failed| {
        let messages = failed.messages();
        assert_eq!(messages.len(), 1, "{failed}");
        for part in ["rank ", "phase measure", "task main/batch_00000", "FATHOM_FAULT asked for a failure"] {
            assert!(messages[0].contains(part), "{part}: {failed}");
        }
        assert_eq!(failed.status, Some(1), "{failed}");
    });
}

/// A killed rank cannot speak: another says, once, which rank it was and at which task.
#[test]
fn a_killed_rank_ends_all_ranks() {
    falls_and_rises("coadd:main/000_001:kill", |failed| {
        assert!(failed.stderr.contains("signal 9") || failed.stderr.contains("Killed"), "{failed}");
        names_the_killed(failed, "phase coadd, task main/000_001");
    });
}

fn names_the_killed(failed: &launch::Outcome, task: &str) {
    let messages = failed.messages();
    assert_eq!(messages.len(), 1, "{failed}");
    for part in ["rank ", task, "killed"] {
        assert!(messages[0].contains(part), "{part}: {failed}");
    }
}

/// The only task of a phase is rank 0's, which serves the others: they can tell its end, too.
#[test]
fn a_killed_rank_0_ends_all_ranks() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    let reference = launch::text(launch::reference());
    // Parents are redone: everything before is taken over.
    let arguments =
        ["run", SMOKE, "--out", out, "--reuse", reference, "--set", "associate.model_error=0.06", "--set", "sky_map.patches=[1, 1]"];
    let failed = launch::fathom_with(2, &arguments, &[("FATHOM_FAULT", "associate:main/000_000:kill")]);
    assert_ne!(failed.status, Some(0), "{failed}");
    assert!(failed.seconds < 10.0, "{failed}");
    names_the_killed(&failed, "rank 0: phase associate, task main/000_000");
}

/// A task that failed is shown until it is done.
#[test]
fn status_names_the_failed_task() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    let failed = launch::fathom_with(2, &["run", SMOKE, "--out", out], &[("FATHOM_FAULT", "sky:main:fail")]);
    assert_eq!(failed.status, Some(1), "{failed}");
    let status = launch::solo(&["status", out]).ok();
    assert!(status.stdout.contains("failed: ") && status.stdout.contains("phase sky, task main"), "{status}");
    launch::solo(&["sky", SMOKE, "--out", out]).ok();
    let status = launch::solo(&["status", out]).ok();
    assert!(!status.stdout.contains("failed: "), "{status}");
}

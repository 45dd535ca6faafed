//! Another deblender on the same pixels: only what depends on it is made again.

use crate::launch;
use std::os::unix::fs::MetadataExt;

#[test]
fn changing_the_deblender_redoes_deblend_and_what_follows() {
    let reference = launch::reference();
    let folder = launch::temporary();
    let run = launch::smoke(2, folder.path(), &["--set", "deblend.symmetric.psf_chi2=1.4", "--reuse", launch::text(reference)]);
    let before = [("sky", 1), ("expose", 4), ("visit", 4), ("coadd", 4), ("detect", 4), ("seams", 4), ("associate", 4)];
    for (phase, n) in before {
        assert_eq!(run.tasks(phase), (0, n), "{phase} was not taken over: {run}");
    }
    // Theory does not know of the deblender, so `truth` is taken over too; the rest is not.
    for phase in ["deblend", "measure", "validate"] {
        let (done, all) = run.tasks(phase);
        assert_eq!(done, all, "{phase} was taken over: {run}");
    }
    // Taken over means: the same file (a link), or its bytes; made again means: another file.
    for path in launch::files(&reference.join("main")) {
        let is_redone = path.starts_with("blends") || path.starts_with("catalog");
        let (old, new) = (reference.join("main").join(&path), folder.path().join("main").join(&path));
        let is_same_file = std::fs::metadata(&old).unwrap().ino() == std::fs::metadata(&new).unwrap().ino();
        assert_eq!(is_same_file, !is_redone, "{}", path.display());
        let is_same_content = std::fs::read(&old).unwrap() == std::fs::read(&new).unwrap();
        assert_eq!(is_same_content, !is_redone, "{}", path.display());
    }
    // Deblending knows of it, detection does not.
    let key = |folder: &std::path::Path, p: &str| fathom::format::product::key(&folder.join(p)).unwrap();
    assert_ne!(key(folder.path(), "main/blends/batch_00000.h5"), key(reference, "main/blends/batch_00000.h5"));
    for file in launch::files(&reference.join("main/parents")) {
        let path = format!("main/parents/{}", file.display());
        assert_eq!(key(folder.path(), &path), key(reference, &path));
    }
}

/// The reused run is only read: products are linked, never changed in place.
#[test]
fn the_reused_run_stays_as_it_was() {
    let reference = launch::reference();
    let before = launch::products(reference);
    let folder = launch::temporary();
    launch::smoke(1, folder.path(), &["--set", "deblend.symmetric.psf_chi2=1.3", "--reuse", launch::text(reference)]);
    launch::solo(&["run", launch::SMOKE, "--out", launch::text(folder.path()), "--overwrite", "--reuse", launch::text(reference)]).ok();
    assert!(launch::products(reference) == before, "the reused run changed");
    launch::assert_same_products(folder.path(), reference, "taken over whole");
    // Now every file is a link, and the last phase is made again in this folder.
    let more = ["--resume", "--set", "validate.magnitude_bin=0.7"];
    let again = launch::solo(&[&["run", launch::SMOKE, "--out", launch::text(folder.path())], &more[..]].concat()).ok();
    assert_eq!((again.tasks("measure").0, again.tasks("validate").0), (0, 1), "{again}");
    assert!(launch::products(reference) == before, "the reused run changed");
}

/// Threads, log and run folder are in no key.
#[test]
fn threads_and_verbosity_are_in_no_key() {
    let folder = launch::temporary();
    let more = ["--threads", "1", "-v", "--reuse", launch::text(launch::reference())];
    let run = launch::smoke(1, folder.path(), &more);
    for phase in ["sky", "expose", "visit", "coadd", "detect", "seams", "associate", "deblend", "measure", "truth", "assess", "validate"] {
        assert_eq!(run.tasks(phase).0, 0, "{phase}: {run}");
    }
}

#[test]
fn reusing_what_is_no_run_is_refused() {
    let folder = launch::temporary();
    let (out, other) = (folder.path().join("run"), folder.path().join("nothing"));
    launch::solo(&["run", launch::SMOKE, "--out", launch::text(&out), "--reuse", launch::text(&other)])
        .fails(2, &["--reuse", launch::text(&other), "config.toml"]);
    assert!(!out.exists());
}

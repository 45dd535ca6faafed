//! Products depend neither on the number of ranks and threads nor on interruptions.

use crate::launch;

/// Four exposures and four patches: three ranks do not divide the work.
#[test]
fn products_do_not_depend_on_ranks_and_threads() {
    let reference = launch::reference(); // one rank of two threads
    let catalog = launch::run_table(reference, "catalog");
    assert!(catalog.n_rows() >= 10, "a comparison of nothing: {} rows", catalog.n_rows());
    assert!(catalog.i64("n_children").unwrap().iter().any(|&n| n > 1), "no blend was divided");
    for (ranks, threads) in [(1, "1"), (2, "1"), (2, "2"), (3, "1"), (4, "1")] {
        let folder = launch::temporary();
        let run = launch::smoke(ranks, folder.path(), &["--threads", threads]);
        assert!(run.stderr.contains(&format!("{ranks} rank")), "not on {ranks} ranks: {run}");
        launch::assert_same_products(folder.path(), reference, &format!("{ranks} ranks of {threads} threads"));
    }
}

/// The same phases, started one by one, without a launcher, go on in one folder.
#[test]
fn phases_one_by_one_make_the_same_run() {
    let reference = launch::reference();
    let folder = launch::temporary();
    for phase in ["sky", "expose", "visit", "coadd", "detect", "seams", "associate", "deblend", "measure", "truth", "assess", "validate"] {
        launch::solo(&[phase, launch::SMOKE, "--out", launch::text(folder.path())]).ok();
    }
    launch::assert_same_products(folder.path(), reference, "phase by phase");
}

/// A finished run that is resumed has nothing to do and changes no product.
#[test]
fn resuming_a_finished_run_does_nothing() {
    let reference = launch::reference();
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    // Taken over whole, by links, from the reference.
    launch::smoke(1, folder.path(), &["--reuse", launch::text(reference)]);
    let again = launch::solo(&["run", launch::SMOKE, "--out", out, "--resume"]).ok();
    for phase in ["sky", "expose", "visit", "coadd", "detect", "seams", "associate", "deblend", "measure", "truth", "assess", "validate"] {
        assert_eq!(again.tasks(phase).0, 0, "{phase}: {again}");
    }
    launch::assert_same_products(folder.path(), reference, "resumed");
}

/// What is damaged or missing is made again, and nothing else.
#[test]
fn resume_makes_what_is_missing_again() {
    let reference = launch::reference();
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::smoke(1, folder.path(), &["--reuse", launch::text(reference)]);
    std::fs::remove_file(folder.path().join("main/coadd/001_000.h5")).unwrap();
    // Half a file under a product's own name, as no crash of fathom leaves it, but a full disk's backup might. Links are cut first.
    let half = folder.path().join("main/visit/r_01.h5");
    let bytes = std::fs::read(&half).unwrap();
    std::fs::remove_file(&half).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let again = launch::fathom(2, &["run", launch::SMOKE, "--out", out, "--resume"]).ok();
    assert_eq!(again.tasks("expose"), (0, 4), "{again}");
    assert_eq!(again.tasks("visit"), (1, 4), "{again}");
    assert_eq!(again.tasks("coadd"), (1, 4), "{again}");
    launch::assert_same_products(folder.path(), reference, "mended");
}

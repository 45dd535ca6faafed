//! The PSF-matched coadd: the same however it is computed, right against what its product says of itself, and absent unless asked for.

use crate::launch;
use fathom::coadd::PsfMatchedCoadd;
use fathom::format::psf_matched;
use fathom::geometry::{Box2, SkyMapConfig, Tract};
use std::path::Path;

const MADE: [&str; 4] = ["--set", "psf_matched.make=true", "--set", "psf_matched.check_every_cells=1"];

fn coadds(folder: &Path, band: &str) -> Vec<PsfMatchedCoadd> {
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("main/psf_matched")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| psf_matched::read(path, band).unwrap()).collect()
}

/// Ranks, threads and patches change no bit; exposures are used and listed, and their PSF is the target's.
#[test]
fn psf_matched_coadds_do_not_depend_on_ranks_or_patches() {
    let reference = launch::reference();
    assert!(!reference.join("main/psf_matched").exists());
    let first = launch::temporary();
    let one = [&MADE[..], &["--set", "sky_map.patches=[1, 1]", "--reuse", launch::text(reference), "--threads", "2"]].concat();
    let run = launch::smoke(1, first.path(), &one);
    assert_eq!((run.tasks("visit"), run.tasks("psf-matched")), ((0, 4), (1, 1)), "{run}");
    let second = launch::temporary();
    let four = [&MADE[..], &["--reuse", launch::text(reference), "--threads", "1"]].concat();
    let run = launch::smoke(2, second.path(), &four);
    // It changes nothing else.
    assert_eq!((run.tasks("coadd"), run.tasks("psf-matched"), run.tasks("detect")), ((0, 4), (4, 4), (0, 4)), "{run}");
    let config = SkyMapConfig { cell_px: 24, tract_cells: [6, 6], ..SkyMapConfig::default() };
    let tract: Box2 = Tract::new(&config).unwrap().bbox();
    for band in ["g", "r"] {
        let whole = coadds(first.path(), band).remove(0);
        assert_eq!(whole.bbox, tract);
        assert!(whole.inputs.len() == 2 && whole.inputs.iter().all(|i| i.left_out.is_empty() && i.n_pixels > 5_000), "{:?}", whole.inputs);
        assert!(whole.image_njy.iter().filter(|z| !z.is_nan()).count() > 12_000);
        assert!(whole.psf_summary().iter().all(|(mean, worst)| mean.abs() < 1e-3 && *worst < 5e-3), "{:?}", whole.psf_summary());
        let parts = coadds(second.path(), band);
        assert_eq!(parts.len(), 4);
        let bits = |plane: ndarray::ArrayView2<f32>| plane.mapv(f32::to_bits);
        for part in &parts {
            let at = whole.bbox.slice_of(&part.bbox);
            assert_eq!(bits(whole.image_njy.slice(at)), bits(part.image_njy.view()));
            assert_eq!(bits(whole.variance_njy2.slice(at)), bits(part.variance_njy2.view()));
            assert_eq!(whole.mask.slice(at), part.mask.view());
            assert_eq!(whole.n_exposures.slice(at), part.n_exposures.view());
            for (k, cell) in part.covariance.cells.iter().enumerate() {
                let i = whole.covariance.cells.iter().position(|c| c == cell).unwrap();
                let axis = ndarray::Axis(0);
                let (a, b) = (&whole.covariance.covariance_njy2, &part.covariance.covariance_njy2);
                assert_eq!(a.index_axis(axis, i), b.index_axis(axis, k), "cell {cell:?}");
            }
            assert!(part.checks.iter().all(|check| whole.checks.contains(check)));
        }
        for (i, input) in whole.inputs.iter().enumerate() {
            assert_eq!(parts.iter().map(|p| p.inputs[i].n_pixels).sum::<u64>(), input.n_pixels, "{}", input.id);
        }
    }
    let third = launch::temporary();
    launch::smoke(3, third.path(), &[&MADE[..], &["--threads", "2"]].concat());
    // What was taken over from the reference names its configuration; these files were made here.
    for name in ["000_000", "000_001", "001_000", "001_001"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(format!("main/psf_matched/{name}.h5"))).unwrap();
        assert!(bytes(third.path()) == bytes(second.path()), "patch {name}: 3 ranks of two threads differ");
    }
}

/// A target that is too sharp leaves all out: said in the product and in the log, and no error.
#[test]
fn exposures_that_would_need_deconvolution_are_listed() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    let settings = ["--set", "psf_matched.make=true", "--set", "psf_matched.target_fwhm_arcsec=0.5"];
    let reuse = ["--reuse", launch::text(launch::reference())];
    launch::solo(&[&["sky", launch::SMOKE, "--out", out], &settings[..], &reuse[..]].concat()).ok();
    for phase in ["expose", "visit", "psf-matched"] {
        launch::solo(&[&[phase, launch::SMOKE, "--out", out, "--resume"], &settings[..], &reuse[..]].concat()).ok();
    }
    for coadd in coadds(folder.path(), "r") {
        assert!(coadd.inputs.iter().all(|i| i.left_out.contains("broader than the target") && i.n_pixels == 0), "{:?}", coadd.inputs);
        assert!(coadd.image_njy.iter().all(|z| z.is_nan()));
    }
    let log = std::fs::read_dir(folder.path().join("log"))
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect::<String>();
    assert!(log.contains("left out r_00: PSF broader than the target"), "{log}");
}

//! Backgrounds matched across the tract: right against what the simulation put in, and the same however they are computed.

use crate::launch;
use fathom::format::{background, exposure, levels};
use fathom::geometry::{PixelPoint, SkyMapConfig, Tract};
use fathom::image::{ExposureMeta, TrueBackground};
use std::path::Path;

const MATCHED: [&str; 6] = ["--set", "match.background=matched", "--set", "match.superpixel_px=24", "--set", "match.amplifiers=[2, 1]"];

/// Backgrounds and catalogs do not depend on ranks, threads or patches; what every later phase reads is the matched background.
#[test]
fn matched_backgrounds_do_not_depend_on_ranks_or_patches() {
    let reference = launch::reference();
    let first = launch::temporary();
    let with = |more: &[&'static str]| [&MATCHED[..], more].concat();
    let run = launch::smoke(1, first.path(), &[with(&["--threads", "2", "--reuse"]), vec![launch::text(reference)]].concat());
    assert_eq!((run.tasks("visit"), run.tasks("match"), run.tasks("coadd")), ((0, 4), (4, 4), (4, 4)), "{run}");
    let samples = levels::read(&first.path().join("main/match/000_000.h5"), "r").unwrap().samples;
    assert!(samples.iter().filter(|s| s.exposure == 0).count() >= 5, "{} samples: a comparison of nothing", samples.len());
    assert_ne!(launch::bits(&launch::run_table(first.path(), "catalog")), launch::bits(&launch::run_table(reference, "catalog")));

    let second = launch::temporary();
    launch::smoke(3, second.path(), &with(&["--threads", "1"]));
    launch::assert_same_products(second.path(), first.path(), "3 ranks of one thread");

    // Cells of 24 px: superpixels of 24 px are cut by no patch, those of 40 px by every one.
    let odd = with(&["--set", "match.superpixel_px=40"]);
    let catalogs = ["[2, 2]", "[3, 3]"].map(|patches| {
        let folder = launch::temporary();
        let setting = format!("sky_map.patches={patches}");
        launch::smoke(2, folder.path(), &[&odd[..], &["--set", &setting, "--reuse", launch::text(reference)]].concat());
        let file = background::read(&folder.path().join("main/background.h5"), "g").unwrap();
        (file, launch::bits(&launch::run_table(folder.path(), "catalog")))
    });
    assert_eq!(catalogs[0], catalogs[1], "patches of 2 x 2 and 3 x 3");
}

/// One exposure: calibrations, true and matched background.
struct Known {
    meta: ExposureMeta,
    truth: TrueBackground,
    found: fathom::background::DetectorModel,
}

impl Known {
    /// Recovered less true background at a sky position \[nJy per pixel\], if it is on the exposure.
    fn error_njy(&self, tract: &Tract, at: PixelPoint) -> Option<f64> {
        let p = self.meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(at)).ok()?;
        let scale = self.meta.photo_calib.at(p);
        self.meta.bbox().contains_point(p).then(|| (self.found.at(p) - self.truth.at(p)) * scale)
    }
}

/// An empty field of 9 superpixels of 32 px a side under strongly sloping skies with steps: 6 exposures of 288 x 288 px.
///
/// A difference of two exposures has 7 + 7 coefficients from some 60 000 pixels: fit noise √(2 x 7 / 60 000) = 1.5 % of a pixel's, and the others'
/// share. The coadd's background, a cubic from 83 000 pixels, and its exposures' means: √(10 / 83 000) = 1.1 % of the coadd's noise.
#[test]
fn sloping_skies_and_steps_are_recovered() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    let settings = [
        "run.bands=[\"r\"]",
        "sky.field=empty",
        "camera.n_exposures=6",
        "camera.size_px=[288, 288]",
        "camera.dither_arcsec=10.0",
        "camera.background_gradient=0.3",
        "camera.detector.amplifiers=[2, 1]",
        "camera.sky.amplifier_step=0.02",
        "camera.sky.detector_step=0.02",
        "sky_map.cell_px=32",
        "sky_map.tract_cells=[9, 9]",
        "sky_map.patches=[3, 3]",
        "match.background=matched",
        "match.superpixel_px=32",
        "match.amplifiers=[2, 1]",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|s| ["--set", *s]).collect();
    for phase in ["sky", "expose", "visit", "match", "solve", "deep-background"] {
        let go_on = if phase == "sky" { vec![] } else { vec!["--resume"] };
        launch::solo(&[&[phase, launch::SMOKE, "--out", out], &settings[..], &go_on].concat()).ok();
    }
    let config = SkyMapConfig { cell_px: 32, tract_cells: [9, 9], patches: [3, 3], ..SkyMapConfig::default() };
    let tract = Tract::new(&config).unwrap();
    let known = known(folder.path());
    let solution = background::read_solution(&folder.path().join("main/solve.h5"), "r").unwrap().solution;
    assert_eq!((known.len(), solution.groups.len()), (6, 1));
    assert!((0.7..1.4).contains(&solution.residual_scatter), "residuals of {} errors", solution.residual_scatter);
    let sigma: f64 = {
        let visit = fathom::format::visit::read(&folder.path().join("main/visit/r_00.h5")).unwrap();
        visit.background_variance.at(PixelPoint::new(144.0, 144.0)).sqrt() * known[0].meta.photo_calib.mean_njy_per_adu
    };
    let (mut pairs, mut means) = (Vec::new(), Vec::new());
    for (j, i) in (0..9).flat_map(|j| (0..9).map(move |i| (j, i))) {
        let at = PixelPoint::new(f64::from(i) * 32.0 + 15.5, f64::from(j) * 32.0 + 15.5);
        let errors: Vec<f64> = known.iter().filter_map(|k| k.error_njy(&tract, at)).collect();
        let n = errors.len();
        pairs.extend((0..n).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| errors[a] - errors[b]));
        if n > 0 {
            means.push(errors.iter().sum::<f64>() / n as f64);
        }
    }
    let rms = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
    assert!(pairs.len() > 500 && rms(&pairs) < 0.04 * sigma, "differences: {:.2} % of {} pairs", 100.0 * rms(&pairs) / sigma, pairs.len());
    // The constant of an empty field is known, too; 6 exposures.
    assert!(
        rms(&means) < 0.06 * sigma / 6.0f64.sqrt(),
        "background: {:.2} % of the coadd's noise",
        100.0 * rms(&means) * 6.0f64.sqrt() / sigma
    );
}

fn known(folder: &Path) -> Vec<Known> {
    let backgrounds = background::read(&folder.join("main/background.h5"), "r").unwrap();
    let one = |(id, found): (fathom::ExposureId, fathom::background::DetectorModel)| {
        let path = folder.join(format!("main/exposures/{id}.h5"));
        let truth = exposure::read_true_background(&path).unwrap().expect("simulated");
        Known { meta: exposure::read_meta(&path).unwrap(), truth, found }
    };
    backgrounds.exposures.into_iter().map(one).collect()
}

/// A setting out of range, and a level file of another run, are named.
#[test]
fn bad_settings_are_named() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    for (setting, message) in [
        ("match.superpixel_px=8", "match.superpixel_px is 8; expected 16..=256 pixels"),
        ("match.background=none", "background"),
        ("match.amplifiers=[0, 1]", "match.amplifiers is [0, 1]"),
        ("solve.order=9", "solve.order is 9; expected 0..=6"),
        ("deep_background.clip_sigma=0.5", "deep_background.clip_sigma is 0.5"),
    ] {
        launch::solo(&["match", launch::SMOKE, "--out", out, "--set", setting]).fails(2, &[message]);
    }
}

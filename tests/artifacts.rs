//! Artifacts are cut whole, from one decision on whole footprints, however the run is divided.

use crate::launch;
use fathom::artifacts::ExposureClips;
use fathom::catalog::Table;
use fathom::format::coadd::CoaddMosaic;
use fathom::format::{clip, exposure};
use fathom::geometry::{Box2, PixelPoint, SkyMapConfig, Tract};
use fathom::image::{ExposureId, MaskPlane};
use std::collections::BTreeMap;
use std::path::Path;

/// Four exposures of each band, with cosmic rays and satellites that no mask shows.
const DIRTY: [&str; 6] = [
    "artifacts.find=true",
    "camera.n_exposures=4",
    "camera.cosmic_rays=6.0",
    "camera.detector.cosmic_rays_flagged=false",
    "camera.detector.satellites=0.7",
    "camera.detector.satellites_flagged=false",
];

fn settings<'a>(all: &[&'a str]) -> Vec<&'a str> {
    all.iter().flat_map(|s| ["--set", *s]).collect()
}

fn clips(folder: &Path) -> Vec<(BTreeMap<ExposureId, ExposureClips>, Table)> {
    let path = folder.join("main/clip.h5");
    ["g", "r"].iter().map(|band| (clip::read(&path, band).unwrap(), clip::read_footprints(&path, band).unwrap())).collect()
}

/// The same products on one rank and two; the same decisions, pixels and catalog for patches of 1 x 1 and 2 x 2.
#[test]
fn artifacts_do_not_depend_on_ranks_or_patches() {
    let first = launch::temporary();
    let run = launch::smoke(1, first.path(), &[settings(&DIRTY), vec!["--threads", "2"]].concat());
    assert_eq!((run.tasks("artifacts"), run.tasks("clip"), run.tasks("coadd")), ((4, 4), (1, 1), (4, 4)), "{run}");
    let expected = clips(first.path());
    let excluded: Vec<_> = expected.iter().flat_map(|(of_band, _)| of_band.values().map(|c| &c.excluded)).collect();
    assert!(excluded.iter().filter(|spans| spans.area() > 20).count() >= 4, "a comparison of nothing: {expected:?}");

    let second = launch::temporary();
    launch::smoke(2, second.path(), &[settings(&DIRTY), vec!["--threads", "1"]].concat());
    launch::assert_same_products(second.path(), first.path(), "2 ranks of one thread");

    let whole = launch::temporary();
    let one_patch = [settings(&DIRTY), vec!["--set", "sky_map.patches=[1, 1]", "--reuse", launch::text(first.path())]].concat();
    launch::smoke(2, whole.path(), &one_patch);
    let found = clips(whole.path());
    for ((found, table), (expected, expected_table)) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "spans with one patch");
        assert_eq!(launch::bits(table), launch::bits(expected_table), "footprints with one patch");
    }
    for name in ["catalog", "truth", "matches"] {
        let table = |folder: &Path| launch::bits(&launch::run_table(folder, name));
        assert_eq!(table(whole.path()), table(first.path()), "{name} with one patch");
    }
}

/// Where a track is planted: across the corner in which the four patches of the smoke scene's tract of 144 x 144 pixels meet.
const CORNER: i32 = 72;
const TRACK: [(i32, i32); 6] = [(-3, -2), (-2, -1), (-1, 0), (0, 0), (1, 1), (2, 2)];

fn tract() -> Tract {
    Tract::new(&SkyMapConfig { cell_px: 24, tract_cells: [6, 6], patches: [2, 2], ..SkyMapConfig::default() }).unwrap()
}

/// Adds a track of `height` counts around the corner to an exposure file; its pixels.
///
/// On a copy that becomes the file when it is closed: a job that another test starts meanwhile inherits what is open here, and with it
/// HDF5's lock on it.
fn strike(path: &Path, height: f32) -> Vec<(i32, i32)> {
    let meta = exposure::read_meta(path).unwrap();
    let scratch = path.with_extension("scratch");
    std::fs::copy(path, &scratch).unwrap();
    let sky = tract().wcs().pixel_to_sky(PixelPoint::new(f64::from(CORNER) - 0.5, f64::from(CORNER) - 0.5));
    let (x, y) = meta.wcs.sky_to_pixel(sky).unwrap().pixel();
    let file = hdf5::File::open_rw(&scratch).unwrap();
    let dataset = file.dataset("image").unwrap();
    let mut image: ndarray::Array2<f32> = dataset.read_2d().unwrap();
    let track: Vec<(i32, i32)> = TRACK.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    track.iter().for_each(|&(x, y)| image[[y as usize, x as usize]] += height);
    dataset.write(&image).unwrap();
    drop((dataset, file));
    std::fs::copy(&scratch, path.with_extension("struck")).unwrap();
    std::fs::rename(path.with_extension("struck"), path).unwrap();
    std::fs::remove_file(&scratch).unwrap();
    track
}

/// One, two and three exposures without any other artifact, one of them struck: nothing can be done about one; of two and three the track is
/// left out whole, in all patches, and the coadd says so.
#[test]
fn a_track_over_a_corner_is_cut_whole() {
    let source = launch::temporary();
    let quiet = [
        "run.bands=[\"r\"]",
        "camera.n_exposures=3",
        "camera.cosmic_rays=0.0",
        "camera.n_bad_columns=0",
        "camera.hot_pixel_fraction=0.0",
        "sky.scaled.density_per_arcmin2=20.0",
        "sky.scaled.n_bright_stars=0",
    ];
    for phase in ["sky", "expose"] {
        let go_on = if phase == "sky" { vec![] } else { vec!["--resume"] };
        launch::solo(&[vec![phase, launch::SMOKE, "--out", launch::text(source.path())], settings(&quiet), go_on].concat()).ok();
    }
    for n in 1..=3 {
        let folder = launch::temporary();
        let exposures = folder.path().join("exposures");
        std::fs::create_dir(&exposures).unwrap();
        for i in 0..n {
            let name = format!("r_{i:02}.h5");
            std::fs::copy(source.path().join("main/exposures").join(&name), exposures.join(&name)).unwrap();
        }
        let track = strike(&exposures.join("r_00.h5"), 400.0);
        let out = folder.path().join("run");
        let from = format!("expose.folder={}", launch::text(&exposures));
        let own = ["run.bands=[\"r\"]", "expose.mode=import", &from, "artifacts.find=true"];
        for phase in ["sky", "expose", "visit", "artifacts", "clip", "coadd"] {
            let go_on = if phase == "sky" { vec![] } else { vec!["--resume"] };
            launch::solo(&[vec![phase, launch::SMOKE, "--out", launch::text(&out)], settings(&own), go_on].concat()).ok();
        }
        let path = out.join("main/clip.h5");
        let (clips, footprints) = (clip::read(&path, "r").unwrap(), clip::read_footprints(&path, "r").unwrap());
        let struck = &clips[&ExposureId("r_00".into())].excluded;
        let paths = tract().patches().iter().map(|p| out.join(format!("main/coadd/{}.h5", p.id))).collect();
        let around = Box2::new(CORNER - 3, CORNER - 3, 6, 6);
        let mask = CoaddMosaic::new(tract(), paths).mask("r", &around).unwrap();
        let count = |plane: MaskPlane| mask.iter().filter(|m| **m & plane.bit() != 0).count();
        if n == 1 {
            assert_eq!((footprints.n_rows(), struck.area(), count(MaskPlane::Clipped)), (0, 0, 0), "one exposure");
            continue;
        }
        let at_corner = |i: &usize| {
            let place = |column: &str| (footprints.i64(column).unwrap()[*i] - i64::from(CORNER)).abs() < 6;
            place("x") && place("y")
        };
        let rows: Vec<usize> = (0..footprints.n_rows()).filter(at_corner).collect();
        let [row] = rows[..] else { panic!("{n} exposures: {rows:?} of {}", launch::bits(&footprints)) };
        let text = |column: &str| footprints.text(column).unwrap()[row].clone();
        assert_eq!((text("class").as_str(), text("action").as_str()), ("cosmic_ray", "exclude"), "{n} exposures");
        assert!(track.iter().all(|&(x, y)| struck.contains(x, y)), "{n} exposures: {track:?} not in {struck:?}");
        assert!(struck.area() < 120, "{n} exposures: {} pixels", struck.area());
        assert!(clips.iter().filter(|(id, _)| id.0 != "r_00").all(|(_, c)| c.excluded.is_empty()), "{n} exposures: {clips:?}");
        assert!(count(MaskPlane::Clipped) >= 10 && count(MaskPlane::InexactPsf) >= count(MaskPlane::Clipped), "{n} exposures");
    }
}

#[test]
fn bad_settings_are_named() {
    let folder = launch::temporary();
    for (setting, message) in [
        ("artifacts.threshold=1.0", "artifacts.threshold is 1; expected 3..=50 sigma"),
        ("artifacts.variables=keep", "variables"),
        ("artifacts.grow=1", "grow"),
    ] {
        launch::solo(&["clip", launch::SMOKE, "--out", launch::text(folder.path()), "--set", setting]).fails(2, &[message]);
    }
}

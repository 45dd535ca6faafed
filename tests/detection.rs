//! The whole grid of layers, and the cull: the same for every layout of patches and ranks, with thresholds for the rate that was asked for.

use crate::launch;
use fathom::associate::{Parent, PeakDecision, Rejection};
use fathom::detect::{Layer, PatchLayers, is_good};
use fathom::footprint::SpanSet;
use fathom::geometry::{SkyMapConfig, Tract};
use std::path::Path;

const GRID: [&str; 10] = [
    "--set",
    "detect.seds=[\"free_sed\", \"flat\", \"red\", \"blue\", \"bands\"]",
    "--set",
    "detect.morphologies_arcsec=[0.0, 0.4, 0.8]",
    "--set",
    "detect.false_peaks_per_arcmin2=0.2",
    "--set",
    "detect.calibration_mpx=1",
    "--set",
    "detect.sky_objects_per_arcmin2=40.0",
];

/// The layers of all patches, joined.
fn joined(folder: &Path, patches: [u32; 2]) -> PatchLayers {
    let tract = Tract::new(&SkyMapConfig { cell_px: 24, tract_cells: [6, 6], patches, ..SkyMapConfig::default() }).unwrap();
    let read = |id: String| fathom::format::layers::read(&folder.join("main/layers").join(format!("{id}.h5"))).unwrap();
    let mut all = tract.patches().iter().map(|p| read(p.id.to_string())).reduce(|mut all, patch| {
        for (to, from) in all.layers.iter_mut().zip(patch.layers) {
            to.peaks.extend(from.peaks);
            to.negative_peaks.extend(from.negative_peaks);
            to.n_pixels += from.n_pixels;
            to.spans = SpanSet::from_spans(to.spans.spans().iter().chain(from.spans.spans()).copied().collect());
        }
        all.sky_objects.extend(patch.sky_objects);
        all.movers.extend(patch.movers);
        all.transients.extend(patch.transients);
        all
    });
    let all = all.as_mut().unwrap();
    for layer in &mut all.layers {
        layer.peaks.sort_by_key(|p| (p.pixel.1, p.pixel.0));
        layer.negative_peaks.sort_by(|a, b| a.at.y.total_cmp(&b.at.y).then(a.at.x.total_cmp(&b.at.x)));
    }
    all.sky_objects.sort_by_key(|s| (s.pixel.1, s.pixel.0));
    all.movers.sort_by_key(|p| (p.pixel.1, p.pixel.0));
    all.transients.sort_by_key(|p| (p.pixel.1, p.pixel.0));
    all.clone()
}

fn parents(folder: &Path) -> Vec<Parent> {
    launch::parents(folder, "main").0
}

fn run(ranks: usize, folder: &Path, patches: &str, more: &[&str]) {
    launch::smoke(ranks, folder, &[&GRID[..], more, &["--set", patches]].concat()).ok();
}

#[test]
fn the_grid_does_not_depend_on_patches_or_ranks() {
    let (one, other) = (launch::temporary(), launch::temporary());
    run(1, one.path(), "sky_map.patches=[1, 1]", &["--threads", "2"]);
    run(3, other.path(), "sky_map.patches=[3, 2]", &["--reuse", launch::text(one.path())]);
    let found = joined(one.path(), [1, 1]);
    // NaN equals itself in text.
    assert_eq!(format!("{:?}", joined(other.path(), [3, 2])), format!("{found:?}"));
    assert_eq!(parents(one.path()), parents(other.path()));
    assert_eq!(found.layers.len(), 18);
    assert!(found.layers.iter().all(|l| !l.peaks.is_empty() && l.peaks.iter().all(|p| p.layer_significance.len() == 18)));
    // A fifth of a false peak per arcmin² in all layers together asks for more than 5 sigma of each.
    assert!(found.threshold_offset.abs() < 1.0 && found.layers.iter().all(|l| l.threshold > 4.0));
    // The broader the disc, the broader what is grown for it.
    let of = |name: &str| found.layers.iter().find(|l: &&Layer| l.kind.name() == name).unwrap();
    assert!(of("r").broadening < of("r:0.4").broadening && of("r:0.4").broadening < of("r:0.8").broadening);
    assert!(!found.sky_objects.is_empty() && found.sky_objects.iter().all(|s| s.flux_njy.len() == 2));
}

#[test]
fn the_cull_finds_what_the_point_source_layer_finds() {
    let folder = launch::temporary();
    run(2, folder.path(), "sky_map.patches=[2, 2]", &["--set", "detect.strategy=cull", "--set", "detect.false_peaks_per_arcmin2=0.0"]);
    let found = joined(folder.path(), [2, 2]);
    assert_eq!(found.layers.len(), 1);
    let peaks = &found.layers[0].peaks;
    assert!(peaks.iter().any(|p| !is_good(p)));
    // What the layer alone would have found is kept.
    assert!(peaks.iter().filter(|p| p.significance >= found.layers[0].threshold).all(is_good_or_masked));
    assert!(peaks.iter().all(|p| p.layer_significance.len() == 3));
    assert!(!parents(folder.path()).is_empty());
}

fn is_good_or_masked(peak: &fathom::footprint::Peak) -> bool {
    peak.fate != fathom::footprint::PeakFate::Culled
}

/// Parents and decisions on 5 x 5 cells do not depend on the patches, not even where each has one cell, nor on the number of ranks.
#[test]
fn parents_do_not_depend_on_patches_or_ranks() {
    let folders: Vec<_> = (0..4).map(|_| launch::temporary()).collect();
    let first = launch::text(folders[0].path()).to_owned();
    let mut expected = None;
    for (k, (ranks, patches)) in [(1, "[1, 1]"), (2, "[2, 2]"), (3, "[3, 3]"), (4, "[5, 5]")].into_iter().enumerate() {
        let reuse = if k == 0 { vec![] } else { vec!["--reuse", &first] };
        let more = [&["--set", "sky_map.tract_cells=[5, 5]", "--set", "sky_map.cell_px=32"][..], &reuse].concat();
        run(ranks, folders[k].path(), &format!("sky_map.patches={patches}"), &more);
        // NaN equals itself in text.
        let found = format!("{:?}", launch::parents(folders[k].path(), "main"));
        assert!(found.len() > 10_000);
        assert!(*expected.get_or_insert_with(|| found.clone()) == found, "{patches} on {ranks} ranks");
    }
}

/// Blank positions have rows like sources, whose fluxes scatter about 0 as their errors say.
#[test]
fn sky_objects_are_measured() {
    let folder = launch::temporary();
    run(2, folder.path(), "sky_map.patches=[2, 1]", &["--set", "detect.sky_objects_per_arcmin2=300.0"]);
    let of_patches = folder.path().join("main/sky_objects");
    let (mut n, mut chi2) = (0, 0.0);
    for file in launch::files(&of_patches) {
        let table = fathom::format::table::read(&of_patches.join(file), "sky_objects").unwrap();
        let (flux, error) = (table.f64("r_psf_flux").unwrap(), table.f64("r_psf_flux_err").unwrap());
        for (f, e) in flux.iter().zip(error).filter(|(f, e)| f.is_finite() && **e > 0.0) {
            n += 1;
            chi2 += (f / e).powi(2);
        }
    }
    // Blank means nothing above the threshold near by: undetected light and what is left of the wings stay.
    assert!(n > 20, "{n} positions");
    let reduced = chi2 / f64::from(n);
    assert!((0.5..4.0).contains(&reduced), "{reduced} of {n}");
}

/// Movers of a run with a window a night: found with their motion, the same for every cut, and told of by association.
#[test]
fn movers_are_found_in_time_windows() {
    let folders: Vec<_> = (0..2).map(|_| launch::temporary()).collect();
    let first = launch::text(folders[0].path()).to_owned();
    // S/N 3 in each of twelve windows, 10 in all; up to half an FWHM a night.
    let settings = [
        "run.bands=[\"r\"]",
        "camera.n_exposures=12",
        "select.window_step_days=1.0",
        "sky.field=\"movers\"",
        "sky.survey.mjd_range=[60000.0, 60012.0]",
        "sky.movers.density_per_arcmin2=30.0",
        "sky.movers.magnitude_range=[20.6, 20.6]",
        "sky.movers.slow_fwhm_per_epoch=[0.1, 0.4]",
        "sky.movers.trail_fraction=0.0",
        "detect.movers.fastest_arcsec_per_day=0.4",
        "detect.transients.threshold=7.0",
        "detect.seds=[\"r\"]",
    ];
    let sets: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
    launch::smoke(1, folders[0].path(), &[&sets[..], &["--set", "sky_map.patches=[1, 1]"]].concat()).ok();
    launch::smoke(2, folders[1].path(), &[&sets[..], &["--set", "sky_map.patches=[3, 2]", "--reuse", &first]].concat()).ok();
    let (whole, parts) = (joined(folders[0].path(), [1, 1]), joined(folders[1].path(), [3, 2]));
    assert_eq!(format!("{:?}", whole.movers), format!("{:?}", parts.movers));
    assert_eq!(format!("{:?}", whole.transients), format!("{:?}", parts.transients));
    let told = [0, 1].map(|k| launch::parents(folders[k].path(), "main"));
    assert_eq!(format!("{:?}", told[0]), format!("{:?}", told[1]));
    let changing = told[0].1.iter().filter(|r| r.decision == PeakDecision::Rejected(Rejection::Changing)).count();
    assert_eq!(changing, whole.movers.len() + whole.transients.len());

    let truth = launch::run_table(folders[0].path(), "truth");
    let column = |name: &str| truth.f64(name).unwrap().to_vec();
    let (ra, dec, pm_ra, pm_dec, epoch) = (column("ra"), column("dec"), column("pm_ra"), column("pm_dec"), column("epoch"));
    let regime = truth.text("regime").unwrap();
    // The tract's centre, (71.5, 71.5), is at (150.1, 2.2); 0.2 arcsec a pixel; the middle of the windows is MJD 60006.
    let track = |k: usize| {
        let per_day = |mas_yr: f64| mas_yr / 365.25 / 200.0;
        let (vx, vy) = (-per_day(pm_ra[k]), per_day(pm_dec[k]));
        let (x, y) = (71.5 - (ra[k] - 150.1) * 18_000.0 * dec[k].to_radians().cos(), 71.5 + (dec[k] - 2.2) * 18_000.0);
        let days = 60006.0 - epoch[k];
        ([x + days * vx, y + days * vy], [vx, vy])
    };
    let movers: Vec<_> = (0..ra.len()).filter(|&k| regime[k] == "slow").map(track).collect();
    assert!(movers.len() >= 4 && !whole.movers.is_empty(), "{} of {}", whole.movers.len(), movers.len());
    for found in &whole.movers {
        let [vx, vy] = found.velocity_px_per_day.unwrap();
        let is_it =
            |(at, v): &([f64; 2], [f64; 2])| (found.at.x - at[0]).hypot(found.at.y - at[1]) < 3.0 && (vx - v[0]).hypot(vy - v[1]) < 0.5;
        assert!(movers.iter().any(is_it), "{found:?} is none of {movers:?}");
    }
}

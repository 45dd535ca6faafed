//! Real and independently simulated exposures through the whole chain. They are not ours to redistribute: the folder comes from
//! `FATHOM_DATA`, or stands beside the repository.

use crate::launch::{self, ROOT};
use fathom::catalog::Table;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of data, or a line that says why a test did nothing.
fn data(needed: &str) -> Option<PathBuf> {
    let from_environment = std::env::var_os("FATHOM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let is_named = from_environment.is_some();
    let folder = from_environment.unwrap_or_else(|| Path::new(ROOT).join("../shared/data"));
    if folder.join(needed).is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    assert!(!is_named, "FATHOM_DATA is {}, which has no {needed}", folder.display());
    println!("skipped: no data folder (FATHOM_DATA is not set, and there is no {})", folder.join(needed).display());
    None
}

fn run(name: &str, data: &Path, out: &Path, more: &[&str]) {
    let arguments = [&["run", name, "--out", launch::text(out)], more].concat();
    launch::fathom_with(2, &arguments, &[("FATHOM_DATA", launch::text(data))]).ok();
}

/// Value of a metric, if it was measured.
fn value(metrics: &[Value], name: &str, band: &str, regime: &str) -> Option<f64> {
    metrics
        .iter()
        .find(|m| m["name"] == name && m["band"] == band && m["regime"] == regime && m["class"] == "")
        .and_then(|m| m["value"].as_f64())
}

/// Distances on the sky of each row of `a` to the nearest of `b` [arcsec], and which that is.
fn nearest(a: &Table, b: &Table) -> Vec<(f64, usize)> {
    let at = |t: &Table| -> Vec<(f64, f64)> {
        let (ra, dec) = (t.f64("ra").unwrap(), t.f64("dec").unwrap());
        ra.iter().zip(dec).map(|(r, d)| (r * d.to_radians().cos() * 3600.0, d * 3600.0)).collect()
    };
    let (a, b) = (at(a), at(b));
    // A field of arcminutes: flat enough.
    let distance = |p: &(f64, f64), q: &(f64, f64)| (p.0 - q.0).hypot(p.1 - q.1);
    let best = |p: &(f64, f64)| {
        let found = b.iter().enumerate().map(|(i, q)| (distance(p, q), i)).min_by(|x, y| x.0.total_cmp(&y.0));
        found.unwrap_or((f64::INFINITY, 0))
    };
    a.iter().map(best).collect()
}

/// A scene drawn by GalSim, which shares no code with fathom, with its own truth.
#[test]
fn independent_scene() {
    let Some(data) = data("sim/galsim_gri_4epoch") else { return };
    let folder = launch::temporary();
    run("galsim-gri", &data, folder.path(), &[]);
    let truth = launch::run_table(folder.path(), "truth");
    let catalog = launch::run_table(folder.path(), "catalog");
    assert!(truth.n_rows() > 100 && catalog.n_rows() > 50, "{} true, {} found", truth.n_rows(), catalog.n_rows());
    let found = nearest(&truth, &catalog);
    let to_other: Vec<f64> = {
        // Distance to the nearest other true object.
        let (ra, dec) = (truth.f64("ra").unwrap(), truth.f64("dec").unwrap());
        let distance = |i: usize, j: usize| ((ra[i] - ra[j]) * dec[i].to_radians().cos()).hypot(dec[i] - dec[j]) * 3600.0;
        (0..truth.n_rows()).map(|i| (0..truth.n_rows()).filter(|&j| j != i).map(|j| distance(i, j)).fold(f64::INFINITY, f64::min)).collect()
    };
    let (class, is_usable) = (truth.text("class").unwrap(), truth.bool("is_usable").unwrap());
    for band in ["g", "r", "i"] {
        let snr = truth.f64(&format!("{band}_snr_true")).unwrap();
        let flux = truth.f64(&format!("{band}_flux")).unwrap();
        // S/N above 20 is found by any threshold near 5; usable is: covered, not saturated; 1.5" is two FWHM.
        let bright: Vec<usize> =
            (0..truth.n_rows()).filter(|&i| class[i] == "star" && is_usable[i] && snr[i] > 20.0 && to_other[i] > 1.5).collect();
        assert!(!bright.is_empty(), "{band}: no bright star");
        let n_found = bright.iter().filter(|&&i| found[i].0 < 0.4).count();
        assert!(n_found * 10 >= bright.len() * 9, "{band}: {n_found} of {} bright isolated stars found", bright.len());
        let measured = catalog.f64(&format!("{band}_psf_flux")).unwrap();
        let mut errors: Vec<f64> =
            bright.iter().filter(|&&i| found[i].0 < 0.4).map(|&i| (measured[found[i].1] / flux[i] - 1.0).abs()).collect();
        errors.sort_by(f64::total_cmp);
        // 1/20 is the noise of the faintest of them, 2 % what a PSF stamp without subtraction of neighbours may cost.
        let median = errors[errors.len() / 2];
        assert!(median < 0.05, "{band}: median |flux error| {median:.3} of {} stars", errors.len());
    }
    let metrics = launch::metrics(folder.path());
    for band in ["g", "r", "i"] {
        let m50 = value(&metrics, "detection.completeness.m50", band, "").expect("a 50 % point");
        let limit = metrics
            .iter()
            .find(|m| m["name"] == "detection.completeness.m50" && m["band"] == band)
            .and_then(|m| m["limit"].as_f64())
            .unwrap();
        // 200 objects: the point is known to 0.2 mag.
        assert!((m50 - limit).abs() < 0.6, "{band}: 50 % at {m50:.2} mag, theory {limit:.2}");
    }
}

/// The layout's exposures and truth as files of our own, which then run without the layout.
#[test]
fn import_of_the_independent_scene() {
    let Some(data) = data("sim/galsim_gri_4epoch") else { return };
    let folder = launch::temporary();
    let out = folder.path().join("imported");
    let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/layouts/galsim_gri_4epoch.toml");
    let arguments = ["import", layout, "--data", launch::text(&data), "--out", launch::text(&out)];
    let imported = launch::solo(&arguments).ok();
    assert_eq!(imported.stdout.trim(), launch::text(&out));
    let names = launch::files(&out);
    // Three bands of four epochs, and the truth.
    assert_eq!(names.len(), 13, "{names:?}");
    let meta =
        fathom::format::exposure::read_meta(&out.join(names.iter().find(|n| n.as_path() != Path::new("truth.h5")).unwrap())).unwrap();
    assert!(["g", "r", "i"].contains(&meta.band.as_str()) && meta.photo_calib.mean_njy_per_adu > 0.0);
    let truth = fathom::format::table::read(&out.join("truth.h5"), "truth").unwrap();
    assert!(truth.n_rows() > 100 && truth.i64("id").unwrap().iter().all(|&id| id >= 1));
    // Twice is refused unless asked for.
    let again = launch::solo(&arguments);
    assert_eq!(again.status, Some(1), "{again}");
    assert!(again.stderr.contains("not empty") && again.stderr.contains("--overwrite"), "{again}");
    launch::solo(&[&arguments[..], &["--overwrite"]].concat()).ok();
}

/// Nine DECam exposures with sources injected: one control arm, one realisation.
#[test]
fn real_field() {
    let Some(data) = data("real/decam_grz_9epoch") else { return };
    let folder = launch::temporary();
    run("real-decam", &data, folder.path(), &["--set", "run.realisations=1"]);
    for arm in ["control", "real_00"] {
        let n = |kind: &str| std::fs::read_dir(folder.path().join(arm).join(kind)).map_or(0, Iterator::count);
        assert_eq!((n("exposures"), n("visit")), (9, 9), "{arm}");
        assert!(n("coadd") > 0 && n("catalog") > 0 && n("parents") > 0, "{arm}");
    }
    assert!(!folder.path().join("control/truth.h5").exists(), "nothing is injected into the control");
    // Three stars are too few for an aperture correction: it is 1, and says so.
    for path in launch::files(&folder.path().join("real_00/visit")) {
        let visit = fathom::format::visit::read(&folder.path().join("real_00/visit").join(&path)).unwrap();
        let corr = &visit.ap_corr.by_algorithm["psf_flux"];
        let at_center = corr.factor.at(fathom::PixelPoint::new(100.0, 100.0));
        assert!(corr.is_flagged && (at_center - 1.0).abs() < 1e-12, "{}: {at_center}, {} stars", path.display(), corr.n_stars);
    }
    let truth = launch::run_table(folder.path(), "real_00/truth");
    let catalog = launch::run_table(folder.path(), "real_00/catalog");
    let (found, is_usable) = (nearest(&truth, &catalog), truth.bool("is_usable").unwrap());
    assert!(is_usable.iter().filter(|&&u| u).count() >= 10, "hardly a source could be used");
    for band in ["g", "r", "z"] {
        // The brightest offset is 1 mag above the limit: the upper third in S/N.
        let snr = truth.f64(&format!("{band}_snr_true")).unwrap();
        let mut usable: Vec<usize> = (0..truth.n_rows()).filter(|&i| is_usable[i]).collect();
        usable.sort_by(|&a, &b| snr[b].total_cmp(&snr[a]));
        let bright = &usable[..usable.len().div_ceil(3)];
        // 0.6" is half a FWHM.
        let n_found = bright.iter().filter(|&&i| found[i].0 < 0.6).count();
        assert!(n_found * 10 > bright.len() * 7, "{band}: {n_found} of the {} brightest found", bright.len());
        let (flux, measured) = (truth.f64(&format!("{band}_flux")).unwrap(), catalog.f64(&format!("{band}_psf_flux")).unwrap());
        let mut errors: Vec<f64> = bright.iter().filter(|&&i| found[i].0 < 0.6).map(|&i| measured[found[i].1] / flux[i] - 1.0).collect();
        errors.sort_by(f64::total_cmp);
        let median = errors[errors.len() / 2];
        // S/N near 10 and ten sources: the median is known to 5 %.
        assert!(median.abs() < 0.15, "{band}: median flux error {median:.3} of {}", errors.len());
    }
}

/// Fluxes of the injected sources in injected - original, by hand: Σ p d / Σ p² with the injection PSF at the true position, over the
/// usable pixels. Returns (flux / true flux - 1, pull by the photons' own noise).
fn fluxes_in_the_difference(folder: &Path) -> Vec<(f64, f64)> {
    use fathom::MaskPlane;
    use fathom::format::{exposure, truth};
    let mut found = Vec::new();
    let arms = launch::files(folder).into_iter().filter(|p| p.ends_with("truth.h5")).map(|p| p.parent().unwrap().to_owned());
    for arm in arms.collect::<std::collections::BTreeSet<_>>() {
        let truth = truth::read(&folder.join(&arm).join("truth.h5")).unwrap();
        for name in launch::files(&folder.join(&arm).join("exposures")) {
            let injected = exposure::read(&folder.join(&arm).join("exposures").join(&name), None).unwrap();
            let original = exposure::read(&folder.join("control/exposures").join(&name), None).unwrap();
            let is_usable = |m: u32| m & MaskPlane::UNUSABLE == 0;
            for ((a, b), m) in injected.image.iter().zip(&original.image).zip(&original.mask) {
                assert!(is_usable(*m) || a.to_bits() == b.to_bits(), "a masked pixel changed");
            }
            let (meta, gain) = (&injected.meta, injected.meta.gain_e_per_adu);
            let flux = truth.f64(&format!("{}_flux", meta.band)).unwrap();
            for (i, flux_njy) in flux.iter().enumerate() {
                let sky = fathom::SkyPoint::from_degrees(truth.f64("ra").unwrap()[i], truth.f64("dec").unwrap()[i]);
                let at = meta.wcs.sky_to_pixel(sky).unwrap();
                let ((x, y), r) = (at.pixel(), meta.psf.radius_px() as i32);
                let stamp_box = fathom::Box2::new(x - r, y - r, 2 * r + 1, 2 * r + 1);
                if stamp_box.intersect(&injected.bbox) != stamp_box {
                    continue;
                }
                let psf = meta.psf.stamp(at, at.x - f64::from(x), at.y - f64::from(y));
                let slice = injected.bbox.slice_of(&stamp_box);
                let (a, b, m) = (injected.image.slice(slice), original.image.slice(slice), injected.mask.slice(slice));
                let flux_adu = flux_njy / meta.photo_calib.at(at);
                let (mut pd, mut pp, mut noise) = (0.0, 0.0, 0.0);
                for (((p, a), b), _) in psf.iter().zip(a).zip(b).zip(m).filter(|(_, m)| is_usable(**m)) {
                    pd += p * (f64::from(*a) - f64::from(*b));
                    pp += p * p;
                    // Poisson: the variance is the expectation, in electrons.
                    noise += p * p * (flux_adu * p).max(0.0) / gain;
                }
                if pp > 0.5 * psf.iter().map(|p| p * p).sum::<f64>() {
                    assert!(m.iter().any(|m| m & MaskPlane::Injected.bit() != 0));
                    found.push((pd / pp / flux_adu - 1.0, (pd / pp - flux_adu) / (noise.sqrt() / pp)));
                }
            }
        }
    }
    found
}

/// Injection is exact to 1e-4 of the flux without noise, and with noise scatters as photons do.
#[test]
fn injected_light_is_the_truth() {
    let Some(data) = data("real/decam_grz_9epoch") else { return };
    let folder = launch::temporary();
    // So far apart that no stamp (63 pixels of 0.262") meets another; bright, so that f32 counts resolve 1e-5 of the flux.
    let inject = |noise: &str| {
        let out = folder.path().join(noise);
        let noise = format!("expose.injection.noise={noise}");
        let settings = ["sky.injected.spacing_arcsec=18", "sky.injected.offsets_mag=[-4.5]", "run.realisations=12", &noise];
        let mut arguments = vec!["inject", "real-decam", "--out", launch::text(&out)];
        settings.iter().for_each(|s| arguments.extend(["--set", s]));
        launch::fathom_with(2, &arguments, &[("FATHOM_DATA", launch::text(&data))]).ok();
        fluxes_in_the_difference(&out)
    };
    let exact = inject("false");
    let worst = exact.iter().map(|f| f.0.abs()).fold(0.0, f64::max);
    assert!(exact.len() > 100 && worst < 1e-4, "{worst:.1e} of {}", exact.len());
    let pulls: Vec<f64> = inject("true").iter().map(|f| f.1).collect();
    let n = pulls.len() as f64;
    let mean = pulls.iter().sum::<f64>() / n;
    let std = (pulls.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n).sqrt();
    println!("injection: worst error {worst:.1e} of {}; pulls {mean:.3} +- {std:.3} of {n}", exact.len());
    assert!(mean.abs() < 4.0 / n.sqrt() && (std - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{mean} +- {std} of {n}");
}

/// Real galaxies, deconvolved and drawn through each exposure's own PSF, injected from a catalog that names them.
#[cfg(feature = "fits")]
#[test]
fn real_galaxies_are_injected() {
    use fathom::format::{exposure, galaxy_stamps, truth};
    let (Some(data), Some(stamps)) = (data("real/decam_grz_9epoch"), data("real/hst_galaxies")) else { return };
    let stamps = stamps.join("real/hst_galaxies/real_galaxy_catalog_26_extension_example.fits");
    let names: Vec<String> = galaxy_stamps::read(&stamps).unwrap().into_iter().map(|s| s.name).collect();
    let folder = launch::temporary();
    let (catalog, out) = (folder.path().join("galaxies.csv"), folder.path().join("run"));
    let mut text = String::from("id,ra,dec,class,g_flux,r_flux,z_flux,half_light_radius,axis_ratio,position_angle,sersic_n,morphology\n");
    for (i, (ra, dec)) in [(186.741, 25.459), (186.747, 25.465), (186.741, 25.466)].into_iter().enumerate() {
        text += &format!("{},{ra},{dec},galaxy,20000,20000,20000,0.4,1,{},1,stamp:{}\n", i + 1, 40 * i, names[10 * i]);
    }
    std::fs::write(&catalog, text).unwrap();
    let settings = [
        "sky.field=catalog".to_owned(),
        format!("sky.catalog.file={}", launch::text(&catalog)),
        format!("sky.stamps={}", launch::text(&stamps)),
        "expose.injection.noise=false".to_owned(),
        "run.realisations=1".to_owned(),
    ];
    let mut arguments = vec!["inject", "real-decam", "--out", launch::text(&out)];
    settings.iter().for_each(|s| arguments.extend(["--set", s]));
    launch::fathom_with(2, &arguments, &[("FATHOM_DATA", launch::text(&data))]).ok();
    let table = truth::read(&out.join("real_00/truth.h5")).unwrap();
    let mut n = 0;
    for name in launch::files(&out.join("real_00/exposures")) {
        let injected = exposure::read(&out.join("real_00/exposures").join(&name), None).unwrap();
        let original = exposure::read(&out.join("control/exposures").join(&name), None).unwrap();
        for (ra, dec) in table.f64("ra").unwrap().iter().zip(table.f64("dec").unwrap()) {
            let at = injected.meta.wcs.sky_to_pixel(fathom::SkyPoint::from_degrees(*ra, *dec)).unwrap();
            let (x, y) = at.pixel();
            let square = fathom::Box2::new(x - 15, y - 15, 31, 31);
            let slice = injected.bbox.slice_of(&square.intersect(&injected.bbox));
            let is_clean = original.mask.slice(slice).iter().all(|m| m & fathom::MaskPlane::UNUSABLE == 0);
            if square.intersect(&injected.bbox) != square || !is_clean {
                continue;
            }
            let counts: f64 = injected.image.slice(slice).iter().zip(original.image.slice(slice)).map(|(a, b)| f64::from(a - b)).sum();
            let share = counts * injected.meta.photo_calib.at(at) / 20_000.0;
            // What lies beyond 4 arcsec: the PSF's wings, and the noise of the stamps' own sky.
            assert!((0.9..1.05).contains(&share), "{}: {share:.3} of the flux", name.display());
            n += 1;
        }
    }
    assert!(n >= 6, "{n} galaxies on clean pixels");
}

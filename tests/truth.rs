//! What the truth phase says of every true object: its noiseless pixels on the coadd, and what the data allow.

use crate::launch;
use fathom::background::{ExposureBackground, VisitProduct};
use fathom::coadd::MakeCoadd;
use fathom::format::{coadd::CoaddMosaic, coadd::Plane, exposure, truth, truth_pixels, visit};
use fathom::geometry::{PixelPoint, SkyMapConfig, Tract};
use fathom::image::Exposure;
use fathom_sim::{Planner, Renderer, TruthObject};
use ndarray::Array2;
use std::path::Path;

fn section<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> T {
    let config: toml::Table = toml::from_str(&std::fs::read_to_string(folder.join("config.toml")).unwrap()).unwrap();
    config[name].clone().try_into().unwrap()
}

/// The sum of all objects' truth pixels is the coadd of noiseless exposures that hold all objects, to 1e-5 of its peak; and
/// what the real coadd shows besides is noise.
#[test]
fn truths_sum_to_the_noiseless_coadd() {
    let folder = launch::temporary();
    launch::smoke(2, folder.path(), &["--set", "truth.pixels=true"]).ok();
    for (band, chi2) in check_sums(folder.path()) {
        // The mesh background of so crowded a field is off by tenths of a sigma, and correlated noise has fewer independent pixels
        // than there are: 10 %.
        assert!((chi2 - 1.0).abs() < 0.1, "{band}: {chi2}");
    }
}

/// The same where the chain is told a wrong PSF, WCS and zero point, and vignetting makes the calibration vary: light falls by the truth.
#[test]
fn truths_know_what_the_chain_is_not_told() {
    let folder = launch::temporary();
    let settings = [
        "truth.pixels=true",
        "camera.psf.given_size_error=0.2",
        "camera.astrometry.residual_mas=200.0",
        "camera.photometry.zero_point_error=0.2",
        "camera.photometry.vignetting=[0.05, 0.05]",
        // Of a sky that falls off so steeply.
        "visit.mesh.cell_px=32",
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
    launch::smoke(2, folder.path(), &arguments).ok();
    check_sums(folder.path());
}

/// Checks the sums; returns the mean of (coadd - truth)² / variance of every band.
fn check_sums(folder: &Path) -> Vec<(&'static str, f64)> {
    let tract = Tract::new(&section::<SkyMapConfig>(folder, "sky_map")).unwrap();
    let planner = Planner::new(&section(folder, "camera"), tract.center(), &["g".to_owned(), "r".to_owned()], 5).unwrap();
    let main = folder.join("main");
    let stage = MakeCoadd::new(fathom::coadd::CoaddConfig::default()).unwrap();
    let catalog = truth::read(&main.join("truth.h5")).unwrap();
    let pixels = main.join("truth_pixels");
    let objects: Vec<_> = launch::files(&pixels).iter().flat_map(|p| truth_pixels::read(&pixels.join(p)).unwrap().1).collect();
    assert!(objects.len() > 10, "{} objects", objects.len());
    let patches = tract.patches().iter().map(|p| main.join("coadd").join(format!("{}.h5", p.id))).collect();
    let mosaic = CoaddMosaic::new(tract.clone(), patches);
    let mut found = Vec::new();
    for (b, band) in ["g", "r"].into_iter().enumerate() {
        let mut sum = Array2::<f64>::zeros(tract.bbox().shape());
        for o in &objects {
            let mut part = sum.slice_mut(tract.bbox().slice_of(&o.bbox));
            part.zip_mut_with(&o.values_njy_byx.index_axis(ndarray::Axis(0), b), |s, v| *s += f64::from(*v));
        }
        // The slow way: noiseless exposures with everything in them, under the real masks.
        let inputs: Vec<(Exposure, VisitProduct)> = launch::files(&main.join("exposures"))
            .iter()
            .filter(|p| p.to_string_lossy().starts_with(band))
            .map(|p| {
                let mut e = exposure::read(&main.join("exposures").join(p), None).unwrap();
                e.sanitize();
                let v = visit::read(&main.join("visit").join(p)).unwrap();
                let mut light = Array2::<f64>::zeros(e.bbox.shape());
                let true_meta = planner.plan(&e.meta.id).unwrap().meta;
                let renderer = Renderer::new(&true_meta);
                for o in TruthObject::of_table(&catalog, band, e.meta.mjd).unwrap() {
                    let Some((stamp_box, stamp)) = renderer.render(&o) else { continue };
                    let part = stamp_box.intersect(&e.bbox);
                    if !part.is_empty() {
                        light.slice_mut(e.bbox.slice_of(&part)).scaled_add(1.0, &stamp.slice(stamp_box.slice_of(&part)));
                    }
                }
                for ((y, x), z) in e.image.indexed_iter_mut() {
                    let at = PixelPoint::new(x as f64, y as f64);
                    *z = (light[[y, x]] / true_meta.photo_calib.at(at)) as f32;
                }
                e.variance.fill(1.0);
                let background = ExposureBackground::constant(e.bbox, 0.0);
                (e, VisitProduct { background, ..v })
            })
            .collect();
        let list: Vec<_> = inputs.iter().map(|(e, v)| (&e.meta, v)).collect();
        let mut sums = stage.start_light(&tract, tract.bbox(), band, &list).unwrap();
        inputs.iter().enumerate().for_each(|(i, (e, v))| sums.add_warp(i, e, v));
        let whole = sums.finish().image_njy;
        let peak = whole.iter().filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(*v));
        let worst = whole.iter().zip(&sum).filter(|(w, _)| w.is_finite()).map(|(w, s)| (f64::from(*w) - s).abs()).fold(0.0, f64::max);
        println!("{band}: sum of truths off by {:.1e} of the peak", worst / f64::from(peak));
        assert!(worst < 1e-5 * f64::from(peak), "{band}: {worst} of {peak}");

        let plane = |plane| mosaic.plane(band, plane, &tract.bbox()).unwrap();
        let (image, variance, mask) = (plane(Plane::Image), plane(Plane::Variance), mosaic.mask(band, &tract.bbox()).unwrap());
        let (mut chi2, mut n) = (0.0, 0.0);
        for (((z, v), m), t) in image.iter().zip(&variance).zip(&mask).zip(&whole) {
            if *m == 0 && z.is_finite() && *v > 0.0 {
                chi2 += f64::from(z - t).powi(2) / f64::from(*v);
                n += 1.0;
            }
        }
        println!("{band}: mean of squared residuals {:.3} of {n} pixels", chi2 / n);
        assert!(n > 5000.0, "{band}: {n} unmasked pixels");
        found.push((band, chi2 / n));
    }
    found
}

/// A star's optimal filter over the exposures is what the likelihood maps hold at its pixel; a blend can only know less.
#[test]
fn limits_agree_with_the_likelihood_maps() {
    let table = launch::run_table(launch::reference(), "truth");
    let (class, usable) = (table.text("class").unwrap(), table.bool("is_usable").unwrap());
    for band in ["g", "r"] {
        let column = |name: &str| table.f64(&format!("{band}_{name}")).unwrap();
        let (map, optimal) = (column("snr_true"), column("snr_optimal"));
        let (alone, blend, bound) = (column("flux_err_alone"), column("flux_err_blend"), column("flux_err_limit"));
        let (mut n, mut n_close) = (0, 0);
        for i in 0..table.n_rows() {
            assert!(
                blend[i].is_nan() || alone[i].is_nan() || blend[i] >= alone[i] * (1.0 - 1e-12),
                "{band}: row {i} knows more in its blend"
            );
            if class[i] == "star" && usable[i] {
                // The map is that of a source at the pixel's centre: beside masked pixels half a pixel matters, elsewhere 1 % is the
                // background's slope and the PSF's phase.
                let off = (optimal[i] / map[i] - 1.0).abs();
                assert!(off < 0.1, "{band}, row {i}: {} and {}", optimal[i], map[i]);
                if off < 0.01 {
                    // Light of neighbours adds noise to the one, not to the other.
                    assert!(alone[i] > 0.98 * bound[i], "{band}, row {i}: {} and {}", alone[i], bound[i]);
                    n_close += 1;
                }
                n += 1;
            }
        }
        assert!(n >= 3 && 4 * n_close >= 3 * n, "{band}: {n_close} of {n} stars");
    }
}

/// Beside every exposure stands what was drawn on it: every object of the catalog that lies on it, where its WCS has it.
#[test]
fn every_exposure_says_what_it_holds() {
    let main = launch::reference().join("main");
    let catalog = truth::read(&main.join("truth.h5")).unwrap();
    let (id, ra, dec) = (catalog.i64("id").unwrap(), catalog.f64("ra").unwrap(), catalog.f64("dec").unwrap());
    for path in launch::files(&main.join("exposures")) {
        let meta = exposure::read_meta(&main.join("exposures").join(&path)).unwrap();
        let drawn = fathom::format::table::read(&main.join("drawn").join(&path), "drawn").unwrap();
        let (drawn_id, x, y, flux) =
            (drawn.i64("id").unwrap(), drawn.f64("x").unwrap(), drawn.f64("y").unwrap(), drawn.f64("flux").unwrap());
        let of_catalog = catalog.f64(&format!("{}_flux", meta.band)).unwrap();
        let mut n_inside = 0;
        for i in 0..catalog.n_rows() {
            let at = meta.wcs.sky_to_pixel(fathom::SkyPoint::from_degrees(ra[i], dec[i])).unwrap();
            let row = drawn_id.iter().position(|d| *d == id[i]);
            assert!(row.is_some() || !meta.bbox().contains_point(at), "{}: object {} is missing", path.display(), id[i]);
            if let Some(k) = row {
                assert!((x[k] - at.x).abs() < 1e-9 && (y[k] - at.y).abs() < 1e-9, "{}: object {}", path.display(), id[i]);
                assert!((flux[k] / of_catalog[i] - 1.0).abs() < 1e-12, "{}: object {}", path.display(), id[i]);
                n_inside += usize::from(meta.bbox().contains_point(at));
            }
        }
        assert!(n_inside > 10, "{}: {n_inside} objects", path.display());
    }
}

/// Positions and shapes: who has bounds, that blends know less, and that a star's bound is √2 σ / S/N of its PSF (σ / S/N if its own photons are the noise,
/// which those of bright stars are); neighbours stand in the table of covariances with errors that go against each other.
#[test]
fn every_object_has_bounds_of_position_and_shape() {
    let table = launch::run_table(launch::reference(), "truth");
    let (class, id) = (table.text("class").unwrap(), table.i64("id").unwrap());
    let column = |name: &str| table.f64(name).unwrap();
    let is_star = |i: usize| class[i] == "star";
    let snr = |i: usize| ["g", "r"].map(|b| column(&format!("{b}_snr_optimal"))[i].powi(2)).iter().sum::<f64>().sqrt();
    let (mut n_stars, mut n_galaxies) = (0, 0);
    for i in 0..table.n_rows() {
        for name in ["ra", "dec", "radius", "e1", "e2"] {
            let [alone, blend] = ["alone", "blend"].map(|how| column(&format!("{name}_err_{how}"))[i]);
            assert!(alone.is_nan() || blend.is_nan() || blend >= alone * (1.0 - 1e-6), "row {i} knows more of {name} in its blend");
            let is_shape = !["ra", "dec"].contains(&name);
            assert!(!(is_shape && is_star(i)) || alone.is_nan(), "row {i}: a star with {name}");
            assert!(snr(i) < 5.0 || (is_shape && is_star(i)) || alone > 0.0, "row {i}: no bound of {name} at S/N {}", snr(i));
        }
        if is_star(i) && snr(i) > 10.0 {
            // The seeing is 0.6 to 1.2 arcsec: σ = 0.25 to 0.5.
            let of_flux = |b: &str| (column(&format!("{b}_flux"))[i] / column(&format!("{b}_flux_err_alone"))[i]).powi(2);
            let sigma_arcsec = 1e-3 * column("ra_err_alone")[i] * (of_flux("g") + of_flux("r")).sqrt() / 2f64.sqrt();
            assert!((0.15..0.7).contains(&sigma_arcsec), "row {i}: PSF of sigma {sigma_arcsec}");
            n_stars += 1;
        }
        n_galaxies += usize::from(column("radius_err_alone")[i] > 0.0);
    }
    assert!(n_stars >= 2 && n_galaxies > 10, "{n_stars} stars, {n_galaxies} galaxies");
    let blends = launch::run_table(launch::reference(), "blend_fisher");
    assert!(blends.n_rows() > 4, "{} rows", blends.n_rows());
    let (overlap, covariance) = (blends.f64("r_overlap").unwrap(), blends.f64("r_flux_covariance").unwrap());
    let n_against = overlap.iter().zip(covariance).filter(|(o, c)| **o > 0.3 && **c < 0.0).count();
    let n_close = overlap.iter().zip(covariance).filter(|(o, c)| **o > 0.3 && c.is_finite()).count();
    assert!(2 * n_against > n_close, "{n_against} of {n_close}");
    assert!(["id", "neighbour_id"].iter().all(|name| blends.i64(name).unwrap().iter().all(|b| id.contains(b))));
    let (pair, delta_chi2) = (table.i64("pair_id").unwrap(), column("pair_delta_chi2"));
    assert!(pair.iter().zip(delta_chi2).all(|(p, d)| (*p != 0) == (*d >= 0.0)) && pair.iter().any(|p| *p != 0));
}

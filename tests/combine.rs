//! Proper coadds and maps of all bands: the same however they are computed, read across patches, and what the maps they come from say.

use crate::launch;
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::format::combined::CombinedMosaic;
use fathom::geometry::{SkyMapConfig, Tract};
use fathom::image::MaskPlane;
use ndarray::Array2;
use std::path::Path;

const COMBINED: [&str; 6] = [
    "--set",
    "combine.proper=true",
    "--set",
    "combine.border_px=24",
    "--set",
    "combine.multi_band=[\"chi2\", \"free\", { name = \"red\", sed = { g = 0.5, r = 1.0 } }]",
];

fn tract(patches: [u32; 2]) -> Tract {
    Tract::new(&SkyMapConfig { cell_px: 24, tract_cells: [6, 6], patches, ..SkyMapConfig::default() }).unwrap()
}

fn files(folder: &Path, kind: &str, tract: &Tract) -> Vec<std::path::PathBuf> {
    tract.patches().iter().map(|p| folder.join("main").join(kind).join(format!("{}.h5", p.id))).collect()
}

/// Bits of everything that the combined files hold on the whole tract and beyond its edge.
fn bits(folder: &Path, patches: [u32; 2]) -> Vec<u32> {
    let tract = tract(patches);
    let mosaic = CombinedMosaic::new(tract.clone(), files(folder, "combined", &tract));
    let all = tract.bbox().grown(5);
    let mut bits = Vec::new();
    let mut real = |plane: Array2<f32>| bits.extend(plane.iter().map(|v| v.to_bits()));
    for band in ["g", "r"] {
        real(mosaic.proper_image(band, &all).unwrap());
        real(mosaic.proper_variance(band, &all).unwrap());
        for cell in tract.cells_in(&tract.bbox()) {
            let stamps = mosaic.proper_stamps(band, cell.bbox.x0, cell.bbox.y0).unwrap().expect("the exposures cover the tract");
            real(stamps.psf);
            real(stamps.covariance_njy2);
        }
    }
    for map in ["chi2", "free", "red"] {
        real(mosaic.map(map, &all).unwrap());
    }
    for band in ["g", "r"] {
        bits.extend(mosaic.proper_mask(band, &all).unwrap());
    }
    bits.extend(mosaic.n_bands(&all).unwrap().iter().map(|n| u32::from(*n)));
    bits
}

#[test]
fn combined_images_do_not_depend_on_ranks_or_patches() {
    let reference = launch::reference();
    let one = launch::temporary();
    let run = launch::smoke(1, one.path(), &[&COMBINED[..], &["--threads", "2", "--reuse", launch::text(reference)]].concat());
    assert_eq!((run.tasks("coadd"), run.tasks("combine"), run.tasks("detect")), ((0, 4), (4, 4), (0, 4)), "{run}");
    let expected = bits(one.path(), [2, 2]);
    for (ranks, patches, setting) in [(2, [2, 2], "sky_map.patches=[2, 2]"), (2, [1, 1], "sky_map.patches=[1, 1]")] {
        let folder = launch::temporary();
        let more = ["--threads", "1", "--set", setting, "--reuse", launch::text(reference)];
        launch::smoke(ranks, folder.path(), &[&COMBINED[..], &more].concat());
        assert_eq!(bits(folder.path(), patches), expected, "{ranks} ranks, {setting}");
    }
    agrees_with_the_maps(one.path());
    let stem = one.path().join("cut");
    let cut = ["cutout", launch::text(one.path()), "--ra", "150.1", "--dec", "2.2", "--size", "6", "--out", launch::text(&stem)];
    launch::solo(&[&cut[..], &["--plane", "proper,proper_mask,red"]].concat()).ok();
    // By default there is nothing to do.
    let none = launch::solo(&["combine", launch::SMOKE, "--out", launch::text(launch::temporary().path())]).ok();
    assert!(!none.stderr.contains("combine "), "{none}");
}

/// The maps are the sums of the single-band ones.
fn agrees_with_the_maps(folder: &Path) {
    let tract = tract([2, 2]);
    let coadd = CoaddMosaic::new(tract.clone(), files(folder, "coadd", &tract));
    let combined = CombinedMosaic::new(tract.clone(), files(folder, "combined", &tract));
    let inner = tract.bbox().grown(-24);
    let plane = |band: &str, p: Plane| coadd.plane(band, p, &inner).unwrap();
    let (psi, phi) = (["g", "r"].map(|b| plane(b, Plane::Psi)), ["g", "r"].map(|b| plane(b, Plane::Phi)));
    let (chi2, red) = (combined.map("chi2", &inner).unwrap(), combined.map("red", &inner).unwrap());
    for (at, chi2) in chi2.indexed_iter() {
        let of = |b: usize| (f64::from(psi[b][at]), f64::from(phi[b][at]));
        let ((g, g_phi), (r, r_phi)) = (of(0), of(1));
        if g_phi + r_phi <= 0.0 {
            assert!(chi2.is_nan() && red[at].is_nan(), "{at:?}: {chi2} without data");
            continue;
        }
        // A band without data, in a saturated core, says nothing.
        let term = |psi: f64, phi: f64| if phi > 0.0 { psi * psi / phi } else { 0.0 };
        assert!((f64::from(*chi2) - term(g, g_phi) - term(r, r_phi)).abs() <= 1e-6 * f64::from(*chi2), "{at:?}");
        let nu = (0.5 * g + r) / (0.25 * g_phi + r_phi).sqrt();
        assert!((f64::from(red[at]) - nu).abs() <= 1e-5 * nu.abs().max(1.0), "{at:?}");
    }
    // The exposures' stamps hold 99 % of the light or more, and where there is data there is an image.
    let stamps = combined.proper_stamps("r", 70, 70).unwrap().unwrap();
    assert!((stamps.psf.sum() - 1.0).abs() < 0.01, "{}", stamps.psf.sum());
    let (image, mask) = (combined.proper_image("r", &inner).unwrap(), combined.proper_mask("r", &inner).unwrap());
    assert!(image.iter().zip(&mask).all(|(z, m)| z.is_nan() == (m & MaskPlane::NoData.bit() != 0)));
}

#[test]
fn bad_settings_are_named() {
    let folder = launch::temporary();
    for (setting, message) in [
        ("combine.floor=2.0", "combine.floor is 2; expected 1e-8..=0.1"),
        ("combine.border_px=3", "combine.border_px is 3"),
        ("combine.multi_band=[\"chi3\"]", "multi_band"),
        ("combine.multi_band=[{ name = \"x\", sed = { u = 1.0 } }]", "combine.multi_band is {\"u\": 1.0}"),
    ] {
        launch::solo(&["combine", launch::SMOKE, "--out", launch::text(folder.path()), "--set", setting]).fails(2, &[message]);
    }
}

//! Every profile against GalSim, every pixel: tests/data/render_golden.json and .gz, made by render_golden.py beside them.
//!
//! `cargo test --release -p fathom-sim --test render_golden -- --nocapture` prints the worst error of each profile.

use fathom::geometry::{Box2, PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom_sim::{Bulge, GaussianMixture, Morphology, Renderer, TruthObject};
use flate2::read::GzDecoder;
use ndarray::{Array2, Axis};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// One pixel is one arcsec, +x east, +y north: sizes and angles of the table are those of the sky.
fn meta(psf: &Value) -> ExposureMeta {
    let number = |key: &str| psf[key].as_f64().unwrap();
    let radius_px = number("radius") as usize;
    let model = if psf["kind"] == "moffat" {
        let (fwhm_px, beta, e1, e2) = (number("fwhm"), number("beta"), number("e1"), number("e2"));
        PsfModel::Moffat { fwhm_px, beta, e1, e2, radius_px, pixel_integrated: false }
    } else {
        let s2 = number("sigma").powi(2);
        PsfModel::GaussianMixture { components: vec![[1.0, 0.0, 0.0, s2, s2, 0.0]], radius_px, pixel_integrated: false }
    };
    let scale = 1.0 / 3600.0;
    ExposureMeta {
        id: ExposureId("golden".into()),
        band: "r".into(),
        mjd: 60_000.0,
        exposure_time_s: 30.0,
        shape: (400, 400),
        psf: Psf::new(model).unwrap(),
        wcs: Wcs::tan(SkyPoint::from_degrees(30.0, 0.0), PixelPoint::new(200.0, 200.0), [[scale, 0.0], [0.0, scale]]).unwrap(),
        photo_calib: PhotoCalib::from_zero_point(27.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.0,
        read_noise_e: 1.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    }
}

fn object(meta: &ExposureMeta, case: &Value) -> TruthObject {
    let or = |key: &str, default| case[key].as_f64().unwrap_or(default);
    let at = PixelPoint::new(200.0 + or("dx", 0.0), 200.0 + or("dy", 0.0));
    let point = TruthObject::point(1, meta.wcs.pixel_to_sky(at), 1.0);
    let extended = TruthObject {
        half_light_radius_arcsec: or("r", 0.0),
        axis_ratio: or("q", 1.0),
        position_angle_deg: or("angle", 0.0),
        sersic_n: or("n", 1.0),
        ..point.clone()
    };
    match case["kind"].as_str().unwrap() {
        "point" => point,
        "de_vaucouleurs" => TruthObject { sersic_n: 4.0, ..extended },
        "composite" => TruthObject {
            bulge: Some(Bulge {
                fraction: or("bulge_fraction", 0.0),
                half_light_radius_arcsec: or("bulge_r", 0.0),
                axis_ratio: or("bulge_q", 1.0),
                sersic_n: or("bulge_n", 4.0),
            }),
            ..extended
        },
        "mixture" => {
            let parts = case["components"].as_array().unwrap();
            let parts: Vec<_> = parts.iter().map(|c| (c[0].as_f64().unwrap(), c[1].as_f64().unwrap())).collect();
            TruthObject { morphology: Morphology::Gaussians(Arc::new(GaussianMixture::new(&parts).unwrap())), ..extended }
        }
        _ => extended,
    }
}

/// The squares of all cases, in steps of the case's peak: second differences, byte by byte, as the script's page says.
fn golden_squares(sides: &[usize]) -> Vec<Array2<f64>> {
    let mut bytes = Vec::new();
    GzDecoder::new(&include_bytes!("../../tests/data/render_golden.gz")[..]).read_to_end(&mut bytes).unwrap();
    let n: usize = sides.iter().map(|s| s * s).sum();
    assert_eq!(bytes.len(), 4 * n);
    let mut differences = (0..n).map(|i| i32::from_le_bytes(std::array::from_fn(|byte| bytes[byte * n + i])));
    let square = |&side: &usize| {
        let mut steps = Array2::from_shape_simple_fn((side, side), || f64::from(differences.next().unwrap()));
        steps.accumulate_axis_inplace(Axis(0), |before, v| *v += before);
        steps.accumulate_axis_inplace(Axis(1), |before, v| *v += before);
        steps
    };
    sides.iter().map(square).collect()
}

/// Worst errors of one profile.
#[derive(Default, Clone, Copy)]
struct Worst {
    n_cases: usize,
    pixel: f64,
    flux: f64,
}

/// Flux in the square to 1e-4 of the total, every pixel to 1e-3 of the peak (5e-3 above n = 4; 1e-5 for point sources): the
/// tolerances that a comparison of two codes with different cuts in Fourier space can be held to.
#[test]
fn pixels_and_fluxes_agree_with_galsim() {
    let golden: Value = serde_json::from_str(include_str!("../../tests/data/render_golden.json")).unwrap();
    let metas: BTreeMap<&str, ExposureMeta> =
        golden["psfs"].as_object().unwrap().iter().map(|(name, psf)| (name.as_str(), meta(psf))).collect();
    let mut worst: BTreeMap<String, Worst> = BTreeMap::new();
    let mut failures = Vec::new();
    let cases = golden["cases"].as_array().unwrap();
    let sides: Vec<usize> = cases.iter().map(|c| c["side"].as_u64().unwrap() as usize).collect();
    for ((case, side), steps) in cases.iter().zip(&sides).zip(golden_squares(&sides)) {
        let side = *side;
        let meta = &metas[case["psf"].as_str().unwrap()];
        let object = object(meta, case);
        // Half a pixel off the centre, the square is around another pixel: two more on either side hold the table's.
        let (drawn_box, drawn) = Renderer::new(meta).render_square(&object, side + 4).unwrap();
        let square = Box2::new(200 - side as i32 / 2, 200 - side as i32 / 2, side as i32, side as i32);
        let stamp = drawn.slice(drawn_box.slice_of(&square));
        let (peak, step) = (case["peak"].as_f64().unwrap(), golden["step"].as_f64().unwrap());
        let pixel = stamp.iter().zip(&steps).map(|(v, n)| (v / peak - n * step).abs()).fold(0.0, f64::max);
        let flux = (stamp.sum() - case["inside"].as_f64().unwrap()).abs();
        let kind = case["kind"].as_str().unwrap();
        let n = case["n"].as_f64();
        let limit = match n {
            _ if kind == "point" => 1e-5,
            Some(n) if n > 4.0 => 5e-3,
            _ => 1e-3,
        };
        if !(pixel <= limit && flux <= 1e-4) {
            failures.push(format!("pixel {pixel:.2e} of the peak, flux {flux:.2e}: {case}"));
        }
        let name = n.map_or(kind.to_owned(), |n| format!("{kind} n = {n}"));
        let entry = worst.entry(name).or_default();
        *entry = Worst { n_cases: entry.n_cases + 1, pixel: entry.pixel.max(pixel), flux: entry.flux.max(flux) };
    }
    println!("| profile | cases | worst pixel / peak | worst flux in the square / total |\n|---|---|---|---|");
    for (name, w) in &worst {
        println!("| {name} | {} | {:.1e} | {:.1e} |", w.n_cases, w.pixel, w.flux);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

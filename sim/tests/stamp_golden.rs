//! A real galaxy's stamp, deconvolved, turned and drawn through another PSF, against GalSim: tests/data/stamp_golden.json, made by
//! stamp_golden.py beside it.

use fathom::geometry::{PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom_sim::{Morphology, Renderer, StampGalaxy, TruthObject};
use ndarray::Array2;
use serde_json::Value;
use std::sync::Arc;

fn array(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> =
        value.as_array().unwrap().iter().map(|r| r.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(j, i)| rows[j][i])
}

/// Every pixel to 1e-3 of the peak, the flux to 1e-4: both codes interpolate the stamp's transform, and end the deconvolution in their own way.
#[test]
fn a_stamp_agrees_with_galsim() {
    let golden: Value = serde_json::from_str(include_str!("../../tests/data/stamp_golden.json")).unwrap();
    let number = |key: &str| golden[key].as_f64().unwrap();
    let stamp = StampGalaxy::new("golden", array(&golden["stamp"]).view(), number("scale"), array(&golden["psf"]).view(), 0.0).unwrap();
    let stamp = Arc::new(stamp);
    let psf = PsfModel::Moffat { fwhm_px: number("fwhm"), beta: number("beta"), e1: 0.0, e2: 0.0, radius_px: 60, pixel_integrated: false };
    let scale = 1.0 / 3600.0;
    let meta = ExposureMeta {
        id: ExposureId("golden".into()),
        band: "r".into(),
        mjd: 60_000.0,
        exposure_time_s: 30.0,
        shape: (400, 400),
        psf: Psf::new(psf).unwrap(),
        // One pixel is one arcsec, +x east, +y north.
        wcs: Wcs::tan(SkyPoint::from_degrees(30.0, 0.0), PixelPoint::new(200.0, 200.0), [[scale, 0.0], [0.0, scale]]).unwrap(),
        photo_calib: PhotoCalib::from_zero_point(27.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.0,
        read_noise_e: 1.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    for case in golden["cases"].as_array().unwrap() {
        let expected = array(&case["pixels"]);
        let object = TruthObject {
            half_light_radius_arcsec: stamp.half_light_radius_arcsec(),
            position_angle_deg: case["angle"].as_f64().unwrap(),
            sersic_n: 1.0,
            morphology: Morphology::Stamp(Arc::clone(&stamp)),
            ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(200.0, 200.0)), 1.0)
        };
        let (drawn_box, drawn) = Renderer::new(&meta).render(&object).unwrap();
        let square = fathom::Box2::new(190, 190, 21, 21);
        let drawn = drawn.slice(drawn_box.slice_of(&square)).to_owned();
        let peak = expected.iter().fold(0.0f64, |m, v| m.max(*v));
        let worst = drawn.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / peak;
        let flux = drawn.sum() - expected.sum();
        println!("stamp at {} degrees: worst pixel {worst:.1e} of the peak, flux in the square {flux:.1e} of the total", case["angle"]);
        assert!(worst < 1e-3 && flux.abs() < 1e-4, "{worst} {flux}");
    }
}

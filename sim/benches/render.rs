//! Speed of the renderer on one thread: time per galaxy, each with its own size, shape, angle and sub-pixel position.
//!
//! `cargo bench -p fathom-sim --bench render`; reports/truth/speed.py sets GalSim beside it.

#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use fathom::geometry::{PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom_sim::{Bulge, Renderer, TruthObject};
use std::time::Duration;

fn meta() -> ExposureMeta {
    let s = 0.2 / 3600.0;
    ExposureMeta {
        id: ExposureId("bench".into()),
        band: "r".into(),
        mjd: 60_000.0,
        exposure_time_s: 30.0,
        shape: (4000, 4000),
        psf: Psf::new(PsfModel::Moffat { fwhm_px: 3.5, beta: 3.5, e1: 0.02, e2: 0.01, radius_px: 24, pixel_integrated: false }).unwrap(),
        wcs: Wcs::tan(SkyPoint::from_degrees(30.0, 0.0), PixelPoint::new(2000.0, 2000.0), [[-s, 0.0], [0.0, s]]).unwrap(),
        photo_calib: PhotoCalib::from_zero_point(27.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.0,
        read_noise_e: 1.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    }
}

/// The i-th of many galaxies: half-light radii of 0.3 to 0.7 arcsec, all shapes.
fn galaxy(meta: &ExposureMeta, i: usize, n: f64) -> TruthObject {
    let t = |step: f64| (i as f64 * step).fract();
    TruthObject {
        half_light_radius_arcsec: 0.3 + 0.4 * t(0.618_034),
        axis_ratio: 0.3 + 0.7 * t(0.414_214),
        position_angle_deg: 180.0 * t(0.732_051),
        sersic_n: n,
        ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(2000.0 + t(0.236_068), 2000.0 + t(0.317_837))), 1000.0)
    }
}

fn render(criterion: &mut Criterion) {
    let meta = meta();
    let renderer = Renderer::new(&meta);
    let mut group = criterion.benchmark_group("render");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30);
    let mut i = 0;
    for (name, n) in [("exponential", 1.0), ("sersic_2.5", 2.5), ("de_vaucouleurs", 4.0)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                i += 1;
                renderer.render_square(&galaxy(&meta, i, n), 64)
            });
        });
    }
    group.bench_function("disc_and_bulge", |b| {
        b.iter(|| {
            i += 1;
            let disc = galaxy(&meta, i, 1.0);
            let bulge = Bulge {
                fraction: 0.3,
                half_light_radius_arcsec: 0.4 * disc.half_light_radius_arcsec,
                axis_ratio: 0.5 + 0.5 * disc.axis_ratio,
                sersic_n: 4.0,
            };
            renderer.render_square(&TruthObject { bulge: Some(bulge), ..disc }, 64)
        });
    });
    // The stamp that holds its light, as in an exposure.
    for (name, n) in [("exponential_whole", 1.0), ("de_vaucouleurs_whole", 4.0)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                i += 1;
                renderer.render(&galaxy(&meta, i, n))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);

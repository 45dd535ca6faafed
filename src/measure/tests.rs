//! What every measurement keeps, and closed forms on drawn sources.

use super::*;
use crate::geometry::{Box2, PixelPoint};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};
use std::collections::BTreeMap;

const SIGMA_PX: f64 = 1.8;
const FWHM_PX: f64 = 2.354_82 * SIGMA_PX;

fn gaussian(x: f64, y: f64) -> f64 {
    (-(x * x + y * y) / (2.0 * SIGMA_PX * SIGMA_PX)).exp() / (std::f64::consts::TAU * SIGMA_PX * SIGMA_PX)
}

fn draw(_: usize, at: PixelPoint) -> Array2<f64> {
    let (px, py) = at.pixel();
    let offset = |i: usize, p: i32, at: f64| i as f64 - 20.0 + f64::from(p) - at;
    Array2::from_shape_fn((41, 41), |(j, i)| gaussian(offset(i, px, at.x), offset(j, py, at.y)))
}

/// A star of the given fluxes in two bands at (50.3, 60.8), seen from a peak 0.4 px off, white noise of variance v.
fn star(fluxes: [f64; 2], v: f64, key: u64) -> SourcePixels<'static> {
    let bbox = Box2::new(20, 30, 61, 61);
    let bands = fluxes
        .iter()
        .enumerate()
        .map(|(b, flux)| {
            let mut rng = keyed_rng(9, "star", key, b as u64);
            let normal = Normal::new(0.0, v.sqrt()).unwrap();
            let image = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
                let light = flux * gaussian(20.0 + i as f64 - 50.3, 30.0 + j as f64 - 60.8);
                (light + if key > 0 { normal.sample(&mut rng) } else { 0.0 }) as f32
            });
            SourceBand {
                band: ["g", "r"][b].into(),
                parent_image_njy: image.clone(),
                image_njy: image,
                variance_njy2: Array2::from_elem(bbox.shape(), v as f32),
                mask: Array2::zeros(bbox.shape()),
                is_psf_valid: Array2::from_elem(bbox.shape(), true),
                correlation: Array2::from_shape_fn((11, 11), |p| f64::from(u8::from(p == (5, 5)))),
                fwhm_px: FWHM_PX,
                ap_corr: BTreeMap::from([("psf_flux".to_owned(), (1.0, false))]),
            }
        })
        .collect();
    SourcePixels { bbox, peak: PixelPoint::new(50.0, 61.1), pixel_scale_arcsec: 0.2, bands, draw_psf: &draw }
}

fn stage() -> MeasureSources {
    MeasureSources::new(&MeasureConfig::default()).unwrap()
}

/// The contract: every announced column is written, numbers or NaN with the flag set, also on nonsense.
#[test]
fn every_column_is_written_whatever_the_pixels() {
    let bands = ["g".to_owned(), "r".to_owned()];
    let mut nothing = star([100.0, 100.0], 1.0, 1);
    for band in &mut nothing.bands {
        band.image_njy.fill(f32::NAN);
        band.variance_njy2.fill(f32::INFINITY);
    }
    let mut negative = star([-500.0, -300.0], 1.0, 1);
    negative.peak = PixelPoint::new(21.0, 31.0);
    for source in [star([1000.0, 500.0], 1.0, 1), nothing, negative] {
        let row = stage().run(&source);
        for column in stage().columns(&bands) {
            let is_there = if column.is_flag { row.flags.contains_key(&column.name) } else { row.values.contains_key(&column.name) };
            assert!(is_there, "{}", column.name);
        }
        assert_eq!(row.values.len() + row.flags.len(), stage().columns(&bands).len());
        for band in &bands {
            assert!(row.values[&format!("{band}_psf_flux")].is_finite() || row.flags[&format!("{band}_psf_flux_flag")]);
        }
    }
}

/// Noiseless star: position, fluxes, moments exact; errors those of King 1983, σ_F² = 4πσ²v, and σ_x² = 8πσ⁴v/F².
#[test]
fn a_noiseless_star_has_closed_forms() {
    let row = stage().run(&star([1000.0, 3000.0], 4.0, 0));
    assert!((row.values["x"] - 50.3).abs() < 2e-4 && (row.values["y"] - 60.8).abs() < 2e-4, "{:?}", row.values);
    let king = (4.0 * std::f64::consts::PI * SIGMA_PX.powi(2) * 4.0).sqrt();
    for (band, flux) in [("g", 1000.0), ("r", 3000.0)] {
        assert!((row.values[&format!("{band}_psf_flux")] / flux - 1.0).abs() < 1e-5);
        assert!((row.values[&format!("{band}_psf_flux_err")] / king - 1.0).abs() < 1e-3);
        let moment = SIGMA_PX.powi(2) * 0.04;
        assert!((row.values[&format!("{band}_moment_xx")] / moment - 1.0).abs() < 1e-3);
        assert!(row.values[&format!("{band}_blendedness")].abs() < 1e-6);
        // 1.0" = 5 px: 1 - exp(-r²/2σ²). Overlaps are the disc smoothed by a pixel, which adds 1/24 ∮ ∂φ/∂r (its second moment).
        let edge = (-25.0 / (2.0 * SIGMA_PX.powi(2))).exp();
        let enclosed = 1.0 - edge - 25.0 * edge / SIGMA_PX.powi(4) / 24.0;
        assert!((row.values[&format!("{band}_aperture_flux_1")] / flux / enclosed - 1.0).abs() < 2e-4);
        assert!((row.values[&format!("{band}_aperture_flux_1_err")] - (std::f64::consts::PI * 25.0 * 4.0).sqrt()).abs() < 1.0);
    }
    let information = (1000.0f64.powi(2) + 3000.0f64.powi(2)) / (8.0 * std::f64::consts::PI * SIGMA_PX.powi(4) * 4.0);
    // A window of 1.5 FWHM loses 1e-3 of the information.
    assert!((row.values["x_err"] * information.sqrt() - 1.0).abs() < 5e-3, "{}", row.values["x_err"] * information.sqrt());
}

/// Pulls of position and flux are unit normals: 400 noisy stars at S/N 28 and 14 per band, bounds 4 sigma.
#[test]
fn pulls_are_unit_normals() {
    let n = 400;
    let rows: Vec<_> = (1..=n).map(|k| stage().run(&star([250.0, 500.0], 4.0, k))).collect();
    let n = n as f64;
    for (name, truth) in [("x", 50.3), ("y", 60.8), ("g_psf_flux", 250.0), ("r_psf_flux", 500.0)] {
        let err = format!("{name}_err");
        let pulls: Vec<f64> = rows.iter().map(|r| (r.values[name] - truth) / r.values[&err]).collect();
        let mean = pulls.iter().sum::<f64>() / n;
        let std = (pulls.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n).sqrt();
        // A flux at a fitted peak is high by 1/ν of its error (two degrees of freedom, shared by S/N² between the bands).
        let expected = if name.ends_with("flux") { 0.04 } else { 0.0 };
        assert!((mean - expected).abs() < 4.0 / n.sqrt(), "{name}: mean {mean}");
        assert!((std - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{name}: std {std}");
    }
}

#[test]
fn unknown_measurements_are_refused() {
    let config = MeasureConfig { algorithms: vec!["magic".into()], ..MeasureConfig::default() };
    assert!(MeasureSources::new(&config).err().unwrap().to_string().contains("measure.algorithms is \"magic\""));
    let config = MeasureConfig { aperture_radii_arcsec: vec![-1.0], ..MeasureConfig::default() };
    assert!(MeasureSources::new(&config).is_err());
}

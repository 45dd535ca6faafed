//! A colour picture of a named field, 2 x 2 arcmin: `picture FIELD OUT.ppm`.
//!
//! One deep exposure each in i, r and g for red, green and blue, on one pointing in one seeing; of `movers`, three nights in r, so that what moves
//! shows in three colours. Brightness by the arcsinh of the mean of the three (Lupton et al. 2004, PASP 116, 133).

use fathom::geometry::{SkyMapConfig, Tract};
use fathom::image::Exposure;
use fathom_sim::{CameraConfig, FieldConfig, blend_fraction, make_truth, plan_exposures, simulate};
use std::time::Instant;

/// Side \[pixel of 0.2 arcsec\]: 2 arcmin.
const SIDE: u32 = 600;
/// Flux per pixel \[nJy\] at which the stretch turns from linear to logarithmic.
const SOFTENING_NJY: f64 = 8.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (field, path) = (arguments.next(), arguments.next());
    let (Some(field), Some(path)) = (field, path) else { return Err("usage: picture FIELD OUT.ppm".into()) };
    let mut config = FieldConfig { field: field.clone(), ..FieldConfig::default() };
    config.grid.galaxy_fraction = 0.5;
    // Brighter than its own default: S/N of 1.4 to 8 is not to be seen.
    (config.grid.faint_snr, config.grid.galaxy_snr) = ([5.0, 10.0], [10.0, 30.0]);
    config.injected.offsets_mag = vec![-4.0, -3.0, -2.0];
    let is_moving = field == "movers";
    let bands: Vec<String> = if is_moving { vec!["r".into()] } else { ["g", "r", "i"].map(String::from).to_vec() };
    let camera = CameraConfig {
        n_exposures: if is_moving { 3 } else { 1 },
        size_px: [SIDE as usize, SIDE as usize],
        dither_arcsec: 0.0,
        rotation_deg: 0.0,
        seeing_arcsec: [0.7, 0.7],
        ellipticity: 0.0,
        // A 5 sigma limit near 27.
        zero_point: 33.5,
        sky_e: [500.0, 500.0],
        zero_point_scatter: 0.0,
        // The bright stars of `scaled` are given by it; of the others nothing may saturate.
        saturation_e: if field == "scaled" { 1e6 } else { 1e9 },
        n_bad_columns: 0,
        hot_pixel_fraction: 0.0,
        cosmic_rays: 0.0,
        background_gradient: 0.0,
        ..CameraConfig::default()
    };
    let tract = Tract::new(&SkyMapConfig { cell_px: SIDE / 4, tract_cells: [4, 4], patches: [1, 1], ..SkyMapConfig::default() })?;
    let seed = 2;
    let plans = plan_exposures(&camera, tract.center(), &bands, seed)?;
    let start = Instant::now();
    let truth = make_truth(&config, &tract, &bands, &fathom_sim::ExposureDepth::of_plans(&plans)?, seed, 0)?;
    println!("{field}: {} objects in {:.2?}", truth.n_rows(), start.elapsed());
    if field == "survey" || field == "crowded" {
        for limit in [24.0, 25.0, 26.0, 27.0] {
            let found = blend_fraction(&truth, "i", 0.7, limit, 0.01)?;
            println!("i < {limit}: {} objects, {:.3} blended at a FWHM of 0.7 arcsec", found.n_objects, found.value());
        }
    }
    let exposures = plans
        .iter()
        .map(|plan| simulate(plan, &camera, &truth, &fathom_sim::StampLibrary::default(), seed, 0))
        .collect::<Result<Vec<_>, _>>()?;
    // Red first: i, r, g by name, and the nights in turn.
    let colour = |name: &str| exposures.iter().find(|e| e.meta.band == name).map(flat);
    let planes: Vec<Vec<f64>> =
        if is_moving { exposures.iter().map(flat).collect() } else { ["i", "r", "g"].iter().filter_map(|b| colour(b)).collect() };
    std::fs::write(path, ppm(&planes))?;
    Ok(())
}

/// Flux \[nJy per pixel\], sky subtracted; rows from north to south.
fn flat(exposure: &Exposure) -> Vec<f64> {
    let (sky, njy) = (exposure.meta.known_sky_adu.unwrap_or(0.0), exposure.meta.photo_calib.mean_njy_per_adu);
    exposure.image.rows().into_iter().rev().flat_map(|row| row.to_vec()).map(|z| (f64::from(z) - sky) * njy).collect()
}

fn ppm(planes: &[Vec<f64>]) -> Vec<u8> {
    let mut bytes = format!("P6\n{SIDE} {SIDE}\n255\n").into_bytes();
    for ((red, green), blue) in planes[0].iter().zip(&planes[1]).zip(&planes[2]) {
        let mean = (red + green + blue) / 3.0;
        let stretch = (mean / SOFTENING_NJY).asinh() / 6.5 / if mean.abs() < 1e-9 { 1.0 } else { mean };
        let scaled: Vec<f64> = [red, green, blue].map(|value| 0.04 + value * stretch).to_vec();
        // A saturated colour keeps its hue.
        let top = scaled.iter().fold(1.0f64, |a, b| a.max(*b));
        bytes.extend(scaled.iter().map(|v| (255.0 * v / top).clamp(0.0, 255.0) as u8));
    }
    bytes
}

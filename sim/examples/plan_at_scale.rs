//! Time and memory of a truth catalog that is scaled to the depth of many exposures: `plan_at_scale N_EXPOSURES SIDE_ARCMIN`.
//!
//! Point sources of known signal to noise every 10 pixels on a square tract that every exposure of one band covers at least partly.

use fathom::geometry::{SkyMapConfig, Tract};
use fathom_sim::{CameraConfig, FieldConfig, Planner, make_truth};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [n_exposures, side_arcmin] = &arguments[..] else { return Err("usage: plan_at_scale N_EXPOSURES SIDE_ARCMIN".into()) };
    let side_arcsec = side_arcmin.parse::<f64>()? * 60.0;
    let cells = (side_arcsec / 0.2 / 64.0).round() as u32;
    let tract = Tract::new(&SkyMapConfig { tract_cells: [cells, cells], patches: [1, 1], ..SkyMapConfig::default() })?;
    let mut camera = CameraConfig { n_exposures: n_exposures.parse()?, size_px: [4000, 4000], ..CameraConfig::default() };
    camera.dither_arcsec = 0.5 * side_arcsec;
    (camera.psf.size_variation, camera.psf.ellipticity_variation) = (0.03, 0.02);
    let bands = ["r".to_owned()];
    let start = Instant::now();
    let plans = Planner::new(&camera, tract.center(), &bands, 1)?.depths(&tract)?;
    println!("{} exposures planned in {:.2?}, {} MB", plans.len(), start.elapsed(), peak_mb()?);
    let mut config = FieldConfig { field: "grid".into(), ..FieldConfig::default() };
    (config.grid.spacing_px, config.grid.jitter_px) = (10.0, 1.0);
    let start = Instant::now();
    let table = make_truth(&config, &tract, &bands, &plans, 1, 0)?;
    println!("{} objects in {:.2?}, {} MB", table.n_rows(), start.elapsed(), peak_mb()?);
    Ok(())
}

/// Largest memory that the process has had \[MB\]; 0 where the system does not say.
fn peak_mb() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    Ok(line.and_then(|l| l.split_whitespace().next()).map_or(Ok(0), str::parse::<usize>)? / 1024)
}

//! What is left of one exposure's sky.

use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::geometry::PixelPoint;
use fathom_validation::assess::{BackgroundResidual, background_table, residual_by_scale};
use ndarray::Zip;

/// Recovered less true background of an exposure; no row where the true sky is not known or the exposure was skipped.
pub fn background(run: &Run, arm: usize, index: usize) -> Result<Table> {
    let name = &run.exposures[index].name;
    let path = run.path(run.exposure_path(arm, name));
    let is_used = run.used_exposures(arm).iter().any(|e| e.name == *name);
    let truth = if is_used { fathom::format::exposure::read_true_background(&path)? } else { None };
    let Some(truth) = truth else { return Ok(background_table(&[])?) };
    let meta = fathom::format::exposure::read_meta(&path)?;
    let visit = fathom::format::visit::read(&run.path(run.visit_path(arm, name)))?;
    let mut residual = truth.image(&meta.bbox());
    Zip::from(&mut residual).and(&visit.background.image(&meta.bbox())).for_each(|r, &found| *r = f64::from(found) - *r);
    let (mean_adu, rms_adu) = residual_by_scale(residual.view());
    let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
    // A constant that was given, not fitted, has no fit noise.
    let n_nodes =
        if run.config.visit.background == fathom::background::BackgroundMode::Mesh { visit.background.nodes_adu.len() } else { 0 };
    Ok(background_table(&[BackgroundResidual {
        exposure: name.clone(),
        band: meta.band.clone(),
        mean_adu,
        rms_adu,
        pixel_sigma_adu: visit.background_variance.at(center).sqrt(),
        njy_arcsec2_per_adu: meta.photo_calib.at(center) / meta.wcs.pixel_area_arcsec2(center),
        n_nodes,
        n_pixels: residual.len(),
    }])?)
}

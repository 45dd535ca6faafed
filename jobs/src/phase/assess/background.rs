//! What is left of one exposure's sky.

use crate::run::Run;
use anyhow::Result;
use fathom::background::{BackgroundMode, ExposureBackground, SolveBackground};
use fathom::catalog::Table;
use fathom::geometry::{PixelPoint, Tract};
use fathom::image::ExposureMeta;
use fathom_validation::assess::{BackgroundResidual, background_table, residual_by_scale};
use ndarray::{Array2, Zip, s};

/// Recovered less true background of an exposure; no row where the true sky is not known or the exposure was skipped.
pub fn background(run: &Run, arm: usize, index: usize) -> Result<Table> {
    let name = &run.exposures[index].name;
    let path = run.path(run.exposure_path(arm, name));
    let is_used = run.used_exposures(arm).iter().any(|e| e.name == *name);
    let truth = if is_used { fathom::format::exposure::read_true_background(&path)? } else { None };
    let Some(truth) = truth else { return Ok(background_table(&[])?) };
    let inputs = run.band_inputs(arm)?;
    let Some((meta, visit)) = inputs.values().flat_map(|band| band.iter()).find(|(meta, _)| meta.id.0 == *name) else {
        return Ok(background_table(&[])?);
    };
    let mut residual = truth.image(&meta.bbox());
    Zip::from(&mut residual).and(&visit.background.image(&meta.bbox())).for_each(|r, &found| *r = f64::from(found) - *r);
    if matches!(visit.background, ExposureBackground::Matched(_)) {
        mask_off_tract(&run.tract, meta, &mut residual);
    }
    let (mean_adu, rms_adu) = residual_by_scale(residual.view());
    let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
    let n_nodes = match &visit.background {
        ExposureBackground::Mesh(mesh) if run.config.visit.background == BackgroundMode::Mesh => mesh.nodes_adu.len(),
        // A constant that was given, not fitted, has no fit noise.
        ExposureBackground::Mesh(_) => 0,
        ExposureBackground::Matched(_) => {
            SolveBackground::new(run.config.solve.clone())?.basis(meta.bbox(), run.config.r#match.amplifiers).n_terms()
        }
    };
    Ok(background_table(&[BackgroundResidual {
        exposure: name.clone(),
        band: meta.band.clone(),
        mean_adu,
        rms_adu,
        pixel_sigma_adu: visit.background_variance.at(center).sqrt(),
        njy_arcsec2_per_adu: meta.photo_calib.at(center) / meta.wcs.pixel_area_arcsec2(center),
        n_nodes,
        n_pixels: residual.iter().filter(|r| !r.is_nan()).count(),
    }])?)
}

/// Side of the squares that are on the tract or not: the smallest scale that is measured \[pixel\].
const SQUARE_PX: usize = 8;

/// Makes what lies off the tract NaN: nothing was matched there.
fn mask_off_tract(tract: &Tract, meta: &ExposureMeta, residual: &mut Array2<f64>) {
    let (ny, nx) = residual.dim();
    for (y, x) in (0..ny).step_by(SQUARE_PX).flat_map(|y| (0..nx).step_by(SQUARE_PX).map(move |x| (y, x))) {
        let (y1, x1) = ((y + SQUARE_PX).min(ny), (x + SQUARE_PX).min(nx));
        let middle = PixelPoint::new((x + x1 - 1) as f64 / 2.0, (y + y1 - 1) as f64 / 2.0);
        let is_on = tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(middle)).is_ok_and(|at| tract.bbox().contains_point(at));
        if !is_on {
            residual.slice_mut(s![y..y1, x..x1]).fill(f64::NAN);
        }
    }
}

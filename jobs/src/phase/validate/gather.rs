//! What validation compares: catalogs, truth with its limits, peaks, all read from the run folder.

use super::borders::Borders;
use crate::config::ExposeMode;
use crate::phase::{Phase, measure::Measure, truth::Truth};
use crate::run::Run;
use anyhow::{Context, Result};
use fathom::catalog::Table;
use fathom::coadd::noise_statistics;
use fathom::detect::{Sed, is_good};
use fathom::geometry::PixelPoint;
use fathom_validation::{ArmData, LayerPeaks, ValidateInput};

/// The catalog of an arm, all batches in order.
pub fn catalog(run: &Run, arm: usize) -> Result<Table> {
    let mut catalog = Table::new();
    for task in Measure.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        catalog.append(fathom::format::table::read(&run.path(&task.path), "catalog")?)?;
    }
    Ok(catalog)
}

/// True objects of an arm with their limits; no columns if the arm has none.
pub fn limits(run: &Run, arm: usize) -> Result<Table> {
    let mut limits = Table::new();
    for task in Truth.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        limits.append(fathom::format::truth_limits::read(&run.path(&task.path))?)?;
    }
    Ok(limits)
}

/// Flux covariances in the true blends of an arm; no columns if the arm has none.
pub fn blend_fisher(run: &Run, arm: usize) -> Result<Table> {
    let mut blends = Table::new();
    for task in Truth.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        let of_batch = fathom::format::truth_limits::read_blend_fisher(&run.path(&task.path))?;
        if !of_batch.columns().is_empty() {
            blends.append(of_batch)?;
        }
    }
    Ok(blends)
}

/// Everything, of all arms.
pub fn gather(run: &Run) -> Result<ValidateInput> {
    let bands = &run.config.run.bands;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let is_injection = run.config.expose.mode == ExposeMode::Inject;
    let first = usize::from(is_injection);
    let mosaic = run.mosaic(first)?;
    let inputs = run.band_inputs(first)?;
    let statistics: Vec<_> = bands.iter().map(|b| noise_statistics(&inputs[b].iter().map(|(m, v)| (m, v)).collect::<Vec<_>>())).collect();
    let mut arms = (0..run.arms.len()).map(|arm| arm_data(run, arm)).collect::<Result<Vec<_>>>()?;
    let control = is_injection.then(|| arms.remove(0));
    let assessed = super::assessed::assessed(run, &arms, first)?;
    Ok(ValidateInput {
        bands: bands.clone(),
        fwhm_arcsec: bands.iter().map(|b| Ok(mosaic.fwhm_px(b)? * scale)).collect::<Result<_>>()?,
        sqrt_l2: statistics.iter().map(|s| s.l2_per_arcsec2.sqrt()).collect(),
        skewness: statistics.iter().map(|s| s.skewness).collect(),
        arms,
        control,
        seed: run.config.run.seed,
        assessed,
    })
}

fn arm_data(run: &Run, arm: usize) -> Result<ArmData> {
    let name = run.arms[arm].name.clone();
    let stage = run.detect_stage()?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let empty = |kind: &fathom::detect::LayerKind| {
        let n_bands = if kind.sed == Sed::Free { run.config.run.bands.len() } else { 1 };
        let threshold = stage.threshold(kind, n_bands);
        LayerPeaks {
            name: kind.name(),
            threshold,
            peaks: vec![],
            negative_peaks: vec![],
            area_arcmin2: 0.0,
            n_bands,
            l2_per_arcsec2: f64::NAN,
        }
    };
    let mut layers: Vec<LayerPeaks> = stage.searched().iter().map(empty).collect();
    let mut n_pixels = vec![0u64; layers.len()];
    for patch in run.tract.patches() {
        let found = fathom::format::layers::read(&run.path(run.piece_path(arm, "layers", &patch.id.to_string())))?;
        for ((to, n), from) in layers.iter_mut().zip(&mut n_pixels).zip(found.layers) {
            let on_sky = |at: PixelPoint, significance: f64| {
                let sky = run.tract.wcs().pixel_to_sky(at);
                [sky.ra_deg(), sky.dec_deg(), significance]
            };
            to.peaks.extend(from.peaks.iter().filter(|p| is_good(p)).map(|p| on_sky(p.at, p.significance)));
            to.negative_peaks.extend(from.negative_peaks.iter().map(|p| on_sky(p.at, p.significance)));
            // Calibrated.
            to.threshold = from.threshold;
            to.l2_per_arcsec2 = from.l2_per_px2 / (scale * scale);
            *n += from.n_pixels;
        }
    }
    // Scaled once: a sum of areas would depend on the number of patches in its last bits.
    for (layer, n) in layers.iter_mut().zip(n_pixels) {
        layer.area_arcmin2 = n as f64 * scale * scale / 3600.0;
    }
    let mut truth = limits(run, arm).with_context(|| format!("truth of {name}"))?;
    let mut catalog = catalog(run, arm)?;
    let borders = Borders::new(run, arm)?;
    for table in [&mut truth, &mut catalog] {
        borders.join(run, table)?;
    }
    Ok(ArmData { truth, blend_fisher: blend_fisher(run, arm)?, catalog, layers, name })
}

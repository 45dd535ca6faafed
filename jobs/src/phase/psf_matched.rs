//! psf_matched: the PSF-matched coadds of all bands of a patch.

use super::{Phase, Task, clip::Clip, deep_background::DeepBackgroundPhase, patch_tasks, visit::Visit};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::artifacts::ExposureClips;
use fathom::coadd::{BandPsfMatcher, MakePsfMatched, PsfMatchedCoadd, PsfMatchedError, TileCoadd};
use fathom::format::FormatError;
use fathom::geometry::Box2;
use fathom::image::ExposureId;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub struct PsfMatched;

/// Either side of the phase may fail.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Coadd(#[from] PsfMatchedError),
}

impl Phase for PsfMatched {
    fn name(&self) -> &'static str {
        "psf-matched"
    }

    fn about(&self) -> &'static str {
        "Stacks the exposures of every band on a patch after bringing each to one PSF ([psf_matched] make = true).\n\nReads: <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/background.h5 if backgrounds are matched, <arm>/clip.h5 if artifacts are looked for.\nWrites: <arm>/psf_matched/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        if !run.config.psf_matched.make {
            return Ok(Vec::new());
        }
        let coadd = &run.config.coadd;
        let config = product_key::section(&(&run.config.psf_matched, &run.config.select, coadd.lanczos_order, coadd.min_kernel_weight));
        let cells = format!("{:?} {} {:?}", run.tract.bbox(), run.config.sky_map.cell_px, run.tract.wcs().cards());
        let (visits, backgrounds, clips) = (Visit.tasks(run)?, DeepBackgroundPhase.tasks(run)?, Clip.tasks(run)?);
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let mut inputs = run.used_keys(arm, &visits);
            inputs.extend(backgrounds.iter().chain(&clips).filter(|t| t.arm == arm).map(|t| t.key.as_str()));
            tasks.extend(patch_tasks(run, arm, "psf_matched", [&config, &cells], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = MakePsfMatched::new(run.config.psf_matched.clone())?;
        let patch = run.tract.patches()[task.index];
        let (inputs, clips) = (run.band_inputs(task.arm)?, run.clips(task.arm)?);
        let make = |band: &str| -> Result<PsfMatchedCoadd, MakeError> {
            let all = &inputs[band];
            let matcher = stage.start(&run.tract, &run.config.coadd, band, all, &patch.bbox)?;
            let paths: Vec<PathBuf> =
                (0..matcher.n_inputs()).map(|i| run.path(run.exposure_path(task.arm, &matcher.meta(i).id.0))).collect();
            let coadd = coadd(&matcher, &paths, &clips, &patch.bbox)?;
            log(task, &coadd);
            Ok(coadd)
        };
        fathom::format::psf_matched::write(&run.path(&task.path), &task.key, &run.config.run.bands, make)?;
        Ok(())
    }
}

/// The coadd of a patch, block by block.
fn coadd(
    matcher: &BandPsfMatcher,
    paths: &[PathBuf],
    clips: &BTreeMap<ExposureId, ExposureClips>,
    patch: &Box2,
) -> Result<PsfMatchedCoadd, FormatError> {
    let of_block = |scratch: &mut fathom::coadd::PairScratch, tiles: &Vec<Box2>| {
        matcher.block(tiles, scratch, |i, needed| {
            let mut exposure = fathom::format::exposure::read_pixels(&paths[i], matcher.meta(i), needed)?;
            if let Some(clips) = clips.get(&exposure.meta.id) {
                clips.apply(&mut exposure);
            }
            exposure.sanitize();
            Ok(exposure)
        })
    };
    let blocks = matcher.blocks(patch);
    // Each block at work holds a matched warp of every exposure: there are as many as threads.
    let made: Vec<Result<Vec<TileCoadd>, FormatError>> =
        blocks.par_iter().with_max_len(1).map_init(|| matcher.scratch(), |scratch, tiles| of_block(scratch, tiles)).collect();
    Ok(matcher.assemble(patch, made.into_iter().collect::<Result<Vec<_>, _>>()?.concat()))
}

fn log(task: &Task, coadd: &PsfMatchedCoadd) {
    let (name, band) = (&task.name, &coadd.band);
    let used = coadd.inputs.iter().filter(|i| i.left_out.is_empty()).count();
    let n_tiles: (u64, u64) = coadd.inputs.iter().fold((0, 0), |n, i| (n.0 + i.n_fitted, n.1 + i.n_not_fitted));
    tracing::info!(
        "{name}, band {band}: {used} exposures to a FWHM of {:.2} px, {:.1} % of the pixels have data, {:.0e} of the covariance lies beyond {} px",
        coadd.target_fwhm_px,
        100.0 * coadd.covered_share(),
        coadd.covariance_lost,
        coadd.covariance.half_width
    );
    if n_tiles != (0, 0) {
        tracing::info!("{name}, band {band}: kernels of {} tiles fitted to pixels, {} with too little light", n_tiles.0, n_tiles.1);
    }
    if !coadd.checks.is_empty() {
        let [core, size, e1, e2] = coadd.psf_summary();
        tracing::info!(
            "{name}, band {band}: PSF less target in {} cells, mean (largest): core flux {:.1e} ({:.1e}), size {:.1e} ({:.1e}), e1 {:.1e} ({:.1e}), e2 {:.1e} ({:.1e})",
            coadd.checks.len(),
            core.0,
            core.1,
            size.0,
            size.1,
            e1.0,
            e1.1,
            e2.0,
            e2.1
        );
    }
    for input in coadd.inputs.iter().filter(|i| !i.left_out.is_empty()) {
        tracing::info!("{name}, band {band}: left out {}: {}", input.id, input.left_out);
    }
}

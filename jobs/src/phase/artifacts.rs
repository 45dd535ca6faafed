//! artifacts: pixels of all exposures of a band that differ from the static sky of a patch.

use super::{Phase, Task, deep_background::DeepBackgroundPhase, patch_tasks, visit::Visit};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::artifacts::{ArtifactsConfig, BandArtifacts, Candidate, FindArtifacts};
use fathom::background::VisitProduct;
use fathom::coadd::PairScratch;
use fathom::format::artifacts::BandCandidates;
use fathom::geometry::Box2;
use fathom::image::ExposureMeta;
use rayon::prelude::*;

pub struct Artifacts;

impl Phase for Artifacts {
    fn name(&self) -> &'static str {
        "artifacts"
    }

    fn about(&self) -> &'static str {
        "Compares every exposure of a band with the static sky of a patch, to find what is in few of them ([artifacts] find = true).\n\nReads: <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/background.h5 if backgrounds are matched.\nWrites: <arm>/artifacts/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let (c, coadd) = (&run.config.artifacts, &run.config.coadd);
        if !c.find {
            return Ok(Vec::new());
        }
        // What only the decisions depend on is in their key.
        let d = ArtifactsConfig::default();
        let searched = ArtifactsConfig {
            sharp_threshold: d.sharp_threshold,
            grow_px: d.grow_px,
            grow_fwhm: d.grow_fwhm,
            max_rate_arcsec_h: d.max_rate_arcsec_h,
            variables: d.variables,
            transients: d.transients,
            movers: d.movers,
            ..c.clone()
        };
        let config = product_key::section(&(searched, coadd.lanczos_order, coadd.min_kernel_weight));
        let cells = format!("{:?} {:?}", run.tract.bbox(), run.tract.wcs().cards());
        let (visits, backgrounds) = (Visit.tasks(run)?, DeepBackgroundPhase.tasks(run)?);
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let mut inputs = run.used_keys(arm, &visits);
            inputs.extend(backgrounds.iter().filter(|t| t.arm == arm).map(|t| t.key.as_str()));
            tasks.extend(patch_tasks(run, arm, "artifacts", [&config, &cells], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = FindArtifacts::new(run.config.artifacts.clone())?;
        let patch = run.tract.patches()[task.index];
        let inputs = run.all_inputs(task.arm)?;
        let mut bands = Vec::new();
        for band in &run.config.run.bands {
            let all = &inputs[band];
            let finder = stage.start(&run.tract, &run.config.coadd, all);
            bands.push(BandCandidates {
                band: band.clone(),
                target_fwhm_px: finder.target_fwhm_px(),
                exposures: all.iter().map(|(meta, _)| meta.id.clone()).collect(),
                candidates: candidates(run, task.arm, &finder, all, &patch.bbox)?,
            });
        }
        fathom::format::artifacts::write(&run.path(&task.path), &task.key, &bands)?;
        Ok(())
    }
}

/// Candidates of a patch, tile by tile.
fn candidates(run: &Run, arm: usize, finder: &BandArtifacts, all: &[(ExposureMeta, VisitProduct)], patch: &Box2) -> Result<Vec<Candidate>> {
    let of_tile = |scratch: &mut PairScratch, tile: &Box2| -> Result<Vec<Candidate>> {
        let mut epochs = Vec::new();
        for (i, (meta, _)) in all.iter().enumerate() {
            let needed = finder.needed(i, tile);
            if !needed.is_empty() {
                let path = run.path(run.exposure_path(arm, &meta.id.0));
                let mut exposure = fathom::format::exposure::read_pixels(&path, meta, &needed)?;
                exposure.sanitize();
                epochs.extend(finder.epoch(i, &exposure, tile, scratch));
            }
        }
        Ok(finder.find(tile, epochs, patch))
    };
    // Each tile at work holds a warp of every exposure: there are as many as threads.
    let found: Vec<Result<Vec<Candidate>>> =
        finder.tiles(patch).par_iter().with_max_len(1).map_init(|| finder.scratch(), |scratch, tile| of_tile(scratch, tile)).collect();
    let found = found.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(finder.prune(found.concat(), patch))
}

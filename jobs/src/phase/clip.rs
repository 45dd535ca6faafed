//! clip: what the candidates of all patches of an arm are, whole, and which pixels of the exposures are left out for it.

use super::{Phase, Task, artifacts::Artifacts};
use crate::product_key;
use crate::run::Run;
use anyhow::{Result, bail};
use fathom::artifacts::{Action, ArtifactClass, Candidate, ClippedFootprint, DecideInput, ExposureClips, decide, on_exposure};
use fathom::background::VisitProduct;
use fathom::footprint::SpanSet;
use fathom::format::clip::BandClips;
use fathom::image::ExposureMeta;
use rayon::prelude::*;

pub struct Clip;

impl Phase for Clip {
    fn name(&self) -> &'static str {
        "clip"
    }

    fn about(&self) -> &'static str {
        "Joins the candidates of all patches to whole footprints, and decides about each: artifact, transient, mover, variable ([artifacts] find = true).\n\nReads: <arm>/artifacts/<patch>.h5 of all patches, calibrations of <arm>/exposures/<id>.h5.\nWrites: <arm>/clip.h5, which every later phase applies."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.artifacts);
        let pieces = Artifacts.tasks(run)?;
        let of_arm = |(arm, a): (usize, &crate::run::Arm)| {
            let inputs: Vec<&str> = pieces.iter().filter(|t| t.arm == arm).map(|t| t.key.as_str()).collect();
            (!inputs.is_empty()).then(|| Task {
                name: a.name.clone(),
                path: run.clip_path(arm),
                extra_paths: vec![],
                key: product_key::key("clip", [config.as_str()].into_iter().chain(inputs)),
                cost: 1.0,
                arm,
                index: 0,
                may_be_skipped: false,
            })
        };
        Ok(run.arms.iter().enumerate().filter_map(of_arm).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let inputs = run.visit_inputs(task.arm)?;
        let mut bands = Vec::new();
        for band in &run.config.run.bands {
            let all = &inputs[band];
            let (candidates, target_fwhm_px) = candidates(run, task.arm, band, all)?;
            let mjds: Vec<f64> = all.iter().map(|(meta, _)| meta.mjd).collect();
            let input = DecideInput {
                candidates,
                mjds: &mjds,
                target_fwhm_px,
                pixel_scale_arcsec: run.tract.config().pixel_scale_arcsec,
                tract: run.tract.bbox(),
            };
            let footprints = decide(&run.config.artifacts, input);
            log(task, band, &footprints);
            let exposures = all.par_iter().enumerate().map(|(i, (meta, _))| (meta.id.clone(), clips(run, i, meta, &footprints))).collect();
            bands.push(BandClips { band: band.clone(), exposures, footprints });
        }
        fathom::format::clip::write(&run.path(&task.path), &task.key, &bands)?;
        Ok(())
    }
}

/// Candidates of all patches, and the FWHM of the PSF that they were found with.
fn candidates(run: &Run, arm: usize, band: &str, all: &[(ExposureMeta, VisitProduct)]) -> Result<(Vec<Candidate>, f64)> {
    let (mut candidates, mut target_fwhm_px) = (Vec::new(), f64::NAN);
    for patch in run.tract.patches() {
        let path = run.path(run.piece_path(arm, "artifacts", &patch.id.to_string()));
        let piece = fathom::format::artifacts::read(&path, band)?;
        if !piece.exposures.iter().eq(all.iter().map(|(meta, _)| &meta.id)) {
            bail!("{}: its exposures are not those of the run folder", path.display());
        }
        candidates.extend(piece.candidates);
        target_fwhm_px = piece.target_fwhm_px;
    }
    Ok((candidates, target_fwhm_px))
}

/// What becomes of the pixels of one exposure.
fn clips(run: &Run, exposure: usize, meta: &ExposureMeta, footprints: &[ClippedFootprint]) -> ExposureClips {
    let pixels = |action: Action| {
        let of_action = footprints.iter().filter(|f| f.exposure == exposure && f.action == action);
        let on_tract = SpanSet::from_spans(of_action.flat_map(|f| f.spans.spans().iter().copied()).collect());
        on_exposure(&run.tract, meta, &on_tract)
    };
    ExposureClips { excluded: pixels(Action::Exclude), suspect: pixels(Action::Flag) }
}

fn log(task: &Task, band: &str, footprints: &[ClippedFootprint]) {
    let count = |class: ArtifactClass| footprints.iter().filter(|f| f.class == class).count();
    let counts: Vec<String> = ArtifactClass::ALL.iter().map(|class| format!("{} {}", count(*class), class.name())).collect();
    tracing::info!("{}, band {band}: {}", task.name, counts.join(", "));
}

//! coadd: the coadds of all bands of a patch.

use super::{Phase, Task, clip::Clip, deep_background::DeepBackgroundPhase, visit::Visit};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::coadd::{BandCoadd, CoaddError, MakeCoadd};
use fathom::format::FormatError;

pub struct Coadd;

/// Either side of the coadd phase may fail.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Coadd(#[from] CoaddError),
}

impl Phase for Coadd {
    fn name(&self) -> &'static str {
        "coadd"
    }

    fn about(&self) -> &'static str {
        "Stacks the exposures of every band on a patch: direct coadd, likelihood maps, PSF inputs, noise covariance.\n\nReads: <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/background.h5 if backgrounds are matched, <arm>/clip.h5 if artifacts are looked for.\nWrites: <arm>/coadd/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.coadd);
        let cells = format!("{:?} {} {:?}", run.tract.bbox(), run.config.sky_map.cell_px, run.tract.wcs().cards());
        let (visits, backgrounds, clips) = (Visit.tasks(run)?, DeepBackgroundPhase.tasks(run)?, Clip.tasks(run)?);
        let mut tasks = Vec::new();
        for (arm, a) in run.arms.iter().enumerate() {
            let mut inputs = run.used_keys(arm, &visits);
            inputs.extend(backgrounds.iter().chain(&clips).filter(|t| t.arm == arm).map(|t| t.key.as_str()));
            for (index, patch) in run.tract.patches().into_iter().enumerate() {
                let bbox = format!("{:?}", patch.bbox);
                let parts = [config.as_str(), &cells, &bbox].into_iter().chain(inputs.iter().copied());
                tasks.push(Task {
                    name: format!("{}/{}", a.name, patch.id),
                    path: run.piece_path(arm, "coadd", &patch.id.to_string()),
                    extra_paths: vec![],
                    key: product_key::key("coadd", parts),
                    cost: patch.bbox.n_pixels() as f64,
                    arm,
                    index,
                    may_be_skipped: false,
                });
            }
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = MakeCoadd::new(run.config.coadd.clone())?;
        let patch = run.tract.patches()[task.index];
        let (inputs, clips) = (run.band_inputs(task.arm)?, run.clips(task.arm)?);
        let make = |band: &str| -> Result<BandCoadd, MakeError> {
            let all: Vec<_> = inputs[band].iter().map(|(m, v)| (m, v)).collect();
            let mut sums = stage.start(&run.tract, &patch, band, &all)?;
            for (i, (meta, visit)) in all.iter().enumerate() {
                let needed = stage.needed(&run.tract, &patch, meta);
                if needed.is_empty() {
                    continue;
                }
                let exposure = run.exposure(task.arm, &meta.id, &needed, &clips)?;
                sums.add(i, &exposure, visit);
            }
            Ok(sums.finish())
        };
        fathom::format::coadd::write(&run.path(&task.path), &task.key, &run.config.run.bands, make)?;
        Ok(())
    }
}

//! coadd: the coadds of all bands of a patch.

use super::{Phase, Task, clip::Clip, deep_background::DeepBackgroundPhase, patch_tasks, visit::Visit};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::background::VisitProduct;
use fathom::coadd::{BandCoadd, CoaddError, CoaddSums, MakeCoadd, SelectConfig, window_step};
use fathom::format::FormatError;
use fathom::format::coadd::{WindowSink, WindowStep};
use fathom::image::ExposureMeta;
use std::collections::BTreeMap;

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
        "Selects the exposures of every band and stacks them on a patch: direct coadd, likelihood maps, PSF inputs, noise covariance.\n\nReads: <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/background.h5 if backgrounds are matched, <arm>/clip.h5 if artifacts are looked for.\nWrites: <arm>/coadd/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&(&run.config.coadd, &run.config.select));
        let cells = format!("{:?} {} {:?}", run.tract.bbox(), run.config.sky_map.cell_px, run.tract.wcs().cards());
        let (visits, backgrounds, clips) = (Visit.tasks(run)?, DeepBackgroundPhase.tasks(run)?, Clip.tasks(run)?);
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let mut inputs = run.used_keys(arm, &visits);
            inputs.extend(backgrounds.iter().chain(&clips).filter(|t| t.arm == arm).map(|t| t.key.as_str()));
            tasks.extend(patch_tasks(run, arm, "coadd", [&config, &cells], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = MakeCoadd::new(run.config.coadd.clone())?;
        let patch = run.tract.patches()[task.index];
        let (inputs, clips) = (run.band_inputs(task.arm)?, run.clips(task.arm)?);
        let decisions = run.decisions(task.arm)?;
        let make = |name: &str, windows: &WindowSink| -> Result<BandCoadd, MakeError> {
            let all: Vec<_> = inputs[name].iter().map(|(m, v)| (m, v)).collect();
            let mut sums = stage.start(&run.tract, &patch, name, &all)?;
            sums.note(decisions[name].clone());
            let add = |sums: &mut CoaddSums, i: usize| -> Result<(), MakeError> {
                let (meta, visit) = all[i];
                let needed = stage.needed(&run.tract, &patch, meta);
                if !needed.is_empty() {
                    sums.add(i, &run.exposure(task.arm, &meta.id, &needed, &clips)?, visit);
                }
                Ok(())
            };
            for (step, members) in steps(&run.config.select, name, &all) {
                let Some(step) = step else {
                    members.into_iter().try_for_each(|i| add(&mut sums, i))?;
                    continue;
                };
                sums.open_window();
                let n_exposures = members.len() as u64;
                // From the first one on: no digits are lost.
                let first = all[members[0]].0.mjd;
                let mean_mjd = first + members.iter().map(|&i| all[i].0.mjd - first).sum::<f64>() / n_exposures as f64;
                members.into_iter().try_for_each(|i| add(&mut sums, i))?;
                if let Some(maps) = sums.close_window() {
                    let days = run.config.select.window_step_days;
                    let (first_mjd, last_mjd) = (step as f64 * days, (step + 1) as f64 * days);
                    windows.put(WindowStep { step, first_mjd, last_mjd, mean_mjd, n_exposures }, &maps)?;
                }
            }
            Ok(sums.finish())
        };
        let names: Vec<String> = run.coadd_names().into_iter().map(|(name, _, _)| name).collect();
        fathom::format::coadd::write(&run.path(&task.path), &task.key, &names, make)?;
        Ok(())
    }
}

/// Exposures in the order in which they are added, by the step of the ladder of time windows that each belongs to; without a ladder, or for
/// another selection than a band's own, all together.
fn steps(config: &SelectConfig, name: &str, all: &[(&ExposureMeta, &VisitProduct)]) -> BTreeMap<Option<i64>, Vec<usize>> {
    let has_windows = config.window_step_days > 0.0 && !name.contains('@');
    let mut steps: BTreeMap<Option<i64>, Vec<usize>> = BTreeMap::new();
    for (i, (meta, _)) in all.iter().enumerate() {
        steps.entry(has_windows.then(|| window_step(meta.mjd, config.window_step_days))).or_default().push(i);
    }
    steps
}

//! deep-background: the background that is left on the deep image, and with it the improved background of every exposure.

use super::{Phase, Task, solve::Solve};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::background::{DeepBackground, SkySample, improved_background};
use fathom::format::background::{BandBackground, StoredSolution};

pub struct DeepBackgroundPhase;

impl Phase for DeepBackgroundPhase {
    fn name(&self) -> &'static str {
        "deep-background"
    }

    fn about(&self) -> &'static str {
        "Models the background that the matched exposures have in common, and hands each its improved one ([match] background = \"matched\").\n\nReads: <arm>/solve.h5, calibrations of <arm>/exposures/<id>.h5.\nWrites: <arm>/background.h5, which every later phase applies."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.deep_background);
        let to_task = |t: Task| {
            let key = product_key::key("deep-background", [config.as_str(), &t.key]);
            Task { path: run.background_path(t.arm), key, ..t }
        };
        Ok(Solve.tasks(run)?.into_iter().map(to_task).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = DeepBackground::new(run.config.deep_background.clone())?;
        let path = run.path(run.arm_path(task.arm, "solve.h5"));
        let of_band = |band: &String| {
            let stored = fathom::format::background::read_solution(&path, band)?;
            background(run, task.arm, &stage, &stored)
        };
        let bands = run.config.run.bands.iter().map(of_band).collect::<Result<Vec<_>>>()?;
        fathom::format::background::write(&run.path(&task.path), &task.key, &bands)?;
        Ok(())
    }
}

fn background(run: &Run, arm: usize, stage: &DeepBackground, stored: &StoredSolution) -> Result<BandBackground> {
    let inputs = run.visit_inputs(arm)?;
    let all = &inputs[&stored.band];
    let solution = &stored.solution;
    let of_group = |g: usize| {
        let sky: Vec<SkySample> = solution.sky.iter().filter(|s| s.group == g).copied().collect();
        stage.run(&run.tract.bbox(), &sky)
    };
    let deep: Vec<_> = (0..solution.groups.len()).map(of_group).collect();
    let mut exposures = std::collections::BTreeMap::new();
    for (group, deep) in solution.groups.iter().zip(&deep) {
        for &i in &group.members {
            let meta = &all[i].0;
            let basis = fathom::background::DetectorBasis { bbox: meta.bbox(), order: stored.order, amplifiers: stored.amplifiers };
            let difference = basis.model(&solution.coefficients_adu[i]);
            let polynomial = deep.as_ref().map(|d| &d.model_njy);
            let improved = improved_background(&run.tract, meta, stored.levels_adu[i], difference, polynomial);
            exposures.insert(meta.id.clone(), improved);
        }
    }
    Ok(BandBackground { band: stored.band.clone(), deep, exposures })
}

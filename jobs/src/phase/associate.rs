//! associate: parents of the whole tract, from the layers of all patches.

use super::{Phase, Task, detect::Detect, keys_of};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::associate::AssociatePeaks;

pub struct Associate;

impl Phase for Associate {
    fn name(&self) -> &'static str {
        "associate"
    }

    fn about(&self) -> &'static str {
        "Joins footprints and peaks of all layers and patches to parents.\n\nReads: <arm>/layers/<patch>.h5 of all patches.\nWrites: <arm>/parents.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.associate);
        let task = |arm: usize| {
            let inputs = keys_of(&Detect, run, arm)?;
            Ok(Task {
                name: run.arms[arm].name.clone(),
                path: run.parents_path(arm),
                extra_paths: vec![],
                key: product_key::key("associate", [config.as_str()].into_iter().chain(inputs.iter().map(String::as_str))),
                cost: 1.0,
                arm,
                index: 0,
                may_be_skipped: false,
            })
        };
        (0..run.arms.len()).map(task).collect()
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = AssociatePeaks::new(run.config.associate.clone())?;
        let path = |p: &fathom::geometry::Patch| run.path(run.piece_path(task.arm, "layers", &p.id.to_string()));
        let read = |p: &fathom::geometry::Patch| Ok(fathom::format::layers::read(&path(p))?.layers);
        let patches = run.tract.patches().iter().map(read).collect::<Result<Vec<_>>>()?;
        let (parents, peaks) = stage.run(&patches, &run.tract.bbox(), run.mean_fwhm_px(task.arm)?);
        fathom::format::parents::write(&run.path(&task.path), &task.key, &parents, &peaks)?;
        Ok(())
    }
}

//! seams: which footprints of a patch may go on in other patches.

use super::associate::{AssociateInput, peaks_of, settings_key};
use super::{Phase, Task, detect::Detect};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;

pub struct Seams;

impl Phase for Seams {
    fn name(&self) -> &'static str {
        "seams"
    }

    fn about(&self) -> &'static str {
        "Finds the footprints of a patch that may go on in other patches: all that association must know of it elsewhere.\n\nReads: <arm>/layers/<patch>.h5.\nWrites: <arm>/seams/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = settings_key(run)?;
        let to_task = |t: Task| Task {
            path: run.piece_path(t.arm, "seams", &run.tract.patches()[t.index].id.to_string()),
            key: product_key::key("seams", [config.as_str(), &t.key]),
            cost: 1.0,
            ..t
        };
        Ok(Detect.tasks(run)?.into_iter().map(to_task).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let input = AssociateInput::new(run, task.arm)?;
        let patch = run.tract.patches()[task.index].bbox;
        let seam = input.stage.seam(&peaks_of(run, task.arm, task.index)?, &patch, &input.field(run));
        fathom::format::seams::write(&run.path(&task.path), &task.key, &seam)?;
        Ok(())
    }
}

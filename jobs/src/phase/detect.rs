//! detect: the detection layers of a patch.

use super::{Phase, Task, coadd::Coadd};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;

pub struct Detect;

impl Phase for Detect {
    fn name(&self) -> &'static str {
        "detect"
    }

    fn about(&self) -> &'static str {
        "Finds above-threshold pixels and peaks in every detection layer of a patch.\n\nReads: <arm>/coadd/<patch>.h5 and its neighbours' margins.\nWrites: <arm>/layers/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.detect);
        let coadds = Coadd.tasks(run)?;
        let with_margin = |t: &Task| {
            // Margins come from the neighbours: any coadd of the arm may change them.
            let inputs = coadds.iter().filter(|c| c.arm == t.arm).map(|c| c.key.as_str());
            let key = product_key::key("detect", [config.as_str(), &t.key].into_iter().chain(inputs));
            let patch = run.tract.patches()[t.index].id.to_string();
            Task { path: run.piece_path(t.arm, "layers", &patch), key, ..t.clone() }
        };
        Ok(coadds.iter().map(with_margin).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = run.detect_stage()?;
        let inner = run.tract.patches()[task.index].bbox;
        let layers = stage.run(&run.mosaic(task.arm)?, &*run.detect_frame(task.arm)?, &inner)?;
        fathom::format::layers::write(&run.path(&task.path), &task.key, &layers)?;
        Ok(())
    }
}

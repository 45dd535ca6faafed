//! sky-objects: random blank positions, measured like sources.

use super::{Phase, Task, associate::Associate, detect::Detect, keys_of, measure, patch_tasks};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;

pub struct SkyObjects;

impl Phase for SkyObjects {
    fn name(&self) -> &'static str {
        "sky-objects"
    }

    fn about(&self) -> &'static str {
        "Measures the random blank positions of a patch like sources ([detect] sky_objects_per_arcmin2 > 0).\n\nReads: <arm>/layers/<patch>.h5, <arm>/parents/<patch>.h5, <arm>/coadd/<patch>.h5, PSFs of <arm>/exposures and <arm>/visit.\nWrites: <arm>/sky_objects/<patch>.h5, with the columns of the catalog."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        if run.config.detect.sky_objects_per_arcmin2 <= 0.0 {
            return Ok(tasks);
        }
        let config = product_key::section(&run.config.measure);
        for arm in 0..run.arms.len() {
            let (layers, parents) = (keys_of(&Detect, run, arm)?, keys_of(&Associate, run, arm)?);
            let inputs: Vec<&str> = layers.iter().chain(&parents).map(String::as_str).collect();
            tasks.extend(patch_tasks(run, arm, "sky_objects", [&config, ""], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let patch = run.tract.patches()[task.index].id.to_string();
        let found = fathom::format::layers::read(&run.path(run.piece_path(task.arm, "layers", &patch)))?;
        let pixels: Vec<(i32, i32)> = found.sky_objects.iter().map(|s| s.pixel).collect();
        let table = measure::measure_blank(run, task.arm, &pixels)?;
        fathom::format::table::write(&run.path(&task.path), &task.key, "sky_objects", &table)?;
        Ok(())
    }
}

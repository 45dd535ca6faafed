//! visit: background, background variance, stars and aperture correction of every exposure.

use super::{Phase, Task, expose::Expose, expose::skip_or_fail};
use crate::product_key;
use crate::run::{Run, skip_marker};
use anyhow::{Context, Result};
use fathom::background::CharacterizeVisit;

pub struct Visit;

impl Phase for Visit {
    fn name(&self) -> &'static str {
        "visit"
    }

    fn about(&self) -> &'static str {
        "Characterises every exposure: background mesh, smooth background variance, stars, aperture correction.\n\nReads: <arm>/exposures/<id>.h5.\nWrites: <arm>/visit/<id>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.visit);
        let to_task = |t: Task| {
            let name = &run.exposures[t.index].name;
            Task { path: run.visit_path(t.arm, name), key: product_key::key("visit", [config.as_str(), &t.key]), extra_paths: vec![], ..t }
        };
        Ok(Expose.tasks(run)?.into_iter().map(to_task).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let path = run.path(run.exposure_path(task.arm, &run.exposures[task.index].name));
        if run.options.skip_bad_exposures && skip_marker(&path).exists() {
            fathom::format::product::write_text(&skip_marker(&run.path(&task.path)), &format!("{}\nnot exposed\n", task.key))?;
            return Ok(());
        }
        let made = (|| {
            let mut exposure = fathom::format::exposure::read(&path, None)?;
            let counts = exposure.sanitize();
            if counts.n_not_finite + counts.n_bad_variance > 0 {
                let (a, b) = (counts.n_not_finite, counts.n_bad_variance);
                tracing::info!("exposure {}: masked {a} pixels that are no numbers and {b} without a positive variance", exposure.meta.id);
            }
            let product =
                CharacterizeVisit::new(run.config.visit.clone())?.run(&exposure, counts).with_context(|| format!("{}", path.display()))?;
            fathom::format::visit::write(&run.path(&task.path), &task.key, &product)?;
            Ok(())
        })();
        skip_or_fail(run, task, made)
    }
}

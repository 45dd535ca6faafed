//! expose: every exposure of every arm, simulated, imported, or real with sources injected.

use super::{Phase, Task, sky::Sky};
use crate::config::ExposeMode;
use crate::product_key;
use crate::run::{Run, Source, skip_marker};
use anyhow::{Context, Result};
use fathom::catalog::Table;
use fathom::image::{Exposure, ExposureId, ExposureMeta, TrueBackground};

pub struct Expose;

impl Phase for Expose {
    fn name(&self) -> &'static str {
        "expose"
    }

    fn about(&self) -> &'static str {
        "Makes the exposures: simulated, imported from files, or real ones with sources injected.\n\nReads: <arm>/truth.h5; with [expose] mode import or inject the files of the layout or folder.\nWrites: <arm>/exposures/<id>.h5; <arm>/drawn/<id>.h5: the objects drawn on it, as they were at its time."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let sky = Sky.tasks(run)?;
        let c = &run.config.expose;
        let mut mode = product_key::section(&c.mode);
        if c.mode == ExposeMode::Inject {
            mode += &product_key::section(&c.injection);
        }
        let mut tasks = Vec::new();
        for (arm, a) in run.arms.iter().enumerate() {
            // Imported pixels do not depend on the truth that came with them.
            let is_drawn =
                run.config.expose.mode == ExposeMode::Simulate || (run.config.expose.mode == ExposeMode::Inject && a.realisation.is_some());
            let truth = sky.iter().find(|t| t.arm == arm && is_drawn).map_or("", |t| t.key.as_str());
            for (index, e) in run.exposures.iter().enumerate() {
                tasks.push(Task {
                    name: format!("{}/{}", a.name, e.name),
                    path: run.exposure_path(arm, &e.name),
                    extra_paths: if is_drawn { vec![run.piece_path(arm, "drawn", &e.name)] } else { vec![] },
                    key: product_key::key("expose", [run.settings_key(), &mode, truth, &e.input_key, &e.name]),
                    cost: 1.0,
                    arm,
                    index,
                    may_be_skipped: true,
                });
            }
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let made = self.make(run, task).and_then(|made| {
            if let (Some(path), Some(drawn)) = (task.extra_paths.first(), &made.drawn) {
                fathom::format::table::write(&run.path(path), &task.key, "drawn", drawn)?;
            }
            // The exposure itself comes last: with it the task is done.
            Ok(fathom::format::exposure::write_simulated(&run.path(&task.path), &task.key, &made.exposure, made.background.as_ref())?)
        });
        skip_or_fail(run, task, made)
    }
}

/// An exposure and what is known of it because it was made here.
struct Made {
    exposure: Exposure,
    background: Option<TrueBackground>,
    /// Objects drawn or injected, as they were at its time.
    drawn: Option<Table>,
}

impl Expose {
    fn make(&self, run: &Run, task: &Task) -> Result<Made> {
        let c = &run.config;
        let entry = &run.exposures[task.index];
        let arm = &run.arms[task.arm];
        // Of a catalog of any size only what is near the exposure comes into memory.
        let truth = |meta: &ExposureMeta| {
            let (center, radius_arcsec) = fathom_sim::reach(meta);
            fathom::format::truth::read_near(&run.path(run.truth_path(task.arm)), center, radius_arcsec)
        };
        let (mut exposure, background) = match &entry.source {
            Source::Plan(planner) => {
                let plan = planner.plan(&ExposureId(entry.name.clone()))?;
                let (near, stamps) = (truth(&plan.meta)?, run.stamps()?);
                let exposure = fathom_sim::simulate(&plan, &c.camera, &near, &stamps, c.run.seed, arm.realisation.unwrap_or(0))?;
                let drawn = Some(fathom_sim::drawn(&plan.meta, &near, &stamps)?);
                return Ok(Made { exposure, background: Some(plan.background), drawn });
            }
            Source::Item(layout, item) => (layout.load(item)?, None),
            Source::File(path) => (fathom::format::exposure::read(path, None)?, fathom::format::exposure::read_true_background(path)?),
        };
        exposure.meta.id = ExposureId(entry.name.clone());
        let mut drawn = None;
        if let Some(realisation) = arm.realisation.filter(|_| c.expose.mode == ExposeMode::Inject) {
            let (near, stamps) = (truth(&exposure.meta)?, run.stamps()?);
            fathom_sim::inject(&mut exposure, &near, &c.expose.injection, &stamps, c.run.seed, realisation)
                .with_context(|| format!("injecting into {}", entry.name))?;
            drawn = Some(fathom_sim::drawn(&exposure.meta, &near, &stamps)?);
        }
        Ok(Made { exposure, background, drawn })
    }
}

/// With `--skip-bad-exposures` an error becomes a note beside the place of the product, else it stands.
pub fn skip_or_fail(run: &Run, task: &Task, result: Result<()>) -> Result<()> {
    let marker = skip_marker(&run.path(&task.path));
    match result {
        Ok(()) => {
            let _ = std::fs::remove_file(marker);
            Ok(())
        }
        Err(e) if run.options.skip_bad_exposures => {
            tracing::info!("skipped {}: {e:#}", task.name);
            fathom::format::product::write_text(&marker, &format!("{}\n{e:#}\n", task.key))?;
            Ok(())
        }
        Err(e) => Err(e),
    }
}

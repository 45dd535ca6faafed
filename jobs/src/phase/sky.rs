//! sky: the truth catalog of every arm, drawn from a field or taken over with the exposures.

use super::{Phase, Task};
use crate::config::ExposeMode;
use crate::product_key;
use crate::run::{Run, Source};
use anyhow::{Context, Result};
use fathom::catalog::Table;
use std::path::Path;

pub struct Sky;

impl Phase for Sky {
    fn name(&self) -> &'static str {
        "sky"
    }

    fn about(&self) -> &'static str {
        "Draws the truth catalog of every arm.\n\nReads: the configuration ([sky], [camera]), or the truth that an import brings.\nWrites: <arm>/truth.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let c = &run.config;
        let mut settings = c.sky.clone();
        // By content, below: a folder may be moved.
        [&mut settings.catalog.file, &mut settings.stamps, &mut settings.injected.near_file].into_iter().for_each(String::clear);
        let sky = product_key::section(&settings);
        // The layout of patches is bookkeeping: it must be in no key of what does not depend on it.
        let tract = format!("{:?} {:?}", run.tract.bbox(), run.tract.wcs().cards());
        // The name of a file says nothing of what it holds.
        let is_near = c.sky.field == "injected" && c.sky.injected.placement == fathom_sim::Placement::Near;
        let near = if is_near && c.expose.mode != ExposeMode::Import {
            let path = Path::new(&c.sky.injected.near_file);
            product_key::file(path).with_context(|| format!("sky.injected.near_file: {}", path.display()))?
        } else {
            String::new()
        };
        let stamps = if c.sky.stamps.is_empty() {
            String::new()
        } else {
            product_key::file(Path::new(&c.sky.stamps)).with_context(|| format!("sky.stamps: {}", c.sky.stamps))?
        };
        let catalog = if c.sky.field == "catalog" && c.expose.mode != ExposeMode::Import {
            let path = Path::new(&c.sky.catalog.file);
            product_key::file(path).with_context(|| format!("sky.catalog.file: {}", path.display()))?
        } else {
            String::new()
        };
        let inputs: Vec<&str> = run.exposures.iter().map(|e| e.input_key.as_str()).collect();
        Ok((0..run.arms.len())
            .filter(|&arm| run.has_truth(arm))
            .map(|arm| {
                let parts = [run.settings_key(), sky.as_str(), &tract, &run.arms[arm].name, &catalog, &stamps, &near];
                Task {
                    name: run.arms[arm].name.clone(),
                    path: run.truth_path(arm),
                    extra_paths: vec![],
                    key: product_key::key("sky", parts.into_iter().chain(inputs.iter().copied())),
                    cost: 1.0,
                    arm,
                    index: 0,
                    may_be_skipped: false,
                }
            })
            .collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let c = &run.config;
        let truth = if c.expose.mode == ExposeMode::Import {
            imported_truth(run)?
        } else {
            let depths = match run.exposures.first().map(|e| &e.source) {
                Some(Source::Plan(planner)) if c.sky.needs_exposures() => planner.depths(&run.tract)?,
                _ => Vec::new(),
            };
            let realisation = run.arms[task.arm].realisation.unwrap_or(0);
            let truth = fathom_sim::make_truth(&c.sky, &run.tract, &c.run.bands, &depths, c.run.seed, realisation)?;
            if ["catalog", "injected"].contains(&c.sky.field.as_str()) {
                // What only the drawing of an object would notice should not wait for the exposures.
                let what =
                    if c.sky.field == "catalog" { format!("sky.catalog.file: {}", c.sky.catalog.file) } else { "sky.injected".into() };
                for band in &c.run.bands {
                    fathom_sim::TruthObject::of_table_with(&truth, band, c.camera.cadence.start_mjd, run.stamps()?.as_ref())
                        .with_context(|| what.clone())?;
                }
            }
            truth
        };
        fathom::format::truth::write(&run.path(&task.path), &task.key, &truth)?;
        Ok(())
    }
}

/// Truth that came with the exposures; a table without columns if there is none.
fn imported_truth(run: &Run) -> Result<Table> {
    let bands = &run.config.run.bands;
    let truth = match &run.layout {
        Some(layout) => layout.truth()?,
        None => {
            let path = Path::new(&run.config.expose.folder).join("truth.h5");
            path.is_file().then(|| fathom::format::table::read(&path, "truth")).transpose()?
        }
    };
    match truth {
        Some(table) => {
            fathom::format::truth::check(&table, bands).context("truth catalog of the import")?;
            Ok(table)
        }
        None => Ok(Table::new()),
    }
}

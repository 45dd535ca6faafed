//! validate: catalog against truth: metrics, plots, report.

mod gather;
mod report;

use super::{Phase, Task, detect::Detect, measure::Measure, truth::Truth};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom_validation::{MetricsFile, RunInfo, validate};
use std::path::PathBuf;

pub use gather::{blend_fisher, catalog, limits};

pub struct Validate;

impl Phase for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn about(&self) -> &'static str {
        "Compares the catalog with the truth.\n\nReads: <arm>/catalog, <arm>/limits, <arm>/layers, <arm>/parents.h5, <arm>/coadd.\nWrites: validation.h5 (matches), metrics.json, report/index.html."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let c = &run.config;
        let (config, name) = (product_key::section(&c.validate), product_key::section(&c.run));
        let mut inputs = Vec::new();
        for phase in [&Measure as &dyn Phase, &Truth, &Detect] {
            inputs.extend(phase.tasks(run)?.into_iter().map(|t| t.key));
        }
        let key = product_key::key("validate", [config.as_str(), &name].into_iter().chain(inputs.iter().map(String::as_str)));
        Ok(vec![Task {
            name: "all".into(),
            path: PathBuf::from("validation.h5"),
            extra_paths: vec!["metrics.json".into(), "report/index.html".into(), "report".into()],
            key,
            cost: 1.0,
            arm: 0,
            index: 0,
            may_be_skipped: false,
        }])
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let input = gather::gather(run)?;
        let validated = validate(&run.config.validate, &input)?;
        let exposures: Vec<String> = crate::phase::expose::Expose.tasks(run)?.into_iter().map(|t| t.key).collect();
        let metrics = MetricsFile {
            schema: 1,
            run: RunInfo {
                name: run.config.run.name.clone(),
                bands: run.config.run.bands.clone(),
                config_hash: product_key::section(&run.config),
                exposures_key: product_key::key("exposures", exposures.iter().map(String::as_str)),
            },
            metrics: validated.metrics.clone(),
        };
        report::report(run, &input, &validated, &metrics)?;
        fathom::format::product::write_text(&run.path("metrics.json"), &(serde_json::to_string_pretty(&metrics)? + "\n"))?;
        fathom::format::table::write(&run.path(&task.path), &task.key, "matches", &validated.matches)?;
        Ok(())
    }
}

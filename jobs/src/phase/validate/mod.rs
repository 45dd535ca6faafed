//! validate: catalog against truth: metrics, plots, report.

mod assessed;
mod borders;
mod gather;
mod report;

use super::{Phase, Task, assess::Assess, detect::Detect, measure::Measure, truth::Truth};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::format::product::write_text;
use fathom_validation::{MetricsFile, PlotsFile, RunInfo, ValidateConfig, validate};
use std::path::PathBuf;

pub use gather::{blend_fisher, catalog, limits};
pub use report::report;

pub struct Validate;

impl Phase for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn about(&self) -> &'static str {
        "Compares the catalog with the truth.\n\nReads: <arm>/catalog, <arm>/limits, <arm>/layers, <arm>/assess, <arm>/parents, <arm>/coadd.\nWrites: validation.h5 (matches, blends, worst_blends, backgrounds, depths, psf_stars, noise), metrics.json, plots.json, report/index.html, report/report.md, report/plots/*."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let c = &run.config;
        // Requirements by content, not by name: the file may be moved.
        let settings = ValidateConfig { requirements: String::new(), ..c.validate.clone() };
        let (config, name) = (product_key::section(&settings), product_key::section(&c.run));
        let requirements = c.requirements_text()?;
        let mut inputs = Vec::new();
        for phase in [&Measure as &dyn Phase, &Truth, &Detect, &Assess] {
            inputs.extend(phase.tasks(run)?.into_iter().map(|t| t.key));
        }
        let key =
            product_key::key("validate", [config.as_str(), &name, &requirements].into_iter().chain(inputs.iter().map(String::as_str)));
        Ok(vec![Task {
            name: "all".into(),
            path: PathBuf::from("validation.h5"),
            extra_paths: ["metrics.json", "plots.json", "report/index.html", "report"].map(PathBuf::from).into(),
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
            notes: validated.notes.clone(),
            metrics: validated.metrics.clone(),
            requirements: run.config.requirements()?.judge(&validated.metrics)?,
        };
        // The page is drawn from these files and finished last: without it the task is not done.
        let _ = std::fs::remove_dir_all(run.path("report"));
        write_text(&run.path("metrics.json"), &(serde_json::to_string_pretty(&metrics)? + "\n"))?;
        write_text(&run.path("plots.json"), &(serde_json::to_string(&PlotsFile::new(validated.plots))? + "\n"))?;
        let (blends, assessed) = (assessed::blends_of_all(&input)?, &input.assessed);
        let tables = [
            ("matches", &validated.matches),
            ("blends", &blends),
            ("worst_blends", &validated.worst_blends),
            ("backgrounds", &assessed.backgrounds),
            ("depths", &assessed.depths),
            ("psf_stars", &assessed.psf_stars),
            ("noise", &assessed.noise),
        ];
        fathom::format::table::write_all(&run.path(&task.path), &task.key, &tables)?;
        report::report(run)
    }
}

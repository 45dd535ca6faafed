//! `fathom compare`: runs on the same pixels, object by object.

use crate::command::catalog::arm_of;
use crate::command::status::open;
use crate::config::ConfigError;
use crate::phase::catalog_and_truth;
use crate::run::Run;
use anyhow::{Context, Result};
use fathom::catalog::Table;
use fathom::format::table;
use fathom_validation::{ArmTables, CompareError, CompareOptions, ComparedRun, MetricsFile, compare, write_comparison};
use std::path::{Path, PathBuf};

/// Compares all runs with the first and writes the page.
pub fn compare_runs(folders: &[PathBuf], out: Option<&Path>) -> Result<()> {
    let opened = folders.iter().map(|f| open(f)).collect::<Result<Vec<_>>>()?;
    let names = names(folders);
    let runs = opened.iter().zip(&names).map(|(run, name)| compared(run, name)).collect::<Result<Vec<_>>>()?;
    let first = &opened[0];
    let options = CompareOptions {
        fwhm_arcsec: first.mean_fwhm_px(arm_of(first, None)?)? * first.config.sky_map.pixel_scale_arcsec,
        seed: first.config.run.seed,
        n_bootstrap: first.config.validate.n_bootstrap,
    };
    let comparisons =
        runs[1..].iter().map(|other| compare(&runs[0], other, &options)).collect::<Result<Vec<_>, _>>().map_err(|e| match e {
            // Such runs are no input for this command.
            CompareError::OtherPixels { .. } | CompareError::OtherMeasure { .. } => anyhow::Error::from(ConfigError(e.to_string())),
            _ => e.into(),
        })?;
    let default = PathBuf::from(format!("compare-{}", names.join("-")));
    let out = out.unwrap_or(&default);
    let command = format!("fathom compare {}", folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" "));
    for line in write_comparison(out, &runs, &comparisons, &command)? {
        println!("{line}");
    }
    println!("report: {}", out.join("index.html").display());
    Ok(())
}

/// Names of the folders themselves; two of the same name get a number.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (i, folder) in folders.iter().enumerate() {
        let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.clone());
        let name = whole.file_name().map_or_else(|| format!("run{i}"), |n| n.to_string_lossy().into_owned());
        names.push(if names.contains(&name) { format!("{name}-{}", i + 1) } else { name });
    }
    names
}

/// metrics.json of a run.
pub fn metrics_of(run: &Run) -> Result<MetricsFile> {
    let path = run.path("metrics.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}: the run is not validated", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
}

fn compared(run: &Run, name: &str) -> Result<ComparedRun> {
    let matches = table::read(&run.path("validation.h5"), "matches")?;
    let blends = table::read(&run.path("validation.h5"), "blends").ok();
    let mut arms = Vec::new();
    for (i, arm) in run.arms.iter().enumerate().filter(|(i, _)| run.has_truth(*i)) {
        let (catalog, truth) = catalog_and_truth(run, i)?;
        if truth.columns().is_empty() {
            continue;
        }
        let blends = blends.as_ref().map(|b| rows_of(b, &arm.name)).transpose()?;
        arms.push(ArmTables { name: arm.name.clone(), truth, catalog, matches: rows_of(&matches, &arm.name)?, blends });
    }
    if arms.is_empty() {
        return Err(ConfigError(format!(
            "{} has no truth; expected runs with truth, which alone says what is better",
            run.folder.display()
        ))
        .into());
    }
    let settings: toml::Table = toml::from_str(&run.config.to_toml())?;
    let mut flat = Vec::new();
    flatten("", &toml::Value::Table(settings), &mut flat);
    Ok(ComparedRun { name: name.to_owned(), metrics: metrics_of(run)?, settings: flat, arms })
}

/// Rows of a table that are of an arm; all if it does not say.
pub fn rows_of(table: &Table, arm: &str) -> Result<Table> {
    if table.columns().is_empty() || !table.has("arm") {
        return Ok(table.clone());
    }
    let rows: Vec<usize> = table.text("arm")?.iter().enumerate().filter(|(_, a)| *a == arm).map(|(i, _)| i).collect();
    Ok(table.take(&rows))
}

/// Dotted keys and values.
fn flatten(prefix: &str, value: &toml::Value, out: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, out);
            }
        }
        other => out.push((prefix.to_owned(), other.to_string())),
    }
}

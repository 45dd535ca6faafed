//! The report, made of what the run folder holds: the same by the validate phase and by `fathom report`.

mod backgrounds;
mod binned;
mod blends;
mod exposures;
mod field;
mod maps;
mod selection;

use crate::config::ExposeMode;
use crate::run::Run;
use anyhow::{Context, Result};
use fathom::catalog::Table;
use fathom_validation::report::{RunReport, write_document};
use fathom_validation::{MetricsFile, PlotsFile};
use std::collections::BTreeMap;

/// Writes `report/` from metrics.json, plots.json, validation.h5 and the products.
pub fn report(run: &Run) -> Result<()> {
    let metrics: MetricsFile = read_json(run, "metrics.json")?;
    let plots: PlotsFile = read_json(run, "plots.json")?;
    let shown = Shown::read(run)?;
    let (blends, blends_note) = blends::worst(run, &shown)?;
    let mut maps = maps::maps(run, shown.arm)?;
    maps.extend(backgrounds::before_and_after(run, shown.arm)?);
    let document = RunReport {
        title: run.config.run.name.clone(),
        facts: facts(run, &shown, &metrics)?,
        metrics,
        plots: plots.plots,
        maps,
        field: Some(field::field(run, &shown)?),
        blends,
        blends_note,
        stage_texts: vec![exposures::table(run, shown.arm)?, selection::table(run, shown.arm)?, maps::mask_table(run, shown.arm)?],
        skipped: run.skipped(),
        config: run.config.to_toml(),
        provenance: provenance(run)?,
        timing: crate::command::run::read_timing(run).into_iter().map(|t| (t.phase, t.n_tasks, t.seconds)).collect(),
    }
    .document();
    // Files of a report that was taken over are links: another run's must not be written into.
    let folder = run.path("report");
    let _ = std::fs::remove_dir_all(&folder);
    Ok(write_document(&folder, &document)?)
}

fn read_json<T: serde::de::DeserializeOwned>(run: &Run, name: &str) -> Result<T> {
    let path = run.path(name);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{}: the report is drawn from it; run validate first", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The arm whose pixels are shown: the first with truth.
struct Shown {
    arm: usize,
    name: String,
    catalog: Table,
    truth: Table,
    /// Rows of the table of matches that belong to it.
    matches: Table,
}

impl Shown {
    fn read(run: &Run) -> Result<Self> {
        let arm = usize::from(run.config.expose.mode == ExposeMode::Inject);
        let name = run.arms[arm].name.clone();
        let matches = fathom::format::table::read(&run.path("validation.h5"), "matches")?;
        let rows: Vec<usize> = matches.text("arm")?.iter().enumerate().filter(|(_, a)| **a == name).map(|(i, _)| i).collect();
        Ok(Self { arm, catalog: super::catalog(run, arm)?, truth: super::limits(run, arm)?, matches: matches.take(&rows), name })
    }
}

/// Row of every id.
fn rows_by_id(table: &Table) -> BTreeMap<i64, usize> {
    table.i64("id").map_or_else(|_| BTreeMap::new(), |ids| ids.iter().enumerate().map(|(row, id)| (*id, row)).collect())
}

/// What was run, for the summary.
fn facts(run: &Run, shown: &Shown, metrics: &MetricsFile) -> Result<Vec<(String, String)>> {
    let c = &run.config;
    let (bbox, center) = (run.tract.bbox(), run.tract.center());
    let scale = c.sky_map.pixel_scale_arcsec;
    let arcmin = |px: i32| format!("{:.2}", f64::from(px) * scale / 60.0);
    let inputs = run.band_inputs(shown.arm)?;
    let per_band: Vec<String> = c.run.bands.iter().map(|b| format!("{} in {b}", inputs[b].len())).collect();
    let arms: Vec<&str> = run.arms.iter().map(|a| a.name.as_str()).collect();
    let is_primary = shown.catalog.bool("is_primary").map_or(0, |p| p.iter().filter(|p| **p).count());
    let truth = if shown.truth.columns().is_empty() { "none is known".to_owned() } else { format!("{} objects", shown.truth.n_rows()) };
    let [nx, ny] = c.sky_map.patches;
    let facts = [
        ("exposures come from", format!("{:?}", c.expose.mode).to_lowercase()),
        ("exposures", per_band.join(", ")),
        (
            "field",
            format!(
                "{} x {} arcmin around ra {:.4}°, dec {:.4}°",
                arcmin(bbox.width),
                arcmin(bbox.height),
                center.ra_deg(),
                center.dec_deg()
            ),
        ),
        ("tract", format!("{} x {} pixels of {scale}\", {nx} x {ny} patches", bbox.width, bbox.height)),
        ("arms", format!("{}; pictures show {}", arms.join(", "), shown.name)),
        ("truth", truth),
        ("catalog", format!("{is_primary} objects in {} parents", run.parents(shown.arm)?.len())),
        ("seed", c.run.seed.to_string()),
        ("configuration", metrics.run.config_hash.clone()),
        ("exposures' key", metrics.run.exposures_key.clone()),
    ];
    Ok(facts.map(|(name, value)| (name.to_owned(), value)).into())
}

fn provenance(run: &Run) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(run.path("provenance.json")).unwrap_or_else(|_| "{}".into());
    let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).context("provenance.json")?;
    Ok(values.into_iter().map(|(name, v)| (name, v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect())
}

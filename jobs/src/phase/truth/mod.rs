//! truth: what the same data allow for every true object, and on demand its noiseless pixels. Here sim and chain meet.

mod light;
mod maps;
mod pixels;

use super::{Phase, Task, associate::Associate, batch, coadd::Coadd, keys_of, sky::Sky};
use crate::config::ExposeMode;
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// Objects of a task.
const BATCH: usize = 500;

/// Section `[truth]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TruthConfig {
    /// Draw every object on every exposure once more for its matched-filter limits; else only those of the likelihood maps.
    pub limits: bool,
    /// Keep the noiseless pixels of each object alone on the direct coadd.
    pub pixels: bool,
    /// Neighbours that have at least this much light in common with an object are part of its blend.
    pub min_overlap: f64,
}

impl Default for TruthConfig {
    fn default() -> Self {
        Self { limits: true, pixels: false, min_overlap: 0.01 }
    }
}

impl TruthConfig {
    pub fn check(&self) -> Result<()> {
        anyhow::ensure!((0.0..1.0).contains(&self.min_overlap), "truth.min_overlap is {}; expected 0..1", self.min_overlap);
        Ok(())
    }
}

pub struct Truth;

impl Phase for Truth {
    fn name(&self) -> &'static str {
        "truth"
    }

    fn about(&self) -> &'static str {
        "Joins to every true object what the same data allow: significance, flux errors alone and in its blend; with [truth] pixels = true its noiseless pixels on the coadd.\n\nReads: <arm>/truth.h5, <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/coadd/<patch>.h5, control/parents.h5.\nWrites: <arm>/limits/<batch>.h5, <arm>/truth_pixels/<batch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let settings = product_key::section(&(&run.config.validate.match_radius_fwhm, &run.config.truth));
        let is_injection = run.config.expose.mode == ExposeMode::Inject;
        let control = if is_injection { keys_of(&Associate, run, 0)? } else { Vec::new() };
        let mut tasks = Vec::new();
        for sky in Sky.tasks(run)? {
            let inputs = keys_of(&Coadd, run, sky.arm)?;
            let n_rows = fathom::format::truth::n_rows(&run.path(run.truth_path(sky.arm)))?;
            for (index, rows) in batches(n_rows).into_iter().enumerate() {
                let of_batch = format!("{rows:?}");
                let parts = [settings.as_str(), &sky.key, &of_batch].into_iter().chain(inputs.iter().chain(&control).map(String::as_str));
                tasks.push(Task {
                    name: format!("{}/{}", run.arms[sky.arm].name, batch::name(index)),
                    path: run.piece_path(sky.arm, "limits", &batch::name(index)),
                    extra_paths: pixels_path(run, sky.arm, index).into_iter().collect(),
                    key: product_key::key("truth", parts),
                    cost: 1.0 + rows.len() as f64,
                    index,
                    ..sky.clone()
                });
            }
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let path = run.path(run.truth_path(task.arm));
        let n_rows = fathom::format::truth::n_rows(&path)?;
        let rows = batches(n_rows).swap_remove(task.index);
        let mut truth = fathom::format::truth::read_rows(&path, rows)?;
        let is_drawn = has_light(run) && truth.n_rows() > 0;
        if let Some(pixels) = pixels_path(run, task.arm, task.index) {
            let objects = if is_drawn { pixels::alone(run, task.arm, &truth)? } else { Vec::new() };
            fathom::format::truth_pixels::write(&run.path(pixels), &task.key, &run.config.run.bands, &objects)?;
        }
        if !truth.columns().is_empty() {
            truth = maps::join_limits(run, task.arm, truth)?;
            if is_drawn && run.config.truth.limits {
                light::join_limits(run, task.arm, &mut truth)?;
            }
        }
        fathom::format::table::write(&run.path(&task.path), &task.key, "limits", &truth)?;
        Ok(())
    }
}

/// What came with imported exposures was not drawn by sim: how its light falls on the pixels is not known.
fn has_light(run: &Run) -> bool {
    run.config.expose.mode != ExposeMode::Import
}

/// Ranges of rows; one, of none, for an empty catalog.
fn batches(n_rows: usize) -> Vec<Range<usize>> {
    (0..n_rows.div_ceil(BATCH).max(1)).map(|i| i * BATCH..((i + 1) * BATCH).min(n_rows)).collect()
}

fn pixels_path(run: &Run, arm: usize, index: usize) -> Option<PathBuf> {
    run.config.truth.pixels.then(|| run.piece_path(arm, "truth_pixels", &batch::name(index)))
}

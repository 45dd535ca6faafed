//! truth: what the same data allow for every true object, and on demand its noiseless pixels. Here sim and chain meet.

mod light;
mod limits;
mod maps;
mod pairs;
mod pixels;
mod surroundings;

use super::{Phase, Task, associate::Associate, batch, coadd::Coadd, keys_of, sky::Sky};
use crate::config::ExposeMode;
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// Objects of a task.
const BATCH: usize = 500;
/// The same where each has a place of its own on the sky.
const SCATTERED_BATCH: usize = 25;
/// Tiles in a row that a batch may reach over.
const TILES: i64 = 8;

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
    /// Objects of a lower signal to noise (all bands, estimated from sizes and background) are members of no blend, and have no bounds of position and shape.
    pub min_snr: f64,
}

impl Default for TruthConfig {
    fn default() -> Self {
        Self { limits: true, pixels: false, min_overlap: 0.01, min_snr: 2.0 }
    }
}

impl TruthConfig {
    pub fn check(&self) -> Result<()> {
        anyhow::ensure!((0.0..1.0).contains(&self.min_overlap), "truth.min_overlap is {}; expected 0..1", self.min_overlap);
        anyhow::ensure!(self.min_snr > 0.0 && self.min_snr.is_finite(), "truth.min_snr is {}; expected a positive number", self.min_snr);
        Ok(())
    }
}

pub struct Truth;

impl Phase for Truth {
    fn name(&self) -> &'static str {
        "truth"
    }

    fn about(&self) -> &'static str {
        "Joins to every true object what the same data allow: significance; errors of flux, position and shape, alone and in its blend; whether it can be told from its nearest neighbour. With [truth] pixels = true its noiseless pixels on the coadd.\n\nReads: <arm>/truth.h5, <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/coadd/<patch>.h5, control/parents/<patch>.h5.\nWrites: <arm>/limits/<batch>.h5, <arm>/truth_pixels/<batch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let settings = product_key::section(&run.config.truth);
        let is_injection = run.config.expose.mode == ExposeMode::Inject;
        let control = if is_injection { keys_of(&Associate, run, 0)? } else { Vec::new() };
        let mut tasks = Vec::new();
        for sky in Sky.tasks(run)? {
            let inputs = keys_of(&Coadd, run, sky.arm)?;
            let tiles = fathom::format::truth::tile_rows(&run.path(run.truth_path(sky.arm)))?;
            for (index, Batch { rows, .. }) in batches(&tiles).into_iter().enumerate() {
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
        let Batch { rows, is_scattered } = batches(&fathom::format::truth::tile_rows(&path)?).swap_remove(task.index);
        let mut truth = fathom::format::truth::read_rows(&path, rows)?;
        let is_drawn = has_light(run) && truth.n_rows() > 0;
        if let Some(pixels) = pixels_path(run, task.arm, task.index) {
            let objects = if is_drawn { pixels::alone(run, task.arm, &truth)? } else { Vec::new() };
            fathom::format::truth_pixels::write(&run.path(pixels), &task.key, &run.config.run.bands, &objects)?;
        }
        let mut blends = Table::new();
        if !truth.columns().is_empty() {
            truth = maps::join_limits(run, task.arm, truth, is_scattered)?;
            if is_drawn && run.config.truth.limits {
                blends = limits::join(run, task.arm, &mut truth, is_scattered)?;
            }
        }
        fathom::format::truth_limits::write(&run.path(&task.path), &task.key, &truth, &blends)?;
        Ok(())
    }
}

/// What came with imported exposures was not drawn by sim: how its light falls on the pixels is not known.
fn has_light(run: &Run) -> bool {
    run.config.expose.mode != ExposeMode::Import
}

/// Rows of a task: neighbours on the sky, or objects each on its own.
#[derive(Debug, Clone, PartialEq)]
struct Batch {
    rows: Range<usize>,
    /// Objects that may be far from their position, all over the sky.
    is_scattered: bool,
}

/// Cuts the catalog at its sky tiles, so that a batch is small on the sky; one batch, of no rows, for an empty catalog.
fn batches(tiles: &[(i64, Range<usize>)]) -> Vec<Batch> {
    let mut out: Vec<(i64, Batch)> = Vec::new();
    for (tile, rows) in tiles {
        let is_scattered = *tile < 0;
        let most = if is_scattered { SCATTERED_BATCH } else { BATCH };
        for start in rows.clone().step_by(most) {
            let part = start..(start + most).min(rows.end);
            match out.last_mut() {
                // Small tiles beside each other make one batch.
                Some((first, last))
                    if !is_scattered && !last.is_scattered && tile - *first < TILES && last.rows.len() + part.len() <= BATCH =>
                {
                    last.rows.end = part.end;
                }
                _ => out.push((*tile, Batch { rows: part, is_scattered })),
            }
        }
    }
    if out.is_empty() {
        return vec![Batch { rows: 0..0, is_scattered: false }];
    }
    out.into_iter().map(|(_, batch)| batch).collect()
}

fn pixels_path(run: &Run, arm: usize, index: usize) -> Option<PathBuf> {
    run.config.truth.pixels.then(|| run.piece_path(arm, "truth_pixels", &batch::name(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_row_once_and_stay_small_on_the_sky() {
        let tiles = [(-1, 0..60), (5, 60..100), (6, 100..300), (40, 300..310), (41, 310..1500), (1 << 20, 1500..1501)];
        let batches = batches(&tiles);
        let rows: Vec<usize> = batches.iter().flat_map(|b| b.rows.clone()).collect();
        assert_eq!(rows, (0..1501).collect::<Vec<_>>());
        assert!(batches.iter().all(|b| b.rows.len() <= if b.is_scattered { SCATTERED_BATCH } else { BATCH }));
        assert!(batches.iter().filter(|b| b.is_scattered).map(|b| b.rows.len()).sum::<usize>() == 60);
        assert!(batches.contains(&Batch { rows: 60..300, is_scattered: false }) && batches.last().unwrap().rows == (1500..1501));
        assert_eq!(super::batches(&[]).len(), 1);
    }
}

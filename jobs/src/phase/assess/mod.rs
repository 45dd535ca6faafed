//! assess: single products beside the truth, batch by batch, exposure by exposure, patch by patch; small tables that validate reads.

mod background;
mod blends;
mod depth;
mod noise;
mod stars;

use super::{
    Phase, Task, associate::Associate, batch, coadd::Coadd, deblend::Deblend, deep_background::DeepBackgroundPhase, keys_of, truth::Truth,
    visit::Visit,
};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::format::truth_pixels::{TruthPixels, read_if};
use fathom::geometry::Box2;
use std::path::PathBuf;

pub struct Assess;

impl Phase for Assess {
    fn name(&self) -> &'static str {
        "assess"
    }

    fn about(&self) -> &'static str {
        "Looks at single products beside the truth: whose light each child of a blend holds (with [truth] pixels = true), what is left of each exposure's sky (where the true sky is known), how depth, PSF and noise of the coadds compare with what their exposures promise.\n\nReads: <arm>/blends/<batch>.h5, <arm>/parents/<patch>.h5, <arm>/truth.h5, <arm>/truth_pixels/<batch>.h5, <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5, <arm>/background.h5 if backgrounds are matched, <arm>/coadd/<patch>.h5.\nWrites: <arm>/assess/blends-<batch>.h5, <arm>/assess/background-<id>.h5, <arm>/assess/coadd-<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let truth = if run.config.truth.pixels { keys_of(&Truth, run, arm)? } else { Vec::new() };
            let visits = Visit.tasks(run)?.into_iter().filter(|t| t.arm == arm).map(|t| t.key).collect::<Vec<_>>();
            let matched = keys_of(&DeepBackgroundPhase, run, arm)?;
            let of_coadds: Vec<String> =
                [keys_of(&Coadd, run, arm)?, keys_of(&Associate, run, arm)?, truth.clone()].into_iter().flatten().collect();
            let deblends: Vec<String> = Deblend.tasks(run)?.into_iter().filter(|t| t.arm == arm).map(|t| t.key).collect();
            let measure = product_key::section(&run.config.measure);
            for (index, work) in works(run, arm, deblends.len()).into_iter().enumerate() {
                let (inputs, cost) = match work {
                    Work::Blends(i) => ([&deblends[i..=i], &truth[..]].concat(), 10.0),
                    Work::Background(i) => ([&visits[i..=i], &matched[..]].concat(), 1.0),
                    Work::Coadd(_) => (of_coadds.clone(), 20.0),
                };
                let name = work.name(run);
                let parts = [name.as_str(), &measure].into_iter().chain(inputs.iter().map(String::as_str));
                tasks.push(Task {
                    key: product_key::key("assess", parts),
                    path: path(run, arm, work),
                    name: format!("{}/{name}", run.arms[arm].name),
                    extra_paths: vec![],
                    cost,
                    arm,
                    index,
                    may_be_skipped: false,
                });
            }
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let tables = match works(run, task.arm, n_batches(run, task.arm)?)[task.index] {
            Work::Blends(index) => vec![("blends", blends::blends(run, task.arm, index)?)],
            Work::Background(index) => vec![("backgrounds", background::background(run, task.arm, index)?)],
            Work::Coadd(index) => {
                let patch = run.tract.patches()[index];
                vec![
                    ("depths", depth::depths(run, task.arm, &patch)?),
                    ("psf_stars", stars::stars(run, task.arm, &patch)?),
                    ("noise", noise::noise(run, task.arm, &patch)?),
                ]
            }
        };
        let tables: Vec<(&str, &Table)> = tables.iter().map(|(name, table)| (*name, table)).collect();
        fathom::format::table::write_all(&run.path(&task.path), &task.key, &tables)?;
        Ok(())
    }
}

/// What a task looks at.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Batch of parents.
    Blends(usize),
    /// Exposure.
    Background(usize),
    /// Patch.
    Coadd(usize),
}

impl Work {
    fn name(self, run: &Run) -> String {
        match self {
            Self::Blends(i) => format!("blends-{}", batch::name(i)),
            Self::Background(i) => format!("background-{}", run.exposures[i].name),
            Self::Coadd(i) => format!("coadd-{}", run.tract.patches()[i].id),
        }
    }
}

/// All works of an arm, in the order of its tasks.
fn works(run: &Run, arm: usize, n_batches: usize) -> Vec<Work> {
    let has_pixels = run.config.truth.pixels && run.has_truth(arm);
    let blends = (0..n_batches).filter(|_| has_pixels).map(Work::Blends);
    blends.chain((0..run.exposures.len()).map(Work::Background)).chain((0..run.tract.patches().len()).map(Work::Coadd)).collect()
}

fn n_batches(run: &Run, arm: usize) -> Result<usize> {
    Ok(batch::batches(&run.parents(arm)?).len())
}

fn path(run: &Run, arm: usize, work: Work) -> PathBuf {
    run.piece_path(arm, "assess", &work.name(run))
}

/// Rows of an arm from all files that hold the table, in plan order.
pub fn rows(run: &Run, arm: usize, table: &str) -> Result<Table> {
    let mut all = Table::new();
    for work in works(run, arm, n_batches(run, arm)?) {
        let holds = match work {
            Work::Blends(_) => table == "blends",
            Work::Background(_) => table == "backgrounds",
            Work::Coadd(_) => ["depths", "psf_stars", "noise"].contains(&table),
        };
        if holds {
            all.append(fathom::format::table::read(&run.path(path(run, arm, work)), table)?)?;
        }
    }
    Ok(all)
}

/// Calls `take` with the noiseless pixels of every object whose box is `wanted`, file by file.
fn for_each_truth(run: &Run, arm: usize, wanted: impl Fn(&Box2) -> bool, mut take: impl FnMut(Vec<TruthPixels>)) -> Result<()> {
    for task in Truth.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        for pixels in &task.extra_paths {
            take(read_if(&run.path(pixels), &wanted)?.1);
        }
    }
    Ok(())
}

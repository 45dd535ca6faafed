//! solve: the differences of all exposures of an arm from their references, one sparse least-squares problem a band.

use super::{Phase, Task, r#match::Match};
use crate::product_key;
use crate::run::Run;
use anyhow::{Result, bail};
use fathom::background::{LevelSample, SolveBackground, SolveExposure, VisitProduct};
use fathom::format::background::StoredSolution;
use fathom::geometry::PixelPoint;
use fathom::image::ExposureMeta;

pub struct Solve;

impl Phase for Solve {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn about(&self) -> &'static str {
        "Solves for the backgrounds of all exposures of the tract relative to a reference ([match] background = \"matched\").\n\nReads: <arm>/visit/<id>.h5, <arm>/match/<patch>.h5 of all patches.\nWrites: <arm>/solve.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.solve);
        let pieces = Match.tasks(run)?;
        let of_arm = |(arm, a): (usize, &crate::run::Arm)| {
            let inputs: Vec<&str> = pieces.iter().filter(|t| t.arm == arm).map(|t| t.key.as_str()).collect();
            (!inputs.is_empty()).then(|| Task {
                name: a.name.clone(),
                path: run.arm_path(arm, "solve.h5"),
                extra_paths: vec![],
                key: product_key::key("solve", [config.as_str()].into_iter().chain(inputs)),
                cost: 1.0,
                arm,
                index: 0,
                may_be_skipped: false,
            })
        };
        Ok(run.arms.iter().enumerate().filter_map(of_arm).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = SolveBackground::new(run.config.solve.clone())?;
        let amplifiers = run.config.r#match.amplifiers;
        let inputs = run.visit_inputs(task.arm)?;
        let mut bands = Vec::new();
        for band in &run.config.run.bands {
            let all = &inputs[band];
            let exposure = |(meta, visit): &(ExposureMeta, VisitProduct)| {
                let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
                SolveExposure { basis: stage.basis(meta.bbox(), amplifiers), sigma_adu: visit.background_variance.at(center).sqrt() }
            };
            let exposures: Vec<SolveExposure> = all.iter().map(exposure).collect();
            let solution = stage.run(band, &exposures, samples(run, task.arm, band, all)?)?;
            log(task, band, all, &solution);
            bands.push(StoredSolution {
                band: band.clone(),
                exposures: all.iter().map(|(meta, _)| meta.id.clone()).collect(),
                levels_adu: all.iter().map(|(_, visit)| visit.background.level_adu()).collect(),
                order: run.config.solve.order,
                amplifiers,
                solution,
            });
        }
        fathom::format::background::write_solution(&run.path(&task.path), &task.key, &bands)?;
        Ok(())
    }
}

/// The levels of all patches, patch after patch.
fn samples(run: &Run, arm: usize, band: &str, all: &[(ExposureMeta, VisitProduct)]) -> Result<Vec<LevelSample>> {
    let mut samples = Vec::new();
    for patch in run.tract.patches() {
        let path = run.path(run.piece_path(arm, "match", &patch.id.to_string()));
        let levels = fathom::format::levels::read(&path, band)?;
        if !levels.exposures.iter().eq(all.iter().map(|(meta, _)| &meta.id)) {
            bail!("{}: its exposures are not those of the run folder", path.display());
        }
        samples.extend(levels.samples);
    }
    Ok(samples)
}

fn log(task: &Task, band: &str, all: &[(ExposureMeta, VisitProduct)], solution: &fathom::background::BandSolution) {
    let n = solution.groups.len();
    let (scatter, rejected) = (solution.residual_scatter, solution.n_rejected);
    tracing::info!(
        "{}, band {band}: residuals {scatter:.2} times their errors, {rejected} samples left out, {} iterations",
        task.name,
        solution.n_iterations
    );
    for group in &solution.groups {
        let reference = group.reference.map_or("the template", |r| all[r].0.id.0.as_str());
        let size = group.members.len();
        tracing::info!("{}, band {band}: reference {reference} of {size} connected exposures ({n} groups in all)", task.name);
    }
}

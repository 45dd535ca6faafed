//! The phases of a run, as data: what each needs, makes, and how a task of it is done.

mod artifacts;
mod assess;
mod associate;
pub mod batch;
mod clip;
mod coadd;
mod combine;
mod deblend;
mod deep_background;
mod detect;
mod expose;
mod r#match;
pub mod measure;
mod psf_matched;
mod seams;
mod sky;
mod sky_objects;
mod solve;
pub mod truth;
mod validate;
mod visit;

pub use truth::TruthConfig;
pub use validate::report;

use crate::product_key;
use crate::run::{Run, skip_marker};
use anyhow::Result;
use fathom::geometry::Patch;
use std::path::{Path, PathBuf};

/// One task: makes one product file.
#[derive(Debug, Clone)]
pub struct Task {
    /// Unique in its phase, e.g. `main/000_001`.
    pub name: String,
    /// Product, in the run folder.
    pub path: PathBuf,
    /// Files beside the product that belong to it, and folders of such files.
    pub extra_paths: Vec<PathBuf>,
    /// Key of the product.
    pub key: String,
    /// Predicted cost, in any unit common to the phase.
    pub cost: f64,
    /// Arm.
    pub arm: usize,
    /// Which patch, exposure or batch of the arm.
    pub index: usize,
    /// The product may be replaced by a note that the exposure was skipped.
    pub may_be_skipped: bool,
}

impl Task {
    /// True if the finished product with this key stands in `folder` (or, if `skips` count, was skipped with this key).
    pub fn is_done(&self, folder: &Path, skips: bool) -> bool {
        let path = folder.join(&self.path);
        if fathom::format::product::key(&path).as_deref() == Some(self.key.as_str()) {
            return self.extra_paths.iter().all(|p| folder.join(p).exists());
        }
        let marker = || std::fs::read_to_string(skip_marker(&path)).ok();
        skips && self.may_be_skipped && marker().is_some_and(|text| text.lines().next() == Some(self.key.as_str()))
    }
}

/// One phase.
pub trait Phase: Sync {
    /// Name: subcommand and, where it has settings, section of the configuration.
    fn name(&self) -> &'static str;

    /// What it reads and writes, for `--help`.
    fn about(&self) -> &'static str;

    /// All tasks; may read what earlier phases made.
    fn tasks(&self, run: &Run) -> Result<Vec<Task>>;

    /// Does one task.
    fn run(&self, run: &Run, task: &Task) -> Result<()>;
}

/// All phases, in the order of the data.
pub const PHASES: [&dyn Phase; 20] = [
    &sky::Sky,
    &expose::Expose,
    &visit::Visit,
    &r#match::Match,
    &solve::Solve,
    &deep_background::DeepBackgroundPhase,
    &artifacts::Artifacts,
    &clip::Clip,
    &coadd::Coadd,
    &psf_matched::PsfMatched,
    &combine::CombinePhase,
    &detect::Detect,
    &seams::Seams,
    &associate::Associate,
    &deblend::Deblend,
    &measure::Measure,
    &sky_objects::SkyObjects,
    &truth::Truth,
    &assess::Assess,
    &validate::Validate,
];

/// One task for each patch of an arm, whose product is `<arm>/<folder>/<patch>.h5`. Its key is made of the folder's name, the settings, the patch's
/// pixels and the keys of the inputs.
fn patch_tasks(run: &Run, arm: usize, folder: &str, settings: [&str; 2], inputs: &[&str]) -> Vec<Task> {
    let task = |(index, patch): (usize, Patch)| {
        let bbox = format!("{:?}", patch.bbox);
        let parts = settings.into_iter().chain([bbox.as_str()]).chain(inputs.iter().copied());
        Task {
            name: format!("{}/{}", run.arms[arm].name, patch.id),
            path: run.piece_path(arm, folder, &patch.id.to_string()),
            extra_paths: vec![],
            key: product_key::key(folder, parts),
            cost: patch.bbox.n_pixels() as f64,
            arm,
            index,
            may_be_skipped: false,
        }
    };
    run.tract.patches().into_iter().enumerate().map(task).collect()
}

/// Keys of the tasks of a phase in one arm.
fn keys_of(phase: &dyn Phase, run: &Run, arm: usize) -> Result<Vec<String>> {
    Ok(phase.tasks(run)?.into_iter().filter(|t| t.arm == arm).map(|t| t.key).collect())
}

/// Catalog of an arm (all batches) and its truth with limits (no columns if there is none).
pub fn catalog_and_truth(run: &Run, arm: usize) -> Result<(fathom::catalog::Table, fathom::catalog::Table)> {
    Ok((validate::catalog(run, arm)?, validate::limits(run, arm)?))
}

/// Flux covariances in the true blends of an arm (no columns if there are none).
pub fn blend_fisher(run: &Run, arm: usize) -> Result<fathom::catalog::Table> {
    validate::blend_fisher(run, arm)
}

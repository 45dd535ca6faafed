//! From the layers' footprints and peaks to non-overlapping parents.

mod associate_peaks;
mod config;
mod dip;
mod explain;
mod hypotheses;
mod known;
mod lsst_rules;
mod on_light;
mod outcome;
mod parent;
mod prior;
mod ridge;
mod scene;
mod seam;
mod smooth_light;
mod split;

pub use associate_peaks::{AssociateField, AssociatePeaks, ChangingLight, PatchPeaks};
pub use config::{AssociateConfig, AssociateError, KnownConfig, Rules};
pub use known::{KnownPosition, KnownSource, on_tract};
pub use outcome::Rejection;
pub use parent::{Hypothesis, MAX_CHILDREN, Parent, PeakDecision, PeakKey, PeakRecord, object_id, parent_id};
pub use seam::{Seam, SeamCounts, SeamPart};

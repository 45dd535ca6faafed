//! From the layers' footprints and peaks to non-overlapping parents.

mod associate_peaks;
mod parent;
mod split;

pub use associate_peaks::{AssociateConfig, AssociateError, AssociatePeaks};
pub use parent::{MAX_CHILDREN, Parent, PeakDecision, PeakRecord, object_id, parent_id};

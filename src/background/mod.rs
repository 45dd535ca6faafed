//! The visit stage: background mesh, smooth model of the background's variance, stars.

mod mesh;
mod source_mask;
mod stars;
mod variance;
mod visit;

pub use mesh::{BackgroundMesh, BackgroundMeshConfig};
pub use variance::BackgroundVariance;
pub use visit::{BackgroundError, BackgroundMode, CharacterizeVisit, VisitConfig, VisitProduct};

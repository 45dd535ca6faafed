//! Truth for fathom: populations, profiles, renderer, camera, injection.
//!
//! Shares the chain's nouns (geometry, image, catalog, format), never its verbs: a simulator that renders with
//! the chain's own kernels would check the chain against itself.

mod camera;
mod expose;
mod field;

pub use camera::{CameraConfig, ExposurePlan, plan_exposures};
pub use expose::{SimError, inject, simulate};
pub use field::{FieldConfig, make_truth};

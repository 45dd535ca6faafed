//! The background of one exposure, from whichever method: the mesh of its own visit, or matched to all others of the tract.

use super::{BackgroundMesh, DetectorModel};
use crate::geometry::Box2;
use ndarray::Array2;

/// Background of a whole exposure \[counts\].
#[derive(Debug, Clone, PartialEq)]
pub enum ExposureBackground {
    /// Estimated from the exposure alone.
    Mesh(BackgroundMesh),
    /// Its difference from the reference of the tract, and the reference's own background.
    Matched(DetectorModel),
}

impl ExposureBackground {
    /// The same value everywhere.
    #[must_use]
    pub fn constant(bbox: Box2, value_adu: f64) -> Self {
        Self::Mesh(BackgroundMesh::constant(bbox, value_adu))
    }

    /// Background \[counts\] on the pixels of `part`, `[y, x]`; a pixel's value does not depend on `part`.
    #[must_use]
    pub fn image(&self, part: &Box2) -> Array2<f32> {
        match self {
            Self::Mesh(mesh) => mesh.image(part),
            Self::Matched(model) => model.image(part),
        }
    }

    /// The mean level \[counts\].
    #[must_use]
    pub fn level_adu(&self) -> f64 {
        match self {
            Self::Mesh(mesh) => mesh.nodes_adu.sum() / mesh.nodes_adu.len() as f64,
            Self::Matched(model) => model.smooth_adu.coefficients_yx[[0, 0]],
        }
    }
}

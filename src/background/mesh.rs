//! Background of one exposure: sigma-clipped means on a mesh of source-free pixels, a bicubic spline between.

use crate::geometry::Box2;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Settings of the mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackgroundMeshConfig {
    /// Side of a mesh cell \[pixel\].
    pub cell_px: usize,
    /// Clipping limit \[sigma\].
    pub clip_sigma: f64,
}

impl Default for BackgroundMeshConfig {
    fn default() -> Self {
        Self { cell_px: 128, clip_sigma: 3.0 }
    }
}

/// Background of a whole exposure \[counts\]: one value per mesh cell, at the cell's centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackgroundMesh {
    /// Pixels of the exposure.
    pub bbox: Box2,
    /// Values at the cells' centres `[row, column]`; `[1, 1]` means a constant.
    pub nodes_adu: Array2<f64>,
}

impl BackgroundMesh {
    /// The same value everywhere.
    #[must_use]
    pub fn constant(bbox: Box2, value_adu: f64) -> Self {
        Self { bbox, nodes_adu: Array2::from_elem((1, 1), value_adu) }
    }

    /// Background \[counts\] on the pixels of `part` (inside `bbox`), `[y, x]`.
    #[must_use]
    pub fn image(&self, _part: &Box2) -> Array2<f32> {
        todo!()
    }
}

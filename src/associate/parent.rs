//! A parent: the union of overlapping footprints of all layers, with the peaks that survive association.

use crate::footprint::Footprint;
use serde::{Deserialize, Serialize};

/// What became of a layer's peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakDecision {
    /// Founded an object of its own.
    Kept,
    /// Within the merge radius of a peak of a layer with higher priority: the same object.
    Merged,
}

/// One layer's peak and the decision about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeakRecord {
    /// The peak as detected.
    pub peak: crate::footprint::Peak,
    /// Parent it lies in.
    pub parent_id: i64,
    /// Decision.
    pub decision: PeakDecision,
    /// Index of the object (child) in its parent that it founded or was merged into.
    pub child: u32,
    /// Distance to that object's founding peak \[PSF FWHM\].
    pub distance_fwhm: f64,
}

/// One parent of the tract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// Made of the tract pixel of its first pixel, see [`parent_id`].
    pub id: i64,
    /// Grown pixels and final peaks, brightest first (ties by position).
    pub footprint: Footprint,
}

/// Id of the parent whose first pixel (lowest y, then x) is (`x`, `y`), also the id of its own catalog row.
///
/// Packing, from the high end: 1 bit sign (0), 9 bits tract, 20 bits y, 20 bits x, 4 bits hypothesis, 10 bits child
/// (0: the parent itself, hypothesis 0).
#[must_use]
pub fn parent_id(_tract: u16, _x: i32, _y: i32) -> i64 {
    todo!()
}

/// Id of a catalog row: child `child` (from 1) of hypothesis `hypothesis` of a parent.
#[must_use]
pub fn object_id(_parent_id: i64, _hypothesis: u8, _child: u32) -> i64 {
    todo!()
}

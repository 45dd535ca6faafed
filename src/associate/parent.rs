//! A parent: the union of overlapping footprints of all layers, with the peaks that survive association.

use super::outcome::{Rejection, Role};
use crate::footprint::{Footprint, Peak};
use serde::{Deserialize, Serialize};

/// What became of a layer's peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakDecision {
    /// Founded an object of its own.
    Kept,
    /// The same object as a peak of another layer.
    Merged,
    /// The light of its object, and of others beside it.
    Explained,
    /// No object, and part of none.
    Rejected(Rejection),
}

impl PeakDecision {
    pub(super) fn of(role: &Role) -> Self {
        match role {
            Role::Object => Self::Kept,
            Role::SameAs(_) => Self::Merged,
            Role::ExplainedBy(_) => Self::Explained,
            Role::Rejected(why) => Self::Rejected(*why),
        }
    }
}

/// One layer's peak, or a known source, and the decision about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeakRecord {
    /// The peak as detected. A known source has the layer after the last one that is searched, and so on for further lists.
    pub peak: Peak,
    /// Parent it lies in; none where nothing there is an object.
    pub parent_id: Option<i64>,
    /// Decision.
    pub decision: PeakDecision,
    /// Index of the object (child) in its parent that it founded or belongs to; none for what is rejected.
    pub child: Option<u32>,
    /// Distance to that object's founding peak \[PSF FWHM\]; NaN without.
    pub distance_fwhm: f64,
    /// Significance of what the parent's (other) objects leave unexplained \[sigma\]; NaN where the rules do not ask.
    pub conditional_significance: f64,
    /// ln of the odds that it is an object of its own; NaN where the rules do not ask.
    pub log_odds: f64,
    /// Objects that explain it together; 0 unless it is explained.
    pub n_explaining: u32,
}

/// Names a peak of the tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeakKey {
    /// Layer it was found in.
    pub layer: u16,
    /// Its pixel.
    pub pixel: (i32, i32),
}

/// A set of objects that a parent may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// ln of its share among the parent's hypotheses, from the peak tables alone.
    pub log_evidence: f64,
    /// Peaks that are its objects.
    pub objects: Vec<PeakKey>,
}

/// One parent of the tract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// Made of the tract pixel of its first pixel, see [`parent_id`].
    pub id: i64,
    /// Id of the whole from which it was split, if that had too many peaks to be one problem.
    pub split_from: Option<i64>,
    /// Grown pixels and final peaks, brightest first (ties by position): the objects of the likeliest hypothesis.
    pub footprint: Footprint,
    /// What else it may be; the first is what its footprint holds. None where the rules know no odds, or it was split.
    pub hypotheses: Vec<Hypothesis>,
}

/// Id of the parent whose first pixel (lowest y, then x) is (`x`, `y`), also the id of its own catalog row.
///
/// Packing, from the high end: 1 bit sign (0), 9 bits tract, 20 bits y, 20 bits x, 4 bits hypothesis, 10 bits child
/// (0: the parent itself, hypothesis 0).
#[must_use]
pub fn parent_id(tract: u16, x: i32, y: i32) -> i64 {
    debug_assert!(tract < 512 && (0..1 << 20).contains(&x) && (0..1 << 20).contains(&y), "tract {tract}, pixel ({x}, {y})");
    i64::from(tract) << 54 | i64::from(y) << 34 | i64::from(x) << 14
}

/// Largest number of children that an id can tell apart.
pub const MAX_CHILDREN: usize = (1 << 10) - 1;

/// Id of a catalog row: child `child` (from 1) of hypothesis `hypothesis` of a parent.
#[must_use]
pub fn object_id(parent_id: i64, hypothesis: u8, child: u32) -> i64 {
    debug_assert!(hypothesis < 16 && child as usize <= MAX_CHILDREN, "hypothesis {hypothesis}, child {child}");
    parent_id | i64::from(hypothesis) << 10 | i64::from(child)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The packing can be undone, so ids are unique.
        #[test]
        fn ids_unpack(tract in 0u16..512, x in 0i32..1 << 20, y in 0i32..1 << 20, hypothesis in 0u8..16, child in 0u32..1024) {
            let id = object_id(parent_id(tract, x, y), hypothesis, child);
            prop_assert!(id >= 0);
            prop_assert_eq!((id >> 54, id >> 34 & 0xf_ffff, id >> 14 & 0xf_ffff), (i64::from(tract), i64::from(y), i64::from(x)));
            prop_assert_eq!((id >> 10 & 0xf, id & 0x3ff), (i64::from(hypothesis), i64::from(child)));
        }
    }
}

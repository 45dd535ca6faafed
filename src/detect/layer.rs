//! One detection layer on one patch.

use crate::footprint::{Peak, SpanSet};
use serde::{Deserialize, Serialize};

/// Which combination of bands a layer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Σ_b max(Ψ_b, 0)²/Φ_b over all bands: the best non-negative SED at every pixel.
    FreeSed,
    /// Ψ/√Φ of one band.
    Band(String),
}

impl LayerKind {
    /// `free_sed` or the band's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::FreeSed => "free_sed",
            Self::Band(b) => b,
        }
    }
}

/// What detection found in one layer on the inner pixels of one patch (not yet joined across borders).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Combination of bands.
    pub kind: LayerKind,
    /// Pixels above the threshold, ungrown, inner pixels of the patch only, and those of the peaks.
    pub spans: SpanSet,
    /// Peaks whose sub-pixel height reaches the threshold, in pixel order (y, x).
    pub peaks: Vec<Peak>,
    /// The same of the negated maps: the false-positive estimate.
    pub negative_peaks: Vec<Peak>,
    /// Inner pixels with data in the layer.
    pub n_pixels: u64,
}

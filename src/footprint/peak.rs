//! Peaks, and the pixels of a detection with its peaks.

use crate::footprint::SpanSet;
use crate::geometry::PixelPoint;
use serde::{Deserialize, Serialize};

/// A local maximum in a detection layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Pixel of the maximum, (column, row) in the tract.
    pub pixel: (i32, i32),
    /// Sub-pixel position in the tract.
    pub at: PixelPoint,
    /// Significance at the sub-pixel maximum (σ of the layer).
    pub significance: f64,
    /// Index of the layer it was found in.
    pub layer: u16,
    /// Indices of all layers that saw it, as bits (bit i: layer i); set by association.
    pub seen_in: u64,
    /// Point-source flux Ψ/Φ per band at the peak's pixel \[nJy\]; NaN without data.
    pub flux_njy: Vec<f64>,
    /// Its error Φ^-1/2 \[nJy\].
    pub flux_err_njy: Vec<f64>,
}

/// The pixels of a detection with its peaks, brightest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Pixels, in tract coordinates.
    pub spans: SpanSet,
    /// Peaks inside.
    pub peaks: Vec<Peak>,
}

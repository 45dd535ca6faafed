//! Peaks, and the pixels of a detection with its peaks.

use crate::footprint::SpanSet;
use crate::geometry::PixelPoint;
use serde::{Deserialize, Serialize};

/// Whether a layer's peak is taken for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakFate {
    /// Nothing speaks against it.
    #[default]
    Good,
    /// The dip between it and a higher one is no deeper than what masked pixels make of a smooth light.
    Masked,
    /// In no layer does it pass that layer's threshold (strategy `cull`).
    Culled,
    /// It stands on the slope of the same maximum of its best layer as a higher one (strategy `cull`).
    Duplicate,
}

/// What else is known of a peak; bits of [`Peak::marks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakMark {
    /// A list of known sources has it.
    Known,
    /// It moves: a difference image, or the ladder of velocities, has seen it elsewhere at other times.
    Mover,
    /// It was not always there.
    Transient,
    /// Its light varies.
    Variable,
}

impl PeakMark {
    /// All marks.
    pub const ALL: [Self; 4] = [Self::Known, Self::Mover, Self::Transient, Self::Variable];

    /// Its bit in [`Peak::marks`].
    #[must_use]
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Where a peak hangs on a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Saddle {
    /// Height of the highest pixel through which a path to higher ground must go (σ of the layer).
    pub height: f32,
    /// Depth of that dip below the peak, in units of its own noise.
    pub significance: f32,
    /// Its pixel.
    pub at: (i32, i32),
    /// Pixel of the highest peak on the other side.
    pub higher: (i32, i32),
}

/// A local maximum in a detection layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Pixel of the maximum, (column, row) in the tract.
    pub pixel: (i32, i32),
    /// Sub-pixel position in the tract.
    pub at: PixelPoint,
    /// Covariance of that position: xx, xy, yy \[pixel²\], from the curvature of the peak and the noise; infinite where not known.
    pub covariance_px2: [f32; 3],
    /// Significance at the sub-pixel maximum (σ of the layer).
    pub significance: f64,
    /// Index of the layer it was found in.
    pub layer: u16,
    /// Indices of all layers that saw it, as bits (bit i: layer i); set by association.
    pub seen_in: u64,
    /// Significance in every layer at this peak's position; NaN without data.
    pub layer_significance: Vec<f32>,
    /// Layer in which it exceeds the threshold by most: best SED and morphology.
    pub best_layer: u16,
    /// Flux Ψ_g/Φ_g per band \[nJy\], of the best layer's morphology; NaN without data.
    pub flux_njy: Vec<f32>,
    /// Its error Φ_g^-1/2 \[nJy\].
    pub flux_err_njy: Vec<f32>,
    /// The dip to its higher neighbour, if one is joined to it above three quarters of the threshold.
    pub saddle: Option<Saddle>,
    /// Mask planes of all bands on and around its pixel ([`crate::MaskPlane`]).
    pub flags: u32,
    /// Whether it is taken for an object.
    pub fate: PeakFate,
    /// What else is known of it, as bits ([`PeakMark`]); set by association.
    pub marks: u8,
    /// Begin and end of the time window of its layer, MJD (TAI); none for the whole stack.
    pub window_mjd: Option<[f64; 2]>,
    /// Motion at which its exposures were stacked (x, y) \[pixel per day\]; none for static layers.
    pub velocity_px_per_day: Option<[f64; 2]>,
}

impl Peak {
    /// A peak of which no more is known than where and how high it is.
    #[must_use]
    pub fn bare(at: PixelPoint, significance: f64, layer: u16) -> Self {
        Self {
            pixel: at.pixel(),
            at,
            covariance_px2: [f32::INFINITY, 0.0, f32::INFINITY],
            significance,
            layer,
            seen_in: 1 << layer,
            layer_significance: Vec::new(),
            best_layer: layer,
            flux_njy: Vec::new(),
            flux_err_njy: Vec::new(),
            saddle: None,
            flags: 0,
            fate: PeakFate::Good,
            marks: 0,
            window_mjd: None,
            velocity_px_per_day: None,
        }
    }
}

/// A maximum of the negated maps: part of the estimate of false positives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NegativePeak {
    /// Sub-pixel position in the tract.
    pub at: PixelPoint,
    /// Significance (σ of the layer, positive).
    pub significance: f64,
}

/// The pixels of a detection with its peaks, brightest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Pixels, in tract coordinates.
    pub spans: SpanSet,
    /// Peaks inside.
    pub peaks: Vec<Peak>,
}

//! One detection layer on one patch.

use crate::footprint::{NegativePeak, Peak, SpanSet};
use serde::{Deserialize, Serialize};

/// The colour that a layer looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sed {
    /// T² = Σ_b max(Ψ_b, 0)²/Φ_b over all bands: the best non-negative SED at every pixel.
    Free,
    /// Ψ/√Φ of one band.
    Band(String),
    /// Σ s_b Ψ_b / √(Σ s_b² Φ_b): its name, and s_b for every band of the run.
    Fixed(String, Vec<f64>),
}

impl Sed {
    /// `free_sed`, the band's name, or the SED's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Free => "free_sed",
            Self::Band(name) | Self::Fixed(name, _) => name,
        }
    }
}

/// What a layer is: (selection of exposures) x (SED) x (morphology).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerKind {
    /// Selection of exposures; none: the bands' own coadds.
    pub selection: Option<String>,
    /// Colour.
    pub sed: Sed,
    /// Half-light radius of the round exponential \[arcsec\]; 0: point sources.
    pub half_light_arcsec: f64,
}

impl LayerKind {
    /// Point sources of the bands' own coadds.
    #[must_use]
    pub fn point(sed: Sed) -> Self {
        Self { selection: None, sed, half_light_arcsec: 0.0 }
    }

    /// `<sed>[@<selection>][:<half-light radius>]`.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = self.sed.name().to_owned();
        if let Some(selection) = &self.selection {
            name = format!("{name}@{selection}");
        }
        if self.half_light_arcsec > 0.0 {
            name = format!("{name}:{}", self.half_light_arcsec);
        }
        name
    }

    /// Name of a band's coadd in this layer's selection.
    #[must_use]
    pub fn coadd(&self, band: &str) -> String {
        self.selection.as_ref().map_or_else(|| band.to_owned(), |s| format!("{band}@{s}"))
    }
}

/// What detection found in one layer on the inner pixels of one patch (not yet joined across borders).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it is.
    pub kind: LayerKind,
    /// Threshold where all its bands have data, calibrated \[sigma\].
    pub threshold: f64,
    /// Curvature l2 of its noise per axis \[1/pixel²\], mean over the tract.
    pub l2_per_px2: f64,
    /// Area of its filter, (Σφ)²/Σφ² \[pixel²\], mean over the tract.
    pub area_px2: f64,
    /// How much broader its sources look than point sources: √(l2 of points / l2); scale of growth and resolution.
    pub broadening: f64,
    /// Pixels above the threshold, ungrown, inner pixels of the patch only, and those of the peaks.
    pub spans: SpanSet,
    /// Peaks whose sub-pixel height reaches the threshold, in pixel order (y, x).
    pub peaks: Vec<Peak>,
    /// The same of the negated maps: the false-positive estimate.
    pub negative_peaks: Vec<NegativePeak>,
    /// Inner pixels with data in the layer.
    pub n_pixels: u64,
}

/// A random blank position, measured like a point source.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyObject {
    /// Pixel (column, row) in the tract.
    pub pixel: (i32, i32),
    /// Ψ/Φ per band \[nJy\]; NaN without data.
    pub flux_njy: Vec<f32>,
    /// Φ^-1/2 \[nJy\].
    pub flux_err_njy: Vec<f32>,
}

/// All layers of one patch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PatchLayers {
    /// The layers, in the order of the configuration; the same in every patch.
    pub layers: Vec<Layer>,
    /// Blank positions, by pixel (y, x).
    pub sky_objects: Vec<SkyObject>,
    /// Movers of the ladder of velocities, by pixel (y, x); their position is that in the middle of their window.
    pub movers: Vec<Peak>,
    /// What is brighter over some time windows than on the mean of all, by pixel (y, x).
    pub transients: Vec<Peak>,
    /// What calibration added to the nominal thresholds \[sigma\]; 0 without.
    pub threshold_offset: f64,
}

//! What a deblender gets and gives.

use super::SymmetricConfig;
use crate::footprint::{Footprint, HeavyFootprint};
use crate::geometry::Box2;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// One band of a blend, on the blend's box.
#[derive(Debug, Clone)]
pub struct BlendBand {
    /// Band name.
    pub band: String,
    /// Direct coadd \[nJy\], `[y, x]`; NaN without data.
    pub image_njy: Array2<f32>,
    /// Variance \[nJy²\]; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`crate::MaskPlane`].
    pub mask: Array2<u32>,
    /// PSF of every peak, in the order of the footprint's peaks: `[2r+1, 2r+1]`, central pixel = the peak's sub-pixel position's pixel.
    pub psfs: Vec<Array2<f64>>,
    /// FWHM of the PSF \[pixel\].
    pub fwhm_px: f64,
}

/// A parent with its pixels in all bands.
#[derive(Debug, Clone)]
pub struct Blend {
    /// Pixels and peaks.
    pub footprint: Footprint,
    /// Box of the planes (that of the footprint), in tract coordinates.
    pub bbox: Box2,
    /// Bands, in the order of the run.
    pub bands: Vec<BlendBand>,
}

/// Non-negative templates that say how light is shared: `[peak][band]`, each on the blend's box.
#[derive(Debug, Clone)]
pub struct Templates {
    /// Fitted templates, `[peak][band]`, `[y, x]` \[nJy\]; all zero: the peak was dropped.
    pub by_peak: Vec<Vec<Array2<f64>>>,
    /// Peak treated as a point source in all bands.
    pub is_psf: Vec<bool>,
    /// Peak dropped as a duplicate of another (index), in all bands together.
    pub merged_into: Vec<Option<usize>>,
}

/// A way to separate overlapping objects. Pure: same blend, same templates.
pub trait Deblender: Send + Sync {
    /// Name in the configuration.
    fn name(&self) -> &'static str;

    /// Templates of all peaks in all bands.
    ///
    /// # Errors
    /// [`DeblendError`] if the blend makes no sense (no peak, shapes differ).
    fn templates(&self, blend: &Blend) -> Result<Templates, DeblendError>;
}

/// Settings of the deblend phase: section `[deblend]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeblendConfig {
    /// Which deblender: `symmetric`.
    pub algorithm: String,
    /// Settings of `symmetric`.
    pub symmetric: SymmetricConfig,
}

impl Default for DeblendConfig {
    fn default() -> Self {
        Self { algorithm: "symmetric".into(), symmetric: SymmetricConfig::default() }
    }
}

/// Why a blend could not be deblended.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DeblendError {
    /// A setting out of range, or an unknown deblender.
    #[error("deblend.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// The blend is inconsistent.
    #[error("blend at tract pixel ({x}, {y}): {why}")]
    Blend {
        /// Column of the box.
        x: i32,
        /// Row of the box.
        y: i32,
        /// Reason.
        why: String,
    },
}

/// Children of one parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Deblended {
    /// One per peak, in the order of the peaks; a dropped peak has an empty footprint.
    pub children: Vec<HeavyFootprint>,
    /// Treated as a point source.
    pub is_psf: Vec<bool>,
    /// Dropped as a duplicate of that peak.
    pub merged_into: Vec<Option<usize>>,
}

/// The deblending stage: any deblender, then the one apportioning function.
pub struct DeblendParent {
    deblender: Box<dyn Deblender>,
}

impl DeblendParent {
    /// # Errors
    /// [`DeblendError::Config`] for an unknown deblender or a setting outside its range.
    pub fn new(_config: DeblendConfig) -> Result<Self, DeblendError> {
        todo!()
    }

    /// Children of one parent: their pixels sum to the parent's exactly, in every band.
    ///
    /// # Errors
    /// [`DeblendError::Blend`].
    pub fn run(&self, _blend: &Blend) -> Result<Deblended, DeblendError> {
        let _ = &self.deblender;
        todo!()
    }
}

//! The baseline deblender: templates symmetric about the peak, as in SDSS, decided for all bands together.

use super::{Blend, DeblendError, Deblender, Templates};
use serde::{Deserialize, Serialize};

/// Settings of [`SymmetricDeblender`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymmetricConfig {
    /// Reduced χ² below which a peak is taken for a point source (bands summed).
    pub psf_chi2: f64,
    /// Cosine of two templates above which they are duplicates, if so in every band.
    pub duplicate_cosine: f64,
    /// Force the templates to fall monotonically from the peak.
    pub monotonic: bool,
}

impl Default for SymmetricConfig {
    fn default() -> Self {
        Self { psf_chi2: 1.5, duplicate_cosine: 0.9, monotonic: true }
    }
}

/// The baseline.
#[derive(Debug, Clone)]
pub struct SymmetricDeblender {
    config: SymmetricConfig,
}

impl SymmetricDeblender {
    /// # Errors
    /// [`DeblendError::Config`] if a setting is outside its range.
    pub fn new(config: SymmetricConfig) -> Result<Self, DeblendError> {
        Ok(Self { config })
    }
}

impl Deblender for SymmetricDeblender {
    fn name(&self) -> &'static str {
        "symmetric"
    }

    fn templates(&self, _blend: &Blend) -> Result<Templates, DeblendError> {
        let _ = &self.config;
        todo!()
    }
}

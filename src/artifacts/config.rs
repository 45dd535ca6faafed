//! Settings of the search for artifacts, and the stage that holds them.

use serde::{Deserialize, Serialize};

/// What happens to the pixels of a source that is not the same in all exposures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Left out of every coadd, in the exposures in which it differs from the static sky; `CLIPPED` and `INEXACT_PSF` on the coadd. The
    /// coadd shows the source without what differed.
    Exclude,
    /// Kept in all exposures, so that the coadd shows the mean flux, and flagged: `SUSPECT` on the coadd where an exposure differed.
    Mean,
    /// Kept, and not flagged: as if nobody had looked.
    Leave,
}

/// Settings of [`FindArtifacts`]: section `[artifacts]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArtifactsConfig {
    /// Look for artifacts.
    pub find: bool,
    /// Significance of a footprint's best pixel \[sigma\].
    pub threshold: f64,
    /// Significance of all its pixels \[sigma\].
    pub low_threshold: f64,
    /// Significance with which a pixel must be sharper than the PSF allows \[sigma\].
    pub sharp_threshold: f64,
    /// Relative error of what is expected of a source in an exposure: of the PSF models, the photometry.
    pub model_error: f64,
    /// Error of the astrometry \[tract pixel\].
    pub position_error_px: f64,
    /// Growth of cosmic rays \[tract pixel\].
    pub grow_px: f64,
    /// Growth of all else \[FWHM of the common PSF\].
    pub grow_fwhm: f64,
    /// Fastest motion that is recognised from epoch to epoch \[arcsec/h\].
    pub max_rate_arcsec_h: f64,
    /// What becomes of variable sources.
    pub variables: Policy,
    /// What becomes of sources that are there in few epochs.
    pub transients: Policy,
    /// What becomes of moving sources.
    pub movers: Policy,
}

impl Default for ArtifactsConfig {
    fn default() -> Self {
        Self {
            find: false,
            threshold: 5.5,
            low_threshold: 3.0,
            sharp_threshold: 4.0,
            model_error: 0.05,
            position_error_px: 0.1,
            grow_px: 1.0,
            grow_fwhm: 0.5,
            max_rate_arcsec_h: 5.0,
            variables: Policy::Mean,
            transients: Policy::Exclude,
            movers: Policy::Exclude,
        }
    }
}

/// Why artifacts could not be looked for.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum ArtifactsError {
    /// A setting out of range.
    #[error("artifacts.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: f64,
        /// Range.
        expected: &'static str,
    },
}

/// The stage.
#[derive(Debug, Clone)]
pub struct FindArtifacts {
    pub(super) config: ArtifactsConfig,
}

impl FindArtifacts {
    /// # Errors
    /// [`ArtifactsError::Config`] if a setting is outside its range.
    pub fn new(config: ArtifactsConfig) -> Result<Self, ArtifactsError> {
        let c = &config;
        let check = |range: std::ops::RangeInclusive<f64>, key, found: f64, expected| {
            if range.contains(&found) { Ok(()) } else { Err(ArtifactsError::Config { key, found, expected }) }
        };
        check(3.0..=50.0, "threshold", c.threshold, "3..=50 sigma")?;
        check(2.0..=c.threshold, "low_threshold", c.low_threshold, "2 sigma to artifacts.threshold")?;
        check(2.0..=50.0, "sharp_threshold", c.sharp_threshold, "2..=50 sigma")?;
        check(0.0..=0.5, "model_error", c.model_error, "0..=0.5")?;
        check(0.0..=2.0, "position_error_px", c.position_error_px, "0..=2 pixels")?;
        check(0.0..=20.0, "grow_px", c.grow_px, "0..=20 pixels")?;
        check(0.0..=5.0, "grow_fwhm", c.grow_fwhm, "0..=5")?;
        check(0.0..=1000.0, "max_rate_arcsec_h", c.max_rate_arcsec_h, "0..=1000 arcsec/h")?;
        Ok(Self { config })
    }
}

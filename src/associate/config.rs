//! Settings of association.

use super::MAX_CHILDREN;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How peaks of several layers become objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rules {
    /// By the likelihood that peaks are the same, or the light of others.
    Likelihood,
    /// By fixed radii and ranks, as the LSST pipelines do.
    Lsst,
}

/// A list of sources that are objects whatever is detected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownConfig {
    /// HDF5, FITS or CSV file with `ra`, `dec` \[deg\], and, optional, `id`, `epoch` \[MJD\], `pm_ra`, `pm_dec` \[mas/yr, cos(dec) included\],
    /// `position_error_mas`.
    pub path: PathBuf,
    /// Group of an HDF5 file, HDU of a FITS file.
    #[serde(default)]
    pub place: String,
}

/// Settings of [`AssociatePeaks`](super::AssociatePeaks): section `[associate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssociateConfig {
    /// Rules.
    pub rules: Rules,
    /// Growth of footprints \[FWHM of what a source looks like in the layer: of the PSF for point sources\].
    pub grow_fwhm: f64,
    /// Relative error of what a source is expected to be beside and in other layers (`likelihood`).
    pub model_error: f64,
    /// Error of positions beyond noise \[width of the layer's sources\] (`likelihood`).
    pub position_error: f64,
    /// Sets of objects that are kept of a parent, at most (`likelihood`).
    pub n_hypotheses: usize,
    /// Peaks nearer than this are the same \[arcsec\] (`lsst`).
    pub same_arcsec: f64,
    /// Peaks further than this from all objects are new \[arcsec\] (`lsst`).
    pub new_arcsec: f64,
    /// Largest number of objects of a parent: those with more are split at their lowest saddles.
    pub max_peaks: usize,
    /// Known sources.
    pub known: Vec<KnownConfig>,
}

impl Default for AssociateConfig {
    fn default() -> Self {
        Self {
            rules: Rules::Likelihood,
            grow_fwhm: 1.0,
            model_error: 0.05,
            position_error: 0.2,
            n_hypotheses: 4,
            same_arcsec: 0.3,
            new_arcsec: 1.0,
            max_peaks: 500,
            known: Vec::new(),
        }
    }
}

/// Why association could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum AssociateError {
    /// A setting out of range.
    #[error("associate.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// A list of known sources that cannot be used.
    #[error("list {list} of associate.known: {what}; expected every source once")]
    Known {
        /// Place among the lists, from 0.
        list: usize,
        /// What is wrong.
        what: String,
    },
}

impl AssociateConfig {
    /// # Errors
    /// [`AssociateError::Config`] if a setting is outside its range.
    pub fn check(&self) -> Result<(), AssociateError> {
        let check = |is_good: bool, key, found: &dyn std::fmt::Display, expected| {
            if is_good { Ok(()) } else { Err(AssociateError::Config { key, found: found.to_string(), expected }) }
        };
        check((0.0..=10.0).contains(&self.grow_fwhm), "grow_fwhm", &self.grow_fwhm, "0..=10 FWHM")?;
        check((0.0..=1.0).contains(&self.model_error), "model_error", &self.model_error, "0..=1")?;
        check((0.0..=2.0).contains(&self.position_error), "position_error", &self.position_error, "0..=2 widths")?;
        check((1..=16).contains(&self.n_hypotheses), "n_hypotheses", &self.n_hypotheses, "1..=16")?;
        check((0.0..=10.0).contains(&self.same_arcsec), "same_arcsec", &self.same_arcsec, "0..=10 arcsec")?;
        check(
            self.new_arcsec >= self.same_arcsec && self.new_arcsec <= 30.0,
            "new_arcsec",
            &self.new_arcsec,
            "associate.same_arcsec to 30 arcsec",
        )?;
        // More than that, and ids could not tell the children apart.
        check((1..=MAX_CHILDREN).contains(&self.max_peaks), "max_peaks", &self.max_peaks, "1..=1023")
    }
}

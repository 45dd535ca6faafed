//! Settings of the PSF-matched coadd.

use serde::{Deserialize, Serialize};

/// Where matching kernels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchMethod {
    /// From the PSF models, by regularised division in Fourier space.
    Fourier,
    /// Fitted to the pixels of bright sources.
    AlardLupton,
}

/// How the matched exposures are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackMethod {
    /// Weighted by the inverse variance of each exposure.
    Mean,
    /// The same of the values that agree.
    ClippedMean,
    /// Unweighted.
    Median,
}

/// Settings of [`super::MakePsfMatched`]: section `[psf_matched]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PsfMatchedConfig {
    /// Whether to make this coadd at all.
    pub make: bool,
    /// Where the kernels come from.
    pub method: MatchMethod,
    /// FWHM of the Gaussian target \[arcsec\]; 0: chosen from the seeing.
    pub target_fwhm_arcsec: f64,
    /// Share of the exposures that a chosen target must be broader than.
    pub target_fraction: f64,
    /// FWHM of a chosen target over that of the broadest of them.
    pub target_factor: f64,
    /// Largest amplification of any wave of an exposure's noise by its kernel; exposures above it are left out.
    pub max_amplification: f64,
    /// Least share of the matching kernel that good pixels must supply, in 0.5..=1; below it: no data from that exposure.
    pub min_kernel_weight: f64,
    /// How the matched exposures are combined.
    pub stack: StackMethod,
    /// Clipping limit \[sigma of an exposure's pixel\].
    pub clip_sigma: f64,
    /// Rounds of clipping.
    pub clip_iterations: usize,
    /// Relative error of a matched exposure that is no reason to clip it: of its PSF model and its calibration.
    pub model_error: f64,
    /// The matched PSF is compared with the target in every so-manieth cell of every so-manieth row of cells.
    pub check_every_cells: u32,
    /// Alard-Lupton: pixels of the reference above this are fitted \[sigma\].
    pub fit_min_snr: f64,
    /// Alard-Lupton: least number of such pixels on a tile for a free coefficient; with fewer, the models' kernel stays.
    pub fit_pixels_per_term: usize,
}

impl Default for PsfMatchedConfig {
    fn default() -> Self {
        Self {
            make: false,
            method: MatchMethod::Fourier,
            target_fwhm_arcsec: 0.0,
            target_fraction: 0.9,
            target_factor: 1.2,
            max_amplification: 1.5,
            min_kernel_weight: 0.99,
            stack: StackMethod::ClippedMean,
            clip_sigma: 4.0,
            clip_iterations: 3,
            model_error: 0.03,
            check_every_cells: 4,
            fit_min_snr: 10.0,
            fit_pixels_per_term: 10,
        }
    }
}

/// Why a PSF-matched coadd could not be made.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum PsfMatchedError {
    /// A setting out of range.
    #[error("psf_matched.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// No exposure of a band.
    #[error("band {band} has no exposure")]
    NoExposure {
        /// Band.
        band: String,
    },
}

impl PsfMatchedConfig {
    /// # Errors
    /// [`PsfMatchedError::Config`] if a setting is outside its range.
    pub fn check(&self) -> Result<(), PsfMatchedError> {
        let check = |is_good: bool, key, found: &dyn std::fmt::Debug, expected| {
            let error = || PsfMatchedError::Config { key, found: format!("{found:?}"), expected };
            if is_good { Ok(()) } else { Err(error()) }
        };
        let target = self.target_fwhm_arcsec;
        check((0.0..=60.0).contains(&target), "target_fwhm_arcsec", &target, "0 or up to 60 arcsec")?;
        check(self.target_fraction > 0.0 && self.target_fraction <= 1.0, "target_fraction", &self.target_fraction, "a share in (0, 1]")?;
        check((1.0..=3.0).contains(&self.target_factor), "target_factor", &self.target_factor, "1..=3")?;
        check((1.0..=10.0).contains(&self.max_amplification), "max_amplification", &self.max_amplification, "1..=10")?;
        check((0.5..=1.0).contains(&self.min_kernel_weight), "min_kernel_weight", &self.min_kernel_weight, "0.5..=1")?;
        check((2.0..=20.0).contains(&self.clip_sigma), "clip_sigma", &self.clip_sigma, "2..=20 sigma")?;
        check((1..=10).contains(&self.clip_iterations), "clip_iterations", &self.clip_iterations, "1..=10")?;
        check((0.0..=0.5).contains(&self.model_error), "model_error", &self.model_error, "0..=0.5")?;
        check((1..=64).contains(&self.check_every_cells), "check_every_cells", &self.check_every_cells, "1..=64 cells")?;
        check((3.0..=1000.0).contains(&self.fit_min_snr), "fit_min_snr", &self.fit_min_snr, "3..=1000 sigma")?;
        check((2..=1000).contains(&self.fit_pixels_per_term), "fit_pixels_per_term", &self.fit_pixels_per_term, "2..=1000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        assert_eq!(PsfMatchedConfig::default().check(), Ok(()));
        let bad = PsfMatchedConfig { clip_sigma: 0.5, ..PsfMatchedConfig::default() };
        assert!(bad.check().unwrap_err().to_string().contains("psf_matched.clip_sigma is 0.5"));
        let bad = PsfMatchedConfig { target_fwhm_arcsec: f64::NAN, ..PsfMatchedConfig::default() };
        assert!(bad.check().unwrap_err().to_string().contains("target_fwhm_arcsec"));
    }
}

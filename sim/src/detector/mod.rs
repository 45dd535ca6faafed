//! What a detector makes of light: bleed trails, defects, cosmic rays; and what else crosses it: satellites.
//!
//! Keyed by the exposure (satellites by the visit), not by the arm: all arms of a study lose the same pixels.

mod bleed;
mod cosmic_rays;
mod defects;
mod satellites;

pub(crate) use bleed::bleed;
pub(crate) use defects::{Defects, dilate};
pub(crate) use satellites::Trail;

use crate::SimError;
use crate::error::{check, is_range};
use serde::{Deserialize, Serialize};

/// Amplifiers, bleeding, cosmic rays, satellites: section `[camera.detector]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorConfig {
    /// Amplifiers, [columns, rows], each 1..=64.
    pub amplifiers: [usize; 2],
    /// Relative scatter of the amplifiers' gains about the detector's, in 0..=0.2.
    pub amplifier_gain_scatter: f64,
    /// Relative scatter of their read noises, in 0..=0.3.
    pub amplifier_read_noise_scatter: f64,
    /// Charge above saturation flows along the column; false: it is lost.
    pub bleed: bool,
    /// Cosmic rays are masked (`CR`); false: only their charge is there, for studies of artifact rejection.
    pub cosmic_rays_flagged: bool,
    /// Satellite trails a visit, the mean number, in 0..=1000.
    pub satellites: f64,
    /// Their peak \[electrons per pixel\], log-uniform, in 0.001..=1e7.
    pub satellite_e: [f64; 2],
    /// Their own width \[arcsec\], uniform, in 0..=60: satellites are out of focus; the seeing is added.
    pub satellite_width_arcsec: [f64; 2],
    /// Satellite trails are masked (`CR`, for want of a plane of their own).
    pub satellites_flagged: bool,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            amplifiers: [1, 1],
            amplifier_gain_scatter: 0.0,
            amplifier_read_noise_scatter: 0.0,
            bleed: false,
            cosmic_rays_flagged: true,
            satellites: 0.0,
            satellite_e: [50.0, 2000.0],
            satellite_width_arcsec: [0.0, 2.0],
            satellites_flagged: true,
        }
    }
}

impl DetectorConfig {
    /// Amplifiers are checked with the size of the detector.
    pub(crate) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.detector", key, is_good, found, expected);
        c("satellites", (0.0..=1000.0).contains(&self.satellites), &self.satellites, "0..=1000")?;
        c("satellite_e", is_range(self.satellite_e, 1e-3, 1e7), &self.satellite_e, "[low, high] in 0.001..=1e7 electrons")?;
        let width = self.satellite_width_arcsec;
        c("satellite_width_arcsec", is_range(width, 0.0, 60.0), &width, "[low, high] in 0..=60 arcsec")
    }
}

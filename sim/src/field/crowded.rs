//! A crowded field of stars: a globular cluster's outskirts, a dwarf galaxy, the bulge.

use super::check_bands;
use super::survey::{anywhere, area_arcmin2, poisson};
use crate::SimError;
use crate::error::{check, is_range};
use crate::population::{Draws, Source, sed, stars};
use fathom::geometry::Tract;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of the field `crowded`: section `[sky.crowded]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrowdedConfig {
    /// Stars per square degree, in the whole range of magnitudes.
    pub stars_per_deg2: f64,
    /// Range of i magnitudes.
    pub magnitude_range: [f64; 2],
    /// Slope of the counts: dN/dm ∝ 10^(slope m).
    pub slope: f64,
    /// Distance of all stars \[kpc\]: it fixes their colours, parallax and the scale of their motions.
    pub distance_kpc: f64,
    /// At which the positions hold \[MJD\].
    pub epoch_mjd: f64,
}

impl Default for CrowdedConfig {
    fn default() -> Self {
        Self { stars_per_deg2: 1e6, magnitude_range: [17.0, 25.0], slope: 0.25, distance_kpc: 10.0, epoch_mjd: 60_005.0 }
    }
}

impl CrowdedConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.crowded", key, is_good, found, expected);
        c("stars_per_deg2", (0.0..=1e9).contains(&self.stars_per_deg2), &self.stars_per_deg2, "0..=1e9")?;
        c("magnitude_range", is_range(self.magnitude_range, 5.0, 35.0), &self.magnitude_range, "[low, high] in 5..=35")?;
        c("slope", (0.001..=2.0).contains(&self.slope), &self.slope, "0.001..=2")?;
        c("distance_kpc", (0.01..=2000.0).contains(&self.distance_kpc), &self.distance_kpc, "0.01..=2000 kpc")?;
        c("epoch_mjd", (0.0..=1e6).contains(&self.epoch_mjd), &self.epoch_mjd, "0..=1e6 d")
    }
}

pub(super) fn sources(config: &CrowdedConfig, tract: &Tract, bands: &[String], seed: u64, arm: u64) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_bands = sed::indices("crowded", bands)?;
    let draws = Draws { seed, arm };
    let mean = config.stars_per_deg2 * area_arcmin2(tract) / 3600.0;
    check("sky.crowded", "stars_per_deg2", mean < 9e7, config.stars_per_deg2, "fewer than 9e7 stars on the tract")?;
    let [low, high] = config.magnitude_range;
    let k = config.slope * std::f64::consts::LN_10;
    let magnitude = |number| low + (draws.of("star/magnitude", number).random::<f64>() * (k * (high - low)).exp_m1()).ln_1p() / k;
    let star = |n| stars::cluster_star(draws, n, anywhere(draws, tract, n), magnitude(n), config.distance_kpc, config.epoch_mjd, &i_bands);
    Ok((0..poisson(draws, "crowded", mean)).into_par_iter().map(star).collect())
}

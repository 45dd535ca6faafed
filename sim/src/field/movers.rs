//! Bodies of the solar system, from motions that no single epoch shows up to trails, among the stars of a survey.

use super::survey::{self, FIRST_OTHER, anywhere, area_arcmin2, poisson};
use super::{SurveyConfig, check_bands};
use crate::error::{check, is_range};
use crate::population::{Draws, Source, movers, sed};
use crate::{ExposureDepth, SimError};
use fathom::geometry::Tract;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Settings of the field `movers`: section `[sky.movers]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoversConfig {
    /// Movers per arcmin² of the tract.
    pub density_per_arcmin2: f64,
    /// Range of i magnitudes, uniform.
    pub magnitude_range: [f64; 2],
    /// FWHM that rates are in units of \[arcsec\].
    pub fwhm_arcsec: f64,
    /// Time between epochs \[d\].
    pub epoch_d: f64,
    /// Rates of the slow ones \[FWHM per epoch\], log-uniform.
    pub slow_fwhm_per_epoch: [f64; 2],
    /// Share of fast ones: each crosses its place in the middle of one of the exposures.
    pub trail_fraction: f64,
    /// Lengths of their trails \[FWHM per exposure\], log-uniform.
    pub trail_fwhm: [f64; 2],
    /// Time of an exposure that these lengths are for \[s\].
    pub exposure_time_s: f64,
    /// Stars besides, as `star_density` of the survey.
    pub star_density: f64,
}

impl Default for MoversConfig {
    fn default() -> Self {
        Self {
            density_per_arcmin2: 20.0,
            magnitude_range: [20.0, 25.0],
            fwhm_arcsec: 0.8,
            epoch_d: 1.0,
            slow_fwhm_per_epoch: [0.02, 5.0],
            trail_fraction: 0.3,
            trail_fwhm: [1.0, 20.0],
            exposure_time_s: 60.0,
            star_density: 1.0,
        }
    }
}

impl MoversConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.movers", key, is_good, found, expected);
        c("density_per_arcmin2", (0.0..=1e5).contains(&self.density_per_arcmin2), &self.density_per_arcmin2, "0..=1e5")?;
        c("magnitude_range", is_range(self.magnitude_range, 5.0, 35.0), &self.magnitude_range, "[low, high] in 5..=35")?;
        c("fwhm_arcsec", (0.01..=60.0).contains(&self.fwhm_arcsec), &self.fwhm_arcsec, "0.01..=60 arcsec")?;
        c("epoch_d", (1e-6..=1e5).contains(&self.epoch_d), &self.epoch_d, "1e-6..=1e5 d")?;
        let slow = self.slow_fwhm_per_epoch;
        c("slow_fwhm_per_epoch", is_range(slow, 1e-6, 1e6), &slow, "[low, high] in 1e-6..=1e6")?;
        c("trail_fraction", (0.0..=1.0).contains(&self.trail_fraction), &self.trail_fraction, "0..=1")?;
        c("trail_fwhm", is_range(self.trail_fwhm, 1e-6, 1e4), &self.trail_fwhm, "[low, high] in 1e-6..=1e4")?;
        c("exposure_time_s", (1e-3..=1e6).contains(&self.exposure_time_s), &self.exposure_time_s, "0.001..=1e6 s")?;
        c("star_density", (0.0..=1e4).contains(&self.star_density), &self.star_density, "0..=1e4")
    }
}

/// Regimes: `slow` and `trail`. The time at which a slow one is at its place is the middle of the survey's `mjd_range`.
pub(super) fn sources(
    config: &MoversConfig,
    background: &SurveyConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_bands = sed::indices("movers", bands)?;
    let draws = Draws { seed, arm };
    let stars_only = SurveyConfig {
        galaxy_density: 0.0,
        quasar_density: 0.0,
        variable_fraction: 0.0,
        transients_per_arcmin2: 0.0,
        movers_per_arcmin2: 0.0,
        star_density: config.star_density,
        ..background.clone()
    };
    let mut sources = survey::sources(&stars_only, tract, bands, seed, arm)?;
    let middle = 0.5 * (background.mjd_range[0] + background.mjd_range[1]);
    let n = poisson(draws, "movers field", config.density_per_arcmin2 * area_arcmin2(tract));
    check("sky.movers", "density_per_arcmin2", n < 10_000_000, config.density_per_arcmin2, "fewer than 1e7 on the tract")?;
    for number in FIRST_OTHER..FIRST_OTHER + n {
        let mut rng = draws.of("mover", number);
        let mut within = |[low, high]: [f64; 2]| low * (high / low).powf(rng.random());
        let (slow, trail) = (within(config.slow_fwhm_per_epoch), within(config.trail_fwhm));
        let [bright, faint] = config.magnitude_range;
        let magnitude = bright + (faint - bright) * rng.random::<f64>();
        let is_trail = rng.random::<f64>() < config.trail_fraction;
        let (rate_arcsec_d, epoch_mjd) = if is_trail {
            let epoch = if exposures.is_empty() { middle } else { exposures[rng.random_range(0..exposures.len())].mjd() };
            (trail * config.fwhm_arcsec / config.exposure_time_s * 86_400.0, epoch)
        } else {
            (slow * config.fwhm_arcsec / config.epoch_d, middle)
        };
        let mut source = movers::mover(draws, number, anywhere(draws, tract, number), magnitude, rate_arcsec_d, epoch_mjd, &i_bands);
        source.regime = if is_trail { "trail" } else { "slow" }.into();
        sources.push(source);
    }
    Ok(sources)
}

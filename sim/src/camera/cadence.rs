//! When visits are taken, and where they point.

use super::pointings::Pointings;
use super::seeing::Seeing;
use super::{CameraConfig, Streams, in_disc};
use crate::SimError;
use crate::error::check;
use fathom::geometry::SkyPoint;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// When visits are taken: section `[camera.cadence]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CadenceConfig {
    /// MJD (TAI) of the first night, in 0..=200000.
    pub start_mjd: f64,
    /// Days from the first to the last night, in 0..=40000; 0: one night after the other.
    pub span_days: f64,
    /// Visits of a band in the same night, 1..=1000.
    pub visits_per_night: usize,
    /// A file with a row a visit (CSV or HDF5) instead of all the above, `camera.n_exposures`, dithers and rotations; empty: none.
    pub pointings: String,
}

impl Default for CadenceConfig {
    fn default() -> Self {
        Self { start_mjd: 60_000.0, span_days: 0.0, visits_per_night: 1, pointings: String::new() }
    }
}

impl CadenceConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.cadence", key, is_good, found, expected);
        c("start_mjd", (0.0..=200_000.0).contains(&self.start_mjd), &self.start_mjd, "days in 0..=200000")?;
        c("span_days", (0.0..=40_000.0).contains(&self.span_days), &self.span_days, "days in 0..=40000")?;
        c("visits_per_night", (1..=1000).contains(&self.visits_per_night), &self.visits_per_night, "1..=1000")
    }

    /// The night of a visit, in days from the first: whole numbers, evenly spread over the span.
    fn night(&self, visit: usize, n_visits: usize) -> f64 {
        let (night, last) = (visit / self.visits_per_night, (n_visits - 1) / self.visits_per_night);
        if self.span_days > 0.0 && last > 0 { (night as f64 / last as f64 * self.span_days).round() } else { night as f64 }
    }
}

/// One pointing of the whole camera.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// Number in its band, from 0.
    pub(super) number: usize,
    pub(super) band: String,
    pub(super) mjd: f64,
    pub(super) pointing: SkyPoint,
    pub(super) rotation_deg: f64,
    /// FWHM before the pixel response.
    pub(super) seeing_arcsec: f64,
    /// Electrons per pixel at the middle of the focal plane.
    pub(super) sky_e: f64,
    /// AB magnitude of one count; none: drawn, exposure by exposure.
    pub(super) zero_point: Option<f64>,
    pub(super) exposure_time_s: f64,
}

/// All visits of all bands, from the settings or from the table.
///
/// # Errors
/// [`SimError`] if a table cannot be used.
pub(super) fn visits(config: &CameraConfig, center: SkyPoint, bands: &[String], seed: u64) -> Result<Vec<Visit>, SimError> {
    let seeing = Seeing::new(config)?;
    let table = &config.cadence.pointings;
    let pointings = (!table.is_empty()).then(|| Pointings::open(Path::new(table), bands)).transpose()?;
    let mut visits = Vec::new();
    for band in bands {
        let rows = pointings.as_ref().map(|p| p.of_band(band));
        let n_visits = rows.as_ref().map_or(config.n_exposures, Vec::len);
        for number in 0..n_visits {
            let streams = Streams { seed, band, visit: number };
            let row = rows.as_ref().map(|rows| rows[number]);
            let (east, north) = in_disc(&mut streams.stream("dither"), config.dither_arcsec);
            let factor = config.sky.band_factor.get(band).copied().unwrap_or(1.0);
            visits.push(Visit {
                number,
                band: band.clone(),
                mjd: row.map_or_else(
                    // Somewhere in the night.
                    || config.cadence.start_mjd + config.cadence.night(number, n_visits) + streams.within("mjd", [0.1, 0.4]),
                    |r| r.mjd,
                ),
                pointing: row.map_or_else(|| center.offset_by_arcsec(east, north), |r| r.pointing),
                rotation_deg: row
                    .and_then(|r| r.rotation_deg)
                    .unwrap_or_else(|| streams.within("rotation", [-config.rotation_deg, config.rotation_deg])),
                seeing_arcsec: row.and_then(|r| r.seeing_arcsec).unwrap_or_else(|| seeing.draw(&streams)),
                sky_e: row.and_then(|r| r.sky_e).unwrap_or_else(|| factor * streams.within("sky", config.sky_e)),
                zero_point: row.and_then(|r| r.zero_point),
                exposure_time_s: row.and_then(|r| r.exposure_time_s).unwrap_or(config.exposure_time_s),
            });
        }
    }
    Ok(visits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cadence: CadenceConfig) -> Vec<f64> {
        let config = CameraConfig { n_exposures: 9, cadence, ..CameraConfig::default() };
        visits(&config, SkyPoint::from_degrees(10.0, 20.0), &["r".into()], 3).unwrap().iter().map(|v| v.mjd).collect()
    }

    /// Nights are whole days, the hours of darkness a part of them; the span is kept.
    #[test]
    fn nights_are_spread_over_the_span() {
        let nights = |mjd: Vec<f64>| mjd.iter().map(|t| t.floor()).collect::<Vec<_>>();
        assert_eq!(nights(at(CadenceConfig::default())), (0..9).map(|i| 60_000.0 + f64::from(i)).collect::<Vec<_>>());
        let years = nights(at(CadenceConfig { span_days: 3652.0, visits_per_night: 3, ..CadenceConfig::default() }));
        assert_eq!(years, [0, 0, 0, 1826, 1826, 1826, 3652, 3652, 3652].map(|d| 60_000.0 + f64::from(d)));
    }
}

//! Movers: bodies of the solar system, from hardly moving to trails.

use super::{Draws, Motion, Source};
use fathom::geometry::SkyPoint;
use fathom::image::flux_njy;
use rand::RngExt;
use std::f64::consts::TAU;

/// 1 arcsec/d in mas/yr (Julian year).
pub(crate) const MAS_YR_PER_ARCSEC_D: f64 = 1000.0 * 365.25;

/// Colours of reflected sunlight, u g r i z y relative to i (Willmer 2018, ApJS 236, 47: the Sun; C and S asteroids within 0.1 mag).
const SUN: [f64; 6] = [1.90, 0.55, 0.11, 0.0, -0.02, -0.03];

/// Body `number` of an i magnitude that passes `position` at `epoch_mjd` with a rate in a random direction.
pub(crate) fn mover(
    draws: Draws,
    number: u64,
    position: SkyPoint,
    magnitude: f64,
    rate_arcsec_d: f64,
    epoch_mjd: f64,
    i_bands: &[usize],
) -> Source {
    let angle = TAU * draws.of("mover/direction", number).random::<f64>();
    let mut source = Source::star(number, position, i_bands.iter().map(|&b| flux_njy(magnitude + SUN[b])).collect());
    source.class = "mover";
    source.sed = "sun";
    let rate = rate_arcsec_d * MAS_YR_PER_ARCSEC_D;
    source.motion = Motion { epoch_mjd, pm_ra_mas_yr: rate * angle.sin(), pm_dec_mas_yr: rate * angle.cos(), parallax_mas: 0.0 };
    source
}

//! Variables: periodic stars and irregular active nuclei.

use super::sed::Template;
use super::{Draws, Source, Variability};
use crate::noise::normal;
use fathom::geometry::SkyPoint;
use fathom::image::flux_njy;
use rand::RngExt;
use std::ops::RangeInclusive;

/// Periods of variable stars \[d\]: from RR Lyrae and contact binaries to long-period ones, log-uniform.
const PERIOD_D: RangeInclusive<f64> = 0.2..=100.0;

/// Makes a star periodic: a sine with a random phase before `epoch_mjd`.
pub(crate) fn make_periodic(draws: Draws, star: &mut Source, epoch_mjd: f64) {
    let mut rng = draws.of("variable", star.number);
    let (u, v, w): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
    let period_d = PERIOD_D.start() * (PERIOD_D.end() / PERIOD_D.start()).powf(u);
    star.class = "variable";
    star.variability = Variability { kind: "sine", period_d, amplitude_mag: 0.05 + 0.45 * v, t0_mjd: epoch_mjd - w * period_d };
}

/// An active nucleus of an i magnitude: a blue point whose flux is a damped random walk, at rest.
///
/// # Source
/// MacLeod et al. 2010, ApJ 721, 1014: damping times near 200 d in the rest frame, asymptotic scatter near 0.2 mag; both lognormal.
/// Redshifts: the range of Palanque-Delabrouille et al. 2016, A&A 587, A41, around 1.6.
pub(crate) fn quasar(draws: Draws, number: u64, position: SkyPoint, magnitude: f64, epoch_mjd: f64, i_bands: &[usize]) -> Source {
    let mut rng = draws.of("quasar", number);
    let redshift = (1.6 + 0.8 * normal(&mut rng)).clamp(0.2, 4.0);
    let flux = flux_njy(magnitude);
    let mut source = Source::star(number, position, i_bands.iter().map(|&b| flux * Template::Quasar.relative_to_i(b, redshift)).collect());
    source.class = "variable";
    source.sed = Template::Quasar.name();
    source.redshift = redshift;
    source.motion.epoch_mjd = epoch_mjd;
    source.variability = Variability {
        kind: "walk",
        period_d: 200.0 * (0.5 * normal(&mut rng)).exp() * (1.0 + redshift),
        amplitude_mag: 0.2 * (0.3 * normal(&mut rng)).exp(),
        t0_mjd: epoch_mjd,
    };
    source
}

//! Transients: supernovae, on a galaxy or alone.

use super::sed::Template;
use super::{Draws, Source, Variability, interpolate};
use crate::noise::normal;
use fathom::geometry::SkyPoint;
use fathom::image::flux_njy;
use rand::RngExt;
use std::f64::consts::TAU;

/// Supernova `number` at a random time of `mjd_range`: on `host`, or at `position` without one.
///
/// Absolute magnitude at maximum -18.3 ± 0.9 in i (the mean of thermonuclear and core-collapse ones; Richardson et al. 2014, AJ 147, 118), an
/// e-folding time of 25 d in its own frame, a place within the light of the host (an exponential disc, flattened as the host is).
pub(crate) fn supernova(
    draws: Draws,
    number: u64,
    position: SkyPoint,
    host: Option<&Source>,
    mjd_range: [f64; 2],
    i_bands: &[usize],
) -> Source {
    let mut rng = draws.of("transient", number);
    let [begin, end] = mjd_range;
    let t0_mjd = begin + (end - begin) * rng.random::<f64>();
    let absolute = -18.3 + 0.9 * normal(&mut rng).clamp(-2.5, 2.5);
    let (u, v, w): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
    let angle = TAU * rng.random::<f64>();
    let redshift = host.map_or(0.1 + 0.9 * u, |h| h.redshift).clamp(0.01, 2.0);
    let position = host.map_or(position, |h| {
        // Radius of an exponential disc: the sum of two exponential draws, in its scale length r_half / 1.678.
        let r = h.half_light_radius_arcsec / 1.678 * -(v.max(1e-6) * w.max(1e-6)).ln();
        let (along, across) = (r * angle.cos(), r * angle.sin() * h.axis_ratio);
        let (sin, cos) = h.position_angle_deg.to_radians().sin_cos();
        h.position.offset_by_arcsec(along * sin + across * cos, along * cos - across * sin)
    });
    // No K-correction in i itself: a supernova at maximum is nearly flat there.
    let flux = flux_njy(absolute + distance_modulus(redshift));
    let fluxes = i_bands.iter().map(|&b| flux * Template::Supernova.relative_to_i(b, redshift)).collect();
    let mut source = Source::star(number, position, fluxes);
    source.class = "transient";
    source.sed = Template::Supernova.name();
    source.redshift = redshift;
    source.host = host.map(|h| h.number);
    source.motion.epoch_mjd = t0_mjd;
    source.variability = Variability { kind: "transient", period_d: 25.0 * (1.0 + redshift), amplitude_mag: 0.0, t0_mjd };
    source
}

/// Distance modulus in a flat universe with H_0 = 70 km/s/Mpc and Ω_m = 0.3, to 0.02 mag (tabulated).
pub(crate) fn distance_modulus(redshift: f64) -> f64 {
    const TABLE: [(f64, f64); 14] = [
        (0.01, 33.16),
        (0.02, 34.69),
        (0.05, 36.73),
        (0.1, 38.31),
        (0.2, 39.95),
        (0.3, 40.95),
        (0.4, 41.68),
        (0.5, 42.26),
        (0.7, 43.16),
        (1.0, 44.10),
        (1.4, 45.02),
        (2.0, 45.97),
        (3.0, 47.02),
        (5.5, 48.63),
    ];
    interpolate(&TABLE.map(|(z, m)| (f64::log10(z), m)), redshift.log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of 1/E(z), by the midpoint rule; straight lines in log z are good to 0.05 mag.
    #[test]
    fn distances_are_those_of_the_flat_universe() {
        for z in [0.05, 0.15, 0.6, 1.2, 2.5] {
            let n = 2000;
            let step = z / f64::from(n);
            let comoving: f64 = (0..n).map(|i| step / (0.3 * (1.0 + step * (f64::from(i) + 0.5)).powi(3) + 0.7).sqrt()).sum();
            let modulus = 5.0 * (2.998e5 / 70.0 * comoving * (1.0 + z)).log10() + 25.0;
            assert!((distance_modulus(z) - modulus).abs() < 0.06, "{z}: {} against {modulus}", distance_modulus(z));
        }
    }
}

//! Stars: from the i magnitude to colour, distance and motion.

use super::{Draws, Motion, Source, interpolate};
use crate::noise::normal;
use fathom::geometry::SkyPoint;
use fathom::image::flux_njy;
use rand::{Rng, RngExt};

/// The main stellar locus: g-i, then u-g, g-r, i-z, z-y; r-i is what is left of g-i.
///
/// # Source
/// Covey et al. 2007, AJ 134, 2398, Table 4 (SDSS; g-r, r-i, i-z); u-g and z-y in LSST's bands from the medians of TRILEGAL (Girardi et al. 2005,
/// A&A 436, 895).
const LOCUS: [(f64, [f64; 4]); 11] = [
    (-0.6, [-0.10, -0.38, -0.20, -0.10]),
    (0.2, [0.85, 0.17, 0.00, -0.01]),
    (0.6, [0.99, 0.44, 0.05, 0.02]),
    (1.0, [1.60, 0.73, 0.13, 0.07]),
    (1.4, [2.03, 0.99, 0.21, 0.11]),
    (1.8, [2.40, 1.23, 0.28, 0.14]),
    (2.2, [2.65, 1.37, 0.42, 0.20]),
    (2.6, [2.80, 1.42, 0.62, 0.29]),
    (3.0, [2.95, 1.43, 0.84, 0.38]),
    (3.4, [3.10, 1.45, 1.03, 0.47]),
    (4.2, [3.30, 1.61, 1.30, 0.65]),
];

/// Absolute i magnitude of the main sequence against g-i.
///
/// # Source
/// Ivezić et al. 2008, ApJ 684, 287, equation A7 at [Fe/H] near -1 for g-i < 1.5; Bochanski et al. 2010, AJ 139, 2679 for M dwarfs.
const ABSOLUTE_I: [(f64, f64); 9] =
    [(-0.6, 11.0), (0.2, 3.6), (0.5, 4.6), (1.0, 6.4), (1.5, 7.6), (2.0, 8.5), (2.5, 9.9), (3.0, 11.6), (4.2, 14.6)];

/// Shares of halo and thick-disc turn-off stars, of K dwarfs (the rest are M dwarfs) against i magnitude.
///
/// # Source
/// TRILEGAL (as above) at a galactic latitude near -50 degrees, by thirds of g-i.
const BLUE: [(f64, f64); 5] = [(15.0, 0.62), (17.0, 0.50), (19.0, 0.42), (23.0, 0.38), (27.0, 0.34)];
const MIDDLE: [(f64, f64); 5] = [(15.0, 0.22), (19.0, 0.17), (21.0, 0.15), (23.0, 0.26), (27.0, 0.57)];

/// Fainter by this \[mag\] than [`ABSOLUTE_I`] against i magnitude: faint stars are far ones, and those are metal-poor subdwarfs.
///
/// # Source
/// Ivezić et al. 2008, equation A2: 0.9 mag from [Fe/H] = -0.6 to -1.5.
const SUBDWARF: [(f64, f64); 3] = [(16.0, 0.0), (20.0, 0.5), (24.0, 1.0)];

/// Mean g-i of the turn-off component: beyond the edge of the halo only less massive stars are left at a faint magnitude.
const TURN_OFF: [(f64, f64); 3] = [(20.0, 0.60), (24.0, 0.75), (27.0, 1.00)];

/// Where a star of the locus stands; magnitudes in u g r i z y relative to i.
fn relative_magnitudes(g_i: f64) -> [f64; 6] {
    let column = |k: usize| interpolate(&LOCUS.map(|(x, c)| (x, c[k])), g_i);
    let (u_g, g_r, i_z, z_y) = (column(0), column(1), column(2), column(3));
    [u_g + g_i, g_i, g_i - g_r, 0.0, -i_z, -i_z - z_y]
}

/// Scatter about the locus \[mag\], each band: metallicity and binaries.
const SCATTER_MAG: f64 = 0.03;

/// Star `number` of an i magnitude, in the bands with these indices of [`super::sed::BANDS`]; its position holds at `epoch_mjd`.
pub(crate) fn star(draws: Draws, number: u64, position: SkyPoint, magnitude: f64, epoch_mjd: f64, i_bands: &[usize]) -> Source {
    let mut rng = draws.of("star", number);
    let u: f64 = rng.random();
    let (blue, middle) = (interpolate(&BLUE, magnitude), interpolate(&MIDDLE, magnitude));
    let colour = normal(&mut rng);
    let g_i = if u < blue {
        (interpolate(&TURN_OFF, magnitude) + 0.25 * colour).max(0.25)
    } else if u < blue + middle {
        1.45 + 0.30 * colour
    } else {
        2.5 + 0.55 * colour
    }
    .clamp(0.1, 4.1);
    // Main-sequence scatter and unresolved binaries.
    let absolute = interpolate(&ABSOLUTE_I, g_i) + interpolate(&SUBDWARF, magnitude) + 0.3 * normal(&mut rng);
    // Nothing nearer than a parsec, nor beyond the halo.
    let distance_pc = 10f64.powf(0.2 * (magnitude - absolute + 5.0)).clamp(1.3, 150_000.0);
    let mut source = Source::star(number, position, fluxes(draws, number, magnitude, g_i, i_bands));
    source.motion = motion(distance_pc, velocity_km_s(distance_pc), epoch_mjd, &mut rng);
    source.sed = "star";
    source
}

/// Star `number` of a system at one distance, as [`star`]: main sequence below the turn-off, giants above.
pub(crate) fn cluster_star(
    draws: Draws,
    number: u64,
    position: SkyPoint,
    magnitude: f64,
    distance_kpc: f64,
    epoch_mjd: f64,
    i_bands: &[usize],
) -> Source {
    let mut rng = draws.of("star", number);
    let absolute = magnitude - 5.0 * (distance_kpc * 100.0).log10();
    // The inverse of the main sequence; above the turn-off, the giant branch: the brighter, the redder.
    let turn_off = 3.8;
    let g_i = if absolute > turn_off {
        let i = ABSOLUTE_I.iter().skip(1).position(|(_, m)| *m > absolute).map_or(ABSOLUTE_I.len() - 1, |i| i + 1).max(2);
        let ((x0, y0), (x1, y1)) = (ABSOLUTE_I[i - 1], ABSOLUTE_I[i]);
        (x0 + (x1 - x0) * (absolute - y0) / (y1 - y0)).min(4.1)
    } else {
        (0.75 + 0.11 * (turn_off - absolute)).min(2.0)
    };
    let scattered = g_i + 0.04 * normal(&mut rng);
    let mut source = Source::star(number, position, fluxes(draws, number, magnitude, scattered, i_bands));
    source.motion = motion(distance_kpc * 1000.0, 100.0, epoch_mjd, &mut rng);
    source.sed = "star";
    source
}

fn fluxes(draws: Draws, number: u64, magnitude: f64, g_i: f64, i_bands: &[usize]) -> Vec<f64> {
    let relative = relative_magnitudes(g_i);
    // All six are drawn: no band changes another.
    let mut rng = draws.of("star/scatter", number);
    let scatter: [f64; 6] = std::array::from_fn(|b| if b == 3 { 0.0 } else { SCATTER_MAG * normal(&mut rng) });
    i_bands.iter().map(|&b| flux_njy(magnitude + relative[b] + scatter[b])).collect()
}

/// One-dimensional velocity dispersion relative to the Sun: thin disc, thick disc, halo by the distance (Bond et al. 2010, ApJ 716, 1).
fn velocity_km_s(distance_pc: f64) -> f64 {
    interpolate(&[(300.0, 35.0), (1500.0, 60.0), (4000.0, 110.0), (10_000.0, 150.0)], distance_pc)
}

/// Motion of a velocity drawn with a dispersion, at a distance: μ \[arcsec/yr\] = v / (4.74 d \[pc\]).
fn motion(distance_pc: f64, dispersion_km_s: f64, epoch_mjd: f64, rng: &mut impl Rng) -> Motion {
    let per_axis = || 1000.0 * dispersion_km_s / (4.74 * distance_pc);
    let (ra, dec) = (normal(rng), normal(rng));
    Motion { epoch_mjd, pm_ra_mas_yr: per_axis() * ra, pm_dec_mas_yr: per_axis() * dec, parallax_mas: 1000.0 / distance_pc }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parallax and motion belong to one distance, and the distance to a main-sequence star of that colour.
    #[test]
    fn distance_colour_and_motion_agree() {
        let at = SkyPoint::from_degrees(10.0, 0.0);
        let stars: Vec<Source> = (0..3000).map(|i| star(Draws { seed: 1, arm: 0 }, i, at, 20.0, 60_000.0, &[1, 2, 3, 4])).collect();
        let mut squares = 0.0;
        for s in &stars {
            let distance_pc = 1000.0 / s.motion.parallax_mas;
            let g_i = -2.5 * (s.flux_njy[0] / s.flux_njy[2]).log10();
            let absolute = 20.0 - 5.0 * (distance_pc / 10.0).log10();
            // 0.3 mag scatter of its own, and the slope of 8 mag a mag of the bluest stars times 0.03.
            assert!((absolute - interpolate(&ABSOLUTE_I, g_i) - 0.5).abs() < 1.8, "{g_i} {absolute}");
            let v = s.motion.pm_ra_mas_yr * 4.74 * distance_pc / 1000.0;
            squares += (v / velocity_km_s(distance_pc)).powi(2);
            assert!(s.flux_njy.iter().all(|f| *f > 0.0));
        }
        assert!((squares / 3000.0 - 1.0).abs() < 4.0 * (2.0f64 / 3000.0).sqrt());
        let red = stars.iter().filter(|s| s.flux_njy[2] > 6.0 * s.flux_njy[0]).count();
        // M dwarfs (g-i > 1.95) are 0.43 at i = 20, less those in the blue tail of theirs, with some K dwarfs.
        assert!((900..1500).contains(&red), "{red}");
    }

    /// Fixed points: an M3 dwarf of Covey et al. has g-r = 1.43, r-i = 1.4, i-z = 0.8 near g-i = 2.85.
    #[test]
    fn locus_passes_m_dwarfs() {
        let m = relative_magnitudes(2.85);
        assert!((m[1] - m[2] - 1.43).abs() < 0.05 && (m[2] - 1.42).abs() < 0.05 && (-m[4] - 0.76).abs() < 0.06, "{m:?}");
    }
}

//! The field `survey`: the sky of a deep survey at a high galactic latitude, in physical magnitudes.

use super::check_bands;
use crate::SimError;
use crate::error::{check, is_range};
use crate::population::clustering::Clustering;
use crate::population::counts::{Counts, GALAXIES, QUASARS, STARS};
use crate::population::{Draws, Source, galaxies, movers, sed, stars, transients, variables};
use fathom::geometry::{PixelPoint, SkyPoint, Tract};
use rand::RngExt;
use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of the field `survey`: section `[sky.survey]`.
///
/// Magnitudes are AB in i, whatever the exposures; bands are u, g, r, i, z, y. Numbers of objects are Poisson, with the means of the counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SurveyConfig {
    /// Range of i magnitudes of galaxies, stars and quasars, inside 13..=30.
    pub magnitude_range: [f64; 2],
    /// Factor on the counts of galaxies; 0: none.
    pub galaxy_density: f64,
    /// Angular correlation function of galaxies at one arcmin (it falls as θ^-0.8), in 0..=2; 0: random positions.
    pub clustering: f64,
    /// Factor on the counts of stars.
    pub star_density: f64,
    /// Factor on the counts of quasars.
    pub quasar_density: f64,
    /// Share of the stars that are periodic.
    pub variable_fraction: f64,
    /// Supernovae that are brightest within `mjd_range`, of any magnitude \[per arcmin²\].
    pub transients_per_arcmin2: f64,
    /// Share of them that lie on a galaxy.
    pub transient_host_fraction: f64,
    /// Bodies of the solar system \[per arcmin²\].
    pub movers_per_arcmin2: f64,
    /// Range of their rates \[arcsec/h\], log-uniform.
    pub mover_rate_arcsec_h: [f64; 2],
    /// Time that the exposures span \[MJD\]: stars have their catalog positions in its middle, transients and movers come within it.
    pub mjd_range: [f64; 2],
}

impl Default for SurveyConfig {
    fn default() -> Self {
        Self {
            magnitude_range: [16.0, 27.0],
            galaxy_density: 1.0,
            clustering: 0.05,
            star_density: 1.0,
            quasar_density: 1.0,
            variable_fraction: 0.03,
            transients_per_arcmin2: 0.3,
            transient_host_fraction: 0.8,
            movers_per_arcmin2: 0.1,
            mover_rate_arcsec_h: [0.5, 60.0],
            mjd_range: [60_000.0, 60_010.0],
        }
    }
}

impl SurveyConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.survey", key, is_good, found, expected);
        let in_range = |v: f64, min: f64, max: f64| (min..=max).contains(&v);
        let [low, high] = self.magnitude_range;
        c("magnitude_range", is_range([low, high], 13.0, 30.0) && low < high, &self.magnitude_range, "[low, high] in 13..=30")?;
        c("galaxy_density", in_range(self.galaxy_density, 0.0, 100.0), &self.galaxy_density, "0..=100")?;
        c("clustering", in_range(self.clustering, 0.0, 2.0), &self.clustering, "0..=2")?;
        c("star_density", in_range(self.star_density, 0.0, 1e4), &self.star_density, "0..=1e4")?;
        c("quasar_density", in_range(self.quasar_density, 0.0, 1e4), &self.quasar_density, "0..=1e4")?;
        c("variable_fraction", in_range(self.variable_fraction, 0.0, 1.0), &self.variable_fraction, "0..=1")?;
        c("transients_per_arcmin2", in_range(self.transients_per_arcmin2, 0.0, 1e4), &self.transients_per_arcmin2, "0..=1e4")?;
        c("transient_host_fraction", in_range(self.transient_host_fraction, 0.0, 1.0), &self.transient_host_fraction, "0..=1")?;
        c("movers_per_arcmin2", in_range(self.movers_per_arcmin2, 0.0, 1e4), &self.movers_per_arcmin2, "0..=1e4")?;
        let rate = self.mover_rate_arcsec_h;
        c("mover_rate_arcsec_h", is_range(rate, 1e-6, 1e5), &rate, "[low, high] in 1e-6..=1e5 arcsec/h")?;
        c("mjd_range", is_range(self.mjd_range, 0.0, 1e6), &self.mjd_range, "[first, last] in 0..=1e6 d")
    }
}

/// Numbers of the kinds start here: an object keeps its number, and with it all its draws, whatever the other kinds hold.
const FIRST_STAR: u64 = 60_000_000;
const FIRST_QUASAR: u64 = 80_000_000;
const FIRST_TRANSIENT: u64 = 85_000_000;
const FIRST_MOVER: u64 = 88_000_000;
/// Other fields that hold a survey's background number their own objects from here.
pub(super) const FIRST_OTHER: u64 = 90_000_000;

pub(super) fn sources(config: &SurveyConfig, tract: &Tract, bands: &[String], seed: u64, arm: u64) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_bands = sed::indices("survey", bands)?;
    let draws = Draws { seed, arm };
    let area_arcmin2 = area_arcmin2(tract);
    let numbers = |what: &str, mean: f64, first: u64, end: u64| -> Result<std::ops::Range<u64>, SimError> {
        let n = poisson(draws, what, mean);
        check("sky.survey", what, n <= end - first, n, &format!("at most {} objects of this kind an arm", end - first))?;
        Ok(first..first + n)
    };
    let per_arcmin2 = |counts: Counts| counts.between(config.magnitude_range) / 3600.0 * area_arcmin2;
    let magnitude = |counts: Counts, what: &'static str| {
        let sampler = counts.sampler(config.magnitude_range);
        move |number: u64| sampler.quantile(draws.of(what, number).random())
    };
    let middle = 0.5 * (config.mjd_range[0] + config.mjd_range[1]);
    let anywhere = |number: u64| anywhere(draws, tract, number);

    let numbers_galaxies = numbers("galaxies", config.galaxy_density * per_arcmin2(GALAXIES), 0, FIRST_STAR)?;
    let clustering = Clustering::new(draws, tract, config.clustering);
    let galaxy_magnitude = magnitude(GALAXIES, "galaxy/magnitude");
    let mut sources: Vec<Source> = numbers_galaxies
        .into_par_iter()
        .map(|n| galaxies::galaxy(draws, n, tract.wcs().pixel_to_sky(clustering.position(n)), galaxy_magnitude(n), &i_bands))
        .collect();

    let star_magnitude = magnitude(STARS, "star/magnitude");
    let numbers_stars = numbers("stars", config.star_density * per_arcmin2(STARS), FIRST_STAR, FIRST_QUASAR)?;
    let mut others: Vec<Source> = numbers_stars
        .into_par_iter()
        .map(|n| {
            let mut star = stars::star(draws, n, anywhere(n), star_magnitude(n), middle, &i_bands);
            if draws.of("star/is-variable", n).random::<f64>() < config.variable_fraction {
                variables::make_periodic(draws, &mut star, middle);
            }
            star
        })
        .collect();
    let quasar_magnitude = magnitude(QUASARS, "quasar/magnitude");
    let numbers_quasars = numbers("quasars", config.quasar_density * per_arcmin2(QUASARS), FIRST_QUASAR, FIRST_TRANSIENT)?;
    others.extend(numbers_quasars.map(|n| variables::quasar(draws, n, anywhere(n), quasar_magnitude(n), middle, &i_bands)));
    for n in numbers("transients", config.transients_per_arcmin2 * area_arcmin2, FIRST_TRANSIENT, FIRST_MOVER)? {
        let host = host(draws, n, config.transient_host_fraction, &sources);
        others.push(transients::supernova(draws, n, anywhere(n), host, config.mjd_range, &i_bands));
    }
    for n in numbers("movers", config.movers_per_arcmin2 * area_arcmin2, FIRST_MOVER, FIRST_OTHER)? {
        let mut rng = draws.of("mover", n);
        let [low, high] = config.mover_rate_arcsec_h;
        let rate_arcsec_d = 24.0 * low * (high / low).powf(rng.random());
        let [begin, end] = config.mjd_range;
        let epoch_mjd = begin + (end - begin) * rng.random::<f64>();
        // Counts of small bodies rise by 10^0.3 a magnitude (Ivezić et al. 2001, AJ 122, 2749).
        let [bright, faint] = config.magnitude_range;
        let magnitude = faint + (1.0 - rng.random::<f64>() * (1.0 - 10f64.powf(-0.3 * (faint - bright)))).log10() / 0.3;
        others.push(movers::mover(draws, n, anywhere(n), magnitude, rate_arcsec_d, epoch_mjd, &i_bands));
    }
    sources.append(&mut others);
    Ok(sources)
}

/// A galaxy below redshift 1 for a transient, or none: the chance goes with the cube of its size, up to 0.7 arcsec.
fn host(draws: Draws, number: u64, share: f64, galaxies: &[Source]) -> Option<&Source> {
    let mut rng = draws.of("transient/host", number);
    if rng.random::<f64>() >= share || galaxies.is_empty() {
        return None;
    }
    // By the redshift and size that the galaxy has in any band: its flux is known only in the bands of the run.
    (0..200).map(|_| (&galaxies[rng.random_range(0..galaxies.len())], rng.random::<f64>())).find_map(|(galaxy, u)| {
        let weight = (galaxy.half_light_radius_arcsec / 0.7).powi(3).min(1.0);
        (galaxy.redshift < 1.0 && u < weight).then_some(galaxy)
    })
}

/// Uniform over the tract.
pub(super) fn anywhere(draws: Draws, tract: &Tract, number: u64) -> SkyPoint {
    let mut rng = draws.of("position", number);
    let mut along = |size: i32| f64::from(size) * rng.random::<f64>() - 0.5;
    let (x, y) = (along(tract.bbox().width), along(tract.bbox().height));
    tract.wcs().pixel_to_sky(PixelPoint::new(x, y))
}

/// Area of the tract's pixels \[arcmin²\].
pub(super) fn area_arcmin2(tract: &Tract) -> f64 {
    tract.bbox().n_pixels() as f64 * (tract.config().pixel_scale_arcsec / 60.0).powi(2)
}

/// A number of objects with this mean.
pub(super) fn poisson(draws: Draws, what: &str, mean: f64) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    let law = Poisson::new(mean).expect("a positive, finite mean");
    law.sample(&mut draws.of(&format!("number/{what}"), 0)) as u64
}

#[cfg(test)]
mod tests {
    use crate::population::counts::{GALAXIES, STARS};
    use crate::{FieldConfig, SurveyConfig, blend_fraction, make_truth};
    use fathom::catalog::Table;
    use fathom::geometry::{SkyMapConfig, Tract};
    use fathom::image::ab_magnitude;

    fn survey(change: impl Fn(&mut SurveyConfig), bands: &[&str], cells: u32) -> Table {
        let tract = Tract::new(&SkyMapConfig { tract_cells: [cells, cells], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let mut config = FieldConfig::default();
        change(&mut config.survey);
        let bands: Vec<String> = bands.iter().map(|b| (*b).to_owned()).collect();
        let table = make_truth(&config, &tract, &bands, &[], 4, 0).unwrap();
        fathom::format::truth::check(&table, &bands).unwrap();
        table
    }

    /// 64 cells of 64 pixels are 186 arcmin²: every magnitude's number within 4.5 standard deviations of a Poisson law.
    #[test]
    fn counts_are_those_of_the_relation() {
        let table = survey(|_| {}, &["i"], 64);
        let area_deg2 = (64.0f64 * 64.0 * 0.2 / 3600.0).powi(2);
        let (class, sed, flux) = (table.text("class").unwrap(), table.text("sed").unwrap(), table.f64("i_flux").unwrap());
        for (is_of, counts) in [(&|i: usize| class[i] == "galaxy" as &str, GALAXIES), (&|i: usize| sed[i] == "star", STARS)]
            as [(&dyn Fn(usize) -> bool, _); 2]
        {
            for m in [18.0, 20.0, 22.0, 24.0, 25.0, 26.0] {
                let n = (0..table.n_rows()).filter(|&i| is_of(i) && (m..m + 1.0).contains(&ab_magnitude(flux[i]))).count() as f64;
                let expected = counts.between([m, m + 1.0]) * area_deg2;
                assert!((n - expected).abs() < 4.5 * expected.sqrt() + 1.0, "{m}: {n} against {expected}");
            }
        }
        let n_of = |name: &str| class.iter().filter(|c| *c == name).count();
        assert!(n_of("variable") > 5 && n_of("transient") > 30 && n_of("mover") > 5);
        let ids = table.i64("id").unwrap();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        let hosts: Vec<i64> = table.i64("host_id").unwrap().iter().copied().filter(|h| *h != 0).collect();
        assert!(hosts.len() > 20 && hosts.iter().all(|h| ids.binary_search(h).is_ok()));
    }

    /// To i = 25.3 with a seeing of 0.8 arcsec: a Poisson sky of 50 objects per arcmin² has 1 - exp(-n π d²) = 2.8 per cent of neighbours
    /// within 0.8 arcsec; clustering adds, and the knob turns it (strong clustering has few groups, whose members blend only once).
    #[test]
    fn blends_follow_the_clustering_knob() {
        let share =
            |amplitude: f64| blend_fraction(&survey(|c| c.clustering = amplitude, &["i"], 64), "i", 0.8, 25.3, 0.01).unwrap().value();
        let (random, default, strong) = (share(0.0), share(0.05), share(0.4));
        assert!((0.02..0.04).contains(&random) && default > 1.5 * random && strong > 1.4 * default, "{random} {default} {strong}");
    }
}

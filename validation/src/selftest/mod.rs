//! Surveys whose figures are known beforehand: the instrument's own test.
//!
//! A perfect catalog, and catalogs with one known damage each. `cargo run --release -p fathom-validation --example selftest` prints the
//! table of what was done and what was measured; the tests hold it.

mod mock;

pub use mock::field;

use crate::matching::{MatchRules, match_scene};
use crate::scene::Scene;
use crate::{Metric, ValidateConfig, ValidateInput, ValidationError, validate};
use fathom::random::keyed_rng;
use mock::{FWHM, PAIR_EVERY, SIGMA, SPACING, Source, catalog, grid, input, point_source, truth_table};
use rand_distr::{Distribution, StandardNormal};

/// What was done to the perfect catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    None,
    /// Every tenth row is gone.
    TenPercentRemoved,
    /// One row more for every twenty, on blank sky.
    FivePercentSpurious,
    /// All fluxes times 1.02.
    FluxScaled,
    /// All positions 50 mas to the east.
    Shifted,
    /// Each pair is one row: the sum, at the centre of light.
    PairsMerged,
    /// Every twentieth isolated object is three rows: one half and two quarters of the light.
    SplitInThree,
    /// Rows in a strip through the field occur twice, 20 mas apart.
    DuplicatedSeam,
    /// In each pair one has what the other lacks: a unit Gaussian of the flux error.
    FluxTraded,
    /// The members of each pair are 30 mas too near to each other.
    PairsPulled,
    /// Unit Gaussian errors on fluxes and positions, as quoted.
    Noise,
}

/// All kinds of damage, the perfect catalog first.
pub const DAMAGES: [Damage; 11] = [
    Damage::None,
    Damage::TenPercentRemoved,
    Damage::FivePercentSpurious,
    Damage::FluxScaled,
    Damage::Shifted,
    Damage::PairsMerged,
    Damage::SplitInThree,
    Damage::DuplicatedSeam,
    Damage::FluxTraded,
    Damage::PairsPulled,
    Damage::Noise,
];

/// A figure that is known beforehand.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was done.
    pub damage: Damage,
    /// Name, band, class and regime of the record.
    pub record: [&'static str; 4],
    /// What it must be.
    pub expected: f64,
    /// By how much it may differ.
    pub tolerance: f64,
    /// What was measured.
    pub found: Metric,
}

impl Check {
    /// The figure is what it must be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found.value.is_some_and(|v| (v - self.expected).abs() <= self.tolerance)
    }
}

/// Measures one kind of damage on a field of `n` grid points.
///
/// # Errors
/// [`ValidationError`] if validation fails, or does not give one of the figures.
pub fn check(damage: Damage, n: usize) -> Result<Vec<Check>, ValidationError> {
    let (input, counts) = damaged(damage, n);
    let metrics = validate(&ValidateConfig { n_bootstrap: 100, ..ValidateConfig::default() }, &input)?.metrics;
    let find = |record: [&'static str; 4]| {
        let is_it = |m: &&Metric| [&m.name, &m.band, &m.class, &m.regime].map(String::as_str) == record;
        metrics.iter().find(is_it).cloned().ok_or_else(|| ValidationError::Plot { name: record.join(" "), why: "no such record".into() })
    };
    expectations(damage, &counts)
        .into_iter()
        .map(|(record, expected, tolerance)| {
            let found = find(record)?;
            let n = found.n as f64;
            // Of noise only the spread of the figure itself is known: 4 standard errors.
            let tolerance = match record[0].rsplit('.').next() {
                Some("pull_std") if damage == Damage::Noise => 4.0 / (2.0 * n).sqrt(),
                Some("pull_mean") if damage == Damage::Noise => 4.0 / n.sqrt(),
                _ => tolerance,
            };
            Ok(Check { damage, record, expected, tolerance, found })
        })
        .collect()
}

/// How many rows there are, and how many were touched.
struct Counts {
    n_truth: f64,
    n_touched: f64,
    n_pairs: f64,
}

type Expectation = ([&'static str; 4], f64, f64);

fn expectations(damage: Damage, counts: &Counts) -> Vec<Expectation> {
    let (n, k) = (counts.n_truth, counts.n_touched);
    let share = |name, value| ([name, "", "", ""], value, 1e-12);
    let star = |name, band, value, tolerance| ([name, band, "star", ""], value, tolerance);
    let (completeness, purity) = ("detection.completeness", "detection.purity");
    match damage {
        Damage::None => vec![
            share(completeness, 1.0),
            ([completeness, "", "", "unambiguous"], 1.0, 1e-12),
            share(purity, 1.0),
            share("deblend.unrecognised_fraction", 0.0),
            share("deblend.recognised_fraction", 1.0),
            share("deblend.shredded_fraction", 0.0),
            star("photometry.psf_flux.bias", "r", 0.0, 0.0),
            star("photometry.psf_flux.pull_std", "r", 0.0, 0.0),
            star("photometry.psf_flux.colour.pull_std", "g-r", 0.0, 0.0),
            star("astrometry.ra.pull_std", "", 0.0, 0.0),
            (["shape.e1.scatter", "r", "galaxy", ""], 0.0, 1e-12),
            (["shape.size.bias", "r", "galaxy", ""], 0.0, 1e-12),
            (["star_galaxy.moment_size.roc_area", "r", "", ""], 1.0, 1e-12),
        ],
        Damage::TenPercentRemoved => vec![share(completeness, 1.0 - k / n), share(purity, 1.0)],
        Damage::FivePercentSpurious => {
            vec![share(purity, n / (n + k)), share(completeness, 1.0), share("detection.spurious_fraction", k / (n + k))]
        }
        Damage::FluxScaled => vec![
            star("photometry.psf_flux.bias", "g", 0.02, 1e-9),
            star("photometry.psf_flux.bias", "r", 0.02, 1e-9),
            star("photometry.psf_flux.scatter", "r", 0.0, 1e-9),
            star("photometry.psf_flux.colour.bias", "g-r", 0.0, 1e-9),
        ],
        Damage::Shifted => vec![
            star("astrometry.ra.bias", "", 50.0, 1e-3),
            star("astrometry.dec.bias", "", 0.0, 1e-3),
            star("astrometry.ra.scatter", "", 0.0, 1e-3),
            share(completeness, 1.0),
        ],
        Damage::PairsMerged => vec![
            share("deblend.unrecognised_fraction", 1.0),
            share("deblend.recognised_fraction", 0.0),
            share(completeness, 1.0 - counts.n_pairs / n),
            share(purity, 1.0),
        ],
        Damage::SplitInThree => vec![
            share(completeness, 1.0),
            share(purity, n / (n + 2.0 * k)),
            share("detection.shred_fraction", 2.0 * k / (n + 2.0 * k)),
            share("deblend.shredded_fraction", k / n),
        ],
        Damage::DuplicatedSeam => vec![
            share(completeness, 1.0),
            share(purity, n / (n + k)),
            share("detection.shred_fraction", k / (n + k)),
            share("matching.ambiguous_fraction", k / n),
        ],
        Damage::FluxTraded => vec![
            (["deblend.flux_error_correlation", "g", "", ""], -1.0, 1e-9),
            (["deblend.flux_error_correlation", "r", "", ""], -1.0, 1e-9),
            share(completeness, 1.0),
        ],
        Damage::PairsPulled => vec![
            (["deblend.centroid_error.bias", "", "", ""], 30.0, 1e-3),
            (["deblend.centroid_error.scatter", "", "", ""], 0.0, 1e-3),
            star("astrometry.ra.bias", "", 0.0, 1e-3),
        ],
        Damage::Noise => vec![
            star("photometry.psf_flux.pull_std", "g", 1.0, 0.0),
            star("photometry.psf_flux.pull_std", "r", 1.0, 0.0),
            star("photometry.psf_flux.pull_mean", "r", 0.0, 0.0),
            star("astrometry.ra.pull_std", "", 1.0, 0.0),
            star("astrometry.dec.pull_std", "", 1.0, 0.0),
            share(completeness, 1.0),
        ],
    }
}

/// Truth and a catalog that was damaged in one way.
fn damaged(damage: Damage, n: usize) -> (ValidateInput, Counts) {
    let truth = grid(n, 1);
    let n_pairs = truth.windows(2).filter(|w| w[0].place == w[1].place).count();
    let is_paired = |s: &Source| s.place.is_multiple_of(PAIR_EVERY);
    let mut rng = keyed_rng(2, "mock damage", 0, 0);
    let mut rows = Vec::new();
    let mut n_touched = 0usize;
    for (i, source) in truth.iter().enumerate() {
        let mut touch = |is_touched: bool| {
            n_touched += usize::from(is_touched);
            is_touched
        };
        let scaled = |factor: f64, dx: f64| Source { flux: source.flux.map(|f| f * factor), x: source.x + dx, ..*source };
        match damage {
            Damage::PairsMerged | Damage::FluxTraded | Damage::PairsPulled => {}
            Damage::TenPercentRemoved if touch(i % 10 == 3) => {}
            Damage::FivePercentSpurious if touch(i % 20 == 3) => {
                // Between the points of the grid, more than three arcsec from all.
                let (x, y) = (source.x + 0.5 * SPACING, source.y + 0.5 * SPACING);
                rows.extend([*source, point_source(x, y, 6.0, 0, 0.5)]);
            }
            Damage::FluxScaled => rows.push(scaled(1.02, 0.0)),
            Damage::Shifted => rows.push(scaled(1.0, 0.050)),
            Damage::SplitInThree if touch(i % 20 == 2 && !is_paired(source)) => {
                rows.extend([scaled(0.5, 0.0), scaled(0.25, 0.9 * FWHM), scaled(0.25, -0.9 * FWHM)]);
            }
            Damage::DuplicatedSeam if touch(source.x.abs() < SPACING && !is_paired(source)) => {
                rows.extend([*source, scaled(1.0, 0.020)]);
            }
            Damage::Noise => {
                let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
                let flux = [0, 1, 2].map(|b| source.flux[b] + SIGMA[b] * normal());
                let (dx, dy) = (source.err_arcsec * normal(), source.err_arcsec * normal());
                rows.push(Source { x: source.x + dx, y: source.y + dy, flux, ..*source });
            }
            _ => rows.push(*source),
        }
    }
    if matches!(damage, Damage::FluxTraded | Damage::PairsPulled) {
        let z = |place: usize| -> f64 { StandardNormal.sample(&mut keyed_rng(3, "mock trade", place as u64, 0)) };
        rows = truth.chunk_by(|a, b| a.place == b.place).flat_map(|group| disturbed(group, damage, z(group[0].place))).collect();
    }
    if damage == Damage::PairsMerged {
        rows = truth.chunk_by(|a, b| a.place == b.place).map(merged).collect();
    }
    let counts = Counts { n_truth: truth.len() as f64, n_touched: n_touched as f64, n_pairs: n_pairs as f64 };
    (input(truth_table(&truth), catalog(&rows), Vec::new()), counts)
}

/// A pair whose members trade `z` sigma of flux, or are drawn together.
fn disturbed(group: &[Source], damage: Damage, z: f64) -> Vec<Source> {
    let &[a, b] = group else { return group.to_vec() };
    let distance = (b.x - a.x).hypot(b.y - a.y);
    let (dx, dy) = (0.030 * (b.x - a.x) / distance, 0.030 * (b.y - a.y) / distance);
    let moved = |s: Source, sign: f64| match damage {
        Damage::PairsPulled => Source { x: s.x + sign * dx, y: s.y + sign * dy, ..s },
        _ => Source { flux: [0, 1, 2].map(|k| s.flux[k] + sign * z * SIGMA[k]), ..s },
    };
    vec![moved(a, 1.0), moved(b, -1.0)]
}

fn merged(group: &[Source]) -> Source {
    let total: f64 = group.iter().map(|s| s.flux[1]).sum();
    let centre = |of: fn(&Source) -> f64| group.iter().map(|s| s.flux[1] * of(s)).sum::<f64>() / total;
    Source { x: centre(|s| s.x), y: centre(|s| s.y), flux: [0, 1, 2].map(|b| group.iter().map(|s| s.flux[b]).sum()), ..group[0] }
}

/// The matching of the first arm alone, to be timed: each call matches once and gives the number of pairs.
///
/// # Errors
/// [`ValidationError`] if a table lacks a column.
pub fn matching<'a>(config: &'a ValidateConfig, input: &'a ValidateInput) -> Result<impl Fn() -> usize + 'a, ValidationError> {
    let scene = Scene::new(config, input, &input.arms[0], 0)?;
    let rules = MatchRules::new(config, input);
    Ok(move || match_scene(&scene, &rules, None).pairs().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::catalog::Table;

    /// Field of the test: 900 places, 180 pairs.
    const N: usize = 900;

    #[test]
    fn known_damage_is_measured_as_such() {
        for damage in DAMAGES {
            for check in check(damage, N).unwrap() {
                assert!(check.holds(), "{:?}: {:?} is {:?}; expected {}", check.damage, check.record, check.found, check.expected);
            }
        }
    }

    /// Everything that can be perfect is, in every bin: shares 1, errors and pulls exactly 0.
    #[test]
    fn a_perfect_catalog_is_perfect_everywhere() {
        let input = damaged(Damage::None, N).0;
        let metrics = validate(&ValidateConfig::default(), &input).unwrap().metrics;
        let mut n_checked = 0;
        for m in metrics.iter().filter(|m| m.value.is_some()) {
            let last = m.name.rsplit('.').next().unwrap();
            let expected = match (m.name.as_str(), last) {
                ("detection.completeness" | "detection.purity" | "deblend.recognised_fraction" | "detection.recovered", _) => 1.0,
                (_, "unrecognised_fraction" | "shredded_fraction" | "spurious_fraction" | "shred_fraction" | "outlier_fraction") => 0.0,
                (_, "bias" | "scatter" | "pull_mean" | "pull_std" | "pull_mad" | "error_ratio") => 0.0,
                _ => continue,
            };
            n_checked += 1;
            // Shapes go through differences of moments: rounding remains.
            let tolerance = if m.name.contains("shape") { 1e-12 } else { 0.0 };
            assert!((m.value.unwrap() - expected).abs() <= tolerance, "{m:?}");
        }
        assert!(n_checked > 500, "{n_checked}");
    }

    /// The same objects in two arms of independent noise: they repeat as well as their errors say. n objects give n independent
    /// differences; the standard error of 1.4826 MAD of n normals is 1.167/√n (Rousseeuw & Croux 1993).
    #[test]
    fn objects_repeat_as_their_noise_says() {
        let (mut input, _) = damaged(Damage::Noise, N);
        let mut again = input.arms[0].clone();
        again.name = "again".into();
        again.catalog = other_noise(&again.truth);
        input.arms.push(again);
        let metrics = validate(&ValidateConfig { n_bootstrap: 20, ..ValidateConfig::default() }, &input).unwrap().metrics;
        let mut n_checked = 0;
        for m in metrics.iter().filter(|m| m.name == "photometry.psf_flux.repeatability" && m.regime == "snr 50-100") {
            // The bins are narrow, but not all of one bound: that of the median object is right to the width of a bin's middle.
            let (value, limit, n) = (m.value.unwrap(), m.limit.unwrap(), m.n as f64 / 2.0);
            assert!((value / limit - 1.0).abs() < 4.0 * 1.167 / n.sqrt() + 0.05, "{m:?}");
            n_checked += 1;
        }
        assert_eq!(n_checked, 3);
    }

    /// The catalog of the truth's sources with noise of its own.
    fn other_noise(truth: &Table) -> Table {
        let sources = grid(N, 1);
        assert_eq!(truth.n_rows(), sources.len());
        let mut rng = keyed_rng(9, "other noise", 0, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let noisy = |s: &Source| Source { flux: [0, 1, 2].map(|b| s.flux[b] + SIGMA[b] * normal()), ..*s };
        catalog(&sources.iter().map(noisy).collect::<Vec<_>>())
    }

    /// No record is named twice: name, band, class and regime tell all apart.
    #[test]
    fn records_are_named_once() {
        let metrics = validate(&ValidateConfig::default(), &field(3000, 1)).unwrap().metrics;
        let mut names: Vec<_> = metrics.iter().map(|m| (&m.name, &m.band, &m.class, &m.regime)).collect();
        let n = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}

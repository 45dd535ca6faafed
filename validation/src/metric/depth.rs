//! How deep the catalog goes: magnitude and S/N of 50 % and 90 % completeness.
//!
//! The curve h · ½ erfc((x - m)/(√2 w)) with free width w and plateau h (what blends and masks take) is fitted to found and not found,
//! object by object, by maximum likelihood; m50 and m90 are where it crosses one half and nine tenths. The limit is the same fit to
//! the probabilities that theory gives each object. Intervals: bootstrap over blocks of sky.
//!
//! # Source
//! Algorithms section 7, item 9: bins with 1/√N bars hide the edge that this fit measures.

use super::Figure;
use super::Metric;
use super::completeness::UNAMBIGUOUS;
use crate::matching::TruthFate;
use crate::statistics::{HalfPointFit, Share, Tally, TrialBins, fit_half_point};
use crate::survey::{Piece, Survey};

/// Bins of the fits: fine against the width of the curves (0.2 mag, 10 %).
const MAGNITUDE_STEP: f64 = 0.05;
const LOG_SNR_STEP: f64 = 0.02;

/// A truth that counts: found or not, and how likely theory finds it.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    block: u32,
    class: u8,
    is_isolated: bool,
    is_ambiguous: bool,
    found: bool,
    expected: f32,
}

/// Outcomes, and per outcome magnitude and log10 S/N of all bands together and of each.
#[derive(Debug, Default)]
struct Outcomes {
    rows: Vec<Outcome>,
    x: Vec<f32>,
}

impl Tally for Outcomes {
    fn merge(&mut self, later: Self) {
        self.rows.merge(later.rows);
        self.x.merge(later.x);
    }
}

/// Class and regime of a group, and who belongs to it.
type Group<'a> = (&'a str, &'a str, Box<dyn Fn(&Outcome) -> bool>);

/// The 50 % points of the catalog, for later metrics that ask who is above them.
pub(crate) struct HalfPoints {
    /// Magnitude per band.
    pub m50: Vec<Option<f64>>,
    /// S/N of all bands.
    pub snr50: Option<f64>,
}

fn fill(survey: &Survey, piece: Piece, out: &mut Outcomes) {
    for t in piece.truths().filter(|t| t.truth.counts) {
        out.rows.push(Outcome {
            block: t.block,
            class: piece.class(t.truth),
            is_isolated: t.truth.is_isolated,
            is_ambiguous: t.is_ambiguous,
            found: matches!(t.fate, TruthFate::Matched(_)),
            expected: t.truth.expected as f32,
        });
        for (band, _) in survey.all_and_bands() {
            out.x.push(piece.scene.true_magnitude(t.i, band) as f32);
            out.x.push(piece.scene.snr_of(t.i, band).log10() as f32);
        }
    }
}

/// `detection.completeness.{m50, m90, snr50, snr90, plateau, width}`.
pub(crate) fn depth(survey: &Survey, out: &mut Vec<Metric>) -> HalfPoints {
    let mut half = HalfPoints { m50: vec![None; survey.input.bands.len()], snr50: None };
    if !survey.has_truth() {
        return half;
    }
    let outcomes = survey.tally(|piece, outcomes: &mut Outcomes| fill(survey, piece, outcomes));
    for (i, (band, name)) in survey.all_and_bands().into_iter().enumerate() {
        let mut groups: Vec<Group> = vec![
            ("", "", Box::new(|_| true)),
            ("", "isolated", Box::new(|o| o.is_isolated)),
            ("", UNAMBIGUOUS, Box::new(|o| !o.is_ambiguous)),
        ];
        for (class, name) in survey.told_apart() {
            groups.push((name, "", Box::new(move |o| o.class == class)));
        }
        for (class, regime, wanted) in &groups {
            let by_magnitude = Edge::new(survey, &outcomes, 2 * i, true, wanted);
            let by_snr = Edge::new(survey, &outcomes, 2 * i + 1, false, wanted);
            let mut push = |what: &str, unit: &str, (figure, limit): (Figure, Option<f64>)| {
                let metric = Metric::new(&format!("detection.completeness.{what}"), unit, figure);
                out.push(metric.band(name).class(class).regime(regime).limit(limit));
            };
            push("m50", "mag", by_magnitude.figure(|f| f.crossing(0.5)));
            push("m90", "mag", by_magnitude.figure(|f| f.crossing(0.9)));
            push("snr50", "", by_snr.figure(|f| f.crossing(0.5).map(|x| 10f64.powf(x))));
            push("snr90", "", by_snr.figure(|f| f.crossing(0.9).map(|x| 10f64.powf(x))));
            push("width", "mag", by_magnitude.figure(|f| Some(f.width)));
            push("plateau", "", by_magnitude.figure(|f| Some(f.plateau)));
            if class.is_empty() && regime.is_empty() {
                match band {
                    Some(b) => half.m50[b] = by_magnitude.value.and_then(|f| f.crossing(0.5)),
                    None => half.snr50 = by_snr.value.and_then(|f| f.crossing(0.5)).map(|x| 10f64.powf(x)),
                }
            }
        }
    }
    half
}

/// The fitted edge of a group, with its replicates, and that of theory.
struct Edge {
    n: u64,
    value: Option<HalfPointFit>,
    theory: Option<HalfPointFit>,
    draws: Vec<Option<HalfPointFit>>,
}

impl Edge {
    /// Fits the `place`-th x of the outcomes that are wanted.
    fn new(survey: &Survey, outcomes: &Outcomes, place: usize, falling: bool, wanted: &dyn Fn(&Outcome) -> bool) -> Self {
        let step = if falling { MAGNITUDE_STEP } else { LOG_SNR_STEP };
        let stride = 2 * (survey.input.bands.len() + 1);
        let rows: Vec<(f64, Outcome)> = outcomes
            .rows
            .iter()
            .enumerate()
            .map(|(k, o)| (f64::from(outcomes.x[k * stride + place]), *o))
            .filter(|(x, o)| x.is_finite() && o.expected.is_finite() && wanted(o))
            .collect();
        let found = |o: &Outcome| f64::from(u8::from(o.found));
        let measured = TrialBins::new(rows.iter().map(|(x, o)| (*x, found(o))), step);
        let value = fit_half_point(&measured, falling, None);
        let theory = fit_half_point(&TrialBins::new(rows.iter().map(|(x, o)| (*x, f64::from(o.expected))), step), falling, None);
        let draws = value.map_or_else(Vec::new, |fit| {
            let trials = rows.iter().filter_map(|(x, o)| Some((o.block, 2 * measured.bin(*x)?, found(o))));
            let entries = trials.flat_map(|(block, place, k)| [(block, place, k), (block, place + 1, 1.0)]).collect();
            survey
                .replicates
                .map_sums(2 * measured.n(), entries, |counts| fit_half_point(&measured.with_counts(counts), falling, Some(&fit)))
        });
        Self { n: rows.len() as u64, value, theory, draws }
    }

    /// Something of the fit, with its interval and what theory says of it.
    fn figure(&self, of: impl Fn(&HalfPointFit) -> Option<f64>) -> (Figure, Option<f64>) {
        let value = self.value.as_ref().and_then(&of);
        let draws = self.draws.iter().map(|f| f.as_ref().and_then(&of).unwrap_or(f64::NAN)).collect();
        let (lo, hi) = if value.is_some() { crate::statistics::interval(draws) } else { (None, None) };
        (Figure { value, lo, hi, n: self.n }, self.theory.as_ref().and_then(&of))
    }
}

/// Share found of true objects about one magnitude brighter than the 50 % limit: `detection.recovered`.
pub(crate) fn recovered(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    let n_bands = survey.input.bands.len();
    let shares = survey.tally(|piece, shares: &mut Vec<(u8, bool, f64)>| {
        for t in piece.truths().filter(|t| t.truth.counts) {
            let found = matches!(t.fate, TruthFate::Matched(_));
            for band in 0..n_bands {
                if is_one_mag_brighter(piece.scene.true_magnitude(t.i, Some(band)), half.m50[band]) {
                    shares.push((band as u8, found, t.truth.expected));
                }
            }
        }
    });
    for (band, name) in survey.input.bands.iter().enumerate() {
        let mut share = Share::default();
        shares.iter().filter(|s| usize::from(s.0) == band).for_each(|s| share.add_expected(s.1, s.2));
        out.push(Metric::share("detection.recovered", &share).band(name).regime(ONE_MAG_BRIGHTER));
    }
}

/// Regime of objects within half a magnitude of one magnitude above the 50 % limit.
pub(crate) const ONE_MAG_BRIGHTER: &str = "1 mag brighter than m50";

/// See [`ONE_MAG_BRIGHTER`].
pub(crate) fn is_one_mag_brighter(magnitude: f64, m50: Option<f64>) -> bool {
    m50.is_some_and(|m50| (magnitude - (m50 - 1.0)).abs() <= 0.5)
}

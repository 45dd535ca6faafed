//! Paired statistics: McNemar's test, the bootstrap of sky cells, the false-discovery rate.

use super::{Better, Change, ComparedFigure};
use crate::statistics::{interval, std};
use fathom::random::keyed_rng;
use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};
use std::collections::BTreeMap;

/// Probability under which a difference is not called chance.
const ALPHA: f64 = 0.05;

/// Two-sided probability of so uneven a split of `only_a + only_b` objects, if both are as likely.
///
/// # Source
/// McNemar 1947, Psychometrika 12, 153, with the exact binomial in place of his χ²: the counts are small.
pub fn mcnemar(only_a: usize, only_b: usize) -> f64 {
    let n = (only_a + only_b) as u64;
    let lower = only_a.min(only_b) as u64;
    Binomial::new(0.5, n).map_or(1.0, |b| (2.0 * b.cdf(lower)).min(1.0))
}

/// Resampled numbers of times that a cell of the sky is taken: Poisson of mean 1, keyed by the cell.
///
/// # Source
/// Hanley & MacGibbon 2006, Epidemiology 17, 4: Poisson weights are the bootstrap whose total is free, so that pieces merge.
pub struct CellWeights {
    by_cell: BTreeMap<i64, Vec<u8>>,
    n: usize,
}

impl CellWeights {
    /// For all cells in which anything lies.
    pub fn new(cells: impl Iterator<Item = i64>, seed: u64, n: usize) -> Self {
        let poisson = Poisson::new(1.0).expect("the mean is positive");
        let mut by_cell = BTreeMap::new();
        for cell in cells {
            by_cell.entry(cell).or_insert_with(|| {
                let mut rng = keyed_rng(seed, "compare", cell as u64, 0);
                let draw = |_| {
                    let times: f64 = poisson.sample(&mut rng);
                    times.min(255.0) as u8
                };
                (0..n).map(draw).collect()
            });
        }
        Self { by_cell, n }
    }

    /// `statistic` of the values of both runs, resampled together by their cells: one pair a resampling.
    fn draws(&self, cells: &[i64], values: [&[f64]; 2], statistic: fn(&[f64]) -> f64) -> Vec<[f64; 2]> {
        let weights: Vec<&[u8]> = cells.iter().map(|c| &self.by_cell[c][..]).collect();
        (0..self.n)
            .into_par_iter()
            .map(|i| {
                values.map(|values| {
                    let repeated = |(v, w): (&f64, &&[u8])| std::iter::repeat_n(*v, usize::from(w[i]));
                    statistic(&values.iter().zip(&weights).flat_map(repeated).collect::<Vec<_>>())
                })
            })
            .collect()
    }
}

/// What a figure is about.
#[derive(Clone)]
pub struct Label<'a> {
    pub name: &'a str,
    pub band: &'a str,
    pub class: &'a str,
    pub regime: &'a str,
    pub unit: &'a str,
    pub better: Better,
}

/// Values of the same things in both runs, and the sky cells that they lie in.
#[derive(Default)]
pub struct PairedValues {
    pub cells: Vec<i64>,
    pub first: Vec<f64>,
    pub other: Vec<f64>,
}

impl PairedValues {
    pub fn push(&mut self, cell: i64, first: f64, other: f64) {
        self.cells.push(cell);
        self.first.push(first);
        self.other.push(other);
    }
}

/// Distance from what is best, the smaller the better.
fn badness(better: Better, value: f64) -> f64 {
    match better {
        Better::Higher => -value,
        Better::Lower => value,
        Better::NearZero => value.abs(),
        Better::NearOne => (value - 1.0).abs(),
    }
}

/// Compares a statistic of both runs; `count_objects`: the values are losses of single objects, so that it can be said for how many each run is better.
pub fn figure(
    label: &Label,
    values: &PairedValues,
    statistic: fn(&[f64]) -> f64,
    weights: &CellWeights,
    count_objects: bool,
) -> ComparedFigure {
    let mut figure = blank(label, values.first.len());
    let (first, other) = (statistic(&values.first), statistic(&values.other));
    if !(first.is_finite() && other.is_finite()) {
        return figure;
    }
    let shown = |badness: f64| if label.better == Better::Higher { -badness } else { badness };
    let difference_of = |a: f64, b: f64| shown(badness(label.better, b) - badness(label.better, a));
    if count_objects {
        let pairs = || values.first.iter().zip(&values.other).map(|(a, b)| (badness(label.better, *a), badness(label.better, *b)));
        figure.n_better = pairs().filter(|(a, b)| b < a).count() as u64;
        figure.n_worse = pairs().filter(|(a, b)| b > a).count() as u64;
    }
    let draws = weights.draws(&values.cells, [&values.first, &values.other], statistic);
    let draws = draws.into_iter().map(|[a, b]| difference_of(a, b)).collect();
    judge_draws(&mut figure, first, other, difference_of(first, other), draws);
    figure
}

/// Fills in values, interval, probability and judgement.
fn judge_draws(figure: &mut ComparedFigure, first: f64, other: f64, difference: f64, draws: Vec<f64>) {
    (figure.first, figure.other, figure.difference) = (Some(first), Some(other), Some(difference));
    let finite: Vec<f64> = draws.iter().copied().filter(|d| d.is_finite()).collect();
    let sigma = std(&finite);
    (figure.lo, figure.hi) = interval(draws);
    if figure.lo.is_none() {
        return;
    }
    let z = if difference.abs() > 0.0 { (difference / sigma).abs() } else { 0.0 };
    let p = Normal::standard().sf(z) * 2.0;
    figure.p = Some(p);
    // Both must agree: the interval follows a skewed distribution, the probability is fit for ranking.
    let excludes_zero = figure.lo.is_some_and(|lo| lo > 0.0) || figure.hi.is_some_and(|hi| hi < 0.0);
    figure.change = judge(figure.better, difference, excludes_zero && p < ALPHA);
}

/// Compares shares of yes: McNemar's test, the interval from the bootstrap.
pub fn share(label: &Label, values: &PairedValues, weights: &CellWeights) -> ComparedFigure {
    let mut figure = figure(label, values, |v| 100.0 * v.iter().sum::<f64>() / v.len() as f64, weights, true);
    if let (Some(difference), Some(_)) = (figure.difference, figure.p) {
        let p = mcnemar(figure.n_better as usize, figure.n_worse as usize);
        figure.p = Some(p);
        figure.change = judge(label.better, difference, p < ALPHA);
    }
    figure
}

/// Compares shares of yes in two lists that have nothing in common but the cells of the sky: (cell, yes) of the first and the other run.
pub fn unpaired_share(label: &Label, lists: [Vec<(i64, bool)>; 2], weights: &CellWeights) -> ComparedFigure {
    let mut figure = blank(label, lists[0].len().max(lists[1].len()));
    let mut by_cell: BTreeMap<i64, [[f64; 2]; 2]> = BTreeMap::new();
    for (i, list) in lists.iter().enumerate() {
        for (cell, yes) in list {
            let sums = &mut by_cell.entry(*cell).or_default()[i];
            sums[0] += f64::from(u8::from(*yes));
            sums[1] += 1.0;
        }
    }
    let share = |i: usize, weight: &dyn Fn(i64) -> f64| {
        let sum = |k: usize| by_cell.iter().map(|(cell, sums)| weight(*cell) * sums[i][k]).sum::<f64>();
        100.0 * sum(0) / sum(1)
    };
    let [first, other] = [0, 1].map(|i| share(i, &|_| 1.0));
    let draw = |k: usize| share(1, &|cell| f64::from(weights.by_cell[&cell][k])) - share(0, &|cell| f64::from(weights.by_cell[&cell][k]));
    if first.is_finite() && other.is_finite() {
        judge_draws(&mut figure, first, other, other - first, (0..weights.n).map(draw).collect());
    }
    figure
}

fn judge(better: Better, difference: f64, is_real: bool) -> Change {
    let is_gain = if better == Better::Higher { difference > 0.0 } else { difference < 0.0 };
    match (is_real, is_gain) {
        (false, _) => Change::Same,
        (true, true) => Change::Better,
        (true, false) => Change::Worse,
    }
}

fn blank(label: &Label, n: usize) -> ComparedFigure {
    ComparedFigure {
        name: label.name.to_owned(),
        band: label.band.to_owned(),
        class: label.class.to_owned(),
        regime: label.regime.to_owned(),
        unit: label.unit.to_owned(),
        better: label.better,
        first: None,
        other: None,
        difference: None,
        lo: None,
        hi: None,
        n: n as u64,
        n_better: 0,
        n_worse: 0,
        p: None,
        change: Change::NotMeasured,
        is_sure: false,
    }
}

/// Marks the rows that hold at a false-discovery rate of 5 %.
///
/// # Source
/// Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289.
pub fn mark_sure(figures: &mut [ComparedFigure]) {
    let mut p: Vec<f64> = figures.iter().filter_map(|f| f.p).collect();
    p.sort_by(f64::total_cmp);
    let m = p.len() as f64;
    let limit = p.iter().enumerate().filter(|(i, p)| **p <= ALPHA * (*i as f64 + 1.0) / m).map(|(_, p)| *p).next_back();
    for figure in figures {
        let is_change = matches!(figure.change, Change::Better | Change::Worse);
        figure.is_sure = is_change && limit.is_some_and(|limit| figure.p.is_some_and(|p| p <= limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::mean;
    use approx::assert_relative_eq;
    use rand_distr::StandardNormal;

    const LABEL: Label = Label { name: "m", band: "", class: "", regime: "", unit: "", better: Better::Lower };

    fn weights(values: &PairedValues) -> CellWeights {
        CellWeights::new(values.cells.iter().copied(), 3, 400)
    }

    /// Sums of binomial coefficients by hand: 2 (1 + 10) / 2^10, and certainty for an even split.
    #[test]
    fn mcnemar_is_the_binomial() {
        assert_relative_eq!(mcnemar(1, 9), 2.0 * 11.0 / 1024.0, max_relative = 1e-12);
        assert_relative_eq!(mcnemar(9, 1), mcnemar(1, 9));
        assert_relative_eq!(mcnemar(5, 5), 1.0);
        assert_relative_eq!(mcnemar(0, 0), 1.0);
    }

    fn noisy(shift: impl Fn(usize) -> f64) -> PairedValues {
        let mut rng = keyed_rng(1, "test", 0, 0);
        let mut values = PairedValues::default();
        for i in 0..900 {
            let common: f64 = StandardNormal.sample(&mut rng);
            let own: f64 = StandardNormal.sample(&mut rng);
            values.push(i as i64 / 3, 10.0 + 5.0 * common, 10.0 + 5.0 * common + 0.2 * own + shift(i));
        }
        values
    }

    /// A gain of 0.05 in losses that scatter by 5 is lost between two unpaired means (σ = 0.24), but plain between pairs (σ = 0.2/30).
    #[test]
    fn a_gain_far_below_the_scatter_is_seen() {
        let values = noisy(|_| -0.05);
        let f = figure(&LABEL, &values, mean, &weights(&values), true);
        assert_eq!(f.change, Change::Better);
        let (lo, hi) = (f.lo.unwrap(), f.hi.unwrap());
        assert!(lo < -0.05 && -0.05 < hi, "{f:?}");
        // 95 % of a mean of 900 differences of 0.2: ± 0.013; the bootstrap knows its width to 1/√(2·400), and cells to 1/√(2·300).
        assert_relative_eq!(hi - lo, 2.0 * 1.96 * 0.2 / 30.0, max_relative = 0.2);
        assert!(f.n_better > 500 && f.n_better + f.n_worse == 900);
        let equal = noisy(|_| 0.0);
        assert_eq!(figure(&LABEL, &equal, mean, &weights(&equal), true).change, Change::Same);
        // The same values as before: no difference, and no interval around one.
        let mut same = noisy(|_| 0.0);
        same.other = same.first.clone();
        let f = figure(&LABEL, &same, mean, &weights(&same), true);
        assert_eq!((f.change, f.n_better, f.n_worse), (Change::Same, 0, 0));
        assert_relative_eq!(f.p.unwrap(), 1.0, max_relative = 1e-9);
    }

    #[test]
    fn better_is_what_the_direction_says() {
        let values = noisy(|_| 0.1);
        let change = |better| figure(&Label { better, ..LABEL }, &values, mean, &weights(&values), false).change;
        assert_eq!(change(Better::Lower), Change::Worse);
        assert_eq!(change(Better::Higher), Change::Better);
        assert_eq!(change(Better::NearZero), Change::Worse);
        let mut negative = noisy(|_| -0.1);
        negative.first.iter_mut().chain(&mut negative.other).for_each(|v| *v -= 20.0);
        assert_eq!(figure(&Label { better: Better::NearZero, ..LABEL }, &negative, mean, &weights(&negative), false).change, Change::Worse);
        let nothing = figure(&LABEL, &PairedValues::default(), mean, &weights(&negative), true);
        assert_eq!((nothing.change, nothing.p), (Change::NotMeasured, None));
    }

    /// Found by one run only: 2 against 14 of 200, p = 0.0042 by the binomial.
    #[test]
    fn shares_are_judged_by_the_discordant_objects() {
        let mut values = PairedValues::default();
        for i in 0..200 {
            let (a, b) = if i < 2 {
                (1.0, 0.0)
            } else if i < 16 {
                (0.0, 1.0)
            } else {
                (f64::from(i % 2), f64::from(i % 2))
            };
            values.push(i as i64, a, b);
        }
        let f = share(&Label { better: Better::Higher, unit: "%", ..LABEL }, &values, &weights(&values));
        assert_eq!((f.change, f.n_better, f.n_worse), (Change::Better, 14, 2));
        assert_relative_eq!(f.p.unwrap(), 2.0 * (1.0 + 16.0 + 120.0) / 65536.0, max_relative = 1e-12);
        assert_relative_eq!(f.difference.unwrap(), 6.0, max_relative = 1e-12);
    }

    /// Of p = 0.01, 0.02, 0.04, 0.5 the limits 0.0125, 0.025, 0.0375, 0.05 admit the first two.
    #[test]
    fn the_false_discovery_rate() {
        let mut figures: Vec<ComparedFigure> = [0.5, 0.02, 0.04, 0.01]
            .iter()
            .map(|&p| ComparedFigure { p: Some(p), change: if p < ALPHA { Change::Better } else { Change::Same }, ..blank(&LABEL, 1) })
            .collect();
        mark_sure(&mut figures);
        assert_eq!(figures.iter().map(|f| f.is_sure).collect::<Vec<_>>(), [false, true, false, true]);
    }
}

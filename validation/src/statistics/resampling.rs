//! The bootstrap over blocks of sky.
//!
//! Objects near each other share noise, background and blends, so that the sky is resampled and not the objects: in each replicate
//! every block of sky counts as often as a Poisson number of mean 1 says, which is drawn from (seed, block, replicate) alone. So all
//! metrics see the same replicates, whoever measured which piece.
//!
//! # Source
//! Hanley & MacGibbon 2006, Comput. Methods Programs Biomed. 83, 57 (Poisson weights); Norberg et al. 2009, MNRAS 396, 19 (blocks).

use super::{Interval, Tally, interval, mad_std, mean, median, std};
use crate::metric::Figure;
use fathom::random::keyed_rng;
use rand::Rng;
use rayon::prelude::*;

/// Blocks that a survey is cut into, about: enough for an interval, few enough to be large against blends.
const N_BLOCKS: f64 = 512.0;
/// Smallest side of a block \[arcsec\].
const SMALLEST_ARCSEC: f64 = 8.0;
/// Values beyond which replicates count ranks in this many bins; medians of replicates are interpolated in a bin.
const N_BINS: usize = 512;

/// Squares on the sky \[deg\], the same for every piece of a survey: the unit of resampling.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyBlocks {
    side_deg: f64,
    /// (realisation, square) of each block, sorted.
    keys: Vec<(u64, u64)>,
}

impl SkyBlocks {
    /// Blocks of these points: realisation of the noise, ra, dec \[deg\].
    ///
    /// The side is the power of two of arcsec, at least 8, that cuts the field into 512 squares or fewer.
    #[must_use]
    pub fn new(points: impl Iterator<Item = (u64, f64, f64)> + Clone) -> Self {
        let finite = points.filter(|p| p.1.is_finite() && p.2.is_finite());
        let mut side_deg = SMALLEST_ARCSEC / 3600.0;
        loop {
            let mut keys: Vec<(u64, u64)> = finite.clone().map(|(noise, ra, dec)| (noise, square(side_deg, ra, dec))).collect();
            keys.sort_unstable();
            keys.dedup();
            let n_realisations = keys.chunk_by(|a, b| a.0 == b.0).count().max(1);
            if keys.len() as f64 <= N_BLOCKS * n_realisations as f64 {
                return Self { side_deg, keys };
            }
            side_deg *= 2.0;
        }
    }

    /// Number of blocks.
    #[must_use]
    pub fn n(&self) -> usize {
        self.keys.len()
    }

    /// Block of a point; 0 for a point that was not among those of the survey.
    #[must_use]
    pub fn block(&self, noise: u64, ra_deg: f64, dec_deg: f64) -> u32 {
        if !(ra_deg.is_finite() && dec_deg.is_finite()) {
            return 0;
        }
        self.keys.binary_search(&(noise, square(self.side_deg, ra_deg, dec_deg))).unwrap_or(0) as u32
    }
}

/// Square on the sky: strip of declination x 2^32 + number in the strip.
fn square(side_deg: f64, ra_deg: f64, dec_deg: f64) -> u64 {
    let strip = ((dec_deg + 90.0) / side_deg).floor().max(0.0);
    let cos_dec = ((strip + 0.5) * side_deg - 90.0).to_radians().cos().max(1e-6);
    let number = (ra_deg.rem_euclid(360.0) * cos_dec / side_deg).floor();
    ((strip as u64) << 32) + number as u64
}

/// Values, each with the block of sky that it lies in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    rows: Vec<(u32, f64)>,
}

impl Samples {
    /// Adds a value; NaN is left out.
    pub fn push(&mut self, block: u32, value: f64) {
        if value.is_finite() {
            self.rows.push((block, value));
        }
    }

    /// The values, in the order in which they came.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        self.rows.iter().map(|r| r.1).collect()
    }
}

impl Tally for Samples {
    fn merge(&mut self, later: Self) {
        self.rows.merge(later.rows);
    }
}

impl FromIterator<(u32, f64)> for Samples {
    fn from_iter<I: IntoIterator<Item = (u32, f64)>>(rows: I) -> Self {
        let mut samples = Self::default();
        rows.into_iter().for_each(|(block, value)| samples.push(block, value));
        samples
    }
}

/// Figures of one list of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Median.
    pub median: Figure,
    /// Standard deviation as the median absolute deviation says it.
    pub mad_std: Figure,
    /// Mean.
    pub mean: Figure,
    /// Standard deviation.
    pub std: Figure,
}

/// How often each block counts in each replicate.
#[derive(Debug, Clone)]
pub struct Replicates {
    n: usize,
    /// `[block][replicate]`; f32 holds small integers exactly and fills the lanes.
    weights: Vec<f32>,
}

/// P(Poisson(1) ≤ k) for k = 0, 1, ... as a fraction of 2^64.
fn poisson_steps() -> Vec<u64> {
    let (mut p, mut sum) = ((-1.0f64).exp(), 0.0);
    (1..=12)
        .map(|k| {
            sum += p;
            p /= f64::from(k);
            (sum * 2f64.powi(64)) as u64
        })
        .collect()
}

impl Replicates {
    /// Draws the weights of `n` replicates.
    #[must_use]
    pub fn new(blocks: &SkyBlocks, seed: u64, n: usize) -> Self {
        let steps = poisson_steps();
        let mut weights = Vec::with_capacity(blocks.n() * n);
        for &(noise, square) in &blocks.keys {
            let mut rng = keyed_rng(seed, "bootstrap", square, noise);
            weights.extend((0..n).map(|_| {
                let u = rng.next_u64();
                steps.iter().take_while(|&&s| u >= s).count() as f32
            }));
        }
        Self { n, weights }
    }

    /// Weights of a block in all replicates.
    fn of_block(&self, block: u32) -> &[f32] {
        &self.weights[block as usize * self.n..][..self.n]
    }

    /// Sums of entries (block, place, amount) in every replicate: `[place][replicate]`.
    fn sums(&self, n_places: usize, entries: &[(u32, usize, f64)]) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; self.n]; n_places];
        for &(block, place, amount) in entries {
            for (sum, &weight) in sums[place].iter_mut().zip(self.of_block(block)) {
                *sum += amount * f64::from(weight);
            }
        }
        sums
    }

    /// `statistic` of the sums of entries (block, place, amount) in every replicate.
    pub fn map_sums<T: Send>(&self, n_places: usize, entries: Vec<(u32, usize, f64)>, statistic: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
        let sums = self.sums(n_places, &joined(entries));
        // Each replicate has its own place in the result: threads cannot change it.
        (0..self.n)
            .into_par_iter()
            .map_init(
                || vec![0.0; n_places],
                |one, r| {
                    one.iter_mut().zip(&sums).for_each(|(place, sum)| *place = sum[r]);
                    statistic(one)
                },
            )
            .collect()
    }

    /// Interval of a statistic of sums: `statistic` gets the sums of one replicate.
    #[must_use]
    pub fn interval_of(&self, n_places: usize, entries: Vec<(u32, usize, f64)>, statistic: impl Fn(&[f64]) -> f64 + Sync) -> Interval {
        if spans_blocks(entries.iter().map(|e| e.0)) { interval(self.map_sums(n_places, entries, statistic)) } else { (None, None) }
    }

    /// Median, scatter, mean and standard deviation with their intervals.
    #[must_use]
    pub fn summary(&self, samples: &Samples) -> Summary {
        let values = samples.values();
        let n = values.len() as u64;
        let figure = |value: f64, (lo, hi): Interval| {
            if value.is_finite() { Figure { value: Some(value), lo, hi, n } } else { Figure { n, ..Figure::NONE } }
        };
        let [of_median, of_mad] = self.quantile_intervals(samples);
        let centre = mean(&values);
        // Sums about the mean: Σx² - n x̄² would cancel.
        let moments = |&(block, x): &(u32, f64)| [(block, 0, 1.0), (block, 1, x - centre), (block, 2, (x - centre).powi(2))];
        let (of_mean, of_std) = if spans_blocks(samples.rows.iter().map(|r| r.0)) {
            let draws = self.map_sums(3, samples.rows.iter().flat_map(moments).collect(), |s| {
                (centre + s[1] / s[0], ((s[2] - s[1] * s[1] / s[0]) / (s[0] - 1.0)).max(0.0).sqrt())
            });
            let (means, stds) = draws.into_iter().unzip();
            (interval(means), interval(stds))
        } else {
            ((None, None), (None, None))
        };
        Summary {
            median: figure(median(&values), of_median),
            mad_std: figure(mad_std(&values), of_mad),
            mean: figure(centre, of_mean),
            std: figure(std(&values), of_std),
        }
    }

    /// Intervals of the median and of the scatter about it.
    fn quantile_intervals(&self, samples: &Samples) -> [Interval; 2] {
        if !spans_blocks(samples.rows.iter().map(|r| r.0)) {
            return [(None, None); 2];
        }
        let mut sorted = samples.rows.clone();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let n_bins = sorted.len().min(N_BINS);
        let bin_of = |rank: usize| rank * n_bins / sorted.len();
        let mut edges = vec![(f64::INFINITY, f64::NEG_INFINITY); n_bins];
        for (rank, &(_, x)) in sorted.iter().enumerate() {
            let edge = &mut edges[bin_of(rank)];
            *edge = (edge.0.min(x), edge.1.max(x));
        }
        let entries = joined(sorted.iter().enumerate().map(|(rank, row)| (row.0, bin_of(rank), 1.0)).collect());
        let sums = self.sums(n_bins, &entries);
        let mut distribution = Distribution { edges, below: vec![0.0; n_bins + 1] };
        let (mut medians, mut scatters) = (Vec::with_capacity(self.n), Vec::with_capacity(self.n));
        for r in 0..self.n {
            for (bin, sum) in sums.iter().enumerate() {
                distribution.below[bin + 1] = distribution.below[bin] + sum[r];
            }
            let centre = distribution.median();
            medians.push(centre);
            scatters.push(1.482_602_2 * distribution.half_width(centre));
        }
        [interval(medians), interval(scatters)]
    }
}

/// One block resamples to itself: that is no interval.
fn spans_blocks(mut blocks: impl Iterator<Item = u32>) -> bool {
    let first = blocks.next();
    blocks.any(|b| Some(b) != first)
}

/// Entries of the same block and place summed.
fn joined(mut entries: Vec<(u32, usize, f64)>) -> Vec<(u32, usize, f64)> {
    entries.sort_by_key(|e| (e.0, e.1));
    entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(|c| (c[0].0, c[0].1, c.iter().map(|e| e.2).sum())).collect()
}

/// Weighted values in bins of rank: lowest and highest value of each bin, weight below its lower end.
struct Distribution {
    edges: Vec<(f64, f64)>,
    below: Vec<f64>,
}

impl Distribution {
    fn total(&self) -> f64 {
        self.below[self.edges.len()]
    }

    /// Value with half of the weight below; NaN without weight.
    fn median(&self) -> f64 {
        let half = 0.5 * self.total();
        if half <= 0.0 {
            return f64::NAN;
        }
        let bin = self.below[1..].partition_point(|&b| b < half);
        let (low, high) = self.edges[bin];
        let weight = self.below[bin + 1] - self.below[bin];
        if self.below[bin + 1] <= half {
            // Half ends with this bin: the middle between its last value and the next.
            let next = self.below[1..].partition_point(|&b| b <= half);
            return 0.5 * (high + self.edges[next].0);
        }
        low + (high - low) * (half - self.below[bin]) / weight
    }

    /// Weight of values up to `x`.
    fn up_to(&self, x: f64) -> f64 {
        let bin = self.edges.partition_point(|e| e.1 <= x);
        let Some(&(low, high)) = self.edges.get(bin) else { return self.total() };
        let inside = if x <= low { 0.0 } else { (x - low) / (high - low) };
        self.below[bin] + inside * (self.below[bin + 1] - self.below[bin])
    }

    /// Distance from `centre` within which half of the weight lies, by bisection.
    fn half_width(&self, centre: f64) -> f64 {
        let half = 0.5 * self.total();
        // Values at the near end itself are inside.
        let inside = |d: f64| self.up_to(centre + d) - self.up_to((centre - d).next_down());
        if inside(0.0) >= half {
            return 0.0;
        }
        let (mut near, mut far) = (0.0, (self.edges[0].0 - centre).abs().max((self.edges[self.edges.len() - 1].1 - centre).abs()));
        for _ in 0..40 {
            let middle = 0.5 * (near + far);
            if inside(middle) < half { near = middle } else { far = middle }
        }
        far
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution as _, StandardNormal};

    fn field(n: usize) -> (SkyBlocks, Vec<u32>) {
        let points: Vec<(u64, f64, f64)> =
            (0..n).map(|i| (0, 10.0 + (i % 40) as f64 / 360.0, 20.0 + (i / 40 % 40) as f64 / 360.0)).collect();
        let blocks = SkyBlocks::new(points.iter().copied());
        let of = points.iter().map(|p| blocks.block(p.0, p.1, p.2)).collect();
        (blocks, of)
    }

    /// Blocks do not depend on which of the points are asked for, and none is larger than needed.
    #[test]
    fn a_field_has_some_hundred_blocks() {
        let (blocks, of) = field(1600);
        assert!((100..=512).contains(&blocks.n()), "{}", blocks.n());
        assert!(of.iter().all(|&b| (b as usize) < blocks.n()));
        assert_eq!(SkyBlocks::new(std::iter::empty()).n(), 0);
    }

    /// n unit normals: the mean scatters by 1/√n, the median by 1.2533/√n, the standard deviation by 1/√(2n), the MAD's by 1.167/√n
    /// (Rousseeuw & Croux 1993: efficiency 37 %); a half-width is 1.96 of that, here to 20 % (400 replicates, few hundred blocks).
    #[test]
    fn intervals_are_those_of_a_normal() {
        for n in [400usize, 20_000] {
            let (blocks, of) = field(n);
            let mut rng = keyed_rng(2, "normal", n as u64, 0);
            let samples: Samples = of.iter().map(|&b| (b, StandardNormal.sample(&mut rng))).collect();
            let summary = Replicates::new(&blocks, 1, 400).summary(&samples);
            let root = (n as f64).sqrt();
            for (figure, sigma) in
                [(summary.mean, 1.0), (summary.median, 1.2533), (summary.std, std::f64::consts::FRAC_1_SQRT_2), (summary.mad_std, 1.167)]
            {
                let half = 0.5 * (figure.hi.unwrap() - figure.lo.unwrap());
                assert!((half * root / sigma / super::super::Z95 - 1.0).abs() < 0.2, "n {n}: {}", half * root / sigma);
                assert!(figure.lo.unwrap() <= figure.value.unwrap() && figure.value.unwrap() <= figure.hi.unwrap());
            }
        }
    }

    /// Bins of rank replace values beyond 512; the median of a replicate is then that of the values to a fraction of its error.
    #[test]
    fn the_binned_median_is_the_median() {
        let values: Vec<f64> = (0..5000).map(|i| (f64::from(i) / 500.0).exp()).collect();
        let edges: Vec<(f64, f64)> = values.chunks(10).map(|c| (c[0], c[9])).collect();
        let distribution = Distribution { below: (0..=500).map(|i| f64::from(i) * 10.0).collect(), edges };
        assert!((distribution.median() / median(&values) - 1.0).abs() < 2e-3);
        let exact = mad_std(&values) / 1.482_602_2;
        assert!((distribution.half_width(median(&values)) / exact - 1.0).abs() < 0.01);
    }

    /// No scatter has no interval but itself; one block has none.
    #[test]
    fn constants_and_single_blocks() {
        let (blocks, of) = field(50);
        let replicates = Replicates::new(&blocks, 1, 100);
        let zero = replicates.summary(&of.iter().map(|&b| (b, 0.0)).collect());
        assert_eq!((zero.median.value, zero.median.lo, zero.mad_std.hi), (Some(0.0), Some(0.0), Some(0.0)));
        let one = replicates.summary(&[(3, 1.0), (3, 2.0)].into_iter().collect());
        assert_eq!((one.median.value, one.median.lo), (Some(1.5), None));
        assert_eq!(replicates.summary(&Samples::default()).mean.value, None);
    }
}

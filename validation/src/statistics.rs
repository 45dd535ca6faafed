//! Intervals, robust moments and curve fits: what turns counts and residuals into figures.
//!
//! All intervals are two-sided and hold 95 %.

use crate::metric::Figure;
use fathom::random::keyed_rng;
use rand::Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Gamma};

/// Half-width of the 95 % interval of a unit normal.
pub const Z95: f64 = 1.959_963_985;

/// Wilson's interval of a share k of n.
///
/// # Source
/// Wilson 1927, J. Am. Stat. Assoc. 22, 209: unlike the normal approximation it stays inside 0..1 and is not empty at k = 0.
#[must_use]
pub fn share(k: usize, n: usize) -> Figure {
    if n == 0 {
        return Figure::NONE;
    }
    let (p, n_f) = (k as f64 / n as f64, n as f64);
    let z2 = Z95 * Z95;
    let middle = (p + z2 / (2.0 * n_f)) / (1.0 + z2 / n_f);
    let half = Z95 / (1.0 + z2 / n_f) * (p * (1.0 - p) / n_f + z2 / (4.0 * n_f * n_f)).sqrt();
    // At k = 0 and k = n the closed form is exact 0 or 1, rounding is not.
    let (lo, hi) = (if k == 0 { 0.0 } else { middle - half }, if k == n { 1.0 } else { middle + half });
    Figure { value: Some(p), lo: Some(lo.min(p)), hi: Some(hi.max(p)), n: n as u64 }
}

/// Rate of a Poisson count over `exposure`, with Garwood's exact interval.
#[must_use]
pub fn rate(count: usize, exposure: f64) -> Figure {
    if exposure.is_nan() || exposure <= 0.0 {
        return Figure::NONE;
    }
    let quantile = |shape: f64, p: f64| Gamma::new(shape, 1.0).map_or(0.0, |g| g.inverse_cdf(p));
    let k = count as f64;
    let lo = if count == 0 { 0.0 } else { quantile(k, 0.025) };
    Figure { value: Some(k / exposure), lo: Some(lo / exposure), hi: Some(quantile(k + 1.0, 0.975) / exposure), n: count as u64 }
}

/// Median; the mean of the middle two for an even number. NaN without values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    median_in_place(&mut values)
}

fn median_in_place(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + upper)
}

/// Standard deviation as the median absolute deviation says it (x 1.4826, exact for a normal).
#[must_use]
pub fn mad_std(values: &[f64]) -> f64 {
    let centre = median(values);
    let mut deviations: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
    1.482_602_2 * median_in_place(&mut deviations)
}

/// Mean; NaN without values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation about the mean (n - 1); NaN below two values.
#[must_use]
pub fn std(values: &[f64]) -> f64 {
    let centre = mean(values);
    (values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt()
}

/// Key of one bootstrap: the seed and what is resampled.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// What is resampled; another text gives independent resamplings.
    pub what: &'a str,
    /// Number of resamplings.
    pub n: usize,
}

impl Bootstrap<'_> {
    /// `statistic` of the values, with the percentile interval of its bootstrap.
    #[must_use]
    pub fn figure(&self, values: &[f64], statistic: fn(&[f64]) -> f64) -> Figure {
        let value = statistic(values);
        if values.is_empty() || !value.is_finite() {
            return Figure { n: values.len() as u64, ..Figure::NONE };
        }
        let draws = self.resample(values.len(), |rows| statistic(&rows.iter().map(|&row| values[row]).collect::<Vec<_>>()));
        let (lo, hi) = interval(draws);
        // One value resamples to itself: that is no interval.
        let known = values.len() > 1;
        Figure { value: Some(value), lo: lo.filter(|_| known), hi: hi.filter(|_| known), n: values.len() as u64 }
    }

    /// `statistic` of each resampling of `n_rows` rows, given as row numbers.
    pub fn resample(&self, n_rows: usize, statistic: impl Fn(&[usize]) -> f64 + Sync) -> Vec<f64> {
        // Each resampling has its own key and its own place in the result: threads cannot change it.
        (0..self.n)
            .into_par_iter()
            .map_init(
                || vec![0usize; n_rows],
                |rows, i| {
                    let mut rng = keyed_rng(self.seed, self.what, n_rows as u64, i as u64);
                    for row in rows.iter_mut() {
                        // Multiply-shift instead of the library's range: its method may change with the version, this one cannot.
                        *row = ((u128::from(rng.next_u64()) * n_rows as u128) >> 64) as usize;
                    }
                    statistic(rows)
                },
            )
            .collect()
    }
}

/// 2.5 and 97.5 % points of the finite draws; none if fewer than half are finite.
#[must_use]
pub fn interval(draws: Vec<f64>) -> (Option<f64>, Option<f64>) {
    let n_all = draws.len();
    let mut finite: Vec<f64> = draws.into_iter().filter(|d| d.is_finite()).collect();
    if finite.len() < 2 || 2 * finite.len() < n_all {
        return (None, None);
    }
    finite.sort_by(f64::total_cmp);
    let at = |p: f64| {
        let x = p * (finite.len() - 1) as f64;
        let i = x.floor() as usize;
        let t = x - i as f64;
        finite[i] * (1.0 - t) + finite[(i + 1).min(finite.len() - 1)] * t
    };
    (Some(at(0.025)), Some(at(0.975)))
}

/// Trials with a share of success each, summed in fine bins of x: what a curve is fitted to.
#[derive(Debug, Clone)]
pub struct Trials {
    x0: f64,
    step: f64,
    /// Per bin: sum of successes, number.
    bins: Vec<(f64, f64)>,
}

impl Trials {
    /// Bins of width `step` that hold all `x`.
    #[must_use]
    pub fn new(x: &[f64], step: f64) -> Self {
        let x0 = x.iter().copied().fold(f64::INFINITY, f64::min);
        let x1 = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let n = if x.is_empty() { 0 } else { ((x1 - x0) / step) as usize + 1 };
        Self { x0, step, bins: vec![(0.0, 0.0); n] }
    }

    /// Adds one trial.
    pub fn add(&mut self, x: f64, success: f64) {
        let i = ((x - self.x0) / self.step) as usize;
        let last = self.bins.len() - 1;
        let bin = &mut self.bins[i.min(last)];
        bin.0 += success;
        bin.1 += 1.0;
    }

    /// -ln likelihood of the curve.
    fn minus_ln_likelihood(&self, curve: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for (i, &(k, n)) in self.bins.iter().enumerate() {
            if n > 0.0 {
                // 1e-4: one object that no model explains must not outvote all others.
                let p = curve(self.x0 + (i as f64 + 0.5) * self.step).clamp(1e-4, 1.0 - 1e-4);
                sum -= k * p.ln() + (n - k) * (1.0 - p).ln();
            }
        }
        sum
    }

    /// x of 50 % of the most likely h / (1 + exp((x - m)/w)), with w of either sign and h in 0.5..1; none if the data do not reach it.
    ///
    /// h below 1 is the share lost for other reasons than faintness (blends, masks).
    #[must_use]
    pub fn logistic_half_point(&self, falling: bool) -> Option<f64> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut share = (0.0, 0.0);
        for (i, &(k, n)) in self.bins.iter().enumerate() {
            if n > 0.0 {
                let x = self.x0 + (i as f64 + 0.5) * self.step;
                low = low.min(x);
                high = high.max(x);
                share.0 += k;
                share.1 += n;
            }
        }
        let range = high - low;
        if range.is_nan() || range <= 0.0 || share.0 <= 0.0 || share.0 >= share.1 {
            return None;
        }
        let sign = if falling { 1.0 } else { -1.0 };
        let curve = |p: &[f64; 3], x: f64| lapse(p[2]) / (1.0 + (sign * (x - p[0]) / p[1].exp()).exp());
        let cost = |p: &[f64; 3]| self.minus_ln_likelihood(|x| curve(p, x)) + width_prior(p[1], range, self.step);
        let best = nelder_mead([0.5 * (low + high), (range / 8.0).ln(), 2.5], [range / 4.0, 1.0, 1.0], cost);
        let h = lapse(best[2]);
        let half = best[0] + sign * best[1].exp() * (2.0 * h - 1.0).max(1e-6).ln();
        // Outside the data the fit is extrapolation, not measurement.
        (half >= low - 0.25 * range && half <= high + 0.25 * range).then_some(half)
    }

    /// Factor f of the most likely h · C(x / f): how much S/N more than theory the 50 % point asks for; h in 0.5..1.
    #[must_use]
    pub fn scale_of(&self, theory: impl Fn(f64) -> f64) -> Option<f64> {
        let (k, n) = self.bins.iter().fold((0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
        if n < 1.0 || k <= 0.0 || k >= n {
            return None;
        }
        let cost = |p: &[f64; 3]| self.minus_ln_likelihood(|x| lapse(p[1]) * theory(x / p[0].exp())) + 1e-3 * p[2].powi(2);
        let best = nelder_mead([0.0, 3.0, 0.0], [0.1, 1.0, 0.1], cost);
        Some(best[0].exp()).filter(|f| (0.2..5.0).contains(f))
    }
}

/// Maps any number to 0.5..1.
fn lapse(p: f64) -> f64 {
    0.5 + 0.5 / (1.0 + (-p).exp())
}

/// Keeps the width between a bin and the whole range, where data at few x leave it free.
fn width_prior(ln_width: f64, range: f64, step: f64) -> f64 {
    let (low, high) = ((0.5 * step).ln(), range.ln());
    10.0 * ((low - ln_width).max(0.0).powi(2) + (ln_width - high).max(0.0).powi(2))
}

/// Minimum of a function of three variables by the downhill simplex.
///
/// # Source
/// Nelder & Mead 1965, Comput. J. 7, 308, with the usual coefficients 1, 2, 1/2, 1/2.
fn nelder_mead(start: [f64; 3], step: [f64; 3], cost: impl Fn(&[f64; 3]) -> f64) -> [f64; 3] {
    let mut simplex: Vec<([f64; 3], f64)> = (0..4)
        .map(|i| {
            let mut p = start;
            if i > 0 {
                p[i - 1] += step[i - 1];
            }
            (p, cost(&p))
        })
        .collect();
    for _ in 0..200 {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        if simplex[3].1 - simplex[0].1 < 1e-5 {
            break;
        }
        let centre: [f64; 3] = std::array::from_fn(|d| simplex[..3].iter().map(|v| v.0[d]).sum::<f64>() / 3.0);
        let towards = |t: f64| -> ([f64; 3], f64) {
            let p = std::array::from_fn(|d| centre[d] + t * (simplex[3].0[d] - centre[d]));
            (p, cost(&p))
        };
        let reflected = towards(-1.0);
        if reflected.1 < simplex[0].1 {
            let expanded = towards(-2.0);
            simplex[3] = if expanded.1 < reflected.1 { expanded } else { reflected };
        } else if reflected.1 < simplex[2].1 {
            simplex[3] = reflected;
        } else {
            let contracted = towards(if reflected.1 < simplex[3].1 { -0.5 } else { 0.5 });
            if contracted.1 < simplex[3].1.min(reflected.1) {
                simplex[3] = contracted;
            } else {
                let best = simplex[0].0;
                for vertex in &mut simplex[1..] {
                    vertex.0 = std::array::from_fn(|d| 0.5 * (best[d] + vertex.0[d]));
                    vertex.1 = cost(&vertex.0);
                }
            }
        }
    }
    simplex.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(start, |v| v.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// Wilson's interval for 8 of 10, from the closed form in his paper: 0.490 to 0.943; exact Poisson for 3: 0.619 to 8.767.
    #[test]
    fn intervals_of_counts() {
        let f = share(8, 10);
        assert_relative_eq!(f.lo.unwrap(), 0.4902, epsilon = 1e-4);
        assert_relative_eq!(f.hi.unwrap(), 0.9433, epsilon = 1e-4);
        let f = rate(3, 1.0);
        assert_relative_eq!(f.lo.unwrap(), 0.6187, epsilon = 1e-3);
        assert_relative_eq!(f.hi.unwrap(), 8.7673, epsilon = 1e-3);
        assert_relative_eq!(rate(0, 2.0).hi.unwrap(), 3.6889 / 2.0, epsilon = 1e-3);
        assert!(share(0, 0).value.is_none());
    }

    #[test]
    fn robust_moments() {
        assert_relative_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_relative_eq!(median(&[4.0, 3.0, 1.0, 2.0]), 2.5);
        assert_relative_eq!(mad_std(&[1.0, 2.0, 3.0, 4.0, 100.0]), 1.482_602_2);
        assert_relative_eq!(std(&[1.0, 3.0]), 2f64.sqrt());
    }

    /// Expected successes of a known logistic give its 50 % point back.
    #[test]
    fn logistic_fit_finds_its_half_point() {
        let x: Vec<f64> = (0..2000).map(|i| 22.0 + i as f64 * 0.002).collect();
        let mut trials = Trials::new(&x, 0.02);
        for &x in &x {
            trials.add(x, 1.0 / (1.0 + ((x - 24.3) / 0.2).exp()));
        }
        assert!((trials.logistic_half_point(true).unwrap() - 24.3).abs() < 0.01);
        // All found: nothing to measure.
        let mut all_found = Trials::new(&x, 0.02);
        for &x in &x {
            all_found.add(x, 1.0);
        }
        assert!(all_found.logistic_half_point(true).is_none());
    }

    /// The mean of n unit normals scatters by 1/√n: 95 % within 1.96/√n.
    #[test]
    fn bootstrap_interval_of_a_mean() {
        let values: Vec<f64> = (0..400).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let figure = Bootstrap { seed: 1, what: "test", n: 1000 }.figure(&values, mean);
        assert!((figure.hi.unwrap() - Z95 / 20.0).abs() < 0.02);
        assert!((figure.lo.unwrap() + Z95 / 20.0).abs() < 0.02);
    }
}

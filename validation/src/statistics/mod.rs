//! Intervals, robust moments, resampling and fits: what turns counts and residuals into figures.
//!
//! All intervals are two-sided and hold 95 %. What crosses pieces of the sky merges in plan order ([`Tally`]), so that any cut of the
//! sky and any number of threads give the same bits.

mod binomial_fit;
mod resampling;
mod robust;
mod tally;

pub use binomial_fit::{HalfPointFit, TrialBins, fit_half_point, fit_scale};
pub use resampling::{Replicates, Samples, SkyBlocks};
pub use robust::{mad_std, mean, median, std};
pub use tally::{Share, Tally};

use crate::metric::Figure;
use fathom::random::keyed_rng;
use rand::Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Gamma};

/// Half-width of the 95 % interval of a unit normal.
pub const Z95: f64 = 1.959_963_985;

/// Lower and upper end of an interval; none where it is not known.
pub type Interval = (Option<f64>, Option<f64>);

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

/// Key of one bootstrap over values that have no place among the objects (exposures, cells): the seed and what is resampled.
///
/// What lies on the sky is resampled by blocks, see [`Replicates`].
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
pub fn interval(draws: Vec<f64>) -> Interval {
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

    /// The mean of n unit normals scatters by 1/√n: 95 % within 1.96/√n.
    #[test]
    fn bootstrap_interval_of_a_mean() {
        let values: Vec<f64> = (0..400).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let figure = Bootstrap { seed: 1, what: "test", n: 1000 }.figure(&values, mean);
        assert!((figure.hi.unwrap() - Z95 / 20.0).abs() < 0.02);
        assert!((figure.lo.unwrap() + Z95 / 20.0).abs() < 0.02);
    }
}

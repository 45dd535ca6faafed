//! Curves fitted to shares of success by maximum likelihood.

use nalgebra::{Matrix3, Vector3};
use statrs::function::erf::erfc;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Trials with a share of success each, summed in fine bins of x: what a curve is fitted to.
#[derive(Debug, Clone, Default)]
pub struct TrialBins {
    step: f64,
    /// Number of each bin that has trials: x in step units, rounded down.
    numbers: Vec<i64>,
    /// Per bin: x of its middle, sum of successes, number of trials.
    bins: Vec<[f64; 3]>,
}

/// A rising or falling curve h · ½ erfc(±(x - m)/(√2 w)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfPointFit {
    /// x of half the plateau.
    pub middle: f64,
    /// Width: standard deviation of the Gaussian.
    pub width: f64,
    /// Plateau, in 0.5..1: what is lost above it is lost for other reasons than faintness (blends, masks).
    pub plateau: f64,
    /// True if the share falls with x.
    pub falling: bool,
}

impl HalfPointFit {
    /// The curve of (m, ln w, logit of the plateau) at x, and its derivatives.
    fn at(p: &Parameters, x: f64, falling: bool) -> (f64, Parameters) {
        let (sign, width) = (if falling { 1.0 } else { -1.0 }, p[1].exp());
        let z = sign * (x - p[0]) / width;
        let (h, slope_of_h) = plateau(p[2]);
        let share = 0.5 * erfc(z * FRAC_1_SQRT_2);
        let density = h * (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        (h * share, [sign * density / width, z * density, slope_of_h * share])
    }

    /// x where the curve is `share`; none if it does not reach it.
    #[must_use]
    pub fn crossing(&self, share: f64) -> Option<f64> {
        let ratio = share / self.plateau;
        if !(ratio > 0.0 && ratio < 1.0) {
            return None;
        }
        let sign = if self.falling { 1.0 } else { -1.0 };
        Some(self.middle + sign * self.width * std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * ratio))
    }

    fn parameters(&self) -> Parameters {
        // The logit of the plateau is finite also where the plateau was rounded to its end.
        let t = (2.0 * self.plateau - 1.0).clamp(1e-4, 1.0 - 1e-4);
        [self.middle, self.width.ln(), (t / (1.0 - t)).ln()]
    }
}

impl TrialBins {
    /// Bins of width `step` of trials (x, success in 0..=1).
    #[must_use]
    pub fn new(trials: impl Iterator<Item = (f64, f64)>, step: f64) -> Self {
        let mut by_bin: std::collections::BTreeMap<i64, (f64, f64)> = std::collections::BTreeMap::new();
        for (x, success) in trials.filter(|t| t.0.is_finite()) {
            let bin = by_bin.entry((x / step).floor() as i64).or_default();
            bin.0 += success;
            bin.1 += 1.0;
        }
        let numbers = by_bin.keys().copied().collect();
        Self { step, numbers, bins: by_bin.into_iter().map(|(i, (k, n))| [(i as f64 + 0.5) * step, k, n]).collect() }
    }

    /// Number of bins.
    #[must_use]
    pub fn n(&self) -> usize {
        self.bins.len()
    }

    /// Bin of an x that was among the trials.
    #[must_use]
    pub fn bin(&self, x: f64) -> Option<usize> {
        self.numbers.binary_search(&((x / self.step).floor() as i64)).ok()
    }

    /// The same bins with other counts: successes and trials of bin i are `counts[2 i]` and `counts[2 i + 1]`.
    #[must_use]
    pub fn with_counts(&self, counts: &[f64]) -> Self {
        let bins = self.bins.iter().enumerate().map(|(i, b)| [b[0], counts[2 * i], counts[2 * i + 1]]).collect();
        Self { step: self.step, numbers: self.numbers.clone(), bins }
    }

    fn range(&self) -> Option<(f64, f64)> {
        let mut seen = self.bins.iter().filter(|b| b[2] > 0.0);
        let low = seen.next()?[0];
        Some((low, seen.next_back()?[0]))
    }

    /// Some fail and some succeed: else there is nothing to fit.
    fn is_mixed(&self) -> bool {
        let (k, n) = self.bins.iter().fold((0.0, 0.0), |sum, b| (sum.0 + b[1], sum.1 + b[2]));
        k > 0.0 && k < n
    }
}

/// Maps any number to a plateau in 0.5..1, with the derivative.
fn plateau(p: f64) -> (f64, f64) {
    let t = 1.0 / (1.0 + (-p).exp());
    (0.5 + 0.5 * t, 0.5 * t * (1.0 - t))
}

/// The most likely [`HalfPointFit`]; none if the trials do not reach half, or lie outside the data.
///
/// `start` saves the search when a similar set was fitted before (a replicate of a bootstrap).
#[must_use]
pub fn fit_half_point(trials: &TrialBins, falling: bool, start: Option<&HalfPointFit>) -> Option<HalfPointFit> {
    let (low, high) = trials.range().filter(|r| r.1 > r.0)?;
    if !trials.is_mixed() {
        return None;
    }
    let range = high - low;
    let step = range / trials.bins.len() as f64;
    let model = |p: &Parameters, x: f64| HalfPointFit::at(p, x, falling);
    // Keeps the width between a bin and the whole range, where data at few x leave it free, and the plateau's logit finite.
    let prior = [(0.5 * (low + high), range), ((range / 8.0).ln().max(step.ln()), 2.0), (3.0, 3.0)];
    let starts: Vec<Parameters> = match start {
        Some(start) => vec![start.parameters()],
        None => {
            let widths = [20.0, 6.0];
            (1..8).flat_map(|i| widths.map(|w| [low + range * f64::from(i) / 8.0, (range / w).ln(), 2.5])).collect()
        }
    };
    let best = starts.iter().map(|s| maximum_likelihood(trials, &model, *s, &prior)).min_by(|a, b| a.1.total_cmp(&b.1))?.0;
    let fit = HalfPointFit { middle: best[0], width: best[1].exp(), plateau: plateau(best[2]).0, falling };
    // Outside the data the fit is extrapolation, not measurement.
    let half = fit.crossing(0.5)?;
    (half >= low - 0.25 * range && half <= high + 0.25 * range).then_some(fit)
}

/// Factor f of the most likely h · C(x / f): how much S/N more than theory the 50 % point asks for; h in 0.5..1.
#[must_use]
pub fn fit_scale(trials: &TrialBins, theory: impl Fn(f64) -> f64) -> Option<f64> {
    if !trials.is_mixed() {
        return None;
    }
    const STEP: f64 = 1e-3;
    let model = |p: &Parameters, x: f64| {
        let (h, slope_of_h) = plateau(p[1]);
        let at = |ln_scale: f64| theory(x / ln_scale.exp());
        let slope = (at(p[0] + STEP) - at(p[0] - STEP)) / (2.0 * STEP);
        (h * at(p[0]), [h * slope, slope_of_h * at(p[0]), 0.0])
    };
    let best = maximum_likelihood(trials, &model, [0.0, 3.0, 0.0], &[(0.0, 1.0), (3.0, 3.0), (0.0, 1.0)]).0;
    Some(best[0].exp()).filter(|f| (0.2..5.0).contains(f))
}

/// Parameters of a curve of three.
type Parameters = [f64; 3];

/// A curve at x: its value, and its derivatives by the parameters.
type Model<'m> = dyn Fn(&Parameters, f64) -> (f64, Parameters) + 'm;

/// -ln of the posterior at one set of parameters, with what a step needs.
struct Evaluated {
    at: Parameters,
    cost: f64,
    information: Matrix3<f64>,
    score: Vector3<f64>,
}

impl Evaluated {
    fn new(trials: &TrialBins, model: &Model, at: Parameters, prior: &[(f64, f64); 3]) -> Self {
        let (mut cost, mut information, mut score) = (0.0, Matrix3::zeros(), Vector3::zeros());
        for &[x, k, n] in trials.bins.iter().filter(|b| b[2] > 0.0) {
            let (q, slope) = model(&at, x);
            // 1e-4: one object that no model explains must not outvote all others.
            let q = q.clamp(1e-4, 1.0 - 1e-4);
            cost -= k * q.ln() + (n - k) * (1.0 - q).ln();
            let (slope, weight) = (Vector3::from(slope), 1.0 / (q * (1.0 - q)));
            information += slope * slope.transpose() * (n * weight);
            score += slope * ((k - n * q) * weight);
        }
        for d in 0..3 {
            let (mean, width) = prior[d];
            cost += 0.5 * ((at[d] - mean) / width).powi(2);
            information[(d, d)] += width.powi(-2);
            score[d] -= (at[d] - mean) / width.powi(2);
        }
        Self { at, cost, information, score }
    }
}

/// Parameters of the most likely curve with a weak normal prior (mean, width) on each, and -ln of its posterior.
///
/// Fisher scoring: with p the curve and J its derivatives, the information is Σ n J Jᵀ / (p (1 - p)) and the score
/// Σ (k - n p) J / (p (1 - p)); a step that makes it worse is damped (Marquardt).
///
/// # Source
/// McCullagh & Nelder 1989, Generalized Linear Models, section 2.5.
fn maximum_likelihood(trials: &TrialBins, model: &Model, start: Parameters, prior: &[(f64, f64); 3]) -> (Parameters, f64) {
    // Of -ln L: the parameters are then within √(2e-4), a hundredth of their errors, of the best.
    const ENOUGH: f64 = 1e-4;
    let evaluate = |at| Evaluated::new(trials, model, at, prior);
    let (mut best, mut damping) = (evaluate(start), 1e-3);
    for _ in 0..100 {
        let damped = best.information + Matrix3::from_diagonal(&(best.information.diagonal() * damping));
        let Some(step) = damped.lu().solve(&best.score) else { break };
        let moved = evaluate(std::array::from_fn(|d| best.at[d] + step[d]));
        let gain = best.cost - moved.cost;
        if gain > 0.0 {
            best = moved;
            damping = (damping * 0.2).max(1e-9);
            if gain < ENOUGH {
                break;
            }
        } else {
            damping *= 8.0;
            if damping > 1e8 {
                break;
            }
        }
    }
    (best.at, best.cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    fn survey(at: impl Fn(f64) -> f64) -> TrialBins {
        TrialBins::new((0..2000).map(|i| 22.0 + f64::from(i) * 0.002).map(|x| (x, at(x))), 0.05)
    }

    /// Expected successes of a known curve give its middle, width, plateau and crossings back, to a bin's discretisation.
    #[test]
    fn a_known_curve_is_found() {
        let normal = Normal::new(24.3, 0.25).unwrap();
        let trials = survey(|x| 0.9 * (1.0 - normal.cdf(x)));
        let fit = fit_half_point(&trials, true, None).unwrap();
        assert!((fit.middle - 24.3).abs() < 0.01 && (fit.width - 0.25).abs() < 0.02 && (fit.plateau - 0.9).abs() < 0.01, "{fit:?}");
        // 0.9 (1 - Φ(z)) = 0.5: z = -0.13971.
        assert!((fit.crossing(0.5).unwrap() - (24.3 - 0.25 * 0.139_71)).abs() < 0.01);
        assert_eq!(fit.crossing(0.95), None);
        let again = fit_half_point(&trials, true, Some(&fit)).unwrap();
        assert!((again.middle - fit.middle).abs() < 1e-3);
    }

    #[test]
    fn rising_curves_and_sharp_edges() {
        let rising = survey(|x| f64::from(u8::from(x > 23.1)));
        let fit = fit_half_point(&rising, false, None).unwrap();
        assert!((fit.crossing(0.5).unwrap() - 23.1).abs() < 0.05, "{fit:?}");
        assert!(fit.crossing(0.9).unwrap() > fit.crossing(0.5).unwrap());
    }

    /// All found, none found, or nothing at all: nothing to measure.
    #[test]
    fn without_an_edge_there_is_no_fit() {
        assert!(fit_half_point(&survey(|_| 1.0), true, None).is_none());
        assert!(fit_half_point(&survey(|_| 0.0), true, None).is_none());
        assert!(fit_half_point(&TrialBins::default(), true, None).is_none());
    }

    #[test]
    fn the_scale_of_a_stretched_theory() {
        let normal = Normal::new(5.0, 1.0).unwrap();
        let trials = TrialBins::new((0..1500).map(|i| f64::from(i) * 0.01).map(|x| (x, 0.97 * normal.cdf(x / 1.1))), 0.1);
        assert!((fit_scale(&trials, |x| normal.cdf(x)).unwrap() - 1.1).abs() < 0.01);
    }
}

//! Values that are filled piece by piece and merge in plan order.

use super::share;
use crate::metric::Figure;
use std::collections::BTreeMap;

/// What a piece of the sky knows, and how it joins the piece that follows it in the plan.
///
/// Merging must not depend on where the sky was cut: lists are joined, counts are summed as integers.
pub trait Tally: Default {
    /// Joins the piece that follows.
    fn merge(&mut self, later: Self);
}

impl<T> Tally for Vec<T> {
    fn merge(&mut self, mut later: Self) {
        self.append(&mut later);
    }
}

impl<K: Ord, V: Tally> Tally for BTreeMap<K, V> {
    fn merge(&mut self, later: Self) {
        for (key, value) in later {
            self.entry(key).or_default().merge(value);
        }
    }
}

/// Steps of an expected probability: 2^-32, so that sums of 4e9 objects are exact in 64 bits and have no order.
const EXPECTED_STEP: f64 = 1.0 / (1u64 << 32) as f64;

/// Successes among trials, beside the successes that theory expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Successes.
    pub k: u64,
    /// Trials.
    pub n: u64,
    /// Sum of the expected probabilities, in steps of 2^-32.
    expected: u64,
    /// Trials with an expected probability.
    n_expected: u64,
}

impl Share {
    /// Adds a trial without expectation.
    pub fn add(&mut self, success: bool) {
        self.k += u64::from(success);
        self.n += 1;
    }

    /// Adds a trial; an expectation of NaN is none.
    pub fn add_expected(&mut self, success: bool, expected: f64) {
        self.add(success);
        if expected.is_finite() {
            self.expected += (expected.clamp(0.0, 1.0) / EXPECTED_STEP).round() as u64;
            self.n_expected += 1;
        }
    }

    /// The share with Wilson's interval.
    #[must_use]
    pub fn figure(&self) -> Figure {
        share(self.k as usize, self.n as usize)
    }

    /// The mean expected share; none if no trial had one.
    #[must_use]
    pub fn expected(&self) -> Option<f64> {
        (self.n_expected > 0).then(|| self.expected as f64 * EXPECTED_STEP / self.n_expected as f64)
    }
}

impl Tally for Share {
    fn merge(&mut self, later: Self) {
        self.k += later.k;
        self.n += later.n;
        self.expected += later.expected;
        self.n_expected += later.n_expected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_merge_to_the_share_of_all() {
        let mut whole = Share::default();
        let mut pieces = [Share::default(), Share::default()];
        for i in 0..100 {
            let expected = if i % 10 == 0 { f64::NAN } else { 0.37 };
            whole.add_expected(i % 3 == 0, expected);
            pieces[usize::from(i >= 40)].add_expected(i % 3 == 0, expected);
        }
        let [mut first, second] = pieces;
        first.merge(second);
        assert_eq!(first, whole);
        assert!((whole.expected().unwrap() - 0.37).abs() < 1e-9);
        assert_eq!((whole.k, whole.n), (34, 100));
        assert_eq!(Share::default().expected(), None);
    }
}

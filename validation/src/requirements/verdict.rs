//! Requirements held against figures: verdicts.

use super::{Quantity, Requirement, RequirementError, Requirements};
use crate::Metric;
use serde::{Deserialize, Serialize};

/// How a requirement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The value keeps the bound.
    Pass,
    /// It does not.
    Fail,
    /// There is no value to judge.
    NotMeasured,
}

impl Outcome {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A requirement held against one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Requirement.
    pub name: String,
    /// Record: name, band, class, regime (of the requirement, if no record was found).
    pub metric: String,
    /// Band or layer.
    pub band: String,
    /// Class.
    pub class: String,
    /// Regime.
    pub regime: String,
    /// What the bound holds.
    pub of: Quantity,
    /// Ends of the good range; null: open.
    pub min: Option<f64>,
    /// Upper end.
    pub max: Option<f64>,
    /// Unit of bound, value, interval and margin.
    pub unit: String,
    /// What was found, with its 95 % interval; null if not measured.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub lo: Option<f64>,
    /// Upper end of the interval.
    pub hi: Option<f64>,
    /// Objects behind it.
    pub n: u64,
    /// Distance from the nearest bound, positive on the good side.
    pub margin: Option<f64>,
    /// The whole interval lies on the side of the value: chance alone does not explain the outcome.
    pub is_certain: bool,
    /// Pass, fail or not measured.
    pub outcome: Outcome,
    /// Reason for the requirement; of one that is not measured also why it is not.
    pub why: String,
}

impl Requirements {
    /// Verdicts, in the order of the file and, for one requirement, of the records.
    ///
    /// # Errors
    /// [`RequirementError::Unit`] if a bound's unit does not go with its record's.
    pub fn judge(&self, metrics: &[Metric]) -> Result<Vec<Verdict>, RequirementError> {
        let mut verdicts = Vec::new();
        for requirement in &self.list {
            let n_before = verdicts.len();
            if requirement.not_measured.is_empty() {
                for metric in metrics.iter().filter(|m| requirement.is_about(m)) {
                    verdicts.push(requirement.verdict(metric)?);
                }
            }
            if verdicts.len() == n_before {
                let reason = if requirement.not_measured.is_empty() { "the run has no such figure" } else { &requirement.not_measured };
                verdicts.push(requirement.open(reason));
            }
        }
        Ok(verdicts)
    }
}

impl Requirement {
    fn is_about(&self, metric: &Metric) -> bool {
        let pairs = [(&self.band, &metric.band), (&self.class, &metric.class), (&self.regime, &metric.regime)];
        self.metric == metric.name && pairs.into_iter().all(|(pattern, text)| matches(pattern, text))
    }

    fn range(&self) -> (Option<f64>, Option<f64>) {
        self.within.map_or((self.min, self.max), |[low, high]| (Some(low), Some(high)))
    }

    /// The verdict where there is nothing to judge.
    fn open(&self, reason: &str) -> Verdict {
        let (min, max) = self.range();
        Verdict {
            name: self.name.clone(),
            metric: self.metric.clone(),
            band: self.band.clone(),
            class: self.class.clone(),
            regime: self.regime.clone(),
            of: self.of,
            min,
            max,
            unit: self.unit.clone(),
            value: None,
            lo: None,
            hi: None,
            n: 0,
            margin: None,
            is_certain: false,
            outcome: Outcome::NotMeasured,
            why: format!("{} (not measured: {reason})", self.why),
        }
    }

    fn verdict(&self, metric: &Metric) -> Result<Verdict, RequirementError> {
        let factor = match self.of {
            Quantity::OverLimit => 1.0,
            _ => conversion(&metric.unit, &self.unit).ok_or_else(|| RequirementError::Unit {
                name: self.name.clone(),
                found: self.unit.clone(),
                metric: metric.name.clone(),
                unit: metric.unit.clone(),
            })?,
        };
        let place = |v: Verdict| Verdict {
            band: metric.band.clone(),
            class: metric.class.clone(),
            regime: metric.regime.clone(),
            n: metric.n,
            ..v
        };
        let bounded = |v: f64| match (self.of, metric.limit) {
            (Quantity::Value, _) => Some(factor * v),
            (Quantity::LessLimit, Some(limit)) => Some(factor * (v - limit)),
            (Quantity::OverLimit, Some(limit)) if limit.abs() > 0.0 => Some(v / limit),
            _ => None,
        };
        if metric.value.is_none() {
            return Ok(place(self.open("the figure has no value")));
        }
        if metric.n < self.min_n {
            return Ok(place(self.open(&format!("{} objects; at least {} are needed", metric.n, self.min_n))));
        }
        let Some(value) = metric.value.and_then(bounded) else {
            return Ok(place(self.open("the figure has no theoretical limit")));
        };
        let (min, max) = self.range();
        let margin_of = |v: f64| min.map_or(f64::INFINITY, |m| v - m).min(max.map_or(f64::INFINITY, |m| m - v));
        let margin = margin_of(value);
        let is_good = margin >= 0.0;
        // A range can be missed on either side: the interval must lie beyond the same end as the value.
        let is_beyond = |v: f64| min.is_some_and(|m| value < m && v < m) || max.is_some_and(|m| value > m && v > m);
        let mut ends = [metric.lo.and_then(bounded), metric.hi.and_then(bounded)];
        if matches!(ends, [Some(a), Some(b)] if a > b) {
            ends.swap(0, 1); // a negative limit turns the interval round
        }
        let is_known = ends.iter().all(Option::is_some);
        let is_certain = is_known && ends.iter().flatten().all(|&v| if is_good { margin_of(v) >= 0.0 } else { is_beyond(v) });
        Ok(place(Verdict {
            value: Some(value),
            lo: ends[0],
            hi: ends[1],
            margin: Some(margin),
            is_certain,
            outcome: if is_good { Outcome::Pass } else { Outcome::Fail },
            why: self.why.clone(),
            ..self.open("")
        }))
    }
}

/// `*` matches what is not empty, a trailing `*` any rest, all else itself.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => !text.is_empty(),
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// Factor from a record's unit to a bound's; none if they do not go together.
fn conversion(from: &str, to: &str) -> Option<f64> {
    match (from, to) {
        _ if from == to => Some(1.0),
        ("", "%") => Some(100.0),
        // A small relative error δ is 2.5 / ln 10 · δ magnitudes.
        ("", "mmag") => Some(2500.0 / std::f64::consts::LN_10),
        ("mag", "mmag") | ("arcsec", "mas") => Some(1000.0),
        ("mas", "arcsec") => Some(0.001),
        _ => None,
    }
}

impl Verdict {
    /// Where it holds: band, class and regime that are not empty.
    #[must_use]
    pub fn condition(&self) -> String {
        [&self.band, &self.class, &self.regime].into_iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join(", ")
    }

    /// The bound in words, e.g. `at most 5 mmag`.
    #[must_use]
    pub fn bound(&self) -> String {
        let number = crate::key_figures::number;
        let of = match self.of {
            Quantity::Value => "",
            Quantity::OverLimit => " of the limit",
            Quantity::LessLimit => " off the limit",
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}{unit}{of}", number(min), number(max)),
            (Some(min), None) => format!("at least {}{unit}{of}", number(min)),
            (None, Some(max)) => format!("at most {}{unit}{of}", number(max)),
            (None, None) => "none".to_owned(),
        }
    }
}

/// `2 of 14 requirements fail, 3 are not measured`; and a line for every failed one.
#[must_use]
pub fn verdict_lines(verdicts: &[Verdict]) -> Vec<String> {
    let number = crate::key_figures::number;
    let count = |outcome| verdicts.iter().filter(|v| v.outcome == outcome).count();
    let (n_failed, n_open) = (count(Outcome::Fail), count(Outcome::NotMeasured));
    let mut lines = vec![format!("requirements: {} pass, {n_failed} fail, {n_open} not measured", count(Outcome::Pass))];
    for v in verdicts.iter().filter(|v| v.outcome == Outcome::Fail) {
        let condition = if v.condition().is_empty() { String::new() } else { format!(" ({})", v.condition()) };
        let interval = v.lo.zip(v.hi).map_or(String::new(), |(lo, hi)| format!(" ({} to {})", number(lo), number(hi)));
        let chance = if v.is_certain { "" } else { "; chance may explain it" };
        let value = v.value.map_or_else(String::new, number);
        lines.push(format!("fail: {}, {}{condition} is {value}{interval}; required {}{chance}", v.name, v.metric, v.bound()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, band: &str, value: Option<f64>, interval: (f64, f64), limit: Option<f64>, unit: &str) -> Metric {
        Metric {
            name: name.into(),
            band: band.into(),
            class: "star".into(),
            regime: "bright".into(),
            value,
            lo: Some(interval.0),
            hi: Some(interval.1),
            limit,
            unit: unit.into(),
            n: 50,
        }
    }

    fn judge(entry: &str, metrics: &[Metric]) -> Vec<Verdict> {
        let text = format!("[[requirement]]\nname = \"A\"\nwhy = \"because\"\nclass = \"star\"\nregime = \"bright\"\n{entry}");
        Requirements::parse(&text).unwrap().judge(metrics).unwrap()
    }

    /// 0.004 relative is 4.34 mmag; the interval 0.003 to 0.006 reaches beyond 5 mmag, so the pass is not certain.
    #[test]
    fn a_bound_in_millimagnitudes_holds_a_relative_error() {
        let metrics = [
            metric("m", "g", Some(0.004), (0.003, 0.006), None, ""),
            metric("m", "r", Some(0.008), (0.007, 0.009), None, ""),
            metric("other", "r", Some(0.0), (0.0, 0.0), None, ""),
        ];
        let verdicts = judge("metric = \"m\"\nband = \"*\"\nmax = 5.0\nunit = \"mmag\"", &metrics);
        let [g, r] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert_eq!((g.outcome, g.is_certain, g.band.as_str()), (Outcome::Pass, false, "g"));
        assert!((g.margin.unwrap() - (5.0 - 4.343)).abs() < 1e-3 && (g.value.unwrap() - 4.343).abs() < 1e-3);
        assert_eq!((r.outcome, r.is_certain), (Outcome::Fail, true));
        assert!(r.margin.unwrap() < 0.0);
        assert_eq!(r.bound(), "at most 5 mmag");
        let lines = verdict_lines(&verdicts);
        assert_eq!(lines[0], "requirements: 1 pass, 1 fail, 0 not measured");
        assert_eq!(lines[1], "fail: A, m (r, star, bright) is 8.686 (7.600 to 9.772); required at most 5 mmag");
    }

    #[test]
    fn a_range_fails_on_either_side_and_only_surely_if_the_whole_interval_does() {
        let of = |value: f64, interval| {
            judge("metric = \"m\"\nband = \"g\"\nwithin = [-1.0, 1.0]", &[metric("m", "g", Some(value), interval, None, "")])
        };
        let outcome = |value: f64, lo: f64, hi: f64| (of(value, (lo, hi))[0].outcome, of(value, (lo, hi))[0].is_certain);
        assert_eq!(outcome(0.5, 0.0, 0.9), (Outcome::Pass, true));
        assert_eq!(outcome(0.5, -1.5, 0.9), (Outcome::Pass, false));
        assert_eq!(outcome(1.5, 1.2, 1.9), (Outcome::Fail, true));
        assert_eq!(outcome(-1.5, -1.9, 0.0), (Outcome::Fail, false));
        // An interval that leaves the range on both sides decides nothing.
        assert_eq!(outcome(1.5, -1.9, 1.9), (Outcome::Fail, false));
    }

    #[test]
    fn bounds_relative_to_the_limit() {
        let m = [metric("m", "g", Some(0.3), (0.25, 0.35), Some(0.2), "mag")];
        let ratio = judge("metric = \"m\"\nband = \"g\"\nof = \"value / limit\"\nmax = 2.0", &m);
        assert!((ratio[0].value.unwrap() - 1.5).abs() < 1e-12 && ratio[0].outcome == Outcome::Pass);
        let less = judge("metric = \"m\"\nband = \"g\"\nof = \"value - limit\"\nmin = 0.0\nunit = \"mmag\"", &m);
        assert!((less[0].value.unwrap() - 100.0).abs() < 1e-9 && less[0].is_certain);
        let without = [metric("m", "g", Some(0.3), (0.25, 0.35), None, "mag")];
        let open = judge("metric = \"m\"\nband = \"g\"\nof = \"value / limit\"\nmax = 2.0", &without);
        assert_eq!(open[0].outcome, Outcome::NotMeasured);
        assert!(open[0].why.contains("no theoretical limit"));
    }

    #[test]
    fn what_is_missing_is_not_measured() {
        let no_record = judge("metric = \"absent\"\nmax = 1.0", &[]);
        let no_value = judge("metric = \"m\"\nband = \"g\"\nmax = 1.0", &[metric("m", "g", None, (0.0, 0.0), None, "")]);
        let too_few = judge("metric = \"m\"\nband = \"g\"\nmax = 1.0\nmin_n = 51", &[metric("m", "g", Some(0.0), (0.0, 0.0), None, "")]);
        let by_nature = judge("not_measured = \"needs an external standard\"\nmax = 10.0", &[]);
        for (verdicts, word) in [(no_record, "no such figure"), (no_value, "no value"), (too_few, "at least 51"), (by_nature, "external")] {
            assert_eq!((verdicts.len(), verdicts[0].outcome), (1, Outcome::NotMeasured));
            assert!(verdicts[0].why.contains(word) && verdicts[0].value.is_none(), "{:?}", verdicts[0]);
        }
    }

    #[test]
    fn a_unit_that_does_not_go_with_the_figure_is_refused() {
        let text = "[[requirement]]\nname = \"A\"\nwhy = \"x\"\nmetric = \"m\"\nmax = 1.0\nband = \"g\"\nunit = \"mas\"\nclass = \"star\"\nregime = \"bright\"";
        let error =
            Requirements::parse(text).unwrap().judge(&[metric("m", "g", Some(1.0), (0.0, 2.0), None, "mag")]).unwrap_err().to_string();
        assert!(error.contains("requirement A: unit is \"mas\", but m is in \"mag\""), "{error}");
    }
}

//! One figure of a report, and the file that holds them all: metrics.json.

pub(crate) mod association;
pub(crate) mod astrometry;
pub(crate) mod background;
pub(crate) mod coadd;
pub(crate) mod completeness;
pub(crate) mod confusion;
pub(crate) mod deblending;
pub(crate) mod false_positives;
mod objects;
pub(crate) mod photometry;
pub(crate) mod purity;

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Dotted name, e.g. `detection.completeness.m50`.
    pub name: String,
    /// Band or layer; empty for all.
    pub band: String,
    /// Class of objects; empty for all.
    pub class: String,
    /// Bin or condition; empty for all.
    pub regime: String,
    /// Value; null if it could not be measured.
    pub value: Option<f64>,
    /// Lower end of the interval (95 %, two-sided).
    pub lo: Option<f64>,
    /// Upper end of the interval.
    pub hi: Option<f64>,
    /// Theoretical limit of the same data, where there is one.
    pub limit: Option<f64>,
    /// Unit.
    pub unit: String,
    /// Objects behind it.
    pub n: u64,
}

/// What the metrics belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Name of the run.
    pub name: String,
    /// Bands.
    pub bands: Vec<String>,
    /// Hash of the resolved configuration.
    pub config_hash: String,
    /// Keys of the exposures, hashed: runs are comparable only if these agree.
    pub exposures_key: String,
}

/// metrics.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsFile {
    /// Version of this schema: 1.
    pub schema: u32,
    /// The run.
    pub run: RunInfo,
    /// All figures.
    pub metrics: Vec<Metric>,
}

/// A value with its 95 % interval and the number of objects behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Value; none if it could not be measured.
    pub value: Option<f64>,
    /// Lower end.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Objects.
    pub n: u64,
}

impl Figure {
    /// Nothing measured.
    pub const NONE: Self = Self { value: None, lo: None, hi: None, n: 0 };

    /// A count without an interval.
    pub fn count(n: usize) -> Self {
        Self { value: Some(n as f64), lo: None, hi: None, n: n as u64 }
    }
}

impl Metric {
    /// A record of `figure`, for all bands, classes and regimes unless said otherwise below.
    pub(crate) fn new(name: &str, unit: &str, figure: Figure) -> Self {
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
        Self {
            name: name.to_owned(),
            band: String::new(),
            class: String::new(),
            regime: String::new(),
            value: finite(figure.value),
            lo: finite(figure.lo),
            hi: finite(figure.hi),
            limit: None,
            unit: unit.to_owned(),
            n: figure.n,
        }
    }

    /// The same of one band or layer.
    pub(crate) fn band(mut self, band: &str) -> Self {
        band.clone_into(&mut self.band);
        self
    }

    /// The same of one class of objects.
    pub(crate) fn class(mut self, class: &str) -> Self {
        class.clone_into(&mut self.class);
        self
    }

    /// The same of one bin or condition.
    pub(crate) fn regime(mut self, regime: &str) -> Self {
        regime.clone_into(&mut self.regime);
        self
    }

    /// The same with its theoretical limit; NaN is none.
    pub(crate) fn limit(mut self, limit: Option<f64>) -> Self {
        self.limit = limit.filter(|v| v.is_finite());
        self
    }
}

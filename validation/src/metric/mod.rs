//! One figure of a report, and the file that holds them all: metrics.json.
//!
//! One file a family: each is filled from pieces of the sky, merges in plan order (`statistics::Tally`), and gives records
//! and plots. A figure that could not be measured is a record without value, never 0; bins without objects have no record.
//!
//! # metrics.json, schema 1
//!
//! ```json
//! {
//!   "schema": 1,
//!   "run": {"name": "...", "bands": ["g", "r"], "config_hash": "...", "exposures_key": "..."},
//!   "notes": ["arm main: the catalog has no rows"],
//!   "metrics": [{"name": "detection.completeness.m50", "band": "r", "class": "", "regime": "isolated",
//!                "value": 25.13, "lo": 25.08, "hi": 25.19, "limit": 25.21, "unit": "mag", "n": 812}],
//!   "requirements": [{"name": "depth", "metric": "detection.completeness.m50", "band": "r", "class": "", "regime": "isolated",
//!                     "of": "value - limit", "min": -0.1, "max": null, "unit": "mag", "value": -0.08, "lo": -0.13, "hi": -0.02,
//!                     "n": 812, "margin": 0.02, "is_certain": false, "outcome": "pass", "why": "..."}]
//! }
//! ```
//!
//! | field | what |
//! |---|---|
//! | `schema` | version of this page; a reader refuses a higher one |
//! | `run` | name and bands of the run; `config_hash` of its resolved configuration; `exposures_key`: runs on the same pixels agree in it |
//! | `notes` | what is wrong with the input, in words; missing or empty if nothing is |
//! | `name` | dotted: stage, what, figure |
//! | `band` | band, layer, or bands of a colour (`g-r`); empty: all together |
//! | `class` | class of true objects; empty: all |
//! | `regime` | bin (`snr 5-10`, `separation 0.5-0.75 FWHM`, `mag 24.25`) or condition (`isolated`, `blended`, `unambiguous`, `bright`), or both (`blended, snr 5-10`); empty: all |
//! | `value` | the figure; null: not measured |
//! | `lo`, `hi` | 95 % interval, two-sided; null: none |
//! | `limit` | what theory allows for the same data; null: not known |
//! | `unit` | empty for a pure number |
//! | `n` | objects (or trials) behind it |
//! | `requirements` | the run's requirements held against the figures: fields of [`crate::Verdict`]; missing or empty in files from before there were any |
//!
//! A record is named by (`name`, `band`, `class`, `regime`), which occurs once. Names, and what each means, stand in the page of the
//! family's file in `validation/src/metric`.

pub(crate) mod association;
pub(crate) mod astrometry;
pub(crate) mod axis;
pub(crate) mod background;
pub(crate) mod coadd;
pub(crate) mod colour;
pub(crate) mod completeness;
pub(crate) mod confusion;
pub(crate) mod curves;
pub(crate) mod deblending;
pub(crate) mod depth;
pub(crate) mod detection_plots;
pub(crate) mod false_positives;
pub(crate) mod layers;
mod objects;
pub(crate) mod photometry;
pub(crate) mod purity;
pub(crate) mod repeatability;
pub(crate) mod residual;
pub(crate) mod residual_plots;
pub(crate) mod shape;
pub(crate) mod star_galaxy;
pub(crate) mod survey_numbers;

use crate::statistics::Share;
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
    /// What is wrong with the input, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// All figures.
    pub metrics: Vec<Metric>,
    /// The run's requirements held against them; empty in files from before there were any.
    #[serde(default)]
    pub requirements: Vec<crate::Verdict>,
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

    /// A share of successes, with the expected one as its limit.
    pub(crate) fn share(name: &str, share: &Share) -> Self {
        Self::new(name, "", share.figure()).limit(share.expected())
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

//! One figure of a report, and the file that holds them all: metrics.json.

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
    /// Lower end of the interval.
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

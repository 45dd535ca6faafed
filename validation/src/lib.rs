//! What fathom is judged by: matching, metrics beside their theoretical limits, plots, report.
//!
//! ```text
//! ArmData (truth, catalog, peaks) -> scene -> matching -> metric/* -> Metric records -> plot/*, report
//!                                        theory: what the same data allow -^
//! ```
//!
//! Every figure comes with a 95 % interval: Wilson for shares, exact Poisson for densities, keyed bootstrap for all else.
#![warn(missing_docs)]

mod matching;
mod metric;
mod scene;
mod statistics;
mod survey;
mod validate;

pub mod theory;

pub use metric::{Metric, MetricsFile, RunInfo};
pub use validate::{ArmData, LayerPeaks, ValidateConfig, ValidateInput, Validated, ValidationError, validate};

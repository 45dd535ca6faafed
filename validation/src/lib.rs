//! What fathom is judged by: matching, metrics beside their theoretical limits, plots, report.
//!
//! ```text
//! ArmData (truth, catalog, peaks) -> scene -> matching -> metric/* -> Metric records -> plot/*, report
//!                                        theory: what the same data allow -^
//! ```
//!
//! Every figure comes with a 95 % interval: Wilson for shares, exact Poisson for densities, keyed bootstrap for all else.
#![warn(missing_docs)]
#[cfg(test)]
mod synthetic;

mod html;
mod key_figures;
mod matching;
mod metric;
mod picture;
mod plot;
mod report;
mod scene;
mod statistics;
mod survey;
mod validate;

pub mod limit;
// The curves of detection under their older name.
pub use limit as theory;

pub use key_figures::key_figures;
pub use metric::{Metric, MetricsFile, RunInfo};
pub use plot::{Corner, Mark, MarkKind, Panel, Plot, Section};
pub use report::{BandImage, ReportInput, write_report};
pub use validate::{ArmData, LayerPeaks, ValidateConfig, ValidateInput, Validated, ValidationError, validate};

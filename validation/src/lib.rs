//! What fathom is judged by: matching, metrics beside their theoretical limits, plots, report.
//!
//! ```text
//! ArmData (truth, catalog, peaks) -> scene -> matching -> survey: pieces of sky -> metric/* -> records, plots -> report
//!                                        limit: what the same data allow ------^
//! ```
//!
//! Every figure comes with a 95 % interval: Wilson for shares, exact Poisson for densities, bootstrap over blocks of sky for all else.
#![warn(missing_docs)]
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod testing;

mod check_input;
mod compare;
mod history;
mod key_figures;
mod matching;
mod neighbours;
mod picture;
mod plot;
mod requirements;
mod scene;
mod statistics;
mod survey;
mod tangent_plane;
mod validate;

pub mod assess;
pub mod limit;
pub mod match_table;
pub mod metric;
pub mod report;
pub mod selftest;

pub use compare::{
    ArmTables, Better, Change, CompareError, CompareOptions, ComparedFigure, ComparedRun, Comparison, Setting, compare, write_comparison,
};
pub use history::{PastRun, write_history};
pub use key_figures::key_figures;
pub use metric::{Metric, MetricsFile, RunInfo};
pub use picture::{BandImage, BlendChild, BlendSheet, FieldImage, FieldMark, Panel2d, PanelPixels, White, write_sheet};
pub use plot::{Corner, Mark, MarkKind, Palette, Panel, Plot, PlotsFile, Section};
pub use requirements::{Outcome, Quantity, Requirement, RequirementError, Requirements, Verdict, verdict_lines};
pub use validate::{ArmData, LayerPeaks, ValidateConfig, ValidateInput, Validated, ValidationError, validate};

//! What fathom is judged by: matching, metrics beside their theoretical limits, plots, report.

mod metric;
mod report;
mod validate;

pub use metric::{Metric, MetricsFile, RunInfo};
pub use report::{BandImage, ReportInput, write_report};
pub use validate::{ArmData, LayerPeaks, ValidateConfig, ValidateInput, Validated, ValidationError, validate};

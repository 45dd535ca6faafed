//! Measurement: one trait, several measurements, run on parents and children alike.

mod measurement;
mod stage;

pub use measurement::{ColumnSpec, MeasureError, Measurement, Row, SourceBand, SourcePixels};
pub use stage::{MeasureConfig, MeasureSources};

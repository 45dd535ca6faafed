//! Measurement: one trait, several measurements, run on parents and children alike.

mod aperture;
mod measurement;
mod stage;

pub use aperture::{aperture_weights, circle_overlap};
pub use measurement::{ColumnSpec, MeasureError, Measurement, Row, SourceBand, SourcePixels};
pub use stage::{MeasureConfig, MeasureSources};

//! Measurement: one trait, several measurements, run on parents and children alike.

mod aperture;
mod aperture_flux;
mod centroid;
mod measurement;
mod moments;
mod noise;
mod psf_flux;
mod stage;
#[cfg(test)]
mod tests;

pub use aperture::{aperture_weights, circle_overlap};
pub use aperture_flux::ApertureFlux;
pub use centroid::Centroid;
pub use measurement::{ColumnSpec, DrawPsf, MeasureError, Measurement, Row, SourceBand, SourcePixels};
pub use moments::{Blendedness, Moments, adaptive_moments};
pub use noise::{covariance_of_sums, variance_of_filter};
pub use psf_flux::PsfFlux;
pub use stage::{MeasureConfig, MeasureSources};

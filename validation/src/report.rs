//! The report: one self-contained HTML page.

use crate::{MetricsFile, ValidateInput, Validated, ValidationError};
use ndarray::{Array2, ArrayView2};
use std::path::Path;

/// A band's picture of the field for the report.
#[derive(Debug, Clone)]
pub struct BandImage {
    /// Band name.
    pub band: String,
    /// Direct coadd \[nJy\] on the whole tract (binned, if large), `[y, x]`; NaN without data.
    pub image_njy: Array2<f32>,
}

/// What the report shows.
pub struct ReportInput<'a> {
    /// Title.
    pub title: String,
    /// Metrics.
    pub metrics: &'a MetricsFile,
    /// Inputs of the metrics, for the plots.
    pub input: &'a ValidateInput,
    /// Matches.
    pub validated: &'a Validated,
    /// Pictures, one per band, of the first arm.
    pub images: Vec<BandImage>,
    /// Outlines: 1 where a pixel belongs to a parent's footprint, same shape as the images.
    pub footprints: ArrayView2<'a, u8>,
    /// Tract pixel of sky position (ra, dec in degrees) on the picture's pixels.
    pub to_picture: &'a dyn Fn(f64, f64) -> (f64, f64),
    /// Resolved configuration, TOML.
    pub config: String,
    /// Provenance rows: name, value.
    pub provenance: Vec<(String, String)>,
    /// Exposures that were skipped: name, why.
    pub skipped: Vec<(String, String)>,
    /// Per exposure: name, band, fwhm \[arcsec\], sky \[nJy/arcsec²\], masked fraction, aperture correction (flag).
    pub exposures: Vec<Vec<String>>,
    /// Timing table rows, for the provenance section: phase, tasks, seconds.
    pub timing: Vec<(String, usize, f64)>,
}

/// Writes `<folder>/index.html` (self-contained), deterministic but for the provenance section.
///
/// # Errors
/// [`ValidationError`].
pub fn write_report(_folder: &Path, _input: &ReportInput) -> Result<(), ValidationError> {
    todo!()
}

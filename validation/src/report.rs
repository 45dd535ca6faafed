//! The report: one self-contained HTML page.

use crate::html;
use crate::picture::draw_field;
use crate::plot::{png, register_fonts, svg};
use crate::survey::Survey;
use crate::{MetricsFile, ValidateInput, Validated, ValidationError};
use ndarray::{Array2, ArrayView2};
use std::path::Path;
use std::sync::Arc;

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

/// The page around the sections; `{{name}}` is filled in.
const TEMPLATE: &str = include_str!("../../reports/template/report.html");

/// Writes `<folder>/index.html` (self-contained), deterministic but for the provenance section, and its pictures as PNG beside it.
///
/// # Errors
/// [`ValidationError`].
pub fn write_report(folder: &Path, input: &ReportInput) -> Result<(), ValidationError> {
    register_fonts()?;
    std::fs::create_dir_all(folder).map_err(|e| file_error(folder, e))?;
    let survey = Survey::new(&input.validated.config, input.input)?;
    let metrics = &input.metrics.metrics;
    let field_path = folder.join("field.png");
    let field = if draw_field(input, &survey, &field_path)? {
        let png = std::fs::read(&field_path).map_err(|e| file_error(&field_path, e))?;
        html::field_section(&png)
    } else {
        String::new()
    };
    let mut plots = String::new();
    for plot in &input.validated.plots {
        png(plot, &folder.join(format!("{}.png", plot.name)))?;
        plots += &html::plot_section(plot, &svg(plot)?);
    }
    let run = &input.metrics.run;
    let subtitle = format!("Run {}; bands {}; {} arm(s)", run.name, run.bands.join(", "), input.input.arms.len());
    let page = html::fill(
        TEMPLATE,
        &[
            ("title", &html::escape(&input.title)),
            ("subtitle", &html::escape(&subtitle)),
            ("key_figures", &html::key_figures(metrics)),
            ("field", &field),
            ("plots", &plots),
            ("metrics", &html::metric_tables(metrics)),
            ("exposures", &html::exposures(&input.exposures)),
            ("skipped", &html::skipped(&input.skipped)),
            ("configuration", &html::escape(&input.config)),
            ("provenance", &html::provenance(&input.provenance, &input.timing)),
        ],
    );
    let path = folder.join("index.html");
    std::fs::write(&path, page).map_err(|e| file_error(&path, e))
}

fn file_error(path: &Path, source: std::io::Error) -> ValidationError {
    ValidationError::File(Arc::new(fathom::format::FormatError::Io { path: path.to_path_buf(), source }))
}

//! The report: one self-contained page, its text for a terminal, the numbers of every plot.
//!
//! ```text
//! metrics.json, plots.json, validation.h5, coadds -> RunReport -> Document -> index.html, report.md, plots/*.csv, plots/*.png
//! ```
//!
//! A [`Document`] is a report as data; whatever else has something to show (a comparison, trends) makes one and
//! [`write_document`]s it.

mod document;
mod html;
mod markdown;
mod run_report;
mod tables;
mod verdicts;

pub use document::{Block, Chapter, Document, Drawing, Grid, Headline, Layer, Picture, Stamp, StampGrid};
pub use run_report::{RunReport, StageText};
pub use tables::metric_grid;

use crate::ValidationError;
use crate::plot::{csv, png, register_fonts};
use fathom::format::FormatError;
use fathom::format::product::write_text;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Writes a report into a folder: `index.html`, which needs no other file, `report.md`, and for every plot `plots/<name>.csv` and
/// `plots/<name>.png`. The page is written last, so that a folder with a page is whole.
///
/// # Errors
/// [`ValidationError`] if a plot cannot be drawn or a file not written.
pub fn write_document(folder: &Path, document: &Document) -> Result<(), ValidationError> {
    register_fonts()?;
    let plots = folder.join("plots");
    std::fs::create_dir_all(&plots).map_err(|e| file_error(&plots, e))?;
    document.plots().into_par_iter().try_for_each(|plot| {
        put(&plots.join(format!("{}.csv", plot.name)), &csv(plot))?;
        let path = plots.join(format!("{}.png", plot.name));
        std::fs::write(&path, png(plot)?).map_err(|e| file_error(&path, e))
    })?;
    put(&folder.join("report.md"), &markdown::text(document))?;
    put(&folder.join("index.html"), &html::page(document)?)
}

fn put(path: &Path, text: &str) -> Result<(), ValidationError> {
    write_text(path, text).map_err(|e| ValidationError::File(Arc::new(e)))
}

fn file_error(path: &Path, source: std::io::Error) -> ValidationError {
    ValidationError::File(Arc::new(FormatError::Io { path: path.to_path_buf(), source }))
}

//! `fathom-artifacts` files: what the artifacts phase makes of one patch.
//!
//! # Format, version 1
//!
//! Root attributes `bands` (texts, in order), `n_bands` (u64). Group `/<band>` for every band of the run:
//! - attribute `target_fwhm_px` (f64, FWHM of the common PSF, tract pixels);
//! - table ([`super::table`]) `exposures`: `id`, all exposures of the band in the tract, in order;
//! - table `candidates`, one row a pixel of the patch that differs from the static sky in an exposure ([`crate::artifacts::Candidate`]), by exposure,
//!   row, column: `exposure` (row of `exposures`), `y`, `x` (tract pixel), `matched_snr`, `native_snr`, `sharp_snr`, `difference`, `static`
//!   (nJy), `static_snr`, `n_epochs`.

use super::FormatError;
use super::hdf5_io::Node;
use super::product::{self, Header};
use super::table;
use crate::artifacts::Candidate;
use crate::catalog::{ColumnData, Table, TableError};
use crate::image::ExposureId;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-artifacts", 1);

/// Candidates of one band on one patch.
#[derive(Debug, Clone, PartialEq)]
pub struct BandCandidates {
    /// Band.
    pub band: String,
    /// FWHM of the common PSF \[tract pixel\].
    pub target_fwhm_px: f64,
    /// Exposures of the band in the tract.
    pub exposures: Vec<ExposureId>,
    /// The pixels.
    pub candidates: Vec<Candidate>,
}

/// Writes the bands of one patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[BandCandidates]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        root.put_texts("bands", bands.iter().map(|b| b.band.as_str()))?;
        for of_band in bands {
            let group = root.create(&of_band.band)?;
            group.put("target_fwhm_px", of_band.target_fwhm_px)?;
            table::put(&group, "exposures", &ids_table(&of_band.exposures))?;
            table::put(&group, "candidates", &candidates_table(&of_band.candidates))?;
        }
        Ok(())
    })
}

/// Reads one band of a patch.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, band: &str) -> Result<BandCandidates, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child(band, "the candidates of the band")?;
    let wrong = |e: TableError| group.wrong("candidates", &e.to_string(), "the columns of this format");
    let exposures = table::take(&group, "exposures", None)?;
    let exposures: Vec<ExposureId> = exposures.text("id").map_err(wrong)?.iter().map(|id| ExposureId(id.clone())).collect();
    let candidates = candidates_of(&table::take(&group, "candidates", None)?).map_err(wrong)?;
    if let Some(c) = candidates.iter().find(|c| c.exposure as usize >= exposures.len()) {
        return Err(group.wrong("candidates/exposure", &c.exposure.to_string(), "a row of exposures"));
    }
    Ok(BandCandidates { band: band.to_owned(), target_fwhm_px: group.number("target_fwhm_px")?, exposures, candidates })
}

pub(super) fn ids_table(ids: &[ExposureId]) -> Table {
    let mut table = Table::new();
    table.push("id", "", "exposure", ColumnData::Text(ids.iter().map(|id| id.0.clone()).collect())).expect("the first column");
    table
}

fn candidates_table(candidates: &[Candidate]) -> Table {
    let whole = |value: fn(&Candidate) -> i64| ColumnData::I64(candidates.iter().map(value).collect());
    let real = |value: fn(&Candidate) -> f32| ColumnData::F64(candidates.iter().map(|c| f64::from(value(c))).collect());
    let columns = [
        ("exposure", "", "row of the table exposures", whole(|c| c.exposure.into())),
        ("y", "pixel", "row on the tract", whole(|c| c.y.into())),
        ("x", "pixel", "column on the tract", whole(|c| c.x.into())),
        (
            "matched_snr",
            "",
            "difference from the static sky with the common PSF, in sigma; 0 where it is not known",
            real(|c| c.matched_snr),
        ),
        (
            "native_snr",
            "",
            "excess over what the static sky allows with the exposure's own PSF, in sigma; 0 below the low threshold",
            real(|c| c.native_snr),
        ),
        ("sharp_snr", "", "by how much the pixel is sharper than the PSF allows, in sigma; 0 where it is not", real(|c| c.sharp_snr)),
        ("difference", "nJy", "difference from the static sky with the common PSF", real(|c| c.difference_njy)),
        ("static", "nJy", "static sky with the common PSF", real(|c| c.static_njy)),
        ("static_snr", "", "its significance", real(|c| c.static_snr)),
        ("n_epochs", "", "exposures with a value here", whole(|c| c.n_epochs.into())),
    ];
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("all columns have one row a candidate");
    }
    table
}

fn candidates_of(table: &Table) -> Result<Vec<Candidate>, TableError> {
    let (exposure, y, x, n_epochs) = (table.i64("exposure")?, table.i64("y")?, table.i64("x")?, table.i64("n_epochs")?);
    let (matched, native, sharp) = (table.f64("matched_snr")?, table.f64("native_snr")?, table.f64("sharp_snr")?);
    let (difference, sky, sky_snr) = (table.f64("difference")?, table.f64("static")?, table.f64("static_snr")?);
    let candidate = |i: usize| Candidate {
        exposure: exposure[i] as u32,
        y: y[i] as i32,
        x: x[i] as i32,
        matched_snr: matched[i] as f32,
        native_snr: native[i] as f32,
        sharp_snr: sharp[i] as f32,
        difference_njy: difference[i] as f32,
        static_njy: sky[i] as f32,
        static_snr: sky_snr[i] as f32,
        n_epochs: n_epochs[i] as u32,
    };
    Ok((0..table.n_rows()).map(candidate).collect())
}

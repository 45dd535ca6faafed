//! `fathom-levels` files: what the match phase makes of one patch.
//!
//! # Format, version 1
//!
//! Root attributes `bands` (texts, in order), `n_bands` (u64). Group `/<band>` for every band of the run:
//! - attributes `superpixel_px` (u64, side of a superpixel), `target_fwhm_px` (f64, FWHM of the common PSF, tract pixels);
//! - table ([`super::table`]) `exposures`: `id`, all exposures of the band in the tract, in order;
//! - table `levels`, one row an amplifier of an exposure on a superpixel of the patch: `row`, `column` (of the superpixel in the tract), `set`
//!   (rows of a superpixel with the same number are connected by differences), `exposure` (row of `exposures`; their number: the template), `amplifier`, `x`, `y` (where
//!   the level holds, on the exposure), `tract_x`, `tract_y` (the same on the tract, one place a superpixel), `level`, `level_err` (nJy per tract pixel above
//!   the mean level of the exposure's own mesh), `njy_per_adu` (nJy per tract pixel of one count per exposure pixel).

use super::FormatError;
use super::hdf5_io::Node;
use super::product::{self, Header};
use super::table;
use crate::background::LevelSample;
use crate::catalog::{ColumnData, Table, TableError};
use crate::geometry::PixelPoint;
use crate::image::ExposureId;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-levels", 1);

/// Levels of one band on one patch.
#[derive(Debug, Clone, PartialEq)]
pub struct BandLevels {
    /// Band.
    pub band: String,
    /// Side of a superpixel \[tract pixel\].
    pub superpixel_px: usize,
    /// FWHM of the common PSF \[tract pixel\].
    pub target_fwhm_px: f64,
    /// Exposures of the band in the tract.
    pub exposures: Vec<ExposureId>,
    /// The levels.
    pub samples: Vec<LevelSample>,
}

/// Writes the bands of one patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[BandLevels]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        root.put_texts("bands", bands.iter().map(|b| b.band.as_str()))?;
        for levels in bands {
            let group = root.create(&levels.band)?;
            group.put("superpixel_px", levels.superpixel_px as u64)?;
            group.put("target_fwhm_px", levels.target_fwhm_px)?;
            table::put(&group, "exposures", &ids_table(&levels.exposures))?;
            table::put(&group, "levels", &levels_table(&levels.samples))?;
        }
        Ok(())
    })
}

/// Reads one band of a patch.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, band: &str) -> Result<BandLevels, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child(band, "the levels of the band")?;
    let wrong = |e: TableError| group.wrong("levels", &e.to_string(), "the columns of this format");
    let exposures = table::take(&group, "exposures", None)?;
    let ids = exposures.text("id").map_err(wrong)?.iter().map(|id| ExposureId(id.clone())).collect::<Vec<_>>();
    let samples = samples_of(&table::take(&group, "levels", None)?).map_err(wrong)?;
    if let Some(s) = samples.iter().find(|s| s.exposure as usize > ids.len()) {
        return Err(group.wrong(
            "levels/exposure",
            &s.exposure.to_string(),
            &format!("a row of exposures, or {} for the template", ids.len()),
        ));
    }
    Ok(BandLevels {
        band: band.to_owned(),
        superpixel_px: group.count("superpixel_px")? as usize,
        target_fwhm_px: group.number("target_fwhm_px")?,
        exposures: ids,
        samples,
    })
}

fn ids_table(ids: &[ExposureId]) -> Table {
    let mut table = Table::new();
    table.push("id", "", "exposure", ColumnData::Text(ids.iter().map(|id| id.0.clone()).collect())).expect("the first column");
    table
}

fn levels_table(samples: &[LevelSample]) -> Table {
    let whole = |value: fn(&LevelSample) -> i64| ColumnData::I64(samples.iter().map(value).collect());
    let real = |value: fn(&LevelSample) -> f64| ColumnData::F64(samples.iter().map(value).collect());
    let columns = [
        ("row", "", "row of the superpixel in the tract", whole(|s| s.row.into())),
        ("column", "", "column of the superpixel in the tract", whole(|s| s.column.into())),
        ("set", "", "rows of a superpixel with the same number are connected by differences", whole(|s| s.set.into())),
        ("exposure", "", "row of the table exposures", whole(|s| s.exposure.into())),
        ("amplifier", "", "amplifier, row by row", whole(|s| s.amplifier.into())),
        ("x", "pixel", "column on the exposure where the level holds", real(|s| s.at.x)),
        ("y", "pixel", "row on the exposure where the level holds", real(|s| s.at.y)),
        ("tract_x", "pixel", "the same on the tract", real(|s| s.tract_at.x)),
        ("tract_y", "pixel", "the same on the tract", real(|s| s.tract_at.y)),
        ("level", "nJy", "level per tract pixel above the mean of the exposure's own mesh", real(|s| s.level_njy)),
        ("level_err", "nJy", "its error, of the noise alone", real(|s| s.error_njy)),
        ("njy_per_adu", "nJy/adu", "nJy per tract pixel of one count per exposure pixel", real(|s| s.njy_per_adu)),
    ];
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("all columns have one row a sample");
    }
    table
}

fn samples_of(table: &Table) -> Result<Vec<LevelSample>, TableError> {
    let (row, column, set) = (table.i64("row")?, table.i64("column")?, table.i64("set")?);
    let (exposure, amplifier) = (table.i64("exposure")?, table.i64("amplifier")?);
    let (x, y, tract_x, tract_y) = (table.f64("x")?, table.f64("y")?, table.f64("tract_x")?, table.f64("tract_y")?);
    let (level, error, scale) = (table.f64("level")?, table.f64("level_err")?, table.f64("njy_per_adu")?);
    let sample = |i: usize| LevelSample {
        row: row[i] as i32,
        column: column[i] as i32,
        set: set[i] as u32,
        exposure: exposure[i] as u32,
        amplifier: amplifier[i] as u32,
        at: PixelPoint::new(x[i], y[i]),
        tract_at: PixelPoint::new(tract_x[i], tract_y[i]),
        level_njy: level[i],
        error_njy: error[i],
        njy_per_adu: scale[i],
    };
    Ok((0..table.n_rows()).map(sample).collect())
}

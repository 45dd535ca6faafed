//! `fathom-psf-matched` files: the PSF-matched coadds of one patch.
//!
//! # Format, version 1
//!
//! Root attributes `bands` (texts, in order), `n_bands` (u64), `mask_planes` (texts: the name of bit 0, 1, ... of the masks). Group
//! `/<band>` for every band, with the attributes `bbox` (x0, y0, width, height, i32: the patch's inner pixels in tract coordinates),
//! `target_fwhm_px` (f64, FWHM of the Gaussian PSF of the coadd, tract pixels, one number for the tract), `covariance_half_width` (u64, h) and
//! `covariance_lost` (f64, largest share of an exposure's summed |covariance| at lags beyond h):
//!
//! | dataset | type, shape | unit | what |
//! |---|---|---|---|
//! | `image` | f32 `[ny, nx]` | nJy | coadd, background subtracted; NaN without data |
//! | `variance` | f32 `[ny, nx]` | nJy2 | its variance per pixel, sources' own noise included; infinite without data |
//! | `mask` | u32 `[ny, nx]` | | bit planes |
//! | `n_exposures` | u16 `[ny, nx]` | | exposures that contribute |
//! | `covariance_cells` | u32 `[cell, 2]` | | column and row of the cells in the tract's grid |
//! | `covariance` | f64 `[cell, 2h+1, 2h+1]` | nJy2 | noise covariance of blank sky per cell, lag (dy + h, dx + h), the mean over its pixels; its sum over the lags is that of the untruncated one |
//! | `input_exposures` | table ([`super::table`]) | | exposures that meet the patch: `id`, `fwhm` (pixel), `weight` (nJy-2; 0 where left out), `amplification` (of noise by the kernel), `n_pixels`, `n_fitted`, `n_not_fitted` (tiles whose kernel was fitted to pixels, and those with too little light), `left_out` (why; empty: it is used) |
//! | `psf_checks` | table | | the achieved PSF at the central pixels of some cells: `column`, `row` (of the cell), `n_exposures`, `core_flux`, `size` (relative to the target, less 1), `e1`, `e2`, `worst_exposure` (largest of these for any one exposure) |

use super::FormatError;
use super::calibration::{put_box, take_box};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use super::table;
use crate::catalog::{ColumnData, Table, TableError};
use crate::coadd::{NoiseCovariance, PsfCheck, PsfMatchedCoadd, PsfMatchedInput, PsfResidual};
use crate::image::{ExposureId, MaskPlane};
use ndarray::Array2;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-psf-matched", 1);

/// Writes all bands of a patch, taking each when it is made (memory: one band at a time).
///
/// # Errors
/// [`FormatError`], or the error of a coadd.
pub fn write<E: From<FormatError>>(
    path: &Path,
    key: &str,
    bands: &[String],
    mut make: impl FnMut(&str) -> Result<PsfMatchedCoadd, E>,
) -> Result<(), E> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    // The error of a coadd passes around the file's own errors: only the caller knows its type.
    let mut failed = None;
    let written = product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        root.put_texts("bands", bands.iter().map(String::as_str))?;
        root.put_texts("mask_planes", MaskPlane::ALL.map(MaskPlane::name))?;
        for band in bands {
            match make(band) {
                Ok(coadd) => put_band(&root.create(band)?, &coadd)?,
                Err(error) => {
                    failed = Some(error);
                    return Err(root.wrong(band, "not made", "a coadd"));
                }
            }
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

fn put_band(group: &Node, coadd: &PsfMatchedCoadd) -> Result<(), FormatError> {
    put_box(group, &coadd.bbox)?;
    group.put("target_fwhm_px", coadd.target_fwhm_px)?;
    group.put("covariance_half_width", coadd.covariance.half_width as u64)?;
    group.put("covariance_lost", coadd.covariance_lost)?;
    let shapes = [coadd.image_njy.dim(), coadd.variance_njy2.dim(), coadd.mask.dim(), coadd.n_exposures.dim()];
    if shapes.iter().any(|shape| *shape != coadd.bbox.shape()) {
        return Err(group.wrong("image", &format!("with planes of shapes {shapes:?}"), &format!("{:?}", coadd.bbox.shape())));
    }
    let about = About::new("image", "nJy", "PSF-matched coadd, background subtracted; NaN without data");
    group.write(about, coadd.image_njy.view(), Storage::Tiled)?;
    let about = About::new("variance", "nJy2", "its variance per pixel, without covariance; infinite without data");
    group.write(about, coadd.variance_njy2.view(), Storage::Tiled)?;
    group.write(About::new("mask", "", "bit planes, named by mask_planes"), coadd.mask.view(), Storage::Packed)?;
    group.write(About::new("n_exposures", "", "exposures that contribute"), coadd.n_exposures.view(), Storage::Packed)?;
    let noise = &coadd.covariance;
    let cells = Array2::from_shape_fn((noise.cells.len(), 2), |(i, j)| if j == 0 { noise.cells[i].0 } else { noise.cells[i].1 });
    group.write(About::new("covariance_cells", "", "column and row of the cells in the tract's grid"), cells.view(), Storage::Plain)?;
    let about = About::new("covariance", "nJy2", "noise covariance of blank sky per cell [cell, dy + h, dx + h]");
    group.write(about, noise.covariance_njy2.view(), Storage::Plain)?;
    table::put(group, "input_exposures", &inputs_table(&coadd.inputs))?;
    table::put(group, "psf_checks", &checks_table(&coadd.checks))
}

fn table_of(columns: Vec<(&str, &str, &str, ColumnData)>) -> Table {
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("all columns are of one length");
    }
    table
}

fn inputs_table(inputs: &[PsfMatchedInput]) -> Table {
    let real = |value: fn(&PsfMatchedInput) -> f64| ColumnData::F64(inputs.iter().map(value).collect());
    let count = |value: fn(&PsfMatchedInput) -> u64| ColumnData::I64(inputs.iter().map(|i| value(i) as i64).collect());
    table_of(vec![
        ("id", "", "exposure", ColumnData::Text(inputs.iter().map(|i| i.id.0.clone()).collect())),
        ("fwhm", "pixel", "of its PSF at its middle, tract pixels; NaN where left out", real(|i| i.fwhm_px)),
        ("weight", "nJy-2", "inverse variance of a matched pixel at its middle; 0 where left out", real(|i| i.weight)),
        ("amplification", "", "largest amplification of any wave of its noise by its kernel", real(|i| i.amplification)),
        ("n_pixels", "", "pixels of the patch to which it contributes", count(|i| i.n_pixels)),
        ("n_fitted", "", "tiles whose kernel was fitted to pixels", count(|i| i.n_fitted)),
        ("n_not_fitted", "", "tiles with too little light for that", count(|i| i.n_not_fitted)),
        ("left_out", "", "why it is left out; empty: it is used", ColumnData::Text(inputs.iter().map(|i| i.left_out.clone()).collect())),
    ])
}

fn checks_table(checks: &[PsfCheck]) -> Table {
    let real = |value: fn(&PsfCheck) -> f64| ColumnData::F64(checks.iter().map(value).collect());
    let count = |value: fn(&PsfCheck) -> u32| ColumnData::I64(checks.iter().map(|c| value(c).into()).collect());
    table_of(vec![
        ("column", "", "of the cell in the tract's grid", count(|c| c.cell.0)),
        ("row", "", "of the cell in the tract's grid", count(|c| c.cell.1)),
        ("n_exposures", "", "at the cell's central pixel", count(|c| c.n_exposures)),
        ("core_flux", "", "flux within half the target's FWHM, relative to the target's, less 1", real(|c| c.coadd.core_flux)),
        ("size", "", "root of the trace of the moments weighted by the target, relative to the target's, less 1", real(|c| c.coadd.size)),
        ("e1", "", "(xx - yy) / (xx + yy) of these moments", real(|c| c.coadd.e1)),
        ("e2", "", "2 xy / (xx + yy) of these moments", real(|c| c.coadd.e2)),
        ("worst_exposure", "", "largest of these residuals of any one exposure", real(|c| c.worst)),
    ])
}

/// Reads one band of a patch.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, band: &str) -> Result<PsfMatchedCoadd, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child(band, "the PSF-matched coadd of the band")?;
    let cells: Array2<u32> = group.read("covariance_cells")?;
    let wrong = |name: &'static str| {
        let group = &group;
        move |e: TableError| group.wrong(name, &e.to_string(), "the columns of this format")
    };
    Ok(PsfMatchedCoadd {
        band: band.to_owned(),
        bbox: take_box(&group)?,
        image_njy: group.read("image")?,
        variance_njy2: group.read("variance")?,
        mask: group.read("mask")?,
        n_exposures: group.read("n_exposures")?,
        target_fwhm_px: group.number("target_fwhm_px")?,
        covariance: NoiseCovariance {
            half_width: group.count("covariance_half_width")? as usize,
            cells: cells.rows().into_iter().map(|c| (c[0], c[1])).collect(),
            covariance_njy2: group.read("covariance")?,
        },
        covariance_lost: group.number("covariance_lost")?,
        checks: checks_of(&table::take(&group, "psf_checks", None)?).map_err(wrong("psf_checks"))?,
        inputs: inputs_of(&table::take(&group, "input_exposures", None)?).map_err(wrong("input_exposures"))?,
    })
}

fn inputs_of(table: &Table) -> Result<Vec<PsfMatchedInput>, TableError> {
    let (ids, left_out) = (table.text("id")?, table.text("left_out")?);
    let (fwhm, weight, amplification) = (table.f64("fwhm")?, table.f64("weight")?, table.f64("amplification")?);
    let (n_pixels, n_fitted, n_not_fitted) = (table.i64("n_pixels")?, table.i64("n_fitted")?, table.i64("n_not_fitted")?);
    let input = |i: usize| PsfMatchedInput {
        id: ExposureId(ids[i].clone()),
        fwhm_px: fwhm[i],
        weight: weight[i],
        amplification: amplification[i],
        n_pixels: n_pixels[i].unsigned_abs(),
        n_fitted: n_fitted[i].unsigned_abs(),
        n_not_fitted: n_not_fitted[i].unsigned_abs(),
        left_out: left_out[i].clone(),
    };
    Ok((0..table.n_rows()).map(input).collect())
}

fn checks_of(table: &Table) -> Result<Vec<PsfCheck>, TableError> {
    let (column, row, n) = (table.i64("column")?, table.i64("row")?, table.i64("n_exposures")?);
    let (core_flux, size, e1, e2) = (table.f64("core_flux")?, table.f64("size")?, table.f64("e1")?, table.f64("e2")?);
    let worst = table.f64("worst_exposure")?;
    let check = |i: usize| PsfCheck {
        cell: (column[i] as u32, row[i] as u32),
        n_exposures: n[i] as u32,
        coadd: PsfResidual { core_flux: core_flux[i], size: size[i], e1: e1[i], e2: e2[i] },
        worst: worst[i],
    };
    Ok((0..table.n_rows()).map(check).collect())
}

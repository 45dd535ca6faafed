//! `fathom-coadd` files: all bands of one patch; and reading across patches.
//!
//! # Format, version 3
//!
//! Root attributes `bands` (texts, in order; absent without bands), `n_bands` (u64), `mask_planes` (texts: the name of bit 0, 1, ...
//! of the masks). Group `/<band>` for every band (`/<band>@<selection>` for the same band by another selection of exposures, listed among
//! the `bands`), with the attributes `bbox` (x0, y0, width, height, i32: the patch's inner pixels in
//! tract coordinates), `fwhm_px` (f64, mean FWHM of the band's PSF, one number for the tract) and `covariance_half_width` (u64, h):
//!
//! | dataset | type, shape | unit | what |
//! |---|---|---|---|
//! | `image` | f32 `[ny, nx]` | nJy | direct coadd, background subtracted; NaN without data |
//! | `variance` | f32 `[ny, nx]` | nJy2 | its variance, without covariance; infinite without data |
//! | `mask` | u32 `[ny, nx]` | | bit planes |
//! | `inputs` | u64 `[word, ny, nx]` | | contributing exposures: bit i % 64 of word i / 64 for row i of `input_exposures` |
//! | `psi`, `phi`, `phi3`, `omega` | f32 `[ny, nx]` | nJy-1, nJy-2, nJy-3, nJy-2 | likelihood maps, see [`BandCoadd`] |
//! | `covariance_cells` | u32 `[cell, 2]` | | column and row of the cells in the tract's grid |
//! | `covariance` | f64 `[cell, 2h+1, 2h+1]` | nJy2 | noise covariance per cell, lag (dy + h, dx + h) |
//! | `phi_exponential` | f32 `[morphology, ny, nx]` | nJy-2 | Φ of round exponential profiles; their half-light radii are the band's attribute `half_light_arcsec` (f64 `[morphology]`). Both absent if none was asked for |
//! | `input_exposures` | table ([`super::table`]) | | `id`, `weight`, `n_pixels`, `mjd` \[d\], `gain` \[electrons per nJy\], `fwhm` \[pixel\]: selected exposures of the band in the whole tract |
//! | `selection` | table | | every exposure of the band: `id`, `is_selected`, `reason`, `fwhm` \[arcsec\], `ellipticity`, `depth` \[mag, 5 sigma\], `unusable_share`, `gain` \[mag\] ([`Decision`]) |
//! | `windows/<step>` | group | | `psi`, `phi` of the exposures of one step of the ladder of time windows, attributes `first_mjd`, `last_mjd` (f64: where the step begins and ends), `mean_mjd` (f64, of its exposures in the whole tract) and `n_exposures` (u64). A window is the sum of consecutive steps. Absent without a ladder |
//! | `autocorrelation` | f32 `[cell, 2h+1, 2h+1]` | nJy-2 | PSF autocorrelation per cell ([`PsfAutocorrelation`]), of the same cells; its h is chosen by the PSFs |
//! | `autocorrelation_weight` | f64 `[cell]` | nJy-2 | inverse variance of blank sky per tract pixel, of all exposures together |
//!
//! Planes are chunked by at most 256 x 256; masks and inputs are shuffled and deflated, the noisy planes are not.

use super::FormatError;
use super::calibration::put_box;
use super::hdf5_io::{About, Node, Storage};
use super::patch_files::PatchFiles;
use super::product::{self, Header};
use super::table;
use crate::catalog::{ColumnData, Table};
use crate::coadd::{BandCoadd, CellAutocorrelation, CoaddInputRecord, Decision, Properties, PsfAutocorrelation, WindowMaps, properties};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{ExposureId, MaskPlane};
use ndarray::{Array2, Array3, Axis, s};
use std::path::{Path, PathBuf};

const FORMAT: (&str, u32) = ("fathom-coadd", 3);

/// One step of the ladder of time windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowStep {
    /// Number of the step, from MJD 0.
    pub step: i64,
    /// Where it begins, MJD (TAI).
    pub first_mjd: f64,
    /// Where it ends.
    pub last_mjd: f64,
    /// Mean of its exposures.
    pub mean_mjd: f64,
    /// Exposures of the band in it, in the whole tract.
    pub n_exposures: u64,
}

/// Takes the maps of time windows while their band is made, so that no two are in memory.
pub struct WindowSink<'a> {
    band: &'a Node,
}

impl WindowSink<'_> {
    /// Writes the maps of one step.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn put(&self, step: WindowStep, maps: &WindowMaps) -> Result<(), FormatError> {
        let windows = if self.band.has("windows") { self.band.child("windows", "a group")? } else { self.band.create("windows")? };
        let group = windows.create(&step.step.to_string())?;
        group.put("first_mjd", step.first_mjd)?;
        group.put("last_mjd", step.last_mjd)?;
        group.put("mean_mjd", step.mean_mjd)?;
        group.put("n_exposures", step.n_exposures)?;
        group.write(About::new("psi", "nJy-1", "sum of PSF-correlated exposures over variance"), maps.psi.view(), Storage::Tiled)?;
        group.write(About::new("phi", "nJy-2", "sum of correlations of PSF squared with 1 / variance"), maps.phi.view(), Storage::Tiled)
    }
}

/// Writes all bands of a patch, taking each when it is made (memory: one band at a time); the maps of its time windows, if any, go to the sink.
///
/// # Errors
/// [`FormatError`], or the error of a coadd.
pub fn write<E: From<FormatError>>(
    path: &Path,
    key: &str,
    bands: &[String],
    mut make: impl FnMut(&str, &WindowSink) -> Result<BandCoadd, E>,
) -> Result<(), E> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    // The error of a coadd passes around the file's own errors: only the caller knows its type.
    let mut failed = None;
    let written = product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        if !bands.is_empty() {
            root.put_texts("bands", bands.iter().map(String::as_str))?;
        }
        root.put_texts("mask_planes", MaskPlane::ALL.map(MaskPlane::name))?;
        for band in bands {
            if band.is_empty() || band.contains('/') {
                return Err(root.wrong(band, "a name of a band", "a text without /"));
            }
            let group = root.create(band)?;
            match make(band, &WindowSink { band: &group }) {
                Ok(coadd) => put_band(&group, band, &coadd)?,
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

fn put_band(group: &Node, band: &str, coadd: &BandCoadd) -> Result<(), FormatError> {
    if coadd.band != band {
        return Err(group.wrong("coadd", &format!("one of band \"{}\"", coadd.band), "one of the band that was asked for"));
    }
    let shape = coadd.bbox.shape();
    put_box(group, &coadd.bbox)?;
    group.put("fwhm_px", coadd.fwhm_px)?;
    let same_shape = |name: &str, found: (usize, usize)| {
        if found == shape {
            Ok(())
        } else {
            Err(group.wrong(name, &format!("of shape {found:?}"), &format!("{shape:?}, that of the patch")))
        }
    };
    for (plane, values, unit, description) in [
        (Plane::Image, &coadd.image_njy, "nJy", "direct coadd, background subtracted; NaN without data"),
        (Plane::Variance, &coadd.variance_njy2, "nJy2", "variance of the direct coadd, without covariance; infinite without data"),
        (Plane::Psi, &coadd.psi, "nJy-1", "sum of PSF-correlated exposures over variance"),
        (Plane::Phi, &coadd.phi, "nJy-2", "sum of correlations of PSF squared with 1 / variance; 0 without data"),
        (Plane::Phi3, &coadd.phi3, "nJy-3", "sum for the sources' own noise: Var(flux F) = (phi + F phi3) / phi^2"),
        (Plane::Omega, &coadd.omega, "nJy-2", "a residual background b is taken off by psi - b omega"),
    ] {
        same_shape(plane.dataset(), values.dim())?;
        group.write(About::new(plane.dataset(), unit, description), values.view(), Storage::Tiled)?;
    }
    same_shape("mask", coadd.mask.dim())?;
    group.write(About::new("mask", "", "bit planes, named by mask_planes"), coadd.mask.view(), Storage::Packed)?;
    let (n_words, ny, nx) = coadd.inputs_wyx.dim();
    same_shape("inputs", (ny, nx))?;
    if n_words != coadd.inputs.len().div_ceil(64) {
        let expected = format!("{} for {} exposures", coadd.inputs.len().div_ceil(64), coadd.inputs.len());
        return Err(group.wrong("inputs", &format!("of {n_words} words"), &expected));
    }
    let about = About::new("inputs", "", "contributing exposures: bit i % 64 of word i / 64 for row i of input_exposures [word, y, x]");
    group.write(about, coadd.inputs_wyx.view(), Storage::Packed)?;
    table::put(group, "input_exposures", &inputs_table(&coadd.inputs))?;
    table::put(group, "selection", &decisions_table(&coadd.decisions))?;
    put_morphologies(group, coadd)?;
    put_covariance(group, coadd)?;
    put_autocorrelation(group, &coadd.autocorrelation, &coadd.covariance.cells)
}

fn put_morphologies(group: &Node, coadd: &BandCoadd) -> Result<(), FormatError> {
    let planes: Vec<_> = coadd.phi_morphology.iter().map(|plane| plane.view()).collect();
    if planes.is_empty() {
        return Ok(());
    }
    let stack =
        ndarray::stack(Axis(0), &planes).map_err(|e| group.wrong("phi_exponential", &e.to_string(), "planes of the patch's shape"))?;
    let (ny, nx) = coadd.bbox.shape();
    if stack.dim() != (coadd.morphologies_arcsec.len(), ny, nx) {
        let expected = format!("{} planes of the patch's shape", coadd.morphologies_arcsec.len());
        return Err(group.wrong("phi_exponential", &format!("of shape {:?}", stack.dim()), &expected));
    }
    let about = About::new("phi_exponential", "nJy-2", "sum of correlations of broadened PSF squared with 1 / variance [morphology, y, x]");
    group.write(about, stack.view(), Storage::Tiled)?;
    group.put_list("half_light_arcsec", &coadd.morphologies_arcsec)
}

fn put_autocorrelation(group: &Node, psfs: &PsfAutocorrelation, cells: &[(u32, u32)]) -> Result<(), FormatError> {
    let side = 2 * psfs.half_width + 1;
    if psfs.cells != cells || psfs.weight.len() != cells.len() || psfs.autocorrelation.dim() != (cells.len(), side, side) {
        let found = format!("of {} cells, shape {:?}", psfs.cells.len(), psfs.autocorrelation.dim());
        return Err(group.wrong("autocorrelation", &found, &format!("the {} cells of the covariance", cells.len())));
    }
    let about = About::new("autocorrelation", "nJy-2", "sum of PSF autocorrelations over variance per cell [cell, dy + h, dx + h]");
    group.write(about, psfs.autocorrelation.view(), Storage::Plain)?;
    let about = About::new("autocorrelation_weight", "nJy-2", "inverse variance of blank sky per tract pixel, of all exposures together");
    group.write(about, ndarray::aview1(&psfs.weight), Storage::Plain)
}

fn put_covariance(group: &Node, coadd: &BandCoadd) -> Result<(), FormatError> {
    let noise = &coadd.covariance;
    let side = 2 * noise.half_width + 1;
    if noise.covariance_njy2.dim() != (noise.cells.len(), side, side) {
        let found = format!("of shape {:?}", noise.covariance_njy2.dim());
        return Err(group.wrong("covariance", &found, &format!("{:?}", (noise.cells.len(), side, side))));
    }
    group.put("covariance_half_width", noise.half_width as u64)?;
    let cells = Array2::from_shape_fn((noise.cells.len(), 2), |(i, j)| if j == 0 { noise.cells[i].0 } else { noise.cells[i].1 });
    group.write(About::new("covariance_cells", "", "column and row of the cells in the tract's grid"), cells.view(), Storage::Plain)?;
    let about = About::new("covariance", "nJy2", "noise covariance of the direct coadd per cell [cell, dy + h, dx + h]");
    group.write(about, noise.covariance_njy2.view(), Storage::Plain)
}

fn inputs_table(inputs: &[CoaddInputRecord]) -> Table {
    let mut table = Table::new();
    let columns = [
        ("id", "", "exposure", ColumnData::Text(inputs.iter().map(|i| i.id.0.clone()).collect())),
        ("weight", "", "weight in the direct coadd, for the whole exposure", ColumnData::F64(inputs.iter().map(|i| i.weight).collect())),
        (
            "n_pixels",
            "",
            "pixels of the patch to which it contributes",
            ColumnData::I64(inputs.iter().map(|i| i.n_pixels as i64).collect()),
        ),
        ("mjd", "d", "middle of the exposure, TAI", ColumnData::F64(inputs.iter().map(|i| i.mjd).collect())),
        ("gain", "nJy-1", "electrons per nJy", ColumnData::F64(inputs.iter().map(|i| i.electrons_per_njy).collect())),
        ("fwhm", "pixel", "FWHM of the PSF at the centre, tract pixels", ColumnData::F64(inputs.iter().map(|i| i.fwhm_px).collect())),
    ];
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("all columns have one row an input");
    }
    table
}

fn decisions_table(decisions: &[Decision]) -> Table {
    let mut table = Table::new();
    let numbers = |get: &dyn Fn(&Decision) -> f64| ColumnData::F64(decisions.iter().map(get).collect());
    let columns = [
        ("id", "", "exposure", ColumnData::Text(decisions.iter().map(|d| d.id.0.clone()).collect())),
        ("is_selected", "", "part of the coadds", ColumnData::Bool(decisions.iter().map(|d| d.is_selected).collect())),
        ("reason", "", "why", ColumnData::Text(decisions.iter().map(|d| d.reason.clone()).collect())),
        ("fwhm", "arcsec", "FWHM of the PSF at the centre", numbers(&|d| d.fwhm_arcsec)),
        ("ellipticity", "", "ellipticity of the PSF at the centre", numbers(&|d| d.ellipticity)),
        ("depth", "mag", "5 sigma depth of the exposure alone, point sources, AB", numbers(&|d| d.depth_mag)),
        ("unusable_share", "", "share of unusable pixels", numbers(&|d| d.unusable_share)),
        ("gain", "mag", "gain of the figure of merit by this exposure; NaN where a cut decided", numbers(&|d| d.gain_mag)),
    ];
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("all columns have one row an exposure");
    }
    table
}

/// A plane of real values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Direct coadd \[nJy\].
    Image,
    /// Its variance \[nJy²\].
    Variance,
    /// Ψ.
    Psi,
    /// Φ.
    Phi,
    /// Φ3.
    Phi3,
    /// Ω.
    Omega,
}

impl Plane {
    /// Name of its dataset.
    fn dataset(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Variance => "variance",
            Self::Psi => "psi",
            Self::Phi => "phi",
            Self::Phi3 => "phi3",
            Self::Omega => "omega",
        }
    }

    /// Value where there is no file.
    fn outside(self) -> f32 {
        match self {
            Self::Image => f32::NAN,
            Self::Variance => f32::INFINITY,
            _ => 0.0,
        }
    }
}

fn of_band(root: &Node, band: &str) -> Result<Node, FormatError> {
    root.child(band, "the coadd of the band")
}

/// All patches of a tract as one image: reads any box from the files that hold its pixels.
#[derive(Debug, Clone)]
pub struct CoaddMosaic {
    files: PatchFiles,
}

impl CoaddMosaic {
    /// `paths` in the order of [`Tract::patches`].
    #[must_use]
    pub fn new(tract: Tract, paths: Vec<PathBuf>) -> Self {
        Self { files: PatchFiles::new(tract, paths, FORMAT, "coadd") }
    }

    /// The tract.
    #[must_use]
    pub fn tract(&self) -> &Tract {
        &self.files.tract
    }

    /// Files of the patches.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.files.paths
    }

    /// Group of a band in the file of patch `i`.
    fn band(&self, i: usize, band: &str) -> Result<Node, FormatError> {
        of_band(&*self.files.file(i)?, band)
    }

    /// [`PatchFiles::for_each_part`] of a band.
    fn for_each_part(
        &self,
        band: &str,
        bbox: &Box2,
        read: impl FnMut(&Node, [std::ops::Range<usize>; 2], &Box2) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.files.for_each_part(|root| of_band(root, band), bbox, read)
    }

    /// Pixels of one plane; outside the tract: NaN for the image, +∞ for the variance, 0 else.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn plane(&self, band: &str, plane: Plane, bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        let mut out = Array2::from_elem(bbox.shape(), plane.outside());
        self.for_each_part(band, bbox, |group, [rows, columns], shared| {
            out.slice_mut(bbox.slice_of(shared)).assign(&group.read_part::<f32>(plane.dataset(), rows, columns)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Mask; `NO_DATA` outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn mask(&self, band: &str, bbox: &Box2) -> Result<Array2<u32>, FormatError> {
        let mut out = Array2::from_elem(bbox.shape(), MaskPlane::NoData.bit());
        self.for_each_part(band, bbox, |group, [rows, columns], shared| {
            out.slice_mut(bbox.slice_of(shared)).assign(&group.read_part::<u32>("mask", rows, columns)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Contributing exposures, `[word, y, x]`; 0 outside.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn inputs_wyx(&self, band: &str, bbox: &Box2) -> Result<Array3<u64>, FormatError> {
        // All patches list all exposures of the band, so the first one knows the number of words.
        let [n_words, ..] = self.band(0, band)?.shape_3d::<u64>("inputs")?;
        let (height, width) = bbox.shape();
        let mut out = Array3::zeros((n_words, height, width));
        self.for_each_part(band, bbox, |group, [rows, columns], shared| {
            let [found, ..] = group.shape_3d::<u64>("inputs")?;
            if found != n_words {
                return Err(group.wrong("inputs", &format!("of {found} words"), &format!("{n_words}, as in the first patch")));
            }
            let (y, x) = ((shared.y0 - bbox.y0) as usize, (shared.x0 - bbox.x0) as usize);
            let part = group.read_part_3d::<u64>("inputs", 0..n_words, rows.clone(), columns.clone())?;
            out.slice_mut(s![.., y..y + rows.len(), x..x + columns.len()]).assign(&part);
            Ok(())
        })?;
        Ok(out)
    }

    /// Exposures of the band, in the order of the bits (`n_pixels` summed over the patches).
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn inputs(&self, band: &str) -> Result<Vec<CoaddInputRecord>, FormatError> {
        let mut all: Vec<CoaddInputRecord> = Vec::new();
        for i in 0..self.paths().len() {
            let group = self.band(i, band)?;
            let table = table::take(&group, "input_exposures", None)?;
            let wrong = |e: crate::catalog::TableError| {
                group.wrong("input_exposures", &e.to_string(), "columns id, weight, n_pixels, mjd, gain, fwhm")
            };
            let ids = table.text("id").map_err(wrong)?;
            let n_pixels = table.i64("n_pixels").map_err(wrong)?;
            if i == 0 {
                let numbers = |name: &str| table.f64(name).map_err(wrong);
                let (weight, mjd, gain, fwhm) = (numbers("weight")?, numbers("mjd")?, numbers("gain")?, numbers("fwhm")?);
                let record = |k: usize| CoaddInputRecord {
                    id: ExposureId(ids[k].clone()),
                    weight: weight[k],
                    n_pixels: 0,
                    mjd: mjd[k],
                    electrons_per_njy: gain[k],
                    fwhm_px: fwhm[k],
                };
                all = (0..ids.len()).map(record).collect();
            }
            if !all.iter().map(|a| &a.id.0).eq(ids) {
                return Err(group.wrong("input_exposures", "another list of exposures", "that of the first patch"));
            }
            for (record, n) in all.iter_mut().zip(n_pixels) {
                record.n_pixels += n.unsigned_abs();
            }
        }
        Ok(all)
    }

    /// Number of exposures, effective gain, mean epoch and seeing of the direct coadd, pixel by pixel.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn properties(&self, band: &str, bbox: &Box2) -> Result<Properties, FormatError> {
        Ok(properties(&self.inputs(band)?, self.inputs_wyx(band, bbox)?.view()))
    }

    /// What was decided about every exposure of the band.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decisions(&self, band: &str) -> Result<Vec<Decision>, FormatError> {
        // The same in every patch.
        let group = self.band(0, band)?;
        let table = table::take(&group, "selection", None)?;
        let wrong = |e: crate::catalog::TableError| group.wrong("selection", &e.to_string(), "the columns of a selection");
        let numbers = |name: &str| table.f64(name).map_err(wrong);
        let (ids, reasons) = (table.text("id").map_err(wrong)?, table.text("reason").map_err(wrong)?);
        let is_selected = table.bool("is_selected").map_err(wrong)?;
        let [fwhm, ellipticity, depth] = [numbers("fwhm")?, numbers("ellipticity")?, numbers("depth")?];
        let [unusable_share, gain] = [numbers("unusable_share")?, numbers("gain")?];
        let decision = |k: usize| Decision {
            id: ExposureId(ids[k].clone()),
            is_selected: is_selected[k],
            reason: reasons[k].clone(),
            fwhm_arcsec: fwhm[k],
            ellipticity: ellipticity[k],
            depth_mag: depth[k],
            unusable_share: unusable_share[k],
            gain_mag: gain[k],
        };
        Ok((0..ids.len()).map(decision).collect())
    }

    /// Φ of the extended morphologies: their half-light radii \[arcsec\] and `[morphology, y, x]` \[1/nJy²\]; 0 outside.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn phi_morphology(&self, band: &str, bbox: &Box2) -> Result<(Vec<f64>, Array3<f32>), FormatError> {
        let first = self.band(0, band)?;
        let radii: Vec<f64> = if first.has_attribute("half_light_arcsec") { first.number_list("half_light_arcsec")? } else { Vec::new() };
        let (height, width) = bbox.shape();
        let mut out = Array3::zeros((radii.len(), height, width));
        if radii.is_empty() {
            return Ok((radii, out));
        }
        self.for_each_part(band, bbox, |group, [rows, columns], shared| {
            let (y, x) = ((shared.y0 - bbox.y0) as usize, (shared.x0 - bbox.x0) as usize);
            let part = group.read_part_3d::<f32>("phi_exponential", 0..radii.len(), rows.clone(), columns.clone())?;
            out.slice_mut(s![.., y..y + rows.len(), x..x + columns.len()]).assign(&part);
            Ok(())
        })?;
        Ok((radii, out))
    }

    /// Steps of the ladder of time windows, in time order.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn window_steps(&self, band: &str) -> Result<Vec<WindowStep>, FormatError> {
        let group = self.band(0, band)?;
        if !group.has("windows") {
            return Ok(Vec::new());
        }
        let windows = group.child("windows", "a group")?;
        let of_step = |name: &String| {
            let step = name.parse().map_err(|_| windows.wrong(name, "a group of this name", "a whole number"))?;
            let group = windows.child(name, "maps of a step")?;
            let [first_mjd, last_mjd, mean_mjd] = [group.number("first_mjd")?, group.number("last_mjd")?, group.number("mean_mjd")?];
            Ok(WindowStep { step, first_mjd, last_mjd, mean_mjd, n_exposures: group.count("n_exposures")? })
        };
        let mut steps = windows.members()?.iter().map(of_step).collect::<Result<Vec<_>, FormatError>>()?;
        steps.sort_by_key(|s| s.step);
        Ok(steps)
    }

    /// Maps of `n_steps` consecutive steps from `first` on, summed; 0 outside. Steps without an exposure add nothing.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn window(&self, band: &str, first: i64, n_steps: usize, bbox: &Box2) -> Result<WindowMaps, FormatError> {
        let mut sums = [Array2::<f64>::zeros(bbox.shape()), Array2::zeros(bbox.shape())];
        let steps = first..first + n_steps as i64;
        for step in self.window_steps(band)?.iter().filter(|s| steps.contains(&s.step)) {
            self.for_each_part(band, bbox, |group, [rows, columns], shared| {
                let maps = group.child(&format!("windows/{}", step.step), "maps of a step")?;
                for (name, sum) in ["psi", "phi"].into_iter().zip(&mut sums) {
                    let part = maps.read_part::<f32>(name, rows.clone(), columns.clone())?;
                    sum.slice_mut(bbox.slice_of(shared)).zip_mut_with(&part, |s, &v| *s += f64::from(v));
                }
                Ok(())
            })?;
        }
        let [psi, phi] = sums.map(|s| s.mapv(|v| v as f32));
        Ok(WindowMaps { psi, phi })
    }

    /// Noise covariance of the cell that holds the pixel, `[2h+1, 2h+1]` \[nJy²\]; `None` outside or without data.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn covariance(&self, band: &str, x: i32, y: i32) -> Result<Option<Array2<f64>>, FormatError> {
        let Some((group, i)) = self.cell(band, x, y)? else { return Ok(None) };
        let [n_cells, height, width] = group.shape_3d::<f64>("covariance")?;
        if i >= n_cells {
            return Err(group.wrong("covariance", &format!("given for {n_cells} cells"), "all cells of covariance_cells"));
        }
        let part = group.read_part_3d::<f64>("covariance", i..i + 1, 0..height, 0..width)?;
        Ok(Some(part.index_axis_move(ndarray::Axis(0), 0)))
    }

    /// PSF autocorrelation of the cell that holds the pixel; `None` outside or without data.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn autocorrelation(&self, band: &str, x: i32, y: i32) -> Result<Option<CellAutocorrelation>, FormatError> {
        let Some((group, i)) = self.cell(band, x, y)? else { return Ok(None) };
        let [n_cells, height, width] = group.shape_3d::<f32>("autocorrelation")?;
        let weights: Vec<f64> = group.column("autocorrelation_weight")?;
        if i >= n_cells.min(weights.len()) {
            let found = format!("given for {} cells", n_cells.min(weights.len()));
            return Err(group.wrong("autocorrelation", &found, "all cells of covariance_cells"));
        }
        let lags = group.read_part_3d::<f32>("autocorrelation", i..i + 1, 0..height, 0..width)?.index_axis_move(ndarray::Axis(0), 0);
        Ok((weights[i] > 0.0).then(|| CellAutocorrelation { lags, weight: weights[i] }))
    }

    /// PSF autocorrelation \[1/nJy²\], mean over the tract's cells with data, `[2h+1, 2h+1]`; `None` without any.
    ///
    /// Cells are summed in the order of the tract's grid, so that the mean does not depend on the patches.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn mean_autocorrelation(&self, band: &str) -> Result<Option<Array2<f64>>, FormatError> {
        let mut cells: Vec<((u32, u32), Array2<f32>)> = Vec::new();
        for i in 0..self.paths().len() {
            let group = self.band(i, band)?;
            let places: Array2<u32> = group.read("covariance_cells")?;
            let weights: Vec<f64> = group.column_of("autocorrelation_weight", places.nrows())?;
            let lags: Array3<f32> = group.read("autocorrelation")?;
            if lags.dim().0 != places.nrows() {
                return Err(group.wrong("autocorrelation", &format!("given for {} cells", lags.dim().0), "all cells of covariance_cells"));
            }
            let with_data = (0..places.nrows()).filter(|&k| weights[k] > 0.0);
            cells.extend(with_data.map(|k| ((places[[k, 1]], places[[k, 0]]), lags.index_axis(Axis(0), k).to_owned())));
        }
        cells.sort_by_key(|c| c.0);
        let n = cells.len() as f64;
        let half_width = cells.iter().map(|c| c.1.nrows() / 2).max();
        Ok(half_width.map(|h| {
            let mut sum = Array2::<f64>::zeros((2 * h + 1, 2 * h + 1));
            for (_, lags) in &cells {
                let skip = h - lags.nrows() / 2;
                let mut part = sum.slice_mut(s![skip..skip + lags.nrows(), skip..skip + lags.nrows()]);
                part.zip_mut_with(lags, |s, v| *s += f64::from(*v) / n);
            }
            sum
        }))
    }

    /// Group and index of the cell that holds the pixel, if there is one with data.
    fn cell(&self, band: &str, x: i32, y: i32) -> Result<Option<(Node, usize)>, FormatError> {
        let at = PixelPoint::new(f64::from(x), f64::from(y));
        let (Some(cell), Some(patch)) = (self.tract().cell_of(at), self.tract().patch_of(x, y)) else {
            return Ok(None);
        };
        let n_columns = self.tract().config().patches[0];
        let group = self.band((patch.id.row * n_columns + patch.id.column) as usize, band)?;
        let cells: Array2<u32> = group.read("covariance_cells")?;
        let index = cells.rows().into_iter().position(|c| c.iter().eq(&[cell.column, cell.row]));
        Ok(index.map(|i| (group, i)))
    }

    /// Mean FWHM of the band's PSF \[tract pixel\].
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn fwhm_px(&self, band: &str) -> Result<f64, FormatError> {
        self.band(0, band)?.number("fwhm_px")
    }
}

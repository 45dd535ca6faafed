//! `fathom-combined` files: what the combine phase makes of one patch; and reading across patches.
//!
//! # Format, version 1
//!
//! Root attributes `mask_planes` (texts: the name of bit 0, 1, ... of the masks), `floor` (f64, of the proper coadd's filter) and `border_px`
//! (u64). Group `/proper/<band>` for every band, if proper coadds were asked for, with the attributes `bbox` (x0, y0, width, height, i32: the
//! patch's inner pixels in tract coordinates) and `half_width` (u64, h). An algorithm for single images finds all that it needs here:
//!
//! | dataset | type, shape | unit | what |
//! |---|---|---|---|
//! | `image` | f32 `[ny, nx]` | nJy | proper coadd, background subtracted; NaN without data |
//! | `variance` | f32 `[ny, nx]` | nJy2 | of its noise, which is white where there is signal; infinite without data |
//! | `mask` | u32 `[ny, nx]` | | bit planes; `INEXACT_PSF` where the PSF of the cell does not hold |
//! | `cells` | u32 `[cell, 2]` | | column and row of the cells in the tract's grid |
//! | `psf` | f32 `[cell, 2h+1, 2h+1]` | | PSF per cell, the same in the whole cell; 0 without data |
//! | `covariance` | f32 `[cell, 2h+1, 2h+1]` | nJy2 | noise covariance per cell, lag (dy + h, dx + h), with the filter's floor |
//!
//! Group `/multi_band`, if maps of all bands were asked for, with the attribute `bbox`:
//!
//! | dataset | type, shape | unit | what |
//! |---|---|---|---|
//! | `n_bands` | u8 `[ny, nx]` | | bands with data: degrees of freedom of the null distributions ([`crate::coadd::multi_band`]) |
//! | `cells` | u32 `[cell, 2]` | | column and row of the cells in the tract's grid |
//! | `l2` | f64 `[cell]` | pixel-2 | curvature of the noise, mean of the bands with data; NaN without any |
//! | `<map>/statistic` | f32 `[ny, nx]` | | `chi2`: sum of psi^2 / phi; `free`: sum of max(psi, 0)^2 / phi; of an SED: psi / sqrt(phi); NaN without data |
//! | `<map>/psi`, `<map>/phi` | f32 `[ny, nx]` | nJy-1, nJy-2 | of an SED: its likelihood maps |
//!
//! Group `/multi_band/<map>` has the attribute `bbox`, that of an SED `sed` (f64, one relative flux a band of the run).
//! Planes are chunked by at most 256 x 256; masks and counts are shuffled and deflated, the noisy planes are not.

use super::FormatError;
use super::calibration::put_box;
use super::hdf5_io::{About, Node, Storage};
use super::patch_files::PatchFiles;
use super::product::{self, Header};
use crate::coadd::{CombineConfig, MultiBandCoadd, ProperCoadd};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::MaskPlane;
use ndarray::{Array2, Axis};
use std::path::{Path, PathBuf};

const FORMAT: (&str, u32) = ("fathom-combined", 1);

/// Writes the combined images of a patch, taking each proper coadd when it is made (memory: one band at a time), then the maps.
///
/// `bands`: those with a proper coadd.
///
/// # Errors
/// [`FormatError`], or the error of what is made.
pub fn write<E: From<FormatError>>(
    path: &Path,
    key: &str,
    config: &CombineConfig,
    bands: &[String],
    mut proper: impl FnMut(&str) -> Result<ProperCoadd, E>,
    multi_band: impl FnOnce() -> Result<Option<MultiBandCoadd>, E>,
) -> Result<(), E> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    // The error of a coadd passes around the file's own errors: only the caller knows its type.
    let mut failed = None;
    let written = product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put_texts("mask_planes", MaskPlane::ALL.map(MaskPlane::name))?;
        root.put("floor", config.floor)?;
        root.put("border_px", u64::from(config.border_px))?;
        for band in bands {
            match proper(band) {
                Ok(coadd) => put_proper(&root.create(&format!("proper/{band}"))?, &coadd)?,
                Err(error) => {
                    failed = Some(error);
                    return Err(root.wrong(band, "not made", "a proper coadd"));
                }
            }
        }
        match multi_band() {
            Ok(None) => Ok(()),
            Ok(Some(maps)) => put_maps(&root.create("multi_band")?, &maps),
            Err(error) => {
                failed = Some(error);
                Err(root.wrong("multi_band", "not made", "maps of all bands"))
            }
        }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

fn put_cells(group: &Node, cells: &[(u32, u32)]) -> Result<(), FormatError> {
    let cells = Array2::from_shape_fn((cells.len(), 2), |(i, j)| if j == 0 { cells[i].0 } else { cells[i].1 });
    group.write(About::new("cells", "", "column and row of the cells in the tract's grid"), cells.view(), Storage::Plain)
}

fn put_proper(group: &Node, coadd: &ProperCoadd) -> Result<(), FormatError> {
    put_box(group, &coadd.bbox)?;
    group.put("half_width", coadd.half_width as u64)?;
    let plane =
        |name, unit, description, values: &Array2<f32>| group.write(About::new(name, unit, description), values.view(), Storage::Tiled);
    plane("image", "nJy", "proper coadd, background subtracted; NaN without data", &coadd.image_njy)?;
    plane("variance", "nJy2", "of its noise, white where there is signal; infinite without data", &coadd.variance_njy2)?;
    group.write(About::new("mask", "", "bit planes, named by mask_planes"), coadd.mask.view(), Storage::Packed)?;
    put_cells(group, &coadd.cells)?;
    group.write(About::new("psf", "", "PSF per cell [cell, dy + h, dx + h]"), coadd.psf.view(), Storage::Plain)?;
    let about = About::new("covariance", "nJy2", "noise covariance per cell [cell, dy + h, dx + h]");
    group.write(about, coadd.covariance_njy2.view(), Storage::Plain)
}

fn put_maps(group: &Node, coadd: &MultiBandCoadd) -> Result<(), FormatError> {
    put_box(group, &coadd.bbox)?;
    group.write(About::new("n_bands", "", "bands with data"), coadd.n_bands.view(), Storage::Packed)?;
    put_cells(group, &coadd.cells)?;
    let about = About::new("l2", "pixel-2", "curvature of the noise, mean of the bands with data");
    group.write(about, ndarray::aview1(&coadd.l2_per_px2), Storage::Plain)?;
    for map in &coadd.maps {
        let group = group.create(&map.name)?;
        put_box(&group, &coadd.bbox)?;
        let about = About::new("statistic", "", "of all bands, see its format page; NaN without data");
        group.write(about, map.statistic.view(), Storage::Tiled)?;
        if let Some((sed, psi, phi)) = &map.sums {
            group.put_list("sed", sed)?;
            group.write(About::new("psi", "nJy-1", "likelihood map of the SED"), psi.view(), Storage::Tiled)?;
            group.write(About::new("phi", "nJy-2", "likelihood map of the SED; 0 without data"), phi.view(), Storage::Tiled)?;
        }
    }
    Ok(())
}

/// PSF and noise of a proper coadd in one cell, `[2h+1, 2h+1]` both.
#[derive(Debug, Clone, PartialEq)]
pub struct ProperStamps {
    /// The PSF.
    pub psf: Array2<f32>,
    /// Noise covariance \[nJy²\].
    pub covariance_njy2: Array2<f32>,
}

/// The combined images of all patches of a tract as one: reads any box from the files that hold its pixels.
#[derive(Debug, Clone)]
pub struct CombinedMosaic {
    files: PatchFiles,
}

fn of_proper(root: &Node, band: &str) -> Result<Node, FormatError> {
    root.child(&format!("proper/{band}"), "the proper coadd of the band (combine.proper)")
}

impl CombinedMosaic {
    /// `paths` in the order of [`Tract::patches`].
    #[must_use]
    pub fn new(tract: Tract, paths: Vec<PathBuf>) -> Self {
        Self { files: PatchFiles::new(tract, paths, FORMAT, "combined") }
    }

    fn plane<T: hdf5::H5Type + Copy>(
        &self,
        group: impl Fn(&Node) -> Result<Node, FormatError>,
        dataset: &str,
        bbox: &Box2,
        outside: T,
    ) -> Result<Array2<T>, FormatError> {
        let mut out = Array2::from_elem(bbox.shape(), outside);
        self.files.for_each_part(group, bbox, |group, [rows, columns], shared| {
            out.slice_mut(bbox.slice_of(shared)).assign(&group.read_part::<T>(dataset, rows, columns)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Proper coadd of a band \[nJy per pixel\]; NaN outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn proper_image(&self, band: &str, bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        self.plane(|root| of_proper(root, band), "image", bbox, f32::NAN)
    }

    /// Its variance \[nJy²\]; +∞ outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn proper_variance(&self, band: &str, bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        self.plane(|root| of_proper(root, band), "variance", bbox, f32::INFINITY)
    }

    /// Its mask; `NO_DATA` outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn proper_mask(&self, band: &str, bbox: &Box2) -> Result<Array2<u32>, FormatError> {
        self.plane(|root| of_proper(root, band), "mask", bbox, MaskPlane::NoData.bit())
    }

    /// PSF and noise of the proper coadd in the cell that holds the pixel; `None` outside the tract and without data.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn proper_stamps(&self, band: &str, x: i32, y: i32) -> Result<Option<ProperStamps>, FormatError> {
        let tract = &self.files.tract;
        let at = PixelPoint::new(f64::from(x), f64::from(y));
        let (Some(cell), Some(patch)) = (tract.cell_of(at), tract.patch_of(x, y)) else { return Ok(None) };
        let n_columns = tract.config().patches[0];
        let group = of_proper(&*self.files.file((patch.id.row * n_columns + patch.id.column) as usize)?, band)?;
        let cells: Array2<u32> = group.read("cells")?;
        let Some(i) = cells.rows().into_iter().position(|c| c.iter().eq(&[cell.column, cell.row])) else { return Ok(None) };
        let stamp = |name: &str| {
            let [n_cells, height, width] = group.shape_3d::<f32>(name)?;
            if n_cells != cells.nrows() {
                return Err(group.wrong(name, &format!("given for {n_cells} cells"), &format!("{} cells", cells.nrows())));
            }
            Ok(group.read_part_3d::<f32>(name, i..i + 1, 0..height, 0..width)?.index_axis_move(Axis(0), 0))
        };
        let stamps = ProperStamps { psf: stamp("psf")?, covariance_njy2: stamp("covariance")? };
        Ok((stamps.psf.sum() > 0.0).then_some(stamps))
    }

    /// Statistic of a map of all bands; NaN outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn map(&self, name: &str, bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        let group = |root: &Node| root.child(&format!("multi_band/{name}"), "a map of all bands (combine.multi_band)");
        self.plane(group, "statistic", bbox, f32::NAN)
    }

    /// Bands with data at every pixel; 0 outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn n_bands(&self, bbox: &Box2) -> Result<Array2<u8>, FormatError> {
        self.plane(|root| root.child("multi_band", "maps of all bands (combine.multi_band)"), "n_bands", bbox, 0)
    }
}

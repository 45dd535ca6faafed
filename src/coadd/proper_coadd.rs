//! The proper coadd of one band on one patch, cell by cell.

use super::autocorrelation::CellAutocorrelation;
use super::multi_band::BandMaps;
use super::proper::ProperFilter;
use crate::geometry::{Box2, Cell};
use crate::image::MaskPlane;
use ndarray::{Array2, Array3, ArrayView2};
use rayon::prelude::*;

/// What an algorithm for single images needs; planes have shape `bbox.shape()`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProperCoadd {
    /// Pixels, in tract coordinates (a patch's inner pixels).
    pub bbox: Box2,
    /// Flux \[nJy per pixel\], background subtracted; NaN without data.
    pub image_njy: Array2<f32>,
    /// Variance \[nJy²\] of the noise, white where there is signal, without the sources' own; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`MaskPlane`]; `INEXACT_PSF` where the cell's PSF does not hold.
    pub mask: Array2<u32>,
    /// Half-width h of PSFs and covariances.
    pub half_width: usize,
    /// Columns and rows of the cells, in the order of the stamps.
    pub cells: Vec<(u32, u32)>,
    /// PSFs, `[cell, 2h+1, 2h+1]`, the source on the central pixel; 0 without data.
    pub psf: Array3<f32>,
    /// Covariance of blank sky \[nJy²\], `[cell, dy + h, dx + h]`; 0 without data.
    pub covariance_njy2: Array3<f32>,
}

/// Makes the proper coadd.
///
/// # Arguments
/// * `bbox`: union of the cells.
/// * `cells`: with their autocorrelations, all of one half-width; `None` without data.
/// * `maps`: Ψ and Φ on `bbox` grown by `border_px`; 0 without data.
/// * `direct`: mask of the direct coadd on `bbox`.
#[must_use]
pub fn proper_coadd(
    bbox: Box2,
    cells: &[(Cell, Option<CellAutocorrelation>)],
    maps: BandMaps,
    direct: ArrayView2<u32>,
    border_px: usize,
    floor: f64,
) -> ProperCoadd {
    let around = bbox.grown(border_px as i32);
    let made: Vec<_> = cells
        .par_iter()
        .map(|(cell, autocorrelation)| {
            let filter = ProperFilter::new(autocorrelation.as_ref()?, cell.bbox.width as usize, border_px, floor);
            let part = around.slice_of(&cell.bbox.grown(border_px as i32));
            let pixels = filter.run(maps.psi.slice(part), maps.phi.slice(part), direct.slice(bbox.slice_of(&cell.bbox)));
            Some((filter.psf, filter.covariance_njy2, pixels))
        })
        .collect();
    let half_width = made.iter().flatten().map(|(psf, ..)| psf.nrows() / 2).max().unwrap_or(0);
    let stamps = (cells.len(), 2 * half_width + 1, 2 * half_width + 1);
    let mut coadd = ProperCoadd {
        bbox,
        image_njy: Array2::from_elem(bbox.shape(), f32::NAN),
        variance_njy2: Array2::from_elem(bbox.shape(), f32::INFINITY),
        mask: direct.mapv(|m| m & !MaskPlane::InexactPsf.bit() | MaskPlane::NoData.bit()),
        half_width,
        cells: cells.iter().map(|(cell, _)| (cell.column, cell.row)).collect(),
        psf: Array3::zeros(stamps),
        covariance_njy2: Array3::zeros(stamps),
    };
    for (i, (made, (cell, _))) in made.into_iter().zip(cells).enumerate() {
        let Some((psf, covariance, pixels)) = made else { continue };
        let part = bbox.slice_of(&cell.bbox);
        coadd.image_njy.slice_mut(part).assign(&pixels.image_njy);
        coadd.variance_njy2.slice_mut(part).assign(&pixels.variance_njy2);
        coadd.mask.slice_mut(part).assign(&pixels.mask);
        coadd.psf.index_axis_mut(ndarray::Axis(0), i).assign(&psf.mapv(|v| v as f32));
        coadd.covariance_njy2.index_axis_mut(ndarray::Axis(0), i).assign(&covariance.mapv(|v| v as f32));
    }
    coadd
}

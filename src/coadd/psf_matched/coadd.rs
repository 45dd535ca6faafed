//! The PSF-matched coadd of one band on one patch, put together from its tiles.

use super::band::{BandPsfMatcher, Candidate};
use super::tile_coadd::{CellSums, PsfCheck, TileCoadd};
use crate::coadd::NoiseCovariance;
use crate::geometry::Box2;
use crate::image::{ExposureId, MaskPlane};
use ndarray::{Array2, Array3, Zip};

/// One exposure that meets the patch.
#[derive(Debug, Clone, PartialEq)]
pub struct PsfMatchedInput {
    /// Exposure.
    pub id: ExposureId,
    /// FWHM of its PSF at its middle \[tract pixel\]; NaN where it is left out.
    pub fwhm_px: f64,
    /// Weight \[nJy⁻²\]: inverse variance of a matched pixel at its middle; 0 where it is left out.
    pub weight: f64,
    /// Largest amplification of any wave of its noise; NaN if not known.
    pub amplification: f64,
    /// Pixels of the patch to which it contributes.
    pub n_pixels: u64,
    /// Tiles whose kernel was fitted to pixels.
    pub n_fitted: u64,
    /// Tiles that had too little light for that.
    pub n_not_fitted: u64,
    /// Why it is left out; empty if it is not.
    pub left_out: String,
}

/// Everything that the psf_matched phase makes of one band on one patch; planes have shape `bbox.shape()`.
#[derive(Debug, Clone, PartialEq)]
pub struct PsfMatchedCoadd {
    /// Band name.
    pub band: String,
    /// Pixels, in tract coordinates (a patch's inner pixels).
    pub bbox: Box2,
    /// Coadd \[nJy per pixel\], background subtracted; NaN without data.
    pub image_njy: Array2<f32>,
    /// Its variance \[nJy²\], per pixel, sources' own noise included; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`MaskPlane`].
    pub mask: Array2<u32>,
    /// Exposures that contribute.
    pub n_exposures: Array2<u16>,
    /// FWHM of the Gaussian target \[tract pixel\], one number for the tract.
    pub target_fwhm_px: f64,
    /// Covariance of the noise.
    pub covariance: NoiseCovariance,
    /// Largest share of an exposure's Σ|C| beyond the support of the covariance, which is scaled to keep Σ C.
    pub covariance_lost: f64,
    /// The achieved PSF.
    pub checks: Vec<PsfCheck>,
    /// Exposures that meet the patch, in id order.
    pub inputs: Vec<PsfMatchedInput>,
}

impl BandPsfMatcher<'_> {
    /// A coadd without data on a patch, to which tiles are added.
    #[must_use]
    pub fn empty(&self, bbox: &Box2) -> PsfMatchedCoadd {
        let input = |(_, input): &(usize, Candidate)| match input {
            Ok(input) => PsfMatchedInput {
                id: input.meta.id.clone(),
                fwhm_px: input.fwhm_px,
                weight: input.weight,
                amplification: input.amplification,
                n_pixels: 0,
                n_fitted: 0,
                n_not_fitted: 0,
                left_out: String::new(),
            },
            Err((meta, why)) => PsfMatchedInput {
                id: meta.id.clone(),
                fwhm_px: f64::NAN,
                weight: 0.0,
                amplification: if let super::LeftOut::Amplifies(by) = why { *by } else { f64::NAN },
                n_pixels: 0,
                n_fitted: 0,
                n_not_fitted: 0,
                left_out: why.to_string(),
            },
        };
        let cells = self.tract.cells_in(bbox);
        let half_width = self.matching.lag_half_width_px;
        let side = 2 * half_width + 1;
        PsfMatchedCoadd {
            band: self.band.clone(),
            bbox: *bbox,
            image_njy: Array2::from_elem(bbox.shape(), f32::NAN),
            variance_njy2: Array2::from_elem(bbox.shape(), f32::INFINITY),
            mask: Array2::from_elem(bbox.shape(), MaskPlane::NoData.bit()),
            n_exposures: Array2::zeros(bbox.shape()),
            target_fwhm_px: self.target_fwhm_px,
            covariance: NoiseCovariance {
                half_width,
                covariance_njy2: Array3::zeros((cells.len(), side, side)),
                cells: cells.iter().map(|c| (c.column, c.row)).collect(),
            },
            covariance_lost: 0.0,
            checks: Vec::new(),
            inputs: self.inputs.iter().map(input).collect(),
        }
    }

    /// Puts all tiles of a box together.
    #[must_use]
    pub fn assemble(&self, bbox: &Box2, mut tiles: Vec<TileCoadd>) -> PsfMatchedCoadd {
        // Sums over a cell of several tiles go row by row.
        tiles.sort_by_key(|tile| (tile.bbox.y0, tile.bbox.x0));
        let mut coadd = self.empty(bbox);
        let mut sums: Vec<Option<CellSums>> = vec![None; coadd.covariance.cells.len()];
        for tile in &tiles {
            coadd.add(bbox, tile);
            for cell in &tile.cells {
                let Some(k) = coadd.covariance.cells.iter().position(|c| *c == cell.cell) else { continue };
                match &mut sums[k] {
                    None => sums[k] = Some(cell.clone()),
                    Some(sum) => {
                        sum.n_pixels += cell.n_pixels;
                        sum.covariance_njy2 += &cell.covariance_njy2;
                    }
                }
            }
        }
        for (mut out, sum) in coadd.covariance.covariance_njy2.outer_iter_mut().zip(sums) {
            if let Some(sum) = sum.filter(|s| s.n_pixels > 0) {
                out.assign(&(sum.covariance_njy2 / sum.n_pixels as f64));
            }
        }
        coadd
    }
}

impl PsfMatchedCoadd {
    /// The part of a tile that lies in the patch.
    fn add(&mut self, bbox: &Box2, tile: &TileCoadd) {
        let shared = bbox.intersect(&tile.bbox);
        let (to, from) = (bbox.slice_of(&shared), tile.bbox.slice_of(&shared));
        self.image_njy.slice_mut(to).assign(&tile.image_njy.slice(from));
        self.variance_njy2.slice_mut(to).assign(&tile.variance_njy2.slice(from));
        self.mask.slice_mut(to).assign(&tile.mask.slice(from));
        self.n_exposures.slice_mut(to).assign(&tile.n_exposures.slice(from));
        for (i, kept) in &tile.contributions {
            self.inputs[*i].n_pixels += kept.slice(from).iter().filter(|k| **k).count() as u64;
        }
        for (i, is_fitted) in &tile.fits {
            let input = &mut self.inputs[*i];
            *(if *is_fitted { &mut input.n_fitted } else { &mut input.n_not_fitted }) += 1;
        }
        self.covariance_lost = self.covariance_lost.max(tile.lost_share);
        let is_in = |c: &&PsfCheck| self.covariance.cells.contains(&c.cell);
        self.checks.extend(tile.checks.iter().filter(is_in).copied());
    }

    /// Residuals of the coadd's PSF over the checked cells: mean and the largest without sign of core flux, size, e1, e2.
    #[must_use]
    pub fn psf_summary(&self) -> [(f64, f64); 4] {
        let n = self.checks.len() as f64;
        let of = |get: &dyn Fn(&PsfCheck) -> f64| {
            let values = self.checks.iter().map(get);
            (values.clone().sum::<f64>() / n, values.fold(0.0, |worst: f64, v| worst.max(v.abs())))
        };
        [of(&|c| c.coadd.core_flux), of(&|c| c.coadd.size), of(&|c| c.coadd.e1), of(&|c| c.coadd.e2)]
    }

    /// Share of the pixels with data.
    #[must_use]
    pub fn covered_share(&self) -> f64 {
        let mut n = 0;
        Zip::from(&self.n_exposures).for_each(|e| n += usize::from(*e > 0));
        n as f64 / self.n_exposures.len() as f64
    }
}

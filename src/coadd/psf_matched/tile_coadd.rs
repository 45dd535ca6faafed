//! The stack of one tile, and the sums of its cells.

use super::band::BandPsfMatcher;
use super::combine::{Value, combine, median_variance};
use super::config::{MatchMethod, StackMethod};
use super::match_tile::{MatchedTile, middle_pixel};
use super::shape::{N_SUMS, PsfResidual, ShapeSums};
use crate::coadd::pair_fft::PairScratch;
use crate::geometry::{Box2, Cell, PixelPoint};
use crate::image::{Exposure, MaskPlane};
use ndarray::Array2;
use std::f64::consts::FRAC_PI_2;

/// How the coadd's PSF agrees with the target at the central pixel of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PsfCheck {
    /// Column and row of the cell in the tract's grid.
    pub cell: (u32, u32),
    /// Exposures there.
    pub n_exposures: u32,
    /// Of the coadd.
    pub coadd: PsfResidual,
    /// The largest residual of any exposure.
    pub worst: f64,
}

/// Sums over the pixels of one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CellSums {
    pub cell: (u32, u32),
    /// Pixels with data.
    pub n_pixels: u64,
    /// Covariance summed over them \[nJy²\].
    pub covariance_njy2: Array2<f64>,
}

/// The coadd on one tile.
#[derive(Debug, Clone)]
pub struct TileCoadd {
    /// Pixels of the tract.
    pub bbox: Box2,
    /// \[nJy per pixel\]; NaN without data.
    pub image_njy: Array2<f32>,
    /// \[nJy²\]; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`MaskPlane`].
    pub mask: Array2<u32>,
    /// Exposures that contribute.
    pub n_exposures: Array2<u16>,
    pub(super) cells: Vec<CellSums>,
    pub(super) checks: Vec<PsfCheck>,
    /// Pixels to which each input contributes, by number of the input.
    pub(super) contributions: Vec<(usize, Array2<bool>)>,
    /// Inputs whose kernel was to be fitted, and whether it was.
    pub(super) fits: Vec<(usize, bool)>,
    /// Largest share of a covariance beyond its support.
    pub(super) lost_share: f64,
}

/// Which exposures are used at every pixel of a tile.
struct Kept {
    /// By warp and pixel.
    bits: Vec<Vec<bool>>,
}

impl BandPsfMatcher<'_> {
    /// Cells of a tile in which the PSF is checked.
    pub(super) fn checked_cells(&self, tile: &Box2) -> Vec<Cell> {
        let every = self.config.check_every_cells;
        let is_checked = |c: &Cell| {
            let (x, y) = middle_pixel(&c.bbox);
            c.column.is_multiple_of(every) && c.row.is_multiple_of(every) && tile.contains(x, y)
        };
        self.tract.cells_in(tile).into_iter().filter(is_checked).collect()
    }

    /// The coadd on neighbouring tiles: every exposure is read once, matched to each tile that it meets, and those of a tile are stacked.
    /// `read` gives input `i` with at least these pixels, sanitised.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn block<E>(
        &self,
        tiles: &[Box2],
        scratch: &mut PairScratch,
        mut read: impl FnMut(usize, &Box2) -> Result<Exposure, E>,
    ) -> Result<Vec<TileCoadd>, E> {
        let mut warps: Vec<Vec<MatchedTile>> = tiles.iter().map(|_| Vec::new()).collect();
        for i in 0..self.n_inputs() {
            let needed: Vec<Box2> = tiles.iter().map(|tile| self.needed(i, tile)).collect();
            let Some(of_all) = needed.iter().filter(|n| !n.is_empty()).copied().reduce(|a, b| a.union(&b)) else { continue };
            let exposure = read(i, &of_all)?;
            let Some(loaded) = self.load(i, &exposure) else { continue };
            for ((tile, _), warps) in tiles.iter().zip(needed).zip(&mut warps).filter(|((_, needed), _)| !needed.is_empty()) {
                warps.extend(self.match_tile(i, &loaded, tile, scratch));
            }
        }
        let stacked = |(tile, warps): (&Box2, Vec<MatchedTile>)| {
            if self.config.method == MatchMethod::Fourier {
                return self.stack(tile, &warps);
            }
            let (warps, fits) = self.refit(tile, warps, scratch);
            TileCoadd { fits, ..self.stack(tile, &warps) }
        };
        Ok(tiles.iter().zip(warps).map(stacked).collect())
    }

    /// Stacks the matched exposures of a tile, in the order of the inputs.
    #[must_use]
    pub fn stack(&self, tile: &Box2, warps: &[MatchedTile]) -> TileCoadd {
        let shape = tile.shape();
        let n_pixels = tile.n_pixels();
        let weights: Vec<f64> = warps.iter().map(|w| self.weight(w.input)).collect();
        let (mut image_njy, mut variance_njy2) = (Array2::from_elem(shape, f32::NAN), Array2::from_elem(shape, f32::INFINITY));
        let (mut mask, mut n_exposures) = (Array2::zeros(shape), Array2::zeros(shape));
        let mut kept = Kept { bits: vec![vec![false; n_pixels]; warps.len()] };
        let planes: Vec<[&[f32]; 2]> = warps.iter().map(|w| [&w.image_njy, &w.variance_njy2].map(slice)).collect();
        let masks: Vec<&[u32]> = warps.iter().map(|w| w.mask.as_slice().expect("standard layout")).collect();
        let (mut values, mut from, mut scratch): (Vec<Value>, Vec<usize>, Vec<f64>) = Default::default();
        let outputs = image_njy.iter_mut().zip(&mut variance_njy2).zip(mask.iter_mut().zip(&mut n_exposures));
        for (p, ((image, variance), (mask, n_exposures))) in outputs.enumerate() {
            values.clear();
            from.clear();
            for (e, [z, v]) in planes.iter().enumerate() {
                *mask |= masks[e][p];
                if !z[p].is_nan() {
                    values.push(Value { image: z[p].into(), variance: v[p].into(), weight: weights[e], is_kept: true });
                    from.push(e);
                }
            }
            if values.is_empty() {
                *mask |= MaskPlane::NoData.bit();
                continue;
            }
            let combined = combine(&mut values, &self.config, &mut scratch);
            (*image, *variance) = (combined.image as f32, combined.variance as f32);
            if combined.is_clipped {
                *mask |= MaskPlane::Clipped.bit();
            }
            if combined.is_suspect {
                *mask |= MaskPlane::Suspect.bit();
            }
            for (value, &e) in values.iter().zip(&from).filter(|(v, _)| v.is_kept) {
                kept.bits[e][p] = value.is_kept;
                *n_exposures += 1;
            }
        }
        let cells = self.tract.cells_in(tile).iter().map(|cell| self.cell(tile, cell, warps, &weights, &kept)).collect();
        let checks = self.checks(tile, warps, &weights, &kept);
        let whole = |bits: Vec<bool>| Array2::from_shape_vec(shape, bits).expect("one a pixel");
        let contributions = warps.iter().map(|w| w.input).zip(kept.bits.into_iter().map(whole)).collect();
        let lost_share = warps.iter().fold(0.0, |most: f64, w| most.max(w.noise.lost_share));
        TileCoadd { bbox: *tile, image_njy, variance_njy2, mask, n_exposures, cells, checks, contributions, fits: Vec::new(), lost_share }
    }

    fn weight(&self, i: usize) -> f64 {
        self.inputs[i].1.as_ref().map_or(0.0, |input| input.weight)
    }

    /// Background variance of a pixel of input `i` at a position of the tract \[nJy²\], or at the exposure's pixel nearest to it.
    fn pixel_variance(&self, i: usize, at: PixelPoint) -> f64 {
        let Ok(input) = &self.inputs[i].1 else { return 0.0 };
        let on_exposure = input.meta.wcs.sky_to_pixel(self.tract.wcs().pixel_to_sky(at)).unwrap_or(PixelPoint::new(0.0, 0.0));
        let p = input.meta.bbox().nearest(on_exposure);
        input.visit.background_variance.at(p) * input.meta.photo_calib.at(p).powi(2)
    }

    /// Noise covariance of blank sky, summed over the pixels of a cell, from the exposures that are used at each.
    ///
    /// For a weighted mean it is Σ w_e² C_e(d) / (Σ w)². The median of N normal values with correlations ρ_e(d) has
    /// Σ [(1 - t) ρ_e + t arcsin ρ_e] / (Σ 1/σ_e)²: Sheppard's law of the signs for many (t = 1), a mean for one and two (t = 0), and between them such
    /// that the variance is right.
    fn cell(&self, tile: &Box2, cell: &Cell, warps: &[MatchedTile], weights: &[f64], kept: &Kept) -> CellSums {
        let part = cell.bbox.intersect(tile);
        let is_median = self.config.stack == StackMethod::Median;
        let at = PixelPoint::new(f64::from(part.x0) + f64::from(part.width) / 2.0, f64::from(part.y0) + f64::from(part.height) / 2.0);
        let variances: Vec<f64> = warps.iter().map(|w| self.pixel_variance(w.input, at)).collect();
        let lag_0 = |w: &MatchedTile| w.noise.covariance[[w.noise.covariance.nrows() / 2; 2]];
        let inverse_sigma: Vec<f64> = warps.iter().zip(&variances).map(|(w, v)| (v * lag_0(w)).sqrt().recip()).collect();
        let (mut linear, mut signs, mut n_pixels) = (vec![0.0; warps.len()], vec![0.0; warps.len()], 0);
        for y in part.y0..part.y1() {
            for x in part.x0..part.x1() {
                let p = (y - tile.y0) as usize * tile.width as usize + (x - tile.x0) as usize;
                let here = || (0..warps.len()).filter(|&e| kept.bits[e][p]);
                let n = here().count();
                if n == 0 {
                    continue;
                }
                n_pixels += 1;
                if !is_median {
                    let sum: f64 = here().map(|e| weights[e]).sum();
                    here().for_each(|e| linear[e] += (weights[e] / sum).powi(2));
                } else if n < 3 {
                    here().for_each(|e| linear[e] += (n as f64).powi(-2));
                } else {
                    let sum: f64 = here().map(|e| inverse_sigma[e]).sum();
                    let t = (median_variance(n) - 1.0) / (FRAC_PI_2 - 1.0);
                    here().for_each(|e| {
                        linear[e] += (1.0 - t) * (inverse_sigma[e] / sum).powi(2);
                        signs[e] += t * sum.powi(-2);
                    });
                }
            }
        }
        let side = 2 * self.matching.lag_half_width_px + 1;
        let mut covariance_njy2 = Array2::zeros((side, side));
        for (e, warp) in warps.iter().enumerate().filter(|&(e, _)| linear[e] + signs[e] > 0.0) {
            let (factor, scale) = (linear[e] * variances[e], lag_0(warp).recip());
            covariance_njy2.zip_mut_with(&warp.noise.covariance, |sum: &mut f64, c| {
                *sum += factor * c + if signs[e] > 0.0 { signs[e] * (scale * c).clamp(-1.0, 1.0).asin() } else { 0.0 };
            });
        }
        CellSums { cell: (cell.column, cell.row), n_pixels, covariance_njy2 }
    }

    fn checks(&self, tile: &Box2, warps: &[MatchedTile], weights: &[f64], kept: &Kept) -> Vec<PsfCheck> {
        let check = |(k, cell): (usize, &Cell)| -> Option<PsfCheck> {
            let (x, y) = middle_pixel(&cell.bbox);
            let p = (y - tile.y0) as usize * tile.width as usize + (x - tile.x0) as usize;
            let here: Vec<usize> = (0..warps.len()).filter(|&e| kept.bits[e][p]).collect();
            if here.is_empty() {
                return None;
            }
            let (mut sums, mut total, mut worst): (ShapeSums, f64, f64) = ([0.0; N_SUMS], 0.0, 0.0);
            for &e in &here {
                let weight = if self.config.stack == StackMethod::Median { 1.0 } else { weights[e] };
                total += weight;
                sums.iter_mut().zip(warps[e].shapes[k]).for_each(|(sum, s)| *sum += weight * s);
                worst = worst.max(self.matching.probe.residual(&warps[e].shapes[k]).worst());
            }
            let coadd = self.matching.probe.residual(&sums.map(|s| s / total));
            Some(PsfCheck { cell: (cell.column, cell.row), n_exposures: here.len() as u32, coadd, worst })
        };
        self.checked_cells(tile).iter().enumerate().filter_map(check).collect()
    }
}

fn slice(plane: &Array2<f32>) -> &[f32] {
    plane.as_slice().expect("standard layout")
}

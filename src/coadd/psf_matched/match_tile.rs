//! One exposure on one tile, brought to the target's PSF.

use super::band::{BandPsfMatcher, Input};
use super::place::{MatchedNoise, Place, PlaceKernel};
use super::shape::{N_SUMS, ShapeSums};
use crate::coadd::mapping::Mapping;
use crate::coadd::pair_fft::{PairFilter, PairScratch};
use crate::coadd::prepared::{BitRows, Prepared};
use crate::coadd::warp::{Outcome, WarpedRun, Warper};
use crate::geometry::{Box2, PixelPoint};
use crate::image::{Exposure, MaskPlane};
use ndarray::Array2;
use rustfft::num_complex::Complex32;

/// Bad pixels of a tile above which their share of the kernel is summed by a transform: below, one by one is quicker.
const MAX_SPARSE: usize = 3000;

/// Share of a kernel on bad pixels from which on the matched PSF is not the target's.
const INEXACT_SHARE: f32 = 1e-3;

/// One exposure on a tile, with the PSF of the target.
#[derive(Debug, Clone)]
pub struct MatchedTile {
    /// Number of the input.
    pub(super) input: usize,
    /// Flux per tract pixel \[nJy\]; NaN without data.
    pub image_njy: Array2<f32>,
    /// Its variance \[nJy²\], sources' own noise included; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// What goes into the coadd's mask.
    pub(super) mask: Array2<u32>,
    pub(super) noise: MatchedNoise,
    /// Sums of the matched PSF at the centres of the checked cells.
    pub(super) shapes: Vec<ShapeSums>,
    /// The warp before matching, on the tile grown by the kernel's half-width: [`Warped`], where it is asked for.
    pub(super) warped: Option<Warped>,
}

/// A warp on a grown tile, in units of its noise.
#[derive(Debug, Clone)]
pub(super) struct Warped {
    /// Pixels as real part, variances as imaginary part, `[y, x]`; 0 where bad.
    pub pixels: Array2<Complex32>,
    /// Bad pixels, (row, column).
    pub bad: Vec<(u32, u32)>,
    /// Mask planes that go through, on the tile.
    planes: Array2<u32>,
    /// Mask planes where the exposure does not contribute, on the tile.
    planes_without: Array2<u32>,
}

/// An exposure, or a part of it, ready to be warped onto tiles.
pub struct LoadedExposure<'a> {
    exposure: &'a Exposure,
    prepared: Prepared,
    /// First pixels of the windows of taps that hold a bad one.
    touched: BitRows,
}

/// Kernels at the places that a tile's are made of: one, or those of its corners (south-west, south-east, north-west, north-east).
pub(super) enum TileKernels<'a> {
    One(&'a PlaceKernel),
    Corners(Box<[PlaceKernel; 4]>),
}

impl TileKernels<'_> {
    fn all(&self) -> &[PlaceKernel] {
        match self {
            Self::One(kernel) => std::slice::from_ref(*kernel),
            Self::Corners(kernels) => kernels.as_slice(),
        }
    }

    /// Of the middle of the tile.
    pub fn middle(&self) -> Array2<f64> {
        let all = self.all();
        all.iter().fold(Array2::zeros(all[0].kernel.dim()), |sum, k| sum + &k.kernel) / all.len() as f64
    }

    fn noise(&self) -> MatchedNoise {
        let all = self.all();
        let mean = |of: &dyn Fn(&MatchedNoise) -> f64| all.iter().map(|k| of(&k.noise)).sum::<f64>() / all.len() as f64;
        let covariance = all.iter().fold(Array2::zeros(all[0].noise.covariance.dim()), |sum, k| sum + &k.noise.covariance);
        MatchedNoise { covariance: covariance / all.len() as f64, lost_share: mean(&|n| n.lost_share), gain: mean(&|n| n.gain) }
    }
}

/// Bilinear weights of the corners of a tile.
fn corner_weights(tile: &Box2, x: f64, y: f64) -> [f64; 4] {
    let (u, v) = ((x - f64::from(tile.x0)) / f64::from(tile.width), (y - f64::from(tile.y0)) / f64::from(tile.height));
    [(1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v]
}

impl BandPsfMatcher<'_> {
    /// Pixels of input `i`, sanitised, less its background; `None` if it is left out.
    #[must_use]
    pub fn load<'e>(&self, i: usize, exposure: &'e Exposure) -> Option<LoadedExposure<'e>> {
        let input = self.inputs[i].1.as_ref().ok()?;
        let prepared = Prepared::new(exposure, input.visit);
        let touched = prepared.bad.windows_with_any(self.lanczos.n_taps());
        Some(LoadedExposure { exposure, prepared, touched })
    }

    /// Warps input `i` (at least the pixels of [`Self::needed`]) onto a tile and matches it; `None` where nothing is left of it.
    pub fn match_tile(&self, i: usize, loaded: &LoadedExposure, tile: &Box2, scratch: &mut PairScratch) -> Option<MatchedTile> {
        let Ok(input) = &self.inputs[i].1 else { return None };
        let warped = self.warp(input, loaded, tile)?;
        let kernels = self.kernels_of(input, tile, scratch);
        let keeps_warp = self.config.method == super::MatchMethod::AlardLupton;
        let matched = self.apply(i, input, &warped, &kernels, tile, scratch)?;
        Some(MatchedTile { warped: keeps_warp.then_some(warped), ..matched })
    }

    /// The kernels of an exposure on a tile.
    pub(super) fn kernels_of<'k>(&self, input: &'k Input, tile: &Box2, scratch: &mut PairScratch) -> TileKernels<'k> {
        if let Some(kernel) = &input.kernel {
            return TileKernels::One(kernel);
        }
        // Corners are shared by the tiles around them: from one to the next the PSF has no step.
        let corner = |k: i32, scratch: &mut PairScratch| {
            let at = PixelPoint::new(f64::from(tile.x0 + k % 2 * tile.width), f64::from(tile.y0 + k / 2 * tile.height));
            let on_exposure = input.meta.wcs.sky_to_pixel(self.tract.wcs().pixel_to_sky(at)).unwrap_or(PixelPoint::new(0.0, 0.0));
            let place = Place { at: input.meta.bbox().nearest(on_exposure), spread_px: self.tiles.side_px() as f64 };
            self.matching.place_kernel(input.meta, place, &self.fft, scratch)
        };
        TileKernels::Corners(Box::new([0, 1, 2, 3].map(|k| corner(k, scratch))))
    }

    fn warp(&self, input: &Input, loaded: &LoadedExposure, tile: &Box2) -> Option<Warped> {
        let h = self.matching.half_width_px;
        let region = tile.grown(h as i32);
        let mapping = Mapping::new(self.tract.wcs(), &input.meta.wcs, region);
        let LoadedExposure { exposure, prepared, touched } = loaded;
        let (kernel, min_weight) = (&self.lanczos, self.min_lanczos_weight);
        let warper = Warper { prepared, kernel, touched, shape: exposure.meta.shape, min_weight };
        let source_mask = exposure.mask.as_slice().expect("an exposure's planes are in standard layout");
        let mut pixels = Array2::from_elem(region.shape(), Complex32::ZERO);
        let (mut planes, mut planes_without) = (Array2::zeros(tile.shape()), Array2::zeros(tile.shape()));
        let mut bad = Vec::new();
        let mut run_out = WarpedRun::new();
        for (j, mut row) in pixels.rows_mut().into_iter().enumerate() {
            for run in mapping.runs(j) {
                warper.run(run.x(), run.y(), &mut run_out);
                let scale = run.area as f32 / input.sigma_njy as f32;
                for (i, column) in run.columns.clone().enumerate() {
                    let outcome = run_out.outcome[i];
                    let has_value = matches!(outcome, Outcome::Value | Outcome::Inexact);
                    if has_value {
                        row[column] = Complex32::new(scale * run_out.flux_njy[i], scale * scale * run_out.variance_njy2[i]);
                    } else {
                        bad.push((j as u32, column as u32));
                    }
                    if let Some(at) = inside(tile, h, j, column) {
                        planes[at] = if has_value { source_mask[run_out.nearest[i]] & !MaskPlane::UNUSABLE } else { 0 };
                        planes_without[at] = match outcome {
                            Outcome::Value | Outcome::Inexact | Outcome::Masked => MaskPlane::Rejected.bit(),
                            Outcome::Edge => MaskPlane::SensorEdge.bit(),
                            Outcome::Beyond => 0,
                        };
                    }
                }
            }
        }
        (bad.len() < region.n_pixels()).then_some(Warped { pixels, bad, planes, planes_without })
    }

    /// A warp through its kernels.
    pub(super) fn apply(
        &self,
        i: usize,
        input: &Input,
        warped: &Warped,
        kernels: &TileKernels,
        tile: &Box2,
        scratch: &mut PairScratch,
    ) -> Option<MatchedTile> {
        let n = self.fft.n();
        let (height, width) = warped.pixels.dim();
        scratch.pixels.fill(Complex32::ZERO);
        for (row, to) in warped.pixels.rows().into_iter().zip(scratch.pixels.chunks_mut(n)) {
            to[..width].copy_from_slice(row.as_slice().expect("rows are contiguous"));
        }
        self.fft.forward(scratch, height);
        let convolved = self.filtered(kernels, tile, scratch);
        let lost = self.lost(warped, kernels, tile, scratch);
        let (mut image_njy, mut variance_njy2) =
            (Array2::from_elem(tile.shape(), f32::NAN), Array2::from_elem(tile.shape(), f32::INFINITY));
        let mut mask = warped.planes_without.clone();
        let (sigma, min_weight) = (input.sigma_njy as f32, self.config.min_kernel_weight as f32);
        let mut has_any = false;
        for (((at, value), image), variance) in convolved.indexed_iter().zip(&mut image_njy).zip(&mut variance_njy2) {
            let [lost, power] = lost.as_ref().map_or([0.0; 2], |lost| lost[at]);
            // Kernels have negative wings: too much weight is as wrong as too little; and where lost middle and lost wings cancel, the power tells.
            if lost.abs().max(power) > 1.0 - min_weight {
                continue;
            }
            let weight = 1.0 - lost;
            (*image, *variance) = (sigma * value.re / weight, (sigma * sigma * value.im / (weight * weight)).max(f32::MIN_POSITIVE));
            let inexact = if lost.abs() > INEXACT_SHARE { MaskPlane::InexactPsf.bit() } else { 0 };
            mask[at] = warped.planes[at] | inexact;
            has_any = true;
        }
        let shape = |at: (i32, i32)| match tile.index(at.0, at.1) {
            Some(pixel) if !image_njy[pixel].is_nan() => self.shape_at(input, kernels, tile, at),
            _ => [f64::NAN; N_SUMS],
        };
        let shapes = self.checked_cells(tile).iter().map(|cell| shape(middle_pixel(&cell.bbox))).collect();
        has_any.then(|| MatchedTile { input: i, image_njy, variance_njy2, mask, noise: kernels.noise(), shapes, warped: None })
    }

    /// What was last transformed through the kernels, on the tile.
    fn filtered(&self, kernels: &TileKernels, tile: &Box2, scratch: &mut PairScratch) -> Array2<Complex32> {
        let (n, h) = (self.fft.n(), self.matching.half_width_px);
        let (height, width) = tile.shape();
        let mut through = |filter: &PairFilter| {
            self.fft.filtered(scratch, filter, h..h + height);
            Array2::from_shape_fn((height, width), |(j, i)| scratch.pixels[(j + h) * n + i + h])
        };
        match kernels {
            TileKernels::One(kernel) => through(&kernel.filter),
            TileKernels::Corners(corners) => {
                let mut out = Array2::from_elem((height, width), Complex32::ZERO);
                for (k, corner) in corners.iter().enumerate() {
                    for (((j, i), out), value) in out.indexed_iter_mut().zip(&through(&corner.filter)) {
                        let weights = corner_weights(tile, f64::from(tile.x0) + i as f64, f64::from(tile.y0) + j as f64);
                        *out += value * weights[k] as f32;
                    }
                }
                out
            }
        }
    }

    /// Shares of the kernel and of its power that fall on bad pixels, on the tile; none where there are none. Overwrites what was last transformed.
    fn lost(&self, warped: &Warped, kernels: &TileKernels, tile: &Box2, scratch: &mut PairScratch) -> Option<Array2<[f32; 2]>> {
        if warped.bad.is_empty() {
            return None;
        }
        let (n, h) = (self.fft.n(), self.matching.half_width_px);
        let middle = kernels.middle();
        let per_power = middle.iter().map(|k| k * k).sum::<f64>().recip() as f32;
        if warped.bad.len() > MAX_SPARSE {
            scratch.pixels.fill(Complex32::ZERO);
            for &(j, i) in &warped.bad {
                scratch.pixels[j as usize * n + i as usize] = Complex32::new(1.0, 1.0);
            }
            self.fft.forward(scratch, warped.pixels.nrows());
            // The second kernel is the first one squared.
            return Some(self.filtered(kernels, tile, scratch).mapv(|c| [c.re, c.im * per_power]));
        }
        let kernel = middle.mapv(|k| [k as f32, (k * k) as f32 * per_power]);
        let (height, width) = tile.shape();
        let mut lost = Array2::<[f32; 2]>::from_elem((height, width), [0.0; 2]);
        for &(row, column) in &warped.bad {
            // The bad pixel at (row, column) of the grown tile lies at (row - h, column - h) of the tile, and reaches h further.
            let (row, column) = (row as usize, column as usize);
            let (first, last) = (column.saturating_sub(2 * h), (column + 1).min(width));
            for j in row.saturating_sub(2 * h)..(row + 1).min(height) {
                let from = &kernel.as_slice().expect("standard layout")[(j + 2 * h - row) * (2 * h + 1)..][..2 * h + 1];
                let mut to = lost.row_mut(j);
                let to = &mut to.as_slice_mut().expect("rows are contiguous")[first..last];
                to.iter_mut().zip(&from[first + 2 * h - column..]).for_each(|(lost, k)| *lost = [lost[0] + k[0], lost[1] + k[1]]);
            }
        }
        Some(lost)
    }

    /// Sums of the matched PSF for a source on a pixel; NaN where the exposure cannot be.
    fn shape_at(&self, input: &Input, kernels: &TileKernels, tile: &Box2, (x, y): (i32, i32)) -> ShapeSums {
        let Some(psf) = self.matching.psf_on_tract(input.meta, (x, y)) else { return [f64::NAN; N_SUMS] };
        match kernels {
            TileKernels::One(kernel) => kernel.sums(&psf),
            TileKernels::Corners(corners) => {
                let weights = corner_weights(tile, f64::from(x), f64::from(y));
                corners.iter().zip(weights).fold([0.0; N_SUMS], |mut sums, (corner, w)| {
                    sums.iter_mut().zip(corner.sums(&psf)).for_each(|(sum, s)| *sum += w * s);
                    sums
                })
            }
        }
    }
}

/// Place on the tile of a pixel of the tile grown by `h`.
fn inside(tile: &Box2, h: usize, row: usize, column: usize) -> Option<[usize; 2]> {
    let (height, width) = tile.shape();
    (row >= h && column >= h && row < h + height && column < h + width).then(|| [row - h, column - h])
}

/// Central pixel of a cell.
pub(super) fn middle_pixel(cell: &Box2) -> (i32, i32) {
    (cell.x0 + cell.width / 2, cell.y0 + cell.height / 2)
}

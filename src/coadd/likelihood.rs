//! Likelihood maps of one exposure at the tract's pixels: Ψ, Φ, Φ3, Ω.
//!
//! z/v is correlated with the PSF's basis on the exposure's own grid, where the noise is white, in fixed tiles of the exposure;
//! the quintic B-spline prefilter is a division in the same Fourier space. Ψ is then Σ_k c_k(x) (b_k ⋆ z/v)(x), sampled with 6 x 6
//! taps. Φ is Σφ²/v at the exact position less the sum over masked and missing pixels (Kaiser 2004; Bosch 2016, DMTN-015).

use super::fft2::{RealFft2, fast_length};
use super::prepared::Prepared;
use super::psf_sums::{MaskedSums, PsfSums};
use crate::geometry::{Box2, PixelPoint};
use crate::image::{ExposureMeta, spline};
use ndarray::{Array2, s};
use rustfft::num_complex::Complex64;

/// Side of a tile \[exposure pixel\].
const TILE_PX: i32 = 320;

/// The first tile starts this far outside the exposure, so that sources just beyond its edge need no tile of their own.
const TILE_OFFSET_PX: i32 = 32;

/// Least share of Σφ² that must fall on good pixels; below it the exposure says nothing about a source there.
const MIN_GOOD_SHARE: f64 = 0.1;

/// Pixels beyond a tile that its correlation needs: PSF, prefilter, spline taps.
pub(crate) fn halo_px(meta: &ExposureMeta) -> i32 {
    (meta.psf.radius_px() + spline::PREFILTER_MARGIN_PX + 3) as i32
}

/// The four sums at one position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LikelihoodTerms {
    pub psi: f64,
    pub phi: f64,
    pub phi3: f64,
    pub omega: f64,
}

/// One exposure's PSF ready to be correlated.
pub(crate) struct Correlator<'a> {
    meta: &'a ExposureMeta,
    fft: RealFft2,
    /// conj(b̂_k) divided by the transform of the sampled B-spline.
    filters: Vec<Array2<Complex64>>,
    sums: PsfSums,
    masked: MaskedSums,
    halo: i32,
}

/// Spline coefficients of b_k ⋆ z/v over one tile and three pixels around it.
pub(crate) struct Tile {
    /// Pixel of array index `[0, 0]`.
    origin: (i32, i32),
    coefficients: Vec<Array2<f64>>,
}

impl<'a> Correlator<'a> {
    pub fn new(meta: &'a ExposureMeta) -> Self {
        let halo = halo_px(meta);
        let n = fast_length((TILE_PX + 2 * halo) as usize);
        let fft = RealFft2::new(n);
        // β⁵ at the integers: 66, 26, 1 (over 120).
        let sampled = |k: usize| {
            let w = std::f64::consts::TAU * k as f64 / n as f64;
            (66.0 + 52.0 * w.cos() + 2.0 * (2.0 * w).cos()) / 120.0
        };
        let filters = (0..meta.psf.n_basis())
            .map(|k| {
                let mut filter = fft.of_stamp(meta.psf.basis_stamp(k, 0.0, 0.0).view());
                for ((kx, ky), v) in filter.indexed_iter_mut() {
                    *v = v.conj() / (sampled(kx) * sampled(ky));
                }
                filter
            })
            .collect();
        Self { meta, fft, filters, sums: PsfSums::new(meta), masked: MaskedSums::new(meta), halo }
    }

    /// Correlates the tile with column and row index (`i`, `j`); pixels that `prepared` lacks count as masked.
    pub fn tile(&self, prepared: &Prepared, i: i32, j: i32) -> Tile {
        let n = self.fft.n();
        let region = tile_box(i, j).grown(self.halo);
        let part = region.intersect(&prepared.bbox);
        let mut weighted = Array2::zeros((n, n));
        if !part.is_empty() {
            let from = prepared.bbox.slice_of(&part);
            let mut to = weighted.slice_mut(region.slice_of(&part));
            ndarray::Zip::from(&mut to).and(prepared.flux_njy.slice(from)).and(prepared.background_njy2().slice(from)).for_each(
                |w, &z, &v| {
                    *w = f64::from(z) / f64::from(v);
                },
            );
        }
        let spectrum = self.fft.forward(weighted);
        let first = (self.halo - 3) as usize;
        let size = TILE_PX as usize + 6;
        let coefficients = self
            .filters
            .iter()
            .map(|f| self.fft.inverse(&spectrum * f).slice(s![first..first + size, first..first + size]).to_owned())
            .collect();
        let tile = tile_box(i, j);
        Tile { origin: (tile.x0 - 3, tile.y0 - 3), coefficients }
    }

    /// The sums for a source at exposure position (`x`, `y`) in `tile`; `None` where the exposure says (nearly) nothing.
    /// `c`: scratch for the PSF's coefficients.
    pub fn at(&self, prepared: &Prepared, tile: &Tile, x: f64, y: f64, c: &mut [f64]) -> Option<LikelihoodTerms> {
        let (ix, iy) = ((x + 0.5).floor() as i64, (y + 0.5).floor() as i64);
        self.meta.psf.coefficients(PixelPoint::new(x, y), c);
        let [s1, s2, s3] = self.sums.at(x, y);
        let mut lost = [0.0; 3];
        let reach = self.masked.reach();
        let width = (2 * reach + 1) as usize;
        for b in -reach..=reach {
            let mut bits = prepared.bad.window(iy + b - i64::from(prepared.bbox.y0), ix - reach - i64::from(prepared.bbox.x0), width);
            while bits != 0 {
                let a = i64::from(bits.trailing_zeros()) - reach;
                bits &= bits - 1;
                let p = self.masked.value(c, (ix + a) as f64 - x, (iy + b) as f64 - y);
                lost[0] += p;
                lost[1] += p * p;
                lost[2] += p * p * p;
            }
        }
        if s2 - lost[1] < MIN_GOOD_SHARE * s2 {
            return None;
        }
        // The variance is smooth: at the source's pixel, or at the nearest one of the exposure.
        let clamp = |v: i64, start: i32, n: usize| (v - i64::from(start)).clamp(0, n as i64 - 1) as usize;
        let background_njy2 = prepared.background_njy2();
        let (ny, nx) = background_njy2.dim();
        let at = [clamp(iy, prepared.bbox.y0, ny), clamp(ix, prepared.bbox.x0, nx)];
        let v = f64::from(background_njy2[at]);
        let g = self.meta.gain_e_per_adu / f64::from(prepared.njy_per_adu(at));
        let (fx, fy) = (x.floor(), y.floor());
        let (wx, wy) = (spline::weights(x - fx), spline::weights(y - fy));
        let (tx, ty) = (fx as i64 - i64::from(tile.origin.0), fy as i64 - i64::from(tile.origin.1));
        let mut psi = 0.0;
        for (coefficients, &c) in tile.coefficients.iter().zip(c.iter()).filter(|(_, c)| **c != 0.0) {
            psi += c * spline::weighted(coefficients.view(), tx, ty, &wx, &wy);
        }
        Some(LikelihoodTerms { psi, phi: (s2 - lost[1]) / v, phi3: (s3 - lost[2]) / (g * v * v), omega: (s1 - lost[0]) / v })
    }
}

/// Index of the tile that holds an exposure position, (column, row).
pub(crate) fn tile_of(x: f64, y: f64) -> (i32, i32) {
    let index = |v: f64| (v.floor() as i32 + TILE_OFFSET_PX).div_euclid(TILE_PX);
    (index(x), index(y))
}

fn tile_box(i: i32, j: i32) -> Box2 {
    Box2::new(i * TILE_PX - TILE_OFFSET_PX, j * TILE_PX - TILE_OFFSET_PX, TILE_PX, TILE_PX)
}

/// Pixels of an exposure that the maps need for positions in `region` (whole tiles and their halos), not cut to the exposure.
pub(crate) fn pixels_for(region: &Box2, meta: &ExposureMeta) -> Box2 {
    let first = tile_of(f64::from(region.x0), f64::from(region.y0));
    let last = tile_of(f64::from(region.x1() - 1), f64::from(region.y1() - 1));
    tile_box(first.0, first.1).union(&tile_box(last.0, last.1)).grown(halo_px(meta))
}

/// How far beyond the exposure's edge a source may lie and still leave light on it, by [`MIN_GOOD_SHARE`] \[pixel\].
pub(crate) fn outer_reach_px(meta: &ExposureMeta) -> f64 {
    let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
    // A tenth of Σφ² lies beyond 0.4 FWHM at most, on either side of a straight edge.
    meta.psf.fwhm_px(center).ceil().min(f64::from(TILE_OFFSET_PX - 1))
}

//! Stationary noise covariance of a direct coadd, one per cell, from the kernels actually used.

use super::NoiseCovariance;
use super::kernel::{Lanczos, MAX_TAPS};
use super::mapping::{Jacobian, area_ratio, jacobian_at};
use super::prepared::Prepared;
use super::warp::floor;
use crate::geometry::{Cell, PixelPoint, Wcs};
use crate::image::Exposure;
use ndarray::{Array2, Array3};
use rayon::prelude::*;

/// Sample positions along a cell's side: their sub-pixel phases stand for those of all pixels.
const SAMPLES: usize = 6;

/// Nodes per pixel of [`Overlaps`]: bilinear interpolation between them errs by less than 6e-4.
const NODES: usize = 40;

/// Σ_n k(n - x) k(n - x - u) of a kernel, over the phase x and the shift u: looked up for every pair of pixels of every cell.
pub(super) struct Overlaps {
    /// Shifts of ± this many pixels are in the table; all others are 0.
    reach: f64,
    /// `[phase][shift]`, both ends included.
    table: Vec<f32>,
    n_shifts: usize,
}

impl Overlaps {
    pub fn new(kernel: &Lanczos) -> Self {
        let reach = kernel.n_taps();
        let n_shifts = 2 * reach * NODES + 1;
        let of_phase = |p: usize| {
            let x = p as f64 / NODES as f64;
            let weights = kernel.weights::<MAX_TAPS>(x);
            (0..n_shifts).map(move |s| kernel.overlap(&weights, x, s as f64 / NODES as f64 - reach as f64) as f32)
        };
        Self { reach: reach as f64, table: (0..=NODES).flat_map(of_phase).collect(), n_shifts }
    }

    /// At phase `x` in 0..1.
    #[inline]
    pub fn at(&self, x: f64, u: f64) -> f64 {
        if u.abs() >= self.reach {
            return 0.0;
        }
        let (p, s) = (x * NODES as f64, (u + self.reach) * NODES as f64);
        // The last node is no beginning of a square.
        let (i, j) = ((p as usize).min(NODES - 1), (s as usize).min(self.n_shifts - 2));
        let (a, b) = (p - i as f64, s - j as f64);
        let row = |i: usize| {
            let at = i * self.n_shifts + j;
            let (v, w) = (f64::from(self.table[at]), f64::from(self.table[at + 1]));
            v + b * (w - v)
        };
        let (low, high) = (row(i), row(i + 1));
        low + a * (high - low)
    }
}

/// Lags over which a kernel of `n_taps` correlates; `exposure_px_per_tract_px`: ratio of the pixels' sides: finer tract pixels correlate
/// over more lags.
pub(super) fn lag_half_width(n_taps: usize, exposure_px_per_tract_px: f64) -> usize {
    ((n_taps as f64 / exposure_px_per_tract_px.min(1.0)).ceil() as usize - 1).clamp(n_taps - 1, 32)
}

/// Σ_x Σ_n k(n - x) k(n - x - J d) over the given positions x on the exposure, for all lags d: `[dy + h, dx + h]`.
pub(super) fn lag_sums(overlaps: &Overlaps, j: &Jacobian, positions: &[(f64, f64)], half_width: usize) -> Array2<f64> {
    let h = half_width as i64;
    let phase = |v: f64| v - floor(v) as f64;
    let phases: Vec<_> = positions.iter().map(|&(x, y)| (phase(x), phase(y))).collect();
    let mut sums = Array2::zeros((2 * half_width + 1, 2 * half_width + 1));
    // C(-d) = C(d): half of the lags are enough.
    for dy in 0..=h {
        for dx in if dy == 0 { 0 } else { -h }..=h {
            let u = (j[0][0] * dx as f64 + j[0][1] * dy as f64, j[1][0] * dx as f64 + j[1][1] * dy as f64);
            let total: f64 = phases.iter().map(|&(x, y)| overlaps.at(x, u.0) * overlaps.at(y, u.1)).sum();
            sums[[(dy + h) as usize, (dx + h) as usize]] = total;
            sums[[(h - dy) as usize, (h - dx) as usize]] = total;
        }
    }
    sums
}

/// Sums over the exposures of w² C_e(d) and of the weights.
pub(crate) struct CovarianceSums {
    cells: Vec<Cell>,
    overlaps: Overlaps,
    half_width: usize,
    /// Σ w² C_e, `[dy + h, dx + h]`, one a cell.
    sums: Vec<Array2<f64>>,
    weights: Vec<f64>,
}

impl CovarianceSums {
    /// `exposure_px_per_tract_px`: the smallest ratio of the pixels' sides: finer tract pixels correlate over more lags.
    pub fn new(cells: Vec<Cell>, kernel: &Lanczos, exposure_px_per_tract_px: f64) -> Self {
        let half_width = lag_half_width(kernel.n_taps(), exposure_px_per_tract_px);
        let side = 2 * half_width + 1;
        let overlaps = Overlaps::new(kernel);
        Self { overlaps, half_width, sums: vec![Array2::zeros((side, side)); cells.len()], weights: vec![0.0; cells.len()], cells }
    }

    /// Adds one exposure where it covers a cell that `is_part` lets through: C(d) = v |J|² <Σ_n k(n - x) k(n - x - J d)>, the mean over sampled pixels x.
    pub fn add(&mut self, tract_wcs: &Wcs, exposure: &Exposure, prepared: &Prepared, weight: f64, is_part: impl Fn(&Cell) -> bool + Sync) {
        let (half_width, overlaps) = (self.half_width, &self.overlaps);
        (&self.cells, &mut self.sums, &mut self.weights).into_par_iter().for_each(|(cell, sum, weights)| {
            if !is_part(cell) {
                return;
            }
            let middle = |start: i32, n: i32| f64::from(start) + f64::from(n - 1) / 2.0;
            let at = PixelPoint::new(middle(cell.bbox.x0, cell.bbox.width), middle(cell.bbox.y0, cell.bbox.height));
            let Ok(p) = exposure.meta.wcs.sky_to_pixel(tract_wcs.pixel_to_sky(at)) else { return };
            let j = jacobian_at(tract_wcs, &exposure.meta.wcs, at);
            let positions: Vec<(f64, f64)> = (0..SAMPLES * SAMPLES)
                .map(|k| {
                    // Whole tract pixels, spread over the cell.
                    let along = |k: usize, n: i32| ((k as f64 + 0.5) / SAMPLES as f64 * f64::from(n)).floor() - f64::from(n - 1) / 2.0;
                    let (dx, dy) = (along(k % SAMPLES, cell.bbox.width), along(k / SAMPLES, cell.bbox.height));
                    (p.x + j[0][0] * dx + j[0][1] * dy, p.y + j[1][0] * dx + j[1][1] * dy)
                })
                .filter(|&(x, y)| {
                    let (ny, nx) = exposure.meta.shape;
                    x >= 2.0 && y >= 2.0 && x <= nx as f64 - 4.0 && y <= ny as f64 - 4.0
                })
                .collect();
            let Some(&(x, y)) = positions.first() else { return };
            let share = positions.len() as f64 / (SAMPLES * SAMPLES) as f64;
            let Some(nearest) = prepared.bbox.index((x + 0.5).floor() as i32, (y + 0.5).floor() as i32) else { return };
            let variance = f64::from(prepared.background_njy2_at(nearest)) * area_ratio(&j).powi(2);
            let factor = weight * weight * variance * share / positions.len() as f64;
            *sum += &(lag_sums(overlaps, &j, &positions, half_width) * factor);
            *weights += weight * share;
        });
    }

    /// Σ w² C_e / (Σ w)² of every cell; 0 without data.
    pub fn finish(self) -> NoiseCovariance {
        let side = 2 * self.half_width + 1;
        let mut covariance_njy2 = Array3::zeros((self.cells.len(), side, side));
        for ((mut out, sum), &w) in covariance_njy2.outer_iter_mut().zip(&self.sums).zip(&self.weights) {
            if w > 0.0 {
                out.assign(&sum.mapv(|v| v / (w * w)));
            }
        }
        let cells = self.cells.iter().map(|c| (c.column, c.row)).collect();
        NoiseCovariance { half_width: self.half_width, cells, covariance_njy2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_kernels_overlap() {
        for order in [3, 5] {
            let kernel = Lanczos::new(order);
            let table = Overlaps::new(&kernel);
            for k in 0..20_000 {
                let x = f64::from(k) * 0.618_034 % 1.0;
                let u = (f64::from(k) * 0.754_878 % 1.0 - 0.5) * 2.2 * kernel.n_taps() as f64;
                let expected = kernel.overlap(&kernel.weights::<MAX_TAPS>(x), x, u);
                assert!((table.at(x, u) - expected).abs() < 6e-4, "order {order}, x {x}, u {u}: {} {expected}", table.at(x, u));
            }
        }
    }
}

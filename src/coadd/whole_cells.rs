//! Cells that an exposure covers whole: where the direct coadd takes it if every cell is to have one PSF.

use super::kernel::Lanczos;
use super::warp::{Outcome, WarpedRun, floor};
use crate::geometry::{Box2, Cell, PixelPoint, Tract};
use crate::image::ExposureMeta;
use ndarray::Array2;
use std::ops::Range;

/// Which cells under a box of the tract, and around it, an exposure covers.
///
/// A cell is covered if the kernel stays on the exposure at its corners and the middles of its sides. The mapping bends by less than a
/// tenth of a pixel over a cell; a pixel that falls off the exposure for that has no data and is flagged as everywhere.
pub(super) struct WholeCells {
    /// Column and row of the first cell: the neighbour of the first one under the box.
    first: (i32, i32),
    cell_px: i32,
    /// Corner of the box.
    corner: (i32, i32),
    covered: Array2<bool>,
}

impl WholeCells {
    pub fn new(tract: &Tract, bbox: &Box2, meta: &ExposureMeta, kernel: &Lanczos) -> Self {
        let cell_px = tract.config().cell_px as i32;
        let first = (bbox.x0.div_euclid(cell_px) - 1, bbox.y0.div_euclid(cell_px) - 1);
        let last = ((bbox.x1() - 1).div_euclid(cell_px) + 1, (bbox.y1() - 1).div_euclid(cell_px) + 1);
        let reach = kernel.n_taps() as i64 / 2;
        let is_on = |v: f64, n: usize| floor(v) >= reach - 1 && floor(v) + reach < n as i64;
        let has = |x: f64, y: f64| {
            let on_exposure = meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(PixelPoint::new(x, y)));
            on_exposure.is_ok_and(|p| is_on(p.x, meta.shape.1) && is_on(p.y, meta.shape.0))
        };
        let shape = ((last.1 - first.1 + 1).max(0) as usize, (last.0 - first.0 + 1).max(0) as usize);
        let covered = Array2::from_shape_fn(shape, |(j, i)| {
            let start = |k: usize, first: i32| f64::from((first + k as i32) * cell_px);
            let (x0, y0, side) = (start(i, first.0), start(j, first.1), f64::from(cell_px - 1));
            (0..9).filter(|&k| k != 4).all(|k| has(x0 + side * f64::from(k % 3) / 2.0, y0 + side * f64::from(k / 3) / 2.0))
        });
        Self { first, cell_px, corner: (bbox.x0, bbox.y0), covered }
    }

    /// True if the exposure covers the cell, which is one of those under the box.
    pub fn has(&self, cell: &Cell) -> bool {
        self.covered[[(cell.row as i32 - self.first.1) as usize, (cell.column as i32 - self.first.0) as usize]]
    }

    /// Makes the pixels of a run in the other cells as if the exposure were not there, and marks those along the borders between the two:
    /// a source there has no one PSF. `row`, `columns`: in the box.
    pub fn leave_others(&self, row: usize, columns: &Range<usize>, warped: &mut WarpedRun) {
        let cell = |at: i32, first: i32| (at.div_euclid(self.cell_px) - first) as usize;
        let y = self.corner.1 + row as i32;
        for (i, column) in columns.clone().enumerate() {
            let x = self.corner.0 + column as i32;
            let is_covered = |x: i32, y: i32| self.covered[[cell(y, self.first.1), cell(x, self.first.0)]];
            let is_whole = is_covered(x, y);
            if !is_whole {
                (warped.flux_njy[i], warped.variance_njy2[i], warped.outcome[i]) = (0.0, 0.0, Outcome::Beyond);
            } else if warped.outcome[i] == Outcome::Value && !(-1..=1).all(|dy| (-1..=1).all(|dx| is_covered(x + dx, y + dy))) {
                warped.outcome[i] = Outcome::Inexact;
            }
        }
    }
}

//! Smooth maps of an exposure at the tract's pixels: an image correlated with filters by fixed tiles of the exposure, kept as coefficients
//! of quintic B-splines, sampled with 6 x 6 taps.

use super::fft2::fast_length;
use super::mapping::Run;
use crate::geometry::Box2;
use crate::image::spline;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::ops::Range;

/// Longest side of a transform \[pixel\]: two of them in single precision fit into the second cache of most processors.
const MAX_SIDE_PX: i32 = 512;

/// Taps beyond a position.
const TAPS_BEYOND: i32 = 3;

/// The tiles of an exposure: squares of one size that cover it and what is around it.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    shape: (usize, usize),
    /// How far outside the exposure positions may lie.
    outer_px: i32,
    halo_px: i32,
    side_px: i32,
}

impl Tiles {
    /// For positions up to `outer_px` outside an exposure of `shape` and filters that reach `reach_px`.
    pub fn new(shape: (usize, usize), outer_px: i32, reach_px: i32) -> Self {
        let halo_px = reach_px + spline::PREFILTER_MARGIN_PX as i32;
        let length = shape.0.max(shape.1) as i32 + 2 * (outer_px + TAPS_BEYOND);
        // Broad filters make longer transforms rather than tiles that are mostly halo.
        let largest = (MAX_SIDE_PX - 2 * halo_px).max(2 * halo_px);
        let n_tiles = (length + largest - 1) / largest;
        Self { shape, outer_px, halo_px, side_px: (length + n_tiles - 1) / n_tiles }
    }

    /// Side of the transforms.
    pub fn transform_px(&self) -> usize {
        fast_length((self.side_px + 2 * self.halo_px) as usize)
    }

    /// The tile and the pixels around it that it depends on.
    pub fn with_halo(&self, tile: &Box2) -> Box2 {
        tile.grown(self.halo_px)
    }

    /// The tile's own pixels of a transform of [`Self::with_halo`].
    pub fn own<'a, T>(&self, transform: &'a Array2<T>) -> ArrayView2<'a, T> {
        let own = self.halo_px as usize..(self.halo_px + self.side_px) as usize;
        transform.slice(ndarray::s![own.clone(), own])
    }

    /// True where a position is near enough to the exposure to be sampled.
    pub fn holds(&self, x: f64, y: f64) -> bool {
        let outer = f64::from(self.outer_px);
        let is_near = |v: f64, n: usize| v > -outer && v < n as f64 - 1.0 + outer;
        is_near(x, self.shape.1) && is_near(y, self.shape.0)
    }

    /// Columns and rows of the tiles under positions in `region`; empty if none is near.
    fn under(&self, region: &Box2) -> [Range<i32>; 2] {
        let margin = self.outer_px + TAPS_BEYOND;
        let range = |start: i32, end: i32, n: usize| {
            let (start, end) = ((start - TAPS_BEYOND).max(-margin), (end + TAPS_BEYOND).min(n as i32 + margin));
            let index = |v: i32| (v + margin).div_euclid(self.side_px);
            if start < end { index(start)..index(end - 1) + 1 } else { 0..0 }
        };
        [range(region.x0, region.x1(), self.shape.1), range(region.y0, region.y1(), self.shape.0)]
    }

    fn tile(&self, column: i32, row: i32) -> Box2 {
        let start = |k: i32| k * self.side_px - self.outer_px - TAPS_BEYOND;
        Box2::new(start(column), start(row), self.side_px, self.side_px)
    }

    /// Pixels that the maps need for positions in `region`, not cut to the exposure; empty if the region is not near it.
    pub fn pixels_for(&self, region: &Box2) -> Box2 {
        let [columns, rows] = self.under(region);
        if columns.is_empty() || rows.is_empty() {
            return Box2::new(0, 0, 0, 0);
        }
        self.with_halo(&self.tile(columns.start, rows.start).union(&self.tile(columns.end - 1, rows.end - 1)))
    }
}

/// Spline coefficients over whole tiles.
pub(super) struct SplineMap {
    bbox: Box2,
    /// Row by row, and some zeros behind the last: a row of taps is read as a whole register.
    coefficients: Vec<f32>,
}

/// Taps of a row, padded with zeros to a whole register.
const LANES: usize = 8;

impl SplineMap {
    /// `n` maps over the tiles under positions in `region`; `make` gives the coefficients of all of them on one tile. None if no tile is
    /// under the region.
    pub fn fill(tiles: &Tiles, region: &Box2, n: usize, make: impl Fn(&Box2) -> Vec<Array2<f32>> + Sync) -> Option<Vec<Self>> {
        let [columns, rows] = tiles.under(region);
        if columns.is_empty() || rows.is_empty() {
            return None;
        }
        let all: Vec<Box2> =
            rows.clone().flat_map(|row| columns.clone().map(move |column| (column, row))).map(|(c, r)| tiles.tile(c, r)).collect();
        let bbox = all[0].union(&all[all.len() - 1]);
        let width = bbox.width as usize;
        let mut maps: Vec<_> = (0..n).map(|_| Self { bbox, coefficients: vec![0.0; bbox.n_pixels() + LANES] }).collect();
        // As many tiles at a time as there are threads.
        for some in all.chunks(rayon::current_num_threads()) {
            let made: Vec<Vec<Array2<f32>>> = some.par_iter().map(&make).collect();
            for (tile, of_tile) in some.iter().zip(made) {
                let first = (tile.y0 - bbox.y0) as usize * width + (tile.x0 - bbox.x0) as usize;
                for (map, plane) in maps.iter_mut().zip(of_tile) {
                    for (y, row) in plane.rows().into_iter().enumerate() {
                        let to = &mut map.coefficients[first + y * width..][..row.len()];
                        to.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
        Some(maps)
    }

    /// The map at an exposure position that its tiles hold.
    #[inline(always)]
    pub fn at(&self, x: f64, y: f64) -> f32 {
        let (fx, fy) = (x.floor(), y.floor());
        let (wx, wy) = (spline::weights(x - fx), spline::weights(y - fy));
        let width = self.bbox.width as usize;
        let first = (fy as i32 - 2 - self.bbox.y0) as usize * width + (fx as i32 - 2 - self.bbox.x0) as usize;
        let mut columns = [0.0f32; LANES];
        for (j, wy) in wy.iter().enumerate() {
            let row: &[f32; LANES] = self.coefficients[first + j * width..][..LANES].try_into().expect("as many as lanes");
            let wy = *wy as f32;
            columns.iter_mut().zip(row).for_each(|(sum, c)| *sum += wy * c);
        }
        wx.iter().zip(&columns).map(|(w, c)| *w as f32 * c).sum()
    }
}

/// True where a pixel of a run is to be sampled: where `tiles` hold its position.
pub(super) fn near<'a>(tiles: &'a Tiles, run: &'a Run) -> impl Iterator<Item = (usize, f64, f64)> + 'a {
    run.x().iter().zip(run.y()).enumerate().map(|(i, (&x, &y))| (i, x, y)).filter(|&(_, x, y)| tiles.holds(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tiles of any exposure cover every tap of every position that they hold, once, and do not depend on the region.
    #[test]
    fn tiles_cover_what_they_hold() {
        for (shape, outer, reach) in [((190, 190), 5, 27), ((2048, 4096), 6, 30), ((700, 64), 31, 40), ((30, 30), 12, 200)] {
            let tiles = Tiles::new(shape, outer, reach);
            let whole = Box2::new(-100, -100, shape.1 as i32 + 200, shape.0 as i32 + 200);
            let covered = tiles.pixels_for(&whole).grown(-tiles.halo_px);
            let needed = Box2::of_shape(shape).grown(outer + TAPS_BEYOND);
            assert_eq!(covered.intersect(&needed), needed, "{shape:?}");
            assert!(tiles.transform_px() <= 512 || reach > 100);
            assert!(tiles.pixels_for(&Box2::new(-500, 0, 100, 100)).is_empty());
            let part = Box2::new(10, 12, 15, 9);
            let [columns, rows] = tiles.under(&part);
            let union = tiles.tile(columns.start, rows.start).union(&tiles.tile(columns.end - 1, rows.end - 1));
            assert_eq!(union.intersect(&part.grown(3)), part.grown(3).intersect(&needed));
        }
    }

    /// A polynomial of third order is its own spline: coefficients of a quintic B-spline that is sampled exactly.
    #[test]
    fn samples_are_the_splines() {
        let tiles = Tiles::new((40, 50), 4, 3);
        let region = Box2::new(-4, -4, 58, 48);
        // x has the coefficients x: B-splines reproduce lines.
        let make =
            |tile: &Box2| vec![Array2::from_shape_fn(tile.shape(), |(j, i)| (2 * (tile.x0 + i as i32) - 3 * (tile.y0 + j as i32)) as f32)];
        let map = SplineMap::fill(&tiles, &region, 1, make).unwrap().remove(0);
        for (x, y) in [(0.0, 0.0), (-3.99, -3.7), (52.9, 42.9), (17.3, 28.8)] {
            assert!(tiles.holds(x, y));
            assert!((f64::from(map.at(x, y)) - (2.0 * x - 3.0 * y)).abs() < 2e-5, "({x}, {y})");
        }
    }
}

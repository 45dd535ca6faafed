//! The tiles that layers are made on: fixed to the tract's cells, so that no result depends on the patches.

use crate::geometry::Box2;

/// How far beyond a tile saddles are looked for \[pixel\].
pub const SADDLE_REACH_PX: i32 = 32;

/// One tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Pixels whose peaks and spans it gives.
    pub core: Box2,
    /// Pixels on which layers are made: the core, [`SADDLE_REACH_PX`] around it inside the tract, and one pixel more.
    pub bbox: Box2,
}

/// Squares of whole cells.
#[derive(Debug, Clone, Copy)]
pub struct TileGrid {
    tract: Box2,
    side: i32,
}

impl TileGrid {
    /// `wanted_px`: side of a tile, rounded to whole cells.
    #[must_use]
    pub fn new(tract: Box2, cell_px: i32, wanted_px: i32) -> Self {
        let cells = f64::from(wanted_px) / f64::from(cell_px);
        Self { tract, side: cell_px * (cells.round() as i32).max(1) }
    }

    /// Tiles that hold pixels of `inner`, row by row.
    #[must_use]
    pub fn tiles(&self, inner: &Box2) -> Vec<Tile> {
        let part = inner.intersect(&self.tract);
        if part.is_empty() {
            return Vec::new();
        }
        let (x0, y0, side) = (self.tract.x0, self.tract.y0, self.side);
        let (columns, rows) = ((part.x0 - x0) / side..=(part.x1() - 1 - x0) / side, (part.y0 - y0) / side..=(part.y1() - 1 - y0) / side);
        let tile = |column: i32, row: i32| {
            let core = Box2::new(x0 + column * side, y0 + row * side, side, side).intersect(&self.tract);
            Tile { core, bbox: core.grown(SADDLE_REACH_PX).intersect(&self.tract).grown(1) }
        };
        rows.flat_map(|row| columns.clone().map(move |column| tile(column, row))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the patch: the same tiles, which cover it once.
    #[test]
    fn tiles_are_those_of_the_tract() {
        let tract = Box2::new(0, 0, 640, 320);
        let grid = TileGrid::new(tract, 64, 256);
        let all = grid.tiles(&tract);
        assert_eq!(all.iter().map(|t| t.core.n_pixels()).sum::<usize>(), tract.n_pixels());
        assert_eq!((all.len(), all[0].core.width, all[2].core.width), (6, 256, 128));
        assert_eq!(all[0].bbox, Box2::new(-1, -1, 290, 290));
        let of_patch = grid.tiles(&Box2::new(192, 0, 128, 64));
        assert_eq!(of_patch, [all[0], all[1]]);
        assert!(grid.tiles(&Box2::new(700, 0, 10, 10)).is_empty());
    }
}

//! Tiles of the tract, on which exposures are matched: whole cells, or equal parts of one.

use crate::geometry::{Box2, Tract};

/// Longest side of a tile \[tract pixel\]: a kernel is that of its tile.
const MAX_PX: i32 = 256;

/// Pixels along one axis: from, to.
type Ranges = Vec<(i32, i32)>;

/// The tiles of a tract; patches are unions of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    tract: Box2,
    /// Whole cells that make a tile, or the one cell that is divided.
    block_px: i32,
    /// Longest side of a tile.
    tile_px: i32,
}

impl Tiles {
    pub fn new(tract: &Tract) -> Self {
        let cell_px = tract.config().cell_px as i32;
        if cell_px > MAX_PX {
            let n = (cell_px + MAX_PX - 1) / MAX_PX;
            return Self { tract: tract.bbox(), block_px: cell_px, tile_px: (cell_px + n - 1) / n };
        }
        let side = MAX_PX / cell_px * cell_px;
        Self { tract: tract.bbox(), block_px: side, tile_px: side }
    }

    /// Longest side \[pixel\].
    pub fn side_px(&self) -> usize {
        self.tile_px as usize
    }

    /// Tiles that share pixels with a box, row by row.
    pub fn in_box(&self, bbox: &Box2) -> Vec<Box2> {
        let (columns, rows) = self.ranges(bbox);
        self.of_ranges(&columns, &rows, bbox)
    }

    /// The same by groups of 2 x 2 or less, for which exposures are read together.
    pub fn blocks_in(&self, bbox: &Box2) -> Vec<Vec<Box2>> {
        let (columns, rows) = self.ranges(bbox);
        let blocks = rows.chunks(2).flat_map(|rows| columns.chunks(2).map(move |columns| self.of_ranges(columns, rows, bbox)));
        blocks.filter(|tiles| !tiles.is_empty()).collect()
    }

    /// Columns and rows of the tiles of a box.
    fn ranges(&self, bbox: &Box2) -> (Ranges, Ranges) {
        let starts = |first: i32, end: i32| -> Ranges {
            let blocks = first.div_euclid(self.block_px)..(end - 1).div_euclid(self.block_px) + 1;
            let tiles = blocks.flat_map(|b| {
                let (start, stop) = (b * self.block_px, (b + 1) * self.block_px);
                (start..stop).step_by(self.tile_px as usize).map(move |s| (s, stop))
            });
            tiles.map(|(s, stop)| (s, stop.min(s + self.tile_px))).filter(|&(s, stop)| s < end && stop > first).collect()
        };
        (starts(bbox.x0, bbox.x1()), starts(bbox.y0, bbox.y1()))
    }

    fn of_ranges(&self, columns: &[(i32, i32)], rows: &[(i32, i32)], bbox: &Box2) -> Vec<Box2> {
        let boxes = rows.iter().flat_map(|&(y0, y1)| columns.iter().map(move |&(x0, x1)| Box2::from_ranges(x0..x1, y0..y1)));
        boxes.map(|tile| tile.intersect(&self.tract)).filter(|tile| !tile.intersect(bbox).is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SkyMapConfig;

    /// Every pixel lies in one tile, of at most 256 px, and no tile is cut by a cell or cuts one unless it is a part of it.
    #[test]
    fn tiles_hold_every_pixel_once() {
        for (cell_px, n) in [(24, 14), (64, 9), (150, 3), (300, 2), (513, 2), (1024, 1)] {
            let config = SkyMapConfig { cell_px, tract_cells: [n, n], patches: [1, 1], ..SkyMapConfig::default() };
            let tract = Tract::new(&config).unwrap();
            let tiles = Tiles::new(&tract);
            let found = tiles.in_box(&tract.bbox());
            assert_eq!(found.iter().map(Box2::n_pixels).sum::<usize>(), tract.bbox().n_pixels(), "cells of {cell_px}");
            for tile in &found {
                assert!(tile.width <= MAX_PX && tile.height <= MAX_PX && tile.width as usize <= tiles.side_px());
                let cells = tract.cells_in(tile);
                let is_whole = cells.iter().all(|c| c.bbox.intersect(tile) == c.bbox);
                assert!(is_whole || cells.len() == 1, "cells of {cell_px}: {tile:?}");
            }
            let mut of_blocks = tiles.blocks_in(&tract.bbox()).concat();
            of_blocks.sort_by_key(|t| (t.y0, t.x0));
            assert_eq!(of_blocks, found);
            // A part of the tract has the tiles that touch it.
            let part = Box2::new(cell_px as i32, 0, 10, 10);
            assert!(tiles.in_box(&part).iter().all(|t| found.contains(t)));
        }
    }
}

//! Superpixels: squares of tract pixels, anchored to the tract, on which backgrounds are compared.
//!
//! They are worked on in tiles, which are anchored to the tract too. A superpixel belongs to the patch that holds its first pixel and is
//! measured whole, from pixels beyond the patch where it overhangs: no result depends on the patches.

use crate::geometry::Box2;

/// Superpixels along a side of a tile.
const TILE: i32 = 4;

/// The superpixels of a tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superpixels {
    /// Pixels of the tract.
    pub tract: Box2,
    /// Side \[tract pixel\].
    pub side_px: i32,
}

/// One superpixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superpixel {
    /// Row in the tract.
    pub row: i32,
    /// Column in the tract.
    pub column: i32,
    /// Pixels; fewer at the tract's last row and column.
    pub bbox: Box2,
}

impl Superpixels {
    /// Side of a tile \[tract pixel\].
    #[must_use]
    pub fn tile_px(&self) -> i32 {
        TILE * self.side_px
    }

    /// Tiles (cut to the tract) that hold a superpixel of the patch with these pixels, row by row.
    #[must_use]
    pub fn tiles(&self, patch: &Box2) -> Vec<Box2> {
        let boxes = squares(self.tile_px(), patch).map(|(_, _, b)| b.intersect(&self.tract));
        boxes.filter(|tile| !self.in_tile(tile, patch).is_empty()).collect()
    }

    /// Pixels of the superpixels, whole or in part, that a box holds, row by row; beyond the tract, too.
    pub(super) fn squares_in(&self, bbox: &Box2) -> Vec<Box2> {
        squares(self.side_px, bbox).map(|(_, _, b)| b.intersect(bbox)).collect()
    }

    /// Superpixels of a tile that belong to the patch, row by row.
    #[must_use]
    pub fn in_tile(&self, tile: &Box2, patch: &Box2) -> Vec<Superpixel> {
        squares(self.side_px, tile)
            .filter(|(_, _, b)| patch.contains(b.x0, b.y0))
            .map(|(row, column, b)| Superpixel { row, column, bbox: b.intersect(&self.tract) })
            .collect()
    }
}

/// Squares of the grid of this side that touch the box: (row, column, pixels).
fn squares(side: i32, bbox: &Box2) -> impl Iterator<Item = (i32, i32, Box2)> + use<> {
    let rows = bbox.y0.div_euclid(side)..(bbox.y1() - 1).div_euclid(side) + 1;
    let columns = bbox.x0.div_euclid(side)..(bbox.x1() - 1).div_euclid(side) + 1;
    rows.flat_map(move |r| columns.clone().map(move |c| (r, c, Box2::new(c * side, r * side, side, side))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the patches, every superpixel of the tract belongs to one of them, in one tile.
    #[test]
    fn every_superpixel_belongs_to_one_patch() {
        let tract = Box2::new(0, 0, 330, 200);
        for side_px in [16, 24, 64] {
            let grid = Superpixels { tract, side_px };
            for cuts in [vec![0, 330], vec![0, 50, 170, 330]] {
                let mut found = Vec::new();
                for x in cuts.windows(2) {
                    for y in [0..90, 90..200] {
                        let patch = Box2::from_ranges(x[0]..x[1], y);
                        found.extend(grid.tiles(&patch).iter().flat_map(|t| grid.in_tile(t, &patch)).map(|s| (s.row, s.column)));
                    }
                }
                found.sort_unstable();
                let expected: Vec<_> = (0..=199 / side_px).flat_map(|r| (0..=329 / side_px).map(move |c| (r, c))).collect();
                assert_eq!(found, expected, "side {side_px}, cuts {cuts:?}");
            }
        }
    }
}

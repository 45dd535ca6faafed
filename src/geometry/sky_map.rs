//! The sky map: one tract, cut into cells; patches are unions of whole cells.
//!
//! Cells carry physics (PSF, covariance, control nodes are anchored to them); patches are only
//! bookkeeping: which file and which task holds a cell.

use crate::geometry::{Box2, PixelPoint, SkyPoint, Wcs};
use serde::{Deserialize, Serialize};

/// Settings of the sky map: section `[sky_map]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkyMapConfig {
    /// Centre of the tract: right ascension \[deg\].
    pub ra_deg: f64,
    /// Centre of the tract: declination \[deg\].
    pub dec_deg: f64,
    /// Pixel scale \[arcsec\].
    pub pixel_scale_arcsec: f64,
    /// Side of a cell \[pixel\].
    pub cell_px: u32,
    /// Cells of the tract, [columns, rows].
    pub tract_cells: [u32; 2],
    /// Patches of the tract, [columns, rows]; cells are shared out as evenly as whole cells allow.
    pub patches: [u32; 2],
}

impl Default for SkyMapConfig {
    fn default() -> Self {
        Self { ra_deg: 150.1, dec_deg: 2.2, pixel_scale_arcsec: 0.2, cell_px: 64, tract_cells: [16, 16], patches: [2, 2] }
    }
}

/// Why a sky map could not be made.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum SkyMapError {
    /// A setting is outside its range.
    #[error("sky_map.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
}

/// Column and row of a patch in its tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PatchId {
    /// Row of patches, from 0.
    pub row: u32,
    /// Column of patches, from 0.
    pub column: u32,
}

impl std::fmt::Display for PatchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03}_{:03}", self.column, self.row)
    }
}

/// One cell: the PSF-constant sub-tile that physics is anchored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Column in the tract's cell grid.
    pub column: u32,
    /// Row in the tract's cell grid.
    pub row: u32,
    /// Pixels, in tract coordinates.
    pub bbox: Box2,
}

/// One patch: a union of whole cells, the unit of files and tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Place in the tract.
    pub id: PatchId,
    /// Inner pixels, in tract coordinates.
    pub bbox: Box2,
}

/// One projection of the sky with its pixel grid; pixel (0, 0) is the first of cell (0, 0).
#[derive(Debug, Clone, PartialEq)]
pub struct Tract {
    config: SkyMapConfig,
    wcs: Wcs,
}

impl Tract {
    /// A TAN tract, north up and east left, its centre in the middle of the pixel grid.
    ///
    /// # Errors
    /// [`SkyMapError::Config`] if a setting is outside its range.
    pub fn new(config: &SkyMapConfig) -> Result<Self, SkyMapError> {
        let check =
            |is_good: bool, key, found: String, expected| if is_good { Ok(()) } else { Err(SkyMapError::Config { key, found, expected }) };
        let c = config;
        check((0.0..360.0).contains(&c.ra_deg), "ra_deg", c.ra_deg.to_string(), "degrees in 0..360")?;
        check((-90.0..=90.0).contains(&c.dec_deg), "dec_deg", c.dec_deg.to_string(), "degrees in -90..=90")?;
        check(
            c.pixel_scale_arcsec > 0.0 && c.pixel_scale_arcsec <= 60.0,
            "pixel_scale_arcsec",
            c.pixel_scale_arcsec.to_string(),
            "arcsec in (0, 60]",
        )?;
        check((16..=1024).contains(&c.cell_px), "cell_px", c.cell_px.to_string(), "16..=1024 pixels")?;
        let n_px = |i: usize| u64::from(c.tract_cells[i]) * u64::from(c.cell_px);
        // Ids hold 20 bits a coordinate.
        let fits = |i: usize| c.tract_cells[i] > 0 && n_px(i) <= 1 << 20;
        check(fits(0) && fits(1), "tract_cells", format!("{:?}", c.tract_cells), "at least 1 cell and at most 2^20 pixels a side")?;
        let patches_fit = (0..2).all(|i| c.patches[i] >= 1 && c.patches[i] <= c.tract_cells[i]);
        check(patches_fit, "patches", format!("{:?}", c.patches), "at least 1 and at most tract_cells a side")?;
        let scale_deg = c.pixel_scale_arcsec / 3600.0;
        let middle = |i: usize| (n_px(i) as f64 - 1.0) / 2.0;
        let wcs = Wcs::tan(
            SkyPoint::from_degrees(c.ra_deg, c.dec_deg),
            PixelPoint::new(middle(0), middle(1)),
            [[-scale_deg, 0.0], [0.0, scale_deg]],
        )
        .expect("a positive pixel scale makes an invertible matrix");
        Ok(Self { config: config.clone(), wcs })
    }

    /// Pixel <-> sky of the tract's grid.
    #[must_use]
    pub fn wcs(&self) -> &Wcs {
        &self.wcs
    }

    /// The settings it was made from.
    #[must_use]
    pub fn config(&self) -> &SkyMapConfig {
        &self.config
    }

    /// All pixels.
    #[must_use]
    pub fn bbox(&self) -> Box2 {
        let [nx, ny] = self.config.tract_cells;
        self.cells_bbox(0..nx, 0..ny)
    }

    /// All patches, row by row.
    #[must_use]
    pub fn patches(&self) -> Vec<Patch> {
        let [nx, ny] = self.config.patches;
        (0..ny).flat_map(|row| (0..nx).map(move |column| PatchId { row, column })).map(|id| self.patch(id)).collect()
    }

    /// The patch that holds pixel (`x`, `y`), if the tract does.
    #[must_use]
    pub fn patch_of(&self, x: i32, y: i32) -> Option<Patch> {
        if !self.bbox().contains(x, y) {
            return None;
        }
        let [nx, ny] = self.config.patches;
        let (cx, cy) = (x as u32 / self.config.cell_px, y as u32 / self.config.cell_px);
        let holding = |cell: u32, i: usize, n: u32| (0..n).rfind(|&k| self.first_cell(k, i) <= cell).expect("patch 0 starts at cell 0");
        Some(self.patch(PatchId { row: holding(cy, 1, ny), column: holding(cx, 0, nx) }))
    }

    /// All cells that share a pixel with `bbox`, row by row.
    #[must_use]
    pub fn cells_in(&self, bbox: &Box2) -> Vec<Cell> {
        let part = self.bbox().intersect(bbox);
        if part.is_empty() {
            return Vec::new();
        }
        let side = self.config.cell_px as i32;
        let (columns, rows) = (part.x0 / side..=(part.x1() - 1) / side, part.y0 / side..=(part.y1() - 1) / side);
        rows.flat_map(|row| columns.clone().map(move |column| (column as u32, row as u32))).map(|(c, r)| self.cell(c, r)).collect()
    }

    /// The cell that holds the position, if the tract does.
    #[must_use]
    pub fn cell_of(&self, at: PixelPoint) -> Option<Cell> {
        let (x, y) = at.pixel();
        let side = self.config.cell_px as i32;
        self.bbox().contains(x, y).then(|| self.cell((x / side) as u32, (y / side) as u32))
    }

    /// Centre of the tract.
    #[must_use]
    pub fn center(&self) -> SkyPoint {
        SkyPoint::from_degrees(self.config.ra_deg, self.config.dec_deg)
    }

    fn first_cell(&self, patch: u32, axis: usize) -> u32 {
        (u64::from(patch) * u64::from(self.config.tract_cells[axis]) / u64::from(self.config.patches[axis])) as u32
    }

    fn patch(&self, id: PatchId) -> Patch {
        let range = |k: u32, axis: usize| self.first_cell(k, axis)..self.first_cell(k + 1, axis);
        Patch { id, bbox: self.cells_bbox(range(id.column, 0), range(id.row, 1)) }
    }

    fn cell(&self, column: u32, row: u32) -> Cell {
        Cell { column, row, bbox: self.cells_bbox(column..column + 1, row..row + 1) }
    }

    fn cells_bbox(&self, columns: std::ops::Range<u32>, rows: std::ops::Range<u32>) -> Box2 {
        let px = |cell: u32| (cell * self.config.cell_px) as i32;
        Box2::from_ranges(px(columns.start)..px(columns.end), px(rows.start)..px(rows.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pixel_lies_in_one_patch_and_one_cell(nx in 1u32..9, ny in 1u32..9, px in 1u32..9, py in 1u32..9) {
            let config = SkyMapConfig { cell_px: 16, tract_cells: [nx, ny], patches: [px.min(nx), py.min(ny)], ..SkyMapConfig::default() };
            let tract = Tract::new(&config).unwrap();
            let patches = tract.patches();
            let area: usize = patches.iter().map(|p| p.bbox.n_pixels()).sum();
            prop_assert_eq!(area, tract.bbox().n_pixels());
            for y in (0..tract.bbox().height).step_by(7) {
                for x in (0..tract.bbox().width).step_by(7) {
                    let holding: Vec<_> = patches.iter().filter(|p| p.bbox.contains(x, y)).copied().collect();
                    prop_assert_eq!(&holding, &vec![tract.patch_of(x, y).unwrap()]);
                    let cell = tract.cell_of(PixelPoint::new(f64::from(x), f64::from(y))).unwrap();
                    prop_assert!(cell.bbox.contains(x, y) && patches[0].bbox.width % 16 == 0);
                    prop_assert_eq!(tract.cells_in(&Box2::new(x, y, 1, 1)), vec![cell]);
                }
            }
        }
    }

    #[test]
    fn the_centre_of_the_grid_is_the_centre_on_the_sky() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let middle = tract.wcs().sky_to_pixel(tract.center()).unwrap();
        assert!((middle.x - 511.5).abs() < 1e-9 && (middle.y - 511.5).abs() < 1e-9);
        let [[e_x, _], [_, n_y]] = tract.wcs().jacobian_arcsec(middle);
        assert!((e_x + 0.2).abs() < 1e-9 && (n_y - 0.2).abs() < 1e-9);
    }

    #[test]
    fn bad_settings_are_named() {
        let bad = SkyMapConfig { patches: [99, 1], ..SkyMapConfig::default() };
        assert!(Tract::new(&bad).unwrap_err().to_string().contains("sky_map.patches is [99, 1]"));
    }
}

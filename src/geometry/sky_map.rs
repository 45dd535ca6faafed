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
    pub fn new(_config: &SkyMapConfig) -> Result<Self, SkyMapError> {
        todo!()
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
        todo!()
    }

    /// All patches, row by row.
    #[must_use]
    pub fn patches(&self) -> Vec<Patch> {
        todo!()
    }

    /// The patch that holds pixel (`x`, `y`), if the tract does.
    #[must_use]
    pub fn patch_of(&self, _x: i32, _y: i32) -> Option<Patch> {
        todo!()
    }

    /// All cells that share a pixel with `bbox`, row by row.
    #[must_use]
    pub fn cells_in(&self, _bbox: &Box2) -> Vec<Cell> {
        todo!()
    }

    /// The cell that holds the position, if the tract does.
    #[must_use]
    pub fn cell_of(&self, _at: PixelPoint) -> Option<Cell> {
        todo!()
    }

    /// Centre of the tract.
    #[must_use]
    pub fn center(&self) -> SkyPoint {
        SkyPoint::from_degrees(self.config.ra_deg, self.config.dec_deg)
    }
}

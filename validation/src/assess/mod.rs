//! What single products say beside the truth, task by task: rows that [`crate::validate`] turns into figures.
//!
//! Kernels on pixels: who holds whose light in a blend, what is left of the sky, how a coadd's depth, PSF and noise compare with
//! what its inputs promise. A task looks at one batch, one exposure or one patch; its rows are small and append in plan order.

mod background;
mod coadd;
mod confusion;

pub use background::{BackgroundResidual, SCALES_PX, background_table, residual_by_scale};
pub use coadd::{CellDepth, NoiseSums, StarResidual, StarRow, depth_table, expected_phi, noise_table, star_residual, star_table};
pub use confusion::{Confusion, ParentLight, blend_table, confusion};

use fathom::catalog::{Table, TableError};

/// The rows of all tasks, as validation takes them; a table without columns: not measured.
#[derive(Debug, Clone, Default)]
pub struct Assessed {
    /// Who holds whose light in every parent, one table an arm with truth ([`blend_table`]).
    pub blends: Vec<Table>,
    /// Distances to seams, one an arm with truth.
    pub seams: Vec<Seams>,
    /// Residual backgrounds of all exposures ([`background_table`]).
    pub backgrounds: Table,
    /// Depths of all cells ([`depth_table`]).
    pub depths: Table,
    /// Stars against the coadds' PSF ([`star_table`]).
    pub psf_stars: Table,
    /// Noise over blank sky of all cells ([`noise_table`]).
    pub noise: Table,
}

impl Assessed {
    /// Joins the rows of another run, behind `n_arms` arms of this one.
    ///
    /// # Errors
    /// [`TableError`] if the columns differ.
    pub fn append(&mut self, next: Self, n_arms: usize) -> Result<(), TableError> {
        if !next.blends.is_empty() {
            self.blends.resize(n_arms, Table::new());
            self.blends.extend(next.blends);
        }
        if !next.seams.is_empty() {
            self.seams.resize(n_arms, Seams::default());
            self.seams.extend(next.seams);
        }
        let tables = [&mut self.backgrounds, &mut self.depths, &mut self.psf_stars, &mut self.noise];
        let theirs = [next.backgrounds, next.depths, next.psf_stars, next.noise];
        // A table without columns: that run did not measure it.
        tables.into_iter().zip(theirs).filter(|(_, next)| !next.columns().is_empty()).try_for_each(|(mine, next)| mine.append(next))
    }
}

/// How far true objects and rows of the catalog are from the seams of the tract.
#[derive(Debug, Clone, Default)]
pub struct Seams {
    /// Borders of patches.
    pub patch: SeamDistances,
    /// Borders of cells.
    pub cell: SeamDistances,
}

/// Distance to the nearest seam \[arcsec\]; infinite without seams, NaN at the tract's own edge and outside.
#[derive(Debug, Clone, Default)]
pub struct SeamDistances {
    /// By row of the truth.
    pub truth_arcsec: Vec<f64>,
    /// By row of the catalog.
    pub catalog_arcsec: Vec<f64>,
}

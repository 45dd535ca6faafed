//! The PSF-matched coadd: every exposure brought to one PSF, then stacked, robustly if that is asked for.
//!
//! Tile by tile of the tract: an exposure is warped onto the tile and a margin, convolved with the kernel of that place to the target's PSF,
//! and the matched exposures of the tile are combined. The PSF is the target's wherever an exposure contributes, so that any of them may be left out of a
//! pixel without changing it: that is what a direct coadd cannot do.
//!
//! What is not stored is noise: the variance plane goes through K² and the covariance that the warp left is made good by one factor an exposure;
//! the covariance of blank sky is stationary, one a cell, over 3 FWHM of the target (beyond, 10⁻³ of it are left, which the file states).

mod alard_lupton;
mod band;
mod coadd;
mod combine;
mod config;
mod fit_tile;
mod match_tile;
mod place;
mod shape;
#[cfg(test)]
mod tests;
mod tile_coadd;
mod tiles;

pub use band::{BandPsfMatcher, LeftOut, MakePsfMatched};
pub use coadd::{PsfMatchedCoadd, PsfMatchedInput};
pub use config::{MatchMethod, PsfMatchedConfig, PsfMatchedError, StackMethod};
pub use match_tile::{LoadedExposure, MatchedTile};
pub use shape::PsfResidual;
pub use tile_coadd::{PsfCheck, TileCoadd};

//! Files: the only module that names HDF5 and FITS. One file per product; each page here is its specification.

pub mod any_table;
pub mod artifacts;
pub mod background;
pub mod blends;
mod calibration;
pub mod clip;
pub mod coadd;
pub mod combined;
mod detect_maps;
mod error;
pub mod export;
pub mod exposure;
#[cfg(feature = "fits")]
pub mod fits;
#[cfg(feature = "fits")]
pub mod fits_write;
mod flat;
pub mod galaxy_stamps;
mod hdf5_io;
pub mod import;
pub mod known;
pub mod layers;
pub mod levels;
pub mod parents;
mod patch_files;
pub mod product;
pub mod psf_matched;
pub mod run;
pub mod seams;
pub mod table;
pub mod truth;
pub mod truth_limits;
pub mod truth_pixels;
pub mod visit;

#[cfg(test)]
mod tests;

pub use error::FormatError;

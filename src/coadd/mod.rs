//! Coaddition: warp, direct stack, likelihood maps, the coadd's PSF.
//!
//! Everything is anchored to the tract's cells or to fixed tiles of an exposure, never to a patch.

mod band_coadd;
mod coadd_psf;
mod convolve;
mod covariance;
mod fft2;
mod kernel;
mod likelihood;
mod make_coadd;
mod mapping;
mod noise_statistics;
mod prepared;
mod psf_sums;
mod stack;
#[cfg(test)]
mod tests;
mod warp;

pub use band_coadd::{BandCoadd, CoaddInputRecord, NoiseCovariance};
pub use coadd_psf::{CoaddPsf, CoaddPsfInput};
pub use make_coadd::{CoaddConfig, CoaddError, CoaddSums, MakeCoadd};
pub use noise_statistics::{NoiseStatistics, noise_statistics};

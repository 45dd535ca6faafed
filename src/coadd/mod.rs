//! Coaddition: warp, direct stack, likelihood maps, the coadd's PSF; the PSF-matched stack.
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
mod matched_warp;
mod noise_statistics;
mod prepared;
mod psf_match;
mod psf_matched;
mod psf_sums;
mod stack;
#[cfg(test)]
mod tests;
mod warp;

pub use band_coadd::{BandCoadd, CoaddInputRecord, NoiseCovariance};
pub use coadd_psf::{CoaddPsf, CoaddPsfInput};
pub use make_coadd::{CoaddConfig, CoaddError, CoaddSums, MakeCoadd};
pub use matched_warp::{MatchedWarp, PsfMatcher};
pub use noise_statistics::{NoiseStatistics, noise_statistics};
pub use psf_match::{gaussian_psf, matching_kernel, target_fwhm_px};
pub use psf_matched::{
    BandPsfMatcher, LeftOut, MakePsfMatched, MatchMethod, MatchedTile, PairScratch, PsfCheck, PsfMatchedCoadd, PsfMatchedConfig,
    PsfMatchedError, PsfMatchedInput, PsfResidual, StackMethod, TileCoadd,
};

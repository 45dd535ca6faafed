//! Coaddition: warp, direct stack, likelihood maps, the coadd's PSF.
//!
//! Everything is anchored to the tract's cells or to fixed tiles of an exposure, never to a patch.

mod band_coadd;
mod coadd_psf;
mod coadd_sums;
mod convolve;
mod covariance;
mod fft2;
mod kernel;
mod likelihood;
mod make_coadd;
mod mapping;
mod matched_warp;
mod morphology;
mod noise_statistics;
#[cfg(test)]
mod odd_input_tests;
mod phi_morphology;
mod prepared;
mod properties;
mod psf_match;
mod psf_sums;
mod select;
mod spline_map;
mod stack;
#[cfg(test)]
mod tests;
mod warp;
mod whole_cells;

pub use band_coadd::{BandCoadd, CoaddInputRecord, NoiseCovariance, WindowMaps};
pub use coadd_psf::{CoaddPsf, CoaddPsfInput};
pub use coadd_sums::CoaddSums;
pub use make_coadd::{CoaddConfig, CoaddEdges, CoaddError, CoaddWeight, MakeCoadd};
pub use matched_warp::{MatchedWarp, PsfMatcher};
pub use morphology::{exponential_stamp, is_uniform, phi_of_morphology, psi_of_morphology, stamp_autocorrelation};
pub use noise_statistics::{NoiseStatistics, noise_statistics};
pub use properties::{Properties, properties};
pub use psf_match::{gaussian_psf, matching_kernel, target_fwhm_px};
pub use select::{Decision, FigureOfMerit, SelectConfig, SelectError, SelectExposures, Selection, window_step};

//! Coaddition: warp, direct stack, likelihood maps, the coadd's PSF; the PSF-matched stack; proper coadds and multi-band maps.
//!
//! Everything is anchored to the tract's cells or to fixed tiles of an exposure, never to a patch.

mod autocorrelation;
mod band_coadd;
mod coadd_psf;
mod coadd_sums;
mod combine;
mod convolve;
mod covariance;
pub(crate) mod fft2;
mod kernel;
mod likelihood;
mod make_coadd;
mod mapping;
mod matched_warp;
mod morphology;
pub mod multi_band;
mod noise_statistics;
#[cfg(test)]
mod odd_input_tests;
mod pair_fft;
mod phi_morphology;
mod prepared;
mod proper;
mod proper_coadd;
mod proper_psf;
#[cfg(test)]
mod proper_tests;
mod properties;
#[cfg(test)]
mod psf_edge_tests;
mod psf_match;
mod psf_matched;
mod psf_sums;
mod select;
#[cfg(test)]
mod signal_to_noise_tests;
mod spline_map;
mod stack;
#[cfg(test)]
mod tests;
mod warp;
mod whole_cells;

pub use autocorrelation::{CellAutocorrelation, PsfAutocorrelation, noise_curvature};
pub use band_coadd::{BandCoadd, CoaddInputRecord, NoiseCovariance, WindowMaps};
pub use coadd_psf::{CoaddPsf, CoaddPsfInput};
pub use coadd_sums::CoaddSums;
pub use combine::{Combine, CombineConfig, CombineError, MadeMap, MapConfig, MapKind, MultiBandCoadd, MultiBandMap, SedConfig};
pub use make_coadd::{CoaddConfig, CoaddEdges, CoaddError, CoaddWeight, MakeCoadd};
pub use matched_warp::{MatchedWarp, MatchingFilter, PsfMatcher};
pub use morphology::{MAX_PHI_DEVIATION, exponential_stamp, is_uniform, phi_of_morphology, psi_of_morphology, stamp_autocorrelation};
pub use noise_statistics::{NoiseStatistics, noise_statistics};
pub use pair_fft::PairScratch;
pub use proper::{ProperCell, ProperFilter};
pub use proper_coadd::{ProperCoadd, proper_coadd};
pub use proper_psf::ProperPsf;
pub use properties::{Properties, properties};
pub use psf_match::{gaussian_psf, matching_kernel, target_fwhm_px};
pub use psf_matched::{
    BandPsfMatcher, LeftOut, LoadedExposure, MakePsfMatched, MatchMethod, MatchedTile, PsfCheck, PsfMatchedCoadd, PsfMatchedConfig,
    PsfMatchedError, PsfMatchedInput, PsfResidual, StackMethod, TileCoadd,
};
pub use select::{Decision, FigureOfMerit, SelectConfig, SelectError, SelectExposures, Selection, window_step};

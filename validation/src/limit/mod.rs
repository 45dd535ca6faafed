//! Theoretical limits of the data at hand: what the best detection could find and the best estimator could know.
//!
//! | file | limit |
//! |---|---|
//! | `completeness` | share of the sources that the optimal filter finds, by true signal to noise |
//! | `false_peaks` | peaks of pure noise |
//! | `responses`, `fisher` | Cramér-Rao bounds of flux, position and shape, alone and in a blend |
//! | `recognition` | separation below which two sources are one |

mod completeness;
mod false_peaks;
mod fisher;
mod recognition;
mod responses;

pub use completeness::{CompletenessCurve, TheoryLayer, any_layer_completeness, completeness, noncentral_chi2_survival, snr50};
pub use false_peaks::{band_peak_density, free_sed_peak_density};
pub use fisher::{BlendFisher, Bounds, MAX_MEMBERS, Parameter};
pub use recognition::{Autocorrelation, RECOGNITION_THRESHOLD, recognised_fraction, recognition_delta_chi2};
pub use responses::{Block, N_RESPONSES, Responses, information};

//! Artifacts: light that is in few exposures of a place and not in the sky: cosmic rays, satellites, ghosts; and what is in the sky but not
//! always there: transients, movers, variables.
//!
//! They are found before any stack, by comparing exposures, and decided upon in two steps:
//! - [`BandArtifacts`], tile by tile of the tract: every exposure against the static sky, once with the PSF of all (differences of either
//!   sign), once with its own (sharp light, which matching would dilute). What stands out are [`Candidate`] pixels;
//! - [`decide`], on whole footprints, joined over tiles and patches: what each is, by its shape and by the number of exposures that have it,
//!   and what follows from that by the policies of [`ArtifactsConfig`].
//!
//! With one exposure of a place nothing is found there. With two, nobody can tell which of them is wrong, but by the shape of what one has
//! more: only light that is sharper than the PSF, or a streak, is cut.
//!
//! # Source
//! The comparison of matched warps with their static sky is that of LSST's `compareWarp` (drp_tasks), with its limit on the number of
//! epochs; that limit leaves out none of two and one of three.

mod candidates;
mod classify;
mod clip;
mod config;
mod decide;
mod footprint;
mod matched;
mod movers;
mod native;
mod sharpness;
mod static_sky;
#[cfg(test)]
mod tests;

pub use candidates::{BandArtifacts, Candidate, Epoch};
pub use classify::{ArtifactClass, largest_epoch_count};
pub use clip::{ExposureClips, on_exposure};
pub use config::{ArtifactsConfig, ArtifactsError, FindArtifacts, Policy};
pub use decide::{Action, ClippedFootprint, DecideInput, decide};

//! Aperture corrections: fit per exposure, propagate to coadds, apply to fluxes.

mod fit;

pub use fit::{ApCorrConfig, StarFluxes, fit_ap_corr};

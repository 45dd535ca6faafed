//! The camera: which exposures are taken, where, under which sky, with which PSF and calibration.
//!
//! ```text
//! CameraConfig ─► Visit (pointing, time, seeing, sky) ─► ExposurePlan of each detector
//!                                                          meta: what is drawn     given: what the chain is told
//! ```
//!
//! | file | what |
//! |---|---|
//! | `config` | section `[camera]` |
//! | `layout` | detectors in the focal plane, gaps |
//! | `cadence`, `pointings` | when and where visits are taken, or a table of them |
//! | `seeing` | the size of the PSF of each visit |
//! | `psf`, `psf_stamp` | how the PSF varies over the field, and the model that holds it |
//! | `sky` | level, gradient, glows, steps |
//! | `astrometry`, `photometry` | distortion, vignetting, and the errors of what the chain is told |
//! | `amplifiers` | gain and read noise |
//! | `smooth_field` | the random function behind all that varies smoothly |
//!
//! Every number has a stream of its own, keyed by seed, band, what it is, visit and detector.

mod amplifiers;
mod astrometry;
mod cadence;
mod config;
mod layout;
mod photometry;
mod plan;
mod pointings;
mod psf;
mod psf_stamp;
mod seeing;
mod sky;
mod smooth_field;
mod table_file;

pub use amplifiers::{Amplifier, Amplifiers};
pub use astrometry::AstrometryConfig;
pub use cadence::CadenceConfig;
pub use config::{CameraConfig, NoiseLaw, VariancePlane};
pub(crate) use layout::FocalPlane;
pub use layout::LayoutConfig;
pub use photometry::PhotometryConfig;
pub(crate) use plan::background_variance_njy2;
pub use plan::{ExposurePlan, Planner, plan_exposures};
pub use psf::{PsfConfig, PsfLaw};
pub use seeing::SeeingLaw;
pub use sky::SkyConfig;

use fathom::random::keyed_rng;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The streams of random numbers of one visit: (seed, band, what, visit, detector).
///
/// One stream a quantity: a setting that consumes other draws leaves the rest of the plan as it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams<'a> {
    pub(crate) seed: u64,
    pub(crate) band: &'a str,
    pub(crate) visit: usize,
}

impl Streams<'_> {
    /// What is drawn once a visit.
    pub(crate) fn stream(&self, what: &str) -> ChaCha8Rng {
        self.of_detector(what, 0)
    }

    /// What every detector draws for itself.
    pub(crate) fn of_detector(&self, what: &str, detector: usize) -> ChaCha8Rng {
        keyed_rng(self.seed, &format!("plan/{}/{what}", self.band), self.visit as u64, detector as u64)
    }

    pub(crate) fn within(&self, what: &str, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.stream(what).random::<f64>()
    }

    /// A unit normal, cut at ±3 as the ranges of the settings suppose.
    pub(crate) fn normal(&self, what: &str, detector: usize) -> f64 {
        let value: f64 = StandardNormal.sample(&mut self.of_detector(what, detector));
        value.clamp(-3.0, 3.0)
    }
}

/// A point uniform in a disc.
pub(crate) fn in_disc(rng: &mut impl Rng, radius: f64) -> (f64, f64) {
    let (r, angle) = (radius * rng.random::<f64>().sqrt(), std::f64::consts::TAU * rng.random::<f64>());
    (r * angle.cos(), r * angle.sin())
}

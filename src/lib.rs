//! fathom: the deep-processing chain, from exposures to a catalog.
//!
//! ```text
//! exposures ─► visit ─► warp, stack, correlate ─► detect ─► associate ─► deblend ─► measure ─► catalog
//!               │ (background, apcorr)  ▲ (coadd)
//!               ├─► match ─► solve ─► deep background     where backgrounds are matched
//!               └─► artifacts ─► clip                     where exposures are compared to leave out what is not the sky
//! ```
//!
//! Nouns: [`geometry`], [`image`], [`footprint`], [`catalog`]. Verbs, in the order of the data:
//! [`background`], [`apcorr`], [`artifacts`], [`coadd`], [`detect`], [`associate`], [`deblend`], [`measure`].
//! [`mod@format`] is the only module that knows files; nothing here knows ranks, plots or simulation.
//!
//! Conventions: arrays are `[y, x]`; the centre of the first pixel is (0.0, 0.0); sky in ICRS,
//! radians inside and degrees in files; flux in nJy (AB = 31.4 - 2.5 log10 f); pixels f32, sums f64.

pub mod apcorr;
pub mod artifacts;
pub mod associate;
pub mod background;
pub mod catalog;
pub mod coadd;
pub mod deblend;
pub mod detect;
pub mod footprint;
pub mod format;
pub mod geometry;
pub mod image;
pub mod measure;
pub mod random;

pub use geometry::{Box2, PixelPoint, SkyPoint, Wcs};
pub use image::{Exposure, ExposureId, MaskPlane, PhotoCalib, Psf};

//! Backgrounds: of each exposure by itself (the visit stage: mesh, smooth variance, stars, source masks), and matched across the tract.
//!
//! ```text
//! exposures ── visit ──► mesh, variance, stars
//!     └─────── matching ──► levels on superpixels ── solve ──► differences ── deep ──► improved background of every exposure
//! ```

mod basis;
mod deep;
mod difference;
mod exposure_background;
mod matching;
mod mesh;
mod solve;
mod source_mask;
mod stars;
mod superpixels;
mod system;
mod variance;
mod visit;

pub use basis::{DetectorBasis, DetectorModel};
pub use deep::{DeepBackground, DeepBackgroundConfig, DeepModel, improved_background};
pub use exposure_background::ExposureBackground;
pub use matching::{BackgroundMethod, BandMatcher, LevelSample, MatchBackground, MatchConfig, MatchError, TemplateTile, TileStack};
pub use mesh::{BackgroundMesh, BackgroundMeshConfig};
pub use solve::{BandSolution, MatchGroup, Pairs, SkySample, SolveBackground, SolveConfig, SolveExposure};
pub use superpixels::{Superpixel, Superpixels};
pub use variance::BackgroundVariance;
pub use visit::{BackgroundError, BackgroundMode, CharacterizeVisit, VisitConfig, VisitProduct};

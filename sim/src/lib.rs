//! Truth for fathom: populations, profiles, renderer, camera, injection.
//!
//! ```text
//! CameraConfig ─► plan_exposures ─► make_truth ─► simulate ─► Exposure
//!                                       └───────► inject ───► real Exposure with more objects
//! ```
//!
//! Shares the chain's nouns (geometry, image, catalog, format), never its verbs: a simulator that renders with
//! the chain's own kernels would check the chain against itself.
//!
//! Every random number is keyed by what it is for (seed, arm, exposure, row or object), never by order: neither threads
//! nor ranks nor the rest of a run change a pixel.

mod camera;
mod depth;
mod detector;
mod drawn;
mod error;
mod expose;
mod field;
mod inject;
mod noise;
mod object;
mod population;
mod profile;
mod render;

pub use camera::{
    Amplifier, Amplifiers, AstrometryConfig, CadenceConfig, CameraConfig, ExposurePlan, LayoutConfig, NoiseLaw, PhotometryConfig, Planner,
    PsfConfig, PsfLaw, SeeingLaw, SkyConfig, VariancePlane, plan_exposures,
};
pub use depth::{Depth, ExposureDepth};
pub use detector::DetectorConfig;
pub use drawn::drawn;
pub use error::SimError;
pub use expose::simulate;
pub use field::{
    CatalogConfig, ClusterConfig, CrowdedConfig, FieldConfig, FluxUnit, GridConfig, InjectedConfig, MoversConfig, Outside, PairsConfig,
    Placement, ScaledConfig, SurveyConfig, make_truth,
};
pub use inject::{InjectionConfig, inject};
pub use object::{Bulge, Morphology, TruthObject};
pub use population::{BlendFraction, blend_fraction};
pub use profile::{GaussianMixture, SERSIC_RANGE, Sersic, StampGalaxy, StampLibrary};
pub use render::{Renderer, Responses, counts_of, reach, render_object};

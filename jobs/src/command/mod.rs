//! Commands that are no phase, and the one that runs phases.

pub mod catalog;
pub mod compare;
#[cfg(feature = "fits")]
pub mod cutout;
pub mod history;
pub mod import;
mod look;
pub mod relink;
pub mod report;
pub mod run;
pub mod status;

pub use look::{look, looking};

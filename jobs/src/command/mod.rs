//! Commands that are no phase, and the one that runs phases.

pub mod import;
pub mod relink;
pub mod report;
pub mod run;
pub mod status;

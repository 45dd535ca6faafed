//! Theoretical limits of the data at hand: what the best estimator could know.

mod fisher;

pub use fisher::{FluxFisher, Light, weighted_product};

//! Regions of pixels: spans, peaks, footprints, and footprints with their own pixels.

mod disjoint_sets;
mod heavy;
mod peak;
mod span_set;

pub(crate) use disjoint_sets::DisjointSets;
pub use heavy::HeavyFootprint;
pub use peak::{Footprint, NegativePeak, Peak, PeakFate, PeakMark, Saddle};
pub use span_set::{Span, SpanSet};

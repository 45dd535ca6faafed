//! Batches of parents: cut from the ordered list by predicted cost; batching changes no result.

use fathom::associate::Parent;
use std::ops::Range;

/// Predicted cost at which a batch is closed, in pixels.
const BATCH_COST: f64 = 400_000.0;

/// Predicted cost of deblending and measuring a parent, in pixels.
pub fn cost(parent: &Parent) -> f64 {
    // 500: what a source costs however small it is (PSFs, apertures).
    (parent.footprint.spans.area() as f64 + 500.0) * (1.0 + parent.footprint.peaks.len() as f64)
}

/// Ranges of the list, in order, each of about the same cost.
pub fn batches(parents: &[Parent]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut sum) = (0, 0.0);
    for (i, parent) in parents.iter().enumerate() {
        sum += cost(parent);
        if sum >= BATCH_COST {
            out.push(start..i + 1);
            (start, sum) = (i + 1, 0.0);
        }
    }
    if start < parents.len() {
        out.push(start..parents.len());
    }
    out
}

/// Name of a batch's file.
pub fn name(index: usize) -> String {
    format!("batch_{index:05}")
}

//! A set of pixels as horizontal runs.

use crate::geometry::Box2;
use serde::{Deserialize, Serialize};

/// One run of pixels: row `y`, columns `x0..=x1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Row.
    pub y: i32,
    /// First column.
    pub x0: i32,
    /// Last column, included.
    pub x1: i32,
}

/// A set of pixels: spans sorted by (y, x0), never touching or overlapping in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpanSet {
    spans: Vec<Span>,
}

impl SpanSet {
    /// The union of any spans.
    #[must_use]
    pub fn from_spans(mut spans: Vec<Span>) -> Self {
        spans.retain(|s| s.x1 >= s.x0);
        spans.sort_unstable();
        let mut out: Vec<Span> = Vec::with_capacity(spans.len());
        for s in spans {
            match out.last_mut() {
                Some(last) if last.y == s.y && s.x0 <= last.x1 + 1 => last.x1 = last.x1.max(s.x1),
                _ => out.push(s),
            }
        }
        Self { spans: out }
    }

    /// The spans, sorted.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of pixels.
    #[must_use]
    pub fn area(&self) -> usize {
        self.spans.iter().map(|s| (s.x1 - s.x0 + 1) as usize).sum()
    }

    /// True if there is no pixel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All pixels (x, y), row by row.
    pub fn pixels(&self) -> impl Iterator<Item = (i32, i32)> + '_ {
        self.spans.iter().flat_map(|s| (s.x0..=s.x1).map(move |x| (x, s.y)))
    }

    /// True if the pixel is in the set.
    #[must_use]
    pub fn contains(&self, x: i32, y: i32) -> bool {
        let after = self.spans.partition_point(|s| (s.y, s.x0) <= (y, x));
        after > 0 && self.spans[after - 1].y == y && x <= self.spans[after - 1].x1
    }

    /// The smallest box that holds all pixels.
    #[must_use]
    pub fn bbox(&self) -> Box2 {
        self.spans.iter().fold(Box2::new(0, 0, 0, 0), |b, s| b.union(&Box2::new(s.x0, s.y, s.x1 - s.x0 + 1, 1)))
    }
}

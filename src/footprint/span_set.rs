//! A set of pixels as horizontal runs.

use super::DisjointSets;
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
        // Most are the runs of some sets, one after the other, which a stable sort merges.
        spans.sort();
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

    /// All pixels within `radius_px` of the set (a disc), inside `limits`.
    #[must_use]
    pub fn grown(&self, radius_px: i32, limits: &Box2) -> Self {
        let mut spans = Vec::with_capacity(self.spans.len() * (2 * radius_px + 1) as usize);
        for dy in -radius_px..=radius_px {
            let half = f64::from(radius_px * radius_px - dy * dy).sqrt().floor() as i32;
            spans.extend(self.spans.iter().filter(|s| s.y + dy >= limits.y0 && s.y + dy < limits.y1()).map(|s| Span {
                y: s.y + dy,
                x0: (s.x0 - half).max(limits.x0),
                x1: (s.x1 + half).min(limits.x1() - 1),
            }));
        }
        Self::from_spans(spans)
    }

    /// The parts whose pixels touch by a side or a corner, ordered by their first pixel.
    #[must_use]
    pub fn connected(&self) -> Vec<Self> {
        // The smallest index is the root: the span of the first pixel.
        let mut sets = DisjointSets::new(self.spans.len());
        // Spans are sorted, so those of the row before that may touch move along with the current one.
        let mut above = 0;
        for i in 0..self.spans.len() {
            let s = self.spans[i];
            while above < i && (self.spans[above].y < s.y - 1 || (self.spans[above].y == s.y - 1 && self.spans[above].x1 < s.x0 - 1)) {
                above += 1;
            }
            let mut k = above;
            while k < i && self.spans[k].y == s.y - 1 && self.spans[k].x0 <= s.x1 + 1 {
                sets.join(i, k);
                k += 1;
            }
        }
        let mut parts: std::collections::BTreeMap<usize, Vec<Span>> = std::collections::BTreeMap::new();
        for i in 0..self.spans.len() {
            parts.entry(sets.root(i)).or_default().push(self.spans[i]);
        }
        parts.into_values().map(|spans| Self { spans }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(pixels: &[(i32, i32)]) -> SpanSet {
        SpanSet::from_spans(pixels.iter().map(|&(x, y)| Span { y, x0: x, x1: x }).collect())
    }

    proptest! {
        /// Growth and parts against the obvious versions on all pixels.
        #[test]
        fn agrees_with_pixel_sets(pixels in prop::collection::vec((0i32..12, 0i32..12), 1..40), r in 0i32..4) {
            let limits = Box2::new(0, 0, 12, 12);
            let s = set(&pixels);
            for (x, y) in (0..12).flat_map(|y| (0..12).map(move |x| (x, y))) {
                let is_in = pixels.contains(&(x, y));
                prop_assert_eq!(s.contains(x, y), is_in);
                let is_near = pixels.iter().any(|&(a, b)| (a - x).pow(2) + (b - y).pow(2) <= r * r);
                prop_assert_eq!(s.grown(r, &limits).contains(x, y), is_near);
            }
            let parts = s.connected();
            prop_assert_eq!(parts.iter().map(SpanSet::area).sum::<usize>(), s.area());
            for (i, a) in parts.iter().enumerate() {
                // Parts are connected (a flood from the first pixel reaches all) and do not touch each other.
                let mut reached = vec![a.pixels().next().unwrap()];
                let mut k = 0;
                while k < reached.len() {
                    let (x, y) = reached[k];
                    let near = a.pixels().filter(|&(p, q)| (p - x).abs() <= 1 && (q - y).abs() <= 1 && !reached.contains(&(p, q)));
                    let more: Vec<_> = near.collect();
                    reached.extend(more);
                    k += 1;
                }
                prop_assert_eq!(reached.len(), a.area());
                for b in &parts[i + 1..] {
                    prop_assert!(a.pixels().all(|(x, y)| b.pixels().all(|(p, q)| (p - x).abs() > 1 || (q - y).abs() > 1)));
                }
            }
        }
    }
}

//! What patches tell each other of their footprints: those that may go on in another patch, and of these only the pixels near the border.

use super::ChangingLight;
use super::associate_peaks::sharpest;
use crate::detect::{Layer, is_good};
use crate::footprint::{DisjointSets, Span, SpanSet};
use std::collections::{BTreeMap, BTreeSet};

/// A connected part of a patch's grown footprints that may go on in another patch.
#[derive(Debug, Clone, PartialEq)]
pub struct SeamPart {
    /// Its first pixel (x, y), by rows: in the whole part.
    pub first: (i32, i32),
    /// Its pixels that footprints of other patches may reach or touch.
    pub spans: SpanSet,
}

/// Numbers of a patch that association needs of the whole field: sums over patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeamCounts {
    /// Pixels with data in the layer of the narrowest sources.
    pub n_pixels: u64,
    /// Its peaks,
    pub n_peaks: u64,
    /// those below twice the threshold,
    pub n_near: u64,
    /// and negative ones below that.
    pub n_negative: u64,
}

/// The seam of one patch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seam {
    /// Parts by their first pixel.
    pub parts: Vec<SeamPart>,
    /// What moves or flares near the border.
    pub changing: Vec<ChangingLight>,
    /// Its share of the field.
    pub counts: SeamCounts,
}

impl SeamCounts {
    /// Of one patch.
    pub(super) fn of(layers: &[Layer]) -> Self {
        let Some(layer) = sharpest(layers).map(|i| &layers[i]) else { return Self::default() };
        let near = |s: f64| s < 2.0 * layer.threshold;
        let good = || layer.peaks.iter().filter(|p| is_good(p));
        Self {
            n_pixels: layer.n_pixels,
            n_peaks: good().count() as u64,
            n_near: good().filter(|p| near(p.significance)).count() as u64,
            n_negative: layer.negative_peaks.iter().filter(|p| near(p.significance)).count() as u64,
        }
    }

    fn add(&mut self, other: &Self) {
        self.n_pixels += other.n_pixels;
        self.n_peaks += other.n_peaks;
        self.n_near += other.n_near;
        self.n_negative += other.n_negative;
    }
}

/// The seams of all patches, joined.
pub(super) struct Seams {
    /// First pixel (x, y) of the whole that a part of a patch belongs to, by the part's patch and first pixel.
    whole_of: BTreeMap<(usize, (i32, i32)), (i32, i32)>,
    pub counts: SeamCounts,
}

impl Seams {
    pub fn new(seams: &[Seam]) -> Self {
        let parts: Vec<(usize, &SeamPart)> =
            seams.iter().enumerate().flat_map(|(p, s)| s.parts.iter().map(move |part| (p, part))).collect();
        let touching = SpanSet::from_spans(parts.iter().flat_map(|(_, part)| part.spans.spans()).copied().collect()).connected();
        let index = PartIndex::new(&touching);
        let mut joined = DisjointSets::new(parts.len());
        let mut first_in: Vec<Option<usize>> = vec![None; touching.len()];
        for (k, (_, part)) in parts.iter().enumerate() {
            for span in part.spans.spans() {
                let at = index.find((span.x0, span.y)).expect("the union holds every part");
                joined.join(k, *first_in[at].get_or_insert(k));
            }
        }
        let mut first: Vec<(i32, i32)> = parts.iter().map(|(_, part)| (part.first.1, part.first.0)).collect();
        for k in 0..parts.len() {
            let root = joined.root(k);
            first[root] = first[root].min(first[k]);
        }
        let mut whole_of = BTreeMap::new();
        for (k, (p, part)) in parts.iter().enumerate() {
            let (y, x) = first[joined.root(k)];
            whole_of.insert((*p, part.first), (x, y));
        }
        let mut counts = SeamCounts::default();
        seams.iter().for_each(|s| counts.add(&s.counts));
        Self { whole_of, counts }
    }

    /// First pixel of the whole to which a part of a patch belongs; its own if it goes on nowhere.
    pub fn whole_of(&self, patch: usize, first: (i32, i32)) -> (i32, i32) {
        self.whole_of.get(&(patch, first)).copied().unwrap_or(first)
    }

    /// Patches with a part of a whole whose first pixel `is_own`.
    pub fn patches_with_parts_of(&self, is_own: impl Fn((i32, i32)) -> bool) -> BTreeSet<usize> {
        self.whole_of.iter().filter(|(_, whole)| is_own(**whole)).map(|((patch, _), _)| *patch).collect()
    }
}

/// The first pixel (x, y) of a part that is not empty, by rows.
pub(super) fn first_pixel(part: &SpanSet) -> (i32, i32) {
    let first = part.spans()[0];
    (first.x0, first.y)
}

/// Finds the part that holds a pixel.
pub(super) struct PartIndex {
    spans: Vec<(Span, usize)>,
}

impl PartIndex {
    pub fn new(parts: &[SpanSet]) -> Self {
        let mut spans: Vec<_> = parts.iter().enumerate().flat_map(|(i, p)| p.spans().iter().map(move |s| (*s, i))).collect();
        spans.sort_unstable();
        Self { spans }
    }

    pub fn find(&self, (x, y): (i32, i32)) -> Option<usize> {
        let after = self.spans.partition_point(|(s, _)| (s.y, s.x0) <= (y, x));
        let (span, part) = self.spans.get(after.checked_sub(1)?)?;
        (span.y == y && span.x1 >= x).then_some(*part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(spans: &[(i32, i32, i32)], first: (i32, i32)) -> SeamPart {
        SeamPart { first, spans: SpanSet::from_spans(spans.iter().map(|&(y, x0, x1)| Span { y, x0, x1 }).collect()) }
    }

    /// A chain through three patches is one whole, named by its first pixel, wherever that is; what touches nothing is its own.
    #[test]
    fn chains_are_joined() {
        let counts = SeamCounts { n_pixels: 10, n_peaks: 4, n_near: 3, n_negative: 1 };
        let seam = |parts: Vec<SeamPart>| Seam { parts, changing: vec![], counts };
        let seams = [
            seam(vec![part(&[(5, 8, 9)], (2, 5)), part(&[(9, 9, 9)], (9, 9))]),
            seam(vec![part(&[(6, 10, 11), (7, 18, 19)], (10, 6))]),
            seam(vec![part(&[(8, 20, 20)], (30, 1)), part(&[(20, 20, 20)], (20, 20))]),
        ];
        let joined = Seams::new(&seams);
        assert_eq!([(0, (2, 5)), (1, (10, 6)), (2, (30, 1))].map(|(p, first)| joined.whole_of(p, first)), [(30, 1); 3]);
        assert_eq!([(0, (9, 9)), (2, (20, 20)), (1, (77, 7))].map(|(p, first)| joined.whole_of(p, first)), [(9, 9), (20, 20), (77, 7)]);
        assert_eq!(joined.patches_with_parts_of(|first| first == (30, 1)), BTreeSet::from([0, 1, 2]));
        assert_eq!(joined.counts, SeamCounts { n_pixels: 30, n_peaks: 12, n_near: 9, n_negative: 3 });
    }
}

//! Splits a footprint with too many peaks at its lowest saddles.

use crate::footprint::{DisjointSets, Footprint, Peak, Span, SpanSet};
use rstar::RTree;
use rstar::primitives::GeomWithData;
use std::collections::BTreeMap;

/// Pieces of `spans` with at most `max_peaks` peaks each, and of every peak the piece and its place there.
///
/// Peaks are joined over their saddles, the highest first, as long as a piece does not grow too large; so the lowest saddles are cut. A pixel
/// goes to the piece of the nearest peak. Pieces are ordered by their brightest peak, peaks within as they came.
///
/// `peaks`: inside `spans`; those of one pixel stay together.
pub(super) fn split_at_saddles(spans: &SpanSet, peaks: &[Peak], max_peaks: usize) -> (Vec<Footprint>, Vec<(usize, usize)>) {
    let at_pixel: BTreeMap<((i32, i32), u16), usize> = peaks.iter().enumerate().map(|(i, p)| ((p.pixel, p.layer), i)).collect();
    let mut joins: Vec<(f32, usize, usize)> = Vec::new();
    for (i, peak) in peaks.iter().enumerate() {
        let Some(saddle) = peak.saddle else { continue };
        if let Some(&other) = at_pixel.get(&(saddle.higher, peak.layer)) {
            joins.push((saddle.height, i, other));
        }
    }
    joins.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut groups = Groups { sets: DisjointSets::new(peaks.len()), size: vec![1; peaks.len()] };
    let mut of_pixel: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    for (i, peak) in peaks.iter().enumerate() {
        let first = *of_pixel.entry(peak.pixel).or_insert(i);
        groups.join(first, i, usize::MAX);
    }
    for (_, a, b) in joins {
        groups.join(a, b, max_peaks);
    }
    let mut pieces: Vec<Footprint> = Vec::new();
    let mut piece_of_root: BTreeMap<usize, usize> = BTreeMap::new();
    let mut place = Vec::with_capacity(peaks.len());
    for (i, peak) in peaks.iter().enumerate() {
        let piece = *piece_of_root.entry(groups.sets.root(i)).or_insert(pieces.len());
        if piece == pieces.len() {
            pieces.push(Footprint::default());
        }
        place.push((piece, pieces[piece].peaks.len()));
        pieces[piece].peaks.push(peak.clone());
    }
    let tree = RTree::bulk_load(of_pixel.iter().map(|(&(x, y), &i)| GeomWithData::new([f64::from(x), f64::from(y)], place[i].0)).collect());
    let mut parts: Vec<Vec<Span>> = vec![Vec::new(); pieces.len()];
    for (x, y) in spans.pixels() {
        let at = [f64::from(x), f64::from(y)];
        // Of peaks equally near the piece of the brightest takes the pixel.
        let nearest = tree.nearest_neighbors(&at).into_iter().map(|p| p.data).min().expect("there is a peak");
        match parts[nearest].last_mut() {
            Some(span) if span.y == y && span.x1 == x - 1 => span.x1 = x,
            _ => parts[nearest].push(Span { y, x0: x, x1: x }),
        }
    }
    for (piece, part) in pieces.iter_mut().zip(parts) {
        piece.spans = SpanSet::from_spans(part);
    }
    (pieces, place)
}

struct Groups {
    sets: DisjointSets,
    size: Vec<usize>,
}

impl Groups {
    /// Joins two groups unless together they would have more than `most` members. The root is the brightest.
    fn join(&mut self, a: usize, b: usize, most: usize) {
        let (a, b) = (self.sets.root(a), self.sets.root(b));
        if a != b && self.size[a] + self.size[b] <= most {
            self.sets.join(a, b);
            self.size[a.min(b)] += self.size[a.max(b)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::Saddle;
    use crate::geometry::PixelPoint;

    /// 10⁵ peaks in one footprint of 2 x 10⁶ pixels: bounded pieces that hold every peak and every pixel once.
    #[test]
    fn a_hundred_thousand_peaks() {
        const SIDE: i32 = 320;
        let peak = |k: i32| {
            let (x, y) = (2 + 4 * (k % SIDE), 2 + 4 * (k / SIDE));
            let mut peak = Peak::bare(PixelPoint::new(f64::from(x), f64::from(y)), 1e6 - f64::from(k), 0);
            let higher = if k % SIDE > 0 { (x - 4, y) } else { (x, y - 4) };
            peak.saddle = (k > 0).then(|| Saddle { height: ((k * 7919) % 1000) as f32, significance: 3.0, at: (x, y), higher });
            peak
        };
        let peaks: Vec<Peak> = (0..SIDE * SIDE).map(peak).collect();
        let spans = SpanSet::from_spans((0..4 * SIDE).map(|y| Span { y, x0: 0, x1: 4 * SIDE - 1 }).collect());
        let (pieces, place) = split_at_saddles(&spans, &peaks, 500);
        assert!(pieces.iter().all(|p| p.peaks.len() <= 500 && !p.spans.is_empty()));
        assert_eq!(pieces.iter().map(|p| p.spans.area()).sum::<usize>(), spans.area());
        for (peak, &(piece, i)) in peaks.iter().zip(&place) {
            assert_eq!(pieces[piece].peaks[i].pixel, peak.pixel);
            assert!(pieces[piece].spans.contains(peak.pixel.0, peak.pixel.1));
        }
    }
}

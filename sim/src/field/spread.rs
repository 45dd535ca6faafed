//! Points that keep a distance from each other.

use fathom::geometry::PixelPoint;
use std::collections::BTreeMap;

/// Points that keep a distance from each other, in square buckets of that side.
pub(super) struct Spread {
    distance_px: f64,
    buckets: BTreeMap<(i64, i64), Vec<PixelPoint>>,
}

impl Spread {
    /// Without any point; 0: they may lie anywhere.
    pub fn new(distance_px: f64) -> Self {
        Self { distance_px, buckets: BTreeMap::new() }
    }

    /// Adds a point, unless one is nearer than the distance; true if it was added.
    pub fn add(&mut self, p: PixelPoint) -> bool {
        if self.distance_px <= 0.0 {
            return true;
        }
        let bucket = |v: f64| (v / self.distance_px).floor() as i64;
        let (i, j) = (bucket(p.x), bucket(p.y));
        let around = (j - 1..=j + 1).flat_map(|j| (i - 1..=i + 1).map(move |i| (i, j)));
        let mut near = around.filter_map(|key| self.buckets.get(&key)).flatten();
        if near.any(|q| (q.x - p.x).hypot(q.y - p.y) < self.distance_px) {
            return false;
        }
        self.buckets.entry((i, j)).or_default().push(p);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every point is far from all that were kept, or near one of them: by all pairs.
    #[test]
    fn kept_are_far_and_refused_are_near() {
        let mut rng = fathom::random::keyed_rng(3, "spread", 0, 0);
        let mut draw = || 40.0 * rand::RngExt::random::<f64>(&mut rng) - 20.0;
        let mut spread = Spread::new(3.0);
        let mut kept: Vec<PixelPoint> = Vec::new();
        for _ in 0..400 {
            let p = PixelPoint::new(draw(), draw());
            let is_far = kept.iter().all(|q| (q.x - p.x).hypot(q.y - p.y) >= 3.0);
            assert_eq!(spread.add(p), is_far);
            if is_far {
                kept.push(p);
            }
        }
        assert!((50..200).contains(&kept.len()), "{}", kept.len());
        let mut free = Spread::new(0.0);
        assert!((0..3).all(|_| free.add(PixelPoint::new(1.0, 1.0))));
    }
}

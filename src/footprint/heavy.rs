//! A footprint with its own pixels.

use crate::footprint::SpanSet;
use ndarray::{Array2, ArrayView2};

use crate::geometry::Box2;

/// A set of pixels with one value each per band: a child's share of its parent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeavyFootprint {
    /// Pixels, in tract coordinates.
    pub spans: SpanSet,
    /// Values `[band][i]` \[nJy\], i running over [`SpanSet::pixels`].
    pub values_njy: Vec<Vec<f32>>,
}

impl HeavyFootprint {
    /// The pixels of `image` (covering `bbox`) on `spans`, one band.
    #[must_use]
    pub fn gather(spans: &SpanSet, bbox: &Box2, image: ArrayView2<f32>) -> Vec<f32> {
        spans.pixels().map(|(x, y)| bbox.index(x, y).map_or(f32::NAN, |i| image[i])).collect()
    }

    /// Image of one band over `bbox`; pixels outside the footprint are `fill`.
    #[must_use]
    pub fn scatter(&self, band: usize, bbox: &Box2, fill: f32) -> Array2<f32> {
        let mut image = Array2::from_elem(bbox.shape(), fill);
        for ((x, y), &v) in self.spans.pixels().zip(&self.values_njy[band]) {
            if let Some(i) = bbox.index(x, y) {
                image[i] = v;
            }
        }
        image
    }
}

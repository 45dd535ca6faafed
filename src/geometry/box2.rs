//! Boxes of whole pixels.

use crate::geometry::PixelPoint;
use serde::{Deserialize, Serialize};

/// A half-open box of whole pixels: columns `x0..x1()`, rows `y0..y1()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Box2 {
    /// First column.
    pub x0: i32,
    /// First row.
    pub y0: i32,
    /// Number of columns; never negative.
    pub width: i32,
    /// Number of rows; never negative.
    pub height: i32,
}

impl Box2 {
    /// The box with first pixel (`x0`, `y0`); negative sizes become zero.
    #[must_use]
    pub fn new(x0: i32, y0: i32, width: i32, height: i32) -> Self {
        Self { x0, y0, width: width.max(0), height: height.max(0) }
    }

    /// The box of an array of shape `[ny, nx]` whose first pixel is (0, 0).
    #[must_use]
    pub fn of_shape((ny, nx): (usize, usize)) -> Self {
        Self::new(0, 0, nx as i32, ny as i32)
    }

    /// From half-open ranges of columns and rows.
    #[must_use]
    pub fn from_ranges(x: std::ops::Range<i32>, y: std::ops::Range<i32>) -> Self {
        Self::new(x.start, y.start, x.end - x.start, y.end - y.start)
    }

    /// One past the last column.
    #[must_use]
    pub fn x1(&self) -> i32 {
        self.x0 + self.width
    }

    /// One past the last row.
    #[must_use]
    pub fn y1(&self) -> i32 {
        self.y0 + self.height
    }

    /// Array shape `(ny, nx)`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.height as usize, self.width as usize)
    }

    /// Number of pixels.
    #[must_use]
    pub fn n_pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// True if the box holds no pixel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.width <= 0 || self.height <= 0
    }

    /// True if pixel (`x`, `y`) lies inside.
    #[must_use]
    pub fn contains(&self, x: i32, y: i32) -> bool {
        x >= self.x0 && x < self.x1() && y >= self.y0 && y < self.y1()
    }

    /// True if the position lies on one of the box's pixels.
    #[must_use]
    pub fn contains_point(&self, p: PixelPoint) -> bool {
        let (x, y) = p.pixel();
        self.contains(x, y)
    }

    /// The point of the box (of the centres of its pixels) nearest to `p`.
    #[must_use]
    pub fn nearest(&self, p: PixelPoint) -> PixelPoint {
        let clamp = |v: f64, first: i32, end: i32| v.clamp(f64::from(first), f64::from((end - 1).max(first)));
        PixelPoint::new(clamp(p.x, self.x0, self.x1()), clamp(p.y, self.y0, self.y1()))
    }

    /// The pixels in both; empty (zero size) if there are none.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (x0, y0) = (self.x0.max(other.x0), self.y0.max(other.y0));
        Self::new(x0, y0, self.x1().min(other.x1()) - x0, self.y1().min(other.y1()) - y0)
    }

    /// The smallest box that holds both; an empty one adds nothing.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Self::from_ranges(self.x0.min(other.x0)..self.x1().max(other.x1()), self.y0.min(other.y0)..self.y1().max(other.y1()))
    }

    /// The box with `margin` more pixels on every side (fewer, if negative).
    #[must_use]
    pub fn grown(&self, margin: i32) -> Self {
        Self::new(self.x0 - margin, self.y0 - margin, self.width + 2 * margin, self.height + 2 * margin)
    }

    /// Array index `[row, column]` of pixel (`x`, `y`) in an array that covers this box, if inside.
    #[must_use]
    pub fn index(&self, x: i32, y: i32) -> Option<[usize; 2]> {
        self.contains(x, y).then(|| [(y - self.y0) as usize, (x - self.x0) as usize])
    }

    /// Slice info of `inner` in an array that covers this box; `inner` must lie inside.
    #[must_use]
    pub fn slice_of(&self, inner: &Self) -> ndarray::SliceInfo<[ndarray::SliceInfoElem; 2], ndarray::Ix2, ndarray::Ix2> {
        debug_assert_eq!(self.intersect(inner), *inner, "{inner:?} is not inside {self:?}");
        let (x, y) = (inner.x0 - self.x0, inner.y0 - self.y0);
        ndarray::s![y..y + inner.height, x..x + inner.width]
    }
}

#[cfg(test)]
mod tests {
    use super::Box2;

    #[test]
    fn algebra() {
        let a = Box2::new(0, 0, 10, 5);
        let b = Box2::new(8, -2, 10, 4);
        assert_eq!(a.intersect(&b), Box2::new(8, 0, 2, 2));
        assert_eq!(a.union(&b), Box2::from_ranges(0..18, -2..5));
        assert!(a.intersect(&Box2::new(50, 50, 1, 1)).is_empty());
        assert_eq!(a.grown(2).grown(-2), a);
        assert_eq!(b.index(8, -2), Some([0, 0]));
        assert_eq!(b.index(7, -2), None);
    }
}

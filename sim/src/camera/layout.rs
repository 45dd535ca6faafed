//! Detectors in the focal plane.

use super::CameraConfig;
use crate::SimError;
use crate::error::check;
use fathom::geometry::PixelPoint;
use serde::{Deserialize, Serialize};

/// Which detectors a visit has: section `[camera.layout]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutConfig {
    /// Detectors, [columns, rows], each 1..=40; each has `camera.size_px` pixels.
    pub detectors: [usize; 2],
    /// Gaps between them \[pixel\], [between columns, between rows], each 0..=10000.
    pub gap_px: [usize; 2],
}

impl Default for LayoutConfig {
    fn default() -> Self {
        Self { detectors: [1, 1], gap_px: [0, 0] }
    }
}

impl LayoutConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.layout", key, is_good, found, expected);
        c("detectors", self.detectors.iter().all(|n| (1..=40).contains(n)), &self.detectors, "1..=40 columns and rows")?;
        c("gap_px", self.gap_px.iter().all(|n| *n <= 10_000), &self.gap_px, "0..=10000 pixels")
    }
}

/// The focal plane in pixels, origin at its middle, axes along the detectors' columns and rows. Detectors are numbered row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FocalPlane {
    n: [usize; 2],
    size_px: [usize; 2],
    gap_px: [usize; 2],
}

impl FocalPlane {
    pub(crate) fn new(camera: &CameraConfig) -> Self {
        Self { n: camera.layout.detectors, size_px: camera.size_px, gap_px: camera.layout.gap_px }
    }

    pub(crate) fn n_detectors(&self) -> usize {
        self.n[0] * self.n[1]
    }

    /// Pixel coordinates of the focal plane's middle on a detector: where the pointing is, mostly outside of the detector.
    pub(crate) fn middle_on(&self, detector: usize) -> PixelPoint {
        let at = [detector % self.n[0], detector / self.n[0]];
        let along = |axis: usize| {
            let pitch = (self.size_px[axis] + self.gap_px[axis]) as f64;
            (self.size_px[axis] as f64 - 1.0) / 2.0 - (at[axis] as f64 - (self.n[axis] as f64 - 1.0) / 2.0) * pitch
        };
        PixelPoint::new(along(0), along(1))
    }

    /// Half of the sides \[pixel\].
    pub(crate) fn half_px(&self) -> [f64; 2] {
        [0, 1].map(|a| 0.5 * (self.n[a] * self.size_px[a] + (self.n[a] - 1) * self.gap_px[a]) as f64)
    }

    /// Distance from the middle to a corner \[pixel\].
    pub(crate) fn half_diagonal_px(&self) -> f64 {
        let [x, y] = self.half_px();
        x.hypot(y)
    }

    /// A detector's pixel position in the field: [-1, 1] spans the focal plane.
    pub(crate) fn field(&self, detector: usize, x_px: f64, y_px: f64) -> [f64; 2] {
        let (middle, half) = (self.middle_on(detector), self.half_px());
        [(x_px - middle.x) / half[0], (y_px - middle.y) / half[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours are a side and a gap apart; the outer edges are the focal plane's.
    #[test]
    fn detectors_stand_apart_by_their_gap() {
        let layout = LayoutConfig { detectors: [3, 2], gap_px: [30, 10] };
        let plane = FocalPlane::new(&CameraConfig { size_px: [100, 80], layout, ..CameraConfig::default() });
        assert_eq!(plane.n_detectors(), 6);
        let middles: Vec<_> = (0..6).map(|d| plane.middle_on(d)).collect();
        assert!((middles[0].x - middles[1].x - 130.0).abs() < 1e-12);
        assert!((middles[0].y - middles[3].y - 90.0).abs() < 1e-12);
        assert!((middles[1].x - 49.5).abs() < 1e-12);
        let same = |found: [f64; 2], expected: [f64; 2]| (0..2).all(|a| (found[a] - expected[a]).abs() < 1e-12);
        assert!(same(plane.half_px(), [180.0, 85.0]));
        assert!(same(plane.field(0, -0.5, -0.5), [-1.0, -1.0]));
        assert!(same(plane.field(5, 99.5, 79.5), [1.0, 1.0]));
    }
}

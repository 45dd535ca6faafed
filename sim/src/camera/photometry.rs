//! Counts per light: vignetting, and the error of the calibration that the chain is told.

use super::layout::FocalPlane;
use super::{CameraConfig, Streams};
use crate::SimError;
use crate::error::check;
use fathom::geometry::{Box2, PixelPoint};
use fathom::image::{Chebyshev2, PhotoCalib, flux_njy};
use serde::{Deserialize, Serialize};

/// Vignetting and calibration errors: section `[camera.photometry]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhotometryConfig {
    /// Throughput 1 - a r² - b r⁴, r from the middle of the focal plane in units of half its diagonal: [a, b]; at least 0.1 everywhere.
    pub vignetting: [f64; 2],
    /// Error of the given zero point \[mag\], normal, drawn per exposure, in 0..=1.
    pub zero_point_error: f64,
}

impl Default for PhotometryConfig {
    fn default() -> Self {
        Self { vignetting: [0.0, 0.0], zero_point_error: 0.0 }
    }
}

impl PhotometryConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.photometry", key, is_good, found, expected);
        let is_good = (0..=100).all(|i| (0.1..=1.5).contains(&self.throughput(f64::from(i) / 100.0)));
        c("vignetting", is_good, &self.vignetting, "[a, b] with 1 - a r² - b r⁴ in 0.1..=1.5 for r in 0..=1")?;
        c("zero_point_error", (0.0..=1.0).contains(&self.zero_point_error), &self.zero_point_error, "mag in 0..=1")
    }

    fn throughput(&self, r: f64) -> f64 {
        1.0 - self.vignetting[0] * r.powi(2) - self.vignetting[1] * r.powi(4)
    }

    /// Order of the polynomial that holds 1/throughput on a detector; what it holds is what is drawn, so that the chain's calibration
    /// is exact. Against the formula: 1e-3 where a corner loses half of the light.
    const ORDER: usize = 6;

    /// nJy per count, with the vignetting of a detector as the relative map; `zero_point` is that at the middle of the focal plane.
    pub(super) fn calibration(&self, zero_point: f64, plane: &FocalPlane, detector: usize, bbox: Box2) -> PhotoCalib {
        let at_middle = flux_njy(zero_point);
        if self.vignetting.iter().all(|v| v.abs() <= 0.0) {
            return PhotoCalib::uniform(at_middle);
        }
        const N: usize = 24;
        let (middle, corner_px) = (plane.middle_on(detector), plane.half_diagonal_px());
        let inverse = |at: PixelPoint| 1.0 / self.throughput((at.x - middle.x).hypot(at.y - middle.y) / corner_px);
        let place = |k: usize, unit: &dyn Fn(usize) -> f64| {
            PixelPoint::new(f64::from(bbox.width - 1) * unit(k % N), f64::from(bbox.height - 1) * unit(k / N))
        };
        // Nodes that crowd towards the edges hold a polynomial in the corners; even ones give the mean over the pixels.
        let crowded = |i: usize| 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / (N - 1) as f64).cos();
        let even = |i: usize| (i as f64 + 0.5) / N as f64;
        let samples: Vec<_> = (0..N * N).map(|k| place(k, &crowded)).map(|at| (at, inverse(at), 1.0)).collect();
        let mean = (0..N * N).map(|k| inverse(place(k, &even))).sum::<f64>() / (N * N) as f64;
        let mut relative = Chebyshev2::fit(bbox, &samples, Self::ORDER).expect("576 nodes determine 28 terms");
        relative.coefficients_yx.mapv_inplace(|c| c / mean);
        PhotoCalib { mean_njy_per_adu: at_middle * mean, relative: Some(relative) }
    }
}

/// The calibration that the chain is told, if it differs.
pub(super) fn given(truth: &PhotoCalib, camera: &CameraConfig, streams: &Streams, detector: usize) -> Option<PhotoCalib> {
    let rms = camera.photometry.zero_point_error;
    (rms > 0.0).then(|| {
        let error_mag = rms * streams.normal("zero-point-error", detector);
        // A zero point too bright by e makes fluxes too small by 10^(-0.4 e).
        PhotoCalib { mean_njy_per_adu: truth.mean_njy_per_adu * 10f64.powf(-0.4 * error_mag), ..truth.clone() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::LayoutConfig;

    #[test]
    fn vignetting_is_the_formula_on_every_detector() {
        let layout = LayoutConfig { detectors: [3, 3], gap_px: [40, 40] };
        let camera = CameraConfig { size_px: [400, 300], layout, ..CameraConfig::default() };
        let plane = FocalPlane::new(&camera);
        let config = PhotometryConfig { vignetting: [0.1, 0.4], ..PhotometryConfig::default() };
        for detector in 0..9 {
            let bbox = Box2::new(0, 0, 400, 300);
            let calib = config.calibration(27.0, &plane, detector, bbox);
            for (x, y) in [(0.0, 0.0), (399.0, 0.0), (0.0, 299.0), (399.0, 299.0), (200.0, 150.0)] {
                let middle = plane.middle_on(detector);
                let r = (x - middle.x).hypot(y - middle.y) / plane.half_diagonal_px();
                let throughput = 1.0 - 0.1 * r.powi(2) - 0.4 * r.powi(4);
                let found = flux_njy(27.0) / calib.at(PixelPoint::new(x, y));
                assert!((found / throughput - 1.0).abs() < 1e-3, "{detector} ({x}, {y}): {found} against {throughput}");
            }
        }
    }

    /// rms of n normals scatters by 1/√2n; cut at 3 σ it falls by 0.3 %.
    #[test]
    fn zero_points_err_by_the_stated_amount() {
        let photometry = PhotometryConfig { zero_point_error: 0.02, ..PhotometryConfig::default() };
        let camera = CameraConfig { photometry, ..CameraConfig::default() };
        let (n, truth) = (2000, PhotoCalib::from_zero_point(27.0));
        let sum: f64 = (0..n)
            .map(|visit| {
                let given = given(&truth, &camera, &Streams { seed: 1, band: "r", visit }, 0).unwrap();
                (2.5 * (given.mean_njy_per_adu / truth.mean_njy_per_adu).log10()).powi(2)
            })
            .sum();
        let rms = (sum / n as f64).sqrt();
        assert!((rms / 0.02 - 1.0).abs() < 4.0 / (2.0 * n as f64).sqrt() + 3e-3, "{rms}");
    }
}

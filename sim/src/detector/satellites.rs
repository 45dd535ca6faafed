//! Satellite trails: straight lines across the whole focal plane, as wide as the PSF or wider.

use crate::camera::{FocalPlane, Streams};
use crate::{CameraConfig, ExposurePlan};
use fathom::image::MaskPlane;
use ndarray::{ArrayViewMut1, ArrayViewMut2};
use rand::RngExt;
use rand_distr::{Distribution, Poisson};

/// A trail on one detector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trail {
    /// Distance from the line: |x n_x + y n_y - offset| \[pixel\].
    normal: [f64; 2],
    offset_px: f64,
    /// Electrons per pixel on the line.
    peak_e: f64,
    /// α² of the Moffat across the line.
    alpha_sq: f64,
    /// β - 1/2: a Moffat summed along a line.
    exponent: f64,
}

/// Beyond this many α from its line a trail is not drawn: there it is below 1e-5 of its peak (β = 3.5).
const REACH_ALPHA: f64 = 8.0;

impl Trail {
    /// All trails of the exposure's visit, as they cross its detector. Keyed by the visit: detectors see the same ones.
    pub(crate) fn of(plan: &ExposurePlan, camera: &CameraConfig, seed: u64) -> Vec<Self> {
        let config = &camera.detector;
        if config.satellites <= 0.0 {
            return Vec::new();
        }
        let streams = Streams { seed, band: &plan.meta.band, visit: plan.visit };
        let mut rng = streams.stream("satellites");
        let n = Poisson::new(config.satellites).expect("a positive mean").sample(&mut rng) as usize;
        let plane = FocalPlane::new(camera);
        let (middle, half) = (plane.middle_on(plan.detector), plane.half_px());
        (0..n)
            .map(|_| {
                let mut draw = || rng.random::<f64>();
                // Through a point of the focal plane, in any direction.
                let through = [middle.x + half[0] * (2.0 * draw() - 1.0), middle.y + half[1] * (2.0 * draw() - 1.0)];
                let (sin, cos) = (std::f64::consts::PI * draw()).sin_cos();
                let [low, high] = config.satellite_e;
                let peak_e = low * (high / low).powf(draw());
                let [narrow, wide] = config.satellite_width_arcsec;
                let width_px = (narrow + (wide - narrow) * draw()) / camera.pixel_scale_arcsec;
                let fwhm_px = plan.fwhm_px.hypot(width_px);
                let alpha_sq = (fwhm_px / 2.0).powi(2) / (2f64.powf(1.0 / camera.moffat_beta) - 1.0);
                let normal = [-sin, cos];
                let offset_px = normal[0] * through[0] + normal[1] * through[1];
                Self { normal, offset_px, peak_e, alpha_sq, exponent: camera.moffat_beta - 0.5 }
            })
            .collect()
    }

    /// Electrons at a pixel.
    fn at(&self, x: f64, y: f64) -> f64 {
        let d = self.normal[0] * x + self.normal[1] * y - self.offset_px;
        if d * d > REACH_ALPHA.powi(2) * self.alpha_sq { 0.0 } else { self.peak_e * (1.0 + d * d / self.alpha_sq).powf(-self.exponent) }
    }

    /// Adds the trail to row `y` of the light.
    pub(crate) fn add_to_row(&self, y: usize, mut row: ArrayViewMut1<f64>) {
        for (x, value) in row.indexed_iter_mut() {
            *value += self.at(x as f64, y as f64);
        }
    }

    /// Flags the pixels where the trail is brighter than a thirtieth of the noise of the background, `noise_e`: a filter along a line of
    /// hundreds of pixels still sees a tenth of it.
    pub(crate) fn flag(&self, noise_e: f64, mut mask: ArrayViewMut2<u32>) {
        for ((y, x), m) in mask.indexed_iter_mut() {
            if self.at(x as f64, y as f64) > noise_e / 30.0 {
                *m |= MaskPlane::Cr.bit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::LayoutConfig;
    use crate::detector::DetectorConfig;
    use crate::plan_exposures;
    use fathom::geometry::{PixelPoint, SkyPoint};

    /// Neighbouring detectors see one line: its brightness is the same at the same place of the focal plane.
    #[test]
    fn a_trail_crosses_all_detectors() {
        let camera = CameraConfig {
            size_px: [200, 200],
            n_exposures: 3,
            layout: LayoutConfig { detectors: [2, 1], gap_px: [10, 0] },
            detector: DetectorConfig { satellites: 4.0, ..DetectorConfig::default() },
            ..CameraConfig::default()
        };
        let plans = plan_exposures(&camera, SkyPoint::from_degrees(10.0, 5.0), &["r".into()], 6).unwrap();
        for pair in plans.chunks(2) {
            let (left, right) = (Trail::of(&pair[0], &camera, 6), Trail::of(&pair[1], &camera, 6));
            assert_eq!(left.len(), right.len());
            for (a, b) in left.iter().zip(&right) {
                for at in [PixelPoint::new(3.0, 50.0), PixelPoint::new(150.0, 120.0)] {
                    assert!((a.at(at.x + 210.0, at.y) - b.at(at.x, at.y)).abs() < 1e-9 * a.peak_e);
                }
            }
        }
    }
}

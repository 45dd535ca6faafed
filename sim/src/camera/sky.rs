//! The sky of each visit: level, gradient, glows, steps at detector and amplifier edges.
//!
//! Objects and sky share the vignetting; steps do not have it. The sky is flat per pixel: the pixels' area, which distortion changes,
//! is in no flat field here.

use super::amplifiers::Amplifiers;
use super::layout::FocalPlane;
use super::{CameraConfig, Streams};
use crate::SimError;
use crate::error::check;
use fathom::geometry::Box2;
use fathom::image::{Chebyshev2, Glow, TrueBackground};
use ndarray::arr2;
use rand::RngExt;
use rand_distr::{Distribution, Poisson, StandardNormal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the sky has besides level and gradient: section `[camera.sky]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkyConfig {
    /// Factor on `camera.sky_e` by band, each in 0..=1000; 1 for bands not named.
    pub band_factor: BTreeMap<String, f64>,
    /// Steps between detectors, normal, as a share of the sky level, drawn per exposure, in 0..=0.1.
    pub detector_step: f64,
    /// Steps between amplifiers, likewise.
    pub amplifier_step: f64,
    /// Scattered light: a glow a visit, height uniform up to this share of the sky level, in 0..=1; σ 0.2-0.6 of half the field.
    pub scattered_light: f64,
    /// Ghosts of pupils a visit, the mean number, in 0..=100: discs of 0.1-0.3 of half the field, with soft edges.
    pub ghosts: f64,
    /// Height of ghosts, uniform up to this share of the sky level, in 0..=1.
    pub ghost_height: f64,
}

impl Default for SkyConfig {
    fn default() -> Self {
        Self {
            band_factor: BTreeMap::new(),
            detector_step: 0.0,
            amplifier_step: 0.0,
            scattered_light: 0.0,
            ghosts: 0.0,
            ghost_height: 0.02,
        }
    }
}

impl SkyConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.sky", key, is_good, found, expected);
        let factors_fit = self.band_factor.values().all(|f| (0.0..=1000.0).contains(f));
        c("band_factor", factors_fit, &self.band_factor, "factors in 0..=1000")?;
        for (key, value) in [("detector_step", self.detector_step), ("amplifier_step", self.amplifier_step)] {
            c(key, (0.0..=0.1).contains(&value), &value, "0..=0.1")?;
        }
        for (key, value) in [("scattered_light", self.scattered_light), ("ghost_height", self.ghost_height)] {
            c(key, (0.0..=1.0).contains(&value), &value, "0..=1")?;
        }
        c("ghosts", (0.0..=100.0).contains(&self.ghosts), &self.ghosts, "0..=100")
    }
}

/// A glow in the field: centre in [-1, 1], σ \[pixel\], flatness, height as a share of the level.
struct FieldGlow {
    at: [f64; 2],
    sigma_px: f64,
    flatness: f64,
    height: f64,
}

/// Sky of a visit, as a share of its level.
pub(super) struct VisitSky<'a> {
    camera: &'a CameraConfig,
    plane: FocalPlane,
    streams: Streams<'a>,
    sky_e: f64,
    slope: [f64; 2],
    glows: Vec<FieldGlow>,
}

impl<'a> VisitSky<'a> {
    pub(super) fn draw(camera: &'a CameraConfig, plane: FocalPlane, sky_e: f64, streams: Streams<'a>) -> Self {
        let g = camera.background_gradient;
        let slope = [streams.within("slope-x", [-g, g]), streams.within("slope-y", [-g, g])];
        let [hx, hy] = plane.half_px();
        let half_px = 0.5 * (hx + hy);
        let mut glows = Vec::new();
        let sky = &camera.sky;
        if sky.scattered_light > 0.0 {
            let mut rng = streams.stream("scattered-light");
            let mut within = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
            // Light that leaks in stands at an edge more often than in the middle.
            let at = [within(-1.2, 1.2), within(-1.2, 1.2)];
            glows.push(FieldGlow { at, sigma_px: half_px * within(0.2, 0.6), flatness: 1.0, height: within(0.0, sky.scattered_light) });
        }
        let mut rng = streams.stream("ghosts");
        let n = if sky.ghosts > 0.0 { Poisson::new(sky.ghosts).expect("a positive mean").sample(&mut rng) as usize } else { 0 };
        for _ in 0..n {
            let mut within = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
            let at = [within(-1.0, 1.0), within(-1.0, 1.0)];
            glows.push(FieldGlow { at, sigma_px: half_px * within(0.1, 0.3), flatness: 6.0, height: within(0.0, sky.ghost_height) });
        }
        Self { camera, plane, streams, sky_e, slope, glows }
    }

    /// On one detector \[counts\]; `relative` is its vignetting.
    pub(super) fn background(
        &self,
        detector: usize,
        gain_e_per_adu: f64,
        amplifiers: &Amplifiers,
        relative: Option<&Chebyshev2>,
    ) -> TrueBackground {
        let Self { camera, plane, streams, .. } = self;
        let [nx, ny] = camera.size_px;
        let bbox = Box2::of_shape((ny, nx));
        let level_adu = self.sky_e / gain_e_per_adu;
        let (half, middle) = (plane.half_px(), plane.middle_on(detector));
        // The slope is the change across the whole field; the polynomial's unit is half of this detector.
        let center = plane.field(detector, (nx as f64 - 1.0) / 2.0, (ny as f64 - 1.0) / 2.0);
        let [sx, sy] = [0, 1].map(|a| 0.5 * self.slope[a]);
        let along = [sx * 0.5 * (nx as f64 - 1.0) / half[0], sy * 0.5 * (ny as f64 - 1.0) / half[1]];
        let constant = 1.0 + sx * center[0] + sy * center[1];
        let coefficients_yx = if along.iter().all(|s| s.abs() <= 0.0) {
            arr2(&[[level_adu]])
        } else {
            arr2(&[[constant, along[0]], [along[1], 0.0]]) * level_adu
        };
        let glows = self.glows.iter().map(|g| Glow {
            x_px: middle.x + g.at[0] * half[0],
            y_px: middle.y + g.at[1] * half[1],
            sigma_px: g.sigma_px,
            flatness: g.flatness,
            height_adu: g.height * level_adu,
        });
        let mut steps_adu = Vec::new();
        if camera.sky.detector_step > 0.0 {
            steps_adu.push((bbox, level_adu * camera.sky.detector_step * streams.normal("detector-step", detector)));
        }
        if camera.sky.amplifier_step > 0.0 {
            let mut rng = streams.of_detector("amplifier-steps", detector);
            for amplifier in amplifiers.all() {
                let normal: f64 = StandardNormal.sample(&mut rng);
                steps_adu.push((amplifier.bbox, level_adu * camera.sky.amplifier_step * normal.clamp(-3.0, 3.0)));
            }
        }
        TrueBackground { smooth_adu: Chebyshev2 { bbox, coefficients_yx }, glows: glows.collect(), steps_adu, relative: relative.cloned() }
    }
}

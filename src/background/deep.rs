//! What is left on the deep image when the exposures agree: the background of the reference, modelled once, for all.
//!
//! The deep image is the mean of all PSF-matched exposures with their differences taken off, the source mask that of this mean: both
//! exist, on superpixels, since the exposures were compared. A polynomial over the tract is fitted to them, from the lowest order up;
//! superpixels above the fit (halos, intracluster light, crowds of faint objects) and their neighbours are left out before the next order
//! is allowed, so that no order learns from light that a lower one saw stick out. What sticks out of the last order is judged by the scatter of
//! the lower half, which sources do not widen; out of the orders before, which a bent sky need not follow, by that of all: or the climb would
//! begin by leaving the upper half of a bowl out, and not find it again.

use super::solve::SkySample;
use super::system::robust_scatter;
use super::{DetectorModel, MatchError};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{Chebyshev2, ExposureMeta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Settings of [`DeepBackground`]: section `[deep_background]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepBackgroundConfig {
    /// Total order of the polynomial over the tract. What all exposures could have in common ends at the order of their own polynomials;
    /// the modes just above are known worst, and the sky that is left shows them: an order or two more takes them out.
    pub order: usize,
    /// Superpixels that stick out by more than this are sources \[sigma of the superpixels' scatter\].
    pub clip_sigma: f64,
}

impl Default for DeepBackgroundConfig {
    fn default() -> Self {
        Self { order: 4, clip_sigma: 3.0 }
    }
}

/// Rounds of clipping at each order.
const N_ROUNDS: usize = 10;

/// The deep-background stage.
#[derive(Debug, Clone)]
pub struct DeepBackground {
    config: DeepBackgroundConfig,
}

/// Background of the deep image of one group of exposures.
#[derive(Debug, Clone, PartialEq)]
pub struct DeepModel {
    /// nJy per tract pixel, over the tract.
    pub model_njy: Chebyshev2,
    /// Superpixels that were used.
    pub n_used: usize,
    /// Superpixels that there were.
    pub n_superpixels: usize,
    /// Robust scatter of those used about the model \[nJy per tract pixel\].
    pub scatter_njy: f64,
}

impl DeepBackground {
    /// # Errors
    /// [`MatchError::Config`] if a setting is outside its range.
    pub fn new(config: DeepBackgroundConfig) -> Result<Self, MatchError> {
        let wrong = |key, found: String, expected| Err(MatchError::Config { section: "deep_background", key, found, expected });
        if config.order > 12 {
            return wrong("order", config.order.to_string(), "0..=12");
        }
        if !(1.5..=10.0).contains(&config.clip_sigma) {
            return wrong("clip_sigma", config.clip_sigma.to_string(), "1.5..=10 sigma");
        }
        Ok(Self { config })
    }

    /// Fits one group's sky; `None` without a superpixel.
    #[must_use]
    pub fn run(&self, tract: &Box2, sky: &[SkySample]) -> Option<DeepModel> {
        let mut used = vec![true; sky.len()];
        let mut best = None;
        for order in 0..=self.config.order {
            let Some(model) = self.fit(tract, sky, &mut used, order) else { break };
            best = Some(model);
        }
        best
    }

    /// Fits one order, leaving out what sticks out until nothing more does; `None` if the order is not determined.
    fn fit(&self, tract: &Box2, sky: &[SkySample], used: &mut [bool], order: usize) -> Option<DeepModel> {
        let mut model = None;
        for _ in 0..N_ROUNDS {
            let samples: Vec<(PixelPoint, f64, f64)> =
                sky.iter().zip(used.iter()).filter(|(_, u)| **u).map(|(s, _)| (s.at, s.level_njy, s.error_njy.powi(-2))).collect();
            // Twice as many as terms, or the fit goes through its own noise.
            if samples.len() < (order + 1) * (order + 2) {
                return model;
            }
            let polynomial = Chebyshev2::fit(*tract, &samples, order)?;
            let residuals: Vec<f64> = sky.iter().map(|s| s.level_njy - polynomial.at(s.at)).collect();
            let pulls = |i: usize| residuals[i] / sky[i].error_njy;
            let in_use: Vec<f64> = (0..sky.len()).filter(|&i| used[i]).map(pulls).collect();
            let of_all = if order < self.config.order { robust_scatter(in_use.iter().map(|p| p.abs()).collect()) } else { 0.0 };
            let scatter = lower_scatter(in_use).max(of_all);
            let limit = self.config.clip_sigma * scatter.max(1.0);
            let bright: BTreeSet<(i32, i32)> = (0..sky.len()).filter(|&i| pulls(i) > limit).map(|i| sky[i].superpixel).collect();
            let is_near = |(y, x): (i32, i32)| (-1..=1).any(|dy| (-1..=1).any(|dx| bright.contains(&(y + dy, x + dx))));
            let next: Vec<bool> = (0..sky.len()).map(|i| pulls(i) > -2.0 * limit && !is_near(sky[i].superpixel)).collect();
            let in_use = || residuals.iter().zip(used.iter()).filter(|(_, u)| **u).map(|(r, _)| r.abs());
            model = Some(DeepModel {
                model_njy: polynomial,
                n_used: samples.len(),
                n_superpixels: sky.len(),
                scatter_njy: robust_scatter(in_use().collect()),
            });
            if next == used {
                break;
            }
            used.copy_from_slice(&next);
        }
        model
    }
}

/// Scatter of the lower half about its edge, the 30th percentile: sources make the upper half wide.
///
/// For a Gaussian the distance from the 30th to the 5th percentile is 1.1205 σ.
fn lower_scatter(mut values: Vec<f64>) -> f64 {
    if values.len() < 8 {
        return 1.0;
    }
    values.sort_by(f64::total_cmp);
    let quantile = |q: f64| values[(q * (values.len() - 1) as f64).round() as usize];
    (quantile(0.30) - quantile(0.05)) / 1.1205
}

/// The improved background of one exposure: `level_adu` and `difference` of its own, and the tract's `deep` background brought to it.
///
/// Between two tangent planes positions map almost linearly, so that a polynomial over the tract is one over the detector; two orders
/// more hold the curvature and the calibration. Beyond the tract it means nothing.
#[must_use]
pub fn improved_background(
    tract: &Tract,
    meta: &ExposureMeta,
    level_adu: f64,
    mut difference: DetectorModel,
    deep: Option<&Chebyshev2>,
) -> DetectorModel {
    let bbox = meta.bbox();
    if let Some(deep) = deep {
        let order = deep.coefficients_yx.nrows().max(difference.smooth_adu.coefficients_yx.nrows()) + 1;
        let n = 2 * order + 3;
        let along = |k: usize, size: i32| k as f64 / (n - 1) as f64 * f64::from(size - 1);
        let scale = tract.config().pixel_scale_arcsec.powi(2);
        let mut samples = Vec::with_capacity(n * n);
        for (j, i) in (0..n).flat_map(|j| (0..n).map(move |i| (j, i))) {
            let at = PixelPoint::new(along(i, bbox.width), along(j, bbox.height));
            if let Ok(on_tract) = tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(at)) {
                // nJy per tract pixel to counts per pixel of the exposure.
                let tract_pixels = meta.wcs.pixel_area_arcsec2(at) / scale;
                samples.push((at, deep.at(on_tract) * tract_pixels / meta.photo_calib.at(at), 1.0));
            }
        }
        if let Some(own) = Chebyshev2::fit(bbox, &samples, order) {
            let mut sum = own.coefficients_yx;
            let smooth = &difference.smooth_adu.coefficients_yx;
            smooth.indexed_iter().for_each(|(at, c)| sum[at] += c);
            difference.smooth_adu.coefficients_yx = sum;
        }
    }
    difference.smooth_adu.coefficients_yx[[0, 0]] += level_adu;
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    /// A bent sky with the halo of a galaxy on a tenth of the tract and with single bright superpixels: the model is right to a few of its
    /// own errors, σ √(terms / superpixels), and the halo is not taken for sky.
    #[test]
    fn halos_are_not_sky() {
        let tilted = |x: f64, y: f64| 20.0 + 3.0 * (x / 1536.0) - 2.0 * (y / 1536.0).powi(2);
        // By hundreds of a superpixel's errors from the middle to the sides.
        let bowl = |x: f64, y: f64| 20.0 + 8.0 * (x / 768.0 - 1.0).powi(2) + 4.0 * (y / 768.0 - 1.0).powi(2);
        let flat_sided = |x: f64, y: f64| 20.0 + 3.0 * (x / 768.0 - 1.0).powi(4) - 2.0 * (y / 768.0 - 1.0).powi(3);
        halo_is_not_sky_over(tilted);
        halo_is_not_sky_over(bowl);
        halo_is_not_sky_over(flat_sided);
    }

    fn halo_is_not_sky_over(truth: impl Fn(f64, f64) -> f64) {
        let tract = Box2::new(0, 0, 1536, 1536);
        let mut rng = keyed_rng(5, "deep-test", 0, 0);
        let error_njy = 0.02;
        let halo = |x: f64, y: f64| 5.0 * (-((x - 700.0).hypot(y - 900.0) / 60.0)).exp();
        let mut sky = Vec::new();
        for (row, column) in (0..24).flat_map(|r| (0..24).map(move |c| (r, c))) {
            let (x, y) = (f64::from(column) * 64.0 + 31.5, f64::from(row) * 64.0 + 31.5);
            let noise: f64 = StandardNormal.sample(&mut rng);
            let crowd = if (row * 7 + column * 11) % 29 == 0 { 0.3 } else { 0.0 };
            let level_njy = truth(x, y) + halo(x, y) + crowd + error_njy * noise;
            sky.push(SkySample { group: 0, superpixel: (row, column), at: PixelPoint::new(x, y), level_njy, error_njy });
        }
        let found = DeepBackground::new(DeepBackgroundConfig::default()).unwrap().run(&tract, &sky).unwrap();
        for (x, y) in [(700.0, 900.0), (100.0, 100.0), (1500.0, 1400.0), (800.0, 300.0)] {
            let off = found.model_njy.at(PixelPoint::new(x, y)) - truth(x, y);
            assert!(off.abs() < 0.012, "{off} at {x}, {y}; used {} of {}", found.n_used, found.n_superpixels);
        }
        assert!(found.n_used > 250, "{}", found.n_used);
    }

    #[test]
    fn the_scatter_is_a_gaussians() {
        let mut rng = keyed_rng(6, "deep-test", 0, 0);
        let values: Vec<f64> = (0..20_000).map(|_| 3.0 * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect();
        assert!((lower_scatter(values) - 3.0).abs() < 0.1);
    }
}

//! Finds peaks and above-threshold pixels in every layer of one patch.

use super::threshold::free_sed_threshold;
use super::{Layer, LayerKind};
use crate::footprint::{Peak, Span, SpanSet};
use crate::geometry::{Box2, PixelPoint};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of [`DetectLayers`]: section `[detect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Threshold of a single-band layer \[sigma\]; the free-SED layer gets the one with the same pointwise false-positive rate.
    pub threshold: f64,
    /// Layers: `free_sed`, band names; `bands` stands for every band.
    pub layers: Vec<String>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self { threshold: 5.0, layers: vec!["free_sed".into(), "bands".into()] }
    }
}

/// Why detection could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DetectError {
    /// A setting out of range.
    #[error("detect.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
}

/// Likelihood maps of one band on the inner pixels of a patch and a margin of at least [`DetectLayers::MARGIN_PX`]
/// around them (Φ = 0 where the tract ends).
#[derive(Debug, Clone)]
pub struct LikelihoodMaps {
    /// Band name.
    pub band: String,
    /// Pixels covered.
    pub bbox: Box2,
    /// Ψ \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
}

/// The detection stage.
#[derive(Debug, Clone)]
pub struct DetectLayers {
    kinds: Vec<LayerKind>,
    /// By number of bands with data.
    thresholds: Vec<f64>,
}

impl DetectLayers {
    /// Pixels needed beyond a patch's inner ones.
    pub const MARGIN_PX: i32 = 2;

    /// # Errors
    /// [`DetectError::Config`] if a setting is outside its range or a layer is unknown.
    pub fn new(config: &DetectConfig, bands: &[String]) -> Result<Self, DetectError> {
        let wrong = |key, found: String, expected: &str| DetectError::Config { key, found, expected: expected.to_owned() };
        // Below 2 sigma every other pixel is a detection.
        if !(2.0..=100.0).contains(&config.threshold) {
            return Err(wrong("threshold", config.threshold.to_string(), "2..=100 sigma"));
        }
        let mut kinds = Vec::new();
        for name in &config.layers {
            match name.as_str() {
                "free_sed" => kinds.push(LayerKind::FreeSed),
                "bands" => kinds.extend(bands.iter().cloned().map(LayerKind::Band)),
                band if bands.iter().any(|b| b == band) => kinds.push(LayerKind::Band(band.to_owned())),
                other => return Err(wrong("layers", format!("{other:?}"), &format!("free_sed, bands or one of {bands:?}"))),
            }
        }
        if kinds.is_empty() || kinds.len() > 64 {
            return Err(wrong("layers", format!("{} layers", kinds.len()), "1 to 64 layers"));
        }
        let thresholds = (0..=bands.len()).map(|n| free_sed_threshold(config.threshold, n)).collect();
        Ok(Self { kinds, thresholds })
    }

    /// The layers, in order.
    #[must_use]
    pub fn kinds(&self) -> &[LayerKind] {
        &self.kinds
    }

    /// Threshold of a layer where `n_bands` of its bands have data \[sigma\].
    #[must_use]
    pub fn threshold(&self, n_bands: usize) -> f64 {
        self.thresholds[n_bands.min(self.thresholds.len() - 1)]
    }

    /// Layers of one patch, in the order of the configuration; the same order in every patch.
    #[must_use]
    pub fn run(&self, maps: &[LikelihoodMaps], inner: &Box2) -> Vec<Layer> {
        self.kinds.par_iter().enumerate().map(|(i, kind)| self.layer(i, kind, maps, inner)).collect()
    }

    fn layer(&self, index: usize, kind: &LayerKind, maps: &[LikelihoodMaps], inner: &Box2) -> Layer {
        let used: Vec<&LikelihoodMaps> = maps.iter().filter(|m| matches!(kind, LayerKind::FreeSed) || m.band == kind.name()).collect();
        let bbox = inner.grown(Self::MARGIN_PX);
        let n_bands = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
            used.iter().filter(|m| m.bbox.index(bbox.x0 + i as i32, bbox.y0 + j as i32).is_some_and(|p| m.phi[p] > 0.0)).count() as u8
        });
        // T = √Σ max(±Ψ, 0)²/Φ, which for one band is the positive part of ±Ψ/√Φ.
        let statistic = |sign: f64| {
            Array2::from_shape_fn(bbox.shape(), |(j, i)| {
                let term = |m: &&LikelihoodMaps| {
                    let p = m.bbox.index(bbox.x0 + i as i32, bbox.y0 + j as i32)?;
                    let (psi, phi) = (f64::from(m.psi[p]), f64::from(m.phi[p]));
                    (phi > 0.0).then(|| (sign * psi).max(0.0).powi(2) / phi)
                };
                used.iter().filter_map(term).sum::<f64>().sqrt()
            })
        };
        let positive = statistic(1.0);
        let peaks = self.peaks(index, &positive, &n_bands, &bbox, inner, maps);
        let negative_peaks = self.peaks(index, &statistic(-1.0), &n_bands, &bbox, inner, maps);
        let mut spans = Vec::new();
        let mut n_pixels = 0;
        for y in inner.y0..inner.y1() {
            for x in inner.x0..inner.x1() {
                let p = bbox.index(x, y).expect("the margin surrounds the inner pixels");
                n_pixels += u64::from(n_bands[p] > 0);
                if n_bands[p] > 0 && positive[p] >= self.threshold(usize::from(n_bands[p])) {
                    spans.push(Span { y, x0: x, x1: x });
                }
            }
        }
        // A peak may pass the threshold between pixels that do not.
        spans.extend(peaks.iter().map(|p| Span { y: p.pixel.1, x0: p.pixel.0, x1: p.pixel.0 }));
        Layer { kind: kind.clone(), spans: SpanSet::from_spans(spans), peaks, negative_peaks, n_pixels }
    }

    fn peaks(&self, layer: usize, t: &Array2<f64>, n_bands: &Array2<u8>, bbox: &Box2, inner: &Box2, maps: &[LikelihoodMaps]) -> Vec<Peak> {
        let mut peaks = Vec::new();
        for y in inner.y0..inner.y1() {
            for x in inner.x0..inner.x1() {
                let at @ [j, i] = bbox.index(x, y).expect("the margin surrounds the inner pixels");
                let threshold = self.threshold(usize::from(n_bands[at]));
                // The refined height exceeds the pixel's by a quarter at most for PSFs wider than two pixels.
                if n_bands[at] == 0 || t[at] < 0.75 * threshold || !is_maximum(t, j, i) {
                    continue;
                }
                let (dx, dy, significance) = quadratic_peak(t.slice(s![j - 1..=j + 1, i - 1..=i + 1]));
                if significance < threshold {
                    continue;
                }
                let values = |get: &dyn Fn(f64, f64) -> f64| {
                    maps.iter()
                        .map(|m| {
                            let p = m.bbox.index(x, y).filter(|p| m.phi[*p] > 0.0);
                            p.map_or(f64::NAN, |p| get(f64::from(m.psi[p]), f64::from(m.phi[p])))
                        })
                        .collect()
                };
                peaks.push(Peak {
                    pixel: (x, y),
                    at: PixelPoint::new(f64::from(x) + dx, f64::from(y) + dy),
                    significance,
                    layer: layer as u16,
                    seen_in: 1 << layer,
                    flux_njy: values(&|psi, phi| psi / phi),
                    flux_err_njy: values(&|_, phi| phi.sqrt().recip()),
                });
            }
        }
        peaks
    }
}

/// True if the pixel exceeds its eight neighbours, by the total order (value, then later position): a plateau has one peak.
fn is_maximum(t: &Array2<f64>, j: usize, i: usize) -> bool {
    let v = t[[j, i]];
    (0..9).filter(|&k| k != 4).all(|k| {
        let other = t[[j + k / 3 - 1, i + k % 3 - 1]];
        other < v || (other <= v && k < 4)
    })
}

/// Position and height of the maximum of the least-squares quadratic through 3 x 3 values: (dx, dy, height).
///
/// Where the quadratic has no maximum near the central pixel, that pixel is the peak.
#[must_use]
pub fn quadratic_peak(v: ArrayView2<f64>) -> (f64, f64, f64) {
    let sum = |f: &dyn Fn(f64, f64) -> f64| v.indexed_iter().map(|((j, i), v)| v * f(i as f64 - 1.0, j as f64 - 1.0)).sum::<f64>();
    // Orthogonal over the nine points: 1, x, y, x² - 2/3, y² - 2/3, xy.
    let mean = sum(&|_, _| 1.0) / 9.0;
    let (gx, gy) = (sum(&|x, _| x) / 6.0, sum(&|_, y| y) / 6.0);
    let (cx, cy) = (sum(&|x, _| x * x - 2.0 / 3.0) / 2.0, sum(&|_, y| y * y - 2.0 / 3.0) / 2.0);
    let cxy = sum(&|x, y| x * y) / 4.0;
    let det = 4.0 * cx * cy - cxy * cxy;
    let center = v[[1, 1]];
    if cx >= 0.0 || det <= 0.0 {
        return (0.0, 0.0, center);
    }
    let (dx, dy) = ((cxy * gy - 2.0 * cy * gx) / det, (cxy * gx - 2.0 * cx * gy) / det);
    if dx.abs() > 1.0 || dy.abs() > 1.0 {
        return (0.0, 0.0, center);
    }
    let fit = |x: f64, y: f64| mean + gx * x + gy * y + cx * (x * x - 2.0 / 3.0) + cy * (y * y - 2.0 / 3.0) + cxy * x * y;
    // The height relative to the fit at the centre, on top of the measured centre: the fit's misfit of the peak's shape cancels.
    (dx, dy, center + fit(dx, dy) - fit(0.0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn a_quadratic_is_found_exactly() {
        let f = |x: f64, y: f64| 7.0 - (x - 0.3).powi(2) - 0.7 * (y + 0.2).powi(2) + 0.2 * (x - 0.3) * (y + 0.2);
        let v = Array2::from_shape_fn((3, 3), |(j, i)| f(i as f64 - 1.0, j as f64 - 1.0));
        let (dx, dy, height) = quadratic_peak(v.view());
        assert_abs_diff_eq!(dx, 0.3, epsilon = 1e-12);
        assert_abs_diff_eq!(dy, -0.2, epsilon = 1e-12);
        assert_abs_diff_eq!(height, 7.0, epsilon = 1e-12);
    }

    /// Two Gaussians, one seen in one band only, on maps of unit Φ; a plateau gives one peak, the negated map its own.
    #[test]
    fn peaks_of_layers() {
        let inner = Box2::new(10, 20, 40, 30);
        let bbox = inner.grown(2);
        let bands = ["g".to_owned(), "r".to_owned()];
        let gauss = |x: f64, y: f64, x0: f64, y0: f64, h: f64| h * (-((x - x0).powi(2) + (y - y0).powi(2)) / 8.0).exp();
        let map = |band: &str, faint: f64| LikelihoodMaps {
            band: band.into(),
            bbox,
            psi: Array2::from_shape_fn(bbox.shape(), |(j, i)| {
                let (x, y) = (f64::from(bbox.x0) + i as f64, f64::from(bbox.y0) + j as f64);
                (gauss(x, y, 20.25, 30.0, 8.0) + gauss(x, y, 40.0, 40.0, faint) - gauss(x, y, 40.0, 25.0, 6.0)) as f32
            }),
            phi: Array2::from_elem(bbox.shape(), 1.0),
        };
        let stage = DetectLayers::new(&DetectConfig::default(), &bands).unwrap();
        let layers = stage.run(&[map("g", 0.0), map("r", 5.5)], &inner);
        assert_eq!(layers.len(), 3);
        assert_eq!([layers[0].peaks.len(), layers[1].peaks.len(), layers[2].peaks.len()], [2, 1, 2]);
        let p = &layers[0].peaks[0];
        // A Gaussian of σ = 2 px is no parabola: the fourth order moves the vertex by less than 0.02 px.
        assert_abs_diff_eq!(p.at.x, 20.25, epsilon = 0.02);
        // √(8² + 8²), refined between pixels.
        assert_abs_diff_eq!(p.significance, 128f64.sqrt(), epsilon = 0.02);
        assert!(layers.iter().all(|l| l.negative_peaks.len() == 1 && l.n_pixels == 1200));
        assert!(layers[0].spans.contains(20, 30) && !layers[0].spans.contains(12, 22));
        let bad = DetectConfig { layers: vec!["u".into()], ..DetectConfig::default() };
        assert!(DetectLayers::new(&bad, &bands).unwrap_err().to_string().contains("detect.layers is \"u\""));
    }
}

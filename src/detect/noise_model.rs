//! The noise of every layer, from the PSF autocorrelations of the coadds.

use super::{LayerKind, MapPlan, Sed};
use crate::coadd::fft2::{RealFft2, fast_length};
use crate::coadd::{noise_curvature, stamp_autocorrelation};
use ndarray::Array2;
use rustfft::num_complex::Complex64;
use std::collections::BTreeMap;

/// A(d) \[1/nJy²\] of every coadd by name, mean over the tract, `[2h+1, 2h+1]`.
pub type Autocorrelations = BTreeMap<String, Array2<f64>>;

/// What the noise of one layer looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNoise {
    /// l2 = -ρ''(0) per axis \[1/pixel²\]; of a free SED the mean of its bands.
    pub l2_per_px2: f64,
    /// Variance per axis of the gradient that a quadratic through 3 x 3 pixels of noise has \[1/pixel²\].
    pub gradient_variance: f64,
    /// Area of its filter, (Σφ)²/Σφ² \[pixel²\]: light of an even brightness has the height x √A; of a free SED the mean of its bands.
    pub area_px2: f64,
    /// √(l2 of point sources of the same SED and selection / l2).
    pub broadening: f64,
}

impl LayerNoise {
    /// Of noise with this autocorrelation `[2h+1, 2h+1]`.
    #[must_use]
    pub fn of_lags(lags: &Array2<f64>) -> Self {
        let h = lags.nrows() / 2;
        // Beyond the lags given there is no correlation.
        let at = |d: i64| (h as i64 + d) as usize;
        let rho = |dy: i64, dx: i64| lags.get([at(dy), at(dx)]).map_or(0.0, |v| v / lags[[h, h]]);
        let pixels = || (-1i64..=1).flat_map(|y| (-1i64..=1).map(move |x| (x, y)));
        // The gradient is Σ x v / 6; mean of both axes.
        let along = |(x, y): (i64, i64), (u, v): (i64, i64)| (x * u + y * v) as f64 * rho(v - y, u - x);
        let gradient_variance = pixels().flat_map(|a| pixels().map(move |b| along(a, b))).sum::<f64>() / 72.0;
        Self {
            l2_per_px2: noise_curvature(lags.mapv(|v| v as f32).view()),
            gradient_variance,
            // The sum of all lags is (Σφ)².
            area_px2: lags.sum() / lags[[h, h]],
            broadening: 1.0,
        }
    }
}

/// The noise of every layer, in order. Coadds that are not listed, or have no data, are left out of sums and means.
#[must_use]
pub fn layer_noise(kinds: &[LayerKind], plan: &MapPlan, bands: &[String], autocorrelations: &Autocorrelations) -> Vec<LayerNoise> {
    let mut broadened: BTreeMap<(String, usize), Array2<f64>> = BTreeMap::new();
    let morphology = |r: f64| plan.extended_arcsec().iter().position(|e| (e - r).abs() < 1e-12).map_or(0, |m| m + 1);
    let mut of_kind = |kind: &LayerKind, m: usize| {
        let mut lags_of = |band: &String| {
            let coadd = kind.coadd(band);
            let lags = autocorrelations.get(&coadd).filter(|a| a[[a.nrows() / 2, a.nrows() / 2]] > 0.0)?;
            let make = || if m == 0 { lags.clone() } else { seen_through(lags, &plan.stamps()[m - 1]) };
            Some(broadened.entry((coadd, m)).or_insert_with(make).clone())
        };
        match &kind.sed {
            Sed::Band(band) => lags_of(band).map(|a| LayerNoise::of_lags(&a)),
            Sed::Fixed(_, sed) => {
                let h = bands.iter().filter_map(&mut lags_of).map(|a| a.nrows() / 2).max()?;
                let mut sum = Array2::<f64>::zeros((2 * h + 1, 2 * h + 1));
                for (band, s) in bands.iter().zip(sed) {
                    let Some(lags) = lags_of(band) else { continue };
                    let skip = h - lags.nrows() / 2;
                    let mut part = sum.slice_mut(ndarray::s![skip..skip + lags.nrows(), skip..skip + lags.nrows()]);
                    part.scaled_add(s * s, &lags);
                }
                (sum[[h, h]] > 0.0).then(|| LayerNoise::of_lags(&sum))
            }
            Sed::Free => {
                let all: Vec<LayerNoise> = bands.iter().filter_map(&mut lags_of).map(|a| LayerNoise::of_lags(&a)).collect();
                let mean = |f: fn(&LayerNoise) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
                (!all.is_empty()).then(|| LayerNoise {
                    l2_per_px2: mean(|n| n.l2_per_px2),
                    gradient_variance: mean(|n| n.gradient_variance),
                    area_px2: mean(|n| n.area_px2),
                    broadening: 1.0,
                })
            }
        }
    };
    let without_data = LayerNoise { l2_per_px2: f64::NAN, gradient_variance: f64::NAN, area_px2: f64::NAN, broadening: 1.0 };
    kinds
        .iter()
        .map(|kind| {
            let found = of_kind(kind, morphology(kind.half_light_arcsec));
            let point = of_kind(kind, 0);
            found.zip(point).map_or(without_data, |(n, p)| LayerNoise { broadening: (p.l2_per_px2 / n.l2_per_px2).sqrt(), ..n })
        })
        .collect()
}

/// Autocorrelation of the noise of Ψ_g: A ⋆ (g ⋆ g), all its lags.
fn seen_through(lags: &Array2<f64>, stamp: &Array2<f64>) -> Array2<f64> {
    let reach = stamp.nrows() - 1;
    let own = stamp_autocorrelation(stamp.view(), reach);
    let half_width = lags.nrows() / 2 + reach;
    let fft = RealFft2::<f64>::new(fast_length(2 * half_width + 1));
    let product: Array2<Complex64> = fft.of_stamp(lags.view()) * fft.of_stamp(own.view());
    let image = fft.inverse(product);
    let n = fft.n();
    let at = |i: usize| (i + n - half_width) % n;
    Array2::from_shape_fn((2 * half_width + 1, 2 * half_width + 1), |(j, i)| image[[at(j), at(i)]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// Noise of Ψ behind a Gaussian PSF of width σ: ρ = exp(-d²/4σ²), l2 = 1/2σ²; the gradient's variance by the sums written out.
    #[test]
    fn gaussian_noise() {
        let sigma_px = 2.0f64;
        let rho = |x: f64, y: f64| (-(x * x + y * y) / (4.0 * sigma_px * sigma_px)).exp();
        let lags = Array2::from_shape_fn((41, 41), |(j, i)| 3.0 * rho(i as f64 - 20.0, j as f64 - 20.0));
        let noise = LayerNoise::of_lags(&lags);
        assert_relative_eq!(noise.l2_per_px2, 1.0 / (2.0 * sigma_px * sigma_px), max_relative = 1e-4);
        // (Σ exp(-x²/2σ²))² / Σ exp(-x²/σ²): 4 π σ².
        assert_relative_eq!(noise.area_px2, 4.0 * std::f64::consts::PI * sigma_px * sigma_px, max_relative = 1e-9);
        // (Σ of the right column - Σ of the left) / 6: nine pairs in a column, nine across.
        let mut expected = 0.0;
        for (a, b) in (-1..=1).flat_map(|a| (-1..=1).map(move |b| (f64::from(a), f64::from(b)))) {
            expected += (2.0 * rho(0.0, a - b) - 2.0 * rho(2.0, a - b)) / 36.0;
        }
        assert_relative_eq!(noise.gradient_variance, expected, max_relative = 1e-12);
        // Smoothed a little against the continuous derivative.
        assert!(noise.gradient_variance < noise.l2_per_px2 && noise.gradient_variance > 0.8 * noise.l2_per_px2);
    }

    /// A disc much larger than the PSF sets the scale of its layer; sums over bands have the curvature of their weighted sum.
    #[test]
    fn layers_of_discs_and_colours() {
        let gauss = |sigma: f64, amplitude: f64| {
            Array2::from_shape_fn((41, 41), |(j, i)| {
                amplitude * (-((i as f64 - 20.0).powi(2) + (j as f64 - 20.0).powi(2)) / (4.0 * sigma * sigma)).exp()
            })
        };
        let lags = Autocorrelations::from([("g".to_owned(), gauss(1.5, 1.0)), ("r".to_owned(), gauss(2.5, 4.0))]);
        let bands = ["g", "r", "i"].map(String::from);
        let disc = |sed| LayerKind { selection: None, sed, half_light_arcsec: 0.8 };
        let kinds = [
            LayerKind::point(Sed::Free),
            LayerKind::point(Sed::Fixed("flat".into(), vec![1.0; 3])),
            LayerKind::point(Sed::Band("i".into())),
            disc(Sed::Band("g".into())),
        ];
        let plan = MapPlan::new(&kinds, &bands, 0.2);
        let noise = layer_noise(&kinds, &plan, &bands, &lags);
        let l2 = |sigma: f64| 0.5 / (sigma * sigma);
        assert_relative_eq!(noise[0].l2_per_px2, 0.5 * (l2(1.5) + l2(2.5)), max_relative = 1e-3);
        assert_relative_eq!(noise[1].l2_per_px2, (l2(1.5) + 4.0 * l2(2.5)) / 5.0, max_relative = 1e-3);
        assert!(noise[2].l2_per_px2.is_nan());
        // Broader than the point-source layer, by no more than a disc of 4 px half-light radius can be.
        assert!(noise[3].broadening > 1.5 && noise[3].broadening < 4.0, "{}", noise[3].broadening);
    }
}

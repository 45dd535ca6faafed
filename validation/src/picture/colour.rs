//! Colour from any number of bands: Lupton's asinh stretch.

use crate::statistics::{mad_std, median};
use ndarray::{Array2, ArrayView2};

/// Common filters by wavelength; unknown names keep the order of the run.
const BLUE_TO_RED: [&str; 12] = ["u", "b", "g", "v", "r", "i", "z", "y", "Y", "J", "H", "K"];
/// Colour where there is no data.
const NO_DATA: [u8; 3] = [38, 38, 46];

/// How flux becomes brightness.
///
/// # Source
/// Lupton et al. 2004, PASP 116, 133: the intensity is stretched, the ratio of the bands kept.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// Level of the sky \[nJy\].
    pub sky: f64,
    /// Noise \[nJy\]: linear below two of it, logarithmic above.
    pub sigma: f64,
    /// Flux above the sky that is white \[nJy\].
    pub top: f64,
    /// Factors of red, green, blue.
    pub gains: [f64; 3],
}

impl Stretch {
    /// For a whole field: noise and sky from its pixels; what is bright is on average white.
    pub fn of_field(channels: &[Array2<f32>; 3]) -> Self {
        let [red, green, blue] = channels;
        let means = || red.iter().zip(green).zip(blue).map(|((r, g), b)| f64::from(r + g + b) / 3.0);
        let mut intensity: Vec<f64> = means().filter(|v| v.is_finite()).collect();
        let (sky, sigma) = (median(&intensity), mad_std(&intensity).max(f64::MIN_POSITIVE));
        intensity.sort_by(f64::total_cmp);
        let top = intensity.get(intensity.len().saturating_sub(1 + intensity.len() / 1000)).map_or(0.0, |v| v - sky);
        let gain = |channel: &Array2<f32>| {
            let bright = means().zip(channel).filter(|(mean, _)| mean - sky > 8.0 * sigma);
            let (sum, own) = bright.fold((0.0, 0.0), |s, (mean, &v)| (s.0 + mean, s.1 + f64::from(v)));
            if sum > 0.0 && own > 0.0 { (sum / own).clamp(0.2, 5.0) } else { 1.0 }
        };
        // A few bright stars must not dim the faint objects that the marks are about.
        Self { sky, sigma, top: top.clamp(30.0 * sigma, 80.0 * sigma), gains: [gain(red), gain(green), gain(blue)] }
    }

    /// One pixel: red, green, blue \[nJy\].
    pub fn pixel(&self, rgb_njy: [f32; 3]) -> [u8; 3] {
        if rgb_njy.iter().any(|v| !v.is_finite()) {
            return NO_DATA;
        }
        let stretched = |v: f64| (v / (2.0 * self.sigma)).asinh();
        // A black sky hides the noise; a pedestal of one sigma shows it.
        let value = |i: usize| ((f64::from(rgb_njy[i]) - self.sky) * self.gains[i] + self.sigma).max(0.0);
        let values = [value(0), value(1), value(2)];
        let mean = values.iter().sum::<f64>() / 3.0;
        let factor = if mean > 0.0 { stretched(mean) / stretched(self.top) / mean } else { 0.0 };
        let scaled = values.map(|v| v * factor);
        // Beyond white the colour is kept, not clipped channel by channel.
        let highest = scaled.iter().copied().fold(1.0, f64::max);
        scaled.map(|s| (255.0 * s / highest).round() as u8)
    }

    /// Pixels of an image, three bytes each, first row on top (north up if the tract is).
    pub fn image(&self, channels: [ArrayView2<f32>; 3]) -> Vec<u8> {
        let (ny, nx) = channels[0].dim();
        let mut bytes = Vec::with_capacity(3 * ny * nx);
        for y in (0..ny).rev() {
            for x in 0..nx {
                bytes.extend(self.pixel([channels[0][(y, x)], channels[1][(y, x)], channels[2][(y, x)]]));
            }
        }
        bytes
    }
}

/// Bands that make red, green and blue: the reddest is red, the bluest blue, those between are shared out.
pub(crate) fn channel_bands(bands: &[String]) -> [Vec<usize>; 3] {
    let rank = |i: &usize| BLUE_TO_RED.iter().position(|b| *b == bands[*i]);
    let mut order: Vec<usize> = (0..bands.len()).collect();
    if order.iter().all(|i| rank(i).is_some()) {
        order.sort_by_key(rank);
    }
    let n = order.len();
    match n {
        0 | 1 => [order.clone(), order.clone(), order],
        2 => [vec![order[1]], order.clone(), vec![order[0]]],
        _ => [order[n - n / 3..].to_vec(), order[n / 3..n - n / 3].to_vec(), order[..n / 3].to_vec()],
    }
}

/// Mean of the bands of each channel.
pub(crate) fn channels<'a>(bands: &[String], image: impl Fn(usize) -> ArrayView2<'a, f32>) -> [Array2<f32>; 3] {
    channel_bands(bands).map(|of_channel| {
        let mut sum = image(of_channel[0]).to_owned();
        for &band in &of_channel[1..] {
            sum += &image(band);
        }
        sum / of_channel.len() as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reddest_band_is_red() {
        let bands = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(channel_bands(&bands(&["i", "g", "r"])), [vec![0], vec![2], vec![1]]);
        assert_eq!(channel_bands(&bands(&["g", "z"])), [vec![1], vec![0, 1], vec![0]]);
        assert_eq!(channel_bands(&bands(&["g", "r", "i", "z", "y"])), [vec![4], vec![1, 2, 3], vec![0]]);
        // Unknown names: the order of the run.
        assert_eq!(channel_bands(&bands(&["F2", "F1", "r"])), [vec![2], vec![1], vec![0]]);
    }

    /// Lupton's stretch keeps the ratio of the bands, also beyond white, and grows with the flux.
    #[test]
    fn colours_are_kept_at_any_brightness() {
        let stretch = Stretch { sky: 0.0, sigma: 1e-3, top: 100.0, gains: [1.0; 3] };
        let mut last = 0;
        for flux in [1.0f32, 10.0, 100.0, 1e4] {
            let [r, g, b] = stretch.pixel([flux, 0.5 * flux, 0.25 * flux]).map(f64::from);
            assert!((g / r - 0.5).abs() < 0.01 && (b / r - 0.25).abs() < 0.01, "{r} {g} {b}");
            assert!(r as i32 >= last);
            last = r as i32;
        }
        assert_eq!(last, 255);
        assert_eq!(stretch.pixel([f32::NAN, 1.0, 1.0]), NO_DATA);
    }
}

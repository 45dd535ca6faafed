//! What exposures have above all that the static sky may have in them, each with its own PSF: sharp light is not diluted there.

use super::ArtifactsConfig;
use super::candidates::Epoch;
use super::sharpness::{excess_ratios, neighbour_ratios, sharpness};
use super::static_sky::{MEDIAN_VARIANCE, median, slope};
use ndarray::{Array2, Zip, s};
use std::collections::BTreeMap;

/// Side of the square over which the static sky is averaged to see whether there is a source \[tract pixel\],
const SMOOTH_PX: usize = 5;
/// and the significance of that.
const SOURCE_SIGMA: f64 = 3.0;

/// The exposures with their own PSFs.
pub(super) struct Native<'a> {
    epochs: &'a [Epoch],
    config: &'a ArtifactsConfig,
    /// The median of all; of two exposures, for each the other one.
    sky: Vec<Array2<f64>>,
    /// What is expected at most, and the noise of the difference from it.
    bound: Vec<Array2<(f64, f64)>>,
    residual: Vec<Array2<f64>>,
    ratios: Vec<[f64; 4]>,
}

impl<'a> Native<'a> {
    pub fn new(epochs: &'a [Epoch], config: &'a ArtifactsConfig) -> Self {
        let shape = epochs[0].native_njy.dim();
        let nan = || vec![Array2::from_elem(shape, f64::NAN); epochs.len()];
        let (mut sky, mut excess) = (nan(), nan());
        let mut variance = Array2::from_elem(shape, f64::NAN);
        // What a source may exceed the median by depends on which exposures there are: few sets, of many pixels each.
        let mut ratios: BTreeMap<Vec<usize>, Vec<f64>> = BTreeMap::new();
        let (mut members, mut values) = (Vec::new(), Vec::new());
        for at in (0..shape.0).flat_map(|j| (0..shape.1).map(move |i| [j, i])) {
            members.clear();
            members.extend((0..epochs.len()).filter(|&k| !epochs[k].native_njy[at].is_nan()));
            let n = members.len();
            if n < 2 {
                continue;
            }
            if !ratios.contains_key(&members) {
                ratios.insert(members.clone(), excess_ratios_of(epochs, &members));
            }
            let mean_variance = members.iter().map(|&k| epochs[k].native_variance).sum::<f64>() / n as f64;
            variance[at] = if n == 2 { mean_variance } else { MEDIAN_VARIANCE * mean_variance / n as f64 };
            values.clear();
            values.extend(members.iter().map(|&k| f64::from(epochs[k].native_njy[at])));
            let of_two = [values[0], values[1]];
            let of_all = median(&mut values);
            for ((i, &k), ratio) in members.iter().enumerate().zip(&ratios[&members]) {
                sky[k][at] = if n == 2 { of_two[1 - i] } else { of_all };
                excess[k][at] = *ratio;
            }
        }
        let bound = |(k, epoch): (usize, &Epoch)| {
            let (slope, smooth) = (slope(&sky[k]), smoothed(&sky[k]));
            Array2::from_shape_fn(shape, |at| {
                let (n, v) = (sky[k][at], variance[at]);
                // Where the sky is empty the bound would only multiply its noise.
                let is_source = smooth[at] > SOURCE_SIGMA * v.sqrt() / SMOOTH_PX as f64;
                let (light, b) = if is_source { (n.max(0.0), excess[k][at]) } else { (0.0, 1.0) };
                let systematic = (config.model_error * b * light).powi(2) + (config.position_error_px * slope[at]).powi(2);
                (n + (b - 1.0) * light, epoch.native_variance + epoch.njy_per_e * light + b * b * v + systematic)
            })
        };
        let bound = epochs.iter().enumerate().map(bound).collect();
        let residual = epochs.iter().zip(&sky).map(|(e, sky)| Zip::from(&e.native_njy).and(sky).map_collect(|&z, &n| f64::from(z) - n));
        Self {
            residual: residual.collect(),
            ratios: epochs.iter().map(|e| neighbour_ratios(e.psf.view())).collect(),
            epochs,
            config,
            bound,
            sky,
        }
    }

    /// In sigma; `None` where the exposure has no value or stands alone.
    pub fn excess(&self, k: usize, at: [usize; 2]) -> Option<f32> {
        let (most, variance) = self.bound[k][at];
        let z = f64::from(self.epochs[k].native_njy[at]);
        (!z.is_nan() && !most.is_nan()).then(|| ((z - most) / variance.sqrt()) as f32)
    }

    /// In sigma; 0 where the pixel is not sharp.
    pub fn sharpness(&self, k: usize, at: [usize; 2]) -> f32 {
        let light = self.sky[k][at].max(0.0);
        let sigma = (self.epochs[k].native_variance + self.epochs[k].njy_per_e * light).sqrt();
        // Of the static sky the residual has what PSFs differ by: as large an error as the bound allows for.
        let allowed = self.bound[k][at].0 - self.sky[k][at];
        let found = sharpness(self.residual[k].view(), at, &self.ratios[k], sigma.hypot(allowed), self.config.model_error);
        found.unwrap_or(0.0).max(0.0) as f32
    }
}

fn excess_ratios_of(epochs: &[Epoch], members: &[usize]) -> Vec<f64> {
    if let [a, b] = members {
        let against = |this: &Epoch, other: &Epoch| excess_over(&this.psf, &other.psf);
        return vec![against(&epochs[*a], &epochs[*b]), against(&epochs[*b], &epochs[*a])];
    }
    excess_ratios(&members.iter().map(|&k| &epochs[k].psf).collect::<Vec<_>>())
}

/// The same of one exposure over one other.
fn excess_over(this: &Array2<f64>, other: &Array2<f64>) -> f64 {
    // Of three PSFs, two of them equal, the median is that one.
    excess_ratios(&[this, other, other])[0]
}

/// Means over squares of [`SMOOTH_PX`], of the pixels that have a value.
fn smoothed(image: &Array2<f64>) -> Array2<f64> {
    let (ny, nx) = image.dim();
    let range = |i: usize, n: usize| i.saturating_sub(SMOOTH_PX / 2)..(i + SMOOTH_PX / 2 + 1).min(n);
    Array2::from_shape_fn((ny, nx), |(j, i)| {
        let (mut sum, mut n) = (0.0, 0.0);
        for z in image.slice(s![range(j, ny), range(i, nx)]).iter().filter(|z| !z.is_nan()) {
            (sum, n) = (sum + z, n + 1.0);
        }
        sum / n
    })
}

//! What exposures have above all that the static sky may have in them, each with its own PSF: sharp light is not diluted there.

use super::ArtifactsConfig;
use super::candidates::Epoch;
use super::matched::slice;
use super::sharpness::{excess_ratios, neighbour_ratios, sharpness};
use super::static_sky::{MEDIAN_VARIANCE, mean_around, median, slope};
use ndarray::Array2;
use std::collections::BTreeMap;

/// Half-side of the square over which the static sky is averaged to see whether there is a source \[tract pixel\],
const SMOOTH_PX: usize = 2;
/// and the significance of that.
const SOURCE_SIGMA: f32 = 3.0;

/// The exposures with their own PSFs. Pixels are named as in [`Matched`](super::matched::Matched).
pub(super) struct Native<'a> {
    epochs: &'a [Epoch],
    planes: Vec<&'a [f32]>,
    config: &'a ArtifactsConfig,
    width: usize,
    /// Which exposures have a value at every pixel: a set, by its number.
    set: Vec<u32>,
    sets: Vec<Set>,
    skies: Vec<Sky>,
    ratios: Vec<[f64; 4]>,
}

/// Exposures that have a value at a pixel: what a source may exceed their median by depends on them.
struct Set {
    n: usize,
    /// By exposure; 1 for others.
    excess: Vec<f32>,
    /// Of the median, or of the other one of two \[nJy²\].
    variance: f32,
}

/// The static sky: the median of all; of two exposures the other one.
struct Sky {
    njy: Array2<f32>,
    slope: Array2<f32>,
}

impl<'a> Native<'a> {
    pub fn new(epochs: &'a [Epoch], config: &'a ArtifactsConfig) -> Self {
        let shape = epochs[0].native_njy.dim();
        let planes: Vec<&[f32]> = epochs.iter().map(|e| slice(&e.native_njy)).collect();
        let (mut numbers, mut sets): (BTreeMap<Vec<usize>, u32>, Vec<Set>) = (BTreeMap::new(), Vec::new());
        let (mut members, mut last): (Vec<usize>, Option<(Vec<usize>, u32)>) = (Vec::new(), None);
        let mut values = Vec::new();
        let mut njy = Array2::from_elem(shape, f32::NAN);
        let mut set = Vec::with_capacity(njy.len());
        for (p, sky) in njy.iter_mut().enumerate() {
            members.clear();
            members.extend((0..planes.len()).filter(|&k| !planes[k][p].is_nan()));
            // Neighbours mostly have the same.
            let number = match &last {
                Some((same, number)) if *same == members => *number,
                _ => *numbers.entry(members.clone()).or_insert_with(|| {
                    sets.push(Set::new(epochs, &members));
                    sets.len() as u32 - 1
                }),
            };
            if last.as_ref().is_none_or(|(_, of)| *of != number) {
                last = Some((members.clone(), number));
            }
            set.push(number);
            if members.len() > 2 {
                values.clear();
                values.extend(members.iter().map(|&k| f64::from(planes[k][p])));
                *sky = median(&mut values) as f32;
            }
        }
        // Where there are two, each has its own sky.
        let is_two = |number: &u32| sets[*number as usize].n == 2;
        let skies = if set.iter().any(is_two) {
            let of = |k: usize| {
                let mut own = njy.clone();
                for (p, sky) in own.iter_mut().enumerate().filter(|(p, _)| is_two(&set[*p]) && !planes[k][*p].is_nan()) {
                    let other = (0..planes.len()).find(|&i| i != k && !planes[i][p].is_nan());
                    *sky = planes[other.expect("one of two")][p];
                }
                Sky::new(own)
            };
            (0..epochs.len()).map(of).collect()
        } else {
            vec![Sky::new(njy)]
        };
        let ratios = epochs.iter().map(|e| neighbour_ratios(e.psf.view())).collect();
        Self { epochs, planes, config, width: shape.1, set, sets, skies, ratios }
    }

    fn sky(&self, k: usize) -> &Sky {
        &self.skies[if self.skies.len() == 1 { 0 } else { k }]
    }

    /// The most that is expected of exposure `k`, z ≤ n + (b - 1) n, and the variance of its difference from that.
    fn bound(&self, k: usize, p: usize) -> (f32, f32) {
        let (sky, set, epoch) = (self.sky(k), &self.sets[self.set[p] as usize], &self.epochs[k]);
        let n = slice(&sky.njy)[p];
        // Where the sky is empty the bound would only multiply its noise.
        let smooth = mean_around(&sky.njy, [p / self.width, p % self.width], SMOOTH_PX);
        let is_source = smooth > SOURCE_SIGMA * set.variance.sqrt() / (2 * SMOOTH_PX + 1) as f32;
        let (light, b) = if is_source { (n.max(0.0), set.excess[k]) } else { (0.0, 1.0) };
        let (model_error, position_error) = (self.config.model_error as f32, self.config.position_error_px as f32);
        let systematic = (model_error * b * light).powi(2) + (position_error * slice(&sky.slope)[p]).powi(2);
        let noise = epoch.native_variance as f32 + epoch.njy_per_e as f32 * light + b * b * set.variance;
        (n + (b - 1.0) * light, noise + systematic)
    }

    /// In sigma, where it is at least `low`; `None` where the exposure has no value or stands alone, too.
    pub fn excess(&self, k: usize, p: usize, low: f32) -> Option<f32> {
        let z = self.planes[k][p];
        // The bound is never below the sky, nor the noise below that of the exposure: most pixels end here.
        let least = z - slice(&self.sky(k).njy)[p];
        if !(least > 0.0 && least * least >= low * low * self.epochs[k].native_variance as f32) {
            return None;
        }
        let (most, variance) = self.bound(k, p);
        Some((z - most) / variance.sqrt()).filter(|snr| *snr >= low)
    }

    /// In sigma; 0 where the pixel is not sharp.
    pub fn sharpness(&self, k: usize, p: usize) -> f32 {
        let (sky, epoch) = (slice(&self.sky(k).njy), &self.epochs[k]);
        let light = f64::from(sky[p].max(0.0));
        let sigma = (epoch.native_variance + epoch.njy_per_e * light).sqrt();
        // Of the static sky the residual has what PSFs differ by: as large an error as the bound allows for.
        let allowed = f64::from(self.bound(k, p).0 - sky[p]);
        let (y, x, plane) = (p / self.width, p % self.width, self.planes[k]);
        let residual = |dy: isize, dx: isize| {
            let near = y.checked_add_signed(dy).zip(x.checked_add_signed(dx)).filter(|(_, x)| *x < self.width);
            let q = near.map(|(y, x)| y * self.width + x).filter(|q| *q < plane.len());
            q.map_or(f64::NAN, |q| f64::from(plane[q] - sky[q]))
        };
        sharpness(residual, &self.ratios[k], sigma.hypot(allowed), self.config.model_error).unwrap_or(0.0).max(0.0) as f32
    }
}

impl Sky {
    fn new(njy: Array2<f32>) -> Self {
        Self { slope: slope(&njy), njy }
    }
}

impl Set {
    fn new(epochs: &[Epoch], members: &[usize]) -> Self {
        let n = members.len();
        let mean_variance = members.iter().map(|&k| epochs[k].native_variance).sum::<f64>() / n.max(1) as f64;
        let variance = if n == 2 { mean_variance } else { MEDIAN_VARIANCE * mean_variance / n.max(1) as f64 };
        let mut excess = vec![1.0; epochs.len()];
        for (&k, ratio) in members.iter().zip(excess_ratios_of(epochs, members)) {
            excess[k] = ratio as f32;
        }
        Self { n, excess, variance: variance as f32 }
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

//! Differences of exposures from the static sky, all with one PSF.

use super::ArtifactsConfig;
use super::candidates::{Epoch, MARGIN_PX};
use super::static_sky::{clipped_mean_of, slope};
use ndarray::{Array2, Axis, Zip};

/// Relative error of a source where the matching kernel misses pixels of it.
const ERROR_NEAR_BAD: f64 = 0.3;

/// A difference from the static sky.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Difference {
    pub njy: f32,
    pub snr: f32,
}

/// The exposures with the common PSF.
pub(super) struct Matched<'a> {
    epochs: &'a [Epoch],
    config: &'a ArtifactsConfig,
    /// The static sky and its variance; of two exposures their mean.
    pub sky: Array2<(f64, f64)>,
    pub n_epochs: Array2<u32>,
    /// |∇S| \[nJy/pixel\].
    slope: Array2<f64>,
    /// Some exposure has bad pixels, or its edge, under the matching kernel.
    near_bad: Array2<bool>,
}

impl<'a> Matched<'a> {
    pub fn new(epochs: &'a [Epoch], config: &'a ArtifactsConfig, reach_px: usize) -> Self {
        let shape = epochs[0].matched_njy.dim();
        let mut n_epochs = Array2::zeros(shape);
        let (mut values, mut members, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let sky = Array2::from_shape_fn(shape, |at| {
            values.clear();
            members.clear();
            for epoch in epochs {
                let z = epoch.matched_njy[at];
                if !z.is_nan() {
                    values.push(f64::from(z));
                    members.push(epoch);
                }
            }
            n_epochs[at] = values.len() as u32;
            match values.len() {
                0 => (f64::NAN, f64::NAN),
                2 => (0.5 * (values[0] + values[1]), 0.25 * (members[0].matched_variance + members[1].matched_variance)),
                _ => clipped_mean_of(&values, |k, sky| members[k].variance_of(sky) + (config.model_error * sky).powi(2), &mut scratch),
            }
        });
        let slope = slope(&sky.map(|s| s.0));
        let mut near_bad = Array2::from_elem(shape, false);
        for epoch in epochs {
            // Only where its matched image counts.
            let near = grown(&epoch.native_njy.mapv(f32::is_nan), reach_px.min(MARGIN_PX as usize));
            Zip::from(&mut near_bad).and(&near).and(&epoch.matched_njy).for_each(|bad, near, z| *bad |= *near && !z.is_nan());
        }
        Self { epochs, config, sky, n_epochs, slope, near_bad }
    }

    /// `None` where there is no other exposure to compare with; of two, only the one that has more may be wrong.
    pub fn difference(&self, k: usize, at: [usize; 2]) -> Option<Difference> {
        let (epoch, n) = (&self.epochs[k], self.n_epochs[at]);
        let z = f64::from(epoch.matched_njy[at]);
        if z.is_nan() || n < 2 {
            return None;
        }
        let (sky, variance) = if n == 2 {
            let is_other = |(i, e): &(usize, &Epoch)| *i != k && !e.matched_njy[at].is_nan();
            let other = self.epochs.iter().enumerate().find(is_other)?.1;
            let sky = f64::from(other.matched_njy[at]);
            (sky, other.variance_of(sky))
        } else {
            self.sky[at]
        };
        let model_error = if self.near_bad[at] { ERROR_NEAR_BAD.max(self.config.model_error) } else { self.config.model_error };
        let systematic = (model_error * sky).powi(2) + (self.config.position_error_px * self.slope[at]).powi(2);
        let difference = z - sky;
        (n > 2 || difference > 0.0).then(|| Difference {
            njy: difference as f32,
            snr: (difference / (epoch.variance_of(sky) + variance + systematic).sqrt()) as f32,
        })
    }
}

/// A mask grown by a square of half-width `r`.
fn grown(mask: &Array2<bool>, r: usize) -> Array2<bool> {
    let mut out = mask.clone();
    for axis in 0..2 {
        let before = out.clone();
        for (mut to, from) in out.lanes_mut(Axis(axis)).into_iter().zip(before.lanes(Axis(axis))) {
            let n = to.len();
            for i in 0..n {
                to[i] = (i.saturating_sub(r)..(i + r + 1).min(n)).any(|k| from[k]);
            }
        }
    }
    out
}

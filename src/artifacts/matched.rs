//! Differences of exposures from the static sky, all with one PSF.

use super::ArtifactsConfig;
use super::candidates::{Epoch, MARGIN_PX};
use super::static_sky::{clipped_mean_of, slope};
use ndarray::Array2;

/// Relative error of a source where the matching kernel misses pixels of it.
const ERROR_NEAR_BAD: f32 = 0.3;

/// A difference from the static sky.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Difference {
    pub njy: f32,
    pub snr: f32,
}

/// The exposures with the common PSF. Pixels are named by their place in the planes of a tile and its margin, row by row.
pub(super) struct Matched<'a> {
    epochs: &'a [Epoch],
    planes: Vec<&'a [f32]>,
    /// The static sky \[nJy\]; of two exposures their mean.
    pub sky_njy: Array2<f32>,
    /// Its variance \[nJy²\].
    pub sky_variance: Array2<f32>,
    pub n_epochs: Array2<u16>,
    /// Variance that errors of models and positions bring to a source \[nJy²\].
    systematic: Array2<f32>,
}

impl<'a> Matched<'a> {
    pub fn new(epochs: &'a [Epoch], config: &'a ArtifactsConfig, reach_px: usize) -> Self {
        let shape = epochs[0].matched_njy.dim();
        let planes: Vec<&[f32]> = epochs.iter().map(|e| slice(&e.matched_njy)).collect();
        let (mut sky_njy, mut sky_variance) = (Array2::from_elem(shape, f32::NAN), Array2::from_elem(shape, f32::NAN));
        let mut n_epochs = Array2::zeros(shape);
        let (mut values, mut members, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let outputs = sky_njy.iter_mut().zip(&mut sky_variance).zip(&mut n_epochs);
        for (p, ((sky, variance), n)) in outputs.enumerate() {
            values.clear();
            members.clear();
            for (epoch, plane) in epochs.iter().zip(&planes) {
                if !plane[p].is_nan() {
                    values.push(f64::from(plane[p]));
                    members.push(epoch);
                }
            }
            *n = values.len() as u16;
            let (mean, v) = match values.len() {
                0 => continue,
                2 => (0.5 * (values[0] + values[1]), 0.25 * (members[0].matched_variance + members[1].matched_variance)),
                _ => clipped_mean_of(
                    &values,
                    |k, sky| f64::from(members[k].variance_at(sky as f32)) + (config.model_error * sky).powi(2),
                    &mut scratch,
                ),
            };
            (*sky, *variance) = (mean as f32, v as f32);
        }
        let mut near_bad = Array2::from_elem(shape, false);
        for (epoch, plane) in epochs.iter().zip(&planes) {
            if let Some(near) = near_gaps(&epoch.native_njy, reach_px.min(MARGIN_PX as usize)) {
                // Only where its matched image counts.
                near_bad.iter_mut().zip(near).zip(*plane).for_each(|((bad, near), z)| *bad |= near && !z.is_nan());
            }
        }
        let mut systematic = slope(&sky_njy);
        for ((v, sky), bad) in systematic.iter_mut().zip(&sky_njy).zip(near_bad) {
            let model_error = if bad { ERROR_NEAR_BAD.max(config.model_error as f32) } else { config.model_error as f32 };
            *v = (model_error * sky).powi(2) + (config.position_error_px as f32 * *v).powi(2);
        }
        Self { epochs, planes, sky_njy, sky_variance, n_epochs, systematic }
    }

    /// Difference of exposure `k` and its variance; `None` where there is no other exposure to compare with; of two, only the one that has more may
    /// be wrong.
    fn compared(&self, k: usize, p: usize) -> Option<(f32, f32)> {
        let (z, n) = (self.planes[k][p], slice(&self.n_epochs)[p]);
        if z.is_nan() || n < 2 {
            return None;
        }
        let systematic = slice(&self.systematic)[p];
        if n > 2 {
            let sky = slice(&self.sky_njy)[p];
            return Some((z - sky, self.epochs[k].variance_at(sky) + slice(&self.sky_variance)[p] + systematic));
        }
        let (other, sky) = (0..self.planes.len()).filter(|i| *i != k).map(|i| (i, self.planes[i][p])).find(|(_, z)| !z.is_nan())?;
        let variance = self.epochs[k].variance_at(sky) + self.epochs[other].variance_at(sky);
        (z > sky).then_some((z - sky, variance + systematic))
    }

    /// True where the difference, of either sign, is at least `low` sigma.
    pub fn stands_out(&self, k: usize, p: usize, low: f32) -> bool {
        self.compared(k, p).is_some_and(|(difference, variance)| difference * difference >= low * low * variance)
    }

    /// `None` where there is nothing to compare with.
    pub fn difference(&self, k: usize, p: usize) -> Option<Difference> {
        self.compared(k, p).map(|(njy, variance)| Difference { njy, snr: njy / variance.sqrt() })
    }
}

pub(super) fn slice<T>(plane: &Array2<T>) -> &[T] {
    plane.as_slice().expect("planes are in standard layout")
}

/// Pixels within `r` of a NaN along both axes; none if there is no NaN.
fn near_gaps(image: &Array2<f32>, r: usize) -> Option<Array2<bool>> {
    if !image.iter().any(|z| z.is_nan()) {
        return None;
    }
    let (ny, nx) = image.dim();
    let mut along = image.map(|z| z.is_nan());
    for mut row in along.rows_mut() {
        let row = row.as_slice_mut().expect("standard layout");
        let mut since = r + 1;
        let mut mark = |bad: bool| {
            since = if bad { 0 } else { since + 1 };
            since <= r
        };
        let forward: Vec<bool> = row.iter().map(|bad| mark(*bad)).collect();
        let mut since = r + 1;
        for (bad, before) in row.iter_mut().zip(forward).rev() {
            since = if *bad { 0 } else { since + 1 };
            *bad = before || since <= r;
        }
    }
    let mut out = along.clone();
    for rows in [(0..ny).collect::<Vec<_>>(), (0..ny).rev().collect()] {
        let mut since = vec![r + 1; nx];
        for j in rows {
            for ((since, bad), out) in since.iter_mut().zip(along.row(j)).zip(out.row_mut(j)) {
                *since = if *bad { 0 } else { *since + 1 };
                *out |= *since <= r;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_grow_by_squares() {
        let mut image = Array2::<f32>::zeros((20, 30));
        assert!(near_gaps(&image, 3).is_none());
        let gaps = [(0, 0), (10, 12), (11, 29)];
        gaps.iter().for_each(|&at| image[at] = f32::NAN);
        for ((j, i), near) in near_gaps(&image, 3).unwrap().indexed_iter() {
            let expected = gaps.iter().any(|&(y, x)| j.abs_diff(y) <= 3 && i.abs_diff(x) <= 3);
            assert_eq!(*near, expected, "{j} {i}");
        }
    }
}

//! What a direct coadd is made of, pixel by pixel: number of exposures, effective gain, mean epoch, seeing.

use super::CoaddInputRecord;
use ndarray::{Array2, ArrayView3, Axis};
use std::collections::BTreeMap;

/// Planes on one box; without data 0 exposures and NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties {
    /// Exposures that contribute.
    pub n_exposures: Array2<u32>,
    /// Effective gain (Σw)² / Σ(w²/g) \[electrons per nJy\]: light of f nJy adds f over it to a pixel's variance.
    pub electrons_per_njy: Array2<f64>,
    /// Σ w t / Σ w, MJD (TAI).
    pub mjd: Array2<f64>,
    /// Σ w FWHM / Σ w \[tract pixel\], of the exposures' PSFs at their centres.
    pub fwhm_px: Array2<f64>,
}

/// The properties where the exposures of `words` contribute (`[word, y, x]`, see [`super::BandCoadd::inputs_wyx`]) with the weights of `inputs`.
#[must_use]
pub fn properties(inputs: &[CoaddInputRecord], words: ArrayView3<u64>) -> Properties {
    let (_, ny, nx) = words.dim();
    let nan = || Array2::from_elem((ny, nx), f64::NAN);
    let mut out = Properties { n_exposures: Array2::zeros((ny, nx)), electrons_per_njy: nan(), mjd: nan(), fwhm_px: nan() };
    // Sets of exposures are few, pixels many.
    let mut known: BTreeMap<Vec<u64>, (u32, [f64; 3])> = BTreeMap::new();
    for ((pixel, lane), n_exposures) in words.lanes(Axis(0)).into_iter().enumerate().zip(&mut out.n_exposures) {
        let set = lane.to_vec();
        if set.iter().all(|w| *w == 0) {
            continue;
        }
        let (n, [gain, mjd, fwhm]) = known.entry(set).or_insert_with_key(|set| of_set(inputs, set));
        let at = [pixel / nx, pixel % nx];
        *n_exposures = *n;
        (out.electrons_per_njy[at], out.mjd[at], out.fwhm_px[at]) = (*gain, *mjd, *fwhm);
    }
    out
}

/// Number of exposures; gain, epoch and seeing.
fn of_set(inputs: &[CoaddInputRecord], set: &[u64]) -> (u32, [f64; 3]) {
    let members = || inputs.iter().enumerate().filter(|(i, _)| set[i / 64] >> (i % 64) & 1 == 1).map(|(_, input)| input);
    let sum = |value: &dyn Fn(&CoaddInputRecord) -> f64| members().map(value).sum::<f64>();
    let weights = sum(&|m| m.weight);
    let gain = weights * weights / sum(&|m| m.weight * m.weight / m.electrons_per_njy);
    (members().count() as u32, [gain, sum(&|m| m.weight * m.mjd) / weights, sum(&|m| m.weight * m.fwhm_px) / weights])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ExposureId;
    use approx::assert_abs_diff_eq;
    use ndarray::Array3;

    /// N equal exposures have N times the gain of one; weights count for the epoch.
    #[test]
    fn means_over_those_that_contribute() {
        let input = |i: usize, weight: f64, mjd: f64| CoaddInputRecord {
            id: ExposureId(format!("e{i}")),
            weight,
            n_pixels: 0,
            mjd,
            electrons_per_njy: 2.0,
            fwhm_px: 3.0 + i as f64,
        };
        let mut inputs: Vec<_> = (0..70).map(|i| input(i, 1.0, 100.0)).collect();
        inputs[69] = input(69, 3.0, 104.0);
        let mut words = Array3::zeros((2, 1, 3));
        (words[[0, 0, 0]], words[[1, 0, 0]]) = (0b111, 0);
        (words[[0, 0, 1]], words[[1, 0, 1]]) = (0b1, 1 << 5);
        let found = properties(&inputs, words.view());
        assert_eq!(found.n_exposures.as_slice().unwrap(), [3, 2, 0]);
        assert_abs_diff_eq!(found.electrons_per_njy[[0, 0]], 6.0, epsilon = 1e-12);
        assert_abs_diff_eq!(found.electrons_per_njy[[0, 1]], 16.0 / (10.0 / 2.0), epsilon = 1e-12);
        assert_abs_diff_eq!(found.mjd[[0, 1]], 103.0, epsilon = 1e-12);
        assert_abs_diff_eq!(found.fwhm_px[[0, 0]], 4.0, epsilon = 1e-12);
        assert!(found.mjd[[0, 2]].is_nan());
    }
}

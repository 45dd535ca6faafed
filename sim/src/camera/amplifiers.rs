//! Amplifiers: parts of a detector with their own gain and read noise.
//!
//! Counts are *calibrated* counts: a flat field has made the counts of the same light equal in all amplifiers, so that the sky
//! and the objects show no steps, and one photometric calibration holds for the whole detector. What remains is the noise: an
//! amplifier of higher gain has more electrons behind each count. Gains g_a = ḡ/(1 + δ_a) with Σ δ_a = 0, so that the mean of 1/g_a is
//! 1/ḡ: the chain's one gain ḡ predicts the Poisson variance per count right on average over the detector, and the one read
//! noise, ḡ √⟨r_a²/g_a²⟩, the rest. Within one amplifier it is off by δ_a.

use super::Streams;
use crate::SimError;
use crate::error::check;
use fathom::geometry::Box2;
use rand_distr::{Distribution, StandardNormal};

/// One amplifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amplifier {
    /// Its pixels.
    pub bbox: Box2,
    /// Electrons per calibrated count.
    pub gain_e_per_adu: f64,
    /// Read noise \[electrons\].
    pub read_noise_e: f64,
}

/// The amplifiers of one detector, in rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplifiers {
    /// `(ny, nx)` of the detector.
    shape: (usize, usize),
    /// Columns, rows.
    n: [usize; 2],
    /// Row by row.
    list: Vec<Amplifier>,
}

/// Checks the settings of amplifiers.
pub(super) fn check_amplifiers(n: [usize; 2], gain_scatter: f64, read_noise_scatter: f64, size_px: [usize; 2]) -> Result<(), SimError> {
    let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.detector", key, is_good, found, expected);
    let fits = n.iter().zip(size_px).all(|(n, size)| (1..=64).contains(n) && n * 8 <= size);
    c("amplifiers", fits, &n, "1..=64 columns and rows of at least 8 pixels")?;
    c("amplifier_gain_scatter", (0.0..=0.2).contains(&gain_scatter), &gain_scatter, "0..=0.2")?;
    c("amplifier_read_noise_scatter", (0.0..=0.3).contains(&read_noise_scatter), &read_noise_scatter, "0..=0.3")
}

impl Amplifiers {
    /// `scatter`: relative, of gains and of read noises; `detector` and `streams` key the draws.
    pub(super) fn draw(
        shape: (usize, usize),
        n: [usize; 2],
        (gain_e_per_adu, read_noise_e): (f64, f64),
        (gain_scatter, read_noise_scatter): (f64, f64),
        streams: &Streams,
        detector: usize,
    ) -> Self {
        let n_amplifiers = n[0] * n[1];
        let mut rng = streams.of_detector("amplifiers", detector);
        let mut normals =
            || -> Vec<f64> { (0..n_amplifiers).map(|_| StandardNormal.sample(&mut rng)).map(|v: f64| v.clamp(-3.0, 3.0)).collect() };
        let (gains, noises) = (normals(), normals());
        let mean = gains.iter().sum::<f64>() / n_amplifiers as f64;
        let list = (0..n_amplifiers)
            .map(|k| Amplifier {
                bbox: box_of(shape, n, k),
                gain_e_per_adu: gain_e_per_adu / (1.0 + gain_scatter * (gains[k] - mean)),
                read_noise_e: read_noise_e * (read_noise_scatter * noises[k]).exp(),
            })
            .collect();
        Self { shape, n, list }
    }

    /// All of them, row by row.
    #[must_use]
    pub fn all(&self) -> &[Amplifier] {
        &self.list
    }

    /// The one that reads a pixel; the nearest one for positions outside.
    #[must_use]
    pub fn at(&self, x: usize, y: usize) -> &Amplifier {
        let (ny, nx) = self.shape;
        let along = |p: usize, size: usize, n: usize| (p.min(size - 1) * n) / size;
        &self.list[along(y, ny, self.n[1]) * self.n[0] + along(x, nx, self.n[0])]
    }

    /// Read noise that stands for all \[electrons at the mean gain\]: ḡ √⟨r²/g²⟩.
    pub(super) fn mean_read_noise_e(&self, gain_e_per_adu: f64) -> f64 {
        let mean = self.list.iter().map(|a| (a.read_noise_e / a.gain_e_per_adu).powi(2)).sum::<f64>() / self.list.len() as f64;
        gain_e_per_adu * mean.sqrt()
    }
}

/// Pixels x with ⌊x n / size⌋ = k.
fn box_of((ny, nx): (usize, usize), n: [usize; 2], k: usize) -> Box2 {
    let range = |i: usize, size: usize, n: usize| ((i * size).div_ceil(n) as i32)..(((i + 1) * size).div_ceil(n) as i32);
    Box2::from_ranges(range(k % n[0], nx, n[0]), range(k / n[0], ny, n[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boxes tile the detector and are where `at` says; ⟨1/g⟩ = 1/ḡ exactly.
    #[test]
    fn amplifiers_tile_the_detector_and_keep_the_mean_gain() {
        let streams = Streams { seed: 3, band: "r", visit: 0 };
        let amplifiers = Amplifiers::draw((53, 101), [4, 3], (1.5, 6.0), (0.1, 0.1), &streams, 0);
        for y in 0..53 {
            for x in 0..101 {
                let inside: Vec<_> = amplifiers.all().iter().filter(|a| a.bbox.contains(x, y)).collect();
                assert_eq!(inside, [amplifiers.at(x as usize, y as usize)]);
            }
        }
        let mean_inverse = amplifiers.all().iter().map(|a| 1.0 / a.gain_e_per_adu).sum::<f64>() / 12.0;
        assert!((mean_inverse * 1.5 - 1.0).abs() < 1e-12);
        let single = Amplifiers::draw((53, 101), [1, 1], (1.5, 6.0), (0.1, 0.0), &streams, 0);
        assert!((single.all()[0].gain_e_per_adu - 1.5).abs() < 1e-15 && (single.mean_read_noise_e(1.5) - 6.0).abs() < 1e-12);
    }
}

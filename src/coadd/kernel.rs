//! Lanczos kernels, normalised to unit sum at every phase, and the covariance that they leave.

use super::convolve::PLACE_BITS;
use super::warp::{FRACTION_BITS, floor};

/// Phases in the table; linear interpolation between them errs by less than 5e-7.
const N_PHASES: usize = 1 << (FRACTION_BITS - PLACE_BITS);

/// Largest number of taps of a kernel.
pub(crate) const MAX_TAPS: usize = 10;

/// A Lanczos kernel as a table over the sub-pixel phase.
#[derive(Debug, Clone)]
pub(crate) struct Lanczos {
    order: usize,
    /// Weights by phase, `2 order` a phase.
    table: Vec<[f64; MAX_TAPS]>,
    /// The same in single precision, each phase padded with zeros to whole registers of eight.
    lanes: Vec<f32>,
}

impl Lanczos {
    /// Kernel of the given order a: L(t) = sinc(t) sinc(t/a) for |t| < a.
    pub fn new(order: usize) -> Self {
        let sinc = |t: f64| if t.abs() < 1e-12 { 1.0 } else { (std::f64::consts::PI * t).sin() / (std::f64::consts::PI * t) };
        let table: Vec<[f64; MAX_TAPS]> = (0..=N_PHASES)
            .map(|i| {
                let f = i as f64 / N_PHASES as f64;
                let mut w = [0.0; MAX_TAPS];
                for (j, w) in w.iter_mut().enumerate().take(2 * order) {
                    let t = j as f64 - (order as f64 - 1.0) - f;
                    // Exact zeros and ones at integer shifts: such a shift returns its input bit for bit.
                    let is_integer = (t - t.round()).abs() < 1e-12;
                    *w = if is_integer {
                        f64::from(u8::from(t.abs() < 0.5))
                    } else if t.abs() < order as f64 {
                        sinc(t) * sinc(t / order as f64)
                    } else {
                        0.0
                    };
                }
                let sum: f64 = w.iter().sum();
                w.map(|w| w / sum)
            })
            .collect();
        let n_lanes = (2 * order).next_multiple_of(8);
        let lane = |w: &[f64; MAX_TAPS], l: usize| w.get(l).map_or(0.0, |w| *w as f32);
        let lanes = table.iter().flat_map(|w| (0..n_lanes).map(move |l| lane(w, l))).collect();
        Self { order, table, lanes }
    }

    /// Number of taps an axis; the first is at floor(x) - order + 1.
    pub fn n_taps(&self) -> usize {
        2 * self.order
    }

    /// Offset of the first tap from floor(x), not positive.
    pub fn first_tap(&self) -> i64 {
        1 - self.order as i64
    }

    /// Weights of the first `N` taps at phase `f` in 0..=1; all taps sum to 1, those beyond the kernel's are 0.
    #[inline]
    pub fn weights<const N: usize>(&self, f: f64) -> [f64; N] {
        let u = f * N_PHASES as f64;
        let i = (u as usize).min(N_PHASES - 1);
        let t = u - i as f64;
        let (a, b) = (&self.table[i], &self.table[i + 1]);
        std::array::from_fn(|j| a[j] + t * (b[j] - a[j]))
    }

    /// The same in single precision, phase by phase, each padded to whole registers of eight: for [`super::convolve`].
    pub fn lanes(&self) -> &[f32] {
        &self.lanes
    }

    /// Σ_n k(n - x) k(n - x - u) for the phase x (in 0..1) that has the weights `first`: what two outputs, `u` input pixels apart on
    /// this axis, share of white input noise.
    pub fn overlap(&self, first: &[f64; MAX_TAPS], x: f64, u: f64) -> f64 {
        match self.order {
            3 => self.overlap_of::<6>(first, x, u),
            _ => self.overlap_of::<10>(first, x, u),
        }
    }

    fn overlap_of<const N: usize>(&self, first: &[f64; MAX_TAPS], x: f64, u: f64) -> f64 {
        let shift = floor(x + u);
        if shift.unsigned_abs() as usize >= N {
            return 0.0;
        }
        let second = self.weights::<N>(x + u - shift as f64);
        let (from_first, from_second) = (shift.max(0) as usize, (-shift).max(0) as usize);
        first[from_first..N].iter().zip(&second[from_second..]).map(|(a, b)| a * b).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::convolve::lanes;
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn weights_sum_to_one_and_integer_shifts_are_exact() {
        for order in [3, 5] {
            let k = Lanczos::new(order);
            for f in [0.0, 0.123, 0.5, 0.999, 1.0] {
                assert_abs_diff_eq!(k.weights::<MAX_TAPS>(f).iter().sum::<f64>(), 1.0, epsilon = 1e-14);
            }
            let w = k.weights::<MAX_TAPS>(0.0);
            assert!(w.iter().enumerate().all(|(j, &w)| w.to_bits() == f64::from(u8::from(j == order - 1)).to_bits()));
        }
    }

    /// The lanes are the weights to single precision, exact at whole shifts; those beyond the taps are 0.
    #[test]
    fn lanes_are_the_weights() {
        fn check<const L: usize>(order: usize) {
            let k = Lanczos::new(order);
            for fraction in (0..1 << 20).step_by(977) {
                let (lanes, w) = (lanes::<L>(k.lanes(), fraction), k.weights::<MAX_TAPS>(f64::from(fraction) / f64::from(1 << 20)));
                let expected = |l: usize| w.get(l).copied().unwrap_or(0.0);
                assert!((0..L).all(|l| (f64::from(lanes[l]) - expected(l)).abs() < 2e-7));
                assert_abs_diff_eq!(lanes.iter().map(|v| f64::from(*v)).sum::<f64>(), 1.0, epsilon = 3e-7);
            }
            assert!(lanes::<L>(k.lanes(), 0).iter().enumerate().all(|(l, v)| v.to_bits() == f32::from(u8::from(l == order - 1)).to_bits()));
        }
        check::<8>(3);
        check::<16>(5);
    }

    /// Phase-averaged covariance of Lanczos-3 output: .8934, .1003, -.0680, .0240, -.0032, .0003.
    #[test]
    fn covariance_of_white_noise() {
        let k = Lanczos::new(3);
        let n = 500;
        for (lag, expected) in [0.8934, 0.1003, -0.0680, 0.0240, -0.0032, 0.0003].into_iter().enumerate() {
            let mean = (0..n)
                .map(|i| (f64::from(i) + 0.5) / f64::from(n))
                .map(|f| k.overlap(&k.weights::<MAX_TAPS>(f), f, lag as f64))
                .sum::<f64>()
                / f64::from(n);
            assert_abs_diff_eq!(mean, expected, epsilon = 1e-4);
        }
    }
}

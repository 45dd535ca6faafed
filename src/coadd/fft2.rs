//! Two-dimensional transforms of square real arrays.

use ndarray::{Array2, ArrayView2};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Plans for n x n arrays; shared by threads.
#[derive(Clone)]
pub(crate) struct RealFft2 {
    n: usize,
    rows_forward: Arc<dyn RealToComplex<f64>>,
    rows_inverse: Arc<dyn ComplexToReal<f64>>,
    columns_forward: Arc<dyn Fft<f64>>,
    columns_inverse: Arc<dyn Fft<f64>>,
}

/// The smallest number ≥ `n` with no prime factor above 5: quick to transform.
pub(crate) fn fast_length(n: usize) -> usize {
    (n..)
        .find(|&m| {
            let mut rest = m;
            for p in [2, 3, 5] {
                while rest.is_multiple_of(p) {
                    rest /= p;
                }
            }
            rest == 1 && m % 2 == 0
        })
        .expect("powers of two are fast")
}

impl RealFft2 {
    /// Plans for side `n`.
    pub fn new(n: usize) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        Self {
            n,
            rows_forward: real.plan_fft_forward(n),
            rows_inverse: real.plan_fft_inverse(n),
            columns_forward: complex.plan_fft_forward(n),
            columns_inverse: complex.plan_fft_inverse(n),
        }
    }

    /// Side.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Transform of `[y, x]` (consumed), transposed: `[kx, ky]` with kx = 0..=n/2.
    pub fn forward(&self, mut image: Array2<f64>) -> Array2<Complex64> {
        let half = self.n / 2 + 1;
        let mut out = Array2::zeros((half, self.n));
        let mut line = self.rows_forward.make_output_vec();
        for (y, mut row) in image.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("standard layout");
            self.rows_forward.process(row, &mut line).expect("lengths agree");
            for (k, v) in line.iter().enumerate() {
                out[[k, y]] = *v;
            }
        }
        self.columns_forward.process(out.as_slice_mut().expect("standard layout"));
        out
    }

    /// Inverse of [`Self::forward`], 1/n² included: `[y, x]`.
    pub fn inverse(&self, mut spectrum: Array2<Complex64>) -> Array2<f64> {
        self.columns_inverse.process(spectrum.as_slice_mut().expect("standard layout"));
        let mut out = Array2::zeros((self.n, self.n));
        let mut line = self.rows_inverse.make_input_vec();
        let half = line.len();
        let norm = 1.0 / (self.n * self.n) as f64;
        for (y, mut row) in out.rows_mut().into_iter().enumerate() {
            for (k, v) in line.iter_mut().enumerate() {
                *v = spectrum[[k, y]] * norm;
            }
            // Rounding leaves tiny imaginary parts where a real transform has none.
            line[0].im = 0.0;
            line[half - 1].im = 0.0;
            self.rows_inverse.process(&mut line, row.as_slice_mut().expect("standard layout")).expect("lengths agree");
        }
        out
    }

    /// Transform of a stamp of odd side whose central pixel is the origin.
    pub fn of_stamp(&self, stamp: ArrayView2<f64>) -> Array2<Complex64> {
        let r = stamp.nrows() / 2;
        let mut image = Array2::zeros((self.n, self.n));
        for ((j, i), v) in stamp.indexed_iter() {
            image[[(j + self.n - r) % self.n, (i + self.n - r) % self.n]] = *v;
        }
        self.forward(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let fft = RealFft2::new(12);
        let image = Array2::from_shape_fn((12, 12), |(y, x)| ((y * 5 + x * 3) % 7) as f64);
        let back = fft.inverse(fft.forward(image.clone()));
        assert!(image.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(fast_length(359), 360);
    }
}

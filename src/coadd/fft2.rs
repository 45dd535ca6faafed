//! Two-dimensional transforms of square real arrays.

use ndarray::{Array2, ArrayView2};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex;
use rustfft::num_traits::Zero;
use rustfft::{Fft, FftNum, FftPlanner};
use std::sync::Arc;

/// Rows that are transposed together: their pieces of a column fill a cache line or more.
const BLOCK: usize = 16;

/// Plans for n x n arrays of single or double precision; shared by threads.
#[derive(Clone)]
pub(crate) struct RealFft2<T: FftNum = f64> {
    n: usize,
    rows_forward: Arc<dyn RealToComplex<T>>,
    rows_inverse: Arc<dyn ComplexToReal<T>>,
    columns_forward: Arc<dyn Fft<T>>,
    columns_inverse: Arc<dyn Fft<T>>,
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

impl<T: FftNum> RealFft2<T> {
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
    pub fn forward(&self, mut image: Array2<T>) -> Array2<Complex<T>> {
        let (n, half) = (self.n, self.n / 2 + 1);
        let mut out = Array2::zeros((half, n));
        let columns = out.as_slice_mut().expect("standard layout");
        let pixels = image.as_slice_mut().expect("standard layout");
        let mut lines = vec![Complex::zero(); BLOCK * half];
        let mut scratch = self.rows_forward.make_scratch_vec();
        for (block, rows) in pixels.chunks_mut(BLOCK * n).enumerate() {
            let height = rows.len() / n;
            for (row, line) in rows.chunks_mut(n).zip(lines.chunks_mut(half)) {
                self.rows_forward.process_with_scratch(row, line, &mut scratch).expect("lengths agree");
            }
            for (k, column) in columns.chunks_mut(n).enumerate() {
                let piece = &mut column[block * BLOCK..][..height];
                piece.iter_mut().enumerate().for_each(|(y, v)| *v = lines[y * half + k]);
            }
        }
        self.columns_forward.process(columns);
        out
    }

    /// Inverse of [`Self::forward`], 1/n² included: `[y, x]`.
    pub fn inverse(&self, mut spectrum: Array2<Complex<T>>) -> Array2<T> {
        let (n, half) = (self.n, self.n / 2 + 1);
        let columns = spectrum.as_slice_mut().expect("standard layout");
        self.columns_inverse.process(columns);
        let mut out = Array2::zeros((n, n));
        let norm = T::one() / T::from_usize(n * n).expect("a side is a small number");
        let mut lines = vec![Complex::zero(); BLOCK * half];
        let mut scratch = self.rows_inverse.make_scratch_vec();
        for (block, rows) in out.as_slice_mut().expect("standard layout").chunks_mut(BLOCK * n).enumerate() {
            let height = rows.len() / n;
            for (k, column) in columns.chunks(n).enumerate() {
                let piece = &column[block * BLOCK..][..height];
                piece.iter().enumerate().for_each(|(y, v)| lines[y * half + k] = *v * norm);
            }
            for (row, line) in rows.chunks_mut(n).zip(lines.chunks_mut(half)) {
                // Rounding leaves tiny imaginary parts where a real transform has none.
                line[0].im = T::zero();
                line[half - 1].im = T::zero();
                self.rows_inverse.process_with_scratch(line, row, &mut scratch).expect("lengths agree");
            }
        }
        out
    }

    /// Transform of a stamp of odd side whose central pixel is the origin.
    pub fn of_stamp(&self, stamp: ArrayView2<f64>) -> Array2<Complex<T>> {
        let r = stamp.nrows() / 2;
        let mut image = Array2::zeros((self.n, self.n));
        for ((j, i), &v) in stamp.indexed_iter() {
            image[[(j + self.n - r) % self.n, (i + self.n - r) % self.n]] = T::from_f64(v).expect("a number");
        }
        self.forward(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        // Blocks of rows that are whole, and a last one that is not.
        for n in [12, 16, 36] {
            let fft = RealFft2::new(n);
            let image = Array2::from_shape_fn((n, n), |(y, x)| ((y * 5 + x * 3) % 7) as f64);
            let back = fft.inverse(fft.forward(image.clone()));
            assert!(image.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12));
            let single = RealFft2::<f32>::new(n);
            let back = single.inverse(single.forward(image.mapv(|v| v as f32)));
            assert!(image.iter().zip(&back).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5));
        }
        assert_eq!(fast_length(359), 360);
    }
}

//! Two real images through two real kernels, or through one, by one complex transform in single precision: pixels and their variances, pixels
//! and the gaps between them.
//!
//! With X the transform of a + ib, A = (X(k) + X*(-k))/2 and iB = (X(k) - X*(-k))/2, so that a * K + i (b * Q) has the transform
//! X(k) S(k) + X*(-k) D(k) with S = (K + Q)/2 and D = (K - Q)/2. An error of rounding is 10⁻⁷ of the root mean square of all pixels:
//! both images should be of one scale.

use ndarray::ArrayView2;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Side of the blocks of a transposition: two of them fit into the first cache.
const BLOCK: usize = 16;

/// Plans for n x n pixels; shared by threads.
#[derive(Clone)]
pub(crate) struct PairFft {
    n: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

/// Memory of one thread.
pub struct PairScratch {
    /// Pixels `[y, x]`, a as real and b as imaginary part: to be filled before [`PairFft::forward`], read after [`PairFft::filtered`].
    pub(crate) pixels: Vec<Complex32>,
    spectrum: Vec<Complex32>,
    product: Vec<Complex32>,
    fft: Vec<Complex32>,
}

/// One kernel for both images, in Fourier space, `[kx, ky]`, 1/n² included.
pub(crate) struct SharedFilter(Vec<Complex32>);

/// Two kernels in Fourier space, `[kx, ky]`, 1/n² included.
pub(crate) struct PairFilter {
    sum: Vec<Complex32>,
    difference: Vec<Complex32>,
}

impl PairFft {
    pub fn new(n: usize) -> Self {
        let mut planner = FftPlanner::new();
        Self { n, forward: planner.plan_fft_forward(n), inverse: planner.plan_fft_inverse(n) }
    }

    /// Side.
    pub fn n(&self) -> usize {
        self.n
    }

    pub fn scratch(&self) -> PairScratch {
        let zeros = |n: usize| vec![Complex32::ZERO; n];
        let n_fft = self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len());
        let n2 = self.n * self.n;
        PairScratch { pixels: zeros(n2), spectrum: zeros(n2), product: zeros(n2), fft: zeros(n_fft) }
    }

    /// Transforms the pixels, of which only the first `height` rows are not zero; they are kept.
    pub fn forward(&self, scratch: &mut PairScratch, height: usize) {
        let n = self.n;
        scratch.product.copy_from_slice(&scratch.pixels);
        self.forward.process_with_scratch(&mut scratch.product[..height * n], &mut scratch.fft);
        transpose(&scratch.product, &mut scratch.spectrum, n, 0..n);
        self.forward.process_with_scratch(&mut scratch.spectrum, &mut scratch.fft);
    }

    /// a * K and b * Q of the pixels last transformed, in the rows `rows` of `pixels`; the others hold anything.
    pub fn filtered(&self, scratch: &mut PairScratch, filter: &PairFilter, rows: std::ops::Range<usize>) {
        let n = self.n;
        for kx in 0..n {
            let line = |k: usize| k * n..(k + 1) * n;
            let (here, mirrored) = (line(kx), &scratch.spectrum[line((n - kx) % n)]);
            let (x, s, d) = (&scratch.spectrum[here.clone()], &filter.sum[here.clone()], &filter.difference[here.clone()]);
            let out = &mut scratch.product[here];
            out[0] = x[0] * s[0] + mirrored[0].conj() * d[0];
            let others = x[1..].iter().zip(mirrored[1..].iter().rev()).zip(s[1..].iter().zip(&d[1..]));
            for (out, ((x, m), (s, d))) in out[1..].iter_mut().zip(others) {
                *out = x * s + m.conj() * d;
            }
        }
        self.back(scratch, rows);
    }

    /// The same with one kernel for both.
    pub fn filtered_alike(&self, scratch: &mut PairScratch, filter: &SharedFilter, rows: std::ops::Range<usize>) {
        let values = scratch.spectrum.iter().zip(&filter.0);
        scratch.product.iter_mut().zip(values).for_each(|(out, (x, k))| *out = x * k);
        self.back(scratch, rows);
    }

    fn back(&self, scratch: &mut PairScratch, rows: std::ops::Range<usize>) {
        let n = self.n;
        self.inverse.process_with_scratch(&mut scratch.product, &mut scratch.fft);
        transpose(&scratch.product, &mut scratch.pixels, n, rows.clone());
        self.inverse.process_with_scratch(&mut scratch.pixels[rows.start * n..rows.end * n], &mut scratch.fft);
    }

    /// The filter of a kernel of odd side whose central pixel is the origin.
    pub fn shared_filter(&self, scratch: &mut PairScratch, kernel: ArrayView2<f64>) -> SharedFilter {
        let (n, r) = (self.n, kernel.nrows() / 2);
        scratch.pixels.fill(Complex32::ZERO);
        for ((j, i), k) in kernel.indexed_iter() {
            scratch.pixels[(j + n - r) % n * n + (i + n - r) % n].re = *k as f32;
        }
        self.forward(scratch, n);
        let scale = 1.0 / (n * n) as f32;
        SharedFilter(scratch.spectrum.iter().map(|k| k * scale).collect())
    }

    /// The filter of two kernels of odd side whose central pixel is the origin.
    pub fn filter(&self, scratch: &mut PairScratch, a: ArrayView2<f64>, b: ArrayView2<f64>) -> PairFilter {
        let (n, r) = (self.n, a.nrows() / 2);
        scratch.pixels.fill(Complex32::ZERO);
        for (((j, i), a), b) in a.indexed_iter().zip(b) {
            scratch.pixels[(j + n - r) % n * n + (i + n - r) % n] = Complex32::new(*a as f32, *b as f32);
        }
        self.forward(scratch, n);
        let half = 0.5 / (n * n) as f32;
        let (mut sum, mut difference) = (Vec::with_capacity(n * n), Vec::with_capacity(n * n));
        for (kx, ky) in (0..n).flat_map(|kx| (0..n).map(move |ky| (kx, ky))) {
            let (x, m) = (scratch.spectrum[kx * n + ky], scratch.spectrum[(n - kx) % n * n + (n - ky) % n].conj());
            let (a, b) = ((x + m) * 0.5, (x - m) * Complex32::new(0.0, -0.5));
            sum.push((a + b) * half);
            difference.push((a - b) * half);
        }
        PairFilter { sum, difference }
    }
}

/// Rows `rows` of the transposed of an n x n array.
fn transpose(from: &[Complex32], to: &mut [Complex32], n: usize, rows: std::ops::Range<usize>) {
    for y0 in rows.clone().step_by(BLOCK) {
        for x0 in (0..n).step_by(BLOCK) {
            for y in y0..(y0 + BLOCK).min(rows.end) {
                for x in x0..(x0 + BLOCK).min(n) {
                    to[y * n + x] = from[x * n + y];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Against the double sum, to single precision; a height and rows that are parts of the whole.
    #[test]
    fn equals_two_convolutions() {
        let (n, height, rows) = (30, 24, 3..21);
        let fft = PairFft::new(n);
        let mut scratch = fft.scratch();
        let kernel = |seed: usize| Array2::from_shape_fn((7, 7), |(j, i)| ((j * 3 + i * 5 + seed) % 11) as f64 / 20.0 - 0.2);
        let (k, q) = (kernel(1), kernel(4));
        let filter = fft.filter(&mut scratch, k.view(), q.view());
        let value = |seed: usize, y: usize, x: usize| if y < height { ((y * 7 + x * 11 + seed) % 13) as f32 - 6.0 } else { 0.0 };
        for (y, x) in (0..n).flat_map(|y| (0..n).map(move |x| (y, x))) {
            scratch.pixels[y * n + x] = Complex32::new(value(0, y, x), value(5, y, x));
        }
        fft.forward(&mut scratch, height);
        fft.filtered(&mut scratch, &filter, rows.clone());
        for (y, x) in rows.flat_map(|y| (3..n - 3).map(move |x| (y, x))) {
            let sum = |kernel: &Array2<f64>, seed: usize| -> f64 {
                kernel.indexed_iter().map(|((j, i), k)| k * f64::from(value(seed, y + 3 - j, x + 3 - i))).sum()
            };
            let found = scratch.pixels[y * n + x];
            assert!((f64::from(found.re) - sum(&k, 0)).abs() < 1e-5 && (f64::from(found.im) - sum(&q, 5)).abs() < 1e-5, "{y} {x}");
        }
        let (alike, pair) = (fft.shared_filter(&mut scratch, k.view()), fft.filter(&mut scratch, k.view(), k.view()));
        for (y, x) in (0..n).flat_map(|y| (0..n).map(move |x| (y, x))) {
            scratch.pixels[y * n + x] = Complex32::new(value(0, y, x), value(5, y, x));
        }
        fft.forward(&mut scratch, height);
        fft.filtered(&mut scratch, &pair, 0..n);
        let by_pair = scratch.pixels.clone();
        fft.filtered_alike(&mut scratch, &alike, 0..n);
        assert!(scratch.pixels.iter().zip(&by_pair).all(|(a, b)| (a - b).norm() < 1e-5));
    }
}

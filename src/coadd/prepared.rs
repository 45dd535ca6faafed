//! One exposure made ready for the coadd: background off, in nJy, bad pixels as bits.

use crate::background::VisitProduct;
use crate::geometry::Box2;
use crate::image::{Chebyshev2, Exposure, ExposureMeta, MaskPlane};
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Planes over the part of the exposure that is in memory.
pub(crate) struct Prepared {
    /// Pixels present.
    pub bbox: Box2,
    /// Background-subtracted flux \[nJy\]; 0 at bad pixels.
    pub flux_njy: Array2<f32>,
    /// Variance plane \[nJy²\], sources' own noise included; 0 at bad pixels.
    pub variance_njy2: Array2<f32>,
    /// One bit a pixel: bad.
    pub bad: BitRows,
    njy_per_adu: Calibration,
    background_adu2: Chebyshev2,
    background_njy2: OnceLock<Array2<f32>>,
}

/// nJy per count.
enum Calibration {
    Uniform(f32),
    /// Over the pixels present.
    Map(Array2<f32>),
}

impl Calibration {
    fn on(meta: &ExposureMeta, bbox: &Box2) -> Self {
        let calib = &meta.photo_calib;
        match &calib.relative {
            Some(relative) => Self::Map(relative.image(bbox, calib.mean_njy_per_adu)),
            None => Self::Uniform(calib.mean_njy_per_adu as f32),
        }
    }

    fn at(&self, pixel: [usize; 2]) -> f32 {
        match self {
            Self::Uniform(c) => *c,
            Self::Map(map) => map[pixel],
        }
    }
}

impl Prepared {
    pub fn new(exposure: &Exposure, visit: &VisitProduct) -> Self {
        let bbox = exposure.bbox;
        let njy_per_adu = Calibration::on(&exposure.meta, &bbox);
        let mut flux_njy = visit.background.image(&bbox);
        let mut variance_njy2 = Array2::zeros(bbox.shape());
        let mut bad = BitRows::all_bad(bbox.shape());
        let (width, words) = (bbox.shape().1.max(1), bad.words_per_row);
        // One pass over the rows: every plane is touched once.
        let inputs = (pixels(&exposure.image), pixels(&exposure.mask), pixels(&exposure.variance));
        let rows = (
            pixels_mut(&mut flux_njy).par_chunks_mut(width),
            pixels_mut(&mut variance_njy2).par_chunks_mut(width),
            bad.words.par_chunks_mut(words),
        );
        rows.into_par_iter().enumerate().for_each(|(y, (flux, variance, bits))| {
            let row = y * width..(y + 1) * width;
            let (image, mask, plane) = (&inputs.0[row.clone()], &inputs.1[row.clone()], &inputs.2[row.clone()]);
            // Slices of one length: the loops become vectors.
            let values = flux.iter_mut().zip(variance).zip(image).zip(plane).zip(mask).map(|((((f, v), z), p), m)| (f, v, z, p, *m));
            let set = |((f, v, z, p, m), c): ((&mut f32, &mut f32, &f32, &f32, u32), f32)| {
                let is_good = m & MaskPlane::UNUSABLE == 0;
                let (flux_njy, variance_njy2) = ((z - *f) * c, p * c * c);
                (*f, *v) = (if is_good { flux_njy } else { 0.0 }, if is_good { variance_njy2 } else { 0.0 });
            };
            match &njy_per_adu {
                Calibration::Uniform(c) => values.map(|value| (value, *c)).for_each(set),
                Calibration::Map(map) => values.zip(pixels(map)[row].iter().copied()).for_each(set),
            }
            for (mask, word) in mask.chunks(64).zip(&mut bits[1..]) {
                let good = mask.iter().rev().fold(0u64, |good, m| good << 1 | u64::from(m & MaskPlane::UNUSABLE == 0));
                *word = !good;
            }
        });
        let background_adu2 = visit.background_variance.model_adu2.clone();
        Self { bbox, flux_njy, variance_njy2, bad, njy_per_adu, background_adu2, background_njy2: OnceLock::new() }
    }

    /// Light alone, on some pixels of an exposure that are all good, over the background variance of its visit.
    pub fn of_light(meta: &ExposureMeta, visit: &VisitProduct, bbox: Box2, flux_njy: Array2<f32>) -> Self {
        let variance_njy2 = Array2::zeros(bbox.shape());
        let background_adu2 = visit.background_variance.model_adu2.clone();
        let (njy_per_adu, bad) = (Calibration::on(meta, &bbox), BitRows::of(bbox.shape(), |_, _| false));
        Self { bbox, flux_njy, variance_njy2, bad, njy_per_adu, background_adu2, background_njy2: OnceLock::new() }
    }

    /// nJy per count at a pixel, `[y, x]` in the planes.
    pub fn njy_per_adu(&self, pixel: [usize; 2]) -> f32 {
        self.njy_per_adu.at(pixel)
    }

    /// Background variance \[nJy²\], smooth: made when it is first asked for, for the warp does without.
    pub fn background_njy2(&self) -> &Array2<f32> {
        self.background_njy2.get_or_init(|| {
            let mut variance = self.background_adu2.image(&self.bbox, 1.0);
            variance.indexed_iter_mut().for_each(|((j, i), v)| *v *= self.njy_per_adu.at([j, i]).powi(2));
            variance
        })
    }

    /// The same at one pixel, `[y, x]` in the planes.
    pub fn background_njy2_at(&self, [j, i]: [usize; 2]) -> f32 {
        let pixel = Box2::new(self.bbox.x0 + i as i32, self.bbox.y0 + j as i32, 1, 1);
        self.background_adu2.image(&pixel, 1.0)[[0, 0]] * self.njy_per_adu.at([j, i]).powi(2)
    }

    /// Planes at hand, in counts of 1 nJy over a background of variance 1.
    #[cfg(test)]
    pub fn of(flux_njy: Array2<f32>, variance_njy2: Array2<f32>, bad: BitRows) -> Self {
        let bbox = Box2::of_shape(flux_njy.dim());
        let (njy_per_adu, background_adu2) = (Calibration::Uniform(1.0), Chebyshev2::constant(bbox, 1.0));
        Self { bbox, flux_njy, variance_njy2, bad, njy_per_adu, background_adu2, background_njy2: OnceLock::new() }
    }
}

fn pixels<T>(plane: &Array2<T>) -> &[T] {
    plane.as_slice().expect("an exposure's planes are in standard layout")
}

fn pixels_mut<T>(plane: &mut Array2<T>) -> &mut [T] {
    plane.as_slice_mut().expect("a new plane is in standard layout")
}

/// Bad pixels as rows of bits, with a margin of at least 64 columns on both sides in which every pixel is bad (missing).
pub(crate) struct BitRows {
    words_per_row: usize,
    words: Vec<u64>,
    shape: (usize, usize),
}

impl BitRows {
    fn all_bad(shape: (usize, usize)) -> Self {
        let words_per_row = shape.1.div_ceil(64) + 3;
        Self { words_per_row, words: vec![u64::MAX; words_per_row * shape.0], shape }
    }

    /// Of the pixels that `is_bad` names by (y, x).
    pub fn of(shape: (usize, usize), is_bad: impl Fn(usize, usize) -> bool) -> Self {
        let mut bits = Self::all_bad(shape);
        for (y, x) in (0..shape.0).flat_map(|y| (0..shape.1).map(move |x| (y, x))).filter(|&(y, x)| !is_bad(y, x)) {
            bits.words[y * bits.words_per_row + x / 64 + 1] &= !(1 << (x % 64));
        }
        bits
    }

    /// First pixels of the windows of `n` x `n` ≤ 64 pixels that hold a bad one; windows that leave the rows count as such.
    pub fn windows_with_any(&self, n: usize) -> Self {
        // Words of a row: bit x is that of any of the pixels x..x + n. Steps of powers of two, for the fewest.
        let along_row = |row: &[u64]| -> Vec<u64> {
            let pairs = row.iter().zip(row.iter().skip(1).chain([&u64::MAX]));
            let any = |(&low, &high): (&u64, &u64)| {
                let (mut window, mut covered) = (u128::from(high) << 64 | u128::from(low), 1);
                while covered < n {
                    let step = covered.min(n - covered);
                    window |= window >> step;
                    covered += step;
                }
                window as u64
            };
            pairs.map(any).collect()
        };
        let rows: Vec<Vec<u64>> = self.words.par_chunks(self.words_per_row).map(along_row).collect();
        let mut words = vec![u64::MAX; self.words.len()];
        words.par_chunks_mut(self.words_per_row).enumerate().filter(|(y, _)| y + n <= rows.len()).for_each(|(y, out)| {
            out.copy_from_slice(&rows[y]);
            rows[y + 1..y + n].iter().for_each(|row| out.iter_mut().zip(row).for_each(|(o, r)| *o |= r));
        });
        Self { words_per_row: self.words_per_row, words, shape: self.shape }
    }

    /// The bit of a pixel that is inside.
    #[inline(always)]
    pub fn bit(&self, y: usize, x: usize) -> bool {
        self.words[y * self.words_per_row + x / 64 + 1] >> (x % 64) & 1 != 0
    }

    /// Bits of the `n` ≤ 64 pixels from array column `x` (which may lie outside) of row `y`; missing pixels are bad.
    #[inline]
    pub fn window(&self, y: i64, x: i64, n: usize) -> u64 {
        let keep = u64::MAX >> (64 - n);
        let start = x + 64;
        if !(0..self.shape.0 as i64).contains(&y) || start < 0 || x >= self.shape.1 as i64 {
            return keep;
        }
        self.inside(y as usize, start as usize, keep, n)
    }

    /// [`Self::window`] of `N` rows from row `y` on, all of them and the first column inside.
    #[inline]
    pub fn windows<const N: usize>(&self, y: usize, x: usize) -> [u64; N] {
        std::array::from_fn(|j| self.inside(y + j, x + 64, u64::MAX >> (64 - N), N))
    }

    /// `start`: column counted from the margin's.
    #[inline]
    fn inside(&self, y: usize, start: usize, keep: u64, n: usize) -> u64 {
        let (word, shift) = (start / 64, start % 64);
        // One word or two hold the window; the margin has a second word on the right for it.
        let first = y * self.words_per_row + word;
        let low = self.words[first] >> shift;
        let high = if shift + n > 64 { self.words[first + 1] << (64 - shift) } else { 0 };
        (low | high) & keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_agree_with_the_mask() {
        let is_bad = |y: i64, x: i64| !(0..30).contains(&y) || !(0..150).contains(&x) || (x * 7 + y * 13) % 11 == 0;
        let bits = BitRows::of((30, 150), |y, x| is_bad(y as i64, x as i64));
        for (y, x, n) in [(0, -5, 20), (3, 60, 10), (29, 140, 25), (30, 0, 6), (7, 63, 64), (5, -64, 64), (5, 149, 40), (1, -200, 12)] {
            let expected = (0..n as i64).fold(0u64, |w, k| w | u64::from(is_bad(y, x + k)) << k);
            assert_eq!(bits.window(y, x, n), expected, "{y} {x} {n}");
        }
    }

    #[test]
    fn windows_with_a_bad_pixel_are_found() {
        let bits = BitRows::of((40, 200), |y, x| (x * 31 + y * 17) % 173 == 0);
        for n in [1, 6, 10] {
            let any = bits.windows_with_any(n);
            for (y, x) in (0..40).flat_map(|y| (0..200).map(move |x| (y, x))) {
                let expected = (y..y + n).any(|j| bits.window(j as i64, x as i64, n) != 0);
                assert_eq!(any.bit(y, x), expected, "{y} {x} {n}");
            }
        }
    }
}

//! One exposure made ready for the coadd: background off, in nJy, bad pixels as bits.

use crate::background::VisitProduct;
use crate::geometry::Box2;
use crate::image::{Exposure, MaskPlane};
use ndarray::{Array2, ArrayView2, Axis, Zip};
use rayon::prelude::*;

/// Planes over the part of the exposure that is in memory.
pub(crate) struct Prepared {
    /// Pixels present.
    pub bbox: Box2,
    /// Background-subtracted flux \[nJy\]; 0 at bad pixels.
    pub flux_njy: Array2<f32>,
    /// Variance plane \[nJy²\], sources' own noise included; 0 at bad pixels.
    pub variance_njy2: Array2<f32>,
    /// Background variance \[nJy²\], smooth.
    pub background_njy2: Array2<f32>,
    /// nJy per count.
    pub njy_per_adu: Array2<f32>,
    /// One bit a pixel: bad.
    pub bad: BitRows,
}

impl Prepared {
    pub fn new(exposure: &Exposure, visit: &VisitProduct) -> Self {
        let bbox = exposure.bbox;
        let calib = &exposure.meta.photo_calib;
        let njy_per_adu = calib.relative.as_ref().map_or_else(
            || Array2::from_elem(bbox.shape(), calib.mean_njy_per_adu as f32),
            |r| r.image(&bbox).mapv(|v| (v * calib.mean_njy_per_adu) as f32),
        );
        let mut flux_njy = visit.background.image(&bbox);
        Zip::from(&mut flux_njy).and(&exposure.image).and(&exposure.mask).and(&njy_per_adu).par_for_each(|f, &z, &m, &c| {
            *f = if m & MaskPlane::UNUSABLE == 0 { (z - *f) * c } else { 0.0 };
        });
        let mut variance_njy2 = exposure.variance.clone();
        Zip::from(&mut variance_njy2).and(&exposure.mask).and(&njy_per_adu).par_for_each(|v, &m, &c| {
            *v = if m & MaskPlane::UNUSABLE == 0 { *v * c * c } else { 0.0 };
        });
        let mut background_njy2 = visit.background_variance.model_adu2.image(&bbox).mapv(|v| v as f32);
        Zip::from(&mut background_njy2).and(&njy_per_adu).par_for_each(|v, &c| *v *= c * c);
        let bad = BitRows::new(exposure.mask.view());
        Self { bbox, flux_njy, variance_njy2, background_njy2, njy_per_adu, bad }
    }
}

/// Bad pixels as rows of bits, with a margin of 64 columns on both sides in which every pixel is bad (missing).
pub(crate) struct BitRows {
    words_per_row: usize,
    words: Vec<u64>,
    shape: (usize, usize),
}

impl BitRows {
    fn new(mask: ArrayView2<u32>) -> Self {
        let (ny, nx) = mask.dim();
        let words_per_row = nx.div_ceil(64) + 2;
        let mut words = vec![u64::MAX; words_per_row * ny];
        words.par_chunks_mut(words_per_row).zip(mask.axis_iter(Axis(0)).into_par_iter()).for_each(|(words, row)| {
            for (x, m) in row.iter().enumerate() {
                if m & MaskPlane::UNUSABLE == 0 {
                    words[x / 64 + 1] &= !(1 << (x % 64));
                }
            }
        });
        Self { words_per_row, words, shape: (ny, nx) }
    }

    /// Bits of the `n` ≤ 64 pixels from array column `x` (which may lie outside) of row `y`; missing pixels are bad.
    pub fn window(&self, y: i64, x: i64, n: usize) -> u64 {
        let keep = if n == 64 { u64::MAX } else { (1 << n) - 1 };
        let start = x + 64;
        if !(0..self.shape.0 as i64).contains(&y) || start < 0 || x >= self.shape.1 as i64 {
            return keep;
        }
        let row = &self.words[y as usize * self.words_per_row..][..self.words_per_row];
        let (word, shift) = ((start / 64) as usize, (start % 64) as u32);
        let low = row[word] >> shift;
        let high = if shift == 0 { 0 } else { row.get(word + 1).copied().unwrap_or(u64::MAX) << (64 - shift) };
        (low | high) & keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_agree_with_the_mask() {
        let is_bad = |y: i64, x: i64| !(0..30).contains(&y) || !(0..150).contains(&x) || (x * 7 + y * 13) % 11 == 0;
        let mask = Array2::from_shape_fn((30, 150), |(y, x)| u32::from(is_bad(y as i64, x as i64)) * MaskPlane::Cr.bit());
        let bits = BitRows::new(mask.view());
        for (y, x, n) in [(0, -5, 20), (3, 60, 10), (29, 140, 25), (30, 0, 6), (7, 63, 64), (5, -64, 64), (5, 149, 40), (1, -200, 12)] {
            let expected = (0..n as i64).fold(0u64, |w, k| w | u64::from(is_bad(y, x + k)) << k);
            assert_eq!(bits.window(y, x, n), expected, "{y} {x} {n}");
        }
    }
}

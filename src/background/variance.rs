//! Variance of the background of one exposure: smooth, so that it is correlated with no pixel.

use crate::geometry::{Box2, PixelPoint};
use crate::image::Chebyshev2;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

/// Smooth model of the variance of source-free pixels (sky and read noise) \[ADU²\].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackgroundVariance {
    /// Low-order polynomial.
    pub model_adu2: Chebyshev2,
}

/// Side of the blocks whose means are fitted \[pixel\].
const BLOCK_PX: usize = 32;

impl BackgroundVariance {
    /// Variance \[ADU²\] at a position; positive everywhere on the exposure.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        self.model_adu2.at(p)
    }

    /// Fits a Chebyshev polynomial of total order `order` to the variance of the pixels where `is_sky`; `None` without such pixels.
    ///
    /// Plain means, not clipped ones: a variance plane made of observed counts is as skewed as the counts, and clipping it
    /// would bias it. The order is lowered until the model is positive everywhere.
    #[must_use]
    pub fn fit(variance_adu2: ArrayView2<f32>, is_sky: ArrayView2<bool>, order: usize) -> Option<Self> {
        let (ny, nx) = variance_adu2.dim();
        let bbox = Box2::of_shape((ny, nx));
        let mut blocks: Vec<(PixelPoint, f64, f64)> = Vec::new();
        for y0 in (0..ny).step_by(BLOCK_PX) {
            for x0 in (0..nx).step_by(BLOCK_PX) {
                let (mut n, mut sum, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0, 0.0);
                for y in y0..(y0 + BLOCK_PX).min(ny) {
                    for x in (x0..(x0 + BLOCK_PX).min(nx)).filter(|&x| is_sky[[y, x]]) {
                        n += 1.0;
                        sum += f64::from(variance_adu2[[y, x]]);
                        sum_x += x as f64;
                        sum_y += y as f64;
                    }
                }
                if n > 0.0 {
                    blocks.push((PixelPoint::new(sum_x / n, sum_y / n), sum / n, n));
                }
            }
        }
        (0..=order).rev().find_map(|order| fit_blocks(&blocks, bbox, order))
    }
}

/// Weighted least squares over (position, mean, number of pixels); `None` if singular or not positive on the exposure.
fn fit_blocks(blocks: &[(PixelPoint, f64, f64)], bbox: Box2, order: usize) -> Option<BackgroundVariance> {
    let model_adu2 = Chebyshev2::fit(bbox, blocks, order)?;
    // Sampling the box finely enough for a low order; the least of it must not come near zero.
    let mean = blocks.iter().map(|b| b.1 * b.2).sum::<f64>() / blocks.iter().map(|b| b.2).sum::<f64>();
    let along = |k: i32, start: i32, n: i32| f64::from(start) + f64::from(k) / 8.0 * f64::from(n - 1);
    let is_positive = (0..=8).all(|j| {
        (0..=8).all(|i| model_adu2.at(PixelPoint::new(along(i, bbox.x0, bbox.width), along(j, bbox.y0, bbox.height))) > 0.1 * mean)
    });
    (is_positive && mean > 0.0).then_some(BackgroundVariance { model_adu2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use ndarray::Array2;

    #[test]
    fn a_plane_is_found_and_masked_pixels_do_not_count() {
        let truth = |x: usize, y: usize| 100.0 + 0.05 * x as f64 - 0.02 * y as f64;
        let mut v = Array2::from_shape_fn((200, 150), |(y, x)| truth(x, y) as f32);
        let is_sky = Array2::from_shape_fn((200, 150), |(y, x)| !(40..90).contains(&x) || y > 120);
        v.indexed_iter_mut().for_each(|((y, x), v)| {
            if !is_sky[[y, x]] {
                *v = f32::INFINITY
            }
        });
        let fit = BackgroundVariance::fit(v.view(), is_sky.view(), 1).unwrap();
        for (x, y) in [(0usize, 0usize), (65, 60), (149, 199)] {
            assert_abs_diff_eq!(fit.at(PixelPoint::new(x as f64, y as f64)), truth(x, y), epsilon = 1e-4);
        }
    }

    #[test]
    fn a_model_that_would_turn_negative_is_lowered() {
        let v = Array2::from_shape_fn((64, 256), |(_, x)| if x < 32 { 1000.0 } else { 1.0f32 });
        let fit = BackgroundVariance::fit(v.view(), Array2::from_elem((64, 256), true).view(), 1).unwrap();
        assert!(fit.at(PixelPoint::new(255.0, 0.0)) > 0.0);
    }
}

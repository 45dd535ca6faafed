//! What the background of one exposure may look like: a low polynomial over the detector, and steps at the amplifiers' edges.
//!
//! Every exposure (one detector of one visit) has a polynomial of its own, so that a step at a detector's edge needs no term.

use crate::geometry::{Box2, PixelPoint};
use crate::image::Chebyshev2;
use ndarray::Array2;

/// The terms of one detector: Chebyshev polynomials of total order `order`, then a step for every amplifier but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectorBasis {
    /// Pixels of the detector.
    pub bbox: Box2,
    /// Highest total order of the polynomials.
    pub order: usize,
    /// Amplifiers, \[columns, rows\], of equal size; \[1, 1\] allows no step.
    pub amplifiers: [usize; 2],
}

/// A smooth background with steps \[counts\].
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorModel {
    /// The smooth part.
    pub smooth_adu: Chebyshev2,
    /// What is added on the pixels of each box.
    pub steps_adu: Vec<(Box2, f64)>,
}

impl DetectorBasis {
    /// Number of polynomials.
    #[must_use]
    pub fn n_smooth(&self) -> usize {
        (self.order + 1) * (self.order + 2) / 2
    }

    /// Number of terms.
    #[must_use]
    pub fn n_terms(&self) -> usize {
        self.n_smooth() + self.amplifiers[0] * self.amplifiers[1] - 1
    }

    /// The amplifier that reads a position, row by row; the nearest one for positions outside.
    #[must_use]
    pub fn amplifier(&self, at: PixelPoint) -> usize {
        let along = |v: f64, start: i32, size: i32, n: usize| {
            let pixel = (v.round() as i32 - start).clamp(0, size - 1);
            pixel as usize * n / size as usize
        };
        let [nx, ny] = self.amplifiers;
        along(at.y, self.bbox.y0, self.bbox.height, ny) * nx + along(at.x, self.bbox.x0, self.bbox.width, nx)
    }

    /// Pixels of an amplifier: those that [`Self::amplifier`] gives to it.
    #[must_use]
    pub fn amplifier_box(&self, amplifier: usize) -> Box2 {
        let range = |k: usize, start: i32, size: i32, n: usize| {
            let first = |k: usize| start + (k * size as usize).div_ceil(n) as i32;
            first(k)..first(k + 1)
        };
        let [nx, ny] = self.amplifiers;
        Box2::from_ranges(
            range(amplifier % nx, self.bbox.x0, self.bbox.width, nx),
            range(amplifier / nx, self.bbox.y0, self.bbox.height, ny),
        )
    }

    /// True within `margin_px` of an edge between two amplifiers.
    #[must_use]
    pub fn is_near_step(&self, at: PixelPoint, margin_px: f64) -> bool {
        let near = |v: f64, start: i32, size: i32, n: usize| {
            // The first pixel of an amplifier, as `amplifier_box` has it, less half a pixel.
            let edge = |k: usize| f64::from(start + (k * size as usize).div_ceil(n) as i32) - 0.5;
            (1..n).any(|k| (v - edge(k)).abs() < margin_px)
        };
        let [nx, ny] = self.amplifiers;
        near(at.x, self.bbox.x0, self.bbox.width, nx) || near(at.y, self.bbox.y0, self.bbox.height, ny)
    }

    /// Values of all terms at a position on the given amplifier, into `out` (of length [`Self::n_terms`]).
    pub fn values(&self, at: PixelPoint, amplifier: usize, out: &mut [f64]) {
        let scale = |v: f64, v0: i32, n: i32| if n > 1 { 2.0 * (v - f64::from(v0)) / f64::from(n - 1) - 1.0 } else { 0.0 };
        let (x, y) = (scale(at.x, self.bbox.x0, self.bbox.width), scale(at.y, self.bbox.y0, self.bbox.height));
        let mut k = 0;
        let (mut below_y, mut in_y) = (y, 1.0);
        for j in 0..=self.order {
            let (mut below_x, mut in_x) = (x, 1.0);
            for _ in 0..=self.order - j {
                out[k] = in_x * in_y;
                k += 1;
                // T_{-1} = x starts the recursion T_{n+1} = 2x T_n - T_{n-1}.
                (below_x, in_x) = (in_x, 2.0 * x * in_x - below_x);
            }
            (below_y, in_y) = (in_y, 2.0 * y * in_y - below_y);
        }
        for (step, value) in out[k..].iter_mut().enumerate() {
            *value = f64::from(u8::from(amplifier == step + 1));
        }
    }

    /// The background that coefficients, in the order of the terms, describe.
    #[must_use]
    pub fn model(&self, coefficients_adu: &[f64]) -> DetectorModel {
        let mut coefficients_yx = Array2::zeros((self.order + 1, self.order + 1));
        let places = (0..=self.order).flat_map(|j| (0..=self.order - j).map(move |i| [j, i]));
        places.zip(coefficients_adu).for_each(|(place, c)| coefficients_yx[place] = *c);
        let steps = coefficients_adu[self.n_smooth()..].iter().enumerate();
        DetectorModel {
            smooth_adu: Chebyshev2 { bbox: self.bbox, coefficients_yx },
            steps_adu: steps.map(|(k, step)| (self.amplifier_box(k + 1), *step)).collect(),
        }
    }
}

impl DetectorModel {
    /// Counts at a position.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        let (x, y) = p.pixel();
        self.smooth_adu.at(p) + self.steps_adu.iter().filter(|(part, _)| part.contains(x, y)).map(|(_, step)| step).sum::<f64>()
    }

    /// Counts on the pixels of `part`, `[y, x]`; a pixel's value does not depend on `part`.
    #[must_use]
    pub fn image(&self, part: &Box2) -> Array2<f32> {
        let mut out = self.smooth_adu.image(part, 1.0);
        for (step_box, step) in &self.steps_adu {
            let inside = part.intersect(step_box);
            if !inside.is_empty() {
                out.slice_mut(part.slice_of(&inside)).mapv_inplace(|v| v + *step as f32);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// The terms times coefficients are the model, at points and as an image; amplifiers tile the detector.
    #[test]
    fn terms_and_model_agree() {
        let basis = DetectorBasis { bbox: Box2::new(0, 0, 101, 53), order: 3, amplifiers: [4, 2] };
        assert_eq!((basis.n_smooth(), basis.n_terms()), (10, 17));
        let coefficients: Vec<f64> = (0..17).map(|k| ((k * 7) % 5) as f64 - 1.5).collect();
        let model = basis.model(&coefficients);
        let image = model.image(&basis.bbox);
        let mut terms = vec![0.0; 17];
        for (x, y) in [(0, 0), (25, 26), (26, 27), (100, 52), (51, 3)] {
            let at = PixelPoint::new(f64::from(x), f64::from(y));
            let amplifier = basis.amplifier(at);
            assert!(basis.amplifier_box(amplifier).contains(x, y));
            basis.values(at, amplifier, &mut terms);
            let sum: f64 = terms.iter().zip(&coefficients).map(|(t, c)| t * c).sum();
            assert_abs_diff_eq!(sum, model.at(at), epsilon = 1e-12);
            assert_abs_diff_eq!(sum, f64::from(image[[y as usize, x as usize]]), epsilon = 1e-5); // f32
        }
        // Between columns 25 and 26 (101 columns of 4 amplifiers), between rows 26 and 27.
        let near = |x: f64, y: f64| basis.is_near_step(PixelPoint::new(x, y), 3.0);
        assert!(near(28.4, 5.0) && !near(28.6, 5.0) && near(10.0, 29.4) && !near(10.0, 29.6) && !near(0.0, 0.0));
        let area: usize = (0..8).map(|k| basis.amplifier_box(k).n_pixels()).sum();
        assert_eq!(area, basis.bbox.n_pixels());
    }
}

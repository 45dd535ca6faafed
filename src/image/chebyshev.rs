//! Two-dimensional Chebyshev polynomials over a box of pixels.

use crate::geometry::{Box2, PixelPoint};
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Σ c[j, i] T_i(x') T_j(y'), with x', y' the position scaled to [-1, 1] over `bbox`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chebyshev2 {
    /// Domain: pixel centres from its first to its last pixel span [-1, 1].
    pub bbox: Box2,
    /// Coefficients `[j, i]` (order in y, order in x).
    pub coefficients_yx: Array2<f64>,
}

impl Chebyshev2 {
    /// A constant.
    #[must_use]
    pub fn constant(bbox: Box2, value: f64) -> Self {
        Self { bbox, coefficients_yx: Array2::from_elem((1, 1), value) }
    }

    /// Weighted least squares over samples (position, value, weight), total order `order` (i + j ≤ order); `None` if they do not
    /// determine it.
    #[must_use]
    pub fn fit(bbox: Box2, samples: &[(PixelPoint, f64, f64)], order: usize) -> Option<Self> {
        let terms: Vec<(usize, usize)> = (0..=order).flat_map(|j| (0..=order - j).map(move |i| (j, i))).collect();
        let unit = |&(j, i): &(usize, usize)| {
            let mut coefficients_yx = Array2::zeros((order + 1, order + 1));
            coefficients_yx[[j, i]] = 1.0;
            Self { bbox, coefficients_yx }
        };
        let basis: Vec<Self> = terms.iter().map(unit).collect();
        let n = terms.len();
        if samples.len() < n {
            return None;
        }
        let (mut normal, mut rhs) = (DMatrix::<f64>::zeros(n, n), DVector::<f64>::zeros(n));
        for &(position, value, weight) in samples {
            let terms: Vec<f64> = basis.iter().map(|b| b.at(position)).collect();
            for a in 0..n {
                rhs[a] += weight * terms[a] * value;
                for b in 0..n {
                    normal[(a, b)] += weight * terms[a] * terms[b];
                }
            }
        }
        let solution = normal.cholesky()?.solve(&rhs);
        let mut coefficients_yx = Array2::zeros((order + 1, order + 1));
        for (&(j, i), &c) in terms.iter().zip(solution.iter()) {
            coefficients_yx[[j, i]] = c;
        }
        Some(Self { bbox, coefficients_yx })
    }

    /// Value at a position.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        let scale = |v: f64, v0: i32, n: i32| if n > 1 { 2.0 * (v - f64::from(v0)) / f64::from(n - 1) - 1.0 } else { 0.0 };
        let (x, y) = (scale(p.x, self.bbox.x0, self.bbox.width), scale(p.y, self.bbox.y0, self.bbox.height));
        // Clenshaw, first along x for each row, then along y.
        let mut rows = self.coefficients_yx.rows().into_iter().map(|row| clenshaw(x, row.iter().rev().copied())).collect::<Vec<_>>();
        rows.reverse();
        clenshaw(y, rows.into_iter())
    }

    /// `scale` times the values on the pixels of `part`, `[y, x]`; a pixel's value does not depend on `part`.
    #[must_use]
    pub fn image(&self, part: &Box2, scale: f64) -> Array2<f32> {
        let (n_y, n_x) = self.coefficients_yx.dim();
        if (n_y, n_x) == (1, 1) {
            return Array2::from_elem(part.shape(), (scale * self.coefficients_yx[[0, 0]]) as f32);
        }
        // T_k by its recursion, once per column and row.
        let terms = |n: usize, v0: i32, size: i32, first: i32, count: i32| {
            Array2::from_shape_fn((count as usize, n), |(p, k)| {
                let v = f64::from(first) + p as f64;
                let u = if size > 1 { 2.0 * (v - f64::from(v0)) / f64::from(size - 1) - 1.0 } else { 0.0 };
                let (mut a, mut b) = (1.0, u);
                for _ in 0..k {
                    (a, b) = (b, 2.0 * u * b - a);
                }
                a
            })
        };
        let along_x = terms(n_x, self.bbox.x0, self.bbox.width, part.x0, part.width);
        let along_y = terms(n_y, self.bbox.y0, self.bbox.height, part.y0, part.height);
        let mut row_coefficients = vec![0.0; n_x];
        let mut out = Array2::zeros(part.shape());
        for (y, mut row) in out.rows_mut().into_iter().enumerate() {
            for (i, c) in row_coefficients.iter_mut().enumerate() {
                *c = scale * (0..n_y).map(|j| self.coefficients_yx[[j, i]] * along_y[[y, j]]).sum::<f64>();
            }
            for (x, value) in row.iter_mut().enumerate() {
                *value = row_coefficients.iter().zip(along_x.row(x)).map(|(c, t)| c * t).sum::<f64>() as f32;
            }
        }
        out
    }
}

/// Σ c_i T_i(x), coefficients from the highest order down (Clenshaw 1955).
fn clenshaw(x: f64, from_highest: impl Iterator<Item = f64>) -> f64 {
    let (mut b1, mut b2) = (0.0, 0.0);
    for c in from_highest {
        (b1, b2) = (c + 2.0 * x * b1 - b2, b1);
    }
    b1 - x * b2
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn equals_the_cosine_form() {
        let bbox = Box2::new(0, 0, 11, 21);
        let c = Array2::from_shape_fn((3, 4), |(j, i)| 1.0 / (1.0 + i as f64 + 2.0 * j as f64));
        let cheb = Chebyshev2 { bbox, coefficients_yx: c.clone() };
        for (px, py) in [(0.0, 0.0), (2.5, 17.0), (10.0, 20.0), (5.0, 10.0)] {
            let (x, y): (f64, f64) = (px / 5.0 - 1.0, py / 10.0 - 1.0);
            let expected: f64 = c.indexed_iter().map(|((j, i), &v)| v * (i as f64 * x.acos()).cos() * (j as f64 * y.acos()).cos()).sum();
            assert_abs_diff_eq!(cheb.at(PixelPoint::new(px, py)), expected, epsilon = 1e-12);
            if px.fract() == 0.0 {
                assert_abs_diff_eq!(f64::from(cheb.image(&bbox, 2.0)[[py as usize, px as usize]]), 2.0 * expected, epsilon = 1e-6); // f32
            }
        }
    }
}

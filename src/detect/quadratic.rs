//! The least-squares quadratic through 3 x 3 values: height, place and curvature of a maximum.

use ndarray::ArrayView2;

/// mean + gx x + gy y + cx (x² - 2/3) + cy (y² - 2/3) + cxy x y: orthogonal over the nine points.
#[derive(Debug, Clone, Copy)]
pub struct Quadratic {
    center: f64,
    gradient: [f64; 2],
    cx: f64,
    cy: f64,
    cxy: f64,
}

impl Quadratic {
    /// The fit to values `[3, 3]`.
    #[must_use]
    pub fn fit(v: ArrayView2<f64>) -> Self {
        let sum = |f: &dyn Fn(f64, f64) -> f64| v.indexed_iter().map(|((j, i), v)| v * f(i as f64 - 1.0, j as f64 - 1.0)).sum::<f64>();
        Self {
            center: v[[1, 1]],
            gradient: [sum(&|x, _| x) / 6.0, sum(&|_, y| y) / 6.0],
            cx: sum(&|x, _| x * x - 2.0 / 3.0) / 2.0,
            cy: sum(&|_, y| y * y - 2.0 / 3.0) / 2.0,
            cxy: sum(&|x, y| x * y) / 4.0,
        }
    }

    /// Minus the matrix of second derivatives: xx, xy, yy.
    #[must_use]
    pub fn curvature(&self) -> [f64; 3] {
        [-2.0 * self.cx, -self.cxy, -2.0 * self.cy]
    }

    /// Offset of the maximum from the centre; none where there is no maximum within a pixel along both axes.
    #[must_use]
    pub fn vertex(&self) -> Option<(f64, f64)> {
        let (cx, cy, cxy) = (self.cx, self.cy, self.cxy);
        let det = 4.0 * cx * cy - cxy * cxy;
        if cx >= 0.0 || det <= 0.0 {
            return None;
        }
        let [gx, gy] = self.gradient;
        let (dx, dy) = ((cxy * gy - 2.0 * cy * gx) / det, (cxy * gx - 2.0 * cx * gy) / det);
        (dx.abs() <= 1.0 && dy.abs() <= 1.0).then_some((dx, dy))
    }

    /// Derivatives over x and y at an offset.
    #[must_use]
    pub fn gradient_at(&self, x: f64, y: f64) -> [f64; 2] {
        let [gx, gy] = self.gradient;
        [gx + 2.0 * self.cx * x + self.cxy * y, gy + 2.0 * self.cy * y + self.cxy * x]
    }

    /// Value at an offset: the fit's change from the centre, on top of the measured centre, so that the fit's misfit of the peak's shape cancels.
    #[must_use]
    pub fn at(&self, x: f64, y: f64) -> f64 {
        let [gx, gy] = self.gradient;
        self.center + gx * x + gy * y + self.cx * x * x + self.cy * y * y + self.cxy * x * y
    }
}

/// Position and height of the maximum of the least-squares quadratic through 3 x 3 values: (dx, dy, height).
///
/// Where the quadratic has no maximum near the central pixel, that pixel is the peak.
#[must_use]
pub fn quadratic_peak(v: ArrayView2<f64>) -> (f64, f64, f64) {
    let fit = Quadratic::fit(v);
    fit.vertex().map_or((0.0, 0.0, fit.center), |(dx, dy)| (dx, dy, fit.at(dx, dy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use ndarray::Array2;

    #[test]
    fn a_quadratic_is_found_exactly() {
        let f = |x: f64, y: f64| 7.0 - (x - 0.3).powi(2) - 0.7 * (y + 0.2).powi(2) + 0.2 * (x - 0.3) * (y + 0.2);
        let v = Array2::from_shape_fn((3, 3), |(j, i)| f(i as f64 - 1.0, j as f64 - 1.0));
        let (dx, dy, height) = quadratic_peak(v.view());
        assert_abs_diff_eq!(dx, 0.3, epsilon = 1e-12);
        assert_abs_diff_eq!(dy, -0.2, epsilon = 1e-12);
        assert_abs_diff_eq!(height, 7.0, epsilon = 1e-12);
        let fit = Quadratic::fit(v.view());
        for (found, expected) in fit.curvature().iter().zip([2.0, -0.2, 1.4]) {
            assert_abs_diff_eq!(*found, expected, epsilon = 1e-12);
        }
        assert_abs_diff_eq!(fit.at(-0.4, 0.9), f(-0.4, 0.9), epsilon = 1e-12);
        assert_eq!(quadratic_peak(Array2::ones((3, 3)).view()), (0.0, 0.0, 1.0));
    }
}

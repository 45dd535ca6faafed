//! Errors of linear sums over pixels whose noise is correlated.

use ndarray::{Array2, ArrayView2};

/// Covariance of Σ a n and Σ b n over pixels with Cov(i, j) = ρ(i - j) √(V_i V_j): Σ_d ρ(d) (u ⋆ w)(d) with u = a√V, w = b√V.
///
/// `a_sqrt_v`, `b_sqrt_v`: u and w, `[y, x]`, zero where a pixel is not used. `correlation`: ρ, `[2h+1, 2h+1]`.
#[must_use]
pub fn covariance_of_sums(a_sqrt_v: &Array2<f64>, b_sqrt_v: &Array2<f64>, correlation: ArrayView2<f64>) -> f64 {
    let h = (correlation.nrows() / 2) as i64;
    let (ny, nx) = a_sqrt_v.dim();
    let (a, b) = (a_sqrt_v.as_slice().expect("standard layout"), b_sqrt_v.as_slice().expect("standard layout"));
    let mut sum = 0.0;
    for (k, &rho) in correlation.iter().enumerate().filter(|(_, rho)| rho.abs() > 1e-6) {
        let (dy, dx) = (k as i64 / (2 * h + 1) - h, k as i64 % (2 * h + 1) - h);
        let (y0, y1) = ((-dy).max(0), (ny as i64 - dy).min(ny as i64));
        let (x0, x1) = ((-dx).max(0) as usize, (nx as i64 - dx).min(nx as i64).max(0) as usize);
        if x0 >= x1 {
            continue;
        }
        let mut lag = 0.0;
        for y in y0..y1 {
            let (row, other) = (y as usize * nx, (y + dy) as usize * nx);
            let left = &a[row + x0..row + x1];
            let right = &b[(other as i64 + x0 as i64 + dx) as usize..][..x1 - x0];
            lag += left.iter().zip(right).map(|(p, q)| p * q).sum::<f64>();
        }
        sum += rho * lag;
    }
    sum
}

/// Variance of the linear filter Σ a z on blank sky of an image-like coadd: Σ_d C(d) (a ⋆ a)(d), where the exposures are those of the whole cell. Where the
/// variance changes, across the edges of exposures, [`covariance_of_sums`] follows the variance plane.
///
/// `weights`: a, `[y, x]`, zero where a pixel is not used. `covariance_njy2`: C of the cell, `[2h+1, 2h+1]` (of
/// [`crate::coadd::NoiseCovariance`]). The unit is that of the covariance.
#[must_use]
pub fn variance_of_filter(weights: &Array2<f64>, covariance_njy2: ArrayView2<f64>) -> f64 {
    let h = covariance_njy2.nrows() / 2;
    let variance = covariance_njy2[[h, h]];
    if variance <= 0.0 {
        return 0.0;
    }
    variance * covariance_of_sums(weights, weights, (&covariance_njy2 / variance).view())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise: Σ a² times the variance; fully correlated noise: (Σ a)² times it.
    #[test]
    fn filters_of_white_and_of_common_noise() {
        let a = Array2::from_shape_fn((3, 4), |(j, i)| (j * 4 + i) as f64 - 5.0);
        let white = Array2::from_shape_fn((9, 9), |p| if p == (4, 4) { 7.0 } else { 0.0 });
        assert!((variance_of_filter(&a, white.view()) - 7.0 * a.mapv(|v| v * v).sum()).abs() < 1e-9);
        let common = Array2::from_elem((9, 9), 7.0);
        assert!((variance_of_filter(&a, common.view()) - 7.0 * a.sum().powi(2)).abs() < 1e-9);
    }

    /// Against the double sum over all pairs of pixels.
    #[test]
    fn equals_the_double_sum() {
        let u = Array2::from_shape_fn((7, 9), |(j, i)| ((j * 3 + i * 5) % 7) as f64 - 2.0);
        let w = Array2::from_shape_fn((7, 9), |(j, i)| ((j + i * 2) % 5) as f64 - 1.0);
        let rho = Array2::from_shape_fn((5, 5), |(j, i)| 1.0 / (1.0 + (j as f64 - 2.0).powi(2) + (i as f64 - 2.0).powi(2)));
        let mut expected = 0.0;
        for ((j, i), a) in u.indexed_iter() {
            for ((q, p), b) in w.indexed_iter() {
                let (dy, dx) = (q as i64 - j as i64 + 2, p as i64 - i as i64 + 2);
                if (0..5).contains(&dy) && (0..5).contains(&dx) {
                    expected += rho[[dy as usize, dx as usize]] * a * b;
                }
            }
        }
        assert!((covariance_of_sums(&u, &w, rho.view()) - expected).abs() < 1e-9);
    }
}

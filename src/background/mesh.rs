//! Background of one exposure: sigma-clipped means on a mesh of source-free pixels, a bicubic spline between.

use crate::geometry::Box2;
use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf;

/// Settings of the mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackgroundMeshConfig {
    /// Side of a mesh cell \[pixel\].
    pub cell_px: usize,
    /// Clipping limit \[sigma\].
    pub clip_sigma: f64,
}

impl Default for BackgroundMeshConfig {
    fn default() -> Self {
        Self { cell_px: 128, clip_sigma: 3.0 }
    }
}

/// Background of a whole exposure \[counts\]: one value per mesh cell, at the cell's centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackgroundMesh {
    /// Pixels of the exposure.
    pub bbox: Box2,
    /// Values at the cells' centres `[row, column]`; `[1, 1]` means a constant.
    pub nodes_adu: Array2<f64>,
}

impl BackgroundMesh {
    /// The same value everywhere.
    #[must_use]
    pub fn constant(bbox: Box2, value_adu: f64) -> Self {
        Self { bbox, nodes_adu: Array2::from_elem((1, 1), value_adu) }
    }

    /// Background \[counts\] on the pixels of `part` (inside `bbox`), `[y, x]`: the natural bicubic spline through the nodes,
    /// continued linearly beyond the outermost ones. A pixel's value does not depend on `part`.
    #[must_use]
    pub fn image(&self, part: &Box2) -> Array2<f32> {
        let (n_rows, n_columns) = self.nodes_adu.dim();
        let along_x = spline_basis(n_columns, self.bbox.x0, self.bbox.width, part.x0, part.width);
        let along_y = spline_basis(n_rows, self.bbox.y0, self.bbox.height, part.y0, part.height);
        // Rows of nodes on the columns of the part first: then every pixel costs n_rows products.
        let rows: Vec<Array1<f64>> = self.nodes_adu.rows().into_iter().map(|nodes| along_x.dot(&nodes)).collect();
        let mut out = Array2::zeros(part.shape());
        let mut sums = Array1::<f64>::zeros(part.shape().1);
        for (mut out, weights) in out.rows_mut().into_iter().zip(along_y.rows()) {
            sums.fill(0.0);
            rows.iter().zip(weights).for_each(|(row, weight)| sums.scaled_add(*weight, row));
            out.zip_mut_with(&sums, |value, sum| *value = *sum as f32);
        }
        out
    }
}

/// Mean and scatter of the source-free pixels of one mesh cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ClippedMean {
    mean: f64,
    sigma: f64,
}

/// Fits the mesh to the pixels where `is_sky`; returns it with the mean pixel scatter \[counts\], or `None` if no cell has enough pixels.
///
/// `image`, `is_sky`: `[y, x]`, of the whole exposure. `gain_e_per_adu`, `read_noise_e` give the skewness of the sky's Poisson noise:
/// the clipped mean of a skewed distribution is low, by 0.041 γ σ for clipping at 3σ (derived in [`clipping_bias`]).
#[must_use]
pub fn fit_mesh(
    image: ArrayView2<f32>,
    is_sky: ArrayView2<bool>,
    gain_e_per_adu: f64,
    read_noise_e: f64,
    config: &BackgroundMeshConfig,
) -> Option<(BackgroundMesh, f64)> {
    let (ny, nx) = image.dim();
    let n_cells = |n: usize| ((n as f64 / config.cell_px as f64).round() as usize).max(1);
    let (rows, columns) = (n_cells(ny), n_cells(nx));
    let mut cells: Array2<Option<ClippedMean>> = Array2::from_elem((rows, columns), None);
    let mut values = Vec::new();
    for ((row, column), cell) in cells.indexed_iter_mut() {
        let (y, x) = (row * ny / rows..(row + 1) * ny / rows, column * nx / columns..(column + 1) * nx / columns);
        let n_pixels = y.len() * x.len();
        values.clear();
        for j in y {
            values.extend(x.clone().filter(|&i| is_sky[[j, i]]).map(|i| f64::from(image[[j, i]])));
        }
        // A cell that is nearly all source says more about the source's wings than about the sky.
        if values.len() * 10 >= n_pixels && values.len() >= 32 {
            *cell = clipped_mean(&mut values, config.clip_sigma).map(|c| {
                let variance_e2 = (c.sigma * gain_e_per_adu).powi(2);
                let skewness = (variance_e2 - read_noise_e.powi(2)).max(0.0) / variance_e2.powf(1.5).max(f64::MIN_POSITIVE);
                ClippedMean { mean: c.mean - clipping_bias(config.clip_sigma) * skewness * c.sigma, sigma: c.sigma }
            });
        }
    }
    let known: Vec<_> = cells.indexed_iter().filter_map(|(at, c)| c.map(|c| (at, c))).collect();
    if known.is_empty() {
        return None;
    }
    let sigma = known.iter().map(|(_, c)| c.sigma).sum::<f64>() / known.len() as f64;
    let nodes_adu = Array2::from_shape_fn((rows, columns), |(j, i)| {
        cells[[j, i]].map_or_else(
            || {
                // Cells without sky take the mean of all others, the nearest most.
                let weight = |a: usize, b: usize| 1.0 / ((a as f64 - j as f64).powi(2) + (b as f64 - i as f64).powi(2)).powi(2);
                let (sum, norm) = known.iter().fold((0.0, 0.0), |(s, n), ((a, b), c)| (s + weight(*a, *b) * c.mean, n + weight(*a, *b)));
                sum / norm
            },
            |c| c.mean,
        )
    });
    Some((BackgroundMesh { bbox: Box2::of_shape((ny, nx)), nodes_adu }, sigma))
}

/// Mean and standard deviation (corrected for the clipped tails) of values within ± `clip` σ, iterated from the median.
fn clipped_mean(values: &mut [f64], clip: f64) -> Option<ClippedMean> {
    let (moments_0, moments_2) = truncated_moments(clip);
    let n = values.len();
    let (_, &mut median, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let (_, &mut lower, _) = values.select_nth_unstable_by(n / 4, f64::total_cmp);
    // Quartiles only start the iteration; 1.349 turns their distance into a Gaussian's σ.
    let mut c = ClippedMean { mean: median, sigma: (median - lower) * 2.0 / 1.349 };
    for _ in 0..20 {
        let limit = clip * c.sigma;
        let (mut count, mut sum) = (0.0, 0.0);
        for v in values.iter().filter(|v| (*v - c.mean).abs() <= limit) {
            count += 1.0;
            sum += v - c.mean;
        }
        if count < 2.0 {
            return (c.sigma.abs() < f64::MIN_POSITIVE).then_some(c);
        }
        let shift = sum / count;
        let sum_sq: f64 = values.iter().filter(|v| (*v - c.mean).abs() <= limit).map(|v| (v - c.mean - shift).powi(2)).sum();
        let next = ClippedMean { mean: c.mean + shift, sigma: (sum_sq / count * moments_0 / moments_2).sqrt() };
        let is_done = shift.abs() < 1e-6 * c.sigma && (next.sigma / c.sigma - 1.0).abs() < 1e-5;
        c = next;
        if is_done {
            break;
        }
    }
    Some(c)
}

/// ∫φ and ∫x²φ of the unit Gaussian over ± k.
fn truncated_moments(k: f64) -> (f64, f64) {
    let m0 = erf(k / std::f64::consts::SQRT_2);
    (m0, m0 - 2.0 * k * gaussian(k))
}

fn gaussian(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// Bias of the iterated clipped mean per unit skewness \[σ\], negative.
///
/// With the Edgeworth density φ(x)(1 + γ/6 (x³ - 3x)) the mean over |x| < k is m = -γ/6 · 2k³φ(k)/P; the window follows the
/// mean, which multiplies it by 1/(1 - 2kφ(k)/P). For k = 3: -0.0411 γ.
#[must_use]
pub fn clipping_bias(k: f64) -> f64 {
    let (p, _) = truncated_moments(k);
    let window = 2.0 * k * gaussian(k) / p;
    -(k.powi(3) * gaussian(k) / (3.0 * p)) / (1.0 - window)
}

/// Weights `[pixel, node]` of the natural cubic spline through `n` nodes at the centres of equal cells over `start..start + length`,
/// at the pixels `first..first + count`.
fn spline_basis(n: usize, start: i32, length: i32, first: i32, count: i32) -> Array2<f64> {
    let mut basis = Array2::zeros((count as usize, n));
    if n == 1 {
        basis.fill(1.0);
        return basis;
    }
    // Second derivatives of the cardinal splines, on unit spacing: rows of M, where M'' solves the usual tridiagonal system.
    let second = natural_second_derivatives(n);
    for (pixel, mut row) in basis.rows_mut().into_iter().enumerate() {
        let u = (f64::from(first - start) + pixel as f64 + 0.5) * n as f64 / f64::from(length) - 0.5;
        let k = (u.floor().max(0.0) as usize).min(n - 2);
        let t = u - k as f64;
        // Beyond the outermost nodes the spline goes on along its slope, since its second derivative is zero there.
        let (a, b) = (1.0 - t, t);
        let inside = (0.0..=1.0).contains(&t);
        for i in 0..n {
            let (m0, m1) = (second[[k, i]], second[[k + 1, i]]);
            let linear = if i == k {
                a
            } else if i == k + 1 {
                b
            } else {
                0.0
            };
            let bend = if inside {
                ((a.powi(3) - a) * m0 + (b.powi(3) - b) * m1) / 6.0
            } else if t < 0.0 {
                t * (-2.0 * m0 - m1) / 6.0
            } else {
                (t - 1.0) * (m0 + 2.0 * m1) / 6.0
            };
            row[i] = linear + bend;
        }
    }
    basis
}

/// `[node, i]`: second derivative at a node of the natural spline through the unit vector e_i (Thomas algorithm).
fn natural_second_derivatives(n: usize) -> Array2<f64> {
    let mut second = Array2::zeros((n, n));
    if n < 3 {
        return second;
    }
    let mut upper = vec![0.0; n];
    for k in 1..n - 1 {
        let pivot = 4.0 - upper[k - 1];
        upper[k] = 1.0 / pivot;
        for i in 0..n {
            let unit = |j: usize| f64::from(u8::from(i == j));
            let rhs = 6.0 * (unit(k + 1) - 2.0 * unit(k) + unit(k - 1));
            second[[k, i]] = (rhs - second[[k - 1, i]]) / pivot;
        }
    }
    for k in (1..n - 1).rev() {
        for i in 0..n {
            second[[k, i]] -= upper[k] * second[[k + 1, i]];
        }
    }
    second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::keyed_rng;
    use approx::assert_abs_diff_eq;
    use rand_distr::{Distribution, Poisson};

    /// A straight line is its own natural spline, also beyond the nodes; a part equals the whole's pixels.
    #[test]
    fn spline_keeps_lines_and_parts_agree() {
        let bbox = Box2::new(0, 0, 400, 300);
        let nodes_adu = Array2::from_shape_fn((3, 4), |(j, i)| 5.0 + 2.0 * i as f64 - 3.0 * j as f64);
        let mesh = BackgroundMesh { bbox, nodes_adu };
        let whole = mesh.image(&bbox);
        for (y, x) in [(0usize, 0usize), (150, 200), (299, 399), (20, 390)] {
            let (u, v) = ((x as f64 + 0.5) / 100.0 - 0.5, (y as f64 + 0.5) / 100.0 - 0.5);
            assert_abs_diff_eq!(f64::from(whole[[y, x]]), 5.0 + 2.0 * u - 3.0 * v, epsilon = 1e-5);
        }
        let part = Box2::new(33, 77, 50, 60);
        assert_eq!(mesh.image(&part), whole.slice(bbox.slice_of(&part)).to_owned());
    }

    #[test]
    fn spline_goes_through_its_nodes() {
        let bbox = Box2::new(0, 0, 50, 50);
        let nodes_adu = Array2::from_shape_fn((5, 5), |(j, i)| ((i * 7 + j * 3) % 5) as f64);
        let image = BackgroundMesh { bbox, nodes_adu: nodes_adu.clone() }.image(&bbox);
        for ((j, i), &node) in nodes_adu.indexed_iter() {
            // The node lies between four pixels: their mean differs from it by the curvature over half a pixel only.
            let (y, x) = (j * 10 + 4, i * 10 + 4);
            let mean = (image[[y, x]] + image[[y + 1, x]] + image[[y, x + 1]] + image[[y + 1, x + 1]]) / 4.0;
            assert_abs_diff_eq!(f64::from(mean), node, epsilon = 0.1);
        }
    }

    /// Poisson sky of 100 e-: the plain clipped mean is 0.0041 σ low (0.041 e-); corrected, it is right within its error.
    #[test]
    fn poisson_sky_is_unbiased() {
        let sky = 100.0;
        let n = 1200;
        let mut rng = keyed_rng(1, "mesh-test", 0, 0);
        let poisson = Poisson::new(sky).unwrap();
        let image = Array2::from_shape_fn((n, n), |_| poisson.sample(&mut rng) as f32);
        let all = Array2::from_elem((n, n), true);
        let config = BackgroundMeshConfig { cell_px: n, clip_sigma: 3.0 };
        let (mesh, sigma) = fit_mesh(image.view(), all.view(), 1.0, 0.0, &config).unwrap();
        let error = (sky / (n * n) as f64).sqrt();
        assert_abs_diff_eq!(mesh.nodes_adu[[0, 0]], sky, epsilon = 3.5 * error);
        // Discreteness and skewness leave the scatter right to about half a per cent.
        assert_abs_diff_eq!(sigma, 10.0, epsilon = 0.05);
    }
}

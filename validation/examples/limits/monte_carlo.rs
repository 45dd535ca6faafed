//! Noisy images of stars and their maximum-likelihood fits: what the limits are held against. Nothing here knows the formulas.

use fathom::geometry::Box2;
use fathom::random::keyed_rng;
use fathom_validation::limit::{BlendFisher, Bounds, Responses, information};
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;

/// PSF: a Gaussian sampled at the pixels' centres.
const SIGMA_PX: f64 = 1.5;
pub const FWHM_PX: f64 = 2.354_820_045 * SIGMA_PX;
const SIDE: usize = 25;
/// The image's middle is the origin of positions.
const MIDDLE: f64 = (SIDE / 2) as f64;

/// A star; pixels have unit noise and its template unit norm, so that `snr` is both its flux and its signal to noise.
#[derive(Debug, Clone, Copy)]
pub struct Star {
    pub snr: f64,
    pub x_px: f64,
    pub y_px: f64,
}

impl Star {
    pub fn new(snr: f64, x_px: f64, y_px: f64) -> Self {
        Self { snr, x_px, y_px }
    }

    /// exp(-(i - x)²/2σ²) along an axis, of norm 1 in the plane when multiplied with that of the other axis.
    fn along(at: f64) -> [f64; SIDE] {
        std::array::from_fn(|i| (-(i as f64 - MIDDLE - at).powi(2) / (2.0 * SIGMA_PX * SIGMA_PX)).exp() / (PI.powf(0.25) * SIGMA_PX.sqrt()))
    }

    /// Template, and derivatives by x and y.
    fn planes(&self) -> [Vec<f64>; 3] {
        let (gx, gy) = (Self::along(self.x_px), Self::along(self.y_px));
        let slope = |i: usize, at: f64| (i as f64 - MIDDLE - at) / (SIGMA_PX * SIGMA_PX);
        let mut planes: [Vec<f64>; 3] = std::array::from_fn(|_| Vec::with_capacity(SIDE * SIDE));
        for (j, y) in gy.iter().enumerate() {
            for (i, x) in gx.iter().enumerate() {
                planes[0].push(x * y);
                planes[1].push(self.snr * x * y * slope(i, self.x_px));
                planes[2].push(self.snr * x * y * slope(j, self.y_px));
            }
        }
        planes
    }
}

/// An image of the stars with the noise of realisation `i`.
pub fn image(stars: &[Star], what: &str, i: u64) -> Vec<f64> {
    let mut rng = keyed_rng(1, what, i, 0);
    let mut pixels: Vec<f64> = (0..SIDE * SIDE).map(|_| StandardNormal.sample(&mut rng)).collect();
    for star in stars {
        let [template, ..] = star.planes();
        pixels.iter_mut().zip(template).for_each(|(z, t)| *z += star.snr * t);
    }
    pixels
}

/// Best-fitting stars and their χ², from a start: Levenberg-Marquardt.
pub fn fit(image: &[f64], start: &[Star]) -> (Vec<Star>, f64) {
    let mut stars = start.to_vec();
    let mut state = normal_equations(image, &stars);
    let mut damping = 1e-3;
    for _ in 0..60 {
        let (chi2, matrix, gradient) = &state;
        let mut damped = matrix.clone();
        (0..gradient.len()).for_each(|k| damped[(k, k)] *= 1.0 + damping);
        let Some(step) = damped.cholesky().map(|c| c.solve(gradient)) else { break };
        let tried: Vec<Star> = stars
            .iter()
            .enumerate()
            .map(|(k, s)| {
                Star::new(s.snr + step[3 * k], s.x_px + step[3 * k + 1].clamp(-1.0, 1.0), s.y_px + step[3 * k + 2].clamp(-1.0, 1.0))
            })
            .collect();
        let next = normal_equations(image, &tried);
        let gain = chi2 - next.0;
        if gain >= 0.0 {
            (stars, state) = (tried, next);
            damping *= 0.2;
            if gain < 1e-7 {
                break;
            }
        } else {
            damping *= 8.0;
            if damping > 1e8 {
                break;
            }
        }
    }
    (stars, state.0)
}

fn normal_equations(image: &[f64], stars: &[Star]) -> (f64, DMatrix<f64>, DVector<f64>) {
    let planes: Vec<Vec<f64>> = stars.iter().flat_map(Star::planes).collect();
    let mut residual = image.to_vec();
    for (star, template) in stars.iter().zip(planes.iter().step_by(3)) {
        residual.iter_mut().zip(template).for_each(|(r, t)| *r -= star.snr * t);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let n = planes.len();
    let mut matrix = DMatrix::zeros(n, n);
    for a in 0..n {
        for b in 0..=a {
            matrix[(a, b)] = dot(&planes[a], &planes[b]);
            matrix[(b, a)] = matrix[(a, b)];
        }
    }
    (dot(&residual, &residual), matrix, DVector::from_fn(n, |a, _| dot(&planes[a], &residual)))
}

/// Height of the highest peak of the matched filter within one FWHM of the middle.
pub fn highest_peak(image: &[f64]) -> f64 {
    const STEP_PX: f64 = 0.5;
    let reach = (FWHM_PX / STEP_PX).round() as i32;
    let profiles: Vec<[f64; SIDE]> = (-reach - 1..=reach + 1).map(|k| Star::along(f64::from(k) * STEP_PX)).collect();
    let rows: Vec<Vec<f64>> =
        profiles.iter().map(|g| image.chunks(SIDE).map(|row| row.iter().zip(g).map(|(z, g)| z * g).sum()).collect()).collect();
    let map: Vec<Vec<f64>> = profiles.iter().map(|g| rows.iter().map(|r| r.iter().zip(g).map(|(z, g)| z * g).sum()).collect()).collect();
    let mut best = (f64::NEG_INFINITY, 1, 1);
    let inner = 1..map.len() - 1;
    for (y, row) in map.iter().enumerate().filter(|(y, _)| inner.contains(y)) {
        for (x, &value) in row.iter().enumerate().filter(|(x, _)| inner.contains(x)) {
            let is_near = f64::from(x as i32 - reach - 1).hypot(f64::from(y as i32 - reach - 1)) <= f64::from(reach);
            if is_near && value > best.0 {
                best = (value, y, x);
            }
        }
    }
    let (height, y, x) = best;
    // A quadratic through the neighbours on either axis.
    let above = |low: f64, high: f64| {
        let (slope, curvature) = (0.5 * (high - low), high - 2.0 * height + low);
        if curvature < 0.0 { 0.5 * slope * slope / -curvature } else { 0.0 }
    };
    height + above(map[y][x - 1], map[y][x + 1]) + above(map[y - 1][x], map[y + 1][x])
}

/// The bounds of all parameters of the stars together.
pub fn bounds(stars: &[Star]) -> Bounds {
    let bbox = Box2::of_shape((SIDE, SIDE));
    let shaped = |v: Vec<f64>| Array2::from_shape_vec((SIDE, SIDE), v).expect("planes have the image's shape");
    let responses: Vec<Responses> = stars.iter().map(|s| Responses { bbox, planes: s.planes().map(shaped).to_vec() }).collect();
    let weight = Array2::ones((SIDE, SIDE));
    let mut fisher = BlendFisher::new(1);
    for i in 0..stars.len() {
        for j in i..stars.len() {
            fisher.add(0, i, j, &information(&responses[i], &responses[j], &bbox, weight.view()));
        }
    }
    fisher.bounds(&(0..stars.len()).collect::<Vec<_>>(), |_, _| true)
}

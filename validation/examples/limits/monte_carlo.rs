//! Noisy images of stars and galaxies and their maximum-likelihood fits: what the limits are held against. Nothing here knows the formulas.

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

/// What an image shows and a fit finds.
pub trait Source: Copy + Sync + Send {
    /// Derivatives of the pixels by flux (the template), x, y, and what else is unknown, in the order of [`Responses`].
    fn planes(&self) -> Vec<Vec<f64>>;
    /// Flux, in units of the noise.
    fn flux(&self) -> f64;
    /// With a step added to the parameters.
    fn moved(&self, step: &[f64]) -> Self;
}

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
}

impl Source for Star {
    fn planes(&self) -> Vec<Vec<f64>> {
        let (gx, gy) = (Self::along(self.x_px), Self::along(self.y_px));
        let slope = |i: usize, at: f64| (i as f64 - MIDDLE - at) / (SIGMA_PX * SIGMA_PX);
        let mut planes = vec![Vec::new(); 3];
        for (j, y) in gy.iter().enumerate() {
            for (i, x) in gx.iter().enumerate() {
                planes[0].push(x * y);
                planes[1].push(self.snr * x * y * slope(i, self.x_px));
                planes[2].push(self.snr * x * y * slope(j, self.y_px));
            }
        }
        planes
    }

    fn flux(&self) -> f64 {
        self.snr
    }

    fn moved(&self, step: &[f64]) -> Self {
        Self::new(self.snr + step[0], self.x_px + step[1].clamp(-1.0, 1.0), self.y_px + step[2].clamp(-1.0, 1.0))
    }
}

/// A galaxy: an elliptical Gaussian behind the PSF. Its covariance before the PSF is R² exp(2 log_size) exp(2 G) with the shear
/// G = \[\[plus, cross\], \[cross, -plus\]\].
#[derive(Debug, Clone, Copy)]
pub struct Galaxy {
    /// Flux, x, y, log_size, plus, cross.
    pub parameters: [f64; 6],
}

impl Galaxy {
    /// Of a signal to noise of its own matched filter, round and as large as the PSF but for the shear.
    pub fn new(snr: f64, x_px: f64, y_px: f64, shear: [f64; 2]) -> Self {
        let mut made = Self { parameters: [1.0, x_px, y_px, 0.0, shear[0], shear[1]] };
        made.parameters[0] = snr / made.template().iter().map(|v| v * v).sum::<f64>().sqrt();
        made
    }

    fn template(&self) -> Vec<f64> {
        let [_, x, y, log_size, plus, cross] = self.parameters;
        // exp(2 G) = cosh(2g) + sinh(2g)/g G.
        let g = plus.hypot(cross);
        let (even, odd) = ((2.0 * g).cosh(), if g > 0.0 { (2.0 * g).sinh() / g } else { 2.0 });
        let (psf, own) = (SIGMA_PX * SIGMA_PX, SIGMA_PX * SIGMA_PX * (2.0 * log_size).exp());
        let (xx, yy, xy) = (psf + own * (even + odd * plus), psf + own * (even - odd * plus), own * odd * cross);
        let det = xx * yy - xy * xy;
        let along = |k: usize, at: f64| k as f64 - MIDDLE - at;
        let value = |dx: f64, dy: f64| (-0.5 * (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / det).exp() / (2.0 * PI * det.sqrt());
        (0..SIDE * SIDE).map(|k| value(along(k % SIDE, x), along(k / SIDE, y))).collect()
    }
}

impl Source for Galaxy {
    /// Central differences of the template: their error is of second order in a step of 1e-4.
    fn planes(&self) -> Vec<Vec<f64>> {
        const STEP: f64 = 1e-4;
        let difference = |k: usize| {
            let at = |sign: f64| {
                let mut moved = *self;
                moved.parameters[k] += sign * STEP;
                moved.template()
            };
            let scale = 0.5 * self.flux() / STEP;
            at(1.0).iter().zip(at(-1.0)).map(|(a, b)| scale * (a - b)).collect()
        };
        std::iter::once(self.template()).chain((1..6).map(difference)).collect()
    }

    fn flux(&self) -> f64 {
        self.parameters[0]
    }

    fn moved(&self, step: &[f64]) -> Self {
        let limit = |k: usize| if k == 0 { f64::INFINITY } else { 0.5 };
        Self { parameters: std::array::from_fn(|k| self.parameters[k] + step[k].clamp(-limit(k), limit(k))) }
    }
}

/// An image of the sources with the noise of realisation `i`.
pub fn image<S: Source>(sources: &[S], what: &str, i: u64) -> Vec<f64> {
    let mut rng = keyed_rng(1, what, i, 0);
    let mut pixels: Vec<f64> = (0..SIDE * SIDE).map(|_| StandardNormal.sample(&mut rng)).collect();
    for source in sources {
        pixels.iter_mut().zip(&source.planes()[0]).for_each(|(z, t)| *z += source.flux() * t);
    }
    pixels
}

/// Best-fitting sources and their χ², from a start: Levenberg-Marquardt.
pub fn fit<S: Source>(image: &[f64], start: &[S]) -> (Vec<S>, f64) {
    let mut sources = start.to_vec();
    let mut state = normal_equations(image, &sources);
    let mut damping = 1e-3;
    for _ in 0..60 {
        let (chi2, matrix, gradient) = &state;
        let mut damped = matrix.clone();
        (0..gradient.len()).for_each(|k| damped[(k, k)] *= 1.0 + damping);
        let Some(step) = damped.cholesky().map(|c| c.solve(gradient)) else { break };
        let n = step.len() / sources.len();
        let tried: Vec<S> = sources.iter().zip(step.as_slice().chunks(n)).map(|(s, step)| s.moved(step)).collect();
        let next = normal_equations(image, &tried);
        let gain = chi2 - next.0;
        if gain >= 0.0 {
            (sources, state) = (tried, next);
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
    (sources, state.0)
}

fn normal_equations<S: Source>(image: &[f64], sources: &[S]) -> (f64, DMatrix<f64>, DVector<f64>) {
    let planes: Vec<Vec<f64>> = sources.iter().flat_map(Source::planes).collect();
    let mut residual = image.to_vec();
    for (source, template) in sources.iter().zip(planes.iter().step_by(planes.len() / sources.len())) {
        residual.iter_mut().zip(template).for_each(|(r, t)| *r -= source.flux() * t);
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

/// The bounds of all parameters of the sources together.
pub fn bounds<S: Source>(sources: &[S]) -> Bounds {
    let bbox = Box2::of_shape((SIDE, SIDE));
    let shaped = |v: Vec<f64>| Array2::from_shape_vec((SIDE, SIDE), v).expect("planes have the image's shape");
    let responses: Vec<Responses> =
        sources.iter().map(|s| Responses { bbox, planes: s.planes().into_iter().map(shaped).collect() }).collect();
    let weight = Array2::ones((SIDE, SIDE));
    let mut fisher = BlendFisher::new(1);
    for i in 0..sources.len() {
        for j in i..sources.len() {
            fisher.add(0, i, j, &information(&responses[i], &responses[j], &bbox, weight.view()));
        }
    }
    fisher.bounds(&(0..sources.len()).collect::<Vec<_>>(), |_, _| true)
}

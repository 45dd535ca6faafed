//! Parametric PSFs: densities of Moffat and Gaussian-mixture profiles, and their rendering on a fine grid.

use super::{PsfError, SplineStamp};
use ndarray::Array2;
use std::f64::consts::PI;

fn wrong(key: &'static str, found: impl ToString, expected: &'static str) -> PsfError {
    PsfError::Parameter { key, found: found.to_string(), expected }
}

/// An elliptical Moffat of total flux 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moffat {
    norm: f64,
    beta: f64,
    /// r²/α² = xx x² + 2 xy x y + yy y².
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Moffat {
    pub(super) fn new(fwhm_px: f64, beta: f64, e1: f64, e2: f64) -> Result<Self, PsfError> {
        if !(fwhm_px > 0.0 && fwhm_px < 200.0) {
            return Err(wrong("fwhm_px", fwhm_px, "a positive number below 200"));
        }
        if !(beta > 1.1 && beta <= 100.0) {
            return Err(wrong("beta", beta, "a number in 1.1..=100"));
        }
        let e_sq = e1 * e1 + e2 * e2;
        let is_ellipse = e_sq < 0.81;
        if !is_ellipse {
            return Err(wrong("e1, e2", format!("{e1}, {e2}"), "a reduced shear below 0.9"));
        }
        // FWHM = 2 α √(2^(1/β) - 1), Moffat 1969; the shear keeps the area.
        let alpha_sq = (fwhm_px / 2.0).powi(2) / (2f64.powf(1.0 / beta) - 1.0);
        let scale = 1.0 / (alpha_sq * (1.0 - e_sq));
        let (a, b, c) = (1.0 - e1, -e2, 1.0 + e1);
        Ok(Self {
            norm: (beta - 1.0) / (PI * alpha_sq),
            beta,
            xx: scale * (a * a + b * b),
            xy: scale * (a * b + b * c),
            yy: scale * (b * b + c * c),
        })
    }

    pub(super) fn density(&self, x: f64, y: f64) -> f64 {
        self.norm * (1.0 + self.xx * x * x + 2.0 * self.xy * x * y + self.yy * y * y).powf(-self.beta)
    }
}

/// Gaussians, each with flux, centre and inverse covariance.
#[derive(Debug, Clone)]
pub(super) struct GaussianMixture {
    /// flux/(2π√det), x, y, inverse xx, xy, yy.
    parts: Vec<[f64; 6]>,
    narrowest_sigma_px: f64,
}

impl GaussianMixture {
    pub(super) fn new(components: &[[f64; 6]]) -> Result<Self, PsfError> {
        let mut narrowest_sigma_px = f64::INFINITY;
        let mut parts = Vec::with_capacity(components.len());
        for &[flux, x, y, xx, yy, xy] in components {
            let det = xx * yy - xy * xy;
            if !(flux.is_finite() && x.is_finite() && y.is_finite() && xx > 0.0 && yy > 0.0 && det > 1e-6) {
                return Err(wrong(
                    "components",
                    format!("{:?}", [flux, x, y, xx, yy, xy]),
                    "finite flux and centre, positive definite covariance",
                ));
            }
            let smallest = 0.5 * (xx + yy) - (0.25 * (xx - yy).powi(2) + xy * xy).sqrt();
            narrowest_sigma_px = narrowest_sigma_px.min(smallest.sqrt());
            parts.push([flux / (2.0 * PI * det.sqrt()), x, y, yy / det, -xy / det, xx / det]);
        }
        if parts.is_empty() {
            return Err(wrong("components", "none", "at least one Gaussian"));
        }
        Ok(Self { parts, narrowest_sigma_px })
    }

    pub(super) fn narrowest_fwhm_px(&self) -> f64 {
        2.3548 * self.narrowest_sigma_px
    }

    pub(super) fn density(&self, x: f64, y: f64) -> f64 {
        self.parts
            .iter()
            .map(|&[norm, x0, y0, xx, xy, yy]| {
                let (u, v) = (x - x0, y - y0);
                norm * (-0.5 * (xx * u * u + 2.0 * xy * u * v + yy * v * v)).exp()
            })
            .sum()
    }
}

/// Nodes and weights of 4-point Gauss-Legendre quadrature on [-1/2, 1/2].
const NODES: [(f64, f64); 4] = [
    (-0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
    (-0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
];

/// Samples `density` \[flux per pixel²\] on a grid fine enough for the spline (14 samples per FWHM: error below 1e-6 of the
/// peak), averaged over the pixel box where the pixel response is still to be applied.
pub(super) fn render(
    density: impl Fn(f64, f64) -> f64,
    fwhm_px: f64,
    radius_px: usize,
    pixel_integrated: bool,
) -> Result<SplineStamp, PsfError> {
    if !(2..=512).contains(&radius_px) {
        return Err(wrong("radius_px", radius_px, "2..=512 pixels"));
    }
    let oversampling = ((14.0 / fwhm_px).ceil() as usize).clamp(1, 32);
    let step = 1.0 / oversampling as f64;
    // One pixel more than the stamp: light up to r + 1/2 pixel is asked for.
    let half = (radius_px + 1) * oversampling - 1;
    let per_pixel = |x: f64, y: f64| {
        if pixel_integrated {
            return density(x, y);
        }
        // Far from the core a Moffat hardly bends inside a pixel: two nodes do.
        if x.abs().max(y.abs()) > 3.0 * fwhm_px + 2.0 {
            const H: f64 = 0.288_675_134_594_812_9;
            return 0.25 * [(-H, -H), (-H, H), (H, -H), (H, H)].iter().map(|(u, v)| density(x + u, y + v)).sum::<f64>();
        }
        NODES.iter().map(|&(v, wv)| wv * NODES.iter().map(|&(u, wu)| wu * density(x + u, y + v)).sum::<f64>()).sum()
    };
    let side = 2 * half + 1;
    let at = |i: usize| (i as f64 - half as f64) * step;
    let samples = Array2::from_shape_fn((side, side), |(j, i)| per_pixel(at(i), at(j)) * step * step);
    Ok(SplineStamp::new(samples.view(), step))
}

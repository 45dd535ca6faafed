//! The background that a simulation put into an exposure: a small model, evaluated where it is asked for.

use crate::geometry::{Box2, PixelPoint};
use crate::image::Chebyshev2;
use ndarray::Array2;

/// A smooth glow: scattered light (`flatness` 1, a Gaussian) or the ghost of a pupil (larger: a disc with a soft edge).
///
/// height exp(-(r²/2σ²)^flatness), r the distance from the centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glow {
    /// Column of the centre \[pixel\]; may lie outside the exposure.
    pub x_px: f64,
    /// Row of the centre \[pixel\].
    pub y_px: f64,
    /// σ \[pixel\].
    pub sigma_px: f64,
    /// Exponent on r²/2σ², 1 or more.
    pub flatness: f64,
    /// Counts at the centre.
    pub height_adu: f64,
}

/// Background of one exposure \[counts per pixel\], without noise: (smooth + glows) / relative + steps.
///
/// Known only to a simulation; no stage of the chain reads it, what validates the chain does.
#[derive(Debug, Clone, PartialEq)]
pub struct TrueBackground {
    /// The sky before vignetting \[counts\].
    pub smooth_adu: Chebyshev2,
    /// Light besides the sky, before vignetting.
    pub glows: Vec<Glow>,
    /// Steps at detector and amplifier edges \[counts\], electronic: not vignetted.
    pub steps_adu: Vec<(Box2, f64)>,
    /// What vignetting divides the light by (1 where the throughput is the mean one); none: 1 everywhere.
    pub relative: Option<Chebyshev2>,
}

impl TrueBackground {
    /// Counts at a position.
    #[must_use]
    pub fn at(&self, p: PixelPoint) -> f64 {
        let light: f64 = self.smooth_adu.at(p) + self.glows.iter().map(|g| g.at(p)).sum::<f64>();
        let (x, y) = p.pixel();
        let steps: f64 = self.steps_adu.iter().filter(|(part, _)| part.contains(x, y)).map(|(_, step)| step).sum();
        light / self.relative.as_ref().map_or(1.0, |r| r.at(p)) + steps
    }

    /// Counts on the pixels of `part`, `[y, x]`, in double precision: noise is drawn from it.
    #[must_use]
    pub fn image(&self, part: &Box2) -> Array2<f64> {
        // Single-precision polynomials would leave steps of 1e-7 of the level, far below any noise.
        let mut out = self.smooth_adu.image(part, 1.0).mapv(f64::from);
        for glow in &self.glows {
            for ((j, i), value) in out.indexed_iter_mut() {
                *value += glow.at(PixelPoint::new(f64::from(part.x0) + i as f64, f64::from(part.y0) + j as f64));
            }
        }
        if let Some(relative) = &self.relative {
            out.zip_mut_with(&relative.image(part, 1.0), |value, r| *value /= f64::from(*r));
        }
        for (step_box, step) in &self.steps_adu {
            let inside = part.intersect(step_box);
            if !inside.is_empty() {
                out.slice_mut(part.slice_of(&inside)).mapv_inplace(|v| v + step);
            }
        }
        out
    }
}

impl Glow {
    fn at(&self, p: PixelPoint) -> f64 {
        let r2 = (p.x - self.x_px).powi(2) + (p.y - self.y_px).powi(2);
        let q = r2 / (2.0 * self.sigma_px * self.sigma_px);
        self.height_adu * (-q.powf(self.flatness)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plane and point agree, and both are the formula: (100 + 8 e^-1) / 2 + 3 at one σ√2 from the glow, on the step.
    #[test]
    fn image_and_point_are_the_formula() {
        let bbox = Box2::new(0, 0, 20, 10);
        let background = TrueBackground {
            smooth_adu: Chebyshev2::constant(bbox, 100.0),
            glows: vec![Glow { x_px: 4.0, y_px: 4.0, sigma_px: 2.0, flatness: 1.0, height_adu: 8.0 }],
            steps_adu: vec![(Box2::new(5, 0, 15, 10), 3.0)],
            relative: Some(Chebyshev2::constant(bbox, 2.0)),
        };
        let expected = (100.0 + 8.0 * (-1.0f64).exp()) / 2.0 + 3.0;
        assert!((background.at(PixelPoint::new(6.0, 6.0)) - expected).abs() < 1e-12);
        let part = Box2::new(2, 3, 8, 5);
        for ((j, i), value) in background.image(&part).indexed_iter() {
            let at = PixelPoint::new(2.0 + i as f64, 3.0 + j as f64);
            assert!((value - background.at(at)).abs() < 1e-5, "{at:?}");
        }
    }
}

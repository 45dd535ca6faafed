//! One basis image as a quintic B-spline: its value at any sub-pixel offset.

use crate::image::spline;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

/// Samples of φ on a grid of step `step_px`, centred on the source, as spline coefficients.
#[derive(Debug, Clone)]
pub(super) struct SplineStamp {
    coefficients: Array2<f64>,
    /// Exposure pixels per sample.
    step_px: f64,
    /// Index of the central sample in `coefficients`.
    center: f64,
    /// Light is cut off beyond this distance on either axis \[exposure pixel\].
    reach_px: f64,
}

/// Zeros around the samples, so that the spline falls to zero instead of ringing from a mirror image.
const PAD: usize = spline::PREFILTER_MARGIN_PX;

impl SplineStamp {
    /// From a stamp of odd side that gives the share of the flux per *sample* (a sample covers `step_px`² exposure pixels).
    pub(super) fn new(samples: ArrayView2<f64>, step_px: f64) -> Self {
        let side = samples.nrows();
        let mut coefficients = Array2::zeros((side + 2 * PAD, side + 2 * PAD));
        // Per exposure pixel, not per sample.
        coefficients.slice_mut(s![PAD..PAD + side, PAD..PAD + side]).assign(&samples.mapv(|v| v / (step_px * step_px)));
        spline::prefilter(&mut coefficients);
        let half = (side - 1) / 2;
        let mut stamp = Self { coefficients, step_px, center: (PAD + half) as f64, reach_px: 0.0 };
        stamp.reach_px = (half as f64 * step_px).floor() + 0.5;
        stamp
    }

    /// Half-width of the stamp in exposure pixels.
    pub(super) fn radius_px(&self) -> usize {
        self.reach_px as usize
    }

    /// φ at (`dx`, `dy`) exposure pixels from the source.
    pub(super) fn value(&self, dx: f64, dy: f64) -> f64 {
        if dx.abs() > self.reach_px || dy.abs() > self.reach_px {
            return 0.0;
        }
        spline::value(self.coefficients.view(), self.center + dx / self.step_px, self.center + dy / self.step_px)
    }

    /// Adds `factor` * φ to a stamp of odd side whose central pixel is (`dx`, `dy`) before the source.
    pub(super) fn add_to(&self, mut out: ArrayViewMut2<f64>, factor: f64, dx: f64, dy: f64) {
        let r = (out.nrows() / 2) as f64;
        // The sub-sample phase repeats from pixel to pixel if the step divides the pixel; weights are cheap enough to make per column.
        let taps = |offset: f64| {
            let u = self.center + offset / self.step_px;
            (u.floor() as i64, spline::weights(u - u.floor()))
        };
        let columns: Vec<_> = (0..out.ncols()).map(|i| i as f64 - r - dx).map(|d| (d.abs() <= self.reach_px).then(|| taps(d))).collect();
        for (j, mut row) in out.rows_mut().into_iter().enumerate() {
            let d = j as f64 - r - dy;
            if d.abs() > self.reach_px {
                continue;
            }
            let (iy, wy) = taps(d);
            for (value, column) in row.iter_mut().zip(&columns) {
                if let Some((ix, wx)) = column {
                    *value += factor * spline::weighted(self.coefficients.view(), *ix, iy, wx, &wy);
                }
            }
        }
    }
}

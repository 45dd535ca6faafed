//! Position: one for all bands, by a least-squares fit of the PSF.

use super::noise::covariance_of_sums;
use super::{ColumnSpec, Measurement, Row, SourcePixels};
use crate::geometry::PixelPoint;
use crate::image::spline;
use ndarray::{Array2, s};

/// Furthest that a centroid may move from its peak \[FWHM\].
const MAX_SHIFT_FWHM: f64 = 0.75;

/// Iterations of the fit; Newton's method needs three or four.
const MAX_ITERATIONS: usize = 12;

/// Fits F_b φ_b(x - δ) to all bands with one δ: Gauss-Newton on Σ_b Σ (z - F_b φ_b)²/V̄_b with the F_b free.
///
/// The error is the sandwich H⁻¹ C H⁻¹ with the noise's true covariance C (warped pixels are correlated).
#[derive(Debug, Clone)]
pub struct Centroid;

/// Position and its covariance \[pixel, pixel²\].
struct Fit {
    at: PixelPoint,
    covariance: [[f64; 2]; 2],
}

/// One band's part: data on the stamp, √V (0 at unusable pixels), mean weight.
struct BandData<'a> {
    data: Array2<f64>,
    sqrt_v: Array2<f64>,
    weight: f64,
    correlation: &'a Array2<f64>,
    /// Spline coefficients of the PSF at the peak, padded.
    psf: Array2<f64>,
}

const PAD: usize = 8;

impl Centroid {
    fn fit(source: &SourcePixels) -> Option<Fit> {
        let (px, py) = source.peak.pixel();
        let bands: Vec<BandData> = (0..source.bands.len()).filter_map(|b| band_data(source, b, px, py)).collect();
        let fwhm_px = source.bands.iter().map(|b| b.fwhm_px).fold(0.0, f64::max);
        let (mut dx, mut dy) = (0.0, 0.0);
        let mut last = None;
        for _ in 0..MAX_ITERATIONS {
            let mut h = [[0.0; 2]; 2];
            let mut c = [[0.0; 2]; 2];
            let mut g = [0.0; 2];
            for band in &bands {
                let [phi, gx, gy] = shifted(&band.psf, dx, dy, band.data.nrows(), &band.sqrt_v);
                let dot = |a: &Array2<f64>, b: &Array2<f64>| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                let norm = dot(&phi, &phi);
                // A band without light says nothing about the position, and its noise must not pull with a negative flux.
                let flux = if norm > 0.0 { dot(&phi, &band.data) / norm } else { 0.0 };
                if flux <= 0.0 {
                    continue;
                }
                let residual = &band.data - &(&phi * flux);
                // Derivatives freed of the flux's part: F is fitted along.
                let (ax, ay) = (&gx - &(&phi * (dot(&gx, &phi) / norm)), &gy - &(&phi * (dot(&gy, &phi) / norm)));
                let (w, f) = (band.weight * flux, [&ax, &ay]);
                for i in 0..2 {
                    // φ(x - δ): the derivative by δ is -∇φ.
                    g[i] -= w * dot(f[i], &residual);
                    for j in 0..2 {
                        h[i][j] += w * flux * dot(f[i], f[j]);
                        c[i][j] += w * w * covariance_of_sums(&(f[i] * &band.sqrt_v), &(f[j] * &band.sqrt_v), band.correlation.view());
                    }
                }
            }
            let det = h[0][0] * h[1][1] - h[0][1] * h[1][0];
            if det <= 0.0 || !det.is_finite() {
                return None;
            }
            let inverse = [[h[1][1] / det, -h[0][1] / det], [-h[1][0] / det, h[0][0] / det]];
            let step: [f64; 2] = std::array::from_fn(|i| inverse[i][0] * g[0] + inverse[i][1] * g[1]);
            let length = step[0].hypot(step[1]);
            let scale = (0.3 * fwhm_px / length).min(1.0);
            dx += scale * step[0];
            dy += scale * step[1];
            if dx.hypot(dy) > MAX_SHIFT_FWHM * fwhm_px {
                return None;
            }
            let times = |a: &[[f64; 2]; 2], b: &[[f64; 2]; 2]| {
                std::array::from_fn::<[f64; 2], 2, _>(|i| std::array::from_fn(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
            };
            last = Some(times(&times(&inverse, &c), &inverse));
            if length < 1e-4 {
                break;
            }
        }
        last.map(|covariance| Fit { at: PixelPoint::new(source.peak.x + dx, source.peak.y + dy), covariance })
    }
}

fn band_data<'a>(source: &'a SourcePixels, b: usize, px: i32, py: i32) -> Option<BandData<'a>> {
    let band = &source.bands[b];
    let stamp = (source.draw_psf)(b, source.peak);
    // The position is in the core: 1.5 FWHM hold all but 1e-3 of the information.
    let r = ((1.5 * band.fwhm_px).ceil() as usize).min(stamp.nrows() / 2);
    let center = stamp.nrows() / 2;
    let side = 2 * r + 1;
    let reach = r + PAD;
    let mut psf = Array2::zeros((2 * reach + 1, 2 * reach + 1));
    let inner = reach.min(center);
    psf.slice_mut(s![reach - inner..=reach + inner, reach - inner..=reach + inner])
        .assign(&stamp.slice(s![center - inner..=center + inner, center - inner..=center + inner]));
    spline::prefilter(&mut psf);
    let (mut data, mut sqrt_v) = (Array2::zeros((side, side)), Array2::zeros((side, side)));
    let (mut n_good, mut sum_v) = (0, 0.0);
    for ((j, i), z) in data.indexed_iter_mut() {
        let Some(p) = source.bbox.index(px - r as i32 + i as i32, py - r as i32 + j as i32) else { continue };
        let (value, v) = (f64::from(band.image_njy[p]), f64::from(band.variance_njy2[p]));
        if band.is_psf_valid[p] && value.is_finite() && v > 0.0 && v.is_finite() {
            *z = value;
            sqrt_v[[j, i]] = v.sqrt();
            n_good += 1;
            sum_v += v;
        }
    }
    (n_good * 2 > side * side).then(|| BandData { data, sqrt_v, weight: n_good as f64 / sum_v, correlation: &band.correlation, psf })
}

/// φ(x - δ), ∂φ/∂x and ∂φ/∂y on a stamp of the given side; zero at unusable pixels.
fn shifted(coefficients: &Array2<f64>, dx: f64, dy: f64, side: usize, sqrt_v: &Array2<f64>) -> [Array2<f64>; 3] {
    let offset = (coefficients.nrows() - side) as f64 / 2.0;
    let (fx, fy) = ((offset - dx).floor(), (offset - dy).floor());
    let (tx, ty) = (offset - dx - fx, offset - dy - fy);
    let (wx, wy) = (spline::weights(tx), spline::weights(ty));
    let (gx, gy) = (spline::weight_gradients(tx), spline::weight_gradients(ty));
    [(&wx, &wy), (&gx, &wy), (&wx, &gy)].map(|(along_x, along_y)| {
        Array2::from_shape_fn((side, side), |(j, i)| {
            if sqrt_v[[j, i]] > 0.0 {
                spline::weighted(coefficients.view(), fx as i64 + i as i64, fy as i64 + j as i64, along_x, along_y)
            } else {
                0.0
            }
        })
    })
}

impl Measurement for Centroid {
    fn name(&self) -> &'static str {
        "centroid"
    }

    fn columns(&self, _bands: &[String]) -> Vec<ColumnSpec> {
        vec![
            ColumnSpec::number("x", "pixel", "column in the tract"),
            ColumnSpec::number("y", "pixel", "row in the tract"),
            ColumnSpec::number("x_err", "pixel", "error of x"),
            ColumnSpec::number("y_err", "pixel", "error of y"),
            ColumnSpec::flag("centroid_flag", "the fit failed; the position is that of the peak"),
        ]
    }

    fn measure(&self, source: &SourcePixels, row: &mut Row) {
        let fit = Self::fit(source);
        row.flag("centroid_flag", fit.is_none());
        let (at, errors) = fit.map_or((source.peak, [f64::NAN; 2]), |f| (f.at, [f.covariance[0][0].sqrt(), f.covariance[1][1].sqrt()]));
        row.value("x", at.x);
        row.value("y", at.y);
        row.value("x_err", errors[0]);
        row.value("y_err", errors[1]);
    }
}

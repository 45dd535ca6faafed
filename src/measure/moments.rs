//! Adaptive second moments, and blendedness by their weight.

use super::{ColumnSpec, Measurement, Row, SourcePixels};
use crate::geometry::{Box2, PixelPoint};
use ndarray::Array2;

const MAX_ITERATIONS: usize = 100;

/// Second moments under the elliptical Gaussian that has the object's own shape (Bernstein & Jarvis 2002; Hirata & Seljak 2003).
///
/// With weight covariance W the measured moments of a Gaussian of covariance Q obey M⁻¹ = Q⁻¹ + W⁻¹; the weight is moved to
/// (M⁻¹ - W⁻¹)⁻¹ until it stays: then W = Q. Position fixed at the centroid.
#[derive(Debug, Clone)]
pub struct Moments;

/// Σ_xx, Σ_yy, Σ_xy \[pixel²\].
type Covariance = [f64; 3];

fn inverse([xx, yy, xy]: Covariance) -> Option<Covariance> {
    let det = xx * yy - xy * xy;
    (det > 0.0 && xx > 0.0).then(|| [yy / det, xx / det, -xy / det])
}

/// Usable pixels near a position: offsets and value.
fn pixels<'a>(
    image: &'a Array2<f32>,
    variance: &'a Array2<f32>,
    bbox: &'a Box2,
    at: PixelPoint,
    r: i32,
) -> impl Iterator<Item = (f64, f64, f64)> + 'a {
    let (px, py) = at.pixel();
    let part = Box2::new(px - r, py - r, 2 * r + 1, 2 * r + 1).intersect(bbox);
    (part.y0..part.y1()).flat_map(move |y| (part.x0..part.x1()).map(move |x| (x, y))).filter_map(move |(x, y)| {
        let p = bbox.index(x, y)?;
        let v = variance[p];
        (image[p].is_finite() && v > 0.0 && v.is_finite()).then(|| (f64::from(x) - at.x, f64::from(y) - at.y, f64::from(image[p])))
    })
}

/// Adaptive moments Σ_xx, Σ_yy, Σ_xy \[pixel²\] at a position (see [`Moments`]); `None` if the iteration fails.
///
/// `image`, `variance`: `[y, x]` on `bbox`; pixels whose variance is not positive and finite are not used.
#[must_use]
pub fn adaptive_moments(image: &Array2<f32>, variance: &Array2<f32>, bbox: &Box2, at: PixelPoint, fwhm_px: f64) -> Option<[f64; 3]> {
    let start = (fwhm_px / 2.354_82).powi(2);
    let mut w: Covariance = [start, start, 0.0];
    let largest = 64.0 * start;
    for _ in 0..MAX_ITERATIONS {
        let [a, b, c] = inverse(w)?;
        let r = (4.0 * w[0].max(w[1]).sqrt()).ceil() as i32;
        let mut sum = [0.0; 4];
        for (dx, dy, z) in pixels(image, variance, bbox, at, r) {
            let exponent = a * dx * dx + b * dy * dy + 2.0 * c * dx * dy;
            if exponent < 16.0 {
                let g = (-0.5 * exponent).exp() * z;
                sum[0] += g;
                sum[1] += g * dx * dx;
                sum[2] += g * dy * dy;
                sum[3] += g * dx * dy;
            }
        }
        if sum[0] <= 0.0 {
            return None;
        }
        let m = inverse([sum[1] / sum[0], sum[2] / sum[0], sum[3] / sum[0]])?;
        let next = inverse([m[0] - a, m[1] - b, m[2] - c])?;
        let change = (0..3).map(|i| (next[i] - w[i]).abs()).fold(0.0, f64::max) / (w[0] + w[1]);
        w = next;
        if w[0] > largest || w[1] > largest {
            return None;
        }
        if change < 1e-5 {
            return Some(w);
        }
    }
    None
}

fn names(band: &str) -> [String; 3] {
    ["xx", "yy", "xy"].map(|k| format!("{band}_moment_{k}"))
}

impl Measurement for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        let of_band = |b: &String| {
            let mut columns: Vec<_> =
                names(b).iter().map(|n| ColumnSpec::number(n, "arcsec2", "adaptive second moment, tract axes")).collect();
            columns.push(ColumnSpec::flag(&format!("{b}_moments_flag"), "the iteration failed"));
            columns
        };
        bands.iter().flat_map(of_band).collect()
    }

    fn measure(&self, source: &SourcePixels, row: &mut Row) {
        let at = row.position(source.peak);
        let area = source.pixel_scale_arcsec.powi(2);
        for band in &source.bands {
            let found = adaptive_moments(&band.image_njy, &band.variance_njy2, &source.bbox, at, band.fwhm_px);
            for (i, name) in names(&band.band).iter().enumerate() {
                row.value(name, found.map_or(f64::NAN, |q| q[i] * area));
            }
            row.flag(&format!("{}_moments_flag", band.band), found.is_none());
        }
    }
}

/// Share of the light under the object's own Gaussian weight that belongs to others: 1 - Σ w z_child / Σ w z_parent (Bosch et al. 2018, §4.9).
#[derive(Debug, Clone)]
pub struct Blendedness;

impl Measurement for Blendedness {
    fn name(&self) -> &'static str {
        "blendedness"
    }

    fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        bands
            .iter()
            .map(|b| ColumnSpec::number(&format!("{b}_blendedness"), "", "share of others' light under the object's weight"))
            .collect()
    }

    fn measure(&self, source: &SourcePixels, row: &mut Row) {
        let at = row.position(source.peak);
        let area = source.pixel_scale_arcsec.powi(2);
        for band in &source.bands {
            let q = names(&band.band).map(|n| row.values.get(&n).copied().unwrap_or(f64::NAN) / area);
            let psf = (band.fwhm_px / 2.354_82).powi(2);
            let shape = if q.iter().all(|v| v.is_finite()) { q } else { [psf, psf, 0.0] };
            let value = inverse(shape).map_or(f64::NAN, |[a, b, c]| {
                let r = (4.0 * shape[0].max(shape[1]).sqrt()).ceil() as i32;
                let sum = |image: &Array2<f32>| -> f64 {
                    pixels(image, &band.variance_njy2, &source.bbox, at, r)
                        .map(|(dx, dy, z)| (-0.5 * (a * dx * dx + b * dy * dy + 2.0 * c * dx * dy)).exp() * z)
                        .sum()
                };
                let parent = sum(&band.parent_image_njy);
                if parent > 0.0 { 1.0 - sum(&band.image_njy) / parent } else { f64::NAN }
            });
            row.value(&format!("{}_blendedness", band.band), value);
        }
    }
}

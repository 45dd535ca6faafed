//! Bright isolated stars of one exposure and their fluxes.

use super::source_mask::gaussian_filter;
use crate::apcorr::{ApCorrConfig, StarFluxes};
use crate::catalog::{ColumnData, Table};
use crate::geometry::{Box2, PixelPoint};
use crate::image::{Exposure, MaskPlane};
use crate::measure::aperture_weights;
use ndarray::{Array2, ArrayView2, s};

/// A local maximum of the filtered exposure.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    x: usize,
    y: usize,
    snr: f64,
}

/// Fluxes of the unresolved, isolated, unmasked objects with at least `config.min_snr`, brightest first.
///
/// `residual`: background-subtracted counts, `[y, x]`; `pixel_sigma`: noise of a sky pixel \[ADU\].
#[must_use]
pub fn measure_stars(exposure: &Exposure, residual: ArrayView2<f32>, pixel_sigma: f64, config: &ApCorrConfig) -> Vec<StarFluxes> {
    let meta = &exposure.meta;
    let (ny, nx) = meta.shape;
    let center = PixelPoint::new((nx as f64 - 1.0) / 2.0, (ny as f64 - 1.0) / 2.0);
    let fwhm_px = meta.psf.fwhm_px(center);
    let radius_px = config.calibration_radius_arcsec / meta.wcs.pixel_area_arcsec2(center).sqrt();
    let (filtered, gain) = gaussian_filter(residual, fwhm_px / 2.354_82);
    let candidates = local_maxima(filtered.view(), 5.0 * pixel_sigma * gain);
    let margin = stamp_radius_px(radius_px, fwhm_px);
    let mut stars = Vec::new();
    for c in candidates.iter().filter(|c| c.snr >= config.min_snr * pixel_sigma * gain) {
        let inside = c.x >= margin && c.y >= margin && c.x + margin < nx && c.y + margin < ny;
        // A neighbour of 1 % of the flux within the calibration aperture's reach would spoil the ratio.
        let is_alone = candidates.iter().all(|o| {
            let d = (o.x as f64 - c.x as f64).hypot(o.y as f64 - c.y as f64);
            (o.x == c.x && o.y == c.y) || d > radius_px + 1.5 * fwhm_px || o.snr < 0.01 * c.snr
        });
        if inside && is_alone {
            stars.extend(measure_star(exposure, residual, *c, fwhm_px, radius_px));
        }
    }
    stars.sort_by(|a, b| b.algorithm.total_cmp(&a.algorithm).then(a.y.total_cmp(&b.y)).then(a.x.total_cmp(&b.x)));
    stars
}

/// Pixels above `threshold` and above their eight neighbours, by the total order (value, position).
fn local_maxima(image: ArrayView2<f32>, threshold: f64) -> Vec<Candidate> {
    let (ny, nx) = image.dim();
    let mut found = Vec::new();
    for y in 1..ny.saturating_sub(1) {
        for x in 1..nx.saturating_sub(1) {
            let v = image[[y, x]];
            if f64::from(v) < threshold {
                continue;
            }
            let is_peak = (0..3).flat_map(|j| (0..3).map(move |i| (j, i))).filter(|&p| p != (1, 1)).all(|(j, i)| {
                let o = image[[y + j - 1, x + i - 1]];
                o < v || (o <= v && (j, i) < (1, 1))
            });
            if is_peak {
                found.push(Candidate { x, y, snr: f64::from(v) });
            }
        }
    }
    found
}

/// Half-width of the window in which a star is measured \[pixel\]: its pixels must all be usable, so it is no larger than needed.
fn stamp_radius_px(radius_px: f64, fwhm_px: f64) -> usize {
    (radius_px.ceil() as usize + 2).max((1.5 * fwhm_px).ceil() as usize)
}

/// PSF and calibration flux of one star; `None` if a pixel is unusable or the profile is not the PSF's.
fn measure_star(exposure: &Exposure, residual: ArrayView2<f32>, c: Candidate, fwhm_px: f64, radius_px: f64) -> Option<StarFluxes> {
    let psf = &exposure.meta.psf;
    let r = stamp_radius_px(radius_px, fwhm_px);
    let part = s![c.y - r..=c.y + r, c.x - r..=c.x + r];
    if exposure.mask.slice(part).iter().any(|m| m & MaskPlane::UNUSABLE != 0) {
        return None;
    }
    let data = residual.slice(part).mapv(f64::from);
    let variance = exposure.variance.slice(part).mapv(f64::from);
    let core = r.min(psf.radius_px());
    let pad = r - core;
    let draw = |dx: f64, dy: f64| {
        let at = PixelPoint::new(c.x as f64 + dx, c.y as f64 + dy);
        let mut out = Array2::zeros(data.dim());
        let side = 2 * core + 1;
        out.slice_mut(s![pad..pad + side, pad..pad + side]).assign(&psf.core(at, dx, dy, core));
        out
    };
    let (mut dx, mut dy) = (0.0, 0.0);
    for _ in 0..8 {
        let (step_x, step_y) = centroid_step(&data, &draw, dx, dy)?;
        dx += step_x.clamp(-0.5, 0.5);
        dy += step_y.clamp(-0.5, 0.5);
        if dx.abs() > 1.5 || dy.abs() > 1.5 {
            return None;
        }
        if step_x.hypot(step_y) < 1e-4 {
            break;
        }
    }
    let model = draw(dx, dy);
    let bbox = Box2::new(-(r as i32), -(r as i32), 2 * r as i32 + 1, 2 * r as i32 + 1);
    let at = PixelPoint::new(dx, dy);
    let norm = model.mapv(|p| p * p).sum();
    let weights_of = |radius: f64| {
        let w = aperture_weights(&bbox, at, radius);
        let enclosed = (&w * &model).sum();
        // The PSF's sum is the share of flux inside its stamp; both estimates refer to the total flux.
        w / enclosed
    };
    let filter = &model / norm;
    let (inner, outer) = (weights_of(0.6 * fwhm_px), weights_of(radius_px));
    let flux = (&filter * &data).sum();
    let contrast = |w: &Array2<f64>| {
        let d = w - &filter;
        ((&d * &data).sum() / flux, (d.mapv(|v| v * v) * &variance).sum().sqrt() / flux)
    };
    let (excess, excess_err) = contrast(&inner);
    let (ratio_minus_1, ratio_err) = contrast(&outer);
    // A galaxy has less light in its core than the PSF. 3 %: PSF models are not better than that at their worst.
    let is_unresolved = flux > 0.0 && excess.abs() < 0.03 + 4.0 * excess_err;
    is_unresolved.then_some(StarFluxes {
        x: c.x as f64 + dx,
        y: c.y as f64 + dy,
        calibration: flux * (1.0 + ratio_minus_1),
        algorithm: flux,
        ratio_err,
    })
}

/// One Gauss-Newton step of the least-squares position with the flux free.
fn centroid_step(data: &Array2<f64>, draw: &dyn Fn(f64, f64) -> Array2<f64>, dx: f64, dy: f64) -> Option<(f64, f64)> {
    const H: f64 = 0.05;
    let model = draw(dx, dy);
    let gx = (draw(dx + H, dy) - draw(dx - H, dy)) / (2.0 * H);
    let gy = (draw(dx, dy + H) - draw(dx, dy - H)) / (2.0 * H);
    let dot = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum();
    let flux = dot(&model, data) / dot(&model, &model);
    let residual = data - &(&model * flux);
    let (a, b, c) = (dot(&gx, &gx), dot(&gx, &gy), dot(&gy, &gy));
    let (u, v) = (dot(&gx, &residual) / flux, dot(&gy, &residual) / flux);
    let det = a * c - b * b;
    (flux > 0.0 && det > 0.0).then(|| ((c * u - b * v) / det, (a * v - b * u) / det))
}

/// The stars as a table.
///
/// # Panics
/// Never: all columns have one value a star.
#[must_use]
pub fn star_table(stars: &[StarFluxes]) -> Table {
    let mut table = Table::new();
    let mut push = |name: &str, unit: &str, what: &str, get: &dyn Fn(&StarFluxes) -> f64| {
        table.push(name, unit, what, ColumnData::F64(stars.iter().map(get).collect())).expect("one value a star");
    };
    push("x", "pixel", "column on the exposure", &|s| s.x);
    push("y", "pixel", "row on the exposure", &|s| s.y);
    push("psf_flux", "adu", "least-squares amplitude of the PSF", &|s| s.algorithm);
    push("calibration_flux", "adu", "flux in the calibration aperture, light outside it added by the PSF model", &|s| s.calibration);
    push("ratio_err", "", "error of calibration_flux / psf_flux", &|s| s.ratio_err);
    table
}

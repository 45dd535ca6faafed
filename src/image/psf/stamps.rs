//! PSFs given as stamps: PSFEx's polynomial basis, and grids of stamps.

use super::PsfError;
use crate::geometry::PixelPoint;
use ndarray::Array2;

fn wrong(key: &'static str, found: impl ToString, expected: &'static str) -> PsfError {
    PsfError::Parameter { key, found: found.to_string(), expected }
}

fn check_stamps(stamps: &[Array2<f64>]) -> Result<(), PsfError> {
    let shape = stamps.first().map_or((0, 0), Array2::dim);
    for stamp in stamps {
        let (ny, nx) = stamp.dim();
        if ny != nx || ny % 2 == 0 || ny < 5 || (ny, nx) != shape {
            return Err(wrong("stamps", format!("a stamp of shape {:?}", stamp.dim()), "square stamps of the same odd side, at least 5"));
        }
        if let Some(v) = stamp.iter().find(|v| !v.is_finite()) {
            return Err(wrong("stamps", v, "finite values"));
        }
    }
    Ok(())
}

/// Checks a PSFEx model.
pub(super) fn check_psf_ex(degree: usize, sampling_px: f64, zero_scales: [&[f64; 2]; 2], stamps: &[Array2<f64>]) -> Result<(), PsfError> {
    if degree > 8 {
        return Err(wrong("degree", degree, "0..=8"));
    }
    if stamps.len() != (degree + 1) * (degree + 2) / 2 {
        return Err(wrong("stamps", format!("{} stamps for degree {degree}", stamps.len()), "(degree + 1)(degree + 2)/2 stamps"));
    }
    if !(sampling_px > 0.05 && sampling_px < 10.0) {
        return Err(wrong("sampling_px", sampling_px, "exposure pixels per sample in 0.05..10"));
    }
    if zero_scales.iter().any(|z| !z[0].is_finite() || !z[1].is_finite() || z[1] == 0.0) {
        return Err(wrong("x_zero_scale, y_zero_scale", format!("{zero_scales:?}"), "finite, scales not zero"));
    }
    check_stamps(stamps)
}

/// Checks a grid of stamps.
pub(super) fn check_grid(x_px: &[f64], y_px: &[f64], stamps: &[Array2<f64>]) -> Result<(), PsfError> {
    let rises = |v: &[f64]| !v.is_empty() && v.iter().all(|x| x.is_finite()) && v.windows(2).all(|w| w[0] < w[1]);
    if !rises(x_px) || !rises(y_px) {
        return Err(wrong("x_px, y_px", format!("{x_px:?}, {y_px:?}"), "rising, finite node positions"));
    }
    if stamps.len() != x_px.len() * y_px.len() {
        return Err(wrong("stamps", format!("{} stamps", stamps.len()), "one stamp a node"));
    }
    check_stamps(stamps)
}

/// Bilinear weights of the nodes (row by row) at a position; the outermost nodes' PSF goes on outside.
pub(super) fn bilinear_weights(x_px: &[f64], y_px: &[f64], at: PixelPoint, out: &mut [f64]) {
    let (ix, fx) = bracket(x_px, at.x);
    let (iy, fy) = bracket(y_px, at.y);
    out.fill(0.0);
    for (j, wy) in [(iy, 1.0 - fy), (iy + 1, fy)] {
        for (i, wx) in [(ix, 1.0 - fx), (ix + 1, fx)] {
            if wx * wy > 0.0 {
                out[j * x_px.len() + i] += wx * wy;
            }
        }
    }
}

fn bracket(nodes: &[f64], v: f64) -> (usize, f64) {
    let after = nodes.partition_point(|&n| n <= v);
    if after == 0 {
        return (0, 0.0);
    }
    if after == nodes.len() {
        return (after - 1, 0.0);
    }
    (after - 1, (v - nodes[after - 1]) / (nodes[after] - nodes[after - 1]))
}

//! Light that a discrete transform folds back into its square: a galaxy's own images, one square's side apart.

use crate::profile::Radial;
use ndarray::Array2;
use std::f64::consts::PI;

/// Less of the flux than this beyond the square is left where it is.
const NEGLIGIBLE: f64 = 3e-6;
/// Rings of images that are summed one by one, by the share of the light beyond the first; those further out are spread evenly.
const N_RINGS: [(f64, i32); 3] = [(5e-4, 1), (1e-2, 2), (f64::INFINITY, 4)];
/// Directions of the integral over the light outside a square.
const N_ANGLES: usize = 32;

/// Takes the images off a stamp of even side whose galaxy is `offset` (x, y) from the element side/2.
///
/// `shape` leads from half-light radii to pixels; `flux` is the galaxy's, the PSF's share included. The images' wings are the profile's, without
/// the PSF: at that distance they are straight over its width. They are smooth, too: drawn on a coarse grid, cubic between.
pub(super) fn subtract(stamp: &mut Array2<f64>, profile: &dyn Radial, shape: [[f64; 2]; 2], flux: f64, offset: [f64; 2], square_px: usize) {
    let n = stamp.nrows();
    let (square, half) = (square_px as f64, n as f64 / 2.0);
    // The nearest images' centres lie this far from the stamp's edge.
    if outside_square(profile, shape, square - half) < NEGLIGIBLE {
        return;
    }
    let far_out = outside_square(profile, shape, 1.5 * square);
    let n_rings = N_RINGS.into_iter().find(|(much, _)| far_out <= *much).map_or(4, |(_, n)| n);
    let further = outside_square(profile, shape, (f64::from(n_rings) + 0.5) * square) / (square * square);
    let [[a, b], [c, d]] = shape;
    let det = (a * d - b * c).abs();
    let (inverse, area) = ([[d / det, -b / det], [-c / det, a / det]], det);
    let light = |x: f64, y: f64| {
        let r = (inverse[0][0] * x + inverse[0][1] * y).hypot(inverse[1][0] * x + inverse[1][1] * y);
        profile.density(r) / area
    };
    let n_steps = match (n, square_ratio(shape) > 0.25) {
        (..=128, true) => 8,
        (..=256, true) => 16,
        _ => 32,
    };
    let step = n as f64 / n_steps as f64;
    // One node more than needed on either side, for the cubic.
    let position = |i: usize| (i as f64 - 1.0) * step - half;
    let nodes = Array2::from_shape_fn((n_steps + 3, n_steps + 3), |(j, i)| {
        let (x, y) = (position(i) - offset[0], position(j) - offset[1]);
        let mut sum = further;
        for v in -n_rings..=n_rings {
            for u in -n_rings..=n_rings {
                if (u, v) != (0, 0) {
                    sum += light(x + f64::from(u) * square, y + f64::from(v) * square);
                }
            }
        }
        flux * sum
    });
    let places: Vec<_> = (0..n).map(|i| place(i, step)).collect();
    // Along x first, once a row of nodes.
    let along_x = Array2::from_shape_fn((n_steps + 3, n), |(j, i)| {
        let (at, w) = places[i];
        w[0] * nodes[[j, at]] + w[1] * nodes[[j, at + 1]] + w[2] * nodes[[j, at + 2]] + w[3] * nodes[[j, at + 3]]
    });
    for (mut row, (at, w)) in stamp.rows_mut().into_iter().zip(&places) {
        for (k, w) in w.iter().enumerate() {
            row.scaled_add(-w, &along_x.row(at + k));
        }
    }
}

/// Minor / major axis of an ellipse, to a factor of two: area against the square of the larger width.
fn square_ratio([[a, b], [c, d]]: [[f64; 2]; 2]) -> f64 {
    (a * d - b * c).abs() / (a * a + b * b).max(c * c + d * d)
}

/// First of the four nodes around an element, and Lagrange's weights.
fn place(i: usize, step: f64) -> (usize, [f64; 4]) {
    let t = i as f64 / step;
    let f = t - t.floor();
    let (a, b, c) = (f + 1.0, f - 1.0, f - 2.0);
    (t as usize, [-f * b * c / 6.0, a * b * c / 2.0, -a * f * c / 2.0, a * f * b / 6.0])
}

/// Share of the flux outside the square of half-width `half_px` around the centre: the mean, over the directions of the circle that
/// `shape` makes the ellipse of, of what lies beyond the square's edge.
fn outside_square(profile: &dyn Radial, shape: [[f64; 2]; 2], half_px: f64) -> f64 {
    (0..N_ANGLES)
        .map(|i| {
            // Opposite directions are the same.
            let (sin, cos) = (PI * (i as f64 + 0.5) / N_ANGLES as f64).sin_cos();
            let widths = shape.map(|[a, b]| (a * cos + b * sin).abs());
            profile.outside(half_px / widths[0].max(widths[1]).max(1e-12))
        })
        .sum::<f64>()
        / N_ANGLES as f64
}

//! Cosmic rays: tracks with the lengths, widths and charges of real ones.
//!
//! Derived from 1764 footprints of an ITL sensor for LSST (100 µm thick, 10 µm pixels; 16.3 Mpixel, 1500 s; the file
//! `cosmic_rays_itl_2017` of LSSTDESC/imSim), 900 of them longer than a few pixels:
//! - length √12 σ of the charge along the track: 187 in 3-6 pixels, 252 in 6-12, 245 in 12-30, 74 in 30-100, 8 above: log-normal with
//!   median 8.5 pixels and σ of the logarithm 1.0 (gives 188, 246, 239, 87, 6 of 900);
//! - charge per pixel of length: medians 3230, 1560, 1030, 905, 832 electrons in those bins: the path through the silicon, √(L² + 12²),
//!   times 850 electrons a pixel (gives 2700 at L = 4, 1530 at 8, 990 at 20, 870 at 50, 850);
//! - σ across a straight track 0.40 pixel, 0.29 of it the pixel itself: diffusion 0.28 pixel on average, from none at the front;
//! - 15 % of the tracks curl (σ across above 1 pixel at lengths of 12-30): electrons that scatter, not muons;
//! - the rate, 3.7e-8 a pixel and second, is left to the configuration: it depends on site and shielding.

use fathom::image::MaskPlane;
use ndarray::Array2;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Median length \[pixel\], and σ of its logarithm.
const LENGTH_PX: (f64, f64) = (8.5, 1.0);
/// Thickness of the silicon \[pixel\].
const THICKNESS_PX: f64 = 12.0;
/// Electrons per pixel of path, the median.
const CHARGE_E_PER_PX: f64 = 850.0;
/// σ of the logarithm of the charge of one pixel of path: the long tail of energy losses.
const CHARGE_SCATTER: f64 = 0.55;
/// Diffusion from the back of the silicon \[pixel\]; from depth z it is √z of it.
const DIFFUSION_PX: f64 = 0.4;
/// Share of the tracks that curl.
const CURLED: f64 = 0.15;
/// Change of direction of those \[radian\] a pixel.
const CURL_RAD: f64 = 0.35;
/// Points a pixel of length at which charge is set free, and parts that diffuse from each.
const POINTS_PER_PX: f64 = 4.0;
const PARTS: usize = 4;
/// Longest track \[pixel\].
const LONGEST_PX: f64 = 1000.0;

/// Adds one track to `charge_e`, and flags its pixels if asked to.
pub(super) fn strike(charge_e: &mut Array2<f64>, mask: &mut Array2<u32>, is_flagged: bool, rng: &mut impl Rng) {
    let (ny, nx) = charge_e.dim();
    let (mut x, mut y) = (rng.random::<f64>() * nx as f64 - 0.5, rng.random::<f64>() * ny as f64 - 0.5);
    let mut angle = std::f64::consts::TAU * rng.random::<f64>();
    let length_px = (LENGTH_PX.0 * (LENGTH_PX.1 * normal(rng)).exp()).min(LONGEST_PX);
    let is_curled = rng.random::<f64>() < CURLED;
    let n_points = (POINTS_PER_PX * length_px).ceil().max(1.0);
    let step_px = length_px / n_points;
    // A track is a line through the whole depth: the path of each step is longer than its picture.
    let path_px = step_px.hypot(THICKNESS_PX / n_points);
    let mut loss = 1.0;
    for point in 0..n_points as usize {
        if point % POINTS_PER_PX as usize == 0 {
            loss = (CHARGE_SCATTER * normal(rng)).exp();
        }
        let depth = (point as f64 + 0.5) / n_points;
        let sigma_px = DIFFUSION_PX * depth.sqrt();
        for _ in 0..PARTS {
            let (px, py) = ((x + sigma_px * normal(rng)).round(), (y + sigma_px * normal(rng)).round());
            if px >= 0.0 && py >= 0.0 && (px as usize) < nx && (py as usize) < ny {
                let at = [py as usize, px as usize];
                charge_e[at] += CHARGE_E_PER_PX * loss * path_px / PARTS as f64;
                if is_flagged {
                    mask[at] |= MaskPlane::Cr.bit();
                }
            }
        }
        if is_curled {
            angle += CURL_RAD * step_px.sqrt() * normal(rng);
        }
        x += step_px * angle.cos();
        y += step_px * angle.sin();
    }
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::random::keyed_rng;

    /// Lengths, charges and widths of drawn tracks, measured as those of the real ones were, against the real medians.
    #[test]
    fn tracks_look_like_real_ones() {
        let mut tracks = Vec::new();
        for i in 0..1500 {
            let (mut charge, mut mask) = (Array2::zeros((240, 240)), Array2::zeros((240, 240)));
            strike(&mut charge, &mut mask, true, &mut keyed_rng(1, "track-test", i, 0));
            let sum = charge.sum();
            let near_edge = mask.indexed_iter().any(|((y, x), m)| *m != 0 && (x == 0 || y == 0 || x == 239 || y == 239));
            if sum <= 0.0 || near_edge {
                continue;
            }
            let mean = |f: &dyn Fn(f64, f64) -> f64| charge.indexed_iter().map(|((y, x), c)| c * f(x as f64, y as f64)).sum::<f64>() / sum;
            let (mx, my) = (mean(&|x, _| x), mean(&|_, y| y));
            let (xx, yy, xy) = (mean(&|x, _| (x - mx).powi(2)), mean(&|_, y| (y - my).powi(2)), mean(&|x, y| (x - mx) * (y - my)));
            let (half, root) = (0.5 * (xx + yy), (0.25 * (xx - yy).powi(2) + xy * xy).sqrt());
            tracks.push(((12.0 * (half + root)).sqrt(), (half - root).max(0.0).sqrt(), sum));
        }
        let median = |mut v: Vec<f64>| {
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        // (length bin, charge per length, σ across), the medians of the real tracks.
        for (low, high, charge, sigma) in [(6.0, 12.0, 1562.0, 0.45), (12.0, 30.0, 1031.0, 0.44)] {
            let inside: Vec<_> = tracks.iter().filter(|t| (low..high).contains(&t.0)).collect();
            let found = (median(inside.iter().map(|t| t.2 / t.0).collect()), median(inside.iter().map(|t| t.1).collect()));
            println!("{low}-{high} pixel: {} tracks, {:.0} e/pixel, sigma {:.2}", inside.len(), found.0, found.1);
            assert!((found.0 / charge - 1.0).abs() < 0.2 && (found.1 / sigma - 1.0).abs() < 0.15, "{low}: {found:?}");
        }
        let length = median(tracks.iter().map(|t| t.0).collect());
        assert!((7.0..10.5).contains(&length), "{length}");
    }
}

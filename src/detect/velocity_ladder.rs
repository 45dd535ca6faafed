//! Stacks along a ladder of velocities: movers too faint for a single epoch.
//!
//! The maps of every time window are shifted along a motion and summed; of all motions each pixel keeps the best. A mover of motion u that starts
//! at x gives Ψ_w(x + u t_w) in window w, so ν = Σ_w Ψ_w(x + v t_w) / √Σ_w Φ_w(x + v t_w) is largest at v = u.

use super::maxima::maxima;
use super::peaks::{fit, refine};
use crate::footprint::Peak;
use crate::geometry::{Box2, PixelPoint};
use ndarray::{Array2, Zip};
use rayon::prelude::*;

/// Likelihood maps of one time window.
#[derive(Debug, Clone)]
pub struct EpochMaps {
    /// Its mean time \[d\], from the time at which positions are given.
    pub time_d: f64,
    /// Ψ \[1/nJy\] on the search's box grown by [`VelocityLadder::reach_px`].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\], alike; 0 without data.
    pub phi: Array2<f32>,
}

/// A square lattice of velocities inside a circle.
#[derive(Debug, Clone, PartialEq)]
pub struct VelocityLadder {
    /// (x, y) \[pixel per day\].
    velocities: Vec<[f64; 2]>,
    fastest: f64,
}

impl VelocityLadder {
    /// Rungs at which the ends of the stack lie `step_px` apart, up to `fastest` \[pixel per day\].
    ///
    /// `span_d`: from the first window to the last. A step of 0.75 FWHM end to end loses at most some per cent of the signal.
    #[must_use]
    pub fn new(fastest: f64, step_px: f64, span_d: f64) -> Self {
        let step = step_px / span_d.max(1e-9);
        let n = (fastest / step).floor() as i64;
        let all = (-n..=n).flat_map(|j| (-n..=n).map(move |i| [i as f64 * step, j as f64 * step]));
        Self { velocities: all.filter(|v| v[0].hypot(v[1]) <= fastest * (1.0 + 1e-12)).collect(), fastest }
    }

    /// The velocities \[pixel per day\].
    #[must_use]
    pub fn velocities(&self) -> &[[f64; 2]] {
        &self.velocities
    }

    /// Pixels of the maps needed around what is searched.
    #[must_use]
    pub fn reach_px(&self, times_d: impl Iterator<Item = f64>) -> i32 {
        let longest = times_d.fold(0.0f64, |a, t| a.max(t.abs()));
        (self.fastest * longest).ceil() as i32 + 1
    }
}

/// ν of the maps shifted to whole pixels along a velocity and summed, on a box of `shape`.
///
/// Rounding to pixels loses l2/12 of the signal, 2 % for an FWHM of 3.5 px.
#[must_use]
pub fn shifted_stack(epochs: &[EpochMaps], [vx, vy]: [f64; 2], reach_px: i32, shape: (usize, usize)) -> Array2<f32> {
    let (mut psi, mut phi) = (Array2::<f32>::zeros(shape), Array2::<f32>::zeros(shape));
    for epoch in epochs {
        let (x, y) = (reach_px + (vx * epoch.time_d).round() as i32, reach_px + (vy * epoch.time_d).round() as i32);
        let wide = Box2::of_shape(epoch.psi.dim());
        let at = wide.slice_of(&Box2::new(x, y, shape.1 as i32, shape.0 as i32));
        psi += &epoch.psi.slice(at);
        phi += &epoch.phi.slice(at);
    }
    psi.zip_mut_with(&phi, |psi, phi| *psi = if *phi > 0.0 { *psi / phi.sqrt() } else { 0.0 });
    psi
}

/// Peaks of the best ν over the ladder at or above `threshold`, on the inner pixels of `bbox` (all but its outermost), in pixel order.
///
/// Position (at time 0) and velocity are those of the vertex of a parabola along each velocity axis through the neighbouring rungs, at the pixel of
/// the maximum; near the ladder's rim the rung itself. Of peaks within `apart_px` only the highest stays: beside a mover stand its stacks at other
/// velocities.
///
/// # Arguments
/// * `epochs`: on `bbox` grown by [`VelocityLadder::reach_px`] of their times.
#[must_use]
pub fn search_movers(epochs: &[EpochMaps], ladder: &VelocityLadder, bbox: &Box2, threshold: f64, apart_px: f64) -> Vec<Peak> {
    let reach_px = ladder.reach_px(epochs.iter().map(|e| e.time_d));
    let shape = bbox.shape();
    // Runs of the ladder in parallel, joined in order: the first of equals wins, whatever the number of threads.
    let chunk = ladder.velocities.len().div_ceil(16).max(1);
    let best_of = |(first, velocities): (usize, &[[f64; 2]])| {
        let (mut best, mut rung) = (Array2::<f32>::zeros(shape), Array2::<u32>::zeros(shape));
        for (k, v) in velocities.iter().enumerate() {
            let nu = shifted_stack(epochs, *v, reach_px, shape);
            Zip::from(&mut best).and(&mut rung).and(&nu).for_each(|b, r, n| {
                if *n > *b {
                    (*b, *r) = (*n, (first + k) as u32);
                }
            });
        }
        (best, rung)
    };
    let chunks: Vec<_> = ladder.velocities.chunks(chunk).enumerate().map(|(c, v)| (c * chunk, v)).collect();
    let made: Vec<_> = chunks.into_par_iter().map(best_of).collect();
    let joined = made.into_iter().reduce(|(mut best, mut rung), (b, r)| {
        Zip::from(&mut best).and(&mut rung).and(&b).and(&r).for_each(|best, rung, b, r| {
            if *b > *best {
                (*best, *rung) = (*b, *r);
            }
        });
        (best, rung)
    });
    let Some((best, rung)) = joined else { return Vec::new() };
    let floor = 0.75 * threshold as f32;
    let mut peaks = Vec::new();
    for maximum in maxima(best.view(), |_, v| v >= floor) {
        let (j, i) = maximum.at;
        let velocity = ladder.velocities[rung[maximum.at] as usize];
        // On the maps of one velocity: the map of the best ones is not smooth.
        let around = |v: [f64; 2]| {
            let center = Box2::new(bbox.x0 + i as i32 - 1, bbox.y0 + j as i32 - 1, 3, 3);
            let skip = reach_px as usize;
            let cut = |map: &Array2<f32>| map.slice(ndarray::s![j - 1..j + 2 + 2 * skip, i - 1..i + 2 + 2 * skip]).to_owned();
            let part: Vec<EpochMaps> = epochs.iter().map(|e| EpochMaps { time_d: e.time_d, psi: cut(&e.psi), phi: cut(&e.phi) }).collect();
            shifted_stack(&part, v, reach_px, center.shape())
        };
        let nu = around(velocity);
        let refined = refine(&nu, (1, 1));
        if refined.height < threshold {
            continue;
        }
        let mut peak = Peak::bare(
            PixelPoint::new(f64::from(bbox.x0) + i as f64 + refined.offset.0, f64::from(bbox.y0) + j as f64 + refined.offset.1),
            refined.height,
            0,
        );
        peak.pixel = (bbox.x0 + i as i32, bbox.y0 + j as i32);
        let height = |v: [f64; 2]| fit(&around(v), (1, 1)).at(refined.offset.0, refined.offset.1);
        peak.velocity_px_per_day = Some(between_rungs(ladder, velocity, refined.height, height));
        peaks.push(peak);
    }
    peaks.sort_by(|a: &Peak, b| b.significance.total_cmp(&a.significance).then((a.pixel.1, a.pixel.0).cmp(&(b.pixel.1, b.pixel.0))));
    let mut kept: Vec<Peak> = Vec::new();
    for peak in peaks {
        if kept.iter().all(|k| (k.at.x - peak.at.x).hypot(k.at.y - peak.at.y) >= apart_px) {
            kept.push(peak);
        }
    }
    kept.sort_by_key(|p| (p.pixel.1, p.pixel.0));
    kept
}

/// The vertex of a parabola through the heights of the rungs on both sides, along each axis.
fn between_rungs(ladder: &VelocityLadder, at: [f64; 2], height: f64, of: impl Fn([f64; 2]) -> f64) -> [f64; 2] {
    let step = ladder.velocities.windows(2).map(|w| w[1][0] - w[0][0]).find(|s| *s > 0.0).unwrap_or(0.0);
    let along = |axis: usize| {
        let beside = |sign: f64| {
            let mut v = at;
            v[axis] += sign * step;
            v
        };
        let (up, down) = (beside(1.0), beside(-1.0));
        if step <= 0.0 || up[0].hypot(up[1]) > ladder.fastest || down[0].hypot(down[1]) > ladder.fastest {
            return at[axis];
        }
        let (a, b) = (of(down), of(up));
        let curvature = a + b - 2.0 * height;
        let shift = if curvature < 0.0 { 0.5 * (a - b) / curvature } else { 0.0 };
        at[axis] + shift.clamp(-1.0, 1.0) * step
    };
    [along(0), along(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::fft2::RealFft2;
    use crate::coadd::gaussian_psf;
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn ladders_cover_a_circle() {
        // Algorithms 2.0: about 314 velocities for 0.25 FWHM an epoch over 30 epochs with rungs of 0.75 FWHM.
        let ladder = VelocityLadder::new(0.25 * 3.5, 0.75 * 3.5, 29.0);
        assert!((280..320).contains(&ladder.velocities().len()), "{}", ladder.velocities().len());
        assert!(ladder.velocities().contains(&[0.0, 0.0]));
        assert_eq!(VelocityLadder::new(0.0, 1.0, 10.0).velocities().len(), 1);
    }

    /// Movers of S/N 1.7 in each of 30 epochs, 9.3 in all: found, where nothing is found that does not move with them.
    #[test]
    fn faint_movers_are_found_and_followed() {
        const SIDE: usize = 256;
        let (fwhm, epochs_n) = (3.5, 30);
        let (stamp, fft) = (gaussian_psf(fwhm, 12), RealFft2::<f64>::new(SIDE));
        let filter = fft.of_stamp(stamp.view());
        let norm = stamp.iter().map(|p| p * p).sum::<f64>();
        let ladder = VelocityLadder::new(0.25 * fwhm, 0.75 * fwhm, f64::from(epochs_n - 1));
        let times: Vec<f64> = (0..epochs_n).map(|k| f64::from(k) - 14.5).collect();
        let reach = ladder.reach_px(times.iter().copied());
        let bbox = Box2::new(0, 0, SIDE as i32 - 2 * reach, SIDE as i32 - 2 * reach);
        let movers =
            [([60.0, 50.0], [0.55, -0.3]), ([150.0, 70.0], [-0.8, 0.1]), ([100.0, 160.0], [0.2, 0.7]), ([180.0, 170.0], [0.0, -0.4])];
        let epochs: Vec<EpochMaps> = times
            .iter()
            .enumerate()
            .map(|(k, &time_d)| {
                let mut rng = keyed_rng(4, "mover test", k as u64, 0);
                let white = Array2::from_shape_simple_fn((SIDE, SIDE), || -> f64 { StandardNormal.sample(&mut rng) });
                let mut psi = fft.inverse(fft.forward(white) * &filter).mapv(|v| v as f32);
                let s2 = 2.0 * (fwhm / 2.354_82f64).powi(2);
                for ([x, y], [vx, vy]) in movers {
                    let (x, y) = (x + vx * time_d + f64::from(reach), y + vy * time_d + f64::from(reach));
                    psi.indexed_iter_mut().for_each(|((j, i), p)| {
                        let d2 = (i as f64 - x).powi(2) + (j as f64 - y).powi(2);
                        *p += (1.7 * norm.sqrt() * (-d2 / (2.0 * s2)).exp()) as f32;
                    });
                }
                EpochMaps { time_d, psi, phi: Array2::from_elem((SIDE, SIDE), norm as f32) }
            })
            .collect();
        let found = search_movers(&epochs, &ladder, &bbox, 6.0, 3.0 * fwhm);
        for ([x, y], [vx, vy]) in movers {
            let near = |p: &&Peak| (p.at.x - x).hypot(p.at.y - y) < 2.0;
            let best = found.iter().filter(near).max_by(|a, b| a.significance.total_cmp(&b.significance));
            let peak = best.unwrap_or_else(|| panic!("({x}, {y}) not found"));
            let [ux, uy] = peak.velocity_px_per_day.unwrap();
            // Cramér-Rao: 1/(ν √(l2 Var t)) = 0.026 px a day an axis; five of that, whole-pixel shifts included.
            assert!((ux - vx).hypot(uy - vy) < 0.15, "({ux}, {uy}) for ({vx}, {vy})");
        }
        assert_eq!(found.len(), movers.len());
        // Without motion none is.
        let still = search_movers(&epochs, &VelocityLadder::new(0.0, 1.0, 29.0), &Box2::new(0, 0, bbox.width, bbox.height), 6.0, 10.0);
        assert!(still.is_empty());
    }
}

//! Stacks along a ladder of velocities: movers too faint for a single epoch.
//!
//! The maps of every time window are shifted along a motion and summed; of all motions each pixel keeps the best. A mover of motion u that starts
//! at x gives Ψ_w(x + u t_w) in window w, so ν = Σ_w Ψ_w(x + v t_w) / √Σ_w Φ_w(x + v t_w) is largest at v = u.

use super::peaks::fit;
use crate::footprint::Peak;
use crate::geometry::{Box2, PixelPoint};
use ndarray::{Array2, ArrayView2, s};
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
    /// (x, y) \[pixel per day\], by rows of equal v_y.
    velocities: Vec<[f64; 2]>,
    fastest: f64,
    step_px: f64,
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
        Self { velocities: all.filter(|v| v[0].hypot(v[1]) <= fastest * (1.0 + 1e-12)).collect(), fastest, step_px }
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

/// The maps of all windows, ready to be stacked along velocities.
#[derive(Debug, Clone)]
pub struct MoverMaps {
    /// Maps of the windows, in time order.
    pub epochs: Vec<EpochMaps>,
    /// l2 \[1/pixel²\] of the noise, if the mean of all windows has been taken off: a stack then has lost the share 1 - g of its signal and variance
    /// that lies in that mean, g = 1 - Σ_w Σ_u ρ(v (t_w - t_u)) / n² for windows of equal depth.
    pub subtracted_l2: Option<f64>,
}

/// Least √g of a velocity that is searched on subtracted maps: 0.2 FWHM an epoch for 30 of them.
const MIN_LEFT: f64 = 0.85;

impl MoverMaps {
    /// g; none where too little is left.
    fn left(&self, [vx, vy]: [f64; 2]) -> Option<f64> {
        let Some(l2) = self.subtracted_l2 else { return Some(1.0) };
        let weight = |e: &EpochMaps| f64::from(e.phi.mean().unwrap_or(0.0));
        let weights: Vec<f64> = self.epochs.iter().map(weight).collect();
        let total = weights.iter().sum::<f64>();
        let mut shared = 0.0;
        for (a, wa) in self.epochs.iter().zip(&weights) {
            for (b, wb) in self.epochs.iter().zip(&weights) {
                let d2 = (vx * vx + vy * vy) * (a.time_d - b.time_d).powi(2);
                shared += wa * wb * (-0.5 * l2 * d2).exp();
            }
        }
        let left = 1.0 - shared / (total * total).max(f64::MIN_POSITIVE);
        (left.max(0.0).sqrt() >= MIN_LEFT).then_some(left)
    }
}

/// What a search asks of a mover.
#[derive(Debug, Clone, Copy)]
pub struct MoverLimits {
    /// Least ν.
    pub threshold: f64,
    /// Least √(ν² - ν₀²), ν₀ that of the same place, and of others near that may stand still, without motion: less, and it may stand still.
    pub motion: f64,
    /// Of peaks within this distance only the highest stays \[pixel\]: beside a mover stand its stacks at other velocities.
    pub apart_px: f64,
}

/// Share of the threshold from which on a pixel's best trial is followed: between the rungs and pixels of the ladder some per cent are lost, and noise
/// makes more of the rest.
const CLIMB_FROM: f32 = 0.75;

/// Share of ΣΦ that a path must have left where static sources are left out: what is seen in fewer windows beside a bright star is the star's.
const MIN_DEPTH: f64 = 0.5;

/// Peaks of the best ν over the ladder at or above the threshold that move, on the inner pixels of `bbox` (all but its outermost), in pixel order.
///
/// ν = Σ_w Ψ_w(x + v t_w) / √(g Σ_w Φ_w(x + v t_w)), shifted to whole pixels: 2 % of the signal is lost for an FWHM of 3.5 px. What comes near the threshold is
/// followed between pixels: position at time 0 and velocity are those of the largest ΣΨ_w(x + v t_w).
///
/// # Arguments
/// * `maps`: of each the best counts; epochs of equal times, on `bbox` grown by [`VelocityLadder::reach_px`] of them.
/// * `depth`: ΣΦ of all windows \[1/nJy²\] on the same pixels, before anything was left out. Less than half of it along a path is no mover.
///
/// # Source
/// Algorithms 2.0, movers; the sum along trial motions is that of Bernstein et al. 2004 (digital tracking), on likelihood maps.
#[must_use]
pub fn search_movers(maps: &[MoverMaps], depth: ArrayView2<f64>, ladder: &VelocityLadder, bbox: &Box2, limits: &MoverLimits) -> Vec<Peak> {
    let reach_px = ladder.reach_px(maps.iter().flat_map(|m| &m.epochs).map(|e| e.time_d));
    let (ny, nx) = bbox.shape();
    let trials: Vec<Trial> = (ladder.velocities.iter().enumerate())
        .flat_map(|(k, v)| maps.iter().enumerate().filter_map(move |(m, of)| of.left(*v).map(|left| Trial { rung: k, map: m, left })))
        .collect();
    // Rows in parallel: a row's part of all maps stays in the cache for all velocities of one v_y.
    let reach = reach_px as usize;
    let least_phi = |j: usize| depth.slice(s![j + reach, reach..reach + nx]).mapv(|phi| (MIN_DEPTH * phi) as f32).to_vec();
    let rows: Vec<(Vec<f32>, Vec<u32>)> =
        (0..ny).into_par_iter().map(|j| best_of_row(maps, ladder, &trials, reach_px, j, &least_phi(j))).collect();
    let floor = CLIMB_FROM * limits.threshold as f32;
    let inner = |n: usize| 1..n.saturating_sub(1);
    let starts: Vec<(usize, usize)> =
        inner(ny).flat_map(|j| inner(nx).map(move |i| (j, i))).filter(|&(j, i)| rows[j].0[i] >= floor).collect();
    // A mover need not be a maximum of the best trials, where noise has another one: every pixel above the floor is followed.
    let climb = |&(j, i): &(usize, usize)| {
        let trial = &trials[rows[j].1[i] as usize];
        let start = Track { at: [i as f64, j as f64], velocity: ladder.velocities[trial.rung] };
        Candidate::climb(&maps[trial.map], trial.left, start, reach_px, ladder.step_px).filter(|c| c.height >= limits.threshold)
    };
    let (moving, still): (Vec<Candidate>, Vec<Candidate>) =
        starts.par_iter().filter_map(climb).collect::<Vec<_>>().into_iter().partition(|c| c.moves(c.unmoved, limits));
    // What stands still makes stacks at other velocities around it, none higher than it is itself.
    let hides = |still: &Candidate, c: &Candidate| c.track.distance_px(&still.track) < limits.apart_px && !c.moves(still.unmoved, limits);
    let free = moving.into_iter().filter(|c| !still.iter().any(|s| hides(s, c))).map(|c| c.peak(bbox));
    highest_apart(free.collect(), limits.apart_px)
}

/// The end of a climb.
struct Candidate {
    track: Track,
    /// ν along it.
    height: f64,
    /// ν at its place without motion; 0 where the mean that was taken off took that with it.
    unmoved: f64,
}

impl Candidate {
    /// None where the maps have no data. `left`: g of the velocity from which it starts.
    fn climb(maps: &MoverMaps, left: f64, start: Track, reach_px: i32, step_px: f64) -> Option<Self> {
        let (track, height) = follow(&maps.epochs, start, reach_px, step_px);
        let still = Track { velocity: [0.0; 2], ..track };
        let unmoved = if maps.subtracted_l2.is_none() { sums_along(&maps.epochs, &still, reach_px).height().max(0.0) } else { 0.0 };
        (height > 0.0).then_some(Self { track, height: height / left.sqrt(), unmoved })
    }

    /// True if it is too high for something of this height that stands still.
    fn moves(&self, still: f64, limits: &MoverLimits) -> bool {
        self.height.powi(2) - still.powi(2) >= limits.motion.powi(2)
    }

    fn peak(&self, bbox: &Box2) -> Peak {
        let [x, y] = self.track.at;
        let at = PixelPoint::new(f64::from(bbox.x0) + x, f64::from(bbox.y0) + y);
        Peak { velocity_px_per_day: Some(self.track.velocity), ..Peak::bare(at, self.height, 0) }
    }
}

/// Of peaks within `apart_px` the highest, in pixel order.
pub(super) fn highest_apart(mut peaks: Vec<Peak>, apart_px: f64) -> Vec<Peak> {
    peaks.sort_by(|a, b| b.significance.total_cmp(&a.significance).then((a.pixel.1, a.pixel.0).cmp(&(b.pixel.1, b.pixel.0))));
    let mut kept: Vec<Peak> = Vec::new();
    for peak in peaks {
        if kept.iter().all(|k| (k.at.x - peak.at.x).hypot(k.at.y - peak.at.y) >= apart_px) {
            kept.push(peak);
        }
    }
    kept.sort_by_key(|p| (p.pixel.1, p.pixel.0));
    kept
}

/// A velocity tried on one of the maps.
struct Trial {
    /// Place in the ladder.
    rung: usize,
    /// Place among the maps.
    map: usize,
    /// g.
    left: f64,
}

/// The best ν of every pixel of a row, and the trial that has it: the first of equals; of trials whose ΣΦ is not below that of `least_phi`.
fn best_of_row(
    maps: &[MoverMaps],
    ladder: &VelocityLadder,
    trials: &[Trial],
    reach_px: i32,
    j: usize,
    least_phi: &[f32],
) -> (Vec<f32>, Vec<u32>) {
    let nx = least_phi.len();
    let (mut best, mut of) = (vec![0.0f32; nx], vec![0u32; nx]);
    let (mut psi, mut phi) = (vec![0.0f32; nx], vec![0.0f32; nx]);
    for (t, trial) in trials.iter().enumerate() {
        let [vx, vy] = ladder.velocities[trial.rung];
        psi.fill(0.0);
        phi.fill(0.0);
        for epoch in &maps[trial.map].epochs {
            let row = j as i32 + reach_px + (vy * epoch.time_d).round() as i32;
            let x = (reach_px + (vx * epoch.time_d).round() as i32) as usize;
            for (sum, map) in [(&mut psi, &epoch.psi), (&mut phi, &epoch.phi)] {
                let values = &map.as_slice().expect("standard layout")[row as usize * map.ncols() + x..][..nx];
                sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
            }
        }
        let scale = trial.left.sqrt().recip() as f32;
        for ((((best, of), psi), phi), least) in best.iter_mut().zip(&mut of).zip(&psi).zip(&phi).zip(least_phi) {
            let nu = if *phi > 0.0 && phi >= least { scale * psi / phi.sqrt() } else { 0.0 };
            if nu > *best {
                (*best, *of) = (nu, t as u32);
            }
        }
    }
    (best, of)
}

/// Where something is, in pixels of a box, at time 0, and how it moves.
#[derive(Debug, Clone, Copy)]
struct Track {
    /// (x, y) \[pixel\].
    at: [f64; 2],
    /// \[pixel per day\].
    velocity: [f64; 2],
}

impl Track {
    /// Distance of two at time 0.
    fn distance_px(&self, other: &Self) -> f64 {
        (self.at[0] - other.at[0]).hypot(self.at[1] - other.at[1])
    }
}

/// The track near `start` on which ΣΨ_w is largest, and its ΣΨ_w / √ΣΦ_w.
///
/// Steps of Fisher scoring: the gradient of ΣΨ_w over position and velocity, against the curvature -F l2 ΣΦ_w (1, t_w; t_w, t_w²) that it has on
/// average at the right track, with F = ΣΨ/ΣΦ; l2 is that of the maps along the track.
fn follow(epochs: &[EpochMaps], start: Track, reach_px: i32, step_px: f64) -> (Track, f64) {
    let longest = epochs.iter().fold(0.0f64, |a, e| a.max(e.time_d.abs())).max(1e-9);
    let mut track = start;
    let mut height = sums_along(epochs, &track, reach_px).height();
    for _ in 0..MAX_STEPS {
        let sums = sums_along(epochs, &track, reach_px);
        let [s, st, stt] = sums.curvature;
        let det = s * stt - st * st;
        if det <= 0.0 || s <= 0.0 {
            break;
        }
        let fastest_step = 0.25 * step_px / longest;
        let step = sums
            .gradient
            .map(|[g, gt]| [((stt * g - st * gt) / det).clamp(-0.5, 0.5), ((s * gt - st * g) / det).clamp(-fastest_step, fastest_step)]);
        // Where the whole step leads down, a shorter one may lead up; and it must stay the peak that was found.
        let higher = SHARES_OF_STEP.iter().find_map(|share| {
            let mut next = track;
            for (axis, [at, velocity]) in step.into_iter().enumerate() {
                next.at[axis] += share * at;
                next.velocity[axis] += share * velocity;
            }
            let is_near = |axis: usize| (next.at[axis] - start.at[axis]).abs() <= step_px;
            let reached = sums_along(epochs, &next, reach_px).height();
            (is_near(0) && is_near(1) && reached > height).then_some((next, reached))
        });
        let Some(higher) = higher else { break };
        (track, height) = higher;
    }
    (track, height)
}

/// Fisher steps, at most.
const MAX_STEPS: usize = 12;

/// Shares of a step that are tried.
const SHARES_OF_STEP: [f64; 3] = [1.0, 0.5, 0.25];

/// Sums over the epochs along a track.
struct TrackSums {
    psi: f64,
    phi: f64,
    /// Of ΣΨ_w, by axis: over position, over velocity.
    gradient: [[f64; 2]; 2],
    /// Its mean curvature per axis: position, mixed, velocity.
    curvature: [f64; 3],
}

impl TrackSums {
    fn height(&self) -> f64 {
        if self.phi > 0.0 { self.psi / self.phi.sqrt() } else { 0.0 }
    }
}

fn sums_along(epochs: &[EpochMaps], track: &Track, reach_px: i32) -> TrackSums {
    let mut sums = TrackSums { psi: 0.0, phi: 0.0, gradient: [[0.0; 2]; 2], curvature: [0.0; 3] };
    let mut weights = [0.0; 3];
    let mut bend = 0.0;
    for epoch in epochs {
        let t = epoch.time_d;
        let place = |axis: usize| track.at[axis] + track.velocity[axis] * t + f64::from(reach_px);
        let (x, y) = (place(0), place(1));
        let (i, j) = (x.round(), y.round());
        let (ny, nx) = epoch.psi.dim();
        if i < 1.0 || j < 1.0 || i as usize + 1 >= nx || j as usize + 1 >= ny {
            continue;
        }
        let at = (j as usize, i as usize);
        let phi = f64::from(epoch.phi[at]);
        if phi <= 0.0 {
            continue;
        }
        let fit = fit(&epoch.psi, at);
        let (dx, dy) = (x - i, y - j);
        sums.psi += fit.at(dx, dy);
        sums.phi += phi;
        let gradient = fit.gradient_at(dx, dy);
        for (sum, g) in sums.gradient.iter_mut().zip(gradient) {
            *sum = [sum[0] + g, sum[1] + t * g];
        }
        let [xx, _, yy] = fit.curvature();
        bend += 0.5 * (xx + yy);
        weights = [weights[0] + phi, weights[1] + t * phi, weights[2] + t * t * phi];
    }
    // F l2 ΣΦ is the bend of ΣΨ itself.
    if weights[0] > 0.0 {
        sums.curvature = weights.map(|w| bend * w / weights[0]);
    }
    sums
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
        let search = |ladder: &VelocityLadder, bbox: &Box2| {
            let maps = MoverMaps { epochs: epochs.clone(), subtracted_l2: None };
            let depth = Array2::from_elem((SIDE, SIDE), f64::from(epochs_n) * norm);
            search_movers(&[maps], depth.view(), ladder, bbox, &MoverLimits { threshold: 6.0, motion: 3.5, apart_px: 3.0 * fwhm })
        };
        let found = search(&ladder, &bbox);
        for ([x, y], [vx, vy]) in movers {
            let near = |p: &&Peak| (p.at.x - x).hypot(p.at.y - y) < 2.0;
            let best = found.iter().filter(near).max_by(|a, b| a.significance.total_cmp(&b.significance));
            let peak = best.unwrap_or_else(|| panic!("({x}, {y}) not found"));
            let [ux, uy] = peak.velocity_px_per_day.unwrap();
            // Cramér-Rao: 1/(ν √(l2 Var t)) = 0.026 px a day an axis; four of that in the plane.
            assert!((ux - vx).hypot(uy - vy) < 0.11, "({ux}, {uy}) for ({vx}, {vy})");
        }
        assert_eq!(found.len(), movers.len());
        // From stacks without motion the climb still leads to nothing but movers.
        let still = search(&VelocityLadder::new(0.0, 1.0, 29.0), &Box2::new(0, 0, bbox.width, bbox.height));
        let shift = f64::from(reach - 1);
        let is_mover = |p: &Peak| movers.iter().any(|([x, y], _)| (p.at.x - shift - x).hypot(p.at.y - shift - y) < 2.0);
        assert!(still.iter().all(is_mover), "{still:?}");
    }
}

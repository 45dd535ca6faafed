//! Sources that move: detections of several epochs on a line.

use crate::geometry::PixelPoint;

/// Least number of epochs: any two detections are on a line.
const MIN_EPOCHS: usize = 3;

/// A detection in one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Detection {
    pub mjd: f64,
    pub at: PixelPoint,
}

/// Which detections belong to a motion: those of at least three epochs within `tolerance_px` of a line that is run through at constant speed.
///
/// Lines are drawn through every pair of detections no faster apart than `max_px_per_day`.
pub(super) fn on_a_line(detections: &[Detection], max_px_per_day: f64, tolerance_px: f64) -> Vec<bool> {
    let mut moves = vec![false; detections.len()];
    for (i, a) in detections.iter().enumerate() {
        for b in &detections[i + 1..] {
            let days = b.mjd - a.mjd;
            let (vx, vy) = ((b.at.x - a.at.x) / days, (b.at.y - a.at.y) / days);
            let speed = vx.hypot(vy);
            // Not a number, or infinite, if both are of one time.
            if speed.is_nan() || speed > max_px_per_day {
                continue;
            }
            let is_near = |d: &Detection| {
                let t = d.mjd - a.mjd;
                (a.at.x + vx * t - d.at.x).hypot(a.at.y + vy * t - d.at.y) <= tolerance_px
            };
            let on_line: Vec<usize> = (0..detections.len()).filter(|&k| is_near(&detections[k])).collect();
            let mut epochs: Vec<f64> = on_line.iter().map(|&k| detections[k].mjd).collect();
            epochs.sort_by(f64::total_cmp);
            epochs.dedup_by(|a, b| a.total_cmp(b).is_eq());
            if epochs.len() >= MIN_EPOCHS {
                on_line.iter().for_each(|&k| moves[k] = true);
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mover at constant speed among transients, another one too fast, and two detections at one time.
    #[test]
    fn a_steady_motion_is_found() {
        let d = |mjd: f64, x: f64, y: f64| Detection { mjd, at: PixelPoint::new(x, y) };
        let mover = [0.0, 1.0, 3.0, 4.0].map(|t| d(t, 50.0 + 12.0 * t, 80.0 - 5.0 * t + if t > 2.0 { 1.0 } else { 0.0 }));
        let fast = [0.0, 1.0, 2.0].map(|t| d(t, 300.0 * t, 900.0));
        let others = [d(0.0, 500.0, 30.0), d(1.0, 400.0, 333.0), d(1.0, 401.0, 333.0), d(4.0, 10.0, 500.0)];
        let all: Vec<Detection> = mover.into_iter().chain(fast).chain(others).collect();
        let found = on_a_line(&all, 50.0, 3.0);
        assert_eq!(found, [vec![true; 4], vec![false; 7]].concat());
        assert_eq!(on_a_line(&all, 1000.0, 3.0)[4..7], [true; 3]);
        assert!(on_a_line(&all[..2], 50.0, 3.0).iter().all(|m| !m));
    }
}

//! The rules by which the LSST pipelines merge the peaks of several bands: fixed radii, and a cull by rank.
//!
//! # Source
//! `lsst.meas.algorithms` and `lsst.afw.detection.FootprintMergeList` as described by Bosch et al. 2018, PASJ 70, S5, 3.3.1; defaults of
//! `MergeDetectionsConfig`: 0.3" (the same peak), 1.0" (a new one), peaks in between are dropped; `cullPeaks` keeps a peak that is seen in two layers, or ranks among the
//! first 20 of its parent, or among the first 30 and the first 70 %.

use super::outcome::{Outcome, Rejection, Role};
use crate::footprint::Peak;

const SUFFICIENT_LAYERS: u32 = 2;
const SUFFICIENT_RANK: usize = 20;
const CONSIDERED_RANK: usize = 30;
const CONSIDERED_SHARE: f64 = 0.7;

/// Roles of the peaks of one parent, in their order; the layers' order is their priority.
///
/// * `same_px`, `new_px`: peaks nearer than the first to an object are the same, those further than the second from all are new.
pub(super) fn lsst(peaks: &[Peak], same_px: f64, new_px: f64) -> Vec<Outcome> {
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|&a, &b| {
        let (p, q) = (&peaks[a], &peaks[b]);
        p.layer.cmp(&q.layer).then(q.significance.total_cmp(&p.significance)).then((p.pixel.1, p.pixel.0).cmp(&(q.pixel.1, q.pixel.0)))
    });
    let mut roles = vec![Role::Rejected(Rejection::DeadZone); peaks.len()];
    let mut objects: Vec<usize> = Vec::new();
    let mut seen = vec![0u64; peaks.len()];
    for p in order {
        let distance = |o: usize| (peaks[o].at.x - peaks[p].at.x).hypot(peaks[o].at.y - peaks[p].at.y);
        let nearest = objects.iter().map(|&o| (distance(o), o)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        roles[p] = match nearest {
            Some((d, o)) if d < same_px => {
                seen[o] |= 1 << peaks[p].layer;
                Role::SameAs(o)
            }
            Some((d, _)) if d <= new_px => continue,
            _ => {
                objects.push(p);
                seen[p] = 1 << peaks[p].layer;
                Role::Object
            }
        };
    }
    objects.sort_by(|&a, &b| peaks[b].significance.total_cmp(&peaks[a].significance).then(a.cmp(&b)));
    let n = objects.len() as f64;
    let is_low = |&(rank, &o): &(usize, &usize)| {
        let considered = rank < CONSIDERED_RANK && (rank as f64) < CONSIDERED_SHARE * n;
        seen[o].count_ones() < SUFFICIENT_LAYERS && rank >= SUFFICIENT_RANK && !considered
    };
    let low: Vec<usize> = objects.iter().enumerate().filter(is_low).map(|(_, &o)| o).collect();
    for role in &mut roles {
        if matches!(role, Role::SameAs(o) if low.contains(o)) {
            *role = Role::Rejected(Rejection::LowRank);
        }
    }
    low.into_iter().for_each(|o| roles[o] = Role::Rejected(Rejection::LowRank));
    roles.into_iter().map(Outcome::plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PixelPoint;

    #[test]
    fn radii_and_ranks() {
        let peak = |layer: u16, x: f64, s: f64| Peak::bare(PixelPoint::new(x, 0.0), s, layer);
        let peaks = [peak(0, 10.0, 9.0), peak(1, 11.0, 20.0), peak(1, 13.0, 8.0), peak(1, 16.0, 7.0)];
        let roles: Vec<Role> = lsst(&peaks, 1.5, 5.0).into_iter().map(|o| o.role).collect();
        assert_eq!(roles, [Role::Object, Role::SameAs(0), Role::Rejected(Rejection::DeadZone), Role::Object]);
        let row: Vec<Peak> = (0..40).map(|k| peak(0, 10.0 * f64::from(k), 100.0 - f64::from(k))).collect();
        let kept = lsst(&row, 1.5, 5.0).iter().filter(|o| o.role == Role::Object).count();
        // The first 28 of 40: among the first 30 and the first 70 %.
        assert_eq!(kept, 28);
    }
}

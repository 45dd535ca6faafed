//! Who is who: one-to-one matches of truth and detections by the likelihood of position and flux.

use crate::scene::{Detection, Neighbours, Scene, Truth};

/// Systematic floor of a position \[FWHM\]: centres of blends and galaxies are not better than that.
const POSITION_FLOOR_FWHM: f64 = 0.1;
/// Systematic floor of a flux, relative: a PSF flux of a galaxy or blend is not its total flux.
const FLUX_FLOOR: f64 = 0.2;
/// Largest χ² that fluxes add: a wrong flux makes a partner unlikely, not impossible.
const FLUX_CHI2_CAP: f64 = 25.0;
/// A second partner within this Δχ² of the chosen one makes a match ambiguous.
const AMBIGUOUS_DELTA: f64 = 4.0;

/// What became of a truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruthFate {
    /// Matched to the detection of this index; `true` if another partner was nearly as likely.
    Matched(usize, bool),
    /// Counts, and has no detection.
    Missed,
    /// Too faint or unusable; with the detection that it explains, if any.
    Ignored(Option<usize>),
}

/// What became of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectionFate {
    /// Matched to the truth of this index.
    Matched(usize),
    /// Nothing is there.
    Spurious,
    /// An object that the control run has too.
    Real,
    /// Explained by an ignored truth.
    Ignored,
}

/// The outcome for one scene, in the order of its truth and detections.
#[derive(Debug)]
pub struct Matches {
    /// Per truth.
    pub truth: Vec<TruthFate>,
    /// Per detection.
    pub detections: Vec<DetectionFate>,
}

impl Matches {
    /// Matched pairs (truth, detection) that count, ambiguous ones included.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.truth.iter().enumerate().filter_map(|(i, fate)| if let TruthFate::Matched(d, _) = fate { Some((i, *d)) } else { None })
    }
}

/// -2 ln likelihood that `detection` is `truth`, up to a constant: χ² of position and of flux.
fn cost(truth: &Truth, detection: &Detection, fwhm: f64) -> f64 {
    let position: f64 = (0..2)
        .map(|axis| {
            let err = if detection.point_err[axis].is_finite() { detection.point_err[axis] } else { 0.0 };
            let variance = err.powi(2) + (POSITION_FLOOR_FWHM * fwhm).powi(2);
            (detection.point[axis] - truth.point[axis]).powi(2) / variance
        })
        .sum();
    let flux: f64 = truth
        .flux
        .iter()
        .zip(detection.flux.iter().zip(&detection.flux_err))
        .filter(|(t, (f, e))| t.is_finite() && f.is_finite() && e.is_finite())
        .map(|(t, (f, e))| (f - t).powi(2) / (e.powi(2) + (FLUX_FLOOR * t).powi(2)).max(f64::MIN_POSITIVE))
        .sum();
    position + flux.min(FLUX_CHI2_CAP)
}

/// Matches a scene.
///
/// Pairs within `radius_arcsec` are taken from the most likely down, each truth and detection once. This greedy order is
/// preferred to the smallest total cost: that one moves a sure match to an unlikely partner to give a second truth the
/// leftover. Unusable truth takes part (it must keep its detection from its neighbours) but does not count. Truth below
/// `ignore_below_snr` takes no part; what lies near it is neither found nor spurious if it has at least half that S/N. Fainter
/// truth is everywhere and explains nothing.
///
/// # Arguments
/// * `control`: detections of the same field without injection, on the plane of `scene`.
#[must_use]
pub fn match_scene(scene: &Scene, radius_arcsec: f64, fwhm: f64, ignore_below_snr: f64, control: Option<&Neighbours>) -> Matches {
    let takes_part = |t: &Truth| t.counts || (!t.is_usable && (t.snr_all.is_nan() || t.snr_all >= ignore_below_snr));
    let mut candidates: Vec<(f64, usize, usize)> = Vec::new();
    for (i, truth) in scene.truth.iter().enumerate().filter(|(_, t)| takes_part(t)) {
        for (d, _) in scene.detections_near.within(truth.point, radius_arcsec) {
            candidates.push((cost(truth, &scene.detections[d], fwhm), i, d));
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut partner_of_truth = vec![None; scene.truth.len()];
    let mut partner_of_detection = vec![None; scene.detections.len()];
    for &(cost, i, d) in &candidates {
        if partner_of_truth[i].is_none() && partner_of_detection[d].is_none() {
            partner_of_truth[i] = Some((d, cost));
            partner_of_detection[d] = Some((i, cost));
        }
    }
    let mut is_ambiguous = vec![false; scene.truth.len()];
    for &(cost, i, d) in &candidates {
        if let (Some((chosen, best)), Some((owner, owners_best))) = (partner_of_truth[i], partner_of_detection[d]) {
            // The pair not taken competes with the pairs of both its sides.
            if chosen != d {
                is_ambiguous[i] |= cost - best < AMBIGUOUS_DELTA;
                is_ambiguous[owner] |= cost - owners_best < AMBIGUOUS_DELTA;
            }
        } else if let Some((_, best)) = partner_of_truth[i] {
            is_ambiguous[i] |= cost - best < AMBIGUOUS_DELTA;
        } else if let Some((owner, best)) = partner_of_detection[d] {
            is_ambiguous[owner] |= cost - best < AMBIGUOUS_DELTA;
        }
    }
    let truth = scene.truth.iter().enumerate().map(|(i, t)| match (t.counts, partner_of_truth[i]) {
        (true, Some((d, _))) => TruthFate::Matched(d, is_ambiguous[i]),
        (true, None) => TruthFate::Missed,
        (false, partner) => TruthFate::Ignored(partner.map(|p| p.0)),
    });
    let explains = |t: &Truth| !t.counts && (!t.is_usable || t.snr_all >= 0.5 * ignore_below_snr);
    let detections = scene.detections.iter().enumerate().map(|(d, detection)| match partner_of_detection[d] {
        Some((i, _)) if scene.truth[i].counts => DetectionFate::Matched(i),
        Some(_) => DetectionFate::Ignored,
        None if scene.truth_near.within(detection.point, radius_arcsec).iter().any(|&(i, _)| explains(&scene.truth[i])) => {
            DetectionFate::Ignored
        }
        None if control.is_some_and(|c| !c.within(detection.point, radius_arcsec).is_empty()) => DetectionFate::Real,
        None => DetectionFate::Spurious,
    });
    Matches { truth: truth.collect(), detections: detections.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::TangentPlane;

    fn truth(x: f64, flux: f64, snr: f64) -> Truth {
        Truth {
            id: 1,
            class: "star".into(),
            point: [x, 0.0],
            flux: vec![flux],
            snr: vec![snr],
            flux_err_limit: vec![flux / snr],
            snr_all: snr,
            is_usable: true,
            counts: snr >= 2.0,
            is_point: true,
            is_isolated: true,
            is_detectable: snr > 5.0,
            neighbour: None,
            expected: 1.0,
        }
    }

    fn detection(x: f64, flux: f64) -> Detection {
        Detection {
            row: 0,
            id: 1,
            parent_id: 1,
            is_single: true,
            point: [x, 0.0],
            point_err: [0.02, 0.02],
            flux: vec![flux],
            flux_err: vec![1.0],
            snr: flux,
        }
    }

    fn matched(truth: Vec<Truth>, detections: Vec<Detection>, control: Option<&Neighbours>) -> Matches {
        let scene = Scene {
            name: "main".into(),
            has_truth: true,
            truth_near: Neighbours::new(truth.iter().map(|t| t.point)),
            detections_near: Neighbours::new(detections.iter().map(|d| d.point)),
            truth,
            detections,
            plane: TangentPlane::at_mean([(0.0, 0.0)].into_iter()),
        };
        match_scene(&scene, 1.0, 1.0, 2.0, control)
    }

    /// Both detections reach both truths; position and flux agree only crosswise.
    #[test]
    fn flux_decides_between_neighbours() {
        let m = matched(vec![truth(0.0, 10.0, 10.0), truth(0.1, 100.0, 100.0)], vec![detection(0.05, 101.0), detection(0.06, 10.5)], None);
        assert_eq!(m.truth, [TruthFate::Matched(1, false), TruthFate::Matched(0, false)]);
    }

    #[test]
    fn one_detection_between_two_equals_is_ambiguous_and_given_once() {
        let m = matched(vec![truth(-0.2, 10.0, 10.0), truth(0.2, 10.0, 10.0)], vec![detection(0.0, 10.0)], None);
        assert_eq!(m.truth, [TruthFate::Matched(0, true), TruthFate::Missed]);
        assert_eq!(m.detections, [DetectionFate::Matched(0)]);
    }

    /// S/N 1.5 is ignored and explains; S/N 0.1 explains nothing; out of reach is missed and spurious.
    #[test]
    fn faint_truth_and_distant_detections() {
        let m = matched(
            vec![truth(0.0, 1.5, 1.5), truth(10.0, 0.1, 0.1), truth(20.0, 50.0, 50.0)],
            vec![detection(0.1, 5.0), detection(10.1, 5.0), detection(21.5, 50.0)],
            None,
        );
        assert_eq!(m.truth, [TruthFate::Ignored(None), TruthFate::Ignored(None), TruthFate::Missed]);
        assert_eq!(m.detections, [DetectionFate::Ignored, DetectionFate::Spurious, DetectionFate::Spurious]);
    }

    #[test]
    fn detections_of_the_control_run_are_real() {
        let control = Neighbours::new([[5.0, 0.0]].into_iter());
        let m = matched(vec![truth(0.0, 50.0, 50.0)], vec![detection(5.2, 9.0), detection(8.0, 9.0)], Some(&control));
        assert_eq!(m.detections, [DetectionFate::Real, DetectionFate::Spurious]);
    }

    /// A bright truth that is not usable keeps its detection from the usable neighbour.
    #[test]
    fn unusable_truth_keeps_its_detection() {
        let bright = Truth { is_usable: false, counts: false, ..truth(0.0, 500.0, 500.0) };
        let m = matched(vec![bright, truth(0.5, 10.0, 10.0)], vec![detection(0.01, 500.0)], None);
        assert_eq!(m.truth, [TruthFate::Ignored(Some(0)), TruthFate::Missed]);
        assert_eq!(m.detections, [DetectionFate::Ignored]);
    }
}

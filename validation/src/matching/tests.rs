use super::*;
use crate::testing::{Object, Sighting, scene_of};
use fathom::random::keyed_rng;
use rand::RngExt;

const RULES: MatchRules = MatchRules { radius_arcsec: 1.0, fwhm_arcsec: 1.0, ignore_below_snr: 2.0 };

fn truth(x: f64, flux: f64) -> Object {
    Object { x, flux, ..Object::default() }
}

fn detection(x: f64, flux: f64) -> Sighting {
    Sighting { x, flux, ..Sighting::default() }
}

fn matched(truth: &[Object], detections: &[Sighting]) -> Matches {
    scene_of(truth, detections, |scene| match_scene(scene, &RULES, None))
}

/// Both detections reach both truths; position and flux agree only crosswise.
#[test]
fn flux_decides_between_neighbours() {
    let m = matched(&[truth(0.0, 10.0), truth(0.1, 100.0)], &[detection(0.05, 101.0), detection(0.06, 10.5)]);
    assert_eq!(m.truth, [TruthFate::Matched(1), TruthFate::Matched(0)]);
    assert!(!m.is_ambiguous(0) && !m.is_ambiguous(1));
}

#[test]
fn one_detection_between_two_equals_is_ambiguous_and_given_once() {
    let m = matched(&[truth(-0.2, 10.0), truth(0.2, 10.0)], &[detection(0.0, 10.0)]);
    assert_eq!(m.truth, [TruthFate::Matched(0), TruthFate::Blended(0)]);
    assert_eq!(m.detections, [DetectionFate::Matched(0)]);
    assert!(m.is_ambiguous(0) && m.is_ambiguous(1));
    assert!(m.margin[0].abs() < 1e-9, "{:?}", m.margin);
}

/// Nearest first would give both truths of a shifted row the wrong detection; together they fit.
#[test]
fn the_group_is_judged_as_a_whole() {
    let m = matched(&[truth(0.0, 50.0), truth(0.4, 50.0)], &[detection(0.22, 50.0), detection(0.62, 50.0)]);
    assert_eq!(m.truth, [TruthFate::Matched(0), TruthFate::Matched(1)]);
}

/// A sure match stays, though giving its neighbour its detection and itself a leftover would pair one truth more.
#[test]
fn a_sure_match_is_not_moved_for_a_leftover() {
    let m = matched(&[truth(0.0, 100.0), truth(0.45, 8.0)], &[detection(0.01, 101.0), detection(-0.45, 8.0)]);
    assert_eq!(m.truth[0], TruthFate::Matched(0));
    assert_eq!(m.truth[1], TruthFate::Blended(0));
    assert_eq!(m.detections[1], DetectionFate::Shred(0));
}

/// S/N 1.5 is ignored and explains; S/N 0.1 explains nothing; out of reach is missed and spurious.
#[test]
fn faint_truth_and_distant_detections() {
    let m = matched(
        &[truth(0.0, 1.5), truth(10.0, 0.1), truth(20.0, 50.0)],
        &[detection(0.1, 5.0), detection(10.1, 5.0), detection(21.5, 50.0)],
    );
    assert_eq!(m.truth, [TruthFate::Ignored(None), TruthFate::Ignored(None), TruthFate::Missed]);
    assert_eq!(m.detections, [DetectionFate::Ignored, DetectionFate::Spurious, DetectionFate::Spurious]);
}

/// S/N 1000 is looked for within half a FWHM, S/N 4 within one.
#[test]
fn the_radius_follows_the_signal() {
    let at = |flux: f64| matched(&[truth(0.0, flux)], &[Sighting { err: f64::NAN, ..detection(0.7, flux) }]).truth[0];
    assert_eq!(at(1000.0), TruthFate::Missed);
    assert_eq!(at(4.0), TruthFate::Matched(0));
}

#[test]
fn detections_of_the_control_run_are_real() {
    let m = scene_of(&[truth(0.0, 50.0)], &[detection(5.2, 9.0), detection(8.0, 9.0)], |scene| {
        let control = Neighbours::new([scene.plane.project(5.0 / 3600.0, 0.0)].into_iter());
        match_scene(scene, &RULES, Some(&control))
    });
    assert_eq!(m.detections, [DetectionFate::Real, DetectionFate::Spurious]);
}

/// A bright truth that is not usable keeps its detection from the usable neighbour.
#[test]
fn unusable_truth_keeps_its_detection() {
    let m = matched(&[Object { is_usable: false, ..truth(0.0, 500.0) }, truth(0.5, 10.0)], &[detection(0.01, 500.0)]);
    assert_eq!(m.truth, [TruthFate::Ignored(Some(0)), TruthFate::Blended(0)]);
    assert_eq!(m.detections, [DetectionFate::Ignored]);
}

/// One bright object in three pieces: the best is its match, the others its shreds, by name.
#[test]
fn pieces_are_shreds_of_a_named_truth() {
    let pieces = [detection(0.05, 700.0), detection(1.1, 100.0), detection(-1.2, 120.0), detection(9.0, 100.0)];
    let m = matched(&[truth(0.0, 1000.0)], &pieces);
    assert_eq!(m.truth, [TruthFate::Matched(0)]);
    assert_eq!(m.detections, [DetectionFate::Matched(0), DetectionFate::Shred(0), DetectionFate::Shred(0), DetectionFate::Spurious]);
}

/// Cut into patches, each of which sees a margin of its neighbours and keeps the groups whose first truth it owns, a crowded field
/// has the matches of the whole.
#[test]
fn patches_find_the_matches_of_the_tract() {
    let mut rng = keyed_rng(8, "crowded", 0, 0);
    let mut draw = |width: f64| width * rng.random::<f64>();
    let side = 60.0;
    let truth: Vec<Object> =
        (0..1200).map(|_| Object { x: draw(side), y: draw(side), flux: 4.0 * (1.0 + draw(30.0)), ..Object::default() }).collect();
    let found: Vec<Sighting> = truth
        .iter()
        .filter(|t| t.flux > 10.0)
        .map(|t| Sighting { x: t.x + draw(0.4) - 0.2, y: t.y + draw(0.4) - 0.2, flux: t.flux * (0.8 + draw(0.4)), ..Sighting::default() })
        .collect();
    let whole = matched(&truth, &found);
    let (n_patches, margin) = (3, 20.0);
    let width = side / f64::from(n_patches);
    let mut pieced = vec![None; truth.len()];
    for patch in 0..n_patches * n_patches {
        let low = [f64::from(patch % n_patches) * width, f64::from(patch / n_patches) * width];
        let inside =
            |x: f64, y: f64, m: f64| (low[0] - m..low[0] + width + m).contains(&x) && (low[1] - m..low[1] + width + m).contains(&y);
        let t: Vec<usize> = (0..truth.len()).filter(|&i| inside(truth[i].x, truth[i].y, margin)).collect();
        let d: Vec<usize> = (0..found.len()).filter(|&i| inside(found[i].x, found[i].y, margin)).collect();
        let part = matched(&t.iter().map(|&i| truth[i]).collect::<Vec<_>>(), &d.iter().map(|&i| found[i]).collect::<Vec<_>>());
        for (k, &i) in t.iter().enumerate().filter(|(_, i)| inside(truth[**i].x, truth[**i].y, 0.0)) {
            let name = |fate| match fate {
                TruthFate::Matched(k) => TruthFate::Matched(d[k]),
                TruthFate::Blended(k) => TruthFate::Blended(d[k]),
                other => other,
            };
            pieced[i] = Some((name(part.truth[k]), part.margin[k]));
        }
    }
    for (i, pieced) in pieced.iter().enumerate() {
        let (fate, margin) = pieced.unwrap();
        assert_eq!(fate, whole.truth[i], "truth {i}");
        assert!((margin - whole.margin[i]).abs() < 1e-6, "truth {i}: {margin} {}", whole.margin[i]);
    }
    assert!(whole.truth.iter().filter(|f| matches!(f, TruthFate::Blended(_))).count() > 50);
}

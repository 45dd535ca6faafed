//! Known sources and both rules of association, by the real binary.

use crate::launch;
use fathom::associate::PeakDecision;
use std::path::Path;

fn known(folder: &Path, text: &str) -> String {
    let path = folder.join("known.csv");
    std::fs::write(&path, text).unwrap();
    format!("associate.known=[{{ path = {:?} }}]", launch::text(&path))
}

/// A star of a list that nobody sees is an object; every peak has a decision; the LSST rules explain nothing.
#[test]
fn every_peak_ends_somewhere() {
    let folder = launch::temporary();
    // The tract's centre, pixel (71.5, 71.5), seen by an epoch 10 years earlier and moving by 0.2" a year to the north: ten pixels.
    let list =
        known(folder.path(), "id,ra,dec,epoch,pm_ra,pm_dec,position_error_mas\n7,150.1,2.2,56347.5,0,200,5\n8,151.0,2.2,56347.5,0,0,5\n");
    let one = folder.path().join("likelihood");
    launch::smoke(2, &one, &["--set", &list]);
    let (parents, records) = launch::parents(&one, "main");
    let n_layers = 3;
    let star: Vec<_> = records.iter().filter(|r| r.peak.layer >= n_layers).collect();
    let [star] = star.as_slice() else { panic!("{star:?}") };
    // Exposures of 2 bands on a few nights around one date: the mean time is known to some days.
    assert!((star.peak.at.x - 71.5).abs() < 0.01 && (star.peak.at.y - 81.5).abs() < 1.5, "{:?}", star.peak.at);
    assert_eq!(star.decision, PeakDecision::Kept);
    let parent = parents.iter().find(|p| Some(p.id) == star.parent_id).unwrap();
    assert_eq!(parent.footprint.peaks[star.child.unwrap() as usize].at, star.peak.at);
    for record in records.iter().filter(|r| !matches!(r.decision, PeakDecision::Rejected(_))) {
        let parent = parents.iter().find(|p| Some(p.id) == record.parent_id).unwrap();
        assert!((record.child.unwrap() as usize) < parent.footprint.peaks.len());
    }
    assert!(parents.iter().filter(|p| p.footprint.peaks.len() > 1).all(|p| p.hypotheses.iter().any(|h| h.objects.len() == 1)));
    let shares = |p: &fathom::associate::Parent| p.hypotheses.iter().map(|h| h.log_evidence.exp()).sum::<f64>();
    assert!(parents.iter().all(|p| (shares(p) - 1.0).abs() < 1e-9));

    let other = folder.path().join("lsst");
    launch::smoke(1, &other, &["--set", "associate.rules=lsst", "--reuse", launch::text(&one)]);
    let (_, by_radii) = launch::parents(&other, "main");
    assert_eq!(by_radii.len(), records.len() - 1);
    assert!(by_radii.iter().all(|r| r.decision != PeakDecision::Explained) && by_radii.iter().any(|r| r.decision == PeakDecision::Merged));
}

#[test]
fn bad_lists_are_named() {
    let folder = launch::temporary();
    for (text, expected) in [
        ("id,ra\n1,150.1\n", ["known.csv", "column dec"]),
        ("ra,dec\n150.1,2.2\n150.1,95\n", ["known.csv", "row 1, column dec is 95"]),
        ("id,ra,dec\n7,150.1,2.2\n7,150.1,2.2\n", ["known.csv", "id 7 comes twice"]),
        ("ra,dec\n151.0,2.2\n", ["known.csv", "none of its 1 sources lies on the tract"]),
    ] {
        let list = known(folder.path(), text);
        let run = folder.path().join("run");
        launch::fathom(1, &["run", launch::SMOKE, "--out", launch::text(&run), "--overwrite", "--set", &list]).fails(1, &expected);
    }
}

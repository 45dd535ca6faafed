//! Purity: share of detections that are objects.

use super::completeness::{HalfPoints, magnitude_regime};
use super::{Figure, Metric};
use crate::matching::DetectionFate;
use crate::scene::Detection;
use crate::statistics::share;
use crate::survey::Survey;

/// Regime of detections brighter than the catalog's 50 % limit.
pub(crate) const ABOVE_HALF: &str = "above 50% limit";

/// `detection.purity`, and counts of what the matching found.
pub(crate) fn purity(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.scenes.iter().any(|s| s.has_truth) {
        return;
    }
    let fates: Vec<(&Detection, DetectionFate)> = survey.detection_fates().collect();
    // What an ignored truth or the field itself explains says nothing about purity.
    let judged: Vec<(&Detection, bool)> = fates
        .iter()
        .filter_map(|&(d, fate)| match fate {
            DetectionFate::Matched(_) => Some((d, true)),
            DetectionFate::Spurious => Some((d, false)),
            DetectionFate::Real | DetectionFate::Ignored => None,
        })
        .collect();
    let of = |group: &[&(&Detection, bool)]| Metric::new("detection.purity", "", share(group.iter().filter(|d| d.1).count(), group.len()));
    let all: Vec<&(&Detection, bool)> = judged.iter().collect();
    out.push(of(&all));
    let bright: Vec<_> = all.iter().copied().filter(|d| half.snr50.is_some_and(|s| d.0.snr >= s)).collect();
    out.push(of(&bright).regime(ABOVE_HALF));
    for (band, name) in survey.input.bands.iter().enumerate() {
        let bright: Vec<_> = all.iter().copied().filter(|d| half.m50[band].is_some_and(|m| d.0.magnitude(Some(band)) <= m)).collect();
        out.push(of(&bright).band(name).regime(ABOVE_HALF));
        for (centre, group) in survey.by_magnitude(&all, |d| d.0.magnitude(Some(band))) {
            out.push(of(&group).band(name).regime(&magnitude_regime(centre, survey.config.magnitude_bin)));
        }
    }
    let count = |wanted: fn(&DetectionFate) -> bool| Figure::count(fates.iter().filter(|d| wanted(&d.1)).count());
    out.push(Metric::new("matching.spurious", "", count(|f| *f == DetectionFate::Spurious)));
    out.push(Metric::new("matching.real", "", count(|f| *f == DetectionFate::Real)));
    out.push(Metric::new("matching.ignored_detections", "", count(|f| *f == DetectionFate::Ignored)));
    let n_matched = survey.pairs().count();
    let n_ambiguous = survey.n_ambiguous();
    let ambiguous = share(n_ambiguous, n_matched);
    out.push(Metric::new("matching.matched", "", Figure::count(n_matched)));
    out.push(Metric::new("matching.ambiguous_fraction", "", ambiguous));
}

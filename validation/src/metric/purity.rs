//! Purity of the catalog: share of detections that are objects, and what the others are.
//!
//! `detection.purity` of a bin of *measured* quantities: matched / (matched + shreds + spurious), with Wilson's interval. Detections
//! that an ignored truth explains, or that the control run has too, say nothing and are left out. Theory's purity is that of the false
//! peaks that the layers are expected to have, see [`super::false_positives`].
//!
//! # Source
//! Design section 6; algorithms section 7, item 14: a shred is no object, though it lies near one.

use super::axis::{DETECT_SNR, DetectionValues, OBJECT_AXES};
use super::completeness::{Cut, UNAMBIGUOUS};
use super::depth::HalfPoints;
use super::{Figure, Metric};
use crate::matching::DetectionFate;
use crate::statistics::Share;
use crate::survey::{Piece, Survey};
use std::collections::BTreeMap;

/// Regime of detections brighter than the catalog's 50 % limit.
pub(crate) const ABOVE_HALF: &str = "above 50% limit";

/// What a share is of: by cut, or above the 50 % limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Cut(Cut),
    AboveHalf,
}

/// Shares of detections by band (0: all), and counts of fates.
type Purity = BTreeMap<(usize, What), Share>;

fn fill(survey: &Survey, half: &HalfPoints, piece: Piece, shares: &mut Purity) {
    if !piece.scene.has_truth {
        return;
    }
    let values = DetectionValues::new(survey, piece.arm, piece.scene);
    for d in piece.detections() {
        let (is_object, is_sure) = match d.fate {
            DetectionFate::Matched(i) => (true, !piece.truth(i).is_ambiguous),
            DetectionFate::Shred(_) | DetectionFate::Spurious => (false, true),
            DetectionFate::Real | DetectionFate::Ignored => continue,
        };
        let mut add = |band: usize, what: What| shares.entry((band, what)).or_default().add(is_object);
        add(0, What::Cut(Cut::All));
        if is_sure {
            add(0, What::Cut(Cut::Unambiguous));
        }
        if half.snr50.is_some_and(|s| d.detection.snr >= s) {
            add(0, What::AboveHalf);
        }
        if let Some(bin) = DETECT_SNR.bin(d.detection.snr) {
            add(0, What::Cut(Cut::Snr(bin)));
        }
        for band in 0..survey.input.bands.len() {
            let magnitude = piece.scene.measured_magnitude(d.detection, Some(band));
            if let Some(bin) = survey.magnitude_bin(magnitude) {
                add(band + 1, What::Cut(Cut::Magnitude(bin)));
            }
            if half.m50[band].is_some_and(|m| magnitude <= m) {
                add(band + 1, What::AboveHalf);
            }
        }
        for (k, (axis, value)) in OBJECT_AXES.iter().zip(values.of(d.detection)).enumerate() {
            if let Some(bin) = axis.bin(value) {
                add(0, What::Cut(Cut::Object(k, bin)));
            }
        }
    }
}

/// `detection.purity`.
pub(crate) fn purity(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    let mut shares = survey.tally(|piece, shares: &mut Purity| fill(survey, half, piece, shares));
    // What every report asks for is said to be not measured, where it is not.
    for band in 0..=survey.input.bands.len() {
        shares.entry((band, What::AboveHalf)).or_default();
    }
    shares.entry((0, What::Cut(Cut::All))).or_default();
    shares.entry((0, What::Cut(Cut::Unambiguous))).or_default();
    let bands = survey.all_and_bands();
    for (&(band, what), share) in &shares {
        let regime = match what {
            What::AboveHalf => ABOVE_HALF.to_owned(),
            What::Cut(Cut::Unambiguous) => UNAMBIGUOUS.to_owned(),
            What::Cut(cut) => cut.regime(survey, &DETECT_SNR),
        };
        out.push(Metric::share("detection.purity", share).band(bands[band].1).regime(&regime));
    }
}

/// What the matching found: `matching.{matched, ambiguous_fraction, spurious, shreds, real, ignored_detections, blended_fraction}`.
///
/// `detection.spurious_fraction` and `detection.shred_fraction` are the two parts of what purity lacks.
pub(crate) fn fates(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    let counts = survey.tally(|piece, counts: &mut BTreeMap<&'static str, Share>| {
        let mut add = |what, is_so| counts.entry(what).or_default().add(is_so);
        for d in piece.detections().filter(|_| piece.scene.has_truth) {
            add("spurious", d.fate == DetectionFate::Spurious);
            add("shreds", matches!(d.fate, DetectionFate::Shred(_)));
            add("real", d.fate == DetectionFate::Real);
            add("ignored_detections", d.fate == DetectionFate::Ignored);
            if !matches!(d.fate, DetectionFate::Real | DetectionFate::Ignored) {
                add("of judged: spurious", d.fate == DetectionFate::Spurious);
                add("of judged: shreds", matches!(d.fate, DetectionFate::Shred(_)));
            }
        }
        for (t, _) in piece.pairs() {
            add("matched", true);
            add("ambiguous", t.is_ambiguous);
        }
    });
    let share = |what: &str| counts.get(what).copied().unwrap_or_default();
    for what in ["matched", "spurious", "shreds", "real", "ignored_detections"] {
        out.push(Metric::new(&format!("matching.{what}"), "", Figure::count(share(what).k as usize)));
    }
    out.push(Metric::share("matching.ambiguous_fraction", &share("ambiguous")));
    out.push(Metric::share("detection.spurious_fraction", &share("of judged: spurious")));
    out.push(Metric::share("detection.shred_fraction", &share("of judged: shreds")));
}

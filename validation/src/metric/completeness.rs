//! Completeness of the catalog: share of true objects with a match, against everything that decides it.
//!
//! `detection.completeness` of band, class and bin: matched / all truth that counts (usable, S/N of at least `ignore_below_snr`), with
//! Wilson's interval. Its limit is the mean probability that any detection layer finds these very objects as isolated point sources
//! ([`crate::limit::any_layer_completeness`]). Regime `unambiguous` leaves out truth whose match is not sure.
//!
//! # Source
//! Design section 6; LSST analysis_tools `MatchedRefCoaddCompurityTool` has the same shares without limit, in bins of 1 mag.

use super::Metric;
use super::axis::{Axis, OBJECT_AXES, SNR, TruthValues, magnitude_regime};
use crate::matching::TruthFate;
use crate::statistics::Share;
use crate::survey::{Piece, Survey};
use std::collections::BTreeMap;

/// What a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// All.
    All,
    /// Those whose match is sure.
    Unambiguous,
    /// Bin of magnitude.
    Magnitude(i32),
    /// Bin of S/N.
    Snr(i32),
    /// Axis of [`OBJECT_AXES`] and its bin.
    Object(usize, i32),
}

impl Cut {
    /// Name of the regime.
    pub fn regime(self, survey: &Survey, snr: &Axis) -> String {
        match self {
            Self::All => String::new(),
            Self::Unambiguous => UNAMBIGUOUS.to_owned(),
            Self::Magnitude(bin) => magnitude_regime(survey.bin_centre(bin), survey.config.magnitude_bin),
            Self::Snr(bin) => snr.regime(bin),
            Self::Object(axis, bin) => OBJECT_AXES[axis].regime(bin),
        }
    }
}

/// Regime of figures without ambiguous matches.
pub(crate) const UNAMBIGUOUS: &str = "unambiguous";

/// Band (0: all), class (none: all), cut.
type Key = (usize, Option<u8>, Cut);

/// Shares of true objects found.
pub(super) type Completeness = BTreeMap<Key, Share>;

/// Adds the truth of a piece.
fn fill(survey: &Survey, piece: Piece, counts: &mut Completeness) {
    let values = TruthValues::new(survey, piece.arm, piece.scene);
    for t in piece.truths().filter(|t| t.truth.counts) {
        let found = matches!(t.fate, TruthFate::Matched(_));
        let class = piece.class(t.truth);
        let mut add = |band: usize, cut: Cut| {
            for class in [None, Some(class)] {
                counts.entry((band, class, cut)).or_default().add_expected(found, t.truth.expected);
            }
        };
        for band in 0..=survey.input.bands.len() {
            let of = band.checked_sub(1);
            add(band, Cut::All);
            if let Some(bin) = survey.magnitude_bin(piece.scene.true_magnitude(t.i, of)) {
                add(band, Cut::Magnitude(bin));
            }
            if let Some(bin) = SNR.bin(piece.scene.snr_of(t.i, of)) {
                add(band, Cut::Snr(bin));
            }
        }
        if !t.is_ambiguous {
            add(0, Cut::Unambiguous);
        }
        for (k, (axis, value)) in OBJECT_AXES.iter().zip(values.of(t.i, t.truth)).enumerate() {
            if let Some(bin) = axis.bin(value) {
                add(0, Cut::Object(k, bin));
            }
        }
    }
}

/// `detection.completeness`.
pub(crate) fn completeness(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    let counts = survey.tally(|piece, counts: &mut Completeness| fill(survey, piece, counts));
    if counts.is_empty() {
        // Truth is known, and none of it counts: not measured is said, not left out.
        out.push(Metric::share("detection.completeness", &Share::default()));
    }
    let told_apart = survey.told_apart();
    let bands = survey.all_and_bands();
    for (&(band, class, cut), share) in &counts {
        let Some(class) = class.map_or(Some(""), |c| told_apart.iter().find(|t| t.0 == c).map(|t| t.1)) else { continue };
        let regime = cut.regime(survey, &SNR);
        out.push(Metric::share("detection.completeness", share).band(bands[band].1).class(class).regime(&regime));
    }
}

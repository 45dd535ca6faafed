//! Blends: which are recognised, what is torn apart, and how well the members of recognised blends are measured.

mod errors;
mod plots;

pub(crate) use errors::errors;
pub(crate) use plots::plots;

use super::axis::{Axis, FLUX_RATIO, RESIDUAL_SNR, SEPARATION, SIZE};
use super::completeness::UNAMBIGUOUS;
use super::{Figure, Metric};
use crate::limit::completeness;
use crate::matching::{DetectionFate, TruthFate};
use crate::statistics::Share;
use crate::survey::{Piece, Survey};
use std::collections::BTreeMap;

/// A pair closer than this counts for the overall unrecognised fraction \[FWHM\].
const UNRECOGNISED_FWHM: f64 = 1.5;
/// An object with a neighbour closer than this is blended \[FWHM\].
pub(super) const BLENDED_FWHM: f64 = 2.0;

/// Likelihood ratio at which a pair counts as told from one source \[sigma\], as for detections.
const RECOGNITION_SIGMA: f64 = 5.0;

/// What is asked of a pair or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    /// Pairs of which one is matched: is the other blended into the same detection?
    Unrecognised,
    /// Pairs: are both matched?
    Recognised,
    /// Detectable objects: has it a detectable neighbour within 2 FWHM?
    Blended,
    /// Matched, detectable objects: has it shreds?
    Shredded,
    /// Pairs: are both matched, in one parent?
    InOneParent,
}

/// Bin of a question: all within 1.5 FWHM, separation, flux ratio, S/N of the fainter, size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bin {
    All,
    Unambiguous,
    Separation(i32),
    FluxRatio(i32),
    Snr(i32),
    Size(i32),
    BlendedOnly,
}

impl Bin {
    fn regime(self) -> String {
        let name = |axis: &Axis, bin| axis.regime(bin);
        match self {
            Self::All => String::new(),
            Self::Unambiguous => UNAMBIGUOUS.to_owned(),
            Self::Separation(bin) => name(&SEPARATION, bin),
            Self::FluxRatio(bin) => name(&FLUX_RATIO, bin),
            Self::Snr(bin) => name(&RESIDUAL_SNR, bin),
            Self::Size(bin) => name(&SIZE, bin),
            Self::BlendedOnly => "blended".to_owned(),
        }
    }
}

type Shares = BTreeMap<(Question, Bin), Share>;

/// `deblend.{unrecognised_fraction, recognised_fraction, blend_fraction, shredded_fraction, recognised_blends}`.
///
/// A pair is a detectable truth and its nearest detectable neighbour within 3 FWHM, counted once. Unrecognised: one is matched and the
/// other is blended into that very detection; of pairs of which at least one is matched. Recognised: both are matched; of all pairs.
/// Over all: pairs within 1.5 FWHM. Against separation, flux ratio (fainter / brighter, within 1.5 FWHM) and S/N of the fainter. The
/// limits are the shares that a likelihood ratio at 5 sigma, with the position searched, tells from one source (`pair_delta_chi2` of the
/// truth table, where known). Regime `unambiguous` leaves out pairs with a match that is not sure. Shredded: matched detectable objects to which at least one shred belongs.
///
/// # Source
/// Design section 6; algorithms section 3.1 (SITCOMTN-128: 18 % of 23 < i < 24.5 in DP1 are unrecognised blends).
pub(crate) fn blends(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    let columns = |a: &'_ crate::ArmData| Some((a.truth.i64("pair_id").ok()?.to_vec(), a.truth.f64("pair_delta_chi2").ok()?.to_vec()));
    let limits: Vec<PairLimits> = survey.input.arms.iter().map(columns).collect();
    let mut shares = survey.tally(|piece, shares: &mut Shares| {
        fill_pairs(survey, piece, &limits[piece.arm], shares);
        fill_objects(survey, piece, shares);
    });
    for question in [Question::Unrecognised, Question::Recognised, Question::Blended, Question::Shredded] {
        shares.entry((question, Bin::All)).or_default();
    }
    let in_one_parent: u64 = shares.iter().filter(|(key, _)| key.0 == Question::InOneParent).map(|s| s.1.k).sum();
    for (&(question, bin), share) in &shares {
        let name = match question {
            Question::Unrecognised => "deblend.unrecognised_fraction",
            Question::Recognised => "deblend.recognised_fraction",
            Question::Blended => "deblend.blend_fraction",
            Question::Shredded => "deblend.shredded_fraction",
            Question::InOneParent => continue,
        };
        out.push(Metric::share(name, share).regime(&bin.regime()));
    }
    out.push(Metric::new("deblend.recognised_blends", "", Figure::count(in_one_parent as usize)));
}

/// Per truth the id of the other of its pair, and the χ² that the best single source leaves; none if the truth does not say.
type PairLimits = Option<(Vec<i64>, Vec<f64>)>;

/// Probability that the best method tells the pair from one source; NaN if not known.
fn recognisable(limits: &PairLimits, i: usize, other_id: i64) -> f64 {
    match limits {
        Some((id, delta_chi2)) if id[i] == other_id && delta_chi2[i] >= 0.0 => completeness(delta_chi2[i].sqrt(), RECOGNITION_SIGMA, 1),
        _ => f64::NAN,
    }
}

fn fill_pairs(survey: &Survey, piece: Piece, limits: &PairLimits, shares: &mut Shares) {
    for t in piece.truths().filter(|t| t.truth.is_detectable) {
        let Some((j, distance)) = t.truth.neighbour else { continue };
        // Mutual neighbours are one pair.
        if piece.scene.truth[j].neighbour.is_some_and(|n| n.0 == t.i) && j < t.i {
            continue;
        }
        let fates = [t.fate, piece.matches.truth[j]];
        let is_unrecognised = match fates {
            [TruthFate::Matched(a), TruthFate::Blended(b)] | [TruthFate::Blended(a), TruthFate::Matched(b)] => a == b,
            _ => false,
        };
        let matched = fates.map(|f| if let TruthFate::Matched(d) = f { Some(d) } else { None });
        let both = matched[0].zip(matched[1]);
        let recognisable = recognisable(limits, t.i, piece.scene.truth[j].id);
        let snr = t.truth.snr_all.min(piece.scene.truth[j].snr_all);
        let ratio = snr / t.truth.snr_all.max(piece.scene.truth[j].snr_all);
        let separation = distance / survey.fwhm;
        let mut bins: Vec<Bin> = SEPARATION.bin(separation).map(Bin::Separation).into_iter().collect();
        if separation < UNRECOGNISED_FWHM {
            bins.push(Bin::All);
            if !t.is_ambiguous && !piece.matches.is_ambiguous(j) {
                bins.push(Bin::Unambiguous);
            }
            bins.extend(FLUX_RATIO.bin(ratio).map(Bin::FluxRatio));
            bins.extend(RESIDUAL_SNR.bin(snr).map(Bin::Snr));
        }
        for bin in bins {
            if matched.iter().any(Option::is_some) {
                shares.entry((Question::Unrecognised, bin)).or_default().add_expected(is_unrecognised, 1.0 - recognisable);
            }
            shares.entry((Question::Recognised, bin)).or_default().add_expected(both.is_some(), recognisable);
        }
        let in_one_parent = both.is_some_and(|(a, b)| piece.scene.detections[a].parent_id == piece.scene.detections[b].parent_id);
        shares.entry((Question::InOneParent, Bin::All)).or_default().add(in_one_parent);
    }
}

fn fill_objects(survey: &Survey, piece: Piece, shares: &mut Shares) {
    let mut sources: Vec<usize> =
        piece.matches.detections.iter().filter_map(|f| if let DetectionFate::Shred(i) = f { Some(*i) } else { None }).collect();
    sources.sort_unstable();
    for t in piece.truths().filter(|t| t.truth.is_detectable) {
        let is_blended = t.truth.neighbour.is_some_and(|n| n.1 < BLENDED_FWHM * survey.fwhm);
        shares.entry((Question::Blended, Bin::All)).or_default().add(is_blended);
        if !matches!(t.fate, TruthFate::Matched(_)) {
            continue;
        }
        let mut bins = vec![Bin::All];
        if !t.is_ambiguous {
            bins.push(Bin::Unambiguous);
        }
        bins.extend(RESIDUAL_SNR.bin(t.truth.snr_all).map(Bin::Snr));
        bins.extend(SIZE.bin(t.truth.half_light_radius).map(Bin::Size));
        if is_blended {
            bins.push(Bin::BlendedOnly);
        }
        for bin in bins {
            shares.entry((Question::Shredded, bin)).or_default().add(sources.binary_search(&t.i).is_ok());
        }
    }
}

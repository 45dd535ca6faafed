//! Measured minus true of matched objects: bias, scatter, outliers, pulls, of whatever was measured.
//!
//! With e the error, σ the quoted one, and l the Cramér-Rao bound of the same data:
//!
//! | figure | what | limit |
//! |---|---|---|
//! | `bias` | median of e | 0 |
//! | `scatter` | 1.4826 x median absolute deviation of e | median of l |
//! | `outlier_fraction` | share with abs(e) > 5 σ | 5.7e-7, of a normal |
//! | `pull_mean`, `pull_std`, `pull_mad` | mean, standard deviation and 1.4826 MAD of e/σ | 0, 1, 1 |
//! | `error_ratio` | 1.4826 MAD of e/l: error over what is possible | 1 |
//!
//! Intervals: bootstrap over blocks of sky; Wilson for the outliers. Fluxes enter as fractions of the truth.

use super::Metric;
use super::axis::{RESIDUAL_SNR, magnitude_regime};
use super::completeness::UNAMBIGUOUS;
use crate::scene::Detection;
use crate::statistics::{Samples, Share, median};
use crate::survey::{Piece, Survey, TruthAt};
use std::collections::BTreeMap;

/// Pulls beyond this are outliers.
const OUTLIER_PULL: f64 = 5.0;
/// P(abs > 5 sigma) of a normal.
const OUTLIERS_OF_A_NORMAL: f64 = 5.733e-7;
/// True S/N of the regime `bright`: above, errors of the PSF model rule; below, the position's noise.
const BRIGHT: std::ops::Range<f64> = 20.0..300.0;

/// What is known of a matched object that figures are given against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Block of sky.
    pub block: u32,
    /// Point source.
    pub is_point: bool,
    /// Alone in truth (no other above S/N 2 within 3 FWHM) and in its parent.
    pub is_isolated: bool,
    /// Above a layer's 50 % point.
    pub is_detectable: bool,
    /// Another match is nearly as likely.
    pub is_ambiguous: bool,
    /// True S/N, of the band or of all.
    pub snr: f64,
    /// True magnitude in the band, or of all.
    pub magnitude: f64,
    /// Distance of the nearest detectable truth \[FWHM\]; infinite beyond 3.
    pub separation_fwhm: f64,
    /// Flux over that of this neighbour; NaN without.
    pub flux_ratio: f64,
    /// Share of others' light under the object, as measured in the band, or the largest of all bands; NaN if not measured.
    pub blendedness: f64,
}

impl Conditions {
    /// Of a pair, in a band or in all.
    pub fn of(survey: &Survey, piece: Piece, t: &TruthAt, detection: &Detection, band: Option<usize>) -> Self {
        let (truth, measured) = (&piece.scene.truth_bands, &piece.scene.measured);
        let flux = |i: usize| band.map_or_else(|| truth.iter().map(|b| b.flux[i]).sum::<f64>(), |b| truth[b].flux[i]);
        let of_all = || measured.iter().map(|b| b.blendedness(detection.row)).fold(f64::NAN, f64::max);
        Self {
            block: t.block,
            is_point: t.truth.is_point,
            is_isolated: t.truth.is_isolated && detection.is_single,
            is_detectable: t.truth.is_detectable,
            is_ambiguous: t.is_ambiguous,
            snr: piece.scene.snr_of(t.i, band),
            magnitude: piece.scene.true_magnitude(t.i, band),
            separation_fwhm: t.truth.neighbour.map_or(f64::INFINITY, |n| n.1 / survey.fwhm),
            flux_ratio: t.truth.neighbour.map_or(f64::NAN, |n| flux(t.i) / flux(n.0)),
            blendedness: band.map_or_else(of_all, |b| measured[b].blendedness(detection.row)),
        }
    }
}

/// Error of one matched object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    /// Measured - true.
    pub error: f64,
    /// Quoted error; NaN if there is none.
    pub sigma: f64,
    /// Cramér-Rao bound; NaN if there is none.
    pub limit: f64,
    /// Under which conditions.
    pub at: Conditions,
}

/// Which figures of [`self`] are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Bias and scatter: of what the algorithm does not model, so that its quoted error is not meant for it.
    Errors,
    /// Also the standard deviation of the pull and the outliers: enough for a bin.
    Bin,
    /// All.
    Pulls,
}

/// Fewest objects of a bin: below, a scatter says nothing.
const FEWEST: usize = 3;

/// Where figures go: name before `.bias`, unit of the error, band and class of the records.
pub(crate) struct Report<'s, 'a> {
    /// Survey.
    pub survey: &'s Survey<'a>,
    /// E.g. `photometry.psf_flux`.
    pub name: String,
    /// Unit of bias and scatter.
    pub unit: &'static str,
    /// Band; empty for all.
    pub band: String,
    /// Class; empty for all.
    pub class: &'static str,
}

impl Report<'_, '_> {
    /// The figures of a group.
    pub fn push(&self, out: &mut Vec<Metric>, regime: &str, group: &[&Residual], detail: Detail) {
        let samples = |of: &dyn Fn(&Residual) -> f64| group.iter().map(|r| (r.at.block, of(r))).collect::<Samples>();
        let mut put = |what: &str, unit: &str, figure, limit: Option<f64>| {
            let metric = Metric::new(&format!("{}.{what}", self.name), unit, figure);
            out.push(metric.band(&self.band).class(self.class).regime(regime).limit(limit));
        };
        let errors = self.survey.replicates.summary(&samples(&|r| r.error));
        let bounds: Vec<f64> = group.iter().map(|r| r.limit).filter(|l| l.is_finite()).collect();
        put("bias", self.unit, errors.median, Some(0.0));
        put("scatter", self.unit, errors.mad_std, Some(median(&bounds)));
        if detail == Detail::Errors {
            return;
        }
        let pulls = samples(&|r| r.error / r.sigma);
        let summary = self.survey.replicates.summary(&pulls);
        let mut outliers = Share::default();
        pulls.values().iter().for_each(|p| outliers.add(p.abs() > OUTLIER_PULL));
        put("outlier_fraction", "", outliers.figure(), Some(OUTLIERS_OF_A_NORMAL));
        put("pull_std", "", summary.std, Some(1.0));
        if detail == Detail::Bin {
            return;
        }
        put("pull_mean", "", summary.mean, Some(0.0));
        put("pull_mad", "", summary.mad_std, Some(1.0));
        let ratio = self.survey.replicates.summary(&samples(&|r| r.error / r.limit));
        put("error_ratio", "", ratio.mad_std, Some(1.0));
    }

    /// The figures of a bin, in as much detail as a bin needs; none for very few objects.
    pub fn push_bin(&self, out: &mut Vec<Metric>, regime: &str, group: &[&Residual], detail: Detail) {
        if group.len() >= FEWEST {
            self.push(out, regime, group, detail.min(Detail::Bin));
        }
    }

    /// The figures of a group: all, those with sure matches, bright ones, and per bin of S/N.
    pub fn push_by_snr(&self, out: &mut Vec<Metric>, before: &str, group: &[&Residual], detail: Detail) {
        let name = |regime: &str| match (before, regime) {
            ("", regime) | (regime, "") => regime.to_owned(),
            (before, regime) => format!("{before}, {regime}"),
        };
        let part = |wanted: &dyn Fn(&Residual) -> bool| group.iter().copied().filter(|r| wanted(r)).collect::<Vec<_>>();
        self.push(out, &name(""), group, detail);
        self.push(out, &name(UNAMBIGUOUS), &part(&|r| !r.at.is_ambiguous), detail);
        self.push(out, &name("bright"), &part(&|r| BRIGHT.contains(&r.at.snr)), detail);
        for bin in 0..RESIDUAL_SNR.n_bins() {
            let of_bin = part(&|r| RESIDUAL_SNR.bin(r.at.snr) == Some(bin));
            self.push_bin(out, &name(&RESIDUAL_SNR.regime(bin)), &of_bin, detail);
        }
    }

    /// The figures of a group per bin of magnitude.
    pub fn push_by_magnitude(&self, out: &mut Vec<Metric>, group: &[&Residual], detail: Detail) {
        let mut bins: BTreeMap<i32, Vec<&Residual>> = BTreeMap::new();
        for residual in group {
            if let Some(bin) = self.survey.magnitude_bin(residual.at.magnitude) {
                bins.entry(bin).or_default().push(residual);
            }
        }
        for (bin, part) in bins {
            self.push_bin(out, &magnitude_regime(self.survey.bin_centre(bin), self.survey.config.magnitude_bin), &part, detail);
        }
    }
}

/// Those of a list that are wanted.
pub(crate) fn part(all: &[Residual], wanted: impl Fn(&Conditions) -> bool) -> Vec<&Residual> {
    all.iter().filter(|r| wanted(&r.at)).collect()
}

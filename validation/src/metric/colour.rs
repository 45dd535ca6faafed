//! Colour errors of matched objects: `photometry.<algorithm>.colour.*` of neighbouring bands (figures: [`super::residual`]).
//!
//! The error of a colour a - b is the difference of the magnitude errors: -2.5 log10(F_a/T_a) + 2.5 log10(F_b/T_b); quoted errors and
//! bounds add in quadrature, as 1.0857 σ/F. Objects of S/N 5 and more in both bands: below, a magnitude is no number to rely on.
//!
//! # Source
//! LSST DMS-REQ-0359 asks for colours; in a blend they show what a deblender mixes (design section 6).

use super::Metric;
use super::photometry::{Fluxes, bound};
use super::residual::{Conditions, Detail, Report, Residual, part};
use crate::survey::Survey;

/// Magnitudes per relative flux: 2.5 / ln 10.
const MAG: f64 = 1.085_736_2;
/// Smallest true S/N in each of both bands.
const SMALLEST_SNR: f64 = 5.0;

/// All algorithms and pairs of neighbouring bands.
pub(crate) fn colour(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for algorithm in survey.flux_algorithms() {
        for blue in 0..survey.input.bands.len().saturating_sub(1) {
            let errors = colour_errors(survey, &algorithm, blue);
            let band = format!("{}-{}", survey.input.bands[blue], survey.input.bands[blue + 1]);
            let report = |class| Report { survey, name: format!("photometry.{algorithm}.colour"), unit: "mag", band: band.clone(), class };
            let groups = [
                ("star", "", part(&errors, |at| at.is_point && at.is_isolated)),
                ("galaxy", "", part(&errors, |at| !at.is_point && at.is_isolated)),
                ("", "blended", part(&errors, |at| !at.is_isolated)),
            ];
            for (class, regime, group) in &groups {
                if algorithm == "psf_flux" {
                    report(class).push_by_snr(out, regime, group, Detail::Pulls);
                } else {
                    report(class).push_bin(out, regime, group, Detail::Pulls);
                }
            }
        }
    }
}

/// Errors of the colour of band `blue` and the next \[mag\]; S/N is that of the fainter band.
pub(crate) fn colour_errors(survey: &Survey, algorithm: &str, blue: usize) -> Vec<Residual> {
    let columns: Vec<_> = (0..survey.scenes.len())
        .map(|arm| Some([Fluxes::new(survey, arm, algorithm, blue)?, Fluxes::new(survey, arm, algorithm, blue + 1)?]))
        .collect();
    survey.tally(|piece, errors: &mut Vec<Residual>| {
        let Some(columns) = &columns[piece.arm] else { return };
        for (t, detection) in piece.pairs() {
            let mut at = Conditions::of(survey, piece, &t, detection, None);
            let (mut error, mut sigma, mut limit) = (0.0, 0.0, 0.0);
            at.snr = f64::INFINITY;
            let mut is_known = true;
            for (k, sign) in [-1.0, 1.0].into_iter().enumerate() {
                let truth = &piece.scene.truth_bands[blue + k];
                let (flux, quoted) = columns[k].at(detection.row).unwrap_or((f64::NAN, f64::NAN));
                is_known &= truth.snr[t.i] >= SMALLEST_SNR && flux > 0.0;
                at.snr = at.snr.min(truth.snr[t.i]);
                error += sign * 2.5 * (flux / truth.flux[t.i]).log10();
                sigma = f64::hypot(sigma, MAG * quoted / flux);
                limit = f64::hypot(limit, MAG * bound(truth, t.i, at.is_isolated) / truth.flux[t.i]);
            }
            if is_known && error.is_finite() {
                errors.push(Residual { error, sigma, limit, at });
            }
        }
    })
}

//! Flux errors of matched objects, for every flux algorithm of the catalog: `photometry.<algorithm>.*` (figures: [`super::residual`]).
//!
//! Errors are fractions of the true flux, of point sources and galaxies apart, isolated and blended apart (regime `blended`). The
//! bound is that of the object alone for isolated ones (`flux_err_alone`, else the point-source bound `flux_err_limit`) and that of its
//! blend for blended ones (`flux_err_blend`, where known). At the detection limit only upward scatter is detected, so that the bias of
//! the faintest bins is not the algorithm's.
//!
//! # Source
//! Design section 6; King 1983, PASP 95, 163 for the bound of a point source.

use super::Metric;
use super::depth::{HalfPoints, ONE_MAG_BRIGHTER, is_one_mag_brighter};
use super::residual::{Conditions, Detail, Report, Residual, part};
use crate::survey::Survey;

/// All algorithms in all bands.
pub(crate) fn photometry(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for algorithm in survey.flux_algorithms() {
        for (band, name) in survey.input.bands.iter().enumerate() {
            let errors = flux_errors(survey, &algorithm, band);
            let report = |class| Report { survey, name: format!("photometry.{algorithm}"), unit: "", band: name.clone(), class };
            let points = part(&errors, |at| at.is_point && at.is_isolated);
            report("star").push_by_snr(out, "", &points, Detail::Pulls);
            let galaxies = part(&errors, |at| !at.is_point && at.is_isolated);
            if !galaxies.is_empty() {
                report("galaxy").push_by_snr(out, "", &galaxies, Detail::Errors);
            }
            let blended = part(&errors, |at| !at.is_isolated);
            if !blended.is_empty() {
                report("").push_by_snr(out, "blended", &blended, Detail::Pulls);
            }
            if algorithm == "psf_flux" {
                report("star").push_by_magnitude(out, &points, Detail::Errors);
                let near = part(&errors, |at| at.is_point && at.is_isolated && is_one_mag_brighter(at.magnitude, half.m50[band]));
                report("star").push(out, ONE_MAG_BRIGHTER, &near, Detail::Pulls);
            }
        }
    }
}

/// Relative flux errors of all matches with a flux in this band.
pub(crate) fn flux_errors(survey: &Survey, algorithm: &str, band: usize) -> Vec<Residual> {
    let fluxes: Vec<_> = (0..survey.scenes.len()).map(|arm| Fluxes::new(survey, arm, algorithm, band)).collect();
    survey.tally(|piece, errors: &mut Vec<Residual>| {
        let Some(fluxes) = &fluxes[piece.arm] else { return };
        for (t, detection) in piece.pairs() {
            let at = Conditions::of(survey, piece, &t, detection, Some(band));
            let truth = &piece.scene.truth_bands[band];
            let (true_flux, Some((flux, sigma))) = (truth.flux[t.i], fluxes.at(detection.row)) else { continue };
            if true_flux > 0.0 {
                let limit = bound(truth, t.i, at.is_isolated) / true_flux;
                errors.push(Residual { error: (flux - true_flux) / true_flux, sigma: sigma / true_flux, limit, at });
            }
        }
    })
}

/// Cramér-Rao bound of a flux \[nJy\]: alone, or in its blend.
pub(crate) fn bound(truth: &crate::scene::TruthBand, i: usize, is_isolated: bool) -> f64 {
    let best = if is_isolated { truth.flux_err_alone } else { truth.flux_err_blend };
    best.map(|b| b[i]).filter(|b| b.is_finite()).unwrap_or(truth.flux_err_limit[i])
}

/// Columns of an algorithm in a band.
pub(crate) struct Fluxes<'a> {
    flux: &'a [f64],
    sigma: &'a [f64],
    flag: Option<&'a [bool]>,
}

impl<'a> Fluxes<'a> {
    /// None if the catalog of the arm does not have it.
    pub fn new(survey: &Survey<'a>, arm: usize, algorithm: &str, band: usize) -> Option<Self> {
        let (table, name) = (&survey.input.arms[arm].catalog, format!("{}_{algorithm}", survey.input.bands[band]));
        let flag = table.bool(&format!("{name}_flag")).ok();
        Some(Self { flux: table.f64(&name).ok()?, sigma: table.f64(&format!("{name}_err")).ok()?, flag })
    }

    /// Flux and error of a row; none where flagged or not a number.
    pub fn at(&self, row: usize) -> Option<(f64, f64)> {
        let is_flagged = self.flag.is_some_and(|f| f[row]);
        (!is_flagged && self.flux[row].is_finite()).then(|| (self.flux[row], self.sigma[row]))
    }
}

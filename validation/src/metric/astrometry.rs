//! Position errors of matched objects: `astrometry.{ra,dec}.*` \[mas\] (figures: [`super::residual`]).
//!
//! Point sources and galaxies apart, isolated and blended apart. The bound is that of the truth table (`ra_err_alone`, `ra_err_blend`
//! and the same of `dec`, \[mas\]); without it, for point sources, 1/√(Σ_b (S/N)_b² l2_b) per axis.
//!
//! # Source
//! Algorithms section 2.0: σ_pos = 1/(ν √l2) per axis, l2 the curvature of the PSF's autocorrelation.

use super::Metric;
use super::residual::{Conditions, Detail, Report, Residual, part};
use crate::survey::Survey;

/// Names of the axes.
pub(crate) const AXES: [&str; 2] = ["ra", "dec"];

/// Both axes.
pub(crate) fn astrometry(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for (axis, name) in AXES.into_iter().enumerate() {
        let errors = position_errors(survey, axis);
        let report = |class| Report { survey, name: format!("astrometry.{name}"), unit: "mas", band: String::new(), class };
        report("star").push_by_snr(out, "", &part(&errors, |at| at.is_point && at.is_isolated), Detail::Pulls);
        let galaxies = part(&errors, |at| !at.is_point && at.is_isolated);
        if !galaxies.is_empty() {
            report("galaxy").push_by_snr(out, "", &galaxies, Detail::Pulls);
        }
        let blended = part(&errors, |at| !at.is_isolated);
        if !blended.is_empty() {
            report("").push_by_snr(out, "blended", &blended, Detail::Pulls);
        }
    }
}

/// Errors of one axis (0 east, 1 north) of all matches \[mas\].
pub(crate) fn position_errors(survey: &Survey, axis: usize) -> Vec<Residual> {
    let column = |arm: &'_ crate::ArmData, which: &str| arm.truth.f64(&format!("{}_err_{which}", AXES[axis])).map(<[f64]>::to_vec).ok();
    let bounds: Vec<[Option<Vec<f64>>; 2]> = survey.input.arms.iter().map(|a| ["alone", "blend"].map(|w| column(a, w))).collect();
    survey.tally(|piece, errors: &mut Vec<Residual>| {
        for (t, detection) in piece.pairs() {
            let at = Conditions::of(survey, piece, &t, detection, None);
            let limit = match &bounds[piece.arm][usize::from(!at.is_isolated)] {
                Some(known) => known[t.i],
                None if at.is_point => {
                    let snr = piece.scene.snr(t.i);
                    let terms = snr.iter().zip(&survey.input.sqrt_l2).map(|(s, l)| (s * l).powi(2));
                    1e3 / terms.filter(|i| i.is_finite()).sum::<f64>().sqrt()
                }
                None => f64::NAN,
            };
            let error = 1e3 * (detection.point[axis] - t.truth.point[axis]);
            errors.push(Residual { error, sigma: 1e3 * detection.point_err[axis], limit, at });
        }
    })
}

//! Position errors of matched, isolated point sources.

use super::Metric;
use super::completeness::snr_regime;
use crate::statistics::{Bootstrap, mad_std, median, std};
use crate::survey::{PositionError, Survey};

/// Bins of true S/N of all bands.
const SNR_EDGES: [f64; 7] = [5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 10000.0];

/// `astrometry.{ra,dec}.bias`, `.scatter` \[mas\], `.pull_std`, `.pull_mad`, and `.error_ratio`: scatter of error over Cramér-Rao bound.
pub(crate) fn astrometry(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_counted_truth() {
        return;
    }
    let errors = survey.position_errors();
    let all: Vec<&PositionError> = errors.iter().collect();
    report(survey, out, "", &all);
    for edges in SNR_EDGES.windows(2) {
        let bin: Vec<_> = all.iter().copied().filter(|e| (edges[0]..edges[1]).contains(&e.snr)).collect();
        if !bin.is_empty() {
            report(survey, out, &snr_regime(edges[0], edges[1]), &bin);
        }
    }
}

fn report(survey: &Survey, out: &mut Vec<Metric>, regime: &str, group: &[&PositionError]) {
    let bootstrap = Bootstrap { seed: survey.input.seed, what: "astrometry", n: survey.config.n_bootstrap };
    // The bound holds for the error of one axis: 1/√(Σ_b (S/N)_b² l2_b).
    let bounds: Vec<f64> = group.iter().map(|e| e.limit_mas).filter(|b| b.is_finite()).collect();
    for (axis, name) in ["ra", "dec"].into_iter().enumerate() {
        let mut push = |what: &str, unit: &str, figure, limit| {
            out.push(Metric::new(&format!("astrometry.{name}.{what}"), unit, figure).class("star").regime(regime).limit(limit));
        };
        let of = |value: &dyn Fn(&PositionError) -> f64| -> Vec<f64> { group.iter().map(|e| value(e)).filter(|v| v.is_finite()).collect() };
        let residuals = of(&|e| e.error_mas[axis]);
        push("bias", "mas", bootstrap.figure(&residuals, median), Some(0.0));
        push("scatter", "mas", bootstrap.figure(&residuals, mad_std), Some(median(&bounds)));
        let pulls = of(&|e| e.error_mas[axis] / e.sigma_mas[axis]);
        push("pull_std", "", bootstrap.figure(&pulls, std), Some(1.0));
        push("pull_mad", "", bootstrap.figure(&pulls, mad_std), Some(1.0));
        push("error_ratio", "", bootstrap.figure(&of(&|e| e.error_mas[axis] / e.limit_mas), mad_std), Some(1.0));
    }
}

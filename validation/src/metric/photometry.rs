//! Flux errors of matched, isolated objects: bias, scatter, and whether the quoted errors are honest.

use super::Metric;
use super::completeness::{HalfPoints, ONE_MAG_BRIGHTER, is_one_mag_brighter, magnitude_regime, snr_regime};
use crate::statistics::{Bootstrap, mad_std, mean, median, std};
use crate::survey::{FluxError, Survey};

/// Bins of true S/N in the band.
const SNR_EDGES: [f64; 8] = [5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0, 10000.0];
/// True S/N in the band of the regime `bright`: above, errors of the PSF model rule; below, the position's noise.
const BRIGHT: std::ops::Range<f64> = 20.0..300.0;

/// `photometry.<algorithm>.bias`, `.scatter`, `.pull_mean`, `.pull_std`, `.pull_mad` of point sources; bias and scatter of galaxies.
pub(crate) fn photometry(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.has_counted_truth() {
        return;
    }
    for algorithm in survey.flux_algorithms() {
        for (band, name) in survey.input.bands.iter().enumerate() {
            let errors = survey.flux_errors(&algorithm, band);
            let points: Vec<&FluxError> = errors.iter().filter(|e| e.is_point && e.is_isolated).collect();
            let mut add = |regime: &str, group: &[&FluxError], class: &str, with_pulls: bool| {
                report(survey, out, &algorithm, name, regime, class, group, with_pulls);
            };
            add("", &points, "star", true);
            add("bright", &bright(&points), "star", true);
            for edges in SNR_EDGES.windows(2) {
                let bin: Vec<_> = points.iter().copied().filter(|e| (edges[0]..edges[1]).contains(&e.snr)).collect();
                if !bin.is_empty() {
                    add(&snr_regime(edges[0], edges[1]), &bin, "star", true);
                }
            }
            let galaxies: Vec<&FluxError> = errors.iter().filter(|e| !e.is_point && e.is_isolated).collect();
            if !galaxies.is_empty() {
                add("", &galaxies, "galaxy", false);
                add("bright", &bright(&galaxies), "galaxy", false);
            }
            if algorithm == "psf_flux" {
                for (centre, bin) in survey.by_magnitude(&points, |e| e.magnitude) {
                    add(&magnitude_regime(centre, survey.config.magnitude_bin), &bin, "star", false);
                }
                let near: Vec<_> = points.iter().copied().filter(|e| is_one_mag_brighter(e.magnitude, half.m50[band])).collect();
                add(ONE_MAG_BRIGHTER, &near, "star", true);
            }
        }
    }
}

fn bright<'a>(group: &[&'a FluxError]) -> Vec<&'a FluxError> {
    group.iter().copied().filter(|e| BRIGHT.contains(&e.snr)).collect()
}

#[expect(clippy::too_many_arguments, reason = "one call site, which names the record")]
fn report(
    survey: &Survey,
    out: &mut Vec<Metric>,
    algorithm: &str,
    band: &str,
    regime: &str,
    class: &str,
    group: &[&FluxError],
    with_pulls: bool,
) {
    let bootstrap = |what| Bootstrap { seed: survey.input.seed, what, n: survey.config.n_bootstrap };
    let mut push = |name: &str, figure, limit| {
        let metric = Metric::new(&format!("photometry.{algorithm}.{name}"), "", figure);
        out.push(metric.band(band).class(class).regime(regime).limit(limit));
    };
    let fractions: Vec<f64> = group.iter().map(|e| e.error / e.truth).collect();
    push("bias", bootstrap("flux bias").figure(&fractions, median), Some(0.0));
    let bounds: Vec<f64> = group.iter().map(|e| e.limit / e.truth).filter(|b| b.is_finite()).collect();
    push("scatter", bootstrap("flux scatter").figure(&fractions, mad_std), Some(median(&bounds)));
    if with_pulls {
        let pulls: Vec<f64> = group.iter().map(|e| e.error / e.sigma).filter(|p| p.is_finite()).collect();
        push("pull_mean", bootstrap("flux pull").figure(&pulls, mean), Some(0.0));
        push("pull_std", bootstrap("flux pull").figure(&pulls, std), Some(1.0));
        push("pull_mad", bootstrap("flux pull").figure(&pulls, mad_std), Some(1.0));
    }
}

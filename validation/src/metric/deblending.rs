//! Blends: how often they are not recognised, and how much flux goes astray in those that are.

use super::{Figure, Metric};
use crate::matching::TruthFate;
use crate::scene::Scene;
use crate::statistics::{Bootstrap, mad_std, median, share};
use crate::survey::Survey;

/// Edges of the bins of separation \[FWHM\].
pub(crate) const SEPARATION_EDGES: [f64; 11] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0];
/// A pair closer than this counts for the overall unrecognised fraction \[FWHM\].
const UNRECOGNISED_FWHM: f64 = 1.5;
/// An object with a neighbour closer than this is blended \[FWHM\].
const BLENDED_FWHM: f64 = 2.0;

/// A detectable truth and its nearest detectable neighbour.
struct Pair {
    separation_fwhm: f64,
    /// At least one of both is matched.
    is_seen: bool,
    /// One matched, the other missed with that match as its nearest detection.
    is_unrecognised: bool,
    /// Both matched, in one parent.
    is_recognised: bool,
}

/// `deblend.unrecognised_fraction`, `.blend_fraction`, `.recognised_blends`, `.flux_error.bias` and `.flux_error.scatter`.
pub(crate) fn deblending(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_counted_truth() {
        return;
    }
    let mut pairs = Vec::new();
    for (scene, matches) in survey.scenes.iter().zip(&survey.matches) {
        collect_pairs(survey, scene, &matches.truth, &mut pairs);
    }
    let detectable = || survey.scenes.iter().flat_map(|s| s.truth.iter().filter(|t| t.is_detectable));
    let blended = detectable().filter(|t| t.neighbour.is_some_and(|n| n.1 < BLENDED_FWHM * survey.fwhm)).count();
    out.push(Metric::new("deblend.blend_fraction", "", share(blended, detectable().count())));
    let unrecognised = |low: f64, high: f64| {
        let seen: Vec<&Pair> = pairs.iter().filter(|p| p.is_seen && (low..high).contains(&p.separation_fwhm)).collect();
        Metric::new("deblend.unrecognised_fraction", "", share(seen.iter().filter(|p| p.is_unrecognised).count(), seen.len()))
    };
    out.push(unrecognised(0.0, UNRECOGNISED_FWHM));
    for edges in SEPARATION_EDGES.windows(2) {
        out.push(unrecognised(edges[0], edges[1]).regime(&separation_regime(edges[0], edges[1])));
    }
    out.push(Metric::new("deblend.recognised_blends", "", Figure::count(pairs.iter().filter(|p| p.is_recognised).count())));
    flux_errors(survey, out);
}

/// `separation 0.5-0.75 FWHM`.
pub(crate) fn separation_regime(low: f64, high: f64) -> String {
    format!("separation {low}-{high} FWHM")
}

fn collect_pairs(survey: &Survey, scene: &Scene, fates: &[TruthFate], pairs: &mut Vec<Pair>) {
    for (i, truth) in scene.truth.iter().enumerate().filter(|(_, t)| t.is_detectable) {
        let Some((j, distance)) = truth.neighbour else { continue };
        // Mutual neighbours are one pair.
        if scene.truth[j].neighbour.is_some_and(|n| n.0 == i) && j < i {
            continue;
        }
        let matched = |k: usize| if let TruthFate::Matched(d, _) = fates[k] { Some(d) } else { None };
        let swallowed = |lost: usize, keeper: usize| {
            let nearest = scene.detections_near.within(scene.truth[lost].point, UNRECOGNISED_FWHM * survey.fwhm);
            matched(lost).is_none() && matched(keeper).is_some() && nearest.first().map(|n| n.0) == matched(keeper)
        };
        let both = matched(i).zip(matched(j));
        pairs.push(Pair {
            separation_fwhm: distance / survey.fwhm,
            is_seen: matched(i).is_some() || matched(j).is_some(),
            is_unrecognised: swallowed(i, j) || swallowed(j, i),
            is_recognised: both.is_some_and(|(a, b)| scene.detections[a].parent_id == scene.detections[b].parent_id),
        });
    }
}

fn flux_errors(survey: &Survey, out: &mut Vec<Metric>) {
    let bootstrap = Bootstrap { seed: survey.input.seed, what: "blend flux", n: survey.config.n_bootstrap };
    for (band, name) in survey.input.bands.iter().enumerate() {
        let errors = survey.flux_errors("psf_flux", band);
        let mut add = |low: f64, high: f64, regime: &str| {
            let group: Vec<_> = errors
                .iter()
                .filter(|e| e.is_detectable && e.separation_fwhm.is_some_and(|s| (low..high).contains(&s)))
                // Flux the band does not see well scatters by more than itself, blended or not.
                .filter(|e| e.snr >= 5.0)
                .collect();
            if group.is_empty() && !regime.is_empty() {
                return;
            }
            let fractions: Vec<f64> = group.iter().map(|e| e.error / e.truth).collect();
            let bound = median(&group.iter().map(|e| e.limit / e.truth).filter(|b| b.is_finite()).collect::<Vec<_>>());
            let mut push = |what: &str, figure, limit| {
                let metric = Metric::new(&format!("deblend.flux_error.{what}"), "", figure);
                out.push(metric.band(name).regime(regime).limit(Some(limit)));
            };
            push("bias", bootstrap.figure(&fractions, median), 0.0);
            push("scatter", bootstrap.figure(&fractions, mad_std), bound);
        };
        add(0.0, BLENDED_FWHM, "");
        for edges in SEPARATION_EDGES.windows(2) {
            add(edges[0], edges[1], &separation_regime(edges[0], edges[1]));
        }
    }
}

//! Each detection layer by itself: what it finds of the isolated objects, beside C(s), and how far its detections can be relied on.

use super::axis::snr_regime;
use super::{Figure, Metric};
use crate::limit::{CompletenessCurve, TheoryLayer, snr50};
use crate::matching::DetectionFate;
use crate::neighbours::Neighbours;
use crate::scene::{FREE_SED, layer_snr, theory_layers};
use crate::statistics::{Share, TrialBins, fit_scale, interval};
use crate::survey::Survey;
use std::collections::BTreeMap;

/// Width of a bin of true S/N.
const SNR_BIN: f64 = 0.5;
/// Bins of the fit.
const SNR_STEP: f64 = 0.1;

/// An isolated object: block, true S/N in the layer, whether the layer has a peak there.
type Trial = (u32, f64, bool);

/// Completeness of each layer for isolated objects: `detection.layer_completeness` and `.snr50`, what C(s) describes.
///
/// snr50 is f · snr50 of theory, with f of the most likely h · C(s / f): the shape of the curve is known, and only its place and a
/// plateau are free.
///
/// # Source
/// Algorithms section 2.0: C(s) = P(χ'²(n + 2; s²) > T²) for n bands.
pub(crate) fn layers(survey: &Survey, out: &mut Vec<Metric>) {
    let Some(first) = survey.input.arms.first() else { return };
    for (i_layer, layer) in first.layers.iter().enumerate() {
        let Some((kind, _)) = theory_layers(survey.input, first).into_iter().find(|(kind, _)| is_layer(survey, kind, &layer.name)) else {
            continue;
        };
        let n_bands = if layer.name == FREE_SED { layer.n_bands } else { 1 };
        let threshold = layer.threshold;
        // Far above the threshold there is nothing to learn about it.
        let highest = 2.0 * threshold + 5.0;
        let trials = trials_of(survey, i_layer, &kind, highest);
        if trials.is_empty() {
            continue;
        }
        let (limit, curve) = (snr50(threshold, n_bands), CompletenessCurve::new(threshold, n_bands));
        let figure = scale_figure(survey, &trials, &curve, limit);
        let name = layer.name.as_str();
        out.push(Metric::new("detection.layer_completeness.snr50", "", figure).band(name).regime("isolated").limit(Some(limit)));
        let mut bins: BTreeMap<usize, Share> = BTreeMap::new();
        for &(_, snr, found) in &trials {
            bins.entry((snr / SNR_BIN) as usize).or_default().add_expected(found, curve.at(snr));
        }
        for (bin, share) in bins {
            let regime = snr_regime(bin as f64 * SNR_BIN, (bin + 1) as f64 * SNR_BIN);
            out.push(Metric::share("detection.layer_completeness", &share).band(name).regime(&regime));
        }
    }
}

fn is_layer(survey: &Survey, kind: &TheoryLayer, name: &str) -> bool {
    match *kind {
        TheoryLayer::Band(band, _) => survey.input.bands[band] == name,
        TheoryLayer::FreeSed(_) => name == FREE_SED,
    }
}

/// All isolated objects of all arms up to `highest` S/N.
fn trials_of(survey: &Survey, i_layer: usize, kind: &TheoryLayer, highest: f64) -> Vec<Trial> {
    let fwhm = match *kind {
        TheoryLayer::Band(band, _) => survey.input.fwhm_arcsec[band],
        TheoryLayer::FreeSed(_) => survey.fwhm,
    };
    let radius = survey.config.match_radius_fwhm * fwhm;
    let peaks: Vec<Option<Neighbours>> = survey
        .scenes
        .iter()
        .zip(&survey.input.arms)
        .map(|(scene, arm)| {
            let layer = arm.layers.get(i_layer)?;
            let above = layer.peaks.iter().filter(|p| p[2] >= layer.threshold);
            Some(Neighbours::new(above.map(|p| scene.plane.project(p[0], p[1]))))
        })
        .collect();
    survey.tally(|piece, trials: &mut Vec<Trial>| {
        let Some(peaks) = &peaks[piece.arm] else { return };
        for t in piece.truths().filter(|t| t.truth.is_usable && t.truth.is_isolated) {
            let snr = layer_snr(&piece.scene.snr(t.i), kind);
            // A band may see nothing of an object that others see well; its own S/N decides.
            if snr >= survey.config.ignore_below_snr && snr < highest {
                trials.push((t.block, snr, peaks.any_within(t.truth.point, radius)));
            }
        }
    })
}

/// S/N of half the objects, by the factor that theory must be stretched by.
fn scale_figure(survey: &Survey, trials: &[Trial], curve: &CompletenessCurve, limit: f64) -> Figure {
    let n = trials.len() as u64;
    let binned = TrialBins::new(trials.iter().map(|t| (t.1, f64::from(u8::from(t.2)))), SNR_STEP);
    let Some(value) = fit_scale(&binned, |s| curve.at(s)) else { return Figure { n, ..Figure::NONE } };
    let place = |t: &Trial| Some((t.0, 2 * binned.bin(t.1)?, f64::from(u8::from(t.2))));
    let entries = trials.iter().filter_map(place).flat_map(|(block, at, k)| [(block, at, k), (block, at + 1, 1.0)]).collect();
    let draws = survey.replicates.map_sums(2 * binned.n(), entries, |counts| {
        fit_scale(&binned.with_counts(counts), |s| curve.at(s)).map_or(f64::NAN, |f| f * limit)
    });
    let (lo, hi) = interval(draws);
    Figure { value: Some(value * limit), lo, hi, n }
}

/// Reliability of the detections that a layer has seen: `detection.reliability` of band (layer), regime `seen` or `only here`.
///
/// Matched / (matched + shreds + spurious) among detections with the layer's bit in `seen_in`; `only here`: with no other bit.
pub(crate) fn reliability(survey: &Survey, out: &mut Vec<Metric>) {
    let Some(first) = survey.input.arms.first() else { return };
    let seen_in: Vec<Option<&[i64]>> = survey.input.arms.iter().map(|a| a.catalog.i64("seen_in").ok()).collect();
    let shares = survey.tally(|piece, shares: &mut BTreeMap<(usize, bool), Share>| {
        let Some(seen_in) = seen_in[piece.arm].filter(|_| piece.scene.has_truth) else { return };
        for d in piece.detections() {
            let is_object = match d.fate {
                DetectionFate::Matched(_) => true,
                DetectionFate::Shred(_) | DetectionFate::Spurious => false,
                DetectionFate::Real | DetectionFate::Ignored => continue,
            };
            let bits = seen_in[d.detection.row];
            for layer in (0..first.layers.len()).filter(|l| bits >> l & 1 == 1) {
                shares.entry((layer, false)).or_default().add(is_object);
                if bits == 1 << layer {
                    shares.entry((layer, true)).or_default().add(is_object);
                }
            }
        }
    });
    for ((layer, only), share) in shares {
        let regime = if only { "only here" } else { "seen" };
        out.push(Metric::share("detection.reliability", &share).band(&first.layers[layer].name).regime(regime));
    }
}

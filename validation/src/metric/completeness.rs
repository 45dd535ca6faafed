//! Completeness: of the catalog and of each detection layer, beside what theory allows.

use super::{Figure, Metric};
use crate::scene::{FREE_SED, Neighbours, Truth, layer_snr, theory_layers};
use crate::statistics::{Bootstrap, Trials, interval, share};
use crate::survey::Survey;
use crate::theory::{CompletenessCurve, TheoryLayer, completeness, snr50};

/// Bins of true S/N for catalogs.
const SNR_EDGES: [f64; 15] = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0, 100.0, 300.0];
/// Width of a bin of true S/N for layers.
const LAYER_SNR_BIN: f64 = 0.5;
/// Bins of the fits: fine against the width of the curves (0.2 mag, 10 %).
const MAGNITUDE_STEP: f64 = 0.05;
const LOG_SNR_STEP: f64 = 0.02;
const SNR_STEP: f64 = 0.1;

/// An object of a completeness: where it lies, found or not, and how likely theory finds it.
struct Trial<'a> {
    truth: &'a Truth,
    found: bool,
}

/// The 50 % points of the catalog, for later metrics that ask who is above them.
pub(crate) struct HalfPoints {
    /// Magnitude per band.
    pub m50: Vec<Option<f64>>,
    /// S/N of all bands.
    pub snr50: Option<f64>,
}

/// Completeness of the catalog: `detection.completeness` and its `.m50` and `.snr50`.
pub(crate) fn catalog(survey: &Survey, out: &mut Vec<Metric>) -> HalfPoints {
    let all: Vec<Trial> = survey.truth_fates().filter(|(t, _)| t.counts).map(|(truth, found)| Trial { truth, found }).collect();
    let mut half = HalfPoints { m50: vec![None; survey.input.bands.len()], snr50: None };
    if all.is_empty() {
        return half;
    }
    let isolated: Vec<&Trial> = all.iter().filter(|t| t.truth.is_isolated).collect();
    let all: Vec<&Trial> = all.iter().collect();
    for (band, name) in survey.all_and_bands() {
        let magnitudes = |group: &[&Trial]| half_point(survey, group, |t| t.magnitude(band), MAGNITUDE_STEP, true);
        let snrs = |group: &[&Trial]| half_point(survey, group, |t| t.snr_of(band).log10(), LOG_SNR_STEP, false);
        out.push(share_of(&all).band(name));
        for (group, regime) in [(&all, ""), (&isolated, "isolated")] {
            let (m50, limit) = magnitudes(group);
            out.push(Metric::new("detection.completeness.m50", "mag", m50).band(name).regime(regime).limit(limit));
            let (snr50, limit) = snrs(group);
            let power = |v: Option<f64>| v.map(|v| 10f64.powf(v));
            let snr50 = Figure { value: power(snr50.value), lo: power(snr50.lo), hi: power(snr50.hi), n: snr50.n };
            out.push(Metric::new("detection.completeness.snr50", "", snr50).band(name).regime(regime).limit(power(limit)));
            if regime.is_empty() {
                match band {
                    Some(b) => half.m50[b] = m50.value,
                    None => half.snr50 = snr50.value,
                }
            }
        }
        for class in classes(&all) {
            let group: Vec<&Trial> = all.iter().copied().filter(|t| t.truth.class == class).collect();
            let (m50, limit) = magnitudes(&group);
            out.push(Metric::new("detection.completeness.m50", "mag", m50).band(name).class(&class).limit(limit));
        }
        let width = survey.config.magnitude_bin;
        for (centre, group) in survey.by_magnitude(&all, |t| t.truth.magnitude(band)) {
            out.push(share_of(&group).band(name).regime(&magnitude_regime(centre, width)));
        }
        for edges in SNR_EDGES.windows(2) {
            let group: Vec<&Trial> = all.iter().copied().filter(|t| (edges[0]..edges[1]).contains(&t.truth.snr_of(band))).collect();
            if !group.is_empty() {
                out.push(share_of(&group).band(name).regime(&snr_regime(edges[0], edges[1])));
            }
        }
    }
    half
}

/// Share found of injected or true objects about one magnitude brighter than the 50 % limit: `detection.recovered`.
pub(crate) fn recovered(survey: &Survey, half: &HalfPoints, out: &mut Vec<Metric>) {
    if !survey.has_counted_truth() {
        return;
    }
    for (band, name) in survey.input.bands.iter().enumerate() {
        let trials: Vec<Trial> = survey
            .truth_fates()
            .filter(|(t, _)| t.counts && is_one_mag_brighter(t.magnitude(Some(band)), half.m50[band]))
            .map(|(truth, found)| Trial { truth, found })
            .collect();
        let mut metric = share_of(&trials.iter().collect::<Vec<_>>()).band(name).regime(ONE_MAG_BRIGHTER);
        metric.name = "detection.recovered".into();
        out.push(metric);
    }
}

/// Regime of objects within half a magnitude of one magnitude above the 50 % limit.
pub(crate) const ONE_MAG_BRIGHTER: &str = "1 mag brighter than m50";

/// See [`ONE_MAG_BRIGHTER`].
pub(crate) fn is_one_mag_brighter(magnitude: f64, m50: Option<f64>) -> bool {
    m50.is_some_and(|m50| (magnitude - (m50 - 1.0)).abs() <= 0.5)
}

/// Completeness of each layer for isolated objects: `detection.layer_completeness` and `.snr50`, what C(s) describes.
pub(crate) fn layers(survey: &Survey, out: &mut Vec<Metric>) {
    let Some(first) = survey.input.arms.first() else { return };
    for (i_layer, layer) in first.layers.iter().enumerate() {
        let Some((kind, _)) = theory_layers(survey.input, first).into_iter().find(|(kind, _)| is_layer(survey, kind, &layer.name)) else {
            continue;
        };
        let n_bands = if layer.name == FREE_SED { layer.n_bands } else { 1 };
        let threshold = layer.threshold;
        let trials = layer_trials(survey, i_layer, &kind);
        if trials.is_empty() {
            continue;
        }
        let name = layer.name.as_str();
        let limit = snr50(threshold, n_bands);
        let curve = CompletenessCurve::new(threshold, n_bands);
        // Far above the threshold there is nothing to learn about it.
        let near: Vec<(f64, bool)> = trials.iter().copied().filter(|t| t.0 < 2.0 * threshold + 5.0).collect();
        let figure = scale_figure(survey, &near, &curve, name);
        let times = |v: Option<f64>| v.map(|f| f * limit);
        let figure = Figure { value: times(figure.value), lo: times(figure.lo), hi: times(figure.hi), n: near.len() as u64 };
        out.push(Metric::new("detection.layer_completeness.snr50", "", figure).band(name).regime("isolated").limit(Some(limit)));
        let n_bins = ((2.0 * threshold + 5.0) / LAYER_SNR_BIN).ceil() as usize;
        for i in 0..n_bins {
            let (low, high) = (i as f64 * LAYER_SNR_BIN, (i + 1) as f64 * LAYER_SNR_BIN);
            let bin: Vec<&(f64, bool)> = near.iter().filter(|t| (low..high).contains(&t.0)).collect();
            if bin.is_empty() {
                continue;
            }
            let expected = bin.iter().map(|t| completeness(t.0, threshold, n_bands)).sum::<f64>() / bin.len() as f64;
            let figure = share(bin.iter().filter(|t| t.1).count(), bin.len());
            let metric = Metric::new("detection.layer_completeness", "", figure);
            out.push(metric.band(name).regime(&snr_regime(low, high)).limit(Some(expected)));
        }
    }
}

fn is_layer(survey: &Survey, kind: &TheoryLayer, name: &str) -> bool {
    match *kind {
        TheoryLayer::Band(band, _) => survey.input.bands[band] == name,
        TheoryLayer::FreeSed(_) => name == FREE_SED,
    }
}

/// True S/N and whether the layer has a peak there, of all isolated objects of all arms.
fn layer_trials(survey: &Survey, i_layer: usize, kind: &TheoryLayer) -> Vec<(f64, bool)> {
    let fwhm = match *kind {
        TheoryLayer::Band(band, _) => survey.input.fwhm_arcsec[band],
        TheoryLayer::FreeSed(_) => survey.fwhm,
    };
    let radius = survey.config.match_radius_fwhm * fwhm;
    let mut trials = Vec::new();
    for (scene, arm) in survey.scenes.iter().zip(&survey.input.arms) {
        let Some(layer) = arm.layers.get(i_layer) else { continue };
        let above = layer.peaks.iter().filter(|p| p[2] >= layer.threshold);
        let peaks = Neighbours::new(above.map(|p| scene.plane.project(p[0], p[1])));
        for truth in scene.truth.iter().filter(|t| t.is_usable && t.is_isolated) {
            let snr = layer_snr(&truth.snr, kind);
            // A band may see nothing of an object that others see well; its own S/N decides.
            if snr >= survey.config.ignore_below_snr {
                trials.push((snr, !peaks.within(truth.point, radius).is_empty()));
            }
        }
    }
    trials
}

fn scale_figure(survey: &Survey, trials: &[(f64, bool)], curve: &CompletenessCurve, name: &str) -> Figure {
    let x: Vec<f64> = trials.iter().map(|t| t.0).collect();
    let fit = |rows: &mut dyn Iterator<Item = usize>| {
        let mut binned = Trials::new(&x, SNR_STEP);
        for row in rows {
            binned.add(trials[row].0, f64::from(u8::from(trials[row].1)));
        }
        binned.scale_of(|s| curve.at(s))
    };
    let value = if x.is_empty() { None } else { fit(&mut (0..x.len())) };
    if value.is_none() {
        return Figure { n: x.len() as u64, ..Figure::NONE };
    }
    let what = format!("layer completeness {name}");
    let bootstrap = Bootstrap { seed: survey.input.seed, what: &what, n: survey.config.n_bootstrap };
    let (lo, hi) = interval(bootstrap.resample(x.len(), |rows| fit(&mut rows.iter().copied()).unwrap_or(f64::NAN)));
    Figure { value, lo, hi, n: x.len() as u64 }
}

/// 50 % point of a group with its bootstrap interval, and the same fit to the expected shares.
fn half_point(survey: &Survey, group: &[&Trial], x_of: impl Fn(&Truth) -> f64, step: f64, falling: bool) -> (Figure, Option<f64>) {
    let rows: Vec<(f64, f64, f64)> = group
        .iter()
        .map(|t| (x_of(t.truth), f64::from(u8::from(t.found)), t.truth.expected))
        .filter(|t| t.0.is_finite() && t.2.is_finite())
        .collect();
    let x: Vec<f64> = rows.iter().map(|r| r.0).collect();
    if x.is_empty() {
        return (Figure::NONE, None);
    }
    let fit = |pick: &mut dyn Iterator<Item = (f64, f64)>| {
        let mut trials = Trials::new(&x, step);
        pick.for_each(|(x, success)| trials.add(x, success));
        trials.logistic_half_point(falling)
    };
    let value = fit(&mut rows.iter().map(|r| (r.0, r.1)));
    let limit = fit(&mut rows.iter().map(|r| (r.0, r.2)));
    if value.is_none() {
        return (Figure { n: x.len() as u64, ..Figure::NONE }, limit);
    }
    let bootstrap = Bootstrap { seed: survey.input.seed, what: "completeness", n: survey.config.n_bootstrap };
    let draws = bootstrap.resample(x.len(), |pick| fit(&mut pick.iter().map(|&i| (rows[i].0, rows[i].1))).unwrap_or(f64::NAN));
    let (lo, hi) = interval(draws);
    (Figure { value, lo, hi, n: x.len() as u64 }, limit)
}

/// Share found, with the mean expected one as the limit.
fn share_of(group: &[&Trial]) -> Metric {
    let expected = group.iter().map(|t| t.truth.expected).sum::<f64>() / group.len() as f64;
    Metric::new("detection.completeness", "", share(group.iter().filter(|t| t.found).count(), group.len())).limit(Some(expected))
}

fn classes(group: &[&Trial]) -> Vec<String> {
    let mut classes: Vec<String> = group.iter().map(|t| t.truth.class.clone()).collect();
    classes.sort();
    classes.dedup();
    // One class alone would repeat the figures of all.
    if classes.len() < 2 { Vec::new() } else { classes }
}

/// `mag 24.25`.
pub(crate) fn magnitude_regime(centre: f64, width: f64) -> String {
    let digits = if width < 0.1 { 3 } else { 2 };
    format!("mag {centre:.digits$}")
}

/// `snr 5-10`.
pub(crate) fn snr_regime(low: f64, high: f64) -> String {
    format!("snr {low}-{high}")
}

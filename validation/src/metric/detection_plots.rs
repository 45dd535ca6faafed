//! Plots of what is found: completeness, purity, layers, false positives.

use super::Metric;
use super::axis::{DETECT_SNR, OBJECT_AXES, SNR};
use super::curves::{binned, limits, mark, plot, points, share_panel, shift, x_range};
use super::false_positives::expected_per_arcmin2;
use crate::limit::completeness;
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::scene::FREE_SED;
use crate::survey::Survey;

/// All plots of this stage that the run has data for.
pub(crate) fn plots(survey: &Survey, metrics: &[Metric]) -> Vec<Plot> {
    let mut plots: Vec<Plot> =
        [against_magnitude, against_snr, layers, false_positives].iter().filter_map(|f| f(survey, metrics)).collect();
    plots.extend(against_all_else(metrics));
    plots
}

fn against_magnitude(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let bands = &survey.input.bands;
    for (i, band) in bands.iter().enumerate() {
        let shift = shift(i, bands.len(), survey.config.magnitude_bin);
        let records = binned(metrics, "detection.completeness", band, "", "mag ");
        if records.is_empty() {
            continue;
        }
        left.push(mark(band.as_str(), i, points(&records, 1.0, shift)));
        left.push(mark(format!("{band}, theory"), i, MarkKind::Line(limits(&records, 1.0))));
        right.push(mark(band.as_str(), i, points(&binned(metrics, "detection.purity", band, "", "mag "), 1.0, shift)));
    }
    if left.is_empty() {
        return None;
    }
    let (x_left, x_right) = (x_range(&left, (20.0, 28.0)), x_range(&right, (20.0, 28.0)));
    let panels = vec![
        share_panel("true magnitude [AB]", "completeness", x_left, left, Corner::LowerLeft),
        share_panel("measured magnitude [AB]", "purity", x_right, right, Corner::LowerLeft),
    ];
    let caption = "Left: share of true objects with a match in the catalog; lines: probability that any detection layer finds them as \
                   isolated point sources. Right: share of detections that are true objects. Bars: 95 % (Wilson).";
    plot("completeness", Section::Detection, "Completeness and purity against magnitude", caption, panels)
}

fn against_snr(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let classes = std::iter::once("").chain(survey.told_apart().into_iter().map(|c| c.1));
    let (mut left, mut x_high) = (Vec::new(), 20.0f64);
    for (i, class) in classes.enumerate() {
        let records = binned(metrics, "detection.completeness", "", class, "snr ");
        let records: Vec<_> = records.into_iter().filter(|r| r.0 <= 25.0).collect();
        if records.is_empty() {
            continue;
        }
        x_high = records.iter().map(|r| r.0).fold(x_high, f64::max);
        left.push(mark(if class.is_empty() { "all" } else { class }, i, points(&records, 1.0, 0.06 * i as f64)));
        if class.is_empty() {
            left.push(mark("theory, isolated point sources", i, MarkKind::Line(limits(&records, 1.0))));
        }
    }
    let purity = binned(metrics, "detection.purity", "", "", &format!("{} ", DETECT_SNR.name));
    let purity: Vec<_> = purity.into_iter().filter(|r| r.0 <= 50.0).collect();
    let mut panels = Vec::new();
    if !left.is_empty() {
        panels.push(share_panel(&format!("{}, all bands", SNR.label), "completeness", (1.5, x_high + 1.0), left, Corner::LowerRight));
    }
    if !purity.is_empty() {
        let marks = vec![mark("", 0, points(&purity, 1.0, 0.0))];
        panels.push(share_panel(DETECT_SNR.label, "purity", x_range(&marks, (4.0, 50.0)), marks, Corner::LowerRight));
    }
    let caption = "Left: share of true objects with a match, by class. Right: share of detections that are true objects, against the \
                   significance of their peak. Bars: 95 % (Wilson).";
    plot("completeness_snr", Section::Detection, "Completeness and purity against signal to noise", caption, panels)
}

/// Two panels a plot: completeness and purity against every other quantity.
fn against_all_else(metrics: &[Metric]) -> Vec<Plot> {
    OBJECT_AXES
        .iter()
        .filter_map(|axis| {
            let mut panels = Vec::new();
            for (name, y_label) in [("detection.completeness", "completeness"), ("detection.purity", "purity")] {
                let records = binned(metrics, name, "", "", &format!("{} ", axis.name));
                if records.is_empty() {
                    continue;
                }
                let mut marks = vec![mark(y_label, 0, points(&records, 1.0, 0.0))];
                let theory = limits(&records, 1.0);
                if !theory.is_empty() {
                    marks.push(mark("theory, isolated point sources", 0, MarkKind::Line(theory)));
                }
                let x = x_range(&marks, (0.0, 1.0));
                panels.push(share_panel(axis.label, y_label, x, marks, Corner::LowerRight));
            }
            let title = format!("Completeness and purity against {}", axis.name.replace('_', " "));
            let caption = "Share of true objects with a match against the true quantity, and share of detections that are true objects \
                           against the measured one. Bars: 95 % (Wilson).";
            plot(&format!("completeness_{}", axis.name), Section::Detection, &title, caption, panels)
        })
        .collect()
}

fn layers(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let arm = survey.input.arms.first()?;
    let mut panels = Vec::new();
    let bands: Vec<_> = arm.layers.iter().filter(|l| l.name != FREE_SED).collect();
    let free: Vec<_> = arm.layers.iter().filter(|l| l.name == FREE_SED).collect();
    for (group, what) in [(bands, "true S/N in the band"), (free, "true S/N of all bands")] {
        let mut marks = Vec::new();
        let highest = group.iter().map(|l| l.threshold).fold(0.0, f64::max);
        let x = (1.5, highest + 6.0);
        let mut drawn: Vec<(f64, usize)> = Vec::new();
        for layer in &group {
            let i = survey.input.bands.iter().position(|b| *b == layer.name).unwrap_or(COLOURS.len() - 1);
            let records = binned(metrics, "detection.layer_completeness", &layer.name, "", "snr ");
            if records.is_empty() {
                continue;
            }
            let n_bands = if layer.name == FREE_SED { layer.n_bands } else { 1 };
            let shift = if group.len() > 1 { shift(i, group.len(), 0.5) } else { 0.0 };
            marks.push(mark(layer.name.replace('_', " "), i, points(&records, 1.0, shift)));
            // Bands share a threshold, hence a curve.
            if drawn.iter().all(|d| (d.0 - layer.threshold).abs() > 1e-9 || d.1 != n_bands) {
                drawn.push((layer.threshold, n_bands));
                let curve =
                    (0..=140).map(|j| x.0 + (x.1 - x.0) * f64::from(j) / 140.0).map(|s| (s, completeness(s, layer.threshold, n_bands)));
                let label = format!("theory, threshold {:.3}", layer.threshold).trim_end_matches('0').trim_end_matches('.').to_owned();
                marks.push(Mark { label, colour: (40, 40, 40), kind: MarkKind::Line(curve.collect()) });
            }
        }
        panels.push(share_panel(what, "share found by the layer", x, marks, Corner::LowerRight));
    }
    let caption = "Isolated objects with a peak of the layer within the match radius, against true S/N. Line: C(s) = P(χ'² > T²) with \
                   n + 2 degrees of freedom, n bands and the position. Bars: 95 % (Wilson).";
    plot("layer_completeness", Section::Detection, "Completeness of each detection layer", caption, panels)
}

fn false_positives(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let input = survey.input;
    let layers = &input.control.as_ref().or(input.arms.first())?.layers;
    let mut panels = Vec::new();
    for (sign, factor) in [("negative", -1.0), ("positive", 1.0)] {
        let mut marks = Vec::new();
        let (mut low, mut high, mut x_low, mut x_high) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY);
        for (nth, layer) in layers.iter().enumerate() {
            let i = input.bands.iter().position(|b| *b == layer.name).unwrap_or(COLOURS.len() - 1);
            let records = binned(metrics, "detection.peaks_per_arcmin2", &layer.name, "", &format!("{sign} > "));
            if records.iter().all(|r| r.1.value.is_none()) {
                continue;
            }
            x_low = records.iter().map(|r| r.0).fold(x_low, f64::min);
            x_high = records.iter().map(|r| r.0).fold(x_high, f64::max);
            let kind = points(&records, 1.0, 0.012 * nth as f64);
            for p in kind.bars() {
                high = high.max(p[3]);
                low = if p[1] > 0.0 { low.min(p[2]) } else { low.min(0.5 * p[3]) };
            }
            marks.push(mark(layer.name.replace('_', " "), i, kind));
            let levels = (0..=60).map(|j| records[0].0 + f64::from(j) / 60.0 * (records[records.len() - 1].0 - records[0].0));
            let line: Vec<(f64, f64)> =
                levels.filter_map(|level| Some((level, expected_per_arcmin2(survey, layer, level, factor)?))).collect();
            low = line.iter().map(|p| p.1).filter(|&v| v > 0.0).fold(low, f64::min);
            marks.push(mark("", i, MarkKind::Dashed(line)));
        }
        if marks.is_empty() || high <= 0.0 {
            continue;
        }
        panels.push(Panel {
            x_label: "significance".into(),
            y_label: format!("{sign} peaks above it [arcmin⁻²]"),
            x: (x_low - 0.15, x_high + 0.25),
            y: (low.max(high * 1e-5).log10().floor(), high.log10().ceil()),
            log_y: true,
            marks,
            legend: Corner::UpperRight,
        });
    }
    let caption = "Peaks of the negated detection maps per arcmin² (and of the maps themselves in a scene without sources), against \
                   significance. Dashes: expectation for Gaussian noise, with its skewness where known. Bars: 95 % (Poisson).";
    plot("false_positives", Section::Detection, "False positives", caption, panels)
}

//! Plots of blends.

use super::super::Metric;
use super::super::axis::{BLENDEDNESS, FLUX_RATIO, SEPARATION, SIZE};
use super::super::curves::{binned, limits, mark, plot, points, residual_panel, share_panel, values, x_range};
use crate::plot::{Corner, MarkKind, Panel, Plot, Section};
use crate::survey::Survey;

/// All plots of blends that the run has data for.
pub(crate) fn plots(survey: &Survey, metrics: &[Metric]) -> Vec<Plot> {
    [recognition, flux, colour_and_centroid].iter().filter_map(|f| f(survey, metrics)).collect()
}

fn recognition(_: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let mut panels = Vec::new();
    for (axis, x, prefix) in [(SEPARATION, (0.0, 3.0), "separation "), (FLUX_RATIO, (0.0, 1.0), "flux_ratio ")] {
        let mut marks = Vec::new();
        for (i, (name, label)) in
            [("deblend.unrecognised_fraction", "unrecognised"), ("deblend.recognised_fraction", "recognised")].iter().enumerate()
        {
            let records = binned(metrics, name, "", "", prefix);
            if records.iter().any(|r| r.1.value.is_some()) {
                marks.push(mark(*label, i, points(&records, 1.0, 0.01 * i as f64)));
                let theory = limits(&records, 1.0);
                if !theory.is_empty() {
                    marks.push(mark(format!("{label}, limit"), i, MarkKind::Line(theory)));
                }
            }
        }
        panels.push(share_panel(axis.label, "share of pairs", x, marks, Corner::UpperRight));
    }
    let records = binned(metrics, "deblend.shredded_fraction", "", "", &format!("{} ", SIZE.name));
    if records.iter().any(|r| r.1.value.is_some()) {
        let marks = vec![mark("", 2, points(&records, 1.0, 0.0))];
        panels.push(share_panel(SIZE.label, "share of objects with shreds", x_range(&marks, (0.0, 1.0)), marks, Corner::UpperRight));
    }
    let caption = "Pairs of detectable objects. Unrecognised: one detection stands for both, of pairs that are seen at all; recognised: \
                   each has its own. Flux ratio of the fainter to the brighter, pairs within 1.5 FWHM. Bars: 95 % (Wilson).";
    plot("deblending", Section::Deblending, "Recognised and unrecognised blends", caption, panels)
}

fn flux(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let mut panels = Vec::new();
    for (axis, is_log) in [(SEPARATION, false), (FLUX_RATIO, true), (BLENDEDNESS, false)] {
        panels.extend(errors_panel(
            survey.input.bands.iter().map(String::as_str),
            metrics,
            "flux_error",
            &axis,
            is_log,
            100.0,
            "flux error [%]",
        ));
    }
    let caption = "PSF flux of matched members of blends (S/N of at least 5 in the band). Points: median with 95 % interval; dashes: \
                   scatter; lines: its Cramér-Rao bound with the fluxes of the neighbours unknown.";
    plot("deblending_flux", Section::Deblending, "Fluxes of blended objects", caption, panels)
}

fn colour_and_centroid(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let bands = &survey.input.bands;
    let pairs: Vec<String> = bands.windows(2).map(|b| format!("{}-{}", b[0], b[1])).collect();
    let mut panels = Vec::new();
    panels.extend(errors_panel(pairs.iter().map(String::as_str), metrics, "colour_error", &SEPARATION, false, 1e3, "colour error [mmag]"));
    panels.extend(errors_panel(
        std::iter::once(""),
        metrics,
        "centroid_error",
        &SEPARATION,
        false,
        1.0,
        "centroid towards the neighbour [mas]",
    ));
    let mut marks = Vec::new();
    for (i, band) in bands.iter().enumerate() {
        let records = binned(metrics, "deblend.flux_error_correlation", band, "", "separation ");
        if records.iter().any(|r| r.1.value.is_some()) {
            marks.push(mark(band.as_str(), i, points(&records, 1.0, 0.02 * i as f64)));
            let bound = limits(&records, 1.0);
            if !bound.is_empty() {
                marks.push(mark("", i, MarkKind::Line(bound)));
            }
        }
    }
    panels.extend(residual_panel(SEPARATION.label, "correlation of the neighbours' flux errors", (0.0, 3.0), marks, 0.5));
    let caption = "Left and middle: colours and centroids of matched members of blends, as in the plot of the fluxes. Right: correlation of \
                   the flux pulls of neighbours that are both matched, lines: that of the best joint fit. Bars: 95 % (bootstrap over blocks of sky).";
    plot("deblending_errors", Section::Deblending, "Colours, centroids and covariance of blended objects", caption, panels)
}

fn errors_panel<'b>(
    bands: impl Iterator<Item = &'b str>,
    metrics: &[Metric],
    what: &str,
    axis: &super::super::axis::Axis,
    is_log: bool,
    scale: f64,
    y_label: &str,
) -> Option<Panel> {
    let mut marks = Vec::new();
    for (i, band) in bands.enumerate() {
        let of = |figure: &str| -> Vec<(f64, &Metric)> {
            let records = binned(metrics, &format!("deblend.{what}.{figure}"), band, "", &format!("{} ", axis.name));
            records.into_iter().map(|(x, m)| (if is_log { x.log10() } else { x }, m)).collect()
        };
        let (bias, scatter) = (of("bias"), of("scatter"));
        if bias.is_empty() {
            continue;
        }
        let label = if band.is_empty() { "median".to_owned() } else { format!("{band}, median") };
        marks.push(mark(label, i, points(&bias, scale, 0.02 * i as f64)));
        marks.push(mark(
            if band.is_empty() { "scatter".to_owned() } else { format!("{band}, scatter") },
            i,
            MarkKind::Dashed(values(&scatter, scale)),
        ));
        let bound = limits(&scatter, scale);
        if !bound.is_empty() {
            marks.push(mark("", i, MarkKind::Line(bound)));
        }
    }
    let x = x_range(&marks, (0.0, 3.0));
    let x_label = if is_log { format!("log10 of {}", axis.label) } else { axis.label.to_owned() };
    residual_panel(&x_label, y_label, x, marks, 5.0)
}

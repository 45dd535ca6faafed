//! What the plots of the report show.

use super::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::Metric;
use crate::metric::false_positives::expected_per_arcmin2;
use crate::scene::FREE_SED;
use crate::survey::Survey;
use crate::theory::completeness;

/// Half-range of a pull histogram and its number of bins.
const PULL_RANGE: f64 = 5.0;
const PULL_BINS: usize = 40;

/// All plots that the run has data for.
pub(crate) fn figures(survey: &Survey, metrics: &[Metric]) -> Vec<Plot> {
    [completeness_and_purity, layer_completeness, photometry, astrometry, deblending, false_positives]
        .into_iter()
        .filter_map(|figure| figure(survey, metrics))
        .filter(|plot| plot.panels.iter().any(|panel| !panel.marks.is_empty()))
        .collect()
}

/// Records of a name and band whose regime is `<prefix> <number>` or `<prefix> <low>-<high>...`: x, record.
fn binned<'a>(metrics: &'a [Metric], name: &str, band: &str, class: &str, prefix: &str) -> Vec<(f64, &'a Metric)> {
    metrics
        .iter()
        .filter(|m| m.name == name && m.band == band && m.class == class)
        .filter_map(|m| {
            let rest = m.regime.strip_prefix(prefix)?.trim();
            let rest = rest.split(' ').next()?;
            let x = match rest.split_once('-') {
                Some((low, high)) => 0.5 * (low.parse::<f64>().ok()? + high.parse::<f64>().ok()?),
                None => rest.parse().ok()?,
            };
            Some((x, m))
        })
        .collect()
}

/// Points of the records, `scale` times their value, `shift`ed so that bands do not hide each other.
fn points(records: &[(f64, &Metric)], scale: f64, shift: f64) -> MarkKind {
    let point = |&(x, m): &(f64, &Metric)| {
        // A share of one or two objects has a bar over the whole panel and says nothing; counts are told apart by their unit.
        let value = m.value.filter(|_| m.n >= 3 || !m.unit.is_empty())?;
        Some([x + shift, scale * value, scale * m.lo.unwrap_or(value), scale * m.hi.unwrap_or(value)])
    };
    MarkKind::Points(records.iter().filter_map(point).collect())
}

fn limits(records: &[(f64, &Metric)], scale: f64) -> Vec<(f64, f64)> {
    records.iter().filter_map(|(x, m)| Some((*x, scale * m.limit?))).collect()
}

fn horizontal(x: (f64, f64), y: f64) -> Mark {
    Mark { label: String::new(), colour: (120, 120, 120), kind: MarkKind::Line(vec![(x.0, y), (x.1, y)]) }
}

fn mark(label: impl Into<String>, i: usize, kind: MarkKind) -> Mark {
    Mark { label: label.into(), colour: COLOURS[i % COLOURS.len()], kind }
}

/// Range of the x of all points and lines, a little widened.
fn x_range(marks: &[Mark], fallback: (f64, f64)) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for mark in marks {
        if let MarkKind::Points(points) = &mark.kind {
            for p in points {
                low = low.min(p[0]);
                high = high.max(p[0]);
            }
        }
    }
    if low >= high { fallback } else { (low - 0.04 * (high - low), high + 0.04 * (high - low)) }
}

fn completeness_and_purity(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (i, band) in survey.input.bands.iter().enumerate() {
        let shift = (i as f64 - 0.5 * (survey.input.bands.len() as f64 - 1.0)) * 0.12 * survey.config.magnitude_bin;
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
    let y = (-0.03, 1.05);
    let (x_left, x_right) = (x_range(&left, (20.0, 28.0)), x_range(&right, (20.0, 28.0)));
    let panel = |x_label: &str, y_label: &str, x, marks| Panel {
        x_label: x_label.into(),
        y_label: y_label.into(),
        x,
        y,
        log_y: false,
        marks,
        legend: Corner::LowerLeft,
    };
    Some(Plot {
        name: "completeness".into(),
        section: Section::Detection,
        title: "Completeness and purity against magnitude".into(),
        caption: "Left: share of true objects with a match in the catalog; lines: probability that any detection layer finds them \
                  as isolated point sources. Right: share of detections that are true objects. Bars: 95 % (Wilson)."
            .into(),
        panels: vec![
            panel("true magnitude [AB]", "completeness", x_left, left),
            panel("measured magnitude [AB]", "purity", x_right, right),
        ],
    })
}

fn layer_completeness(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
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
            let shift = if group.len() > 1 { (i as f64 - 0.5 * (group.len() as f64 - 1.0)) * 0.06 } else { 0.0 };
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
        if !marks.is_empty() {
            let (x_label, y_label) = (what.to_owned(), "share found by the layer".to_owned());
            panels.push(Panel { x_label, y_label, x, y: (-0.03, 1.05), log_y: false, marks, legend: Corner::LowerRight });
        }
    }
    (!panels.is_empty()).then(|| Plot {
        name: "layer_completeness".into(),
        section: Section::Detection,
        title: "Completeness of each detection layer".into(),
        caption: "Isolated objects with a peak of the layer within the match radius, against true S/N. Line: C(s) = P(χ'² > T²) with \
                  n + 2 degrees of freedom, n bands and the position. Bars: 95 % (Wilson)."
            .into(),
        panels,
    })
}

fn pull_panel(what: &str, series: Vec<(String, usize, Vec<f64>)>) -> Option<Panel> {
    let width = 2.0 * PULL_RANGE / PULL_BINS as f64;
    let mut marks = Vec::new();
    let mut top: f64 = 0.45;
    for (label, i, pulls) in series.into_iter().filter(|s| !s.2.is_empty()) {
        let mut counts = [0usize; PULL_BINS];
        for pull in pulls.iter().filter(|p| p.abs() < PULL_RANGE) {
            counts[(((pull + PULL_RANGE) / width) as usize).min(PULL_BINS - 1)] += 1;
        }
        let n = pulls.len() as f64;
        let left = |j: usize| -PULL_RANGE + j as f64 * width;
        let bins: Vec<[f64; 3]> = counts.iter().enumerate().map(|(j, &c)| [left(j), left(j + 1), c as f64 / n / width]).collect();
        top = bins.iter().map(|b| 1.15 * b[2]).fold(top, f64::max);
        marks.push(mark(format!("{label} ({})", pulls.len()), i, MarkKind::Steps(bins)));
    }
    if marks.is_empty() {
        return None;
    }
    let gaussian = (-100..=100).map(|j| 0.05 * f64::from(j)).map(|p: f64| (p, (-0.5 * p * p).exp() / (2.0 * std::f64::consts::PI).sqrt()));
    marks.push(Mark { label: "unit normal".into(), colour: (40, 40, 40), kind: MarkKind::Dashed(gaussian.collect()) });
    Some(Panel {
        x_label: format!("{what} pull, (measured - true) / error"),
        y_label: "density".into(),
        x: (-PULL_RANGE, PULL_RANGE),
        y: (0.0, top),
        log_y: false,
        marks,
        legend: Corner::UpperRight,
    })
}

/// Range of y that shows the points and their bars, without the longest sixth of them; symmetric about zero.
fn y_range(marks: &[Mark], smallest: f64) -> (f64, f64) {
    let mut reach: Vec<f64> = marks
        .iter()
        .flat_map(|m| match &m.kind {
            MarkKind::Points(points) => points.iter().map(|p| p[2].abs().max(p[3].abs())).collect(),
            MarkKind::Dashed(line) => line.iter().map(|p| p.1.abs()).collect(),
            _ => Vec::new(),
        })
        .filter(|r| r.is_finite())
        .collect();
    reach.sort_by(f64::total_cmp);
    let high = reach.get((reach.len() * 5 / 6).min(reach.len().saturating_sub(1))).copied().unwrap_or(0.0);
    let y = 1.15 * high.max(smallest);
    (-y, y)
}

fn photometry(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let (mut marks, mut pulls) = (Vec::new(), Vec::new());
    for (i, band) in survey.input.bands.iter().enumerate() {
        let shift = (i as f64 - 0.5 * (survey.input.bands.len() as f64 - 1.0)) * 0.12 * survey.config.magnitude_bin;
        let records = binned(metrics, "photometry.psf_flux.bias", band, "star", "mag ");
        if !records.is_empty() {
            marks.push(mark(band.as_str(), i, points(&records, 100.0, shift)));
        }
        let errors = survey.flux_errors("psf_flux", i);
        let stars = errors.iter().filter(|e| e.is_point && e.is_isolated);
        pulls.push((band.clone(), i, stars.map(|e| e.error / e.sigma).filter(|p| p.is_finite()).collect()));
    }
    if marks.is_empty() {
        return None;
    }
    let (x, y) = (x_range(&marks, (20.0, 28.0)), y_range(&marks, 1.0));
    marks.insert(0, horizontal(x, 0.0));
    let (x_label, y_label) = ("true magnitude [AB]".to_owned(), "median flux error [%]".to_owned());
    let mut panels = vec![Panel { x_label, y_label, x, y, log_y: false, marks, legend: Corner::LowerLeft }];
    panels.extend(pull_panel("flux", pulls));
    Some(Plot {
        name: "photometry".into(),
        section: Section::Photometry,
        title: "PSF fluxes of isolated point sources".into(),
        caption: "Left: median of (measured - true) / true; bars: 95 % (bootstrap). At the detection limit only upward scatter is \
                  detected, so the median rises. Right: error over quoted error."
            .into(),
        panels,
    })
}

fn astrometry(survey: &Survey, _metrics: &[Metric]) -> Option<Plot> {
    let errors = survey.position_errors();
    let pulls = |axis: usize| errors.iter().map(|e| e.error_mas[axis] / e.sigma_mas[axis]).filter(|p| p.is_finite()).collect();
    let bound = |axis: usize| errors.iter().map(|e| e.error_mas[axis] / e.limit_mas).filter(|p| p.is_finite()).collect();
    let mut panels = Vec::new();
    panels.extend(pull_panel("position", vec![("right ascension".into(), 0, pulls(0)), ("declination".into(), 1, pulls(1))]));
    let scaled = pull_panel("position", vec![("right ascension".into(), 0, bound(0)), ("declination".into(), 1, bound(1))]);
    panels.extend(scaled.map(|panel| Panel { x_label: "(measured - true) / Cramér-Rao bound".into(), ..panel }));
    (!panels.is_empty()).then(|| Plot {
        name: "astrometry".into(),
        section: Section::Astrometry,
        title: "Positions of isolated point sources".into(),
        caption: "Left: error over quoted error. Right: error over the bound of the same data, 1 / √(Σ (S/N)² l2) per axis.".into(),
        panels,
    })
}

fn deblending(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let mut marks = Vec::new();
    for (i, band) in survey.input.bands.iter().enumerate() {
        let shift = (i as f64 - 0.5 * (survey.input.bands.len() as f64 - 1.0)) * 0.03;
        let records = binned(metrics, "deblend.flux_error.bias", band, "", "separation ");
        let scatter = binned(metrics, "deblend.flux_error.scatter", band, "", "separation ");
        if records.is_empty() {
            continue;
        }
        marks.push(mark(format!("{band}, median"), i, points(&records, 100.0, shift)));
        let line = scatter.iter().filter_map(|(x, m)| Some((*x, 100.0 * m.value?))).collect();
        marks.push(mark(format!("{band}, scatter"), i, MarkKind::Dashed(line)));
    }
    let x = (0.0, 3.0);
    let mut panels = Vec::new();
    if !marks.is_empty() {
        let y = y_range(&marks, 5.0);
        marks.insert(0, horizontal(x, 0.0));
        let (x_label, y_label) = ("separation [FWHM]".to_owned(), "flux error of blended objects [%]".to_owned());
        panels.push(Panel { x_label, y_label, x, y, log_y: false, marks, legend: Corner::UpperRight });
    }
    let records = binned(metrics, "deblend.unrecognised_fraction", "", "", "separation ");
    if records.iter().any(|r| r.1.value.is_some()) {
        let marks = vec![mark("", 0, points(&records, 1.0, 0.0))];
        let (x_label, y_label) = ("separation [FWHM]".to_owned(), "unrecognised fraction of pairs".to_owned());
        panels.push(Panel { x_label, y_label, x, y: (-0.03, 1.05), log_y: false, marks, legend: Corner::UpperRight });
    }
    (!panels.is_empty()).then(|| Plot {
        name: "deblending".into(),
        section: Section::Deblending,
        title: "Blends".into(),
        caption:
            "Left: PSF flux error of matched objects with S/N of at least 5 in the band, against the distance of the nearest detectable \
                  neighbour; points: median with 95 % interval, dashes: scatter. Right: share of pairs of detectable objects \
                  that one detection stands for."
                .into(),
        panels,
    })
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
            if let MarkKind::Points(points) = &kind {
                for p in points {
                    high = high.max(p[3]);
                    low = if p[1] > 0.0 { low.min(p[2]) } else { low.min(0.5 * p[3]) };
                }
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
        let y = (low.max(high * 1e-5).log10().floor(), high.log10().ceil());
        panels.push(Panel {
            x_label: "significance".into(),
            y_label: format!("{sign} peaks above it [arcmin⁻²]"),
            x: (x_low - 0.15, x_high + 0.25),
            y,
            log_y: true,
            marks,
            legend: Corner::UpperRight,
        });
    }
    (!panels.is_empty()).then(|| Plot {
        name: "false_positives".into(),
        section: Section::Detection,
        title: "False positives".into(),
        caption: "Peaks of the negated detection maps per arcmin² (and of the maps themselves in a scene without sources), against \
                  significance. Dashes: expectation for Gaussian noise, with its skewness where known. Bars: 95 % (Poisson)."
            .into(),
        panels,
    })
}

//! Parts that the plots of the families are made of.

use super::Metric;
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};

/// Half-range of a pull histogram and its number of bins.
const PULL_RANGE: f64 = 5.0;
const PULL_BINS: usize = 40;

/// A plot of these panels; none without.
pub(crate) fn plot(name: &str, section: Section, title: &str, caption: &str, panels: Vec<Panel>) -> Option<Plot> {
    let panels: Vec<Panel> = panels.into_iter().filter(|p| !p.marks.is_empty()).collect();
    (!panels.is_empty()).then(|| Plot { name: name.into(), section, title: title.into(), caption: caption.into(), panels })
}

/// Records of a name, band and class whose regime is `<prefix> <number>` or `<prefix> <low>-<high>...` or `<low> to <high>`: x, record.
pub(crate) fn binned<'a>(metrics: &'a [Metric], name: &str, band: &str, class: &str, prefix: &str) -> Vec<(f64, &'a Metric)> {
    let x_of = |regime: &str| -> Option<f64> {
        let words: Vec<&str> = regime.strip_prefix(prefix)?.split(' ').filter(|w| !w.is_empty()).collect();
        let (low, high) = match words.as_slice() {
            [low, "to", high, ..] => (low.parse::<f64>().ok()?, high.parse::<f64>().ok()?),
            [both, ..] => match both.split_once('-') {
                Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
                None => (both.parse().ok()?, both.parse().ok()?),
            },
            [] => return None,
        };
        Some(if low > 0.0 && high > 2.0 * low { (low * high).sqrt() } else { 0.5 * (low + high) })
    };
    metrics.iter().filter(|m| m.name == name && m.band == band && m.class == class).filter_map(|m| Some((x_of(&m.regime)?, m))).collect()
}

/// Points of the records, `scale` times their value, `shift`ed so that bands do not hide each other.
pub(crate) fn points(records: &[(f64, &Metric)], scale: f64, shift: f64) -> MarkKind {
    let point = |&(x, m): &(f64, &Metric)| {
        // A share of one or two objects has a bar over the whole panel and says nothing; counts are told apart by their unit.
        let value = m.value.filter(|_| m.n >= 3 || !m.unit.is_empty())?;
        Some([x + shift, scale * value, scale * m.lo.unwrap_or(value), scale * m.hi.unwrap_or(value), m.n as f64])
    };
    MarkKind::Sampled(records.iter().filter_map(point).collect())
}

/// Theoretical limits of the records.
pub(crate) fn limits(records: &[(f64, &Metric)], scale: f64) -> Vec<(f64, f64)> {
    records.iter().filter_map(|(x, m)| Some((*x, scale * m.limit?))).collect()
}

/// Values of the records, without intervals.
pub(crate) fn values(records: &[(f64, &Metric)], scale: f64) -> Vec<(f64, f64)> {
    records.iter().filter_map(|(x, m)| Some((*x, scale * m.value?))).collect()
}

/// A grey line across the panel.
pub(crate) fn horizontal(x: (f64, f64), y: f64) -> Mark {
    Mark { label: String::new(), colour: (120, 120, 120), kind: MarkKind::Line(vec![(x.0, y), (x.1, y)]) }
}

/// A series in the `i`-th colour.
pub(crate) fn mark(label: impl Into<String>, i: usize, kind: MarkKind) -> Mark {
    Mark { label: label.into(), colour: COLOURS[i % COLOURS.len()], kind }
}

/// Shift of the `i`-th of `n` series in a bin of `width`.
pub(crate) fn shift(i: usize, n: usize, width: f64) -> f64 {
    (i as f64 - 0.5 * (n as f64 - 1.0)) * 0.12 * width
}

/// Range of the x of all points, a little widened.
pub(crate) fn x_range(marks: &[Mark], fallback: (f64, f64)) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for mark in marks {
        for p in mark.kind.bars() {
            low = low.min(p[0]);
            high = high.max(p[0]);
        }
    }
    if low >= high { fallback } else { (low - 0.04 * (high - low), high + 0.04 * (high - low)) }
}

/// Range of y that shows the points and their bars, without the longest sixth of them; symmetric about zero.
pub(crate) fn y_range(marks: &[Mark], smallest: f64) -> (f64, f64) {
    let mut reach: Vec<f64> = marks
        .iter()
        .flat_map(|m| match &m.kind {
            MarkKind::Dashed(line) => line.iter().map(|p| p.1.abs()).collect(),
            kind => kind.bars().iter().map(|p| p[2].abs().max(p[3].abs())).collect::<Vec<_>>(),
        })
        .filter(|r| r.is_finite())
        .collect();
    reach.sort_by(f64::total_cmp);
    let high = reach.get((reach.len() * 5 / 6).min(reach.len().saturating_sub(1))).copied().unwrap_or(0.0);
    let y = 1.15 * high.max(smallest);
    (-y, y)
}

/// A panel of shares: y from 0 to 1.
pub(crate) fn share_panel(x_label: &str, y_label: &str, x: (f64, f64), marks: Vec<Mark>, legend: Corner) -> Panel {
    Panel { x_label: x_label.into(), y_label: y_label.into(), x, y: (-0.03, 1.05), log_y: false, marks, legend }
}

/// A panel of residuals about zero.
pub(crate) fn residual_panel(x_label: &str, y_label: &str, x: (f64, f64), mut marks: Vec<Mark>, smallest: f64) -> Option<Panel> {
    if marks.is_empty() {
        return None;
    }
    let y = y_range(&marks, smallest);
    marks.insert(0, horizontal(x, 0.0));
    Some(Panel { x_label: x_label.into(), y_label: y_label.into(), x, y, log_y: false, marks, legend: Corner::UpperRight })
}

/// Histograms of pulls beside the unit normal.
pub(crate) fn pull_panel(x_label: &str, series: Vec<(String, usize, Vec<f64>)>) -> Option<Panel> {
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
    let (x, y) = ((-PULL_RANGE, PULL_RANGE), (0.0, top));
    Some(Panel { x_label: x_label.into(), y_label: "density".into(), x, y, log_y: false, marks, legend: Corner::UpperRight })
}

//! The numbers of a [`Plot`] as CSV: one row a point, units in the lines above.

use super::{MarkKind, Plot};
use std::fmt::Write;

/// Columns; a value that a kind of mark does not have is empty. A curve that is filled or has bars has `lo` and `hi`, steps have
/// their edges in `x` and `x_end`, a map has one row a cell with its value in `value`.
const HEAD: &str = "panel,series,kind,x,x_end,y,lo,hi,n,value\n";

/// The file: comments (`#`) with title, axes and units, a head, the rows.
pub(crate) fn csv(plot: &Plot) -> String {
    let mut text = format!("# {}: {}\n", plot.name, plot.title);
    for (i, panel) in plot.panels.iter().enumerate() {
        let _ = writeln!(text, "# panel {}: x = {}; y = {}", i + 1, panel.x_label, panel.y_label);
        for mark in &panel.marks {
            if let MarkKind::Heat { label, .. } = &mark.kind {
                let _ = writeln!(text, "# panel {}: value = {label}", i + 1);
            }
        }
    }
    text += HEAD;
    for (i, panel) in plot.panels.iter().enumerate() {
        for mark in &panel.marks {
            let start = format!("{},{},{}", i + 1, quoted(&mark.label), mark.kind.name());
            rows(&mark.kind, &start, &mut text);
        }
    }
    text
}

/// RFC 4180.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A row for each point; `start` holds the first three columns.
fn rows(kind: &MarkKind, start: &str, text: &mut String) {
    let mut row = |rest: std::fmt::Arguments| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{start},{rest}");
    };
    match kind {
        MarkKind::Points(points) => points.iter().for_each(|[x, y, lo, hi]| row(format_args!("{x},,{y},{lo},{hi},,"))),
        MarkKind::Sampled(points) => points.iter().for_each(|[x, y, lo, hi, n]| row(format_args!("{x},,{y},{lo},{hi},{n},"))),
        MarkKind::Line(points) | MarkKind::Dashed(points) | MarkKind::Dots(points) => {
            points.iter().for_each(|(x, y)| row(format_args!("{x},,{y},,,,")));
        }
        MarkKind::Band(points) => points.iter().for_each(|[x, lo, hi]| row(format_args!("{x},,,{lo},{hi},,"))),
        MarkKind::Steps(bins) => bins.iter().for_each(|[x, end, y]| row(format_args!("{x},{end},{y},,,,"))),
        MarkKind::Heat { x, y, values_yx, .. } => {
            let (ny, nx) = (values_yx.len() as f64, values_yx.first().map_or(0, Vec::len) as f64);
            let centre = |(low, high): (f64, f64), at: usize, n: f64| low + (high - low) * (at as f64 + 0.5) / n;
            for (j, values) in values_yx.iter().enumerate() {
                for (i, value) in values.iter().enumerate() {
                    let value = value.map_or(String::new(), |v| v.to_string());
                    // A map has many cells: seven digits are enough for their places.
                    row(format_args!("{},,{},,,,{value}", centre(*x, i, nx) as f32, centre(*y, j, ny) as f32));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Corner, Mark, Palette, Panel, Section};
    use super::*;

    #[test]
    fn every_kind_has_the_same_columns() {
        let heat = MarkKind::Heat {
            x: (0.0, 2.0),
            y: (0.0, 1.0),
            values_yx: vec![vec![Some(1.5), None]],
            range: (0.0, 2.0),
            label: "depth [mag]".into(),
            palette: Palette::Sequential,
        };
        let kinds = [
            MarkKind::Points(vec![[1.0, 2.0, 1.5, 2.5]]),
            MarkKind::Sampled(vec![[1.0, 2.0, 1.5, 2.5, 30.0]]),
            MarkKind::Line(vec![(1.0, 2.0)]),
            MarkKind::Dots(vec![(1.0, 2.0)]),
            MarkKind::Band(vec![[1.0, 2.0, 3.0]]),
            MarkKind::Steps(vec![[1.0, 2.0, 3.0]]),
            heat,
        ];
        let marks = kinds.map(|kind| Mark { label: "g, \"theory\"".into(), colour: (0, 0, 0), kind }).into();
        let panel = Panel {
            x_label: "true magnitude [AB]".into(),
            y_label: "completeness".into(),
            x: (0.0, 3.0),
            y: (0.0, 3.0),
            log_y: false,
            marks,
            legend: Corner::UpperLeft,
        };
        let plot = Plot { name: "p".into(), section: Section::Detection, title: "t".into(), caption: String::new(), panels: vec![panel] };
        let text = csv(&plot);
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let columns = |line: &str| line.replace("\"g, \"\"theory\"\"\"", "g").split(',').count();
        assert!(lines.len() == 9 && lines.iter().all(|l| columns(l) == 10), "{text}");
        assert!(text.contains("# panel 1: x = true magnitude [AB]; y = completeness\n") && text.contains("value = depth [mag]"), "{text}");
        assert!(lines[8].ends_with(",heat,1.5,,0.5,,,,") && lines[7].ends_with(",heat,0.5,,0.5,,,,1.5"), "{text}");
        assert!(lines[2].ends_with(",sampled,1,,2,1.5,2.5,30,"), "{text}");
    }
}

//! Trends: the headline figures of many runs beside each other.

use crate::key_figures::{number, select};
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::report::{Block, Chapter, Document, Grid, write_document};
use crate::{MetricsFile, Outcome, ValidationError};
use fathom::catalog::{ColumnData, Table};
use fathom::format::export::{Export, Format, text_widths};
use std::path::Path;
use std::sync::Arc;

/// One run of a history.
#[derive(Debug, Clone)]
pub struct PastRun {
    /// Name of its folder.
    pub name: String,
    /// When it was made; empty if it does not say.
    pub date: String,
    /// Its metrics.json.
    pub metrics: MetricsFile,
}

/// A figure of one run: value, low, high, limit.
type Value = [Option<f64>; 4];

/// One headline figure through all runs.
struct Trend {
    label: String,
    unit: String,
    /// One a run; none where it was not measured.
    values: Vec<Option<Value>>,
    n: Vec<u64>,
}

/// Trends in the order in which the figures first appear.
fn trends(runs: &[PastRun]) -> Vec<Trend> {
    let mut trends: Vec<Trend> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        for key in select(&run.metrics.metrics) {
            let at = trends.iter().position(|t| t.label == key.label && t.unit == key.unit).unwrap_or_else(|| {
                trends.push(Trend {
                    label: key.label.clone(),
                    unit: key.unit.to_owned(),
                    values: vec![None; runs.len()],
                    n: vec![0; runs.len()],
                });
                trends.len() - 1
            });
            let m = key.metric;
            trends[at].values[i] = Some([m.value, m.lo, m.hi, m.limit].map(|v| v.map(|v| key.scale * v)));
            trends[at].n[i] = m.n;
        }
    }
    let failed = |run: &PastRun| run.metrics.requirements.iter().filter(|v| v.outcome == Outcome::Fail).count() as f64;
    if runs.iter().any(|r| !r.metrics.requirements.is_empty()) {
        let value = |r: &PastRun| (!r.metrics.requirements.is_empty()).then(|| [Some(failed(r)), None, None, None]);
        let n = runs.iter().map(|r| r.metrics.requirements.len() as u64).collect();
        trends.push(Trend { label: "requirements that fail".into(), unit: String::new(), values: runs.iter().map(value).collect(), n });
    }
    trends
}

/// Writes `index.html`, `report.md` and `history.csv`; returns the table for the terminal.
///
/// # Errors
/// [`ValidationError`] if a file cannot be written.
pub fn write_history(folder: &Path, runs: &[PastRun], command: &str) -> Result<Vec<String>, ValidationError> {
    let trends = trends(runs);
    let mut listed = Grid::new(&["number", "run", "date", "bands", "same pixels as"]);
    for (i, run) in runs.iter().enumerate() {
        let key = |r: &PastRun| r.metrics.run.exposures_key.clone();
        let first = runs.iter().position(|r| key(r) == key(run)).unwrap_or(i);
        let same = if first == i { "–".to_owned() } else { (first + 1).to_string() };
        listed.rows.push(vec![(i + 1).to_string(), run.name.clone(), run.date.clone(), run.metrics.run.bands.join(", "), same]);
    }
    let mut blocks = vec![Block::Table(listed), Block::Table(grid(runs, &trends))];
    blocks.push(Block::Text(
        "Values with their 95 % intervals in history.csv. Runs on other pixels have another theory: read them beside it.".into(),
    ));
    let plots = trends.iter().enumerate().map(|(i, t)| Block::Plot(plot(i, t))).collect();
    let document = Document {
        title: "Trends".into(),
        subtitle: format!("fathom history of {} runs", runs.len()),
        command: command.to_owned(),
        numbers: "history.csv".into(),
        chapters: vec![
            Chapter { id: "summary".into(), title: "Runs and figures".into(), blocks },
            Chapter { id: "trends".into(), title: "Trends".into(), blocks: plots },
        ],
        provenance: Vec::new(),
    };
    write_document(folder, &document)?;
    let table = table(runs, &trends);
    let path = folder.join("history.csv");
    let written = Export::new(&path, Format::Csv, "history", &table, &text_widths(&table)).and_then(|mut export| {
        export.append(table)?;
        export.finish()
    });
    written.map_err(|e| ValidationError::File(Arc::new(e)))?;
    Ok(lines(&grid(runs, &trends)))
}

fn grid(runs: &[PastRun], trends: &[Trend]) -> Grid {
    let heads: Vec<&str> = ["figure", "unit"].into_iter().chain(runs.iter().map(|r| r.name.as_str())).collect();
    let mut grid = Grid::new(&heads);
    for t in trends {
        let mut row = vec![t.label.clone(), t.unit.clone()];
        row.extend(t.values.iter().map(|v| v.and_then(|v| v[0]).map_or("not measured".to_owned(), number)));
        grid.rows.push(row);
    }
    grid
}

/// The grid in columns of their widest cells.
fn lines(grid: &Grid) -> Vec<String> {
    let all: Vec<&Vec<String>> = std::iter::once(&grid.heads).chain(&grid.rows).collect();
    let width = |i: usize| all.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..grid.heads.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let text: String = cells.map(|(i, (cell, w))| if i == 0 { format!("{cell:<w$}") } else { format!("  {cell:>w$}") }).collect();
        text.trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

fn plot(i: usize, trend: &Trend) -> Plot {
    let x_of = |k: usize| k as f64 + 1.0;
    let measured = |v: &Value| v[0].map(|value| [value, v[1].unwrap_or(value), v[2].unwrap_or(value)]);
    let points: Vec<[f64; 4]> = trend
        .values
        .iter()
        .enumerate()
        .filter_map(|(k, v)| v.as_ref().and_then(measured).map(|[value, lo, hi]| [x_of(k), value, lo, hi]))
        .collect();
    let limits: Vec<(f64, f64)> = trend.values.iter().enumerate().filter_map(|(k, v)| Some((x_of(k), v.as_ref()?[3]?))).collect();
    let all = || points.iter().flat_map(|p| [p[1], p[2], p[3]]).chain(limits.iter().map(|l| l.1));
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = if high > low { 0.15 * (high - low) } else { 0.5 * low.abs().max(0.1) };
    let mut marks = vec![
        Mark { label: String::new(), colour: COLOURS[0], kind: MarkKind::Line(points.iter().map(|p| (p[0], p[1])).collect()) },
        Mark { label: "measured".into(), colour: COLOURS[0], kind: MarkKind::Points(points) },
    ];
    if !limits.is_empty() {
        marks.push(Mark { label: "theory".into(), colour: COLOURS[1], kind: MarkKind::Dashed(limits) });
    }
    let unit = if trend.unit.is_empty() { String::new() } else { format!(" [{}]", trend.unit) };
    let panel = Panel {
        x_label: "run (number in the table)".into(),
        y_label: format!("{}{unit}", trend.label),
        x: (0.5, trend.values.len() as f64 + 0.5),
        y: (low - margin, high + margin),
        log_y: false,
        marks,
        legend: Corner::UpperRight,
    };
    Plot {
        name: format!("trend_{:02}", i + 1),
        section: Section::Detection,
        title: trend.label.clone(),
        caption: format!("{} of each run; bars: 95 %; dashed: what the run's own data allow in theory.", trend.label),
        panels: vec![panel],
    }
}

/// One row a figure and run: `figure`, `unit`, `number`, `run`, `date`, `value`, `lo`, `hi`, `limit`, `n`.
fn table(runs: &[PastRun], trends: &[Trend]) -> Table {
    let cells: Vec<(&Trend, usize)> = trends.iter().flat_map(|t| (0..runs.len()).map(move |i| (t, i))).collect();
    let text = |of: &dyn Fn(&Trend, usize) -> String| ColumnData::Text(cells.iter().map(|&(t, i)| of(t, i)).collect());
    let real = |k: usize| ColumnData::F64(cells.iter().map(|&(t, i)| t.values[i].and_then(|v| v[k]).unwrap_or(f64::NAN)).collect());
    let whole = |of: &dyn Fn(&Trend, usize) -> u64| ColumnData::I64(cells.iter().map(|&(t, i)| of(t, i).cast_signed()).collect());
    let mut table = Table::new();
    let columns = [
        ("figure", "headline figure", text(&|t, _| t.label.clone())),
        ("unit", "unit of value, interval and limit", text(&|t, _| t.unit.clone())),
        ("number", "place of the run, from 1", whole(&|_, i| i as u64 + 1)),
        ("run", "folder of the run", text(&|_, i| runs[i].name.clone())),
        ("date", "when it was made", text(&|_, i| runs[i].date.clone())),
        ("value", "measured", real(0)),
        ("lo", "lower end of its 95 % interval", real(1)),
        ("hi", "upper end", real(2)),
        ("limit", "what theory allows", real(3)),
        ("n", "objects", whole(&|t, i| t.n[i])),
    ];
    for (name, description, data) in columns {
        table.push(name, "", description, data).expect("one row a figure and run");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metric, RunInfo};

    fn run(name: &str, m50: Option<f64>) -> PastRun {
        let metric = |name: &str, band: &str, value: Option<f64>| Metric {
            name: name.into(),
            band: band.into(),
            class: String::new(),
            regime: String::new(),
            value,
            lo: value.map(|v| v - 0.1),
            hi: value.map(|v| v + 0.1),
            limit: Some(25.0),
            unit: "mag".into(),
            n: 40,
        };
        let info = RunInfo { name: name.into(), bands: vec!["r".into()], config_hash: String::new(), exposures_key: "k".into() };
        let metrics = vec![metric("detection.completeness.m50", "r", m50), metric("detection.purity", "", Some(0.98))];
        PastRun {
            name: name.into(),
            date: "2026-01-01".into(),
            metrics: MetricsFile { schema: 1, run: info, notes: vec![], metrics, requirements: vec![] },
        }
    }

    #[test]
    fn a_figure_that_a_run_lacks_is_a_gap() {
        let runs = [run("a", Some(24.5)), run("b", None), run("c", Some(24.75))];
        let folder = tempfile::tempdir().unwrap();
        let lines = write_history(folder.path(), &runs, "fathom history a b c").unwrap();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["figure", "unit", "a", "b", "c"]);
        assert!(lines.iter().any(|l| l.split_whitespace().skip(4).eq(["mag", "24.50", "not", "measured", "24.75"])), "{lines:?}");
        let csv = fathom::format::any_table::read(&folder.path().join("history.csv"), "").unwrap();
        assert_eq!(csv.n_rows(), 6);
        let values = csv.f64("value").unwrap();
        assert!((values[0] - 24.5).abs() < 1e-12 && values[1].is_nan() && (values[3] - 98.0).abs() < 1e-9, "{values:?}");
        let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("not measured"));
    }
}

//! A comparison written down: page, text, JSON, tables.

use super::rows::count;
use super::{Better, Change, CompareError, ComparedFigure, ComparedRun, Comparison};
use crate::ValidationError;
use crate::key_figures::{number, select};
use crate::report::{Block, Chapter, Document, Grid, Headline, write_document};
use fathom::catalog::{ColumnData, Table};
use fathom::format::FormatError;
use fathom::format::export::{Export, Format, text_widths};
use fathom::format::product::write_text;
use std::path::Path;
use std::sync::Arc;

/// Objects on the page for each list of gained and lost ones; the file holds all.
const MAX_LISTED: usize = 30;

/// Writes `index.html`, `report.md`, `compare.json`, and per run compared `figures-<name>.csv` and `objects-<name>.csv`; returns lines for the terminal.
///
/// `compare.json` is `{"schema": 1, "comparisons": [...]}` of [`Comparison`]s.
///
/// # Errors
/// [`CompareError`] if a file cannot be written.
pub fn write_comparison(
    folder: &Path,
    runs: &[ComparedRun],
    comparisons: &[Comparison],
    command: &str,
) -> Result<Vec<String>, CompareError> {
    let file = |e: FormatError| ValidationError::File(Arc::new(e));
    let chapters = std::iter::once(summary(runs, comparisons)).chain(comparisons.iter().flat_map(details)).collect();
    let document = Document {
        title: format!("{} against {}", comparisons.iter().map(|c| c.other.as_str()).collect::<Vec<_>>().join(", "), runs[0].name),
        subtitle: format!("fathom compare: the same pixels, object by object; bands {}", runs[0].metrics.run.bands.join(", ")),
        command: command.to_owned(),
        numbers: "compare.json".into(),
        chapters,
        provenance: Vec::new(),
    };
    write_document(folder, &document)?;
    for c in comparisons {
        write_csv(&folder.join(format!("figures-{}.csv", c.other)), "figures", figure_table(&c.figures)).map_err(file)?;
        write_csv(&folder.join(format!("objects-{}.csv", c.other)), "objects", c.objects.clone()).map_err(file)?;
    }
    let json = serde_json::json!({ "schema": 1, "comparisons": comparisons });
    write_text(&folder.join("compare.json"), &format!("{json:#}\n")).map_err(file)?;
    Ok(comparisons.iter().flat_map(lines).collect())
}

fn write_csv(path: &Path, name: &str, table: Table) -> Result<(), FormatError> {
    let mut export = Export::new(path, Format::Csv, name, &table, &text_widths(&table))?;
    export.append(table)?;
    export.finish().map(|_| ())
}

/// For the terminal: the count, then what is sure.
fn lines(c: &Comparison) -> Vec<String> {
    let [better, worse, same] = count(&c.figures);
    let mut lines = vec![format!("{} against {}: {better} figures better, {worse} worse, {same} the same", c.other, c.first)];
    lines.extend(c.figures.iter().filter(|f| f.is_sure).map(|f| {
        let place = place(f);
        let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
        format!("  {}: {}{place} {} -> {}{}", f.change.name(), f.name, shown(f.first), shown(f.other), unit(f))
    }));
    lines
}

fn unit(f: &ComparedFigure) -> String {
    if f.unit.is_empty() { String::new() } else { format!(" {}", f.unit) }
}

fn place(f: &ComparedFigure) -> String {
    [&f.band, &f.class, &f.regime].into_iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join(", ")
}

fn shown(v: Option<f64>) -> String {
    v.map_or("–".to_owned(), number)
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { text.to_owned() }
}

fn summary(runs: &[ComparedRun], comparisons: &[Comparison]) -> Chapter {
    let mut blocks = Vec::new();
    for c in comparisons {
        let [better, worse, same] = count(&c.figures);
        let n_sure = |change| c.figures.iter().filter(|f| f.is_sure && f.change == change).count();
        let headline = |label: &str, n: usize, change: Option<Change>| Headline {
            label: format!("{}: figures {label}", c.other),
            value: n.to_string(),
            lines: change.map(|change| format!("{} of them sure", n_sure(change))).into_iter().collect(),
        };
        blocks.push(Block::Headlines(vec![
            headline("better", better, Some(Change::Better)),
            headline("worse", worse, Some(Change::Worse)),
            headline("the same", same, None),
        ]));
        let n_judged = better + worse + same;
        blocks.push(Block::Text(format!(
            "{n_judged} figures were judged at 5 %: if {} were equal to {}, about {:.0} of them would be called better or worse all the same. Those \
             marked as sure also hold at a false-discovery rate of 5 % over the whole table.",
            c.other,
            c.first,
            0.05 * n_judged as f64
        )));
        let sure: Vec<&ComparedFigure> = c.figures.iter().filter(|f| f.is_sure).collect();
        if sure.is_empty() {
            blocks.push(Block::Text("No difference is sure.".into()));
        } else {
            blocks.push(Block::Table(figure_grid(&sure)));
        }
    }
    blocks.push(Block::Heading("What differs in the configurations".into()));
    for c in comparisons {
        let mut grid = Grid::new(&["setting", c.first.as_str(), c.other.as_str()]);
        grid.rows = c.settings.iter().map(|s| vec![s.key.clone(), s.first.clone(), s.other.clone()]).collect();
        blocks.push(if grid.rows.is_empty() { Block::Text("Nothing.".into()) } else { Block::Table(grid) });
    }
    blocks.push(Block::Heading("Headline figures side by side".into()));
    blocks.push(Block::Text("From each run's own metrics.json, over all of its objects: not paired.".into()));
    blocks.push(Block::Table(side_by_side(runs)));
    Chapter { id: "summary".into(), title: "Summary".into(), blocks }
}

fn side_by_side(runs: &[ComparedRun]) -> Grid {
    // Each beside its own theory: another threshold has another one.
    let heads: Vec<&str> = ["figure"].into_iter().chain(runs.iter().flat_map(|r| [r.name.as_str(), "theory"])).chain(["unit"]).collect();
    let mut grid = Grid::new(&heads);
    for key in select(&runs[0].metrics.metrics) {
        let m = key.metric;
        let same = |run: &ComparedRun| {
            let is_same = |o: &&crate::Metric| (&o.name, &o.band, &o.class, &o.regime) == (&m.name, &m.band, &m.class, &m.regime);
            let found = run.metrics.metrics.iter().find(is_same);
            [found.and_then(|o| o.value), found.and_then(|o| o.limit)].map(|v| shown(v.map(|v| key.scale * v)))
        };
        let mut row = vec![key.label.clone()];
        row.extend(runs.iter().flat_map(same));
        row.push(or_dash(key.unit));
        grid.rows.push(row);
    }
    grid
}

/// Chapters of one comparison: plots, all figures, objects gained and lost.
fn details(c: &Comparison) -> Vec<Chapter> {
    let all: Vec<&ComparedFigure> = c.figures.iter().collect();
    let families = [("detection", "Detection"), ("deblend", "Deblending"), ("photometry", "Photometry"), ("astrometry", "Astrometry")];
    let mut blocks: Vec<Block> =
        c.plots.iter().map(|p| Block::Plot(crate::Plot { name: format!("{}_{}", p.name, c.other), ..p.clone() })).collect();
    for (family, title) in families {
        let of_family: Vec<&ComparedFigure> = all.iter().copied().filter(|f| f.name.starts_with(family)).collect();
        if !of_family.is_empty() {
            let [better, worse, same] = count(&of_family.iter().map(|f| (*f).clone()).collect::<Vec<_>>());
            let summary = format!("{title}: {} figures, {better} better, {worse} worse, {same} the same", of_family.len());
            blocks.push(Block::Fold { summary, blocks: vec![Block::Table(figure_grid(&of_family))] });
        }
    }
    blocks.push(Block::Text(format!(
        "The same in figures-{0}.csv and compare.json; every true object with both fates in objects-{0}.csv. Values are over the objects that \
         both runs have (completeness: all true objects that count); differences and intervals are paired.",
        c.other
    )));
    blocks.extend(gained_and_lost(c));
    vec![Chapter { id: format!("run-{}", anchor(&c.other)), title: format!("{} against {}", c.other, c.first), blocks }]
}

fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn figure_grid(figures: &[&ComparedFigure]) -> Grid {
    let heads = [
        "figure",
        "verdict",
        "band",
        "class",
        "regime",
        "first",
        "other",
        "difference (95 % interval)",
        "unit",
        "objects",
        "better / worse for",
        "p",
    ];
    let mut grid = Grid::new(&heads);
    grid.rows = figures
        .iter()
        .map(|f| {
            let interval = f.lo.zip(f.hi).map_or(String::new(), |(lo, hi)| format!(" ({} to {})", number(lo), number(hi)));
            let sides = if f.n_better + f.n_worse > 0 { format!("{} / {}", f.n_better, f.n_worse) } else { "–".into() };
            let of = match f.better {
                Better::NearZero => " (distance from 0)",
                Better::NearOne => " (distance from 1)",
                Better::Higher | Better::Lower => "",
            };
            vec![
                f.name.clone(),
                format!("{}{}", f.change.name(), if f.is_sure { ", sure" } else { "" }),
                or_dash(&f.band),
                or_dash(&f.class),
                or_dash(&f.regime),
                shown(f.first),
                shown(f.other),
                format!("{}{interval}{of}", shown(f.difference)),
                or_dash(&f.unit),
                f.n.to_string(),
                sides,
                f.p.map_or("–".into(), |p| if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }),
            ]
        })
        .collect();
    grid
}

/// Brightest objects that only one run found.
fn gained_and_lost(c: &Comparison) -> Vec<Block> {
    let column = |name: &str| c.objects.text(name).unwrap_or_default();
    let real = |name: &str| c.objects.f64(name).unwrap_or_default();
    let (first, other, class) = (column("first"), column("other"), column("class"));
    let (ra, dec, snr) = (real("ra"), real("dec"), real("snr"));
    let ids = c.objects.i64("truth_id").unwrap_or_default();
    let mut blocks = Vec::new();
    for (title, found, lost) in [("Found only by", other, first), ("Lost by", first, other)] {
        let mut rows: Vec<usize> = (0..found.len()).filter(|&i| found[i] == "found" && lost[i] != "found").collect();
        rows.sort_by(|&a, &b| snr[b].total_cmp(&snr[a]).then(ids[a].cmp(&ids[b])));
        let mut grid = Grid::new(&["true object", "ra [deg]", "dec [deg]", "class", "true S/N", c.first.as_str(), c.other.as_str()]);
        let row = |&i: &usize| {
            let position = [format!("{:.6}", ra[i]), format!("{:.6}", dec[i])];
            let [ra, dec] = position;
            vec![ids[i].to_string(), ra, dec, class[i].clone(), number(snr[i]), first[i].clone(), other[i].clone()]
        };
        grid.rows = rows.iter().take(MAX_LISTED).map(row).collect();
        let shown = if rows.len() > MAX_LISTED { format!("; the {MAX_LISTED} brightest") } else { String::new() };
        let summary = format!("{title} {}: {} true objects{shown}", c.other, rows.len());
        blocks.push(if rows.is_empty() {
            Block::Text(format!("{summary}."))
        } else {
            Block::Fold { summary, blocks: vec![Block::Table(grid)] }
        });
    }
    blocks
}

/// The figures as a table: the fields of [`ComparedFigure`].
fn figure_table(figures: &[ComparedFigure]) -> Table {
    let text = |of: &dyn Fn(&ComparedFigure) -> String| ColumnData::Text(figures.iter().map(of).collect());
    let real = |of: &dyn Fn(&ComparedFigure) -> Option<f64>| ColumnData::F64(figures.iter().map(|f| of(f).unwrap_or(f64::NAN)).collect());
    let whole = |of: &dyn Fn(&ComparedFigure) -> u64| ColumnData::I64(figures.iter().map(|f| of(f).cast_signed()).collect());
    let mut table = Table::new();
    let columns = [
        ("name", "dotted name", text(&|f| f.name.clone())),
        ("band", "empty: all", text(&|f| f.band.clone())),
        ("class", "empty: all", text(&|f| f.class.clone())),
        ("regime", "empty: all", text(&|f| f.regime.clone())),
        ("unit", "of values and difference", text(&|f| f.unit.clone())),
        ("first", "value of the first run", real(&|f| f.first)),
        ("other", "value of the other run", real(&|f| f.other)),
        ("difference", "other - first", real(&|f| f.difference)),
        ("lo", "lower end of its 95 % interval", real(&|f| f.lo)),
        ("hi", "upper end", real(&|f| f.hi)),
        ("n", "objects", whole(&|f| f.n)),
        ("n_better", "objects for which the other run is better", whole(&|f| f.n_better)),
        ("n_worse", "objects for which it is worse", whole(&|f| f.n_worse)),
        ("p", "probability by chance", real(&|f| f.p)),
        ("change", "better, worse, the same, not measured", text(&|f| f.change.name().to_owned())),
        ("is_sure", "at a false-discovery rate of 5 %", ColumnData::Bool(figures.iter().map(|f| f.is_sure).collect())),
    ];
    for (name, description, data) in columns {
        table.push(name, "", description, data).expect("one row a figure");
    }
    table
}

//! Metrics as tables and headlines.

use super::document::{Block, Grid, Headline};
use crate::Metric;
use crate::key_figures::{number, with_interval};

/// Rows of one table on the page, at most; the file holds all.
const MAX_ROWS: usize = 1500;

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { text.to_owned() }
}

/// One row a record: measured beside its limit, and their quotient.
#[must_use]
pub fn metric_grid(metrics: &[&Metric]) -> Grid {
    let mut grid = Grid::new(&["figure", "band", "class", "regime", "measured (95 % interval)", "limit", "measured / limit", "unit", "n"]);
    grid.rows = metrics
        .iter()
        .map(|m| {
            let ratio = m.value.zip(m.limit).filter(|(_, l)| *l != 0.0).map(|(v, l)| v / l);
            let shown = |v: Option<f64>| v.map_or("–".to_owned(), number);
            vec![
                m.name.clone(),
                or_dash(&m.band),
                or_dash(&m.class),
                or_dash(&m.regime),
                with_interval(m, 1.0),
                shown(m.limit),
                shown(ratio),
                or_dash(&m.unit),
                m.n.to_string(),
            ]
        })
        .collect();
    grid
}

/// Rows that are shown without being asked for.
const SHORT: usize = 24;

/// A table, folded if it is longer than a screen.
pub(super) fn long(summary: String, grid: Grid) -> Block {
    if grid.rows.len() <= SHORT { Block::Table(grid) } else { Block::Fold { summary, blocks: vec![Block::Table(grid)] } }
}

/// Figures of a stage: those of all objects in sight, those of bins folded away.
pub(super) fn stage_tables(metrics: &[&Metric], numbers: &str) -> Vec<Block> {
    let (all, binned): (Vec<&Metric>, Vec<&Metric>) = metrics.iter().partition(|m| m.regime.is_empty());
    let mut blocks = Vec::new();
    if !all.is_empty() {
        blocks.push(Block::Heading("Figures".into()));
        blocks.push(long(format!("{} figures of all objects of a band and class", all.len()), metric_grid(&all)));
    }
    if !binned.is_empty() {
        let shown = &binned[..binned.len().min(MAX_ROWS)];
        let mut inner = vec![Block::Table(metric_grid(shown))];
        if shown.len() < binned.len() {
            inner.push(Block::Text(format!("{} more stand in {numbers}.", binned.len() - shown.len())));
        }
        blocks.push(Block::Fold { summary: format!("{} figures by bin and condition", binned.len()), blocks: inner });
    }
    blocks
}

/// What a headline shows: label, record (name, class, regime), factor and unit shown.
type Wanted = (&'static str, &'static [(&'static str, &'static str, &'static str)], f64, &'static str);

/// The five questions that a board asks first; of each the first record that a run has.
const HEADLINES: [Wanted; 5] = [
    ("50 % completeness", &[("detection.completeness.m50", "", ""), ("detection.completeness.m50", "", "isolated")], 1.0, "mag"),
    ("purity", &[("detection.purity", "", "")], 100.0, "%"),
    ("flux pull of bright stars, standard deviation", &[("photometry.psf_flux.pull_std", "star", "bright")], 1.0, ""),
    ("position pull, standard deviation", &[("astrometry.ra.pull_std", "star", "")], 1.0, ""),
    ("unrecognised blends within 1.5 FWHM", &[("deblend.unrecognised_fraction", "", "")], 100.0, "%"),
];

/// The headlines; what was not measured says so.
pub(super) fn headlines(metrics: &[Metric]) -> Vec<Headline> {
    HEADLINES
        .iter()
        .map(|(label, records, scale, unit)| {
            let found = records.iter().map(|r| of_record(metrics, *r)).find(|f| !f.is_empty()).unwrap_or_default();
            headline(label, &found, *scale, unit)
        })
        .collect()
}

fn of_record<'a>(metrics: &'a [Metric], (name, class, regime): (&str, &str, &str)) -> Vec<&'a Metric> {
    metrics.iter().filter(|m| m.name == name && m.class == class && m.regime == regime && m.value.is_some()).collect()
}

/// Large: the first record. Below: its interval and limit, then a line for each further band.
fn headline(label: &str, found: &[&Metric], scale: f64, unit: &str) -> Headline {
    let with_unit = |text: String| if unit.is_empty() { text } else { format!("{text} {unit}") };
    let value = |m: &Metric| m.value.map_or_else(String::new, |v| number(scale * v));
    let interval =
        |m: &Metric| m.lo.zip(m.hi).map_or_else(String::new, |(lo, hi)| format!(" ({} to {})", number(scale * lo), number(scale * hi)));
    let limit = |m: &Metric| m.limit.map_or_else(String::new, |l| format!(", limit {}", number(scale * l)));
    let Some((first, others)) = found.split_first() else {
        return Headline { label: label.to_owned(), value: "not measured".into(), lines: Vec::new() };
    };
    let mut lines = vec![format!("{}{}; n = {}", value(first), interval(first), first.n)];
    if let Some(limit) = first.limit {
        lines.push(with_unit(format!("limit {}", number(scale * limit))));
    }
    lines.extend(others.iter().map(|m| format!("{}: {}{}{}", m.band, value(m), interval(m), limit(m))));
    let label = if first.band.is_empty() { label.to_owned() } else { format!("{label}, {}", first.band) };
    Headline { label, value: with_unit(value(first)), lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Figure;

    fn metric(name: &str, value: Option<f64>) -> Metric {
        Metric::new(name, "mag", Figure { value, lo: Some(0.5), hi: Some(2.0), n: 7 })
    }

    /// What is not measured is said, and no quotient is made of a limit of zero.
    #[test]
    fn missing_values_are_words() {
        let metrics =
            [metric("a", None).limit(Some(2.0)), metric("b", Some(1.0)).limit(Some(0.0)), metric("c", Some(1.0)).limit(Some(2.0))];
        let grid = metric_grid(&metrics.iter().collect::<Vec<_>>());
        let cells: Vec<[&str; 3]> = grid.rows.iter().map(|r| [r[4].as_str(), r[5].as_str(), r[6].as_str()]).collect();
        assert_eq!(cells, [["not measured", "2", "–"], ["1 (0.5000 to 2)", "0", "–"], ["1 (0.5000 to 2)", "2", "0.5000"]]);
        let heads = headlines(&[]);
        assert!(heads.len() == 5 && heads.iter().all(|h| h.value == "not measured" && h.lines.is_empty()));
    }

    #[test]
    fn a_headline_has_a_line_a_band() {
        let m50 = |band: &str, value| metric("detection.completeness.m50", Some(value)).band(band).limit(Some(25.0));
        let heads = headlines(&[m50("g", 24.0), m50("r", 24.5)]);
        assert_eq!((heads[0].label.as_str(), heads[0].value.as_str()), ("50 % completeness, g", "24 mag"));
        assert_eq!(heads[0].lines, ["24 (0.5000 to 2); n = 7", "limit 25 mag", "r: 24.50 (0.5000 to 2), limit 25"]);
    }
}

//! Requirements as a table: what fails first, then what passes, then what was not measured.

use super::document::{Block, Grid};
use crate::key_figures::number;
use crate::{Outcome, Verdict};

/// Heading, count and tables; nothing without requirements.
pub(super) fn verdicts(verdicts: &[Verdict]) -> Vec<Block> {
    if verdicts.is_empty() {
        return Vec::new();
    }
    let of = |outcome| verdicts.iter().filter(|v| v.outcome == outcome).collect::<Vec<_>>();
    let (failed, passed, open) = (of(Outcome::Fail), of(Outcome::Pass), of(Outcome::NotMeasured));
    let count = format!("{} pass, {} fail, {} are not measured.", passed.len(), failed.len(), open.len());
    let mut blocks = vec![Block::Heading("Requirements".into()), Block::Text(count)];
    let decided: Vec<&Verdict> = failed.into_iter().chain(passed).collect();
    if !decided.is_empty() {
        blocks.push(Block::Table(grid(&decided)));
        blocks.push(Block::Text(
            "Margin: distance from the bound, positive on the good side. Sure: the whole 95 % interval lies on the side of the verdict; \
             otherwise chance may explain it."
                .into(),
        ));
    }
    if !open.is_empty() {
        blocks.push(Block::Fold {
            summary: format!("{} requirements that were not measured", open.len()),
            blocks: vec![Block::Table(grid(&open))],
        });
    }
    blocks
}

fn grid(verdicts: &[&Verdict]) -> Grid {
    let mut grid =
        Grid::new(&["requirement", "verdict", "where", "found (95 % interval)", "required", "margin", "sure", "n", "figure", "why"]);
    let shown = |v: Option<f64>| v.map_or("–".to_owned(), number);
    grid.rows = verdicts
        .iter()
        .map(|v| {
            let interval = v.lo.zip(v.hi).map_or(String::new(), |(lo, hi)| format!(" ({} to {})", number(lo), number(hi)));
            let is_open = v.outcome == Outcome::NotMeasured;
            let sure = match (is_open, v.is_certain) {
                (true, _) => "–",
                (false, true) => "yes",
                (false, false) => "no",
            };
            let or_dash = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
            vec![
                v.name.clone(),
                v.outcome.name().to_owned(),
                or_dash(&v.condition()),
                format!("{}{interval}", shown(v.value)),
                v.bound(),
                shown(v.margin),
                sure.to_owned(),
                v.n.to_string(),
                or_dash(&v.metric),
                v.why.clone(),
            ]
        })
        .collect();
    grid
}

//! A [`Document`] as Markdown, for a terminal or a code review: texts and tables; plots and pictures by name.

use super::document::{Block, Document, Grid};

/// Rows of a folded table that are shown; the page and the numbers' file hold all.
const FOLDED_ROWS: usize = 40;

/// The text. Without the provenance, so that two runs can be compared by `diff`.
pub(crate) fn text(document: &Document) -> String {
    let mut out = format!("# {}\n\n{}\n", document.title, document.subtitle);
    for chapter in &document.chapters {
        out += &format!("\n## {}\n", chapter.title);
        blocks(&chapter.blocks, document, usize::MAX, &mut out);
    }
    out += "\nProvenance: provenance.json, timing.json, and the last section of index.html.\n";
    out
}

fn blocks(list: &[Block], document: &Document, max_rows: usize, out: &mut String) {
    for block in list {
        out.push('\n');
        match block {
            Block::Heading(text) => *out += &format!("### {text}\n"),
            Block::Text(text) => *out += &format!("{text}\n"),
            Block::Headlines(list) => {
                for h in list {
                    *out += &format!("- **{}**: {}{}\n", h.label, h.value, h.lines.iter().map(|l| format!("; {l}")).collect::<String>());
                }
            }
            Block::Table(grid) => table(grid, max_rows, &document.numbers, out),
            Block::Plot(plot) | Block::Map { plot, .. } => {
                *out += &format!("Plot: {} (plots/{name}.png, plots/{name}.csv). {}\n", plot.title, plot.caption, name = plot.name)
            }
            Block::Picture(picture) => *out += &format!("Picture: {} (index.html). {}\n", picture.title, picture.caption),
            Block::Stamps(grid) => *out += &format!("Pictures: index.html. {}\n", grid.caption),
            Block::Code(text) => *out += &format!("```\n{}\n```\n", text.trim_end()),
            Block::Fold { summary, blocks: inner } => {
                *out += &format!("{summary}:\n");
                blocks(inner, document, FOLDED_ROWS.min(max_rows), out);
            }
        }
    }
}

/// Columns of equal width, so that it is legible without being rendered.
fn table(grid: &Grid, max_rows: usize, numbers: &str, out: &mut String) {
    let clean = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let shown: Vec<Vec<String>> =
        std::iter::once(&grid.heads).chain(grid.rows.iter().take(max_rows)).map(|row| row.iter().map(clean).collect()).collect();
    let widths: Vec<usize> =
        (0..grid.heads.len()).map(|i| shown.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0).max(3)).collect();
    for (i, row) in shown.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        *out += &format!("| {} |\n", cells.join(" | "));
        if i == 0 {
            let rules: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
            *out += &format!("| {} |\n", rules.join(" | "));
        }
    }
    if grid.rows.len() > max_rows {
        *out += &format!("\n{} more rows: index.html, {numbers}\n", grid.rows.len() - max_rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Chapter;

    #[test]
    fn tables_are_legible_and_long_ones_are_cut() {
        let mut grid = Grid::new(&["name", "n"]);
        grid.rows = (0..50).map(|i| vec![format!("a|{i}"), i.to_string()]).collect();
        let fold = Block::Fold { summary: "all".into(), blocks: vec![Block::Table(grid)] };
        let chapter = Chapter { id: "x".into(), title: "X".into(), blocks: vec![fold] };
        let text = text(&Document { title: "T".into(), numbers: "metrics.json".into(), chapters: vec![chapter], ..Document::default() });
        assert!(text.contains("| name  | n   |\n| ----- | --- |\n| a\\|0  | 0   |\n"), "{text}");
        assert!(text.contains("10 more rows: index.html, metrics.json") && !text.contains("a\\|45"), "{text}");
    }
}

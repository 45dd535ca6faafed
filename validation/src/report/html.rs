//! A [`Document`] as one self-contained HTML page: style, script and images inside, no address of the network.

use super::document::{Block, Chapter, Document, Drawing, Grid, Headline, Layer, Picture, StampGrid};
use crate::ValidationError;
use crate::plot::{Plot, png_panels, svg_panels};

/// The page around the chapters; `{{name}}` is filled in.
const TEMPLATE: &str = include_str!("../../../reports/template/report.html");
const STYLE: &str = include_str!("../../../reports/template/report.css");
const SCRIPT: &str = include_str!("../../../reports/template/report.js");

/// The page.
pub(crate) fn page(document: &Document) -> Result<String, ValidationError> {
    let provenance = Chapter { id: "provenance".into(), title: "Provenance".into(), blocks: document.provenance.clone() };
    let contents: String =
        document.chapters.iter().chain([&provenance]).map(|c| format!("<a href=\"#{}\">{}</a>", c.id, escape(&c.title))).collect();
    let mut chapters = String::new();
    for chapter in document.chapters.iter().chain([&provenance]) {
        let body = blocks(&chapter.blocks, document)?;
        chapters += &format!("<section id=\"{}\"><h2>{}</h2>\n{body}</section>\n", chapter.id, escape(&chapter.title));
    }
    let values = [
        ("title", escape(&document.title)),
        ("subtitle", escape(&document.subtitle)),
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("contents", contents),
        ("chapters", chapters),
    ];
    Ok(fill(TEMPLATE, &values))
}

/// Replaces `{{name}}` by its text in one pass: what is filled in is not searched again.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page += before;
        let Some((name, tail)) = after.split_once("}}") else {
            page += "{{";
            rest = after;
            continue;
        };
        page += values.iter().find(|v| v.0 == name.trim()).map_or("", |v| &v.1);
        rest = tail;
    }
    page + rest
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// PNG as the address of an image.
fn data_address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let group = part.iter().fold(0u32, |sum, &b| sum << 8 | u32::from(b)) << (8 * (3 - part.len()));
        for i in 0..4 {
            let letter = if i <= part.len() { char::from(LETTERS[(group >> (18 - 6 * i)) as usize & 63]) } else { '=' };
            text.push(letter);
        }
    }
    text
}

fn blocks(list: &[Block], document: &Document) -> Result<String, ValidationError> {
    list.iter().map(|b| block(b, document)).collect()
}

fn block(block: &Block, document: &Document) -> Result<String, ValidationError> {
    Ok(match block {
        Block::Heading(text) => format!("<h3>{}</h3>\n", escape(text)),
        Block::Text(text) => format!("<p>{}</p>\n", escape(text)),
        Block::Headlines(list) => format!("<div class=\"headlines\">{}</div>\n", list.iter().map(headline).collect::<String>()),
        Block::Table(grid) => table(grid),
        Block::Plot(plot) => figure(plot, &by_command(document))?,
        Block::Map { plot, source } => figure(plot, &format!("{}; drawn by <code>fathom report RUN</code>", escape(source)))?,
        Block::Picture(picture) => layered(picture),
        Block::Stamps(grid) => stamps(grid),
        Block::Code(text) => format!("<pre>{}</pre>\n", escape(text)),
        Block::Fold { summary, blocks: inner } => {
            format!("<details><summary>{}</summary>\n{}</details>\n", escape(summary), blocks(inner, document)?)
        }
    })
}

fn headline(h: &Headline) -> String {
    let lines: String = h.lines.iter().map(|l| format!("<div class=\"line\">{}</div>", escape(l))).collect();
    format!(
        "<div class=\"headline\"><div class=\"label\">{}</div><div class=\"value\">{}</div>{lines}</div>",
        escape(&h.label),
        escape(&h.value)
    )
}

fn table(grid: &Grid) -> String {
    let head: String =
        grid.heads.iter().map(|h| format!("<th scope=\"col\"><button type=\"button\">{}</button></th>", escape(h))).collect();
    let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().map(|text| cell(text)).collect::<String>());
    let body: String = grid.rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )
}

/// A cell; a verdict is marked by more than its word.
fn cell(text: &str) -> String {
    let class = match text {
        "pass" | "better" => " class=\"good\"",
        "fail" | "worse" => " class=\"bad\"",
        "not measured" => " class=\"none\"",
        // Sentences need room.
        _ if text.chars().count() > 50 && text.contains(' ') => " class=\"long\"",
        _ => "",
    };
    format!("<td{class}>{}</td>", escape(text))
}

/// File and command of the figures.
fn by_command(document: &Document) -> String {
    let numbers = escape(&document.numbers);
    format!("<a href=\"{numbers}\">{numbers}</a>; made by <code>{}</code>", escape(&document.command))
}

/// Panels beside each other, below each other on a phone: SVG where that is light, else PNG.
fn figure(plot: &Plot, source: &str) -> Result<String, ValidationError> {
    let name = &plot.name;
    let title = escape(&plot.title);
    let panels: Vec<String> = if plot.is_dense() {
        let labelled = plot.panels.iter().zip(png_panels(plot)?);
        labelled.map(|(p, png)| format!("<img alt=\"{title}: {}\" src=\"{}\">", escape(p.name()), data_address(&png))).collect()
    } else {
        svg_panels(plot)?
    };
    Ok(format!(
        "<figure id=\"{name}\"><h3>{title}</h3><div class=\"panels\">{}</div><figcaption>{} <span class=\"source\">Numbers: \
         <a href=\"plots/{name}.csv\">plots/{name}.csv</a>, {source}.</span></figcaption></figure>\n",
        panels.concat(),
        escape(&plot.caption),
    ))
}

fn layered(picture: &Picture) -> String {
    let Picture { name, size: (width, height), .. } = picture;
    let switches: String = picture.layers.iter().enumerate().map(|(i, layer)| switch(name, i, layer)).collect();
    let drawn: String = picture.layers.iter().enumerate().map(|(i, layer)| drawing(picture, i, layer)).collect();
    format!(
        "<figure id=\"{name}\"><h3>{title}</h3><div class=\"switches\" role=\"group\" aria-label=\"Layers\">{switches}</div>\
         <div class=\"stack\" style=\"aspect-ratio:{width}/{height}\"><img alt=\"{title}\" src=\"{}\">{drawn}</div>\
         <figcaption>{} <span class=\"source\">Pixels: {}; drawn by <code>fathom report RUN</code>.</span></figcaption></figure>\n",
        data_address(&picture.png),
        escape(&picture.caption),
        escape(&picture.source),
        title = escape(&picture.title),
    )
}

fn switch(picture: &str, i: usize, layer: &Layer) -> String {
    let checked = if layer.is_shown { " checked" } else { "" };
    format!(
        "<label><input type=\"checkbox\" data-layer=\"{picture}-{i}\"{checked}><svg class=\"swatch\" viewBox=\"0 0 20 20\">{}</svg>{} \
         <span class=\"count\">{}</span></label>",
        layer.swatch,
        escape(&layer.name),
        layer.n
    )
}

fn drawing(picture: &Picture, i: usize, layer: &Layer) -> String {
    let (width, height) = picture.size;
    let hidden = if layer.is_shown { "" } else { " style=\"display:none\"" };
    let id = format!("{}-{i}", picture.name);
    match &layer.drawing {
        Drawing::Svg(elements) => format!("<svg id=\"{id}\" class=\"layer\" viewBox=\"0 0 {width} {height}\"{hidden}>{elements}</svg>"),
        Drawing::Png(png) => {
            format!("<img id=\"{id}\" class=\"layer\" alt=\"{}\" src=\"{}\"{hidden}>", escape(&layer.name), data_address(png))
        }
    }
}

fn stamps(grid: &StampGrid) -> String {
    let heads: String = grid.heads.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let stamp = |s: &Option<super::document::Stamp>| match s {
        Some(s) => format!("<td><img alt=\"{}\" src=\"{}\"></td>", escape(&s.alt), data_address(&s.png)),
        None => "<td>–</td>".to_owned(),
    };
    let row = |(label, row): &(String, Vec<_>)| {
        format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", escape(label), row.iter().map(stamp).collect::<String>())
    };
    let rows: String = grid.rows.iter().map(row).collect();
    format!(
        "<figure><div class=\"scroll\" tabindex=\"0\"><table class=\"stamps\"><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>\
         <figcaption>{} <span class=\"source\">Pixels: {}; drawn by <code>fathom report RUN</code>.</span></figcaption></figure>\n",
        escape(&grid.caption),
        escape(&grid.source)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 4648.
    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        assert_eq!(fill("a {{x}} {{ y }} {{z}}", &[("x", "{{y}}".into()), ("y", "2".into())]), "a {{y}} 2 ");
    }

    /// Names come from users: none may become markup.
    #[test]
    fn texts_are_no_markup() {
        let mut grid = Grid::new(&["<b>", "verdict"]);
        grid.rows.push(vec!["<script>alert(\"x\")</script>".into(), "fail".into()]);
        let chapter = Chapter { id: "one".into(), title: "a < b & c".into(), blocks: vec![Block::Table(grid), Block::Text("<i>".into())] };
        let page = page(&Document { title: "<u>".into(), chapters: vec![chapter], ..Document::default() }).unwrap();
        assert!(
            page.contains("a &lt; b &amp; c") && page.contains("&lt;script&gt;alert(&quot;x&quot;)") && page.contains("class=\"bad\">fail")
        );
        for raw in ["<b>", "<script>alert", "<i>", "<u>", "{{"] {
            assert!(!page.contains(raw), "{raw}");
        }
    }
}

//! Pieces of the report's page.

use crate::Metric;
use crate::key_figures::{number, select, with_interval};
use crate::plot::Plot;

/// Replaces `{{name}}` by its text, each once, in one pass: what is filled in is not searched again.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page += before;
        let Some((name, tail)) = after.split_once("}}") else {
            page += "{{";
            rest = after;
            continue;
        };
        page += values.iter().find(|v| v.0 == name.trim()).map_or("", |v| v.1);
        rest = tail;
    }
    page + rest
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
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

/// The picture of the field.
pub(crate) fn field_section(png: &[u8]) -> String {
    format!(
        "<section id=\"field\"><h2>The field</h2><figure><img alt=\"Colour picture of the field with matches\" \
         src=\"data:image/png;base64,{}\"><figcaption>Direct coadds of the first arm, reddest band in red, asinh stretch; outlines: \
         footprints of the parents. Green: true object, matched. Orange: missed. Red square: detection without a true object. \
         Small grey: too faint, masked or explained by such.</figcaption></figure></section>\n",
        base64(png)
    )
}

/// One plot.
pub(crate) fn plot_section(plot: &Plot, svg: &str) -> String {
    format!(
        "<section id=\"{}\"><h2>{}</h2><figure>{svg}<figcaption>{}</figcaption></figure></section>\n",
        plot.name,
        escape(&plot.title),
        escape(&plot.caption)
    )
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = heads.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>\n", row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect::<String>()))
        .collect();
    format!("<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n")
}

/// Table on top of the page.
pub(crate) fn key_figures(metrics: &[Metric]) -> String {
    let rows: Vec<Vec<String>> = select(metrics)
        .iter()
        .map(|k| {
            let limit = k.metric.limit.map_or("–".into(), |l| number(k.scale * l));
            vec![k.label.clone(), with_interval(k.metric, k.scale), limit, k.unit.to_owned(), k.metric.n.to_string()]
        })
        .collect();
    if rows.is_empty() {
        return "<p>Without truth there is nothing to judge the catalog by; below is what the data show by themselves.</p>".into();
    }
    table(&["figure", "measured (95 % interval)", "theory", "unit", "objects"], &rows)
}

/// All records, one collapsible table per family.
pub(crate) fn metric_tables(metrics: &[Metric]) -> String {
    let family = |m: &Metric| m.name.split('.').next().unwrap_or_default().to_owned();
    let mut families: Vec<String> = Vec::new();
    for metric in metrics {
        if !families.contains(&family(metric)) {
            families.push(family(metric));
        }
    }
    families
        .iter()
        .map(|name| {
            let rows: Vec<Vec<String>> = metrics
                .iter()
                .filter(|m| family(m) == *name)
                .map(|m| {
                    let or_dash = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
                    let limit = m.limit.map_or("–".into(), number);
                    let place = [or_dash(&m.band), or_dash(&m.class), or_dash(&m.regime)];
                    let [band, class, regime] = place;
                    vec![m.name.clone(), band, class, regime, with_interval(m, 1.0), limit, m.unit.clone(), m.n.to_string()]
                })
                .collect();
            let heads = ["name", "band", "class", "regime", "value (95 % interval)", "theory", "unit", "n"];
            format!("<details><summary>{} ({} figures)</summary>{}</details>\n", escape(name), rows.len(), table(&heads, &rows))
        })
        .collect()
}

/// Table of the exposures.
pub(crate) fn exposures(rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "<p>None listed.</p>".into();
    }
    let heads = ["exposure", "band", "FWHM [arcsec]", "sky [nJy/arcsec²]", "masked fraction", "aperture correction"];
    let listed = table(&heads, rows);
    format!("<details><summary>{} exposures</summary>{listed}</details>", rows.len())
}

/// Table of what was left out.
pub(crate) fn skipped(rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return "<p>No exposure was skipped.</p>".into();
    }
    let rows: Vec<Vec<String>> = rows.iter().map(|r| vec![r.0.clone(), r.1.clone()]).collect();
    table(&["skipped exposure", "why"], &rows)
}

/// What may differ between two runs of the same configuration: versions, machine size, times.
pub(crate) fn provenance(rows: &[(String, String)], timing: &[(String, usize, f64)]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|r| vec![r.0.clone(), r.1.clone()]).collect();
    let times: Vec<Vec<String>> = timing.iter().map(|t| vec![t.0.clone(), t.1.to_string(), number(t.2)]).collect();
    let times = if times.is_empty() { String::new() } else { table(&["phase", "tasks", "time [s]"], &times) };
    table(&["what", "value"], &rows) + &times
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
        assert_eq!(fill("a {{x}} {{ y }} {{z}}", &[("x", "{{y}}"), ("y", "2")]), "a {{y}} 2 ");
    }
}

//! Draws a [`Plot`](super::Plot) on any backend of plotters.

use super::{Corner, MarkKind, Panel, Plot};
use crate::ValidationError;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::path::Path;

const PANEL_WIDTH: u32 = 520;
const HEIGHT: u32 = 380;
/// Text colour of axes and labels.
const INK: RGBColor = RGBColor(40, 40, 40);

/// Makes the fonts of this crate known to plotters, so that no system font is needed and text has the same size everywhere.
///
/// # Errors
/// [`ValidationError::Plot`] if a font is refused.
pub(crate) fn register_fonts() -> Result<(), ValidationError> {
    let fonts: [(FontStyle, &'static [u8]); 2] = [
        (FontStyle::Normal, include_bytes!("../../fonts/DejaVuSans.ttf")),
        (FontStyle::Bold, include_bytes!("../../fonts/DejaVuSans-Bold.ttf")),
    ];
    for (style, bytes) in fonts {
        register_font("sans-serif", style, bytes)
            .map_err(|_| ValidationError::Plot { name: "fonts".into(), why: "the font does not parse".into() })?;
    }
    Ok(())
}

/// The plot as an SVG element without name spaces, to stand inside HTML.
pub(crate) fn svg(plot: &Plot) -> Result<String, ValidationError> {
    let size = size(plot);
    let mut text = String::new();
    draw(plot, &SVGBackend::with_string(&mut text, size).into_drawing_area(), 1.0)?;
    let start = text.find("<svg").unwrap_or(0);
    let fixed = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    // HTML needs no name space, and the page shall hold no address at all. Scale with the page's width.
    Ok(text[start..].replace(" xmlns=\"http://www.w3.org/2000/svg\"", "").replacen(&fixed, "<svg class=\"plot\"", 1))
}

/// The plot as a PNG file at twice the size.
pub(crate) fn png(plot: &Plot, path: &Path) -> Result<(), ValidationError> {
    let (width, height) = size(plot);
    draw(plot, &BitMapBackend::new(path, (2 * width, 2 * height)).into_drawing_area(), 2.0)
}

fn size(plot: &Plot) -> (u32, u32) {
    (PANEL_WIDTH * plot.panels.len().max(1) as u32, HEIGHT)
}

fn draw<DB: DrawingBackend>(plot: &Plot, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), ValidationError>
where
    DB::ErrorType: 'static,
{
    let failed = |why: String| ValidationError::Plot { name: plot.name.clone(), why };
    area.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
    for (panel, part) in plot.panels.iter().zip(area.split_evenly((1, plot.panels.len().max(1)))) {
        draw_panel(panel, &part, scale).map_err(|e| failed(e.to_string()))?;
    }
    area.present().map_err(|e| failed(e.to_string()))
}

fn draw_panel<DB: DrawingBackend>(
    panel: &Panel,
    area: &DrawingArea<DB, Shift>,
    scale: f64,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let px = |v: f64| (v * scale).round() as i32;
    let width = (1.6 * scale).round() as u32;
    let font = |size: f64| ("sans-serif", size * scale).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(16.0))
        .margin_left(px(8.0))
        .margin_bottom(px(8.0))
        .margin_right(px(30.0))
        .x_label_area_size(px(46.0))
        .y_label_area_size(px(64.0))
        .build_cartesian_2d(panel.x.0..panel.x.1, panel.y.0..panel.y.1)?;
    let (x_step, y_step) = ((panel.x.1 - panel.x.0) / 8.0, (panel.y.1 - panel.y.0) / 8.0);
    let y_tick = |v: &f64| if panel.log_y { power_of_ten(*v) } else { tick(*v, y_step) };
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(if panel.log_y { (panel.y.1 - panel.y.0).ceil() as usize + 1 } else { 8 })
        .max_light_lines(0)
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(INK.stroke_width(scale as u32))
        .set_all_tick_mark_size(px(4.0))
        .x_desc(&panel.x_label)
        .y_desc(&panel.y_label)
        .x_label_formatter(&|v| tick(*v, x_step))
        .y_label_formatter(&y_tick)
        .axis_desc_style(font(15.0))
        .label_style(font(13.0))
        .draw()?;
    let y_of = |y: f64| if panel.log_y { y.max(1e-300).log10() } else { y };
    let inside = |y: f64| y.clamp(panel.y.0, panel.y.1);
    for mark in &panel.marks {
        let colour = RGBColor(mark.colour.0, mark.colour.1, mark.colour.2);
        let on_axis = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            // Outside is left out: a line along the frame would look like data.
            let seen = |p: &(f64, f64)| (panel.x.0..=panel.x.1).contains(&p.0) && (panel.y.0..=panel.y.1).contains(&p.1);
            points.iter().map(|p| (p.0, y_of(p.1))).filter(seen).collect()
        };
        let drawn = match &mark.kind {
            MarkKind::Points(points) => {
                let points: Vec<_> = points.iter().filter(|p| (panel.x.0..=panel.x.1).contains(&p[0])).collect();
                chart.draw_series(points.iter().map(|p| {
                    let ends = vec![(p[0], inside(y_of(p[2]))), (p[0], inside(y_of(p[3])))];
                    PathElement::new(ends, colour.stroke_width(scale.round() as u32))
                }))?;
                let shown = points.iter().filter(|p| (panel.y.0..=panel.y.1).contains(&y_of(p[1])));
                chart.draw_series(shown.map(|p| Circle::new((p[0], y_of(p[1])), px(3.5), colour.filled())))?
            }
            MarkKind::Line(points) => chart.draw_series(LineSeries::new(on_axis(points), colour.stroke_width(width)))?,
            MarkKind::Dashed(points) => {
                let line = on_axis(points).into_iter();
                chart.draw_series(DashedLineSeries::new(line, px(6.0), px(4.0), colour.stroke_width(width)))?
            }
            MarkKind::Steps(bins) => {
                let outline: Vec<(f64, f64)> = bins.iter().flat_map(|b| [(b[0], b[2]), (b[1], b[2])]).collect();
                chart.draw_series(LineSeries::new(on_axis(&outline), colour.stroke_width(width)))?
            }
        };
        if !mark.label.is_empty() {
            let kind = mark.kind.clone();
            drawn.label(&mark.label).legend(move |(x, y)| {
                let line = |from: i32, to: i32| PathElement::new(vec![(x + from, y), (x + to, y)], colour.stroke_width(width)).into_dyn();
                match kind {
                    MarkKind::Points(_) => Circle::new((x + (11.0 * scale) as i32, y), (3.5 * scale) as i32, colour.filled()).into_dyn(),
                    MarkKind::Dashed(_) => dashes((x, y), scale, colour).into_dyn(),
                    MarkKind::Line(_) | MarkKind::Steps(_) => line(0, (22.0 * scale) as i32),
                }
            });
        }
    }
    if panel.marks.iter().any(|m| !m.label.is_empty()) {
        chart
            .configure_series_labels()
            .position(match panel.legend {
                Corner::UpperRight => SeriesLabelPosition::UpperRight,
                Corner::LowerRight => SeriesLabelPosition::LowerRight,
                Corner::LowerLeft => SeriesLabelPosition::LowerLeft,
            })
            .margin(px(8.0))
            .legend_area_size(px(28.0))
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(font(13.0))
            .draw()?;
    }
    Ok(())
}

/// Three dashes for the legend, where plotters wants one element: a polygon whose bridges have no height.
fn dashes((x, y): (i32, i32), scale: f64, colour: RGBColor) -> Polygon<(i32, i32)> {
    let height = (1.6 * scale).round().max(1.0) as i32;
    let edge = |offset: i32, at: i32| (x + (f64::from(offset) * scale) as i32, at);
    let above = (0..3).flat_map(|i| [edge(8 * i, y), edge(8 * i, y - height), edge(8 * i + 5, y - height), edge(8 * i + 5, y)]);
    Polygon::new(above.collect::<Vec<_>>(), colour.filled())
}

/// `600`, not `600.0`: as many digits as the distance of the ticks needs.
fn tick(value: f64, step: f64) -> String {
    let digits = (-step.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{:.digits$}", if value.abs() < step * 1e-6 { 0.0 } else { value });
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn power_of_ten(log10: f64) -> String {
    if (log10 - log10.round()).abs() > 1e-6 {
        return String::new();
    }
    let exponent = log10.round() as i32;
    if (-3..=4).contains(&exponent) { format!("{}", 10f64.powi(exponent)) } else { format!("1e{exponent}") }
}

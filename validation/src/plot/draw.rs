//! Draws a [`Plot`](super::Plot): its panels as SVG elements for the page, all of it as PNG.

use super::marks::{Chart, colour_bar, draw_mark};
use super::{Corner, MarkKind, Panel, Plot};
use crate::ValidationError;
use crate::picture::png::rgb as encode;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

const PANEL_WIDTH: u32 = 520;
const HEIGHT: u32 = 380;
/// Width of a colour bar with its numbers; what is left of a panel is about square.
const BAR_WIDTH: f64 = 122.0;
/// Text colour of axes and labels.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);

/// Error of drawing on a backend.
pub(super) type DrawError<DB> = DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>;

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

/// The panels as SVG elements without name spaces, to stand inside HTML.
pub(crate) fn svg_panels(plot: &Plot) -> Result<Vec<String>, ValidationError> {
    plot.panels.iter().map(|panel| svg(plot, panel)).collect()
}

fn svg(plot: &Plot, panel: &Panel) -> Result<String, ValidationError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (PANEL_WIDTH, HEIGHT)).into_drawing_area();
        draw_panel(panel, &area, 1.0).and_then(|()| area.present()).map_err(|e| failed(plot, &e.to_string()))?;
    }
    let start = text.find("<svg").unwrap_or(0);
    let fixed = format!("<svg width=\"{PANEL_WIDTH}\" height=\"{HEIGHT}\"");
    let label = format!("{}: {} against {}", plot.title, panel.y_label, panel.x_label).replace('"', "'").replace('<', "&lt;");
    // HTML needs no name space, and the page shall hold no address at all. Scale with the page's width.
    let text = text[start..].replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    Ok(text.replacen(&fixed, &format!("<svg role=\"img\" aria-label=\"{label}\""), 1))
}

/// The panels as PNG at twice the size, one each.
pub(crate) fn png_panels(plot: &Plot) -> Result<Vec<Vec<u8>>, ValidationError> {
    plot.panels.iter().map(|panel| bitmap(plot, std::slice::from_ref(panel))).collect()
}

/// The plot as PNG at twice the size, all panels beside each other.
pub(crate) fn png(plot: &Plot) -> Result<Vec<u8>, ValidationError> {
    bitmap(plot, &plot.panels)
}

fn bitmap(plot: &Plot, panels: &[Panel]) -> Result<Vec<u8>, ValidationError> {
    let n = panels.len().max(1);
    let (width, height) = (2 * PANEL_WIDTH * n as u32, 2 * HEIGHT);
    let mut pixels = vec![255u8; (3 * width * height) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        let drawn = area.fill(&WHITE).and_then(|()| {
            panels.iter().zip(area.split_evenly((1, n))).try_for_each(|(panel, part)| draw_panel(panel, &part, 2.0))?;
            area.present()
        });
        drawn.map_err(|e| failed(plot, &e.to_string()))?;
    }
    Ok(encode(width as usize, height as usize, &pixels))
}

fn failed(plot: &Plot, why: &str) -> ValidationError {
    ValidationError::Plot { name: plot.name.clone(), why: why.to_owned() }
}

fn draw_panel<DB: DrawingBackend>(panel: &Panel, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), DrawError<DB>>
where
    DB::ErrorType: 'static,
{
    let px = |v: f64| (v * scale).round() as i32;
    let font = |size: f64| ("sans-serif", size * scale).into_font().color(&INK);
    let heat = panel.marks.iter().find_map(|m| match &m.kind {
        MarkKind::Heat { range, label, palette, .. } => Some((*range, label, *palette)),
        _ => None,
    });
    let (axes, bar) = match heat {
        Some(_) => area.split_horizontally(f64::from(area.dim_in_pixel().0) - BAR_WIDTH * scale),
        None => (area.clone(), area.clone()),
    };
    let mut chart = ChartBuilder::on(&axes)
        .margin_top(px(16.0))
        .margin_left(px(8.0))
        .margin_bottom(px(8.0))
        .margin_right(px(if heat.is_some() { 8.0 } else { 30.0 }))
        .x_label_area_size(px(46.0))
        .y_label_area_size(px(64.0))
        .build_cartesian_2d(panel.x.0..panel.x.1, panel.y.0..panel.y.1)?;
    let (x_step, y_step) = ((panel.x.1 - panel.x.0).abs() / 8.0, (panel.y.1 - panel.y.0).abs() / 8.0);
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
    for mark in &panel.marks {
        draw_mark(&mut chart, panel, mark, scale)?;
    }
    if let Some((range, label, palette)) = heat {
        colour_bar(&bar, range, label, palette, scale)?;
    }
    draw_legend(&mut chart, panel, scale)
}

fn draw_legend<'a, DB: DrawingBackend + 'a>(chart: &mut Chart<'a, DB>, panel: &Panel, scale: f64) -> Result<(), DrawError<DB>> {
    if !panel.marks.iter().any(|m| !m.label.is_empty() && !matches!(m.kind, MarkKind::Heat { .. })) {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(match panel.legend {
            Corner::UpperLeft => SeriesLabelPosition::UpperLeft,
            Corner::UpperRight => SeriesLabelPosition::UpperRight,
            Corner::LowerRight => SeriesLabelPosition::LowerRight,
            Corner::LowerLeft => SeriesLabelPosition::LowerLeft,
        })
        .margin((8.0 * scale).round() as i32)
        .legend_area_size((28.0 * scale).round() as i32)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13.0 * scale).into_font().color(&INK))
        .draw()
}

/// `600`, not `600.0`: as many digits as the distance of the ticks needs.
pub(super) fn tick(value: f64, step: f64) -> String {
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

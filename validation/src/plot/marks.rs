//! Draws the series of a panel, their legend and colour bars.

use super::draw::{DrawError, INK, tick};
use super::{Mark, MarkKind, Palette, Panel};
use plotters::chart::SeriesAnno;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Axes of a panel.
pub(super) type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws one series; what lies outside the axes is left out, for a line along the frame would look like data.
pub(super) fn draw_mark<'a, DB: DrawingBackend + 'a>(
    chart: &mut Chart<'a, DB>,
    panel: &Panel,
    mark: &Mark,
    scale: f64,
) -> Result<(), DrawError<DB>>
where
    DB::ErrorType: 'static,
{
    let px = |v: f64| (v * scale).round() as i32;
    let width = (1.6 * scale).round() as u32;
    let colour = RGBColor(mark.colour.0, mark.colour.1, mark.colour.2);
    let y_of = |y: f64| if panel.log_y { y.max(1e-300).log10() } else { y };
    let in_x = |x: f64| (panel.x.0..=panel.x.1).contains(&x);
    let in_y = |y: f64| (panel.y.0..=panel.y.1).contains(&y);
    let inside = |y: f64| y.clamp(panel.y.0, panel.y.1);
    let on_axis =
        |points: &[(f64, f64)]| -> Vec<(f64, f64)> { points.iter().map(|p| (p.0, y_of(p.1))).filter(|p| in_x(p.0) && in_y(p.1)).collect() };
    let mut label = mark.label.clone();
    let drawn = match &mark.kind {
        MarkKind::Points(_) => bars_and_points(chart, mark.kind.bars(), panel, colour, scale)?,
        MarkKind::Sampled(points) => {
            let n = || points.iter().map(|p| p[4]);
            if !label.is_empty() && !points.is_empty() {
                label += &format!(" (n = {}–{})", n().fold(f64::INFINITY, f64::min), n().fold(0.0, f64::max));
            }
            bars_and_points(chart, mark.kind.bars(), panel, colour, scale)?
        }
        MarkKind::Dots(points) => {
            chart.draw_series(on_axis(points).into_iter().map(|p| Circle::new(p, px(1.2), colour.mix(0.6).filled())))?
        }
        MarkKind::Line(points) => chart.draw_series(LineSeries::new(on_axis(points), colour.stroke_width(width)))?,
        MarkKind::Dashed(points) => {
            chart.draw_series(DashedLineSeries::new(on_axis(points), px(6.0), px(4.0), colour.stroke_width(width)))?
        }
        MarkKind::Band(points) => {
            let seen = points.iter().filter(|p| in_x(p[0]));
            let (below, above) = seen.map(|p| ((p[0], inside(y_of(p[1]))), (p[0], inside(y_of(p[2]))))).unzip::<_, _, Vec<_>, Vec<_>>();
            let outline: Vec<(f64, f64)> = below.into_iter().chain(above.into_iter().rev()).collect();
            chart.draw_series(std::iter::once(Polygon::new(outline, colour.mix(0.25).filled())))?
        }
        MarkKind::Steps(bins) => {
            let outline: Vec<(f64, f64)> = bins.iter().flat_map(|b| [(b[0], b[2]), (b[1], b[2])]).collect();
            chart.draw_series(LineSeries::new(on_axis(&outline), colour.stroke_width(width)))?
        }
        MarkKind::Heat { x, y, values_yx, range, palette, .. } => {
            let cells = cells([*x, *y], values_yx);
            chart.draw_series(cells.map(|(corners, v)| Rectangle::new(corners, palette.colour(v, *range).filled())))?
        }
    };
    if !label.is_empty() && !matches!(mark.kind, MarkKind::Heat { .. }) {
        let kind = mark.kind.clone();
        drawn.label(label).legend(move |(x, y)| legend_mark(&kind, (x, y), colour, scale));
    }
    Ok(())
}

/// Corners and values of the cells of a map that have one.
fn cells([x, y]: [(f64, f64); 2], values_yx: &[Vec<Option<f32>>]) -> impl Iterator<Item = ([(f64, f64); 2], f64)> {
    let (ny, nx) = (values_yx.len(), values_yx.first().map_or(0, Vec::len));
    let edge = |(low, high): (f64, f64), i: usize, n: usize| low + (high - low) * i as f64 / n as f64;
    let all = values_yx.iter().enumerate().flat_map(|(j, row)| row.iter().enumerate().map(move |(i, value)| (i, j, *value)));
    all.filter_map(move |(i, j, value)| {
        Some(([(edge(x, i, nx), edge(y, j, ny)), (edge(x, i + 1, nx), edge(y, j + 1, ny))], f64::from(value?)))
    })
}

fn bars_and_points<'c, 'a, DB: DrawingBackend + 'a>(
    chart: &'c mut Chart<'a, DB>,
    points: Vec<[f64; 4]>,
    panel: &Panel,
    colour: RGBColor,
    scale: f64,
) -> Result<&'c mut SeriesAnno<'a, DB>, DrawError<DB>> {
    let y_of = |y: f64| if panel.log_y { y.max(1e-300).log10() } else { y };
    let inside = |y: f64| y.clamp(panel.y.0, panel.y.1);
    let points: Vec<[f64; 4]> = points.into_iter().filter(|p| (panel.x.0..=panel.x.1).contains(&p[0])).collect();
    chart.draw_series(points.iter().map(|p| {
        let ends = vec![(p[0], inside(y_of(p[2]))), (p[0], inside(y_of(p[3])))];
        PathElement::new(ends, colour.stroke_width(scale.round() as u32))
    }))?;
    let shown = points.into_iter().filter(|p| (panel.y.0..=panel.y.1).contains(&y_of(p[1])));
    chart.draw_series(shown.map(|p| Circle::new((p[0], y_of(p[1])), (3.5 * scale).round() as i32, colour.filled())))
}

/// What stands in the legend beside the label.
fn legend_mark<DB: DrawingBackend>(kind: &MarkKind, (x, y): (i32, i32), colour: RGBColor, scale: f64) -> DynElement<'static, DB, (i32, i32)>
where
    DB::ErrorType: 'static,
{
    let at = |offset: f64| x + (offset * scale) as i32;
    let width = (1.6 * scale).round() as u32;
    match kind {
        MarkKind::Points(_) | MarkKind::Sampled(_) => Circle::new((at(11.0), y), (3.5 * scale) as i32, colour.filled()).into_dyn(),
        MarkKind::Dots(_) => Circle::new((at(11.0), y), (1.6 * scale) as i32, colour.filled()).into_dyn(),
        MarkKind::Band(_) | MarkKind::Heat { .. } => {
            let half = (5.0 * scale) as i32;
            Rectangle::new([(at(0.0), y - half), (at(22.0), y + half)], colour.mix(0.25).filled()).into_dyn()
        }
        MarkKind::Dashed(_) => dashes((x, y), scale, colour).into_dyn(),
        MarkKind::Line(_) | MarkKind::Steps(_) => {
            PathElement::new(vec![(at(0.0), y), (at(22.0), y)], colour.stroke_width(width)).into_dyn()
        }
    }
}

/// Three dashes for the legend, where plotters wants one element: a polygon whose bridges have no height.
fn dashes((x, y): (i32, i32), scale: f64, colour: RGBColor) -> Polygon<(i32, i32)> {
    let height = (1.6 * scale).round().max(1.0) as i32;
    let edge = |offset: i32, at: i32| (x + (f64::from(offset) * scale) as i32, at);
    let above = (0..3).flat_map(|i| [edge(8 * i, y), edge(8 * i, y - height), edge(8 * i + 5, y - height), edge(8 * i + 5, y)]);
    Polygon::new(above.collect::<Vec<_>>(), colour.filled())
}

impl Palette {
    /// Colour of a value.
    pub(crate) fn colour(self, value: f64, (low, high): (f64, f64)) -> RGBColor {
        let t = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        match self {
            Self::Sequential => ViridisRGB.get_color(t),
            Self::Diverging => {
                // Blue and vermilion of Okabe and Ito, white between.
                let end = if t < 0.5 { (0, 114, 178) } else { (213, 94, 0) };
                let share = (2.0 * t - 1.0).abs();
                let mix = |c: u8| (255.0 + share * (f64::from(c) - 255.0)).round() as u8;
                RGBColor(mix(end.0), mix(end.1), mix(end.2))
            }
        }
    }
}

/// The colours of a map with their values, beside it.
pub(super) fn colour_bar<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    range: (f64, f64),
    label: &str,
    palette: Palette,
    scale: f64,
) -> Result<(), DrawError<DB>> {
    const STEPS: i32 = 64;
    let px = |v: f64| (v * scale).round() as i32;
    let (width, height) = area.dim_in_pixel();
    let (top, bottom) = (px(16.0), height as i32 - px(54.0));
    let (left, right) = (px(4.0), px(20.0));
    let y_at = |share: f64| bottom - ((bottom - top) as f64 * share).round() as i32;
    let value_at = |share: f64| range.0 + (range.1 - range.0) * share;
    for i in 0..STEPS {
        let (from, to) = (f64::from(i) / f64::from(STEPS), f64::from(i + 1) / f64::from(STEPS));
        let colour = palette.colour(value_at(0.5 * (from + to)), range);
        area.draw(&Rectangle::new([(left, y_at(to)), (right, y_at(from))], colour.filled()))?;
    }
    area.draw(&Rectangle::new([(left, top), (right, bottom)], INK.stroke_width(scale as u32)))?;
    let numbers = ("sans-serif", 12.0 * scale).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    for i in 0..=4 {
        let share = f64::from(i) / 4.0;
        area.draw(&Text::new(tick(value_at(share), (range.1 - range.0) / 40.0), (right + px(5.0), y_at(share)), numbers.clone()))?;
    }
    let turned = ("sans-serif", 13.0 * scale).into_font().transform(FontTransform::Rotate270).color(&INK);
    let middle = ((top + bottom) / 2).max(0);
    area.draw(&Text::new(label.to_owned(), (width as i32 - px(46.0), middle), turned.pos(Pos::new(HPos::Center, VPos::Top))))
}

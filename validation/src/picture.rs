//! The colour picture of the field, with footprints and matches drawn in.

use crate::matching::{DetectionFate, TruthFate};
use crate::report::ReportInput;
use crate::scene::Scene;
use crate::statistics::{mad_std, median};
use crate::survey::Survey;
use crate::{BandImage, ValidationError};
use ndarray::Array2;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Longest side of the picture \[pixels\], about.
const LONGEST: usize = 1100;
/// Height of the strip with the legend below it.
const STRIP: usize = 44;
/// Common filters by wavelength; unknown names keep the order of the run.
const BLUE_TO_RED: [&str; 12] = ["u", "b", "g", "v", "r", "i", "z", "y", "Y", "J", "H", "K"];
const FOOTPRINT: [u8; 3] = [90, 130, 190];
const GREEN: RGBColor = RGBColor(60, 230, 110);
const ORANGE: RGBColor = RGBColor(255, 165, 40);
const RED: RGBColor = RGBColor(255, 60, 60);
const GREY: RGBColor = RGBColor(170, 170, 170);
const CYAN: RGBColor = RGBColor(90, 220, 255);

/// Pixels of the picture: magnified or binned pixels of the images, first row on top (north up if the tract is).
struct Canvas {
    width: usize,
    height: usize,
    /// Output pixels per image pixel.
    zoom: f64,
    rgb: Vec<u8>,
}

impl Canvas {
    fn point(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let to = |v: f64| (v + 0.5) * self.zoom;
        (to(x).round() as i32, (self.height as f64 - to(y)).round() as i32)
    }

    fn holds(&self, (x, y): (i32, i32)) -> bool {
        (0..self.width as i32).contains(&x) && (0..self.height as i32).contains(&y)
    }
}

/// Writes the picture as PNG; false if there are no images.
pub(crate) fn draw_field(input: &ReportInput, survey: &Survey, path: &Path) -> Result<bool, ValidationError> {
    let Some(canvas) = render(&input.images, input) else { return Ok(false) };
    let failed = |why: String| ValidationError::Plot { name: "field".into(), why };
    let size = (canvas.width as u32, (canvas.height + STRIP) as u32);
    let mut backend = BitMapBackend::new(path, size);
    backend.blit_bitmap((0, 0), (canvas.width as u32, canvas.height as u32), &canvas.rgb).map_err(|e| failed(e.to_string()))?;
    let area = backend.into_drawing_area();
    let drawn = (|| {
        marks(input, survey, &canvas, &area)?;
        scale_and_compass(input, &canvas, &area)?;
        legend(survey, &canvas, &area)?;
        area.present()
    })();
    drawn.map_err(|e| failed(e.to_string()))?;
    Ok(true)
}

/// Lupton's asinh colours with the footprints' outlines.
///
/// # Source
/// Lupton et al. 2004, PASP 116, 133: the intensity is stretched, the ratio of the bands kept.
fn render(images: &[BandImage], input: &ReportInput) -> Option<Canvas> {
    let (ny, nx) = images.first()?.image_njy.dim();
    if ny == 0 || nx == 0 || images.iter().any(|i| i.image_njy.dim() != (ny, nx)) {
        return None;
    }
    let [red, green, blue] = channels(images);
    let intensity: Vec<f64> =
        red.iter().zip(&green).zip(&blue).map(|((r, g), b)| f64::from(r + g + b) / 3.0).filter(|v| v.is_finite()).collect();
    let (sky, sigma) = (median(&intensity), mad_std(&intensity).max(f64::MIN_POSITIVE));
    let mut bright: Vec<f64> = intensity.clone();
    bright.sort_by(f64::total_cmp);
    let top = bright.get(bright.len().saturating_sub(1 + bright.len() / 1000)).map_or(0.0, |v| v - sky);
    // A few bright stars must not dim the faint ones that the marks are about.
    let top = top.clamp(30.0 * sigma, 80.0 * sigma);
    // Balance: what is bright is on average white.
    let balance = |channel: &Array2<f32>| {
        let sums = red.indexed_iter().fold((0.0, 0.0), |sum, (at, r)| {
            let mean = f64::from(r + green[at] + blue[at]) / 3.0;
            if mean - sky > 8.0 * sigma { (sum.0 + mean, sum.1 + f64::from(channel[at])) } else { sum }
        });
        if sums.0 > 0.0 && sums.1 > 0.0 { (sums.0 / sums.1).clamp(0.2, 5.0) } else { 1.0 }
    };
    let gains = [balance(&red), balance(&green), balance(&blue)];
    let longest = ny.max(nx);
    let (bin, zoom) = if longest > LONGEST * 5 / 4 { (longest.div_ceil(LONGEST), 1) } else { (1, (LONGEST / longest).max(1)) };
    let (width, height) = (nx / bin * zoom, ny / bin * zoom);
    let stretch = |v: f64| (v / (2.0 * sigma)).asinh();
    // A black sky hides the noise; a pedestal of one sigma shows it.
    let pedestal = sigma;
    let mut rgb = vec![0u8; 3 * width * height];
    for oy in 0..height {
        for ox in 0..width {
            let (x0, y0) = (ox / zoom * bin, (height - 1 - oy) / zoom * bin);
            let mut sums = [0.0f64; 3];
            let mut n = 0.0;
            for at in (y0..y0 + bin).flat_map(|y| (x0..x0 + bin).map(move |x| (y, x))) {
                let values = [f64::from(red[at]), f64::from(green[at]), f64::from(blue[at])];
                if values.iter().all(|v| v.is_finite()) {
                    for (sum, (v, gain)) in sums.iter_mut().zip(values.iter().zip(gains)) {
                        *sum += (v - sky) * gain;
                    }
                    n += 1.0;
                }
            }
            let out = &mut rgb[3 * (oy * width + ox)..][..3];
            if n < 0.5 {
                out.copy_from_slice(&[38, 38, 46]);
                continue;
            }
            let values = sums.map(|s| (s / n + pedestal).max(0.0));
            let mean = values.iter().sum::<f64>() / 3.0;
            let factor = if mean > 0.0 { stretch(mean) / stretch(top) / mean } else { 0.0 };
            let scaled = values.map(|v| v * factor);
            let highest = scaled.iter().copied().fold(1.0, f64::max);
            for (o, s) in out.iter_mut().zip(scaled) {
                // Beyond white the colour is kept, not clipped channel by channel.
                *o = (255.0 * s / highest).round() as u8;
            }
        }
    }
    let mut canvas = Canvas { width, height, zoom: zoom as f64 / bin as f64, rgb };
    outline(&mut canvas, input, bin, zoom);
    Some(canvas)
}

/// Paints the inner edge of every footprint.
fn outline(canvas: &mut Canvas, input: &ReportInput, bin: usize, zoom: usize) {
    let (ny, nx) = input.footprints.dim();
    let (width, height) = (canvas.width as i64, canvas.height as i64);
    let inside = |ox: i64, oy: i64| {
        let (ox, oy) = (ox.clamp(0, width - 1) as usize, oy.clamp(0, height - 1) as usize);
        let (x, y) = (ox / zoom * bin, (height as usize - 1 - oy) / zoom * bin);
        y < ny && x < nx && input.footprints[(y, x)] != 0
    };
    for oy in 0..height {
        for ox in 0..width {
            if inside(ox, oy) && [(1, 0), (-1, 0), (0, 1), (0, -1)].iter().any(|d| !inside(ox + d.0, oy + d.1)) {
                let at = 3 * (oy * width + ox) as usize;
                canvas.rgb[at..at + 3].copy_from_slice(&FOOTPRINT);
            }
        }
    }
}

/// Red, green and blue from any number of bands: the reddest is red, the bluest blue, those between are shared out.
fn channels(images: &[BandImage]) -> [Array2<f32>; 3] {
    let rank = |band: &str| BLUE_TO_RED.iter().position(|b| *b == band);
    let mut order: Vec<&BandImage> = images.iter().collect();
    if order.iter().all(|i| rank(&i.band).is_some()) {
        order.sort_by_key(|i| rank(&i.band));
    }
    let mean = |part: &[&BandImage]| {
        let mut sum = part[0].image_njy.clone();
        for image in &part[1..] {
            sum += &image.image_njy;
        }
        sum / part.len() as f32
    };
    let n = order.len();
    match n {
        1 => [mean(&order), mean(&order), mean(&order)],
        2 => [mean(&order[1..]), mean(&order), mean(&order[..1])],
        _ => [mean(&order[n - n / 3..]), mean(&order[n / 3..n - n / 3]), mean(&order[..n / 3])],
    }
}

type Drawn = Result<(), DrawingAreaErrorKind<<BitMapBackend<'static> as DrawingBackend>::ErrorType>>;

fn positions(table: &fathom::catalog::Table) -> (&[f64], &[f64]) {
    // Both were read when the scene was made; a table without columns has none.
    (table.f64("ra").unwrap_or(&[]), table.f64("dec").unwrap_or(&[]))
}

fn marks(input: &ReportInput, survey: &Survey, canvas: &Canvas, area: &DrawingArea<BitMapBackend, Shift>) -> Drawn {
    let (Some(scene), Some(matches), Some(arm)) = (survey.scenes.first(), survey.matches.first(), input.input.arms.first()) else {
        return Ok(());
    };
    let place = |(ra, dec): (f64, f64)| Some(canvas.point((input.to_picture)(ra, dec))).filter(|p| canvas.holds(*p));
    let (radius, line) = (mark_radius(scene, canvas), 2);
    let circle = |at, radius, colour: RGBColor| area.draw(&Circle::new(at, radius, colour.stroke_width(line)));
    let (ra, dec) = positions(&arm.truth);
    for (i, fate) in matches.truth.iter().enumerate() {
        let Some(at) = place((ra[i], dec[i])) else { continue };
        match fate {
            TruthFate::Matched(..) => circle(at, radius, GREEN)?,
            TruthFate::Missed | TruthFate::Blended(_) => circle(at, radius, ORANGE)?,
            // Faint truth is everywhere: only what would have been seen is marked.
            TruthFate::Ignored(_) if scene.truth[i].snr_all >= survey.config.ignore_below_snr => circle(at, radius / 2, GREY)?,
            TruthFate::Ignored(_) => {}
        }
    }
    let (ra, dec) = positions(&arm.catalog);
    for (detection, fate) in scene.detections.iter().zip(&matches.detections) {
        let Some(at) = place((ra[detection.row], dec[detection.row])) else { continue };
        if !scene.has_truth {
            circle(at, radius, CYAN)?;
            continue;
        }
        match fate {
            DetectionFate::Matched(_) => {}
            DetectionFate::Spurious | DetectionFate::Shred(_) => {
                let corners = [(at.0 - radius, at.1 - radius), (at.0 + radius, at.1 + radius)];
                area.draw(&Rectangle::new(corners, RED.stroke_width(line)))?;
            }
            DetectionFate::Real => circle(at, radius, CYAN)?,
            DetectionFate::Ignored => circle(at, radius / 2, GREY)?,
        }
    }
    Ok(())
}

/// Large enough to leave the object visible, small enough that crowded fields stay legible.
fn mark_radius(scene: &Scene, canvas: &Canvas) -> i32 {
    let n = scene.detections.len().max(1) as f64;
    let spacing = ((canvas.width * canvas.height) as f64 / n).sqrt();
    (0.22 * spacing).clamp(5.0, 12.0).round() as i32
}

/// Bar of a round length, and arrows to north and east, in the lower left and upper right corner.
fn scale_and_compass(input: &ReportInput, canvas: &Canvas, area: &DrawingArea<BitMapBackend, Shift>) -> Drawn {
    let Some(plane) = input.input.arms.first().and_then(|arm| {
        let (ra, dec) = positions(if arm.catalog.n_rows() > 0 { &arm.catalog } else { &arm.truth });
        Some((*ra.first()?, *dec.first()?))
    }) else {
        return Ok(());
    };
    let step = 1.0 / 3600.0;
    let at = |ra, dec| canvas.point_f((input.to_picture)(ra, dec));
    let origin = at(plane.0, plane.1);
    let north = at(plane.0, plane.1 + step);
    let east = at(plane.0 + step / plane.1.to_radians().cos(), plane.1);
    let per_arcsec = (north.0 - origin.0).hypot(north.1 - origin.1);
    if !(per_arcsec.is_finite() && per_arcsec > 0.0) {
        return Ok(());
    }
    let wanted = 0.22 * canvas.width as f64 / per_arcsec;
    let lengths = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
    let length = lengths.iter().copied().rfind(|&l| l <= wanted).unwrap_or(1.0);
    let text = |size: f64| ("sans-serif", size).into_font().color(&WHITE);
    let (x0, y0) = (24, canvas.height as i32 - 24);
    let bar = (length * per_arcsec).round() as i32;
    // Dark below, light on top: legible on sky and on stars.
    area.draw(&Rectangle::new([(x0 - 10, y0 - 34), (x0 + bar.max(60) + 10, y0 + 10)], BLACK.mix(0.55).filled()))?;
    area.draw(&PathElement::new(vec![(x0, y0), (x0 + bar, y0)], WHITE.stroke_width(3)))?;
    let label = if length >= 60.0 { format!("{}′", length / 60.0) } else { format!("{length}″") };
    area.draw(&Text::new(label, (x0, y0 - 26), text(20.0)))?;
    let centre = (canvas.width as f64 - 70.0, 70.0);
    area.draw(&Circle::new((centre.0 as i32, centre.1 as i32), 58, BLACK.mix(0.55).filled()))?;
    for (tip, name) in [(north, "N"), (east, "E")] {
        let (dx, dy) = ((tip.0 - origin.0) / per_arcsec, (tip.1 - origin.1) / per_arcsec);
        let end = |r: f64| ((centre.0 + r * dx).round() as i32, (centre.1 + r * dy).round() as i32);
        area.draw(&PathElement::new(vec![(centre.0 as i32, centre.1 as i32), end(34.0)], WHITE.stroke_width(2)))?;
        let barb = |side: f64| ((centre.0 + 26.0 * dx - side * dy) as i32, (centre.1 + 26.0 * dy + side * dx) as i32);
        area.draw(&Polygon::new(vec![end(36.0), barb(5.0), barb(-5.0)], WHITE.filled()))?;
        let letter = end(47.0);
        area.draw(&Text::new(name, (letter.0 - 7, letter.1 - 10), text(20.0)))?;
    }
    Ok(())
}

impl Canvas {
    fn point_f(&self, (x, y): (f64, f64)) -> (f64, f64) {
        ((x + 0.5) * self.zoom, self.height as f64 - (y + 0.5) * self.zoom)
    }
}

fn legend(survey: &Survey, canvas: &Canvas, area: &DrawingArea<BitMapBackend, Shift>) -> Drawn {
    let (width, top) = (canvas.width as i32, canvas.height as i32);
    area.draw(&Rectangle::new([(0, top), (width, top + STRIP as i32)], RGBColor(20, 20, 26).filled()))?;
    let has_truth = survey.scenes.first().is_some_and(|s| s.has_truth);
    let has_control = survey.input.control.is_some();
    let mut entries: Vec<(&str, RGBColor, bool)> = Vec::new();
    if has_truth {
        entries.extend([("matched", GREEN, false), ("missed", ORANGE, false), ("spurious", RED, true), ("ignored", GREY, false)]);
    }
    if !has_truth {
        entries.push(("detected", CYAN, false));
    } else if has_control {
        entries.push(("real (control run)", CYAN, false));
    }
    let y = top + STRIP as i32 / 2;
    let mut x = 24;
    for (name, colour, is_square) in entries {
        if is_square {
            area.draw(&Rectangle::new([(x - 8, y - 8), (x + 8, y + 8)], colour.stroke_width(2)))?;
        } else {
            area.draw(&Circle::new((x, y), if name == "ignored" { 5 } else { 9 }, colour.stroke_width(2)))?;
        }
        area.draw(&Text::new(name, (x + 16, y - 8), ("sans-serif", 19.0).into_font().color(&WHITE)))?;
        x += 50 + 11 * name.len() as i32;
    }
    let blue = RGBColor(FOOTPRINT[0], FOOTPRINT[1], FOOTPRINT[2]);
    area.draw(&PathElement::new(vec![(x - 10, y), (x + 10, y)], blue.stroke_width(2)))?;
    area.draw(&Text::new("footprint", (x + 18, y - 8), ("sans-serif", 19.0).into_font().color(&WHITE)))
}

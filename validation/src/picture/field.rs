//! The colour picture of the field, with layers that can be switched.

use super::colour::{Stretch, channels};
use super::mark::STYLES;
use super::png;
use crate::report::{Drawing, Layer, Picture};
use ndarray::{Array2, ArrayView2};

/// Width of the picture on a wide screen \[CSS pixel\]; sizes of marks are meant for it.
const SHOWN_PX: f64 = 1100.0;
/// Marks of a layer, at most: more would hide the picture and swell the page.
const MAX_MARKS: usize = 5000;
/// Colours of outlines: detected pixels, parents.
const DETECTED: &str = "#5a9bd4";
const PARENT: &str = "#cc79a7";

/// A band's picture of the field for the report.
#[derive(Debug, Clone)]
pub struct BandImage {
    /// Band name.
    pub band: String,
    /// Direct coadd \[nJy\] on the whole tract (binned, if large), `[y, x]`; NaN without data.
    pub image_njy: Array2<f32>,
}

/// Something at a place of the field.
#[derive(Debug, Clone)]
pub struct FieldMark {
    /// Pixel (x, y) of the images.
    pub at: (f64, f64),
    /// What it is: status in the table of matches, or `truth`, `peak`, `detected`.
    pub what: String,
    /// Shown when it is pointed at: plain letters and digits.
    pub text: String,
    /// The most significant stay when there are too many.
    pub significance: f64,
}

/// The field and what was found on it.
#[derive(Debug, Clone)]
pub struct FieldImage {
    /// One a band, all of the same shape `[y, x]`.
    pub bands: Vec<BandImage>,
    /// Tract pixels along one pixel of the images.
    pub bin: usize,
    /// 1 where a layer's significance passes its threshold; shape of the images.
    pub detected: Array2<u32>,
    /// Number of the parent that holds the pixel, from 1; shape of the images.
    pub parents: Array2<u32>,
    /// Parents.
    pub n_parents: usize,
    /// Everything else.
    pub marks: Vec<FieldMark>,
    /// Size of a pixel of the images \[arcsec\].
    pub pixel_arcsec: f64,
    /// Unit vectors (x, y) to north and east.
    pub compass: [(f64, f64); 2],
    /// Files that the pixels come from.
    pub source: String,
}

/// The picture; none without pixels.
pub(crate) fn field_picture(field: &FieldImage) -> Option<Picture> {
    let (height, width) = field.bands.first()?.image_njy.dim();
    if height == 0 || width == 0 {
        return None;
    }
    let names: Vec<String> = field.bands.iter().map(|b| b.band.clone()).collect();
    let rgb = channels(&names, |i| field.bands[i].image_njy.view());
    let bytes = Stretch::of_field(&rgb).image([rgb[0].view(), rgb[1].view(), rgb[2].view()]);
    let mut layers = vec![
        outlines("footprints (above threshold)", field.detected.view(), DETECTED, false, count(&field.detected)),
        outlines("parents", field.parents.view(), PARENT, true, field.n_parents),
    ];
    let mut cut = Vec::new();
    layers.extend(mark_layers(field, height, width, &mut cut));
    layers.push(Layer {
        name: "scale".into(),
        n: 1,
        is_shown: true,
        swatch: "<path d=\"M3 10H17\" stroke=\"#fff\" stroke-width=\"2\"/>".into(),
        drawing: Drawing::Svg(scale_and_compass(field, height, width)),
    });
    let binned = if field.bin > 1 { format!(" Binned {0} x {0} tract pixels.", field.bin) } else { String::new() };
    Some(Picture {
        name: "field".into(),
        title: "The field".into(),
        caption: format!(
            "Direct coadds of the first arm, reddest band in red, asinh stretch.{binned} Point at a mark to read what it is. \
             Parents: pixels that belong together, grown from the footprints of all detection layers.{}",
            cut.concat()
        ),
        source: field.source.clone(),
        size: (width, height),
        png: png::rgb(width, height, &bytes),
        layers,
    })
}

fn count(mask: &Array2<u32>) -> usize {
    mask.iter().filter(|v| **v != 0).count()
}

fn mark_layers(field: &FieldImage, height: usize, width: usize, cut: &mut Vec<String>) -> Vec<Layer> {
    let n_found = field.marks.iter().filter(|m| !["truth", "peak", "ignored", "unusable"].contains(&m.what.as_str())).count();
    // Large enough to leave the object visible, small enough that crowded fields stay legible.
    let spacing = ((width * height) as f64 / n_found.max(1) as f64).sqrt() * SHOWN_PX / width as f64;
    let radius = (0.22 * spacing).clamp(4.0, 12.0) * width as f64 / SHOWN_PX;
    let mut layers = Vec::new();
    for style in STYLES {
        let mut marks: Vec<FieldMark> = field.marks.iter().filter(|m| m.what == style.key).cloned().collect();
        let n = marks.len();
        if n == 0 {
            continue;
        }
        if n > MAX_MARKS {
            marks.sort_by(|a, b| b.significance.total_cmp(&a.significance));
            marks.truncate(MAX_MARKS);
            cut.push(format!(" Of {n} in the layer \"{}\" the {MAX_MARKS} most significant are drawn.", style.name));
        }
        let drawing = Drawing::Svg(style.svg(&format!("mark-{}", style.key), &marks, height, radius));
        layers.push(Layer { name: style.name.into(), n, is_shown: style.is_shown, swatch: style.swatch(), drawing });
    }
    layers
}

/// The inner edge of every label.
fn outlines(name: &str, labels: ArrayView2<u32>, colour: &str, is_shown: bool, n: usize) -> Layer {
    let (ny, nx) = labels.dim();
    let at = |y: isize, x: isize| if y < 0 || x < 0 { 0 } else { labels.get((y as usize, x as usize)).copied().unwrap_or(0) };
    let mut bytes = Vec::with_capacity(ny * nx);
    for y in (0..ny as isize).rev() {
        for x in 0..nx as isize {
            let own = at(y, x);
            let is_edge = own != 0 && [(0, 1), (0, -1), (1, 0), (-1, 0)].iter().any(|d| at(y + d.0, x + d.1) != own);
            bytes.push(u8::from(is_edge));
        }
    }
    let part = |i: usize| u8::from_str_radix(&colour[i..i + 2], 16).expect("colours are written as #rrggbb");
    let png = png::indexed(nx, ny, &bytes, &[[0, 0, 0, 0], [part(1), part(3), part(5), 255]]);
    let swatch = format!("<rect x=\"4\" y=\"4\" width=\"12\" height=\"12\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    Layer { name: name.into(), n, is_shown, swatch, drawing: Drawing::Png(png) }
}

/// Bar of a round length at the lower left, arrows to north and east at the upper right.
fn scale_and_compass(field: &FieldImage, height: usize, width: usize) -> String {
    // Drawn in CSS pixels of the wide page, then scaled with the picture.
    let zoom = width as f64 / SHOWN_PX;
    let (w, h) = (SHOWN_PX, height as f64 / zoom);
    let per_arcsec = 1.0 / (field.pixel_arcsec * zoom);
    let lengths = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
    let length = lengths.iter().copied().rfind(|l| l * per_arcsec <= 0.22 * w).unwrap_or(1.0);
    let label = if length >= 60.0 { format!("{}′", length / 60.0) } else { format!("{length}″") };
    let bar = length * per_arcsec;
    let arrow = |(dx, dy): (f64, f64), name: &str| {
        let at = |r: f64| (w - 60.0 + r * dx, 60.0 - r * dy);
        let ((x, y), (tx, ty)) = (at(30.0), at(42.0));
        format!(
            "<path d=\"M{} 60L{x:.1} {y:.1}\"/><text x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            w - 60.0,
            ty + 6.0
        )
    };
    format!(
        "<g transform=\"scale({zoom})\" stroke=\"#fff\" stroke-width=\"2.5\" fill=\"#fff\" font-size=\"18\" font-family=\"sans-serif\">\
         <g stroke=\"none\"><rect x=\"14\" y=\"{:.1}\" width=\"{:.1}\" height=\"44\" fill=\"#000\" opacity=\".55\"/>\
         <circle cx=\"{:.1}\" cy=\"60\" r=\"54\" fill=\"#000\" opacity=\".55\"/></g>\
         <path d=\"M24 {y:.1}h{bar:.1}\"/><g stroke-width=\"0.1\"><text x=\"24\" y=\"{:.1}\">{label}</text></g><g>{}{}</g></g>",
        h - 58.0,
        bar.max(40.0) + 20.0,
        w - 60.0,
        h - 34.0,
        arrow(field.compass[0], "N").replace("<text", "<text stroke=\"none\""),
        arrow(field.compass[1], "E").replace("<text", "<text stroke=\"none\""),
        y = h - 24.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn field(marks: Vec<FieldMark>) -> FieldImage {
        let bands = ["g", "r"].map(|b| BandImage { band: b.into(), image_njy: Array2::from_elem((3, 4), 1.0) }).into();
        FieldImage {
            bands,
            bin: 1,
            detected: Array2::zeros((3, 4)),
            parents: array![[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0]],
            n_parents: 2,
            marks,
            pixel_arcsec: 0.2,
            compass: [(0.0, 1.0), (-1.0, 0.0)],
            source: "main/coadd".into(),
        }
    }

    fn mark(what: &str, significance: f64) -> FieldMark {
        FieldMark { at: (1.0, 0.0), what: what.into(), text: format!("{what} {significance}"), significance }
    }

    /// Layers are there where there is something to show; y points up in arrays and down on the page.
    #[test]
    fn layers_hold_their_marks() {
        let picture = field_picture(&field(vec![mark("missed", 1.0), mark("truth", 1.0), mark("truth", 2.0)])).unwrap();
        let names: Vec<(&str, usize)> = picture.layers.iter().map(|l| (l.name.as_str(), l.n)).collect();
        assert_eq!(names, [("footprints (above threshold)", 0), ("parents", 2), ("truth", 2), ("missed", 1), ("scale", 1)]);
        let Drawing::Svg(svg) = &picture.layers[3].drawing else { panic!("marks are vectors") };
        assert!(svg.contains("x=\"1.5\" y=\"2.5\"><title>missed 1</title>"), "{svg}");
    }

    #[test]
    fn the_faintest_of_too_many_are_left_out() {
        let picture = field_picture(&field((0..MAX_MARKS + 1).map(|i| mark("missed", i as f64)).collect())).unwrap();
        let Drawing::Svg(svg) = &picture.layers[2].drawing else { panic!("marks are vectors") };
        assert_eq!(svg.matches("<use").count(), MAX_MARKS);
        assert!(!svg.contains(">missed 0<") && picture.caption.contains("Of 5001 in the layer \"missed\" the 5000 most"));
    }

    /// Parents beside each other keep a border between them.
    #[test]
    fn outlines_part_neighbours() {
        let labels = array![[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]];
        let Drawing::Png(png) = outlines("parents", labels.view(), PARENT, true, 2).drawing else { panic!("outlines are pixels") };
        let mut reader = ::png::Decoder::new(&png[..]).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!(bytes[6..12], [1, 0, 1, 1, 0, 1], "middle row");
    }
}

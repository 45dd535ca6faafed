//! A sheet of images in rows, each with its label: what `fathom cutout` draws.

use super::colour::{Stretch, channels};
use crate::ValidationError;
use crate::plot::{Palette, register_fonts};
use fathom::image::MaskPlane;
use ndarray::{Array2, Array3, Axis};
use plotters::prelude::*;
use std::path::Path;

/// Side of a panel that small images are magnified to and large ones are binned to \[pixel\].
const PANEL_PX: usize = 320;
/// Widest sheet \[pixel\].
const MAX_WIDTH_PX: usize = 2400;
const LABEL_PX: usize = 22;
const GAP_PX: usize = 6;
/// Colours of mask planes, by their place in [`MaskPlane::ALL`]: a pixel has that of its lowest bit, none set is white. The second
/// half are the first in a darker shade.
const MASK_COLOURS: [[u8; 3]; 7] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [120, 120, 120]];

/// An image with its label.
#[derive(Debug, Clone)]
pub struct Panel2d {
    /// What it is.
    pub label: String,
    /// What is shown.
    pub pixels: PanelPixels,
}

/// Pixels `[y, x]` of a panel, and how they become grey or colour.
#[derive(Debug, Clone)]
pub enum PanelPixels {
    /// Light: asinh, linear up to two sigma of the noise.
    Light {
        /// Flux per pixel \[nJy\].
        njy: Array2<f32>,
        /// Brightness; panels that shall be compared share it.
        white: White,
    },
    /// Light of several bands in colour, asinh.
    Colour {
        /// Bands.
        bands: Vec<String>,
        /// Flux per pixel \[nJy\], `[band, y, x]`.
        njy_byx: Array3<f32>,
        /// Brightness.
        white: White,
    },
    /// Values of both signs, from -range (blue) to +range (orange).
    Signed {
        /// Values.
        values: Array2<f32>,
        /// Value of the strongest colour.
        range: f64,
    },
    /// Values from their lowest (dark) to their highest (light).
    Linear(Array2<f32>),
    /// Bit planes.
    Mask(Array2<u32>),
}

/// From noise to white.
#[derive(Debug, Clone, Copy)]
pub struct White {
    /// Noise of a pixel \[nJy\].
    pub sigma_njy: f64,
    /// Flux per pixel that is white \[nJy\].
    pub top_njy: f64,
}

impl White {
    /// The brightest of the pixels is white, if it is above ten sigma.
    #[must_use]
    pub fn of<'a>(pixels: impl IntoIterator<Item = &'a f32>, sigma_njy: f64) -> Self {
        let highest = pixels.into_iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
        Self { sigma_njy, top_njy: f64::from(highest).max(10.0 * sigma_njy) }
    }

    fn stretch(self) -> Stretch {
        Stretch { sky: 0.0, sigma: self.sigma_njy, top: self.top_njy, gains: [1.0; 3] }
    }
}

/// Bytes of an image, rows from the top.
struct Bitmap {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

fn bitmap(image: (usize, usize), pixel: impl Fn(usize, usize) -> [u8; 3]) -> Bitmap {
    let (ny, nx) = image;
    let longest = ny.max(nx);
    let (zoom, bin) = ((PANEL_PX / longest).max(1), longest.div_ceil(2 * PANEL_PX).max(1));
    let (width, height) = (nx.div_ceil(bin) * zoom, ny.div_ceil(bin) * zoom);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for oy in (0..height).rev() {
        for ox in 0..width {
            // Large images are thinned: a cutout's PNG is for the eye, its FITS for numbers.
            rgb.extend(pixel((oy / zoom * bin).min(ny - 1), (ox / zoom * bin).min(nx - 1)));
        }
    }
    Bitmap { width, height, rgb }
}

fn draw_pixels(pixels: &PanelPixels) -> Bitmap {
    match pixels {
        PanelPixels::Light { njy, white } => {
            let stretch = white.stretch();
            bitmap(njy.dim(), |y, x| stretch.pixel([njy[(y, x)]; 3]))
        }
        PanelPixels::Colour { bands, njy_byx, white } => {
            let (rgb, stretch) = (channels(bands, |i| njy_byx.index_axis(Axis(0), i)), white.stretch());
            bitmap(rgb[0].dim(), |y, x| stretch.pixel([rgb[0][(y, x)], rgb[1][(y, x)], rgb[2][(y, x)]]))
        }
        PanelPixels::Signed { values, range } => coloured(values, Palette::Diverging, (-range, *range)),
        PanelPixels::Linear(values) => {
            let finite = || values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
            let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
            coloured(values, Palette::Sequential, if low < high { (low, high) } else { (low, low + 1.0) })
        }
        PanelPixels::Mask(bits) => bitmap(bits.dim(), |y, x| match bits[(y, x)] {
            0 => [255; 3],
            set => mask_colour(set.trailing_zeros() as usize),
        }),
    }
}

fn mask_colour(place: usize) -> [u8; 3] {
    let colour = MASK_COLOURS[place % MASK_COLOURS.len()];
    if place < MASK_COLOURS.len() { colour } else { colour.map(|c| c / 2) }
}

/// Names and colours of the planes that are seen.
fn mask_legend(pixels: &PanelPixels) -> Vec<(&'static str, [u8; 3])> {
    let PanelPixels::Mask(bits) = pixels else { return Vec::new() };
    let seen = bits.iter().filter(|b| **b != 0).fold(0u32, |seen, b| seen | 1 << b.trailing_zeros());
    let planes = MaskPlane::ALL.iter().filter(|plane| seen & plane.bit() != 0);
    planes.map(|plane| (plane.name(), mask_colour(plane.bit().trailing_zeros() as usize))).collect()
}

fn coloured(values: &Array2<f32>, palette: Palette, range: (f64, f64)) -> Bitmap {
    bitmap(values.dim(), |y, x| {
        let v = f64::from(values[(y, x)]);
        if !v.is_finite() {
            return [200; 3]; // a palette has no place for it
        }
        let c = palette.colour(v, range);
        [c.0, c.1, c.2]
    })
}

/// Writes the rows of panels with their labels, and a caption below, as PNG.
///
/// # Errors
/// [`ValidationError::Plot`] if there is nothing to draw or the file cannot be written.
pub fn write_sheet(path: &Path, caption: &str, rows: &[Vec<Panel2d>]) -> Result<(), ValidationError> {
    register_fonts()?;
    let failed = |why: String| ValidationError::Plot { name: path.display().to_string(), why };
    // A long row goes on below.
    let rows: Vec<Vec<(&Panel2d, Bitmap)>> =
        rows.iter().map(|row| row.iter().map(|p| (p, draw_pixels(&p.pixels))).collect()).flat_map(wrapped).collect();
    let width_of = |row: &Vec<(&Panel2d, Bitmap)>| row.iter().map(|(_, b)| b.width + GAP_PX).sum::<usize>() + GAP_PX;
    let height_of = |row: &Vec<(&Panel2d, Bitmap)>| row.iter().map(|(_, b)| b.height).max().unwrap_or(0) + LABEL_PX + GAP_PX;
    let width = rows.iter().map(width_of).max().unwrap_or(0).max(8 * caption.chars().count() + 2 * GAP_PX);
    let height = rows.iter().map(height_of).sum::<usize>() + LABEL_PX + GAP_PX;
    let mut backend = BitMapBackend::new(path, (width as u32, height as u32));
    let area_fill = |backend: &mut BitMapBackend| backend.draw_rect((0, 0), (width as i32, height as i32), &WHITE, true);
    area_fill(&mut backend).map_err(|e| failed(e.to_string()))?;
    let style = ("sans-serif", 13).into_font().color(&RGBColor(40, 40, 40));
    let mut y = GAP_PX;
    for row in &rows {
        let mut x = GAP_PX;
        for (panel, image) in row {
            backend.draw_text(&panel.label, &style, (x as i32, y as i32)).map_err(|e| failed(e.to_string()))?;
            let place = (x as i32, (y + LABEL_PX - 4) as i32);
            backend.blit_bitmap(place, (image.width as u32, image.height as u32), &image.rgb).map_err(|e| failed(e.to_string()))?;
            for (line, (name, [r, g, b])) in mask_legend(&panel.pixels).into_iter().enumerate() {
                let (left, top) = (place.0 + 4, place.1 + 4 + 16 * line as i32);
                let mut rect = |from: i32, to: i32, colour: RGBColor| {
                    backend.draw_rect((left + from, top), (left + to, top + 14), &colour, true).map_err(|e| failed(e.to_string()))
                };
                rect(0, 22 + 9 * name.len() as i32, WHITE)?;
                rect(1, 13, RGBColor(r, g, b))?;
                backend.draw_text(name, &style, (left + 18, top)).map_err(|e| failed(e.to_string()))?;
            }
            x += image.width + GAP_PX;
        }
        y += height_of(row);
    }
    backend.draw_text(caption, &style, (GAP_PX as i32, y as i32)).map_err(|e| failed(e.to_string()))?;
    backend.present().map_err(|e| failed(e.to_string()))
}

/// A row in pieces that fit the sheet.
fn wrapped(row: Vec<(&Panel2d, Bitmap)>) -> Vec<Vec<(&Panel2d, Bitmap)>> {
    let mut out: Vec<Vec<(&Panel2d, Bitmap)>> = vec![Vec::new()];
    let mut used = 0;
    for panel in row {
        if used > 0 && used + panel.1.width + GAP_PX > MAX_WIDTH_PX {
            out.push(Vec::new());
            used = 0;
        }
        used += panel.1.width + GAP_PX;
        out.last_mut().expect("it begins with one").push(panel);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of pixels go bottom up on the sky and top down in the file; a small image is magnified.
    #[test]
    fn the_first_row_of_the_sky_is_at_the_bottom() {
        let mut bits = Array2::<u32>::zeros((2, 4));
        bits[(0, 0)] = 1;
        let image = draw_pixels(&PanelPixels::Mask(bits));
        assert_eq!((image.width, image.height), (320, 160));
        assert_eq!(image.rgb[..3], [255; 3]);
        assert_eq!(image.rgb[3 * 320 * 159..][..3], MASK_COLOURS[0]);
    }

    /// Only planes that are seen: the second bit of a pixel is not.
    #[test]
    fn the_legend_names_the_planes_that_are_seen() {
        let mut bits = Array2::<u32>::zeros((2, 4));
        bits[(0, 0)] = MaskPlane::ALL[2].bit() | MaskPlane::ALL[5].bit();
        bits[(1, 1)] = MaskPlane::ALL[9].bit();
        let seen = [2, 9].map(|i| (MaskPlane::ALL[i].name(), mask_colour(i)));
        assert_eq!(mask_legend(&PanelPixels::Mask(bits)), seen);
        assert!(mask_legend(&PanelPixels::Mask(Array2::zeros((2, 4)))).is_empty());
    }

    #[test]
    fn a_sheet_of_every_kind_is_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut ramp = Array2::from_shape_fn((30, 40), |(y, x)| (x as f32) - (y as f32));
        ramp[(3, 3)] = f32::NAN;
        let white = White::of(&ramp, 1.0);
        assert!((white.top_njy - 39.0).abs() < 1e-9);
        let panel = |label: &str, pixels| Panel2d { label: label.into(), pixels };
        let rows = [
            vec![
                panel("light", PanelPixels::Light { njy: ramp.clone(), white }),
                panel("signed", PanelPixels::Signed { values: ramp.clone(), range: 5.0 }),
                panel("linear", PanelPixels::Linear(ramp.clone())),
            ],
            vec![
                panel("mask", PanelPixels::Mask(Array2::ones((30, 40)))),
                panel("colour", PanelPixels::Colour { bands: vec!["g".into(), "r".into()], njy_byx: Array3::ones((2, 30, 40)), white }),
                panel("constant", PanelPixels::Linear(Array2::ones((30, 40)))),
            ],
        ];
        write_sheet(&path, "caption", &rows).unwrap();
        let reader = ::png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).read_info().unwrap();
        assert_eq!(reader.info().width as usize, 3 * (320 + GAP_PX) + GAP_PX);
    }
}

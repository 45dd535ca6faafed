//! Blends taken apart: data, truth, the sum of the children and what is left, and each child beside its true object.

use super::colour::{Stretch, channels};
use super::png;
use crate::key_figures::number;
use crate::plot::Palette;
use crate::report::Stamp;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};

/// Residuals are shown from minus to plus this many sigma.
const RESIDUAL_SIGMA: f64 = 5.0;
/// Longest side of a stamp \[pixel\]; larger boxes are binned.
const MAX_PX: usize = 150;

/// A blend with all its pixels, `[band, y, x]` on its box.
#[derive(Debug, Clone)]
pub struct BlendSheet {
    /// Parent.
    pub parent_id: i64,
    /// Position of the box's centre \[deg\].
    pub at_deg: (f64, f64),
    /// Why it is shown: the score by which blends are ordered, in words.
    pub score: String,
    /// Bands.
    pub bands: Vec<String>,
    /// Noise of a pixel per band \[nJy\].
    pub sigma_njy: Vec<f64>,
    /// Direct coadd \[nJy\].
    pub data_njy_byx: Array3<f32>,
    /// Sum of all true objects \[nJy\], if their pixels were kept.
    pub truth_njy_byx: Option<Array3<f32>>,
    /// Children that were kept.
    pub children: Vec<BlendChild>,
    /// True objects of the blend that no child stands for.
    pub n_missed: usize,
}

/// A child of a blend.
#[derive(Debug, Clone)]
pub struct BlendChild {
    /// Row of the catalog.
    pub object_id: i64,
    /// Its match; 0: none.
    pub truth_id: i64,
    /// Status in the table of matches.
    pub status: String,
    /// Distance to the true object \[arcsec\].
    pub separation_arcsec: f64,
    /// Per band: PSF flux, its error, true flux \[nJy\]; NaN where unknown.
    pub flux_njy: Vec<[f64; 3]>,
    /// Its pixels \[nJy\].
    pub njy_byx: Array3<f32>,
    /// Pixels of its true object \[nJy\].
    pub truth_njy_byx: Option<Array3<f32>>,
}

/// Heads of [`sheet_stamps`].
pub(crate) const SHEET_HEADS: [&str; 5] = ["data", "truth", "model (sum of children)", "data − model", "model − truth"];
/// Heads of [`child_stamps`].
pub(crate) const CHILD_HEADS: [&str; 3] = ["child", "its truth", "child − truth"];

/// A row a band: data, truth, model, data − model, model − truth.
pub(crate) fn sheet_stamps(sheet: &BlendSheet) -> Vec<(String, Vec<Option<Stamp>>)> {
    let mut model = Array3::<f32>::zeros(sheet.data_njy_byx.dim());
    for child in &sheet.children {
        model += &child.njy_byx;
    }
    let row = |(i, band): (usize, &String)| {
        let sigma = sheet.sigma_njy[i];
        let of = |cube: &Array3<f32>| cube.index_axis(Axis(0), i).to_owned();
        let (data, model) = (of(&sheet.data_njy_byx), of(&model));
        let truth = sheet.truth_njy_byx.as_ref().map(of);
        let top = f64::from(data.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max)).max(10.0 * sigma);
        let bright = |image: &Array2<f32>, what: &str| Some(grey(image, sigma, top, &format!("{what}, {band}")));
        let left = |image: Array2<f32>, what: &str| Some(residual(&image, sigma, &format!("{what}, {band}")));
        let stamps = vec![
            bright(&data, "data"),
            truth.as_ref().and_then(|t| bright(t, "truth")),
            bright(&model, "model"),
            left(&data - &model, "data minus model"),
            truth.as_ref().and_then(|t| left(&model - t, "model minus truth")),
        ];
        (format!("{band}; σ = {} nJy", number(sigma)), stamps)
    };
    sheet.bands.iter().enumerate().map(row).collect()
}

/// A row a child, in colour, and the residual in the band in which it is worst.
pub(crate) fn child_stamps(sheet: &BlendSheet) -> Vec<(String, Vec<Option<Stamp>>)> {
    let sigma = sheet.sigma_njy.iter().sum::<f64>() / sheet.sigma_njy.len().max(1) as f64;
    let top = f64::from(sheet.data_njy_byx.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max)).max(10.0 * sigma);
    let stretch = Stretch { sky: 0.0, sigma, top, gains: [1.0; 3] };
    let row = |(i, child): (usize, &BlendChild)| {
        let label = match child.truth_id {
            0 => format!("child {}: {}", i + 1, child.status),
            id => format!("child {}: {} with truth {id}", i + 1, child.status),
        };
        let difference = child.truth_njy_byx.as_ref().map(|truth| worst_band(&(&child.njy_byx - truth), &sheet.sigma_njy));
        let stamps = vec![
            Some(coloured(&sheet.bands, &child.njy_byx, &stretch, &format!("child {}", i + 1))),
            child.truth_njy_byx.as_ref().map(|t| coloured(&sheet.bands, t, &stretch, &format!("truth of child {}", i + 1))),
            difference.map(|(band, image)| {
                residual(&image, sheet.sigma_njy[band], &format!("child {} minus truth, {}", i + 1, sheet.bands[band]))
            }),
        ];
        (label, stamps)
    };
    sheet.children.iter().enumerate().map(row).collect()
}

/// The band with the largest χ², and its image.
fn worst_band(difference_byx: &Array3<f32>, sigma_njy: &[f64]) -> (usize, Array2<f32>) {
    let chi2 = |i: usize| {
        difference_byx
            .index_axis(Axis(0), i)
            .iter()
            .map(|v| f64::from(*v))
            .filter(|v| v.is_finite())
            .map(|v| (v / sigma_njy[i]).powi(2))
            .sum()
    };
    let sums: Vec<f64> = (0..sigma_njy.len()).map(chi2).collect();
    let worst = (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0);
    (worst, difference_byx.index_axis(Axis(0), worst).to_owned())
}

/// Means over squares of pixels, so that no side is longer than [`MAX_PX`].
fn binned(image: ArrayView2<f32>) -> Array2<f32> {
    let (ny, nx) = image.dim();
    let bin = ny.max(nx).div_ceil(MAX_PX);
    if bin == 1 {
        return image.to_owned();
    }
    Array2::from_shape_fn((ny.div_ceil(bin), nx.div_ceil(bin)), |(y, x)| {
        let part = image.slice(s![y * bin..(y * bin + bin).min(ny), x * bin..(x * bin + bin).min(nx)]);
        part.sum() / part.len() as f32
    })
}

fn stamp(image: ArrayView2<f32>, alt: &str, pixel: impl Fn(f32) -> [u8; 3]) -> Stamp {
    let image = binned(image);
    let (ny, nx) = image.dim();
    let bytes: Vec<u8> = (0..ny).rev().flat_map(|y| image.row(y).to_vec()).flat_map(pixel).collect();
    Stamp { alt: alt.to_owned(), png: png::rgb(nx, ny, &bytes) }
}

fn grey(image: &Array2<f32>, sigma: f64, top: f64, alt: &str) -> Stamp {
    let stretch = Stretch { sky: 0.0, sigma, top, gains: [1.0; 3] };
    stamp(image.view(), alt, |v| stretch.pixel([v; 3]))
}

fn residual(image: &Array2<f32>, sigma: f64, alt: &str) -> Stamp {
    stamp(image.view(), alt, |v| {
        if !v.is_finite() {
            return [200, 200, 200];
        }
        let c = Palette::Diverging.colour(f64::from(v) / sigma, (-RESIDUAL_SIGMA, RESIDUAL_SIGMA));
        [c.0, c.1, c.2]
    })
}

fn coloured(bands: &[String], cube_byx: &Array3<f32>, stretch: &Stretch, alt: &str) -> Stamp {
    let rgb = channels(bands, |i| cube_byx.index_axis(Axis(0), i)).map(|c| binned(c.view()));
    let (ny, nx) = rgb[0].dim();
    let bytes = stretch.image([rgb[0].view(), rgb[1].view(), rgb[2].view()]);
    Stamp { alt: alt.to_owned(), png: png::rgb(nx, ny, &bytes) }
}

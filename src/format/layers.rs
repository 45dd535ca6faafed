//! `fathom-layers` files: detection layers of one patch.
//!
//! # Format, version 4
//!
//! Root attributes: `n_layers` (u64), `threshold_offset` (f64, sigma: what calibration added to all nominal thresholds). The layers' own
//! settings are the table `/layers` ([`super::table`]), a row a layer, in order:
//!
//! | column | unit | what |
//! |---|---|---|
//! | `name` | | `<sed>[@<selection>][:<half-light radius>]` |
//! | `sed` | | `free`, `band` or `fixed` |
//! | `sed_name` | | band, or name of the fixed SED |
//! | `selection` | | selection of exposures; empty: the bands' own coadds |
//! | `half_light` | arcsec | of the round exponential; 0: point sources |
//! | `threshold` | | in sigma, where all bands have data, calibrated |
//! | `l2` | pixel-2 | curvature of the noise per axis, mean over the tract |
//! | `area` | pixel2 | area of its filter: (Σφ)²/Σφ², mean over the tract |
//! | `broadening` | | width of its sources in those of point sources |
//! | `n_pixels` | pixel | inner pixels with data |
//!
//! `/sed_flux` (f64 `[layer, band]`): relative f_ν of fixed SEDs, NaN else (`[layer, 0]` without any).
//!
//! `/spans`, `/peaks`, `/negative_peaks` hold lists, one item a layer: `offsets` (i64 `[n + 1]`; item i owns rows
//! `offsets[i]..offsets[i + 1]`). **Spans**, the pixels above the threshold: `y`, `x0`, `x1` (i32, tract pixels, x1 inclusive, sorted by y,
//! x0). **Negative peaks**, maxima of the negated maps: `x`, `y` (f64, pixel), `significance` (f64). **Peaks**, one row a peak:
//!
//! | column | type, shape | unit | what |
//! |---|---|---|---|
//! | `pixel_x`, `pixel_y` | i32 | pixel | pixel of the maximum |
//! | `x`, `y` | f64 | pixel | sub-pixel position |
//! | `covariance` | f32 `[peak, 3]` | pixel2 | of the position: xx, xy, yy; infinite where not known |
//! | `significance` | f64 | | height, in sigma of its layer |
//! | `layer` | u16 | | its layer |
//! | `seen_in` | u64 | | layers that saw it, as bits |
//! | `layer_significance` | f32 `[peak, layer]` | | significance in every layer at its position; NaN without data |
//! | `best_layer` | u16 | | layer in which it exceeds the threshold by most: best SED and morphology |
//! | `flux_njy`, `flux_err_njy` | f32 `[peak, band]` | nJy | Ψ_g/Φ_g and Φ_g^-1/2 of the best layer's morphology; NaN without data |
//! | `saddle`, `saddle_significance` | f32 | | height of the saddle to higher ground, depth of the dip in its own noise; NaN without one |
//! | `saddle_pixel` | i32 `[peak, 2]` | pixel | pixel (column, row) of the saddle; the peak's own without one |
//! | `higher_pixel` | i32 `[peak, 2]` | pixel | pixel (column, row) of the highest peak beyond the saddle; its own without one |
//! | `flags` | u32 | | mask planes of all bands on and around its pixel |
//! | `fate` | u8 | | 0 good; 1 its dip is no deeper than what masked pixels make of a smooth light; 2 below the threshold in every layer; 3 on the slope of a higher one's maximum |
//! | `marks` | u8 | | set by association, bits: 1 in a list of known sources, 2 mover, 4 transient, 8 variable |
//! | `window_mjd` | f64 `[peak, 2]` | d | begin and end of its time window; NaN for the whole stack |
//! | `velocity` | f64 `[peak, 2]` | pixel d-1 | motion at which it was stacked; NaN for static layers |
//!
//! `/movers`: peaks of the ladder of velocities, one item; their position is that in the middle of their window, their layer 0, seen in none.
//!
//! `/transients`: what is brighter over some time windows than on the mean of all, likewise; their window tells when.
//!
//! `/sky_objects`: random blank positions: `pixel_x`, `pixel_y` (i32), `flux_njy`, `flux_err_njy` (f32 `[position, band]`).
//!
//! Everything is shuffled and deflated.

use super::FormatError;
use super::flat::{put_negative_peaks, put_peaks, put_spans, take_negative_peaks, take_peaks, take_spans};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use super::table;
use crate::catalog::{ColumnData, Table};
use crate::detect::{Layer, LayerKind, PatchLayers, Sed, SkyObject};
use ndarray::Array2;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-layers", 4);

/// Writes the layers of one patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, patch: &PatchLayers) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        let layers = &patch.layers;
        root.put("n_layers", layers.len() as u64)?;
        root.put("threshold_offset", patch.threshold_offset)?;
        table::put(&root, "layers", &settings_table(layers))?;
        let n_bands = layers.iter().map(|l| if let Sed::Fixed(_, flux) = &l.kind.sed { flux.len() } else { 0 }).max().unwrap_or(0);
        let flux = |(i, b): (usize, usize)| if let Sed::Fixed(_, flux) = &layers[i].kind.sed { flux[b] } else { f64::NAN };
        let about = About::new("sed_flux", "", "relative flux density of fixed SEDs [layer, band]; NaN else");
        root.write(about, Array2::from_shape_fn((layers.len(), n_bands), flux).view(), Storage::Packed)?;
        put_spans(&root, &layers.iter().map(|l| &l.spans).collect::<Vec<_>>())?;
        put_peaks(&root, "peaks", &layers.iter().map(|l| l.peaks.as_slice()).collect::<Vec<_>>())?;
        put_negative_peaks(&root, &layers.iter().map(|l| l.negative_peaks.as_slice()).collect::<Vec<_>>())?;
        put_peaks(&root, "movers", &[&patch.movers])?;
        put_peaks(&root, "transients", &[&patch.transients])?;
        put_sky_objects(&root, &patch.sky_objects)
    })
}

fn settings_table(layers: &[Layer]) -> Table {
    let texts = |get: &dyn Fn(&Layer) -> String| ColumnData::Text(layers.iter().map(get).collect());
    let numbers = |get: &dyn Fn(&Layer) -> f64| ColumnData::F64(layers.iter().map(get).collect());
    let sed = |l: &Layer| match &l.kind.sed {
        Sed::Free => ("free", String::new()),
        Sed::Band(name) => ("band", name.clone()),
        Sed::Fixed(name, _) => ("fixed", name.clone()),
    };
    let mut table = Table::new();
    for (name, unit, description, data) in [
        ("name", "", "name of the layer", texts(&|l| l.kind.name())),
        ("sed", "", "free, band or fixed", texts(&|l| sed(l).0.to_owned())),
        ("sed_name", "", "band, or name of the fixed SED", texts(&|l| sed(l).1)),
        ("selection", "", "selection of exposures", texts(&|l| l.kind.selection.clone().unwrap_or_default())),
        ("half_light", "arcsec", "half-light radius of the round exponential; 0: point sources", numbers(&|l| l.kind.half_light_arcsec)),
        ("threshold", "", "threshold in sigma where all bands have data, calibrated", numbers(&|l| l.threshold)),
        ("l2", "pixel-2", "curvature of the noise per axis, mean over the tract", numbers(&|l| l.l2_per_px2)),
        ("area", "pixel2", "area of its filter: square of the sum by sum of squares, mean over the tract", numbers(&|l| l.area_px2)),
        ("broadening", "", "width of its sources in those of point sources", numbers(&|l| l.broadening)),
        ("n_pixels", "pixel", "inner pixels with data", ColumnData::I64(layers.iter().map(|l| l.n_pixels as i64).collect())),
    ] {
        table.push(name, unit, description, data).expect("all columns have one row a layer");
    }
    table
}

fn put_sky_objects(root: &Node, objects: &[SkyObject]) -> Result<(), FormatError> {
    let group = root.create("sky_objects")?;
    let n_bands = objects.first().map_or(0, |o| o.flux_njy.len());
    let ints = |value: fn(&SkyObject) -> i32| -> Vec<i32> { objects.iter().map(value).collect() };
    group.write_column(About::new("pixel_x", "pixel", "column in the tract"), &ints(|o| o.pixel.0))?;
    group.write_column(About::new("pixel_y", "pixel", "row in the tract"), &ints(|o| o.pixel.1))?;
    let fluxes = |value: fn(&SkyObject) -> &[f32]| Array2::from_shape_fn((objects.len(), n_bands), |(i, b)| value(&objects[i])[b]);
    let about = About::new("flux_njy", "nJy", "point-source flux [position, band]; NaN without data");
    group.write(about, fluxes(|o| &o.flux_njy).view(), Storage::Packed)?;
    group.write(About::new("flux_err_njy", "nJy", "its error [position, band]"), fluxes(|o| &o.flux_err_njy).view(), Storage::Packed)
}

/// Reads them.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<PatchLayers, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let n = root.count("n_layers")? as usize;
    let table = table::take(&root, "layers", None)?;
    let wrong = |e: crate::catalog::TableError| root.wrong("layers", &e.to_string(), "the columns of layers");
    let texts = |name: &str| table.text(name).map_err(wrong);
    let numbers = |name: &str| table.f64(name).map_err(wrong);
    let (sed, sed_name, selection) = (texts("sed")?, texts("sed_name")?, texts("selection")?);
    let [half_light, threshold, l2] = [numbers("half_light")?, numbers("threshold")?, numbers("l2")?];
    let [area, broadening] = [numbers("area")?, numbers("broadening")?];
    let n_pixels = table.i64("n_pixels").map_err(wrong)?;
    let flux: Array2<f64> = root.read("sed_flux")?;
    if table.n_rows() != n || flux.nrows() != n {
        let found = format!("{} rows long, sed_flux {}", table.n_rows(), flux.nrows());
        return Err(root.wrong("layers", &found, &format!("{n}, as n_layers says")));
    }
    let spans = take_spans(&root, n)?;
    let (peaks, negative_peaks) = (take_peaks(&root, "peaks", n)?, take_negative_peaks(&root, n)?);
    let mut layers = Vec::with_capacity(n);
    for (i, ((spans, peaks), negative_peaks)) in spans.into_iter().zip(peaks).zip(negative_peaks).enumerate() {
        let name = sed_name[i].clone();
        let sed = match sed[i].as_str() {
            "free" => Sed::Free,
            "band" => Sed::Band(name),
            "fixed" => Sed::Fixed(name, flux.row(i).to_vec()),
            other => return Err(root.wrong("layers/sed", &format!("\"{other}\""), "free, band or fixed")),
        };
        layers.push(Layer {
            kind: LayerKind { selection: Some(selection[i].clone()).filter(|s| !s.is_empty()), sed, half_light_arcsec: half_light[i] },
            threshold: threshold[i],
            l2_per_px2: l2[i],
            area_px2: area[i],
            broadening: broadening[i],
            spans,
            peaks,
            negative_peaks,
            n_pixels: n_pixels[i].unsigned_abs(),
        });
    }
    let [movers, transients] = [take_peaks(&root, "movers", 1)?.remove(0), take_peaks(&root, "transients", 1)?.remove(0)];
    Ok(PatchLayers {
        layers,
        sky_objects: take_sky_objects(&root)?,
        movers,
        transients,
        threshold_offset: root.number("threshold_offset")?,
    })
}

fn take_sky_objects(root: &Node) -> Result<Vec<SkyObject>, FormatError> {
    let group = root.child("sky_objects", "the group of blank positions")?;
    let x = group.column::<i32>("pixel_x")?;
    let y = group.column_of::<i32>("pixel_y", x.len())?;
    let (flux, error): (Array2<f32>, Array2<f32>) = (group.read("flux_njy")?, group.read("flux_err_njy")?);
    if flux.nrows() != x.len() || error.dim() != flux.dim() {
        let found = format!("of shape {:?}, flux_err_njy {:?}", flux.dim(), error.dim());
        return Err(group.wrong("flux_njy", &found, &format!("{} rows in both", x.len())));
    }
    let object = |i: usize| SkyObject { pixel: (x[i], y[i]), flux_njy: flux.row(i).to_vec(), flux_err_njy: error.row(i).to_vec() };
    Ok((0..x.len()).map(object).collect())
}

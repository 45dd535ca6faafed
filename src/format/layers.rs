//! `fathom-layers` files: detection layers of one patch.
//!
//! # Format, version 1
//!
//! Root attribute `n_layers` (u64). Group `/layer_<i>` (i from 000) for every layer, in order:
//! - attributes `kind` (`free_sed` or `band`), `band` (text, only with kind `band`), `n_pixels` (u64: inner pixels with data);
//! - group `spans`: pixels above the threshold;
//! - groups `peaks`, `negative_peaks`: maxima of the layer and of its negative.
//!
//! A group of **spans** holds lists of spans: `offsets` (i64 `[n + 1]`; item i owns rows `offsets[i]..offsets[i + 1]`) and `y`,
//! `x0`, `x1` (i32, tract pixels, x1 inclusive, sorted by y, x0). A layer's spans are one item.
//!
//! A group of **peaks** holds `offsets` as above and, one row a peak: `pixel_x`, `pixel_y` (i32, pixel), `x`, `y` (f64, pixel),
//! `significance` (f64, sigma), `layer` (u16), `seen_in` (u64, bits), `flux_njy`, `flux_err_njy` (f64 `[peak, band]`, nJy, NaN without
//! data; without peaks `[0, 0]`).

use super::FormatError;
use super::flat::{put_peaks, put_spans, take_peaks, take_spans};
use super::hdf5_io::Node;
use super::product::{self, Header};
use crate::detect::{Layer, LayerKind};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-layers", 1);

/// Writes the layers of one patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, layers: &[Layer]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_layers", layers.len() as u64)?;
        for (i, layer) in layers.iter().enumerate() {
            let group = root.create(&format!("layer_{i:03}"))?;
            match &layer.kind {
                LayerKind::FreeSed => group.put_text("kind", "free_sed")?,
                LayerKind::Band(band) => {
                    group.put_text("kind", "band")?;
                    group.put_text("band", band)?;
                }
            }
            group.put("n_pixels", layer.n_pixels)?;
            put_spans(&group, &[&layer.spans])?;
            put_peaks(&group, "peaks", &[&layer.peaks])?;
            put_peaks(&group, "negative_peaks", &[&layer.negative_peaks])?;
        }
        Ok(())
    })
}

/// Reads them.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<Vec<Layer>, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    (0..root.count("n_layers")?)
        .map(|i| {
            let group = root.child(&format!("layer_{i:03}"), "a layer")?;
            let kind = match group.text("kind")?.as_str() {
                "free_sed" => LayerKind::FreeSed,
                "band" => LayerKind::Band(group.text("band")?),
                other => return Err(group.wrong_attribute("kind", &format!("\"{other}\""), "free_sed or band")),
            };
            Ok(Layer {
                kind,
                spans: take_spans(&group, 1)?.remove(0),
                peaks: take_peaks(&group, "peaks", 1)?.remove(0),
                negative_peaks: take_peaks(&group, "negative_peaks", 1)?.remove(0),
                n_pixels: group.count("n_pixels")?,
            })
        })
        .collect()
}

//! `fathom-visit` files: what the visit phase makes of one exposure.
//!
//! # Format, version 1
//!
//! Root attribute `id` (text, the exposure); and of the unusable pixels' count (u64): `n_pixels`, `n_masked`, `n_not_finite`,
//! `n_bad_variance`.
//!
//! | object | type, shape | unit | what |
//! |---|---|---|---|
//! | `/background` | group | | attribute `bbox` (x0, y0, width, height, i32); dataset `nodes_adu`, f64 `[row, column]`, adu: values at the mesh cells' centres |
//! | `/background_variance` | group | adu2 | polynomial (see [`super::exposure`]): variance of source-free pixels |
//! | `/ap_corr/<algorithm>` | groups | | as in [`super::exposure`] |
//! | `/stars` | table ([`super::table`]) | | bright isolated stars |

use super::FormatError;
use super::calibration::{put_ap_corr, put_box, put_chebyshev, take_ap_corr, take_box, take_chebyshev};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use super::table;
use crate::background::{BackgroundMesh, BackgroundVariance, ExposureBackground, VisitProduct};
use crate::image::{ExposureId, PixelCounts};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-visit", 1);

/// Writes the product.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, product: &VisitProduct) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        let ExposureBackground::Mesh(mesh) = &product.background else {
            return Err(root.wrong("background", "one matched across the tract", "the visit's own mesh"));
        };
        root.put_text("id", &product.id.0)?;
        let PixelCounts { n_pixels, n_masked, n_not_finite, n_bad_variance } = product.counts;
        for (name, n) in
            [("n_pixels", n_pixels), ("n_masked", n_masked), ("n_not_finite", n_not_finite), ("n_bad_variance", n_bad_variance)]
        {
            root.put(name, n)?;
        }
        let group = root.create("background")?;
        put_box(&group, &mesh.bbox)?;
        let about = About::new("nodes_adu", "adu", "background at the centres of the mesh cells [row, column]");
        group.write(about, mesh.nodes_adu.view(), Storage::Plain)?;
        put_chebyshev(&root.create("background_variance")?, &product.background_variance.model_adu2, "adu2")?;
        put_ap_corr(&root, &product.ap_corr)?;
        table::put(&root, "stars", &product.stars)
    })
}

/// Reads it.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<VisitProduct, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child("background", "the background mesh")?;
    Ok(VisitProduct {
        id: ExposureId(root.text("id")?),
        background: ExposureBackground::Mesh(BackgroundMesh { bbox: take_box(&group)?, nodes_adu: group.read("nodes_adu")? }),
        background_variance: BackgroundVariance { model_adu2: take_chebyshev(&root.child("background_variance", "a polynomial")?)? },
        ap_corr: take_ap_corr(&root)?,
        stars: table::take(&root, "stars", None)?,
        counts: PixelCounts {
            n_pixels: root.count("n_pixels")?,
            n_masked: root.count("n_masked")?,
            n_not_finite: root.count("n_not_finite")?,
            n_bad_variance: root.count("n_bad_variance")?,
        },
    })
}

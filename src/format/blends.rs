//! `fathom-blends` files: children of one batch of parents, as HeavyFootprints.
//!
//! # Format, version 1
//!
//! Root attribute `bands` (texts; absent from a file without bands), in the order of the axis `band`; `n_bands` (u64).
//! Spans are stored as in [`super::layers`].
//!
//! | object | type, shape | what |
//! |---|---|---|
//! | `/parents/id` | i64 `[parent]` | parents of the batch, in order |
//! | `/parents/offsets` | i64 `[parent + 1]` | parent i owns children `offsets[i]..offsets[i + 1]`, in the order of its peaks |
//! | `/children/is_psf` | u8 flag `[child]` | treated as a point source |
//! | `/children/merged_into` | i64 `[child]` | dropped as a duplicate of that child of the same parent; -1: not dropped |
//! | `/children/has_values` | u8 flag `[child]` | 0: the child has no pixel values at all, not even of no pixels |
//! | `/children/spans` | spans, one item a child | pixels; none for a dropped child |
//! | `/children/values_njy` | f32 `[band, pixel]`, nJy | values of all children one after the other, a child's pixels by y, then x |

use super::FormatError;
use super::flat::{offsets, put_spans, take_ranges, take_spans};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use crate::deblend::Deblended;
use crate::footprint::HeavyFootprint;
use ndarray::{Array2, s};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-blends", 1);

/// Writes a batch: (parent id, children).
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[String], blends: &[(i64, Deblended)]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        check(&root, bands.len(), blends)?;
        root.put("n_bands", bands.len() as u64)?;
        if !bands.is_empty() {
            root.put_texts("bands", bands.iter().map(String::as_str))?;
        }
        let group = root.create("parents")?;
        let ids: Vec<i64> = blends.iter().map(|(id, _)| *id).collect();
        group.write_column(About::new("id", "", "parents of the batch"), &ids)?;
        let of_parents = offsets(blends.iter().map(|(_, d)| d.children.len()));
        group.write_column(About::new("offsets", "", "first child of every parent, and the number of children"), &of_parents)?;

        let group = root.create("children")?;
        let is_psf: Vec<bool> = blends.iter().flat_map(|(_, d)| d.is_psf.iter().copied()).collect();
        group.write_flags(About::new("is_psf", "", "treated as a point source"), &is_psf)?;
        let merged = blends.iter().flat_map(|(_, d)| &d.merged_into).map(|m| m.map_or(-1, |m| m as i64)).collect::<Vec<_>>();
        group.write_column(About::new("merged_into", "", "dropped as a duplicate of that child of the parent; -1: not"), &merged)?;
        let children: Vec<&HeavyFootprint> = blends.iter().flat_map(|(_, d)| &d.children).collect();
        let has_values: Vec<bool> = children.iter().map(|c| !c.values_njy.is_empty()).collect();
        group.write_flags(About::new("has_values", "", "0: the child has no pixel values at all"), &has_values)?;
        put_spans(&group, &children.iter().map(|c| &c.spans).collect::<Vec<_>>())?;
        let n_pixels = children.iter().map(|c| c.spans.area()).sum();
        let mut values = Array2::zeros((bands.len(), n_pixels));
        let mut start = 0;
        for child in children {
            let end = start + child.spans.area();
            for (band, v) in child.values_njy.iter().enumerate() {
                values.slice_mut(s![band, start..end]).assign(&ndarray::aview1(v));
            }
            start = end;
        }
        group.write(About::new("values_njy", "nJy", "pixel values of all children [band, pixel]"), values.view(), Storage::Packed)
    })
}

/// What the columns cannot hold is refused rather than changed.
fn check(root: &Node, n_bands: usize, blends: &[(i64, Deblended)]) -> Result<(), FormatError> {
    for (id, blend) in blends {
        let n = blend.children.len();
        if blend.is_psf.len() != n || blend.merged_into.len() != n {
            let found = format!("{n} children, {} is_psf, {} merged_into", blend.is_psf.len(), blend.merged_into.len());
            return Err(root.content(&format!("blend of parent {id}"), &found, "as many of each"));
        }
        for (i, child) in blend.children.iter().enumerate() {
            let area = child.spans.area();
            let lengths: Vec<usize> = child.values_njy.iter().map(Vec::len).collect();
            let is_full = lengths.len() == n_bands && lengths.iter().all(|l| *l == area);
            if !(is_full || lengths.is_empty() && area == 0) {
                let expected = format!("{n_bands} bands of {area} pixels");
                return Err(root.content(&format!("child {i} of parent {id}"), &format!("{lengths:?} values per band"), &expected));
            }
        }
    }
    Ok(())
}

/// Reads it.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<Vec<(i64, Deblended)>, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let n_bands = root.count("n_bands")? as usize;
    let group = root.child("children", "the group of children")?;
    let merged_into = group.column::<i64>("merged_into")?;
    let n = merged_into.len();
    let (is_psf, has_values) = (group.flags_of("is_psf", n)?, group.flags_of("has_values", n)?);
    let spans = take_spans(&group, n)?;
    let values: Array2<f32> = group.read("values_njy")?;
    let n_pixels = spans.iter().map(|s| s.area()).sum::<usize>();
    if values.dim() != (n_bands, n_pixels) {
        return Err(group.wrong("values_njy", &format!("of shape {:?}", values.dim()), &format!("{:?}", (n_bands, n_pixels))));
    }
    let mut start = 0;
    let mut children = Vec::with_capacity(n);
    for (spans, has_values) in spans.into_iter().zip(has_values) {
        let end = start + spans.area();
        let values_njy = if has_values { (0..n_bands).map(|b| values.slice(s![b, start..end]).to_vec()).collect() } else { Vec::new() };
        children.push(HeavyFootprint { spans, values_njy });
        start = end;
    }
    let group = root.child("parents", "the group of parents")?;
    let ids = group.column::<i64>("id")?;
    let ranges = take_ranges(&group, "offsets", ids.len(), n)?;
    let mut children = children.into_iter();
    Ok(ids
        .into_iter()
        .zip(ranges)
        .map(|(id, range)| {
            let blend = Deblended {
                children: children.by_ref().take(range.len()).collect(),
                is_psf: is_psf[range.clone()].to_vec(),
                merged_into: merged_into[range].iter().map(|m| usize::try_from(*m).ok()).collect(),
            };
            (id, blend)
        })
        .collect())
}

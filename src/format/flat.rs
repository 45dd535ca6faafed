//! Lists of span sets and of peaks as flat columns: item i owns the rows `offsets[i]..offsets[i + 1]`.

use super::FormatError;
use super::hdf5_io::{About, Node, Storage};
use crate::footprint::{Peak, Span, SpanSet};
use crate::geometry::PixelPoint;
use ndarray::Array2;

/// Offsets of items of these lengths.
pub(super) fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<i64> {
    let mut sum = 0;
    std::iter::once(0)
        .chain(lengths.map(|n| {
            sum += n as i64;
            sum
        }))
        .collect()
}

/// Ranges of `n_items` items over `n_rows` rows, checked.
pub(super) fn take_ranges(node: &Node, name: &str, n_items: usize, n_rows: usize) -> Result<Vec<std::ops::Range<usize>>, FormatError> {
    let offsets = node.column_of::<i64>(name, n_items + 1)?;
    if offsets[0] != 0 || offsets[n_items] != n_rows as i64 || offsets.windows(2).any(|w| w[1] < w[0]) {
        return Err(node.wrong(name, "not rising from 0 to the number of rows", &format!("offsets from 0 to {n_rows}")));
    }
    Ok(offsets.windows(2).map(|w| w[0] as usize..w[1] as usize).collect())
}

/// Writes group `spans`: `offsets`, `y`, `x0`, `x1`.
pub(super) fn put_spans(parent: &Node, sets: &[&SpanSet]) -> Result<(), FormatError> {
    let group = parent.create("spans")?;
    let column = |value: fn(&Span) -> i32| -> Vec<i32> { sets.iter().flat_map(|s| s.spans()).map(value).collect() };
    group.write_column(
        About::new("offsets", "", "first span of every item, and the number of spans"),
        &offsets(sets.iter().map(|s| s.spans().len())),
    )?;
    group.write_column(About::new("y", "pixel", "row of the span, tract pixels"), &column(|s| s.y))?;
    group.write_column(About::new("x0", "pixel", "first column of the span"), &column(|s| s.x0))?;
    group.write_column(About::new("x1", "pixel", "last column of the span, inclusive"), &column(|s| s.x1))
}

pub(super) fn take_spans(parent: &Node, n_items: usize) -> Result<Vec<SpanSet>, FormatError> {
    let group = parent.child("spans", "the group of spans")?;
    let y = group.column::<i32>("y")?;
    let (x0, x1) = (group.column_of::<i32>("x0", y.len())?, group.column_of::<i32>("x1", y.len())?);
    let ranges = take_ranges(&group, "offsets", n_items, y.len())?;
    ranges
        .into_iter()
        .map(|range| {
            let spans: Vec<Span> = range.map(|i| Span { y: y[i], x0: x0[i], x1: x1[i] }).collect();
            let set = SpanSet::from_spans(spans.clone());
            if set.spans() == spans {
                Ok(set)
            } else {
                Err(parent.wrong("spans", "not in order or not disjoint", "sorted spans that do not touch"))
            }
        })
        .collect()
}

/// Writes group `<name>`: lists of peaks, flat.
pub(super) fn put_peaks(parent: &Node, name: &str, lists: &[&[Peak]]) -> Result<(), FormatError> {
    let group = parent.create(name)?;
    let peaks: Vec<&Peak> = lists.iter().flat_map(|l| l.iter()).collect();
    let n_bands = peaks.first().map_or(0, |p| p.flux_njy.len());
    if let Some(odd) = peaks.iter().find(|p| p.flux_njy.len() != n_bands || p.flux_err_njy.len() != n_bands) {
        let found = format!("given for {} bands, their errors for {}", odd.flux_njy.len(), odd.flux_err_njy.len());
        return Err(group.wrong("flux_njy", &found, &format!("{n_bands} bands, as in the first peak")));
    }
    group.write_column(
        About::new("offsets", "", "first peak of every item, and the number of peaks"),
        &offsets(lists.iter().map(|l| l.len())),
    )?;
    let ints = |value: fn(&Peak) -> i32| -> Vec<i32> { peaks.iter().map(|p| value(p)).collect() };
    let reals = |value: fn(&Peak) -> f64| -> Vec<f64> { peaks.iter().map(|p| value(p)).collect() };
    group.write_column(About::new("pixel_x", "pixel", "column of the peak's pixel in the tract"), &ints(|p| p.pixel.0))?;
    group.write_column(About::new("pixel_y", "pixel", "row of the peak's pixel in the tract"), &ints(|p| p.pixel.1))?;
    group.write_column(About::new("x", "pixel", "sub-pixel column in the tract"), &reals(|p| p.at.x))?;
    group.write_column(About::new("y", "pixel", "sub-pixel row in the tract"), &reals(|p| p.at.y))?;
    group.write_column(
        About::new("significance", "", "significance at the sub-pixel maximum, in sigma of the layer"),
        &reals(|p| p.significance),
    )?;
    let layers: Vec<u16> = peaks.iter().map(|p| p.layer).collect();
    group.write_column(About::new("layer", "", "index of the layer it was found in"), &layers)?;
    let seen_in: Vec<u64> = peaks.iter().map(|p| p.seen_in).collect();
    group.write_column(About::new("seen_in", "", "layers that saw it, as bits (bit i: layer i)"), &seen_in)?;
    let fluxes = |value: fn(&Peak) -> &[f64]| Array2::from_shape_fn((peaks.len(), n_bands), |(i, b)| value(peaks[i])[b]);
    let about = About::new("flux_njy", "nJy", "point-source flux per band [peak, band]; NaN without data");
    group.write(about, fluxes(|p| &p.flux_njy).view(), Storage::Packed)?;
    let about = About::new("flux_err_njy", "nJy", "its error [peak, band]");
    group.write(about, fluxes(|p| &p.flux_err_njy).view(), Storage::Packed)
}

pub(super) fn take_peaks(parent: &Node, name: &str, n_items: usize) -> Result<Vec<Vec<Peak>>, FormatError> {
    let group = parent.child(name, "a group of peaks")?;
    let x = group.column::<f64>("x")?;
    let n = x.len();
    let (pixel_x, pixel_y) = (group.column_of::<i32>("pixel_x", n)?, group.column_of::<i32>("pixel_y", n)?);
    let (y, significance) = (group.column_of::<f64>("y", n)?, group.column_of::<f64>("significance", n)?);
    let (layer, seen_in) = (group.column_of::<u16>("layer", n)?, group.column_of::<u64>("seen_in", n)?);
    let flux: Array2<f64> = group.read("flux_njy")?;
    let flux_err: Array2<f64> = group.read("flux_err_njy")?;
    if flux.nrows() != n || flux_err.dim() != flux.dim() {
        let found = format!("of shape {:?}, flux_err_njy {:?}", flux.dim(), flux_err.dim());
        return Err(group.wrong("flux_njy", &found, &format!("{n} rows in both")));
    }
    let peak = |i: usize| Peak {
        pixel: (pixel_x[i], pixel_y[i]),
        at: PixelPoint::new(x[i], y[i]),
        significance: significance[i],
        layer: layer[i],
        seen_in: seen_in[i],
        flux_njy: flux.row(i).to_vec(),
        flux_err_njy: flux_err.row(i).to_vec(),
    };
    Ok(take_ranges(&group, "offsets", n_items, n)?.into_iter().map(|range| range.map(peak).collect()).collect())
}

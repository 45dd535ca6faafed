//! Lists of span sets and of peaks as flat columns: item i owns the rows `offsets[i]..offsets[i + 1]`.

use super::FormatError;
use super::hdf5_io::{About, Node, Storage};
use crate::footprint::{NegativePeak, Peak, PeakFate, Saddle, Span, SpanSet};
use crate::geometry::PixelPoint;
use hdf5::H5Type;
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
    let (n_bands, n_layers) = peaks.first().map_or((0, 0), |p| (p.flux_njy.len(), p.layer_significance.len()));
    if let Some(odd) = peaks.iter().find(|p| p.flux_njy.len() != n_bands || p.flux_err_njy.len() != n_bands) {
        let found = format!("given for {} bands, their errors for {}", odd.flux_njy.len(), odd.flux_err_njy.len());
        return Err(group.wrong("flux_njy", &found, &format!("{n_bands} bands, as in the first peak")));
    }
    if let Some(odd) = peaks.iter().find(|p| p.layer_significance.len() != n_layers) {
        let found = format!("given for {} layers", odd.layer_significance.len());
        return Err(group.wrong("layer_significance", &found, &format!("{n_layers} layers, as in the first peak")));
    }
    group.write_column(
        About::new("offsets", "", "first peak of every item, and the number of peaks"),
        &offsets(lists.iter().map(|l| l.len())),
    )?;
    let put = Columns { group: &group, peaks: &peaks };
    put.column("pixel_x", "pixel", "column of the peak's pixel in the tract", |p| p.pixel.0)?;
    put.column("pixel_y", "pixel", "row of the peak's pixel in the tract", |p| p.pixel.1)?;
    put.column("x", "pixel", "sub-pixel column in the tract", |p| p.at.x)?;
    put.column("y", "pixel", "sub-pixel row in the tract", |p| p.at.y)?;
    put.column("significance", "", "significance at the sub-pixel maximum, in sigma of the layer", |p| p.significance)?;
    put.column("layer", "", "index of the layer it was found in", |p| p.layer)?;
    put.column("seen_in", "", "layers that saw it, as bits (bit i: layer i)", |p| p.seen_in)?;
    put.column("best_layer", "", "layer in which it exceeds the threshold by most", |p| p.best_layer)?;
    put.column("flags", "", "mask planes of all bands on and around the pixel", |p| p.flags)?;
    put.column(
        "fate",
        "",
        "0: good; 1: shallower than masked pixels make a smooth light; 2: below the threshold of every layer; 3: duplicate",
        |p| fate_code(p.fate),
    )?;
    put.column("marks", "", "bits: 1 in a list of known sources, 2 mover, 4 transient, 8 variable", |p| p.marks)?;
    put.rows("covariance", "pixel2", "of the position: xx, xy, yy [peak, 3]; infinite where not known", 3, |p, k| p.covariance_px2[k])?;
    put.rows("layer_significance", "", "significance in every layer at its position [peak, layer]; NaN without data", n_layers, |p, l| {
        p.layer_significance[l]
    })?;
    put.rows("flux_njy", "nJy", "flux per band, of the best layer's morphology [peak, band]; NaN without data", n_bands, |p, b| {
        p.flux_njy[b]
    })?;
    put.rows("flux_err_njy", "nJy", "its error [peak, band]", n_bands, |p, b| p.flux_err_njy[b])?;
    put.column("saddle", "", "height of the saddle to higher ground; NaN without one", |p| p.saddle.map_or(f32::NAN, |s| s.height))?;
    put.column("saddle_significance", "", "depth of that dip in its own noise; NaN without one", |p| {
        p.saddle.map_or(f32::NAN, |s| s.significance)
    })?;
    put.rows("saddle_pixel", "pixel", "column and row of the saddle [peak, 2]; the peak's own pixel without one", 2, |p, k| {
        let (x, y) = p.saddle.map_or(p.pixel, |s| s.at);
        if k == 0 { x } else { y }
    })?;
    put.rows(
        "higher_pixel",
        "pixel",
        "column and row of the highest peak beyond the saddle [peak, 2]; its own pixel without one",
        2,
        |p, k| {
            let (x, y) = p.saddle.map_or(p.pixel, |s| s.higher);
            if k == 0 { x } else { y }
        },
    )?;
    put.rows("window_mjd", "d", "begin and end of the time window, MJD (TAI) [peak, 2]; NaN for the whole stack", 2, |p, k| {
        p.window_mjd.map_or(f64::NAN, |w| w[k])
    })?;
    put.rows("velocity", "pixel d-1", "motion of the stack, x and y [peak, 2]; NaN for static layers", 2, |p, k| {
        p.velocity_px_per_day.map_or(f64::NAN, |v| v[k])
    })
}

/// Columns of a list of peaks.
struct Columns<'a> {
    group: &'a Node,
    peaks: &'a [&'a Peak],
}

impl Columns<'_> {
    fn column<T: H5Type + Clone>(&self, name: &str, unit: &str, description: &str, value: impl Fn(&Peak) -> T) -> Result<(), FormatError> {
        let values: Vec<T> = self.peaks.iter().map(|p| value(p)).collect();
        self.group.write_column(About::new(name, unit, description), &values)
    }

    fn rows<T: H5Type + Clone>(
        &self,
        name: &str,
        unit: &str,
        description: &str,
        width: usize,
        value: impl Fn(&Peak, usize) -> T,
    ) -> Result<(), FormatError> {
        let values = Array2::from_shape_fn((self.peaks.len(), width), |(i, k)| value(self.peaks[i], k));
        self.group.write(About::new(name, unit, description), values.view(), Storage::Packed)
    }
}

fn fate_code(fate: PeakFate) -> u8 {
    match fate {
        PeakFate::Good => 0,
        PeakFate::Masked => 1,
        PeakFate::Culled => 2,
        PeakFate::Duplicate => 3,
    }
}

/// Rows of one width, one a peak.
fn take_rows<T: H5Type>(group: &Node, name: &str, n: usize, width: Option<usize>) -> Result<Array2<T>, FormatError> {
    let values: Array2<T> = group.read(name)?;
    let is_wide = width.is_none_or(|w| values.ncols() == w);
    // Without a row there is no width to hold against.
    if values.nrows() != n || (n > 0 && !is_wide) {
        let expected = format!("{n} rows{}", width.map_or(String::new(), |w| format!(" of {w}")));
        return Err(group.wrong(name, &format!("of shape {:?}", values.dim()), &expected));
    }
    Ok(values)
}

pub(super) fn take_peaks(parent: &Node, name: &str, n_items: usize) -> Result<Vec<Vec<Peak>>, FormatError> {
    let group = parent.child(name, "a group of peaks")?;
    let x = group.column::<f64>("x")?;
    let n = x.len();
    let (pixel_x, pixel_y) = (group.column_of::<i32>("pixel_x", n)?, group.column_of::<i32>("pixel_y", n)?);
    let (y, significance) = (group.column_of::<f64>("y", n)?, group.column_of::<f64>("significance", n)?);
    let (layer, seen_in) = (group.column_of::<u16>("layer", n)?, group.column_of::<u64>("seen_in", n)?);
    let (best_layer, flags) = (group.column_of::<u16>("best_layer", n)?, group.column_of::<u32>("flags", n)?);
    let fate = group.column_of::<u8>("fate", n)?;
    if let Some(odd) = fate.iter().find(|f| **f > 3) {
        return Err(group.wrong("fate", &odd.to_string(), "0, 1, 2 or 3"));
    }
    let marks = group.column_of::<u8>("marks", n)?;
    let (saddle, dip) = (group.column_of::<f32>("saddle", n)?, group.column_of::<f32>("saddle_significance", n)?);
    let (at, higher) = (take_rows::<i32>(&group, "saddle_pixel", n, Some(2))?, take_rows::<i32>(&group, "higher_pixel", n, Some(2))?);
    let covariance = take_rows::<f32>(&group, "covariance", n, Some(3))?;
    let layers = take_rows::<f32>(&group, "layer_significance", n, None)?;
    let flux = take_rows::<f32>(&group, "flux_njy", n, None)?;
    let flux_err = take_rows::<f32>(&group, "flux_err_njy", n, Some(flux.ncols()))?;
    let (window, velocity) = (take_rows::<f64>(&group, "window_mjd", n, Some(2))?, take_rows::<f64>(&group, "velocity", n, Some(2))?);
    let place = |rows: &Array2<i32>, i: usize| (rows[[i, 0]], rows[[i, 1]]);
    let pair = |rows: &Array2<f64>, i: usize| (!rows[[i, 0]].is_nan()).then(|| [rows[[i, 0]], rows[[i, 1]]]);
    let peak = |i: usize| Peak {
        pixel: (pixel_x[i], pixel_y[i]),
        at: PixelPoint::new(x[i], y[i]),
        covariance_px2: [0, 1, 2].map(|k| covariance[[i, k]]),
        significance: significance[i],
        layer: layer[i],
        seen_in: seen_in[i],
        layer_significance: layers.row(i).to_vec(),
        best_layer: best_layer[i],
        flux_njy: flux.row(i).to_vec(),
        flux_err_njy: flux_err.row(i).to_vec(),
        saddle: (!saddle[i].is_nan()).then(|| Saddle {
            height: saddle[i],
            significance: dip[i],
            at: place(&at, i),
            higher: place(&higher, i),
        }),
        flags: flags[i],
        fate: [PeakFate::Good, PeakFate::Masked, PeakFate::Culled, PeakFate::Duplicate][usize::from(fate[i])],
        marks: marks[i],
        window_mjd: pair(&window, i),
        velocity_px_per_day: pair(&velocity, i),
    };
    Ok(take_ranges(&group, "offsets", n_items, n)?.into_iter().map(|range| range.map(peak).collect()).collect())
}

/// Writes group `negative_peaks`: `offsets`, `x`, `y`, `significance`.
pub(super) fn put_negative_peaks(parent: &Node, lists: &[&[NegativePeak]]) -> Result<(), FormatError> {
    let group = parent.create("negative_peaks")?;
    let column = |value: fn(&NegativePeak) -> f64| -> Vec<f64> { lists.iter().flat_map(|l| l.iter()).map(value).collect() };
    group.write_column(
        About::new("offsets", "", "first peak of every item, and the number of peaks"),
        &offsets(lists.iter().map(|l| l.len())),
    )?;
    group.write_column(About::new("x", "pixel", "sub-pixel column in the tract"), &column(|p| p.at.x))?;
    group.write_column(About::new("y", "pixel", "sub-pixel row in the tract"), &column(|p| p.at.y))?;
    group.write_column(About::new("significance", "", "height of the negated map, in sigma of the layer"), &column(|p| p.significance))
}

pub(super) fn take_negative_peaks(parent: &Node, n_items: usize) -> Result<Vec<Vec<NegativePeak>>, FormatError> {
    let group = parent.child("negative_peaks", "a group of peaks")?;
    let x = group.column::<f64>("x")?;
    let (y, significance) = (group.column_of::<f64>("y", x.len())?, group.column_of::<f64>("significance", x.len())?);
    let peak = |i: usize| NegativePeak { at: PixelPoint::new(x[i], y[i]), significance: significance[i] };
    Ok(take_ranges(&group, "offsets", n_items, x.len())?.into_iter().map(|range| range.map(peak).collect()).collect())
}

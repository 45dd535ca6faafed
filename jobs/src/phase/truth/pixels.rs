//! Noiseless pixels of each object alone, through the warps, weights and masks of the direct coadd.

use crate::run::Run;
use anyhow::Result;
use fathom::background::{ExposureBackground, VisitProduct};
use fathom::catalog::Table;
use fathom::coadd::MakeCoadd;
use fathom::format::truth_pixels::TruthPixels;
use fathom::geometry::Box2;
use fathom::image::{Exposure, ExposureMeta};
use fathom_sim::{Renderer, TruthObject, counts_of};
use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// An object on one exposure: index of the exposure in its band, pixels covered, counts.
type Stamp = (usize, Box2, Array2<f64>);

/// Objects whose stamps on all exposures are in memory together.
const CHUNK: usize = 50;

/// Share of an object's light that its stamps may lose at each side: faint wings fill most of a stamp's area and of the time it takes.
const LOST_SHARE: f64 = 2.5e-6;

/// Every object of the batch that reaches the tract.
pub fn alone(run: &Run, arm: usize, truth: &Table) -> Result<Vec<TruthPixels>> {
    let rows: Vec<usize> = (0..truth.n_rows()).collect();
    let mut objects = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(CHUNK) {
        objects.extend(alone_of(run, arm, &truth.take(chunk))?);
    }
    Ok(objects)
}

fn alone_of(run: &Run, arm: usize, truth: &Table) -> Result<Vec<TruthPixels>> {
    let stage = MakeCoadd::new(run.config.coadd.clone())?;
    let inputs = run.band_inputs(arm)?;
    let bands = &run.config.run.bands;
    // Where each object's light falls on the tract, in any band and exposure.
    let mut boxes: BTreeMap<i64, Box2> = BTreeMap::new();
    let mut stamps_by_band: Vec<BTreeMap<i64, Vec<Stamp>>> = Vec::new();
    for band in bands {
        let mut stamps: BTreeMap<i64, Vec<Stamp>> = BTreeMap::new();
        for (i, (given, _)) in inputs[band].iter().enumerate() {
            let meta = &run.true_meta(given)?;
            let objects = TruthObject::of_table_with(truth, band, meta.mjd, run.stamps()?.as_ref())?;
            let renderer = Renderer::new(meta);
            let touching = objects.par_iter().filter(|o| renderer.may_touch(o, &meta.bbox()));
            let drawn: Vec<_> = touching
                .filter_map(|o| renderer.render(o).map(|(b, v)| trimmed(b, v)).map(|(b, v)| (o.id, b, counts_of(meta, &b, v))))
                .collect();
            for (id, stamp_box, values) in drawn.into_iter().filter(|(_, b, _)| !b.intersect(&meta.bbox()).is_empty()) {
                let reached = stage.reached(&run.tract, &stamp_box.intersect(&meta.bbox()), given);
                if !reached.is_empty() {
                    boxes.entry(id).and_modify(|b| *b = b.union(&reached)).or_insert(reached);
                    stamps.entry(id).or_default().push((i, stamp_box, values));
                }
            }
        }
        stamps_by_band.push(stamps);
    }
    let mut objects: Vec<TruthPixels> = boxes
        .iter()
        .map(|(&id, &bbox)| TruthPixels { id, bbox, values_njy_byx: Array3::zeros((bands.len(), bbox.shape().0, bbox.shape().1)) })
        .collect();
    for (b, (band, stamps)) in bands.iter().zip(&stamps_by_band).enumerate() {
        let all: Vec<(&ExposureMeta, VisitProduct)> = inputs[band]
            .iter()
            .map(|(m, v)| (m, VisitProduct { background: ExposureBackground::constant(m.bbox(), 0.0), ..v.clone() }))
            .collect();
        let masks = masks_under(run, arm, &stage, &all, objects.iter().map(|o| o.bbox))?;
        let list: Vec<_> = all.iter().map(|(m, v)| (*m, v)).collect();
        objects.par_iter_mut().try_for_each(|object| -> Result<()> {
            let mut sums = stage.start_light(&run.tract, object.bbox, band, &list)?;
            let own = stamps.get(&object.id).map_or(&[][..], Vec::as_slice);
            // Also the exposures that it is not seen on: they are part of the weights.
            for (i, (meta, visit)) in list.iter().enumerate() {
                let under = stage.under(&run.tract, &object.bbox, meta);
                let Some(real) = masks[i].as_ref().filter(|_| !under.is_empty()) else { continue };
                let stamp = own.iter().find(|(k, _, _)| *k == i).map(|(_, b, v)| (b, v));
                sums.add_warp(i, &exposure_of_light(real, under, stamp), visit);
            }
            let image = sums.finish().image_njy;
            object.values_njy_byx.index_axis_mut(Axis(0), b).assign(&image.mapv(|v| if v.is_finite() { v } else { 0.0 }));
            Ok(())
        })?;
    }
    Ok(objects)
}

/// The stamp without the outer rows and columns that hold less than [`LOST_SHARE`] of its light, on each side.
fn trimmed(stamp_box: Box2, values: Array2<f64>) -> (Box2, Array2<f64>) {
    let margin = LOST_SHARE * values.sum();
    let trim = |sums: Vec<f64>| {
        let outer = |along: &mut dyn Iterator<Item = &f64>| {
            let mut lost = 0.0;
            along
                .take_while(|s| {
                    lost += **s;
                    lost <= margin
                })
                .count() as i32
        };
        let (low, high) = (outer(&mut sums.iter()), outer(&mut sums.iter().rev()));
        // No light at all: nothing tells the sides apart.
        if low + high < sums.len() as i32 { (low, high) } else { (0, 0) }
    };
    let (left, right) = trim(values.sum_axis(Axis(0)).to_vec());
    let (below, above) = trim(values.sum_axis(Axis(1)).to_vec());
    let (width, height) = (stamp_box.width - left - right, stamp_box.height - below - above);
    let inner = Box2::new(stamp_box.x0 + left, stamp_box.y0 + below, width, height);
    let part = values.slice(stamp_box.slice_of(&inner)).to_owned();
    (inner, part)
}

/// The part of an exposure under a box, holding an object's light alone: its counts, the real mask, no background.
fn exposure_of_light(real: &Exposure, bbox: Box2, light: Option<(&Box2, &Array2<f64>)>) -> Exposure {
    let mut image = Array2::<f32>::zeros(bbox.shape());
    if let Some((light_box, counts)) = light {
        let part = bbox.intersect(light_box);
        if !part.is_empty() {
            let mut to = image.slice_mut(bbox.slice_of(&part));
            to.zip_mut_with(&counts.slice(light_box.slice_of(&part)), |z, v| *z = *v as f32);
        }
    }
    let mask = real.mask.slice(real.bbox.slice_of(&bbox)).to_owned();
    Exposure { meta: real.meta.clone(), bbox, image, variance: Array2::ones(bbox.shape()), mask }
}

/// The exposures' pixels under all boxes together; none where they do not meet.
fn masks_under(
    run: &Run,
    arm: usize,
    stage: &MakeCoadd,
    all: &[(&ExposureMeta, VisitProduct)],
    boxes: impl Iterator<Item = Box2>,
) -> Result<Vec<Option<Exposure>>> {
    let whole = boxes.reduce(|a, b| a.union(&b)).unwrap_or(Box2::new(0, 0, 0, 0));
    let clips = run.clips(arm)?;
    let read = |meta: &ExposureMeta| -> Result<Option<Exposure>> {
        // A box's image lies in that of a larger box, but for the rounding of the nodes between which positions are interpolated.
        let under = stage.under(&run.tract, &whole, meta).grown(2).intersect(&meta.bbox());
        if under.is_empty() {
            return Ok(None);
        }
        Ok(Some(run.exposure(arm, &meta.id, &under, &clips)?))
    };
    all.iter().map(|(meta, _)| read(meta)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Gaussian of σ 2 keeps 1 - 2.5e-6 beyond 4.56 σ on each side; a stamp without light keeps its box.
    #[test]
    fn wings_are_cut() {
        let stamp_box = Box2::new(100, 200, 81, 81);
        let gaussian = Array2::from_shape_fn((81, 81), |(j, i)| (-((i as f64 - 40.0).powi(2) + (j as f64 - 40.0).powi(2)) / 8.0).exp());
        let (inner, part) = trimmed(stamp_box, gaussian.clone());
        assert_eq!(part.dim(), inner.shape());
        // Pixels whose inner edge is at least 4.56 σ = 9.13 pixels out: the tenth and beyond.
        assert_eq!(inner, Box2::new(100 + 40 - 9, 200 + 40 - 9, 19, 19));
        assert!((part.sum() / gaussian.sum() - 1.0).abs() < 4.0 * LOST_SHARE);
        let (whole, _) = trimmed(stamp_box, Array2::zeros((81, 81)));
        assert_eq!(whole, stamp_box);
    }
}

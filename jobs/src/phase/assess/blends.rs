//! Whose light the children of one batch of parents hold.

use super::for_each_truth;
use crate::phase::batch;
use crate::run::Run;
use anyhow::{Context, Result};
use fathom::associate::{Parent, object_id};
use fathom::catalog::Table;
use fathom::deblend::Deblended;
use fathom::footprint::HeavyFootprint;
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::format::truth_pixels::TruthPixels;
use fathom::geometry::Box2;
use fathom_validation::assess::{ParentLight, blend_table, confusion};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The table `/blends` of a batch. In memory: the batch's children and the objects that reach its parents.
pub fn blends(run: &Run, arm: usize, index: usize) -> Result<Table> {
    let parents = run.parents(arm)?;
    let range = batch::batches(&parents).swap_remove(index);
    let parents = &parents[range];
    let boxes: Vec<Box2> = parents.iter().map(|p| p.footprint.spans.bbox()).collect();
    let mut objects = Vec::new();
    for_each_truth(run, arm, |b| boxes.iter().any(|p| !p.intersect(b).is_empty()), |found| objects.extend(found))?;
    let path = run.path(run.piece_path(arm, "blends", &batch::name(index)));
    let children: BTreeMap<i64, Deblended> = fathom::format::blends::read(&path)?.into_iter().collect();
    let (mosaic, bands) = (run.mosaic(arm)?, &run.config.run.bands);
    let lights = parents
        .par_iter()
        .zip(&boxes)
        .map(|(parent, bbox)| {
            let light = light_of(&mosaic, bands, parent, bbox, children.get(&parent.id), &objects);
            light.with_context(|| format!("parent {}", parent.id))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(blend_table(bands, &lights)?)
}

fn light_of(
    mosaic: &CoaddMosaic,
    bands: &[String],
    parent: &Parent,
    bbox: &Box2,
    blend: Option<&Deblended>,
    objects: &[TruthPixels],
) -> Result<ParentLight> {
    let survivors: Vec<usize> = blend.map_or_else(Vec::new, |d| (0..d.children.len()).filter(|&k| d.merged_into[k].is_none()).collect());
    // As in the catalog: a blend of which one object survives is no blend, and its row is the parent's.
    let (object_ids, children) = match blend.filter(|_| survivors.len() > 1) {
        Some(d) => {
            let ids = survivors.iter().map(|&k| object_id(parent.id, 0, k as u32 + 1)).collect();
            (ids, survivors.iter().map(|&k| d.children[k].clone()).collect())
        }
        None => {
            let spans = parent.footprint.spans.clone();
            let values = |band: &String| Ok(HeavyFootprint::gather(&spans, bbox, mosaic.plane(band, Plane::Image, bbox)?.view()));
            let values_njy = bands.iter().map(values).collect::<Result<_>>()?;
            (vec![parent.id], vec![HeavyFootprint { spans, values_njy }])
        }
    };
    let truth: Vec<&TruthPixels> = objects.iter().filter(|o| !o.bbox.intersect(bbox).is_empty()).collect();
    let variance = bands.iter().map(|b| mosaic.plane(b, Plane::Variance, bbox)).collect::<Result<Vec<_>, _>>()?;
    let confusion = confusion(&children, &truth, &variance, bbox);
    Ok(ParentLight { parent_id: parent.id, object_ids, truth_ids: truth.iter().map(|t| t.id).collect(), confusion })
}

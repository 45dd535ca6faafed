//! The blends that were taken apart worst, with their pixels.

use super::{Shown, rows_by_id};
use crate::phase::batch;
use crate::phase::{Phase, truth::Truth};
use crate::run::Run;
use anyhow::Result;
use fathom::associate::{Parent, object_id};
use fathom::deblend::Deblended;
use fathom::footprint::HeavyFootprint;
use fathom::format::coadd::Plane;
use fathom::format::truth_pixels::TruthPixels;
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom_validation::{BlendChild, BlendSheet};
use ndarray::{Array3, Axis};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Blends shown.
const N_SHOWN: usize = 6;
/// Pixels shown around a parent.
const MARGIN_PX: i32 = 4;
/// A larger blend would be a field of its own.
const MAX_SIDE_PX: i32 = 400;

/// Sheets of the worst blends, and by what they were chosen.
pub fn worst(run: &Run, shown: &Shown) -> Result<(Vec<BlendSheet>, String)> {
    let by_light = by_light(run, shown)?;
    let (scored, measure) = match by_light.is_empty() {
        false => {
            (by_light, "whose light is divided worst: light of a detectable object held by other children, in units of its flux error")
        }
        true => (
            by_held_light(run, shown)?,
            "in which the light that a matched child holds is furthest from the truth, in units of its PSF flux error and a tenth of it",
        ),
    };
    let note = match scored.len() {
        0 => "No child of a blend is matched with a true object: there is nothing to show.".to_owned(),
        _ => format!("The blends {measure} (the score). Others: fathom cutout RUN --parent ID."),
    };
    let parents = run.parents(shown.arm)?;
    let place = |(parent_id, score): (i64, f64)| {
        let i = parents.binary_search_by_key(&parent_id, |p| p.id).ok()?;
        let bbox = parents[i].footprint.spans.bbox();
        let is_small = bbox.width.max(bbox.height) <= MAX_SIDE_PX;
        is_small.then(|| (i, bbox.grown(MARGIN_PX).intersect(&run.tract.bbox()), score))
    };
    let chosen: Vec<(usize, Box2, f64)> = scored.into_iter().filter_map(place).take(N_SHOWN).collect();
    let truths = truth_pixels(run, shown, &chosen.iter().map(|c| c.1).collect::<Vec<_>>())?;
    let truth_of = |k: usize| truths.as_ref().map(|t| &t[k]);
    let sheets = chosen.iter().enumerate().map(|(k, (i, bbox, score))| sheet(run, shown, (&parents, *i), bbox, truth_of(k), *score));
    Ok((sheets.collect::<Result<_>>()?, note))
}

/// Blends by how badly their light is divided, worst first, as validate scored them; none where the truth's pixels were not kept.
fn by_light(run: &Run, shown: &Shown) -> Result<Vec<(i64, f64)>> {
    let table = fathom::format::table::read(&run.path("validation.h5"), "worst_blends")?;
    if table.columns().is_empty() {
        return Ok(Vec::new());
    }
    let rows = table.text("arm")?.iter().zip(table.i64("parent_id")?).zip(table.f64("score")?);
    Ok(rows.filter(|((arm, _), _)| **arm == shown.name).map(|((_, id), score)| (*id, *score)).collect())
}

/// Blends by the light that their matched children hold, worst first: the largest |held − true| / √(σ² + (0.1 true)²), since a
/// footprint always ends before the wings of a bright object do. Memory: one batch of blends.
fn by_held_light(run: &Run, shown: &Shown) -> Result<Vec<(i64, f64)>> {
    let matches = &shown.matches;
    if matches.n_rows() == 0 || shown.catalog.columns().is_empty() {
        return Ok(Vec::new());
    }
    let (truth_rows, catalog_rows) = (rows_by_id(&shown.truth), rows_by_id(&shown.catalog));
    let matched = matches.i64("object_id")?.iter().zip(matches.i64("truth_id")?).zip(matches.text("status")?);
    let truth_of: BTreeMap<i64, i64> = matched.filter(|(_, status)| *status == "matched").map(|((o, t), _)| (*o, *t)).collect();
    let score = |parent: i64, blend: &Deblended| {
        let children = blend.children.iter().enumerate().filter_map(|(k, child)| {
            let id = object_id(parent, 0, k as u32 + 1);
            Some((child, *catalog_rows.get(&id)?, *truth_rows.get(truth_of.get(&id)?)?))
        });
        let off = children.flat_map(|(child, row, truth_row)| {
            run.config.run.bands.iter().zip(&child.values_njy).map(move |(band, values)| {
                let [_, sigma, truth] = fluxes(shown, band, Some(row), Some(truth_row));
                let held = values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite()).sum::<f64>();
                (held - truth).abs() / sigma.hypot(0.1 * truth)
            })
        });
        off.filter(|v| v.is_finite()).fold(0.0, f64::max)
    };
    let mut list = Vec::new();
    for index in 0..batch::batches(&run.parents(shown.arm)?).len() {
        let blends = fathom::format::blends::read(&run.path(run.piece_path(shown.arm, "blends", &batch::name(index))))?;
        list.extend(blends.iter().map(|(parent, blend)| (*parent, score(*parent, blend))).filter(|(_, score)| *score > 0.0));
    }
    // Stable: ties stay in the order of ids.
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(list)
}

/// Measured PSF flux, its error, true flux \[nJy\]; NaN where there is none.
fn fluxes(shown: &Shown, band: &str, object: Option<usize>, truth: Option<usize>) -> [f64; 3] {
    let of = |table: &fathom::catalog::Table, name: String, row: Option<usize>| {
        row.and_then(|row| table.f64(&name).ok().map(|v| v[row])).unwrap_or(f64::NAN)
    };
    [
        of(&shown.catalog, format!("{band}_psf_flux"), object),
        of(&shown.catalog, format!("{band}_psf_flux_err"), object),
        of(&shown.truth, format!("{band}_flux"), truth),
    ]
}

/// True objects alone on a box, `[band, y, x]`, by id.
type Truths = BTreeMap<i64, Array3<f32>>;

/// Parent `i` of the list, on `bbox`.
fn sheet(
    run: &Run,
    shown: &Shown,
    (parents, i): (&[Parent], usize),
    bbox: &Box2,
    truths: Option<&Truths>,
    score: f64,
) -> Result<BlendSheet> {
    let bands = &run.config.run.bands;
    let mosaic = run.mosaic(shown.arm)?;
    let mut data_njy_byx = Array3::zeros((bands.len(), bbox.height as usize, bbox.width as usize));
    let mut sigma_njy = Vec::new();
    for (b, band) in bands.iter().enumerate() {
        data_njy_byx.index_axis_mut(Axis(0), b).assign(&mosaic.plane(band, Plane::Image, bbox)?);
        let variance = mosaic.plane(band, Plane::Variance, bbox)?;
        let good: Vec<f64> = variance.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite() && *v > 0.0).collect();
        sigma_njy.push((good.iter().sum::<f64>() / good.len().max(1) as f64).sqrt());
    }
    let truth_njy_byx = truths.map(|list| {
        let mut sum = Array3::zeros(data_njy_byx.dim());
        list.values().for_each(|cube| sum += cube);
        sum
    });
    let children = children(run, shown, (parents, i), bbox, truths)?;
    let middle =
        PixelPoint::new(f64::from(bbox.x0) + 0.5 * f64::from(bbox.width - 1), f64::from(bbox.y0) + 0.5 * f64::from(bbox.height - 1));
    let sky = run.tract.wcs().pixel_to_sky(middle);
    Ok(BlendSheet {
        parent_id: parents[i].id,
        at_deg: (sky.ra_deg(), sky.dec_deg()),
        score: format!("{} children, score {score:.1}", children.len()),
        bands: bands.clone(),
        sigma_njy,
        data_njy_byx,
        truth_njy_byx,
        children,
        n_missed: missed_in(run, shown, &parents[i])?,
    })
}

/// The kept children, each with its match.
fn children(run: &Run, shown: &Shown, (parents, i): (&[Parent], usize), bbox: &Box2, truths: Option<&Truths>) -> Result<Vec<BlendChild>> {
    let parent = &parents[i];
    let (truth_rows, catalog_rows) = (rows_by_id(&shown.truth), rows_by_id(&shown.catalog));
    let index = batch::batches(parents).iter().position(|r| r.contains(&i)).unwrap_or(0);
    let path = run.path(run.piece_path(shown.arm, "blends", &batch::name(index)));
    let blends = fathom::format::blends::read(&path)?;
    let deblended = blends.into_iter().find(|(id, _)| *id == parent.id).map(|(_, d)| d.children).unwrap_or_default();
    let matches = &shown.matches;
    let (truth_ids, object_ids, status) = (matches.i64("truth_id")?, matches.i64("object_id")?, matches.text("status")?);
    let separation = matches.f64("separation_arcsec")?;
    let mut children = Vec::new();
    for (k, child) in deblended.iter().enumerate().filter(|(_, c)| !c.spans.is_empty()) {
        let id = object_id(parent.id, 0, k as u32 + 1);
        let row = object_ids.iter().position(|o| *o == id);
        let truth_id = row.map_or(0, |r| truth_ids[r]);
        let flux = |band: &String| fluxes(shown, band, catalog_rows.get(&id).copied(), truth_rows.get(&truth_id).copied());
        children.push(BlendChild {
            object_id: id,
            truth_id,
            status: row.map_or("no row", |r| &status[r]).to_owned(),
            separation_arcsec: row.map_or(f64::NAN, |r| separation[r]),
            flux_njy: run.config.run.bands.iter().map(flux).collect(),
            njy_byx: on_box(child, run.config.run.bands.len(), bbox),
            truth_njy_byx: truths.and_then(|t| t.get(&truth_id).cloned()),
        });
    }
    Ok(children)
}

/// True objects without a detection of their own whose place is a pixel of the parent.
fn missed_in(run: &Run, shown: &Shown, parent: &Parent) -> Result<usize> {
    let truth_rows = rows_by_id(&shown.truth);
    let (ra, dec) = (shown.truth.f64("ra")?, shown.truth.f64("dec")?);
    let status = shown.matches.text("status")?.iter().zip(shown.matches.i64("truth_id")?);
    let is_inside = |id: &i64| {
        let at = truth_rows.get(id).and_then(|&i| run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra[i], dec[i])).ok());
        at.is_some_and(|p| parent.footprint.spans.contains(p.pixel().0, p.pixel().1))
    };
    Ok(status.filter(|(s, id)| (*s == "missed" || *s == "blended") && is_inside(id)).count())
}

fn on_box(child: &HeavyFootprint, n_bands: usize, bbox: &Box2) -> Array3<f32> {
    let mut cube = Array3::zeros((n_bands, bbox.height as usize, bbox.width as usize));
    for band in 0..child.values_njy.len() {
        cube.index_axis_mut(Axis(0), band).assign(&child.scatter(band, bbox, 0.0));
    }
    cube
}

/// Noiseless pixels of every true object that reaches a box, for each box; none if they were not kept. Memory: one batch of objects.
fn truth_pixels(run: &Run, shown: &Shown, boxes: &[Box2]) -> Result<Option<Vec<Truths>>> {
    let tasks = Truth.tasks(run)?;
    let files: Vec<&PathBuf> = tasks.iter().filter(|t| t.arm == shown.arm).flat_map(|t| &t.extra_paths).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let mut found = vec![Truths::new(); boxes.len()];
    for file in files {
        for object in fathom::format::truth_pixels::read(&run.path(file))?.1 {
            for (bbox, of_box) in boxes.iter().zip(&mut found).filter(|(b, _)| !object.bbox.intersect(b).is_empty()) {
                of_box.insert(object.id, cut(&object, bbox));
            }
        }
    }
    Ok(Some(found))
}

/// The object's pixels on another box.
fn cut(object: &TruthPixels, bbox: &Box2) -> Array3<f32> {
    let mut cube = Array3::zeros((object.values_njy_byx.len_of(Axis(0)), bbox.height as usize, bbox.width as usize));
    let shared = object.bbox.intersect(bbox);
    for (to, from) in cube.axis_iter_mut(Axis(0)).zip(object.values_njy_byx.axis_iter(Axis(0))) {
        let mut to = to;
        to.slice_mut(bbox.slice_of(&shared)).assign(&from.slice(object.bbox.slice_of(&shared)));
    }
    cube
}

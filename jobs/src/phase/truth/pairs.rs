//! Can the data tell an object and its nearest neighbour from one object?

use super::light::{draw, pixels, weight_of_all};
use super::surroundings::Surroundings;
use crate::run::Run;
use anyhow::Result;
use fathom::image::ExposureMeta;
use fathom_sim::{Renderer, TruthObject, counts_of};
use fathom_validation::limit::{BlendFisher, Responses, information};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Farther neighbours are recognised where they are detected.
const FARTHEST_FWHM: f64 = 2.0;

/// An object's nearest neighbour, and what one source in the place of both leaves unexplained.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub id: i64,
    pub delta_chi2: f64,
}

/// By object of the group: the nearest other that counts; none for what does not count itself.
///
/// The single source is of the kind of the brighter (flux over all bands): a star has flux and position to explain the pair with, a galaxy of that profile
/// also size and ellipticity. It starts from the pair's flux and moments ([`Renderer::merged`]) and makes one linear step, common to all exposures.
pub fn nearest(run: &Run, arm: usize, around: &Surroundings) -> Result<Vec<Option<Pair>>> {
    let fwhm_arcsec = run.mean_fwhm_px(arm)? * run.config.sky_map.pixel_scale_arcsec;
    let neighbours: Vec<Option<usize>> = (0..around.n).map(|i| nearest_of(around, i, FARTHEST_FWHM * fwhm_arcsec)).collect();
    // (brighter, fainter): each pair once, whoever names it.
    let of = |i: usize, j: usize| if (flux(around, j), around.ids[j]) > (flux(around, i), around.ids[i]) { (j, i) } else { (i, j) };
    let mut index = BTreeMap::new();
    for (i, j) in neighbours.iter().enumerate().filter_map(|(i, j)| Some((i, (*j)?))) {
        let next = index.len();
        index.entry(of(i, j)).or_insert(next);
    }
    let bands = &run.config.run.bands;
    let mut fisher = BlendFisher::new(bands.len());
    let inputs = run.band_inputs(arm)?;
    for (b, band) in bands.iter().enumerate() {
        for (given, _) in inputs[band].iter().filter(|_| !index.is_empty()) {
            add(run, arm, around, &index, b, &run.true_meta(given)?, &mut fisher)?;
        }
    }
    let pair = |i: usize, j: usize| {
        let number = index[&of(i, j)];
        Pair { id: around.ids[j], delta_chi2: fisher.unexplained(2 * number + 1, 2 * number) }
    };
    Ok(neighbours.iter().enumerate().map(|(i, j)| j.map(|j| pair(i, j))).collect())
}

fn flux(around: &Surroundings, i: usize) -> f64 {
    around.flux_njy.iter().map(|f| f[i]).sum()
}

fn nearest_of(around: &Surroundings, i: usize, within_arcsec: f64) -> Option<usize> {
    let others = (0..around.ids.len()).filter(|&j| j != i && around.counts(i) && around.counts(j));
    others
        .map(|j| (around.positions[i].separation_arcsec(&around.positions[j]), j))
        .filter(|(d, _)| *d <= within_arcsec)
        .min_by(|a, b| a.0.total_cmp(&b.0).then(around.ids[a.1].cmp(&around.ids[b.1])))
        .map(|(_, j)| j)
}

/// Adds what one exposure tells: of pair k, the single source as object 2k, the residual's light as object 2k + 1.
fn add(
    run: &Run,
    arm: usize,
    around: &Surroundings,
    index: &BTreeMap<(usize, usize), usize>,
    band: usize,
    meta: &ExposureMeta,
    fisher: &mut BlendFisher,
) -> Result<()> {
    let renderer = Renderer::new(meta);
    let objects = TruthObject::of_table_with(&around.table, &meta.band, meta.mjd, run.stamps()?.as_ref())?;
    let by_number: BTreeMap<usize, &TruthObject> = objects.iter().map(|o| (around.number(o.id), o)).collect();
    let drawn: Vec<(usize, Responses, Responses)> = index
        .par_iter()
        .filter_map(|((brighter, fainter), number)| {
            let (one, residual) = single_and_residual(&renderer, meta, by_number.get(brighter)?, by_number.get(fainter)?)?;
            Some((*number, one, residual))
        })
        .collect();
    let Some(region) = drawn.iter().map(|(_, one, _)| one.bbox).reduce(|a, b| a.union(&b)) else { return Ok(()) };
    let exposure = pixels(run, arm, meta, &region)?;
    let weight = weight_of_all(run, &exposure);
    for (number, one, residual) in &drawn {
        let (i, j) = (2 * number, 2 * number + 1);
        for (i, j, a, b) in [(i, i, one, one), (i, j, one, residual), (j, j, residual, residual)] {
            fisher.add(band, i, j, &information(a, b, &exposure.bbox, weight.view()));
        }
    }
    Ok(())
}

fn single_and_residual(
    renderer: &Renderer,
    meta: &ExposureMeta,
    brighter: &TruthObject,
    fainter: &TruthObject,
) -> Option<(Responses, Responses)> {
    let merged = Renderer::merged(brighter, fainter);
    let half_px = renderer.information_half_px(&merged)?;
    let one = draw(renderer, meta, &merged, half_px, merged.flux_njy.recip(), true)?;
    if one.bbox.intersect(&meta.bbox()).is_empty() {
        return None;
    }
    let mut light = &one.planes[0] * -merged.flux_njy;
    for object in [brighter, fainter] {
        // Both lie within 2 FWHM of the box's middle, and the box is wider than that.
        let (bbox, values) = renderer.render_square(object, 2 * one.bbox.shape().0)?;
        let part = bbox.intersect(&one.bbox);
        let counts = counts_of(meta, &part, values.slice(bbox.slice_of(&part)).to_owned());
        let mut to = light.slice_mut(one.bbox.slice_of(&part));
        to += &counts;
    }
    let residual = Responses { bbox: one.bbox, planes: vec![light] };
    Some((one, residual))
}

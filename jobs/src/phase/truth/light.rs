//! What the pixels of the exposures tell of the objects that are drawn on them: sums of Fisher matrices, exposure by exposure.

use super::surroundings::Surroundings;
use crate::config::ExposeMode;
use crate::run::Run;
use anyhow::Result;
use fathom::background::VisitProduct;
use fathom::geometry::Box2;
use fathom::image::{Exposure, ExposureMeta, MaskPlane};
use fathom_sim::{Morphology, Renderer, TruthObject, VariancePlane, counts_of};
use fathom_validation::limit::{BlendFisher, Responses, information};
use ndarray::{Array2, Zip};
use rayon::prelude::*;

/// Sums over the exposures of all bands.
pub struct Light<'a> {
    around: &'a Surroundings,
    /// By number of the object.
    pub fisher: BlendFisher,
    /// Information about the flux against the background's noise alone, by band and number in the group \[nJy⁻²\].
    pub against_background: Vec<Vec<f64>>,
    /// Σ I ε over the exposures, I the information about the flux and ε its relative error by the noise in a real galaxy's own stamp.
    stamp_noise: Vec<Vec<f64>>,
}

/// An object on an exposure.
struct Seen<'o> {
    object: &'o TruthObject,
    number: usize,
    half_px: i32,
    bbox: Box2,
}

impl<'a> Light<'a> {
    /// Everything that the exposures tell of the group and of what overlaps with it.
    ///
    /// What does not count is drawn only if it belongs to the group, and then only its flux is unknown: where noise hides an object, its pixels
    /// do not answer linearly to a step as long as the errors are.
    pub fn gather(run: &Run, arm: usize, around: &'a Surroundings) -> Result<Self> {
        let bands = &run.config.run.bands;
        let zero = vec![vec![0.0; around.n]; bands.len()];
        let mut sums = Self { around, fisher: BlendFisher::new(bands.len()), against_background: zero.clone(), stamp_noise: zero };
        let inputs = run.band_inputs(arm)?;
        for (b, band) in bands.iter().enumerate() {
            for (meta, visit) in inputs[band].iter() {
                sums.add(run, arm, b, (meta, visit))?;
            }
        }
        Ok(sums)
    }

    fn add(&mut self, run: &Run, arm: usize, band: usize, (given, visit): (&ExposureMeta, &VisitProduct)) -> Result<()> {
        let around = self.around;
        // Light falls by the true calibrations; a simulation may tell the chain others.
        let meta = run.true_meta(given)?;
        let renderer = Renderer::new(&meta);
        let objects = TruthObject::of_table_with(&around.table, &meta.band, meta.mjd, run.stamps()?.as_ref())?;
        let has_flux = |number: usize| around.flux_njy[band][number] > 0.0;
        let candidates: Vec<Seen> = objects
            .iter()
            .filter_map(|object| seen(&renderer, &meta, object, around.number(object.id)))
            .filter(|s| has_flux(s.number) && (s.number < around.n || around.counts(s.number)))
            .collect();
        let boxes: Vec<Box2> = candidates.iter().map(|s| s.bbox).collect();
        let all_pairs = pairs(&boxes);
        let mut is_near = vec![false; candidates.len()];
        for &(a, b) in &all_pairs {
            if candidates[a].number < around.n || candidates[b].number < around.n {
                (is_near[a], is_near[b]) = (true, true);
            }
        }
        let Some(region) = boxes.iter().zip(&is_near).filter(|(_, near)| **near).map(|(b, _)| *b).reduce(|a, b| a.union(&b)) else {
            return Ok(());
        };
        let exposure = pixels(run, arm, &meta, &region)?;
        let weight = weight_of_all(run, &exposure);
        let drawn: Vec<Option<Responses>> = candidates
            .par_iter()
            .zip(&is_near)
            .map(|(s, near)| {
                let per_njy = around.flux_njy[band][s.number].recip();
                near.then(|| draw(&renderer, &meta, s.object, s.half_px, per_njy, around.counts(s.number))).flatten()
            })
            .collect();
        let blocks: Vec<_> = all_pairs
            .par_iter()
            .map(|&(a, b)| Some(information(drawn[a].as_ref()?, drawn[b].as_ref()?, &exposure.bbox, weight.view())))
            .collect();
        for (&(a, b), block) in all_pairs.iter().zip(&blocks) {
            if let Some(block) = block {
                self.fisher.add(band, candidates[a].number, candidates[b].number, block);
            }
        }
        let of_background = weight_of_background(&exposure, visit);
        for (s, responses) in candidates.iter().zip(&drawn).filter(|(s, _)| s.number < around.n) {
            let Some(r) = responses else { continue };
            let only_flux = Responses { bbox: r.bbox, planes: vec![r.planes[0].clone()] };
            self.against_background[band][s.number] += information(&only_flux, &only_flux, &exposure.bbox, of_background.view())[0][0];
            if matches!(s.object.morphology, Morphology::Stamp(_)) {
                let per_njy = around.flux_njy[band][s.number].recip();
                self.stamp_noise[band][s.number] += stamp_noise(&renderer, &meta, s.object, per_njy, &only_flux, &exposure.bbox, &weight);
            }
        }
        Ok(())
    }

    /// Error of a flux by the noise that a real galaxy's stamp brings \[nJy\]: the same stamp in every exposure, so it does not average out.
    pub fn stamp_noise_njy(&self, band: usize, i: usize) -> f64 {
        let information = self.fisher.flux_information(band, i);
        if information > 0.0 { self.around.flux_njy[band][i] * self.stamp_noise[band][i] / information } else { 0.0 }
    }
}

fn seen<'o>(renderer: &Renderer, meta: &ExposureMeta, object: &'o TruthObject, number: usize) -> Option<Seen<'o>> {
    // Objects far away have no position to speak of, and cost nothing.
    let at = meta.wcs.sky_to_pixel(object.position).ok().filter(|at| meta.bbox().grown(1024).contains_point(*at))?;
    let half_px = renderer.information_half_px(object)?;
    let (x, y) = at.pixel();
    let bbox = Box2::new(x - half_px, y - half_px, 2 * half_px, 2 * half_px);
    (!bbox.intersect(&meta.bbox()).is_empty()).then_some(Seen { object, number, half_px, bbox })
}

/// Derivatives in counts: per nJy of the catalog's flux, per arcsec, by size and shear. Position and shape only if `is_whole`.
pub fn draw(
    renderer: &Renderer,
    meta: &ExposureMeta,
    object: &TruthObject,
    half_px: i32,
    per_njy: f64,
    is_whole: bool,
) -> Option<Responses> {
    let (bbox, planes) = if is_whole {
        let r = renderer.responses(object, half_px)?;
        (r.bbox, [r.flux * per_njy].into_iter().chain(r.position).chain(r.shape.into_iter().flatten()).collect::<Vec<_>>())
    } else {
        let (bbox, flux) = renderer.render_square(object, 2 * half_px as usize)?;
        (bbox, vec![flux * per_njy])
    };
    let counts = counts_of(meta, &bbox, Array2::ones(bbox.shape()));
    Some(Responses { bbox, planes: planes.into_iter().map(|p| p * &counts).collect() })
}

/// I ε of the matched filter on one exposure, see [`Light::stamp_noise_njy`].
fn stamp_noise(
    renderer: &Renderer,
    meta: &ExposureMeta,
    object: &TruthObject,
    per_njy: f64,
    light: &Responses,
    weight_box: &Box2,
    weight: &Array2<f64>,
) -> f64 {
    let counts = counts_of(meta, &light.bbox, Array2::ones(light.bbox.shape()));
    let mut filter = Array2::zeros(light.bbox.shape());
    let part = light.bbox.intersect(weight_box);
    let inside = light.bbox.slice_of(&part);
    filter.slice_mut(inside).assign(&(&light.planes[0].slice(inside) * &weight.slice(weight_box.slice_of(&part))));
    let information = (&filter * &light.planes[0]).sum();
    let profile = &light.planes[0] / &counts / (per_njy * object.flux_njy);
    information * renderer.stamp_noise_of_filter(object, (filter * &counts).view(), profile.view())
}

/// Pairs whose boxes meet, each with itself too: a sweep along x.
fn pairs(boxes: &[Box2]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by_key(|&i| boxes[i].x0);
    let mut pairs = Vec::new();
    for (k, &a) in order.iter().enumerate() {
        let later = order[k..].iter().take_while(|&&b| boxes[b].x0 < boxes[a].x1());
        pairs.extend(later.filter(|&&b| !boxes[b].intersect(&boxes[a]).is_empty()).map(|&b| (a, b)));
    }
    pairs
}

/// The part of an exposure under a box, as the coadd takes it.
pub fn pixels(run: &Run, arm: usize, meta: &ExposureMeta, region: &Box2) -> Result<Exposure> {
    let clips = run.clips(arm)?;
    Ok(run.exposure(arm, &meta.id, region, &clips)?)
}

/// Inverse variance \[1/ADU²\] of all that is in the pixels, by the exposure's own variance plane; 0 at unusable pixels.
///
/// The plane counts the light of everything, also of the real sky under injected objects. Made of observed counts, N electrons of which μ are Poisson, its inverse
/// is high by E\[v/v̂\] = 1 + μ/N²; that is taken off. What is left is scatter: about 1/√N of a pixel's information, averaged over the object's.
pub fn weight_of_all(run: &Run, exposure: &Exposure) -> Array2<f64> {
    let c = &run.config;
    let is_observed = c.expose.mode != ExposeMode::Simulate || c.camera.variance == VariancePlane::Observed;
    let (gain_sq, read_noise_sq) = (exposure.meta.gain_e_per_adu.powi(2), exposure.meta.read_noise_e.powi(2));
    Zip::from(&exposure.variance).and(&exposure.mask).map_collect(|&v, &m| {
        if m & MaskPlane::UNUSABLE != 0 {
            return 0.0;
        }
        let electrons = f64::from(v) * gain_sq;
        let excess = if is_observed { (electrons - read_noise_sq).max(0.0) / electrons.powi(2) } else { 0.0 };
        (f64::from(v) * (1.0 + excess)).recip()
    })
}

/// The same of the smooth background alone.
fn weight_of_background(exposure: &Exposure, visit: &VisitProduct) -> Array2<f64> {
    let variance = visit.background_variance.model_adu2.image(&exposure.bbox, 1.0);
    Zip::from(&variance).and(&exposure.mask).map_collect(|&v, &m| if m & MaskPlane::UNUSABLE == 0 { f64::from(v).recip() } else { 0.0 })
}

//! Limits from the exposures' own pixels: the optimal matched filter of each object, and its flux error in its blend.

use crate::run::Run;
use anyhow::Result;
use fathom::background::VisitProduct;
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{Box2, SkyPoint};
use fathom::image::{Exposure, ExposureMeta, MaskPlane};
use fathom_sim::{Renderer, TruthObject, counts_of};
use fathom_validation::limit::{FluxFisher, Light, weighted_product};
use ndarray::{Array2, Zip};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Objects farther from the batch than this have no noticeable light in common with it \[arcsec\]; large ones are always looked at.
const NEIGHBOUR_ARCSEC: f64 = 20.0;

/// Joins `<band>_snr_optimal`, `<band>_flux_err_alone`, `<band>_flux_err_blend`.
///
/// With m_e the object's noiseless pixels on exposure e per unit of flux: S/N = F √(Σ_e Σ m_e²/v_e) over the usable pixels, v the
/// background's variance; the errors are those of the Fisher matrix of the fluxes with v of background and true light together.
///
/// `is_scattered`: the objects are all over the sky, and each is looked at with its own surroundings.
pub fn join_limits(run: &Run, arm: usize, truth: &mut Table, is_scattered: bool) -> Result<()> {
    let n = truth.n_rows();
    let groups: Vec<Vec<usize>> = if is_scattered { (0..n).map(|i| vec![i]).collect() } else { vec![(0..n).collect()] };
    for band in &run.config.run.bands {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for group in &groups {
            for (column, values) in columns.iter_mut().zip(limits(run, arm, &truth.take(group), band)?) {
                column.extend(values);
            }
        }
        let [snr, alone, blend] = columns;
        for (name, unit, what, values) in [
            ("snr_optimal", "", "signal to noise of the matched filter over all exposures' usable pixels, background noise only", snr),
            (
                "flux_err_alone",
                "nJy",
                "Cramér-Rao bound of the flux, all else known; NaN where no exposure tells; noise of all light included",
                alone,
            ),
            (
                "flux_err_blend",
                "nJy",
                "the same with the fluxes of all overlapping objects unknown; NaN where they cannot be told apart",
                blend,
            ),
        ] {
            truth.push(&format!("{band}_{name}"), unit, what, ColumnData::F64(values))?;
        }
    }
    Ok(())
}

/// Optimal S/N, error alone, error in the blend, of the rows of a group.
fn limits(run: &Run, arm: usize, truth: &Table, band: &str) -> Result<[Vec<f64>; 3]> {
    let near = near(run, arm, truth)?;
    let number = numbers(truth, &near)?;
    let n = truth.n_rows();
    let flux = near.i64("id")?.iter().copied().zip(near.f64(&format!("{band}_flux"))?.iter().copied()).collect();
    let mut sums = Sums { number: &number, flux_njy: flux, fisher: FluxFisher::default(), background: vec![0.0; n] };
    for (meta, visit) in run.band_inputs(arm)?[band].iter() {
        sums.add(run, arm, (meta, visit), &near)?;
    }
    let finite = |v: f64| if v.is_finite() { v } else { f64::NAN };
    let snr = truth.f64(&format!("{band}_flux"))?.iter().zip(&sums.background).map(|(f, b)| f * b.sqrt()).collect();
    let alone = (0..n).map(|i| finite(sums.fisher.error_alone(i))).collect();
    let blend = (0..n).map(|i| finite(sums.fisher.error_in_blend(i, run.config.truth.min_overlap))).collect();
    Ok([snr, alone, blend])
}

/// The group and what lies around it.
fn near(run: &Run, arm: usize, truth: &Table) -> Result<Table> {
    let positions: Vec<SkyPoint> =
        truth.f64("ra")?.iter().zip(truth.f64("dec")?).map(|(&ra, &dec)| SkyPoint::from_degrees(ra, dec)).collect();
    let center = positions[positions.len() / 2];
    let radius = positions.iter().map(|p| p.separation_arcsec(&center)).fold(0.0, f64::max);
    let largest = truth.f64("half_light_radius")?.iter().copied().fold(0.0, f64::max);
    Ok(fathom::format::truth::read_near(&run.path(run.truth_path(arm)), center, radius + NEIGHBOUR_ARCSEC + 3.0 * largest)?)
}

/// Numbers by id: those of the batch are its rows, neighbours come behind them.
fn numbers(truth: &Table, near: &Table) -> Result<BTreeMap<i64, usize>> {
    let mut number: BTreeMap<i64, usize> = truth.i64("id")?.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    for id in near.i64("id")? {
        let next = number.len();
        number.entry(*id).or_insert(next);
    }
    Ok(number)
}

/// An object on an exposure: its number, its flux in the catalog, its counts per unit of that flux.
struct Drawn {
    number: usize,
    flux_njy: f64,
    light: Light,
}

/// Sums over the exposures of one band.
struct Sums<'a> {
    number: &'a BTreeMap<i64, usize>,
    /// Flux that the catalog states, by id: the parameter whose error is asked for.
    flux_njy: BTreeMap<i64, f64>,
    fisher: FluxFisher,
    /// Information about the flux against the background's noise, by number in the group \[1/nJy²\].
    background: Vec<f64>,
}

impl Sums<'_> {
    fn add(&mut self, run: &Run, arm: usize, (given, visit): (&ExposureMeta, &VisitProduct), near: &Table) -> Result<()> {
        // Light falls by the true calibrations; a simulation may tell the chain others.
        let meta = run.true_meta(given)?;
        let renderer = Renderer::new(&meta);
        let n = self.background.len();
        let objects = TruthObject::of_table_with(near, &meta.band, meta.mjd, run.stamps()?.as_ref())?;
        let (of_group, others): (Vec<_>, Vec<_>) = objects.iter().partition(|o| self.number[&o.id] < n);
        let draw = |o: &&TruthObject, inside: &Box2| {
            let flux_njy = self.flux_njy[&o.id];
            if !(flux_njy > 0.0 && renderer.may_touch(o, inside)) {
                return None;
            }
            let (stamp_box, stamp) = renderer.render(o)?;
            let bbox = stamp_box.intersect(inside);
            if bbox.is_empty() {
                return None;
            }
            let values = counts_of(&meta, &bbox, stamp.slice(stamp_box.slice_of(&bbox)).to_owned()) / flux_njy;
            Some(Drawn { number: self.number[&o.id], flux_njy, light: Light { bbox, values } })
        };
        let mut drawn: Vec<Drawn> = of_group.par_iter().filter_map(|o| draw(o, &meta.bbox())).collect();
        let Some(region) = drawn.iter().map(|d| d.light.bbox).reduce(|a, b| a.union(&b)) else { return Ok(()) };
        drawn.par_extend(others.par_iter().filter_map(|o| draw(o, &region)));
        let mut exposure = fathom::format::exposure::read(&run.path(run.exposure_path(arm, &meta.id.0)), Some(&region))?;
        exposure.sanitize();
        let (weight, of_background) = weights(&exposure, visit, &drawn);

        let pairs = pairs(&drawn);
        let products: Vec<f64> =
            pairs.par_iter().map(|&(a, b)| weighted_product(&drawn[a].light, &drawn[b].light, &region, weight.view())).collect();
        for (&(a, b), product) in pairs.iter().zip(products) {
            self.fisher.add(drawn[a].number, drawn[b].number, product);
        }
        for d in drawn.iter().filter(|d| d.number < n) {
            self.background[d.number] += weighted_product(&d.light, &d.light, &region, of_background.view());
        }
        Ok(())
    }
}

/// Pairs whose boxes meet, each with itself too: a sweep along x.
fn pairs(drawn: &[Drawn]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..drawn.len()).collect();
    order.sort_by_key(|&i| drawn[i].light.bbox.x0);
    let mut pairs = Vec::new();
    for (k, &a) in order.iter().enumerate() {
        let of_a = drawn[a].light.bbox;
        let later = order[k..].iter().take_while(|&&b| drawn[b].light.bbox.x0 < of_a.x1());
        pairs.extend(later.filter(|&&b| !drawn[b].light.bbox.intersect(&of_a).is_empty()).map(|&b| (a, b)));
    }
    pairs
}

/// Inverse variance \[1/ADU²\] of background and light together, and of the background alone; 0 at unusable pixels.
fn weights(exposure: &Exposure, visit: &VisitProduct, drawn: &[Drawn]) -> (Array2<f64>, Array2<f64>) {
    let (meta, bbox) = (&exposure.meta, exposure.bbox);
    let mut light = Array2::<f64>::zeros(bbox.shape());
    for Drawn { flux_njy, light: own, .. } in drawn {
        let part = bbox.intersect(&own.bbox);
        if !part.is_empty() {
            light.slice_mut(bbox.slice_of(&part)).scaled_add(*flux_njy, &own.values.slice(own.bbox.slice_of(&part)));
        }
    }
    let mut background = visit.background_variance.model_adu2.image(&bbox, 1.0).mapv(f64::from);
    let mut total = Array2::zeros(bbox.shape());
    Zip::from(&mut background).and(&mut total).and(&light).and(&exposure.mask).for_each(|b, t, &light_adu, &m| {
        let is_usable = m & MaskPlane::UNUSABLE == 0;
        *t = if is_usable { (*b + light_adu.max(0.0) / meta.gain_e_per_adu).recip() } else { 0.0 };
        *b = if is_usable { b.recip() } else { 0.0 };
    });
    (total, background)
}

/// The part of an exposure under a box, holding an object's light alone: its counts, the real mask, no background.
pub fn exposure_of_light(real: &Exposure, bbox: Box2, light: Option<(&Box2, &Array2<f64>)>) -> Exposure {
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

//! Limits from the exposures' own pixels: the optimal matched filter of each object, and its flux error in its blend.

use crate::run::Run;
use anyhow::Result;
use fathom::background::VisitProduct;
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{Box2, SkyPoint};
use fathom::image::{Exposure, ExposureMeta, MaskPlane};
use fathom_sim::{Renderer, TruthObject};
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
pub fn join_limits(run: &Run, arm: usize, truth: &mut Table) -> Result<()> {
    let near = near(run, arm, truth)?;
    let number = numbers(truth, &near)?;
    let n = truth.n_rows();
    let inputs = run.band_inputs(arm)?;
    for band in &run.config.run.bands {
        let flux = near.i64("id")?.iter().copied().zip(near.f64(&format!("{band}_flux"))?.iter().copied()).collect();
        let mut sums = Sums { number: &number, flux_njy: flux, fisher: FluxFisher::default(), background: vec![0.0; n] };
        for (meta, visit) in inputs[band].iter() {
            sums.add(run, arm, (meta, visit), &near)?;
        }
        let own = truth.f64(&format!("{band}_flux"))?;
        let finite = |v: f64| if v.is_finite() { v } else { f64::NAN };
        let snr = own.iter().zip(&sums.background).map(|(f, b)| f * b.sqrt()).collect();
        let alone = (0..n).map(|i| finite(sums.fisher.error_alone(i))).collect();
        let blend = (0..n).map(|i| finite(sums.fisher.error_in_blend(i, run.config.truth.min_overlap))).collect();
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

/// The batch and what lies around it.
fn near(run: &Run, arm: usize, truth: &Table) -> Result<Table> {
    let positions: Vec<SkyPoint> =
        truth.f64("ra")?.iter().zip(truth.f64("dec")?).map(|(&ra, &dec)| SkyPoint::from_degrees(ra, dec)).collect();
    let center = positions[positions.len() / 2];
    let radius = positions.iter().map(|p| p.separation_arcsec(&center)).fold(0.0, f64::max);
    Ok(fathom::format::truth::read_near(&run.path(run.truth_path(arm)), center, radius + NEIGHBOUR_ARCSEC)?)
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

/// An object on an exposure: its number, its flux in the catalog, its pixels per unit of that flux.
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
    /// Information about the flux against the background's noise, by number in the batch \[1/nJy²\].
    background: Vec<f64>,
}

impl Sums<'_> {
    fn add(&mut self, run: &Run, arm: usize, (meta, visit): (&ExposureMeta, &VisitProduct), near: &Table) -> Result<()> {
        let objects = TruthObject::of_table_with(near, &meta.band, meta.mjd, run.stamps()?.as_ref())?;
        let renderer = Renderer::new(meta);
        let draw = |o: &TruthObject| {
            let (bbox, values) = renderer.render(o)?;
            let flux_njy = self.flux_njy[&o.id];
            let is_seen = !bbox.intersect(&meta.bbox()).is_empty() && flux_njy > 0.0;
            is_seen.then(|| Drawn { number: self.number[&o.id], flux_njy, light: Light { bbox, values: values / flux_njy } })
        };
        let drawn: Vec<Drawn> = objects.par_iter().filter_map(draw).collect();
        let n = self.background.len();
        let of_batch = || drawn.iter().filter(|d| d.number < n);
        let Some(region) = of_batch().map(|d| d.light.bbox.intersect(&meta.bbox())).reduce(|a, b| a.union(&b)) else { return Ok(()) };
        let mut exposure = fathom::format::exposure::read(&run.path(run.exposure_path(arm, &meta.id.0)), Some(&region))?;
        exposure.sanitize();
        let (weight, of_background) = weights(&exposure, visit, &drawn);

        let meet = |a: &Drawn, b: &Drawn| !a.light.bbox.intersect(&b.light.bbox).intersect(&region).is_empty();
        let pairs: Vec<(&Drawn, &Drawn)> =
            drawn.iter().enumerate().flat_map(|(i, a)| drawn[i..].iter().map(move |b| (a, b))).filter(|(a, b)| meet(a, b)).collect();
        let products: Vec<f64> = pairs.par_iter().map(|(a, b)| weighted_product(&a.light, &b.light, &region, weight.view())).collect();
        for ((a, b), product) in pairs.iter().zip(products) {
            self.fisher.add(a.number, b.number, product);
        }
        for d in of_batch() {
            self.background[d.number] += weighted_product(&d.light, &d.light, &region, of_background.view());
        }
        Ok(())
    }
}

/// Inverse variance \[1/nJy²\] of background and light together, and of the background alone; 0 at unusable pixels.
fn weights(exposure: &Exposure, visit: &VisitProduct, drawn: &[Drawn]) -> (Array2<f64>, Array2<f64>) {
    let (meta, bbox) = (&exposure.meta, exposure.bbox);
    let mut light = Array2::<f64>::zeros(bbox.shape());
    for Drawn { flux_njy, light: own, .. } in drawn {
        let part = bbox.intersect(&own.bbox);
        if !part.is_empty() {
            light.slice_mut(bbox.slice_of(&part)).scaled_add(*flux_njy, &own.values.slice(own.bbox.slice_of(&part)));
        }
    }
    let njy_per_adu = meta.photo_calib.mean_njy_per_adu;
    let njy_per_e = njy_per_adu / meta.gain_e_per_adu;
    let mut background = visit.background_variance.model_adu2.image(&bbox, njy_per_adu * njy_per_adu).mapv(f64::from);
    let mut total = Array2::zeros(bbox.shape());
    Zip::from(&mut background).and(&mut total).and(&light).and(&exposure.mask).for_each(|b, t, &light_njy, &m| {
        let is_usable = m & MaskPlane::UNUSABLE == 0;
        *t = if is_usable { (*b + light_njy.max(0.0) * njy_per_e).recip() } else { 0.0 };
        *b = if is_usable { b.recip() } else { 0.0 };
    });
    (total, background)
}

/// The part of an exposure under a box, holding an object's light alone: counts of `light`, the real mask, no background.
pub fn exposure_of_light(real: &Exposure, bbox: Box2, light: Option<(&Box2, &Array2<f64>)>) -> Exposure {
    let mut image = Array2::<f32>::zeros(bbox.shape());
    if let Some((light_box, values_njy)) = light {
        let part = bbox.intersect(light_box);
        if !part.is_empty() {
            let adu_per_njy = real.meta.photo_calib.mean_njy_per_adu.recip();
            let mut to = image.slice_mut(bbox.slice_of(&part));
            to.zip_mut_with(&values_njy.slice(light_box.slice_of(&part)), |z, v| *z = (v * adu_per_njy) as f32);
        }
    }
    let mask = real.mask.slice(real.bbox.slice_of(&bbox)).to_owned();
    Exposure { meta: real.meta.clone(), bbox, image, variance: Array2::ones(bbox.shape()), mask }
}

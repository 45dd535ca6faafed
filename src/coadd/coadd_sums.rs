//! The sums of one band on one patch while exposures are added, and the coadd that they make.

use super::autocorrelation::{AutocorrelationSums, half_width_for};
use super::covariance::CovarianceSums;
use super::kernel::Lanczos;
use super::likelihood::{Correlator, LikelihoodTerms, RunScratch};
use super::make_coadd::{CoaddConfig, CoaddEdges, direct_weight};
use super::mapping::{Mapping, image_of, jacobian_at};
use super::phi_morphology::MorphologyCorrelator;
use super::prepared::Prepared;
use super::stack::{RowSums, RunAdder};
use super::warp::{Outcome, WarpedRun, Warper, floor};
use super::whole_cells::WholeCells;
use super::{BandCoadd, CoaddInputRecord, Decision, WindowMaps};
use crate::background::VisitProduct;
use crate::geometry::{Box2, Cell, Tract};
use crate::image::{Exposure, ExposureMeta, MaskPlane};
use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;

/// The sums of one band on one patch while exposures are added.
pub struct CoaddSums {
    band: String,
    tract: Tract,
    bbox: Box2,
    kernel: Lanczos,
    min_kernel_weight: f64,
    edges: CoaddEdges,
    morphologies_arcsec: Vec<f64>,
    inputs: Vec<CoaddInputRecord>,
    decisions: Vec<Decision>,
    fwhm_px: f64,
    flux: Array2<f64>,
    variance: Array2<f64>,
    weight: Array2<f64>,
    likelihood: Array2<LikelihoodTerms>,
    /// Φ of the morphologies, `[y, morphology, x]`: threads share rows.
    phi_morphology: Array3<f64>,
    /// Ψ and Φ of the time window that is open.
    window: Option<Array2<[f64; 2]>>,
    mask: Array2<u32>,
    inputs_wyx: Array3<u64>,
    covariance: CovarianceSums,
    autocorrelation: AutocorrelationSums,
}

/// Why rows of the sums are a slice.
const ROWS: &str = "rows of an array in standard layout are contiguous";

/// Rows that a thread adds to at a time, run below run: what the runs read of an exposure that is turned stays in the cache.
const BAND_ROWS: usize = 32;

/// Why a place has no value, where the coadd tells: saturation, which is a property of the source, and artifacts that were cut. `SAT` and
/// `CLIPPED` if one of the taps around (`x`, `y`) has them.
#[cold]
fn reasons_under(exposure: &Exposure, kernel: &Lanczos, x: f64, y: f64) -> u32 {
    let n = kernel.n_taps() as i32;
    let first = |v: f64| (floor(v) + kernel.first_tap()) as i32;
    let taps = Box2::new(first(x), first(y), n, n).intersect(&exposure.bbox);
    exposure.mask.slice(exposure.bbox.slice_of(&taps)).iter().fold(0, |a, m| a | m) & (MaskPlane::Sat.bit() | MaskPlane::Clipped.bit())
}

impl CoaddSums {
    /// Sums without an exposure, for those of `all`, in that order; noise covariances for `cells`.
    pub(super) fn new(
        config: &CoaddConfig,
        tract: &Tract,
        bbox: Box2,
        cells: Vec<Cell>,
        band: &str,
        all: &[(&ExposureMeta, &VisitProduct)],
    ) -> Self {
        let shape = bbox.shape();
        let scale = tract.config().pixel_scale_arcsec;
        let native_px = |meta: &ExposureMeta| meta.wcs.pixel_area_arcsec2(meta.center()).sqrt() / scale;
        let record = |&(meta, visit): &(&ExposureMeta, &VisitProduct)| CoaddInputRecord {
            id: meta.id.clone(),
            weight: direct_weight(config.weight, meta, visit, tract),
            n_pixels: 0,
            mjd: meta.mjd,
            electrons_per_njy: meta.electrons_per_njy(),
            fwhm_px: meta.psf.fwhm_px(meta.center()) * native_px(meta),
        };
        let inputs: Vec<_> = all.iter().map(record).collect();
        let (mut fwhm, mut weights, mut finest) = (0.0, 0.0, f64::INFINITY);
        for ((meta, _), input) in all.iter().zip(&inputs) {
            fwhm += input.weight * input.fwhm_px;
            weights += input.weight;
            finest = native_px(meta).recip().min(finest);
        }
        let kernel = Lanczos::new(config.lanczos_order);
        // Light alone has no noise to be correlated.
        let lags = if cells.is_empty() { 0 } else { half_width_for(all.iter().map(|(meta, _)| (*meta, native_px(meta)))) };
        Self {
            band: band.to_owned(),
            tract: tract.clone(),
            bbox,
            min_kernel_weight: config.min_kernel_weight,
            edges: config.edges,
            morphologies_arcsec: config.morphologies_arcsec.clone(),
            fwhm_px: fwhm / weights,
            flux: Array2::zeros(shape),
            variance: Array2::zeros(shape),
            weight: Array2::zeros(shape),
            likelihood: Array2::from_elem(shape, LikelihoodTerms::default()),
            phi_morphology: Array3::zeros((shape.0, config.morphologies_arcsec.len(), shape.1)),
            window: None,
            mask: Array2::zeros(shape),
            inputs_wyx: Array3::zeros((inputs.len().div_ceil(64), shape.0, shape.1)),
            covariance: CovarianceSums::new(cells.clone(), &kernel, finest),
            autocorrelation: AutocorrelationSums::new(cells, lags),
            kernel,
            inputs,
            decisions: Vec::new(),
        }
    }

    /// Notes what was decided about every exposure of the band; those of the sums are the selected ones.
    pub fn note(&mut self, decisions: Vec<Decision>) {
        self.decisions = decisions;
    }

    /// Adds exposure `index` (of the list given to `start`); `exposure` holds at least the pixels that `needed` named, sanitised.
    /// Sums depend on the order of the calls in their last bits; threads share rows and tiles.
    pub fn add(&mut self, index: usize, exposure: &Exposure, visit: &VisitProduct) {
        let mapping = Mapping::new(self.tract.wcs(), &exposure.meta.wcs, self.bbox);
        let prepared = Prepared::new(exposure, visit);
        self.add_direct(index, exposure, &prepared, &mapping);
        self.add_likelihood(&exposure.meta, &prepared, &mapping);
    }

    /// The direct half of [`Self::add`].
    pub fn add_warp(&mut self, index: usize, exposure: &Exposure, visit: &VisitProduct) {
        let mapping = Mapping::new(self.tract.wcs(), &exposure.meta.wcs, self.bbox);
        self.add_direct(index, exposure, &Prepared::new(exposure, visit), &mapping);
    }

    /// The likelihood half of [`Self::add`].
    pub fn add_maps(&mut self, exposure: &Exposure, visit: &VisitProduct) {
        let mapping = Mapping::new(self.tract.wcs(), &exposure.meta.wcs, self.bbox);
        self.add_likelihood(&exposure.meta, &Prepared::new(exposure, visit), &mapping);
    }

    fn add_direct(&mut self, index: usize, exposure: &Exposure, prepared: &Prepared, mapping: &Mapping) {
        let weight = self.inputs[index].weight;
        let touched = prepared.bad.windows_with_any(self.kernel.n_taps());
        let (kernel, min_weight, shape) = (&self.kernel, self.min_kernel_weight, exposure.meta.shape);
        let warper = Warper { prepared, kernel, touched: &touched, shape, min_weight };
        let adder = RunAdder { weight, bit: 1 << (index % 64), mask: exposure.mask.as_slice().expect(ROWS) };
        let whole = (self.edges == CoaddEdges::Cell).then(|| WholeCells::new(&self.tract, &self.bbox, &exposure.meta, kernel));
        let mut plane = self.inputs_wyx.index_axis_mut(Axis(0), index / 64);
        let width = self.bbox.width as usize;
        let n_pixels: u64 = (
            self.flux.axis_chunks_iter_mut(Axis(0), BAND_ROWS),
            self.variance.axis_chunks_iter_mut(Axis(0), BAND_ROWS),
            self.weight.axis_chunks_iter_mut(Axis(0), BAND_ROWS),
            self.mask.axis_chunks_iter_mut(Axis(0), BAND_ROWS),
            plane.axis_chunks_iter_mut(Axis(0), BAND_ROWS),
        )
            .into_par_iter()
            .enumerate()
            .map(|(band, (flux, variance, weight, mask, inputs))| {
                let n_rows = flux.nrows();
                let (flux, variance, weight) =
                    (flux.into_slice().expect(ROWS), variance.into_slice().expect(ROWS), weight.into_slice().expect(ROWS));
                let (mask, inputs) = (mask.into_slice().expect(ROWS), inputs.into_slice().expect(ROWS));
                let mut warped = WarpedRun::new();
                let mut n_pixels = 0;
                for (i, r) in (0..mapping.n_runs()).flat_map(|i| (0..n_rows).map(move |r| (i, r))) {
                    let j = band * BAND_ROWS + r;
                    let run = mapping.run(j, i);
                    let row = r * width..(r + 1) * width;
                    let mut row = RowSums {
                        flux: &mut flux[row.clone()],
                        variance: &mut variance[row.clone()],
                        weight: &mut weight[row.clone()],
                        mask: &mut mask[row.clone()],
                        inputs: &mut inputs[row],
                    };
                    warper.run(run.x(), run.y(), &mut warped);
                    if let Some(whole) = &whole {
                        whole.leave_others(j, &run.columns, &mut warped);
                    }
                    n_pixels += adder.add(&warped, &run, &mut row);
                    for i in (0..run.columns.len()).filter(|&i| warped.outcome[i] == Outcome::Masked) {
                        row.mask[run.columns.start + i] |= reasons_under(exposure, kernel, run.x()[i], run.y()[i]);
                    }
                }
                n_pixels
            })
            .sum();
        self.inputs[index].n_pixels = n_pixels;
        let is_part = |cell: &Cell| whole.as_ref().is_none_or(|w| w.has(cell));
        self.covariance.add(self.tract.wcs(), exposure, prepared, weight, is_part);
    }

    fn add_likelihood(&mut self, meta: &ExposureMeta, prepared: &Prepared, mapping: &Mapping) {
        let region = image_of(self.tract.wcs(), &meta.wcs, &self.bbox);
        let correlator = Correlator::new(meta);
        if let Some(psi) = correlator.psi(prepared, &region) {
            self.autocorrelation.add(&self.tract, meta, prepared, |at| jacobian_at(self.tract.wcs(), &meta.wcs, at));
            let window = self.window.as_mut().map(|w| w.axis_iter_mut(Axis(0)).map(Some).collect::<Vec<_>>());
            let windows = window.unwrap_or_else(|| (0..self.bbox.height).map(|_| None).collect());
            let rows = (self.likelihood.axis_iter_mut(Axis(0)), windows).into_par_iter().enumerate();
            rows.for_each_init(RunScratch::default, |scratch, (j, (mut sums, mut window))| {
                for run in mapping.runs(j) {
                    correlator.run(prepared, &psi, &run, scratch, |i, terms| {
                        let at = run.columns.start + i;
                        sums[at].add(&terms);
                        if let Some(window) = &mut window {
                            window[at][0] += terms.psi;
                            window[at][1] += terms.phi;
                        }
                    });
                }
            });
        }
        let Some(correlator) = MorphologyCorrelator::new(meta, &self.morphologies_arcsec) else { return };
        let Some(shares) = correlator.shares(prepared, &region) else { return };
        self.phi_morphology.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each_init(Vec::new, |c, (j, mut sums)| {
            for run in mapping.runs(j) {
                correlator.run(&shares, &run, c, |g, i, phi| sums[[g, run.columns.start + i]] += phi);
            }
        });
    }

    /// Opens a time window: what is added from now on is part of its maps, too.
    pub fn open_window(&mut self) {
        self.window = Some(Array2::from_elem(self.bbox.shape(), [0.0; 2]));
    }

    /// Closes the window; its maps, if one was open.
    pub fn close_window(&mut self) -> Option<WindowMaps> {
        let sums = self.window.take()?;
        Some(WindowMaps { psi: sums.map(|s| s[0] as f32), phi: sums.map(|s| s[1] as f32) })
    }

    /// The coadd.
    #[must_use]
    pub fn finish(self) -> BandCoadd {
        let weight = self.weight;
        let mut mask = self.mask;
        ndarray::Zip::from(&mut mask).and(&weight).for_each(|m, &w| {
            if w <= 0.0 {
                *m |= MaskPlane::NoData.bit();
            }
        });
        // Sums are given up one after another: the peak is theirs, not theirs and the coadd's.
        let per_weight = |sum: Array2<f64>, power: i32, none: f32| {
            ndarray::Zip::from(&sum).and(&weight).map_collect(|&s, &w| if w > 0.0 { (s / w.powi(power)) as f32 } else { none })
        };
        let image_njy = per_weight(self.flux, 1, f32::NAN);
        let variance_njy2 = per_weight(self.variance, 2, f32::INFINITY);
        let plane = |get: &dyn Fn(&LikelihoodTerms) -> f64| self.likelihood.map(|t| get(t) as f32);
        BandCoadd {
            image_njy,
            variance_njy2,
            mask,
            inputs_wyx: self.inputs_wyx,
            psi: plane(&|t| t.psi),
            phi: plane(&|t| t.phi),
            phi3: plane(&|t| t.phi3),
            omega: plane(&|t| t.omega),
            phi_morphology: self.phi_morphology.axis_iter(Axis(1)).map(|sum| sum.mapv(|phi| phi as f32)).collect(),
            morphologies_arcsec: self.morphologies_arcsec,
            covariance: self.covariance.finish(),
            autocorrelation: self.autocorrelation.finish(),
            fwhm_px: self.fwhm_px,
            band: self.band,
            bbox: self.bbox,
            inputs: self.inputs,
            decisions: self.decisions,
        }
    }
}

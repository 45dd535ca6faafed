//! Makes the coadds of one band on one patch, exposure by exposure.

use super::autocorrelation::{AutocorrelationSums, half_width_for};
use super::covariance::CovarianceSums;
use super::kernel::Lanczos;
use super::likelihood::{Correlator, LikelihoodTerms, outer_reach_px, pixels_for, tile_of};
use super::mapping::{Mapping, image_of, jacobian_at};
use super::prepared::Prepared;
use super::stack::{RowSums, RunAdder};
use super::warp::{Outcome, WarpedRun, Warper, floor};
use super::{BandCoadd, CoaddInputRecord};
use crate::background::VisitProduct;
use crate::geometry::{Box2, Cell, Patch, PixelPoint, Tract};
use crate::image::{Exposure, ExposureMeta, MaskPlane};
use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of [`MakeCoadd`]: section `[coadd]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoaddConfig {
    /// Order of the Lanczos kernel of the direct coadd, 3 or 5.
    pub lanczos_order: usize,
    /// Least share of Σk and of Σk² that good pixels must supply, in 0..=1; below it: no data from that exposure.
    pub min_kernel_weight: f64,
}

impl Default for CoaddConfig {
    fn default() -> Self {
        Self { lanczos_order: 3, min_kernel_weight: 0.97 }
    }
}

/// Why a coadd could not be made.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum CoaddError {
    /// A setting out of range.
    #[error("coadd.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// No exposure of a band.
    #[error("band {band} has no exposure")]
    NoExposure {
        /// Band.
        band: String,
    },
}

/// The coadd stage.
#[derive(Debug, Clone)]
pub struct MakeCoadd {
    config: CoaddConfig,
}

/// The sums of one band on one patch while exposures are added.
pub struct CoaddSums {
    band: String,
    tract: Tract,
    bbox: Box2,
    kernel: Lanczos,
    min_kernel_weight: f64,
    inputs: Vec<CoaddInputRecord>,
    fwhm_px: f64,
    flux: Array2<f64>,
    variance: Array2<f64>,
    weight: Array2<f64>,
    likelihood: Array2<LikelihoodTerms>,
    mask: Array2<u32>,
    inputs_wyx: Array3<u64>,
    covariance: CovarianceSums,
    autocorrelation: AutocorrelationSums,
}

/// Why a row of the sums is a slice.
const ROWS: &str = "rows of an array in standard layout are contiguous";

fn center(meta: &ExposureMeta) -> PixelPoint {
    PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0)
}

/// Side of the exposure's pixel in pixels of `scale_arcsec`.
fn native_px(meta: &ExposureMeta, scale_arcsec: f64) -> f64 {
    meta.wcs.pixel_area_arcsec2(center(meta)).sqrt() / scale_arcsec
}

/// Weight of an exposure in the direct coadd: √(Σφ²)/σ² at its centre, with φ in tract pixels.
///
/// Within 2e-4 of the optimum for point sources; Σφ²/σ² and 1/σ² both lose 2 % of the signal-to-noise in varying seeing.
fn direct_weight(meta: &ExposureMeta, visit: &VisitProduct, tract: &Tract) -> f64 {
    let at = center(meta);
    let sum_sq = meta.psf.stamp(at, 0.0, 0.0).mapv(|p| p * p).sum();
    let variance_njy2 = visit.background_variance.at(at) * meta.photo_calib.at(at).powi(2);
    // Per unit of sky, not of native pixel: Σφ² goes with the pixel's area, and so does the variance.
    let area = meta.wcs.pixel_area_arcsec2(at) / tract.config().pixel_scale_arcsec.powi(2);
    (sum_sq / area).sqrt() / (variance_njy2 / area)
}

impl MakeCoadd {
    /// # Errors
    /// [`CoaddError::Config`] if a setting is outside its range.
    pub fn new(config: CoaddConfig) -> Result<Self, CoaddError> {
        let c = &config;
        if ![3, 5].contains(&c.lanczos_order) {
            return Err(CoaddError::Config { key: "lanczos_order", found: c.lanczos_order.to_string(), expected: "3 or 5" });
        }
        if !(0.5..=1.0).contains(&c.min_kernel_weight) {
            return Err(CoaddError::Config { key: "min_kernel_weight", found: c.min_kernel_weight.to_string(), expected: "0.5..=1" });
        }
        Ok(Self { config })
    }

    /// Pixels of the exposure that the patch needs (kernels' support and whole tiles included); empty if they do not meet.
    #[must_use]
    pub fn needed(&self, tract: &Tract, patch: &Patch, meta: &ExposureMeta) -> Box2 {
        let region = image_of(tract.wcs(), &meta.wcs, &patch.bbox);
        if region.intersect(&meta.bbox().grown(meta.psf.radius_px() as i32)).is_empty() {
            return Box2::new(0, 0, 0, 0);
        }
        pixels_for(&region, meta).intersect(&meta.bbox())
    }

    /// Starts a coadd. `all` lists every exposure of the band in the tract, in id order: weights and the FWHM are those of the tract.
    ///
    /// # Errors
    /// [`CoaddError::NoExposure`].
    pub fn start(&self, tract: &Tract, patch: &Patch, band: &str, all: &[(&ExposureMeta, &VisitProduct)]) -> Result<CoaddSums, CoaddError> {
        self.start_on(tract, patch.bbox, tract.cells_in(&patch.bbox), band, all)
    }

    /// Starts a direct coadd of noiseless light on any box of the tract, with the weights of the coadd itself: to be filled by
    /// [`CoaddSums::add_warp`] with exposures that hold the light and the mask of the real ones; its noise covariance stays empty.
    ///
    /// # Errors
    /// [`CoaddError::NoExposure`].
    pub fn start_light(
        &self,
        tract: &Tract,
        bbox: Box2,
        band: &str,
        all: &[(&ExposureMeta, &VisitProduct)],
    ) -> Result<CoaddSums, CoaddError> {
        self.start_on(tract, bbox, Vec::new(), band, all)
    }

    /// Pixels of the exposure whose values the warp onto a box of the tract takes; empty if they do not meet.
    #[must_use]
    pub fn under(&self, tract: &Tract, bbox: &Box2, meta: &ExposureMeta) -> Box2 {
        image_of(tract.wcs(), &meta.wcs, bbox).grown(self.config.lanczos_order as i32 + 1).intersect(&meta.bbox())
    }

    /// Pixels of the tract that light on a box of the exposure reaches, kernel included.
    #[must_use]
    pub fn reached(&self, tract: &Tract, bbox: &Box2, meta: &ExposureMeta) -> Box2 {
        image_of(&meta.wcs, tract.wcs(), &bbox.grown(self.config.lanczos_order as i32 + 1)).intersect(&tract.bbox())
    }

    fn start_on(
        &self,
        tract: &Tract,
        bbox: Box2,
        cells: Vec<Cell>,
        band: &str,
        all: &[(&ExposureMeta, &VisitProduct)],
    ) -> Result<CoaddSums, CoaddError> {
        if all.is_empty() {
            return Err(CoaddError::NoExposure { band: band.to_owned() });
        }
        let shape = bbox.shape();
        let inputs: Vec<_> = all
            .iter()
            .map(|(meta, visit)| CoaddInputRecord { id: meta.id.clone(), weight: direct_weight(meta, visit, tract), n_pixels: 0 })
            .collect();
        let scale = tract.config().pixel_scale_arcsec;
        let (mut fwhm, mut weights, mut finest) = (0.0, 0.0, f64::INFINITY);
        for ((meta, _), input) in all.iter().zip(&inputs) {
            let native_px = native_px(meta, scale);
            fwhm += input.weight * meta.psf.fwhm_px(center(meta)) * native_px;
            weights += input.weight;
            finest = native_px.recip().min(finest);
        }
        let kernel = Lanczos::new(self.config.lanczos_order);
        // Light alone has no noise to be correlated.
        let lags = if cells.is_empty() { 0 } else { half_width_for(all.iter().map(|(meta, _)| (*meta, native_px(meta, scale)))) };
        Ok(CoaddSums {
            band: band.to_owned(),
            tract: tract.clone(),
            bbox,
            min_kernel_weight: self.config.min_kernel_weight,
            fwhm_px: fwhm / weights,
            flux: Array2::zeros(shape),
            variance: Array2::zeros(shape),
            weight: Array2::zeros(shape),
            likelihood: Array2::from_elem(shape, LikelihoodTerms::default()),
            mask: Array2::zeros(shape),
            inputs_wyx: Array3::zeros((inputs.len().div_ceil(64), shape.0, shape.1)),
            covariance: CovarianceSums::new(cells.clone(), kernel.n_taps(), finest),
            autocorrelation: AutocorrelationSums::new(cells, lags),
            kernel,
            inputs,
        })
    }
}

/// Saturation is a property of the source, which one sees best under the kernel: `SAT` if one of the taps around (`x`, `y`) has it.
#[cold]
fn saturated_under(exposure: &Exposure, kernel: &Lanczos, x: f64, y: f64) -> u32 {
    let n = kernel.n_taps() as i32;
    let first = |v: f64| (floor(v) + kernel.first_tap()) as i32;
    let taps = Box2::new(first(x), first(y), n, n).intersect(&exposure.bbox);
    exposure.mask.slice(exposure.bbox.slice_of(&taps)).iter().fold(0, |a, m| a | m) & MaskPlane::Sat.bit()
}

impl CoaddSums {
    /// Adds exposure `index` (of the list given to `start`); `exposure` holds at least the pixels that `needed` named, sanitised.
    /// To be called in rising order of `index`; threads share rows and tiles.
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
        let mut plane = self.inputs_wyx.index_axis_mut(Axis(0), index / 64);
        let n_pixels: u64 = (
            self.flux.axis_iter_mut(Axis(0)),
            self.variance.axis_iter_mut(Axis(0)),
            self.weight.axis_iter_mut(Axis(0)),
            self.mask.axis_iter_mut(Axis(0)),
            plane.axis_iter_mut(Axis(0)),
        )
            .into_par_iter()
            .enumerate()
            .map(|(j, (flux, variance, weight, mask, inputs))| {
                let mut row = RowSums {
                    flux: flux.into_slice().expect(ROWS),
                    variance: variance.into_slice().expect(ROWS),
                    weight: weight.into_slice().expect(ROWS),
                    mask: mask.into_slice().expect(ROWS),
                    inputs: inputs.into_slice().expect(ROWS),
                };
                let mut warped = WarpedRun::new();
                let mut n_pixels = 0;
                for run in mapping.runs(j) {
                    warper.run(run.x(), run.y(), &mut warped);
                    n_pixels += adder.add(&warped, &run, &mut row);
                    for i in (0..run.columns.len()).filter(|&i| warped.outcome[i] == Outcome::Masked) {
                        row.mask[run.columns.start + i] |= saturated_under(exposure, kernel, run.x()[i], run.y()[i]);
                    }
                }
                n_pixels
            })
            .sum();
        self.inputs[index].n_pixels = n_pixels;
        self.covariance
            .add(&self.tract, exposure, prepared, weight, &self.kernel, |at| jacobian_at(self.tract.wcs(), &exposure.meta.wcs, at));
    }

    fn add_likelihood(&mut self, meta: &ExposureMeta, prepared: &Prepared, mapping: &Mapping) {
        let reach = outer_reach_px(meta);
        // Pixels by tile, in pixel order: a tile is transformed once.
        let mut by_tile: BTreeMap<(i32, i32), Vec<u32>> = BTreeMap::new();
        let (xs, ys) = mapping.positions();
        for (i, (&x, &y)) in xs.iter().zip(&ys).enumerate() {
            let is_near = x > -reach && y > -reach && x < meta.shape.1 as f64 - 1.0 + reach && y < meta.shape.0 as f64 - 1.0 + reach;
            if is_near {
                by_tile.entry(tile_of(x, y)).or_default().push(i as u32);
            }
        }
        if by_tile.is_empty() {
            return;
        }
        self.autocorrelation.add(&self.tract, meta, prepared, |at| jacobian_at(self.tract.wcs(), &meta.wcs, at));
        let correlator = Correlator::new(meta);
        let (xs, ys) = (xs.as_slice().expect("standard layout"), ys.as_slice().expect("standard layout"));
        let found: Vec<Vec<(u32, LikelihoodTerms)>> = by_tile
            .par_iter()
            .map(|(&(i, j), pixels)| {
                let tile = correlator.tile(prepared, i, j);
                let mut c = vec![0.0; meta.psf.n_basis()];
                let at = |&p: &u32| correlator.at(prepared, &tile, xs[p as usize], ys[p as usize], &mut c).map(|t| (p, t));
                pixels.iter().filter_map(at).collect()
            })
            .collect();
        let sums = self.likelihood.as_slice_mut().expect("standard layout");
        for (p, t) in found.into_iter().flatten() {
            let sum = &mut sums[p as usize];
            sum.psi += t.psi;
            sum.phi += t.phi;
            sum.phi3 += t.phi3;
            sum.omega += t.omega;
        }
    }

    /// The coadd.
    #[must_use]
    pub fn finish(self) -> BandCoadd {
        let mut mask = self.mask;
        let has_data = self.weight.mapv(|w| w > 0.0);
        ndarray::Zip::from(&mut mask).and(&has_data).for_each(|m, &ok| {
            if !ok {
                *m |= MaskPlane::NoData.bit();
            }
        });
        let per_weight = |sum: &Array2<f64>, power: i32, none: f32| {
            ndarray::Zip::from(sum).and(&self.weight).map_collect(|&s, &w| if w > 0.0 { (s / w.powi(power)) as f32 } else { none })
        };
        let plane = |get: &dyn Fn(&LikelihoodTerms) -> f64| self.likelihood.map(|t| get(t) as f32);
        BandCoadd {
            image_njy: per_weight(&self.flux, 1, f32::NAN),
            variance_njy2: per_weight(&self.variance, 2, f32::INFINITY),
            mask,
            inputs_wyx: self.inputs_wyx,
            psi: plane(&|t| t.psi),
            phi: plane(&|t| t.phi),
            phi3: plane(&|t| t.phi3),
            omega: plane(&|t| t.omega),
            covariance: self.covariance.finish(),
            autocorrelation: self.autocorrelation.finish(),
            fwhm_px: self.fwhm_px,
            band: self.band,
            bbox: self.bbox,
            inputs: self.inputs,
        }
    }
}

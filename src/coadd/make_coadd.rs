//! The coadd stage: settings, weights, and what a coadd needs of every exposure.

use super::coadd_sums::CoaddSums;
use super::likelihood::pixels_for;
use super::mapping::image_of;
use super::phi_morphology;
use crate::background::VisitProduct;
use crate::geometry::{Box2, Cell, Patch, Tract};
use crate::image::ExposureMeta;
use serde::{Deserialize, Serialize};

/// Weight of an exposure in the direct coadd, one number for the whole exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoaddWeight {
    /// √(Σφ²)/σ²: within 2e-4 of the best for point sources; Σφ²/σ² and 1/σ² both lose 2 % of the signal-to-noise in varying seeing.
    PointSource,
    /// 1/σ²: the best for what is much broader than the PSF.
    InverseVariance,
}

/// Where the direct coadd takes an exposure whose edge runs through a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoaddEdges {
    /// Wherever it has pixels.
    All,
    /// Only in cells that it covers whole: in a cell all pixels have the same exposures, but for bad pixels, and so the same PSF.
    Cell,
}

/// Settings of [`MakeCoadd`]: section `[coadd]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoaddConfig {
    /// Order of the Lanczos kernel of the direct coadd, 3 or 5.
    pub lanczos_order: usize,
    /// Least share of Σk and of Σk² that good pixels must supply, in 0..=1; below it: no data from that exposure.
    pub min_kernel_weight: f64,
    /// Weights of the direct coadd.
    pub weight: CoaddWeight,
    /// Exposures that cover a cell in part.
    pub edges: CoaddEdges,
    /// Half-light radii of round exponential profiles \[arcsec\] for which Φ is summed exposure by exposure, beside that of point sources.
    pub morphologies_arcsec: Vec<f64>,
}

impl Default for CoaddConfig {
    fn default() -> Self {
        Self {
            lanczos_order: 3,
            min_kernel_weight: 0.97,
            weight: CoaddWeight::PointSource,
            edges: CoaddEdges::All,
            morphologies_arcsec: Vec::new(),
        }
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

/// Weight of an exposure in the direct coadd, from its centre, with φ and σ² in tract pixels.
pub(super) fn direct_weight(kind: CoaddWeight, meta: &ExposureMeta, visit: &VisitProduct, tract: &Tract) -> f64 {
    let at = meta.center();
    let sum_sq = meta.psf.stamp(at, 0.0, 0.0).mapv(|p| p * p).sum();
    let variance_njy2 = visit.background_variance.at(at) * meta.photo_calib.at(at).powi(2);
    // Per unit of sky, not of native pixel: Σφ² goes with the pixel's area, and so does the variance.
    let area = meta.wcs.pixel_area_arcsec2(at) / tract.config().pixel_scale_arcsec.powi(2);
    let signal = match kind {
        CoaddWeight::PointSource => (sum_sq / area).sqrt(),
        CoaddWeight::InverseVariance => 1.0,
    };
    signal / (variance_njy2 / area)
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
        let radii = &c.morphologies_arcsec;
        let are_good = radii.len() <= 16 && radii.iter().all(|r| (0.01..=10.0).contains(r)) && radii.windows(2).all(|r| r[0] < r[1]);
        if !are_good {
            let expected = "at most 16 rising half-light radii in 0.01..=10 arcsec";
            return Err(CoaddError::Config { key: "morphologies_arcsec", found: format!("{radii:?}"), expected });
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
        let direct = region.grown(self.config.lanczos_order as i32 + 1);
        let maps = pixels_for(&region, meta).union(&phi_morphology::pixels_for(&region, meta, &self.config.morphologies_arcsec));
        direct.union(&maps).intersect(&meta.bbox())
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
        Ok(CoaddSums::new(&self.config, tract, bbox, cells, band, all))
    }
}

//! All exposures of a band made ready to be matched on a patch: the target, the kernels, and who is left out.

use super::config::{PsfMatchedConfig, PsfMatchedError};
use super::place::{Matching, Place, PlaceKernel};
use super::shape::ShapeProbe;
use super::tiles::Tiles;
use crate::background::VisitProduct;
use crate::coadd::CoaddConfig;
use crate::coadd::covariance::Overlaps;
use crate::coadd::fft2::fast_length;
use crate::coadd::kernel::Lanczos;
use crate::coadd::mapping::{Jacobian, image_of, jacobian_at};
use crate::coadd::pair_fft::{PairFft, PairScratch};
use crate::coadd::psf_match::{gaussian_psf, target_fwhm_px};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::ExposureMeta;
use rayon::prelude::*;

/// Largest half-width of a matching kernel \[tract pixel\].
const MAX_HALF_WIDTH_PX: usize = 48;

/// A kernel serves a whole exposure if with it every part of the detector has the target's shape to this.
const UNIFORM_TOLERANCE: f64 = 4e-4;

/// The same of the Jacobian, where the PSF itself is the same everywhere: the size of a PSF goes with it.
const UNIFORM_JACOBIAN: f64 = 4e-4;

/// The PSF-matched coadd stage.
#[derive(Debug, Clone)]
pub struct MakePsfMatched {
    config: PsfMatchedConfig,
}

/// Why an exposure is not in the stack.
#[derive(Debug, Clone, PartialEq)]
pub enum LeftOut {
    /// Its PSF is too broad: matching would amplify the noise of some waves by this.
    Amplifies(f64),
    /// Its noise is not known.
    NoNoise,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Amplifies(by) => write!(f, "PSF broader than the target: its kernel amplifies noise {by:.2} times"),
            Self::NoNoise => write!(f, "no background variance"),
        }
    }
}

/// An exposure that meets the tiles of the patch.
pub(super) struct Input<'a> {
    pub meta: &'a ExposureMeta,
    pub visit: &'a VisitProduct,
    /// FWHM at its middle \[tract pixel\].
    pub fwhm_px: f64,
    /// Largest amplification of a wave by its kernels.
    pub amplification: f64,
    /// Inverse variance of a matched pixel of blank sky, at the exposure's middle \[nJy⁻²\].
    pub weight: f64,
    /// Noise of a pixel there, before matching \[nJy\]: the scale of its pixels in single precision.
    pub sigma_njy: f64,
    /// One kernel for all of it; none where the PSF varies too much.
    pub kernel: Option<PlaceKernel>,
}

/// An exposure that is used, or one that is not.
pub(super) type Candidate<'a> = Result<Input<'a>, (&'a ExposureMeta, LeftOut)>;

/// Exposures of one band on one patch, ready to be matched.
pub struct BandPsfMatcher<'a> {
    pub(super) config: PsfMatchedConfig,
    pub(super) band: String,
    pub(super) tract: Tract,
    pub(super) lanczos: Lanczos,
    pub(super) min_lanczos_weight: f64,
    pub(super) tiles: Tiles,
    pub(super) fft: PairFft,
    pub(super) matching: Matching,
    pub(super) target_fwhm_px: f64,
    /// In id order, by their place among all exposures of the band.
    pub(super) inputs: Vec<(usize, Candidate<'a>)>,
}

impl MakePsfMatched {
    /// # Errors
    /// [`PsfMatchedError::Config`] if a setting is outside its range.
    pub fn new(config: PsfMatchedConfig) -> Result<Self, PsfMatchedError> {
        config.check()?;
        Ok(Self { config })
    }

    /// Prepares a band on a box of the tract. `inputs` lists all its exposures in the tract, in id order: the target is that of the tract.
    ///
    /// # Errors
    /// [`PsfMatchedError::NoExposure`].
    pub fn start<'a>(
        &self,
        tract: &Tract,
        coadd: &CoaddConfig,
        band: &str,
        inputs: &'a [(ExposureMeta, VisitProduct)],
        bbox: &Box2,
    ) -> Result<BandPsfMatcher<'a>, PsfMatchedError> {
        if inputs.is_empty() {
            return Err(PsfMatchedError::NoExposure { band: band.to_owned() });
        }
        let scale = tract.config().pixel_scale_arcsec;
        let fwhm_px = |meta: &ExposureMeta| meta.fwhm_arcsec() / scale;
        let fwhms: Vec<f64> = inputs.par_iter().map(|(meta, _)| fwhm_px(meta)).collect();
        let target_fwhm_px = match self.config.target_fwhm_arcsec {
            given if given > 0.0 => given / scale,
            _ => target_fwhm_px(fwhms.clone(), self.config.target_fraction, self.config.target_factor),
        };
        let half_width_px = ((4.0 * target_fwhm_px).ceil() as usize).min(MAX_HALF_WIDTH_PX);
        let target = gaussian_psf(target_fwhm_px, half_width_px);
        let tiles = Tiles::new(tract);
        let lanczos = Lanczos::new(coadd.lanczos_order);
        let matching = Matching {
            tract_wcs: tract.wcs().clone(),
            overlaps: Overlaps::new(&lanczos),
            lanczos: lanczos.clone(),
            probe: ShapeProbe::new(target.view(), target_fwhm_px),
            target,
            half_width_px,
            psf_radius_px: half_width_px + half_width_px / 4,
            lag_half_width_px: ((3.0 * target_fwhm_px).ceil() as usize).min(2 * half_width_px),
        };
        let fft = PairFft::new(fast_length(tiles.side_px() + 2 * half_width_px));
        let band = BandPsfMatcher {
            config: self.config.clone(),
            band: band.to_owned(),
            tract: tract.clone(),
            lanczos,
            min_lanczos_weight: coadd.min_kernel_weight,
            tiles,
            fft,
            matching,
            target_fwhm_px,
            inputs: Vec::new(),
        };
        // Whole tiles, whatever part of them the patch is: what is made of a tile must not depend on it.
        let whole = band.tiles.in_box(bbox).iter().fold(*bbox, |whole, tile| whole.union(tile));
        let near: Vec<usize> = (0..inputs.len()).filter(|&i| !band.pixels_for(&whole, &inputs[i].0).is_empty()).collect();
        let prepare = |scratch: &mut PairScratch, i: usize| (i, band.prepare(&inputs[i].0, &inputs[i].1, fwhms[i], scratch));
        let prepared = near.into_par_iter().map_init(|| band.fft.scratch(), prepare).collect();
        Ok(BandPsfMatcher { inputs: prepared, ..band })
    }
}

impl<'a> BandPsfMatcher<'a> {
    /// FWHM of the Gaussian to which all exposures are brought \[tract pixel\].
    #[must_use]
    pub fn target_fwhm_px(&self) -> f64 {
        self.target_fwhm_px
    }

    /// Tiles with pixels of a box, in order; a patch is a union of tiles, but for those larger than it.
    #[must_use]
    pub fn tiles(&self, bbox: &Box2) -> Vec<Box2> {
        self.tiles.in_box(bbox)
    }

    /// The same by groups for [`Self::block`].
    #[must_use]
    pub fn blocks(&self, bbox: &Box2) -> Vec<Vec<Box2>> {
        self.tiles.blocks_in(bbox)
    }

    /// Number of exposures that meet the patch.
    #[must_use]
    pub fn n_inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Place of input `i` among all exposures of the band.
    #[must_use]
    pub fn index(&self, i: usize) -> usize {
        self.inputs[i].0
    }

    /// Calibrations of input `i`.
    #[must_use]
    pub fn meta(&self, i: usize) -> &ExposureMeta {
        match &self.inputs[i].1 {
            Ok(input) => input.meta,
            Err((meta, _)) => meta,
        }
    }

    /// Pixels of input `i` that a tile takes; empty if they do not meet or it is left out.
    #[must_use]
    pub fn needed(&self, i: usize, tile: &Box2) -> Box2 {
        match &self.inputs[i].1 {
            Ok(input) => self.pixels_for(tile, input.meta),
            Err(_) => Box2::new(0, 0, 0, 0),
        }
    }

    /// Memory for one thread.
    #[must_use]
    pub fn scratch(&self) -> PairScratch {
        self.fft.scratch()
    }

    fn pixels_for(&self, bbox: &Box2, meta: &ExposureMeta) -> Box2 {
        let region = bbox.grown(self.matching.half_width_px as i32);
        let reach = self.lanczos.n_taps() as i32 / 2 + 1;
        image_of(self.tract.wcs(), &meta.wcs, &region).grown(reach).intersect(&meta.bbox())
    }

    /// The kernel of an exposure, or why it is left out.
    fn prepare(&self, meta: &'a ExposureMeta, visit: &'a VisitProduct, fwhm_px: f64, scratch: &mut PairScratch) -> Candidate<'a> {
        let at_center = meta.center();
        let variance_njy2 = visit.background_variance.at(at_center) * meta.photo_calib.at(at_center).powi(2);
        if !(variance_njy2.is_finite() && variance_njy2 > 0.0) {
            return Err((meta, LeftOut::NoNoise));
        }
        let area = meta.wcs.pixel_area_arcsec2(at_center) / self.tract.config().pixel_scale_arcsec.powi(2);
        let place = |at: PixelPoint| Place { at, spread_px: meta.shape.0.max(meta.shape.1) as f64 * area.sqrt() };
        let kernel = self.matching.place_kernel(meta, place(at_center), &self.fft, scratch);
        let mut amplification = kernel.amplification(&self.matching);
        let others = self.other_places(meta);
        let residual = |at: &PixelPoint| {
            let psf = self.matching.mean_psf(meta, place(*at));
            self.matching.probe.residual(&kernel.sums(&(&psf / psf.sum())))
        };
        let is_uniform = others.iter().all(|at| residual(at).worst() < UNIFORM_TOLERANCE);
        if !is_uniform {
            let at_others = others.iter().map(|at| self.matching.kernel(meta, place(*at)));
            amplification = at_others.map(|k| self.matching.amplification(k.view())).fold(amplification, f64::max);
        }
        if amplification > self.config.max_amplification {
            return Err((meta, LeftOut::Amplifies(amplification)));
        }
        let weight = (variance_njy2 * kernel.unit_variance()).recip();
        let sigma_njy = variance_njy2.sqrt() * kernel.area_ratio;
        Ok(Input { meta, visit, fwhm_px, amplification, weight, sigma_njy, kernel: is_uniform.then_some(kernel) })
    }

    /// Corners and middles of the sides of a detector; none where the PSF on the tract is the same everywhere.
    fn other_places(&self, meta: &ExposureMeta) -> Vec<PixelPoint> {
        let (width, height) = (meta.shape.1 as f64 - 1.0, meta.shape.0 as f64 - 1.0);
        let places = (0..9).filter(|k| *k != 4).map(|k| PixelPoint::new(width * f64::from(k % 3) / 2.0, height * f64::from(k / 3) / 2.0));
        let places: Vec<PixelPoint> = places.collect();
        if !meta.psf.is_constant() {
            return places;
        }
        let jacobian = |at: PixelPoint| -> Option<Jacobian> {
            let on_tract = self.tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(at)).ok()?;
            Some(jacobian_at(self.tract.wcs(), &meta.wcs, on_tract))
        };
        let middle = jacobian(meta.center());
        let is_same = |at: &PixelPoint| match (&middle, jacobian(*at)) {
            (Some(a), Some(b)) => a.as_flattened().iter().zip(b.as_flattened()).all(|(a, b)| (a - b).abs() < UNIFORM_JACOBIAN),
            _ => false,
        };
        if places.iter().all(is_same) { Vec::new() } else { places }
    }
}

//! A PSF-matched warp: one exposure on a box of tract pixels, with the PSF of the target.

use super::coadd_psf::add_warped;
use super::fft2::fast_length;
use super::kernel::Lanczos;
use super::mapping::{Mapping, area_ratio, image_of, jacobian_at};
use super::pair_fft::{PairFft, PairScratch, SharedFilter};
use super::prepared::Prepared;
use super::psf_match::{gaussian_psf, masked_convolution, matching_kernel};
use super::warp::{Outcome, WarpedRun, Warper};
use crate::background::VisitProduct;
use crate::geometry::{Box2, PixelPoint, Wcs};
use crate::image::{Exposure, ExposureMeta};
use ndarray::{Array2, ArrayView2};

/// Least share of the matching kernel's sum on good pixels: a lone bad column passes, a bad region does not.
const MIN_MATCHED_WEIGHT: f32 = 0.7;

/// Largest half-width of a matching kernel \[tract pixel\].
const MAX_HALF_WIDTH_PX: usize = 48;

/// One exposure on tract pixels.
#[derive(Debug, Clone)]
pub struct MatchedWarp {
    /// Flux per tract pixel \[nJy\], as warped; NaN where there is none. On the box that was asked
    /// for, grown by [`PsfMatcher::margin_px`].
    pub warp_njy: Array2<f32>,
    /// The same with the target's PSF, on the box itself.
    pub matched_njy: Array2<f32>,
    /// Columns of the exposure under the pixels of `warp_njy`.
    pub x_px: Array2<f32>,
    /// Rows.
    pub y_px: Array2<f32>,
    /// Exposure pixels per tract pixel, at the middle of the box.
    pub area_ratio: f64,
}

impl MatchedWarp {
    /// What is left on the box itself, when the margin has done its service: all planes on `bbox`, those on `region` cut to it.
    #[must_use]
    pub fn without_margin(self, region: &Box2, bbox: &Box2) -> Self {
        let cut = |plane: &Array2<f32>| plane.slice(region.slice_of(bbox)).to_owned();
        Self { warp_njy: cut(&self.warp_njy), x_px: cut(&self.x_px), y_px: cut(&self.y_px), ..self }
    }

    /// All planes, on `bbox`, cut to a part of it.
    #[must_use]
    pub fn part(&self, bbox: &Box2, part: &Box2) -> Self {
        let cut = |plane: &Array2<f32>| plane.slice(bbox.slice_of(part)).to_owned();
        Self {
            warp_njy: cut(&self.warp_njy),
            matched_njy: cut(&self.matched_njy),
            x_px: cut(&self.x_px),
            y_px: cut(&self.y_px),
            area_ratio: self.area_ratio,
        }
    }
}

/// The middle of a box.
fn middle(bbox: &Box2) -> PixelPoint {
    PixelPoint::new(f64::from(bbox.x0) + f64::from(bbox.width - 1) / 2.0, f64::from(bbox.y0) + f64::from(bbox.height - 1) / 2.0)
}

/// Makes PSF-matched warps on boxes of one size.
#[derive(Clone)]
pub struct PsfMatcher {
    tract_wcs: Wcs,
    kernel: Lanczos,
    min_kernel_weight: f64,
    target: Array2<f64>,
    half_width_px: usize,
    fft: PairFft,
}

/// A kernel to the target's PSF, ready to be applied.
pub struct MatchingFilter {
    filter: SharedFilter,
    /// Σ K²: variance of a matched pixel of white noise of unit variance.
    pub power: f64,
}

impl PsfMatcher {
    /// For boxes of at most `side_px` pixels a side and a Gaussian target of `target_fwhm_px`.
    #[must_use]
    pub fn new(tract_wcs: &Wcs, lanczos_order: usize, min_kernel_weight: f64, target_fwhm_px: f64, side_px: usize) -> Self {
        let half_width_px = ((4.0 * target_fwhm_px).ceil() as usize).min(MAX_HALF_WIDTH_PX);
        Self {
            tract_wcs: tract_wcs.clone(),
            kernel: Lanczos::new(lanczos_order),
            min_kernel_weight,
            target: gaussian_psf(target_fwhm_px, half_width_px),
            half_width_px,
            fft: PairFft::new(fast_length(side_px + 2 * half_width_px)),
        }
    }

    /// Pixels around a box that its matched warp depends on.
    #[must_use]
    pub fn margin_px(&self) -> i32 {
        self.half_width_px as i32
    }

    /// Pixels of the exposure that the matched warp on `bbox` takes; empty if they do not meet.
    #[must_use]
    pub fn needed(&self, bbox: &Box2, meta: &ExposureMeta) -> Box2 {
        let region = bbox.grown(self.margin_px());
        image_of(&self.tract_wcs, &meta.wcs, &region).grown(self.kernel.n_taps() as i32 / 2 + 1).intersect(&meta.bbox())
    }

    /// Where a position of the tract lies on an exposure, or outside it; `None` where the projections do not meet.
    #[must_use]
    pub fn on_exposure(&self, meta: &ExposureMeta, at: PixelPoint) -> Option<PixelPoint> {
        meta.wcs.sky_to_pixel(self.tract_wcs.pixel_to_sky(at)).ok()
    }

    /// Memory for one thread.
    #[must_use]
    pub fn scratch(&self) -> PairScratch {
        self.fft.scratch()
    }

    /// Warps `exposure` (at least the pixels of [`Self::needed`], sanitised), less the background of `visit`, onto `bbox`, and matches
    /// it; the kernel is that of the middle of the box. `None` where no pixel of the box is left.
    #[must_use]
    pub fn run(&self, exposure: &Exposure, visit: &VisitProduct, bbox: &Box2, scratch: &mut PairScratch) -> Option<MatchedWarp> {
        let region = bbox.grown(self.margin_px());
        let meta = &exposure.meta;
        let mapping = Mapping::new(&self.tract_wcs, &meta.wcs, region);
        let warp_njy = self.warp_by(&mapping, exposure, visit, &region)?;
        let middle = middle(bbox);
        let filter = self.filter(self.warped_psf(meta, middle).view(), scratch);
        let matched_njy = self.matched(warp_njy.view(), &filter, scratch)?;
        let (x, y) = mapping.positions();
        let narrow = |plane: Array2<f64>| plane.mapv(|v| v as f32);
        let area_ratio = area_ratio(&jacobian_at(&self.tract_wcs, &meta.wcs, middle));
        Some(MatchedWarp { matched_njy, x_px: narrow(x), y_px: narrow(y), area_ratio, warp_njy })
    }

    /// The same for an image that is on the tract's pixels already: `image_njy` on `bbox` grown by [`Self::margin_px`], NaN where bad;
    /// `psf` at the middle of the box.
    #[must_use]
    pub fn run_on_tract(
        &self,
        image_njy: Array2<f32>,
        psf: ArrayView2<f64>,
        bbox: &Box2,
        scratch: &mut PairScratch,
    ) -> Option<MatchedWarp> {
        let region = bbox.grown(self.margin_px());
        let filter = self.filter(psf, scratch);
        let matched_njy = self.matched(image_njy.view(), &filter, scratch)?;
        let x_px = Array2::from_shape_fn(region.shape(), |(_, i)| (region.x0 + i as i32) as f32);
        let y_px = Array2::from_shape_fn(region.shape(), |(j, _)| (region.y0 + j as i32) as f32);
        Some(MatchedWarp { matched_njy, x_px, y_px, area_ratio: 1.0, warp_njy: image_njy })
    }

    /// The kernel from a PSF on the tract's pixels to the target.
    #[must_use]
    pub fn filter(&self, psf: ArrayView2<f64>, scratch: &mut PairScratch) -> MatchingFilter {
        let kernel = matching_kernel(psf, self.target.view(), self.half_width_px);
        MatchingFilter { filter: self.fft.shared_filter(scratch, kernel.view()), power: kernel.mapv(|k| k * k).sum() }
    }

    /// An image, NaN where bad, convolved to the target: on its pixels but for [`Self::margin_px`] all around; `None` without a good pixel.
    #[must_use]
    pub fn matched(&self, image_njy: ArrayView2<f32>, filter: &MatchingFilter, scratch: &mut PairScratch) -> Option<Array2<f32>> {
        masked_convolution(image_njy, &self.fft, &filter.filter, self.half_width_px, MIN_MATCHED_WEIGHT, scratch)
    }

    /// Warps `exposure`, sanitised, less the background of `visit`, onto `region`: flux per tract pixel \[nJy\], NaN where there is none; `None`
    /// without any.
    #[must_use]
    pub fn warp(&self, exposure: &Exposure, visit: &VisitProduct, region: &Box2) -> Option<Array2<f32>> {
        self.warp_by(&Mapping::new(&self.tract_wcs, &exposure.meta.wcs, *region), exposure, visit, region)
    }

    fn warp_by(&self, mapping: &Mapping, exposure: &Exposure, visit: &VisitProduct, region: &Box2) -> Option<Array2<f32>> {
        let prepared = Prepared::new(exposure, visit);
        let touched = prepared.bad.windows_with_any(self.kernel.n_taps());
        let (kernel, min_weight) = (&self.kernel, self.min_kernel_weight);
        let warper = Warper { prepared: &prepared, kernel, touched: &touched, shape: exposure.meta.shape, min_weight };
        let mut out = Array2::from_elem(region.shape(), f32::NAN);
        let mut has_any = false;
        let mut warped = WarpedRun::new();
        for (j, mut row) in out.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("rows are contiguous");
            for run in mapping.runs(j) {
                warper.run(run.x(), run.y(), &mut warped);
                let area = run.area as f32;
                for ((z, flux), outcome) in row[run.columns].iter_mut().zip(&warped.flux_njy).zip(&warped.outcome) {
                    if matches!(outcome, Outcome::Value | Outcome::Inexact) {
                        *z = area * flux;
                        has_any = true;
                    }
                }
            }
        }
        has_any.then_some(out)
    }

    /// The exposure's PSF on the tract's pixels, warped as its pixels are; the exposure's middle where `at` is not on it.
    #[must_use]
    pub fn warped_psf(&self, meta: &ExposureMeta, at: PixelPoint) -> Array2<f64> {
        let bbox = meta.bbox();
        let on_exposure = meta.wcs.sky_to_pixel(self.tract_wcs.pixel_to_sky(at));
        let at = match on_exposure {
            Ok(p) if bbox.contains_point(p) => at,
            _ => {
                let nearest = bbox.nearest(on_exposure.unwrap_or(PixelPoint::new(0.0, 0.0)));
                self.tract_wcs.sky_to_pixel(meta.wcs.pixel_to_sky(nearest)).unwrap_or(at)
            }
        };
        // On a whole pixel, the source in the middle of the stamp.
        let (x, y) = at.pixel();
        let at = PixelPoint::new(f64::from(x), f64::from(y));
        let side = 2 * self.half_width_px + 1;
        let mut out = Array2::zeros((side, side));
        if let Ok(p) = meta.wcs.sky_to_pixel(self.tract_wcs.pixel_to_sky(at)) {
            add_warped(&self.kernel, &meta.psf, p, &jacobian_at(&self.tract_wcs, &meta.wcs, at), (0.0, 0.0), 1.0, &mut out);
        }
        out
    }

    /// Exposure pixels per tract pixel at a position of the tract.
    #[must_use]
    pub fn area_ratio(&self, meta: &ExposureMeta, at: PixelPoint) -> f64 {
        area_ratio(&jacobian_at(&self.tract_wcs, &meta.wcs, at))
    }
}

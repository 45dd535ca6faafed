//! Kernels fitted to the pixels of a tile: each exposure against the stack of all, matched by their models.

use super::alard_lupton::{AlardLupton, FitInput};
use super::band::{BandPsfMatcher, Input};
use super::match_tile::{MatchedTile, TileKernels, Warped};
use super::place::Place;
use super::tile_coadd::TileCoadd;
use crate::coadd::pair_fft::PairScratch;
use crate::geometry::{Box2, PixelPoint};
use crate::image::MaskPlane;
use ndarray::Array2;

impl BandPsfMatcher<'_> {
    /// The same exposures with kernels fitted to the bright sources of the tile, and for each input whether there was light enough; those
    /// without keep the kernel of their model.
    ///
    /// The reference is the stack of the exposures as their models match them: what a model got wrong in one exposure is in the stack by its share.
    pub(super) fn refit(&self, tile: &Box2, warps: Vec<MatchedTile>, scratch: &mut PairScratch) -> (Vec<MatchedTile>, Vec<(usize, bool)>) {
        let reference = self.stack(tile, &warps);
        let total: f64 = warps.iter().filter_map(|w| self.inputs[w.input].1.as_ref().ok()).map(|input| input.weight).sum();
        let basis = AlardLupton::new(self.target_fwhm_px, self.matching.half_width_px);
        let mut fits = Vec::new();
        let fitted = |warp: MatchedTile| {
            let refitted = self.fit(tile, &warp, &reference, &basis, total, scratch);
            fits.push((warp.input, refitted.is_some()));
            refitted.unwrap_or(warp)
        };
        let warps = warps.into_iter().map(fitted).collect();
        (warps, fits)
    }

    fn fit(
        &self,
        tile: &Box2,
        warp: &MatchedTile,
        reference: &TileCoadd,
        basis: &AlardLupton,
        total: f64,
        scratch: &mut PairScratch,
    ) -> Option<MatchedTile> {
        let (Ok(input), Some(warped)) = (&self.inputs[warp.input].1, &warp.warped) else { return None };
        let variance = self.fitted_pixels(warp, reference, self.config.fit_pixels_per_term * basis.n_free())?;
        let own = self.kernels_of(input, tile, scratch).middle();
        let kernel = basis.fit(&FitInput {
            image: warped.image_njy(input).view(),
            image_variance: warped.variance_njy2(input).view(),
            reference: reference.image_njy.view(),
            variance: variance.view(),
            start: own.view(),
            started: warp.image_njy.view(),
            own_share: input.weight / total,
            model_error: self.config.model_error,
        })?;
        let middle = PixelPoint::new(f64::from(tile.x0 + tile.width / 2), f64::from(tile.y0 + tile.height / 2));
        let on_exposure = input.meta.wcs.sky_to_pixel(self.tract.wcs().pixel_to_sky(middle)).ok()?;
        let place = Place { at: input.meta.bbox().nearest(on_exposure), spread_px: self.tiles.side_px() as f64 };
        let fitted = self.matching.with_kernel(kernel, input.meta, place, &self.fft, scratch);
        self.apply(warp.input, input, warped, &TileKernels::One(&fitted), tile, scratch)
    }

    /// Variance of the difference from the reference where a bright source's light falls, 0 elsewhere; `None` with fewer than `min_pixels` of
    /// those sources' own pixels.
    fn fitted_pixels(&self, warp: &MatchedTile, reference: &TileCoadd, min_pixels: usize) -> Option<Array2<f32>> {
        let shape = warp.image_njy.dim();
        let is_good = |at: (usize, usize)| {
            let bad = MaskPlane::InexactPsf.bit();
            !warp.image_njy[at].is_nan() && warp.mask[at] & bad == 0 && reference.mask[at] & (MaskPlane::Suspect.bit() | bad) == 0
        };
        let limit = self.config.fit_min_snr as f32;
        let bright = Array2::from_shape_fn(shape, |at| is_good(at) && reference.image_njy[at] > limit * warp.variance_njy2[at].sqrt());
        if bright.iter().filter(|b| **b).count() < min_pixels {
            return None;
        }
        let reach = self.target_fwhm_px.ceil() as usize;
        let near = |(j, i): (usize, usize)| {
            let (rows, columns) =
                (j.saturating_sub(reach)..(j + reach + 1).min(shape.0), i.saturating_sub(reach)..(i + reach + 1).min(shape.1));
            bright.slice(ndarray::s![rows, columns]).iter().any(|b| *b)
        };
        let variance = |at| if is_good(at) && near(at) { warp.variance_njy2[at] + reference.variance_njy2[at] } else { 0.0 };
        Some(Array2::from_shape_fn(shape, variance))
    }
}

impl Warped {
    /// Pixels \[nJy\].
    fn image_njy(&self, input: &Input) -> Array2<f32> {
        self.pixels.mapv(|c| c.re * input.sigma_njy as f32)
    }

    /// Their variances \[nJy²\].
    fn variance_njy2(&self, input: &Input) -> Array2<f32> {
        self.pixels.mapv(|c| c.im * (input.sigma_njy * input.sigma_njy) as f32)
    }
}

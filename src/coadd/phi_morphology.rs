//! Φ_g of extended morphologies, exposure by exposure: (φ * g)² ⋆ 1/v on the exposure's own grid, sampled at the tract's pixels.
//!
//! Like Ψ ([`super::likelihood`]) it is a correlation with a smooth function: one forward transform of 1/v, zero at masked and missing
//! pixels, and one inverse transform a morphology, by fixed tiles of the exposure. Where the PSF varies, the filter is that of the tile's
//! middle, and its sum that of the source's place: the sum is exact everywhere and the *share* of it that masks and edges take is that of
//! a PSF at most half a tile away.

use super::fft2::{RealFft2, fast_length};
use super::likelihood::prefilter;
use super::mapping::Run;
use super::morphology::{centred, exponential_stamp};
use super::prepared::Prepared;
use super::spline_map::{SplineMap, Tiles, near};
use crate::geometry::{Box2, PixelPoint};
use crate::image::ExposureMeta;
use ndarray::{Array2, Zip, s};
use rustfft::num_complex::Complex32;

/// Half-width of (φ * g)² \[exposure pixel\]: beyond 6 scale lengths and 2 FWHM lies less than 2e-4 of its sum.
fn reach_px(meta: &ExposureMeta, half_light_px: f64) -> usize {
    (3.6 * half_light_px + 2.0 * meta.psf.fwhm_px(meta.center())).ceil() as usize
}

/// Half-light radius in exposure pixels, at the exposure's centre.
fn half_light_px(meta: &ExposureMeta, half_light_arcsec: f64) -> f64 {
    half_light_arcsec / meta.wcs.pixel_area_arcsec2(meta.center()).sqrt()
}

/// The tiles of an exposure's maps of morphologies of at most the last half-light radius.
fn tiles_of(meta: &ExposureMeta, half_light_arcsec: &[f64]) -> Option<Tiles> {
    let reach = reach_px(meta, half_light_px(meta, *half_light_arcsec.last()?)) as i32;
    Some(Tiles::new(meta.shape, reach, reach))
}

/// Pixels of an exposure that the maps of the morphologies need for positions in `region`, not cut to the exposure.
pub(super) fn pixels_for(region: &Box2, meta: &ExposureMeta, half_light_arcsec: &[f64]) -> Box2 {
    tiles_of(meta, half_light_arcsec).map_or(Box2::new(0, 0, 0, 0), |tiles| tiles.pixels_for(region))
}

/// One exposure's PSF, broadened by the morphologies, ready to be correlated.
pub(super) struct MorphologyCorrelator<'a> {
    meta: &'a ExposureMeta,
    tiles: Tiles,
    fft: RealFft2<f32>,
    prefilter: Array2<f32>,
    profiles: Vec<Profile>,
    /// The filters, of a PSF that is the same everywhere.
    constant: Option<Vec<Array2<Complex32>>>,
}

/// One morphology under an exposure's PSF.
struct Profile {
    /// φ's basis, each broadened by g: `[2r+1, 2r+1]`.
    broadened: Vec<Array2<f64>>,
    /// Σ (b_k * g)(b_l * g).
    products: Array2<f64>,
}

impl Profile {
    fn new(meta: &ExposureMeta, half_light_arcsec: f64) -> Self {
        let half_light = half_light_px(meta, half_light_arcsec);
        let g = exponential_stamp(half_light);
        let side = meta.psf.basis_stamp(0, 0.0, 0.0).nrows();
        // Nothing runs round the edges.
        let fft: RealFft2 = RealFft2::new(fast_length(side + g.nrows()));
        let spectrum = fft.of_stamp(g.view());
        let radius = (side + g.nrows()) / 2 - 1;
        let broaden = |k: usize| centred(&fft.inverse(fft.of_stamp(meta.psf.basis_stamp(k, 0.0, 0.0).view()) * &spectrum), radius);
        let whole: Vec<_> = (0..meta.psf.n_basis()).map(broaden).collect();
        let products = Array2::from_shape_fn((whole.len(), whole.len()), |(k, l)| (&whole[k] * &whole[l]).sum());
        let reach = reach_px(meta, half_light).min(radius);
        let kept = radius - reach..=radius + reach;
        let broadened = whole.iter().map(|stamp| stamp.slice(s![kept.clone(), kept.clone()]).to_owned()).collect();
        Self { broadened, products }
    }

    /// Σ (φ * g)² for the coefficients `c` of the PSF.
    fn sum(&self, c: &[f64]) -> f64 {
        let used = || c.iter().enumerate().filter(|(_, c)| **c != 0.0);
        used().map(|(k, a)| a * used().map(|(l, b)| b * self.products[[k, l]]).sum::<f64>()).sum()
    }

    /// (φ * g)² brought to unit sum, transformed, conjugated, divided by the transform of the sampled B-spline.
    fn filter(&self, fft: &RealFft2<f32>, prefilter: &Array2<f32>, c: &[f64]) -> Array2<Complex32> {
        let mut stamp = Array2::zeros(self.broadened[0].dim());
        self.broadened.iter().zip(c).for_each(|(b, &c)| stamp.scaled_add(c, b));
        stamp.mapv_inplace(|p: f64| p * p);
        let sum = stamp.sum();
        let mut filter = fft.of_stamp((stamp / sum).view());
        filter.zip_mut_with(prefilter, |v, p| *v = v.conj() * *p);
        filter
    }
}

impl<'a> MorphologyCorrelator<'a> {
    /// None without a morphology.
    pub fn new(meta: &'a ExposureMeta, half_light_arcsec: &[f64]) -> Option<Self> {
        let tiles = tiles_of(meta, half_light_arcsec)?;
        let profiles: Vec<_> = half_light_arcsec.iter().map(|&r| Profile::new(meta, r)).collect();
        let fft = RealFft2::new(tiles.transform_px());
        let prefilter = prefilter(fft.n());
        let mut c = vec![0.0; meta.psf.n_basis()];
        meta.psf.coefficients(meta.center(), &mut c);
        let constant = meta.psf.is_constant().then(|| profiles.iter().map(|p| p.filter(&fft, &prefilter, &c)).collect());
        Some(Self { meta, tiles, fft, prefilter, profiles, constant })
    }

    /// Φ_g / Σ(φ * g)² of every morphology over the exposure under positions in `region`; pixels that `prepared` lacks count as masked. None
    /// if nothing is near.
    pub fn shares(&self, prepared: &Prepared, region: &Box2) -> Option<Vec<SplineMap>> {
        SplineMap::fill(&self.tiles, region, self.profiles.len(), |tile| self.tile(prepared, tile))
    }

    fn tile(&self, prepared: &Prepared, tile: &Box2) -> Vec<Array2<f32>> {
        let n = self.fft.n();
        let region = self.tiles.with_halo(tile);
        let part = region.intersect(&prepared.bbox);
        let mut inverse_variance = Array2::zeros((n, n));
        if !part.is_empty() {
            let from = prepared.bbox.slice_of(&part);
            let (y0, x0) = ((part.y0 - prepared.bbox.y0) as usize, (part.x0 - prepared.bbox.x0) as usize);
            let to = inverse_variance.slice_mut(region.slice_of(&part));
            Zip::indexed(to).and(prepared.background_njy2().slice(from)).for_each(|(y, x), w, v| {
                *w = if prepared.bad.bit(y0 + y, x0 + x) { 0.0 } else { v.recip() };
            });
        }
        let spectrum = self.fft.forward(inverse_variance);
        let correlate = |filter: &Array2<Complex32>| self.tiles.own(&self.fft.inverse(&spectrum * filter)).to_owned();
        match &self.constant {
            Some(filters) => filters.iter().map(correlate).collect(),
            None => {
                let middle = PixelPoint::new(f64::from(tile.x0 + tile.width / 2), f64::from(tile.y0 + tile.height / 2));
                let mut c = vec![0.0; self.meta.psf.n_basis()];
                self.meta.psf.coefficients(self.meta.bbox().nearest(middle), &mut c);
                self.profiles.iter().map(|p| correlate(&p.filter(&self.fft, &self.prefilter, &c))).collect()
            }
        }
    }

    /// Calls `each` with the morphology, the run's pixel and Φ_g \[1/nJy²\] of a source there, where the exposure is near.
    pub fn run(&self, shares: &[SplineMap], run: &Run, c: &mut Vec<f64>, mut each: impl FnMut(usize, usize, f64)) {
        c.resize(self.meta.psf.n_basis(), 0.0);
        for (i, x, y) in near(&self.tiles, run) {
            self.meta.psf.coefficients(PixelPoint::new(x, y), c);
            for (g, (profile, share)) in self.profiles.iter().zip(shares).enumerate() {
                // The spline of what ends at a mask overshoots below zero by rounding.
                each(g, i, profile.sum(c) * f64::from(share.at(x, y).max(0.0)));
            }
        }
    }
}

//! Candidates: pixels of an exposure that differ from the static sky, tile by tile of the tract.

use super::matched::{Matched, slice};
use super::native::Native;
use super::static_sky::median;
use super::{ArtifactsConfig, FindArtifacts};
use crate::background::VisitProduct;
use crate::coadd::{CoaddConfig, MatchingFilter, PairScratch, PsfMatcher, target_fwhm_px};
use crate::footprint::{Span, SpanSet};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{Exposure, ExposureMeta};
use ndarray::Array2;
use std::sync::OnceLock;

/// Side of a tile \[tract pixel\]: anchored to the tract, whatever the patches. Every exposure is held on it.
const TILE_PX: i32 = 512;

/// Longest side of the parts of a tile and its margin that have one matching kernel, where the PSF varies \[tract pixel\].
const KERNEL_PX: usize = 266;

/// Pixels around a tile that its candidates depend on: slopes, neighbours, bad pixels near by.
pub(super) const MARGIN_PX: i32 = 10;

/// The target is broader than the broadest PSF by this factor: then no exposure needs to be deconvolved.
const TARGET_FACTOR: f64 = 1.2;

/// A pixel of an exposure, on the tract, that differs from what the others show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Exposure, by its place among the band's in id order.
    pub exposure: u32,
    /// Row on the tract.
    pub y: i32,
    /// Column on the tract.
    pub x: i32,
    /// Difference from the static sky with the common PSF \[sigma\], of either sign; 0 where it is not known.
    pub matched_snr: f32,
    /// What the exposure has, with its own PSF, above all that the static sky may have in it \[sigma\]; 0 below the low threshold.
    pub native_snr: f32,
    /// By how much the pixel is sharper than the PSF allows \[sigma\]; 0 where it is not.
    pub sharp_snr: f32,
    /// The difference with the common PSF \[nJy\].
    pub difference_njy: f32,
    /// The static sky with the common PSF \[nJy\].
    pub static_njy: f32,
    /// Significance of the static sky \[sigma\].
    pub static_snr: f32,
    /// Exposures that have a value here, with the common PSF.
    pub n_epochs: u32,
}

/// One band of the tract, ready to be searched.
pub struct BandArtifacts<'a> {
    config: ArtifactsConfig,
    tract: Tract,
    matcher: PsfMatcher,
    target_fwhm_px: f64,
    inputs: &'a [(ExposureMeta, VisitProduct)],
    /// Of exposures whose PSF is the same everywhere; made when it is first asked for.
    constant: Vec<OnceLock<MatchingFilter>>,
}

/// One exposure on a tile and its margin.
pub struct Epoch {
    pub(super) index: usize,
    /// Flux per tract pixel \[nJy\], with its own PSF and with the common one; NaN where there is none.
    pub(super) native_njy: Array2<f32>,
    pub(super) matched_njy: Array2<f32>,
    /// Its PSF on the tract's pixels, at the middle of the tile.
    pub(super) psf: Array2<f64>,
    /// Variance of a pixel of sky \[nJy²\], with its own PSF and with the common one.
    pub(super) native_variance: f64,
    pub(super) matched_variance: f64,
    /// nJy per electron: a pixel of flux F brings a variance of F times this, in the exposure and, by the kernel's power, in the matched image.
    pub(super) njy_per_e: f64,
    pub(super) matched_njy_per_e: f64,
}

impl FindArtifacts {
    /// Prepares a band; `inputs` are all its exposures in the tract, in id order.
    #[must_use]
    pub fn start<'a>(&self, tract: &Tract, coadd: &CoaddConfig, inputs: &'a [(ExposureMeta, VisitProduct)]) -> BandArtifacts<'a> {
        let scale = tract.config().pixel_scale_arcsec;
        let fwhm_px = |meta: &ExposureMeta| meta.fwhm_arcsec() / scale;
        let fwhms = inputs.iter().map(|(meta, _)| fwhm_px(meta)).collect();
        let target_fwhm_px = target_fwhm_px(fwhms, 1.0, TARGET_FACTOR);
        let matcher = PsfMatcher::new(tract.wcs(), coadd.lanczos_order, coadd.min_kernel_weight, target_fwhm_px, KERNEL_PX);
        let constant = inputs.iter().map(|_| OnceLock::new()).collect();
        BandArtifacts { config: self.config.clone(), tract: tract.clone(), matcher, target_fwhm_px, inputs, constant }
    }
}

impl BandArtifacts<'_> {
    /// FWHM of the common PSF \[tract pixel\].
    #[must_use]
    pub fn target_fwhm_px(&self) -> f64 {
        self.target_fwhm_px
    }

    /// Tiles that share pixels with a patch, cut to the tract, row by row.
    #[must_use]
    pub fn tiles(&self, patch: &Box2) -> Vec<Box2> {
        let range = |from: i32, to: i32| from.div_euclid(TILE_PX)..(to - 1).div_euclid(TILE_PX) + 1;
        let columns = range(patch.x0, patch.x1());
        let tile = |(j, i): (i32, i32)| Box2::new(i * TILE_PX, j * TILE_PX, TILE_PX, TILE_PX).intersect(&self.tract.bbox());
        range(patch.y0, patch.y1()).flat_map(|j| columns.clone().map(move |i| (j, i))).map(tile).collect()
    }

    /// Pixels of exposure `index` that a tile needs; empty if they do not meet.
    #[must_use]
    pub fn needed(&self, index: usize, tile: &Box2) -> Box2 {
        self.matcher.needed(&tile.grown(MARGIN_PX), &self.inputs[index].0)
    }

    /// Memory for one thread.
    #[must_use]
    pub fn scratch(&self) -> PairScratch {
        self.matcher.scratch()
    }

    /// Exposure `index`, which holds at least the pixels that [`Self::needed`] named, sanitised, on a tile; none without a good pixel.
    #[must_use]
    pub fn epoch(&self, index: usize, exposure: &Exposure, tile: &Box2, scratch: &mut PairScratch) -> Option<Epoch> {
        let (meta, visit) = &self.inputs[index];
        let (region, margin) = (tile.grown(MARGIN_PX), self.matcher.margin_px());
        let outer = region.grown(margin);
        let warp = self.matcher.warp(exposure, visit, &outer)?;
        let psf = self.matcher.warped_psf(meta, middle_of(&region));
        let mut matched_njy = Array2::from_elem(region.shape(), f32::NAN);
        let mut power = 0.0;
        let parts = parts_of(&region, KERNEL_PX as i32);
        for part in &parts {
            let own;
            let filter = if meta.psf.is_constant() {
                let center = self.tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(meta.center())).unwrap_or(middle_of(&region));
                self.constant[index].get_or_init(|| self.matcher.filter(self.matcher.warped_psf(meta, center).view(), scratch))
            } else {
                own = self.matcher.filter(self.matcher.warped_psf(meta, middle_of(part)).view(), scratch);
                &own
            };
            power += filter.power / parts.len() as f64;
            if let Some(matched) = self.matcher.matched(warp.slice(outer.slice_of(&part.grown(margin))), filter, scratch) {
                matched_njy.slice_mut(region.slice_of(part)).assign(&matched);
            }
        }
        if matched_njy.iter().all(|z| z.is_nan()) {
            return None;
        }
        let at = meta.center();
        let area_ratio = self.matcher.area_ratio(meta, middle_of(&region));
        let native_variance = visit.background_variance.at(at) * meta.photo_calib.at(at).powi(2) * area_ratio;
        let njy_per_e = meta.photo_calib.at(at) / meta.gain_e_per_adu;
        Some(Epoch {
            index,
            native_njy: warp.slice(outer.slice_of(&region)).to_owned(),
            matched_njy,
            psf,
            native_variance,
            matched_variance: native_variance * power,
            njy_per_e,
            matched_njy_per_e: njy_per_e * power,
        })
    }

    /// Candidates on the pixels of a tile that belong to the patch, row by row.
    ///
    /// With z_i the matched exposures, S is the mean of those within 3 σ of their median (of two: the other one), and z_i - S counts in units of
    /// √(σ_i² + σ_S² + (ε S)² + (δ |∇S|)²): noise, sources' own included, and the errors ε, δ of models and positions, so that bright static
    /// sources do not stand out. With their own PSFs, w_i - b_i N counts, N the median of all and b_i the bound of [`excess_ratios`].
    #[must_use]
    pub fn find(&self, tile: &Box2, mut epochs: Vec<Epoch>, patch: &Box2) -> Vec<Candidate> {
        if epochs.len() < 2 {
            return Vec::new();
        }
        let region = tile.grown(MARGIN_PX);
        level(&mut epochs);
        let matched = Matched::new(&epochs, &self.config, self.target_fwhm_px.ceil() as usize);
        let native = Native::new(&epochs, &self.config);
        let part = tile.intersect(patch);
        let low = self.config.low_threshold as f32;
        let (static_njy, static_variance) = (slice(&matched.sky_njy), slice(&matched.sky_variance));
        let mut found = Vec::new();
        for y in part.y0..part.y1() {
            let row = (y - region.y0) as usize * region.width as usize;
            for (k, epoch) in epochs.iter().enumerate() {
                for x in part.x0..part.x1() {
                    let p = row + (x - region.x0) as usize;
                    let native_snr = native.excess(k, p, low);
                    if native_snr.is_none() && !matched.stands_out(k, p, low) {
                        continue;
                    }
                    let difference = matched.difference(k, p).unwrap_or_default();
                    found.push(Candidate {
                        exposure: epoch.index as u32,
                        y,
                        x,
                        matched_snr: difference.snr,
                        native_snr: native_snr.unwrap_or(0.0),
                        sharp_snr: if native_snr.is_some() { native.sharpness(k, p) } else { 0.0 },
                        difference_njy: difference.njy,
                        static_njy: static_njy[p],
                        static_snr: static_njy[p] / static_variance[p].sqrt(),
                        n_epochs: u32::from(slice(&matched.n_epochs)[p]),
                    });
                }
            }
        }
        found
    }

    /// Leaves out what is only noise: connected pixels of one exposure and sign, none of them over the threshold. Those that touch the border of
    /// the patch stay: what is beyond decides.
    #[must_use]
    pub fn prune(&self, mut candidates: Vec<Candidate>, patch: &Box2) -> Vec<Candidate> {
        candidates.sort_by_key(|c| (c.exposure, c.y, c.x));
        let inner = patch.grown(-1);
        let mut kept = Vec::new();
        for of_exposure in candidates.chunk_by(|a, b| a.exposure == b.exposure) {
            for is_positive in [true, false] {
                for part in connected(of_exposure, is_positive) {
                    let touches = part.iter().any(|c| !inner.contains(c.x, c.y));
                    if touches || part.iter().any(|c| c.snr() >= self.config.threshold) {
                        kept.extend(part);
                    }
                }
            }
        }
        kept.sort_by_key(|c| (c.exposure, c.y, c.x));
        kept
    }
}

impl Candidate {
    /// The exposure has more than the static sky.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.native_snr > 0.0 || self.matched_snr > 0.0
    }

    /// Significance, by the better of the two comparisons.
    #[must_use]
    pub fn snr(&self) -> f64 {
        f64::from(self.matched_snr.abs().max(self.native_snr))
    }
}

/// Connected pixels of one sign; `candidates` are of one exposure, sorted by (y, x).
pub(super) fn connected(candidates: &[Candidate], is_positive: bool) -> Vec<Vec<Candidate>> {
    let of_sign: Vec<&Candidate> = candidates.iter().filter(|c| c.is_positive() == is_positive).collect();
    let spans = of_sign.iter().map(|c| Span { y: c.y, x0: c.x, x1: c.x }).collect();
    let pixel = |(x, y): (i32, i32)| {
        let at = of_sign.binary_search_by_key(&(y, x), |c| (c.y, c.x)).expect("a part's pixels are those of the whole");
        *of_sign[at]
    };
    SpanSet::from_spans(spans).connected().iter().map(|part| part.pixels().map(pixel).collect()).collect()
}

fn middle_of(region: &Box2) -> PixelPoint {
    PixelPoint::new(f64::from(region.x0) + f64::from(region.width - 1) / 2.0, f64::from(region.y0) + f64::from(region.height - 1) / 2.0)
}

/// A box cut into as few parts of at most `side_px` as it takes, of nearly one size.
fn parts_of(bbox: &Box2, side_px: i32) -> Vec<Box2> {
    let cuts = |start: i32, length: i32| -> Vec<(i32, i32)> {
        let n = (length + side_px - 1) / side_px;
        (0..n).map(|k| (start + length * k / n, start + length * (k + 1) / n)).collect()
    };
    let columns = cuts(bbox.x0, bbox.width);
    let rows = cuts(bbox.y0, bbox.height);
    rows.iter().flat_map(|&(y0, y1)| columns.iter().map(move |&(x0, x1)| Box2::from_ranges(x0..x1, y0..y1))).collect()
}

/// Takes off what the skies of the exposures differ by over the tile: the median of each matched exposure less the mean of all.
fn level(epochs: &mut [Epoch]) {
    let mut sums = vec![(0.0f64, 0u16); epochs[0].matched_njy.len()];
    for epoch in epochs.iter() {
        for ((sum, n), z) in sums.iter_mut().zip(slice(&epoch.matched_njy)) {
            if !z.is_nan() {
                (*sum, *n) = (*sum + f64::from(*z), *n + 1);
            }
        }
    }
    let means: Vec<f32> = sums.iter().map(|&(sum, n)| if n > 1 { (sum / f64::from(n)) as f32 } else { f32::NAN }).collect();
    let mut differences = Vec::with_capacity(means.len());
    for epoch in epochs {
        differences.clear();
        // Every third pixel will do: the median of 10⁵ is good to 0.4 % of the noise.
        let of_all = slice(&epoch.matched_njy).iter().zip(&means).step_by(3).map(|(z, mean)| z - mean);
        differences.extend(of_all.filter(|d| !d.is_nan()).map(f64::from));
        if !differences.is_empty() {
            let offset = median(&mut differences) as f32;
            epoch.matched_njy -= offset;
            epoch.native_njy -= offset;
        }
    }
}

impl Epoch {
    /// Variance of a matched pixel on a source of this brightness \[nJy²\].
    pub(super) fn variance_at(&self, sky_njy: f32) -> f32 {
        self.matched_variance as f32 + self.matched_njy_per_e as f32 * sky_njy.max(0.0)
    }
}

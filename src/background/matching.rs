//! Compares all exposures of a band with each other, tile by tile of the tract: the levels of each on superpixels.
//!
//! On every superpixel the difference of *every pair* of overlapping exposures is measured on the pixels that both have, so that the
//! sky's structure drops out exactly; then the levels are found that agree with all differences of that superpixel.
//!
//! Exposures cover a superpixel in part, each another one, and their skies slope and bend: a mean over one part is not the background
//! at the middle of another. So every pixel is first brought to one place of the superpixel, the same for all, by the shape of its
//! exposure's background: a low polynomial through its own mesh. What that swallowed of a halo it swallowed in both exposures of a pair,
//! and only slopes times distances are taken from it: an error of the slope counts by how far the common pixels lie from that place,
//! nothing where they surround it.
//!
//! N exposures cost N
//! warps and N (N - 1) / 2 passes over 4096 pixels (a few microseconds each: for 80 exposures less than their warps), and leave N numbers
//! a superpixel instead of N² / 2: ten thousand exposures fit into the memory of the one task that solves for the tract.

use super::difference::{PairDifference, adjust_levels, mean_difference};
use super::mesh::clipped_mean;
use super::source_mask::{gaussian_filter, source_mask};
use super::superpixels::{Superpixel, Superpixels};
use super::{DetectorBasis, ExposureBackground, VisitProduct};
use crate::coadd::{CoaddConfig, MatchedWarp, PairScratch, PsfMatcher, target_fwhm_px};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{Chebyshev2, Exposure, ExposureMeta};
use ndarray::{Array2, Zip};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which background the exposures get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundMethod {
    /// That of the visit phase, each exposure by itself.
    Visit,
    /// Matched across the tract.
    Matched,
}

/// Settings of [`MatchBackground`]: section `[match]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// `visit` (no matching) or `matched`.
    pub background: BackgroundMethod,
    /// Side of a superpixel \[tract pixel\].
    pub superpixel_px: usize,
    /// Least number of pixels of a difference, as a share of the superpixel's.
    pub min_share: f64,
    /// Detection limit of the source mask, on the mean of all exposures \[sigma\].
    pub source_mask_sigma: f64,
    /// Clipping limit of the differences \[sigma of a pixel's difference\].
    pub clip_sigma: f64,
    /// Share of the exposures whose PSF the target must be broader than.
    pub target_fraction: f64,
    /// FWHM of the target over that of the broadest of them.
    pub target_factor: f64,
    /// Order of the polynomial through each visit's mesh by whose shape pixels are brought to one place of their superpixel; 0: none, for
    /// skies that differ by constants.
    pub shape_order: usize,
    /// Amplifiers of a detector that may have steps between them, \[columns, rows\], of equal size.
    pub amplifiers: [usize; 2],
    /// Run folder of an earlier coadd on the same tract: the reference of all exposures that touch it; empty: the best-connected exposure.
    pub template: String,
}

impl Default for MatchConfig {
    fn default() -> Self {
        Self {
            background: BackgroundMethod::Visit,
            superpixel_px: 64,
            min_share: 0.05,
            source_mask_sigma: 3.0,
            clip_sigma: 4.0,
            target_fraction: 1.0,
            target_factor: 1.2,
            shape_order: 2,
            amplifiers: [1, 1],
            template: String::new(),
        }
    }
}

/// Why backgrounds could not be matched.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum MatchError {
    /// A setting out of range.
    #[error("{section}.{key} is {found}; expected {expected}")]
    Config {
        /// Section.
        section: &'static str,
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// The iteration did not end.
    #[error(
        "band {band}: the background solution stands at a relative residual of {residual:.1e} after {n} iterations; expected {limit:.0e}"
    )]
    NotConverged {
        /// Band.
        band: String,
        /// ‖r‖ / ‖b‖.
        residual: f64,
        /// Iterations done.
        n: usize,
        /// Residual asked for.
        limit: f64,
    },
}

/// The matching stage.
#[derive(Debug, Clone)]
pub struct MatchBackground {
    config: MatchConfig,
}

/// Level of one amplifier of one exposure on one superpixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelSample {
    /// Row of the superpixel.
    pub row: i32,
    /// Column of the superpixel.
    pub column: i32,
    /// Samples of a superpixel with the same number are connected by differences.
    pub set: u32,
    /// Exposure, by its place among the band's in id order; their number: the template.
    pub exposure: u32,
    /// Amplifier, row by row.
    pub amplifier: u32,
    /// Where the level holds, on the exposure; may lie a little outside.
    pub at: PixelPoint,
    /// The same on the tract, the same for all samples of a superpixel.
    pub tract_at: PixelPoint,
    /// Level above the exposure's mean mesh level \[nJy per tract pixel\], consistent with the differences of the superpixel.
    pub level_njy: f64,
    /// Its error \[nJy\], of the noise alone.
    pub error_njy: f64,
    /// nJy per tract pixel of one count per exposure pixel, at its place.
    pub njy_per_adu: f64,
}

/// One band of the tract, ready to be compared.
pub struct BandMatcher<'a> {
    config: MatchConfig,
    superpixels: Superpixels,
    matcher: PsfMatcher,
    target_fwhm_px: f64,
    inputs: Vec<MatcherInput<'a>>,
}

struct MatcherInput<'a> {
    meta: &'a ExposureMeta,
    /// With a constant for a background: what is to be matched must not be taken off before.
    levelled: VisitProduct,
    mesh: &'a ExposureBackground,
    /// A polynomial through the mesh.
    shape: Chebyshev2,
    basis: DetectorBasis,
}

/// An earlier coadd on the pixels of [`BandMatcher::region`].
pub struct TemplateTile {
    /// Background-subtracted \[nJy\]; NaN where bad.
    pub image_njy: Array2<f32>,
    /// Its PSF at the middle of the tile, `[2r+1, 2r+1]`.
    pub psf: Array2<f64>,
    /// Variance of the mean of n pixels, times n \[nJy²\]: the sum over its noise covariance.
    pub white_variance_njy2: f64,
}

/// Exposures on one tile, as they are added.
pub struct TileStack {
    tile: Box2,
    /// Tile and the margin that the source mask needs.
    region: Box2,
    /// Σ w z and Σ w of mesh-subtracted warps, w = 1/v, over the region.
    sum: Array2<f64>,
    weight: Array2<f64>,
    warps: Vec<TileWarp>,
    /// Noise of the template's pixels.
    template_variance: f64,
    scratch: PairScratch,
}

/// One exposure, or the template, on a tile.
struct TileWarp {
    index: usize,
    matched: MatchedWarp,
    /// Shape of the exposure's background under every pixel \[counts\].
    shape_adu: Array2<f32>,
}

impl MatchBackground {
    /// # Errors
    /// [`MatchError::Config`] if a setting is outside its range.
    pub fn new(config: MatchConfig) -> Result<Self, MatchError> {
        let c = &config;
        let check = |is_good: bool, key, found: &dyn std::fmt::Debug, expected| {
            let error = || MatchError::Config { section: "match", key, found: format!("{found:?}"), expected };
            if is_good { Ok(()) } else { Err(error()) }
        };
        check((16..=256).contains(&c.superpixel_px), "superpixel_px", &c.superpixel_px, "16..=256 pixels")?;
        check((0.01..=1.0).contains(&c.min_share), "min_share", &c.min_share, "0.01..=1")?;
        check((1.0..=10.0).contains(&c.source_mask_sigma), "source_mask_sigma", &c.source_mask_sigma, "1..=10 sigma")?;
        check((2.5..=10.0).contains(&c.clip_sigma), "clip_sigma", &c.clip_sigma, "2.5..=10 sigma")?;
        check(c.target_fraction > 0.0 && c.target_fraction <= 1.0, "target_fraction", &c.target_fraction, "a share in (0, 1]")?;
        check((1.0..=3.0).contains(&c.target_factor), "target_factor", &c.target_factor, "1..=3")?;
        check(c.shape_order <= 4, "shape_order", &c.shape_order, "0..=4")?;
        check(c.amplifiers.iter().all(|n| (1..=16).contains(n)), "amplifiers", &c.amplifiers, "1..=16 columns and rows")?;
        Ok(Self { config })
    }

    /// Prepares a band; `inputs` are all its exposures in the tract, in id order, with their visits' own backgrounds;
    /// `template_fwhm_px` that of the template, if there is one.
    #[must_use]
    pub fn start<'a>(
        &self,
        tract: &Tract,
        coadd: &CoaddConfig,
        inputs: &'a [(ExposureMeta, VisitProduct)],
        template_fwhm_px: Option<f64>,
    ) -> BandMatcher<'a> {
        let c = &self.config;
        let scale = tract.config().pixel_scale_arcsec;
        let fwhm_px = |meta: &ExposureMeta| meta.fwhm_arcsec() / scale;
        let fwhms = inputs.iter().map(|(meta, _)| fwhm_px(meta)).chain(template_fwhm_px).collect();
        let target_fwhm_px = target_fwhm_px(fwhms, c.target_fraction, c.target_factor);
        let superpixels = Superpixels { tract: tract.bbox(), side_px: c.superpixel_px as i32 };
        let side_px = superpixels.tile_px() as usize;
        let matcher = PsfMatcher::new(tract.wcs(), coadd.lanczos_order, coadd.min_kernel_weight, target_fwhm_px, side_px);
        let inputs = inputs.iter().map(|(meta, visit)| self.input(meta, visit)).collect();
        BandMatcher { config: c.clone(), superpixels, matcher, target_fwhm_px, inputs }
    }

    fn input<'a>(&self, meta: &'a ExposureMeta, visit: &'a VisitProduct) -> MatcherInput<'a> {
        let levelled = VisitProduct {
            background: ExposureBackground::constant(meta.bbox(), visit.background.level_adu()),
            stars: crate::catalog::Table::new(),
            ..visit.clone()
        };
        let basis = DetectorBasis { bbox: meta.bbox(), order: 0, amplifiers: self.config.amplifiers };
        let shape = shape(&visit.background, meta.bbox(), self.config.shape_order);
        MatcherInput { meta, levelled, mesh: &visit.background, shape, basis }
    }
}

/// The polynomial of total order `order`, or what the mesh has nodes for, through the nodes of a mesh; a constant for anything else.
fn shape(background: &ExposureBackground, bbox: Box2, order: usize) -> Chebyshev2 {
    let constant = || Chebyshev2::constant(bbox, background.level_adu());
    let ExposureBackground::Mesh(mesh) = background else { return constant() };
    let (rows, columns) = mesh.nodes_adu.dim();
    let along = |k: usize, n: usize, start: i32, size: i32| f64::from(start) + (k as f64 + 0.5) * f64::from(size) / n as f64 - 0.5;
    let node = |((j, i), &value): ((usize, usize), &f64)| {
        (PixelPoint::new(along(i, columns, bbox.x0, bbox.width), along(j, rows, bbox.y0, bbox.height)), value, 1.0)
    };
    let nodes: Vec<(PixelPoint, f64, f64)> = mesh.nodes_adu.indexed_iter().map(node).collect();
    let order = order.min(rows - 1).min(columns - 1);
    (order > 0).then(|| Chebyshev2::fit(bbox, &nodes, order)).flatten().unwrap_or_else(constant)
}

impl BandMatcher<'_> {
    /// Tiles with superpixels of a patch.
    #[must_use]
    pub fn tiles(&self, patch: &Box2) -> Vec<Box2> {
        self.superpixels.tiles(patch)
    }

    /// FWHM of the PSF to which all exposures are brought \[tract pixel\].
    #[must_use]
    pub fn target_fwhm_px(&self) -> f64 {
        self.target_fwhm_px
    }

    /// Calibrations of exposure `index`.
    #[must_use]
    pub fn meta(&self, index: usize) -> &ExposureMeta {
        self.inputs[index].meta
    }

    /// Pixels of exposure `index` that a tile needs; empty if they do not meet.
    #[must_use]
    pub fn needed(&self, index: usize, tile: &Box2) -> Box2 {
        self.matcher.needed(tile, self.inputs[index].meta)
    }

    /// Pixels of the tract that a tile and its margin cover.
    #[must_use]
    pub fn region(&self, tile: &Box2) -> Box2 {
        tile.grown(self.matcher.margin_px())
    }

    /// Half-width of the stamp of a PSF on the tract \[tract pixel\].
    #[must_use]
    pub fn psf_radius_px(&self) -> usize {
        self.matcher.margin_px() as usize
    }

    /// Starts a tile without exposures.
    #[must_use]
    pub fn stack(&self, tile: Box2) -> TileStack {
        let region = self.region(&tile);
        let zeros = || Array2::zeros(region.shape());
        TileStack {
            tile,
            region,
            sum: zeros(),
            weight: zeros(),
            warps: Vec::new(),
            template_variance: 0.0,
            scratch: self.matcher.scratch(),
        }
    }

    /// Adds exposure `index`, which holds at least the pixels that [`Self::needed`] named, sanitised; in rising order of `index`.
    pub fn add(&self, stack: &mut TileStack, index: usize, exposure: &Exposure) {
        let input = &self.inputs[index];
        let Some(warp) = self.matcher.run(exposure, &input.levelled, &stack.tile, &mut stack.scratch) else { return };
        let weight = self.white_variance(input, input.meta.center(), warp.area_ratio).recip();
        let tile = &stack.tile;
        let on_tile = stack.region.slice_of(tile);
        let shape_at = |&x: &f32, &y: &f32| input.shape.at(PixelPoint::new(f64::from(x), f64::from(y))) as f32;
        let shape_adu = Zip::from(warp.x_px.slice(on_tile)).and(warp.y_px.slice(on_tile)).map_collect(shape_at);
        // The mesh above its level, as the warp has it; a pixel's offset matters to no mask.
        let level = input.levelled.background.level_adu();
        let mesh = input.mesh.image(&exposure.bbox);
        let scale = input.meta.photo_calib.at(input.meta.center()) * warp.area_ratio;
        Zip::from(&mut stack.sum).and(&mut stack.weight).and(&warp.warp_njy).and(&warp.x_px).and(&warp.y_px).for_each(
            |s, w, &z, &x, &y| {
                if let Some(at) = exposure.bbox.index((x + 0.5).floor() as i32, (y + 0.5).floor() as i32).filter(|_| !z.is_nan()) {
                    *s += weight * (f64::from(z) - (f64::from(mesh[at]) - level) * scale);
                    *w += weight;
                }
            },
        );
        let matched = warp.without_margin(&stack.region, tile);
        stack.warps.push(TileWarp { index, matched, shape_adu });
    }

    /// Adds the template, after all exposures: its place in the samples is the one after the last exposure's.
    pub fn add_template(&self, stack: &mut TileStack, template: TemplateTile) {
        let weight = template.white_variance_njy2.recip();
        let (tile, scratch) = (&stack.tile, &mut stack.scratch);
        let Some(warp) = self.matcher.run_on_tract(template.image_njy, template.psf.view(), tile, scratch) else { return };
        Zip::from(&mut stack.sum).and(&mut stack.weight).and(&warp.warp_njy).for_each(|s, w, &z| {
            if !z.is_nan() {
                *s += weight * f64::from(z);
                *w += weight;
            }
        });
        stack.template_variance = template.white_variance_njy2;
        let matched = warp.without_margin(&stack.region, &stack.tile);
        stack.warps.push(TileWarp { index: self.inputs.len(), matched, shape_adu: Array2::zeros(stack.tile.shape()) });
    }

    /// Variance that a tract pixel would have if warping left white noise \[nJy²\]: means over n pixels have this over n.
    fn white_variance(&self, input: &MatcherInput, at: PixelPoint, area_ratio: f64) -> f64 {
        input.levelled.background_variance.at(at) * input.meta.photo_calib.at(at).powi(2) * area_ratio
    }

    /// Levels of all exposures on the superpixels of the tile that belong to the patch.
    #[must_use]
    pub fn finish(&self, stack: &TileStack, patch: &Box2) -> Vec<LevelSample> {
        let is_source = self.source_mask(stack);
        let measure = |s: Superpixel| self.measure(stack, is_source.slice(stack.region.slice_of(&s.bbox)).to_owned(), s);
        self.superpixels.in_tile(&stack.tile, patch).into_iter().flat_map(measure).collect()
    }

    /// Sources on the mean of all exposures, weighted by their inverse variance, above the mean of each superpixel: what the meshes left of
    /// slopes and steps is no source, and light that is smooth over a superpixel drops out of the differences. Where it is so bright that
    /// its own noise counts (`source_mask_sigma` times the noise of a pixel of the mean) it is masked all the same.
    ///
    /// One mask for all: a mask of each exposure's own leaves the exposures whose noise was low. On the mean, the noise of an exposure
    /// that the mask selects by is Cov(n_u, Σwn/Σw) = w_u v_u / Σw, the same for all with w = 1/v: it drops out of every difference.
    fn source_mask(&self, stack: &TileStack) -> Array2<bool> {
        let mut significance =
            Zip::from(&stack.sum).and(&stack.weight).map_collect(|&s, &w| if w > 0.0 { (s / w.sqrt()) as f32 } else { 0.0 });
        let limit = self.config.source_mask_sigma;
        let bright = gaussian_filter(significance.view(), self.target_fwhm_px / 2.354_82).0.mapv(|v| f64::from(v) > limit);
        for part in self.superpixels.squares_in(&stack.region) {
            let at = stack.region.slice_of(&part);
            let mut good: Vec<f64> =
                significance.slice(at).iter().zip(stack.weight.slice(at)).filter(|(_, w)| **w > 0.0).map(|(s, _)| f64::from(*s)).collect();
            let mean = if good.is_empty() { None } else { clipped_mean(&mut good, 3.0) };
            if let Some(mean) = mean {
                Zip::from(significance.slice_mut(at)).and(stack.weight.slice(at)).for_each(|s, &w| {
                    if w > 0.0 {
                        *s -= mean.mean as f32;
                    }
                });
            }
        }
        let mut mask = source_mask(significance.view(), 1.0, self.target_fwhm_px, limit);
        mask.zip_mut_with(&bright, |m, b| *m |= b);
        mask
    }

    fn measure(&self, stack: &TileStack, is_source: Array2<bool>, superpixel: Superpixel) -> Vec<LevelSample> {
        let min_pixels = (self.config.min_share * f64::from(self.superpixels.side_px).powi(2)).ceil() as usize;
        let parts: Vec<TileWarp> = stack.warps.iter().map(|warp| warp.part(&stack.tile, &superpixel.bbox, &is_source)).collect();
        let Some(place) = common_place(&parts, &superpixel.bbox) else { return Vec::new() };
        let nodes: Vec<Node> = parts.iter().flat_map(|part| self.nodes(stack, part, place, min_pixels)).collect();
        let mut pairs = Vec::new();
        for (i, first) in nodes.iter().enumerate() {
            for (j, second) in nodes.iter().enumerate().skip(i + 1) {
                let scatter = first.scatter.hypot(second.scatter);
                let start = first.mean - second.mean;
                let found = mean_difference(&first.values, &second.values, start, scatter, self.config.clip_sigma, min_pixels);
                pairs.extend(found.map(|(difference_njy, n_pixels)| PairDifference {
                    first: i,
                    second: j,
                    difference_njy,
                    error_njy: ((first.variance + second.variance) / n_pixels as f64).sqrt(),
                    n_pixels,
                }));
            }
        }
        samples(&nodes, &pairs, &superpixel, place)
    }

    /// The pixels of one exposure on a superpixel, apart by amplifier, each brought to `place` by the shape of the exposure's background.
    fn nodes(&self, stack: &TileStack, part: &TileWarp, place: PixelPoint, min_pixels: usize) -> Vec<Node> {
        // The template has no amplifiers and counts in nJy.
        let input = self.inputs.get(part.index);
        let area_ratio = part.matched.area_ratio;
        let Some(at) = input.map_or(Some(place), |i| self.matcher.on_exposure(i.meta, place)) else { return Vec::new() };
        let njy_per_adu = input.map_or(1.0, |i| i.meta.photo_calib.at(at) * area_ratio);
        let variance = input.map_or(stack.template_variance, |i| self.white_variance(i, i.meta.bbox().nearest(at), area_ratio));
        if !(variance > 0.0 && njy_per_adu > 0.0) {
            return Vec::new();
        }
        let shape_adu = input.map_or(0.0, |i| i.shape.at(at));
        // The matching kernel smears a step: beyond the FWHM of the common PSF, 2.35 of its sigma, nothing of it is left. Kept, these
        // pixels would pull every step to zero by 3 % of its height, more than its error.
        let margin_px = self.target_fwhm_px * area_ratio.sqrt();
        let mut by_amplifier: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let n_pixels = part.matched.matched_njy.len();
        for (k, ((&z, &shape), (&x, &y))) in part.pixels().enumerate().filter(|(_, ((z, _), _))| !z.is_nan()) {
            let pixel = PixelPoint::new(f64::from(x), f64::from(y));
            if input.is_some_and(|i| i.basis.is_near_step(pixel, margin_px)) {
                continue;
            }
            let amplifier = input.map_or(0, |i| i.basis.amplifier(pixel));
            let values = by_amplifier.entry(amplifier).or_insert_with(|| vec![f32::NAN; n_pixels]);
            values[k] = (f64::from(z) - (f64::from(shape) - shape_adu) * njy_per_adu) as f32;
        }
        let finish = |(amplifier, values): (usize, Vec<f32>)| {
            let mut good: Vec<f64> = values.iter().filter(|z| !z.is_nan()).map(|z| f64::from(*z)).collect();
            if good.len() < min_pixels {
                return None;
            }
            let (mean, scatter) = clipped_mean(&mut good, self.config.clip_sigma).map(|c| (c.mean, c.sigma))?;
            Some(Node { exposure: part.index, amplifier, values, n_pixels: good.len(), mean, scatter, variance, njy_per_adu, at })
        };
        by_amplifier.into_iter().filter_map(finish).collect()
    }
}

impl TileWarp {
    /// What lies on a part of `tile`, without sources.
    fn part(&self, tile: &Box2, part: &Box2, is_source: &Array2<bool>) -> Self {
        let mut matched = self.matched.part(tile, part);
        matched.matched_njy.zip_mut_with(is_source, |z, &source| *z = if source { f32::NAN } else { *z });
        Self { index: self.index, matched, shape_adu: self.shape_adu.slice(tile.slice_of(part)).to_owned() }
    }

    /// Of every pixel: ((flux, shape), (x, y)).
    fn pixels(&self) -> impl Iterator<Item = ((&f32, &f32), (&f32, &f32))> {
        let planes = &self.matched;
        planes.matched_njy.iter().zip(&self.shape_adu).zip(planes.x_px.iter().zip(&planes.y_px))
    }
}

/// The place to which the exposures' pixels of a superpixel are brought, on the tract: the mean position of the pixels, each as often as
/// it gives an exposure a partner, so that it lies where differences are measured. `None` without a good pixel.
fn common_place(parts: &[TileWarp], bbox: &Box2) -> Option<PixelPoint> {
    let mut n_good = Array2::<u32>::zeros(bbox.shape());
    for part in parts {
        n_good.zip_mut_with(&part.matched.matched_njy, |n, z| *n += u32::from(!z.is_nan()));
    }
    // Where no two exposures meet, one is better than none.
    let alone = n_good.iter().all(|n| *n < 2);
    let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
    for ((j, i), &n) in n_good.indexed_iter() {
        let weight = f64::from(if alone { n } else { n.saturating_sub(1) });
        (sum, x, y) = (sum + weight, x + weight * i as f64, y + weight * j as f64);
    }
    (sum > 0.0).then(|| PixelPoint::new(f64::from(bbox.x0) + x / sum, f64::from(bbox.y0) + y / sum))
}

/// Pixels of one amplifier of one exposure on a superpixel.
struct Node {
    exposure: usize,
    amplifier: usize,
    /// All pixels of the superpixel \[nJy\]; NaN where bad, under a source, or another amplifier's.
    values: Vec<f32>,
    n_pixels: usize,
    mean: f64,
    scatter: f64,
    variance: f64,
    njy_per_adu: f64,
    at: PixelPoint,
}

/// Levels that agree with all pairs, each connected set at the weighted mean of its exposures' own means.
fn samples(nodes: &[Node], pairs: &[PairDifference], superpixel: &Superpixel, place: PixelPoint) -> Vec<LevelSample> {
    // What an exposure sees alone tells nothing: its information is that of the pixels it shares, with the one it shares most.
    let mut n_shared = vec![0; nodes.len()];
    for pair in pairs {
        for k in [pair.first, pair.second] {
            n_shared[k] = n_shared[k].max(pair.n_pixels);
        }
    }
    let n_pixels = n_shared.iter().zip(nodes).map(|(&n, node)| if n > 0 { n } else { node.n_pixels });
    let weights: Vec<f64> = n_pixels.zip(nodes).map(|(n, node)| n as f64 / node.variance).collect();
    let levels = adjust_levels(&weights, pairs);
    let mut means = vec![(0.0, 0.0); nodes.len()];
    for ((set, _), (node, w)) in levels.iter().zip(nodes.iter().zip(&weights)) {
        means[*set] = (means[*set].0 + w * node.mean, means[*set].1 + w);
    }
    let sample = |((&(set, level), node), weight): ((&(usize, f64), &Node), &f64)| LevelSample {
        row: superpixel.row,
        column: superpixel.column,
        set: set as u32,
        exposure: node.exposure as u32,
        amplifier: node.amplifier as u32,
        at: node.at,
        tract_at: place,
        level_njy: level + means[set].0 / means[set].1,
        error_njy: weight.sqrt().recip(),
        njy_per_adu: node.njy_per_adu,
    };
    levels.iter().zip(nodes).zip(&weights).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::{BackgroundMesh, BackgroundVariance};
    use crate::geometry::{SkyMapConfig, Wcs};
    use crate::image::psf::PsfModel;
    use crate::image::{ApCorrMap, ExposureId, PhotoCalib, PixelCounts, Psf};
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    const SIDE: usize = 330;
    const SIGMA_ADU: f64 = 0.2;

    /// An exposure of the tract's scale with its pixel (0, 0) on the tract's pixel (`dx`, `dy`), its sky, and the mesh through that.
    fn exposure(tract: &Tract, (dx, dy): (f64, f64), sky: impl Fn(f64, f64) -> f64) -> (Exposure, VisitProduct) {
        let middle = tract.bbox().width / 2;
        let s = tract.config().pixel_scale_arcsec / 3600.0;
        let crpix = PixelPoint::new(f64::from(middle) - 0.5 - dx, f64::from(middle) - 0.5 - dy);
        let center = tract.wcs().pixel_to_sky(PixelPoint::new(f64::from(middle) - 0.5, f64::from(middle) - 0.5));
        let meta = ExposureMeta {
            id: ExposureId(format!("{dx}")),
            band: "r".into(),
            mjd: 60000.0,
            exposure_time_s: 30.0,
            shape: (SIDE, SIDE),
            psf: Psf::new(PsfModel::Moffat { fwhm_px: 3.0, beta: 3.5, e1: 0.0, e2: 0.0, radius_px: 24, pixel_integrated: false }).unwrap(),
            wcs: Wcs::tan(center, crpix, [[-s, 0.0], [0.0, s]]).unwrap(),
            photo_calib: PhotoCalib::uniform(1.0),
            ap_corr: ApCorrMap::default(),
            gain_e_per_adu: 1.0,
            read_noise_e: 0.0,
            saturation_adu: f64::INFINITY,
            known_sky_adu: None,
        };
        let mut rng = keyed_rng(1, "matching-test", (dx * 10.0) as u64, 0);
        let mut draw = || -> f64 { SIGMA_ADU * Distribution::<f64>::sample(&StandardNormal, &mut rng) };
        let image = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| (sky(x as f64, y as f64) + draw()) as f32);
        let variance = Array2::from_elem((SIDE, SIDE), (SIGMA_ADU * SIGMA_ADU) as f32);
        let n = 6;
        let node = |k: usize| (k as f64 + 0.5) * SIDE as f64 / n as f64 - 0.5;
        let bbox = meta.bbox();
        let nodes_adu = Array2::from_shape_fn((n, n), |(j, i)| sky(node(i), node(j)));
        let visit = VisitProduct {
            id: meta.id.clone(),
            background: ExposureBackground::Mesh(BackgroundMesh { bbox, nodes_adu }),
            background_variance: BackgroundVariance { model_adu2: Chebyshev2::constant(bbox, SIGMA_ADU * SIGMA_ADU) },
            ap_corr: ApCorrMap::default(),
            stars: crate::catalog::Table::new(),
            counts: PixelCounts::default(),
        };
        (Exposure::new(meta, image, variance, Array2::zeros((SIDE, SIDE))).unwrap(), visit)
    }

    /// Under steep and bent skies the levels differ as the skies do at the place that the samples name, on superpixels that one
    /// exposure covers in part, too. Means over the covered pixels would be wrong by the slope times half the rest: 0.2 x 16 nJy.
    #[test]
    fn partly_covered_superpixels_are_not_biased() {
        let tract = Tract::new(&SkyMapConfig { cell_px: 64, tract_cells: [4, 4], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let skies: [fn(f64, f64) -> f64; 3] = [
            |x, y| 40.0 + 0.2 * x + 1e-4 * y * y,
            |x, y| 90.0 - 0.1 * x + 0.15 * y - 1e-4 * x * y,
            |x, y| 20.0 + 0.05 * x - 0.2 * y + 5e-5 * x * x,
        ];
        let made: Vec<_> =
            [(-60.0, -40.0), (101.3, 22.6), (-40.4, 95.5)].iter().zip(skies).map(|(at, sky)| exposure(&tract, *at, sky)).collect();
        let inputs: Vec<_> = made.iter().map(|(e, v)| (e.meta.clone(), v.clone())).collect();
        let stage = MatchBackground::new(MatchConfig::default()).unwrap();
        let matcher = stage.start(&tract, &CoaddConfig::default(), &inputs, None);
        let mut found = Vec::new();
        for tile in matcher.tiles(&tract.bbox()) {
            let mut stack = matcher.stack(tile);
            made.iter().enumerate().for_each(|(i, (e, _))| matcher.add(&mut stack, i, e));
            found.extend(matcher.finish(&stack, &tract.bbox()));
        }
        let true_njy = |s: &LevelSample| skies[s.exposure as usize](s.at.x, s.at.y) - inputs[s.exposure as usize].1.background.level_adu();
        let (mut n_pairs, mut n_in_part) = (0, 0);
        for cell in found.chunk_by(|a, b| (a.row, a.column, a.set) == (b.row, b.column, b.set)) {
            for (i, a) in cell.iter().enumerate() {
                for b in &cell[..i] {
                    let off = (a.level_njy - b.level_njy) - (true_njy(a) - true_njy(b));
                    let error = a.error_njy.hypot(b.error_njy);
                    // 5 sigma, and what the mean over a superpixel of a parabola differs by.
                    assert!(off.abs() < 5.0 * error + 0.02, "{off} +- {error}: {a:?}, {b:?}");
                    n_pairs += 1;
                    n_in_part += usize::from(error > 1.5 * 2f64.sqrt() * SIGMA_ADU / 64.0);
                }
            }
        }
        assert!(n_pairs > 15 && n_in_part > 3, "{n_pairs} pairs, {n_in_part} in part");
    }
}

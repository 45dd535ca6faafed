//! Compares all exposures of a band with each other, tile by tile of the tract: the levels of each on superpixels.
//!
//! On every superpixel the difference of *every pair* of overlapping exposures is measured on the pixels that both have, so that the
//! sky's structure drops out exactly; then the levels are found that agree with all differences of that superpixel. N exposures cost N
//! warps and N (N - 1) / 2 passes over 4096 pixels (a few microseconds each: for 80 exposures less than their warps), and leave N numbers
//! a superpixel instead of N² / 2: ten thousand exposures fit into the memory of the one task that solves for the tract.

use super::difference::{PairDifference, adjust_levels, mean_difference};
use super::mesh::clipped_mean;
use super::source_mask::source_mask;
use super::superpixels::{Superpixel, Superpixels};
use super::{DetectorBasis, ExposureBackground, VisitProduct};
use crate::coadd::{CoaddConfig, MatchedWarp, PsfMatcher, target_fwhm_px};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{Exposure, ExposureMeta};
use ndarray::{Array2, Zip};
use serde::{Deserialize, Serialize};

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
    #[error("band {band}: the background solution stands at a relative residual of {residual:.1e} after {n} iterations; expected {limit:.0e}")]
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
    /// Mean position of its pixels on the exposure.
    pub at: PixelPoint,
    /// Mean position of its pixels on the tract.
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
    warps: Vec<(usize, MatchedWarp)>,
    /// Noise of the template's pixels.
    template_variance: f64,
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
        let fwhm_px = |meta: &ExposureMeta| meta.psf.fwhm_px(center(meta)) * meta.wcs.pixel_area_arcsec2(center(meta)).sqrt() / scale;
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
        MatcherInput { meta, levelled, mesh: &visit.background, basis }
    }
}

fn center(meta: &ExposureMeta) -> PixelPoint {
    PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0)
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
        TileStack { tile, region, sum: zeros(), weight: zeros(), warps: Vec::new(), template_variance: 0.0 }
    }

    /// Adds exposure `index`, which holds at least the pixels that [`Self::needed`] named, sanitised; in rising order of `index`.
    pub fn add(&self, stack: &mut TileStack, index: usize, exposure: &Exposure) {
        let input = &self.inputs[index];
        let Some(warp) = self.matcher.run(exposure, &input.levelled, &stack.tile) else { return };
        let weight = self.white_variance(input, center(input.meta), warp.area_ratio).recip();
        // The mesh above its level, as the warp has it; a pixel's offset matters to no mask.
        let level = input.levelled.background.level_adu();
        let mesh = input.mesh.image(&exposure.bbox);
        let scale = input.meta.photo_calib.at(center(input.meta)) * warp.area_ratio;
        Zip::from(&mut stack.sum).and(&mut stack.weight).and(&warp.warp_njy).and(&warp.x_px).and(&warp.y_px).for_each(|s, w, &z, &x, &y| {
            if let Some(at) = exposure.bbox.index((x + 0.5).floor() as i32, (y + 0.5).floor() as i32).filter(|_| !z.is_nan()) {
                *s += weight * (f64::from(z) - (f64::from(mesh[at]) - level) * scale);
                *w += weight;
            }
        });
        stack.warps.push((index, warp.without_margin(&stack.region, &stack.tile)));
    }

    /// Adds the template, after all exposures: its place in the samples is the one after the last exposure's.
    pub fn add_template(&self, stack: &mut TileStack, template: TemplateTile) {
        let weight = template.white_variance_njy2.recip();
        let Some(warp) = self.matcher.run_on_tract(template.image_njy, template.psf.view(), &stack.tile) else { return };
        Zip::from(&mut stack.sum).and(&mut stack.weight).and(&warp.warp_njy).for_each(|s, w, &z| {
            if !z.is_nan() {
                *s += weight * f64::from(z);
                *w += weight;
            }
        });
        stack.template_variance = template.white_variance_njy2;
        stack.warps.push((self.inputs.len(), warp.without_margin(&stack.region, &stack.tile)));
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

    /// Sources on the mean of all exposures, weighted by their inverse variance.
    ///
    /// One mask for all: a mask of each exposure's own leaves the exposures whose noise was low. On the mean, the noise of an exposure
    /// that the mask selects by is Cov(n_u, Σwn/Σw) = w_u v_u / Σw, the same for all with w = 1/v: it drops out of every difference.
    fn source_mask(&self, stack: &TileStack) -> Array2<bool> {
        let significance = Zip::from(&stack.sum).and(&stack.weight).map_collect(|&s, &w| if w > 0.0 { (s / w.sqrt()) as f32 } else { 0.0 });
        source_mask(significance.view(), 1.0, self.target_fwhm_px, self.config.source_mask_sigma)
    }

    fn measure(&self, stack: &TileStack, is_source: Array2<bool>, superpixel: Superpixel) -> Vec<LevelSample> {
        let min_pixels = (self.config.min_share * f64::from(self.superpixels.side_px).powi(2)).ceil() as usize;
        let mut nodes: Vec<Node> = Vec::new();
        for (index, warp) in &stack.warps {
            let part = warp.part(&stack.tile, &superpixel.bbox);
            nodes.extend(self.nodes(stack, *index, &part, &is_source, &superpixel, min_pixels));
        }
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
        samples(&nodes, &pairs, &superpixel)
    }

    /// The source-free pixels of one exposure on a superpixel, apart by amplifier.
    fn nodes(
        &self,
        stack: &TileStack,
        index: usize,
        warp: &MatchedWarp,
        is_source: &Array2<bool>,
        superpixel: &Superpixel,
        min_pixels: usize,
    ) -> Vec<Node> {
        // The template has no amplifiers and counts in nJy.
        let input = self.inputs.get(index);
        let mut by_amplifier: std::collections::BTreeMap<usize, Node> = std::collections::BTreeMap::new();
        let n_pixels = warp.matched_njy.len();
        for (((j, i), &z), &source) in warp.matched_njy.indexed_iter().zip(is_source) {
            if z.is_nan() || source {
                continue;
            }
            let at = PixelPoint::new(f64::from(warp.x_px[[j, i]]), f64::from(warp.y_px[[j, i]]));
            let amplifier = input.map_or(0, |i| i.basis.amplifier(at));
            let node = by_amplifier.entry(amplifier).or_insert_with(|| Node::new(index, amplifier, n_pixels));
            node.values[j * superpixel.bbox.width as usize + i] = z;
            let tract_at = (f64::from(superpixel.bbox.x0) + i as f64, f64::from(superpixel.bbox.y0) + j as f64);
            node.add_position(at, tract_at);
        }
        let finish = |mut node: Node| {
            let mut good: Vec<f64> = node.values.iter().filter(|z| !z.is_nan()).map(|z| f64::from(*z)).collect();
            if good.len() < min_pixels {
                return None;
            }
            let clipped = clipped_mean(&mut good, self.config.clip_sigma)?;
            (node.mean, node.scatter) = (clipped.mean, clipped.sigma);
            let at = node.at();
            node.variance = input.map_or(stack.template_variance, |i| self.white_variance(i, at, warp.area_ratio));
            node.njy_per_adu = input.map_or(1.0, |i| i.meta.photo_calib.at(at) * warp.area_ratio);
            Some(node)
        };
        by_amplifier.into_values().filter_map(finish).collect()
    }
}

/// Pixels of one amplifier of one exposure on a superpixel.
struct Node {
    exposure: usize,
    amplifier: usize,
    /// All pixels of the superpixel \[nJy\]; NaN where bad, under a source, or another amplifier's.
    values: Vec<f32>,
    n: f64,
    position: [f64; 4],
    mean: f64,
    scatter: f64,
    variance: f64,
    njy_per_adu: f64,
}

impl Node {
    fn new(exposure: usize, amplifier: usize, n_pixels: usize) -> Self {
        let values = vec![f32::NAN; n_pixels];
        Self { exposure, amplifier, values, n: 0.0, position: [0.0; 4], mean: 0.0, scatter: 0.0, variance: 0.0, njy_per_adu: 0.0 }
    }

    fn add_position(&mut self, at: PixelPoint, tract_at: (f64, f64)) {
        self.n += 1.0;
        self.position.iter_mut().zip([at.x, at.y, tract_at.0, tract_at.1]).for_each(|(sum, v)| *sum += v);
    }

    fn at(&self) -> PixelPoint {
        PixelPoint::new(self.position[0] / self.n, self.position[1] / self.n)
    }

    fn tract_at(&self) -> PixelPoint {
        PixelPoint::new(self.position[2] / self.n, self.position[3] / self.n)
    }
}

/// Levels that agree with all pairs, each connected set at the weighted mean of its exposures' own means.
fn samples(nodes: &[Node], pairs: &[PairDifference], superpixel: &Superpixel) -> Vec<LevelSample> {
    let weights: Vec<f64> = nodes.iter().map(|node| node.n / node.variance).collect();
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
        at: node.at(),
        tract_at: node.tract_at(),
        level_njy: level + means[set].0 / means[set].1,
        error_njy: weight.sqrt().recip(),
        njy_per_adu: node.njy_per_adu,
    };
    levels.iter().zip(nodes).zip(&weights).map(sample).collect()
}

//! Finds peaks and above-threshold pixels in every layer of one patch, tile by tile.

use super::maxima::{Maximum, maxima};
use super::peaks::{Refined, TileLayers, refine};
use super::threshold::free_sed_threshold;
use super::tile_grid::{Tile, TileGrid};
use super::{
    Autocorrelations, DetectConfig, DetectError, Layer, LayerKind, LayerNoise, MapPlan, MapSource, PatchLayers, Sed, SkyObject, Statistic,
    Strategy, TileMaps, layer_noise,
};
use crate::footprint::{NegativePeak, Peak, PeakFate, Span, SpanSet};
use crate::geometry::{Box2, PixelPoint};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand::RngExt;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Side of a tile \[pixel\] where only point sources are looked for, and where maps are convolved: there margins cost more.
const TILE_PX: [i32; 2] = [256, 512];

/// Maxima below this share of the threshold cannot pass it when refined, for PSFs wider than two pixels.
const FLOOR: f64 = 0.75;

/// What detection must know of the tract beside its maps.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectFrame {
    /// All pixels of the tract: tiles are fixed to its first.
    pub tract: Box2,
    /// Side of a cell \[pixel\].
    pub cell_px: i32,
    /// Mean FWHM of the PSF over the bands \[pixel\].
    pub fwhm_px: f64,
    /// Autocorrelation of every coadd's noise.
    pub autocorrelations: Autocorrelations,
    /// Offset of all thresholds \[sigma\], from [`DetectLayers::calibrate`].
    pub threshold_offset: f64,
    /// Seed of random positions.
    pub seed: u64,
}

/// The detection stage.
#[derive(Debug)]
pub struct DetectLayers {
    pub(super) config: DetectConfig,
    pub(super) bands: Vec<String>,
    pub(super) kinds: Vec<LayerKind>,
    pub(super) plan: MapPlan,
    pub(super) pixel_arcsec: f64,
}

/// What one tile gives.
struct MadeTile {
    layers: Vec<Found>,
    sky_objects: Vec<SkyObject>,
    movers: Vec<Peak>,
    transients: Vec<Peak>,
}

/// What one layer of one tile gives.
#[derive(Default)]
struct Found {
    spans: Vec<Span>,
    peaks: Vec<Peak>,
    negative_peaks: Vec<NegativePeak>,
    n_pixels: u64,
}

impl DetectLayers {
    /// `bands`: those of the run; `pixel_arcsec`: side of a tract pixel.
    ///
    /// # Errors
    /// [`DetectError::Config`] if a setting is outside its range or a layer is unknown.
    pub fn new(config: &DetectConfig, bands: &[String], pixel_arcsec: f64) -> Result<Self, DetectError> {
        let kinds = config.layers(bands)?;
        let plan = MapPlan::new(&kinds, bands, pixel_arcsec);
        Ok(Self { config: config.clone(), bands: bands.to_vec(), kinds, plan, pixel_arcsec })
    }

    /// The layers, in order: those of a peak's `layer_significance`.
    #[must_use]
    pub fn kinds(&self) -> &[LayerKind] {
        &self.kinds
    }

    /// Names of the coadds that are read.
    #[must_use]
    pub fn coadds(&self) -> Vec<String> {
        self.plan.coadds().collect()
    }

    /// Nominal threshold of a layer where `n_bands` of its bands have data \[sigma\].
    #[must_use]
    pub fn threshold(&self, kind: &LayerKind, n_bands: usize) -> f64 {
        nominal(kind, self.config.threshold, n_bands)
    }

    /// Bands of a layer where all have data, as its threshold counts them.
    fn n_bands(&self, kind: &LayerKind) -> usize {
        if kind.sed == Sed::Free { self.bands.len() } else { 1 }
    }

    /// Thresholds `[layer][n_bands]`.
    fn thresholds(&self, threshold: f64, offset: f64) -> Vec<Vec<f64>> {
        let of_kind = |kind: &LayerKind| (0..=self.bands.len()).map(|n| nominal(kind, threshold, n) + offset).collect();
        self.kinds.iter().map(of_kind).collect()
    }

    /// The layers that are searched for peaks, those of the products; the others only evaluate them.
    #[must_use]
    pub fn searched(&self) -> &[LayerKind] {
        match self.config.strategy {
            Strategy::Grid => &self.kinds,
            Strategy::Cull => &self.kinds[..1],
        }
    }

    /// The noise of every layer, in order.
    #[must_use]
    pub fn noise(&self, frame: &DetectFrame) -> Vec<LayerNoise> {
        layer_noise(&self.kinds, &self.plan, &self.bands, &frame.autocorrelations)
    }

    /// Layers of one patch, in the order of the configuration; the same order in every patch.
    ///
    /// Made on tiles that are fixed to the tract, so that nothing depends on the patches; tiles run in parallel and are joined in order.
    ///
    /// # Errors
    /// That of the source.
    pub fn run<S: MapSource + ?Sized>(&self, source: &S, frame: &DetectFrame, inner: &Box2) -> Result<PatchLayers, S::Error> {
        let noise = self.noise(frame);
        let grid = TileGrid::new(frame.tract, frame.cell_px, TILE_PX[usize::from(self.plan.is_convolving())]);
        let tiles = grid.tiles(inner);
        let made = tiles.par_iter().map(|tile| self.tile(source, frame, &noise, inner, tile)).collect::<Result<Vec<_>, _>>()?;
        let mut found: Vec<Found> = self.searched().iter().map(|_| Found::default()).collect();
        let (mut sky_objects, mut movers, mut transients) = (Vec::new(), Vec::new(), Vec::new());
        for MadeTile { layers, sky_objects: sky, movers: moving, transients: flaring } in made {
            for (to, from) in found.iter_mut().zip(layers) {
                to.spans.extend(from.spans);
                to.peaks.extend(from.peaks);
                to.negative_peaks.extend(from.negative_peaks);
                to.n_pixels += from.n_pixels;
            }
            sky_objects.extend(sky);
            movers.extend(moving);
            transients.extend(flaring);
        }
        sky_objects.sort_by_key(|s| (s.pixel.1, s.pixel.0));
        movers.sort_by_key(|p: &Peak| (p.pixel.1, p.pixel.0));
        transients.sort_by_key(|p: &Peak| (p.pixel.1, p.pixel.0));
        let layer = |((kind, noise), mut found): ((&LayerKind, &LayerNoise), Found)| {
            found.peaks.sort_by_key(|p| (p.pixel.1, p.pixel.0));
            found.negative_peaks.sort_by(|a, b| a.at.y.total_cmp(&b.at.y).then(a.at.x.total_cmp(&b.at.x)));
            Layer {
                kind: kind.clone(),
                threshold: self.threshold(kind, self.n_bands(kind)) + frame.threshold_offset,
                l2_per_px2: noise.l2_per_px2,
                area_px2: noise.area_px2,
                broadening: noise.broadening,
                spans: SpanSet::from_spans(found.spans),
                peaks: found.peaks,
                negative_peaks: found.negative_peaks,
                n_pixels: found.n_pixels,
            }
        };
        let layers = self.searched().iter().zip(&noise).zip(found).map(layer).collect();
        Ok(PatchLayers { layers, sky_objects, movers, transients, threshold_offset: frame.threshold_offset })
    }

    fn tile<S: MapSource + ?Sized>(
        &self,
        source: &S,
        frame: &DetectFrame,
        noise: &[LayerNoise],
        inner: &Box2,
        tile: &Tile,
    ) -> Result<MadeTile, S::Error> {
        let maps = self.plan.make(source, &tile.bbox)?;
        let statistics: Vec<Statistic> = self.kinds.par_iter().map(|kind| maps.statistic(kind, &self.bands)).collect();
        let thresholds = self.thresholds(self.config.threshold, frame.threshold_offset);
        let layers =
            TileLayers { maps: &maps, kinds: &self.kinds, statistics: &statistics, noise, thresholds: &thresholds, fwhm_px: frame.fwhm_px };
        let own = tile.core.intersect(inner);
        let mut found: Vec<Found> = (0..self.searched().len()).into_par_iter().map(|l| self.search(&layers, l, &own)).collect();
        if found.iter().any(|f| !f.peaks.is_empty()) {
            let around = own.grown(1);
            let mut mask = Array2::<u32>::zeros(around.shape());
            for coadd in &self.bands {
                mask.zip_mut_with(&source.mask(coadd, &around)?, |m, v| *m |= v);
            }
            for peak in found.iter_mut().flat_map(|f| &mut f.peaks) {
                let near = Box2::new(peak.pixel.0 - 1, peak.pixel.1 - 1, 3, 3).intersect(&around);
                peak.flags = mask.slice(around.slice_of(&near)).iter().fold(0, |a, m| a | m);
            }
        }
        let sky_objects = self.sky_objects(&layers, frame, &own);
        let movers = self.movers(source, frame, tile, &own)?;
        Ok(MadeTile { layers: found, sky_objects, movers, transients: self.transients(source, frame, tile, &own)? })
    }

    /// Peaks and spans of one layer on the pixels `own`.
    fn search(&self, layers: &TileLayers, layer: usize, own: &Box2) -> Found {
        let is_cull = self.config.strategy == Strategy::Cull;
        let statistic = &layers.statistics[layer];
        let thresholds =
            if is_cull { Cow::Owned(self.thresholds(self.config.search_threshold, 0.0)) } else { Cow::Borrowed(layers.thresholds) };
        let thresholds = &thresholds[layer];
        let bbox = layers.maps.bbox;
        let n_bands = statistic.n_bands.as_slice().expect("standard layout");
        let floors: Vec<f32> = thresholds.iter().map(|t| (FLOOR * t) as f32).collect();
        let lowest = floors.iter().skip(1).copied().fold(f32::INFINITY, f32::min);
        let is_above = |p: usize, v: f32| v >= lowest && n_bands[p] > 0 && v >= floors[usize::from(n_bands[p])];
        let is_own = |m: &Maximum| own.contains(bbox.x0 + m.at.1 as i32, bbox.y0 + m.at.0 as i32);
        let passes = |map: &Array2<f32>, m: &Maximum| {
            Some(refine(map, m.at)).filter(|r| r.height >= thresholds[usize::from(statistic.n_bands[m.at])])
        };
        let mut found = Found::default();
        let mut made: Vec<Evaluated> = Vec::new();
        for maximum in maxima(statistic.values.view(), is_above) {
            // Which of several duplicates is the highest is seen on the whole tile, whatever the patch.
            if !is_cull && !is_own(&maximum) {
                continue;
            }
            let Some(refined) = passes(&statistic.values, &maximum) else { continue };
            if is_cull {
                made.push(layers.evaluated(layer, &maximum, refined));
            } else {
                found.peaks.push(layers.peak(layer, &maximum, refined));
            }
        }
        mark_duplicates(&mut made);
        found.peaks.extend(made.into_iter().map(|(peak, _)| peak).filter(|p| own.contains(p.pixel.0, p.pixel.1)));
        let negated = statistic.negated.as_ref().map_or_else(|| Cow::Owned(statistic.values.mapv(|v| -v)), Cow::Borrowed);
        let mut taken: BTreeSet<(usize, (usize, usize))> = BTreeSet::new();
        let mut negative: Vec<(Refined, Maximum)> = maxima(negated.view(), is_above)
            .into_iter()
            .filter(|m| is_cull || is_own(m))
            .filter_map(|m| passes(&negated, &m).map(|refined| (refined, m)))
            .collect();
        negative.sort_by(|a, b| b.0.height.total_cmp(&a.0.height).then(a.0.at.cmp(&b.0.at)));
        for (refined, maximum) in negative {
            if is_cull {
                let (climbed, best, excess) = layers.climbed(refined.at, true);
                let is_first = climbed[best].is_some_and(|c| taken.insert((best, c.at)));
                if excess < 0.0 || !is_first || !is_own(&maximum) {
                    continue;
                }
            }
            let (dx, dy) = refined.offset;
            let (x, y) = (f64::from(bbox.x0) + refined.at.1 as f64 + dx, f64::from(bbox.y0) + refined.at.0 as f64 + dy);
            found.negative_peaks.push(NegativePeak { at: PixelPoint::new(x, y), significance: refined.height });
        }
        spans(statistic, thresholds, &bbox, own, &mut found);
        // A peak may pass the threshold between pixels that do not.
        found.spans.extend(found.peaks.iter().map(|p| Span { y: p.pixel.1, x0: p.pixel.0, x1: p.pixel.0 }));
        found
    }

    /// Random positions on the cells of `own` with nothing above any threshold around, keyed by cell.
    fn sky_objects(&self, layers: &TileLayers, frame: &DetectFrame, own: &Box2) -> Vec<SkyObject> {
        let mut objects = Vec::new();
        let (side, density) = (frame.cell_px, self.config.sky_objects_per_arcmin2);
        if density <= 0.0 || own.is_empty() {
            return objects;
        }
        let mean = density * (f64::from(side) * self.pixel_arcsec / 60.0).powi(2);
        let reach = (1.5 * frame.fwhm_px).ceil() as i32;
        let bbox = layers.maps.bbox;
        let cells = |first: i32, end: i32, origin: i32| (first - origin).div_euclid(side)..=(end - 1 - origin).div_euclid(side);
        let (rows, columns) = (cells(own.y0, own.y1(), frame.tract.y0), cells(own.x0, own.x1(), frame.tract.x0));
        for (row, column) in rows.flat_map(|r| columns.clone().map(move |c| (r, c))) {
            let mut rng = keyed_rng(frame.seed, "sky object", row as u64, column as u64);
            let n = (mean + rng.random::<f64>()).floor() as usize;
            for _ in 0..n {
                // One that falls on something is not thrown again: the share of those left says how much of the sky is blank.
                let (x, y) =
                    (frame.tract.x0 + column * side + rng.random_range(0..side), frame.tract.y0 + row * side + rng.random_range(0..side));
                let around = Box2::new(x - reach, y - reach, 2 * reach + 1, 2 * reach + 1).intersect(&bbox);
                let is_blank = |(s, thresholds): (&Statistic, &Vec<f64>)| {
                    let at = bbox.slice_of(&around);
                    let above = |(v, n): (&f32, &u8)| f64::from(*v) >= thresholds[usize::from(*n)];
                    !s.values.slice(at).iter().zip(s.n_bands.slice(at)).any(above)
                };
                if !own.contains(x, y) || !layers.statistics.iter().zip(layers.thresholds).all(is_blank) {
                    continue;
                }
                let [j, i] = bbox.index(x, y).expect("a tile holds its own pixels");
                let point = LayerKind { half_light_arcsec: 0.0, ..self.kinds[0].clone() };
                let value = |plane: &super::BandPlanes| {
                    let phi = plane.phi[[j, i]];
                    if phi > 0.0 { (plane.nu[[j, i]] / phi.sqrt(), phi.sqrt().recip()) } else { (f32::NAN, f32::NAN) }
                };
                let (flux_njy, flux_err_njy): (Vec<f32>, Vec<f32>) = layers.maps.bands_of(&point).iter().map(value).unzip();
                if flux_njy.iter().any(|f| !f.is_nan()) {
                    objects.push(SkyObject { pixel: (x, y), flux_njy, flux_err_njy });
                }
            }
        }
        objects
    }
}

/// A peak with the place of its best layer's maximum.
type Evaluated = (Peak, (usize, (usize, usize)));

/// Of peaks that lead to one maximum of one layer the highest stays.
fn mark_duplicates(made: &mut [Evaluated]) {
    let mut order: Vec<usize> = (0..made.len()).collect();
    let place = |k: usize| (made[k].0.pixel.1, made[k].0.pixel.0);
    order.sort_by(|&a, &b| made[b].0.significance.total_cmp(&made[a].0.significance).then(place(a).cmp(&place(b))));
    let mut taken = BTreeSet::new();
    for k in order {
        let (peak, maximum) = &mut made[k];
        if peak.fate == PeakFate::Good && !taken.insert(*maximum) {
            peak.fate = PeakFate::Duplicate;
        }
    }
}

/// Nominal threshold of a layer where `n_bands` bands have data.
fn nominal(kind: &LayerKind, threshold: f64, n_bands: usize) -> f64 {
    if kind.sed == Sed::Free { free_sed_threshold(threshold, n_bands) } else { threshold }
}

/// Runs of pixels at or above the threshold, and the number of pixels with data.
fn spans(statistic: &Statistic, thresholds: &[f64], bbox: &Box2, own: &Box2, found: &mut Found) {
    for y in own.y0..own.y1() {
        let mut open: Option<i32> = None;
        let j = (y - bbox.y0) as usize;
        for x in own.x0..own.x1() {
            let at = [j, (x - bbox.x0) as usize];
            let n = usize::from(statistic.n_bands[at]);
            found.n_pixels += u64::from(n > 0);
            let is_above = n > 0 && f64::from(statistic.values[at]) >= thresholds[n];
            match (is_above, open) {
                (true, None) => open = Some(x),
                (false, Some(x0)) => {
                    found.spans.push(Span { y, x0, x1: x - 1 });
                    open = None;
                }
                _ => {}
            }
        }
        if let Some(x0) = open {
            found.spans.push(Span { y, x0, x1: own.x1() - 1 });
        }
    }
}

/// The excess of a peak over its layer's threshold `t` where nothing is offset \[sigma\]: for `cull`, of its best layer.
pub(super) fn excess(stage: &DetectLayers, peak: &Peak) -> f64 {
    let of = |l: usize, significance: f64| significance - stage.threshold(&stage.kinds[l], stage.n_bands(&stage.kinds[l]));
    match stage.config.strategy {
        Strategy::Grid => of(usize::from(peak.layer), peak.significance),
        Strategy::Cull => {
            let values = peak.layer_significance.iter().enumerate().map(|(l, v)| of(l, f64::from(*v)));
            values.fold(f64::NEG_INFINITY, f64::max)
        }
    }
}

/// True for peaks that are taken for objects.
#[must_use]
pub fn is_good(peak: &Peak) -> bool {
    peak.fate == PeakFate::Good
}

/// The maps of one tile, for benchmarks and tests.
impl DetectLayers {
    /// Single-band maps of all morphologies on a box.
    ///
    /// # Errors
    /// That of the source.
    pub fn maps<S: MapSource + ?Sized>(&self, source: &S, bbox: &Box2) -> Result<TileMaps, S::Error> {
        self.plan.make(source, bbox)
    }
}

//! Joins footprints across layers and patch borders, and associates their peaks.
//!
//! In two steps, patch by patch: [`AssociatePeaks::seam`] says which footprints may go on in other patches; with the seams of all,
//! [`AssociatePeaks::run`] makes the parents whose first pixel lies in a patch, from its layers and those of the patches that share one of them.

use super::config::{AssociateConfig, AssociateError, Rules};
use super::explain::explain;
use super::hypotheses::{ObjectSet, hypotheses};
use super::known::KnownPosition;
use super::lsst_rules::lsst;
use super::outcome::{Outcome, Rejection, Role};
use super::prior::Prior;
use super::scene::Field;
use super::seam::{PartIndex, Seam, SeamCounts, SeamPart, Seams, first_pixel};
use super::split::split_at_saddles;
use super::{Hypothesis, Parent, PeakDecision, PeakKey, PeakRecord, parent_id};
use crate::detect::{Layer, Sed, is_good};
use crate::footprint::{Footprint, Peak, PeakFate, PeakMark, Span, SpanSet};
use crate::geometry::{Box2, PixelPoint};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What changes within this distance of an object is that object \[FWHM\].
const MARK_FWHM: f64 = 0.5;

/// The association stage.
#[derive(Debug, Clone)]
pub struct AssociatePeaks {
    config: AssociateConfig,
}

/// What association knows of the field.
#[derive(Debug, Clone, Copy)]
pub struct AssociateField<'a> {
    /// All pixels of the tract: growth stops there.
    pub tract: Box2,
    /// Mean PSF FWHM over the bands \[pixel\].
    pub fwhm_px: f64,
    /// Tract pixel \[arcsec\].
    pub pixel_scale_arcsec: f64,
    /// Known sources.
    pub known: &'a [KnownPosition],
    /// Where difference images saw light that changes, by rows.
    pub changing: &'a [ChangingLight],
}

/// Light of a difference image: a mover, a transient or a variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangingLight {
    /// What it is.
    pub mark: PeakMark,
    /// Its best pixel.
    pub at: PixelPoint,
}

/// What detection found in a patch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PatchPeaks {
    /// Its layers, the same in every patch.
    pub layers: Vec<Layer>,
    /// Peaks of the ladder of velocities.
    pub movers: Vec<Peak>,
    /// Peaks of some time windows.
    pub transients: Vec<Peak>,
}

impl PatchPeaks {
    /// What moves or flares on the maps of time windows.
    fn changing(&self) -> impl Iterator<Item = ChangingLight> {
        let of = |mark| move |p: &Peak| ChangingLight { mark, at: p.at };
        self.movers.iter().map(of(PeakMark::Mover)).chain(self.transients.iter().map(of(PeakMark::Transient)))
    }
}

/// Peaks of one parent, decided.
struct Decided {
    peaks: Vec<Peak>,
    outcomes: Vec<Outcome>,
    /// Places of the objects, brightest first.
    objects: Vec<usize>,
    /// By place: index among the objects; none for what is rejected.
    child: Vec<Option<u32>>,
    sets: Vec<ObjectSet>,
}

impl AssociatePeaks {
    /// # Errors
    /// [`AssociateError::Config`] if a setting is outside its range.
    pub fn new(config: AssociateConfig) -> Result<Self, AssociateError> {
        config.check()?;
        Ok(Self { config })
    }

    /// What the other patches must know of this one.
    #[must_use]
    pub fn seam(&self, found: &PatchPeaks, patch: &Box2, field: &AssociateField) -> Seam {
        let layers = &found.layers;
        let inside = self.inside(layers, patch, field);
        let is_beyond = |part: &SpanSet| part.bbox().intersect(&inside) != part.bbox();
        let open = |part: SpanSet| SeamPart { first: first_pixel(&part), spans: outside(&part, &inside) };
        let parts = self.parts(layers, patch, field).into_iter().filter(is_beyond).map(open).collect();
        let is_near = |c: &ChangingLight| !inside.contains_point(c.at);
        Seam { parts, changing: found.changing().filter(is_near).collect(), counts: SeamCounts::of(layers) }
    }

    /// Parents whose first pixel lies in a patch, by id, and their peaks with the decision on each; the peaks of the patch that are in no parent.
    ///
    /// The parents of all patches together do not depend on how the tract is cut.
    ///
    /// # Arguments
    /// * `patch`: its place in `boxes`, which are all patches of the tract; `seams`: theirs, in the same order.
    /// * `peaks_of`: what detection found in a patch, by its place; asked for those that share a parent with this one.
    ///
    /// # Errors
    /// Those of `peaks_of`.
    pub fn run<E>(
        &self,
        patch: usize,
        boxes: &[Box2],
        seams: &[Seam],
        peaks_of: impl Fn(usize) -> Result<PatchPeaks, E>,
        field: &AssociateField,
    ) -> Result<(Vec<Parent>, Vec<PeakRecord>), E> {
        let joined = Seams::new(seams);
        let mut sharing = joined.patches_with_parts_of(|first| boxes[patch].contains(first.0, first.1));
        sharing.insert(patch);
        let mut own: BTreeMap<(i32, i32), (Vec<Span>, Vec<Peak>)> = BTreeMap::new();
        let (mut records, mut summary) = (Vec::new(), Summary::default());
        let mut changing_light: Vec<ChangingLight> = field.changing.iter().chain(seams.iter().flat_map(|s| &s.changing)).copied().collect();
        for p in sharing {
            let found = peaks_of(p)?;
            changing_light.extend(found.changing());
            let PatchPeaks { layers, movers, transients } = found;
            let parts = self.parts(&layers, &boxes[p], field);
            // A whole is named by its first pixel (row, column); the patch that has it makes the parent.
            let whole = |part: &SpanSet| joined.whole_of(p, first_pixel(part));
            let name = |(x, y): (i32, i32)| boxes[patch].contains(x, y).then_some((y, x));
            let names: Vec<Option<(i32, i32)>> = parts.iter().map(|part| name(whole(part))).collect();
            let index = PartIndex::new(&parts);
            let n_layers = layers.len();
            let n_bands = layers.iter().flat_map(|l| &l.peaks).map(|p| p.flux_njy.len()).next().unwrap_or(0);
            for (part, name) in parts.iter().zip(&names) {
                if let Some(name) = name {
                    own.entry(*name).or_default().0.extend(part.spans());
                }
            }
            let known = known_in(&boxes[p], field).map(|k| known_peak(k, n_layers, n_bands));
            if p == patch {
                summary = Summary::new(&layers, &joined.counts);
            }
            for peak in layers.into_iter().flat_map(|l| l.peaks).chain(known) {
                let part = index.find(peak.pixel);
                match part.map(|part| names[part]) {
                    Some(Some(name)) if is_good(&peak) => own.entry(name).or_default().1.push(peak),
                    // In a parent of another patch: that one tells of it.
                    Some(None) => {}
                    Some(Some((y, x))) => records.push(rejected(peak, Some(parent_id(0, x, y)))),
                    None if p == patch => records.push(rejected(peak, None)),
                    None => {}
                }
            }
            if p == patch {
                let n_lists = field.n_lists();
                let of = |(k, mark)| move |peak| changing(peak, mark, n_layers + n_lists + k, n_layers, n_bands);
                records.extend(movers.into_iter().map(of((0, PeakMark::Mover))));
                records.extend(transients.into_iter().map(of((1, PeakMark::Transient))));
            }
        }
        changing_light.sort_by(|a, b| a.at.y.total_cmp(&b.at.y));
        let field = &AssociateField { changing: &changing_light, ..*field };
        let decide = |(spans, peaks): (Vec<Span>, Vec<Peak>)| {
            (!peaks.is_empty()).then(|| (SpanSet::from_spans(spans), self.decide(peaks, &summary, field)))
        };
        let decided: Vec<_> = own.into_values().collect::<Vec<_>>().into_par_iter().filter_map(decide).collect();
        let mut parents = Vec::new();
        for (spans, decided) in decided {
            self.add(spans, decided, field.fwhm_px, &mut parents, &mut records);
        }
        parents.sort_by_key(|p| p.id);
        // A rejected peak may have lost its parent.
        for record in records.iter_mut().filter(|r| r.child.is_none()) {
            record.parent_id = record.parent_id.filter(|id| parents.binary_search_by_key(id, |p| p.id).is_ok());
        }
        records.sort_by_key(|r| (r.parent_id, r.peak.layer, r.peak.pixel.1, r.peak.pixel.0));
        Ok((parents, records))
    }

    /// Growth of a layer's footprints \[pixel\].
    fn growth_px(&self, broadening: f64, field: &AssociateField) -> i32 {
        (self.config.grow_fwhm * field.fwhm_px * broadening).round() as i32
    }

    /// Pixels of a patch that footprints of others neither reach nor touch.
    fn inside(&self, layers: &[Layer], patch: &Box2, field: &AssociateField) -> Box2 {
        let radii = layers.iter().map(|l| self.growth_px(l.broadening, field));
        // Marks reach over borders even where footprints do not grow.
        let marks_px = (MARK_FWHM * field.fwhm_px).ceil() as i32;
        let margin = radii.chain([self.growth_px(1.0, field), marks_px]).max().unwrap_or(0) + 1;
        // Nothing comes over the border of the tract.
        let along = |start: i32, end: i32, first: i32, last: i32| {
            let (from, to) = (if start <= first { start } else { start + margin }, if end >= last { end } else { end - margin });
            from..to.max(from)
        };
        let (p, t) = (patch, &field.tract);
        Box2::from_ranges(along(p.x0, p.x1(), t.x0, t.x1()), along(p.y0, p.y1(), t.y0, t.y1()))
    }

    /// Connected pixels of all layers of a patch, each grown by its own profile, and of the known sources in it.
    fn parts(&self, layers: &[Layer], patch: &Box2, field: &AssociateField) -> Vec<SpanSet> {
        // Those that grow alike are grown together.
        let mut by_growth: BTreeMap<i32, Vec<Span>> = BTreeMap::new();
        for layer in layers {
            by_growth.entry(self.growth_px(layer.broadening, field)).or_default().extend(layer.spans.spans());
        }
        let of_known = known_in(patch, field).map(|k| k.at.pixel()).map(|(x, y)| Span { y, x0: x, x1: x });
        by_growth.entry(self.growth_px(1.0, field)).or_default().extend(of_known);
        let grown =
            by_growth.into_iter().flat_map(|(radius_px, spans)| SpanSet::from_spans(spans).grown(radius_px, &field.tract).spans().to_vec());
        SpanSet::from_spans(grown.collect()).connected()
    }

    fn decide(&self, mut peaks: Vec<Peak>, summary: &Summary, field: &AssociateField) -> Decided {
        peaks.sort_by_key(|p| (p.layer, p.pixel.1, p.pixel.0));
        let is_known = |p: &Peak| p.layer >= summary.first_known;
        let outcomes = match self.config.rules {
            Rules::Likelihood => explain(
                &peaks,
                &Field {
                    widths_px: &summary.widths_px,
                    bands_of: &summary.bands_of,
                    broader: &summary.broader,
                    areas_px2: &summary.areas_px2,
                    prior: &summary.prior,
                    model_error: self.config.model_error,
                    position_error: self.config.position_error,
                    first_known: summary.first_known,
                },
            ),
            Rules::Lsst => {
                lsst(&peaks, self.config.same_arcsec / field.pixel_scale_arcsec, self.config.new_arcsec / field.pixel_scale_arcsec)
            }
        };
        let sets = match self.config.rules {
            Rules::Likelihood => {
                let significance: Vec<f64> = peaks.iter().map(|p| p.significance).collect();
                let is_fixed: Vec<bool> = peaks.iter().map(is_known).collect();
                hypotheses(&outcomes, &significance, &is_fixed, self.config.n_hypotheses)
            }
            Rules::Lsst => Vec::new(),
        };
        // What is seen in several layers is one object with the marks of all; a known source that is seen has the place that is known.
        let known: Vec<bool> = peaks.iter().map(is_known).collect();
        for (p, outcome) in outcomes.iter().enumerate() {
            if let Role::SameAs(o) = outcome.role {
                peaks[o].seen_in |= peaks[p].seen_in;
                if known[o] && peaks[p].significance > peaks[o].significance {
                    peaks[o] = Peak { at: peaks[o].at, pixel: peaks[o].pixel, seen_in: peaks[o].seen_in, ..peaks[p].clone() };
                }
            }
        }
        let mut objects: Vec<usize> = (0..peaks.len()).filter(|&p| outcomes[p].role == Role::Object).collect();
        for &o in &objects {
            peaks[o].marks |= field.marks_at(peaks[o].at) | if known[o] { PeakMark::Known.bit() } else { 0 };
        }
        objects.sort_by(|&a, &b| peaks[b].significance.total_cmp(&peaks[a].significance).then(yx(&peaks[a]).cmp(&yx(&peaks[b]))));
        let mut rank_of = vec![None; peaks.len()];
        objects.iter().enumerate().for_each(|(k, &o)| rank_of[o] = Some(k as u32));
        let child = outcomes.iter().enumerate().map(|(p, outcome)| match &outcome.role {
            Role::Object => rank_of[p],
            Role::SameAs(o) => rank_of[*o],
            Role::ExplainedBy(by) => by.first().and_then(|o| rank_of[*o]),
            Role::Rejected(_) => None,
        });
        let child = child.collect();
        Decided { peaks, outcomes, objects, child, sets }
    }

    /// Adds a parent, or its pieces, and the records of its peaks.
    fn add(&self, spans: SpanSet, decided: Decided, fwhm_px: f64, parents: &mut Vec<Parent>, records: &mut Vec<PeakRecord>) {
        let Decided { peaks, outcomes, objects, child, sets } = decided;
        let whole = id_of(&spans);
        let kept: Vec<Peak> = objects.iter().map(|&o| peaks[o].clone()).collect();
        let (pieces, place) = if kept.len() <= self.config.max_peaks {
            (None, (0..kept.len()).map(|k| (0, k)).collect())
        } else {
            let (pieces, place) = split_at_saddles(&spans, &kept, self.config.max_peaks);
            (Some(pieces), place)
        };
        let ids: Vec<i64> = pieces.as_ref().map_or_else(|| vec![whole], |p| p.iter().map(|p| id_of(&p.spans)).collect());
        let key = |&p: &usize| PeakKey { layer: peaks[p].layer, pixel: peaks[p].pixel };
        let set = |s: ObjectSet| Hypothesis { log_evidence: s.log_evidence, objects: s.objects.iter().map(key).collect() };
        let hypotheses: Vec<Hypothesis> = sets.into_iter().map(set).collect();
        for (p, (peak, outcome)) in peaks.into_iter().zip(&outcomes).enumerate() {
            let of = child[p].map(|k| (place[k as usize], &kept[k as usize]));
            records.push(PeakRecord {
                parent_id: Some(of.map_or(whole, |((piece, _), _)| ids[piece])),
                decision: PeakDecision::of(&outcome.role),
                child: of.map(|((_, k), _)| k as u32),
                distance_fwhm: of.map_or(f64::NAN, |(_, o)| distance_px(o, &peak) / fwhm_px),
                conditional_significance: outcome.conditional,
                log_odds: outcome.log_odds,
                n_explaining: if let Role::ExplainedBy(by) = &outcome.role { by.len() as u32 } else { 0 },
                peak,
            });
        }
        match pieces {
            None if kept.is_empty() => {}
            None => {
                parents.push(Parent { id: whole, split_from: None, footprint: Footprint { spans, peaks: kept }, hypotheses });
            }
            Some(pieces) => {
                let piece = |(footprint, id)| Parent { id, split_from: Some(whole), footprint, hypotheses: Vec::new() };
                parents.extend(pieces.into_iter().zip(ids).map(piece));
            }
        }
    }
}

impl AssociateField<'_> {
    /// Number of lists of known sources.
    fn n_lists(&self) -> usize {
        self.known.iter().map(|k| k.list + 1).max().unwrap_or(0)
    }

    /// Marks of a peak by what changes within [`MARK_FWHM`] of it.
    fn marks_at(&self, at: PixelPoint) -> u8 {
        let reach_px = MARK_FWHM * self.fwhm_px;
        let first = self.changing.partition_point(|c| c.at.y < at.y - reach_px);
        let rows = self.changing[first..].iter().take_while(|c| c.at.y <= at.y + reach_px);
        rows.filter(|c| (c.at.x - at.x).hypot(c.at.y - at.y) <= reach_px).fold(0, |marks, c| marks | c.mark.bit())
    }
}

/// What the layers say of the field, for all parents.
#[derive(Default)]
struct Summary {
    widths_px: Vec<f64>,
    bands_of: Vec<Vec<usize>>,
    broader: Vec<Vec<Vec<usize>>>,
    areas_px2: Vec<f64>,
    prior: Prior,
    first_known: u16,
}

impl Summary {
    /// `layers`: of any patch; `counts`: of all together.
    fn new(layers: &[Layer], counts: &SeamCounts) -> Self {
        let sharpest = sharpest(layers).map(|i| &layers[i]);
        let (threshold, l2_per_px2) = sharpest.map_or((5.0, 0.2), |l| (l.threshold, l.l2_per_px2));
        let area_px = counts.n_pixels.max(1) as f64;
        let near = counts.n_near as f64 - counts.n_negative as f64;
        let prior = Prior {
            density_per_px2: counts.n_peaks.max(1) as f64 / area_px,
            per_sigma_per_px2: near.max(1.0) / (threshold * area_px),
            l2_per_px2,
            trials: layers.iter().map(|l| l.l2_per_px2).filter(|l2| l2.is_finite()).sum::<f64>().max(l2_per_px2) / l2_per_px2,
        };
        let widths_px = if layers.is_empty() { vec![1.0] } else { layers.iter().map(width_px).collect() };
        let areas_px2 = layers.iter().map(|l| l.area_px2).collect();
        Self { widths_px, bands_of: bands_of(layers), broader: broader(layers), areas_px2, prior, first_known: layers.len() as u16 }
    }
}

/// ρ(d) = exp(-l2 d²/2) is the overlap exp(-d²/(4 s²)) of a template with itself.
fn width_px(layer: &Layer) -> f64 {
    (2.0 * layer.l2_per_px2.max(1e-6)).sqrt().recip()
}

/// The layer of the narrowest sources, the first of equals.
pub(super) fn sharpest(layers: &[Layer]) -> Option<usize> {
    (0..layers.len()).min_by(|&a, &b| width_px(&layers[a]).total_cmp(&width_px(&layers[b])).then(a.cmp(&b)))
}

/// For every layer, the layers of single bands with its selection and morphology.
fn bands_of(layers: &[Layer]) -> Vec<Vec<usize>> {
    layers.iter().map(|layer| bands_of_one(layers, layer)).collect()
}

fn bands_of_one(layers: &[Layer], layer: &Layer) -> Vec<usize> {
    let is_of = |band: &Layer, layer: &Layer| {
        let (a, b) = (&band.kind, &layer.kind);
        matches!(a.sed, Sed::Band(_)) && a.selection == b.selection && (a.half_light_arcsec - b.half_light_arcsec).abs() < 1e-9
    };
    (0..layers.len()).filter(|&i| is_of(&layers[i], layer)).collect()
}

/// For every layer, from the next broader morphology on, the layers of single bands with its selection and that morphology.
fn broader(layers: &[Layer]) -> Vec<Vec<Vec<usize>>> {
    let of = |layer: &Layer| {
        let mut found: Vec<(f64, Vec<usize>)> = Vec::new();
        for (i, band) in layers.iter().enumerate() {
            let is_broader = band.kind.half_light_arcsec > layer.kind.half_light_arcsec + 1e-9;
            if matches!(band.kind.sed, Sed::Band(_)) && band.kind.selection == layer.kind.selection && is_broader {
                match found.iter_mut().find(|(r, _)| (r - band.kind.half_light_arcsec).abs() < 1e-9) {
                    Some((_, bands)) => bands.push(i),
                    None => found.push((band.kind.half_light_arcsec, vec![i])),
                }
            }
        }
        let own = bands_of_one(layers, layer).len();
        found.retain(|(_, bands)| bands.len() == own);
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.into_iter().map(|(_, bands)| bands).collect()
    };
    layers.iter().map(of).collect()
}

/// Known sources whose pixel lies in a patch.
fn known_in<'a>(patch: &'a Box2, field: &'a AssociateField) -> impl Iterator<Item = &'a KnownPosition> {
    field.known.iter().filter(|k| {
        let (x, y) = k.at.pixel();
        patch.contains(x, y)
    })
}

/// Pixels of a part outside a box.
fn outside(part: &SpanSet, inside: &Box2) -> SpanSet {
    let cut = |s: &Span| {
        if s.y < inside.y0 || s.y >= inside.y1() || inside.is_empty() {
            return [*s, Span { x1: s.x0 - 1, ..*s }];
        }
        [Span { x1: s.x1.min(inside.x0 - 1), ..*s }, Span { x0: s.x0.max(inside.x1()), ..*s }]
    };
    SpanSet::from_spans(part.spans().iter().flat_map(cut).collect())
}

fn known_peak(k: &KnownPosition, n_layers: usize, n_bands: usize) -> Peak {
    let unknown = |n: usize| vec![f32::NAN; n];
    let variance = (k.error_px * k.error_px) as f32;
    let layer = (n_layers + k.list) as u16;
    Peak {
        covariance_px2: [variance, 0.0, variance],
        layer,
        seen_in: 0,
        layer_significance: unknown(n_layers),
        flux_njy: unknown(n_bands),
        flux_err_njy: unknown(n_bands),
        ..Peak::bare(k.at, 0.0, 0)
    }
}

fn rejected(peak: Peak, parent_id: Option<i64>) -> PeakRecord {
    let why = match peak.fate {
        PeakFate::Masked => Rejection::Masked,
        _ => Rejection::Culled,
    };
    PeakRecord {
        parent_id,
        decision: PeakDecision::Rejected(why),
        child: None,
        distance_fwhm: f64::NAN,
        conditional_significance: f64::NAN,
        log_odds: f64::NAN,
        n_explaining: 0,
        peak,
    }
}

/// What moves or flares on the maps of time windows is told of, and is no object of the static sky.
fn changing(mut peak: Peak, mark: PeakMark, layer: usize, n_layers: usize, n_bands: usize) -> PeakRecord {
    let unknown = |n: usize| vec![f32::NAN; n];
    peak.layer = layer as u16;
    (peak.layer_significance, peak.flux_njy, peak.flux_err_njy) = (unknown(n_layers), unknown(n_bands), unknown(n_bands));
    peak.marks |= mark.bit();
    PeakRecord { decision: PeakDecision::Rejected(Rejection::Changing), ..rejected(peak, None) }
}

fn id_of(spans: &SpanSet) -> i64 {
    let first = spans.spans()[0];
    parent_id(0, first.x0, first.y)
}

fn yx(peak: &Peak) -> (i32, i32) {
    (peak.pixel.1, peak.pixel.0)
}

fn distance_px(a: &Peak, b: &Peak) -> f64 {
    (a.at.x - b.at.x).hypot(a.at.y - b.at.y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::LayerKind;
    use crate::footprint::Saddle;
    use crate::geometry::PixelPoint;

    /// FWHM of the point layer for l2 = 0.17: s = 1.7 px.
    const FWHM: f64 = 4.0;
    const L2: f64 = 0.173;

    fn layer(index: u16, peaks: &[(i32, i32, f64)], inner: &Box2) -> Layer {
        let inside: Vec<_> = peaks.iter().filter(|p| inner.contains(p.0, p.1)).collect();
        // Each peak owns a 5 x 5 block, cut by the patch.
        let block = |&(x, y, _): &(i32, i32, f64)| (-2..=2).map(move |d| Span { y: y + d, x0: x - 2, x1: x + 2 });
        let cut = |s: Span| Span { y: s.y, x0: s.x0.max(inner.x0), x1: s.x1.min(inner.x1() - 1) };
        let spans = peaks.iter().flat_map(block).filter(|s| s.y >= inner.y0 && s.y < inner.y1()).map(cut).collect();
        let peak = |p: &&(i32, i32, f64)| {
            let mut peak = Peak::bare(PixelPoint::new(f64::from(p.0), f64::from(p.1)), p.2, index);
            (peak.flux_njy, peak.flux_err_njy) = (vec![p.2 as f32], vec![1.0]);
            peak
        };
        Layer {
            kind: LayerKind::point(Sed::Band("r".into())),
            threshold: 5.0,
            l2_per_px2: L2,
            area_px2: 2.0 * std::f64::consts::PI / L2,
            broadening: 1.0,
            spans: SpanSet::from_spans(spans),
            peaks: inside.iter().map(peak).collect(),
            negative_peaks: vec![],
            n_pixels: inner.n_pixels() as u64,
        }
    }

    fn field<'a>(tract: &Box2, known: &'a [KnownPosition]) -> AssociateField<'a> {
        AssociateField { tract: *tract, fwhm_px: FWHM, pixel_scale_arcsec: 0.2, known, changing: &[] }
    }

    /// All patches one after another: every parent, and every peak.
    fn run(stage: &AssociatePeaks, patches: &[(Box2, Vec<Layer>)], field: &AssociateField) -> (Vec<Parent>, Vec<PeakRecord>) {
        let boxes: Vec<Box2> = patches.iter().map(|p| p.0).collect();
        let of = |layers: &[Layer]| PatchPeaks { layers: layers.to_vec(), ..PatchPeaks::default() };
        let seams: Vec<Seam> = patches.iter().map(|(bbox, layers)| stage.seam(&of(layers), bbox, field)).collect();
        let peaks_of = |p: usize| Ok::<_, std::convert::Infallible>(of(&patches[p].1));
        let (mut parents, mut records) = (Vec::new(), Vec::new());
        for patch in 0..patches.len() {
            let (p, r) = stage.run(patch, &boxes, &seams, peaks_of, field).unwrap();
            parents.extend(p);
            records.extend(r);
        }
        parents.sort_by_key(|p| p.id);
        records.sort_by_key(|r| (r.parent_id, r.peak.layer, r.peak.pixel.1, r.peak.pixel.0));
        (parents, records)
    }

    fn stage(change: impl Fn(&mut AssociateConfig)) -> AssociatePeaks {
        let mut config = AssociateConfig::default();
        change(&mut config);
        AssociatePeaks::new(config).unwrap()
    }

    /// However the tract is cut: the same parents, ids and decisions, by both rules; near peaks of two layers are one object, far ones two.
    #[test]
    fn the_cut_does_not_matter() {
        let tract = Box2::new(0, 0, 100, 80);
        let first = [(20, 20, 9.0), (49, 40, 7.0), (55, 40, 12.0), (90, 70, 6.0)];
        let second = [(21, 20, 8.0), (49, 47, 6.5)];
        for rules in [Rules::Likelihood, Rules::Lsst] {
            let stage = stage(|c| c.rules = rules);
            let cut = |boxes: &[Box2]| {
                let patches: Vec<_> = boxes.iter().map(|b| (*b, vec![layer(0, &first, b), layer(1, &second, b)])).collect();
                run(&stage, &patches, &field(&tract, &[]))
            };
            let whole = cut(&[tract]);
            let tiles = |w: i32, h: i32| {
                let rows = (0..80 / h).flat_map(|j| (0..100 / w).map(move |i| Box2::new(i * w, j * h, w, h)));
                rows.collect::<Vec<_>>()
            };
            // The last are narrower than what footprints grow by: a parent lies over many.
            for boxes in [vec![Box2::new(50, 0, 50, 80), Box2::new(0, 0, 50, 80)], tiles(20, 20), tiles(5, 4)] {
                // NaN where the rules know no odds: compare what is printed.
                assert_eq!(format!("{whole:?}"), format!("{:?}", cut(&boxes)), "{} patches", boxes.len());
            }
            let (parents, records) = whole;
            assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [1, 3, 1], "{rules:?}");
            assert_eq!(parents[0].footprint.peaks[0].seen_in, 0b11);
            assert_eq!(parents[1].footprint.peaks[0].pixel, (55, 40));
            let merged: Vec<_> = records.iter().filter(|r| r.decision == PeakDecision::Merged).collect();
            assert_eq!((merged.len(), merged[0].peak.pixel, merged[0].child), (1, (21, 20), Some(0)));
            assert_eq!(records.len(), 6);
            let n_sets: Vec<usize> = parents.iter().map(|p| p.hypotheses.len()).collect();
            assert!(if rules == Rules::Lsst { n_sets == [0; 3] } else { n_sets[1] >= 2 }, "{n_sets:?}");
        }
    }

    /// A layer of discs four times as broad as the PSF: its footprints grow by four times as much. What masked pixels made, and what was culled, is no
    /// object, and said to be none.
    #[test]
    fn layers_grow_by_their_scale_and_nothing_vanishes() {
        let tract = Box2::new(0, 0, 100, 80);
        let mut layers = vec![layer(0, &[(50, 40, 9.0)], &tract), layer(1, &[(57, 40, 8.0)], &tract)];
        (layers[1].broadening, layers[1].l2_per_px2, layers[1].area_px2) = (4.0, L2 / 16.0, 16.0 * layers[1].area_px2);
        layers[1].peaks[0].best_layer = 1;
        let stage = stage(|_| {});
        let all = |layers: &[Layer]| run(&stage, &[(tract, layers.to_vec())], &field(&tract, &[]));
        let (parents, _) = all(&layers);
        assert_eq!(parents[0].footprint.spans.bbox().x1(), 57 + 2 + 16 + 1);
        layers[0].peaks[0].fate = PeakFate::Masked;
        let (parents, records) = all(&layers);
        assert_eq!((parents[0].footprint.peaks[0].pixel, records.len()), ((57, 40), 2));
        let masked = records.iter().find(|r| r.peak.pixel == (50, 40)).unwrap();
        assert_eq!(
            (masked.decision, masked.child, masked.parent_id),
            (PeakDecision::Rejected(Rejection::Masked), None, Some(parents[0].id))
        );
        layers[1].peaks[0].fate = PeakFate::Culled;
        let (parents, records) = all(&layers);
        assert!(parents.is_empty() && records.iter().all(|r| r.parent_id.is_none()), "{records:?}");
    }

    /// A flare beyond the border of an object's patch marks it even where footprints do not grow.
    #[test]
    fn marks_reach_over_borders() {
        let tract = Box2::new(0, 0, 100, 80);
        let (stage, field) = (stage(|c| c.grow_fwhm = 0.0), field(&tract, &[]));
        let halves = [Box2::new(0, 0, 50, 80), Box2::new(50, 0, 50, 80)];
        let found = halves.map(|b| PatchPeaks { layers: vec![layer(0, &[(46, 20, 9.0)], &b)], ..PatchPeaks::default() });
        let mut found = found.to_vec();
        found[0].layers[0].spans = SpanSet::from_spans(vec![Span { y: 20, x0: 46, x1: 48 }]);
        found[0].layers[0].peaks[0].at = PixelPoint::new(48.4, 20.0);
        found[1].layers[0].spans = SpanSet::default();
        found[1].transients = vec![Peak::bare(PixelPoint::new(50.2, 20.0), 7.0, 0)];
        let seams: Vec<Seam> = found.iter().zip(&halves).map(|(f, b)| stage.seam(f, b, &field)).collect();
        let (parents, _) = stage.run(0, &halves, &seams, |p| Ok::<_, ()>(found[p].clone()), &field).unwrap();
        assert_eq!(parents[0].footprint.peaks[0].marks, PeakMark::Transient.bit());
    }

    /// Known sources: one that is detected has its detection's light and its own place; one that is not is an object all the same.
    #[test]
    fn known_sources_are_objects() {
        let tract = Box2::new(0, 0, 100, 80);
        let layers = vec![layer(0, &[(20, 20, 9.0)], &tract)];
        let known = [(20.2, 20.1), (70.0, 60.0)].map(|(x, y)| KnownPosition { id: 1, list: 0, at: PixelPoint::new(x, y), error_px: 0.01 });
        let (parents, records) = run(&stage(|_| {}), &[(tract, layers)], &field(&tract, &known));
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [1, 1]);
        let seen = &parents[0].footprint.peaks[0];
        assert_eq!((seen.at, seen.significance, seen.seen_in), (known[0].at, 9.0, 1));
        assert_eq!(parents[1].footprint.peaks[0].at, known[1].at);
        assert_eq!(records.iter().filter(|r| r.decision == PeakDecision::Merged).count(), 1);
        assert_eq!((seen.marks, parents[1].footprint.peaks[0].marks), (PeakMark::Known.bit(), PeakMark::Known.bit()));
    }

    /// An object where a difference image saw a transient is marked; a mover of the ladder is told of, and no object.
    #[test]
    fn what_changes_is_marked() {
        let tract = Box2::new(0, 0, 100, 80);
        let layers = vec![layer(0, &[(20, 20, 9.0), (60, 60, 9.0), (30, 60, 9.0)], &tract)];
        let changing = [ChangingLight { mark: PeakMark::Transient, at: PixelPoint::new(21.0, 20.5) }];
        let field = AssociateField { changing: &changing, ..field(&tract, &[]) };
        let stage = stage(|_| {});
        let mover = Peak { velocity_px_per_day: Some([1.0, 0.0]), ..Peak::bare(PixelPoint::new(80.0, 10.0), 7.0, 0) };
        let flare = Peak::bare(PixelPoint::new(30.5, 59.0), 7.0, 0);
        let found = PatchPeaks { layers, movers: vec![mover], transients: vec![flare] };
        let seams = [stage.seam(&found, &tract, &field)];
        let (parents, records) = stage.run(0, &[tract], &seams, |_| Ok::<_, ()>(found.clone()), &field).unwrap();
        assert_eq!(
            parents.iter().map(|p| p.footprint.peaks[0].marks).collect::<Vec<_>>(),
            [PeakMark::Transient.bit(), PeakMark::Transient.bit(), 0]
        );
        let told: Vec<_> = records.iter().filter(|r| r.decision == PeakDecision::Rejected(Rejection::Changing)).collect();
        let told: Vec<_> = told.iter().map(|r| (r.peak.pixel, r.peak.layer, r.child)).collect();
        assert_eq!(told, [((80, 10), 1, None), ((31, 59), 2, None)]);
    }

    /// A row of ten objects, of which no more than four may stand together: split where their saddles are lowest, nothing lost.
    #[test]
    fn crowds_are_split_at_saddles() {
        let tract = Box2::new(0, 0, 100, 20);
        let row: Vec<_> = (0..10).map(|k| (5 + 8 * k, 10, 20.0 - f64::from(k))).collect();
        let mut layers = vec![layer(0, &row, &tract)];
        for (k, peak) in layers[0].peaks.iter_mut().enumerate().skip(1) {
            // Between 3 and 4, and between 6 and 7, nearly apart.
            let height = if k == 4 || k == 7 { 1.0 } else { 9.0 };
            peak.saddle = Some(Saddle { height, significance: 3.0, at: (1 + 8 * k as i32, 10), higher: (5 + 8 * (k as i32 - 1), 10) });
        }
        let (parents, records) = run(&stage(|c| c.max_peaks = 4), &[(tract, layers.clone())], &field(&tract, &[]));
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [4, 3, 3]);
        assert!(parents.iter().all(|p| p.split_from == Some(parents[0].id)));
        let (whole, _) = run(&stage(|_| {}), &[(tract, layers)], &field(&tract, &[]));
        let area = |p: &[Parent]| p.iter().map(|p| p.footprint.spans.area()).sum::<usize>();
        assert_eq!((whole.len(), area(&whole)), (1, area(&parents)));
        for record in &records {
            let parent = parents.iter().find(|p| Some(p.id) == record.parent_id).unwrap();
            assert_eq!(parent.footprint.peaks[record.child.unwrap() as usize].pixel, record.peak.pixel);
        }
    }
}

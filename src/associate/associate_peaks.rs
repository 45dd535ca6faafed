//! Joins footprints across layers and patch borders, and associates their peaks.

use super::config::{AssociateConfig, AssociateError, Rules};
use super::explain::{Field, explain};
use super::hypotheses::{ObjectSet, hypotheses};
use super::known::KnownPosition;
use super::lsst_rules::lsst;
use super::outcome::{Outcome, Rejection, Role};
use super::prior::Prior;
use super::split::split_at_saddles;
use super::{Hypothesis, Parent, PeakDecision, PeakKey, PeakRecord, parent_id};
use crate::detect::{Layer, Sed, is_good};
use crate::footprint::{Footprint, Peak, PeakFate, Span, SpanSet};
use crate::geometry::Box2;
use rayon::prelude::*;
use std::collections::BTreeMap;

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

    /// Parents of the tract, by id, and every peak with its decision.
    ///
    /// `patches`: the layers of every patch, in any order: the result does not depend on how the tract is cut.
    #[must_use]
    pub fn run(&self, patches: &[Vec<Layer>], field: &AssociateField) -> (Vec<Parent>, Vec<PeakRecord>) {
        let layers = || patches.iter().flatten();
        let parts = self.parts(patches, field);
        let mut peaks: Vec<Vec<Peak>> = vec![Vec::new(); parts.len()];
        let mut records = Vec::new();
        let part_of = PartIndex::new(&parts);
        let n_layers = patches.iter().map(Vec::len).max().unwrap_or(0);
        let n_bands = layers().flat_map(|l| &l.peaks).map(|p| p.flux_njy.len()).next().unwrap_or(0);
        let known = field.known.iter().map(|k| known_peak(k, n_layers, n_bands));
        for peak in layers().flat_map(|l| &l.peaks).cloned().chain(known) {
            match part_of.find(peak.pixel) {
                Some(part) if is_good(&peak) => peaks[part].push(peak),
                part => records.push(rejected(peak, part.map(|p| id_of(&parts[p])))),
            }
        }
        let summary = Summary::new(patches, n_layers);
        let decide = |(spans, peaks): (SpanSet, Vec<Peak>)| (!peaks.is_empty()).then(|| (spans, self.decide(peaks, &summary, field)));
        let decided: Vec<_> = parts.into_par_iter().zip(peaks).filter_map(decide).collect();
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
        (parents, records)
    }

    /// Connected pixels of all layers, each grown by its own profile, and of the known sources.
    fn parts(&self, patches: &[Vec<Layer>], field: &AssociateField) -> Vec<SpanSet> {
        // Those that grow alike are grown together.
        let mut by_growth: BTreeMap<i32, Vec<Span>> = BTreeMap::new();
        for layer in patches.iter().flatten() {
            let radius_px = (self.config.grow_fwhm * field.fwhm_px * layer.broadening).round() as i32;
            by_growth.entry(radius_px).or_default().extend(layer.spans.spans());
        }
        let of_known = field.known.iter().map(|k| k.at.pixel()).map(|(x, y)| Span { y, x0: x, x1: x });
        by_growth.entry((self.config.grow_fwhm * field.fwhm_px).round() as i32).or_default().extend(of_known);
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
        let detected = peaks.clone();
        for (p, outcome) in outcomes.iter().enumerate() {
            if let Role::SameAs(o) = outcome.role {
                peaks[o].seen_in |= detected[p].seen_in;
                if is_known(&detected[o]) && detected[p].significance > peaks[o].significance {
                    peaks[o] = Peak { at: detected[o].at, pixel: detected[o].pixel, seen_in: peaks[o].seen_in, ..detected[p].clone() };
                }
            }
        }
        let mut objects: Vec<usize> = (0..peaks.len()).filter(|&p| outcomes[p].role == Role::Object).collect();
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
        for (p, outcome) in outcomes.iter().enumerate() {
            let of = child[p].map(|k| (place[k as usize], &kept[k as usize]));
            records.push(PeakRecord {
                parent_id: Some(of.map_or(whole, |((piece, _), _)| ids[piece])),
                decision: PeakDecision::of(&outcome.role),
                child: of.map(|((_, k), _)| k as u32),
                distance_fwhm: of.map_or(f64::NAN, |(_, o)| distance_px(o, &peaks[p]) / fwhm_px),
                conditional_significance: outcome.conditional,
                log_odds: outcome.log_odds,
                n_explaining: if let Role::ExplainedBy(by) = &outcome.role { by.len() as u32 } else { 0 },
                peak: peaks[p].clone(),
            });
        }
        match pieces {
            None if kept.is_empty() => {}
            None => {
                let key = |&p: &usize| PeakKey { layer: peaks[p].layer, pixel: peaks[p].pixel };
                let set = |s: ObjectSet| Hypothesis { log_evidence: s.log_evidence, objects: s.objects.iter().map(key).collect() };
                let hypotheses = sets.into_iter().map(set).collect();
                parents.push(Parent { id: whole, split_from: None, footprint: Footprint { spans, peaks: kept }, hypotheses });
            }
            Some(pieces) => {
                let piece = |(footprint, id)| Parent { id, split_from: Some(whole), footprint, hypotheses: Vec::new() };
                parents.extend(pieces.into_iter().zip(ids).map(piece));
            }
        }
    }
}

/// What the layers say of the field, for all parents.
struct Summary {
    widths_px: Vec<f64>,
    bands_of: Vec<Vec<usize>>,
    prior: Prior,
    first_known: u16,
}

impl Summary {
    fn new(patches: &[Vec<Layer>], n_layers: usize) -> Self {
        let of_layer = |i: usize| patches.iter().filter_map(move |p| p.get(i));
        let first = |i: usize| of_layer(i).next();
        // ρ(d) = exp(-l2 d²/2) is the overlap exp(-d²/(4 s²)) of a template with itself.
        let width = |i: usize| first(i).map_or(1.0, |l| (2.0 * l.l2_per_px2.max(1e-6)).sqrt().recip());
        let sharpest = (0..n_layers).min_by(|&a, &b| width(a).total_cmp(&width(b)).then(a.cmp(&b))).unwrap_or(0);
        let area_px = of_layer(sharpest).map(|l| l.n_pixels).sum::<u64>().max(1) as f64;
        let threshold = first(sharpest).map_or(5.0, |l| l.threshold);
        let near = |s: f64| s < 2.0 * threshold;
        let n_near = of_layer(sharpest).flat_map(|l| &l.peaks).filter(|p| is_good(p) && near(p.significance)).count() as f64;
        let n_noise = of_layer(sharpest).flat_map(|l| &l.negative_peaks).filter(|p| near(p.significance)).count() as f64;
        let n_all = of_layer(sharpest).flat_map(|l| &l.peaks).filter(|p| is_good(p)).count() as f64;
        let prior = Prior {
            density_per_px2: n_all.max(1.0) / area_px,
            per_sigma_per_px2: (n_near - n_noise).max(1.0) / (threshold * area_px),
            l2_per_px2: first(sharpest).map_or(0.2, |l| l.l2_per_px2),
        };
        Self { widths_px: (0..n_layers.max(1)).map(width).collect(), bands_of: bands_of(patches), prior, first_known: n_layers as u16 }
    }
}

/// For every layer, the layers of single bands with its selection and morphology.
fn bands_of(patches: &[Vec<Layer>]) -> Vec<Vec<usize>> {
    let Some(layers) = patches.iter().max_by_key(|p| p.len()) else { return Vec::new() };
    let is_of = |band: &Layer, layer: &Layer| {
        let (a, b) = (&band.kind, &layer.kind);
        matches!(a.sed, Sed::Band(_)) && a.selection == b.selection && (a.half_light_arcsec - b.half_light_arcsec).abs() < 1e-9
    };
    layers.iter().map(|layer| (0..layers.len()).filter(|&i| is_of(&layers[i], layer)).collect()).collect()
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
    let why = if peak.fate == PeakFate::Masked { Rejection::Masked } else { Rejection::Culled };
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

/// Finds the part that holds a pixel.
struct PartIndex {
    spans: Vec<(Span, usize)>,
}

impl PartIndex {
    fn new(parts: &[SpanSet]) -> Self {
        let mut spans: Vec<_> = parts.iter().enumerate().flat_map(|(i, p)| p.spans().iter().map(move |s| (*s, i))).collect();
        spans.sort_unstable();
        Self { spans }
    }

    fn find(&self, (x, y): (i32, i32)) -> Option<usize> {
        let after = self.spans.partition_point(|(s, _)| (s.y, s.x0) <= (y, x));
        let (span, part) = self.spans.get(after.checked_sub(1)?)?;
        (span.y == y && span.x1 >= x).then_some(*part)
    }
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
            broadening: 1.0,
            spans: SpanSet::from_spans(spans),
            peaks: inside.iter().map(peak).collect(),
            negative_peaks: vec![],
            n_pixels: inner.n_pixels() as u64,
        }
    }

    fn field<'a>(tract: &Box2, known: &'a [KnownPosition]) -> AssociateField<'a> {
        AssociateField { tract: *tract, fwhm_px: FWHM, pixel_scale_arcsec: 0.2, known }
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
                let patches: Vec<_> = boxes.iter().map(|b| vec![layer(0, &first, b), layer(1, &second, b)]).collect();
                stage.run(&patches, &field(&tract, &[]))
            };
            let whole = cut(&[tract]);
            let halves = cut(&[Box2::new(50, 0, 50, 80), Box2::new(0, 0, 50, 80)]);
            // NaN where the rules know no odds: compare what is printed.
            assert_eq!(format!("{whole:?}"), format!("{halves:?}"));
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
        (layers[1].broadening, layers[1].l2_per_px2) = (4.0, L2 / 16.0);
        layers[1].peaks[0].best_layer = 1;
        let stage = stage(|_| {});
        let (parents, _) = stage.run(std::slice::from_ref(&layers), &field(&tract, &[]));
        assert_eq!(parents[0].footprint.spans.bbox().x1(), 57 + 2 + 16 + 1);
        layers[0].peaks[0].fate = PeakFate::Masked;
        let (parents, records) = stage.run(std::slice::from_ref(&layers), &field(&tract, &[]));
        assert_eq!((parents[0].footprint.peaks[0].pixel, records.len()), ((57, 40), 2));
        let masked = records.iter().find(|r| r.peak.pixel == (50, 40)).unwrap();
        assert_eq!(
            (masked.decision, masked.child, masked.parent_id),
            (PeakDecision::Rejected(Rejection::Masked), None, Some(parents[0].id))
        );
        layers[1].peaks[0].fate = PeakFate::Culled;
        let (parents, records) = stage.run(&[layers], &field(&tract, &[]));
        assert!(parents.is_empty() && records.iter().all(|r| r.parent_id.is_none()), "{records:?}");
    }

    /// Known sources: one that is detected has its detection's light and its own place; one that is not is an object all the same.
    #[test]
    fn known_sources_are_objects() {
        let tract = Box2::new(0, 0, 100, 80);
        let layers = vec![layer(0, &[(20, 20, 9.0)], &tract)];
        let known = [(20.2, 20.1), (70.0, 60.0)].map(|(x, y)| KnownPosition { id: 1, list: 0, at: PixelPoint::new(x, y), error_px: 0.01 });
        let (parents, records) = stage(|_| {}).run(&[layers], &field(&tract, &known));
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [1, 1]);
        let seen = &parents[0].footprint.peaks[0];
        assert_eq!((seen.at, seen.significance, seen.seen_in), (known[0].at, 9.0, 1));
        assert_eq!(parents[1].footprint.peaks[0].at, known[1].at);
        assert_eq!(records.iter().filter(|r| r.decision == PeakDecision::Merged).count(), 1);
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
            peak.saddle = Some(Saddle { height, significance: 3.0, higher: (5 + 8 * (k as i32 - 1), 10) });
        }
        let (parents, records) = stage(|c| c.max_peaks = 4).run(&[layers.clone()], &field(&tract, &[]));
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [4, 3, 3]);
        assert!(parents.iter().all(|p| p.split_from == Some(parents[0].id)));
        let (whole, _) = stage(|_| {}).run(&[layers], &field(&tract, &[]));
        let area = |p: &[Parent]| p.iter().map(|p| p.footprint.spans.area()).sum::<usize>();
        assert_eq!((whole.len(), area(&whole)), (1, area(&parents)));
        for record in &records {
            let parent = parents.iter().find(|p| Some(p.id) == record.parent_id).unwrap();
            assert_eq!(parent.footprint.peaks[record.child.unwrap() as usize].pixel, record.peak.pixel);
        }
    }
}

//! Joins footprints across layers and patch borders, and associates their peaks.

use super::split::split_at_saddles;
use super::{MAX_CHILDREN, Parent, PeakDecision, PeakRecord, parent_id};
use crate::detect::{Layer, is_good};
use crate::footprint::{Footprint, Peak, Span, SpanSet};
use crate::geometry::Box2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of [`AssociatePeaks`]: section `[associate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssociateConfig {
    /// Growth of footprints \[FWHM of what a source looks like in the layer: of the PSF for point sources\].
    pub grow_fwhm: f64,
    /// Peaks of different layers nearer than this are the same object \[FWHM of the broader layer\].
    pub merge_radius_fwhm: f64,
    /// Largest number of objects of a parent: those with more are split at their lowest saddles.
    pub max_peaks: usize,
}

impl Default for AssociateConfig {
    fn default() -> Self {
        Self { grow_fwhm: 1.0, merge_radius_fwhm: 0.6, max_peaks: 500 }
    }
}

/// Why association could not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum AssociateError {
    /// A setting out of range.
    #[error("associate.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
}

/// The association stage.
#[derive(Debug, Clone)]
pub struct AssociatePeaks {
    config: AssociateConfig,
}

impl AssociatePeaks {
    /// # Errors
    /// [`AssociateError::Config`] if a setting is outside its range.
    pub fn new(config: AssociateConfig) -> Result<Self, AssociateError> {
        let wrong = |key, found: f64, expected| AssociateError::Config { key, found: found.to_string(), expected };
        if !(0.0..=10.0).contains(&config.grow_fwhm) {
            return Err(wrong("grow_fwhm", config.grow_fwhm, "0..=10 FWHM"));
        }
        if !(0.0..=5.0).contains(&config.merge_radius_fwhm) {
            return Err(wrong("merge_radius_fwhm", config.merge_radius_fwhm, "0..=5 FWHM"));
        }
        // More than that, and ids could not tell the children apart.
        if !(1..=MAX_CHILDREN).contains(&config.max_peaks) {
            return Err(wrong("max_peaks", config.max_peaks as f64, "1..=1023"));
        }
        Ok(Self { config })
    }

    /// Parents of the tract, by id, and every good peak with its decision.
    ///
    /// `patches`: the layers of every patch, in any order: the result does not depend on how the tract is cut.
    /// `tract`: all pixels of the tract (growth stops there). `fwhm_px`: mean PSF FWHM over the bands.
    #[must_use]
    pub fn run(&self, patches: &[Vec<Layer>], tract: &Box2, fwhm_px: f64) -> (Vec<Parent>, Vec<PeakRecord>) {
        let layers = || patches.iter().flatten();
        // Each layer grows by its own profile; those that grow alike are grown together.
        let mut by_growth: BTreeMap<i32, Vec<Span>> = BTreeMap::new();
        for layer in layers() {
            let radius_px = (self.config.grow_fwhm * fwhm_px * layer.broadening).round() as i32;
            by_growth.entry(radius_px).or_default().extend(layer.spans.spans());
        }
        let grown = by_growth.into_iter().flat_map(|(radius_px, spans)| {
            let set = SpanSet::from_spans(spans).grown(radius_px, tract);
            set.spans().to_vec()
        });
        let parts = SpanSet::from_spans(grown.collect()).connected();
        let broadening: Vec<f64> = patches.first().map_or_else(Vec::new, |p| p.iter().map(|l| l.broadening).collect());
        let mut peaks: Vec<Vec<Peak>> = vec![Vec::new(); parts.len()];
        let part_of = PartIndex::new(&parts);
        for peak in layers().flat_map(|l| &l.peaks).filter(|p| is_good(p)) {
            let part = part_of.find(peak.pixel).expect("a peak's pixel belongs to its layer's spans");
            peaks[part].push(peak.clone());
        }
        let mut parents = Vec::new();
        let mut records = Vec::new();
        for (spans, peaks) in parts.into_iter().zip(peaks) {
            // Pixels above the threshold whose peak, refined, is not: noise.
            if peaks.is_empty() {
                continue;
            }
            let first = spans.spans()[0];
            let whole = parent_id(0, first.x0, first.y);
            let (kept, mut decided) = self.merge(whole, peaks, fwhm_px, &broadening);
            if kept.len() <= self.config.max_peaks {
                records.append(&mut decided);
                parents.push(Parent { id: whole, split_from: None, footprint: Footprint { spans, peaks: kept } });
                continue;
            }
            let (pieces, place) = split_at_saddles(&spans, &kept, self.config.max_peaks);
            let ids: Vec<i64> = pieces.iter().map(|p| parent_id(0, p.spans.spans()[0].x0, p.spans.spans()[0].y)).collect();
            for record in &mut decided {
                let (piece, child) = place[record.child as usize];
                (record.parent_id, record.child) = (ids[piece], child as u32);
            }
            records.append(&mut decided);
            parents.extend(pieces.into_iter().zip(ids).map(|(footprint, id)| Parent { id, split_from: Some(whole), footprint }));
        }
        parents.sort_by_key(|p| p.id);
        records.sort_by_key(|r| (r.parent_id, r.peak.layer, r.peak.pixel.1, r.peak.pixel.0));
        (parents, records)
    }

    /// Objects of one parent, brightest first, and what became of every peak.
    fn merge(&self, parent_id: i64, mut peaks: Vec<Peak>, fwhm_px: f64, broadening: &[f64]) -> (Vec<Peak>, Vec<PeakRecord>) {
        let scale = |p: &Peak| broadening.get(usize::from(p.layer)).copied().unwrap_or(1.0);
        let radius_px = |a: &Peak, b: &Peak| self.config.merge_radius_fwhm * fwhm_px * scale(a).max(scale(b));
        // The layers' order is their priority; within a layer the brightest first. Positions make the order total.
        peaks.sort_by(|a, b| a.layer.cmp(&b.layer).then(b.significance.total_cmp(&a.significance)).then(yx(a).cmp(&yx(b))));
        let mut kept: Vec<Peak> = Vec::new();
        let mut records: Vec<PeakRecord> = Vec::new();
        for peak in peaks {
            let distance = |k: &Peak| (k.at.x - peak.at.x).hypot(k.at.y - peak.at.y);
            let nearest = (0..kept.len()).min_by(|&a, &b| distance(&kept[a]).total_cmp(&distance(&kept[b])));
            let mut record = PeakRecord { parent_id, decision: PeakDecision::Kept, child: kept.len() as u32, distance_fwhm: 0.0, peak };
            match nearest.filter(|&n| distance_px(&kept[n], &record.peak) < radius_px(&kept[n], &record.peak)) {
                Some(n) => {
                    record.decision = PeakDecision::Merged;
                    record.child = n as u32;
                    record.distance_fwhm = distance_px(&kept[n], &record.peak) / fwhm_px;
                    kept[n].seen_in |= record.peak.seen_in;
                }
                None => kept.push(record.peak.clone()),
            }
            records.push(record);
        }
        let mut order: Vec<usize> = (0..kept.len()).collect();
        order.sort_by(|&a, &b| kept[b].significance.total_cmp(&kept[a].significance).then(yx(&kept[a]).cmp(&yx(&kept[b]))));
        let mut rank = vec![0; kept.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old] = new as u32;
        }
        for record in &mut records {
            record.child = rank[record.child as usize];
        }
        (order.into_iter().map(|i| kept[i].clone()).collect(), records)
    }
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
    use crate::detect::{LayerKind, Sed};
    use crate::footprint::{PeakFate, Saddle};
    use crate::geometry::PixelPoint;

    fn layer(index: u16, peaks: &[(i32, i32, f64)], inner: &Box2) -> Layer {
        let inside: Vec<_> = peaks.iter().filter(|p| inner.contains(p.0, p.1)).collect();
        // Each peak owns a 5 x 5 block, cut by the patch.
        let block = |&(x, y, _): &(i32, i32, f64)| (-2..=2).map(move |d| Span { y: y + d, x0: x - 2, x1: x + 2 });
        let cut = |s: Span| Span { y: s.y, x0: s.x0.max(inner.x0), x1: s.x1.min(inner.x1() - 1) };
        let spans = peaks.iter().flat_map(block).filter(|s| s.y >= inner.y0 && s.y < inner.y1()).map(cut).collect();
        let peak = |p: &&(i32, i32, f64)| Peak::bare(PixelPoint::new(f64::from(p.0), f64::from(p.1)), p.2, index);
        Layer {
            kind: LayerKind::point(Sed::Band("r".into())),
            threshold: 5.0,
            l2_per_px2: 0.2,
            broadening: 1.0,
            spans: SpanSet::from_spans(spans),
            peaks: inside.iter().map(peak).collect(),
            negative_peaks: vec![],
            n_pixels: 0,
        }
    }

    /// However the tract is cut: the same parents, ids and decisions; near peaks of two layers are one object, far ones two.
    #[test]
    fn the_cut_does_not_matter() {
        let tract = Box2::new(0, 0, 100, 80);
        let first = [(20, 20, 9.0), (49, 40, 7.0), (55, 40, 12.0), (90, 70, 6.0)];
        let second = [(21, 20, 8.0), (49, 47, 5.5)];
        let stage = AssociatePeaks::new(AssociateConfig::default()).unwrap();
        let cut = |boxes: &[Box2]| {
            let patches: Vec<_> = boxes.iter().map(|b| vec![layer(0, &first, b), layer(1, &second, b)]).collect();
            stage.run(&patches, &tract, 4.0)
        };
        let whole = cut(&[tract]);
        let halves = cut(&[Box2::new(50, 0, 50, 80), Box2::new(0, 0, 50, 80)]);
        assert_eq!(whole, halves);
        let (parents, records) = whole;
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [1, 3, 1]);
        assert_eq!(parents[0].footprint.peaks[0].seen_in, 0b11);
        assert_eq!(parents[1].footprint.peaks[0].pixel, (55, 40));
        let merged: Vec<_> = records.iter().filter(|r| r.decision == PeakDecision::Merged).collect();
        assert_eq!((merged.len(), merged[0].peak.pixel, merged[0].child), (1, (21, 20), 0));
        assert_eq!(records.len(), 6);
    }

    /// A layer of discs four times as broad as the PSF: its footprints grow by four times as much, and its peak is taken for the star it
    /// lies near. What masked pixels made is no object.
    #[test]
    fn layers_have_their_own_scale() {
        let tract = Box2::new(0, 0, 100, 80);
        let mut layers = vec![layer(0, &[(50, 40, 9.0)], &tract), layer(1, &[(57, 40, 8.0)], &tract)];
        let stage = AssociatePeaks::new(AssociateConfig::default()).unwrap();
        let near = stage.run(std::slice::from_ref(&layers), &tract, 4.0);
        assert_eq!(near.0[0].footprint.peaks.len(), 2);
        layers[1].broadening = 4.0;
        let (parents, _) = stage.run(std::slice::from_ref(&layers), &tract, 4.0);
        assert_eq!((parents[0].footprint.peaks.len(), parents[0].footprint.spans.bbox().x1()), (1, 57 + 2 + 16 + 1));
        layers[0].peaks[0].fate = PeakFate::Masked;
        let (parents, records) = stage.run(&[layers], &tract, 4.0);
        assert_eq!((parents[0].footprint.peaks[0].pixel, records.len()), ((57, 40), 1));
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
        let stage = AssociatePeaks::new(AssociateConfig { max_peaks: 4, ..AssociateConfig::default() }).unwrap();
        let (parents, records) = stage.run(&[layers.clone()], &tract, 4.0);
        assert_eq!(parents.iter().map(|p| p.footprint.peaks.len()).collect::<Vec<_>>(), [4, 3, 3]);
        assert!(parents.iter().all(|p| p.split_from == Some(parents[0].id)));
        let (whole, _) = AssociatePeaks::new(AssociateConfig::default()).unwrap().run(&[layers], &tract, 4.0);
        let area = |p: &[Parent]| p.iter().map(|p| p.footprint.spans.area()).sum::<usize>();
        assert_eq!((whole.len(), area(&whole)), (1, area(&parents)));
        for record in &records {
            let parent = parents.iter().find(|p| p.id == record.parent_id).unwrap();
            assert_eq!(parent.footprint.peaks[record.child as usize].pixel, record.peak.pixel);
        }
    }
}

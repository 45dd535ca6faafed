//! Association: are a layer's peaks true objects, does every true object have its peak, and do seams lose or double any.

use super::objects::{TrueObjects, matched_pairs, wrong};
use super::{Figure, Metric};
use crate::assess::SeamDistances;
use crate::limit::{CompletenessCurve, TheoryLayer};
use crate::neighbours::Neighbours;
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::scene::{FREE_SED, layer_snr, mean_fwhm};
use crate::statistics::share;
use crate::{ArmData, LayerPeaks, ValidateConfig, ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};
use std::collections::BTreeSet;

/// Bins of a peak's significance.
const SNR_EDGES: [f64; 7] = [4.0, 5.0, 5.5, 6.0, 8.0, 12.0, 1000.0];
/// A layer should see what is this far above its threshold.
const CLEAR_SNR: f64 = 2.0;
/// Rows of the catalog nearer than this, with the same fluxes, are one object twice \[FWHM\].
const DUPLICATE_FWHM: f64 = 0.5;
/// Two fluxes that differ by less than this are the same \[σ\].
const SAME_FLUX_SIGMA: f64 = 3.0;
/// So near a seam counts as at it \[FWHM\].
const AT_SEAM_FWHM: f64 = 3.0;

/// Counts of one layer over all arms.
#[derive(Debug, Clone, Default)]
struct LayerCounts {
    /// Peaks, and those with a true object, by bin of significance.
    peaks: [(usize, usize); SNR_EDGES.len() - 1],
    /// Objects that it should see; those with a peak of their own; those expected to have one; those with a second peak.
    n_clear: usize,
    n_found: usize,
    expected: f64,
    n_split: usize,
}

/// `association.peak_purity`, `.peak_completeness`, `.split_fraction` per layer (`band` holds its name); `association.duplicate_fraction`
/// and `.lost_fraction` at seams and away from them (`regime`), and `.lost_excess`.
///
/// - `peak_purity`: share of a layer's positive peaks within the match radius of a true object with S/N of at least
///   `ignore_below_snr` in the layer; one peak an object, the nearest pairs first. Peaks of the control run are left out;
/// - `peak_completeness`: share of usable objects with a true S/N of at least the threshold + 2 that have such a peak; `limit`: the mean of
///   C(s) for isolated point sources (algorithms 2.0);
/// - `split_fraction`: share of those with a second peak within half a FWHM where no other object is;
/// - `duplicate_fraction`: share of primary rows with another parent's row within half a FWHM and the same fluxes (3 σ in every band);
/// - `lost_fraction`: share of detectable objects that are not matched; `lost_excess`: at the seam less elsewhere.
///
/// Seams: borders of patches (which only cut files) and of cells (to which the chain's physics is anchored). Intervals: Wilson; of the
/// excess Newcombe 1998, Stat. Med. 17, 873, method 10.
pub(crate) fn association(
    config: &ValidateConfig,
    input: &ValidateInput,
    matches: &Table,
) -> Result<(Vec<Metric>, Vec<Plot>), ValidationError> {
    let n_layers = input.arms.first().map_or(0, |a| a.layers.len());
    let mut layers = vec![LayerCounts::default(); n_layers];
    let mut seams = [SeamCounts::default(), SeamCounts::default()];
    for (i, arm) in input.arms.iter().enumerate() {
        let Some(truth) = TrueObjects::new(input, arm)? else { continue };
        for (counts, layer) in layers.iter_mut().zip(&arm.layers) {
            counts.add(config, input, &truth, layer);
        }
        if let Some(distances) = input.assessed.seams.get(i) {
            let rows = CatalogRows::read(input, arm, &truth).map_err(wrong(&format!("catalog of {}", arm.name)))?;
            let matched: BTreeSet<i64> = matched_pairs(matches, &arm.name)?.into_iter().map(|p| p.1).collect();
            for (counts, of_kind) in seams.iter_mut().zip([&distances.patch, &distances.cell]) {
                counts.add(mean_fwhm(input), &truth, &matched, &rows, of_kind);
            }
        }
    }
    let mut metrics = Vec::new();
    for (counts, layer) in layers.iter().zip(input.arms.first().map_or(&[][..], |a| &a.layers)) {
        counts.push(&layer.name, &mut metrics);
    }
    for (counts, what) in seams.iter().zip(["patch", "cell"]) {
        counts.push(what, &mut metrics);
    }
    let plots = plot(input, &metrics).into_iter().collect();
    Ok((metrics, plots))
}

impl LayerCounts {
    fn add(&mut self, config: &ValidateConfig, input: &ValidateInput, truth: &TrueObjects, layer: &LayerPeaks) {
        let (kind, n_bands) = match input.bands.iter().position(|b| *b == layer.name) {
            Some(band) => (TheoryLayer::Band(band, layer.threshold), 1),
            None if layer.name == FREE_SED => (TheoryLayer::FreeSed(layer.threshold), layer.n_bands),
            None => return,
        };
        let fwhm = mean_fwhm(input);
        let radius = config.match_radius_fwhm * fwhm;
        let snr: Vec<f64> = truth.all.iter().map(|o| layer_snr(&o.snr, &kind)).collect();
        let real = control_peaks(input, truth, &layer.name);
        let points = layer.peaks.iter().map(|p| (truth.plane.project(p[0], p[1]), p[2]));
        let peaks: Vec<([f64; 2], f64)> = points.filter(|(p, _)| real.within(*p, radius).is_empty()).collect();
        let near = Neighbours::new(peaks.iter().map(|p| p.0));
        // Objects that the layer cannot use or see well still own their peak.
        let seen = |i: usize| snr[i] >= config.ignore_below_snr || (!truth.all[i].is_usable && snr[i].is_nan());
        let (of_peak, of_truth) = pair(truth, &near, peaks.len(), radius, seen);
        for ((_, significance), owner) in peaks.iter().zip(&of_peak) {
            if let Some(bin) = SNR_EDGES.windows(2).position(|e| (e[0]..e[1]).contains(significance)) {
                self.peaks[bin].0 += 1;
                self.peaks[bin].1 += usize::from(owner.is_some());
            }
        }
        let curve = CompletenessCurve::new(layer.threshold, n_bands);
        for i in (0..truth.all.len()).filter(|&i| truth.all[i].is_usable && snr[i] >= layer.threshold + CLEAR_SNR) {
            self.n_clear += 1;
            self.n_found += usize::from(of_truth[i].is_some());
            self.expected += curve.at(snr[i]);
            let point = truth.all[i].point;
            let is_alone = truth.near.within(point, fwhm).iter().all(|&(j, _)| j == i || !seen(j));
            self.n_split += usize::from(is_alone && near.within(point, DUPLICATE_FWHM * fwhm).len() > 1);
        }
    }

    fn push(&self, layer: &str, out: &mut Vec<Metric>) {
        let (n, k) = self.peaks.iter().fold((0, 0), |s, b| (s.0 + b.0, s.1 + b.1));
        out.push(Metric::new("association.peak_purity", "", share(k, n)).band(layer).limit(Some(1.0)));
        for (bin, (n, k)) in SNR_EDGES.windows(2).zip(self.peaks).filter(|(_, (n, _))| *n > 0) {
            let regime = format!("detect_snr {}-{}", bin[0], bin[1]);
            out.push(Metric::new("association.peak_purity", "", share(k, n)).band(layer).regime(&regime));
        }
        let expected = self.expected / self.n_clear as f64;
        out.push(Metric::new("association.peak_completeness", "", share(self.n_found, self.n_clear)).band(layer).limit(Some(expected)));
        out.push(Metric::new("association.split_fraction", "", share(self.n_split, self.n_clear)).band(layer).limit(Some(0.0)));
    }
}

/// Peaks of the same layer without injection.
fn control_peaks(input: &ValidateInput, truth: &TrueObjects, layer: &str) -> Neighbours {
    let layers = input.control.iter().flat_map(|c| &c.layers).filter(|l| l.name == layer);
    Neighbours::new(layers.flat_map(|l| &l.peaks).map(|p| truth.plane.project(p[0], p[1])))
}

/// One peak an object, the nearest pairs first: object of each peak, peak of each object.
fn pair(
    truth: &TrueObjects,
    peaks: &Neighbours,
    n_peaks: usize,
    radius: f64,
    seen: impl Fn(usize) -> bool,
) -> (Vec<Option<usize>>, Vec<Option<usize>>) {
    let mut candidates = Vec::new();
    for (i, object) in truth.all.iter().enumerate().filter(|(i, _)| seen(*i)) {
        candidates.extend(peaks.within(object.point, radius).into_iter().map(|(p, distance)| (distance, i, p)));
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut of_peak, mut of_truth) = (vec![None; n_peaks], vec![None; truth.all.len()]);
    for (_, i, p) in candidates {
        if of_peak[p].is_none() && of_truth[i].is_none() {
            (of_peak[p], of_truth[i]) = (Some(i), Some(p));
        }
    }
    (of_peak, of_truth)
}

/// Primary rows of a catalog.
struct CatalogRows<'a> {
    is_primary: &'a [bool],
    parent_id: &'a [i64],
    points: Vec<[f64; 2]>,
    /// Flux and error per band.
    fluxes: Vec<[&'a [f64]; 2]>,
}

impl<'a> CatalogRows<'a> {
    fn read(input: &ValidateInput, arm: &'a ArmData, truth: &TrueObjects) -> Result<Self, TableError> {
        let t = &arm.catalog;
        if t.columns().is_empty() {
            return Ok(Self { is_primary: &[], parent_id: &[], points: Vec::new(), fluxes: Vec::new() });
        }
        let of_band = |b: &String| Ok([t.f64(&format!("{b}_psf_flux"))?, t.f64(&format!("{b}_psf_flux_err"))?]);
        Ok(Self {
            is_primary: t.bool("is_primary")?,
            parent_id: t.i64("parent_id")?,
            points: t.f64("ra")?.iter().zip(t.f64("dec")?).map(|(&ra, &dec)| truth.plane.project(ra, dec)).collect(),
            fluxes: input.bands.iter().map(of_band).collect::<Result<_, _>>()?,
        })
    }

    /// The same fluxes in every band that both have.
    fn is_same(&self, a: usize, b: usize) -> bool {
        self.fluxes.iter().all(|[flux, err]| {
            let pull = (flux[a] - flux[b]) / err[a].hypot(err[b]);
            pull.is_nan() || pull.abs() < SAME_FLUX_SIGMA
        })
    }
}

/// Counts (events, objects) at a seam and away from it.
#[derive(Debug, Clone, Default)]
struct SeamCounts {
    duplicates: [(usize, usize); 2],
    lost: [(usize, usize); 2],
}

impl SeamCounts {
    fn add(&mut self, fwhm: f64, truth: &TrueObjects, matched: &BTreeSet<i64>, rows: &CatalogRows, distances: &SeamDistances) {
        // At it 0, away 1; NaN is at the tract's own edge and counts nowhere.
        let place = |arcsec: f64| (!arcsec.is_nan()).then(|| usize::from(arcsec > AT_SEAM_FWHM * fwhm));
        let near = Neighbours::new(rows.points.iter().zip(rows.is_primary).map(|(p, ok)| if *ok { *p } else { [f64::NAN; 2] }));
        for i in (0..rows.points.len()).filter(|&i| rows.is_primary[i]) {
            let Some(k) = distances.catalog_arcsec.get(i).and_then(|d| place(*d)) else { continue };
            let twin = |&(j, _): &(usize, f64)| rows.parent_id[j] != rows.parent_id[i] && rows.is_same(i, j);
            self.duplicates[k].0 += usize::from(near.within(rows.points[i], DUPLICATE_FWHM * fwhm).iter().any(twin));
            self.duplicates[k].1 += 1;
        }
        for (object, &arcsec) in truth.all.iter().zip(&distances.truth_arcsec).filter(|(o, _)| o.is_detectable) {
            let Some(k) = place(arcsec) else { continue };
            self.lost[k].0 += usize::from(!matched.contains(&object.id));
            self.lost[k].1 += 1;
        }
    }

    fn push(&self, what: &str, out: &mut Vec<Metric>) {
        let places = [format!("within 3 FWHM of a {what} border"), format!("farther from {what} borders")];
        for (i, place) in places.iter().enumerate() {
            let (duplicates, lost) = (self.duplicates[i], self.lost[i]);
            out.push(Metric::new("association.duplicate_fraction", "", share(duplicates.0, duplicates.1)).regime(place).limit(Some(0.0)));
            out.push(Metric::new("association.lost_fraction", "", share(lost.0, lost.1)).regime(place));
        }
        let [at, away] = self.lost.map(|(k, n)| share(k, n));
        let regime = format!("{what} borders less elsewhere");
        out.push(Metric::new("association.lost_excess", "", difference(at, away)).regime(&regime).limit(Some(0.0)));
    }
}

/// a - b of two shares, with Newcombe's interval from Wilson's of both.
fn difference(a: Figure, b: Figure) -> Figure {
    let all = |f: &Figure| Some((f.value?, f.lo?, f.hi?));
    let (Some((p, p_lo, p_hi)), Some((q, q_lo, q_hi))) = (all(&a), all(&b)) else { return Figure::NONE };
    let (down, up) = ((p - p_lo).hypot(q_hi - q), (p_hi - p).hypot(q - q_lo));
    Figure { value: Some(p - q), lo: Some(p - q - down), hi: Some(p - q + up), n: a.n }
}

fn plot(input: &ValidateInput, metrics: &[Metric]) -> Option<Plot> {
    let mut marks = Vec::new();
    for (nth, layer) in input.arms.first()?.layers.iter().enumerate() {
        let i = input.bands.iter().position(|b| *b == layer.name).unwrap_or(COLOURS.len() - 1);
        let points: Vec<[f64; 4]> = SNR_EDGES
            .windows(2)
            .filter_map(|bin| {
                let regime = format!("detect_snr {}-{}", bin[0], bin[1]);
                let is_it = |m: &&Metric| m.name == "association.peak_purity" && m.band == layer.name && m.regime == regime;
                let m = metrics.iter().find(is_it).filter(|m| m.n >= 3)?;
                let x = 0.5 * (bin[0] + bin[1].min(16.0)) + 0.08 * nth as f64;
                Some([x, m.value?, m.lo?, m.hi?])
            })
            .collect();
        if !points.is_empty() {
            let colour = COLOURS[i % COLOURS.len()];
            marks.push(Mark { label: layer.name.replace('_', " "), colour, kind: MarkKind::Points(points) });
        }
    }
    (!marks.is_empty()).then(|| Plot {
        name: "peak_purity".into(),
        section: Section::Association,
        title: "Peaks that are true objects".into(),
        caption:
            "Share of a layer's peaks within the match radius of a true object that the layer can see, one peak an object, against the \
                  peak's significance (above 12: at 14). Bars: 95 % (Wilson)."
                .into(),
        panels: vec![Panel {
            x_label: "significance of the peak".into(),
            y_label: "share with a true object".into(),
            x: (4.0, 15.0),
            y: (-0.03, 1.05),
            log_y: false,
            marks,
            legend: Corner::LowerRight,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::Seams;
    use crate::metric::objects::blank_input;
    use approx::assert_relative_eq;
    use fathom::catalog::ColumnData;

    fn points(x: &[f64]) -> [ColumnData; 2] {
        [ColumnData::F64(x.iter().map(|x| 150.0 + x / 3600.0).collect()), ColumnData::F64(vec![0.0; x.len()])]
    }

    /// Stars on a line of S/N 20 each, `x` in arcsec.
    fn truth(x: &[f64]) -> Table {
        let n = x.len();
        let [ra, dec] = points(x);
        let mut t = Table::new();
        t.push("id", "", "", ColumnData::I64((1..=n as i64).collect())).unwrap();
        t.push("ra", "deg", "", ra).unwrap();
        t.push("dec", "deg", "", dec).unwrap();
        for (name, v) in [("r_flux", 100.0), ("r_snr_true", 20.0), ("r_flux_err_limit", 5.0)] {
            t.push(name, "", "", ColumnData::F64(vec![v; n])).unwrap();
        }
        t.push("is_usable", "", "", ColumnData::Bool(vec![true; n])).unwrap();
        t
    }

    /// Rows (x, parent, flux), all primary.
    fn catalog(rows: &[(f64, i64, f64)]) -> Table {
        let [ra, dec] = points(&rows.iter().map(|r| r.0).collect::<Vec<_>>());
        let mut t = Table::new();
        t.push("ra", "deg", "", ra).unwrap();
        t.push("dec", "deg", "", dec).unwrap();
        t.push("parent_id", "", "", ColumnData::I64(rows.iter().map(|r| r.1).collect())).unwrap();
        t.push("is_primary", "", "", ColumnData::Bool(vec![true; rows.len()])).unwrap();
        t.push("r_psf_flux", "nJy", "", ColumnData::F64(rows.iter().map(|r| r.2).collect())).unwrap();
        t.push("r_psf_flux_err", "nJy", "", ColumnData::F64(vec![5.0; rows.len()])).unwrap();
        t
    }

    fn matches(truths: &[i64]) -> Table {
        let mut t = Table::new();
        let n = truths.len();
        t.push("arm", "", "", ColumnData::Text(vec!["main".into(); n])).unwrap();
        t.push("status", "", "", ColumnData::Text(vec!["matched".into(); n])).unwrap();
        t.push("object_id", "", "", ColumnData::I64(truths.to_vec())).unwrap();
        t.push("truth_id", "", "", ColumnData::I64(truths.to_vec())).unwrap();
        t
    }

    fn value(metrics: &[Metric], name: &str, regime: &str) -> Option<f64> {
        let found = metrics.iter().find(|m| m.name == format!("association.{name}") && m.regime == regime);
        found.unwrap_or_else(|| panic!("{name} {regime}")).value
    }

    /// Four objects; three peaks on them, a second one on the first, one on nothing.
    #[test]
    fn peaks_by_hand() {
        let mut input = blank_input("r", truth(&[0.0, 10.0, 20.0, 30.0]));
        let peaks = [0.1, 0.3, 10.0, 20.1, 50.0].map(|x| [150.0 + x / 3600.0, 0.0, 19.0]).to_vec();
        let layer = LayerPeaks {
            name: "r".into(),
            threshold: 5.0,
            peaks,
            negative_peaks: vec![],
            area_arcmin2: 1.0,
            n_bands: 1,
            l2_per_arcsec2: f64::NAN,
        };
        input.arms[0].layers = vec![layer];
        let (metrics, plots) = association(&ValidateConfig::default(), &input, &matches(&[])).unwrap();
        assert_relative_eq!(value(&metrics, "peak_purity", "").unwrap(), 0.6);
        assert_relative_eq!(value(&metrics, "peak_completeness", "").unwrap(), 0.75);
        assert_relative_eq!(value(&metrics, "split_fraction", "").unwrap(), 0.25);
        assert_eq!(plots.len(), 1);
    }

    /// A seam at 15: one object doubled across it and one lost beside it; two neighbours of different flux are no duplicates.
    #[test]
    fn seams_by_hand() {
        let x = [0.0, 14.0, 16.0, 40.0];
        let mut input = blank_input("r", truth(&x));
        let rows = [(14.0, 1, 100.0), (14.2, 2, 104.0), (40.0, 3, 100.0), (40.2, 4, 900.0), (0.0, 5, 100.0)];
        input.arms[0].catalog = catalog(&rows);
        let from_seam = |x: f64| (x - 15.0).abs();
        let patch = SeamDistances {
            truth_arcsec: x.iter().map(|x| from_seam(*x)).collect(),
            catalog_arcsec: rows.iter().map(|r| from_seam(r.0)).collect(),
        };
        let none = SeamDistances { truth_arcsec: vec![f64::NAN; 4], catalog_arcsec: vec![f64::NAN; 5] };
        input.assessed.seams = vec![Seams { patch, cell: none }];
        let (metrics, _) = association(&ValidateConfig::default(), &input, &matches(&[1, 2, 4])).unwrap();
        assert_relative_eq!(value(&metrics, "duplicate_fraction", "within 3 FWHM of a patch border").unwrap(), 1.0);
        assert_relative_eq!(value(&metrics, "duplicate_fraction", "farther from patch borders").unwrap(), 0.0);
        assert_relative_eq!(value(&metrics, "lost_fraction", "within 3 FWHM of a patch border").unwrap(), 0.5);
        assert_relative_eq!(value(&metrics, "lost_excess", "patch borders less elsewhere").unwrap(), 0.5);
        assert_eq!(value(&metrics, "lost_excess", "cell borders less elsewhere"), None);
    }

    /// Newcombe's table II (a): 56/70 - 48/80 = 0.2, from 0.0524 to 0.3339.
    #[test]
    fn newcombes_interval() {
        let d = difference(share(56, 70), share(48, 80));
        assert_relative_eq!(d.value.unwrap(), 0.2, epsilon = 1e-12);
        assert_relative_eq!(d.lo.unwrap(), 0.0524, epsilon = 1e-4);
        assert_relative_eq!(d.hi.unwrap(), 0.3339, epsilon = 1e-4);
    }
}

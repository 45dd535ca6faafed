//! The figures of a comparison: which losses are compared, in which bins.

use super::objects::{Fate, PairedArm, PairedObject, flux};
use super::paired::{CellWeights, Label, PairedValues, figure, share};
use super::{Better, Change, CompareOptions, ComparedFigure};
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::statistics::{mad_std, mean, median};
use fathom::catalog::Table;
use std::collections::BTreeMap;

/// Edges of the bins of true S/N.
const SNR_EDGES: [f64; 8] = [3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 10_000.0];
/// Least true S/N in a band of an object whose flux error is compared.
const MIN_FLUX_SNR: f64 = 5.0;
/// A relative error counts at most as much as all of the flux: one catastrophe must not decide for thousands.
const MAX_RELATIVE_ERROR: f64 = 1.0;

/// An object with the arm it belongs to.
type Object<'a> = (&'a PairedArm<'a>, &'a PairedObject);

/// Is an object, of this S/N, in?
type Holds = dyn Fn(&PairedObject, f64) -> bool;

/// A bin or condition: its name, and who is in it by S/N (of the band or of all).
struct Regime {
    class: &'static str,
    name: String,
    holds: Box<Holds>,
}

fn regime(name: impl Into<String>, holds: impl Fn(&PairedObject, f64) -> bool + 'static) -> Regime {
    Regime { class: "", name: name.into(), holds: Box::new(holds) }
}

/// All objects, isolated and blended apart, stars and galaxies, bins of S/N.
fn regimes() -> Vec<Regime> {
    let mut list = vec![regime("", |_, _| true), regime("isolated", |o, _| o.is_isolated), regime("blended", |o, _| o.is_blended)];
    for class in ["star", "galaxy"] {
        list.push(Regime { class, ..regime("", move |o, _| o.class == class) });
    }
    list.extend(SNR_EDGES.windows(2).map(|e| {
        let range = e[0]..e[1];
        regime(format!("snr {}-{}", e[0], e[1]), move |_, snr| range.contains(&snr))
    }));
    list
}

/// All figures, detection first.
pub fn figures(arms: &[PairedArm], bands: &[String], options: &CompareOptions) -> Vec<ComparedFigure> {
    let objects: Vec<Object> = arms.iter().flat_map(|arm| arm.objects.iter().map(move |o| (arm, o))).collect();
    let judged = arms.iter().flat_map(|arm| arm.judged.iter().flatten().map(|j| j.0));
    let cells = objects.iter().map(|(_, o)| o.cell).chain(judged);
    let weights = CellWeights::new(cells, options.seed, options.n_bootstrap);
    let mut out = Vec::new();
    detection(&objects, &weights, &mut out);
    out.push(purity(arms, &weights));
    positions(&objects, &weights, &mut out);
    for algorithm in algorithms(arms, bands) {
        for (b, band) in bands.iter().enumerate() {
            fluxes(&objects, &algorithm, (b, band), &weights, &mut out);
        }
    }
    colours(&objects, bands, &weights, &mut out);
    misassigned(arms, bands, &weights, &mut out);
    out
}

/// Shares found, and shares merged into another's detection.
fn detection(objects: &[Object], weights: &CellWeights, out: &mut Vec<ComparedFigure>) {
    type Asks = fn(Fate) -> bool;
    let figures: [(&str, Better, Asks); 2] = [
        ("detection.completeness", Better::Higher, |fate| matches!(fate, Fate::Found(_))),
        ("deblend.unrecognised", Better::Lower, |fate| fate == Fate::Blended),
    ];
    for (name, better, is) in figures {
        for r in regimes() {
            let mut values = PairedValues::default();
            for (_, o) in objects.iter().filter(|(_, o)| (r.holds)(o, o.snr_all)) {
                values.push(o.cell, f64::from(u8::from(is(o.fates[0]))), f64::from(u8::from(is(o.fates[1]))));
            }
            // A match table without blends says nothing about them.
            if name == "detection.completeness" || values.first.iter().chain(&values.other).any(|v| *v > 0.0) {
                out.push(share(&Label { name, band: "", class: r.class, regime: &r.name, unit: "%", better }, &values, weights));
            }
        }
    }
}

/// Share of the detections that are objects. The lists of both runs differ, so cells are all that is paired.
fn purity(arms: &[PairedArm], weights: &CellWeights) -> ComparedFigure {
    let label = Label { name: "detection.purity", band: "", class: "", regime: "", unit: "%", better: Better::Higher };
    let list = |i: usize| arms.iter().flat_map(move |arm| arm.judged[i].iter().copied());
    super::paired::unpaired_share(&label, [list(0).collect(), list(1).collect()], weights)
}

/// Distances of the matches from the truth.
fn positions(objects: &[Object], weights: &CellWeights, out: &mut Vec<ComparedFigure>) {
    for r in regimes() {
        let mut values = PairedValues::default();
        for (arm, o) in objects.iter().filter(|(_, o)| (r.holds)(o, o.snr_all)) {
            let distance = |i: usize, row: usize| {
                let (ra, dec) = (arm.catalogs[i].f64("ra").ok()?[row], arm.catalogs[i].f64("dec").ok()?[row]);
                let point = arm.plane.project(ra, dec);
                Some(1e3 * (point[0] - o.point[0]).hypot(point[1] - o.point[1])).filter(|d| d.is_finite())
            };
            let Some([a, b]) = arm.rows(o) else { continue };
            if let Some((a, b)) = distance(0, a).zip(distance(1, b)) {
                values.push(o.cell, a, b);
            }
        }
        let label = Label { name: "astrometry.offset", band: "", class: r.class, regime: &r.name, unit: "mas", better: Better::Lower };
        out.push(figure(&label, &values, mean, weights, true));
    }
}

/// Flux algorithms that both catalogs have, `psf_flux` first.
fn algorithms(arms: &[PairedArm], bands: &[String]) -> Vec<String> {
    let (Some(arm), Some(band)) = (arms.first(), bands.first()) else { return Vec::new() };
    let mut names: Vec<String> = arm.catalogs[0]
        .columns()
        .iter()
        .filter_map(|c| c.name.strip_prefix(band.as_str())?.strip_prefix('_')?.strip_suffix("_err").map(str::to_owned))
        .filter(|n| n.contains("flux") && arm.catalogs[1].has(&format!("{band}_{n}_err")))
        .collect();
    names.sort_by_key(|n| n != "psf_flux");
    names
}

/// Relative error, bias and width of the pulls of one algorithm in one band.
fn fluxes(objects: &[Object], algorithm: &str, (b, band): (usize, &str), weights: &CellWeights, out: &mut Vec<ComparedFigure>) {
    let name = |what: &str| format!("photometry.{algorithm}.{what}");
    let (loss_name, bias_name, pull_name) = (name("abs_error"), name("bias"), name("pull_width"));
    // Every algorithm is compared as a whole; bins of it would drown the table.
    for r in regimes().into_iter().take(if algorithm == "psf_flux" { usize::MAX } else { 3 }) {
        let (mut losses, mut errors, mut pulls) = (PairedValues::default(), PairedValues::default(), PairedValues::default());
        let in_regime = |o: &PairedObject| o.snr[b] >= MIN_FLUX_SNR && o.flux_njy[b] > 0.0 && (r.holds)(o, o.snr[b]);
        for (arm, o) in objects.iter().filter(|(_, o)| in_regime(o)) {
            let Some(rows) = arm.rows(o) else { continue };
            let of = |i: usize| flux(arm.catalogs[i], band, algorithm, rows[i]);
            let Some((first, other)) = of(0).zip(of(1)) else { continue };
            let relative = [first, other].map(|f| f.0 / o.flux_njy[b] - 1.0);
            let loss = relative.map(|e| 100.0 * e.abs().min(MAX_RELATIVE_ERROR));
            losses.push(o.cell, loss[0], loss[1]);
            errors.push(o.cell, 100.0 * relative[0], 100.0 * relative[1]);
            let pull = [first, other].map(|f| (f.0 - o.flux_njy[b]) / f.1);
            if pull.iter().all(|p| p.is_finite()) {
                pulls.push(o.cell, pull[0], pull[1]);
            }
        }
        let label = |name, unit, better| Label { name, band, class: r.class, regime: &r.name, unit, better };
        out.push(figure(&label(&loss_name, "%", Better::Lower), &losses, mean, weights, true));
        out.push(figure(&label(&bias_name, "%", Better::NearZero), &errors, median, weights, false));
        out.push(figure(&label(&pull_name, "", Better::NearOne), &pulls, mad_std, weights, false));
    }
}

/// Errors of the colours of neighbouring bands, from PSF fluxes.
fn colours(objects: &[Object], bands: &[String], weights: &CellWeights, out: &mut Vec<ComparedFigure>) {
    for (b, pair) in bands.windows(2).enumerate() {
        for r in regimes().into_iter().take(3) {
            let mut values = PairedValues::default();
            let is_seen = |o: &PairedObject| o.snr[b].min(o.snr[b + 1]) >= MIN_FLUX_SNR && (r.holds)(o, o.snr_all);
            for (arm, o) in objects.iter().filter(|(_, o)| is_seen(o)) {
                let Some(rows) = arm.rows(o) else { continue };
                let error = |i: usize| {
                    let [blue, red] = [&pair[0], &pair[1]].map(|band| flux(arm.catalogs[i], band, "psf_flux", rows[i]).map(|f| f.0));
                    let ratio = blue? / red? * (o.flux_njy[b + 1] / o.flux_njy[b]);
                    (ratio > 0.0).then(|| (2500.0 * ratio.log10()).abs().min(1000.0))
                };
                if let Some((first, other)) = error(0).zip(error(1)) {
                    values.push(o.cell, first, other);
                }
            }
            let band = format!("{}-{}", pair[0], pair[1]);
            let label = Label {
                name: "photometry.colour.abs_error",
                band: &band,
                class: r.class,
                regime: &r.name,
                unit: "mmag",
                better: Better::Lower,
            };
            out.push(figure(&label, &values, mean, weights, true));
        }
    }
}

/// Light on the wrong side, where both runs kept truth pixels: what an object's child lacks of it, and holds of others, over its flux.
fn misassigned(arms: &[PairedArm], bands: &[String], weights: &CellWeights, out: &mut Vec<ComparedFigure>) {
    for (b, band) in bands.iter().enumerate() {
        for r in regimes() {
            let mut values = PairedValues::default();
            for arm in arms {
                let [Some(first), Some(other)] = [0, 1].map(|i| Lights::new(arm.blends[i]?, band)) else { continue };
                let is_seen = |o: &&PairedObject| o.snr[b] >= MIN_FLUX_SNR && (r.holds)(o, o.snr[b]);
                for o in arm.objects.iter().filter(is_seen) {
                    let Some(rows) = arm.rows(o) else { continue };
                    let id = |i: usize| arm.catalogs[i].i64("id").map_or(0, |ids| ids[rows[i]]);
                    if let Some((first, other)) = first.misassigned(id(0), o.id).zip(other.misassigned(id(1), o.id)) {
                        values.push(o.cell, first, other);
                    }
                }
            }
            if !values.cells.is_empty() {
                let label = Label { name: "deblend.misassigned", band, class: r.class, regime: &r.name, unit: "%", better: Better::Lower };
                out.push(figure(&label, &values, mean, weights, true));
            }
        }
    }
}

/// Rows of a table of blends in one band, by child: true object, light of it in the child, all its light \[nJy\].
struct Lights(BTreeMap<i64, Vec<(i64, f64, f64)>>);

impl Lights {
    /// None if the table says nothing about the band.
    fn new(blends: &Table, band: &str) -> Option<Self> {
        let (object, truth) = (blends.i64("object_id").ok()?, blends.i64("truth_id").ok()?);
        let (held, total) = (blends.f64(&format!("{band}_flux_held")).ok()?, blends.f64(&format!("{band}_flux_total")).ok()?);
        let mut by_child: BTreeMap<i64, Vec<(i64, f64, f64)>> = BTreeMap::new();
        for i in 0..blends.n_rows() {
            by_child.entry(object[i]).or_default().push((truth[i], held[i], total[i]));
        }
        Some(Self(by_child))
    }

    /// Per cent of the object's light, at most 100.
    fn misassigned(&self, child: i64, truth: i64) -> Option<f64> {
        let lights = self.0.get(&child)?;
        let own = lights.iter().find(|l| l.0 == truth)?;
        let received: f64 = lights.iter().filter(|l| l.0 != truth).map(|l| l.1.max(0.0)).sum();
        let share = ((own.2 - own.1).abs() + received) / own.2;
        (own.2 > 0.0 && share.is_finite()).then(|| 100.0 * share.min(MAX_RELATIVE_ERROR))
    }
}

/// The differences against S/N.
pub fn plots(figures: &[ComparedFigure], bands: &[String]) -> Vec<Plot> {
    let no_band = [String::new()];
    let wanted: [(&str, &str, Section, &str, &[String]); 3] = [
        ("detection.completeness", "compare_completeness", Section::Detection, "completeness: other - first [%]", &no_band),
        ("photometry.psf_flux.abs_error", "compare_flux_error", Section::Photometry, "mean |flux error|: other - first [%]", bands),
        ("astrometry.offset", "compare_offset", Section::Astrometry, "mean offset: other - first [mas]", &no_band),
    ];
    wanted.into_iter().filter_map(|(name, file, section, label, bands)| plot(figures, name, file, section, label, bands)).collect()
}

fn plot(figures: &[ComparedFigure], name: &str, file: &str, section: Section, y_label: &str, bands: &[String]) -> Option<Plot> {
    let mut marks = Vec::new();
    let (mut low, mut high) = (0.0f64, 0.0f64);
    for (i, band) in bands.iter().enumerate() {
        let shift = 0.03 * (i as f64 - 0.5 * (bands.len() as f64 - 1.0));
        let points: Vec<[f64; 4]> = figures
            .iter()
            .filter(|f| f.name == name && f.band == *band)
            .filter_map(|f| Some([middle(&f.regime)? + shift, f.difference?, f.lo?, f.hi?]))
            .collect();
        for p in &points {
            low = low.min(p[2]);
            high = high.max(p[3]);
        }
        marks.push(Mark { label: band.clone(), colour: COLOURS[i % COLOURS.len()], kind: MarkKind::Points(points) });
    }
    if low >= high {
        return None;
    }
    let x = (0.4, 3.5);
    marks.insert(0, Mark { label: String::new(), colour: (120, 120, 120), kind: MarkKind::Line(vec![(x.0, 0.0), (x.1, 0.0)]) });
    let margin = 0.1 * (high - low);
    let panel = Panel {
        x_label: "log10 of the true S/N".into(),
        y_label: y_label.into(),
        x,
        y: (low - margin, high + margin),
        log_y: false,
        marks,
        legend: Corner::UpperRight,
    };
    let (title, _) = y_label.split_once(':').unwrap_or((y_label, ""));
    Some(Plot {
        name: file.into(),
        section,
        title: format!("Difference in {title} against S/N"),
        caption: "Paired difference of the same true objects in bins of true S/N; bars: 95 %, from a bootstrap of sky cells.".into(),
        panels: vec![panel],
    })
}

/// Middle of `snr 5-10` in log10; the last bin is open and stands at its lower edge.
fn middle(regime: &str) -> Option<f64> {
    let (low, high) = regime.strip_prefix("snr ")?.split_once('-')?;
    let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
    Some(if high > 20.0 * low { low.log10() + 0.15 } else { 0.5 * (low * high).log10() })
}

/// Counts of better, worse and the same, of all rows that were compared.
pub fn count(figures: &[ComparedFigure]) -> [usize; 3] {
    [Change::Better, Change::Worse, Change::Same].map(|change| figures.iter().filter(|f| f.change == change).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::catalog::ColumnData;

    /// A child that holds 80 of 100 of its object and 10 of another: 30 % is on the wrong side.
    #[test]
    fn light_on_the_wrong_side() {
        let mut blends = Table::new();
        blends.push("object_id", "", "", ColumnData::I64(vec![1, 1, 2])).unwrap();
        blends.push("truth_id", "", "", ColumnData::I64(vec![5, 6, 6])).unwrap();
        blends.push("r_flux_held", "nJy", "", ColumnData::F64(vec![80.0, 10.0, 40.0])).unwrap();
        blends.push("r_flux_total", "nJy", "", ColumnData::F64(vec![100.0, 50.0, 50.0])).unwrap();
        let lights = Lights::new(&blends, "r").unwrap();
        assert!((lights.misassigned(1, 5).unwrap() - 30.0).abs() < 1e-12);
        assert!((lights.misassigned(2, 6).unwrap() - 20.0).abs() < 1e-12);
        assert!(lights.misassigned(2, 5).is_none() && lights.misassigned(3, 5).is_none());
        assert!(Lights::new(&blends, "g").is_none());
    }
}

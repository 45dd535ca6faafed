//! Blends by truth pixels: whose light each child holds, from the confusion matrices of all parents.

use super::objects::{TrueObjects, matched_pairs, wrong};
use super::{Figure, Metric};
use crate::ValidationError;
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::statistics::Replicates;
use crate::survey::Survey;
use fathom::catalog::{ColumnData, Table, TableError};
use std::collections::{BTreeMap, BTreeSet};

/// Flux that a band does not see well says nothing about who holds it: least true S/N in the band.
const MIN_SNR: f64 = 5.0;
/// Farthest neighbour looked for \[FWHM\].
const NEIGHBOUR_FWHM: f64 = 3.0;
/// Blends listed.
const N_WORST: usize = 100;

/// What a member's score is given against: name, unit, edges of the bins.
const AXES: [(&str, &str, &[f64]); 4] = [
    ("separation", " FWHM", &[0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0]),
    ("flux_ratio", "", &[0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0]),
    ("blendedness", "", &[0.0, 0.01, 0.03, 0.1, 0.3, 1.0]),
    ("snr", "", &[5.0, 10.0, 20.0, 50.0, 100.0, 1000.0]),
];

/// A matched child and its true object, in one band.
#[derive(Debug, Clone)]
struct Member {
    band: usize,
    /// Block of sky.
    block: u32,
    /// The parent has more than one child.
    is_blend: bool,
    /// Light of the object: all; on the parent's pixels; held by its child \[nJy\].
    total: f64,
    inside: f64,
    held: f64,
    /// Light that the child holds of objects that another child of the parent is matched to; of all others, unrecognised or not detectable \[nJy\].
    from_neighbours: f64,
    from_unmatched: f64,
    /// Σ (child - object)² / V over Σ share², what right shares would have; NaN if not known.
    chi2_ratio: f64,
    /// Values on [`AXES`]; NaN where there is no neighbour.
    at: [f64; 4],
}

/// One figure of a member, its name and its value.
type Score = (&'static str, fn(&Member) -> f64);

const SCORES: [Score; 5] = [
    ("lost_to_neighbours", |m| (m.inside - m.held) / m.total),
    ("outside_footprint", |m| (m.total - m.inside) / m.total),
    ("received_from_neighbours", |m| m.from_neighbours / m.total),
    ("received_from_unmatched", |m| m.from_unmatched / m.total),
    ("purity", |m| m.held / (m.held + m.from_neighbours + m.from_unmatched)),
];

/// `deblend.light.*`: medians over matched members with S/N of at least 5 in the band, `class` blended or isolated; and the worst blends.
///
/// - `lost_to_neighbours`, `outside_footprint`: light of the object that other children hold, and that lies on no pixel of the parent,
///   over its flux;
/// - `received_from_neighbours`, `received_from_unmatched`: light of objects with a child of their own, and of all others, that the
///   child holds, over the object's flux: only the first is the deblender's doing;
/// - `purity`: share of the child's light that is the object's;
/// - `misassigned_fraction`: Σ light lost to neighbours / Σ light on the parents' pixels, over blends, fluxes kept;
/// - `chi2_ratio`: Σ (child - object)²/V over the same for right shares, Σ s²; 1 is perfect (algorithms 3.2: per-object residual against truth pixels).
///
/// Not measured without truth pixels (`[truth] pixels`).
pub(crate) fn confusion(survey: &Survey, matches: &Table) -> Result<(Vec<Metric>, Vec<Plot>, Table), ValidationError> {
    let input = survey.input;
    let (mut members, mut worst) = (Vec::new(), Vec::new());
    for (i_arm, (arm, blends)) in input.arms.iter().zip(&input.assessed.blends).enumerate() {
        let Some(truth) = TrueObjects::new(input, arm)?.filter(|_| !blends.columns().is_empty()) else { continue };
        let matched = matched_pairs(matches, &arm.name)?;
        let light = ArmLight::read(&input.bands, blends).map_err(wrong(&format!("blends of {}", arm.name)))?;
        let own = Owners::new(&truth, &matched);
        for rows in light.parents() {
            light.members(rows.clone(), &truth, &own, (survey, i_arm), &mut members);
            worst.push(WorstBlend { arm: arm.name.clone(), ..light.score(rows, &truth, &own) });
        }
    }
    let metrics = metrics(&input.bands, &members, &survey.replicates);
    let plots = plot(&input.bands, &metrics).into_iter().collect();
    // What was not even recognised is no fault of the deblender.
    worst.retain(|w| w.score > 0.0 && w.n_children > 1);
    worst.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.arm.cmp(&b.arm)).then(a.parent_id.cmp(&b.parent_id)));
    worst.truncate(N_WORST);
    Ok((metrics, plots, worst_table(&worst).map_err(wrong("worst blends"))?))
}

/// The table `/blends` of an arm.
struct ArmLight<'a> {
    parent: &'a [i64],
    object: &'a [i64],
    truth: &'a [i64],
    n_children: &'a [i64],
    bands: Vec<BandColumns<'a>>,
}

struct BandColumns<'a> {
    held: &'a [f64],
    inside: &'a [f64],
    total: &'a [f64],
    blendedness: &'a [f64],
    chi2: &'a [f64],
    expected_chi2: &'a [f64],
}

/// Who is matched to whom, and where each true object stands in the truth.
struct Owners {
    truth_of: BTreeMap<i64, i64>,
    child_of: BTreeMap<i64, i64>,
    row_of: BTreeMap<i64, usize>,
}

impl Owners {
    fn new(truth: &TrueObjects, matched: &[(i64, i64)]) -> Self {
        Self {
            truth_of: matched.iter().copied().collect(),
            child_of: matched.iter().map(|&(o, t)| (t, o)).collect(),
            row_of: truth.all.iter().enumerate().map(|(i, o)| (o.id, i)).collect(),
        }
    }
}

impl<'a> ArmLight<'a> {
    fn read(bands: &[String], table: &'a Table) -> Result<Self, TableError> {
        let of_band = |b: &String| {
            let column = |name: &str| table.f64(&format!("{b}_{name}"));
            Ok(BandColumns {
                held: column("flux_held")?,
                inside: column("flux_inside")?,
                total: column("flux_total")?,
                blendedness: column("blendedness")?,
                chi2: column("chi2")?,
                expected_chi2: column("expected_chi2")?,
            })
        };
        Ok(Self {
            parent: table.i64("parent_id")?,
            object: table.i64("object_id")?,
            truth: table.i64("truth_id")?,
            n_children: table.i64("n_children")?,
            bands: bands.iter().map(of_band).collect::<Result<_, _>>()?,
        })
    }

    /// Rows of each parent.
    fn parents(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let mut start = 0;
        self.parent.chunk_by(|a, b| a == b).map(move |chunk| {
            start += chunk.len();
            start - chunk.len()..start
        })
    }

    /// Adds the matched members of one parent.
    fn members(
        &self,
        rows: std::ops::Range<usize>,
        truth: &TrueObjects,
        own: &Owners,
        (survey, arm): (&Survey, usize),
        out: &mut Vec<Member>,
    ) {
        let fwhm = survey.fwhm;
        let children: BTreeSet<i64> = rows.clone().map(|r| self.object[r]).collect();
        for row in rows.clone().filter(|&r| own.truth_of.get(&self.object[r]) == Some(&self.truth[r])) {
            let Some(&i) = own.row_of.get(&self.truth[row]) else { continue };
            let object = &truth.all[i];
            let neighbour = truth.neighbour(i, NEIGHBOUR_FWHM * fwhm);
            for (b, band) in self.bands.iter().enumerate() {
                if !(object.snr[b] >= MIN_SNR && object.is_usable && band.total[row] > 0.0) {
                    continue;
                }
                let (mut from_neighbours, mut from_unmatched) = (0.0, 0.0);
                for other in rows.clone().filter(|&r| self.object[r] == self.object[row] && r != row) {
                    let has_child = own.child_of.get(&self.truth[other]).is_some_and(|c| children.contains(c));
                    *(if has_child { &mut from_neighbours } else { &mut from_unmatched }) += band.held[other];
                }
                let expected = band.expected_chi2[row];
                out.push(Member {
                    band: b,
                    block: survey.block_of_truth(arm, i),
                    is_blend: self.n_children[row] > 1,
                    total: band.total[row],
                    inside: band.inside[row],
                    held: band.held[row],
                    from_neighbours,
                    from_unmatched,
                    chi2_ratio: if expected > 0.0 { band.chi2[row] / expected } else { f64::NAN },
                    at: [
                        neighbour.map_or(f64::NAN, |n| n.1 / fwhm),
                        neighbour.map_or(f64::NAN, |n| truth.all[n.0].flux[b] / object.flux[b]),
                        band.blendedness[row],
                        object.snr[b],
                    ],
                });
            }
        }
    }

    /// How badly the light of a parent's detectable objects is divided: √Σ (light held by others' children / σ)², over objects, children and bands.
    fn score(&self, rows: std::ops::Range<usize>, truth: &TrueObjects, own: &Owners) -> WorstBlend {
        let (mut sum, mut seen) = (0.0, BTreeSet::new());
        for row in rows.clone() {
            let Some(object) = own.row_of.get(&self.truth[row]).map(|&i| &truth.all[i]).filter(|o| o.is_detectable) else { continue };
            seen.insert(self.truth[row]);
            if own.truth_of.get(&self.object[row]) != Some(&self.truth[row]) {
                let significance = self.bands.iter().zip(&object.error).map(|(band, sigma)| (band.held[row] / sigma).powi(2));
                sum += significance.filter(|s| s.is_finite()).sum::<f64>();
            }
        }
        let (parent_id, n_children) = (self.parent[rows.start], self.n_children[rows.start]);
        WorstBlend { arm: String::new(), parent_id, score: sum.sqrt(), n_children, n_truth: seen.len() as i64 }
    }
}

/// A blend and how badly its light is divided.
struct WorstBlend {
    arm: String,
    parent_id: i64,
    score: f64,
    n_children: i64,
    n_truth: i64,
}

fn worst_table(worst: &[WorstBlend]) -> Result<Table, TableError> {
    let ints = |value: fn(&WorstBlend) -> i64| ColumnData::I64(worst.iter().map(value).collect());
    let mut table = Table::new();
    table.push("arm", "", "arm of the run", ColumnData::Text(worst.iter().map(|w| w.arm.clone()).collect()))?;
    table.push("parent_id", "", "parent", ints(|w| w.parent_id))?;
    let what =
        "root of the summed squares of (light of a detectable object held by a child not matched to it) / (its point-source flux error)";
    table.push("score", "", what, ColumnData::F64(worst.iter().map(|w| w.score).collect()))?;
    table.push("n_children", "", "children of the parent", ints(|w| w.n_children))?;
    table.push("n_truth", "", "detectable true objects with light in it", ints(|w| w.n_truth))?;
    Ok(table)
}

fn metrics(bands: &[String], members: &[Member], replicates: &Replicates) -> Vec<Metric> {
    let mut out = Vec::new();
    for (b, band) in bands.iter().enumerate() {
        for (class, is_blend) in [("blended", true), ("isolated", false)] {
            let group: Vec<&Member> = members.iter().filter(|m| m.band == b && m.is_blend == is_blend).collect();
            let mut push = |name: &str, figure, regime: &str, limit| {
                let metric = Metric::new(&format!("deblend.light.{name}"), "", figure);
                out.push(metric.band(band).class(class).regime(regime).limit(Some(limit)));
            };
            let figure = |group: &[&Member], value: fn(&Member) -> f64| {
                replicates.summary(&group.iter().map(|m| (m.block, value(m))).collect()).median
            };
            let perfect = |name: &str| f64::from(u8::from(name == "purity"));
            for (name, value) in SCORES {
                push(name, figure(&group, value), "", perfect(name));
            }
            push("chi2_ratio", figure(&group, |m| m.chi2_ratio), "", 1.0);
            if !is_blend {
                continue;
            }
            push("misassigned_fraction", misassigned(&group, replicates), "", 0.0);
            for (axis, (name, unit, edges)) in AXES.into_iter().enumerate() {
                for bin in edges.windows(2) {
                    let inside: Vec<&Member> = group.iter().filter(|m| (bin[0]..bin[1]).contains(&m.at[axis])).copied().collect();
                    let regime = format!("{name} {}-{}{unit}", bin[0], bin[1]);
                    for (score, value) in SCORES.into_iter().filter(|s| s.0 != "outside_footprint" && !inside.is_empty()) {
                        push(score, figure(&inside, value), &regime, perfect(score));
                    }
                    if !inside.is_empty() {
                        push("chi2_ratio", figure(&inside, |m| m.chi2_ratio), &regime, 1.0);
                    }
                }
            }
        }
    }
    out
}

/// Σ lost / Σ inside.
fn misassigned(group: &[&Member], replicates: &Replicates) -> Figure {
    let sums = |m: &&Member| [m.inside - m.held, m.inside];
    let all = group.iter().map(sums).fold([0.0; 2], |s, m| [s[0] + m[0], s[1] + m[1]]);
    if group.is_empty() {
        return Figure::NONE;
    }
    let entries = group.iter().flat_map(|m| sums(m).into_iter().enumerate().map(|(k, v)| (m.block, k, v))).collect();
    let (lo, hi) = replicates.interval_of(2, entries, |s| s[0] / s[1]);
    Figure { value: Some(all[0] / all[1]), lo, hi, n: group.len() as u64 }
}

/// Light lost and received against separation, and the residual against blendedness.
fn plot(bands: &[String], metrics: &[Metric]) -> Option<Plot> {
    let series = |name: &str, axis: usize, colour: usize, band: &str, label: &str| {
        let points: Vec<[f64; 4]> = AXES[axis]
            .2
            .windows(2)
            .filter_map(|bin| {
                let regime = format!("{} {}-{}{}", AXES[axis].0, bin[0], bin[1], AXES[axis].1);
                let is_it =
                    |m: &&Metric| m.name == format!("deblend.light.{name}") && m.band == band && m.class == "blended" && m.regime == regime;
                let m = metrics.iter().find(is_it).filter(|m| m.n >= 3)?;
                let x = if axis == 2 { bin[1].log10() - 0.25 } else { 0.5 * (bin[0] + bin[1]) };
                let shift = if axis == 2 { 0.04 } else { 0.03 } * (colour as f64 - 1.0);
                Some([x + shift, m.value?, m.lo.or(m.value)?, m.hi.or(m.value)?])
            })
            .collect();
        (!points.is_empty()).then(|| Mark {
            label: label.to_owned(),
            colour: COLOURS[colour % COLOURS.len()],
            kind: MarkKind::Points(points),
        })
    };
    let panel = |name: &str, axis: usize, x_label: &str, y_label: &str, x, least: f64| {
        let marks: Vec<Mark> = bands.iter().enumerate().filter_map(|(i, b)| series(name, axis, i, b, b)).collect();
        let high = marks
            .iter()
            .flat_map(|m| if let MarkKind::Points(p) = &m.kind { p.clone() } else { Vec::new() })
            .map(|p| p[3])
            .fold(least, f64::max);
        let (x_label, y_label) = (x_label.to_owned(), y_label.to_owned());
        (!marks.is_empty()).then(|| Panel {
            x_label,
            y_label,
            x,
            y: (-0.03 * high, 1.1 * high),
            log_y: false,
            marks,
            legend: Corner::UpperRight,
        })
    };
    let separation = "separation of the nearest detectable object [FWHM]";
    let panels: Vec<Panel> = [
        panel("lost_to_neighbours", 0, separation, "light lost to neighbours / flux", (0.0, 3.1), 0.05),
        panel("received_from_neighbours", 0, separation, "light received from neighbours / flux", (0.0, 3.1), 0.05),
        panel("chi2_ratio", 2, "log10 of true blendedness", "residual χ² / that of right shares", (-2.6, 0.1), 1.5),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!panels.is_empty()).then(|| Plot {
        name: "blend_light".into(),
        section: Section::Deblending,
        title: "Whose light the children hold".into(),
        caption: "Matched members of blends with S/N of at least 5 in the band, from the noiseless pixels of every true object. Left: light of the \
                  object that other children hold. Middle: light of objects with a child of their own that the child holds. Right: \
                  squared residual of the child against its object's pixels, in units of what right shares would leave. Medians, bars: 95 % (bootstrap over blocks of sky)."
            .into(),
        panels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::objects::blank_input;
    use crate::{ValidateConfig, ValidateInput};
    use approx::assert_relative_eq;

    /// A truth table of stars on a line, `x` in arcsec, S/N 100 and flux 100 each.
    fn truth(x: &[f64]) -> Table {
        let n = x.len();
        let mut t = Table::new();
        t.push("id", "", "", ColumnData::I64((1..=n as i64).collect())).unwrap();
        t.push("ra", "deg", "", ColumnData::F64(x.iter().map(|x| 150.0 + x / 3600.0).collect())).unwrap();
        t.push("dec", "deg", "", ColumnData::F64(vec![0.0; n])).unwrap();
        t.push("class", "", "", ColumnData::Text(vec!["star".into(); n])).unwrap();
        t.push("half_light_radius", "arcsec", "", ColumnData::F64(vec![0.0; n])).unwrap();
        t.push("r_flux", "nJy", "", ColumnData::F64(vec![100.0; n])).unwrap();
        t.push("r_snr_true", "", "", ColumnData::F64(vec![100.0; n])).unwrap();
        t.push("r_flux_err_limit", "nJy", "", ColumnData::F64(vec![1.0; n])).unwrap();
        t.push("is_usable", "", "", ColumnData::Bool(vec![true; n])).unwrap();
        t
    }

    /// Rows (object, truth, held, inside, total) of parent 9.
    fn blends(rows: &[(i64, i64, f64, f64, f64)]) -> Table {
        let mut t = Table::new();
        let n = rows.len();
        t.push("parent_id", "", "", ColumnData::I64(vec![9; n])).unwrap();
        t.push("object_id", "", "", ColumnData::I64(rows.iter().map(|r| r.0).collect())).unwrap();
        t.push("truth_id", "", "", ColumnData::I64(rows.iter().map(|r| r.1).collect())).unwrap();
        t.push("n_children", "", "", ColumnData::I64(vec![2; n])).unwrap();
        let mut push = |name: &str, v: Vec<f64>| t.push(&format!("r_{name}"), "", "", ColumnData::F64(v)).unwrap();
        push("flux_held", rows.iter().map(|r| r.2).collect());
        push("flux_inside", rows.iter().map(|r| r.3).collect());
        push("flux_total", rows.iter().map(|r| r.4).collect());
        push("blendedness", vec![0.2; n]);
        push("chi2", vec![30.0; n]);
        push("expected_chi2", vec![20.0; n]);
        t
    }

    fn matches(pairs: &[(i64, i64)]) -> Table {
        let mut t = Table::new();
        let n = pairs.len();
        t.push("arm", "", "", ColumnData::Text(vec!["main".into(); n])).unwrap();
        t.push("status", "", "", ColumnData::Text(vec!["matched".into(); n])).unwrap();
        t.push("object_id", "", "", ColumnData::I64(pairs.iter().map(|p| p.0).collect())).unwrap();
        t.push("truth_id", "", "", ColumnData::I64(pairs.iter().map(|p| p.1).collect())).unwrap();
        t
    }

    fn measured(input: &ValidateInput, matches: &Table) -> (Vec<Metric>, Vec<Plot>, Table) {
        confusion(&Survey::new(&ValidateConfig::default(), input).unwrap(), matches).unwrap()
    }

    fn value(metrics: &[Metric], name: &str, regime: &str) -> f64 {
        let found = metrics.iter().find(|m| m.name == format!("deblend.light.{name}") && m.class == "blended" && m.regime == regime);
        found.unwrap_or_else(|| panic!("{name} {regime}")).value.unwrap_or(f64::NAN)
    }

    /// Two members and an undetected third; every share is known by hand.
    #[test]
    fn a_blend_by_hand() {
        let mut input = blank_input("r", truth(&[0.0, 0.9, 20.0]));
        // Child 91 (of truth 1): 80 of its own, 10 of truth 2, 5 of truth 3; child 92 (of truth 2): 10 of truth 1, 70 of its own.
        input.assessed.blends = vec![blends(&[
            (91, 1, 80.0, 90.0, 100.0),
            (91, 2, 10.0, 80.0, 100.0),
            (91, 3, 5.0, 5.0, 100.0),
            (92, 1, 10.0, 90.0, 100.0),
            (92, 2, 70.0, 80.0, 100.0),
        ])];
        let (metrics, plots, worst) = measured(&input, &matches(&[(91, 1), (92, 2)]));
        assert_relative_eq!(value(&metrics, "lost_to_neighbours", ""), 0.1);
        assert_relative_eq!(value(&metrics, "outside_footprint", ""), 0.15);
        assert_relative_eq!(value(&metrics, "received_from_neighbours", ""), 0.1);
        assert_relative_eq!(value(&metrics, "received_from_unmatched", ""), 0.025);
        assert_relative_eq!(value(&metrics, "purity", ""), 0.5 * (80.0 / 95.0 + 70.0 / 80.0));
        assert_relative_eq!(value(&metrics, "misassigned_fraction", ""), 20.0 / 170.0);
        assert_relative_eq!(value(&metrics, "chi2_ratio", "flux_ratio 1-3"), 1.5);
        assert_relative_eq!(value(&metrics, "purity", "blendedness 0.1-0.3"), value(&metrics, "purity", ""));
        // Points need three members.
        assert!(plots.is_empty());
        assert_eq!((worst.n_rows(), worst.i64("parent_id").unwrap()[0], worst.i64("n_truth").unwrap()[0]), (1, 9, 3));
        // Σ (held by others)² / σ²: 10, 5 and 10.
        assert_relative_eq!(worst.f64("score").unwrap()[0], 225f64.sqrt());
    }

    /// A perfect deblender loses, receives and misassigns exactly nothing, and no blend is listed.
    #[test]
    fn a_perfect_deblender() {
        let mut input = blank_input("r", truth(&[0.0, 0.9]));
        input.assessed.blends = vec![blends(&[(91, 1, 100.0, 100.0, 100.0), (92, 2, 100.0, 100.0, 100.0)])];
        let (metrics, _, worst) = measured(&input, &matches(&[(91, 1), (92, 2)]));
        for name in
            ["lost_to_neighbours", "outside_footprint", "received_from_neighbours", "received_from_unmatched", "misassigned_fraction"]
        {
            assert_relative_eq!(value(&metrics, name, ""), 0.0);
        }
        assert_relative_eq!(value(&metrics, "purity", ""), 1.0);
        assert_eq!(worst.n_rows(), 0);
    }

    /// Without truth pixels: not measured, never 0.
    #[test]
    fn nothing_is_not_measured() {
        let input = blank_input("r", truth(&[0.0]));
        let (metrics, plots, worst) = measured(&input, &matches(&[]));
        assert!(!metrics.is_empty() && metrics.iter().all(|m| m.value.is_none()) && plots.is_empty());
        assert_eq!(worst.n_rows(), 0);
    }
}

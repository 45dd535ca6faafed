//! `fathom-parents` files: the parents whose first pixel lies in a patch, and their peaks, each with its decision.
//!
//! # Format, version 5
//!
//! Spans and peaks are stored as in [`super::layers`].
//!
//! | object | type, shape | what |
//! |---|---|---|
//! | `/parents/id` | i64 `[parent]` | ids, in the order of the run |
//! | `/parents/is_split` | u8 flag `[parent]` | 1: a piece of a whole with too many peaks |
//! | `/parents/split_from` | i64 `[parent]` | id of that whole (also that of its first piece); its own id else |
//! | `/parents/spans` | spans, one item a parent | grown pixels |
//! | `/parents/peaks` | peaks, one item a parent | final peaks, brightest first: the children |
//! | `/hypotheses/offsets` | i64 `[parent + 1]` | parent i owns the hypotheses `offsets[i]..offsets[i + 1]`, the first is that of its peaks |
//! | `/hypotheses/log_evidence` | f64 `[hypothesis]` | ln of its share among the parent's |
//! | `/hypotheses/objects/offsets` | i64 `[hypothesis + 1]` | hypothesis i owns the rows `offsets[i]..offsets[i + 1]` of `objects` |
//! | `/hypotheses/objects/layer`, `pixel_x`, `pixel_y` | u16, i32, i32 `[row]` | peaks that are its objects, by layer and pixel |
//! | `/decisions/peaks` | peaks, one item | every layer's peak as detected, every known source (layers after the last, one a list), and the patch's movers and transients (the two layers after those) |
//! | `/decisions/has_parent` | u8 flag `[peak]` | 1: lies in a parent |
//! | `/decisions/parent_id` | i64 `[peak]` | id of that parent; -1 without |
//! | `/decisions/decision` | u8 `[peak]` | 0: founded an object, 1: merged into one, 2: explained by one or several; rejected: 3: a dip of masked pixels, 4: culled, 5: neither near nor far (`lsst`), 6: low rank (`lsst`), 7: a mover or transient of the time windows, 8: noise on light that no object models (`likelihood`) |
//! | `/decisions/child` | i64 `[peak]` | index of its object among its parent's peaks; -1 if rejected |
//! | `/decisions/distance_fwhm` | f64 `[peak]` | distance to that object's founding peak, in PSF FWHM; NaN without |
//! | `/decisions/conditional_significance` | f64 `[peak]` | of what the other objects leave unexplained \[sigma\]; NaN where the rules do not ask |
//! | `/decisions/log_odds` | f64 `[peak]` | ln of the odds that it is an object of its own; NaN where the rules do not ask |
//! | `/decisions/n_explaining` | u32 `[peak]` | objects that explain it together |

use super::FormatError;
use super::flat::{offsets, put_peaks, put_spans, take_peaks, take_ranges, take_spans};
use super::hdf5_io::{About, Node};
use super::product::{self, Header};
use crate::associate::{Hypothesis, Parent, PeakDecision, PeakKey, PeakRecord, Rejection};
use crate::footprint::{Footprint, Peak};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-parents", 5);

/// Decisions by their code in the file.
const DECISIONS: [PeakDecision; 9] = [
    PeakDecision::Kept,
    PeakDecision::Merged,
    PeakDecision::Explained,
    PeakDecision::Rejected(Rejection::Masked),
    PeakDecision::Rejected(Rejection::Culled),
    PeakDecision::Rejected(Rejection::DeadZone),
    PeakDecision::Rejected(Rejection::LowRank),
    PeakDecision::Rejected(Rejection::Changing),
    PeakDecision::Rejected(Rejection::Shallow),
];

/// Writes parents and peaks.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, parents: &[Parent], peaks: &[PeakRecord]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        let group = root.create("parents")?;
        let ids: Vec<i64> = parents.iter().map(|p| p.id).collect();
        group.write_column(About::new("id", "", "id of the parent, made of its first pixel"), &ids)?;
        let split_from: Vec<i64> = parents.iter().map(|p| p.split_from.unwrap_or(p.id)).collect();
        group.write_column(About::new("split_from", "", "id of the whole from which it was split; its own id else"), &split_from)?;
        let is_split: Vec<bool> = parents.iter().map(|p| p.split_from.is_some()).collect();
        group.write_flags(About::new("is_split", "", "1: a piece of a whole with too many peaks"), &is_split)?;
        put_spans(&group, &parents.iter().map(|p| &p.footprint.spans).collect::<Vec<_>>())?;
        put_peaks(&group, "peaks", &parents.iter().map(|p| p.footprint.peaks.as_slice()).collect::<Vec<_>>())?;

        put_hypotheses(&root, parents)?;

        let group = root.create("decisions")?;
        let detected: Vec<Peak> = peaks.iter().map(|r| r.peak.clone()).collect();
        put_peaks(&group, "peaks", &[&detected])?;
        let has_parent: Vec<bool> = peaks.iter().map(|r| r.parent_id.is_some()).collect();
        group.write_flags(About::new("has_parent", "", "1: lies in a parent"), &has_parent)?;
        let parent_ids: Vec<i64> = peaks.iter().map(|r| r.parent_id.unwrap_or(-1)).collect();
        group.write_column(About::new("parent_id", "", "parent the peak lies in; -1 without"), &parent_ids)?;
        let code = |r: &PeakRecord| DECISIONS.iter().position(|d| *d == r.decision).expect("every decision has a code") as u8;
        let decisions: Vec<u8> = peaks.iter().map(code).collect();
        let meaning = "0: founded an object, 1: merged into one, 2: explained; rejected: 3: masked, 4: culled, 5: dead zone, 6: low rank, 7: changing";
        group.write_column(About::new("decision", "", meaning), &decisions)?;
        let children: Vec<i64> = peaks.iter().map(|r| r.child.map_or(-1, i64::from)).collect();
        group.write_column(About::new("child", "", "index of its object among its parent's peaks; -1 if rejected"), &children)?;
        let column = |of: fn(&PeakRecord) -> f64| -> Vec<f64> { peaks.iter().map(of).collect() };
        let about = About::new("distance_fwhm", "PSF FWHM", "distance to that object's founding peak");
        group.write_column(about, &column(|r| r.distance_fwhm))?;
        let about = About::new("conditional_significance", "sigma", "of what the other objects leave unexplained");
        group.write_column(about, &column(|r| r.conditional_significance))?;
        group.write_column(About::new("log_odds", "", "ln of the odds that it is an object of its own"), &column(|r| r.log_odds))?;
        let n_explaining: Vec<u32> = peaks.iter().map(|r| r.n_explaining).collect();
        group.write_column(About::new("n_explaining", "", "objects that explain it together"), &n_explaining)
    })
}

fn put_hypotheses(root: &Node, parents: &[Parent]) -> Result<(), FormatError> {
    let group = root.create("hypotheses")?;
    let all: Vec<&Hypothesis> = parents.iter().flat_map(|p| &p.hypotheses).collect();
    let of_parent = offsets(parents.iter().map(|p| p.hypotheses.len()));
    group.write_column(About::new("offsets", "", "first hypothesis of every parent, and their number"), &of_parent)?;
    let evidence: Vec<f64> = all.iter().map(|h| h.log_evidence).collect();
    group.write_column(About::new("log_evidence", "", "ln of its share among the parent's"), &evidence)?;
    let objects = group.create("objects")?;
    objects.write_column(
        About::new("offsets", "", "first object of every hypothesis, and their number"),
        &offsets(all.iter().map(|h| h.objects.len())),
    )?;
    let keys = || all.iter().flat_map(|h| &h.objects);
    objects.write_column(About::new("layer", "", "layer of the peak"), &keys().map(|k| k.layer).collect::<Vec<u16>>())?;
    objects.write_column(
        About::new("pixel_x", "pixel", "column of its pixel in the tract"),
        &keys().map(|k| k.pixel.0).collect::<Vec<i32>>(),
    )?;
    objects.write_column(About::new("pixel_y", "pixel", "row of its pixel in the tract"), &keys().map(|k| k.pixel.1).collect::<Vec<i32>>())
}

fn take_hypotheses(root: &Node, n_parents: usize) -> Result<Vec<Vec<Hypothesis>>, FormatError> {
    let group = root.child("hypotheses", "the group of hypotheses")?;
    let evidence = group.column::<f64>("log_evidence")?;
    let objects = group.child("objects", "the group of objects")?;
    let layer = objects.column::<u16>("layer")?;
    let (x, y) = (objects.column_of::<i32>("pixel_x", layer.len())?, objects.column_of::<i32>("pixel_y", layer.len())?);
    let rows = take_ranges(&objects, "offsets", evidence.len(), layer.len())?;
    let of_parent = take_ranges(&group, "offsets", n_parents, evidence.len())?;
    let key = |i: usize| PeakKey { layer: layer[i], pixel: (x[i], y[i]) };
    let hypothesis = |h: usize| Hypothesis { log_evidence: evidence[h], objects: rows[h].clone().map(key).collect() };
    Ok(of_parent.into_iter().map(|range| range.map(hypothesis).collect()).collect())
}

/// Reads them.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<(Vec<Parent>, Vec<PeakRecord>), FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child("parents", "the group of parents")?;
    let ids = group.column::<i64>("id")?;
    let (spans, peaks) = (take_spans(&group, ids.len())?, take_peaks(&group, "peaks", ids.len())?);
    let (split_from, is_split) = (group.column_of::<i64>("split_from", ids.len())?, group.flags_of("is_split", ids.len())?);
    let of_parent = ids.into_iter().zip(split_from.into_iter().zip(is_split));
    let sets = take_hypotheses(&root, spans.len())?;
    let parents = of_parent.zip(spans.into_iter().zip(peaks)).zip(sets).map(|(((id, (whole, is_split)), (spans, peaks)), hypotheses)| {
        Parent { id, split_from: is_split.then_some(whole), footprint: Footprint { spans, peaks }, hypotheses }
    });

    let group = root.child("decisions", "the group of decisions")?;
    let detected = take_peaks(&group, "peaks", 1)?.remove(0);
    let n = detected.len();
    let (has_parent, parent_ids) = (group.flags_of("has_parent", n)?, group.column_of::<i64>("parent_id", n)?);
    let children = group.column_of::<i64>("child", n)?;
    let [distances, conditional, log_odds] = [
        group.column_of::<f64>("distance_fwhm", n)?,
        group.column_of::<f64>("conditional_significance", n)?,
        group.column_of::<f64>("log_odds", n)?,
    ];
    let n_explaining = group.column_of::<u32>("n_explaining", n)?;
    let codes = group.column_of::<u8>("decision", n)?;
    let decision = |code: &u8| {
        let known = DECISIONS.get(usize::from(*code)).copied();
        known.ok_or_else(|| group.wrong("decision", &code.to_string(), &format!("a code below {}", DECISIONS.len())))
    };
    let decisions = codes.iter().map(decision).collect::<Result<Vec<_>, _>>()?;
    let records = detected.into_iter().enumerate().map(|(i, peak)| PeakRecord {
        peak,
        parent_id: has_parent[i].then_some(parent_ids[i]),
        decision: decisions[i],
        child: u32::try_from(children[i]).ok(),
        distance_fwhm: distances[i],
        conditional_significance: conditional[i],
        log_odds: log_odds[i],
        n_explaining: n_explaining[i],
    });
    Ok((parents.collect(), records.collect()))
}

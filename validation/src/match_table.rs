//! The table `matches`: what became of every truth object and every detection.
//!
//! One row a truth object, then one a detection that is in none of those rows, arm by arm:
//!
//! | column | what |
//! |---|---|
//! | `arm` | arm of the run |
//! | `truth_id` | truth object; of a `shred` the one that it is a piece of; 0: none |
//! | `object_id` | row of the catalog; of a `blended` truth the detection that stands for it; 0: none |
//! | `parent_id` | parent of the object; 0: none |
//! | `status` | see below |
//! | `separation_arcsec` | distance of truth and object |
//! | `ambiguity` | likelihood of the best other assignment over that of this one, 0 (sure) to 1 (a coin); NaN for what took no part |
//! | `is_ambiguous` | `ambiguity` above exp(-2): left out of figures of the regime `unambiguous` |
//!
//! `status` of a truth: `matched`; `blended` (no detection of its own, but within 1.5 match radii of `object_id`, which is another
//! truth's: an unrecognised blend); `missed`; `below_limit` (S/N below `ignore_below_snr`) and `unusable` (masked, not covered, beside a
//! real object), with the detection that they explain, if any. Of a detection: `shred`, `spurious`, `real` (the control run has it too),
//! `ignored` (explained by a truth that does not count).

use crate::matching::{DetectionFate, TruthFate};
use crate::scene::{Detection, Truth};
use crate::survey::Survey;
use fathom::catalog::{ColumnData, Table, TableError};

/// Columns in the making.
#[derive(Default)]
struct Rows {
    arm: Vec<String>,
    truth_id: Vec<i64>,
    object_id: Vec<i64>,
    parent_id: Vec<i64>,
    status: Vec<String>,
    separation: Vec<f64>,
    ambiguity: Vec<f64>,
    is_ambiguous: Vec<bool>,
}

impl Rows {
    fn push(&mut self, arm: &str, truth: Option<&Truth>, object: Option<&Detection>, status: &str, margin: f64, is_ambiguous: bool) {
        self.arm.push(arm.to_owned());
        self.truth_id.push(truth.map_or(0, |t| t.id));
        self.object_id.push(object.map_or(0, |d| d.id));
        self.parent_id.push(object.map_or(0, |d| d.parent_id));
        self.status.push(status.to_owned());
        let distance = |(t, d): (&Truth, &Detection)| (t.point[0] - d.point[0]).hypot(t.point[1] - d.point[1]);
        self.separation.push(truth.zip(object).map_or(f64::NAN, distance));
        self.ambiguity.push((-0.5 * margin).exp());
        self.is_ambiguous.push(is_ambiguous);
    }
}

/// Makes the table.
///
/// # Errors
/// [`TableError`] if columns differ in length, which they cannot.
pub(crate) fn match_table(survey: &Survey) -> Result<Table, TableError> {
    let mut rows = Rows::default();
    for (scene, matches) in survey.scenes.iter().zip(&survey.matches).filter(|(scene, _)| scene.has_truth) {
        let mut is_listed = vec![false; scene.detections.len()];
        for (i, (truth, fate)) in scene.truth.iter().zip(&matches.truth).enumerate() {
            let (object, status) = match *fate {
                TruthFate::Matched(d) => (Some(d), "matched"),
                TruthFate::Blended(d) => (Some(d), "blended"),
                TruthFate::Missed => (None, "missed"),
                TruthFate::Ignored(d) => (d, if truth.is_usable { "below_limit" } else { "unusable" }),
            };
            if let (Some(d), false) = (object, matches!(fate, TruthFate::Blended(_))) {
                is_listed[d] = true;
            }
            let object = object.map(|d| &scene.detections[d]);
            rows.push(scene.name, Some(truth), object, status, matches.margin[i], matches.is_ambiguous(i));
        }
        for ((detection, fate), is_listed) in scene.detections.iter().zip(&matches.detections).zip(is_listed) {
            let (truth, status) = match *fate {
                DetectionFate::Matched(_) => continue,
                DetectionFate::Shred(i) => (Some(&scene.truth[i]), "shred"),
                DetectionFate::Spurious => (None, "spurious"),
                DetectionFate::Real => (None, "real"),
                DetectionFate::Ignored => (None, "ignored"),
            };
            if !is_listed {
                rows.push(scene.name, truth, Some(detection), status, f64::NAN, false);
            }
        }
    }
    let mut table = Table::new();
    table.push("arm", "", "arm of the run", ColumnData::Text(rows.arm))?;
    table.push("truth_id", "", "truth object; of a shred the one that it is a piece of; 0: none", ColumnData::I64(rows.truth_id))?;
    table.push("object_id", "", "row of the catalog; of a blended truth what stands for it; 0: none", ColumnData::I64(rows.object_id))?;
    table.push("separation_arcsec", "arcsec", "distance of truth and object", ColumnData::F64(rows.separation))?;
    let states = "truth: matched, blended, missed, below_limit, unusable; detection: shred, spurious, real, ignored";
    table.push("status", "", states, ColumnData::Text(rows.status))?;
    table.push("parent_id", "", "parent of the object; 0: none", ColumnData::I64(rows.parent_id))?;
    table.push("ambiguity", "", "likelihood of the best other assignment over this one's", ColumnData::F64(rows.ambiguity))?;
    table.push("is_ambiguous", "", "ambiguity above exp(-2)", ColumnData::Bool(rows.is_ambiguous))?;
    Ok(table)
}

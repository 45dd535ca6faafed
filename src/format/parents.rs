//! `fathom-parents` files: parents of the tract, and every peak with its decision.
//!
//! # Format, version 2
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
//! | `/decisions/peaks` | peaks, one item | every layer's good peak, as detected |
//! | `/decisions/parent_id` | i64 `[peak]` | parent it lies in |
//! | `/decisions/is_kept` | u8 flag `[peak]` | 1: founded an object; 0: merged into one |
//! | `/decisions/child` | u32 `[peak]` | index of that object among its parent's peaks |
//! | `/decisions/distance_fwhm` | f64 `[peak]` | distance to that object's founding peak, in PSF FWHM |

use super::FormatError;
use super::flat::{put_peaks, put_spans, take_peaks, take_spans};
use super::hdf5_io::{About, Node};
use super::product::{self, Header};
use crate::associate::{Parent, PeakDecision, PeakRecord};
use crate::footprint::{Footprint, Peak};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-parents", 2);

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

        let group = root.create("decisions")?;
        let detected: Vec<Peak> = peaks.iter().map(|r| r.peak.clone()).collect();
        put_peaks(&group, "peaks", &[&detected])?;
        let parent_ids: Vec<i64> = peaks.iter().map(|r| r.parent_id).collect();
        group.write_column(About::new("parent_id", "", "parent the peak lies in"), &parent_ids)?;
        let is_kept: Vec<bool> = peaks.iter().map(|r| r.decision == PeakDecision::Kept).collect();
        group.write_flags(About::new("is_kept", "", "1: founded an object; 0: merged into one"), &is_kept)?;
        let children: Vec<u32> = peaks.iter().map(|r| r.child).collect();
        group.write_column(About::new("child", "", "index of that object among its parent's peaks"), &children)?;
        let distances: Vec<f64> = peaks.iter().map(|r| r.distance_fwhm).collect();
        group.write_column(About::new("distance_fwhm", "PSF FWHM", "distance to that object's founding peak"), &distances)
    })
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
    let parents = of_parent.zip(spans.into_iter().zip(peaks)).map(|((id, (whole, is_split)), (spans, peaks))| Parent {
        id,
        split_from: is_split.then_some(whole),
        footprint: Footprint { spans, peaks },
    });

    let group = root.child("decisions", "the group of decisions")?;
    let detected = take_peaks(&group, "peaks", 1)?.remove(0);
    let n = detected.len();
    let parent_ids = group.column_of::<i64>("parent_id", n)?;
    let (is_kept, children) = (group.flags_of("is_kept", n)?, group.column_of::<u32>("child", n)?);
    let distances = group.column_of::<f64>("distance_fwhm", n)?;
    let records = detected.into_iter().enumerate().map(|(i, peak)| PeakRecord {
        peak,
        parent_id: parent_ids[i],
        decision: if is_kept[i] { PeakDecision::Kept } else { PeakDecision::Merged },
        child: children[i],
        distance_fwhm: distances[i],
    });
    Ok((parents.collect(), records.collect()))
}

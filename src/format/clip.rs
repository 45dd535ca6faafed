//! `fathom-clip` files: what the clip phase decided about the artifacts of an arm.
//!
//! # Format, version 1
//!
//! Root attributes `bands` (texts, in order), `n_bands` (u64). Group `/<band>` for every band of the run:
//! - table ([`super::table`]) `exposures`: `id`, all exposures of the band, in order;
//! - table `footprints`, one row a footprint of an exposure: `exposure` (row of `exposures`), `class`, `action` (`exclude`, `flag`, `leave`), `reason`
//!   (texts), `is_positive`, `x`, `y` (its best pixel on the tract), `n_pixels` (tract pixels, before growth), `n_epochs` (exposures of the place),
//!   `n_with` (those that have a footprint here), `snr`, `sharp_snr`;
//! - table `spans`, runs of *exposure* pixels by exposure, kind, row, column: `exposure`, `is_excluded` (true: `CLIPPED`, left out of every coadd;
//!   false: `SUSPECT`), `y`, `x0`, `x1` (last column, included).

use super::FormatError;
use super::artifacts::ids_table;
use super::hdf5_io::Node;
use super::product::{self, Header};
use super::table;
use crate::artifacts::{ClippedFootprint, ExposureClips};
use crate::catalog::{ColumnData, Table, TableError};
use crate::footprint::{Span, SpanSet};
use crate::image::ExposureId;
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-clip", 1);

/// Decisions of one band.
#[derive(Debug, Clone, PartialEq)]
pub struct BandClips {
    /// Band.
    pub band: String,
    /// Exposures, with what becomes of their pixels.
    pub exposures: Vec<(ExposureId, ExposureClips)>,
    /// All footprints.
    pub footprints: Vec<ClippedFootprint>,
}

/// Writes the decisions of all bands.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[BandClips]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        root.put_texts("bands", bands.iter().map(|b| b.band.as_str()))?;
        for clips in bands {
            let group = root.create(&clips.band)?;
            let ids: Vec<ExposureId> = clips.exposures.iter().map(|(id, _)| id.clone()).collect();
            table::put(&group, "exposures", &ids_table(&ids))?;
            table::put(&group, "footprints", &footprints_table(&clips.footprints))?;
            table::put(&group, "spans", &spans_table(&clips.exposures))?;
        }
        Ok(())
    })
}

/// Reads what becomes of the pixels of one band's exposures.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, band: &str) -> Result<BTreeMap<ExposureId, ExposureClips>, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let group = root.child(band, "the clips of the band")?;
    let wrong = |e: TableError| group.wrong("spans", &e.to_string(), "the columns of this format");
    let exposures = table::take(&group, "exposures", None)?;
    let ids = exposures.text("id").map_err(wrong)?;
    let spans = table::take(&group, "spans", None)?;
    let (exposure, is_excluded) = (spans.i64("exposure").map_err(wrong)?, spans.bool("is_excluded").map_err(wrong)?);
    let [y, x0, x1] = ["y", "x0", "x1"].map(|name| spans.i64(name).map_err(wrong));
    let (y, x0, x1) = (y?, x0?, x1?);
    let mut sets = vec![(Vec::new(), Vec::new()); ids.len()];
    for (i, &e) in exposure.iter().enumerate() {
        let of_exposure = sets.get_mut(e as usize).ok_or_else(|| group.wrong("spans/exposure", &e.to_string(), "a row of exposures"))?;
        let span = Span { y: y[i] as i32, x0: x0[i] as i32, x1: x1[i] as i32 };
        if is_excluded[i] { of_exposure.0.push(span) } else { of_exposure.1.push(span) }
    }
    let clips = |(excluded, suspect)| ExposureClips { excluded: SpanSet::from_spans(excluded), suspect: SpanSet::from_spans(suspect) };
    Ok(ids.iter().map(|id| ExposureId(id.clone())).zip(sets.into_iter().map(clips)).collect())
}

/// The table of footprints of one band.
///
/// # Errors
/// [`FormatError`].
pub fn read_footprints(path: &Path, band: &str) -> Result<Table, FormatError> {
    table::take(&Node::open(path, Some(FORMAT))?.child(band, "the clips of the band")?, "footprints", None)
}

fn table_of<const N: usize>(columns: [(&str, &str, &str, ColumnData); N]) -> Table {
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("columns of one length");
    }
    table
}

fn footprints_table(footprints: &[ClippedFootprint]) -> Table {
    let whole = |value: fn(&ClippedFootprint) -> i64| ColumnData::I64(footprints.iter().map(value).collect());
    let real = |value: fn(&ClippedFootprint) -> f64| ColumnData::F64(footprints.iter().map(value).collect());
    let text = |value: fn(&ClippedFootprint) -> &str| ColumnData::Text(footprints.iter().map(|f| value(f).to_owned()).collect());
    table_of([
        ("exposure", "", "row of the table exposures", whole(|f| f.exposure as i64)),
        ("class", "", "what it is taken for", text(|f| f.class.name())),
        ("action", "", "what becomes of its pixels", text(|f| f.action.name())),
        ("reason", "", "why it is taken for that", text(|f| f.class.reason())),
        (
            "is_positive",
            "",
            "the exposure has more than the static sky",
            ColumnData::Bool(footprints.iter().map(|f| f.is_positive).collect()),
        ),
        ("x", "pixel", "column of its best pixel on the tract", whole(|f| f.x.into())),
        ("y", "pixel", "row", whole(|f| f.y.into())),
        ("n_pixels", "", "tract pixels, before growth", whole(|f| f.n_pixels as i64)),
        ("n_epochs", "", "exposures of the place", whole(|f| f.n_epochs.into())),
        ("n_with", "", "exposures with a footprint here", whole(|f| f.n_with.into())),
        ("snr", "", "significance of its best pixel", real(|f| f.snr)),
        ("sharp_snr", "", "by how much it is sharper than the PSF allows, in sigma", real(|f| f.sharp_snr)),
    ])
}

fn spans_table(exposures: &[(ExposureId, ExposureClips)]) -> Table {
    let (mut exposure, mut is_excluded, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (_, clips)) in exposures.iter().enumerate() {
        for (set, excluded) in [(&clips.excluded, true), (&clips.suspect, false)] {
            spans.extend_from_slice(set.spans());
            exposure.resize(spans.len(), i as i64);
            is_excluded.resize(spans.len(), excluded);
        }
    }
    let whole = |value: fn(&Span) -> i32| ColumnData::I64(spans.iter().map(|s| value(s).into()).collect());
    table_of([
        ("exposure", "", "row of the table exposures", ColumnData::I64(exposure)),
        ("is_excluded", "", "left out of every coadd; else flagged", ColumnData::Bool(is_excluded)),
        ("y", "pixel", "row on the exposure", whole(|s| s.y)),
        ("x0", "pixel", "first column", whole(|s| s.x0)),
        ("x1", "pixel", "last column, included", whole(|s| s.x1)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{Action, ArtifactClass};

    #[test]
    fn clips_come_back_as_they_were_written() {
        let set = |y: i32| SpanSet::from_spans(vec![Span { y, x0: 3, x1: 9 }, Span { y: y + 1, x0: 4, x1: 4 }]);
        let clips = |excluded: SpanSet, suspect: SpanSet| ExposureClips { excluded, suspect };
        let exposures = vec![
            (ExposureId("a".into()), clips(set(5), SpanSet::default())),
            (ExposureId("b".into()), ExposureClips::default()),
            (ExposureId("c".into()), clips(set(7), set(20))),
        ];
        let footprint = ClippedFootprint {
            exposure: 2,
            class: ArtifactClass::Streak,
            action: Action::Exclude,
            is_positive: true,
            x: 4,
            y: -2,
            n_pixels: 11,
            n_epochs: 3,
            n_with: 1,
            snr: 7.5,
            sharp_snr: 0.0,
            spans: SpanSet::default(),
        };
        let band = BandClips { band: "r".into(), exposures: exposures.clone(), footprints: vec![footprint] };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.h5");
        write(&path, "k", &[band]).unwrap();
        assert_eq!(read(&path, "r").unwrap(), exposures.into_iter().collect());
        let footprints = read_footprints(&path, "r").unwrap();
        assert_eq!((footprints.text("class").unwrap()[0].as_str(), footprints.i64("y").unwrap()[0]), ("streak", -2));
        assert!(read(&path, "g").is_err());
    }
}

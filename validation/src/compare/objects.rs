//! True objects paired with themselves in two runs, and what each run made of them.

use super::{ArmTables, CELL_ARCSEC, CompareError};
use crate::neighbours::Neighbours;
use crate::tangent_plane::TangentPlane;
use fathom::catalog::{ColumnData, Table, TableError};
use std::collections::BTreeMap;

/// S/N of a neighbour that spoils isolation, within 3 FWHM.
const ISOLATION: (f64, f64) = (2.0, 3.0);
/// S/N of a neighbour that makes a blend, within 2 FWHM.
const BLEND: (f64, f64) = (5.0, 2.0);

/// What a run made of a true object that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Matched to the catalog row of this index.
    Found(usize),
    /// Merged with another object into one detection.
    Blended,
    /// Not there.
    Missed,
}

impl Fate {
    pub fn name(self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Blended => "blended",
            Self::Missed => "missed",
        }
    }
}

/// A true object that counts in both runs.
#[derive(Debug, Clone)]
pub struct PairedObject {
    /// Row of the truth tables.
    pub truth_row: usize,
    pub id: i64,
    pub class: String,
    /// Cell of the sky.
    pub cell: i64,
    /// Point on a tangent plane \[arcsec\].
    pub point: [f64; 2],
    /// True S/N of all bands, and of each; NaN without data.
    pub snr_all: f64,
    pub snr: Vec<f64>,
    /// True flux per band \[nJy\].
    pub flux_njy: Vec<f64>,
    pub is_isolated: bool,
    pub is_blended: bool,
    /// In the first and the other run.
    pub fates: [Fate; 2],
}

/// A detection that purity judges: its cell, and whether it is an object.
pub type Judged = (i64, bool);

/// One arm of both runs.
pub struct PairedArm<'a> {
    pub name: &'a str,
    pub truth: &'a Table,
    pub catalogs: [&'a Table; 2],
    pub blends: [Option<&'a Table>; 2],
    pub objects: Vec<PairedObject>,
    /// Of the first and the other run.
    pub judged: [Vec<Judged>; 2],
    pub plane: TangentPlane,
}

impl<'a> PairedArm<'a> {
    /// Pairs the objects of an arm: (name of the run, its tables) of the first and the other run.
    pub fn new(runs: [(&str, &'a ArmTables); 2], bands: &[String], fwhm_arcsec: f64) -> Result<Self, CompareError> {
        let [(_, first), (_, other)] = runs;
        let wrong = |run: &str, what: &'static str| {
            let run = run.to_owned();
            move |source| CompareError::Table { run, what, source }
        };
        let ids = |i: usize| runs[i].1.truth.i64("id").map_err(wrong(runs[i].0, "truth"));
        if ids(0)? != ids(1)? {
            let describe = |i: usize| Ok::<_, CompareError>(format!("{} objects", ids(i)?.len()));
            return Err(CompareError::OtherPixels {
                first: runs[0].0.to_owned(),
                other: runs[1].0.to_owned(),
                what: format!("the truth of arm {}", first.name),
                found: describe(1)?,
                expected: format!("the same {}", describe(0)?),
            });
        }
        let (ra, dec) = positions(&first.truth).map_err(wrong(runs[0].0, "truth"))?;
        let plane = TangentPlane::at_mean(ra.iter().copied().zip(dec.iter().copied()));
        let fates = runs.map(|(name, arm)| fates(arm, &plane).map_err(wrong(name, "matches or catalog")));
        let [(fates_first, judged_first), (fates_other, judged_other)] = match fates {
            [Ok(a), Ok(b)] => [a, b],
            [Err(e), _] | [_, Err(e)] => return Err(e),
        };
        let mut objects = truth_objects(&first.truth, bands, &plane, fwhm_arcsec).map_err(wrong(runs[0].0, "truth"))?;
        objects.retain_mut(|o| {
            let both = fates_first.get(&o.id).copied().zip(fates_other.get(&o.id).copied());
            if let Some((a, b)) = both {
                o.fates = [a, b];
            }
            both.is_some()
        });
        Ok(Self {
            name: &first.name,
            truth: &first.truth,
            catalogs: [&first.catalog, &other.catalog],
            blends: [first.blends.as_ref(), other.blends.as_ref()],
            objects,
            judged: [judged_first, judged_other],
            plane,
        })
    }

    /// Rows of both catalogs that an object is found in.
    pub fn rows(&self, object: &PairedObject) -> Option<[usize; 2]> {
        match object.fates {
            [Fate::Found(a), Fate::Found(b)] => Some([a, b]),
            _ => None,
        }
    }
}

fn positions(table: &Table) -> Result<(&[f64], &[f64]), TableError> {
    Ok((table.f64("ra")?, table.f64("dec")?))
}

/// Cell of a point on the plane: column and row in one number.
fn cell_of(point: [f64; 2]) -> i64 {
    let [x, y] = point.map(|v| (v / CELL_ARCSEC).floor() as i64);
    (y << 32) + x
}

fn truth_objects(table: &Table, bands: &[String], plane: &TangentPlane, fwhm_arcsec: f64) -> Result<Vec<PairedObject>, TableError> {
    let per_band = |suffix: &str| bands.iter().map(|b| table.f64(&format!("{b}_{suffix}"))).collect::<Result<Vec<_>, _>>();
    let (snr, flux) = (per_band("snr_true")?, per_band("flux")?);
    let (id, class, (ra, dec)) = (table.i64("id")?, table.text("class")?, positions(table)?);
    let mut objects: Vec<PairedObject> = (0..table.n_rows())
        .map(|i| {
            let point = plane.project(ra[i], dec[i]);
            let snr: Vec<f64> = snr.iter().map(|c| c[i]).collect();
            PairedObject {
                truth_row: i,
                id: id[i],
                class: class[i].clone(),
                cell: cell_of(point),
                point,
                // max() ignores NaN: a band without data adds nothing.
                snr_all: snr.iter().map(|s| s.max(0.0).powi(2)).sum::<f64>().sqrt(),
                snr,
                flux_njy: flux.iter().map(|c| c[i]).collect(),
                is_isolated: false,
                is_blended: false,
                fates: [Fate::Missed; 2],
            }
        })
        .collect();
    let near = Neighbours::new(objects.iter().map(|o| o.point));
    let has = |i: usize, (snr, fwhm): (f64, f64)| {
        near.within(objects[i].point, fwhm * fwhm_arcsec).into_iter().any(|(j, _)| j != i && objects[j].snr_all >= snr)
    };
    let flags: Vec<(bool, bool)> = (0..objects.len()).map(|i| (!has(i, ISOLATION), has(i, BLEND))).collect();
    for (object, flags) in objects.iter_mut().zip(flags) {
        (object.is_isolated, object.is_blended) = flags;
    }
    Ok(objects)
}

/// Fate of every truth that counts, by id, and the detections that purity judges.
fn fates(arm: &ArmTables, plane: &TangentPlane) -> Result<(BTreeMap<i64, Fate>, Vec<Judged>), TableError> {
    let (truth_id, object_id, status) = (arm.matches.i64("truth_id")?, arm.matches.i64("object_id")?, arm.matches.text("status")?);
    let catalog = &arm.catalog;
    let mut row_of = BTreeMap::new();
    let mut cells = Vec::new();
    if !catalog.columns().is_empty() {
        let (ra, dec) = positions(catalog)?;
        row_of = catalog.i64("id")?.iter().enumerate().map(|(row, id)| (*id, row)).collect();
        cells = ra.iter().zip(dec).map(|(ra, dec)| cell_of(plane.project(*ra, *dec))).collect();
    }
    let (mut fates, mut judged) = (BTreeMap::new(), Vec::new());
    for ((truth, object), status) in truth_id.iter().zip(object_id).zip(status) {
        let row = row_of.get(object).copied();
        let (fate, is_object) = match (status.as_str(), row) {
            ("matched", Some(row)) => (Some(Fate::Found(row)), Some(true)),
            ("blended", _) => (Some(Fate::Blended), None),
            ("missed", _) => (Some(Fate::Missed), None),
            ("spurious" | "shred", Some(_)) => (None, Some(false)),
            _ => (None, None),
        };
        if let Some(fate) = fate {
            fates.insert(*truth, fate);
        }
        if let Some((row, is_object)) = row.zip(is_object) {
            judged.push((cells[row], is_object));
        }
    }
    Ok((fates, judged))
}

/// One row a true object that counts in both runs: `arm`, `truth_id`, `ra`, `dec`, `class`, `snr`, `first`, `other` (found, blended or
/// missed), and per band the relative errors of the PSF flux, `<band>_error_first` and `<band>_error_other`; NaN where not found.
pub fn table(arms: &[PairedArm], bands: &[String]) -> Table {
    let all: Vec<(&PairedArm, &PairedObject)> = arms.iter().flat_map(|arm| arm.objects.iter().map(move |o| (arm, o))).collect();
    let sky = |arm: &PairedArm, o: &PairedObject, name: &str| arm.truth.f64(name).map_or(f64::NAN, |v| v[o.truth_row]);
    let text = |value: &dyn Fn(&PairedArm, &PairedObject) -> String| ColumnData::Text(all.iter().map(|(a, o)| value(a, o)).collect());
    let real = |value: &dyn Fn(&PairedArm, &PairedObject) -> f64| ColumnData::F64(all.iter().map(|(a, o)| value(a, o)).collect());
    let mut table = Table::new();
    let mut push = |name: &str, unit: &str, description: &str, data: ColumnData| {
        table.push(name, unit, description, data).expect("one row an object");
    };
    push("arm", "", "arm of the run", text(&|a, _| a.name.to_owned()));
    push("truth_id", "", "truth", ColumnData::I64(all.iter().map(|(_, o)| o.id).collect()));
    push("ra", "deg", "true right ascension", real(&|a, o| sky(a, o, "ra")));
    push("dec", "deg", "true declination", real(&|a, o| sky(a, o, "dec")));
    push("class", "", "class of the truth", text(&|_, o| o.class.clone()));
    push("snr", "", "true S/N of all bands", real(&|_, o| o.snr_all));
    for (i, name) in ["first", "other"].into_iter().enumerate() {
        push(name, "", "found, blended or missed", text(&|_, o| o.fates[i].name().to_owned()));
        for (b, band) in bands.iter().enumerate() {
            let error = |arm: &PairedArm, o: &PairedObject| match o.fates[i] {
                Fate::Found(row) => flux(arm.catalogs[i], band, "psf_flux", row).map_or(f64::NAN, |f| f.0 / o.flux_njy[b] - 1.0),
                _ => f64::NAN,
            };
            push(&format!("{band}_error_{name}"), "", "(measured - true) / true PSF flux", real(&error));
        }
    }
    table
}

/// Flux and its error of a catalog row \[nJy\]; none if flagged or not finite.
pub fn flux(catalog: &Table, band: &str, algorithm: &str, row: usize) -> Option<(f64, f64)> {
    let name = format!("{band}_{algorithm}");
    let value = catalog.f64(&name).ok()?[row];
    let sigma = catalog.f64(&format!("{name}_err")).ok()?[row];
    let is_flagged = catalog.bool(&format!("{name}_flag")).is_ok_and(|f| f[row]);
    (!is_flagged && value.is_finite()).then_some((value, sigma))
}

//! `fathom-solution` files, what the solve phase makes of an arm; and `fathom-background` files, the improved backgrounds.
//!
//! # Format `fathom-solution`, version 1
//!
//! Root attributes `bands` (texts), `n_bands` (u64). Group `/<band>`: attributes `n_rejected` (u64: samples left out), `residual_scatter`
//! (f64, robust, in errors), `n_iterations` (u64), `amplifiers` (u64 `[2]`, columns and rows), `order` (u64); and
//! - table ([`super::table`]) `exposures`: `id`, `group` (connected exposures have the same number), `is_reference` (its polynomial is held at
//!   zero; a group without one has the template for its reference), `n_samples` (superpixels' amplifiers used), `level` (counts above which its coefficients count);
//! - dataset `coefficients` (f64 `[exposure, term]`, adu): Chebyshev polynomials by rows of total order, then a step of every amplifier but
//!   the first ([`crate::background::DetectorBasis`]);
//! - table `sky`: `group`, `row`, `column` (superpixel), `x`, `y` (tract pixel), `level`, `level_err` (nJy per tract pixel): the deep image less
//!   every exposure's difference.
//!
//! # Format `fathom-background`, version 1
//!
//! Group `/<band>`: attribute `n_groups` (u64); groups `deep_<i>` with the polynomial of group i over the tract ([`super::exposure`];
//! nJy per tract pixel) and the attributes `n_used`, `n_superpixels` (u64), `scatter_njy` (f64), absent where there was no superpixel; group
//! `exposures/<id>` with the polynomial of an exposure (adu) and dataset `steps` (f64 `[n, 5]`: x0, y0, width, height of a box, counts added).

use super::FormatError;
use super::calibration::{put_chebyshev, take_chebyshev};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use super::table;
use crate::background::{BandSolution, DeepModel, DetectorModel, MatchGroup, SkySample};
use crate::catalog::{ColumnData, Table, TableError};
use crate::geometry::{Box2, PixelPoint};
use crate::image::ExposureId;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::path::Path;

const SOLUTION: (&str, u32) = ("fathom-solution", 1);
const BACKGROUND: (&str, u32) = ("fathom-background", 1);

/// Differences of one band, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSolution {
    /// Band.
    pub band: String,
    /// Exposures, in the order of the solution.
    pub exposures: Vec<ExposureId>,
    /// Level above which each exposure's coefficients count \[counts\].
    pub levels_adu: Vec<f64>,
    /// Total order of the polynomials.
    pub order: usize,
    /// Amplifiers, columns and rows.
    pub amplifiers: [usize; 2],
    /// The solution.
    pub solution: BandSolution,
}

/// Improved backgrounds of one band.
#[derive(Debug, Clone, PartialEq)]
pub struct BandBackground {
    /// Band.
    pub band: String,
    /// Background of the deep image of each group of exposures.
    pub deep: Vec<Option<DeepModel>>,
    /// Background of each exposure \[counts\].
    pub exposures: BTreeMap<ExposureId, DetectorModel>,
}

/// Writes the solutions of all bands.
///
/// # Errors
/// [`FormatError`].
pub fn write_solution(path: &Path, key: &str, bands: &[StoredSolution]) -> Result<(), FormatError> {
    let header = Header { format: SOLUTION.0, version: SOLUTION.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        root.put_texts("bands", bands.iter().map(|b| b.band.as_str()))?;
        for stored in bands {
            let group = root.create(&stored.band)?;
            let s = &stored.solution;
            group.put("n_rejected", s.n_rejected as u64)?;
            group.put("residual_scatter", s.residual_scatter)?;
            group.put("n_iterations", s.n_iterations as u64)?;
            group.put_list("amplifiers", &stored.amplifiers.map(|n| n as u64))?;
            group.put("order", stored.order as u64)?;
            table::put(&group, "exposures", &exposures_table(stored))?;
            let n_terms = s.coefficients_adu.first().map_or(0, Vec::len);
            let coefficients = Array2::from_shape_fn((s.coefficients_adu.len(), n_terms), |(i, k)| s.coefficients_adu[i][k]);
            let about = About::new("coefficients", "adu", "polynomials, then steps of the amplifiers but the first [exposure, term]");
            group.write(about, coefficients.view(), Storage::Plain)?;
            table::put(&group, "sky", &sky_table(&s.sky))?;
        }
        Ok(())
    })
}

/// Reads the solution of one band.
///
/// # Errors
/// [`FormatError`].
pub fn read_solution(path: &Path, band: &str) -> Result<StoredSolution, FormatError> {
    let root = Node::open(path, Some(SOLUTION))?;
    let group = root.child(band, "the solution of the band")?;
    let wrong = |e: TableError| group.wrong("exposures", &e.to_string(), "the columns of this format");
    let exposures = table::take(&group, "exposures", None)?;
    let coefficients: Array2<f64> = group.read("coefficients")?;
    if coefficients.nrows() != exposures.n_rows() {
        let expected = format!("{}, the number of exposures", exposures.n_rows());
        return Err(group.wrong("coefficients", &format!("of {} rows", coefficients.nrows()), &expected));
    }
    let in_group = exposures.i64("group").map_err(wrong)?;
    let is_reference = exposures.bool("is_reference").map_err(wrong)?;
    let n_groups = in_group.iter().max().map_or(0, |g| *g as usize + 1);
    let match_group = |g: usize| {
        let members: Vec<usize> = (0..in_group.len()).filter(|&i| in_group[i] == g as i64).collect();
        MatchGroup { reference: members.iter().copied().find(|&i| is_reference[i]), members }
    };
    Ok(StoredSolution {
        band: band.to_owned(),
        exposures: exposures.text("id").map_err(wrong)?.iter().map(|id| ExposureId(id.clone())).collect(),
        levels_adu: exposures.f64("level").map_err(wrong)?.to_vec(),
        order: group.count("order")? as usize,
        amplifiers: group.numbers::<2>("amplifiers")?.map(|n| n as usize),
        solution: BandSolution {
            groups: (0..n_groups).map(match_group).collect(),
            coefficients_adu: coefficients.rows().into_iter().map(|row| row.to_vec()).collect(),
            sky: sky_of(&table::take(&group, "sky", None)?).map_err(wrong)?,
            n_samples: exposures.i64("n_samples").map_err(wrong)?.iter().map(|n| *n as usize).collect(),
            n_rejected: group.count("n_rejected")? as usize,
            residual_scatter: group.number("residual_scatter")?,
            n_iterations: group.count("n_iterations")? as usize,
        },
    })
}

fn table_of<const N: usize>(columns: [(&str, &str, &str, ColumnData); N]) -> Table {
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        table.push(name, unit, description, data).expect("columns of one length");
    }
    table
}

fn exposures_table(stored: &StoredSolution) -> Table {
    let s = &stored.solution;
    let mut in_group = vec![0; stored.exposures.len()];
    s.groups.iter().enumerate().for_each(|(g, group)| group.members.iter().for_each(|m| in_group[*m] = g as i64));
    let is_reference = (0..in_group.len()).map(|i| s.groups.iter().any(|g| g.reference == Some(i))).collect();
    table_of([
        ("id", "", "exposure", ColumnData::Text(stored.exposures.iter().map(|id| id.0.clone()).collect())),
        ("group", "", "exposures that differences connect have the same number", ColumnData::I64(in_group)),
        ("is_reference", "", "its polynomial is held at zero", ColumnData::Bool(is_reference)),
        ("n_samples", "", "samples used", ColumnData::I64(s.n_samples.iter().map(|n| *n as i64).collect())),
        ("level", "adu", "level above which the coefficients count", ColumnData::F64(stored.levels_adu.clone())),
    ])
}

fn sky_table(sky: &[SkySample]) -> Table {
    let real = |value: fn(&SkySample) -> f64| ColumnData::F64(sky.iter().map(value).collect());
    table_of([
        ("group", "", "group of exposures", ColumnData::I64(sky.iter().map(|s| s.group as i64).collect())),
        ("row", "", "row of the superpixel in the tract", ColumnData::I64(sky.iter().map(|s| s.superpixel.0.into()).collect())),
        ("column", "", "column of the superpixel", ColumnData::I64(sky.iter().map(|s| s.superpixel.1.into()).collect())),
        ("x", "pixel", "mean column of the pixels on the tract", real(|s| s.at.x)),
        ("y", "pixel", "mean row of the pixels on the tract", real(|s| s.at.y)),
        ("level", "nJy", "sky left per tract pixel", real(|s| s.level_njy)),
        ("level_err", "nJy", "its error, of the noise alone", real(|s| s.error_njy)),
    ])
}

fn sky_of(table: &Table) -> Result<Vec<SkySample>, TableError> {
    let (group, row, column) = (table.i64("group")?, table.i64("row")?, table.i64("column")?);
    let (x, y, level, error) = (table.f64("x")?, table.f64("y")?, table.f64("level")?, table.f64("level_err")?);
    let sample = |i: usize| SkySample {
        group: group[i] as usize,
        superpixel: (row[i] as i32, column[i] as i32),
        at: PixelPoint::new(x[i], y[i]),
        level_njy: level[i],
        error_njy: error[i],
    };
    Ok((0..table.n_rows()).map(sample).collect())
}

/// Writes the improved backgrounds of all bands.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[BandBackground]) -> Result<(), FormatError> {
    let header = Header { format: BACKGROUND.0, version: BACKGROUND.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        for band in bands {
            let group = root.create(&band.band)?;
            group.put("n_groups", band.deep.len() as u64)?;
            for (i, deep) in band.deep.iter().enumerate() {
                let Some(deep) = deep else { continue };
                let node = group.create(&format!("deep_{i}"))?;
                put_chebyshev(&node, &deep.model_njy, "nJy")?;
                node.put("n_used", deep.n_used as u64)?;
                node.put("n_superpixels", deep.n_superpixels as u64)?;
                node.put("scatter_njy", deep.scatter_njy)?;
            }
            let exposures = group.create("exposures")?;
            for (id, model) in &band.exposures {
                let node = exposures.create(&id.0)?;
                put_chebyshev(&node, &model.smooth_adu, "adu")?;
                let of_box = |(b, step): &(Box2, f64)| [f64::from(b.x0), f64::from(b.y0), f64::from(b.width), f64::from(b.height), *step];
                let steps = ndarray::arr2(&model.steps_adu.iter().map(of_box).collect::<Vec<_>>());
                node.write(
                    About::new("steps", "", "one row a box: x0, y0, width, height [pixel], step [adu]"),
                    steps.view(),
                    Storage::Plain,
                )?;
            }
        }
        Ok(())
    })
}

/// Reads the improved backgrounds of one band.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, band: &str) -> Result<BandBackground, FormatError> {
    let root = Node::open(path, Some(BACKGROUND))?;
    let group = root.child(band, "the backgrounds of the band")?;
    let deep = |i: u64| {
        let name = format!("deep_{i}");
        if !group.has(&name) {
            return Ok(None);
        }
        let node = group.child(&name, "a polynomial")?;
        let count = |name| node.count(name).map(|n| n as usize);
        Ok(Some(DeepModel {
            model_njy: take_chebyshev(&node)?,
            n_used: count("n_used")?,
            n_superpixels: count("n_superpixels")?,
            scatter_njy: node.number("scatter_njy")?,
        }))
    };
    let exposures = group.child("exposures", "the group of exposures")?;
    let model = |id: String| {
        let node = exposures.child(&id, "the background of an exposure")?;
        let rows: Array2<f64> = node.read("steps")?;
        if !rows.is_empty() && rows.ncols() != 5 {
            return Err(node.wrong("steps", &format!("of shape {:?}", rows.shape()), "5 columns"));
        }
        let steps_adu = rows.rows().into_iter().map(|s| (Box2::new(s[0] as i32, s[1] as i32, s[2] as i32, s[3] as i32), s[4])).collect();
        Ok((ExposureId(id), DetectorModel { smooth_adu: take_chebyshev(&node)?, steps_adu }))
    };
    Ok(BandBackground {
        band: band.to_owned(),
        deep: (0..group.count("n_groups")?).map(deep).collect::<Result<_, FormatError>>()?,
        exposures: exposures.members()?.into_iter().map(model).collect::<Result<_, FormatError>>()?,
    })
}

//! The objects of a file, checked value by value.

mod file;

use super::check_bands;
use crate::SimError;
use crate::error::check;
use crate::object::{CLASSES, MORPHOLOGIES, is_morphology};
use crate::profile::SERSIC_RANGE;
use fathom::catalog::{ColumnData, Table};
use fathom::format::any_table;
use fathom::geometry::{SkyPoint, Tract};
use fathom::image::flux_njy;
use file::File;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the columns `<band>_flux` of a file hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FluxUnit {
    /// Flux \[nJy\].
    Njy,
    /// AB magnitude.
    MagAb,
}

/// What becomes of objects beyond the tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They are an error: the wrong catalog, or the wrong tract.
    Error,
    /// They are left out: the catalog of a larger sky.
    Drop,
}

/// The index that is drawn for the one that a file asks for, in steps of 0.02: a profile's table costs a tenth of a second for each index.
fn drawn_index(n: f64) -> f64 {
    (n * 50.0).round() / 50.0
}

/// Settings of the field `catalog`: section `[sky.catalog]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// The file: `.csv`, `.h5`, `.fits` ([`fathom::format::any_table`]); a relative path counts from the configuration's folder.
    pub file: String,
    /// Group of an HDF5 file (empty: `truth`), number or name of a FITS HDU (empty: the first table).
    pub table: String,
    /// Names of columns where the file's differ from the truth catalog's ([`fathom::format::truth`]): ours = theirs.
    pub columns: BTreeMap<String, String>,
    /// `njy` or `mag_ab`.
    pub flux_unit: FluxUnit,
    /// Objects farther than `margin_arcsec` from the tract: `error` or `drop`.
    pub outside: Outside,
    /// Objects this far beyond the tract's edge are kept: they are drawn partly \[arcsec\].
    pub margin_arcsec: f64,
    /// The objects are added to real pixels, where the file has no column `is_injected`.
    pub is_injected: bool,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            file: String::new(),
            table: String::new(),
            columns: BTreeMap::new(),
            flux_unit: FluxUnit::Njy,
            outside: Outside::Error,
            margin_arcsec: 60.0,
            is_injected: false,
        }
    }
}

impl CatalogConfig {
    pub(super) fn check(&self, is_chosen: bool) -> Result<(), SimError> {
        check("sky.catalog", "file", !is_chosen || !self.file.is_empty(), &self.file, "a file, for the field \"catalog\"")?;
        check("sky.catalog", "margin_arcsec", (0.0..=1e6).contains(&self.margin_arcsec), self.margin_arcsec, "0..=1e6 arcsec")
    }
}

const KINDS: [&str; 4] = ["", "sine", "walk", "transient"];
/// Real columns with a unit and a default, besides fluxes, bulge fractions and the shape.
const OPTIONAL: [(&str, &str, f64); 12] = [
    ("snr_target", "", f64::NAN),
    ("epoch", "d", 0.0),
    ("pm_ra", "mas/yr", 0.0),
    ("pm_dec", "mas/yr", 0.0),
    ("parallax", "mas", 0.0),
    ("var_period", "d", f64::NAN),
    ("var_amplitude", "mag", 0.0),
    ("var_t0", "d", f64::NAN),
    ("bulge_half_light_radius", "arcsec", 0.0),
    ("bulge_axis_ratio", "", 1.0),
    ("bulge_sersic_n", "", 4.0),
    ("redshift", "", f64::NAN),
];
/// Shape columns with the value of a point source; a file without galaxies need not have them.
const SHAPE: [(&str, &str, f64); 4] =
    [("half_light_radius", "arcsec", 0.0), ("axis_ratio", "", 1.0), ("position_angle", "deg", 0.0), ("sersic_n", "", 0.0)];
const TEXTS: [&str; 3] = ["regime", "variability", "sed"];

/// Reads and checks the file; every column of the truth catalog, sorted by id. `arm` shifts the ids, so that realisations differ;
/// `seed` keys the walks where the file does not.
pub(super) fn table(config: &CatalogConfig, tract: &Tract, bands: &[String], seed: u64, arm: u64) -> Result<Table, SimError> {
    check_bands(bands)?;
    let path = PathBuf::from(&config.file);
    let table = any_table::read(&path, &config.table).map_err(|e| SimError::Format(e.to_string()))?;
    let expected = format!("a column of the truth catalog, with fluxes of {}", bands.join(", "));
    for (ours, theirs) in &config.columns {
        check("sky.catalog.columns", ours, is_column(ours, bands), theirs, &expected)?;
    }
    let file = File { path: &path, table, columns: &config.columns };
    let mut out = Table::new();
    out.push("id", "", "unique number of the object", ColumnData::I64(ids(&file, arm)?))?;
    let mut rows = push_positions(&file, config, tract, &mut out)?;
    push_fluxes(&file, config, bands, &mut out)?;
    push_shapes(&file, &mut out)?;
    out.push("is_injected", "", "added to real pixels", ColumnData::Bool(injected(&file, config)?))?;
    push_optional(&file, bands, &mut out)?;
    let n = file.table.n_rows();
    out.push("var_seed", "", "with id, the key of a walk", ColumnData::I64(file.wholes("var_seed", vec![seed as i64; n])?))?;
    for name in ["cluster_id", "host_id"] {
        let mut values = file.wholes(name, vec![0; n])?;
        if name == "host_id" {
            values.iter_mut().filter(|v| **v != 0).for_each(|v| *v += shift(arm));
        }
        out.push(name, "", "", ColumnData::I64(values))?;
    }
    let id = out.i64("id")?;
    rows.sort_by_key(|&i| id[i]);
    Ok(out.take(&rows))
}

/// Adds place and class; the rows that are on the tract or within the margin.
fn push_positions(file: &File, config: &CatalogConfig, tract: &Tract, out: &mut Table) -> Result<Vec<usize>, SimError> {
    let class = file.texts("class", None)?;
    if let Some((i, c)) = class.iter().enumerate().find(|(_, c)| !CLASSES.contains(&c.as_str())) {
        return Err(file.wrong(i, "class", format!("\"{c}\""), format!("one of {}", CLASSES.join(", "))));
    }
    let (ra, dec) = (file.reals("ra", None)?, file.reals("dec", None)?);
    file.check("ra", &ra, "degrees in 0..=360", |_, v| (0.0..=360.0).contains(&v))?;
    file.check("dec", &dec, "degrees in -90..=90", |_, v| (-90.0..=90.0).contains(&v))?;
    let margin_px = (config.margin_arcsec / tract.config().pixel_scale_arcsec).ceil().min(1e8) as i32;
    let near = tract.bbox().grown(margin_px);
    let is_inside = |i: usize| tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra[i], dec[i])).is_ok_and(|p| near.contains_point(p));
    let rows: Vec<usize> = (0..ra.len()).filter(|&i| is_inside(i)).collect();
    if let (Outside::Error, Some(i)) = (config.outside, (0..ra.len()).find(|i| rows.binary_search(i).is_err())) {
        let expected = format!("a place within {} arcsec of the tract (outside = \"drop\" leaves such rows out)", config.margin_arcsec);
        return Err(file.wrong(i, "ra", format!("{} with {} = {}", ra[i], file.name("dec"), dec[i]), expected));
    }
    out.push("ra", "deg", "right ascension, ICRS, at the epoch", ColumnData::F64(ra))?;
    out.push("dec", "deg", "declination, ICRS, at the epoch", ColumnData::F64(dec))?;
    out.push("class", "", "star, galaxy, variable, transient or mover", ColumnData::Text(class))?;
    Ok(rows)
}

fn push_fluxes(file: &File, config: &CatalogConfig, bands: &[String], out: &mut Table) -> Result<(), SimError> {
    for band in bands {
        let ours = format!("{band}_flux");
        let mut flux = file.reals(&ours, None)?;
        if config.flux_unit == FluxUnit::MagAb {
            file.check(&ours, &flux, "an AB magnitude in -30..=60", |_, m| (-30.0..=60.0).contains(&m))?;
            flux.iter_mut().for_each(|m| *m = flux_njy(*m));
        } else {
            file.check(&ours, &flux, "a finite flux of 0 or more, in nJy", |_, f| f.is_finite() && f >= 0.0)?;
        }
        out.push(&ours, "nJy", "total flux, mean over the epochs; of a transient at maximum", ColumnData::F64(flux))?;
    }
    Ok(())
}

/// Adds size, shape and morphology: of galaxies. Anything else is a point source; a size there is an error, for either it or the class is wrong.
fn push_shapes(file: &File, out: &mut Table) -> Result<(), SimError> {
    let is_galaxy: Vec<bool> = out.text("class")?.iter().map(|c| c == "galaxy").collect();
    let morphology = file.texts("morphology", Some(""))?;
    if let Some(i) = (0..morphology.len()).find(|&i| !is_morphology(&morphology[i])) {
        return Err(file.wrong(i, "morphology", format!("\"{}\"", morphology[i]), MORPHOLOGIES));
    }
    if let Some(i) = (0..morphology.len()).find(|&i| !morphology[i].is_empty() && !is_galaxy[i]) {
        return Err(file.wrong(i, "morphology", format!("\"{}\"", morphology[i]), "nothing, for only a galaxy has a morphology"));
    }
    let has_law: Vec<bool> = (0..is_galaxy.len()).map(|i| is_galaxy[i] && morphology[i].is_empty()).collect();
    for (name, unit, default) in SHAPE {
        let has_one = if name == "sersic_n" { &has_law } else { &is_galaxy };
        let must_be = has_one.contains(&true) && name != "position_angle";
        let mut values = file.reals(name, if must_be { None } else { Some(default) })?;
        let (range, is_good): (&str, fn(f64) -> bool) = match name {
            "half_light_radius" => ("a finite positive number of a galaxy, in arcsec", |v| v > 0.0 && v.is_finite()),
            "axis_ratio" => ("a number in (0, 1] of a galaxy", |v| v > 0.0 && v <= 1.0),
            "sersic_n" => ("a Sérsic index that can be drawn, of a galaxy", |v| SERSIC_RANGE.contains(&v)),
            _ => ("a finite number of degrees", f64::is_finite),
        };
        let expected = if name == "sersic_n" { format!("{range}: {SERSIC_RANGE:?}") } else { range.to_owned() };
        file.check(name, &values, &expected, |i, v| !has_one[i] || is_good(v))?;
        if name == "half_light_radius" {
            file.check(name, &values, "0 or nothing, for only a galaxy has a size", |i, v| is_galaxy[i] || v.is_nan() || v <= 0.0)?;
        }
        // What else stands beside a point source is not its shape.
        values.iter_mut().zip(has_one).for_each(|(v, has)| *v = if *has { *v } else { default });
        if name == "sersic_n" {
            values.iter_mut().for_each(|v| *v = drawn_index(*v));
        }
        out.push(name, unit, "", ColumnData::F64(values))?;
    }
    Ok(out.push("morphology", "", "empty: Sérsic profiles", ColumnData::Text(morphology))?)
}

fn injected(file: &File, config: &CatalogConfig) -> Result<Vec<bool>, SimError> {
    if !file.has("is_injected") {
        return Ok(vec![config.is_injected; file.table.n_rows()]);
    }
    match file.table.bool(file.name("is_injected")) {
        Ok(flags) => Ok(flags.to_vec()),
        Err(_) => Ok(file.reals("is_injected", None)?.iter().map(|v| v.abs() > 0.0).collect()),
    }
}

/// Adds what a catalog need not say: texts, bulges, motion, variability.
fn push_optional(file: &File, bands: &[String], out: &mut Table) -> Result<(), SimError> {
    for name in TEXTS {
        let values = file.texts(name, Some(""))?;
        if name == "variability"
            && let Some((i, v)) = values.iter().enumerate().find(|(_, v)| !KINDS.contains(&v.as_str()))
        {
            return Err(file.wrong(i, name, format!("\"{v}\""), "empty, sine, walk or transient"));
        }
        out.push(name, "", "", ColumnData::Text(values))?;
    }
    let is_variable: Vec<bool> = out.text("variability")?.iter().map(|v| !v.is_empty()).collect();
    let mut has_bulge = vec![false; file.table.n_rows()];
    for band in bands {
        let ours = format!("{band}_bulge_fraction");
        let values = file.reals(&ours, Some(0.0))?;
        file.check(&ours, &values, "a number in 0..=1", |_, v| (0.0..=1.0).contains(&v))?;
        has_bulge.iter_mut().zip(&values).for_each(|(has, v)| *has |= *v > 0.0);
        out.push(&ours, "", "share of the flux in the bulge", ColumnData::F64(values))?;
    }
    for (name, unit, default) in OPTIONAL {
        let mut values = file.reals(name, Some(default))?;
        let check = |expected: &str, is_good: &dyn Fn(usize, f64) -> bool| file.check(name, &values, expected, is_good);
        match name {
            "bulge_half_light_radius" => {
                check("a finite positive number of a bulge, in arcsec", &|i, v| !has_bulge[i] || (v > 0.0 && v.is_finite()))?
            }
            "bulge_axis_ratio" => check("a number in (0, 1] of a bulge", &|i, v| !has_bulge[i] || (v > 0.0 && v <= 1.0))?,
            "bulge_sersic_n" => {
                let expected = format!("a Sérsic index that can be drawn, of a bulge: {SERSIC_RANGE:?}");
                check(&expected, &|i, v| !has_bulge[i] || SERSIC_RANGE.contains(&v))?;
            }
            "var_period" => check("a positive number of days of a variable", &|i, v| !is_variable[i] || (v > 0.0 && v.is_finite()))?,
            "var_t0" => check("an MJD of a variable", &|i, v| !is_variable[i] || v.is_finite())?,
            "snr_target" | "redshift" => {}
            _ => check("a finite number", &|_, v| v.is_finite())?,
        }
        if name == "bulge_sersic_n" {
            values.iter_mut().for_each(|v| *v = drawn_index(*v));
        }
        out.push(name, unit, "", ColumnData::F64(values))?;
    }
    Ok(())
}

/// Ids of realisation `arm` are those of the file plus this.
fn shift(arm: u64) -> i64 {
    (arm * 100_000_000) as i64
}

/// The file's ids, or the numbers of the rows; unique, positive, and in a further arm at most 1e8, so that arms differ.
fn ids(file: &File, arm: u64) -> Result<Vec<i64>, SimError> {
    let own = file.wholes("id", (1..=file.table.n_rows() as i64).collect())?;
    let limit = if arm > 0 { 100_000_000 } else { i64::MAX };
    if let Some((i, id)) = own.iter().enumerate().find(|(_, id)| **id <= 0 || **id > limit) {
        let expected = if arm > 0 { "1..=1e8 for several realisations" } else { "a positive whole number" };
        return Err(file.wrong(i, "id", id, expected));
    }
    let mut order: Vec<usize> = (0..own.len()).collect();
    order.sort_by_key(|&i| own[i]);
    if let Some(pair) = order.windows(2).find(|w| own[w[0]] == own[w[1]]) {
        return Err(file.wrong(pair[1], "id", own[pair[1]], format!("unique; it is that of row {} too", pair[0] + 1)));
    }
    Ok(own.into_iter().map(|id| id + shift(arm)).collect())
}

fn is_column(ours: &str, bands: &[String]) -> bool {
    let of_band = bands.iter().any(|b| *ours == format!("{b}_flux") || *ours == format!("{b}_bulge_fraction"));
    let others = ["id", "ra", "dec", "class", "is_injected", "morphology", "var_seed", "cluster_id", "host_id"];
    of_band
        || others.contains(&ours)
        || TEXTS.contains(&ours)
        || SHAPE.iter().any(|(name, ..)| *name == ours)
        || OPTIONAL.iter().any(|(name, ..)| *name == ours)
}

#[cfg(test)]
mod tests {
    use crate::{FieldConfig, FluxUnit, Outside, make_truth};
    use fathom::catalog::Table;
    use fathom::geometry::{SkyMapConfig, Tract};

    const HEAD: &str = "id,ra,dec,class,r_flux,half_light_radius,axis_ratio,position_angle,sersic_n";
    const GOOD: &str = "3,150.1,2.2,galaxy,100,0.5,0.7,30,1.5";

    fn read(text: &str, change: impl Fn(&mut FieldConfig)) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sky.csv");
        std::fs::write(&path, text).unwrap();
        let mut config = FieldConfig { field: "catalog".into(), ..FieldConfig::default() };
        config.catalog.file = path.to_str().unwrap().to_owned();
        change(&mut config);
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let bands = ["r".to_owned()];
        let table = make_truth(&config, &tract, &bands, &[], 1, 0).map_err(|e| e.to_string())?;
        fathom::format::truth::check(&table, &bands).unwrap();
        Ok(table)
    }

    #[test]
    fn a_good_file_is_taken_over() {
        let star = "1,150.101,2.201,star,50,,,,";
        let table = read(&format!("{HEAD}\n{GOOD}\n{star}\n"), |_| {}).unwrap();
        assert_eq!(table.i64("id").unwrap(), [1, 3]);
        assert_eq!(table.f64("sersic_n").unwrap(), [0.0, 1.5]);
        assert_eq!(table.f64("axis_ratio").unwrap(), [1.0, 0.7]);
        assert_eq!(table.f64("r_bulge_fraction").unwrap(), [0.0, 0.0]);
        // Other names, magnitudes, no id, no shapes for point sources.
        let table = read("RA,DEC,kind,rmag\n150.1,2.2,star,22.4\n", |c| {
            let map = [("ra", "RA"), ("dec", "DEC"), ("class", "kind"), ("r_flux", "rmag")];
            c.catalog.columns = map.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
            c.catalog.flux_unit = FluxUnit::MagAb;
        })
        .unwrap();
        // AB = 31.4 - 2.5 log f.
        assert!((table.f64("r_flux").unwrap()[0] - 10f64.powf(3.6)).abs() < 1e-6);
    }

    /// Mixtures and stamps need no Sérsic index; what the column cannot hold is named.
    #[test]
    fn morphologies_are_read() {
        let head = "ra,dec,class,r_flux,half_light_radius,axis_ratio,morphology";
        let row = |class: &str, text: &str| format!("{head}\n150.1,2.2,galaxy,9,0.4,0.8,stamp:7\n150.1,2.2,{class},9,0.4,0.8,{text}\n");
        let table = read(&row("galaxy", "gaussians:0.6 0.5; 0.4 1.7"), |_| {}).unwrap();
        assert_eq!(table.text("morphology").unwrap(), ["stamp:7", "gaussians:0.6 0.5; 0.4 1.7"]);
        let drawn = crate::TruthObject::of_table(&table.take(&[1]), "r", 60_000.0).unwrap();
        assert!(matches!(&drawn[0].morphology, crate::Morphology::Gaussians(g) if g.second_moment() > 0.0));
        for text in ["gaussians:1", "gaussians:1 -2", "stamp:", "spiral"] {
            let message = read(&row("galaxy", text), |_| {}).unwrap_err();
            assert!(message.contains(&format!("morphology in row 2 is \"{text}\"; expected empty text, stamp:<name>")), "{message}");
        }
        let message = read(&row("star", "stamp:7"), |_| {}).unwrap_err();
        assert!(message.contains("morphology in row 2 is \"stamp:7\"; expected nothing, for only a galaxy"), "{message}");
    }

    #[test]
    fn bad_values_are_named_by_row_and_column() {
        for (row, expected) in [
            ("4,150.1,2.2,galaxy,-1,0.5,0.7,30,1.5", "r_flux in row 2 is -1; expected a finite flux of 0 or more, in nJy"),
            ("4,150.1,2.2,galaxy,nan,0.5,0.7,30,1.5", "r_flux in row 2 is NaN"),
            ("4,150.1,2.2,galaxy,x,0.5,0.7,30,1.5", "r_flux in row 2 is \"x\"; expected a number"),
            ("4,150.1,2.2,galaxy,1,-0.5,0.7,30,1.5", "half_light_radius in row 2 is -0.5"),
            ("4,150.1,2.2,galaxy,1,0.5,1.7,30,1.5", "axis_ratio in row 2 is 1.7; expected a number in (0, 1] of a galaxy"),
            ("4,150.1,2.2,galaxy,1,0.5,0.7,30,15", "sersic_n in row 2 is 15"),
            ("4,150.1,2.2,nebula,1,0.5,0.7,30,1", "class in row 2 is \"nebula\"; expected one of star, galaxy"),
            ("4,150.1,92,galaxy,1,0.5,0.7,30,1", "dec in row 2 is 92; expected degrees in -90..=90"),
            ("4,150.1,3.2,galaxy,1,0.5,0.7,30,1", "ra in row 2 is 150.1 with dec = 3.2; expected a place within 60 arcsec"),
            ("4,150.1,2.2,galaxy,1,0.5,0.7,30,0", "sersic_n in row 2 is 0; expected a Sérsic index that can be drawn"),
            ("4,150.1,2.2,galaxy,1,0,1,0,0", "half_light_radius in row 2 is 0; expected a finite positive number of a galaxy"),
            ("4,150.1,2.2,star,1,0.5,0.7,30,1", "half_light_radius in row 2 is 0.5; expected 0 or nothing, for only a galaxy has a size"),
            ("3,150.1,2.2,galaxy,1,0.5,0.7,30,1", "id in row 2 is 3; expected unique; it is that of row 1 too"),
        ] {
            let message = read(&format!("{HEAD}\n{GOOD}\n{row}\n"), |_| {}).unwrap_err();
            assert!(message.contains(expected) && message.contains("sky.csv"), "{message}");
        }
        let message = read("ra,dec,class\n150.1,2.2,star\n", |_| {}).unwrap_err();
        assert!(message.contains("column r_flux is missing; expected a column for r_flux; the file has ra, dec, class"), "{message}");
        let message = read("", |c| c.catalog.columns = [("w_flux".to_owned(), "W".to_owned())].into()).unwrap_err();
        assert!(message.contains("sky.catalog.columns.w_flux"), "{message}");
        let far = "4,150.1,3.2,galaxy,1,0.5,0.7,30,1";
        let kept = read(&format!("{HEAD}\n{GOOD}\n{far}\n"), |c| c.catalog.outside = Outside::Drop).unwrap();
        assert_eq!(kept.n_rows(), 1);
    }
}

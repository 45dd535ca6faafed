//! Fields: which objects are on the sky.

mod grid;
mod injection_grid;
mod survey;

use crate::error::check;
use crate::{ExposurePlan, SimError};
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{PixelPoint, SkyPoint, Tract};
pub use grid::GridConfig;
pub use injection_grid::InjectionGridConfig;
use serde::{Deserialize, Serialize};
pub use survey::SurveyConfig;

/// Settings of the simulated sky: section `[sky]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldConfig {
    /// Which field: `survey`, `grid`, `injection_grid`, `empty`.
    pub field: String,
    /// Settings of `survey`.
    pub survey: SurveyConfig,
    /// Settings of `grid`.
    pub grid: GridConfig,
    /// Settings of `injection_grid`.
    pub injection_grid: InjectionGridConfig,
}

impl Default for FieldConfig {
    fn default() -> Self {
        Self {
            field: "survey".into(),
            survey: SurveyConfig::default(),
            grid: GridConfig::default(),
            injection_grid: InjectionGridConfig::default(),
        }
    }
}

impl FieldConfig {
    /// Checks every range, also of the fields that are not chosen.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting, its value and its range.
    pub fn check(&self) -> Result<(), SimError> {
        let is_known = ["survey", "grid", "injection_grid", "empty"].contains(&self.field.as_str());
        check("sky", "field", is_known, &self.field, "survey, grid, injection_grid or empty")?;
        self.survey.check()?;
        self.grid.check()?;
        self.injection_grid.check()
    }
}

/// One object of a field, in all bands.
#[derive(Debug, Clone)]
struct Source {
    /// Number in its field, from 0; the id follows from it and the arm.
    number: u64,
    position: SkyPoint,
    class: &'static str,
    /// In the order of the bands.
    flux_njy: Vec<f64>,
    half_light_radius_arcsec: f64,
    axis_ratio: f64,
    position_angle_deg: f64,
    sersic_n: f64,
    is_injected: bool,
    snr_target: f64,
    regime: String,
}

impl Source {
    fn star(number: u64, position: SkyPoint, flux_njy: Vec<f64>) -> Self {
        Self {
            number,
            position,
            class: "star",
            flux_njy,
            half_light_radius_arcsec: 0.0,
            axis_ratio: 1.0,
            position_angle_deg: 0.0,
            sersic_n: 0.0,
            is_injected: false,
            snr_target: f64::NAN,
            regime: String::new(),
        }
    }

    /// Unique among all objects of all arms, drawn or injected.
    fn id(&self, arm: u64) -> i64 {
        let kind: u64 = if self.is_injected { 1_000_000_000_000_000 } else { 0 };
        (kind + arm * 100_000_000 + self.number + 1) as i64
    }
}

/// The truth catalog ([`fathom::format::truth`]) of one arm, sorted by id. Keyed by `seed` and `arm`.
///
/// `exposures` gives the depth (survey and grid fields scale to it); empty for an injection by magnitudes.
///
/// # Errors
/// [`SimError`] if a setting is outside its range.
pub fn make_truth(
    config: &FieldConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposurePlan],
    seed: u64,
    arm: u64,
) -> Result<Table, SimError> {
    config.check()?;
    let mut sources = match config.field.as_str() {
        "survey" => survey::sources(&config.survey, tract, bands, exposures, seed, arm)?,
        "grid" => grid::sources(&config.grid, tract, bands, exposures, seed, arm)?,
        "injection_grid" => injection_grid::sources(&config.injection_grid, tract, bands, exposures, seed, arm)?,
        _ => Vec::new(),
    };
    sources.sort_by_key(|s| s.number);
    to_table(&sources, bands, arm)
}

fn to_table(sources: &[Source], bands: &[String], arm: u64) -> Result<Table, SimError> {
    let real = |f: &dyn Fn(&Source) -> f64| ColumnData::F64(sources.iter().map(f).collect());
    let text = |f: &dyn Fn(&Source) -> String| ColumnData::Text(sources.iter().map(f).collect());
    let mut table = Table::new();
    table.push("id", "", "unique number of the object", ColumnData::I64(sources.iter().map(|s| s.id(arm)).collect()))?;
    table.push("ra", "deg", "right ascension, ICRS", real(&|s| s.position.ra_deg()))?;
    table.push("dec", "deg", "declination, ICRS", real(&|s| s.position.dec_deg()))?;
    table.push("class", "", "star or galaxy", text(&|s| s.class.to_owned()))?;
    for (i, band) in bands.iter().enumerate() {
        table.push(&format!("{band}_flux"), "nJy", "total flux", real(&|s| s.flux_njy[i]))?;
    }
    table.push("half_light_radius", "arcsec", "along the major axis; 0 for a point source", real(&|s| s.half_light_radius_arcsec))?;
    table.push("axis_ratio", "", "minor / major axis", real(&|s| s.axis_ratio))?;
    table.push("position_angle", "deg", "of the major axis, east of north", real(&|s| s.position_angle_deg))?;
    table.push("sersic_n", "", "Sérsic index; 0 for a point source", real(&|s| s.sersic_n))?;
    table.push("is_injected", "", "added to real pixels", ColumnData::Bool(sources.iter().map(|s| s.is_injected).collect()))?;
    table.push("snr_target", "", "signal to noise asked for in every band; NaN if none", real(&|s| s.snr_target))?;
    table.push("regime", "", "group of the scene", text(&|s| s.regime.clone()))?;
    Ok(table)
}

/// Nodes of a square grid that is anchored to the tract: number and position of each, row by row.
fn grid_nodes(tract: &Tract, spacing_px: f64) -> Vec<(u64, PixelPoint)> {
    let bbox = tract.bbox();
    let n = |size: i32| (f64::from(size) / spacing_px).floor() as u64;
    let place = |i: u64| (i as f64 + 0.5) * spacing_px - 0.5;
    let (nx, ny) = (n(bbox.width), n(bbox.height));
    (0..ny).flat_map(|j| (0..nx).map(move |i| (j * nx + i, PixelPoint::new(place(i), place(j))))).collect()
}

/// `bands[i]`'s column is needed: a catalog without bands is of no use.
fn check_bands(bands: &[String]) -> Result<(), SimError> {
    check("sky", "bands", !bands.is_empty(), bands, "at least one band")
}

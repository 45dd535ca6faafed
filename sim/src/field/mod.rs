//! Fields: which objects are on the sky.

mod catalog;
mod cluster;
mod crowded;
mod grid;
mod injected;
mod movers;
mod pairs;
mod scaled;
mod spread;
mod survey;

use crate::error::check;
use crate::population::to_table;
use crate::{ExposureDepth, SimError};
pub use catalog::{CatalogConfig, FluxUnit, Outside};
pub use cluster::ClusterConfig;
pub use crowded::CrowdedConfig;
use fathom::catalog::Table;
use fathom::geometry::{PixelPoint, Tract};
pub use grid::GridConfig;
pub use injected::{InjectedConfig, Placement};
pub use movers::MoversConfig;
pub use pairs::PairsConfig;
pub use scaled::ScaledConfig;
use serde::{Deserialize, Serialize};
pub use survey::SurveyConfig;

/// Names of the fields.
const FIELDS: [&str; 10] = ["survey", "scaled", "grid", "pairs", "cluster", "crowded", "movers", "injected", "catalog", "empty"];

/// Settings of the simulated sky: section `[sky]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldConfig {
    /// Which field:
    ///
    /// | name | what |
    /// |---|---|
    /// | `survey` | galaxies, stars, variables, transients, movers in physical magnitudes |
    /// | `scaled` | stars and galaxies whose magnitudes scale to the depth of the exposures |
    /// | `grid` | isolated point sources and galaxies of known signal to noise |
    /// | `pairs` | pairs over separation, flux ratio, type and colour difference |
    /// | `cluster` | a rich cluster with a central galaxy and intracluster light, before a `survey` |
    /// | `crowded` | stars, a million per square degree and more |
    /// | `movers` | bodies of the solar system, slow ones and trails, among stars |
    /// | `injected` | point sources, galaxies or real stamps at magnitudes around a limit |
    /// | `catalog` | the objects of a file |
    /// | `empty` | nothing |
    pub field: String,
    /// FITS catalog of real galaxies (COSMOS format) that `morphology = stamp:<name>` draws from; empty: none.
    pub stamps: String,
    /// Settings of `survey`; also the fore- and background of `cluster` and the stars of `movers`.
    pub survey: SurveyConfig,
    /// Settings of `scaled`.
    pub scaled: ScaledConfig,
    /// Settings of `grid`.
    pub grid: GridConfig,
    /// Settings of `pairs`.
    pub pairs: PairsConfig,
    /// Settings of `cluster`.
    pub cluster: ClusterConfig,
    /// Settings of `crowded`.
    pub crowded: CrowdedConfig,
    /// Settings of `movers`.
    pub movers: MoversConfig,
    /// Settings of `injected`.
    pub injected: InjectedConfig,
    /// Settings of `catalog`.
    pub catalog: CatalogConfig,
}

impl Default for FieldConfig {
    fn default() -> Self {
        Self {
            field: "survey".into(),
            stamps: String::new(),
            survey: SurveyConfig::default(),
            scaled: ScaledConfig::default(),
            grid: GridConfig::default(),
            pairs: PairsConfig::default(),
            cluster: ClusterConfig::default(),
            crowded: CrowdedConfig::default(),
            movers: MoversConfig::default(),
            injected: InjectedConfig::default(),
            catalog: CatalogConfig::default(),
        }
    }
}

impl FieldConfig {
    /// True of fields that scale to the exposures or take their times: the others need no plans.
    #[must_use]
    pub fn needs_exposures(&self) -> bool {
        !["survey", "cluster", "crowded", "catalog", "empty"].contains(&self.field.as_str())
    }

    /// Checks every range, also of the fields that are not chosen.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting, its value and its range.
    pub fn check(&self) -> Result<(), SimError> {
        let is_known = FIELDS.contains(&self.field.as_str());
        check("sky", "field", is_known, &self.field, &format!("one of {}", FIELDS.join(", ")))?;
        self.survey.check()?;
        self.scaled.check()?;
        self.grid.check()?;
        self.pairs.check()?;
        self.cluster.check()?;
        self.crowded.check()?;
        self.movers.check()?;
        self.injected.check()?;
        self.catalog.check(self.field == "catalog")
    }
}

/// The truth catalog ([`fathom::format::truth`]) of one arm, sorted by id. Keyed by `seed` and `arm`.
///
/// `exposures` ([`Planner::depths`](crate::Planner::depths)) gives the depth (`scaled`, `grid`, `pairs` scale to it) and the times of trails; empty for an injection by magnitudes. Physical
/// fields (`survey`, `cluster`, `crowded`, `movers`) ask nothing else of them and know the bands u, g, r, i, z, y. Another band changes no object. Memory grows
/// linearly with the number of objects: about 0.7 kB each.
///
/// # Errors
/// [`SimError`] if a setting is outside its range, [`SimError::Format`] or [`SimError::TableRow`] if a catalog file is wrong.
pub fn make_truth(
    config: &FieldConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Table, SimError> {
    config.check()?;
    let mut sources = match config.field.as_str() {
        "survey" => survey::sources(&config.survey, tract, bands, seed, arm)?,
        "scaled" => scaled::sources(&config.scaled, tract, bands, exposures, seed, arm)?,
        "grid" => grid::sources(&config.grid, tract, bands, exposures, seed, arm)?,
        "pairs" => pairs::sources(&config.pairs, tract, bands, exposures, seed, arm)?,
        "cluster" => cluster::sources(&config.cluster, &config.survey, tract, bands, seed, arm)?,
        "crowded" => crowded::sources(&config.crowded, tract, bands, seed, arm)?,
        "movers" => movers::sources(&config.movers, &config.survey, tract, bands, exposures, seed, arm)?,
        "injected" => injected::sources(&config.injected, tract, bands, exposures, seed, arm)?,
        "catalog" => return catalog::table(&config.catalog, tract, bands, seed, arm),
        _ => Vec::new(),
    };
    sources.sort_by_key(|s| s.number);
    to_table(&sources, bands, seed, arm)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CameraConfig, plan_exposures};
    use fathom::geometry::SkyMapConfig;

    /// Every field makes a valid catalog with the same columns, the same again, another in another arm, and the same object whatever the bands.
    #[test]
    fn every_field_is_valid_deterministic_and_keyed() {
        let tract = Tract::new(&SkyMapConfig { tract_cells: [8, 8], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let bands: Vec<String> = ["g", "r", "i"].map(String::from).to_vec();
        let camera = CameraConfig { n_exposures: 2, size_px: [700, 700], zero_point: 30.0, ..CameraConfig::default() };
        let plans = plan_exposures(&camera, tract.center(), &bands, 3).unwrap();
        let depths = ExposureDepth::of_plans(&plans).unwrap();
        for field in FIELDS.into_iter().filter(|f| *f != "catalog") {
            let mut config = FieldConfig { field: field.into(), ..FieldConfig::default() };
            config.grid.galaxy_fraction = 0.5;
            let make = |bands: &[String], arm| make_truth(&config, &tract, bands, &depths, 3, arm).unwrap();
            let table = make(&bands, 0);
            fathom::format::truth::check(&table, &bands).unwrap();
            assert!((field == "empty") == (table.n_rows() == 0), "{field}");
            let ids = table.i64("id").unwrap();
            assert!(ids.iter().all(|id| *id > 0) && ids.windows(2).all(|w| w[0] < w[1]), "{field}");
            // By text: the tables have NaN, which equals nothing.
            assert!(format!("{table:?}") == format!("{:?}", make(&bands, 0)), "{field}");
            let other = make(&bands, 1);
            assert_eq!(table.columns().len(), other.columns().len());
            assert!(other.i64("id").unwrap().iter().all(|id| ids.binary_search(id).is_err()), "{field}");
            let alone = make(&bands[1..2], 0);
            for column in alone.columns() {
                assert!(format!("{:?}", table.column(&column.name).unwrap()) == format!("{column:?}"), "{field}: {}", column.name);
            }
            for o in bands.iter().flat_map(|b| crate::TruthObject::of_table(&table, b, 60_005.0).unwrap()) {
                assert!(o.flux_njy > 0.0, "{field}");
            }
        }
    }

    /// A tract of a million objects.
    #[test]
    fn a_million_objects_fit() {
        // 33 arcmin a side.
        let tract = Tract::new(&SkyMapConfig { tract_cells: [156, 156], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let mut config = FieldConfig::default();
        config.survey.galaxy_density = 5.0;
        let table = make_truth(&config, &tract, &["r".into(), "i".into()], &[], 1, 0).unwrap();
        assert!(table.n_rows() > 900_000, "{}", table.n_rows());
    }
}

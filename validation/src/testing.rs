//! Small scenes for unit tests: one band, flux in units of its noise.

use crate::scene::Scene;
use crate::{ArmData, ValidateConfig, ValidateInput};
use fathom::catalog::{ColumnData, Table};

/// A truth object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    /// East \[arcsec\].
    pub x: f64,
    /// North \[arcsec\].
    pub y: f64,
    /// Flux \[nJy\]; its S/N too.
    pub flux: f64,
    pub is_usable: bool,
}

impl Default for Object {
    fn default() -> Self {
        Self { x: 0.0, y: 0.0, flux: 100.0, is_usable: true }
    }
}

/// A detection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting {
    /// East \[arcsec\].
    pub x: f64,
    /// North \[arcsec\].
    pub y: f64,
    /// Flux \[nJy\]; its significance too.
    pub flux: f64,
    /// Error of each axis \[arcsec\].
    pub err: f64,
}

impl Default for Sighting {
    fn default() -> Self {
        Self { x: 0.0, y: 0.0, flux: 100.0, err: 0.02 }
    }
}

fn f64s<T>(rows: &[T], get: impl Fn(&T) -> f64) -> ColumnData {
    ColumnData::F64(rows.iter().map(get).collect())
}

/// Calls `use_scene` with the scene of these objects; the sky is flat at (0, 0).
pub(crate) fn scene_of<R>(objects: &[Object], sightings: &[Sighting], use_scene: impl FnOnce(&Scene) -> R) -> R {
    let (n_truth, n_found) = (objects.len(), sightings.len());
    let mut truth = Table::new();
    let mut push = |name: &str, data| truth.push(name, "", "", data).unwrap();
    push("id", ColumnData::I64((1..=n_truth as i64).collect()));
    push("ra", f64s(objects, |o| o.x / 3600.0));
    push("dec", f64s(objects, |o| o.y / 3600.0));
    push("class", ColumnData::Text(vec!["star".into(); n_truth]));
    push("half_light_radius", f64s(objects, |_| 0.0));
    push("r_flux", f64s(objects, |o| o.flux));
    push("r_snr_true", f64s(objects, |o| o.flux));
    push("r_flux_err_limit", f64s(objects, |_| 1.0));
    push("is_usable", ColumnData::Bool(objects.iter().map(|o| o.is_usable).collect()));
    let mut catalog = Table::new();
    let mut push = |name: &str, data| catalog.push(name, "", "", data).unwrap();
    push("id", ColumnData::I64((1..=n_found as i64).collect()));
    push("parent_id", ColumnData::I64((1..=n_found as i64).collect()));
    push("is_primary", ColumnData::Bool(vec![true; n_found]));
    push("ra", f64s(sightings, |s| s.x / 3600.0));
    push("dec", f64s(sightings, |s| s.y / 3600.0));
    push("ra_err", f64s(sightings, |s| s.err));
    push("dec_err", f64s(sightings, |s| s.err));
    push("r_psf_flux", f64s(sightings, |s| s.flux));
    push("r_psf_flux_err", f64s(sightings, |_| 1.0));
    push("r_psf_flux_flag", ColumnData::Bool(vec![false; n_found]));
    push("detect_snr", f64s(sightings, |s| s.flux));
    let arm = ArmData { name: "main".into(), truth, blend_fisher: Table::new(), catalog, layers: Vec::new() };
    let input = ValidateInput {
        bands: vec!["r".into()],
        fwhm_arcsec: vec![1.0],
        sqrt_l2: vec![1.0],
        skewness: Vec::new(),
        arms: Vec::new(),
        control: None,
        seed: 1,
        assessed: crate::assess::Assessed::default(),
    };
    let scene = Scene::new(&ValidateConfig::default(), &input, &arm, 0).unwrap();
    use_scene(&scene)
}

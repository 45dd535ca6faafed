//! Mock surveys: true objects, and the tables that the chain would have made of them.

use crate::{ArmData, LayerPeaks, ValidateInput};
use fathom::catalog::{ColumnData, Table};
use fathom::random::keyed_rng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Bands of a mock survey.
const BANDS: [&str; 3] = ["g", "r", "i"];
/// PSF \[arcsec\].
pub(super) const FWHM: f64 = 0.8;
/// 1/(√2 σ) of the Gaussian PSF seen through itself \[1/arcsec\].
const SQRT_L2: f64 = 2.354_82 / FWHM / std::f64::consts::SQRT_2;
/// Point-source error per band \[nJy\].
pub(super) const SIGMA: [f64; 3] = [24.0, 32.0, 46.0];
/// Moments of the PSF \[arcsec²\].
const PSF_MOMENT: f64 = (FWHM / 2.354_82) * (FWHM / 2.354_82);
/// Centre of the field \[deg\].
const CENTRE: (f64, f64) = (150.0, 0.0);
/// Objects are this far apart where they stand on a grid \[arcsec\].
pub(super) const SPACING: f64 = 8.0;
/// Every so manieth grid point holds a pair.
pub(super) const PAIR_EVERY: usize = 5;

/// A true or measured object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub x: f64,
    pub y: f64,
    pub flux: [f64; 3],
    pub half_light_radius: f64,
    pub axis_ratio: f64,
    pub position_angle_deg: f64,
    /// Number of the grid point; both of a pair have the same.
    pub place: usize,
    pub err_arcsec: f64,
}

/// Bright objects on a grid, far enough apart, every fifth with a neighbour at 0.4 to 0.95 FWHM.
pub(super) fn grid(n: usize, seed: u64) -> Vec<Source> {
    let mut rng = keyed_rng(seed, "mock grid", 0, 0);
    let side = (n as f64).sqrt().ceil() as usize;
    let mut all = Vec::new();
    for place in 0..n {
        let at = |k: usize, jitter: f64| (k as f64 - 0.5 * side as f64) * SPACING + 0.5 * jitter;
        let (x, y) = (at(place % side, rng.random()), at(place / side, rng.random()));
        let is_galaxy = place % 3 == 1;
        let radius = if is_galaxy { 0.35 + 0.3 * rng.random::<f64>() } else { 0.0 };
        let source = Source {
            half_light_radius: radius,
            axis_ratio: if is_galaxy { 0.4 + 0.6 * rng.random::<f64>() } else { 1.0 },
            position_angle_deg: if is_galaxy { 180.0 * rng.random::<f64>() } else { 0.0 },
            ..point_source(x, y, 30.0 * 10f64.powf(rng.random::<f64>()), place, rng.random())
        };
        all.push(source);
        if place.is_multiple_of(PAIR_EVERY) {
            let (distance, angle) = (FWHM * (0.4 + 0.55 * rng.random::<f64>()), std::f64::consts::TAU * rng.random::<f64>());
            let snr = source.flux[1] / SIGMA[1] * (0.3 + 0.5 * rng.random::<f64>());
            all.push(point_source(x + distance * angle.cos(), y + distance * angle.sin(), snr, place, rng.random()));
        }
    }
    all
}

/// A star of this S/N in r; `colour` in 0..1.
pub(super) fn point_source(x: f64, y: f64, snr: f64, place: usize, colour: f64) -> Source {
    let factor = [1.3 - colour, 1.0, 0.8 + colour];
    let flux = [0, 1, 2].map(|b| snr * SIGMA[1] * factor[b]);
    let snr_all = (0..3).map(|b| (flux[b] / SIGMA[b]).powi(2)).sum::<f64>().sqrt();
    let err_arcsec = 1.0 / (snr_all * SQRT_L2);
    Source { x, y, flux, half_light_radius: 0.0, axis_ratio: 1.0, position_angle_deg: 0.0, place, err_arcsec }
}

/// A large random field, as deep as a real one: `n` objects at 75 per arcmin², S/N from 1.5 to 300, found as their noise says, with
/// the errors quoted, and false detections among them. For timing.
#[must_use]
pub fn field(n: usize, seed: u64) -> ValidateInput {
    let mut rng = keyed_rng(seed, "mock field", 0, 0);
    let side = 60.0 * (n as f64 / 75.0).sqrt();
    let mut truth = Vec::with_capacity(n);
    let mut rows = Vec::new();
    let mut peaks = Vec::new();
    for place in 0..n {
        let (x, y) = (side * (rng.random::<f64>() - 0.5), side * (rng.random::<f64>() - 0.5));
        let snr = 1.5 * 200f64.powf(rng.random::<f64>().powi(2));
        let source =
            Source { half_light_radius: if place.is_multiple_of(4) { 0.0 } else { 0.3 }, ..point_source(x, y, snr, place, rng.random()) };
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let flux = [0, 1, 2].map(|b| source.flux[b] + SIGMA[b] * normal());
        let measured = Source { x: x + source.err_arcsec * normal(), y: y + source.err_arcsec * normal(), flux, ..source };
        let height = (0..3).map(|b| (flux[b] / SIGMA[b]).max(0.0).powi(2)).sum::<f64>().sqrt();
        if height > 5.5 {
            let (ra, dec) = sky(&measured);
            peaks.push([ra, dec, height]);
            rows.push(measured);
        }
        truth.push(source);
    }
    for _ in 0..n / 200 {
        let (x, y) = (side * (rng.random::<f64>() - 0.5), side * (rng.random::<f64>() - 0.5));
        rows.push(point_source(x, y, 5.6, 0, 0.5));
    }
    let layer = LayerPeaks {
        name: "free_sed".into(),
        threshold: 5.488,
        peaks,
        negative_peaks: Vec::new(),
        area_arcmin2: (side / 60.0).powi(2),
        n_bands: 3,
        l2_per_arcsec2: f64::NAN,
    };
    input(truth_table(&truth), catalog(&rows), vec![layer])
}

fn sky(source: &Source) -> (f64, f64) {
    // At the equator the sky is flat: distances are exact to 1e-6 within ten arcmin.
    (CENTRE.0 + source.x / 3600.0, CENTRE.1 + source.y / 3600.0)
}

pub(super) fn input(truth: Table, catalog: Table, layers: Vec<LayerPeaks>) -> ValidateInput {
    let layers = if layers.is_empty() {
        let layer = |name: &str, threshold: f64, n_bands: usize| LayerPeaks {
            name: name.into(),
            threshold,
            peaks: Vec::new(),
            negative_peaks: Vec::new(),
            area_arcmin2: 1.0,
            n_bands,
            l2_per_arcsec2: f64::NAN,
        };
        vec![layer("free_sed", 5.488, 3), layer("r", 5.0, 1)]
    } else {
        layers
    };
    ValidateInput {
        bands: BANDS.map(String::from).to_vec(),
        fwhm_arcsec: vec![FWHM; 3],
        sqrt_l2: vec![SQRT_L2; 3],
        skewness: Vec::new(),
        arms: vec![ArmData { name: "main".into(), truth, blend_fisher: Table::new(), catalog, layers }],
        control: None,
        seed: 3,
        assessed: crate::assess::Assessed::default(),
    }
}

/// Fills a table column by column.
struct Columns<'s> {
    table: Table,
    sources: &'s [Source],
}

impl Columns<'_> {
    fn put(&mut self, name: &str, data: ColumnData) {
        self.table.push(name, "", "", data).expect("all columns are made of the same sources");
    }

    fn numbers(&mut self, name: &str, of: impl Fn(&Source) -> f64) {
        self.put(name, ColumnData::F64(self.sources.iter().map(of).collect()));
    }

    fn ids(&mut self, name: &str) {
        self.put(name, ColumnData::I64((1..=self.sources.len() as i64).collect()));
    }

    fn flags(&mut self, name: &str, value: bool) {
        self.put(name, ColumnData::Bool(vec![value; self.sources.len()]));
    }
}

pub(super) fn truth_table(sources: &[Source]) -> Table {
    let mut columns = Columns { table: Table::new(), sources };
    columns.ids("id");
    columns.numbers("ra", |s| sky(s).0);
    columns.numbers("dec", |s| sky(s).1);
    let class = |s: &Source| if s.half_light_radius > 0.0 { "galaxy".to_owned() } else { "star".to_owned() };
    columns.put("class", ColumnData::Text(sources.iter().map(class).collect()));
    for (b, band) in BANDS.iter().enumerate() {
        columns.numbers(&format!("{band}_flux"), |s| s.flux[b]);
        columns.numbers(&format!("{band}_snr_true"), |s| s.flux[b] / SIGMA[b]);
        columns.numbers(&format!("{band}_flux_err_limit"), |_| SIGMA[b]);
    }
    columns.numbers("half_light_radius", |s| s.half_light_radius);
    columns.numbers("axis_ratio", |s| s.axis_ratio);
    columns.numbers("position_angle", |s| s.position_angle_deg);
    columns.flags("is_usable", true);
    columns.table
}

/// Moments of the PSF and of the object's own Gaussian \[arcsec²\]: xx, yy, xy, x to the west.
fn moments(s: &Source) -> [f64; 3] {
    let trace = 2.0 * (s.half_light_radius / 1.177_41).powi(2) * s.axis_ratio;
    let e = (1.0 - s.axis_ratio.powi(2)) / (1.0 + s.axis_ratio.powi(2));
    let (sin, cos) = (2.0 * s.position_angle_deg.to_radians()).sin_cos();
    [PSF_MOMENT + 0.5 * trace * (1.0 - e * cos), PSF_MOMENT + 0.5 * trace * (1.0 + e * cos), -0.5 * trace * e * sin]
}

pub(super) fn catalog(sources: &[Source]) -> Table {
    let mut columns = Columns { table: Table::new(), sources };
    columns.ids("id");
    columns.ids("parent_id");
    columns.flags("is_primary", true);
    columns.numbers("ra", |s| sky(s).0);
    columns.numbers("dec", |s| sky(s).1);
    columns.numbers("ra_err", |s| s.err_arcsec);
    columns.numbers("dec_err", |s| s.err_arcsec);
    for (b, band) in BANDS.iter().enumerate() {
        columns.numbers(&format!("{band}_psf_flux"), |s| s.flux[b]);
        columns.numbers(&format!("{band}_psf_flux_err"), |_| SIGMA[b]);
        columns.flags(&format!("{band}_psf_flux_flag"), false);
        for (k, name) in ["xx", "yy", "xy"].iter().enumerate() {
            columns.numbers(&format!("{band}_moment_{name}"), |s| moments(s)[k]);
        }
        columns.flags(&format!("{band}_moments_flag"), false);
    }
    columns.numbers("detect_snr", |s| (0..3).map(|b| (s.flux[b] / SIGMA[b]).powi(2)).sum::<f64>().sqrt());
    columns.table
}

//! One arm as plain records: truth and detections on a tangent plane, and who lies near whom.

use crate::theory::{TheoryLayer, any_layer_completeness, snr50};
use crate::{ArmData, ValidateConfig, ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};
use rayon::prelude::*;
use rstar::RTree;
use rstar::primitives::GeomWithData;

/// Draws of the Monte Carlo completeness per object: 3 % each, and objects are averaged.
const N_DRAWS: usize = 256;
/// A truth without another within this many FWHM is isolated.
const ISOLATION_FWHM: f64 = 3.0;
/// S/N of a neighbour that spoils isolation.
const ISOLATION_SNR: f64 = 2.0;
/// Name of the layer that combines all bands.
pub const FREE_SED: &str = "free_sed";

/// AB magnitude of a flux in nJy.
#[must_use]
pub fn magnitude(flux_njy: f64) -> f64 {
    31.4 - 2.5 * flux_njy.log10()
}

/// Points on a plane \[arcsec\], found by distance.
#[derive(Debug)]
pub struct Neighbours(RTree<GeomWithData<[f64; 2], usize>>);

impl Neighbours {
    /// Indexes the points by their order.
    #[must_use]
    pub fn new(points: impl Iterator<Item = [f64; 2]>) -> Self {
        // A point without a position (NaN) has no neighbours.
        let points = points.enumerate().filter(|(_, p)| p[0].is_finite() && p[1].is_finite());
        Self(RTree::bulk_load(points.map(|(i, p)| GeomWithData::new(p, i)).collect()))
    }

    /// Indices and distances of all points within `radius`, nearest first, ties by index.
    #[must_use]
    pub fn within(&self, point: [f64; 2], radius: f64) -> Vec<(usize, f64)> {
        if !(point[0].is_finite() && point[1].is_finite()) {
            return Vec::new();
        }
        let distance = |p: &[f64; 2]| (p[0] - point[0]).hypot(p[1] - point[1]);
        let mut found: Vec<(usize, f64)> =
            self.0.locate_within_distance(point, radius * radius).map(|p| (p.data, distance(p.geom()))).collect();
        found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found
    }
}

/// Tangent plane at a point of the sky.
#[derive(Debug, Clone, Copy)]
pub struct TangentPlane {
    ra0: f64,
    dec0: f64,
}

impl TangentPlane {
    /// At the mean direction of the points (ra, dec \[deg\]).
    #[must_use]
    pub fn at_mean(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut sum = [0.0; 3];
        for (ra, dec) in points.filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let (ra, dec) = (ra.to_radians(), dec.to_radians());
            sum[0] += dec.cos() * ra.cos();
            sum[1] += dec.cos() * ra.sin();
            sum[2] += dec.sin();
        }
        Self { ra0: sum[1].atan2(sum[0]), dec0: sum[2].atan2(sum[0].hypot(sum[1])) }
    }

    /// Gnomonic coordinates \[arcsec\]: east, north.
    #[must_use]
    pub fn project(&self, ra_deg: f64, dec_deg: f64) -> [f64; 2] {
        let (ra, dec) = (ra_deg.to_radians() - self.ra0, dec_deg.to_radians());
        let cos_distance = self.dec0.sin() * dec.sin() + self.dec0.cos() * dec.cos() * ra.cos();
        let x = dec.cos() * ra.sin() / cos_distance;
        let y = (self.dec0.cos() * dec.sin() - self.dec0.sin() * dec.cos() * ra.cos()) / cos_distance;
        [x.to_degrees() * 3600.0, y.to_degrees() * 3600.0]
    }
}

/// One true object.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Id.
    pub id: i64,
    /// `star`, `galaxy`, ...
    pub class: String,
    /// Point on the tangent plane \[arcsec\].
    pub point: [f64; 2],
    /// Total flux per band \[nJy\].
    pub flux: Vec<f64>,
    /// True S/N per band; NaN without data.
    pub snr: Vec<f64>,
    /// Cramér-Rao bound of the flux per band \[nJy\].
    pub flux_err_limit: Vec<f64>,
    /// √Σ max(S/N, 0)² over the bands with data.
    pub snr_all: f64,
    /// Covered, unmasked and clear of control-run parents.
    pub is_usable: bool,
    /// Usable and bright enough to count.
    pub counts: bool,
    /// No half-light radius.
    pub is_point: bool,
    /// No other truth above S/N 2 within 3 FWHM.
    pub is_isolated: bool,
    /// Above the theoretical 50 % point of at least one layer.
    pub is_detectable: bool,
    /// Nearest other detectable truth: index, distance \[arcsec\]; within 3 FWHM.
    pub neighbour: Option<(usize, f64)>,
    /// Probability of detection in any layer, if isolated.
    pub expected: f64,
}

impl Truth {
    /// Magnitude in a band; of the mean flux of all bands for none. NaN for no flux.
    #[must_use]
    pub fn magnitude(&self, band: Option<usize>) -> f64 {
        magnitude(of_band(&self.flux, band))
    }

    /// True S/N in a band, or of all.
    #[must_use]
    pub fn snr_of(&self, band: Option<usize>) -> f64 {
        band.map_or(self.snr_all, |b| self.snr[b])
    }
}

/// One primary row of the catalog.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Row of the catalog.
    pub row: usize,
    /// Id.
    pub id: i64,
    /// Id of the parent.
    pub parent_id: i64,
    /// Alone in its parent.
    pub is_single: bool,
    /// Point on the tangent plane \[arcsec\].
    pub point: [f64; 2],
    /// Errors of it \[arcsec\].
    pub point_err: [f64; 2],
    /// PSF flux per band \[nJy\]; NaN where flagged.
    pub flux: Vec<f64>,
    /// Its error.
    pub flux_err: Vec<f64>,
    /// Significance of the detection; NaN if the catalog does not say.
    pub snr: f64,
}

impl Detection {
    /// Measured magnitude in a band; of the mean flux of all bands for none.
    #[must_use]
    pub fn magnitude(&self, band: Option<usize>) -> f64 {
        magnitude(of_band(&self.flux, band))
    }
}

fn of_band(flux: &[f64], band: Option<usize>) -> f64 {
    band.map_or_else(|| flux.iter().sum::<f64>() / flux.len() as f64, |b| flux[b])
}

/// Truth and detections of one arm.
#[derive(Debug)]
pub struct Scene {
    /// Name of the arm.
    pub name: String,
    /// There is a truth catalog, be it without rows (pure noise).
    pub has_truth: bool,
    /// Its rows.
    pub truth: Vec<Truth>,
    /// Primary rows of the catalog.
    pub detections: Vec<Detection>,
    /// Truth by position.
    pub truth_near: Neighbours,
    /// Detections by position.
    pub detections_near: Neighbours,
    /// Where the sky touches the plane.
    pub plane: TangentPlane,
}

impl Scene {
    /// Reads the tables of one arm.
    ///
    /// # Errors
    /// [`ValidationError::Table`] if a table lacks a column.
    pub fn new(config: &ValidateConfig, input: &ValidateInput, arm: &ArmData, i_arm: usize) -> Result<Self, ValidationError> {
        let wrong =
            |table: &'static str| move |source: TableError| ValidationError::Table { what: format!("{table} of {}", arm.name), source };
        let fwhm = mean_fwhm(input);
        let plane = plane_of(arm).map_err(wrong("catalog"))?;
        let detections = read_detections(input, &arm.catalog, &plane).map_err(wrong("catalog"))?;
        let has_truth = !arm.truth.columns().is_empty();
        let mut truth = if has_truth { read_truth(config, input, &arm.truth, &plane).map_err(wrong("truth"))? } else { Vec::new() };
        let truth_near = Neighbours::new(truth.iter().map(|t| t.point));

        let layers = theory_layers(input, arm);
        for t in &mut truth {
            t.is_detectable = t.is_usable && layers.iter().any(|(layer, limit)| layer_snr(&t.snr, layer) >= *limit);
        }
        let near: Vec<_> = truth
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let others = || truth_near.within(t.point, ISOLATION_FWHM * fwhm).into_iter().filter(move |n| n.0 != i);
                let is_isolated = others().all(|(j, _)| truth[j].snr_all.is_nan() || truth[j].snr_all <= ISOLATION_SNR);
                (is_isolated, others().find(|&(j, _)| truth[j].is_detectable))
            })
            .collect();
        for (t, (is_isolated, neighbour)) in truth.iter_mut().zip(near) {
            t.is_isolated = is_isolated;
            t.neighbour = neighbour;
        }
        let theory: Vec<TheoryLayer> = layers.into_iter().map(|l| l.0).collect();
        truth.par_iter_mut().filter(|t| t.counts).for_each(|t| {
            t.expected = any_layer_completeness(&t.snr, &theory, (input.seed, i_arm as u64, t.id as u64), N_DRAWS);
        });
        let detections_near = Neighbours::new(detections.iter().map(|d| d.point));
        Ok(Self { name: arm.name.clone(), has_truth, truth, detections, truth_near, detections_near, plane })
    }
}

/// Mean FWHM of the bands \[arcsec\].
#[must_use]
pub fn mean_fwhm(input: &ValidateInput) -> f64 {
    input.fwhm_arcsec.iter().sum::<f64>() / input.fwhm_arcsec.len().max(1) as f64
}

/// Layers of an arm that theory knows, with the S/N at which each finds half.
#[must_use]
pub fn theory_layers(input: &ValidateInput, arm: &ArmData) -> Vec<(TheoryLayer, f64)> {
    arm.layers
        .iter()
        .filter_map(|layer| {
            let kind = match input.bands.iter().position(|b| *b == layer.name) {
                Some(band) => TheoryLayer::Band(band, layer.threshold),
                None if layer.name == FREE_SED => TheoryLayer::FreeSed(layer.threshold),
                None => return None,
            };
            let n_bands = if layer.name == FREE_SED { layer.n_bands } else { 1 };
            Some((kind, snr50(layer.threshold, n_bands)))
        })
        .collect()
}

/// True S/N that a layer sees.
#[must_use]
pub fn layer_snr(snr: &[f64], layer: &TheoryLayer) -> f64 {
    match *layer {
        TheoryLayer::Band(band, _) => snr[band],
        TheoryLayer::FreeSed(_) => root_sum_square(snr),
    }
}

fn root_sum_square(snr: &[f64]) -> f64 {
    if snr.iter().all(|s| s.is_nan()) {
        return f64::NAN;
    }
    // max() ignores NaN: a band without data adds nothing.
    snr.iter().map(|s| s.max(0.0).powi(2)).sum::<f64>().sqrt()
}

fn plane_of(arm: &ArmData) -> Result<TangentPlane, TableError> {
    let mut points = Vec::new();
    for table in [&arm.truth, &arm.catalog] {
        if !table.columns().is_empty() {
            points.extend(table.f64("ra")?.iter().copied().zip(table.f64("dec")?.iter().copied()));
        }
    }
    Ok(TangentPlane::at_mean(points.into_iter()))
}

fn read_truth(config: &ValidateConfig, input: &ValidateInput, table: &Table, plane: &TangentPlane) -> Result<Vec<Truth>, TableError> {
    let per_band = |suffix: &str| input.bands.iter().map(|b| table.f64(&format!("{b}_{suffix}"))).collect::<Result<Vec<_>, _>>();
    let (flux, snr, limit) = (per_band("flux")?, per_band("snr_true")?, per_band("flux_err_limit")?);
    let (id, ra, dec) = (table.i64("id")?, table.f64("ra")?, table.f64("dec")?);
    let (class, radius, is_usable) = (table.text("class")?, table.f64("half_light_radius")?, table.bool("is_usable")?);
    let row = |i: usize| {
        let snr: Vec<f64> = snr.iter().map(|c| c[i]).collect();
        let snr_all = root_sum_square(&snr);
        Truth {
            id: id[i],
            class: class[i].clone(),
            point: plane.project(ra[i], dec[i]),
            flux: flux.iter().map(|c| c[i]).collect(),
            snr,
            flux_err_limit: limit.iter().map(|c| c[i]).collect(),
            snr_all,
            is_usable: is_usable[i],
            counts: is_usable[i] && snr_all >= config.ignore_below_snr,
            is_point: radius[i] <= 0.0,
            is_isolated: false,
            is_detectable: false,
            neighbour: None,
            expected: f64::NAN,
        }
    };
    Ok((0..table.n_rows()).map(row).collect())
}

fn read_detections(input: &ValidateInput, table: &Table, plane: &TangentPlane) -> Result<Vec<Detection>, TableError> {
    if table.columns().is_empty() {
        return Ok(Vec::new());
    }
    let mut fluxes = Vec::new();
    for band in &input.bands {
        let [flux, err] = ["", "_err"].map(|end| table.f64(&format!("{band}_psf_flux{end}")));
        fluxes.push((flux?, err?, table.bool(&format!("{band}_psf_flux_flag"))?));
    }
    let (id, parent_id, is_primary) = (table.i64("id")?, table.i64("parent_id")?, table.bool("is_primary")?);
    let (ra, dec, ra_err, dec_err) = (table.f64("ra")?, table.f64("dec")?, table.f64("ra_err")?, table.f64("dec_err")?);
    let snr = if table.has("detect_snr") { Some(table.f64("detect_snr")?) } else { None };
    let rows: Vec<usize> = (0..table.n_rows()).filter(|&i| is_primary[i]).collect();
    let mut parents: Vec<i64> = rows.iter().map(|&i| parent_id[i]).collect();
    parents.sort_unstable();
    let n_siblings = |parent: i64| parents.partition_point(|&p| p <= parent) - parents.partition_point(|&p| p < parent);
    let clean = |values: &(&[f64], &[f64], &[bool]), i: usize, value: f64| if values.2[i] { f64::NAN } else { value };
    Ok(rows
        .iter()
        .map(|&i| Detection {
            row: i,
            id: id[i],
            parent_id: parent_id[i],
            is_single: n_siblings(parent_id[i]) == 1,
            point: plane.project(ra[i], dec[i]),
            point_err: [ra_err[i], dec_err[i]],
            flux: fluxes.iter().map(|f| clean(f, i, f.0[i])).collect(),
            flux_err: fluxes.iter().map(|f| clean(f, i, f.1[i])).collect(),
            snr: snr.map_or(f64::NAN, |s| s[i]),
        })
        .collect())
}

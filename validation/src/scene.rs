//! One arm as plain records: truth and detections on a tangent plane, and who lies near whom.

use crate::limit::{TheoryLayer, any_layer_completeness, snr50};
pub use crate::neighbours::Neighbours;
pub use crate::tangent_plane::TangentPlane;
use crate::{ArmData, ValidateConfig, ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};
use rayon::prelude::*;

/// Draws of the Monte Carlo completeness per object: 3 % each, and objects are averaged.
const N_DRAWS: usize = 256;
/// So far above the threshold of a layer all are found: noise of 7 sigma would have to bring it down.
const CERTAIN_SIGMA: f64 = 7.0;
/// A truth without another within this many FWHM is isolated.
const ISOLATION_FWHM: f64 = 3.0;
/// S/N of a neighbour that spoils isolation.
const ISOLATION_SNR: f64 = 2.0;
/// Within this many FWHM neighbours make the local density, and a brighter one is looked for.
const SURROUNDINGS_FWHM: f64 = 10.0;
/// Name of the layer that combines all bands.
pub const FREE_SED: &str = "free_sed";

/// AB magnitude of a flux in nJy.
#[must_use]
pub fn magnitude(flux_njy: f64) -> f64 {
    31.4 - 2.5 * flux_njy.log10()
}

/// One true object.
#[derive(Debug, Clone)]
pub struct Truth<'a> {
    /// Id.
    pub id: i64,
    /// `star`, `galaxy`, ...
    pub class: &'a str,
    /// Point on the tangent plane \[arcsec\].
    pub point: [f64; 2],
    /// Half-light radius \[arcsec\]; 0 for a point source.
    pub half_light_radius: f64,
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
    /// Distance of the nearest truth of higher S/N \[arcsec\]; infinite beyond 10 FWHM.
    pub brighter_arcsec: f64,
    /// Other truth above S/N 2 within 10 FWHM \[1/arcmin²\].
    pub density: f64,
    /// Probability of detection in any layer, if isolated; NaN if it does not count.
    pub expected: f64,
}

/// What the truth table says of one band, by row.
#[derive(Debug, Clone, Copy)]
pub struct TruthBand<'a> {
    /// Total flux \[nJy\].
    pub flux: &'a [f64],
    /// True S/N of the peak in the likelihood map; NaN without data.
    pub snr: &'a [f64],
    /// Cramér-Rao bound of a point source's flux \[nJy\].
    pub flux_err_limit: &'a [f64],
    /// Bound of the flux alone, the object's own shape known \[nJy\].
    pub flux_err_alone: Option<&'a [f64]>,
    /// Bound of the flux with the fluxes of its blend unknown \[nJy\].
    pub flux_err_blend: Option<&'a [f64]>,
    /// S/N of the object's own matched filter.
    pub snr_optimal: Option<&'a [f64]>,
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
    /// Significance of the detection; NaN if the catalog does not say.
    pub snr: f64,
}

/// PSF fluxes of one band, by row of the catalog.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredBand<'a> {
    flux: &'a [f64],
    err: &'a [f64],
    flag: &'a [bool],
    blendedness: Option<&'a [f64]>,
}

impl MeasuredBand<'_> {
    /// Flux and error \[nJy\]; NaN where flagged.
    #[must_use]
    pub fn at(&self, row: usize) -> (f64, f64) {
        if self.flag[row] { (f64::NAN, f64::NAN) } else { (self.flux[row], self.err[row]) }
    }

    /// Share of others' light under the object; NaN if the catalog does not say.
    #[must_use]
    pub fn blendedness(&self, row: usize) -> f64 {
        self.blendedness.map_or(f64::NAN, |b| b[row])
    }
}

/// Truth and detections of one arm.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Name of the arm.
    pub name: &'a str,
    /// There is a truth catalog, be it without rows (pure noise).
    pub has_truth: bool,
    /// Its rows.
    pub truth: Vec<Truth<'a>>,
    /// Its bands.
    pub truth_bands: Vec<TruthBand<'a>>,
    /// Primary rows of the catalog.
    pub detections: Vec<Detection>,
    /// PSF fluxes of the catalog; none for a catalog without columns.
    pub measured: Vec<MeasuredBand<'a>>,
    /// Truth by position.
    pub truth_near: Neighbours,
    /// Detections by position.
    pub detections_near: Neighbours,
    /// Where the sky touches the plane.
    pub plane: TangentPlane,
}

impl<'a> Scene<'a> {
    /// Reads the tables of one arm.
    ///
    /// # Errors
    /// [`ValidationError::Table`] if a table lacks a column.
    pub fn new(config: &ValidateConfig, input: &'a ValidateInput, arm: &'a ArmData, i_arm: usize) -> Result<Self, ValidationError> {
        let wrong =
            |table: &'static str| move |source: TableError| ValidationError::Table { what: format!("{table} of {}", arm.name), source };
        let plane = plane_of(arm).map_err(wrong("catalog"))?;
        let measured = read_measured(input, &arm.catalog).map_err(wrong("catalog"))?;
        let detections = read_detections(&arm.catalog, &plane).map_err(wrong("catalog"))?;
        let has_truth = !arm.truth.columns().is_empty();
        let truth_bands = if has_truth { read_bands(input, &arm.truth).map_err(wrong("truth"))? } else { Vec::new() };
        let truth = if has_truth { read_truth(config, &arm.truth, &truth_bands, &plane).map_err(wrong("truth"))? } else { Vec::new() };
        let detections_near = Neighbours::new(detections.iter().map(|d| d.point));
        let truth_near = Neighbours::new(truth.iter().map(|t| t.point));
        let mut scene = Self { name: &arm.name, has_truth, truth, truth_bands, detections, measured, truth_near, detections_near, plane };
        let layers = theory_layers(input, arm);
        scene.find_detectable(&layers);
        scene.look_around(mean_fwhm(input));
        scene.expect(&layers, input.seed, i_arm as u64);
        Ok(scene)
    }

    /// True S/N per band of a truth object.
    #[must_use]
    pub fn snr(&self, i: usize) -> Vec<f64> {
        self.truth_bands.iter().map(|b| b.snr[i]).collect()
    }

    /// True S/N in a band, or of all.
    #[must_use]
    pub fn snr_of(&self, i: usize, band: Option<usize>) -> f64 {
        band.map_or(self.truth[i].snr_all, |b| self.truth_bands[b].snr[i])
    }

    /// Magnitude of a truth object in a band; of the mean flux of all bands for none. NaN for no flux.
    #[must_use]
    pub fn true_magnitude(&self, i: usize, band: Option<usize>) -> f64 {
        let n = self.truth_bands.len() as f64;
        magnitude(band.map_or_else(|| self.truth_bands.iter().map(|b| b.flux[i]).sum::<f64>() / n, |b| self.truth_bands[b].flux[i]))
    }

    /// Measured magnitude of a detection in a band; of the mean flux of all bands for none.
    #[must_use]
    pub fn measured_magnitude(&self, d: &Detection, band: Option<usize>) -> f64 {
        let n = self.measured.len() as f64;
        magnitude(band.map_or_else(|| self.measured.iter().map(|b| b.at(d.row).0).sum::<f64>() / n, |b| self.measured[b].at(d.row).0))
    }

    fn find_detectable(&mut self, layers: &[(TheoryLayer, f64)]) {
        let bands = &self.truth_bands;
        self.truth.par_iter_mut().enumerate().for_each(|(i, t)| {
            let snr: Vec<f64> = bands.iter().map(|b| b.snr[i]).collect();
            t.is_detectable = t.is_usable && layers.iter().any(|(layer, limit)| layer_snr(&snr, layer) >= *limit);
        });
    }

    fn look_around(&mut self, fwhm: f64) {
        let is_seen = |t: &Truth| t.snr_all.is_nan() || t.snr_all > ISOLATION_SNR;
        // Faint truth is everywhere; what no one sees is not in the way of searches.
        let seen: Vec<usize> = (0..self.truth.len()).filter(|&i| is_seen(&self.truth[i])).collect();
        let near = Neighbours::new(seen.iter().map(|&i| self.truth[i].point));
        let radius = SURROUNDINGS_FWHM * fwhm;
        let area_arcmin2 = std::f64::consts::PI * (radius / 60.0).powi(2);
        let truth = &self.truth;
        let found: Vec<_> = truth
            .par_iter()
            .enumerate()
            .map(|(i, t)| {
                let (mut is_isolated, mut brighter, mut n) = (true, f64::INFINITY, 0u32);
                let mut neighbour: Option<(usize, f64)> = None;
                near.each_within(t.point, radius, |k, distance| {
                    let j = seen[k];
                    if j == i {
                        return;
                    }
                    n += 1;
                    is_isolated &= distance > ISOLATION_FWHM * fwhm;
                    // Of two alike the first in the catalog is the brighter: one of a pair always is.
                    if truth[j].snr_all > t.snr_all || (truth[j].snr_all >= t.snr_all && j < i) {
                        brighter = brighter.min(distance);
                    }
                    let is_nearer = neighbour.is_none_or(|b| distance < b.1 || (distance <= b.1 && j < b.0));
                    if truth[j].is_detectable && distance <= ISOLATION_FWHM * fwhm && is_nearer {
                        neighbour = Some((j, distance));
                    }
                });
                (is_isolated, neighbour, brighter, f64::from(n) / area_arcmin2)
            })
            .collect();
        for (t, (is_isolated, neighbour, brighter, density)) in self.truth.iter_mut().zip(found) {
            t.is_isolated = is_isolated;
            t.neighbour = neighbour;
            t.brighter_arcsec = brighter;
            t.density = density;
        }
    }

    fn expect(&mut self, layers: &[(TheoryLayer, f64)], seed: u64, i_arm: u64) {
        let theory: Vec<TheoryLayer> = layers.iter().map(|l| l.0.clone()).collect();
        let bands = &self.truth_bands;
        self.truth.par_iter_mut().enumerate().filter(|(_, t)| t.counts).for_each(|(i, t)| {
            let snr: Vec<f64> = bands.iter().map(|b| b.snr[i]).collect();
            let is_certain = layers.iter().any(|(layer, limit)| layer_snr(&snr, layer) >= limit + CERTAIN_SIGMA);
            t.expected = if is_certain { 1.0 } else { any_layer_completeness(&snr, &theory, (seed, i_arm, t.id as u64), N_DRAWS) };
        });
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
        TheoryLayer::FreeSed(_) => root_sum_square(snr.iter().copied()),
    }
}

fn root_sum_square(snr: impl Iterator<Item = f64>) -> f64 {
    // max() ignores NaN: a band without data adds nothing; without any band nothing is known.
    let (sum, n) = snr.fold((0.0, 0), |(sum, n), s| (sum + s.max(0.0).powi(2), n + usize::from(!s.is_nan())));
    if n == 0 { f64::NAN } else { f64::sqrt(sum) }
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

/// A column that may be missing.
pub(crate) fn optional<'a>(table: &'a Table, name: &str) -> Result<Option<&'a [f64]>, TableError> {
    if table.has(name) { table.f64(name).map(Some) } else { Ok(None) }
}

fn read_bands<'a>(input: &ValidateInput, table: &'a Table) -> Result<Vec<TruthBand<'a>>, TableError> {
    let band = |b: &String| {
        Ok(TruthBand {
            flux: table.f64(&format!("{b}_flux"))?,
            snr: table.f64(&format!("{b}_snr_true"))?,
            flux_err_limit: table.f64(&format!("{b}_flux_err_limit"))?,
            flux_err_alone: optional(table, &format!("{b}_flux_err_alone"))?,
            flux_err_blend: optional(table, &format!("{b}_flux_err_blend"))?,
            snr_optimal: optional(table, &format!("{b}_snr_optimal"))?,
        })
    };
    input.bands.iter().map(band).collect()
}

fn read_truth<'a>(
    config: &ValidateConfig,
    table: &'a Table,
    bands: &[TruthBand],
    plane: &TangentPlane,
) -> Result<Vec<Truth<'a>>, TableError> {
    let (id, ra, dec) = (table.i64("id")?, table.f64("ra")?, table.f64("dec")?);
    let (class, radius, is_usable) = (table.text("class")?, table.f64("half_light_radius")?, table.bool("is_usable")?);
    let row = |i: usize| {
        let snr_all = root_sum_square(bands.iter().map(|b| b.snr[i]));
        let point = plane.project(ra[i], dec[i]);
        // What has no place cannot be found.
        let is_usable = is_usable[i] && point[0].is_finite() && point[1].is_finite();
        Truth {
            id: id[i],
            class: &class[i],
            point,
            half_light_radius: radius[i].max(0.0),
            snr_all,
            is_usable,
            counts: is_usable && snr_all >= config.ignore_below_snr,
            is_point: radius[i] <= 0.0,
            is_isolated: false,
            is_detectable: false,
            neighbour: None,
            brighter_arcsec: f64::INFINITY,
            density: 0.0,
            expected: f64::NAN,
        }
    };
    Ok((0..table.n_rows()).map(row).collect())
}

fn read_measured<'a>(input: &ValidateInput, table: &'a Table) -> Result<Vec<MeasuredBand<'a>>, TableError> {
    if table.columns().is_empty() {
        return Ok(Vec::new());
    }
    let band = |b: &String| {
        let [flux, err] = ["", "_err"].map(|end| table.f64(&format!("{b}_psf_flux{end}")));
        let flag = table.bool(&format!("{b}_psf_flux_flag"))?;
        Ok(MeasuredBand { flux: flux?, err: err?, flag, blendedness: optional(table, &format!("{b}_blendedness"))? })
    };
    input.bands.iter().map(band).collect()
}

fn read_detections(table: &Table, plane: &TangentPlane) -> Result<Vec<Detection>, TableError> {
    if table.columns().is_empty() {
        return Ok(Vec::new());
    }
    let (id, parent_id, is_primary) = (table.i64("id")?, table.i64("parent_id")?, table.bool("is_primary")?);
    let (ra, dec, ra_err, dec_err) = (table.f64("ra")?, table.f64("dec")?, table.f64("ra_err")?, table.f64("dec_err")?);
    let snr = optional(table, "detect_snr")?;
    let rows: Vec<usize> = (0..table.n_rows()).filter(|&i| is_primary[i]).collect();
    let mut parents: Vec<i64> = rows.iter().map(|&i| parent_id[i]).collect();
    parents.sort_unstable();
    let n_siblings = |parent: i64| parents.partition_point(|&p| p <= parent) - parents.partition_point(|&p| p < parent);
    Ok(rows
        .iter()
        .map(|&i| Detection {
            row: i,
            id: id[i],
            parent_id: parent_id[i],
            is_single: n_siblings(parent_id[i]) == 1,
            point: plane.project(ra[i], dec[i]),
            point_err: [ra_err[i], dec_err[i]],
            snr: snr.map_or(f64::NAN, |s| s[i]),
        })
        .collect())
}

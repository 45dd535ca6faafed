//! From catalog and truth to metrics.

use crate::Metric;
use crate::assess::Assessed;
use crate::matching::{DetectionFate, TruthFate};
use crate::metric::{association, astrometry, background, coadd, completeness, confusion, deblending, false_positives, photometry, purity};
use crate::plot::{Plot, figures};
use crate::scene::{Detection, Truth};
use crate::survey::Survey;
use fathom::catalog::{ColumnData, Table, TableError};
use serde::{Deserialize, Serialize};

/// Settings: section `[validate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    /// Largest distance of a match \[FWHM\].
    pub match_radius_fwhm: f64,
    /// Width of a magnitude bin.
    pub magnitude_bin: f64,
    /// Truth fainter than this true S/N (all bands together) does not count as missed; a detection near one of at least half
    /// of it is not spurious either. Still fainter truth explains nothing.
    pub ignore_below_snr: f64,
    /// Bootstrap resamplings.
    pub n_bootstrap: usize,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self { match_radius_fwhm: 1.0, magnitude_bin: 0.25, ignore_below_snr: 2.0, n_bootstrap: 400 }
    }
}

/// Peaks of one detection layer of one arm.
#[derive(Debug, Clone)]
pub struct LayerPeaks {
    /// `free_sed` or a band.
    pub name: String,
    /// Threshold in the layer's own statistic, as are the significances: ν = Ψ/√Φ of a band; for `free_sed` T = √Σ max(ν_b, 0)².
    pub threshold: f64,
    /// Positions \[deg\] and significances of the positive peaks: ra, dec, significance.
    pub peaks: Vec<[f64; 3]>,
    /// The same of the negated map.
    pub negative_peaks: Vec<[f64; 3]>,
    /// Area with data \[arcmin²\].
    pub area_arcmin2: f64,
    /// Bands with data in the layer (1 for a band).
    pub n_bands: usize,
}

/// One arm of a run.
#[derive(Debug, Clone)]
pub struct ArmData {
    /// `control`, `real_00`, ... or `main`.
    pub name: String,
    /// Truth with the limits joined in: `<band>_snr_true` (F √Φ at the true position, NaN without data), `<band>_flux_err_limit`,
    /// `is_usable` (bool: covered in all bands, no bad mask within 1 FWHM, not near a control-run parent). No columns: no
    /// truth is known; columns but no rows: it is known that nothing is there.
    pub truth: Table,
    /// The catalog (design section 5).
    pub catalog: Table,
    /// Peaks by layer; the same layers in the same order in every arm.
    pub layers: Vec<LayerPeaks>,
}

/// Everything that validation needs.
#[derive(Debug, Clone)]
pub struct ValidateInput {
    /// Bands, in the order of the run.
    pub bands: Vec<String>,
    /// Mean FWHM of the PSF per band \[arcsec\].
    pub fwhm_arcsec: Vec<f64>,
    /// √l2 per band \[1/arcsec\]: a position error is 1/(ν √l2).
    pub sqrt_l2: Vec<f64>,
    /// Skewness γ of the noise of the detection map per band; scales expected peak densities by 1 ± (γ/6)(ν³ - 3ν). Empty: 0.
    pub skewness: Vec<f64>,
    /// Arms with truth: one for a simulation, several realisations of an injection.
    pub arms: Vec<ArmData>,
    /// The run without injection, if any: its detections are real objects, not spurious ones.
    pub control: Option<ArmData>,
    /// Seed of the Monte Carlo curves.
    pub seed: u64,
    /// What single products say beside the truth.
    pub assessed: Assessed,
}

/// Why validation could not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ValidationError {
    /// A setting out of range.
    #[error("validate.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// A table lacks a column.
    #[error("{what}: {source}")]
    Table {
        /// Which table.
        what: String,
        /// Reason.
        source: fathom::catalog::TableError,
    },
    /// A plot could not be drawn.
    #[error("plot {name}: {why}")]
    Plot {
        /// Plot.
        name: String,
        /// Reason.
        why: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] std::sync::Arc<fathom::format::FormatError>),
}

/// What validation makes.
#[derive(Debug, Clone)]
pub struct Validated {
    /// Settings they were made with; the report matches by them again.
    pub config: ValidateConfig,
    /// Figures.
    pub metrics: Vec<Metric>,
    /// Plots of them, in the order of the page.
    pub plots: Vec<Plot>,
    /// One row a truth object or unmatched detection, per arm: `arm`, `truth_id`, `object_id` (0: none), `separation_arcsec`, `status`
    /// (`matched`, `missed`, `spurious`, `real`, `ignored`, `ambiguous`), `parent_id`.
    pub matches: Table,
    /// The blends whose light is divided worst, worst first: `arm`, `parent_id`, `score`, `n_children`, `n_truth`.
    pub worst_blends: Table,
}

impl ValidateConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ValidationError::Config`] if one is out of range.
    pub fn check(&self) -> Result<(), ValidationError> {
        let refuse = |key, found: String, expected| Err(ValidationError::Config { key, found, expected });
        if !(self.match_radius_fwhm > 0.0 && self.match_radius_fwhm <= 10.0) {
            return refuse("match_radius_fwhm", self.match_radius_fwhm.to_string(), "a number in 0..10");
        }
        if !(self.magnitude_bin >= 0.01 && self.magnitude_bin <= 5.0) {
            return refuse("magnitude_bin", self.magnitude_bin.to_string(), "a number in 0.01..5");
        }
        if !(self.ignore_below_snr >= 0.0 && self.ignore_below_snr.is_finite()) {
            return refuse("ignore_below_snr", self.ignore_below_snr.to_string(), "a number of at least 0");
        }
        if self.n_bootstrap < 2 {
            return refuse("n_bootstrap", self.n_bootstrap.to_string(), "at least 2");
        }
        Ok(())
    }
}

/// Matches and measures.
///
/// All arms are pooled. Intervals hold 95 %. The same input gives the same bits on any number of threads.
///
/// # Errors
/// [`ValidationError`].
pub fn validate(config: &ValidateConfig, input: &ValidateInput) -> Result<Validated, ValidationError> {
    config.check()?;
    let survey = Survey::new(config, input)?;
    let mut metrics = Vec::new();
    let half = completeness::catalog(&survey, &mut metrics);
    completeness::recovered(&survey, &half, &mut metrics);
    completeness::layers(&survey, &mut metrics);
    purity::purity(&survey, &half, &mut metrics);
    false_positives::peak_density(&survey, &mut metrics);
    photometry::photometry(&survey, &half, &mut metrics);
    astrometry::astrometry(&survey, &mut metrics);
    deblending::deblending(&survey, &mut metrics);
    tracing::debug!(n_metrics = metrics.len(), n_matches = survey.pairs().count(), "validated");
    let matches = match_table(&survey).map_err(|source| ValidationError::Table { what: "matches".into(), source })?;
    let mut plots = figures(&survey, &metrics);
    let mut add = |(more, drawn): (Vec<Metric>, Vec<Plot>)| {
        metrics.extend(more);
        plots.extend(drawn);
    };
    let (of_blends, drawn, worst_blends) = confusion::confusion(input, &matches, config.n_bootstrap)?;
    add((of_blends, drawn));
    add(association::association(config, input, &matches)?);
    add(background::background(input, config.n_bootstrap)?);
    add(coadd::coadd(input, config.n_bootstrap)?);
    Ok(Validated { config: config.clone(), metrics, plots, matches, worst_blends })
}

/// One row a truth or unmatched detection; see [`Validated::matches`].
fn match_table(survey: &Survey) -> Result<Table, TableError> {
    let (mut arm, mut status) = (Vec::new(), Vec::new());
    let (mut truth_id, mut object_id, mut parent_id, mut separation) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (scene, matches) in survey.scenes.iter().zip(&survey.matches).filter(|(scene, _)| scene.has_truth) {
        let mut push = |truth: Option<&Truth>, object: Option<&Detection>, what: &str| {
            arm.push(scene.name.clone());
            truth_id.push(truth.map_or(0, |t| t.id));
            object_id.push(object.map_or(0, |d| d.id));
            parent_id.push(object.map_or(0, |d| d.parent_id));
            separation.push(truth.zip(object).map_or(f64::NAN, |(t, d)| (t.point[0] - d.point[0]).hypot(t.point[1] - d.point[1])));
            status.push(what.to_owned());
        };
        let mut is_listed = vec![false; scene.detections.len()];
        for (truth, fate) in scene.truth.iter().zip(&matches.truth) {
            let (object, what) = match *fate {
                TruthFate::Matched(d, false) => (Some(d), "matched"),
                TruthFate::Matched(d, true) => (Some(d), "ambiguous"),
                TruthFate::Missed => (None, "missed"),
                TruthFate::Ignored(d) => (d, "ignored"),
            };
            if let Some(d) = object {
                is_listed[d] = true;
            }
            push(Some(truth), object.map(|d| &scene.detections[d]), what);
        }
        for ((detection, fate), is_listed) in scene.detections.iter().zip(&matches.detections).zip(is_listed) {
            let what = match fate {
                DetectionFate::Matched(_) => continue,
                DetectionFate::Spurious => "spurious",
                DetectionFate::Real => "real",
                DetectionFate::Ignored => "ignored",
            };
            if !is_listed {
                push(None, Some(detection), what);
            }
        }
    }
    let mut table = Table::new();
    table.push("arm", "", "arm of the run", ColumnData::Text(arm))?;
    table.push("truth_id", "", "truth; 0: an unmatched detection", ColumnData::I64(truth_id))?;
    table.push("object_id", "", "row of the catalog; 0: none", ColumnData::I64(object_id))?;
    table.push("separation_arcsec", "arcsec", "distance of truth and object", ColumnData::F64(separation))?;
    table.push("status", "", "matched, ambiguous, missed, spurious, real or ignored", ColumnData::Text(status))?;
    table.push("parent_id", "", "parent of the object; 0: none", ColumnData::I64(parent_id))?;
    Ok(table)
}

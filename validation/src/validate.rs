//! From catalog and truth to metrics.

use crate::Metric;
use crate::assess::Assessed;
use crate::match_table::match_table;
use crate::metric::{
    association, astrometry, background, coadd, colour, completeness, confusion, deblending, depth, detection_plots, false_positives,
    layers, photometry, purity, repeatability, residual_plots, shape, star_galaxy, survey_numbers,
};
use crate::plot::Plot;
use crate::survey::Survey;
use fathom::catalog::Table;
use serde::{Deserialize, Serialize};

/// Settings: section `[validate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    /// Largest distance of a match \[FWHM\]; it is as much smaller as the S/N allows, see `matching`.
    pub match_radius_fwhm: f64,
    /// Width of a magnitude bin.
    pub magnitude_bin: f64,
    /// Truth fainter than this true S/N (all bands together) does not count as missed; a detection near one of at least half
    /// of it is not spurious either. Still fainter truth explains nothing.
    pub ignore_below_snr: f64,
    /// Replicates of the bootstrap over blocks of sky.
    pub n_bootstrap: usize,
    /// File of requirements ([`crate::Requirements`]); empty: those that ship with fathom.
    pub requirements: String,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self { match_radius_fwhm: 1.0, magnitude_bin: 0.25, ignore_below_snr: 2.0, n_bootstrap: 400, requirements: String::new() }
    }
}

/// Peaks of one detection layer of one arm.
#[derive(Debug, Clone)]
pub struct LayerPeaks {
    /// `free_sed`, a band, or `<sed>[@<selection>][:<half-light radius>]`.
    pub name: String,
    /// Threshold in the layer's own statistic, as are the significances: ν = Ψ/√Φ of a band; for `free_sed` T = √Σ max(ν_b, 0)².
    pub threshold: f64,
    /// Positions \[deg\] and significances of the positive peaks: ra, dec, significance.
    pub peaks: Vec<[f64; 3]>,
    /// The same of the negated map.
    pub negative_peaks: Vec<[f64; 3]>,
    /// Area with data \[arcmin²\].
    pub area_arcmin2: f64,
    /// Bands with data in the layer (1 for one SED).
    pub n_bands: usize,
    /// Curvature of its noise per axis \[1/arcsec²\]; NaN where not known. Needed of layers that are neither `free_sed` nor a band.
    pub l2_per_arcsec2: f64,
}

/// One arm of a run.
#[derive(Debug, Clone)]
pub struct ArmData {
    /// `control`, `real_00`, ... or `main`.
    pub name: String,
    /// Truth with the limits joined in: `<band>_snr_true` (F √Φ at the true position, NaN without data), `<band>_flux_err_limit`,
    /// `is_usable` (bool: covered in all bands, no bad mask within 1 FWHM, not near a control-run parent), and where known
    /// `patch_border`, `detector_border` \[arcsec\] and the other columns of `fathom::format::truth`. No columns: no truth is known;
    /// columns but no rows: it is known that nothing is there.
    pub truth: Table,
    /// Flux covariances of neighbours (`fathom::format::truth_limits`, `/blend_fisher`); no columns where they are not known.
    pub blend_fisher: Table,
    /// The catalog (design section 5), with `patch_border` and `detector_border` \[arcsec\] where known.
    pub catalog: Table,
    /// Peaks by layer; the same layers in the same order in every arm.
    pub layers: Vec<LayerPeaks>,
}

/// Everything that validation needs.
///
/// Runs that differ only by their seed are pooled by putting the arms of all into one input ([`Self::pooled`]).
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
    /// Runs that cannot be pooled.
    #[error("run {run} cannot be pooled: {key} {found}; expected {expected}")]
    Pool {
        /// Number of the run.
        run: usize,
        /// What differs.
        key: &'static str,
        /// Value.
        found: String,
        /// Value of the first run.
        expected: String,
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
    /// What became of every truth object and every detection: [`crate::match_table`].
    pub matches: Table,
    /// The blends whose light is divided worst, worst first: `arm`, `parent_id`, `score`, `n_children`, `n_truth`.
    pub worst_blends: Table,
    /// What is wrong with the input, in words; empty if nothing is.
    pub notes: Vec<String>,
}

impl ValidateInput {
    /// The arms of several runs on the same bands and layers, as one input: pooled metrics have the objects of all.
    ///
    /// Names of arms get the number of their run (`0/main`, `1/main`); PSF, noise and seed are those of the first run.
    ///
    /// # Errors
    /// [`ValidationError::Pool`] if there is no run, if bands or layers differ, if a FWHM differs by more than 10 %, or if a run has a
    /// control arm: injections on one field are realisations of one run.
    pub fn pooled(runs: Vec<Self>) -> Result<Self, ValidationError> {
        let refuse =
            |run: usize, key: &'static str, found: String, expected: String| Err(ValidationError::Pool { run, key, found, expected });
        let mut runs = runs.into_iter();
        let Some(mut all) = runs.next() else { return refuse(0, "run", "none".into(), "at least one".into()) };
        let layers = |input: &Self| -> Vec<(String, u64)> {
            input.arms.iter().take(1).flat_map(|a| a.layers.iter().map(|l| (l.name.clone(), l.threshold.to_bits()))).collect()
        };
        let rename = |arms: &mut [ArmData], run: usize| arms.iter_mut().for_each(|a| a.name = format!("{run}/{}", a.name));
        rename(&mut all.arms, 0);
        for (run, mut next) in (1..).zip(runs) {
            if next.bands != all.bands {
                return refuse(run, "bands", next.bands.join(", "), all.bands.join(", "));
            }
            if layers(&next) != layers(&all) {
                return refuse(run, "detection layers", format!("{:?}", layers(&next)), "those of run 0, with their thresholds".into());
            }
            if all.fwhm_arcsec.iter().zip(&next.fwhm_arcsec).any(|(a, b)| (a / b - 1.0).abs() > 0.1) {
                return refuse(run, "FWHM", format!("{:?}", next.fwhm_arcsec), format!("{:?} to 10 %", all.fwhm_arcsec));
            }
            if next.control.is_some() || all.control.is_some() {
                return refuse(run, "arm", "control".into(), "simulated arms; injections are pooled as realisations of one run".into());
            }
            rename(&mut next.arms, run);
            all.assessed
                .append(next.assessed, all.arms.len())
                .map_err(|source| ValidationError::Table { what: format!("run {run}"), source })?;
            all.arms.append(&mut next.arms);
        }
        Ok(all)
    }
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
    let notes = crate::check_input::notes(input);
    for note in &notes {
        tracing::info!("{note}");
    }
    let survey = Survey::new(config, input)?;
    let (mut metrics, mut plots) = measure(&survey);
    let matches = match_table(&survey).map_err(|source| ValidationError::Table { what: "matches".into(), source })?;
    let (of_blends, drawn, worst_blends) = confusion::confusion(&survey, &matches)?;
    let families = [
        (of_blends, drawn),
        association::association(config, input, &matches)?,
        background::background(input, config.n_bootstrap)?,
        coadd::coadd(input, config.n_bootstrap)?,
    ];
    for (more, drawn) in families {
        metrics.extend(more);
        plots.extend(drawn);
    }
    tracing::debug!(n_metrics = metrics.len(), "validated");
    Ok(Validated { config: config.clone(), metrics, plots, matches, worst_blends, notes })
}

/// All families, in the order of the page.
pub(crate) fn measure(survey: &Survey) -> (Vec<Metric>, Vec<Plot>) {
    let mut metrics = Vec::new();
    completeness::completeness(survey, &mut metrics);
    let half = depth::depth(survey, &mut metrics);
    depth::recovered(survey, &half, &mut metrics);
    layers::layers(survey, &mut metrics);
    layers::reliability(survey, &mut metrics);
    purity::purity(survey, &half, &mut metrics);
    purity::fates(survey, &mut metrics);
    false_positives::peak_density(survey, &mut metrics);
    photometry::photometry(survey, &half, &mut metrics);
    survey_numbers::survey_numbers(survey, &mut metrics);
    colour::colour(survey, &mut metrics);
    repeatability::repeatability(survey, &mut metrics);
    astrometry::astrometry(survey, &mut metrics);
    shape::shape(survey, &mut metrics);
    let roc = star_galaxy::star_galaxy(survey, &mut metrics);
    deblending::blends(survey, &mut metrics);
    deblending::errors(survey, &mut metrics);
    let mut plots = detection_plots::plots(survey, &metrics);
    plots.extend(deblending::plots(survey, &metrics));
    plots.extend(residual_plots::plots(survey, &metrics));
    plots.extend(roc);
    (metrics, plots)
}

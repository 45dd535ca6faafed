//! Two runs on the same pixels, object by object: which is better where, and whether chance explains it.
//!
//! Every true object is paired with itself. Detections are compared by McNemar's exact test on the objects that only one run found;
//! errors by the paired difference of a loss per object. Neighbours in a blend are not independent, so all other intervals come from a
//! bootstrap of cells of the sky ([`CELL_ARCSEC`]), both runs resampled together: what both have in common cancels, and small gains
//! are seen. An interval of 95 % calls one row in twenty of equal runs a difference; rows that also survive the false-discovery
//! rate of 5 % over the whole table are marked as sure.

mod objects;
mod paired;
mod report;
mod rows;

pub use report::write_comparison;

use crate::{MetricsFile, Plot, ValidationError};
use fathom::catalog::{Table, TableError};
use objects::PairedArm;
use serde::{Deserialize, Serialize};

/// Side of a cell of the bootstrap \[arcsec\]: larger than blends, smaller than a field.
pub const CELL_ARCSEC: f64 = 15.0;

/// One run.
#[derive(Debug, Clone)]
pub struct ComparedRun {
    /// Name on the page: its folder's.
    pub name: String,
    /// Its metrics.json.
    pub metrics: MetricsFile,
    /// Resolved configuration: dotted key, value.
    pub settings: Vec<(String, String)>,
    /// Arms with truth, in the order of the run.
    pub arms: Vec<ArmTables>,
}

/// Tables of one arm.
#[derive(Debug, Clone)]
pub struct ArmTables {
    /// Name of the arm.
    pub name: String,
    /// Truth with its limits.
    pub truth: Table,
    /// Catalog.
    pub catalog: Table,
    /// Rows of the matches table that are this arm's.
    pub matches: Table,
    /// Rows of the table of blends that are this arm's, if the run has one.
    pub blends: Option<Table>,
}

/// How the comparison is made.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions {
    /// Mean FWHM of the coadds' PSFs \[arcsec\].
    pub fwhm_arcsec: f64,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Resamplings.
    pub n_bootstrap: usize,
}

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A larger value.
    Higher,
    /// A smaller value.
    Lower,
    /// One nearer to 0: the difference is that of the distances from 0.
    NearZero,
    /// One nearer to 1: the difference is that of the distances from 1.
    NearOne,
}

/// Judgement on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The other run is better than the first.
    Better,
    /// It is worse.
    Worse,
    /// Chance explains the difference.
    Same,
    /// There is nothing to compare.
    NotMeasured,
}

impl Change {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "the same",
            Self::NotMeasured => "not measured",
        }
    }
}

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedFigure {
    /// Dotted name.
    pub name: String,
    /// Band; empty for all.
    pub band: String,
    /// Class of objects; empty for all.
    pub class: String,
    /// Bin or condition; empty for all.
    pub regime: String,
    /// Unit of values and difference.
    pub unit: String,
    /// What is better.
    pub better: Better,
    /// Value of the first run, over the same objects as the other's.
    pub first: Option<f64>,
    /// Value of the other run.
    pub other: Option<f64>,
    /// Other less first; of the distances from the target for [`Better::NearZero`] and [`Better::NearOne`].
    pub difference: Option<f64>,
    /// Ends of its 95 % interval.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Objects, or detections, in the comparison.
    pub n: u64,
    /// Objects for which the other run is better.
    pub n_better: u64,
    /// Objects for which it is worse.
    pub n_worse: u64,
    /// Two-sided probability of such a difference by chance: McNemar's for detections, else from the bootstrap's width.
    pub p: Option<f64>,
    /// Judgement at 5 %.
    pub change: Change,
    /// It holds at a false-discovery rate of 5 % over all rows.
    pub is_sure: bool,
}

/// A setting in which two runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Dotted key.
    pub key: String,
    /// Value of the first run; `-` if it has none.
    pub first: String,
    /// Value of the other.
    pub other: String,
}

/// One run against the first.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Name of the first run.
    pub first: String,
    /// Name of the other.
    pub other: String,
    /// What differs in the configuration.
    pub settings: Vec<Setting>,
    /// All figures.
    pub figures: Vec<ComparedFigure>,
    /// Plots of them.
    #[serde(skip)]
    pub plots: Vec<Plot>,
    /// One row a true object that counts in both runs; see `objects::table`.
    #[serde(skip)]
    pub objects: Table,
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CompareError {
    /// Not the same pixels.
    #[error("{first} and {other} are not on the same pixels: {what} is {found} in {other}; expected {expected} as in {first}")]
    OtherPixels {
        /// First run.
        first: String,
        /// Other run.
        other: String,
        /// What differs.
        what: String,
        /// Of the other run.
        found: String,
        /// Of the first.
        expected: String,
    },
    /// Not the same measure.
    #[error(
        "{first} and {other} were not measured alike: {what} is {found} in {other}; expected {expected} as in {first} (fathom validate makes it again)"
    )]
    OtherMeasure {
        /// First run.
        first: String,
        /// Other run.
        other: String,
        /// What differs.
        what: &'static str,
        /// Of the other run.
        found: String,
        /// Of the first.
        expected: String,
    },
    /// A table lacks a column.
    #[error("{what} of {run}: {source}")]
    Table {
        /// Run.
        run: String,
        /// Which table.
        what: &'static str,
        /// Reason.
        source: TableError,
    },
    /// The page could not be written.
    #[error(transparent)]
    Page(#[from] ValidationError),
}

/// Compares `other` with `first`.
///
/// # Errors
/// [`CompareError`].
pub fn compare(first: &ComparedRun, other: &ComparedRun, options: &CompareOptions) -> Result<Comparison, CompareError> {
    check_pixels(first, other)?;
    check_measure(first, other)?;
    let arms = first
        .arms
        .iter()
        .zip(&other.arms)
        .map(|(a, b)| PairedArm::new([(&first.name, a), (&other.name, b)], &first.metrics.run.bands, options.fwhm_arcsec))
        .collect::<Result<Vec<_>, _>>()?;
    let mut figures = rows::figures(&arms, &first.metrics.run.bands, options);
    paired::mark_sure(&mut figures);
    Ok(Comparison {
        first: first.name.clone(),
        other: other.name.clone(),
        settings: differing(&first.settings, &other.settings),
        plots: rows::plots(&figures, &first.metrics.run.bands),
        objects: objects::table(&arms, &first.metrics.run.bands),
        figures,
    })
}

fn check_pixels(first: &ComparedRun, other: &ComparedRun) -> Result<(), CompareError> {
    let (a, b) = (&first.metrics.run, &other.metrics.run);
    let names = |run: &ComparedRun| run.arms.iter().map(|arm| arm.name.clone()).collect::<Vec<_>>().join(", ");
    let refuse = |what: &str, expected: String, found: String| {
        let (first, other, what) = (first.name.clone(), other.name.clone(), what.to_owned());
        if expected == found { Ok(()) } else { Err(CompareError::OtherPixels { first, other, what, found, expected }) }
    };
    refuse("exposures_key of metrics.json", a.exposures_key.clone(), b.exposures_key.clone())?;
    refuse("the list of bands", a.bands.join(", "), b.bands.join(", "))?;
    refuse("the list of arms with truth", names(first), names(other))
}

/// Settings by which truth and catalog are matched, and the columns of the tables of matches: another version of fathom may know other fates.
fn check_measure(first: &ComparedRun, other: &ComparedRun) -> Result<(), CompareError> {
    let refuse = |what: &'static str, expected: String, found: String| {
        let (first, other) = (first.name.clone(), other.name.clone());
        if expected == found { Ok(()) } else { Err(CompareError::OtherMeasure { first, other, what, found, expected }) }
    };
    for key in ["validate.match_radius_fwhm", "validate.ignore_below_snr"] {
        let of = |run: &ComparedRun| run.settings.iter().find(|s| s.0 == key).map_or("-".to_owned(), |s| s.1.clone());
        refuse(key, of(first), of(other))?;
    }
    let columns = |run: &ComparedRun| {
        let names = run.arms.iter().flat_map(|arm| arm.matches.columns()).map(|c| c.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    refuse("the list of columns of its matches", columns(first), columns(other))
}

/// Settings with different values, in the order of the first run, then those that only the other has.
fn differing(first: &[(String, String)], other: &[(String, String)]) -> Vec<Setting> {
    let of = |list: &[(String, String)], key: &str| list.iter().find(|s| s.0 == key).map_or("-".to_owned(), |s| s.1.clone());
    let new = other.iter().filter(|s| !first.iter().any(|f| f.0 == s.0));
    first
        .iter()
        .chain(new)
        .map(|(key, _)| Setting { key: key.clone(), first: of(first, key), other: of(other, key) })
        .filter(|s| s.first != s.other)
        .collect()
}

//! Requirements: what a survey demands of its catalog, read from TOML and held against the metrics.
//!
//! ```toml
//! [[requirement]]
//! name = "PA1"                              # unique, short
//! metric = "photometry.psf_flux.scatter"    # name of a record of metrics.json
//! band = "*"                                # a band or layer; "*": each of them; absent: the record of all together
//! class = "star"                            # class and regime: as in the record; "*": each; a trailing * matches the rest
//! regime = "bright"
//! of = "value"                              # value | value / limit | value - limit: what the bound holds
//! max = 5.0                                 # or min = ..., or within = [low, high]; just one of the three
//! unit = "mmag"                             # of the bound; a share may be bounded in % or, if small, in mmag
//! min_n = 30                                # with fewer objects it is not measured; absent: 1
//! why = "repeatability of bright stars in one band"
//! ```
//!
//! Instead of `metric` and a bound, `not_measured = "reason"` keeps a requirement in the list that one run cannot speak of.
//! One requirement gives one [`Verdict`] a record that its conditions match; none at all: one verdict, not measured.

mod verdict;

pub use verdict::{Outcome, Verdict, verdict_lines};

use serde::{Deserialize, Serialize};

/// What the bound holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Quantity {
    /// The value itself.
    #[default]
    #[serde(rename = "value")]
    Value,
    /// The value over its theoretical limit.
    #[serde(rename = "value / limit")]
    OverLimit,
    /// The value less its theoretical limit.
    #[serde(rename = "value - limit")]
    LessLimit,
}

/// One line of a requirements file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Short, unique name.
    pub name: String,
    /// Name of the records it is about.
    #[serde(default)]
    pub metric: String,
    /// Band or layer of the record; `*`: each that has one; empty: all together.
    #[serde(default)]
    pub band: String,
    /// Class of the record.
    #[serde(default)]
    pub class: String,
    /// Regime of the record.
    #[serde(default)]
    pub regime: String,
    /// What the bound holds.
    #[serde(default)]
    pub of: Quantity,
    /// Least good value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest good value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Least and largest good value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<[f64; 2]>,
    /// Unit of the bound.
    #[serde(default)]
    pub unit: String,
    /// With fewer objects nothing is decided.
    #[serde(default = "one")]
    pub min_n: u64,
    /// Reason for the requirement.
    pub why: String,
    /// Why a run cannot measure it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_measured: String,
}

fn one() -> u64 {
    1
}

/// A requirements file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// In the order of the file.
    #[serde(default, rename = "requirement")]
    pub list: Vec<Requirement>,
}

/// Why a requirements file was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequirementError {
    /// Not TOML, an unknown key, or a value of another type.
    #[error("{0}")]
    Syntax(String),
    /// One entry contradicts itself.
    #[error("requirement {number} ({name}): {found}; expected {expected}")]
    Entry {
        /// Place in the file, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The bound's unit does not go with the record's.
    #[error("requirement {name}: unit is \"{found}\", but {metric} is in \"{unit}\"; expected that unit, or one that it converts to")]
    Unit {
        /// Requirement.
        name: String,
        /// Its unit.
        found: String,
        /// Record.
        metric: String,
        /// Unit of the record.
        unit: String,
    },
}

impl Requirements {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`RequirementError`] naming the line or the entry.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let read: Self = toml::from_str(text).map_err(|e| RequirementError::Syntax(e.to_string().trim_end().to_owned()))?;
        for (i, r) in read.list.iter().enumerate() {
            let is_double = read.list[..i].iter().any(|other| other.name == r.name);
            let fault = if is_double { Some(("the name stands twice".to_owned(), "unique names")) } else { r.fault() };
            if let Some((found, expected)) = fault {
                return Err(RequirementError::Entry { number: i + 1, name: r.name.clone(), found, expected });
            }
        }
        Ok(read)
    }
}

impl Requirement {
    /// What is wrong with the entry by itself: found, expected.
    fn fault(&self) -> Option<(String, &'static str)> {
        let n_bounds = usize::from(self.min.is_some()) + usize::from(self.max.is_some()) + usize::from(self.within.is_some());
        let bounds = [self.min, self.max, self.within.map(|w| w[0]), self.within.map(|w| w[1])];
        if self.name.trim().is_empty() {
            Some(("it has no name".into(), "a short name"))
        } else if self.why.trim().is_empty() {
            Some(("why is empty".into(), "a reason"))
        } else if !self.not_measured.is_empty() {
            // Its bound is kept as a number to read.
            None
        } else if self.metric.is_empty() {
            Some(("it names no metric".into(), "metric, or not_measured = \"reason\""))
        } else if n_bounds != 1 {
            Some((format!("it has {n_bounds} bounds"), "one of min, max and within"))
        } else if bounds.iter().flatten().any(|b| !b.is_finite()) || self.within.is_some_and(|w| w[0] >= w[1]) {
            Some((format!("the bound is {:?}", bounds.iter().flatten().collect::<Vec<_>>()), "finite numbers, the lower one first"))
        } else if self.of == Quantity::OverLimit && !self.unit.is_empty() {
            Some((format!("unit is \"{}\"", self.unit), "none: a ratio to the limit is a pure number"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_refused_with_the_entry_named() {
        let entry = |more: &str| format!("[[requirement]]\nname = \"A\"\nwhy = \"x\"\nmetric = \"m\"\n{more}");
        for (text, expected) in [
            (entry("most = 1.0"), "unknown field `most`"),
            (entry("max = 1.0\nmin = 0.0"), "requirement 1 (A): it has 2 bounds; expected one of min, max and within"),
            (entry(""), "it has 0 bounds"),
            (entry("max = 1.0\nof = \"value * limit\""), "unknown variant `value * limit`, expected one of `value`"),
            (entry("within = [1.0, 0.0]"), "the lower one first"),
            (entry("max = nan"), "finite"),
            (entry("max = 1.0\nof = \"value / limit\"\nunit = \"mag\""), "pure number"),
            ("[[requirement]]\nname = \"A\"\nwhy = \"x\"\nmax = 1.0".into(), "it names no metric"),
            ("[[requirement]]\nname = \"A\"\nwhy = \"\"\nmetric = \"m\"\nmax = 1.0".into(), "why is empty"),
            (entry("max = 1.0") + "\n" + &entry("max = 2.0"), "requirement 2 (A): the name stands twice"),
            ("[[requirements]]\n".into(), "unknown field `requirements`"),
        ] {
            let message = Requirements::parse(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}

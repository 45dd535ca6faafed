//! Settings of detection.

use super::{LayerKind, Sed, SedDefinition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How peaks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Every layer has its threshold.
    Grid,
    /// One free-SED layer of point sources is searched at a low threshold; each of its peaks is then evaluated over all non-negative SEDs
    /// (in closed form) and the morphologies, and kept if in one of them it passes the threshold.
    Cull,
}

/// Settings of [`DetectLayers`](super::DetectLayers): section `[detect]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// How peaks are chosen.
    pub strategy: Strategy,
    /// Nominal threshold of a layer of one SED \[sigma\]; free-SED layers get the one with the same pointwise false-positive rate.
    pub threshold: f64,
    /// False peaks of all layers together, those nearer than 1 FWHM counted once, per arcmin²: one offset to all thresholds makes it so.
    /// 0: thresholds are the nominal ones.
    pub false_peaks_per_arcmin2: f64,
    /// Blank sky drawn to find that offset \[10⁶ pixels\].
    pub calibration_mpx: u32,
    /// SEDs in order of priority: `free_sed`, a band, `bands` for every one, or a name of `sed`. Of a run of one band the first counts: all are one map.
    pub seds: Vec<String>,
    /// Half-light radii of the round exponential morphologies \[arcsec\], rising; 0: point sources.
    pub morphologies_arcsec: Vec<f64>,
    /// Selections of exposures (`select.selections`) that have layers of their own, beside that of the bands' own coadds.
    pub selections: Vec<String>,
    /// SEDs by name.
    pub sed: BTreeMap<String, SedDefinition>,
    /// Effective wavelengths by band \[nm\], for bands that are not ugrizyYJHK, or to override those.
    pub wavelengths_nm: BTreeMap<String, f64>,
    /// Strategy `cull`: nominal threshold of the search \[sigma\].
    pub search_threshold: f64,
    /// Random blank positions that are measured like sources, per arcmin².
    pub sky_objects_per_arcmin2: f64,
    /// Search along a ladder of velocities.
    pub movers: MoversConfig,
    /// Search for light that lasts some time windows.
    pub transients: TransientsConfig,
}

/// Settings of the search for long transients on the maps of time windows: section `[detect.transients]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransientsConfig {
    /// Threshold of what a window has more than the mean of all \[sigma\]; 0: no search.
    pub threshold: f64,
    /// Error of what a static source is expected to be in a window, relative to its flux.
    pub model_error: f64,
}

impl Default for TransientsConfig {
    fn default() -> Self {
        Self { threshold: 0.0, model_error: 0.05 }
    }
}

/// Settings of the search for movers on the maps of time windows: section `[detect.movers]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoversConfig {
    /// Fastest motion of the ladder \[arcsec per day\]; 0: no search.
    pub fastest_arcsec_per_day: f64,
    /// Distance of the ends of the stacks of neighbouring rungs \[FWHM\].
    pub step_fwhm: f64,
    /// Threshold of the stacks \[sigma\].
    pub threshold: f64,
    /// What stands above this in the unshifted stack is static, and left out with an FWHM around it, or subtracted for fast movers \[sigma\].
    pub static_threshold: f64,
    /// By how much the stack along the motion must be better than that without, as √(ν² - ν₀²) \[sigma\]: less, and it may stand still.
    pub motion_threshold: f64,
    /// What stands above this is left out there, too \[sigma\].
    pub bright_threshold: f64,
}

impl Default for MoversConfig {
    fn default() -> Self {
        Self {
            fastest_arcsec_per_day: 0.0,
            step_fwhm: 0.75,
            threshold: 6.7,
            motion_threshold: 3.5,
            static_threshold: 12.0,
            bright_threshold: 60.0,
        }
    }
}

impl Default for DetectConfig {
    fn default() -> Self {
        let sed = [("flat", 0.0), ("red", 3.0), ("blue", -2.0)];
        Self {
            strategy: Strategy::Grid,
            threshold: 5.0,
            false_peaks_per_arcmin2: 0.0,
            calibration_mpx: 16,
            seds: ["free_sed", "flat", "red", "blue", "bands"].map(String::from).to_vec(),
            morphologies_arcsec: vec![0.0, 0.4, 0.8, 1.6],
            selections: Vec::new(),
            sed: sed.map(|(name, slope)| (name.to_owned(), SedDefinition::power_law(slope))).into(),
            wavelengths_nm: BTreeMap::new(),
            search_threshold: 3.5,
            sky_objects_per_arcmin2: 0.0,
            movers: MoversConfig::default(),
            transients: TransientsConfig::default(),
        }
    }
}

/// A setting out of range.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DetectError {
    /// A setting out of range.
    #[error("detect.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: String,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
}

impl DetectConfig {
    /// Half-light radii of the extended morphologies \[arcsec\].
    #[must_use]
    pub fn extended_arcsec(&self) -> Vec<f64> {
        self.morphologies_arcsec.iter().copied().filter(|r| *r > 0.0).collect()
    }

    /// The layers, in order of priority: all SEDs of the first selection's point sources, then of its other morphologies, then other selections.
    ///
    /// # Errors
    /// [`DetectError::Config`] if a setting is outside its range or an SED is unknown.
    pub fn layers(&self, bands: &[String]) -> Result<Vec<LayerKind>, DetectError> {
        let wrong = |key: &str, found: String, expected: &str| DetectError::Config { key: key.into(), found, expected: expected.into() };
        // Below 2 sigma every other pixel is a detection.
        if !(2.0..=100.0).contains(&self.threshold) {
            return Err(wrong("threshold", self.threshold.to_string(), "2..=100 sigma"));
        }
        if !(2.0..=self.threshold).contains(&self.search_threshold) && self.strategy == Strategy::Cull {
            return Err(wrong("search_threshold", self.search_threshold.to_string(), "2 sigma to detect.threshold"));
        }
        if !(0.0..=100.0).contains(&self.false_peaks_per_arcmin2) {
            return Err(wrong("false_peaks_per_arcmin2", self.false_peaks_per_arcmin2.to_string(), "0..=100"));
        }
        if !(1..=10_000).contains(&self.calibration_mpx) {
            return Err(wrong("calibration_mpx", self.calibration_mpx.to_string(), "1..=10000"));
        }
        if !(0.0..=1000.0).contains(&self.sky_objects_per_arcmin2) {
            return Err(wrong("sky_objects_per_arcmin2", self.sky_objects_per_arcmin2.to_string(), "0..=1000"));
        }
        let m = &self.movers;
        if !(0.0..=1000.0).contains(&m.fastest_arcsec_per_day) {
            return Err(wrong("movers.fastest_arcsec_per_day", m.fastest_arcsec_per_day.to_string(), "0..=1000"));
        }
        if !(0.1..=3.0).contains(&m.step_fwhm) {
            return Err(wrong("movers.step_fwhm", m.step_fwhm.to_string(), "0.1..=3"));
        }
        if !(3.0..=100.0).contains(&m.threshold) || !(3.0..=1e6).contains(&m.static_threshold) {
            return Err(wrong("movers.threshold", format!("{}, static {}", m.threshold, m.static_threshold), "3..=100, static 3..=1e6"));
        }
        if !(0.0..=100.0).contains(&m.motion_threshold) {
            return Err(wrong("movers.motion_threshold", m.motion_threshold.to_string(), "0..=100 sigma"));
        }
        if !(3.0..=1e6).contains(&m.bright_threshold) {
            return Err(wrong("movers.bright_threshold", m.bright_threshold.to_string(), "3..=1e6 sigma"));
        }
        let t = &self.transients;
        if !(t.threshold == 0.0 || (3.0..=100.0).contains(&t.threshold)) || !(0.0..=1.0).contains(&t.model_error) {
            let found = format!("{}, model_error {}", t.threshold, t.model_error);
            return Err(wrong("transients.threshold", found, "0 or 3..=100 sigma, model_error 0..=1"));
        }
        let radii = &self.morphologies_arcsec;
        let are_radii =
            radii.iter().all(|r| *r >= 0.0 && (*r <= 0.0 || (0.01..=10.0).contains(r))) && radii.windows(2).all(|r| r[0] < r[1]);
        if radii.is_empty() || !are_radii {
            return Err(wrong("morphologies_arcsec", format!("{radii:?}"), "rising half-light radii, 0 for points, 0.01..=10 arcsec"));
        }
        if self.strategy == Strategy::Cull && radii[0] > 0.0 {
            return Err(wrong("morphologies_arcsec", format!("{radii:?}"), "0 first: the search is for point sources"));
        }
        let seds = if self.strategy == Strategy::Cull { vec![Sed::Free] } else { self.chosen_seds(bands)? };
        let own = [None];
        let selections = own.into_iter().chain(self.selections.iter().map(|s| Some(s.clone())));
        let kinds: Vec<LayerKind> = selections
            .flat_map(|selection| radii.iter().map(move |r| (selection.clone(), *r)))
            .flat_map(|(selection, half_light_arcsec)| {
                seds.iter().map(move |sed| LayerKind { selection: selection.clone(), sed: sed.clone(), half_light_arcsec })
            })
            .collect();
        // One bit a layer of a signed number in the catalog.
        if kinds.is_empty() || kinds.len() > 63 {
            return Err(wrong("seds", format!("{} layers, with morphologies and selections", kinds.len()), "1 to 63 layers"));
        }
        Ok(kinds)
    }

    fn chosen_seds(&self, bands: &[String]) -> Result<Vec<Sed>, DetectError> {
        let mut seds = Vec::new();
        for name in &self.seds {
            match name.as_str() {
                "free_sed" => seds.push(Sed::Free),
                "bands" => seds.extend(bands.iter().cloned().map(Sed::Band)),
                band if bands.iter().any(|b| b == band) => seds.push(Sed::Band(band.to_owned())),
                other => {
                    let definition = self.sed.get(other).ok_or_else(|| DetectError::Config {
                        key: "seds".into(),
                        found: format!("{other:?}"),
                        expected: format!("free_sed, bands, one of {bands:?} or one of {:?}", self.sed.keys().collect::<Vec<_>>()),
                    })?;
                    seds.push(Sed::Fixed(other.to_owned(), definition.fluxes(other, bands, &self.wavelengths_nm)?));
                }
            }
        }
        if let Some(i) = (1..seds.len()).find(|&i| seds[..i].contains(&seds[i])) {
            return Err(DetectError::Config {
                key: "seds".into(),
                found: format!("{:?} twice", seds[i].name()),
                expected: "every SED once".into(),
            });
        }
        // In one band all colours are the same map.
        seds.truncate(if bands.len() == 1 { 1 } else { seds.len() });
        Ok(seds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_every_combination_once() {
        let bands = ["g", "r", "i"].map(String::from);
        let names = |c: &DetectConfig| c.layers(&bands).unwrap().iter().map(LayerKind::name).collect::<Vec<_>>();
        let mut config =
            DetectConfig { seds: vec!["free_sed".into(), "bands".into()], morphologies_arcsec: vec![0.0], ..DetectConfig::default() };
        assert_eq!(names(&config), ["free_sed", "g", "r", "i"]);
        config = DetectConfig::default();
        let grid = names(&config);
        assert_eq!((grid.len(), grid[0].as_str(), grid[7].as_str(), grid[27].as_str()), (28, "free_sed", "free_sed:0.4", "i:1.6"));
        config.selections = vec!["sharp".into()];
        assert_eq!(names(&config)[29], "flat@sharp");
        config.strategy = Strategy::Cull;
        config.selections.clear();
        assert_eq!(names(&config), ["free_sed", "free_sed:0.4", "free_sed:0.8", "free_sed:1.6"]);
    }

    #[test]
    fn one_band_has_one_colour() {
        let kinds = DetectConfig::default().layers(&["r".to_owned()]).unwrap();
        assert_eq!(kinds.iter().map(LayerKind::name).collect::<Vec<_>>(), ["free_sed", "free_sed:0.4", "free_sed:0.8", "free_sed:1.6"]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let bands = ["g".to_owned(), "r".to_owned()];
        type Change = fn(&mut DetectConfig);
        let cases: [(Change, &str); 8] = [
            (|c| c.threshold = 0.1, "detect.threshold is 0.1"),
            (|c| c.seds = vec!["u".into()], "detect.seds is \"u\""),
            (|c| c.seds = vec!["r".into(), "bands".into()], "\"r\" twice"),
            (|c| c.seds.clear(), "detect.seds is 0 layers"),
            (|c| c.morphologies_arcsec = vec![0.4, 0.0], "detect.morphologies_arcsec"),
            (|c| c.morphologies_arcsec = vec![f64::NAN], "detect.morphologies_arcsec"),
            (|c| c.false_peaks_per_arcmin2 = -1.0, "detect.false_peaks_per_arcmin2"),
            (
                |c| {
                    c.strategy = Strategy::Cull;
                    c.search_threshold = 6.0;
                },
                "detect.search_threshold is 6",
            ),
        ];
        for (change, expected) in cases {
            let mut config = DetectConfig::default();
            change(&mut config);
            let error = config.layers(&bands).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

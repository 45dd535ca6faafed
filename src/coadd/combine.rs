//! What is made from finished coadds: proper coadds and multi-band maps, as the configuration asks for them.

use super::autocorrelation::{CellAutocorrelation, noise_curvature};
use super::multi_band::{self, BandMaps};
use crate::geometry::{Box2, Cell};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of [`Combine`]: section `[combine]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CombineConfig {
    /// Make the proper coadd of every band.
    pub proper: bool,
    /// Floor ε of its filter: noise is white where the PSFs' |φ̂|² exceeds this share of its value at k = 0.
    pub floor: f64,
    /// Width of the border around a cell that the filter may take pixels from \[pixel\].
    pub border_px: u32,
    /// Maps of all bands together: `chi2`, `free`, or `{ name = "red", sed = { g = 0.5, r = 1.0 } }`.
    pub multi_band: Vec<MapConfig>,
}

impl Default for CombineConfig {
    fn default() -> Self {
        Self { proper: false, floor: 1e-4, border_px: 48, multi_band: Vec::new() }
    }
}

/// One map of all bands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MapConfig {
    /// By name.
    Named(MapKind),
    /// For one SED.
    Sed(SedConfig),
}

/// Maps without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKind {
    /// Σ Ψ²/Φ.
    Chi2,
    /// Σ max(Ψ, 0)²/Φ.
    Free,
}

/// A map for one SED.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SedConfig {
    /// Name of the map.
    pub name: String,
    /// Relative flux by band; bands that are not named have none.
    pub sed: BTreeMap<String, f64>,
}

/// What a map is.
#[derive(Debug, Clone, PartialEq)]
pub enum MultiBandMap {
    /// Σ Ψ²/Φ.
    Chi2,
    /// Σ max(Ψ, 0)²/Φ.
    Free,
    /// For the SED s_b, one number a band of the run.
    Sed(Vec<f64>),
}

/// One map of all bands, made.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeMap {
    /// Its name.
    pub name: String,
    /// χ², T², or ν of an SED; NaN without data.
    pub statistic: Array2<f32>,
    /// Of an SED: s_b, Ψ_s \[1/nJy\] and Φ_s \[1/nJy²\].
    pub sums: Option<(Vec<f64>, Array2<f32>, Array2<f32>)>,
}

/// Maps of all bands on one patch; planes have shape `bbox.shape()`.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiBandCoadd {
    /// Pixels, in tract coordinates (a patch's inner pixels).
    pub bbox: Box2,
    /// Bands with data at every pixel: the degrees of freedom.
    pub n_bands: Array2<u8>,
    /// The maps, in the order of the configuration.
    pub maps: Vec<MadeMap>,
    /// Columns and rows of the cells, in the order of `l2_per_px2`.
    pub cells: Vec<(u32, u32)>,
    /// Curvature of the noise, mean of the bands with data \[1/pixel²\]: scale of the densities of peaks; NaN without data.
    pub l2_per_px2: Vec<f64>,
}

/// A setting out of range.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("combine.{key} is {found}; expected {expected}")]
pub struct CombineError {
    /// Setting.
    pub key: &'static str,
    /// Value.
    pub found: String,
    /// Range.
    pub expected: &'static str,
}

/// The stage, its settings checked.
#[derive(Debug, Clone)]
pub struct Combine {
    config: CombineConfig,
    maps: Vec<(String, MultiBandMap)>,
}

impl Combine {
    /// `bands`: those of the run, in order.
    ///
    /// # Errors
    /// [`CombineError`] if a setting is outside its range.
    pub fn new(config: CombineConfig, bands: &[String]) -> Result<Self, CombineError> {
        let wrong = |key, found: String, expected| Err(CombineError { key, found, expected });
        if !(1e-8..=0.1).contains(&config.floor) {
            return wrong("floor", config.floor.to_string(), "1e-8..=0.1");
        }
        if !(8..=256).contains(&config.border_px) {
            return wrong("border_px", config.border_px.to_string(), "8..=256 pixels");
        }
        let mut maps: Vec<(String, MultiBandMap)> = Vec::new();
        for map in &config.multi_band {
            let (name, map) = match map {
                MapConfig::Named(MapKind::Chi2) => ("chi2", MultiBandMap::Chi2),
                MapConfig::Named(MapKind::Free) => ("free", MultiBandMap::Free),
                MapConfig::Sed(SedConfig { name, sed }) => {
                    let is_good = |(band, flux): (&String, &f64)| bands.contains(band) && flux.is_finite() && *flux >= 0.0;
                    if !sed.iter().all(is_good) || !sed.values().any(|flux| *flux > 0.0) {
                        return wrong("multi_band", format!("{sed:?}"), "an SED of fluxes >= 0, one of them > 0, by bands of the run");
                    }
                    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    if !is_plain || ["chi2", "free", "n_bands"].contains(&name.as_str()) {
                        return wrong(
                            "multi_band",
                            format!("{name:?}"),
                            "an SED's name of letters, digits and _, not chi2, free or n_bands",
                        );
                    }
                    (name.as_str(), MultiBandMap::Sed(bands.iter().map(|b| sed.get(b).copied().unwrap_or(0.0)).collect()))
                }
            };
            if maps.iter().any(|(other, _)| other == name) {
                return wrong("multi_band", format!("{name:?} twice"), "every map once");
            }
            maps.push((name.to_owned(), map));
        }
        Ok(Self { config, maps })
    }

    /// True if anything is to be made.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.config.proper || !self.maps.is_empty()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &CombineConfig {
        &self.config
    }

    /// Makes the maps of all bands.
    ///
    /// # Arguments
    /// * `bbox`: union of the cells.
    /// * `bands`: their maps on `bbox`, in the order given to `new`.
    /// * `cells`: each with the bands' autocorrelations, `None` without data.
    #[must_use]
    pub fn multi_band(&self, bbox: Box2, bands: &[BandMaps], cells: &[(Cell, Vec<Option<CellAutocorrelation>>)]) -> MultiBandCoadd {
        let make = |(name, map): &(String, MultiBandMap)| {
            let (statistic, sums) = match map {
                MultiBandMap::Chi2 => (multi_band::chi2(bands), None),
                MultiBandMap::Free => (multi_band::free_sed(bands), None),
                MultiBandMap::Sed(sed) => {
                    let (psi, phi) = multi_band::sed_weighted(bands, sed);
                    let nu = multi_band::significance(BandMaps { psi: psi.view(), phi: phi.view() });
                    (nu, Some((sed.clone(), psi, phi)))
                }
            };
            MadeMap { name: name.clone(), statistic, sums }
        };
        let curvature = |(_, bands): &(Cell, Vec<Option<CellAutocorrelation>>)| {
            let with_data: Vec<f64> = bands.iter().flatten().map(|a| noise_curvature(a.lags.view())).collect();
            with_data.iter().sum::<f64>() / with_data.len() as f64
        };
        MultiBandCoadd {
            bbox,
            n_bands: multi_band::n_bands(bands),
            maps: self.maps.par_iter().map(make).collect(),
            cells: cells.iter().map(|(cell, _)| (cell.column, cell.row)).collect(),
            l2_per_px2: cells.par_iter().map(curvature).collect(),
        }
    }

    /// Maps of all bands, by name, in order.
    #[must_use]
    pub fn maps(&self) -> &[(String, MultiBandMap)] {
        &self.maps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let bands = ["g".to_owned(), "r".to_owned()];
        let sed = |name: &str, r: f64| MapConfig::Sed(SedConfig { name: name.into(), sed: BTreeMap::from([("r".to_owned(), r)]) });
        let with = |multi_band| Combine::new(CombineConfig { multi_band, ..CombineConfig::default() }, &bands);
        assert!(!with(vec![]).unwrap().is_asked_for());
        let good = with(vec![MapConfig::Named(MapKind::Free), sed("red", 2.0)]).unwrap();
        assert_eq!(good.maps(), [("free".to_owned(), MultiBandMap::Free), ("red".to_owned(), MultiBandMap::Sed(vec![0.0, 2.0]))]);
        for (maps, message) in [
            (vec![sed("red", -1.0)], "combine.multi_band is {\"r\": -1.0}"),
            (vec![sed("free", 1.0)], "combine.multi_band is \"free\""),
            (vec![sed("red", 1.0), sed("red", 1.0)], "\"red\" twice"),
        ] {
            let error = with(maps).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let floor = Combine::new(CombineConfig { floor: 0.0, ..CombineConfig::default() }, &bands).unwrap_err().to_string();
        assert!(floor.contains("combine.floor is 0; expected 1e-8..=0.1"), "{floor}");
    }
}

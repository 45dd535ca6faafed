//! Spectral energy distributions of the layers: relative flux f_ν per band.

use super::DetectError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Effective wavelengths of common filters \[nm\].
const WAVELENGTHS_NM: [(&str, f64); 10] = [
    ("u", 368.0),
    ("g", 482.0),
    ("r", 622.0),
    ("i", 755.0),
    ("z", 869.0),
    ("y", 971.0),
    ("Y", 990.0),
    ("J", 1250.0),
    ("H", 1650.0),
    ("K", 2160.0),
];

/// One SED of a name: section `[detect.sed.<name>]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SedDefinition {
    /// Exponent a of f_ν ∝ λ^a over the bands' effective wavelengths; 0 is flat, positive red. Not used where `flux` is given.
    pub slope: f64,
    /// Relative f_ν by band; bands that are not named have none.
    pub flux: BTreeMap<String, f64>,
}

impl SedDefinition {
    /// f_ν ∝ λ^slope.
    #[must_use]
    pub fn power_law(slope: f64) -> Self {
        Self { slope, flux: BTreeMap::new() }
    }

    /// Flux per band of the run, its largest value 1.
    ///
    /// # Errors
    /// [`DetectError::Config`] for a band without a wavelength, and for fluxes that are no SED.
    pub fn fluxes(&self, name: &str, bands: &[String], wavelengths_nm: &BTreeMap<String, f64>) -> Result<Vec<f64>, DetectError> {
        let wrong = |found: String, expected: &str| DetectError::Config { key: format!("sed.{name}"), found, expected: expected.into() };
        let of_band = |band: &String| {
            if !self.flux.is_empty() {
                return Ok(self.flux.get(band).copied().unwrap_or(0.0));
            }
            if self.slope.abs() < 1e-12 {
                return Ok(1.0);
            }
            let known = || WAVELENGTHS_NM.iter().find(|(b, _)| b == band).map(|(_, l)| *l);
            let nm = wavelengths_nm.get(band).copied().or_else(known);
            let nm = nm.ok_or_else(|| {
                wrong(format!("a slope, and band {band} has no wavelength"), "detect.wavelengths_nm or flux for every band")
            })?;
            Ok((nm / 500.0f64).powf(self.slope))
        };
        if let Some(odd) = self.flux.keys().find(|b| !bands.contains(b)) {
            return Err(wrong(format!("given for band {odd}"), &format!("bands of {bands:?}")));
        }
        let fluxes = bands.iter().map(of_band).collect::<Result<Vec<f64>, _>>()?;
        let largest = fluxes.iter().fold(0.0f64, |a, f| a.max(*f));
        if !(largest > 0.0 && largest.is_finite() && fluxes.iter().all(|f| *f >= 0.0)) {
            return Err(wrong(format!("{fluxes:?}"), "fluxes that are not negative, one of them positive"));
        }
        Ok(fluxes.into_iter().map(|f| f / largest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// Slopes count in the wavelengths' ratio, explicit fluxes as they are; what is no SED is refused.
    #[test]
    fn seds_by_slope_and_by_number() {
        let bands = ["g", "r", "i"].map(String::from);
        let none = BTreeMap::new();
        let red = SedDefinition::power_law(3.0).fluxes("red", &bands, &none).unwrap();
        assert_relative_eq!(red[0] / red[2], (482.0f64 / 755.0).powi(3), max_relative = 1e-12);
        assert_relative_eq!(red[2], 1.0);
        let own = BTreeMap::from([("i".to_owned(), 1510.0)]);
        assert_relative_eq!(SedDefinition::power_law(1.0).fluxes("red", &bands, &own).unwrap()[0], 482.0 / 1510.0, max_relative = 1e-12);
        let line = SedDefinition { slope: 9.0, flux: BTreeMap::from([("r".to_owned(), 4.0)]) };
        assert_eq!(line.fluxes("line", &bands, &none).unwrap(), [0.0, 1.0, 0.0]);
        let odd = ["g", "NB1"].map(String::from);
        assert!(SedDefinition::power_law(0.0).fluxes("flat", &odd, &none).is_ok());
        let error = SedDefinition::power_law(1.0).fluxes("red", &odd, &none).unwrap_err().to_string();
        assert!(error.contains("detect.sed.red") && error.contains("NB1"), "{error}");
        let negative = SedDefinition { slope: 0.0, flux: BTreeMap::from([("g".to_owned(), -1.0)]) };
        assert!(negative.fluxes("bad", &bands, &none).is_err());
        let unknown = SedDefinition { slope: 0.0, flux: BTreeMap::from([("u".to_owned(), 1.0)]) };
        assert!(unknown.fluxes("bad", &bands, &none).unwrap_err().to_string().contains("band u"));
    }
}

//! Point sources on a grid at magnitudes around a limit: what is injected into real exposures to measure completeness.

use super::{check_bands, grid_nodes};
use crate::depth::Depth;
use crate::error::check;
use crate::population::Source;
use crate::{ExposurePlan, SimError};
use fathom::geometry::{PixelPoint, Tract};
use fathom::image::flux_njy;
use fathom::random::keyed_rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of the field `injection_grid`: section `[sky.injection_grid]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectionGridConfig {
    /// Distance of the nodes \[arcsec\].
    pub spacing_arcsec: f64,
    /// Each source lies within ± this of its node on both axes \[tract pixel\], at most a quarter of the spacing.
    pub jitter_px: f64,
    /// AB magnitude of the limit by band; none at all: the magnitude of signal to noise 5 by the exposures' plans.
    pub injection_mag: BTreeMap<String, f64>,
    /// Offsets from the limit \[mag\]; each object gets one of them, the same in every band.
    pub offsets_mag: Vec<f64>,
}

impl Default for InjectionGridConfig {
    fn default() -> Self {
        Self { spacing_arcsec: 5.0, jitter_px: 2.0, injection_mag: BTreeMap::new(), offsets_mag: vec![-1.0, 0.0, 0.5] }
    }
}

impl InjectionGridConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.injection_grid", key, is_good, found, expected);
        c("spacing_arcsec", (0.1..=36_000.0).contains(&self.spacing_arcsec), &self.spacing_arcsec, "0.1..=36000 arcsec")?;
        c("jitter_px", (0.0..=1000.0).contains(&self.jitter_px), &self.jitter_px, "0..=a quarter of the spacing")?;
        let are_magnitudes = self.injection_mag.values().all(|m| (-10.0..=50.0).contains(m));
        c("injection_mag", are_magnitudes, &self.injection_mag, "AB magnitudes in -10..=50")?;
        let are_offsets = !self.offsets_mag.is_empty() && self.offsets_mag.iter().all(|o| o.abs() <= 20.0);
        c("offsets_mag", are_offsets, &self.offsets_mag, "one or more numbers in -20..=20")
    }
}

pub(super) fn sources(
    config: &InjectionGridConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposurePlan],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.injection_grid", key, is_good, found, expected);
    check_bands(bands)?;
    let spacing_px = config.spacing_arcsec / tract.config().pixel_scale_arcsec;
    c("spacing_arcsec", spacing_px >= 2.0, &config.spacing_arcsec, "at least two pixels of the tract")?;
    c("jitter_px", config.jitter_px <= 0.25 * spacing_px, &config.jitter_px, "0..=a quarter of the spacing")?;
    let by_depth = config.injection_mag.is_empty();
    c("injection_mag", !by_depth || !exposures.is_empty(), &config.injection_mag, "a magnitude for every band, or exposures to scale to")?;
    let is_complete = by_depth || bands.iter().all(|b| config.injection_mag.contains_key(b));
    c("injection_mag", is_complete, &config.injection_mag, "a magnitude for every band")?;
    let depths: Vec<_> = bands.iter().map(|band| Depth::of_band(exposures, band)).collect();

    let mut sources = Vec::new();
    for (number, node) in grid_nodes(tract, spacing_px) {
        let mut rng = keyed_rng(seed, "sky-injection-grid", arm, number);
        let mut jitter = || config.jitter_px * (2.0 * rng.random::<f64>() - 1.0);
        let at = PixelPoint::new(node.x + jitter(), node.y + jitter());
        let position = tract.wcs().pixel_to_sky(at);
        let offset = config.offsets_mag[rng.random_range(0..config.offsets_mag.len())];
        let limit = |(i, band): (usize, &String)| if by_depth { depths[i].m5(position) } else { config.injection_mag[band] };
        let fluxes: Vec<f64> = bands.iter().enumerate().map(limit).map(|m| flux_njy(m + offset)).collect();
        // Not covered by some band: no depth to scale to.
        if fluxes.iter().all(|f| f.is_finite()) {
            sources.push(Source {
                is_injected: true,
                regime: format!("offset {offset:?}").into(),
                ..Source::star(number, position, fluxes)
            });
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use crate::{FieldConfig, make_truth};
    use fathom::geometry::{SkyMapConfig, Tract};
    use fathom::image::ab_magnitude;

    #[test]
    fn every_object_has_one_offset_in_all_bands() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let mut config = FieldConfig { field: "injection_grid".into(), ..FieldConfig::default() };
        let bands = vec!["g".to_owned(), "r".to_owned()];
        assert!(make_truth(&config, &tract, &bands, &[], 1, 0).unwrap_err().to_string().contains("injection_mag"));
        config.injection_grid.injection_mag = [("g".to_owned(), 25.0), ("r".to_owned(), 24.5)].into();
        let table = make_truth(&config, &tract, &bands, &[], 1, 0).unwrap();
        // 1024 pixels of 0.2 arcsec: 40 nodes of 5 arcsec a side.
        assert_eq!(table.n_rows(), 1600);
        let (g, r) = (table.f64("g_flux").unwrap(), table.f64("r_flux").unwrap());
        let mut counts = [0; 3];
        for (i, regime) in table.text("regime").unwrap().iter().enumerate() {
            let offset: f64 = regime.strip_prefix("offset ").unwrap().parse().unwrap();
            assert!((ab_magnitude(g[i]) - 25.0 - offset).abs() < 1e-9 && (ab_magnitude(r[i]) - 24.5 - offset).abs() < 1e-9);
            counts[["offset -1.0", "offset 0.0", "offset 0.5"].iter().position(|o| o == regime).unwrap()] += 1;
        }
        // Multinomial: 1600/3, 4 standard deviations of 19.
        assert!(counts.iter().all(|c| (f64::from(*c) - 533.3).abs() < 76.0), "{counts:?}");
        assert!(table.bool("is_injected").unwrap().iter().all(|b| *b));
        config.field = "empty".into();
        let empty = make_truth(&config, &tract, &bands, &[], 1, 0).unwrap();
        assert_eq!((empty.n_rows(), empty.columns().len()), (0, table.columns().len()));
    }
}

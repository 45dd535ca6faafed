//! Isolated point sources and galaxies of known signal to noise on a grid: for the statistics of detection and fluxes.

use super::{check_bands, grid_nodes};
use crate::depth::{Depth, Shape};
use crate::error::{check, is_range};
use crate::population::Source;
use crate::{ExposureDepth, SimError};
use fathom::geometry::{PixelPoint, SkyPoint, Tract};
use fathom::random::keyed_rng;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of the field `grid`: section `[sky.grid]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Distance of the nodes \[tract pixel\].
    pub spacing_px: f64,
    /// Each source lies within ± this of its node on both axes \[tract pixel\], at most a quarter of the spacing.
    pub jitter_px: f64,
    /// Share of bright sources, in 0..=1.
    pub bright_fraction: f64,
    /// Signal to noise of the faint ones in every single band, uniform in this range.
    pub faint_snr: [f64; 2],
    /// Signal to noise of the bright ones (sky and read noise only), log-uniform in this range.
    pub bright_snr: [f64; 2],
    /// Share of the nodes that hold a galaxy, in 0..=1.
    pub galaxy_fraction: f64,
    /// Half-light radii of the galaxies \[arcsec\], drawn with the same chance each.
    pub galaxy_half_light_radius_arcsec: Vec<f64>,
    /// Sérsic index of the galaxies.
    pub galaxy_sersic_n: f64,
    /// Axis ratio of the galaxies; their angles are random.
    pub galaxy_axis_ratio: f64,
    /// Signal to noise of the galaxies (their own matched filter; sky and read noise only) in every single band, uniform in this range.
    pub galaxy_snr: [f64; 2],
}

impl Default for GridConfig {
    fn default() -> Self {
        Self {
            spacing_px: 30.0,
            jitter_px: 2.0,
            bright_fraction: 0.4,
            faint_snr: [1.4, 8.0],
            bright_snr: [20.0, 300.0],
            galaxy_fraction: 0.0,
            galaxy_half_light_radius_arcsec: vec![0.2, 0.4, 0.8],
            galaxy_sersic_n: 1.0,
            galaxy_axis_ratio: 0.7,
            galaxy_snr: [3.0, 10.0],
        }
    }
}

impl GridConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.grid", key, is_good, found, expected);
        c("spacing_px", (4.0..=10_000.0).contains(&self.spacing_px), &self.spacing_px, "4..=10000 pixels")?;
        c("jitter_px", (0.0..=0.25 * self.spacing_px).contains(&self.jitter_px), &self.jitter_px, "0..=spacing_px / 4")?;
        c("bright_fraction", (0.0..=1.0).contains(&self.bright_fraction), &self.bright_fraction, "0..=1")?;
        c("faint_snr", is_range(self.faint_snr, 1e-3, 1e6), &self.faint_snr, "[low, high] in 0.001..=1e6")?;
        c("bright_snr", is_range(self.bright_snr, 1e-3, 1e6), &self.bright_snr, "[low, high] in 0.001..=1e6")?;
        c("galaxy_fraction", (0.0..=1.0).contains(&self.galaxy_fraction), &self.galaxy_fraction, "0..=1")?;
        let radii = &self.galaxy_half_light_radius_arcsec;
        let are_radii = !radii.is_empty() && radii.iter().all(|r| (0.01..=10.0).contains(r));
        c("galaxy_half_light_radius_arcsec", are_radii, radii, "one or more numbers in 0.01..=10 arcsec")?;
        let is_index = crate::profile::SERSIC_RANGE.contains(&self.galaxy_sersic_n);
        c("galaxy_sersic_n", is_index, &self.galaxy_sersic_n, "a Sérsic index that can be drawn")?;
        c("galaxy_axis_ratio", (0.05..=1.0).contains(&self.galaxy_axis_ratio), &self.galaxy_axis_ratio, "0.05..=1")?;
        c("galaxy_snr", is_range(self.galaxy_snr, 1e-3, 1e6), &self.galaxy_snr, "[low, high] in 0.001..=1e6")
    }
}

/// Nodes that no exposure of some band reaches get no source.
pub(super) fn sources(
    config: &GridConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    check("sky.grid", "exposures", !exposures.is_empty(), exposures.len(), "at least one: they give the depth")?;
    let depths: Vec<_> = bands.iter().map(|band| Depth::of_band(exposures, band)).collect();
    // Loss of a galaxy's Σ(φ * g)² against Σφ², exposure by exposure: of one angle, for it hardly depends on that.
    let shape =
        |radius: f64| Shape { half_light_radius_arcsec: radius, axis_ratio: config.galaxy_axis_ratio, sersic_n: config.galaxy_sersic_n };
    let losses = |radius: &f64| depths.iter().map(|d| d.losses(&shape(*radius))).collect::<Result<Vec<_>, _>>();
    let needs_losses = config.galaxy_fraction > 0.0;
    let by_radius: Vec<Vec<Vec<f64>>> =
        if needs_losses { config.galaxy_half_light_radius_arcsec.iter().map(losses).collect::<Result<_, _>>()? } else { Vec::new() };
    let scene = Scene { config, tract, depths, by_radius, seed, arm };
    Ok(grid_nodes(tract, config.spacing_px).into_par_iter().filter_map(|(number, node)| scene.source(number, node)).collect())
}

/// What the objects of all nodes are drawn from.
struct Scene<'a> {
    config: &'a GridConfig,
    tract: &'a Tract,
    /// One a band.
    depths: Vec<Depth<'a>>,
    /// Losses of a galaxy by radius, band and exposure; empty without galaxies.
    by_radius: Vec<Vec<Vec<f64>>>,
    seed: u64,
    arm: u64,
}

impl Scene<'_> {
    fn source(&self, number: u64, node: PixelPoint) -> Option<Source> {
        let config = self.config;
        let mut rng = keyed_rng(self.seed, "sky-grid", self.arm, number);
        let mut draw = || rng.random::<f64>();
        let mut jitter = || config.jitter_px * (2.0 * draw() - 1.0);
        let at = PixelPoint::new(node.x + jitter(), node.y + jitter());
        let position = self.tract.wcs().pixel_to_sky(at);
        let is_bright = draw() < config.bright_fraction;
        let snr = if is_bright {
            let [low, high] = config.bright_snr;
            low * (high / low).powf(draw())
        } else {
            let [low, high] = config.faint_snr;
            low + (high - low) * draw()
        };
        let mut galaxy_rng = keyed_rng(self.seed, "sky-grid/galaxy", self.arm, number);
        if galaxy_rng.random::<f64>() < config.galaxy_fraction {
            return self.galaxy(number, position, galaxy_rng);
        }
        let information: Vec<f64> = self.depths.iter().map(|d| d.information(position)).collect();
        let flux_njy = fluxes(snr, &information)?;
        let regime = if is_bright { "bright" } else { "faint" }.into();
        Some(Source { snr_target: snr, regime, ..Source::star(number, position, flux_njy) })
    }

    fn galaxy(&self, number: u64, position: SkyPoint, mut rng: impl Rng) -> Option<Source> {
        let config = self.config;
        let i_radius = rng.random_range(0..self.by_radius.len());
        let snr = config.galaxy_snr[0] + (config.galaxy_snr[1] - config.galaxy_snr[0]) * rng.random::<f64>();
        let losses = &self.by_radius[i_radius];
        let information: Vec<f64> = self.depths.iter().zip(losses).map(|(d, l)| d.information_of_shape(position, l)).collect();
        let radius = config.galaxy_half_light_radius_arcsec[i_radius];
        Some(Source {
            class: "galaxy",
            half_light_radius_arcsec: radius,
            sersic_n: config.galaxy_sersic_n,
            axis_ratio: config.galaxy_axis_ratio,
            position_angle_deg: 180.0 * rng.random::<f64>(),
            snr_target: snr,
            regime: format!("galaxy r={radius:?}").into(),
            ..Source::star(number, position, fluxes(snr, &information)?)
        })
    }
}

/// Flux in every band of an object of this signal to noise; none where a band does not reach it.
fn fluxes(snr: f64, information: &[f64]) -> Option<Vec<f64>> {
    information.iter().all(|phi| *phi > 0.0).then(|| information.iter().map(|phi| snr / phi.sqrt()).collect())
}

#[cfg(test)]
mod tests {
    use crate::{CameraConfig, Depth, ExposureDepth, FieldConfig, make_truth, plan_exposures};
    use fathom::geometry::{SkyMapConfig, SkyPoint, Tract};

    /// 34 x 34 nodes of 30 pixels on 1024; every flux is its target times the error of that place.
    #[test]
    fn counts_and_fluxes() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let camera = CameraConfig { size_px: [1500, 1500], n_exposures: 3, ..CameraConfig::default() };
        let bands = vec!["g".to_owned(), "r".to_owned()];
        let depths = ExposureDepth::of_plans(&plan_exposures(&camera, tract.center(), &bands, 3).unwrap()).unwrap();
        let config = FieldConfig { field: "grid".into(), ..FieldConfig::default() };
        let table = make_truth(&config, &tract, &bands, &depths, 3, 0).unwrap();
        assert_eq!(table.n_rows(), 34 * 34);
        let regimes = table.text("regime").unwrap();
        let n_bright = regimes.iter().filter(|r| *r == "bright").count() as f64;
        // Binomial: 4 standard deviations.
        assert!((n_bright - 0.4 * 1156.0).abs() < 4.0 * (1156.0f64 * 0.24).sqrt(), "{n_bright}");
        let (ra, dec, snr) = (table.f64("ra").unwrap(), table.f64("dec").unwrap(), table.f64("snr_target").unwrap());
        for band in &bands {
            let (depth, flux) = (Depth::of_band(&depths, band), table.f64(&format!("{band}_flux")).unwrap());
            for i in 0..table.n_rows() {
                let expected = if regimes[i] == "bright" { 20.0..=300.0 } else { 1.4..=8.0 };
                assert!(expected.contains(&snr[i]));
                let found = flux[i] * depth.information(SkyPoint::from_degrees(ra[i], dec[i])).sqrt();
                assert!((found / snr[i] - 1.0).abs() < 1e-6);
            }
        }
        let other = make_truth(&config, &tract, &bands, &depths, 3, 1).unwrap();
        assert!(other.i64("id").unwrap().iter().all(|id| !table.i64("id").unwrap().contains(id)));
    }

    #[test]
    fn bad_settings_are_named() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let mut config = FieldConfig { field: "grid".into(), ..FieldConfig::default() };
        config.grid.jitter_px = 20.0;
        let message = |config: &FieldConfig| make_truth(config, &tract, &["r".into()], &[], 1, 0).unwrap_err().to_string();
        assert_eq!(message(&config), "sky.grid.jitter_px is 20.0; expected 0..=spacing_px / 4");
        config.grid.jitter_px = 1.0;
        assert!(message(&config).contains("sky.grid.exposures is 0"));
        config.field = "gird".into();
        assert!(message(&config).contains("sky.field is \"gird\""));
    }
}

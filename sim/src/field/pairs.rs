//! Pairs of objects on a grid, over separation, flux ratio, type and colour difference: for deblenders.

use super::{check_bands, grid_nodes};
use crate::depth::Depth;
use crate::error::{check, is_range};
use crate::population::{Draws, Source, sed};
use crate::{ExposureDepth, SimError};
use fathom::geometry::Tract;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Settings of the field `pairs`: section `[sky.pairs]`.
///
/// The cells of the four lists' product take the grid's nodes in turn, so that every cell is spread over the tract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairsConfig {
    /// Distance of the nodes \[arcsec\]; a pair is isolated if it is well above the separation.
    pub spacing_arcsec: f64,
    /// FWHM that separations are in units of \[arcsec\]; 0: the mean of the exposures'.
    pub fwhm_arcsec: f64,
    /// Separations \[FWHM\].
    pub separations_fwhm: Vec<f64>,
    /// Flux of the second over that of the first, in r.
    pub flux_ratios: Vec<f64>,
    /// `star-star`, `star-galaxy`, `galaxy-galaxy`, `galaxy-star`.
    pub types: Vec<String>,
    /// g-i of the second less that of the first \[mag\]; in other bands by their wavelength.
    pub colour_differences_mag: Vec<f64>,
    /// Signal to noise that the first would have as a point source, in every band; log-uniform in this range.
    pub snr: [f64; 2],
    /// Half-light radius of the galaxies \[arcsec\].
    pub half_light_radius_arcsec: f64,
    /// Their Sérsic index.
    pub sersic_n: f64,
}

impl Default for PairsConfig {
    fn default() -> Self {
        Self {
            spacing_arcsec: 12.0,
            fwhm_arcsec: 0.0,
            separations_fwhm: vec![0.5, 0.75, 1.0, 1.5, 2.0, 3.0],
            flux_ratios: vec![1.0, 0.3, 0.1],
            types: ["star-star", "star-galaxy", "galaxy-galaxy"].map(String::from).to_vec(),
            colour_differences_mag: vec![0.0, 1.0],
            snr: [50.0, 200.0],
            half_light_radius_arcsec: 0.4,
            sersic_n: 1.0,
        }
    }
}

impl PairsConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.pairs", key, is_good, found, expected);
        let all = |list: &[f64], min: f64, max: f64| !list.is_empty() && list.iter().all(|v| (min..=max).contains(v));
        c("spacing_arcsec", (0.5..=36_000.0).contains(&self.spacing_arcsec), &self.spacing_arcsec, "0.5..=36000 arcsec")?;
        c("fwhm_arcsec", (0.0..=60.0).contains(&self.fwhm_arcsec), &self.fwhm_arcsec, "0 (the exposures') ..=60 arcsec")?;
        c("separations_fwhm", all(&self.separations_fwhm, 0.0, 100.0), &self.separations_fwhm, "one or more numbers in 0..=100")?;
        c("flux_ratios", all(&self.flux_ratios, 1e-6, 1e6), &self.flux_ratios, "one or more numbers in 1e-6..=1e6")?;
        let are_types = !self.types.is_empty() && self.types.iter().all(|t| kinds(t).is_some());
        c("types", are_types, &self.types, "one or more of star-star, star-galaxy, galaxy-star, galaxy-galaxy")?;
        c(
            "colour_differences_mag",
            all(&self.colour_differences_mag, -10.0, 10.0),
            &self.colour_differences_mag,
            "one or more numbers in -10..=10",
        )?;
        c("snr", is_range(self.snr, 1e-3, 1e6), &self.snr, "[low, high] in 0.001..=1e6")?;
        let radius = self.half_light_radius_arcsec;
        c("half_light_radius_arcsec", (0.01..=10.0).contains(&radius), &radius, "0.01..=10 arcsec")?;
        c("sersic_n", crate::profile::SERSIC_RANGE.contains(&self.sersic_n), &self.sersic_n, "0.3..=6.2")
    }
}

/// (first is a galaxy, second is a galaxy).
fn kinds(text: &str) -> Option<(bool, bool)> {
    match text {
        "star-star" => Some((false, false)),
        "star-galaxy" => Some((false, true)),
        "galaxy-star" => Some((true, false)),
        "galaxy-galaxy" => Some((true, true)),
        _ => None,
    }
}

/// Nodes that no exposure of some band reaches get no pair. The regime names the cell: `sep=1.0 ratio=0.3 type=star-galaxy colour=1.0`.
pub(super) fn sources(
    config: &PairsConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_bands = sed::indices("pairs", bands)?;
    check("sky.pairs", "exposures", !exposures.is_empty(), exposures.len(), "at least one: they give the depth")?;
    let fwhm_arcsec = if config.fwhm_arcsec > 0.0 { config.fwhm_arcsec } else { mean_fwhm_arcsec(exposures) };
    let spacing_px = config.spacing_arcsec / tract.config().pixel_scale_arcsec;
    check("sky.pairs", "spacing_arcsec", spacing_px >= 2.0, config.spacing_arcsec, "at least two pixels of the tract")?;
    let depths: Vec<_> = bands.iter().map(|band| Depth::of_band(exposures, band)).collect();
    let mut cells = Vec::new();
    for &colour in &config.colour_differences_mag {
        for kind in &config.types {
            for &ratio in &config.flux_ratios {
                cells.extend(config.separations_fwhm.iter().map(|&separation| (separation, ratio, kind.as_str(), colour)));
            }
        }
    }
    let draws = Draws { seed, arm };
    let mut sources = Vec::new();
    for (number, node) in grid_nodes(tract, spacing_px) {
        let (separation, ratio, kind, colour) = cells[number as usize % cells.len()];
        let mut rng = draws.of("sky-pairs", number);
        let mut draw = || rng.random::<f64>();
        let angle = TAU * draw();
        let snr = config.snr[0] * (config.snr[1] / config.snr[0]).powf(draw());
        let shapes = [draw(), draw(), draw(), draw()];
        // A random phase on the pixels; the pair's middle is at the node.
        let centre = tract.wcs().pixel_to_sky(fathom::geometry::PixelPoint::new(node.x + draw() - 0.5, node.y + draw() - 0.5));
        let information: Vec<f64> = depths.iter().map(|d| d.information(centre)).collect();
        if !information.iter().all(|phi| *phi > 0.0) {
            continue;
        }
        let half = 0.5 * separation * fwhm_arcsec;
        let (first_is_galaxy, second_is_galaxy) = kinds(kind).expect("checked");
        let first_flux: Vec<f64> = information.iter().map(|phi| snr / phi.sqrt()).collect();
        // Magnitudes against 1/λ, zero in r and `colour` between g and i.
        let tilt = |b: usize| (1.0 / sed::PIVOT[b] - 1.0 / sed::PIVOT[2]) / (1.0 / sed::PIVOT[1] - 1.0 / sed::PIVOT[3]);
        let second_flux = first_flux.iter().zip(&i_bands).map(|(f, &b)| f * ratio * 10f64.powf(-0.4 * colour * tilt(b))).collect();
        let regime = format!("sep={separation:?} ratio={ratio:?} type={kind} colour={colour:?}");
        for (k, flux, is_galaxy, sign) in [(0, first_flux, first_is_galaxy, 1.0), (1, second_flux, second_is_galaxy, -1.0)] {
            let at = centre.offset_by_arcsec(sign * half * angle.cos(), sign * half * angle.sin());
            let mut source = Source::star(2 * number + k, at, flux);
            source.regime = regime.clone().into();
            if k == 0 {
                source.snr_target = snr;
            }
            if is_galaxy {
                source.class = "galaxy";
                source.half_light_radius_arcsec = config.half_light_radius_arcsec;
                source.sersic_n = config.sersic_n;
                source.axis_ratio = 0.4 + 0.6 * shapes[k as usize];
                source.position_angle_deg = 180.0 * shapes[2 + k as usize];
            }
            sources.push(source);
        }
    }
    Ok(sources)
}

/// Mean FWHM of the exposures at their middles \[arcsec\].
pub(super) fn mean_fwhm_arcsec(exposures: &[ExposureDepth]) -> f64 {
    exposures.iter().map(|e| e.fwhm_arcsec).sum::<f64>() / exposures.len() as f64
}

//! A rich cluster of galaxies with a bright central galaxy and intracluster light, before the sky of a survey.

use super::survey::{self, FIRST_OTHER};
use super::{SurveyConfig, check_bands};
use crate::SimError;
use crate::error::check;
use crate::noise::normal;
use crate::population::{Draws, Source, galaxies, sed};
use fathom::geometry::Tract;
use fathom::image::{ab_magnitude, flux_njy};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Settings of the field `cluster`: section `[sky.cluster]`. Fore- and background are those of `[sky.survey]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Of all members, in 0.01..=1.5.
    pub redshift: f64,
    /// Members brighter than `faintest_magnitude`, besides the central galaxy.
    pub n_members: usize,
    /// i magnitude of the central galaxy.
    pub central_magnitude: f64,
    /// Half-light radius of the central galaxy \[arcsec\].
    pub central_radius_arcsec: f64,
    /// i magnitude of M* of the members' Schechter function.
    pub characteristic_magnitude: f64,
    /// Faintest members in i.
    pub faintest_magnitude: f64,
    /// Core radius of the surface density of members \[arcsec\].
    pub core_radius_arcsec: f64,
    /// Share of the cluster's light between the galaxies; 0: none.
    pub icl_fraction: f64,
    /// Half-light radius of that light \[arcsec\].
    pub icl_radius_arcsec: f64,
    /// Its Sérsic index.
    pub icl_sersic_n: f64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            redshift: 0.35,
            n_members: 200,
            central_magnitude: 17.6,
            central_radius_arcsec: 3.5,
            characteristic_magnitude: 19.6,
            faintest_magnitude: 26.0,
            core_radius_arcsec: 20.0,
            icl_fraction: 0.2,
            icl_radius_arcsec: 12.0,
            icl_sersic_n: 0.7,
        }
    }
}

impl ClusterConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.cluster", key, is_good, found, expected);
        let in_range = |v: f64, min: f64, max: f64| (min..=max).contains(&v);
        c("redshift", in_range(self.redshift, 0.01, 1.5), &self.redshift, "0.01..=1.5")?;
        c("n_members", self.n_members <= 1_000_000, &self.n_members, "0..=1000000")?;
        c("central_magnitude", in_range(self.central_magnitude, 10.0, 30.0), &self.central_magnitude, "10..=30")?;
        c("central_radius_arcsec", in_range(self.central_radius_arcsec, 0.05, 60.0), &self.central_radius_arcsec, "0.05..=60 arcsec")?;
        let (star, faint) = (self.characteristic_magnitude, self.faintest_magnitude);
        c("characteristic_magnitude", in_range(star, 10.0, 30.0), &star, "10..=30")?;
        c("faintest_magnitude", in_range(faint, star - 2.0, 32.0), &faint, "characteristic_magnitude - 2 ..=32")?;
        c("core_radius_arcsec", in_range(self.core_radius_arcsec, 0.1, 3600.0), &self.core_radius_arcsec, "0.1..=3600 arcsec")?;
        c("icl_fraction", in_range(self.icl_fraction, 0.0, 0.9), &self.icl_fraction, "0..=0.9")?;
        c("icl_radius_arcsec", in_range(self.icl_radius_arcsec, 0.1, 600.0), &self.icl_radius_arcsec, "0.1..=600 arcsec")?;
        c("icl_sersic_n", crate::profile::SERSIC_RANGE.contains(&self.icl_sersic_n), &self.icl_sersic_n, "0.3..=6.2")
    }
}

/// Slope of the members' luminosity function at the faint end (Goto et al. 2002, PASJ 54, 515: -0.85 to -1.1 in SDSS clusters).
const SCHECHTER_ALPHA: f64 = -1.0;

/// The survey's objects, then the central galaxy, the light between the galaxies and the members: `cluster_id` 1, regimes `central`, `icl`, `member`.
///
/// Members lie in a King profile Σ ∝ 1 / (1 + (r/r_c)²) out to six core radii (Adami et al. 1998, A&A 331, 439); four in five, more at the centre, are
/// on the red sequence (Dressler 1980, ApJ 236, 351).
pub(super) fn sources(
    config: &ClusterConfig,
    background: &SurveyConfig,
    tract: &Tract,
    bands: &[String],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_bands = sed::indices("cluster", bands)?;
    let draws = Draws { seed, arm };
    let mut sources = survey::sources(background, tract, bands, seed, arm)?;
    let centre = tract.center();
    let mut rng = draws.of("cluster", 0);
    let angle_deg = 180.0 * rng.random::<f64>();
    let mut light_njy = flux_njy(config.central_magnitude);

    let mut central = galaxies::member(draws, FIRST_OTHER, centre, config.central_magnitude, config.redshift, true, &i_bands);
    central.half_light_radius_arcsec = config.central_radius_arcsec;
    (central.sersic_n, central.axis_ratio, central.position_angle_deg) = (4.0, 0.75, angle_deg);
    central.regime = "central".into();

    let mut members = Vec::with_capacity(config.n_members);
    for number in FIRST_OTHER + 2..FIRST_OTHER + 2 + config.n_members as u64 {
        let mut rng = draws.of("cluster/member", number);
        let magnitude = schechter(config.characteristic_magnitude, config.faintest_magnitude, &mut rng);
        light_njy += flux_njy(magnitude);
        // The inverse of the number within r, ∝ ln(1 + r²/r_c²).
        let r = config.core_radius_arcsec * ((rng.random::<f64>() * 37.0f64.ln()).exp() - 1.0).sqrt();
        let phi = TAU * rng.random::<f64>();
        // Flattened as the light is.
        let (along, across) = (r * phi.cos(), 0.7 * r * phi.sin());
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        let position = centre.offset_by_arcsec(along * sin + across * cos, along * cos - across * sin);
        let early_share = 0.9 - 0.25 * (r / (3.0 * config.core_radius_arcsec)).min(1.0);
        // A velocity dispersion of 1000 km/s.
        let redshift = config.redshift + (1.0 + config.redshift) * 0.0033 * normal(&mut rng).clamp(-3.0, 3.0);
        let is_early = rng.random::<f64>() < early_share;
        let inside = tract.wcs().sky_to_pixel(position).is_ok_and(|p| tract.bbox().contains_point(p));
        if inside {
            let mut member = galaxies::member(draws, number, position, magnitude, redshift, is_early, &i_bands);
            member.regime = "member".into();
            members.push(member);
        }
    }
    if config.icl_fraction > 0.0 {
        let magnitude = ab_magnitude(light_njy * config.icl_fraction / (1.0 - config.icl_fraction));
        let mut icl = galaxies::member(draws, FIRST_OTHER + 1, centre, magnitude, config.redshift, true, &i_bands);
        icl.half_light_radius_arcsec = config.icl_radius_arcsec;
        (icl.sersic_n, icl.axis_ratio, icl.position_angle_deg) = (config.icl_sersic_n, 0.7, angle_deg);
        icl.regime = "icl".into();
        members.push(icl);
    }
    members.push(central);
    for member in &mut members {
        member.cluster_id = 1;
    }
    sources.append(&mut members);
    Ok(sources)
}

/// A magnitude of dN/dL ∝ L^α exp(-L/L*), by rejection from the power law between L_min and 10 L*.
fn schechter(m_star: f64, m_faint: f64, rng: &mut impl rand::Rng) -> f64 {
    const { assert!(SCHECHTER_ALPHA == -1.0, "the power law below is the logarithm's") };
    let (low, high) = (10f64.powf(-0.4 * (m_faint - m_star)), 10.0f64);
    for _ in 0..1000 {
        let l = low * (high / low).powf(rng.random());
        if rng.random::<f64>() < (-l).exp() {
            return m_star - 2.5 * l.log10();
        }
    }
    m_faint
}

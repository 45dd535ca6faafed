//! Objects at magnitudes around a limit: what is injected into real exposures to measure completeness, or beside real objects to probe blends.

use super::spread::Spread;
use super::{check_bands, grid_nodes};
use crate::depth::Depth;
use crate::error::check;
use crate::object::{MORPHOLOGIES, is_morphology};
use crate::population::Source;
use crate::profile::SERSIC_RANGE;
use crate::{ExposureDepth, SimError};
use fathom::format::any_table;
use fathom::geometry::{PixelPoint, SkyPoint, Tract};
use fathom::image::flux_njy;
use fathom::random::keyed_rng;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Where objects are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// On a jittered grid: they do not overlap each other.
    Grid,
    /// Anywhere.
    Random,
    /// At chosen separations from the objects of a catalog.
    Near,
}

/// Settings of the field `injected`: section `[sky.injected]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectedConfig {
    /// Where they are put.
    pub placement: Placement,
    /// `grid`: distance of the nodes \[arcsec\].
    pub spacing_arcsec: f64,
    /// `grid`: each object lies within ± this of its node on both axes \[tract pixel\], at most a quarter of the spacing.
    pub jitter_px: f64,
    /// `random`: number of objects on the tract, at most a million.
    pub n_random: usize,
    /// `near`: catalog of the objects to be beside, with columns `ra`, `dec` \[deg\] (CSV, HDF5 such as the control's part of a `run.h5`, FITS).
    pub near_file: String,
    /// `near`: group or HDU of the table in that file.
    pub near_table: String,
    /// `near`: distances from them \[arcsec\]; each object gets one, in any direction.
    pub separations_arcsec: Vec<f64>,
    /// `random`, `near`: no two objects of one realisation are nearer to each other \[arcsec\]; of a catalog too dense for that, `near` takes
    /// some objects in one realisation and others in the next.
    pub min_distance_arcsec: f64,
    /// Half-light radius along the major axis \[arcsec\]; 0: point sources.
    pub half_light_radius_arcsec: f64,
    /// Of extended objects.
    pub sersic_n: f64,
    /// Of extended objects; their position angles are random.
    pub axis_ratio: f64,
    /// Of extended objects, one of them each: `stamp:<name>` (a real galaxy of `sky.stamps`), `gaussians:<flux sigma; ...>`, or empty text for
    /// Sérsic's law, as in the truth catalog ([`fathom::format::truth`]); none at all: Sérsic's law.
    pub morphologies: Vec<String>,
    /// AB magnitude of the limit by band; none at all: the magnitude of signal to noise 5 by the exposures' plans.
    pub injection_mag: BTreeMap<String, f64>,
    /// Offsets from the limit \[mag\]; each object gets one of them, the same in every band.
    pub offsets_mag: Vec<f64>,
}

impl Default for InjectedConfig {
    fn default() -> Self {
        Self {
            placement: Placement::Grid,
            spacing_arcsec: 5.0,
            jitter_px: 2.0,
            n_random: 100,
            near_file: String::new(),
            near_table: String::new(),
            separations_arcsec: vec![0.5, 1.0, 1.5, 2.0, 3.0],
            min_distance_arcsec: 5.0,
            half_light_radius_arcsec: 0.0,
            sersic_n: 1.0,
            axis_ratio: 1.0,
            morphologies: Vec::new(),
            injection_mag: BTreeMap::new(),
            offsets_mag: vec![-1.0, 0.0, 0.5],
        }
    }
}

/// Draws of a place before there is no room for an object.
const N_ATTEMPTS: usize = 300;

impl InjectedConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.injected", key, is_good, found, expected);
        c("spacing_arcsec", (0.1..=36_000.0).contains(&self.spacing_arcsec), &self.spacing_arcsec, "0.1..=36000 arcsec")?;
        c("jitter_px", (0.0..=1000.0).contains(&self.jitter_px), &self.jitter_px, "0..=a quarter of the spacing")?;
        let are_magnitudes = self.injection_mag.values().all(|m| (-10.0..=50.0).contains(m));
        c("injection_mag", are_magnitudes, &self.injection_mag, "AB magnitudes in -10..=50")?;
        let are_offsets = !self.offsets_mag.is_empty() && self.offsets_mag.iter().all(|o| o.abs() <= 20.0);
        c("offsets_mag", are_offsets, &self.offsets_mag, "one or more numbers in -20..=20")?;
        c("n_random", self.n_random <= 1_000_000, &self.n_random, "0..=1000000")?;
        let is_named = self.placement != Placement::Near || !self.near_file.is_empty();
        c("near_file", is_named, &self.near_file, "a catalog for the placement near")?;
        let are_far = !self.separations_arcsec.is_empty() && self.separations_arcsec.iter().all(|s| (0.0..=3600.0).contains(s));
        c("separations_arcsec", are_far, &self.separations_arcsec, "one or more numbers in 0..=3600")?;
        let radius = self.half_light_radius_arcsec;
        c("half_light_radius_arcsec", (0.0..=60.0).contains(&radius), &radius, "0..=60 arcsec")?;
        c("sersic_n", SERSIC_RANGE.contains(&self.sersic_n), &self.sersic_n, "0.3..=6.2")?;
        c("axis_ratio", (0.05..=1.0).contains(&self.axis_ratio), &self.axis_ratio, "0.05..=1")?;
        c("min_distance_arcsec", (0.0..=3600.0).contains(&self.min_distance_arcsec), &self.min_distance_arcsec, "0..=3600 arcsec")?;
        let wrong = self.morphologies.iter().find(|m| !is_morphology(m));
        c("morphologies", wrong.is_none(), &wrong, MORPHOLOGIES)?;
        c("morphologies", self.morphologies.is_empty() || radius > 0.0, &self.morphologies, "none, with half_light_radius_arcsec = 0")
    }
}

pub(super) fn sources(
    config: &InjectedConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.injected", key, is_good, found, expected);
    check_bands(bands)?;
    let by_depth = config.injection_mag.is_empty();
    c("injection_mag", !by_depth || !exposures.is_empty(), &config.injection_mag, "a magnitude for every band, or exposures to scale to")?;
    let is_complete = by_depth || bands.iter().all(|b| config.injection_mag.contains_key(b));
    c("injection_mag", is_complete, &config.injection_mag, "a magnitude for every band")?;
    let depths: Vec<_> = bands.iter().map(|band| Depth::of_band(exposures, band)).collect();

    let source = |Place { number, position, of }| {
        let mut rng = keyed_rng(seed, "sky-injected", arm, number);
        let offset = config.offsets_mag[rng.random_range(0..config.offsets_mag.len())];
        let limit = |(i, band): (usize, &String)| if by_depth { depths[i].m5(position) } else { config.injection_mag[band] };
        let fluxes: Vec<f64> = bands.iter().enumerate().map(limit).map(|m| flux_njy(m + offset)).collect();
        // Not covered by some band: no depth to scale to.
        if !fluxes.iter().all(|f| f.is_finite()) {
            return None;
        }
        let regime = format!("{of}offset {offset:?}").into();
        let mut source = Source { is_injected: true, regime, ..Source::star(number, position, fluxes) };
        if config.half_light_radius_arcsec > 0.0 {
            source.class = "galaxy";
            source.half_light_radius_arcsec = config.half_light_radius_arcsec;
            (source.sersic_n, source.axis_ratio) = (config.sersic_n, config.axis_ratio);
            source.position_angle_deg = 180.0 * rng.random::<f64>();
            if !config.morphologies.is_empty() {
                source.morphology = config.morphologies[rng.random_range(0..config.morphologies.len())].clone().into();
            }
        }
        Some(source)
    };
    Ok(places(config, tract, seed, arm)?.into_par_iter().filter_map(source).collect())
}

/// Where one object goes; `of` begins its regime.
struct Place {
    number: u64,
    position: SkyPoint,
    of: String,
}

fn places(config: &InjectedConfig, tract: &Tract, seed: u64, arm: u64) -> Result<Vec<Place>, SimError> {
    let plain = |number, at: PixelPoint| Place { number, position: tract.wcs().pixel_to_sky(at), of: String::new() };
    match config.placement {
        Placement::Grid => {
            let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.injected", key, is_good, found, expected);
            let spacing_px = config.spacing_arcsec / tract.config().pixel_scale_arcsec;
            c("spacing_arcsec", spacing_px >= 2.0, &config.spacing_arcsec, "at least two pixels of the tract")?;
            c("jitter_px", config.jitter_px <= 0.25 * spacing_px, &config.jitter_px, "0..=a quarter of the spacing")?;
            let jittered = |(number, node): (u64, PixelPoint)| {
                let mut rng = keyed_rng(seed, "sky-injected-place", arm, number);
                let mut jitter = || config.jitter_px * (2.0 * rng.random::<f64>() - 1.0);
                plain(number, PixelPoint::new(node.x + jitter(), node.y + jitter()))
            };
            Ok(grid_nodes(tract, spacing_px).into_iter().map(jittered).collect())
        }
        Placement::Random => Ok(random(config, tract, seed, arm)?.into_iter().map(|(number, at)| plain(number, at)).collect()),
        Placement::Near => near(config, tract, seed, arm),
    }
}

/// Number and pixel of objects anywhere on the tract; each is drawn until it is far from those before it.
fn random(config: &InjectedConfig, tract: &Tract, seed: u64, arm: u64) -> Result<Vec<(u64, PixelPoint)>, SimError> {
    let bbox = tract.bbox();
    let mut spread = Spread::new(config.min_distance_arcsec / tract.config().pixel_scale_arcsec);
    let mut places = Vec::with_capacity(config.n_random);
    for number in 0..config.n_random as u64 {
        let mut rng = keyed_rng(seed, "sky-injected-place", arm, number);
        let mut along = |size: i32| f64::from(size) * rng.random::<f64>() - 0.5;
        let mut draws = (0..N_ATTEMPTS).map(|_| PixelPoint::new(along(bbox.width), along(bbox.height)));
        let Some(place) = draws.find(|p| spread.add(*p)) else {
            let distance = config.min_distance_arcsec;
            let expected = format!("at most some {number}, that keep {distance} arcsec (min_distance_arcsec) from each other");
            return Err(SimError::Config { key: "sky.injected.n_random".into(), found: config.n_random.to_string(), expected });
        };
        places.push((number, place));
    }
    Ok(places)
}

/// Beside every object of the catalog that lies on the tract, one; where all directions are too near to another one, none.
fn near(config: &InjectedConfig, tract: &Tract, seed: u64, arm: u64) -> Result<Vec<Place>, SimError> {
    let path = Path::new(&config.near_file);
    let table = any_table::read(path, &config.near_table).map_err(|e| SimError::Format(e.to_string()))?;
    let (ra, dec) = (table.f64("ra")?, table.f64("dec")?);
    // What could not be measured has no position.
    let on_tract = |p: SkyPoint| tract.wcs().sky_to_pixel(p).ok().filter(|p| tract.bbox().contains_point(*p));
    let is_on = |i: &u64| {
        let (ra, dec) = (ra[*i as usize], dec[*i as usize]);
        ra.is_finite() && dec.abs() <= 90.0 && on_tract(SkyPoint::from_degrees(ra, dec)).is_some()
    };
    let mut hosts: Vec<u64> = (0..ra.len() as u64).filter(is_on).collect();
    // Where there is no room for all, every realisation favours others.
    hosts.sort_by_cached_key(|&i| keyed_rng(seed, "sky-injected-order", arm, i).random::<u64>());
    let mut spread = Spread::new(config.min_distance_arcsec / tract.config().pixel_scale_arcsec);
    let mut places = Vec::new();
    for number in hosts {
        let host = SkyPoint::from_degrees(ra[number as usize], dec[number as usize]);
        let mut rng = keyed_rng(seed, "sky-injected-place", arm, number);
        // Drawn once: to draw it again where there is little room would favour the large ones.
        let separation = config.separations_arcsec[rng.random_range(0..config.separations_arcsec.len())];
        let beside = |_| {
            let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
            host.offset_by_arcsec(separation * sin, separation * cos)
        };
        let is_free = |p: &SkyPoint| tract.wcs().sky_to_pixel(*p).is_ok_and(|at| spread.add(at));
        let place = (0..N_ATTEMPTS).map(beside).find(is_free);
        places.extend(place.map(|position| Place { number, position, of: format!("separation {separation:?}, ") }));
    }
    places.sort_by_key(|p| p.number);
    Ok(places)
}

#[cfg(test)]
mod tests {
    use crate::{FieldConfig, make_truth};
    use fathom::geometry::{SkyMapConfig, Tract};
    use fathom::image::ab_magnitude;

    /// Beside every object of a catalog, at one of the separations and in every direction; random ones anywhere on the tract.
    #[test]
    fn objects_are_put_near_others_or_anywhere() {
        use super::Placement;
        use fathom::geometry::SkyPoint;
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts.csv");
        let hosts: Vec<SkyPoint> =
            (0..40).map(|i| tract.center().offset_by_arcsec(f64::from(i % 8) * 20.0 - 70.0, f64::from(i / 8) * 20.0 - 40.0)).collect();
        let mut text = String::from("ra,dec\n10.0,80.0\n");
        hosts.iter().for_each(|h| text += &format!("{:.10},{:.10}\n", h.ra_deg(), h.dec_deg()));
        std::fs::write(&file, text).unwrap();
        let mut config = FieldConfig { field: "injected".into(), ..FieldConfig::default() };
        config.injected.injection_mag = [("r".to_owned(), 24.5)].into();
        config.injected.placement = Placement::Near;
        assert!(config.check().unwrap_err().to_string().contains("near_file"));
        config.injected.near_file = file.to_str().unwrap().into();
        (config.injected.half_light_radius_arcsec, config.injected.sersic_n) = (0.4, 2.5);
        let bands = vec!["r".to_owned()];
        let table = make_truth(&config, &tract, &bands, &[], 1, 0).unwrap();
        // The one far away is not on the tract.
        assert_eq!(table.n_rows(), hosts.len());
        let mut east = 0.0;
        for (i, host) in hosts.iter().enumerate() {
            let at = SkyPoint::from_degrees(table.f64("ra").unwrap()[i], table.f64("dec").unwrap()[i]);
            let separation = host.separation_arcsec(&at);
            assert!([0.5, 1.0, 1.5, 2.0, 3.0].iter().any(|s| (s - separation).abs() < 1e-4), "{separation}");
            assert!(table.text("regime").unwrap()[i].starts_with(&format!("separation {:?}, offset", (separation * 2.0).round() / 2.0)));
            assert!(table.f64("sersic_n").unwrap()[i] > 2.4 && table.text("class").unwrap()[i] == "galaxy");
            east += host.offset_to_arcsec(&at).0 / separation;
        }
        // Mean of 40 sines of a uniform angle: 4 standard deviations of 0.71/√40.
        assert!((east / 40.0).abs() < 0.45, "{east}");
        config.injected.placement = Placement::Random;
        config.injected.n_random = 500;
        let table = make_truth(&config, &tract, &bands, &[], 1, 0).unwrap();
        assert_eq!(table.n_rows(), 500);
        let inside = |i: usize| {
            let at = SkyPoint::from_degrees(table.f64("ra").unwrap()[i], table.f64("dec").unwrap()[i]);
            tract.bbox().contains_point(tract.wcs().sky_to_pixel(at).unwrap())
        };
        assert!((0..500).all(inside));
    }

    /// By all pairs; the first of a denser field are those of a thinner one; too many are refused, too dense a catalog is thinned.
    #[test]
    fn objects_of_a_realisation_keep_their_distance() {
        use super::Placement;
        use fathom::geometry::SkyPoint;
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let mut config = FieldConfig { field: "injected".into(), ..FieldConfig::default() };
        config.injected.injection_mag = [("r".to_owned(), 24.5)].into();
        (config.injected.placement, config.injected.n_random, config.injected.min_distance_arcsec) = (Placement::Random, 500, 6.0);
        let make = |config: &FieldConfig, arm| make_truth(config, &tract, &["r".to_owned()], &[], 1, arm);
        let nearest = |table: &fathom::catalog::Table| {
            let (ra, dec) = (table.f64("ra").unwrap(), table.f64("dec").unwrap());
            let at: Vec<SkyPoint> = ra.iter().zip(dec).map(|(a, d)| SkyPoint::from_degrees(*a, *d)).collect();
            let pairs = (0..at.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            pairs.map(|(i, j)| at[i].separation_arcsec(&at[j])).fold(f64::INFINITY, f64::min)
        };
        // 500 of 41000 arcsec²: anywhere, the nearest two would be some 0.2 arcsec apart.
        let table = make(&config, 0).unwrap();
        assert!(table.n_rows() == 500 && nearest(&table) > 5.999, "{}", nearest(&table));
        config.injected.n_random = 100;
        assert_eq!(make(&config, 0).unwrap().f64("ra").unwrap(), &table.f64("ra").unwrap()[..100]);
        config.injected.n_random = 3000;
        let message = make(&config, 0).unwrap_err().to_string();
        assert!(message.contains("sky.injected.n_random is 3000; expected at most some"), "{message}");
        // Hosts two arcsec apart.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts.csv");
        let place = |i: i32| tract.center().offset_by_arcsec(f64::from(i % 20) * 2.0, f64::from(i / 20) * 2.0);
        let rows: String = (0..400).map(place).map(|p| format!("{:.10},{:.10}\n", p.ra_deg(), p.dec_deg())).collect();
        std::fs::write(&file, format!("ra,dec\n{rows}")).unwrap();
        (config.injected.placement, config.injected.near_file) = (Placement::Near, file.to_str().unwrap().into());
        let (first, second) = (make(&config, 0).unwrap(), make(&config, 1).unwrap());
        for table in [&first, &second] {
            assert!((20..100).contains(&table.n_rows()) && nearest(table) > 5.999, "{}", table.n_rows());
        }
        let own = |table: &fathom::catalog::Table| table.i64("id").unwrap().iter().map(|id| id % 100_000_000).collect::<Vec<_>>();
        assert_ne!(own(&first), own(&second));
    }

    #[test]
    fn real_galaxies_and_mixtures_can_be_injected() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let mut config = FieldConfig { field: "injected".into(), ..FieldConfig::default() };
        config.injected.injection_mag = [("r".to_owned(), 24.5)].into();
        config.injected.morphologies = vec!["stamp:41".into(), "gaussians:1 1; 1 3".into(), String::new()];
        assert!(config.check().unwrap_err().to_string().contains("none, with half_light_radius_arcsec = 0"));
        config.injected.half_light_radius_arcsec = 0.4;
        let table = make_truth(&config, &tract, &["r".to_owned()], &[], 1, 0).unwrap();
        for m in &config.injected.morphologies {
            // Multinomial: 1600/3, 4 standard deviations of 19.
            let n = table.text("morphology").unwrap().iter().filter(|found| *found == m).count() as f64;
            assert!((n - 533.3).abs() < 76.0, "{m}: {n}");
        }
        config.injected.morphologies[1] = "gaussians:1".into();
        assert!(config.check().unwrap_err().to_string().contains("sky.injected.morphologies is Some(\"gaussians:1\")"));
    }

    #[test]
    fn every_object_has_one_offset_in_all_bands() {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let mut config = FieldConfig { field: "injected".into(), ..FieldConfig::default() };
        let bands = vec!["g".to_owned(), "r".to_owned()];
        assert!(make_truth(&config, &tract, &bands, &[], 1, 0).unwrap_err().to_string().contains("injection_mag"));
        config.injected.injection_mag = [("g".to_owned(), 25.0), ("r".to_owned(), 24.5)].into();
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

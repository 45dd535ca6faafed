//! Stars and galaxies whose magnitudes scale to the depth of the exposures: rising counts, blends, bright isolated stars for calibration.

use super::check_bands;
use crate::depth::Depth;
use crate::error::{check, is_range};
use crate::noise::normal;
use crate::population::Source;
use crate::{ExposureDepth, SimError};
use fathom::geometry::{PixelPoint, SkyPoint, Tract};
use fathom::image::flux_njy;
use fathom::random::keyed_rng;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Settings of the field `scaled`: section `[sky.scaled]`.
///
/// Magnitudes are relative to m5, that of a point source of signal to noise 5 in the reference band at the tract's centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaledConfig {
    /// Band whose magnitudes are drawn; empty: `r` if there is one, else the first.
    pub reference_band: String,
    /// All objects, of any magnitude \[per arcmin²\].
    pub density_per_arcmin2: f64,
    /// Slope of the counts: dN/dm ∝ 10^(slope m).
    pub slope: f64,
    /// Range of magnitudes, relative to m5.
    pub magnitude_range: [f64; 2],
    /// Share of stars at m5; it falls by 10^(-0.1) per magnitude.
    pub star_fraction: f64,
    /// Scatter of the colours, each band against the reference band \[mag\].
    pub colour_scatter: f64,
    /// Median half-light radius at m5 \[arcsec\]; it falls by 10^(-0.08) per magnitude.
    pub half_light_radius_arcsec: f64,
    /// Scatter of ln radius.
    pub radius_scatter: f64,
    /// Sérsic indices, drawn with the same chance each.
    pub sersic_n: Vec<f64>,
    /// Range of axis ratios, uniform.
    pub axis_ratio: [f64; 2],
    /// Share of objects that are put beside another one.
    pub companion_fraction: f64,
    /// Range of the companions' distances \[arcsec\], uniform.
    pub companion_arcsec: [f64; 2],
    /// Bright stars besides: unsaturated in every exposure, isolated.
    pub n_bright_stars: usize,
    /// Range of their peaks as a share of saturation in the sharpest exposure, log-uniform.
    pub bright_star_peak: [f64; 2],
    /// No other object within this distance of a bright star \[arcsec\]; bright stars keep twice this from each other.
    pub bright_isolation_arcsec: f64,
}

impl Default for ScaledConfig {
    fn default() -> Self {
        Self {
            reference_band: String::new(),
            density_per_arcmin2: 75.0,
            slope: 0.3,
            magnitude_range: [-7.0, 1.5],
            star_fraction: 0.25,
            colour_scatter: 0.4,
            half_light_radius_arcsec: 0.3,
            radius_scatter: 0.4,
            sersic_n: vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
            axis_ratio: [0.2, 1.0],
            companion_fraction: 0.3,
            companion_arcsec: [0.6, 2.5],
            n_bright_stars: 20,
            bright_star_peak: [0.15, 0.5],
            bright_isolation_arcsec: 6.0,
        }
    }
}

impl ScaledConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("sky.scaled", key, is_good, found, expected);
        let in_range = |v: f64, min: f64, max: f64| (min..=max).contains(&v);
        c("density_per_arcmin2", in_range(self.density_per_arcmin2, 0.0, 1e5), &self.density_per_arcmin2, "0..=1e5")?;
        c("slope", in_range(self.slope, -2.0, 2.0), &self.slope, "-2..=2")?;
        c("magnitude_range", is_range(self.magnitude_range, -20.0, 10.0), &self.magnitude_range, "[low, high] in -20..=10")?;
        c("star_fraction", in_range(self.star_fraction, 0.0, 1.0), &self.star_fraction, "0..=1")?;
        c("colour_scatter", in_range(self.colour_scatter, 0.0, 5.0), &self.colour_scatter, "0..=5 mag")?;
        let radius = self.half_light_radius_arcsec;
        c("half_light_radius_arcsec", in_range(radius, 0.01, 10.0), &radius, "0.01..=10 arcsec")?;
        c("radius_scatter", in_range(self.radius_scatter, 0.0, 2.0), &self.radius_scatter, "0..=2")?;
        let are_indices = !self.sersic_n.is_empty() && self.sersic_n.iter().all(|n| crate::profile::SERSIC_RANGE.contains(n));
        c("sersic_n", are_indices, &self.sersic_n, "one or more numbers in 0.3..=6.2")?;
        c("axis_ratio", is_range(self.axis_ratio, 0.05, 1.0), &self.axis_ratio, "[low, high] in 0.05..=1")?;
        c("companion_fraction", in_range(self.companion_fraction, 0.0, 0.9), &self.companion_fraction, "0..=0.9")?;
        c("companion_arcsec", is_range(self.companion_arcsec, 0.0, 60.0), &self.companion_arcsec, "[low, high] in 0..=60 arcsec")?;
        c("n_bright_stars", self.n_bright_stars <= 100_000, &self.n_bright_stars, "0..=100000")?;
        c("bright_star_peak", is_range(self.bright_star_peak, 1e-6, 1e3), &self.bright_star_peak, "[low, high] in 1e-6..=1000")?;
        c("bright_isolation_arcsec", in_range(self.bright_isolation_arcsec, 0.0, 120.0), &self.bright_isolation_arcsec, "0..=120 arcsec")
    }
}

/// Objects keep this distance from the tract's edge \[pixel\]; bright stars more, so that most exposures hold them whole.
const MARGIN_PX: f64 = 2.0;
const BRIGHT_MARGIN_PX: f64 = 80.0;
/// Numbers of the bright stars start here.
const FIRST_BRIGHT: u64 = 90_000_000;
/// Draws of a position before an object is left out for want of room.
const N_ATTEMPTS: u64 = 50;

/// What all objects are drawn from.
struct Population<'a> {
    config: &'a ScaledConfig,
    tract: &'a Tract,
    bands: &'a [String],
    i_reference: usize,
    m5: f64,
    bright: Vec<SkyPoint>,
    seed: u64,
    arm: u64,
}

pub(super) fn sources(
    config: &ScaledConfig,
    tract: &Tract,
    bands: &[String],
    exposures: &[ExposureDepth],
    seed: u64,
    arm: u64,
) -> Result<Vec<Source>, SimError> {
    check_bands(bands)?;
    let i_reference = if config.reference_band.is_empty() {
        bands.iter().position(|b| b == "r").unwrap_or(0)
    } else {
        let found = bands.iter().position(|b| *b == config.reference_band);
        check("sky.scaled", "reference_band", found.is_some(), &config.reference_band, &format!("one of {bands:?}"))?;
        found.expect("checked above")
    };
    let m5 = Depth::of_band(exposures, &bands[i_reference]).m5(tract.center());
    check("sky.scaled", "exposures", m5.is_finite(), exposures.len(), "one or more of the reference band over the tract's centre")?;
    let mut population = Population { config, tract, bands, i_reference, m5, bright: Vec::new(), seed, arm };

    let mut sources = population.bright_stars(exposures);
    population.bright = sources.iter().map(|s| s.position).collect();

    let scale_arcmin = tract.config().pixel_scale_arcsec / 60.0;
    let n = (config.density_per_arcmin2 * tract.bbox().n_pixels() as f64 * scale_arcmin.powi(2)).round() as u64;
    let (companions, primaries): (Vec<u64>, Vec<u64>) = (0..n).partition(|&i| population.is_companion(i));
    let placed: Vec<(Source, f64)> = primaries.into_iter().filter_map(|i| population.primary(i)).collect();
    if !placed.is_empty() {
        sources.extend(companions.into_iter().filter_map(|i| population.companion(i, &placed)));
    }
    sources.extend(placed.into_iter().map(|(source, _)| source));
    Ok(sources)
}

impl Population<'_> {
    /// Stream of random numbers of object `number` for one purpose.
    fn stream(&self, what: &str, number: u64) -> impl Rng + use<> {
        // The name that the field had once: its published scenes stay as they are.
        keyed_rng(self.seed, &format!("sky-survey/{what}"), self.arm, number)
    }

    fn is_companion(&self, number: u64) -> bool {
        self.stream("is-companion", number).random::<f64>() < self.config.companion_fraction
    }

    fn bright_stars(&self, exposures: &[ExposureDepth]) -> Vec<Source> {
        let bands = self.bands;
        let saturation_njy: Vec<f64> = bands.iter().map(|b| Depth::of_band(exposures, b).saturation_njy()).collect();
        let [low, high] = self.config.bright_star_peak;
        let mut stars: Vec<Source> = Vec::new();
        for number in FIRST_BRIGHT..FIRST_BRIGHT + self.config.n_bright_stars as u64 {
            let mut rng = self.stream("bright", number);
            let is_far = |p: &SkyPoint| stars.iter().all(|s| s.position.separation_arcsec(p) > 2.0 * self.config.bright_isolation_arcsec);
            let Some(position) = (0..N_ATTEMPTS).map(|_| self.anywhere(BRIGHT_MARGIN_PX, &mut rng)).find(is_far) else { continue };
            // Each band its own draw, which is as good as a colour.
            let flux = |(band, saturation): (&String, &f64)| {
                let share = low * (high / low).powf(self.stream(&format!("bright/{band}"), number).random());
                // No exposure of the band: no star that could be measured in it.
                if saturation.is_finite() { saturation * share } else { 0.0 }
            };
            let flux_njy = bands.iter().zip(&saturation_njy).map(flux).collect();
            stars.push(Source { regime: "bright_star".into(), ..Source::star(number, position, flux_njy) });
        }
        stars
    }

    /// Uniform over the tract, without its margin.
    fn anywhere(&self, margin_px: f64, rng: &mut impl Rng) -> SkyPoint {
        let bbox = self.tract.bbox();
        let mut along = |size: i32| {
            let margin_px = margin_px.min(0.4 * f64::from(size));
            margin_px - 0.5 + (f64::from(size) - 2.0 * margin_px) * rng.random::<f64>()
        };
        self.tract.wcs().pixel_to_sky(PixelPoint::new(along(bbox.width), along(bbox.height)))
    }

    /// True inside the tract, and not near a bright star.
    fn is_free(&self, p: &SkyPoint) -> bool {
        let inner = self.tract.bbox().grown(-(MARGIN_PX as i32));
        self.tract.wcs().sky_to_pixel(*p).is_ok_and(|at| inner.contains_point(at))
            && self.bright.iter().all(|s| s.separation_arcsec(p) > self.config.bright_isolation_arcsec)
    }

    /// The object and its magnitude relative to m5.
    fn primary(&self, number: u64) -> Option<(Source, f64)> {
        let mut rng = self.stream("position", number);
        let position = (0..N_ATTEMPTS).map(|_| self.anywhere(MARGIN_PX, &mut rng)).find(|p| self.is_free(p))?;
        let [low, high] = self.config.magnitude_range;
        let u = self.stream("magnitude", number).random::<f64>();
        // Inverse of the integral of 10^(slope m); uniform where the counts are flat.
        let k = self.config.slope * std::f64::consts::LN_10;
        let magnitude = if k.abs() < 1e-9 { low + (high - low) * u } else { low + (1.0 + u * ((k * (high - low)).exp() - 1.0)).ln() / k };
        Some((self.object(number, position, magnitude), magnitude))
    }

    /// Beside a primary, and of a similar magnitude: as often found together as pairs of the same brightness are on the sky.
    fn companion(&self, number: u64, primaries: &[(Source, f64)]) -> Option<Source> {
        let mut rng = self.stream("companion", number);
        let [low, high] = self.config.magnitude_range;
        let [near, far] = self.config.companion_arcsec;
        for _ in 0..N_ATTEMPTS {
            let (host, host_magnitude) = &primaries[rng.random_range(0..primaries.len())];
            let (r, angle) = (near + (far - near) * rng.random::<f64>(), std::f64::consts::TAU * rng.random::<f64>());
            let magnitude = (host_magnitude + 3.0 * rng.random::<f64>() - 1.5).clamp(low, high);
            let position = host.position.offset_by_arcsec(r * angle.cos(), r * angle.sin());
            if self.is_free(&position) {
                return Some(self.object(number, position, magnitude));
            }
        }
        None
    }

    /// A star or a galaxy of a magnitude relative to m5.
    fn object(&self, number: u64, position: SkyPoint, magnitude: f64) -> Source {
        let config = self.config;
        let mut rng = self.stream("shape", number);
        let mut flux = Vec::with_capacity(self.bands.len());
        for (i, band) in self.bands.iter().enumerate() {
            // By the band's name: the colours do not depend on which other bands there are.
            let colour = config.colour_scatter * normal(&mut self.stream(&format!("colour/{band}"), number));
            flux.push(flux_njy(self.m5 + magnitude + if i == self.i_reference { 0.0 } else { colour }));
        }
        let mut star = Source::star(number, position, flux);
        if rng.random::<f64>() < (config.star_fraction * 10f64.powf(-0.1 * magnitude)).min(0.9) {
            return star;
        }
        star.class = "galaxy";
        let median = config.half_light_radius_arcsec * 10f64.powf(-0.08 * magnitude);
        star.half_light_radius_arcsec = (median * (config.radius_scatter * normal(&mut rng)).exp()).clamp(0.05, 5.0);
        star.sersic_n = config.sersic_n[rng.random_range(0..config.sersic_n.len())];
        let [low, high] = config.axis_ratio;
        star.axis_ratio = low + (high - low) * rng.random::<f64>();
        star.position_angle_deg = 180.0 * rng.random::<f64>();
        star
    }
}

#[cfg(test)]
mod tests {
    use crate::{CameraConfig, ExposureDepth, ExposurePlan, FieldConfig, TruthObject, make_truth, plan_exposures, render_object};
    use fathom::geometry::{SkyMapConfig, Tract};

    fn scene() -> (Tract, Vec<String>, Vec<ExposurePlan>) {
        let tract = Tract::new(&SkyMapConfig::default()).unwrap();
        let bands = vec!["g".to_owned(), "r".to_owned()];
        let plans = plan_exposures(&CameraConfig::default(), tract.center(), &bands, 20).unwrap();
        (tract, bands, plans)
    }

    /// Signal to noise of the matched filter over all exposures of a band, sky and read noise only.
    fn matched_snr(object: &TruthObject, plans: &[ExposurePlan], band: &str) -> f64 {
        let sum: f64 = plans
            .iter()
            .filter(|p| p.meta.band == band)
            .filter_map(|p| {
                let (stamp_box, stamp) = render_object(&p.meta, object).unwrap()?;
                let inside = stamp_box.intersect(&p.meta.bbox());
                let power: f64 = if inside.is_empty() { 0.0 } else { stamp.slice(stamp_box.slice_of(&inside)).iter().map(|v| v * v).sum() };
                Some(power / p.background_variance_njy2(500.0, 500.0))
            })
            .sum();
        sum.sqrt()
    }

    /// What the default field is for: enough objects, enough blends, enough stars for aperture corrections.
    #[test]
    fn default_field_has_blends_and_bright_stars() {
        let (tract, bands, plans) = scene();
        let table = make_truth(
            &FieldConfig { field: "scaled".into(), ..FieldConfig::default() },
            &tract,
            &bands,
            &ExposureDepth::of_plans(&plans).unwrap(),
            20,
            0,
        )
        .unwrap();
        fathom::format::truth::check(&table, &bands).unwrap();
        let objects = TruthObject::of_table(&table, "r", 60_000.0).unwrap();
        let detectable: Vec<_> = objects.iter().filter(|o| matched_snr(o, &plans, "r") > 5.0).collect();
        let area_arcmin2 = (1024.0f64 * 0.2 / 60.0).powi(2);
        let density = detectable.len() as f64 / area_arcmin2;
        let blended = detectable
            .iter()
            .filter(|o| detectable.iter().any(|p| p.id != o.id && p.position.separation_arcsec(&o.position) < 2.0 * 0.9))
            .count();
        let share = blended as f64 / detectable.len() as f64;
        let fluxes = table.f64("r_flux").unwrap();
        let bright: Vec<_> = (0..table.n_rows()).filter(|&i| table.text("regime").unwrap()[i] == "bright_star").collect();
        assert!((18.0..35.0).contains(&density), "{density}");
        assert!(share > 0.2, "{share}");
        let mut n_good = 0;
        for &i in &bright {
            let star = objects.iter().find(|o| o.id == table.i64("id").unwrap()[i]).unwrap();
            assert!((star.flux_njy - fluxes[i]).abs() < 1e-9 * fluxes[i]);
            assert!(objects.iter().all(|o| o.id == star.id || o.position.separation_arcsec(&star.position) > 6.0));
            let mut snr = f64::INFINITY;
            for plan in plans.iter().filter(|p| p.meta.band == "r") {
                let (_, stamp) = render_object(&plan.meta, star).unwrap().unwrap();
                let e_per_njy = plan.meta.electrons_per_njy();
                let peak_e = stamp.iter().fold(0.0f64, |m, v| m.max(v * e_per_njy)) + plan.sky_e;
                assert!(peak_e < 0.8 * CameraConfig::default().saturation_e);
                let background_e2 = plan.sky_e + plan.meta.read_noise_e.powi(2);
                let information: f64 = stamp.iter().map(|v| v * e_per_njy).map(|e| e * e / (e.max(0.0) + background_e2)).sum();
                snr = snr.min(information.sqrt());
            }
            n_good += usize::from(snr > 300.0);
        }
        assert!(n_good >= 12, "{n_good} of {}", bright.len());
        let n_rows = |class: &str| table.text("class").unwrap().iter().filter(|c| *c == class).count();
        assert!(n_rows("star") > 100 && n_rows("galaxy") > 400);
    }

    #[test]
    fn fields_are_keyed_by_arm_and_a_band_more_changes_no_object() {
        let (tract, bands, plans) = scene();
        let make = |bands: &[String], arm| {
            make_truth(
                &FieldConfig { field: "scaled".into(), ..FieldConfig::default() },
                &tract,
                bands,
                &ExposureDepth::of_plans(&plans).unwrap(),
                20,
                arm,
            )
            .unwrap()
        };
        let (a, b) = (make(&bands, 0), make(&bands, 1));
        // By text: the table has NaN, which equals nothing.
        assert!(format!("{a:?}") == format!("{:?}", make(&bands, 0)));
        assert_ne!(a.column("ra").unwrap().data, b.column("ra").unwrap().data);
        let alone = make(&bands[1..], 0);
        for column in ["id", "ra", "r_flux", "sersic_n"] {
            assert_eq!(a.column(column).unwrap().data, alone.column(column).unwrap().data, "{column}");
        }
    }
}

//! The camera: which exposures are taken, under which sky, with which PSF.

use crate::SimError;
use crate::error::{check, is_range};
use fathom::geometry::{PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom::random::keyed_rng;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Which law the noise of sky and objects follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseLaw {
    /// Photon counts.
    Poisson,
    /// A Gaussian of the same variance: no skewness, no whole numbers.
    Gaussian,
}

/// What the variance plane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariancePlane {
    /// From the observed counts, as real pipelines do: it correlates with the noise of its own pixel.
    Observed,
    /// From the expected counts: the true variance, which no real exposure knows.
    Expected,
}

/// Settings of the simulated camera: section `[camera]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraConfig {
    /// Exposures per band, 1..=1000.
    pub n_exposures: usize,
    /// Size \[pixel\], [columns, rows], each in 32..=20000.
    pub size_px: [usize; 2],
    /// Pixel scale \[arcsec\], in (0, 10].
    pub pixel_scale_arcsec: f64,
    /// Radius of the disc over which the pointings are spread \[arcsec\].
    pub dither_arcsec: f64,
    /// Position angles are uniform in ± this \[deg\], in 0..=180.
    pub rotation_deg: f64,
    /// Range of the FWHM before the pixel response \[arcsec\].
    pub seeing_arcsec: [f64; 2],
    /// Moffat's β, in 1.5..=100.
    pub moffat_beta: f64,
    /// Largest reduced shear of the PSF, in 0..=0.5.
    pub ellipticity: f64,
    /// Half-width of the PSF's stamp \[pixel\]; 0: six FWHM (more than 0.999 of the light at β = 3.5), between 16 and 40.
    pub psf_radius_px: usize,
    /// Range of the sky level \[electrons per pixel\].
    pub sky_e: [f64; 2],
    /// Range, ±, of the sky's change across the exposure along each axis, as a share of the level; 0: a flat sky that is known
    /// exactly (`known_sky_adu`).
    pub background_gradient: f64,
    /// Electrons per count.
    pub gain_e_per_adu: f64,
    /// Relative scatter of the gains, in 0..=0.3.
    pub gain_scatter: f64,
    /// Read noise \[electrons\].
    pub read_noise_e: f64,
    /// AB magnitude of one count of an exposure.
    pub zero_point: f64,
    /// Scatter of the zero points \[mag\], in 0..=1.
    pub zero_point_scatter: f64,
    /// Exposure time \[s\]; a label, the zero point is that of the whole exposure.
    pub exposure_time_s: f64,
    /// Electrons at which a pixel saturates.
    pub saturation_e: f64,
    /// Useless columns of each exposure.
    pub n_bad_columns: usize,
    /// Share of hot pixels, in 0..=0.1.
    pub hot_pixel_fraction: f64,
    /// Cosmic-ray tracks of an exposure, the mean number.
    pub cosmic_rays: f64,
    /// `poisson` or `gaussian`.
    pub noise: NoiseLaw,
    /// `observed` or `expected`.
    pub variance: VariancePlane,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            n_exposures: 6,
            size_px: [1000, 1000],
            pixel_scale_arcsec: 0.2,
            dither_arcsec: 8.0,
            rotation_deg: 10.0,
            seeing_arcsec: [0.6, 1.2],
            moffat_beta: 3.5,
            ellipticity: 0.05,
            psf_radius_px: 0,
            sky_e: [300.0, 800.0],
            background_gradient: 0.01,
            gain_e_per_adu: 1.5,
            gain_scatter: 0.03,
            read_noise_e: 6.0,
            zero_point: 27.0,
            zero_point_scatter: 0.1,
            exposure_time_s: 60.0,
            saturation_e: 100_000.0,
            n_bad_columns: 2,
            hot_pixel_fraction: 5e-4,
            cosmic_rays: 40.0,
            noise: NoiseLaw::Poisson,
            variance: VariancePlane::Observed,
        }
    }
}

impl CameraConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting, its value and its range.
    pub fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera", key, is_good, found, expected);
        let in_range = |v: f64, min: f64, max: f64| (min..=max).contains(&v);
        c("n_exposures", (1..=1000).contains(&self.n_exposures), &self.n_exposures, "1..=1000")?;
        c("size_px", self.size_px.iter().all(|n| (32..=20_000).contains(n)), &self.size_px, "32..=20000 columns and rows")?;
        c("pixel_scale_arcsec", in_range(self.pixel_scale_arcsec, 1e-3, 10.0), &self.pixel_scale_arcsec, "arcsec in 0.001..=10")?;
        c("dither_arcsec", in_range(self.dither_arcsec, 0.0, 36_000.0), &self.dither_arcsec, "arcsec in 0..=36000")?;
        c("rotation_deg", in_range(self.rotation_deg, 0.0, 180.0), &self.rotation_deg, "degrees in 0..=180")?;
        c("seeing_arcsec", is_range(self.seeing_arcsec, 1e-3, 20.0), &self.seeing_arcsec, "[low, high] in 0.001..=20 arcsec")?;
        c("moffat_beta", in_range(self.moffat_beta, 1.5, 100.0), &self.moffat_beta, "1.5..=100")?;
        c("ellipticity", in_range(self.ellipticity, 0.0, 0.5), &self.ellipticity, "0..=0.5")?;
        let radius_px = self.psf_radius_px;
        c("psf_radius_px", radius_px == 0 || (4..=256).contains(&radius_px), &radius_px, "0 (from the seeing) or 4..=256")?;
        c("sky_e", is_range(self.sky_e, 0.0, 1e7), &self.sky_e, "[low, high] in 0..=1e7 electrons")?;
        c("background_gradient", in_range(self.background_gradient, 0.0, 0.5), &self.background_gradient, "0..=0.5")?;
        c("gain_e_per_adu", in_range(self.gain_e_per_adu, 1e-3, 1e3), &self.gain_e_per_adu, "0.001..=1000")?;
        c("gain_scatter", in_range(self.gain_scatter, 0.0, 0.3), &self.gain_scatter, "0..=0.3")?;
        c("read_noise_e", in_range(self.read_noise_e, 0.0, 1e4), &self.read_noise_e, "0..=10000 electrons")?;
        let has_noise = self.sky_e[0] + self.read_noise_e > 0.0;
        c("read_noise_e", has_noise, &self.read_noise_e, "a positive number where the sky can be 0: no pixel is free of noise")?;
        c("zero_point", in_range(self.zero_point, 0.0, 50.0), &self.zero_point, "AB magnitude in 0..=50")?;
        c("zero_point_scatter", in_range(self.zero_point_scatter, 0.0, 1.0), &self.zero_point_scatter, "0..=1 mag")?;
        c("exposure_time_s", in_range(self.exposure_time_s, 1e-6, 1e6), &self.exposure_time_s, "seconds in 1e-6..=1e6")?;
        c("saturation_e", in_range(self.saturation_e, 1.0, 1e12), &self.saturation_e, "1..=1e12 electrons")?;
        c("n_bad_columns", self.n_bad_columns < self.size_px[0], &self.n_bad_columns, "fewer than the columns")?;
        c("hot_pixel_fraction", in_range(self.hot_pixel_fraction, 0.0, 0.1), &self.hot_pixel_fraction, "0..=0.1")?;
        c("cosmic_rays", in_range(self.cosmic_rays, 0.0, 1e6), &self.cosmic_rays, "0..=1e6")
    }

    fn radius_px(&self, fwhm_px: f64) -> usize {
        if self.psf_radius_px > 0 { self.psf_radius_px } else { ((6.0 * fwhm_px).ceil() as usize).clamp(16, 40) }
    }
}

/// One exposure to be taken: everything but the objects and the noise.
#[derive(Debug, Clone)]
pub struct ExposurePlan {
    /// Calibrations.
    pub meta: ExposureMeta,
    /// Sky level at the middle of the exposure \[electrons per pixel\].
    pub sky_e: f64,
    /// Change of the sky across the exposure along x and y, as a share of the level.
    pub sky_slope: [f64; 2],
}

impl ExposurePlan {
    /// Sky level at a pixel \[electrons\].
    #[must_use]
    pub fn sky_e_at(&self, x_px: f64, y_px: f64) -> f64 {
        let (ny, nx) = self.meta.shape;
        let across = |p: f64, n: usize| (p - 0.5 * (n as f64 - 1.0)) / n as f64;
        self.sky_e * (1.0 + self.sky_slope[0] * across(x_px, nx) + self.sky_slope[1] * across(y_px, ny))
    }

    /// Variance of sky and read noise at a pixel \[nJy²\]: without any object.
    #[must_use]
    pub fn background_variance_njy2(&self, x_px: f64, y_px: f64) -> f64 {
        (self.sky_e_at(x_px, y_px) + self.meta.read_noise_e.powi(2)) / self.meta.electrons_per_njy().powi(2)
    }
}

/// All exposures, band by band, sorted by id. Keyed by `seed`, the band's name and the number of the exposure, so that neither
/// another band nor another exposure changes one.
///
/// # Errors
/// [`crate::SimError::Config`] if a setting is outside its range, [`SimError::Psf`] if the stamp holds too little of the PSF.
pub fn plan_exposures(config: &CameraConfig, center: SkyPoint, bands: &[String], seed: u64) -> Result<Vec<ExposurePlan>, crate::SimError> {
    config.check()?;
    let mut plans = Vec::with_capacity(bands.len() * config.n_exposures);
    // Two digits at least: the order of the names is then that of the numbers.
    let digits = (config.n_exposures - 1).to_string().len().max(2);
    for band in bands {
        for i in 0..config.n_exposures {
            plans.push(plan_one(config, center, band, i, digits, seed)?);
        }
    }
    plans.sort_by(|a, b| a.meta.id.cmp(&b.meta.id));
    Ok(plans)
}

fn plan_one(config: &CameraConfig, center: SkyPoint, band: &str, i: usize, digits: usize, seed: u64) -> Result<ExposurePlan, SimError> {
    // One stream a quantity: a setting that consumes other draws leaves the rest of the plan as it was.
    let stream = |what: &str| keyed_rng(seed, &format!("plan/{band}/{what}"), i as u64, 0);
    let within = |what: &str, [low, high]: [f64; 2]| low + (high - low) * stream(what).random::<f64>();
    let normal = |what: &str| -> f64 { StandardNormal.sample(&mut stream(what)) };
    let [nx, ny] = config.size_px;

    let (east, north) = in_disc(&mut stream("dither"), config.dither_arcsec);
    let angle = within("rotation", [-config.rotation_deg, config.rotation_deg]).to_radians();
    let (sin, cos) = angle.sin_cos();
    let scale_deg = config.pixel_scale_arcsec / 3600.0;
    let wcs = Wcs::tan(
        center.offset_by_arcsec(east, north),
        PixelPoint::new((nx as f64 - 1.0) / 2.0, (ny as f64 - 1.0) / 2.0),
        [[-scale_deg * cos, scale_deg * sin], [scale_deg * sin, scale_deg * cos]],
    )?;

    let fwhm_px = within("seeing", config.seeing_arcsec) / config.pixel_scale_arcsec;
    let (e1, e2) = in_disc(&mut stream("ellipticity"), config.ellipticity);
    let psf = Psf::new(PsfModel::Moffat {
        fwhm_px,
        beta: config.moffat_beta,
        e1,
        e2,
        radius_px: config.radius_px(fwhm_px),
        pixel_integrated: false,
    })?;

    let gain_e_per_adu = config.gain_e_per_adu * (config.gain_scatter * normal("gain").clamp(-3.0, 3.0)).exp();
    let zero_point = config.zero_point + config.zero_point_scatter * normal("zero-point").clamp(-3.0, 3.0);
    let sky_e = within("sky", config.sky_e);
    let g = config.background_gradient;
    let sky_slope = [within("slope-x", [-g, g]), within("slope-y", [-g, g])];
    let is_flat = sky_slope.iter().all(|s| s.abs() <= 0.0);
    let meta = ExposureMeta {
        id: ExposureId(format!("{band}_{i:0digits$}")),
        band: band.to_owned(),
        // One exposure a night, somewhere in the night.
        mjd: 60_000.0 + i as f64 + within("mjd", [0.1, 0.4]),
        exposure_time_s: config.exposure_time_s,
        shape: (ny, nx),
        psf,
        wcs,
        photo_calib: PhotoCalib::from_zero_point(zero_point),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu,
        read_noise_e: config.read_noise_e,
        saturation_adu: config.saturation_e / gain_e_per_adu,
        known_sky_adu: is_flat.then_some(sky_e / gain_e_per_adu),
    };
    Ok(ExposurePlan { meta, sky_e, sky_slope })
}

/// A point uniform in a disc.
fn in_disc(rng: &mut impl Rng, radius: f64) -> (f64, f64) {
    let (r, angle) = (radius * rng.random::<f64>().sqrt(), std::f64::consts::TAU * rng.random::<f64>());
    (r * angle.cos(), r * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn center() -> SkyPoint {
        SkyPoint::from_degrees(150.1, 2.2)
    }

    #[test]
    fn plans_stay_in_their_ranges_and_do_not_depend_on_the_other_bands() {
        let config = CameraConfig { n_exposures: 12, ..CameraConfig::default() };
        let plans = plan_exposures(&config, center(), &["r".into(), "g".into()], 7).unwrap();
        assert_eq!(plans.len(), 24);
        assert!(plans.is_sorted_by(|a, b| a.meta.id < b.meta.id));
        assert_eq!(plans[23].meta.id.0, "r_11");
        for plan in &plans {
            let at = PixelPoint::new(499.5, 499.5);
            assert!(plan.meta.wcs.pixel_to_sky(at).separation_arcsec(&center()) <= 8.0);
            assert!((300.0..800.0).contains(&plan.sky_e));
            assert!(plan.meta.psf.stamp(at, 0.0, 0.0).sum() > 0.995);
            assert!(plan.meta.known_sky_adu.is_none());
            assert!((plan.sky_e_at(499.5, 499.5) - plan.sky_e).abs() < 1e-9);
        }
        let alone = plan_exposures(&config, center(), &["r".into()], 7).unwrap();
        assert_eq!(alone[3].meta.wcs, plans[15].meta.wcs);
        assert_eq!(alone[3].meta.psf.model(), plans[15].meta.psf.model());
        let other = plan_exposures(&config, center(), &["r".into()], 8).unwrap();
        assert_ne!(alone[3].meta.wcs, other[3].meta.wcs);
    }

    #[test]
    fn a_flat_sky_is_known() {
        let config = CameraConfig { background_gradient: 0.0, ..CameraConfig::default() };
        let plan = &plan_exposures(&config, center(), &["r".into()], 7).unwrap()[0];
        let known_e = plan.meta.known_sky_adu.unwrap() * plan.meta.gain_e_per_adu;
        assert!((known_e - plan.sky_e_at(3.0, 900.0)).abs() < 1e-9);
    }

    #[test]
    fn bad_settings_are_named() {
        let d = CameraConfig::default;
        for (config, message) in [
            (CameraConfig { n_exposures: 0, ..d() }, "camera.n_exposures is 0; expected 1..=1000"),
            (CameraConfig { seeing_arcsec: [1.2, 0.6], ..d() }, "camera.seeing_arcsec is [1.2, 0.6]; expected [low, high]"),
            (CameraConfig { sky_e: [f64::NAN, 1.0], ..d() }, "camera.sky_e is [NaN, 1.0]"),
            (CameraConfig { moffat_beta: 1.0, ..d() }, "camera.moffat_beta is 1.0"),
            (CameraConfig { hot_pixel_fraction: 0.5, ..d() }, "camera.hot_pixel_fraction is 0.5"),
            (CameraConfig { sky_e: [0.0, 1.0], read_noise_e: 0.0, ..d() }, "camera.read_noise_e is 0.0"),
        ] {
            let found = plan_exposures(&config, center(), &["r".into()], 1).unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
    }
}

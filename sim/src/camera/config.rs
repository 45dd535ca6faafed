//! Section `[camera]`: every setting, with its range.

use super::amplifiers::check_amplifiers;
use super::{AstrometryConfig, CadenceConfig, LayoutConfig, PhotometryConfig, PsfConfig, SkyConfig};
use crate::SimError;
use crate::detector::DetectorConfig;
use crate::error::{check, is_range};
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
    /// Exposure time \[s\]: the length of trails; the zero point is that of the whole exposure.
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
    /// Detectors of a visit.
    pub layout: LayoutConfig,
    /// When and where visits are taken.
    pub cadence: CadenceConfig,
    /// Law, variation and errors of the PSF.
    pub psf: PsfConfig,
    /// What the sky has besides level and gradient.
    pub sky: SkyConfig,
    /// Amplifiers, bleeding, cosmic rays, satellites.
    pub detector: DetectorConfig,
    /// Distortion, and errors of the given WCS.
    pub astrometry: AstrometryConfig,
    /// Vignetting, and errors of the given zero points.
    pub photometry: PhotometryConfig,
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
            layout: LayoutConfig::default(),
            cadence: CadenceConfig::default(),
            psf: PsfConfig::default(),
            sky: SkyConfig::default(),
            detector: DetectorConfig::default(),
            astrometry: AstrometryConfig::default(),
            photometry: PhotometryConfig::default(),
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
        c("cosmic_rays", in_range(self.cosmic_rays, 0.0, 1e6), &self.cosmic_rays, "0..=1e6")?;
        let d = &self.detector;
        check_amplifiers(d.amplifiers, d.amplifier_gain_scatter, d.amplifier_read_noise_scatter, self.size_px)?;
        self.layout.check()?;
        self.cadence.check()?;
        self.psf.check()?;
        self.sky.check()?;
        d.check()?;
        self.astrometry.check()?;
        self.photometry.check()
    }

    /// Files that the plan depends on besides the settings: a table of pointings, a table of seeing.
    #[must_use]
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        let seeing = if self.psf.seeing_law == super::SeeingLaw::Table { self.psf.seeing_table.as_str() } else { "" };
        [self.cadence.pointings.as_str(), seeing].into_iter().filter(|p| !p.is_empty()).map(std::path::PathBuf::from).collect()
    }

    pub(super) fn psf_radius_px(&self, fwhm_px: f64) -> usize {
        if self.psf_radius_px > 0 { self.psf_radius_px } else { ((6.0 * fwhm_px).ceil() as usize).clamp(16, 40) }
    }
}

//! Characterises one exposure: background, background variance, stars, aperture corrections.

use super::mesh::fit_mesh;
use super::source_mask::source_mask;
use super::stars::{measure_stars, star_table};
use super::{BackgroundMesh, BackgroundMeshConfig, BackgroundVariance, ExposureBackground};
use crate::apcorr::fit_ap_corr;
use crate::catalog::Table;
use crate::geometry::PixelPoint;
use crate::image::{ApCorrMap, Exposure, ExposureId, MaskPlane, PixelCounts};
use ndarray::{Array2, Zip};
use serde::{Deserialize, Serialize};

/// Settings of [`CharacterizeVisit`]: section `[visit]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisitConfig {
    /// `mesh` (estimate), `known` (the simulation's true sky level), `none` (already subtracted).
    pub background: BackgroundMode,
    /// Mesh settings.
    pub mesh: BackgroundMeshConfig,
    /// Order of the background-variance polynomial.
    pub variance_order: usize,
    /// Detection limit of the source mask \[sigma of the PSF-filtered image\].
    pub source_mask_sigma: f64,
    /// Aperture corrections.
    pub ap_corr: crate::apcorr::ApCorrConfig,
}

/// Where the background comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundMode {
    /// Estimated on a mesh.
    Mesh,
    /// The true sky level that the exposure carries.
    Known,
    /// Already subtracted.
    None,
}

/// Why an exposure could not be characterised.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum BackgroundError {
    /// A setting out of range.
    #[error("visit.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// Not enough source-free pixels.
    #[error("exposure {id}: {n_good} usable source-free pixels of {n_pixels}; too few for a background")]
    NoPixels {
        /// Exposure.
        id: ExposureId,
        /// Usable.
        n_good: usize,
        /// All.
        n_pixels: usize,
    },
    /// `known` was asked of an exposure that does not know its sky.
    #[error("exposure {id}: visit.background is \"known\", but the exposure carries no known sky level")]
    NotKnown {
        /// Exposure.
        id: ExposureId,
    },
}

/// What the visit stage makes of one exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitProduct {
    /// Exposure it belongs to.
    pub id: ExposureId,
    /// Background still in the exposure \[counts\].
    pub background: ExposureBackground,
    /// Variance of source-free pixels \[ADU²\].
    pub background_variance: BackgroundVariance,
    /// Aperture corrections, measured or taken over.
    pub ap_corr: ApCorrMap,
    /// Bright isolated stars: x, y \[pixel\], psf_flux, calibration_flux \[ADU\], ratio_err.
    pub stars: Table,
    /// Unusable pixels, counted.
    pub counts: PixelCounts,
}

/// The visit stage.
#[derive(Debug, Clone)]
pub struct CharacterizeVisit {
    config: VisitConfig,
}

impl CharacterizeVisit {
    /// # Errors
    /// [`BackgroundError::Config`] if a setting is outside its range.
    pub fn new(config: VisitConfig) -> Result<Self, BackgroundError> {
        let check = |is_good: bool, key, found: String, expected| {
            if is_good { Ok(()) } else { Err(BackgroundError::Config { key, found, expected }) }
        };
        let (mesh, ap) = (&config.mesh, &config.ap_corr);
        check((16..=4096).contains(&mesh.cell_px), "mesh.cell_px", mesh.cell_px.to_string(), "16..=4096 pixels")?;
        check((2.0..=5.0).contains(&mesh.clip_sigma), "mesh.clip_sigma", mesh.clip_sigma.to_string(), "2..=5 sigma")?;
        check(config.variance_order <= 4, "variance_order", config.variance_order.to_string(), "0..=4")?;
        check((1.0..=10.0).contains(&config.source_mask_sigma), "source_mask_sigma", config.source_mask_sigma.to_string(), "1..=10 sigma")?;
        let radius = ap.calibration_radius_arcsec;
        check(radius > 0.0 && radius <= 60.0, "ap_corr.calibration_radius_arcsec", radius.to_string(), "arcsec in (0, 60]")?;
        check(ap.min_snr >= 10.0, "ap_corr.min_snr", ap.min_snr.to_string(), "at least 10")?;
        check(ap.min_stars >= 1, "ap_corr.min_stars", ap.min_stars.to_string(), "at least 1")?;
        check(ap.max_error > 0.0, "ap_corr.max_error", ap.max_error.to_string(), "a positive number")?;
        check(ap.order <= 4, "ap_corr.order", ap.order.to_string(), "0..=4")?;
        Ok(Self { config })
    }

    /// Characterises a sanitised, whole exposure.
    ///
    /// # Errors
    /// [`BackgroundError`] if there are too few usable pixels.
    pub fn run(&self, exposure: &Exposure, counts: PixelCounts) -> Result<VisitProduct, BackgroundError> {
        let meta = &exposure.meta;
        let bbox = meta.bbox();
        let usable = exposure.mask.mapv(|m| m & MaskPlane::UNUSABLE == 0);
        let no_pixels = |n_good| BackgroundError::NoPixels { id: meta.id.clone(), n_good, n_pixels: exposure.image.len() };
        let fit = |is_sky: &Array2<bool>| {
            fit_mesh(exposure.image.view(), is_sky.view(), meta.gain_e_per_adu, meta.read_noise_e, &self.config.mesh)
                .ok_or_else(|| no_pixels(is_sky.iter().filter(|s| **s).count()))
        };
        let fixed = match self.config.background {
            BackgroundMode::Mesh => None,
            BackgroundMode::None => Some(BackgroundMesh::constant(bbox, 0.0)),
            BackgroundMode::Known => {
                let sky = meta.known_sky_adu.ok_or_else(|| BackgroundError::NotKnown { id: meta.id.clone() })?;
                Some(BackgroundMesh::constant(bbox, sky))
            }
        };
        let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
        let fwhm_px = meta.psf.fwhm_px(center);
        let subtract = |mesh: &BackgroundMesh| {
            let mut residual = mesh.image(&bbox);
            Zip::from(&mut residual).and(&exposure.image).and(&usable).for_each(|r, &z, &ok| *r = if ok { z - *r } else { 0.0 });
            residual
        };
        // The first mesh is pulled up by sources, so the mask made with it is too small: once more.
        let mut is_sky = usable.clone();
        let (mut mesh, mut sigma) = fit(&is_sky)?;
        for _ in 0..2 {
            let residual = subtract(fixed.as_ref().unwrap_or(&mesh));
            let sources = source_mask(residual.view(), sigma, fwhm_px, self.config.source_mask_sigma);
            Zip::from(&mut is_sky).and(&usable).and(&sources).for_each(|s, &ok, &source| *s = ok && !source);
            (mesh, sigma) = fit(&is_sky)?;
        }
        let mesh = fixed.unwrap_or(mesh);
        let background_variance = BackgroundVariance::fit(exposure.variance.view(), is_sky.view(), self.config.variance_order)
            .ok_or_else(|| no_pixels(is_sky.iter().filter(|s| **s).count()))?;
        let (stars, ap_corr) = if meta.ap_corr.by_algorithm.is_empty() {
            let residual = subtract(&mesh);
            let stars = measure_stars(exposure, residual.view(), sigma, &self.config.ap_corr);
            let psf_flux = fit_ap_corr(&stars, bbox, &self.config.ap_corr);
            (stars, ApCorrMap { by_algorithm: [("psf_flux".to_owned(), psf_flux)].into() })
        } else {
            (Vec::new(), meta.ap_corr.clone())
        };
        let background = ExposureBackground::Mesh(mesh);
        Ok(VisitProduct { id: meta.id.clone(), background, background_variance, ap_corr, stars: star_table(&stars), counts })
    }
}

impl Default for VisitConfig {
    fn default() -> Self {
        Self {
            background: BackgroundMode::Mesh,
            mesh: BackgroundMeshConfig::default(),
            variance_order: 1,
            source_mask_sigma: 3.0,
            ap_corr: crate::apcorr::ApCorrConfig::default(),
        }
    }
}

//! What the noise of a band's likelihood map looks like: curvature of its autocorrelation, skewness.
//!
//! Both follow from the PSFs and the background's variance alone; with them the density of noise peaks and the error of a
//! position are known beforehand.

use crate::background::VisitProduct;
use crate::geometry::PixelPoint;
use crate::image::ExposureMeta;

/// Statistics of the noise of ν = Ψ/√Φ of one band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseStatistics {
    /// -ρ''(0) of ν's autocorrelation, mean of both axes \[1/arcsec²\].
    pub l2_per_arcsec2: f64,
    /// Skewness of ν on blank sky, from the Poisson noise of the sky.
    pub skewness: f64,
}

/// Statistics of the stack of all these exposures, with each PSF at its exposure's centre.
///
/// With P = Σ_e |φ_e|²/v_e, l2 = ½ Σ|∇φ|²/v / Σ φ²/v (Bardeen et al. 1986, ApJ 304, 15: the second spectral moment).
/// The third moment of an exposure's pixel is that of its Poisson part, N_e/g³ with N_e electrons of sky, so
/// γ = Σ_e Σφ³ N_e/(g v)³ / Φ^1.5.
#[must_use]
pub fn noise_statistics(inputs: &[(&ExposureMeta, &VisitProduct)]) -> NoiseStatistics {
    let (mut phi, mut gradient, mut third) = (0.0, 0.0, 0.0);
    for (meta, visit) in inputs {
        let (ny, nx) = meta.shape;
        let center = PixelPoint::new((nx as f64 - 1.0) / 2.0, (ny as f64 - 1.0) / 2.0);
        let v = visit.background_variance.at(center) * meta.photo_calib.at(center).powi(2);
        let g = meta.gain_e_per_adu / meta.photo_calib.at(center);
        let sky_e = (v * g * g - meta.read_noise_e.powi(2)).max(0.0);
        let area_arcsec2 = meta.wcs.pixel_area_arcsec2(center);
        let psf = meta.psf.stamp(center, 0.0, 0.0);
        phi += psf.iter().map(|p| p * p).sum::<f64>() / v;
        third += psf.iter().map(|p| p.powi(3)).sum::<f64>() * sky_e / (g * v).powi(3);
        // Central differences over half a pixel, drawn from the continuous PSF: differences of whole pixels would smooth it.
        for (dx, dy) in [(0.25, 0.0), (0.0, 0.25)] {
            let (plus, minus) = (meta.psf.stamp(center, dx, dy), meta.psf.stamp(center, -dx, -dy));
            let slope_sq: f64 = plus.iter().zip(&minus).map(|(a, b)| (2.0 * (a - b)).powi(2)).sum();
            gradient += 0.5 * slope_sq / (area_arcsec2 * v);
        }
    }
    NoiseStatistics { l2_per_arcsec2: gradient / phi, skewness: third / phi.powf(1.5) }
}

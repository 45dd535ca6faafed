//! How deep a set of exposures is for a point source.

use crate::ExposurePlan;
use fathom::geometry::SkyPoint;
use fathom::image::ab_magnitude;

/// Below this FWHM \[pixel\] Σφ² depends on where in its pixel a source lies.
const WELL_SAMPLED_FWHM_PX: f64 = 2.5;

/// Depth of the exposures of one band: of their sky and read noise, without defects.
#[derive(Debug)]
pub struct Depth<'a> {
    /// Exposure, and Σφ² where it is the same everywhere.
    exposures: Vec<(&'a ExposurePlan, Option<f64>)>,
}

impl<'a> Depth<'a> {
    /// Of the plans of `band`.
    #[must_use]
    pub fn of_band(plans: &'a [ExposurePlan], band: &str) -> Self {
        let exposures = plans
            .iter()
            .filter(|p| p.meta.band == band)
            .map(|p| {
                let middle = p.meta.bbox();
                let at = fathom::geometry::PixelPoint::new(f64::from(middle.width) / 2.0, f64::from(middle.height) / 2.0);
                let is_same = p.meta.psf.is_constant() && p.meta.psf.fwhm_px(at) >= WELL_SAMPLED_FWHM_PX;
                (p, is_same.then(|| p.meta.psf.stamp(at, 0.0, 0.0).iter().map(|v| v * v).sum()))
            })
            .collect();
        Self { exposures }
    }

    /// Φ = Σ_exposures Σ_pixels φ²/v \[nJy⁻²\]: the inverse variance of the optimal flux of a faint point source.
    ///
    /// Pixels outside an exposure add nothing, so that Φ falls continuously across its edge.
    #[must_use]
    pub fn information(&self, at: SkyPoint) -> f64 {
        self.exposures.iter().map(|(plan, phi_sq)| information_of(plan, *phi_sq, at)).sum()
    }

    /// AB magnitude of a point source of signal to noise 5; NaN outside every exposure.
    #[must_use]
    pub fn m5(&self, at: SkyPoint) -> f64 {
        ab_magnitude(5.0 / self.information(at).sqrt())
    }

    /// The least flux \[nJy\] of a point source whose brightest pixel saturates in one of the exposures; infinite without any.
    #[must_use]
    pub fn saturation_njy(&self) -> f64 {
        self.exposures
            .iter()
            .map(|(plan, _)| {
                let meta = &plan.meta;
                let peak = meta.psf.value(fathom::geometry::PixelPoint::new(0.0, 0.0), 0.0, 0.0);
                (meta.saturation_adu * meta.gain_e_per_adu - plan.sky_e) / (peak * meta.electrons_per_njy())
            })
            .fold(f64::INFINITY, f64::min)
    }
}

fn information_of(plan: &ExposurePlan, phi_sq: Option<f64>, at: SkyPoint) -> f64 {
    let meta = &plan.meta;
    let Ok(p) = meta.wcs.sky_to_pixel(at) else { return 0.0 };
    let (bbox, r) = (meta.bbox(), meta.psf.radius_px() as i32);
    if !bbox.grown(r).contains_point(p) {
        return 0.0;
    }
    let (ix, iy) = p.pixel();
    if let (Some(phi_sq), true) = (phi_sq, bbox.grown(-r).contains(ix, iy)) {
        return phi_sq / plan.background_variance_njy2(p.x, p.y);
    }
    let stamp = meta.psf.stamp(p, p.x - f64::from(ix), p.y - f64::from(iy));
    stamp
        .indexed_iter()
        .map(|((j, i), phi)| ((ix - r + i as i32, iy - r + j as i32), phi))
        .filter(|((x, y), _)| bbox.contains(*x, *y))
        .map(|((x, y), phi)| phi * phi / plan.background_variance_njy2(f64::from(x), f64::from(y)))
        .sum()
}

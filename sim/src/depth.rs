//! How deep a set of exposures is for a point source.

use crate::population::{Source, to_table};
use crate::{ExposurePlan, SimError, TruthObject, render_object};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom::image::ab_magnitude;

/// Below this FWHM \[pixel\] Σφ² depends on where in its pixel a source lies.
const WELL_SAMPLED_FWHM_PX: f64 = 2.5;

/// Shape of a galaxy whose signal to noise is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub half_light_radius_arcsec: f64,
    pub axis_ratio: f64,
    pub sersic_n: f64,
}

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
                let at = PixelPoint::new(f64::from(middle.width) / 2.0, f64::from(middle.height) / 2.0);
                let is_same = p.meta.psf.is_constant() && p.meta.psf.fwhm_px(at) >= WELL_SAMPLED_FWHM_PX;
                (p, is_same.then(|| p.meta.psf.stamp(at, 0.0, 0.0).iter().map(|v| v * v).sum()))
            })
            .collect();
        Self { exposures }
    }

    /// Φ = Σ_exposures Σ_pixels φ²/v \[nJy⁻²\]: the inverse variance of the optimal flux of a faint point source.
    ///
    /// Of the exposures that hold the position; of those, the pixels that exist.
    #[must_use]
    pub fn information(&self, at: SkyPoint) -> f64 {
        self.exposures.iter().map(|(plan, phi_sq)| information_of(plan, *phi_sq, at)).sum()
    }

    /// Σ(φ * g)² / Σφ² of a shape g in the middle of every exposure: what its matched filter loses against a point's.
    ///
    /// # Errors
    /// [`SimError::Object`] for a shape that cannot be drawn.
    pub(crate) fn losses(&self, shape: &Shape) -> Result<Vec<f64>, SimError> {
        let power = |plan: &ExposurePlan, radius: f64| -> Result<f64, SimError> {
            let (ny, nx) = plan.meta.shape;
            let at = plan.meta.wcs.pixel_to_sky(PixelPoint::new((nx / 2) as f64, (ny / 2) as f64));
            let mut source = Source::star(0, at, vec![1.0]);
            (source.half_light_radius_arcsec, source.axis_ratio) = (radius, shape.axis_ratio);
            source.sersic_n = if radius > 0.0 { shape.sersic_n } else { 0.0 };
            let table = to_table(&[source], std::slice::from_ref(&plan.meta.band), 0)?;
            let objects = TruthObject::of_table(&table, &plan.meta.band, plan.meta.mjd)?;
            let stamp = render_object(&plan.meta, &objects[0])?;
            Ok(stamp.map_or(0.0, |(_, pixels)| pixels.iter().map(|v| v * v).sum()))
        };
        self.exposures.iter().map(|(plan, _)| Ok(power(plan, shape.half_light_radius_arcsec)? / power(plan, 0.0)?)).collect()
    }

    /// As [`Self::information`], of a shape with these [`Self::losses`].
    pub(crate) fn information_of_shape(&self, at: SkyPoint, losses: &[f64]) -> f64 {
        self.exposures.iter().zip(losses).map(|((plan, phi_sq), loss)| loss * information_of(plan, *phi_sq, at)).sum()
    }

    /// AB magnitude of a point source of signal to noise 5; NaN outside every exposure.
    #[must_use]
    pub fn m5(&self, at: SkyPoint) -> f64 {
        let information = self.information(at);
        if information > 0.0 { ab_magnitude(5.0 / information.sqrt()) } else { f64::NAN }
    }

    /// The least flux \[nJy\] of a point source whose brightest pixel saturates in one of the exposures; infinite without any.
    #[must_use]
    pub fn saturation_njy(&self) -> f64 {
        self.exposures
            .iter()
            .map(|(plan, _)| {
                let meta = &plan.meta;
                let peak = meta.psf.value(PixelPoint::new(0.0, 0.0), 0.0, 0.0);
                (meta.saturation_adu * meta.gain_e_per_adu - plan.sky_e) / (peak * meta.electrons_per_njy())
            })
            .fold(f64::INFINITY, f64::min)
    }
}

fn information_of(plan: &ExposurePlan, phi_sq: Option<f64>, at: SkyPoint) -> f64 {
    let meta = &plan.meta;
    let Ok(p) = meta.wcs.sky_to_pixel(at) else { return 0.0 };
    let (bbox, r) = (meta.bbox(), meta.psf.radius_px() as i32);
    // A source beyond the edge shows its wings only: too little to prescribe a flux by.
    if !bbox.contains_point(p) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CameraConfig, plan_exposures};

    /// The slow way: every exposure's rendered star, pixel by pixel, at the middle and near a corner.
    #[test]
    fn information_is_the_sum_over_rendered_stars() {
        let camera = CameraConfig { n_exposures: 4, size_px: [300, 260], ..CameraConfig::default() };
        let center = SkyPoint::from_degrees(40.0, -30.0);
        let plans = plan_exposures(&camera, center, &["g".into(), "r".into()], 2).unwrap();
        for (east, north) in [(0.0, 0.0), (-24.0, 21.0), (3.3, -5.1)] {
            let position = center.offset_by_arcsec(east, north);
            let star = TruthObject::point(1, position, 1.0);
            let mut expected = 0.0;
            for plan in plans.iter().filter(|p| p.meta.band == "r") {
                let bbox = plan.meta.bbox();
                if !bbox.contains_point(plan.meta.wcs.sky_to_pixel(position).unwrap()) {
                    continue;
                }
                let (stamp_box, stamp) = render_object(&plan.meta, &star).unwrap().unwrap();
                for ((j, i), phi) in stamp.indexed_iter() {
                    let (x, y) = (stamp_box.x0 + i as i32, stamp_box.y0 + j as i32);
                    if bbox.contains(x, y) {
                        expected += phi * phi / plan.background_variance_njy2(f64::from(x), f64::from(y));
                    }
                }
            }
            let found = Depth::of_band(&plans, "r").information(position);
            // The sky's slope over a stamp, and the sub-pixel phase.
            assert!(expected > 0.0 && (found / expected - 1.0).abs() < 1e-3, "{found} against {expected}");
        }
        let outside = center.offset_by_arcsec(200.0, 0.0);
        assert!(Depth::of_band(&plans, "r").information(outside) <= 0.0);
        assert!(Depth::of_band(&plans, "r").m5(outside).is_nan());
    }
}

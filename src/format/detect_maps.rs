//! What detection reads of the coadds of a tract.
//!
//! Φ_g of a morphology that the coadd phase did not sum comes from the cells' autocorrelations, where these hold: elsewhere there is no data.

use super::FormatError;
use super::coadd::{CoaddMosaic, Plane, WindowStep};
use crate::coadd::{exponential_stamp, is_uniform, phi_of_morphology};
use crate::detect::{MapSource, Window, WindowPlanes};
use crate::geometry::Box2;
use ndarray::{Array2, Axis, Zip};

impl MapSource for CoaddMosaic {
    type Error = FormatError;

    fn psi(&self, coadd: &str, bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        self.plane(coadd, Plane::Psi, bbox)
    }

    fn phi(&self, coadd: &str, half_light_arcsec: &[f64], bbox: &Box2) -> Result<Vec<Array2<f32>>, FormatError> {
        let mut planes = vec![self.plane(coadd, Plane::Phi, bbox)?];
        if half_light_arcsec.is_empty() {
            return Ok(planes);
        }
        let (radii, summed) = self.phi_morphology(coadd, bbox)?;
        for radius in half_light_arcsec {
            let plane = match radii.iter().position(|r| (r - radius).abs() < 1e-9) {
                Some(m) => summed.index_axis(Axis(0), m).to_owned(),
                None => by_autocorrelation(self, coadd, *radius, &planes[0], bbox)?,
            };
            planes.push(plane);
        }
        Ok(planes)
    }

    fn mask(&self, coadd: &str, bbox: &Box2) -> Result<Array2<u32>, FormatError> {
        Self::mask(self, coadd, bbox)
    }

    fn windows(&self, band: &str, bbox: &Box2) -> Result<Vec<WindowPlanes>, FormatError> {
        let read = |step: WindowStep| {
            let maps = self.window(band, step.step, 1, bbox)?;
            let window = Window { mjd: [step.first_mjd, step.last_mjd], mean_mjd: step.mean_mjd, n_exposures: step.n_exposures };
            Ok(WindowPlanes { window, psi: maps.psi, phi: maps.phi })
        };
        self.window_steps(band)?.into_iter().map(read).collect()
    }
}

/// Φ_g per cell, scaled by Φ/A(0) where that differs from 1 by no more than A can be trusted; 0 else.
fn by_autocorrelation(
    mosaic: &CoaddMosaic,
    coadd: &str,
    half_light_arcsec: f64,
    phi: &Array2<f32>,
    bbox: &Box2,
) -> Result<Array2<f32>, FormatError> {
    let stamp = exponential_stamp(half_light_arcsec / mosaic.tract().config().pixel_scale_arcsec);
    let mut out = Array2::zeros(bbox.shape());
    for cell in mosaic.tract().cells_in(bbox) {
        let Some(found) = mosaic.autocorrelation(coadd, cell.bbox.x0, cell.bbox.y0)? else { continue };
        let h = found.lags.nrows() / 2;
        let of_cell = f64::from(found.lags[[h, h]]);
        let ratio = (phi_of_morphology(found.lags.view(), stamp.view()) / of_cell) as f32;
        let at = bbox.slice_of(&cell.bbox.intersect(bbox));
        Zip::from(out.slice_mut(at)).and(phi.slice(at)).for_each(|out, &phi| {
            if phi > 0.0 && is_uniform(phi, of_cell) {
                *out = phi * ratio;
            }
        });
    }
    Ok(out)
}

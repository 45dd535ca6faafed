//! Fluxes in circles of fixed radii.

use super::noise::covariance_of_sums;
use super::{ColumnSpec, MeasureError, Measurement, Row, SourcePixels, aperture_weights};
use crate::geometry::Box2;
use ndarray::Array2;

/// Σ a z with a the exact overlap of circle and pixel. A circle that touches an unusable pixel is flagged; its flux counts the rest.
#[derive(Debug, Clone)]
pub struct ApertureFlux {
    radii_arcsec: Vec<f64>,
}

impl ApertureFlux {
    /// # Errors
    /// [`MeasureError::Config`] for a radius outside (0, 60] arcsec.
    pub fn new(radii_arcsec: &[f64]) -> Result<Self, MeasureError> {
        if let Some(r) = radii_arcsec.iter().find(|r| !(**r > 0.0 && **r <= 60.0)) {
            let expected = "arcsec in (0, 60]".to_owned();
            return Err(MeasureError::Config { key: "aperture_radii_arcsec", found: r.to_string(), expected });
        }
        Ok(Self { radii_arcsec: radii_arcsec.to_vec() })
    }
}

impl Measurement for ApertureFlux {
    fn name(&self) -> &'static str {
        "aperture_flux"
    }

    fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        let columns = |b: &String| {
            let of_radius = |(k, r): (usize, &f64)| {
                [
                    ColumnSpec::number(&format!("{b}_aperture_flux_{k}"), "nJy", &format!("flux within {r} arcsec")),
                    ColumnSpec::number(&format!("{b}_aperture_flux_{k}_err"), "nJy", "its error"),
                    ColumnSpec::flag(&format!("{b}_aperture_flux_{k}_flag"), "pixels missing in the aperture"),
                ]
            };
            self.radii_arcsec.iter().enumerate().flat_map(of_radius).collect::<Vec<_>>()
        };
        bands.iter().flat_map(columns).collect()
    }

    fn measure(&self, source: &SourcePixels, row: &mut Row) {
        let at = row.position(source.peak);
        let (px, py) = at.pixel();
        for band in &source.bands {
            for (k, radius) in self.radii_arcsec.iter().enumerate() {
                let radius_px = radius / source.pixel_scale_arcsec;
                let r = radius_px.ceil() as i32 + 1;
                let bbox = Box2::new(px - r, py - r, 2 * r + 1, 2 * r + 1);
                let weights = aperture_weights(&bbox, at, radius_px);
                let mut weighted = Array2::zeros(weights.dim());
                let (mut flux, mut lost) = (0.0, 0.0);
                for ((j, i), &a) in weights.indexed_iter().filter(|(_, a)| **a > 0.0) {
                    let index = source.bbox.index(bbox.x0 + i as i32, bbox.y0 + j as i32);
                    let (z, v) = index.map_or((f64::NAN, 0.0), |p| (f64::from(band.image_njy[p]), f64::from(band.variance_njy2[p])));
                    if z.is_finite() && v > 0.0 && v.is_finite() {
                        flux += a * z;
                        weighted[[j, i]] = a * v.sqrt();
                    } else {
                        lost += a;
                    }
                }
                let is_usable = lost < 0.5 * weights.sum();
                let sigma = covariance_of_sums(&weighted, &weighted, band.correlation.view()).max(0.0).sqrt();
                let name = format!("{}_aperture_flux_{k}", band.band);
                row.value(&name, if is_usable { flux } else { f64::NAN });
                row.value(&format!("{name}_err"), if is_usable { sigma } else { f64::NAN });
                row.flag(&format!("{name}_flag"), lost > 0.0);
            }
        }
    }
}

//! Flux of a point source at a given position.

use super::noise::covariance_of_sums;
use super::{ColumnSpec, Measurement, Row, SourcePixels};
use ndarray::Array2;

/// Least share of Σφ² on usable pixels for a flux; below it: NaN.
const MIN_SHARE: f64 = 0.3;
/// Below this share the flux is flagged.
const FLAG_SHARE: f64 = 0.6;

/// Least-squares amplitude of the coadd's PSF at the centroid: F = Σφz/Σφ², uniform weights.
///
/// Uniform weights, though 1/V would be the tighter estimate: they would give bright stars another effective profile than faint
/// ones. The error counts the pixels' correlation, σ² = Σ_d ρ(d) (u ⋆ u)(d) / (Σφ²)² with u = φ√V. Multiplied by the aperture correction.
#[derive(Debug, Clone)]
pub struct PsfFlux;

impl Measurement for PsfFlux {
    fn name(&self) -> &'static str {
        "psf_flux"
    }

    fn columns(&self, bands: &[String]) -> Vec<ColumnSpec> {
        bands
            .iter()
            .flat_map(|b| {
                [
                    ColumnSpec::number(&format!("{b}_psf_flux"), "nJy", "PSF flux, aperture corrected"),
                    ColumnSpec::number(&format!("{b}_psf_flux_err"), "nJy", "its error"),
                    ColumnSpec::flag(&format!("{b}_psf_flux_flag"), "no flux, or too many pixels missing under the PSF"),
                    ColumnSpec::number(&format!("{b}_psf_flux_ap_corr"), "", "aperture correction applied"),
                    ColumnSpec::flag(&format!("{b}_psf_flux_ap_corr_flag"), "an exposure's aperture correction is not known (1 is used)"),
                ]
            })
            .collect()
    }

    fn measure(&self, source: &SourcePixels, row: &mut Row) {
        let at = row.position(source.peak);
        let (px, py) = at.pixel();
        for (b, band) in source.bands.iter().enumerate() {
            let psf = (source.draw_psf)(b, at);
            let r = ((3.0 * band.fwhm_px).ceil() as usize).min(psf.nrows() / 2);
            let (center, side) = (psf.nrows() / 2, 2 * r + 1);
            let mut weighted = Array2::zeros((side, side));
            let (mut pd, mut pp, mut all) = (0.0, 0.0, 0.0);
            for ((j, i), u) in weighted.indexed_iter_mut() {
                let p = psf[[center - r + j, center - r + i]];
                all += p * p;
                let Some(k) = source.bbox.index(px - r as i32 + i as i32, py - r as i32 + j as i32) else { continue };
                let (z, v) = (f64::from(band.image_njy[k]), f64::from(band.variance_njy2[k]));
                if band.is_psf_valid[k] && z.is_finite() && v > 0.0 && v.is_finite() {
                    pd += p * z;
                    pp += p * p;
                    *u = p * v.sqrt();
                }
            }
            let is_usable = all > 0.0 && pp >= MIN_SHARE * all;
            let (corr, corr_flag) = band.ap_corr.get("psf_flux").copied().unwrap_or((1.0, true));
            let sigma =
                if is_usable { covariance_of_sums(&weighted, &weighted, band.correlation.view()).max(0.0).sqrt() / pp } else { f64::NAN };
            let name = &band.band;
            row.value(&format!("{name}_psf_flux"), if is_usable { corr * pd / pp } else { f64::NAN });
            row.value(&format!("{name}_psf_flux_err"), corr * sigma);
            row.flag(&format!("{name}_psf_flux_flag"), !is_usable || pp < FLAG_SHARE * all);
            row.value(&format!("{name}_psf_flux_ap_corr"), corr);
            row.flag(&format!("{name}_psf_flux_ap_corr_flag"), corr_flag);
        }
    }
}

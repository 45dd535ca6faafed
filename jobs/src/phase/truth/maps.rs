//! Limits from the likelihood maps that the chain made of the same data.

use crate::config::ExposeMode;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::{ColumnData, Table};
use fathom::format::coadd::Plane;
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::MaskPlane;
use fathom_sim::Placement;

/// Bits within one FWHM that make a true object useless for a comparison.
const SPOILED: u32 = MaskPlane::Sat.bit() | MaskPlane::NoData.bit();

/// Joins `<band>_snr_true`, `<band>_flux_err_limit`, and `is_usable`.
pub fn join_limits(run: &Run, arm: usize, mut truth: Table) -> Result<Table> {
    let bands = &run.config.run.bands;
    let mosaic = run.mosaic(arm)?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let n = truth.n_rows();
    let wcs = run.tract.wcs();
    let positions: Vec<Option<PixelPoint>> = truth
        .f64("ra")?
        .iter()
        .zip(truth.f64("dec")?)
        .map(|(&ra, &dec)| wcs.sky_to_pixel(SkyPoint::from_degrees(ra, dec)).ok().filter(|p| run.tract.bbox().contains_point(*p)))
        .collect();
    // What was put beside real objects on purpose is not set aside for lying there.
    let is_apart = run.config.sky.field != "injected" || run.config.sky.injected.placement != Placement::Near;
    let control = if run.config.expose.mode == ExposeMode::Inject && is_apart { Some(run.parents(0)?) } else { None };
    let fwhm_px = run.mean_fwhm_px(arm)?;
    let mut is_usable: Vec<bool> = positions.iter().map(Option::is_some).collect();
    let mut columns = Vec::new();
    for band in bands {
        let flux = truth.f64(&format!("{band}_flux"))?;
        let size = truth.f64("half_light_radius")?.iter().zip(truth.f64("axis_ratio")?);
        let band_fwhm_px = mosaic.fwhm_px(band)?;
        // σ² of the galaxy over that of the PSF, as Gaussians: a galaxy's peak under the PSF filter is lower by 1 / (1 + σ_g²/2σ_p²).
        let dilution: Vec<f64> = size
            .map(|(&r, &q)| {
                let sigma_ratio_sq = (r * q.max(0.0).sqrt() / scale / 1.177).powi(2) / (band_fwhm_px / 2.354_82).powi(2);
                1.0 / (1.0 + 0.5 * if sigma_ratio_sq.is_finite() { sigma_ratio_sq } else { 0.0 })
            })
            .collect();
        let (mut snr, mut error) = (vec![f64::NAN; n], vec![f64::NAN; n]);
        for (i, position) in positions.iter().enumerate() {
            let Some(p) = position else { continue };
            let (x, y) = p.pixel();
            let reach = fwhm_px.ceil() as i32;
            let core = Box2::new(x - reach, y - reach, 2 * reach + 1, 2 * reach + 1);
            let is_spoiled = mosaic.mask(band, &core)?.indexed_iter().any(|((j, k), m)| {
                let (dx, dy) = (f64::from(core.x0) + k as f64 - p.x, f64::from(core.y0) + j as f64 - p.y);
                m & SPOILED != 0 && dx.hypot(dy) <= fwhm_px
            });
            let pixel = Box2::new(x, y, 1, 1);
            let value = |plane| -> Result<f64> { Ok(f64::from(mosaic.plane(band, plane, &pixel)?[[0, 0]])) };
            let (phi, phi3) = (value(Plane::Phi)?, value(Plane::Phi3)?);
            is_usable[i] &= !is_spoiled && phi > 0.0;
            if phi > 0.0 {
                snr[i] = flux[i] * dilution[i] * phi.sqrt();
                error[i] = (phi + flux[i].max(0.0) * phi3).sqrt() / phi;
            }
        }
        columns.push((format!("{band}_snr_true"), "", "significance of the object's peak in the noiseless likelihood map", snr));
        columns.push((format!("{band}_flux_err_limit"), "nJy", "Cramér-Rao bound of a point source's flux, its own noise included", error));
    }
    if let Some(control) = control {
        for (usable, p) in is_usable.iter_mut().zip(&positions) {
            // What lies on or beside a real object is set aside.
            let is_near = |p: &PixelPoint| {
                let radius = fwhm_px.ceil() as i32;
                let (x, y) = p.pixel();
                let around = Box2::new(x - radius, y - radius, 2 * radius + 1, 2 * radius + 1);
                control
                    .iter()
                    .filter(|c| !c.footprint.spans.bbox().intersect(&around).is_empty())
                    .any(|c| c.footprint.spans.pixels().any(|(a, b)| (f64::from(a) - p.x).hypot(f64::from(b) - p.y) <= fwhm_px))
            };
            *usable &= p.as_ref().is_some_and(|p| !is_near(p));
        }
    }
    for (name, unit, what, data) in columns {
        truth.push(&name, unit, what, ColumnData::F64(data))?;
    }
    truth.push(
        "is_usable",
        "",
        "covered in all bands, not saturated, not beside a real object of the control run",
        ColumnData::Bool(is_usable),
    )?;
    Ok(truth)
}

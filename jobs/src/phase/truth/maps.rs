//! Limits from the likelihood maps that the chain made of the same data.

use crate::config::ExposeMode;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::{ColumnData, Table};
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::MaskPlane;
use fathom_sim::Placement;
use ndarray::Array2;

/// Bits within one FWHM that make a true object useless for a comparison.
const SPOILED: u32 = MaskPlane::Sat.bit() | MaskPlane::NoData.bit();

/// Joins `<band>_snr_true`, `<band>_flux_err_limit`, and `is_usable`.
///
/// `is_scattered`: the objects are all over the sky; else the maps under all of them are read at once.
pub fn join_limits(run: &Run, arm: usize, mut truth: Table, is_scattered: bool) -> Result<Table> {
    let mosaic = run.mosaic(arm)?;
    let n = truth.n_rows();
    let wcs = run.tract.wcs();
    let positions: Vec<Option<PixelPoint>> = truth
        .f64("ra")?
        .iter()
        .zip(truth.f64("dec")?)
        .map(|(&ra, &dec)| wcs.sky_to_pixel(SkyPoint::from_degrees(ra, dec)).ok().filter(|p| run.tract.bbox().contains_point(*p)))
        .collect();
    let fwhm_px = run.mean_fwhm_px(arm)?;
    let around = |p: &PixelPoint| around(p, fwhm_px);
    let whole = positions.iter().flatten().map(around).reduce(|a, b| a.union(&b)).filter(|_| !is_scattered);
    let mut is_usable: Vec<bool> = positions.iter().map(Option::is_some).collect();
    let mut columns = Vec::new();
    for band in &run.config.run.bands {
        let flux = truth.f64(&format!("{band}_flux"))?;
        let dilution = dilutions(run, &truth, mosaic.fwhm_px(band)?)?;
        let of_batch = whole.map(|bbox| Maps::read(&mosaic, band, bbox)).transpose()?;
        let (mut snr, mut error) = (vec![f64::NAN; n], vec![f64::NAN; n]);
        for (i, position) in positions.iter().enumerate() {
            let Some(p) = position else { continue };
            let own = if of_batch.is_none() { Some(Maps::read(&mosaic, band, around(p))?) } else { None };
            let maps = of_batch.as_ref().or(own.as_ref()).expect("one of both was read");
            let (phi, phi3) = maps.at(p);
            is_usable[i] &= !maps.is_spoiled(p, fwhm_px) && phi > 0.0;
            if phi > 0.0 {
                snr[i] = flux[i] * dilution[i] * phi.sqrt();
                error[i] = (phi + flux[i].max(0.0) * phi3).sqrt() / phi;
            }
        }
        columns.push((format!("{band}_snr_true"), "", "significance of the object's peak in the noiseless likelihood map", snr));
        columns.push((format!("{band}_flux_err_limit"), "nJy", "Cramér-Rao bound of a point source's flux, its own noise included", error));
    }
    set_aside_near_real_objects(run, &positions, fwhm_px, &mut is_usable)?;
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

/// Pixels within one FWHM, and some more.
fn around(p: &PixelPoint, fwhm_px: f64) -> Box2 {
    let (x, y) = p.pixel();
    let reach = fwhm_px.ceil() as i32;
    Box2::new(x - reach, y - reach, 2 * reach + 1, 2 * reach + 1)
}

/// A galaxy's peak under the PSF filter is lower by 1 / (1 + σ_g²/2σ_p²), σ² of the galaxy and of the PSF as Gaussians.
fn dilutions(run: &Run, truth: &Table, band_fwhm_px: f64) -> Result<Vec<f64>> {
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let size = truth.f64("half_light_radius")?.iter().zip(truth.f64("axis_ratio")?);
    Ok(size
        .map(|(&r, &q)| {
            let sigma_ratio_sq = (r * q.max(0.0).sqrt() / scale / 1.177).powi(2) / (band_fwhm_px / 2.354_82).powi(2);
            1.0 / (1.0 + 0.5 * if sigma_ratio_sq.is_finite() { sigma_ratio_sq } else { 0.0 })
        })
        .collect())
}

/// A part of a band's maps.
struct Maps {
    bbox: Box2,
    mask: Array2<u32>,
    phi: Array2<f32>,
    phi3: Array2<f32>,
}

impl Maps {
    fn read(mosaic: &CoaddMosaic, band: &str, bbox: Box2) -> Result<Self> {
        let plane = |plane| mosaic.plane(band, plane, &bbox);
        Ok(Self { bbox, mask: mosaic.mask(band, &bbox)?, phi: plane(Plane::Phi)?, phi3: plane(Plane::Phi3)? })
    }

    /// Φ and Φ3 at the pixel that holds the position.
    fn at(&self, p: &PixelPoint) -> (f64, f64) {
        let (x, y) = p.pixel();
        self.bbox.index(x, y).map_or((0.0, 0.0), |i| (f64::from(self.phi[i]), f64::from(self.phi3[i])))
    }

    fn is_spoiled(&self, p: &PixelPoint, fwhm_px: f64) -> bool {
        let core = around(p, fwhm_px);
        (core.y0..core.y1()).flat_map(|y| (core.x0..core.x1()).map(move |x| (x, y))).any(|(x, y)| {
            let is_within = (f64::from(x) - p.x).hypot(f64::from(y) - p.y) <= fwhm_px;
            is_within && self.bbox.index(x, y).is_none_or(|i| self.mask[i] & SPOILED != 0)
        })
    }
}

/// What lies on or beside an object of the control run is not usable, unless it was put there on purpose.
fn set_aside_near_real_objects(run: &Run, positions: &[Option<PixelPoint>], fwhm_px: f64, is_usable: &mut [bool]) -> Result<()> {
    let is_on_purpose = run.config.sky.field == "injected" && run.config.sky.injected.placement == Placement::Near;
    if run.config.expose.mode != ExposeMode::Inject || is_on_purpose {
        return Ok(());
    }
    let Some(whole) = positions.iter().flatten().map(|p| around(p, fwhm_px)).reduce(|a, b| a.union(&b)) else { return Ok(()) };
    let control = run.parents(0)?;
    let near: Vec<_> = control
        .iter()
        .map(|c| (c.footprint.spans.bbox(), &c.footprint.spans))
        .filter(|(bbox, _)| !bbox.intersect(&whole).is_empty())
        .collect();
    for (usable, p) in is_usable.iter_mut().zip(positions) {
        let is_near = |p: &PixelPoint| {
            near.iter()
                .filter(|(bbox, _)| !bbox.intersect(&around(p, fwhm_px)).is_empty())
                .any(|(_, spans)| spans.pixels().any(|(a, b)| (f64::from(a) - p.x).hypot(f64::from(b) - p.y) <= fwhm_px))
        };
        *usable &= p.as_ref().is_some_and(|p| !is_near(p));
    }
    Ok(())
}

//! Sums over blank sky of a patch in units of the error that the coadd's noise covariance predicts.

use super::for_each_truth;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::coadd::CoaddPsf;
use fathom::format::coadd::Plane;
use fathom::geometry::{Box2, Cell, Patch, PixelPoint};
use fathom::measure::{aperture_weights, covariance_of_sums};
use fathom_validation::assess::{NoiseSums, noise_table};
use ndarray::{Array2, Axis};
use rayon::prelude::*;

/// Distance of the positions \[tract pixel\].
const SPACING_PX: usize = 16;
/// Half-width of the PSF's stamps \[FWHM\].
const PSF_FWHM: f64 = 2.0;

/// A weighted sum over pixels around a whole pixel.
struct Sum {
    name: String,
    /// `[2r+1, 2r+1]`.
    weights: Array2<f64>,
    /// Variance of the sum for unit variance of the pixels.
    factor: f64,
}

/// One band around a patch.
struct Sky {
    bbox: Box2,
    /// Coadd less truth pixels \[nJy\].
    image: Array2<f32>,
    variance: Array2<f32>,
    is_blank: Array2<bool>,
}

/// The table `/noise` of a patch.
///
/// Positions are a grid in every cell, so that no patch border moves them. They are blank where no pixel of the sum lies in a parent or
/// carries a mask bit. The light of undetected objects is taken off where truth pixels are kept; else it adds to the scatter.
pub fn noise(run: &Run, arm: usize, patch: &Patch) -> Result<Table> {
    let (mosaic, scale) = (run.mosaic(arm)?, run.config.sky_map.pixel_scale_arcsec);
    let radii_arcsec = &run.config.measure.aperture_radii_arcsec;
    let reach_px = |fwhm_px: f64| radii_arcsec.iter().map(|r| r / scale).fold(PSF_FWHM * fwhm_px, f64::max).ceil() as i32 + 1;
    let bands = &run.config.run.bands;
    let reach = bands.iter().map(|b| mosaic.fwhm_px(b)).try_fold(0, |most, f| f.map(|f| reach_px(f).max(most)))?;
    let bbox = patch.bbox.grown(reach).intersect(&run.tract.bbox());
    let (light, free) = (light(run, arm, &bbox)?, outside_parents(run, arm, &bbox)?);
    let mut rows = Vec::new();
    for (b, band) in bands.iter().enumerate() {
        let mut image = mosaic.plane(band, Plane::Image, &bbox)?;
        if let Some(light) = &light {
            image -= &light[b];
        }
        let mut is_blank = free.clone();
        is_blank.zip_mut_with(&mosaic.mask(band, &bbox)?, |blank, m| *blank &= *m == 0);
        let sky = Sky { bbox, image, variance: mosaic.plane(band, Plane::Variance, &bbox)?, is_blank };
        let of_cells = run
            .tract
            .cells_in(&patch.bbox)
            .par_iter()
            .map(|cell| {
                let sums = sums(run, arm, band, cell)?;
                Ok(sums.iter().map(|s| pulls(&sky, band, cell, s)).collect::<Vec<_>>())
            })
            .collect::<Result<Vec<_>>>()?;
        rows.extend(of_cells.into_iter().flatten());
    }
    Ok(noise_table(&rows)?)
}

/// Light of all true objects per band \[nJy\], `[y, x]`; none if truth pixels are not kept.
fn light(run: &Run, arm: usize, bbox: &Box2) -> Result<Option<Vec<Array2<f32>>>> {
    if !(run.config.truth.pixels && run.has_truth(arm)) || run.config.expose.mode != crate::config::ExposeMode::Simulate {
        return Ok(None);
    }
    let mut all = vec![Array2::<f64>::zeros(bbox.shape()); run.config.run.bands.len()];
    for_each_truth(
        run,
        arm,
        |b| !b.intersect(bbox).is_empty(),
        |found| {
            for object in found {
                let part = object.bbox.intersect(bbox);
                for (sum, plane) in all.iter_mut().zip(object.values_njy_byx.axis_iter(Axis(0))) {
                    let plane = plane.slice_move(object.bbox.slice_of(&part));
                    sum.slice_mut(bbox.slice_of(&part)).zip_mut_with(&plane, |s, v| *s += f64::from(*v));
                }
            }
        },
    )?;
    Ok(Some(all.into_iter().map(|sum| sum.mapv(|v| v as f32)).collect()))
}

/// True where no parent is.
fn outside_parents(run: &Run, arm: usize, bbox: &Box2) -> Result<Array2<bool>> {
    let mut free = Array2::from_elem(bbox.shape(), true);
    for parent in run.parents(arm)?.iter().filter(|p| !p.footprint.spans.bbox().intersect(bbox).is_empty()) {
        for at in parent.footprint.spans.pixels().filter_map(|(x, y)| bbox.index(x, y)) {
            free[at] = false;
        }
    }
    Ok(free)
}

/// PSF-weighted sum and apertures, with the PSF and the covariance at the middle of a cell.
fn sums(run: &Run, arm: usize, band: &str, cell: &Cell) -> Result<Vec<Sum>> {
    let mosaic = run.mosaic(arm)?;
    let (x, y) = (cell.bbox.x0 + cell.bbox.width / 2, cell.bbox.y0 + cell.bbox.height / 2);
    let Some(covariance) = mosaic.covariance(band, x, y)? else { return Ok(Vec::new()) };
    let center = covariance[[covariance.nrows() / 2, covariance.ncols() / 2]];
    if center.is_nan() || center <= 0.0 {
        return Ok(Vec::new());
    }
    let correlation = covariance / center;
    let reference = CoaddPsf::common_contributors(mosaic.inputs_wyx(band, &cell.bbox)?.view());
    let radius_px = (PSF_FWHM * mosaic.fwhm_px(band)?).ceil() as usize;
    let psf = run.coadd_psf(arm, band)?.stamp(PixelPoint::new(f64::from(x), f64::from(y)), &reference, radius_px);
    let mut kinds = vec![("psf".to_owned(), psf)];
    for radius_arcsec in &run.config.measure.aperture_radii_arcsec {
        let radius_px = radius_arcsec / run.config.sky_map.pixel_scale_arcsec;
        let r = (radius_px + 0.5).ceil() as i32;
        let weights = aperture_weights(&Box2::new(-r, -r, 2 * r + 1, 2 * r + 1), PixelPoint::new(0.0, 0.0), radius_px);
        kinds.push((format!("aperture {radius_arcsec} arcsec"), weights));
    }
    let with_factor = |(name, weights): (String, Array2<f64>)| {
        let factor = covariance_of_sums(&weights, &weights, correlation.view());
        Sum { name, weights, factor }
    };
    Ok(kinds.into_iter().map(with_factor).filter(|s| s.factor > 0.0).collect())
}

/// Pulls of a sum at the blank positions of a cell.
fn pulls(sky: &Sky, band: &str, cell: &Cell, sum: &Sum) -> NoiseSums {
    let mut out = NoiseSums::new(band, &sum.name, [cell.column, cell.row]);
    let r = (sum.weights.nrows() / 2) as i32;
    let along = |start: i32, n: i32| (start + SPACING_PX as i32 / 2..start + n).step_by(SPACING_PX);
    for y in along(cell.bbox.y0, cell.bbox.height) {
        for x in along(cell.bbox.x0, cell.bbox.width) {
            let part = Box2::new(x - r, y - r, 2 * r + 1, 2 * r + 1);
            if part.intersect(&sky.bbox) == part
                && let Some(pull) = pull(sky, &part, sum)
            {
                out.add(pull);
            }
        }
    }
    out
}

/// Σ w z / √(factor · V), V the mean variance under w²; none unless every pixel is blank.
fn pull(sky: &Sky, part: &Box2, sum: &Sum) -> Option<f64> {
    let slice = sky.bbox.slice_of(part);
    let (image, variance, blank) = (sky.image.slice(slice), sky.variance.slice(slice), sky.is_blank.slice(slice));
    let (mut value, mut squares, mut of_variance) = (0.0, 0.0, 0.0);
    for (((w, z), v), blank) in sum.weights.iter().zip(image).zip(variance).zip(blank) {
        if w.abs() > 0.0 {
            if !(*blank && z.is_finite() && v.is_finite()) {
                return None;
            }
            value += w * f64::from(*z);
            squares += w * w;
            of_variance += w * w * f64::from(*v);
        }
    }
    (of_variance > 0.0).then(|| value / (sum.factor * of_variance / squares).sqrt())
}

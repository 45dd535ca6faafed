//! Stars of a patch against the coadd's PSF: bright isolated ones in the data, and noiseless ones.

use super::for_each_truth;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::coadd::CoaddPsf;
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::geometry::{Box2, Patch, PixelPoint, SkyPoint};
use fathom::image::MaskPlane;
use fathom_validation::assess::{StarRow, star_residual, star_table};
use ndarray::{Array2, ArrayView2, Axis};
use std::collections::BTreeMap;

/// Least S/N of a star: its moments are then right to about a per cent.
const MIN_SNR: f64 = 100.0;
/// The same of noiseless stars, which only need to be common enough.
const MIN_SNR_NOISELESS: f64 = 10.0;
/// Half-width of the stamps \[FWHM\]: the flux is that within 3.
const RADIUS_FWHM: f64 = 3.2;
/// Stars nearer than this are the same one, seen on several exposures \[arcsec\].
const SAME_ARCSEC: f64 = 1.0;
/// Share of the stack's weight by which pixels' exposures may differ from the star's.
const PSF_TOLERANCE: f64 = 0.02;

/// Pixels that are not what the star and its PSF would make of them.
const SPOILED: u32 = MaskPlane::Sat.bit() | MaskPlane::NoData.bit() | MaskPlane::Clipped.bit() | MaskPlane::InexactPsf.bit();

/// One band of a patch, ready to compare stars.
struct Band<'a> {
    run: &'a Run,
    mosaic: CoaddMosaic,
    psf: std::sync::Arc<CoaddPsf>,
    band: &'a str,
    fwhm_px: f64,
}

/// The table `/psf_stars` of a patch.
pub fn stars(run: &Run, arm: usize, patch: &Patch) -> Result<Table> {
    let noiseless = noiseless_stars(run, arm, patch)?;
    let mut rows = Vec::new();
    for (b, band) in run.config.run.bands.iter().enumerate() {
        let mosaic = run.mosaic(arm)?;
        let fwhm_px = mosaic.fwhm_px(band)?;
        let of_band = Band { run, mosaic, psf: run.coadd_psf(arm, band)?, band, fwhm_px };
        for (sky, at) in chosen_stars(run, arm, band, patch)? {
            if let Some(bbox) = of_band.stamp_box(at) {
                let image = of_band.mosaic.plane(band, Plane::Image, &bbox)?;
                rows.extend(of_band.compare(sky, at, &bbox, image.view(), "data", MIN_SNR)?);
            }
        }
        for (sky, at, truth_box, values_byx) in &noiseless {
            let Some(bbox) = of_band.stamp_box(*at) else { continue };
            let part = truth_box.intersect(&bbox);
            let mut image = Array2::zeros(bbox.shape());
            if !part.is_empty() {
                image.slice_mut(bbox.slice_of(&part)).assign(&values_byx.index_axis(Axis(0), b).slice(truth_box.slice_of(&part)));
            }
            rows.extend(of_band.compare(*sky, *at, &bbox, image.view(), "truth pixels", MIN_SNR_NOISELESS)?);
        }
    }
    Ok(star_table(&rows)?)
}

impl Band<'_> {
    /// Pixels of a star's stamp; none if they are not all on the tract.
    fn stamp_box(&self, at: PixelPoint) -> Option<Box2> {
        let (r, (x, y)) = ((RADIUS_FWHM * self.fwhm_px).ceil() as i32, at.pixel());
        let bbox = Box2::new(x - r, y - r, 2 * r + 1, 2 * r + 1);
        (self.run.tract.bbox().intersect(&bbox) == bbox).then_some(bbox)
    }

    /// A star against the PSF; none where it is faint, or too many pixels are spoiled or of other exposures.
    fn compare(
        &self,
        sky: SkyPoint,
        at: PixelPoint,
        bbox: &Box2,
        image_njy: ArrayView2<f32>,
        source: &'static str,
        min_snr: f64,
    ) -> Result<Option<StarRow>> {
        let (x, y) = at.pixel();
        let phi = f64::from(self.mosaic.plane(self.band, Plane::Phi, &Box2::new(x, y, 1, 1))?[[0, 0]]);
        let snr = image_njy.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).sum::<f64>() * phi.sqrt();
        if snr.is_nan() || snr < min_snr {
            return Ok(None);
        }
        let words = self.mosaic.inputs_wyx(self.band, bbox)?;
        let reference = CoaddPsf::common_contributors(words.view());
        let mut is_good = self.psf.agrees(words.view(), &reference, PSF_TOLERANCE);
        is_good.zip_mut_with(&self.mosaic.mask(self.band, bbox)?, |good, m| *good &= m & SPOILED == 0);
        let psf = self.psf.stamp(at, &reference, (bbox.width / 2) as usize).mapv(|v| v as f32);
        let offset = (at.x - f64::from(x), at.y - f64::from(y));
        let residual = star_residual(image_njy, psf.view(), is_good.view(), offset, self.fwhm_px);
        Ok(residual.map(|r| (self.band.to_owned(), source, [sky.ra_deg(), sky.dec_deg()], snr, r)))
    }
}

/// Bright isolated stars that the visit phase found on the band's exposures, each once, where they lie in the patch.
fn chosen_stars(run: &Run, arm: usize, band: &str, patch: &Patch) -> Result<Vec<(SkyPoint, PixelPoint)>> {
    let mut found: Vec<(SkyPoint, PixelPoint)> = Vec::new();
    for (meta, visit) in run.band_inputs(arm)?[band].iter() {
        let stars = &visit.stars;
        if stars.columns().is_empty() {
            continue;
        }
        for (&x, &y) in stars.f64("x")?.iter().zip(stars.f64("y")?) {
            let sky = meta.wcs.pixel_to_sky(PixelPoint::new(x, y));
            let Ok(at) = run.tract.wcs().sky_to_pixel(sky) else { continue };
            if patch.bbox.contains_point(at) && found.iter().all(|(s, _)| s.separation_arcsec(&sky) > SAME_ARCSEC) {
                found.push((sky, at));
            }
        }
    }
    Ok(found)
}

type NoiselessStar = (SkyPoint, PixelPoint, Box2, ndarray::Array3<f32>);

/// True stars of the patch that stay where they are and as bright as they are, with their noiseless pixels.
fn noiseless_stars(run: &Run, arm: usize, patch: &Patch) -> Result<Vec<NoiselessStar>> {
    if !(run.config.truth.pixels && run.has_truth(arm)) {
        return Ok(Vec::new());
    }
    let (b, scale) = (&patch.bbox, run.config.sky_map.pixel_scale_arcsec);
    let middle = PixelPoint::new(f64::from(b.x0 + b.x1()) / 2.0, f64::from(b.y0 + b.y1()) / 2.0);
    let radius_arcsec = f64::from(b.width).hypot(f64::from(b.height)) / 2.0 * scale;
    let near = fathom::format::truth::read_near(&run.path(run.truth_path(arm)), run.tract.wcs().pixel_to_sky(middle), radius_arcsec)?;
    if near.n_rows() == 0 {
        return Ok(Vec::new());
    }
    let (id, ra, dec, class) = (near.i64("id")?, near.f64("ra")?, near.f64("dec")?, near.text("class")?);
    let mut places = BTreeMap::new();
    for i in (0..near.n_rows()).filter(|&i| class[i] == "star") {
        let sky = SkyPoint::from_degrees(ra[i], dec[i]);
        if let Some(at) = run.tract.wcs().sky_to_pixel(sky).ok().filter(|p| b.contains_point(*p)) {
            places.insert(id[i], (sky, at));
        }
    }
    let mut stars = Vec::new();
    for_each_truth(
        run,
        arm,
        |of_object| !of_object.intersect(b).is_empty(),
        |found| stars.extend(found.into_iter().filter_map(|o| places.get(&o.id).map(|(s, p)| (*s, *p, o.bbox, o.values_njy_byx)))),
    )?;
    Ok(stars)
}

//! How deep a set of exposures is for a point source.

use crate::camera::{Amplifiers, background_variance_njy2};
use crate::population::{Source, to_table};
use crate::{ExposurePlan, SimError, TruthObject, render_object};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom::image::psf::PsfModel;
use fathom::image::{ExposureId, ExposureMeta, Psf, PsfError, TrueBackground, ab_magnitude};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use rstar::RTree;
use rstar::primitives::{GeomWithData, Rectangle};

/// Below this FWHM \[pixel\] Σφ² depends on where in its pixel a source lies.
const WELL_SAMPLED_FWHM_PX: f64 = 2.5;
/// Nodes an axis of the table of Σφ² over an exposure: a variation by a tenth is interpolated to 4e-4.
const N_NODES: usize = 17;

/// Shape of a galaxy whose signal to noise is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub half_light_radius_arcsec: f64,
    pub axis_ratio: f64,
    pub sersic_n: f64,
}

/// What one exposure adds to the depth: of its plan what the depth needs, a tenth of a megabyte where a plan with a varying PSF takes two.
#[derive(Debug, Clone)]
pub struct ExposureDepth {
    /// With the PSF of the middle in the place of one that varies and is well sampled.
    meta: ExposureMeta,
    background: TrueBackground,
    amplifiers: Amplifiers,
    /// Σφ² over the exposure / that of `meta.psf`; none: the PSF is the true one.
    relative_power: Option<Array2<f64>>,
    /// Σφ² of `meta.psf`, where it does not depend on the phase.
    power: Option<f64>,
    /// FWHM in the middle \[arcsec\].
    pub fwhm_arcsec: f64,
    /// The least flux \[nJy\] of a point source whose brightest pixel saturates.
    saturation_njy: f64,
    /// Box around it on the unit sphere.
    bounds: Rectangle<[f64; 3]>,
}

impl ExposureDepth {
    /// Of a plan.
    ///
    /// # Errors
    /// [`SimError::Psf`] if the stamp in the middle holds too little of the light.
    pub fn new(plan: &ExposurePlan) -> Result<Self, SimError> {
        let mut meta = plan.meta.clone();
        let middle = PixelPoint::new(meta.shape.1 as f64 / 2.0, meta.shape.0 as f64 / 2.0);
        let fwhm_px = meta.psf.fwhm_px(middle);
        let peak = meta.psf.value(PixelPoint::new(0.0, 0.0), 0.0, 0.0);
        let saturation_njy = (meta.saturation_adu * meta.gain_e_per_adu - plan.sky_e) / (peak * meta.electrons_per_njy());
        let is_sampled = fwhm_px >= WELL_SAMPLED_FWHM_PX;
        let relative_power = if is_sampled && !meta.psf.is_constant() {
            let (constant, relative) = middle_and_variation(&meta.psf, meta.shape, middle)?;
            meta.psf = constant;
            Some(relative)
        } else {
            None
        };
        let power = is_sampled.then(|| meta.psf.stamp(middle, 0.0, 0.0).iter().map(|v| v * v).sum());
        let (center, radius_arcsec) = plan.disc();
        let (c, r) = (center.unit_vector(), (radius_arcsec / 3600.0).to_radians());
        Ok(Self {
            background: plan.background.clone(),
            amplifiers: plan.amplifiers.clone(),
            relative_power,
            power,
            fwhm_arcsec: fwhm_px * meta.wcs.pixel_area_arcsec2(middle).sqrt(),
            saturation_njy,
            bounds: Rectangle::from_corners(c.map(|v| v - r), c.map(|v| v + r)),
            meta,
        })
    }

    /// Of all plans.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_plans(plans: &[ExposurePlan]) -> Result<Vec<Self>, SimError> {
        plans.par_iter().map(Self::new).collect()
    }

    /// Which exposure.
    #[must_use]
    pub fn id(&self) -> &ExposureId {
        &self.meta.id
    }

    /// Middle of the exposure \[MJD, TAI\].
    #[must_use]
    pub fn mjd(&self) -> f64 {
        self.meta.mjd
    }

    fn variance_njy2(&self, x_px: f64, y_px: f64) -> f64 {
        background_variance_njy2(&self.background, &self.amplifiers, &self.meta.photo_calib, x_px, y_px)
    }

    /// Σφ²/v of a point source: 0 beyond the edge, where it shows its wings only, too little to prescribe a flux by.
    fn information(&self, at: SkyPoint) -> f64 {
        let meta = &self.meta;
        let Some(p) = meta.wcs.sky_to_pixel(at).ok().filter(|p| meta.bbox().contains_point(*p)) else { return 0.0 };
        let relative = self.relative_power.as_ref().map_or(1.0, |table| bilinear(table, meta.shape, p));
        let (bbox, r) = (meta.bbox(), meta.psf.radius_px() as i32);
        let (ix, iy) = p.pixel();
        if let (Some(power), true) = (self.power, bbox.grown(-r).contains(ix, iy)) {
            return relative * power / self.variance_njy2(p.x, p.y);
        }
        let stamp = meta.psf.stamp(p, p.x - f64::from(ix), p.y - f64::from(iy));
        let pixels = stamp.indexed_iter().map(|((j, i), phi)| ((ix - r + i as i32, iy - r + j as i32), phi));
        let inside = pixels.filter(|((x, y), _)| bbox.contains(*x, *y));
        relative * inside.map(|((x, y), phi)| phi * phi / self.variance_njy2(f64::from(x), f64::from(y))).sum::<f64>()
    }

    /// Σ(φ * g)² / Σφ² of a shape g in the middle.
    fn loss(&self, shape: &Shape) -> Result<f64, SimError> {
        let power = |radius: f64| -> Result<f64, SimError> {
            let meta = &self.meta;
            let at = meta.wcs.pixel_to_sky(PixelPoint::new((meta.shape.1 / 2) as f64, (meta.shape.0 / 2) as f64));
            let mut source = Source { class: "galaxy", ..Source::star(0, at, vec![1.0]) };
            (source.half_light_radius_arcsec, source.axis_ratio) = (radius, shape.axis_ratio);
            source.sersic_n = if radius > 0.0 { shape.sersic_n } else { 0.0 };
            let table = to_table(&[source], std::slice::from_ref(&meta.band), 0, 0)?;
            let objects = TruthObject::of_table(&table, &meta.band, meta.mjd)?;
            let stamp = render_object(meta, &objects[0])?;
            Ok(stamp.map_or(0.0, |(_, pixels)| pixels.iter().map(|v| v * v).sum()))
        };
        Ok(power(shape.half_light_radius_arcsec)? / power(0.0)?)
    }
}

/// The PSF of the middle everywhere, and Σφ² at [`N_NODES`] x [`N_NODES`] places over its.
///
/// Σφ² = c G c with the coefficients c of the place and G_kl = Σ b_k b_l of the basis images.
fn middle_and_variation(psf: &Psf, (ny, nx): (usize, usize), middle: PixelPoint) -> Result<(Psf, Array2<f64>), PsfError> {
    let stamps: Vec<Array2<f64>> = (0..psf.n_basis()).map(|k| psf.basis_stamp(k, 0.0, 0.0)).collect();
    let gram = Array2::from_shape_fn((stamps.len(), stamps.len()), |(k, l)| (&stamps[k] * &stamps[l]).sum());
    let power = |at: PixelPoint| {
        let mut c = vec![0.0; psf.n_basis()];
        psf.coefficients(at, &mut c);
        let c = Array1::from(c);
        c.dot(&gram.dot(&c))
    };
    let node = |k: usize, n: usize| k as f64 / (N_NODES - 1) as f64 * (n as f64 - 1.0);
    let of_middle = power(middle);
    let relative = Array2::from_shape_fn((N_NODES, N_NODES), |(j, i)| power(PixelPoint::new(node(i, nx), node(j, ny))) / of_middle);
    let model = PsfModel::StampGrid { x_px: vec![0.0], y_px: vec![0.0], stamps: vec![psf.stamp(middle, 0.0, 0.0)] };
    Ok((Psf::new(model)?, relative))
}

/// A table of nodes from the first to the last pixel of an image, at a pixel.
fn bilinear(table: &Array2<f64>, (ny, nx): (usize, usize), at: PixelPoint) -> f64 {
    let place = |v: f64, n: usize| {
        let u = (v / (n as f64 - 1.0).max(1.0)).clamp(0.0, 1.0) * (N_NODES - 1) as f64;
        let k = (u as usize).min(N_NODES - 2);
        (k, u - k as f64)
    };
    let ((i, u), (j, v)) = (place(at.x, nx), place(at.y, ny));
    let row = |j: usize| table[[j, i]] + u * (table[[j, i + 1]] - table[[j, i]]);
    row(j) + v * (row(j + 1) - row(j))
}

/// Depth of the exposures of one band: of their sky and read noise, without defects.
///
/// An object meets the exposures that an R-tree finds at its place, in the order of the plans, so its cost is that of what covers it.
#[derive(Debug)]
pub struct Depth<'a> {
    exposures: Vec<&'a ExposureDepth>,
    tree: RTree<GeomWithData<Rectangle<[f64; 3]>, usize>>,
}

impl<'a> Depth<'a> {
    /// Of the exposures of `band`.
    #[must_use]
    pub fn of_band(exposures: &'a [ExposureDepth], band: &str) -> Self {
        let exposures: Vec<_> = exposures.iter().filter(|e| e.meta.band == band).collect();
        let tree = RTree::bulk_load(exposures.iter().enumerate().map(|(i, e)| GeomWithData::new(e.bounds, i)).collect());
        Self { exposures, tree }
    }

    /// Numbers of the exposures that may hold a place, rising.
    fn near(&self, at: SkyPoint) -> Vec<usize> {
        let mut near: Vec<usize> = self.tree.locate_all_at_point(&at.unit_vector()).map(|found| found.data).collect();
        near.sort_unstable();
        near
    }

    /// Φ = Σ_exposures Σ_pixels φ²/v \[nJy⁻²\]: the inverse variance of the optimal flux of a faint point source.
    ///
    /// Of the exposures that hold the position; of those, the pixels that exist.
    #[must_use]
    pub fn information(&self, at: SkyPoint) -> f64 {
        self.near(at).into_iter().map(|i| self.exposures[i].information(at)).sum()
    }

    /// Σ(φ * g)² / Σφ² of a shape g in the middle of every exposure: what its matched filter loses against a point's.
    ///
    /// # Errors
    /// [`SimError::Object`] for a shape that cannot be drawn.
    pub(crate) fn losses(&self, shape: &Shape) -> Result<Vec<f64>, SimError> {
        self.exposures.par_iter().map(|e| e.loss(shape)).collect()
    }

    /// As [`Self::information`], of a shape with these [`Self::losses`].
    pub(crate) fn information_of_shape(&self, at: SkyPoint, losses: &[f64]) -> f64 {
        self.near(at).into_iter().map(|i| losses[i] * self.exposures[i].information(at)).sum()
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
        self.exposures.iter().map(|e| e.saturation_njy).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CameraConfig, plan_exposures};

    /// The slow way: every exposure's rendered star, pixel by pixel, at the middle and near a corner; of a PSF that varies too, on detectors
    /// of which a place sees few.
    #[test]
    fn information_is_the_sum_over_rendered_stars() {
        let camera = CameraConfig { n_exposures: 4, size_px: [300, 260], ..CameraConfig::default() };
        // The sky's slope over a stamp, and the sub-pixel phase.
        sums_agree(&camera, 1e-3);
        let layout = crate::camera::LayoutConfig { detectors: [3, 3], gap_px: [20, 20] };
        let psf = crate::camera::PsfConfig { size_variation: 0.05, ellipticity_variation: 0.03, ..camera.psf.clone() };
        // And the power between its nodes.
        sums_agree(&CameraConfig { layout, psf, ..camera }, 1e-3 + 4e-4);
    }

    fn sums_agree(camera: &CameraConfig, tolerance: f64) {
        let center = SkyPoint::from_degrees(40.0, -30.0);
        let plans = plan_exposures(camera, center, &["g".into(), "r".into()], 2).unwrap();
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
            let depths = ExposureDepth::of_plans(&plans).unwrap();
            let found = Depth::of_band(&depths, "r").information(position);
            assert!(expected > 0.0 && (found / expected - 1.0).abs() < tolerance, "{found} against {expected}");
        }
        let outside = center.offset_by_arcsec(200.0, 0.0);
        let depths = ExposureDepth::of_plans(&plans).unwrap();
        assert!(Depth::of_band(&depths, "r").information(outside) <= 0.0);
        assert!(Depth::of_band(&depths, "r").m5(outside).is_nan());
    }
}

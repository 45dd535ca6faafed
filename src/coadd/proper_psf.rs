//! The PSF of a proper coadd at any point, beside the edges of exposures too.
//!
//! Away from edges it is the cell's ([`ProperFilter::psf`]). Where an edge cuts a cell, or a source's light, it changes from place to place:
//! an exposure adds to Ψ(x) the part of φ_i(p - x) φ_i(p - x_0)/v_i whose pixels p it has. Here a point source is drawn on every exposure's own
//! pixels, as far as they go, and taken through the coadd's correlation, sampling, filter and level.

use super::likelihood::{Correlator, RunScratch, pixels_for};
use super::mapping::{Mapping, image_of};
use super::prepared::Prepared;
use super::proper::ProperFilter;
use crate::background::VisitProduct;
use crate::geometry::{Box2, PixelPoint, Wcs};
use crate::image::ExposureMeta;
use ndarray::{Array2, s};
use rayon::prelude::*;

/// PSFs of all exposures of one band of the tract, ready to be drawn anywhere.
pub struct ProperPsf<'a> {
    inputs: Vec<Input<'a>>,
    tract_wcs: Wcs,
}

struct Input<'a> {
    meta: &'a ExposureMeta,
    visit: &'a VisitProduct,
    correlator: Correlator<'a>,
}

impl<'a> ProperPsf<'a> {
    /// `inputs`: every exposure of the likelihood maps, in their order.
    #[must_use]
    pub fn new(tract_wcs: Wcs, inputs: &[(&'a ExposureMeta, &'a VisitProduct)]) -> Self {
        let inputs = inputs.iter().map(|&(meta, visit)| Input { meta, visit, correlator: Correlator::new(meta) }).collect();
        Self { inputs, tract_wcs }
    }

    /// Image of a unit-flux point source at `at` (tract pixels) on the proper coadd: `[2r+1, 2r+1]`, its central pixel being `at.pixel()`. NaN
    /// outside the cells given and where the coadd has no data. Masked pixels count as good: beside them the coadd is `INEXACT_PSF`.
    ///
    /// `cells`: the filters of the cells that the stamp touches, with the cells' pixels.
    #[must_use]
    pub fn stamp(&self, at: PixelPoint, cells: &[(Box2, &ProperFilter)], radius_px: usize) -> Array2<f64> {
        let (cx, cy) = at.pixel();
        let stamp = Box2::new(cx, cy, 1, 1).grown(radius_px as i32);
        let mut out = Array2::from_elem(stamp.shape(), f64::NAN);
        let around = stamp.grown(cells.iter().map(|(_, filter)| filter.border_px()).max().unwrap_or(0) as i32);
        let (psi, phi) = self.maps(at, &around);
        for (bbox, filter) in cells {
            let part = bbox.intersect(&stamp);
            if part.is_empty() {
                continue;
            }
            let with_border = around.slice_of(&part.grown(filter.border_px() as i32));
            let pixels = filter.run(psi.slice(with_border), phi.slice(with_border), Array2::zeros(part.shape()).view());
            out.slice_mut(stamp.slice_of(&part)).assign(&pixels.image_njy.mapv(f64::from));
        }
        out
    }

    /// Ψ \[1/nJy\] of the source, and Φ \[1/nJy²\], on a box of the tract, `[ny, nx]`.
    fn maps(&self, at: PixelPoint, bbox: &Box2) -> (Array2<f32>, Array2<f32>) {
        let sky = self.tract_wcs.pixel_to_sky(at);
        let terms: Vec<_> = self.inputs.par_iter().filter_map(|input| Some(input.maps(&self.tract_wcs, input.place(sky)?, bbox))).collect();
        // Added in the order of the exposures, whichever came first.
        let mut sums = Array2::from_elem(bbox.shape(), [0.0; 2]);
        for of_input in terms {
            sums.zip_mut_with(&of_input, |sum, [psi, phi]| *sum = [sum[0] + psi, sum[1] + phi]);
        }
        (sums.mapv(|[psi, _]| psi as f32), sums.mapv(|[_, phi]| phi as f32))
    }
}

impl Input<'_> {
    fn place(&self, sky: crate::geometry::SkyPoint) -> Option<PixelPoint> {
        self.meta.wcs.sky_to_pixel(sky).ok()
    }

    /// Its part of Ψ and Φ.
    fn maps(&self, tract: &Wcs, star: PixelPoint, bbox: &Box2) -> Array2<[f64; 2]> {
        let mut sums = Array2::from_elem(bbox.shape(), [0.0; 2]);
        let region = image_of(tract, &self.meta.wcs, bbox);
        let pixels = pixels_for(&region, self.meta).intersect(&Box2::of_shape(self.meta.shape));
        if pixels.is_empty() {
            return sums;
        }
        let mut light = Array2::zeros(pixels.shape());
        let (x, y) = star.pixel();
        let drawn = Box2::new(x, y, 1, 1).grown(self.meta.psf.radius_px() as i32);
        let part = drawn.intersect(&pixels);
        if !part.is_empty() {
            let stamp = self.meta.psf.stamp(star, star.x - f64::from(x), star.y - f64::from(y));
            light.slice_mut(pixels.slice_of(&part)).assign(&stamp.slice(drawn.slice_of(&part)).mapv(|v| v as f32));
        }
        let prepared = Prepared::of_light(self.meta, self.visit, pixels, light);
        let Some(psi) = self.correlator.psi(&prepared, &region) else { return sums };
        let mapping = Mapping::new(tract, &self.meta.wcs, *bbox);
        let mut scratch = RunScratch::default();
        for (j, mut row) in sums.rows_mut().into_iter().enumerate() {
            for run in mapping.runs(j) {
                let mut row = row.slice_mut(s![run.columns.clone()]);
                self.correlator.run(&prepared, &psi, &run, &mut scratch, |i, terms| row[i] = [terms.psi, terms.phi]);
            }
        }
        sums
    }
}

//! What a detector adds of its own: bad columns, hot pixels, cosmic rays.

use super::cosmic_rays::strike;
use crate::CameraConfig;
use fathom::image::{ExposureMeta, MaskPlane};
use fathom::random::keyed_rng;
use ndarray::Array2;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson};

/// Defects of one exposure.
pub(crate) struct Defects {
    /// Charge to be added \[electrons\], `[y, x]`.
    pub(crate) charge_e: Array2<f64>,
    /// Value that replaces the pixel's \[electrons\] where the mask says `BAD`.
    pub(crate) garbage_e: Array2<f64>,
    /// `BAD` and `CR`.
    pub(crate) mask: Array2<u32>,
}

impl Defects {
    pub(crate) fn of(meta: &ExposureMeta, camera: &CameraConfig, seed: u64) -> Self {
        let (ny, nx) = meta.shape;
        let mut defects = Self { charge_e: Array2::zeros((ny, nx)), garbage_e: Array2::zeros((ny, nx)), mask: Array2::zeros((ny, nx)) };
        let stream = |what: &str| keyed_rng(seed, &format!("{what}/{}", meta.id), 0, 0);

        let mut rng = stream("bad-columns");
        for _ in 0..camera.n_bad_columns {
            let column = rng.random_range(0..nx);
            for row in 0..ny {
                defects.spoil(row, column, 3.0 * camera.saturation_e * rng.random::<f64>());
            }
        }
        let mut rng = stream("hot-pixels");
        for _ in 0..count(camera.hot_pixel_fraction * (nx * ny) as f64, &mut rng) {
            let (row, column) = (rng.random_range(0..ny), rng.random_range(0..nx));
            defects.spoil(row, column, camera.saturation_e * rng.random::<f64>());
        }
        let mut rng = stream("cosmic-rays");
        for _ in 0..count(camera.cosmic_rays, &mut rng) {
            strike(&mut defects.charge_e, &mut defects.mask, camera.detector.cosmic_rays_flagged, &mut rng);
        }
        // One pixel more on all sides: no charge leaks out unflagged where a real detector diffuses it.
        dilate(&mut defects.mask, MaskPlane::Cr.bit());
        defects
    }

    fn spoil(&mut self, row: usize, column: usize, value_e: f64) {
        self.garbage_e[[row, column]] = value_e;
        self.mask[[row, column]] |= MaskPlane::Bad.bit();
    }
}

fn count(mean: f64, rng: &mut impl Rng) -> usize {
    if mean > 0.0 { Poisson::new(mean).expect("a positive mean").sample(rng) as usize } else { 0 }
}

/// Sets `bit` in the eight neighbours of every pixel that has it.
pub(crate) fn dilate(mask: &mut Array2<u32>, bit: u32) {
    let (ny, nx) = mask.dim();
    let set: Vec<(usize, usize)> = mask.indexed_iter().filter(|(_, m)| **m & bit != 0).map(|(at, _)| at).collect();
    for (row, column) in set {
        for j in row.saturating_sub(1)..(row + 2).min(ny) {
            for i in column.saturating_sub(1)..(column + 2).min(nx) {
                mask[[j, i]] |= bit;
            }
        }
    }
}

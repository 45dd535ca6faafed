//! Takes an exposure of a truth catalog.

use crate::camera::VariancePlane;
use crate::defects::{Defects, dilate};
use crate::noise::normal;
use crate::render::{Renderer, TruthObject};
use crate::{CameraConfig, ExposurePlan, SimError};
use fathom::catalog::Table;
use fathom::image::{Exposure, MaskPlane};
use fathom::random::keyed_rng;
use ndarray::{Array2, Axis, Zip};
use rayon::prelude::*;

/// Takes one exposure: objects, sky, Poisson and read noise, defects, cosmic rays, saturation.
///
/// Noise is keyed by `seed`, `arm`, the exposure's id and the row; defects and cosmic rays by `seed` and id only. The sky stays
/// in the image. The variance plane is (counts + read noise²) / gain² with the observed counts (or the expected ones, if the
/// camera says so). Values of `BAD` pixels are garbage.
///
/// # Errors
/// [`SimError::Config`] for a setting out of range, [`SimError::Truth`] or [`SimError::Object`] for a catalog that cannot be drawn.
pub fn simulate(plan: &ExposurePlan, camera: &CameraConfig, truth: &Table, seed: u64, arm: u64) -> Result<Exposure, SimError> {
    camera.check()?;
    let objects = TruthObject::of_table(truth, &plan.meta.band)?;
    let meta = &plan.meta;
    // The noise needs the expectation in electrons; the counts are made from them afterwards.
    let mut electrons = Array2::<f64>::zeros(meta.shape);
    Renderer::new(meta).add_all(&objects, meta.electrons_per_njy(), &meta.bbox(), electrons.view_mut());

    let defects = Defects::of(meta, camera, seed);
    let (gain, read_variance_e2) = (meta.gain_e_per_adu, meta.read_noise_e.powi(2));
    let mut variance = Array2::<f32>::zeros(meta.shape);
    let what = format!("pixel-noise/{arm}/{}", meta.id);
    electrons
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(variance.axis_iter_mut(Axis(0)))
        .zip(defects.charge_e.axis_iter(Axis(0)))
        .enumerate()
        .for_each(|(y, ((row, variances), charges))| {
            let mut rng = keyed_rng(seed, &what, 0, y as u64);
            for (x, ((value, v), charge)) in row.into_iter().zip(variances).zip(charges).enumerate() {
                let mean_e = *value + plan.sky_e_at(x as f64, y as f64);
                *value = camera.noise.draw(mean_e, &mut rng) + meta.read_noise_e * normal(&mut rng) + charge;
                let counts_e = match camera.variance {
                    VariancePlane::Observed => *value,
                    VariancePlane::Expected => mean_e + charge,
                };
                // Without read noise an empty pixel would claim to be known exactly: at least one electron.
                *v = ((counts_e.max(0.0) + read_variance_e2).max(1.0) / (gain * gain)) as f32;
            }
        });

    let mut mask = Array2::<u32>::zeros(meta.shape);
    Zip::from(&mut mask).and(&mut electrons).for_each(|m, e| {
        if *e >= camera.saturation_e {
            *e = camera.saturation_e;
            *m |= MaskPlane::Sat.bit();
        }
    });
    dilate(&mut mask, MaskPlane::Sat.bit());
    Zip::from(&mut mask).and(&mut electrons).and(&defects.mask).and(&defects.garbage_e).for_each(|m, e, &defect, &garbage| {
        *m |= defect;
        if defect & MaskPlane::Bad.bit() != 0 {
            *e = garbage;
        }
    });
    let image = electrons.mapv(|e| (e / gain) as f32);
    Ok(Exposure::new(meta.clone(), image, variance, mask)?)
}

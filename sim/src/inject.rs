//! Adds objects to a real exposure.

use crate::camera::NoiseLaw;
use crate::error::check;
use crate::object::TruthObject;
use crate::render::{Renderer, counts_of};
use crate::{SimError, StampLibrary};
use fathom::catalog::Table;
use fathom::geometry::Box2;
use fathom::image::{Exposure, MaskPlane};
use fathom::random::keyed_rng;
use ndarray::{Array2, Zip};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of an injection: section `[expose.injection]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectionConfig {
    /// Draw the injected photons; else their expectation is added.
    pub noise: bool,
    /// Pixels whose injected light is at least this many times their own noise become `INJECTED`.
    pub mask_sigma: f64,
}

impl Default for InjectionConfig {
    fn default() -> Self {
        Self { noise: true, mask_sigma: 0.1 }
    }
}

impl InjectionConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting, its value and its range.
    pub fn check(&self) -> Result<(), SimError> {
        check("expose.injection", "mask_sigma", (0.0..=1e6).contains(&self.mask_sigma), self.mask_sigma, "0..=1e6 sigma")
    }
}

/// One object on the pixels of one exposure.
struct Drawn {
    bbox: Box2,
    /// Expectation \[electrons\].
    mean_e: Array2<f64>,
    /// What is added \[electrons\].
    drawn_e: Array2<f64>,
}

/// Adds the objects of a truth catalog to a real exposure, with their own Poisson noise (pixels and variance plane).
///
/// The noise is keyed by `seed`, `arm`, the exposure's id and the object's id: another cut-out of the exposure gets the same
/// pixels. The variance plane rises by the drawn counts (observed, as that of a real exposure). Pixels that are masked as unusable
/// or are no numbers stay as they are; a pixel that light lifts to the saturation level stays there and becomes `SAT`; pixels with a
/// noticeable share of injected light become `INJECTED`.
///
/// # Errors
/// [`SimError::Truth`] or [`SimError::Object`] for a catalog that cannot be drawn.
pub fn inject(
    exposure: &mut Exposure,
    truth: &Table,
    config: &InjectionConfig,
    stamps: &StampLibrary,
    seed: u64,
    arm: u64,
) -> Result<(), SimError> {
    config.check()?;
    let objects = TruthObject::of_table_with(truth, &exposure.meta.band, exposure.meta.mjd, stamps)?;
    let (meta, bbox) = (&exposure.meta, exposure.bbox);
    let renderer = Renderer::new(meta);
    let near: Vec<_> = objects.iter().filter(|o| renderer.may_touch(o, &bbox)).collect();
    let what = format!("injection-noise/{arm}/{}", meta.id);
    let (gain, saturation_adu) = (meta.gain_e_per_adu, meta.saturation_adu as f32);
    // Few stamps in memory at a time; added in the order of the ids.
    for chunk in near.chunks(64) {
        let drawn: Vec<Drawn> = chunk
            .par_iter()
            .filter_map(|object| {
                let (stamp_box, stamp) = renderer.render(object)?;
                if stamp_box.intersect(&bbox).is_empty() {
                    return None;
                }
                let mean_e = counts_of(meta, &stamp_box, stamp) * gain;
                let mut rng = keyed_rng(seed, &what, object.id as u64, 0);
                // The whole stamp is drawn, also what lies outside: the draws must not depend on the cut-out.
                let drawn_e = if config.noise { mean_e.mapv(|e| NoiseLaw::Poisson.draw(e, &mut rng)) } else { mean_e.clone() };
                Some(Drawn { bbox: stamp_box, mean_e, drawn_e })
            })
            .collect();
        for d in drawn {
            let part = d.bbox.intersect(&bbox);
            let (here, there) = (bbox.slice_of(&part), d.bbox.slice_of(&part));
            Zip::from(exposure.image.slice_mut(here))
                .and(exposure.variance.slice_mut(bbox.slice_of(&part)))
                .and(exposure.mask.slice_mut(bbox.slice_of(&part)))
                .and(d.mean_e.slice(there))
                .and(d.drawn_e.slice(d.bbox.slice_of(&part)))
                .for_each(|z, v, m, &mean_e, &e| {
                    // What the chain will mask stays what it is, or light would make a good pixel of it.
                    let is_usable = *m & MaskPlane::UNUSABLE == 0 && z.is_finite() && *v > 0.0 && v.is_finite();
                    if !is_usable {
                        return;
                    }
                    if mean_e >= config.mask_sigma * gain * f64::from(*v).sqrt() {
                        *m |= MaskPlane::Injected.bit();
                    }
                    let was_saturated = *z >= saturation_adu;
                    *z += (e / gain) as f32;
                    *v += (e.max(0.0) / (gain * gain)) as f32;
                    if *z >= saturation_adu && !was_saturated {
                        *z = saturation_adu;
                        *m |= MaskPlane::Sat.bit();
                    }
                });
        }
    }
    Ok(())
}

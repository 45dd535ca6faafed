//! Adds objects to a real exposure.

use crate::SimError;
use crate::camera::NoiseLaw;
use crate::object::TruthObject;
use crate::render::Renderer;
use fathom::catalog::Table;
use fathom::image::Exposure;
use fathom::random::keyed_rng;
use rayon::prelude::*;

/// Adds the objects of a truth catalog to a real exposure, with their own Poisson noise (pixels and variance plane).
///
/// The noise is keyed by `seed`, `arm`, the exposure's id and the object's id: another cut-out of the exposure gets the same
/// pixels. The variance plane rises by the drawn counts (observed, as that of a real exposure). The mask stays as it is: masked
/// pixels stay masked, and no pixel is made to saturate.
///
/// # Errors
/// [`SimError::Truth`] or [`SimError::Object`] for a catalog that cannot be drawn.
pub fn inject(exposure: &mut Exposure, truth: &Table, seed: u64, arm: u64) -> Result<(), SimError> {
    let objects = TruthObject::of_table(truth, &exposure.meta.band, exposure.meta.mjd)?;
    let (meta, bbox) = (&exposure.meta, exposure.bbox);
    let renderer = Renderer::new(meta);
    let near: Vec<_> = objects.iter().filter(|o| renderer.may_touch(o, &bbox)).collect();
    let what = format!("injection-noise/{arm}/{}", meta.id);
    let gain = meta.gain_e_per_adu;
    // Few stamps in memory at a time; added in the order of the ids.
    for chunk in near.chunks(64) {
        let drawn: Vec<_> = chunk
            .par_iter()
            .filter_map(|object| {
                let (stamp_box, mut stamp) = renderer.render(object)?;
                if stamp_box.intersect(&bbox).is_empty() {
                    return None;
                }
                let at = meta.wcs.sky_to_pixel(object.position).ok()?;
                let electrons_per_njy = gain / meta.photo_calib.at(at);
                let mut rng = keyed_rng(seed, &what, object.id as u64, 0);
                // The whole stamp is drawn, also what lies outside: the draws must not depend on the cut-out.
                stamp.mapv_inplace(|njy| NoiseLaw::Poisson.draw(njy * electrons_per_njy, &mut rng));
                Some((stamp_box, stamp))
            })
            .collect();
        for (stamp_box, electrons) in drawn {
            let part = stamp_box.intersect(&bbox);
            let mut image = exposure.image.slice_mut(bbox.slice_of(&part));
            let mut variance = exposure.variance.slice_mut(bbox.slice_of(&part));
            let electrons = electrons.slice(stamp_box.slice_of(&part)).to_owned();
            ndarray::Zip::from(&mut image).and(&mut variance).and(&electrons).for_each(|z, v, &e| {
                *z += (e / gain) as f32;
                *v += (e.max(0.0) / (gain * gain)) as f32;
            });
        }
    }
    Ok(())
}

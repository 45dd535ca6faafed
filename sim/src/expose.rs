//! Takes an exposure of a truth catalog.

use crate::camera::VariancePlane;
use crate::detector::{Defects, Trail, bleed, dilate};
use crate::noise::normal;
use crate::object::TruthObject;
use crate::render::Renderer;
use crate::{CameraConfig, ExposurePlan, SimError, StampLibrary};
use fathom::catalog::Table;
use fathom::geometry::Box2;
use fathom::image::{Exposure, MaskPlane};
use fathom::random::keyed_rng;
use ndarray::{Array2, Axis, Zip};
use rayon::prelude::*;

/// Takes one exposure: objects, sky, Poisson and read noise, defects, cosmic rays, satellites, saturation.
///
/// Noise is keyed by `seed`, `arm`, the exposure's id and the row; defects and cosmic rays by `seed` and id only, satellites by the
/// visit. The sky stays in the image ([`ExposurePlan::background`]). The variance plane is (counts + read noise²) / gain² with the
/// observed counts (or the expected ones, if the camera says so), gain and read noise of each amplifier. Values of `BAD` pixels are
/// garbage. `stamps`: the real galaxies that `morphology` may name. Objects are drawn with the plan's true calibrations; the exposure carries the given ones.
///
/// # Errors
/// [`SimError::Config`] for a setting out of range, [`SimError::Truth`] or [`SimError::Object`] for a catalog that cannot be drawn.
pub fn simulate(
    plan: &ExposurePlan,
    camera: &CameraConfig,
    truth: &Table,
    stamps: &StampLibrary,
    seed: u64,
    arm: u64,
) -> Result<Exposure, SimError> {
    camera.check()?;
    let objects = TruthObject::of_table_with(truth, &plan.meta.band, plan.meta.mjd, stamps)?;
    let meta = &plan.meta;
    // The noise needs the expectation in electrons (at the mean gain); the counts are made from them afterwards.
    let mut electrons = Array2::<f64>::zeros(meta.shape);
    Renderer::new(meta).add_all(&objects, meta.electrons_per_njy(), &meta.bbox(), electrons.view_mut());
    if let Some(relative) = &meta.photo_calib.relative {
        // Vignetting works on pixels, not on objects: the wings of a star lose what their pixels lose.
        electrons.zip_mut_with(&relative.image(&meta.bbox(), 1.0), |e, r| *e /= f64::from(*r));
    }
    let trails = Trail::of(plan, camera, seed);
    let defects = Defects::of(meta, camera, seed);
    let mean_gain = meta.gain_e_per_adu;
    let mut variance = Array2::<f32>::zeros(meta.shape);
    let what = format!("pixel-noise/{arm}/{}", meta.id);
    electrons
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(variance.axis_iter_mut(Axis(0)))
        .zip(defects.charge_e.axis_iter(Axis(0)))
        .enumerate()
        .for_each(|(y, ((mut row, variances), charges))| {
            trails.iter().for_each(|trail| trail.add_to_row(y, row.view_mut()));
            // Row by row: a plane of it would be as large as the exposure.
            let background = plan.background.image(&Box2::new(0, y as i32, meta.shape.1 as i32, 1));
            let mut rng = keyed_rng(seed, &what, 0, y as u64);
            for (x, (((value, v), charge), sky_adu)) in row.into_iter().zip(variances).zip(charges).zip(&background).enumerate() {
                let amplifier = plan.amplifiers.at(x, y);
                let gain = amplifier.gain_e_per_adu;
                // The same counts in every amplifier; the electrons behind them are the amplifier's.
                let mean_e = *value * (gain / mean_gain) + sky_adu * gain;
                *value = camera.noise.draw(mean_e, &mut rng) + amplifier.read_noise_e * normal(&mut rng) + charge;
                let counts_e = match camera.variance {
                    VariancePlane::Observed => *value,
                    VariancePlane::Expected => mean_e + charge,
                };
                // Without read noise an empty pixel would claim to be known exactly: at least one electron.
                *v = ((counts_e.max(0.0) + amplifier.read_noise_e.powi(2)).max(1.0) / (gain * gain)) as f32;
            }
        });

    let mut mask = Array2::<u32>::zeros(meta.shape);
    // The same count saturates in every amplifier.
    let full_well_e = |x: usize, y: usize| camera.saturation_e * (plan.amplifiers.at(x, y).gain_e_per_adu / mean_gain);
    if camera.detector.bleed {
        bleed(&mut electrons, full_well_e, &mut mask);
    } else {
        Zip::indexed(&mut mask).and(&mut electrons).for_each(|(y, x), m, e| {
            let full_e = full_well_e(x, y);
            if *e >= full_e {
                *e = full_e;
                *m |= MaskPlane::Sat.bit();
            }
        });
    }
    dilate(&mut mask, MaskPlane::Sat.bit());
    if camera.detector.satellites_flagged {
        let noise_e = (plan.sky_e + meta.read_noise_e.powi(2)).sqrt();
        trails.iter().for_each(|trail| trail.flag(noise_e, mask.view_mut()));
    }
    Zip::from(&mut mask).and(&mut electrons).and(&defects.mask).and(&defects.garbage_e).for_each(|m, e, &defect, &garbage| {
        *m |= defect;
        if defect & MaskPlane::Bad.bit() != 0 {
            *e = garbage;
        }
    });
    let image = Array2::from_shape_fn(meta.shape, |(y, x)| (electrons[[y, x]] / plan.amplifiers.at(x, y).gain_e_per_adu) as f32);
    Ok(Exposure::new(plan.given_meta().clone(), image, variance, mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExposureDepth, FieldConfig, InjectionConfig, NoiseLaw, inject, make_truth, plan_exposures, render_object};
    use fathom::catalog::ColumnData;
    use fathom::geometry::{SkyMapConfig, Tract};

    fn small_camera() -> CameraConfig {
        CameraConfig { n_exposures: 1, size_px: [240, 200], dither_arcsec: 1.0, ..CameraConfig::default() }
    }

    fn clean_camera() -> CameraConfig {
        CameraConfig { n_bad_columns: 0, hot_pixel_fraction: 0.0, cosmic_rays: 0.0, background_gradient: 0.0, ..small_camera() }
    }

    fn tract() -> Tract {
        Tract::new(&SkyMapConfig { tract_cells: [3, 3], patches: [1, 1], ..SkyMapConfig::default() }).unwrap()
    }

    fn plan(camera: &CameraConfig) -> ExposurePlan {
        plan_exposures(camera, tract().center(), &["r".into()], 11).unwrap().remove(0)
    }

    fn truth(field: &str, plan: &ExposurePlan) -> Table {
        let config = FieldConfig { field: field.into(), ..FieldConfig::default() };
        make_truth(&config, &tract(), &["r".into()], &[ExposureDepth::new(plan).unwrap()], 11, 0).unwrap()
    }

    /// (z - expectation)² / variance of n pixels: mean 1, scatter √(2/n) (Gaussian; sky counts of hundreds are near enough).
    #[test]
    fn pixels_scatter_as_the_variance_plane_says() {
        for (noise, variance) in [(NoiseLaw::Poisson, VariancePlane::Observed), (NoiseLaw::Gaussian, VariancePlane::Expected)] {
            let camera = CameraConfig { noise, variance, ..clean_camera() };
            let plan = plan(&camera);
            let truth = truth("grid", &plan);
            let exposure = simulate(&plan, &camera, &truth, &StampLibrary::default(), 11, 0).unwrap();
            assert!(exposure.mask.iter().all(|m| *m == 0));
            let mut model = Array2::<f64>::from_elem(plan.meta.shape, plan.meta.known_sky_adu.unwrap());
            for object in TruthObject::of_table(&truth, "r", plan.meta.mjd).unwrap() {
                let (stamp_box, stamp) = render_object(&plan.meta, &object).unwrap().unwrap();
                let part = stamp_box.intersect(&plan.meta.bbox());
                let adu_per_njy = 1.0 / plan.meta.photo_calib.mean_njy_per_adu;
                model.slice_mut(plan.meta.bbox().slice_of(&part)).scaled_add(adu_per_njy, &stamp.slice(stamp_box.slice_of(&part)));
            }
            let gain = plan.meta.gain_e_per_adu;
            let n = model.len() as f64;
            let (mut sum, mut sum_sq) = (0.0, 0.0);
            for ((z, v), m) in exposure.image.iter().zip(&exposure.variance).zip(&model) {
                let expected_variance = (m * gain + plan.meta.read_noise_e.powi(2)) / (gain * gain);
                let pull = (f64::from(*z) - m) / expected_variance.sqrt();
                sum += pull;
                sum_sq += pull * pull;
                let observed = if variance == VariancePlane::Observed { f64::from(*z) } else { *m };
                let plane = (observed * gain + plan.meta.read_noise_e.powi(2)) / (gain * gain);
                assert!((f64::from(*v) / plane - 1.0).abs() < 1e-4);
            }
            assert!((sum / n).abs() < 4.0 / n.sqrt(), "{noise:?}: mean pull {}", sum / n);
            assert!((sum_sq / n - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{noise:?}: chi-square {}", sum_sq / n);
        }
    }

    #[test]
    fn pixels_depend_on_seed_and_arm_but_not_on_the_order_of_the_catalog() {
        let camera = small_camera();
        let plan = plan(&camera);
        let truth = truth("survey", &plan);
        let reversed = truth.take(&(0..truth.n_rows()).rev().collect::<Vec<_>>());
        let take = |truth: &Table, seed, arm| simulate(&plan, &camera, truth, &StampLibrary::default(), seed, arm).unwrap();
        let reference = take(&truth, 11, 0);
        let again = take(&reversed, 11, 0);
        assert_eq!((&reference.image, &reference.variance, &reference.mask), (&again.image, &again.variance, &again.mask));
        assert_ne!(reference.image, take(&truth, 12, 0).image);
        let other_arm = take(&truth, 11, 1);
        assert_ne!(reference.image, other_arm.image);
        let defects = MaskPlane::Bad.bit() | MaskPlane::Cr.bit();
        assert_eq!(reference.mask.mapv(|m| m & defects), other_arm.mask.mapv(|m| m & defects));
    }

    /// Every pixel that is off by more than noise allows is flagged.
    #[test]
    fn defects_and_saturation_are_flagged() {
        let camera = CameraConfig { cosmic_rays: 60.0, ..small_camera() };
        let plan = plan(&camera);
        let mut truth = truth("grid", &plan).take(&[7]);
        truth = with_flux(&truth, crate::Depth::of_band(&[ExposureDepth::new(&plan).unwrap()], "r").saturation_njy() * 5.0);
        let exposure = simulate(&plan, &camera, &truth, &StampLibrary::default(), 11, 0).unwrap();
        let empty = truth.take(&[]);
        let clean = simulate(
            &plan,
            &CameraConfig { cosmic_rays: 0.0, hot_pixel_fraction: 0.0, n_bad_columns: 0, ..camera.clone() },
            &empty,
            &StampLibrary::default(),
            11,
            0,
        )
        .unwrap();
        let n = |plane: MaskPlane| exposure.mask.iter().filter(|m| *m & plane.bit() != 0).count();
        assert!(
            n(MaskPlane::Sat) >= 9 && n(MaskPlane::Cr) > 300 && n(MaskPlane::Bad) >= 200,
            "{} {} {}",
            n(MaskPlane::Sat),
            n(MaskPlane::Cr),
            n(MaskPlane::Bad)
        );
        assert!(clean.mask.iter().all(|m| *m == 0));
        let star = &TruthObject::of_table(&truth, "r", plan.meta.mjd).unwrap()[0];
        let (near, _) = render_object(&plan.meta, star).unwrap().unwrap();
        // Both have their own noise: an object shifts the draws of its rows. 7 standard deviations of the difference.
        let limit_adu = 7.0 * (2.0 * f64::from(clean.variance.mean().unwrap())).sqrt();
        for ((y, x), z) in exposure.image.indexed_iter() {
            let is_free = exposure.mask[[y, x]] & MaskPlane::UNUSABLE == 0 && !near.contains(x as i32, y as i32);
            assert!(!is_free || f64::from((z - clean.image[[y, x]]).abs()) < limit_adu, "({x}, {y})");
        }
    }

    fn with_flux(truth: &Table, flux_njy: f64) -> Table {
        let mut out = Table::new();
        for c in truth.columns() {
            let data = if c.name == "r_flux" { ColumnData::F64(vec![flux_njy; truth.n_rows()]) } else { c.data.clone() };
            out.push(&c.name, &c.unit, &c.description, data).unwrap();
        }
        out
    }

    /// Injected light has the mean and the noise of its own photons, raises the variance by the drawn counts, leaves masked pixels,
    /// and does not depend on the cut-out.
    #[test]
    fn injection_adds_light_noise_and_variance() {
        let camera = small_camera();
        let plan = plan(&camera);
        let before = simulate(&plan, &camera, &truth("empty", &plan), &StampLibrary::default(), 11, 0).unwrap();
        let truth = with_flux(&truth("grid", &plan), 40_000.0);
        let mut after = before.clone();
        inject(&mut after, &truth, &InjectionConfig::default(), &StampLibrary::default(), 11, 0).unwrap();
        let without_plane = after.mask.mapv(|m| m & !MaskPlane::Injected.bit());
        assert!(before.mask == without_plane && after.mask != without_plane);
        let gain = plan.meta.gain_e_per_adu;
        let mut expected_e = 0.0;
        for object in TruthObject::of_table(&truth, "r", plan.meta.mjd).unwrap() {
            let (stamp_box, stamp) = render_object(&plan.meta, &object).unwrap().unwrap();
            let part = stamp_box.intersect(&plan.meta.bbox());
            let is_usable = before.mask.slice(before.bbox.slice_of(&part)).mapv(|m| f64::from(u8::from(m & MaskPlane::UNUSABLE == 0)));
            expected_e += (&stamp.slice(stamp_box.slice_of(&part)) * &is_usable).sum() * plan.meta.electrons_per_njy();
        }
        let added_e: f64 = (&after.image - &before.image).iter().map(|v| f64::from(*v) * gain).sum();
        assert!((added_e - expected_e).abs() < 4.0 * expected_e.sqrt(), "{added_e} against {expected_e}");
        let added_variance: f64 = (&after.variance - &before.variance).iter().map(|v| f64::from(*v)).sum();
        assert!((added_variance * gain * gain / added_e - 1.0).abs() < 1e-3);

        let part = Box2::new(70, 60, 90, 80);
        let cut = |e: &Exposure| {
            let s = e.bbox.slice_of(&part);
            Exposure {
                bbox: part,
                image: e.image.slice(s).to_owned(),
                variance: e.variance.slice(s).to_owned(),
                mask: e.mask.slice(s).to_owned(),
                ..e.clone()
            }
        };
        let mut cut_out = cut(&before);
        inject(&mut cut_out, &truth, &InjectionConfig::default(), &StampLibrary::default(), 11, 0).unwrap();
        assert_eq!(cut_out.image, cut(&after).image);
        let mut other_arm = before.clone();
        inject(&mut other_arm, &truth, &InjectionConfig::default(), &StampLibrary::default(), 11, 1).unwrap();
        assert_ne!(other_arm.image, after.image);
    }
}

//! The PSF-matched coadd on drawn point sources and drawn noise, against closed forms.

use super::*;
use crate::background::{BackgroundVariance, ExposureBackground, VisitProduct};
use crate::catalog::Table;
use crate::coadd::CoaddConfig;
use crate::geometry::{Box2, PixelPoint, SkyMapConfig, SkyPoint, Tract, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{ApCorrMap, Chebyshev2, Exposure, ExposureId, ExposureMeta, MaskPlane, PhotoCalib, PixelCounts, Psf};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};

const CALIB: f64 = 2.5;
const SIGMA_ADU: f64 = 4.0;
const SIDE: usize = 420;

fn tract(cell_px: u32, n: u32) -> Tract {
    Tract::new(&SkyMapConfig { cell_px, tract_cells: [n, n], patches: [1, 1], ..SkyMapConfig::default() }).unwrap()
}

fn moffat(fwhm_px: f64, e1: f64) -> PsfModel {
    PsfModel::Moffat { fwhm_px, beta: 3.5, e1, e2: -0.02, radius_px: (6.0 * fwhm_px).ceil() as usize, pixel_integrated: false }
}

fn exposure(name: &str, psf: PsfModel, angle: f64, offset_px: f64) -> Exposure {
    let s = 0.2 / 3600.0;
    let (sin, cos) = f64::sin_cos(angle);
    let middle = (SIDE as f64 - 1.0) / 2.0;
    let wcs = Wcs::tan(
        SkyPoint::from_degrees(150.1, 2.2),
        PixelPoint::new(middle + offset_px, middle - 0.37 * offset_px),
        [[-s * cos, s * sin], [s * sin, s * cos]],
    )
    .unwrap();
    let meta = ExposureMeta {
        id: ExposureId(name.into()),
        band: "r".into(),
        mjd: 60000.0,
        exposure_time_s: 30.0,
        shape: (SIDE, SIDE),
        psf: Psf::new(psf).unwrap(),
        wcs,
        photo_calib: PhotoCalib::uniform(CALIB),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.5,
        read_noise_e: 3.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    let v = (SIGMA_ADU * SIGMA_ADU) as f32;
    Exposure::new(meta, Array2::zeros((SIDE, SIDE)), Array2::from_elem((SIDE, SIDE), v), Array2::zeros((SIDE, SIDE))).unwrap()
}

fn visit(e: &Exposure) -> VisitProduct {
    VisitProduct {
        id: e.meta.id.clone(),
        background: ExposureBackground::constant(e.bbox, 0.0),
        background_variance: BackgroundVariance { model_adu2: Chebyshev2::constant(e.bbox, SIGMA_ADU * SIGMA_ADU) },
        ap_corr: ApCorrMap::default(),
        stars: Table::new(),
        counts: PixelCounts::default(),
    }
}

fn add_star(e: &mut Exposure, tract: &Tract, at: PixelPoint, flux_njy: f64) {
    let p = e.meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(at)).unwrap();
    let (px, py) = p.pixel();
    let stamp = e.meta.psf.stamp(p, p.x - f64::from(px), p.y - f64::from(py));
    let r = e.meta.psf.radius_px() as i32;
    for ((j, i), v) in stamp.indexed_iter() {
        if let Some(k) = e.bbox.index(px - r + i as i32, py - r + j as i32) {
            e.image[k] += (flux_njy / CALIB * v) as f32;
        }
    }
}

fn add_noise(e: &mut Exposure, seed: u64) {
    let normal = Normal::new(0.0, SIGMA_ADU).unwrap();
    let mut rng = keyed_rng(5, "psf-matched-test", seed, 0);
    e.image.mapv_inplace(|z| z + normal.sample(&mut rng) as f32);
}

fn coadd_on(exposures: &[Exposure], tract: &Tract, bbox: &Box2, config: PsfMatchedConfig) -> PsfMatchedCoadd {
    let stage = MakePsfMatched::new(config).unwrap();
    let inputs: Vec<_> = exposures.iter().map(|e| (e.meta.clone(), visit(e))).collect();
    let band = stage.start(tract, &CoaddConfig::default(), "r", &inputs, bbox).unwrap();
    let mut scratch = band.scratch();
    let mut of_block = |tiles: &Vec<Box2>| {
        band.block(tiles, &mut scratch, |i, needed| {
            let whole = &exposures[band.index(i)];
            let at = whole.bbox.slice_of(needed);
            let cut = |plane: &Array2<f32>| plane.slice(at).to_owned();
            let mut part = Exposure {
                bbox: *needed,
                image: cut(&whole.image),
                variance: cut(&whole.variance),
                mask: whole.mask.slice(at).to_owned(),
                meta: whole.meta.clone(),
            };
            part.sanitize();
            Ok::<_, std::convert::Infallible>(part)
        })
        .unwrap()
    };
    let tiles: Vec<TileCoadd> = band.blocks(bbox).iter().flat_map(&mut of_block).collect();
    band.assemble(bbox, tiles)
}

fn config() -> PsfMatchedConfig {
    PsfMatchedConfig { make: true, target_fraction: 1.0, check_every_cells: 1, ..PsfMatchedConfig::default() }
}

/// Core flux, size, ellipticity of a stamp around a star against the target's, by sums over pixels that are put at the star's position.
fn star_residual(coadd: &PsfMatchedCoadd, star: PixelPoint, flux_njy: f64) -> PsfResidual {
    let (cx, cy) = star.pixel();
    let sigma = coadd.target_fwhm_px / 2.354_82;
    let r = (4.0 * sigma).ceil() as i32;
    let mut found = [0.0; 5];
    let mut expected = [0.0; 5];
    for y in cy - r..=cy + r {
        for x in cx - r..=cx + r {
            let (dx, dy) = (f64::from(x) - star.x, f64::from(y) - star.y);
            let target = (-0.5 * (dx * dx + dy * dy) / (sigma * sigma)).exp() / (std::f64::consts::TAU * sigma * sigma);
            let image = f64::from(coadd.image_njy[coadd.bbox.index(x, y).unwrap()]) / flux_njy;
            let core = if dx.hypot(dy) <= 0.5 * coadd.target_fwhm_px { 1.0 } else { 0.0 };
            for (k, g) in [core, target, target * dx * dx, target * dy * dy, target * dx * dy].into_iter().enumerate() {
                found[k] += g * image;
                expected[k] += g * target;
            }
        }
    }
    let size = |s: &[f64; 5]| ((s[2] + s[3]) / s[1]).sqrt();
    PsfResidual {
        core_flux: found[0] / expected[0] - 1.0,
        size: size(&found) / size(&expected) - 1.0,
        e1: (found[2] - found[3]) / (found[2] + found[3]) - (expected[2] - expected[3]) / (expected[2] + expected[3]),
        e2: 2.0 * found[4] / (found[2] + found[3]) - 2.0 * expected[4] / (expected[2] + expected[3]),
    }
}

/// 225 noiseless stars at all sub-pixel phases on stacks of three exposures, FWHM 2.5 to 5 px: core flux, size and ellipticity are those of
/// the target to 1e-3 in the mean and 5e-3 each, across detector edges too; and the product says so itself.
#[test]
fn stars_have_the_target_psf() {
    let t = tract(64, 6);
    for fwhms in [[2.5, 2.5, 2.6], [2.5, 3.4, 5.0], [3.5, 3.9, 4.2]] {
        let mut all: Vec<Exposure> = fwhms
            .iter()
            .enumerate()
            .map(|(k, &fwhm)| {
                // The second ends in the middle of the tract.
                let offset_px = [0.4, 190.3, 7.0][k];
                let k = k as f64;
                exposure(&format!("e{k}"), moffat(fwhm, 0.05 * (k - 1.0)), 0.15 * k, offset_px)
            })
            .collect();
        let stars: Vec<PixelPoint> = (0..225)
            .map(|k| {
                let at = |i: i32, phase: f64| 24.0 + 24.0 * f64::from(i) + phase.fract() - 0.5;
                PixelPoint::new(at(k % 15, 0.618 * f64::from(k)), at(k / 15, 0.7548 * f64::from(k)))
            })
            .collect();
        for e in &mut all {
            // Sparse enough that the wings of neighbours, 24 px away, matter to no core.
            stars.iter().for_each(|s| add_star(e, &t, *s, 1e4));
        }
        let coadd = coadd_on(&all, &t, &t.bbox(), config());
        assert!(coadd.inputs.iter().all(|i| i.left_out.is_empty()), "{:?}", coadd.inputs);
        let residuals: Vec<PsfResidual> = stars.iter().map(|s| star_residual(&coadd, *s, 1e4)).collect();
        type Get = fn(&PsfResidual) -> f64;
        for (name, get) in [("core", (|r| r.core_flux) as Get), ("size", |r| r.size), ("e1", |r| r.e1), ("e2", |r| r.e2)] {
            let values: Vec<f64> = residuals.iter().map(get).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let worst = values.iter().fold(0.0f64, |w, v| w.max(v.abs()));
            println!("{fwhms:?} {name}: mean {mean:.1e}, worst {worst:.1e}");
            assert!(mean.abs() < 1e-3 && worst < 5e-3, "{fwhms:?} {name}: mean {mean:.1e}, worst {worst:.1e}");
        }
        println!("{:?}", coadd.psf_summary());
        assert!(coadd.checks.len() == 36 && coadd.psf_summary().iter().all(|(mean, worst)| mean.abs() < 1e-3 && *worst < 5e-3));
    }
}

/// Blank sky: pixels scatter by the variance plane, PSF-weighted sums by the covariance, for every way to stack, where three exposures
/// overlap and where one is. The mean over n independent sums knows the variance to √(2/n).
#[test]
fn blank_sky_scatters_as_predicted() {
    let t = tract(64, 4);
    for stack in [StackMethod::Mean, StackMethod::ClippedMean, StackMethod::Median] {
        let mut sums: [(f64, f64, usize); 2] = [(0.0, 0.0, 0); 2];
        let mut pixels = (0.0, 0.0);
        for seed in 0..12 {
            let mut all: Vec<Exposure> = (0..3)
                .map(|k| exposure(&format!("e{k}"), moffat(2.8 + 0.5 * f64::from(k), 0.0), 0.2 * f64::from(k), 0.4 + 3.3 * f64::from(k)))
                .collect();
            all.iter_mut().enumerate().for_each(|(k, e)| add_noise(e, seed * 10 + k as u64));
            // The right half of two exposures is bad: one is left there.
            for e in &mut all[1..] {
                let half = SIDE as i32 / 2;
                let is_left = |i: usize| (i as i32) < half;
                e.mask.indexed_iter_mut().filter(|((_, i), _)| !is_left(*i)).for_each(|(_, m)| *m = MaskPlane::Bad.bit());
            }
            let c = coadd_on(&all, &t, &t.bbox(), PsfMatchedConfig { stack, ..config() });
            let psf = crate::coadd::gaussian_psf(c.target_fwhm_px, (1.5 * c.target_fwhm_px).ceil() as usize);
            let r = psf.nrows() as i32 / 2;
            for (k, cell) in t.cells_in(&t.bbox()).iter().enumerate() {
                // Cells on the border between one and three are neither.
                let whole = c.n_exposures.slice(c.bbox.slice_of(&cell.bbox));
                let Some(group) = [3, 1].iter().position(|n| whole.iter().filter(|e| *e == n).count() > 4085) else { continue };
                let predicted = crate::measure::variance_of_filter(&psf, c.covariance.covariance_njy2.index_axis(ndarray::Axis(0), k));
                for (dy, dx) in [(16, 16), (16, 48), (48, 16), (48, 48)] {
                    let at = c.bbox.slice_of(&Box2::new(cell.bbox.x0 + dx - r, cell.bbox.y0 + dy - r, 2 * r + 1, 2 * r + 1));
                    let sum: f64 = c.image_njy.slice(at).iter().zip(&psf).map(|(z, p)| f64::from(*z) * p).sum();
                    sums[group].0 += sum * sum;
                    sums[group].1 += predicted;
                    sums[group].2 += 1;
                }
                let z = c.image_njy.slice(c.bbox.slice_of(&cell.bbox));
                pixels.0 += z.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>();
                pixels.1 += c.variance_njy2.slice(c.bbox.slice_of(&cell.bbox)).iter().map(|v| f64::from(*v)).sum::<f64>();
                let h = c.covariance.half_width;
                let plane = c.variance_njy2.slice(c.bbox.slice_of(&cell.bbox)).iter().map(|v| f64::from(*v)).sum::<f64>() / 4096.0;
                let at_0 = c.covariance.covariance_njy2[[k, h, h]];
                assert!((plane / at_0 - 1.0).abs() < 0.01, "{stack:?}: variance {plane}, covariance at lag 0 {at_0}");
            }
            assert!(c.covariance_lost < 2e-3, "{}", c.covariance_lost);
        }
        for (found, predicted, n) in sums {
            let ratio = found / predicted;
            println!("{stack:?}: {n} sums scatter by {ratio:.3} of the prediction");
            assert!(n > 150 && (ratio - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt(), "{stack:?}: {ratio} of {n}");
        }
        let ratio = pixels.0 / pixels.1;
        println!("{stack:?}: pixels {ratio:.3}");
        assert!((ratio - 1.0).abs() < 0.06, "{stack:?}: pixels scatter by {ratio}");
    }
}

/// Patches are bookkeeping: a corner of the tract made alone has the same bits, where a tile is cut by the patch, too.
#[test]
fn a_part_of_the_tract_has_the_same_bits() {
    for (cell_px, n, part) in [(64, 6, Box2::new(64, 128, 128, 64)), (300, 1, Box2::new(0, 0, 300, 300))] {
        let t = tract(cell_px, n);
        let mut all: Vec<Exposure> =
            (0..3).map(|k| exposure(&format!("e{k}"), moffat(2.8 + 0.5 * f64::from(k), 0.0), 0.2, 9.7 * f64::from(k))).collect();
        all.iter_mut().enumerate().for_each(|(k, e)| add_noise(e, k as u64));
        all[1].mask[[200, 190]] = MaskPlane::Bad.bit();
        let whole = coadd_on(&all, &t, &t.bbox(), config());
        let alone = coadd_on(&all, &t, &part, config());
        let at = t.bbox().slice_of(&part);
        let bits = |plane: ndarray::ArrayView2<f32>| plane.mapv(f32::to_bits);
        assert_eq!(bits(whole.image_njy.slice(at)), bits(alone.image_njy.view()));
        assert_eq!(bits(whole.variance_njy2.slice(at)), bits(alone.variance_njy2.view()));
        assert_eq!(whole.mask.slice(at), alone.mask.view());
        for (k, cell) in alone.covariance.cells.iter().enumerate() {
            let i = whole.covariance.cells.iter().position(|c| c == cell).unwrap();
            let of = |c: &PsfMatchedCoadd, i: usize| c.covariance.covariance_njy2.index_axis(ndarray::Axis(0), i).to_owned();
            assert_eq!(of(&whole, i), of(&alone, k), "cell {cell:?}");
        }
        assert!(alone.checks.iter().all(|check| whole.checks.contains(check)));
    }
}

/// What is too broad is left out and says why; another stamp size, a fully masked exposure and one exposure alone are no matter; one that lies
/// elsewhere is not listed.
#[test]
fn bad_input_is_defined() {
    let t = tract(64, 4);
    let given = PsfMatchedConfig { target_fwhm_arcsec: 0.9, ..config() };
    let broad = exposure("broad", moffat(5.5, 0.0), 0.1, 1.0);
    let mut masked = exposure("masked", moffat(3.0, 0.0), 0.1, 2.0);
    masked.mask.fill(MaskPlane::Bad.bit());
    let small = PsfModel::Moffat { fwhm_px: 3.1, beta: 3.5, e1: 0.0, e2: 0.0, radius_px: 11, pixel_integrated: true };
    let far = exposure("far", moffat(3.0, 0.0), 0.0, 9000.0);
    let all = [broad, masked, exposure("small", small, 0.0, 0.0), far];
    let c = coadd_on(&all, &t, &t.bbox(), given.clone());
    let named: Vec<(&str, bool, bool)> = c.inputs.iter().map(|i| (i.id.0.as_str(), i.left_out.is_empty(), i.n_pixels > 0)).collect();
    assert_eq!(named, [("broad", false, false), ("masked", true, false), ("small", true, true)]);
    assert!(c.inputs[0].left_out.contains("broader than the target") && c.inputs[0].amplification > 1.5 && c.inputs[0].weight == 0.0);
    // Rounding of the variances that share the transform.
    assert!(c.n_exposures.iter().all(|n| *n == 1) && c.image_njy.iter().all(|z| z.abs() < 1e-5));
    assert!(c.mask.iter().all(|m| m & MaskPlane::NoData.bit() == 0));
    // Alone and too broad: no data, and no more.
    let c = coadd_on(&all[..1], &t, &t.bbox(), given);
    assert!(c.image_njy.iter().all(|z| z.is_nan()) && c.variance_njy2.iter().all(|v| v.is_infinite()) && c.checks.is_empty());
    assert!(c.mask.iter().all(|m| *m == MaskPlane::NoData.bit()));
}

/// A hole and an edge cost pixels, not flux: near bad pixels the matched exposure is left out, and the PSF of what remains is the target's.
#[test]
fn bad_pixels_are_left_out_without_a_trace() {
    let t = tract(64, 4);
    let mut all: Vec<Exposure> = (0..2).map(|k| exposure(&format!("e{k}"), moffat(3.0, 0.0), 0.3, 4.6 * f64::from(k))).collect();
    let star = PixelPoint::new(100.3, 90.2);
    all.iter_mut().for_each(|e| add_star(e, &t, star, 1e4));
    let p = all[0].meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(star)).unwrap().pixel();
    for (x, y) in [(p.0, p.1), (p.0 + 1, p.1)] {
        let at = all[0].bbox.index(x, y).unwrap();
        all[0].mask[at] = MaskPlane::Cr.bit();
        all[0].image[at] = 1e6;
    }
    let c = coadd_on(&all, &t, &t.bbox(), config());
    let at = c.bbox.index(100, 90).unwrap();
    assert_eq!((c.n_exposures[at], c.mask[at] & MaskPlane::Rejected.bit()), (1, MaskPlane::Rejected.bit()));
    assert!(star_residual(&c, star, 1e4).worst() < 5e-3, "{:?}", star_residual(&c, star, 1e4));
    assert_eq!(c.n_exposures[c.bbox.index(10, 10).unwrap()], 2);
}

/// A PSF that changes over the detector by 6 % in size: one kernel a tile would leave steps of 2 % in the peaks; with kernels that change with the PSF
/// stars on both sides of the seams have the target's core and size.
#[test]
fn varying_psfs_make_no_steps() {
    let t = tract(64, 6);
    let at = [0.0, (SIDE - 1) as f64];
    let stamp = |fwhm: f64| Psf::new(moffat(fwhm, 0.1 * (fwhm - 4.9))).unwrap().core(PixelPoint::new(0.0, 0.0), 0.0, 0.0, 28);
    let stamps = [4.8, 5.0, 4.9, 5.1].map(stamp).to_vec();
    let mut e = exposure("e", PsfModel::StampGrid { x_px: at.to_vec(), y_px: at.to_vec(), stamps }, 0.1, 0.0);
    let stars: Vec<PixelPoint> = (0..40).map(|k| PixelPoint::new(232.0 + 1.2 * f64::from(k), 40.0 + 7.3 * f64::from(k))).collect();
    // Far enough apart along y, on both sides of the seams at 256.
    for s in stars.iter().step_by(4) {
        add_star(&mut e, &t, *s, 1e4);
    }
    let c = coadd_on(std::slice::from_ref(&e), &t, &t.bbox(), config());
    for s in stars.iter().step_by(4) {
        let residual = star_residual(&c, *s, 1e4);
        // A step of the kernel is one of width: ellipticities of a single exposure scatter with the sub-pixel phase by some 1e-3.
        assert!(residual.core_flux.abs().max(residual.size.abs()) < 2e-3 && residual.worst() < 1e-2, "{s:?}: {residual:?}");
    }
    assert!(c.psf_summary()[..2].iter().all(|(mean, worst)| mean.abs() < 1e-3 && *worst < 2e-3), "{:?}", c.psf_summary());
}

/// A PSF model that is wrong by a tenth: with kernels fitted to the pixels that exposure's stars have the peaks of the others' again, which they
/// miss by its model; without light the models' kernels stay, and are counted.
#[test]
fn kernels_fitted_to_pixels_mend_a_wrong_model() {
    let t = tract(64, 4);
    let stars: Vec<PixelPoint> = (0..64).map(|k| PixelPoint::new(20.3 + 31.1 * f64::from(k % 8), 21.2 + 30.9 * f64::from(k / 8))).collect();
    let settings = PsfMatchedConfig { method: MatchMethod::AlardLupton, target_fwhm_arcsec: 0.9, ..config() };
    let mut all: Vec<Exposure> = (0..6).map(|k| exposure(&format!("e{k}"), moffat(3.2, 0.0), 0.2, 3.3 * f64::from(k))).collect();
    for (k, e) in all.iter_mut().enumerate() {
        add_noise(e, k as u64);
    }
    let dark = coadd_on(&all, &t, &t.bbox(), settings.clone());
    assert!(dark.inputs.iter().all(|i| (i.n_fitted, i.n_not_fitted) == (0, 1)));
    for e in &mut all {
        stars.iter().for_each(|s| add_star(e, &t, *s, 4e4));
    }
    // The chain is told otherwise.
    all[1].meta.psf = Psf::new(moffat(3.5, 0.0)).unwrap();
    let inputs: Vec<_> = all.iter().map(|e| (e.meta.clone(), visit(e))).collect();
    let stage = MakePsfMatched::new(settings.clone()).unwrap();
    let band = stage.start(&t, &CoaddConfig::default(), "r", &inputs, &t.bbox()).unwrap();
    let mut scratch = band.scratch();
    let warps: Vec<MatchedTile> =
        (0..6).filter_map(|i| band.match_tile(i, &band.load(i, &all[i]).unwrap(), &t.bbox(), &mut scratch)).collect();
    let peak = |warp: &MatchedTile| {
        stars.iter().map(|s| f64::from(warp.image_njy[t.bbox().index(s.pixel().0, s.pixel().1).unwrap()])).sum::<f64>()
    };
    let off = |warps: &[MatchedTile]| peak(&warps[1]) / peak(&warps[0]) - 1.0;
    let before = off(&warps);
    let (fitted, fits) = band.refit(&t.bbox(), warps, &mut scratch);
    let after = off(&fitted);
    println!("peaks differ by {before:.4} before and {after:.4} after the fit");
    assert!(fits.iter().all(|(_, is_fitted)| *is_fitted));
    // 64 stars of 4e4 nJy over noise of 10 nJy a pixel: the peaks are known to 1e-3.
    assert!(before.abs() > 0.02 && after.abs() < 0.3 * before.abs() && after.abs() < 0.005, "{before} {after}");
    let coadd = coadd_on(&all, &t, &t.bbox(), settings);
    assert!(coadd.inputs.iter().all(|i| (i.n_fitted, i.n_not_fitted) == (1, 0)));
}

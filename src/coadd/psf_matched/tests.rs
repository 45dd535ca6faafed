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
    let mut of_tile = |tile: &Box2| {
        band.tile(tile, &mut scratch, |i, needed| {
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
    let tiles: Vec<TileCoadd> = band.tiles(bbox).iter().map(&mut of_tile).collect();
    band.assemble(bbox, &tiles)
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
                let k = k as f64;
                // The second ends in the middle of the tract.
                exposure(&format!("e{k}"), moffat(fwhm, 0.05 * (k - 1.0)), 0.15 * k, if k == 1.0 { 190.3 } else { 0.4 + 3.3 * k })
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

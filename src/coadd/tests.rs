//! The coadd stage on drawn point sources: fluxes, variances, PSFs and noise against closed forms.

use super::*;
use crate::background::{BackgroundVariance, ExposureBackground, VisitProduct};
use crate::catalog::Table;
use crate::geometry::{Box2, Patch, PatchId, PixelPoint, SkyMapConfig, SkyPoint, Tract, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{ApCorrMap, Chebyshev2, Exposure, ExposureId, ExposureMeta, MaskPlane, PhotoCalib, PixelCounts, Psf};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};

pub(super) const CALIB: f64 = 2.5;
pub(super) const SIGMA_ADU: f64 = 4.0;

pub(super) fn tract() -> Tract {
    Tract::new(&SkyMapConfig { cell_px: 64, tract_cells: [4, 4], patches: [1, 1], ..SkyMapConfig::default() }).unwrap()
}

pub(super) fn exposure(fwhm_px: f64, angle: f64, scale_arcsec: f64, offset_px: f64) -> Exposure {
    let s = scale_arcsec / 3600.0;
    let (sin, cos) = f64::sin_cos(angle);
    let n = 330;
    let wcs =
        Wcs::tan(SkyPoint::from_degrees(150.1, 2.2), PixelPoint::new(165.0 + offset_px, 164.3), [[-s * cos, s * sin], [s * sin, s * cos]])
            .unwrap();
    let psf = Psf::new(PsfModel::Moffat { fwhm_px, beta: 3.5, e1: 0.03, e2: -0.02, radius_px: 24, pixel_integrated: false }).unwrap();
    let meta = ExposureMeta {
        id: ExposureId("e".into()),
        band: "r".into(),
        mjd: 60000.0,
        exposure_time_s: 30.0,
        shape: (n, n),
        psf,
        wcs,
        photo_calib: PhotoCalib::uniform(CALIB),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.5,
        read_noise_e: 3.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    let v = (SIGMA_ADU * SIGMA_ADU) as f32;
    Exposure::new(meta, Array2::zeros((n, n)), Array2::from_elem((n, n), v), Array2::zeros((n, n))).unwrap()
}

pub(super) fn visit(e: &Exposure) -> VisitProduct {
    VisitProduct {
        id: e.meta.id.clone(),
        background: ExposureBackground::constant(e.bbox, 0.0),
        background_variance: BackgroundVariance { model_adu2: Chebyshev2::constant(e.bbox, SIGMA_ADU * SIGMA_ADU) },
        ap_corr: ApCorrMap::default(),
        stars: Table::new(),
        counts: PixelCounts::default(),
    }
}

/// Draws a star of a given flux at a tract position.
pub(super) fn add_star(e: &mut Exposure, tract: &Tract, at: PixelPoint, flux_njy: f64) {
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

pub(super) fn coadd_on(exposures: &[Exposure], bbox: Box2) -> BandCoadd {
    let stage = MakeCoadd::new(CoaddConfig::default()).unwrap();
    let visits: Vec<_> = exposures.iter().map(visit).collect();
    let all: Vec<_> = exposures.iter().map(|e| &e.meta).zip(&visits).collect();
    let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox };
    let mut sums = stage.start(&tract(), &patch, "r", &all).unwrap();
    for (i, e) in exposures.iter().enumerate() {
        let mut e = e.clone();
        e.sanitize();
        sums.add(i, &e, &visits[i]);
    }
    sums.finish()
}

fn positions() -> Vec<PixelPoint> {
    (0..9)
        .map(|k| PixelPoint::new(f64::from(40 + 80 * (k % 3)) + 0.137 * f64::from(k), f64::from(45 + 75 * (k / 3)) - 0.23 * f64::from(k)))
        .collect()
}

/// Ψ/Φ at the tract pixel nearest a star drawn exactly there is its flux, at every phase of the exposure's grid (rotated), beside
/// masks and edges too: within 2e-3 for FWHM ≥ 2.5 px (the gain of the quintic spline).
#[test]
fn likelihood_flux_is_the_flux() {
    let t = tract();
    for (fwhm, tolerance) in [(2.7, 2e-3), (3.5, 5e-4), (5.0, 3e-4)] {
        let mut e = exposure(fwhm, 0.3, 0.2, 0.0);
        let stars: Vec<_> = positions().iter().map(|p| PixelPoint::new(p.x.round(), p.y.round())).collect();
        for s in &stars {
            add_star(&mut e, &t, *s, 1000.0);
        }
        // A bad column through one star's flank and a dead block beside another; poisoned, so that nothing of them may count.
        for star in [stars[2], stars[4]] {
            let p = e.meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(star)).unwrap();
            let (x, y) = p.pixel();
            for k in -20..20 {
                let at = e.bbox.index(x + 2, y + k).unwrap();
                e.mask[at] |= MaskPlane::Bad.bit();
                e.image[at] = f32::NAN;
            }
        }
        let c = coadd_on(&[e], t.bbox());
        for (i, s) in stars.iter().enumerate() {
            let at = [s.y as usize, s.x as usize];
            let flux = f64::from(c.psi[at]) / f64::from(c.phi[at]);
            let slack = if [2, 4].contains(&i) { 1e-3 } else { 0.0 };
            assert!((flux / 1000.0 - 1.0).abs() < tolerance + slack, "FWHM {fwhm}, star {i}: {flux}");
        }
    }
}

/// Φ beside a mask equals the sum over the good pixels, drawn directly.
#[test]
fn phi_beside_masks_and_edges_is_exact() {
    let t = tract();
    let mut e = exposure(2.8, 0.1, 0.2, 60.0);
    for (k, m) in e.mask.iter_mut().enumerate() {
        if (k * 2_654_435_761) % 97 == 0 || k % 330 == 150 {
            *m |= MaskPlane::Cr.bit();
        }
    }
    let c = coadd_on(std::slice::from_ref(&e), t.bbox());
    let mut n = 0;
    for (x, y) in [(100, 100), (127, 80), (128, 81), (20, 33), (8, 200), (200, 201), (3, 100), (250, 100)] {
        let p = e.meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)))).unwrap();
        let (px, py) = p.pixel();
        let stamp = e.meta.psf.stamp(p, p.x - f64::from(px), p.y - f64::from(py));
        let expected: f64 = stamp
            .indexed_iter()
            .filter(|((j, i), _)| e.bbox.index(px - 24 + *i as i32, py - 24 + *j as i32).is_some_and(|k| e.mask[k] == 0))
            .map(|(_, v)| v * v)
            .sum::<f64>()
            / (SIGMA_ADU * CALIB).powi(2);
        let full: f64 = stamp.mapv(|v| v * v).sum() / (SIGMA_ADU * CALIB).powi(2);
        let found = f64::from(c.phi[[y as usize, x as usize]]);
        if found > 0.0 {
            n += 1;
            assert!((found - expected).abs() < 1e-3 * full, "({x}, {y}): {found} {expected}");
        }
    }
    assert!(n >= 6);
}

/// ν = Ψ/√Φ of white noise is a unit normal: over N_eff ≈ 256²/(4πσ²) independent values its variance is good to √(2/N_eff).
#[test]
fn significance_of_blank_sky_is_a_unit_normal() {
    let t = tract();
    let mut all = Vec::new();
    for k in 0..3u8 {
        let mut e = exposure(2.6 + f64::from(k), 0.2 * f64::from(k), 0.2, 3.3 * f64::from(k));
        let normal = Normal::new(0.0, SIGMA_ADU).unwrap();
        let mut rng = keyed_rng(5, "noise", u64::from(k), 0);
        e.image.mapv_inplace(|_| normal.sample(&mut rng) as f32);
        e.meta.id = ExposureId(format!("e{k}"));
        all.push(e);
    }
    let c = coadd_on(&all, t.bbox());
    let nu: Vec<f64> = c.psi.iter().zip(&c.phi).filter(|(_, p)| **p > 0.0).map(|(s, p)| f64::from(*s) / f64::from(*p).sqrt()).collect();
    let mean = nu.iter().sum::<f64>() / nu.len() as f64;
    let var = nu.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / nu.len() as f64;
    let n_eff = nu.len() as f64 / (4.0 * std::f64::consts::PI * (c.fwhm_px / 2.35).powi(2));
    assert!(mean.abs() < 4.0 / n_eff.sqrt(), "mean {mean}");
    assert!((var - 1.0).abs() < 4.0 * (2.0 / n_eff).sqrt(), "variance {var}");
    // The direct coadd's noise: variance plane and covariance, against the pixels.
    let n = c.image_njy.len() as f64;
    let pixel_var = c.image_njy.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
    let lag = |dy: usize, dx: usize| {
        let (ny, nx) = c.image_njy.dim();
        let mut sum = 0.0;
        for y in 0..ny - dy {
            for x in 0..nx - dx {
                sum += f64::from(c.image_njy[[y, x]]) * f64::from(c.image_njy[[y + dy, x + dx]]);
            }
        }
        sum / ((ny - dy) * (nx - dx)) as f64
    };
    let h = c.covariance.half_width;
    let predicted = |dy: usize, dx: usize| {
        let cells = c.covariance.cells.len() as f64;
        (0..c.covariance.cells.len()).map(|k| c.covariance.covariance_njy2[[k, h + dy, h + dx]]).sum::<f64>() / cells
    };
    for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)] {
        // A covariance of n pixels scatters by about √(2 Σρ²/n) < 2/√n of the variance.
        assert!((lag(dy, dx) - predicted(dy, dx)).abs() < 4.0 * 2.0 / n.sqrt() * pixel_var, "lag {dy} {dx}");
    }
}

/// Stars on a stack of three exposures with other seeing and rotation are the flux times the CoaddPsf, to 1e-3 of the peak.
#[test]
fn coadd_psf_draws_the_stars_of_the_coadd() {
    let t = tract();
    let mut all: Vec<_> = [(3.0, 0.0, 0.2, 0.4), (4.2, 0.25, 0.2, 7.7), (3.4, -0.1, 0.262, 30.0)]
        .iter()
        .enumerate()
        .map(|(k, &(fwhm, angle, scale, offset))| {
            let mut e = exposure(fwhm, angle, scale, offset);
            e.meta.id = ExposureId(format!("e{k}"));
            e
        })
        .collect();
    let stars = positions();
    for e in &mut all {
        for s in &stars {
            add_star(e, &t, *s, 1000.0);
        }
    }
    let c = coadd_on(&all, t.bbox());
    let inputs = all
        .iter()
        .zip(&c.inputs)
        .map(|(e, i)| CoaddPsfInput { meta: e.meta.clone(), ap_corr: ApCorrMap::default(), weight: i.weight })
        .collect();
    let psf = CoaddPsf::new(inputs, t.wcs().clone(), 3);
    for s in &stars {
        let (x, y) = s.pixel();
        let words = [c.inputs_wyx[[0, y as usize, x as usize]]];
        assert_eq!(words[0], 7);
        let stamp = psf.stamp(*s, &words, 12);
        let part = c.bbox.slice_of(&Box2::new(x - 12, y - 12, 25, 25));
        let worst = (&c.image_njy.slice(part).mapv(f64::from) / 1000.0 - &stamp).iter().fold(0.0f64, |a, v| a.max(v.abs()));
        let peak = stamp.iter().fold(0.0f64, |a, v| a.max(*v));
        assert!(worst < 1e-3 * peak, "worst {worst} of {peak}");
    }
}

/// Patches are bookkeeping: a corner of the tract made alone has the same bits.
#[test]
fn a_part_of_the_tract_has_the_same_bits() {
    let t = tract();
    let mut e = exposure(3.1, 0.3, 0.2, 5.0);
    let normal = Normal::new(0.0, SIGMA_ADU).unwrap();
    let mut rng = keyed_rng(6, "noise", 0, 0);
    e.image.mapv_inplace(|_| normal.sample(&mut rng) as f32);
    let whole = coadd_on(std::slice::from_ref(&e), t.bbox());
    let part_box = Box2::new(128, 64, 128, 64);
    let stage = MakeCoadd::new(CoaddConfig::default()).unwrap();
    let needed = stage.needed(&t, &Patch { id: PatchId { row: 0, column: 0 }, bbox: part_box }, &e.meta);
    let slice = e.bbox.slice_of(&needed);
    let cut = Exposure {
        bbox: needed,
        image: e.image.slice(slice).to_owned(),
        variance: e.variance.slice(slice).to_owned(),
        mask: e.mask.slice(slice).to_owned(),
        meta: e.meta.clone(),
    };
    let v = visit(&e);
    let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox: part_box };
    let mut sums = stage.start(&t, &patch, "r", &[(&e.meta, &v)]).unwrap();
    sums.add(0, &cut, &v);
    let part = sums.finish();
    let at = t.bbox().slice_of(&part_box);
    for (a, b) in
        [(&whole.image_njy, &part.image_njy), (&whole.psi, &part.psi), (&whole.phi, &part.phi), (&whole.variance_njy2, &part.variance_njy2)]
    {
        assert_eq!(a.slice(at), b.view());
    }
    assert_eq!(whole.mask.slice(at), part.mask.view());
    assert_eq!(
        part.covariance.covariance_njy2.index_axis(ndarray::Axis(0), 0),
        whole.covariance.covariance_njy2.index_axis(ndarray::Axis(0), 6)
    );
}

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
    coadd_with(CoaddConfig::default(), exposures, bbox)
}

pub(super) fn coadd_with(config: CoaddConfig, exposures: &[Exposure], bbox: Box2) -> BandCoadd {
    let stage = MakeCoadd::new(config).unwrap();
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

/// (φ * g)(d) of a round exponential of half-light radius `half_light_px`: the PSF's mean over rings that hold equal shares of the light.
fn broadened(psf: &Psf, half_light_px: f64, dx: f64, dy: f64) -> f64 {
    const RINGS: usize = 80;
    const ANGLES: usize = 20;
    let at = PixelPoint::new(160.0, 160.0);
    let scale = half_light_px / 1.678_346_99;
    let mut sum = 0.0;
    for ring in 0..RINGS {
        let share = (ring as f64 + 0.5) / RINGS as f64;
        // 1 - (1 + x) e^-x = share.
        let (mut lo, mut hi) = (0.0, 40.0);
        for _ in 0..50 {
            let x = 0.5 * (lo + hi);
            if 1.0 - (1.0 + x) * f64::exp(-x) < share { lo = x } else { hi = x }
        }
        let radius = scale * lo;
        for k in 0..ANGLES {
            let (sin, cos) = (std::f64::consts::TAU * (k as f64 + 0.37 * ring as f64) / ANGLES as f64).sin_cos();
            sum += psf.value(at, dx - radius * cos, dy - radius * sin);
        }
    }
    sum / (RINGS * ANGLES) as f64
}

/// Φ_g against the sum over good pixels of an independent rendering of the broadened PSF, in the open, beside masks and beside edges, within
/// 1e-3 of the Φ_g of an unmasked exposure.
#[test]
fn phi_of_morphologies_is_exact_beside_masks_and_edges() {
    let t = tract();
    let mut e = exposure(2.8, 0.1, 0.2, 60.0);
    for (k, m) in e.mask.iter_mut().enumerate() {
        if (k * 2_654_435_761) % 97 == 0 || k % 330 == 150 {
            *m |= MaskPlane::Cr.bit();
        }
    }
    let radii_arcsec = [0.4, 1.2];
    let c = coadd_with(
        CoaddConfig { morphologies_arcsec: radii_arcsec.to_vec(), ..CoaddConfig::default() },
        std::slice::from_ref(&e),
        t.bbox(),
    );
    assert_eq!(c.morphologies_arcsec, radii_arcsec);
    let variance = (SIGMA_ADU * CALIB).powi(2);
    let place = |x: i32, y: i32| e.meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)))).unwrap();
    let mut n_masked = 0;
    for (plane, radius_arcsec) in c.phi_morphology.iter().zip(radii_arcsec) {
        let reach = 14 + (4.0 * radius_arcsec / 0.2) as i32;
        // Beside the bad column, beside the edge, and where a lone pixel is bad.
        let beside = |column: f64, y: i32| (0..256).find(|&x| place(x, y).x > column - 1.5).map(|x| (x, y)).unwrap();
        for (x, y) in [(100, 100), beside(150.0, 81), beside(150.0, 190), beside(328.0, 120)] {
            let p = place(x, y);
            let (px, py) = p.pixel();
            let (mut good, mut all) = (0.0, 0.0);
            for (dx, dy) in (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy))) {
                let v = broadened(&e.meta.psf, radius_arcsec / 0.2, f64::from(px + dx) - p.x, f64::from(py + dy) - p.y);
                all += v * v / variance;
                if e.bbox.index(px + dx, py + dy).is_some_and(|k| e.mask[k] == 0) {
                    good += v * v / variance;
                }
            }
            let found = f64::from(plane[[y as usize, x as usize]]);
            n_masked += usize::from(good < 0.9 * all);
            assert!((found - good).abs() < 1e-3 * all, "{radius_arcsec}, ({x}, {y}): {found} {good} of {all}");
        }
    }
    assert!(n_masked >= 5, "{n_masked} places beside masks: a test of nothing");
}

/// An exposure whose edge runs through cells enters only those that it covers whole; its likelihood maps are as ever.
#[test]
fn cells_hold_whole_exposures() {
    let t = tract();
    let mut second = exposure(3.6, 0.2, 0.2, 90.0);
    second.meta.id = ExposureId("f".into());
    let exposures = [exposure(3.0, 0.0, 0.2, 0.4), second];
    let all = coadd_on(&exposures, t.bbox());
    let cell = coadd_with(CoaddConfig { edges: CoaddEdges::Cell, ..CoaddConfig::default() }, &exposures, t.bbox());
    let sets = |c: &BandCoadd, cell: &crate::geometry::Cell| {
        let words = c.inputs_wyx.slice(ndarray::s![0, .., ..]);
        let part = words.slice(c.bbox.slice_of(&cell.bbox));
        let mut sets: Vec<u64> = part.iter().copied().collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    };
    let (mut n_cut, mut n_both) = (0, 0);
    for c in t.cells_in(&t.bbox()) {
        let (before, after) = (sets(&all, &c), sets(&cell, &c));
        assert_eq!(after.len(), 1, "{c:?}");
        // What covers a cell whole is left alone.
        assert!(before.len() > 1 || before == after, "{c:?}");
        n_cut += usize::from(before.len() > 1);
        n_both += usize::from(after == [3]);
    }
    assert!(n_cut > 1 && n_both > 1, "{n_cut} {n_both}");
    assert_eq!(all.psi, cell.psi);
    let n_pixels = |c: &BandCoadd| c.inputs[1].n_pixels;
    assert!(n_pixels(&cell) < n_pixels(&all));
}

/// The maps of all steps sum to those of the coadd; each step is what its exposures make alone.
#[test]
fn windows_sum_to_the_whole() {
    let t = tract();
    let mut exposures = [exposure(3.0, 0.0, 0.2, 0.4), exposure(3.6, 0.2, 0.2, 9.0), exposure(3.3, 0.1, 0.2, 4.0)];
    for (k, e) in exposures.iter_mut().enumerate() {
        e.meta.id = ExposureId(format!("e{k}"));
        add_star(e, &t, PixelPoint::new(100.0, 90.0), 500.0);
    }
    let visits: Vec<_> = exposures.iter().map(visit).collect();
    let all: Vec<_> = exposures.iter().map(|e| &e.meta).zip(&visits).collect();
    let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox: t.bbox() };
    let mut sums = MakeCoadd::new(CoaddConfig::default()).unwrap().start(&t, &patch, "r", &all).unwrap();
    let mut windows = Vec::new();
    for members in [&[0, 2][..], &[1]] {
        sums.open_window();
        members.iter().for_each(|&i| sums.add(i, &exposures[i], &visits[i]));
        windows.push(sums.close_window().unwrap());
    }
    assert!(sums.close_window().is_none());
    let whole = sums.finish();
    let alone = coadd_on(&exposures[1..2], t.bbox());
    assert_eq!((&windows[1].psi, &windows[1].phi), (&alone.psi, &alone.phi));
    for (at, &phi) in whole.phi.indexed_iter() {
        assert!((windows[0].phi[at] + windows[1].phi[at] - phi).abs() <= 2e-7 * phi, "{at:?}");
    }
}

/// An exposure of zero weight (no finite depth) is left out by the selection, and said to be.
#[test]
fn an_exposure_without_weight_is_not_selected() {
    let t = tract();
    let exposures = [exposure(3.0, 0.0, 0.2, 0.4), exposure(3.6, 0.2, 0.2, 9.0)];
    let mut visits: Vec<_> = exposures.iter().map(visit).collect();
    visits[1].background_variance = BackgroundVariance { model_adu2: Chebyshev2::constant(exposures[1].bbox, f64::INFINITY) };
    let all: Vec<_> = exposures.iter().map(|e| &e.meta).zip(&visits).collect();
    let stage = SelectExposures::new(SelectConfig::default()).unwrap();
    let decisions = stage.run(Selection::Deep, &t, "r", &all).unwrap();
    assert!(decisions[0].is_selected && !decisions[1].is_selected);
    assert_eq!(decisions[1].reason, "its weight is zero: no finite depth");
    let error = stage.run(Selection::Deep, &t, "r", &all[1..]).unwrap_err();
    assert_eq!(error.to_string(), "band r: select leaves none of 1 exposures, the first because: e: its weight is zero: no finite depth");
    let strict = SelectExposures::new(SelectConfig { max_fwhm_arcsec: 0.65, ..SelectConfig::default() }).unwrap();
    visits[1] = visit(&exposures[1]);
    let all: Vec<_> = exposures.iter().map(|e| &e.meta).zip(&visits).collect();
    let decisions = strict.run(Selection::Deep, &t, "r", &all).unwrap();
    assert!(decisions[0].is_selected && !decisions[1].is_selected);
    assert!(decisions[1].reason.contains("beyond select.max_fwhm_arcsec 0.65"), "{}", decisions[1].reason);
    // Moffat profiles of e = 0.036: what the adaptive moments find is (1 - q²)/(1 + q²) ≈ 2 · 0.036.
    assert!((decisions[0].ellipticity - 0.072).abs() < 0.01, "{}", decisions[0].ellipticity);
}

//! Exposures that are odd but right, or that hold nothing: what a coadd makes of each.

use super::tests::{CALIB, SIGMA_ADU, add_star, coadd_on, exposure, tract, visit};
use super::*;
use crate::geometry::{Box2, Patch, PatchId, PixelPoint, SkyMapConfig, SkyPoint, Tract, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{ApCorrMap, Exposure, ExposureId, MaskPlane, PhotoCalib, Psf};

const FLUX_NJY: f64 = 1000.0;

fn stage() -> MakeCoadd {
    MakeCoadd::new(CoaddConfig::default()).unwrap()
}

fn named(mut e: Exposure, id: &str) -> Exposure {
    e.meta.id = ExposureId(id.into());
    e
}

/// Pixel (90, 100) of the tract, with a star there on every exposure.
fn star() -> PixelPoint {
    PixelPoint::new(90.0, 100.0)
}

/// The coadd's star has the flux in the likelihood maps (2e-3: the spline's gain) and the shape of the CoaddPsf (1e-3 of the peak).
fn assert_star(exposures: &[Exposure], t: &Tract, what: &str) {
    let visits: Vec<_> = exposures.iter().map(visit).collect();
    let all: Vec<_> = exposures.iter().map(|e| &e.meta).zip(&visits).collect();
    let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox: t.bbox() };
    let mut sums = stage().start(t, &patch, "r", &all).unwrap();
    for (i, e) in exposures.iter().enumerate() {
        assert!(!stage().needed(t, &patch, &e.meta).is_empty(), "{what}");
        sums.add(i, e, &visits[i]);
    }
    let c = sums.finish();
    let at = [100, 90];
    let flux = f64::from(c.psi[at]) / f64::from(c.phi[at]);
    assert!((flux / FLUX_NJY - 1.0).abs() < 2e-3, "{what}: {flux}");
    let inputs = exposures
        .iter()
        .zip(&c.inputs)
        .map(|(e, i)| CoaddPsfInput { meta: e.meta.clone(), ap_corr: ApCorrMap::default(), weight: i.weight })
        .collect();
    let psf = CoaddPsf::new(inputs, t.wcs().clone(), 3).stamp(star(), &[c.inputs_wyx[[0, 100, 90]]], 10);
    let part = c.bbox.slice_of(&Box2::new(80, 90, 21, 21));
    let worst = (&c.image_njy.slice(part).mapv(f64::from) / FLUX_NJY - &psf).iter().fold(0.0f64, |a, v| a.max(v.abs()));
    let peak = psf.iter().fold(0.0f64, |a, v| a.max(*v));
    assert!(worst < 1e-3 * peak && peak > 0.01, "{what}: {worst} of {peak}");
}

/// An exposure that does not meet the tract needs no pixels, and adding it changes no bit.
#[test]
fn an_exposure_outside_the_tract_adds_nothing() {
    let t = tract();
    let inside = named(exposure(3.0, 0.1, 0.2, 0.0), "a");
    let mut outside = named(exposure(3.0, 0.1, 0.2, 0.0), "b");
    let s = 0.2 / 3600.0;
    // A degree away, and on the other side of the sky, where the tract's projection ends.
    for dec in [3.2, -40.0] {
        outside.meta.wcs = Wcs::tan(SkyPoint::from_degrees(150.1, dec), PixelPoint::new(165.0, 165.0), [[-s, 0.0], [0.0, s]]).unwrap();
        let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox: t.bbox() };
        assert!(stage().needed(&t, &patch, &outside.meta).is_empty());
        let (both, alone) = (coadd_on(&[inside.clone(), outside.clone()], t.bbox()), coadd_on(std::slice::from_ref(&inside), t.bbox()));
        assert_eq!((&both.psi, &both.image_njy, &both.mask), (&alone.psi, &alone.image_njy, &alone.mask));
        assert_eq!(both.inputs[1].n_pixels, 0);
    }
}

/// A fully masked exposure: no value comes from it; alone, it leaves no data, and says so.
#[test]
fn a_fully_masked_exposure_is_no_data() {
    let t = tract();
    let mut dead = named(exposure(3.0, 0.1, 0.2, 0.0), "b");
    dead.mask.fill(MaskPlane::Bad.bit());
    let c = coadd_on(std::slice::from_ref(&dead), t.bbox());
    assert!(c.image_njy.iter().all(|z| z.is_nan()) && c.variance_njy2.iter().all(|v| v.is_infinite()));
    assert!(c.mask.iter().all(|m| m & MaskPlane::NoData.bit() != 0) && c.psi.iter().chain(&c.phi).all(|v| v.abs() < f32::MIN_POSITIVE));
    assert!(c.inputs_wyx.iter().all(|w| *w == 0) && c.inputs[0].n_pixels == 0);
    let good = named(exposure(3.0, 0.0, 0.2, 2.0), "a");
    let (both, alone) = (coadd_on(&[good.clone(), dead], t.bbox()), coadd_on(std::slice::from_ref(&good), t.bbox()));
    assert_eq!((both.psi, both.image_njy), (alone.psi, alone.image_njy));
}

/// Zero points that differ by a factor of 100: in nJy the pixels are the same, and so is the coadd, to single precision.
#[test]
fn zero_points_may_differ_by_a_hundred() {
    let t = tract();
    let pair = |factor: f64| {
        let mut pair = [named(exposure(3.0, 0.1, 0.2, 0.0), "a"), named(exposure(3.6, 0.4, 0.2, 3.0), "b")];
        pair.iter_mut().for_each(|e| add_star(e, &t, star(), FLUX_NJY));
        pair[1].meta.photo_calib = PhotoCalib::uniform(CALIB * factor);
        pair[1].image.mapv_inplace(|z| (f64::from(z) / factor) as f32);
        pair[1].variance.fill((SIGMA_ADU * SIGMA_ADU / (factor * factor)) as f32);
        pair
    };
    let make = |pair: &[Exposure; 2], factor: f64| {
        let mut visits: Vec<_> = pair.iter().map(visit).collect();
        let variance = SIGMA_ADU * SIGMA_ADU / (factor * factor);
        visits[1].background_variance.model_adu2 = crate::image::Chebyshev2::constant(pair[1].bbox, variance);
        let all: Vec<_> = pair.iter().map(|e| &e.meta).zip(&visits).collect();
        let patch = Patch { id: PatchId { row: 0, column: 0 }, bbox: t.bbox() };
        let mut sums = stage().start(&t, &patch, "r", &all).unwrap();
        (0..2).for_each(|i| sums.add(i, &pair[i], &visits[i]));
        sums.finish()
    };
    let (same, other) = (make(&pair(1.0), 1.0), make(&pair(100.0), 100.0));
    for (a, b) in
        [(&same.image_njy, &other.image_njy), (&same.psi, &other.psi), (&same.phi, &other.phi), (&same.variance_njy2, &other.variance_njy2)]
    {
        let largest = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * largest));
    }
}

/// Mirrored detectors, and ones turned by 90 degrees, exactly and nearly.
#[test]
fn mirrors_and_right_angles_are_only_geometry() {
    let t = tract();
    let s = 0.2 / 3600.0;
    let turned = |angle_deg: f64| {
        let (sin, cos) = angle_deg.to_radians().sin_cos();
        [[-s * cos, s * sin], [s * sin, s * cos]]
    };
    for (what, matrix) in [
        ("mirror", [[s, 0.0], [0.0, s]]),
        ("mirror, turned", [[0.0, s], [s, 0.0]]),
        ("90 degrees", [[0.0, s], [-s, 0.0]]),
        ("nearly 90 degrees", turned(89.9)),
        ("180 degrees", turned(180.0)),
    ] {
        let mut e = exposure(3.2, 0.0, 0.2, 0.0);
        e.meta.wcs = Wcs::tan(SkyPoint::from_degrees(150.1, 2.2), PixelPoint::new(165.3, 164.1), matrix).unwrap();
        add_star(&mut e, &t, star(), FLUX_NJY);
        assert_star(&[e], &t, what);
    }
}

/// A tract across RA = 0, and one with the pole in it.
#[test]
fn fields_across_zero_and_at_the_pole() {
    for (ra_deg, dec_deg) in [(0.0, 0.0), (359.9999, -30.0), (40.0, 90.0), (10.0, 89.998), (200.0, -90.0)] {
        let config = SkyMapConfig { ra_deg, dec_deg, cell_px: 64, tract_cells: [4, 4], patches: [1, 1], ..SkyMapConfig::default() };
        let t = Tract::new(&config).unwrap();
        let pair = [(0.3, 3.0), (-0.2, 2.8)].map(|(angle, fwhm_px)| {
            let mut e = named(exposure(fwhm_px, 0.0, 0.2, 0.0), if angle > 0.0 { "a" } else { "b" });
            let (s, (sin, cos)) = (0.2 / 3600.0, f64::sin_cos(angle));
            // Pointed on the other side of the meridian, or of the pole.
            let at = t.wcs().pixel_to_sky(PixelPoint::new(128.0 + 60.0 * angle, 128.0 - 40.0 * angle));
            e.meta.wcs = Wcs::tan(at, PixelPoint::new(165.2, 164.9), [[-s * cos, s * sin], [s * sin, s * cos]]).unwrap();
            add_star(&mut e, &t, star(), FLUX_NJY);
            e
        });
        assert_star(&pair, &t, &format!("({ra_deg}, {dec_deg})"));
    }
}

/// PSF stamps of different sizes: each is used as far as it reaches.
#[test]
fn psf_stamps_may_differ_in_size() {
    let t = tract();
    let pair = [14, 31].map(|radius_px| {
        let mut e = named(exposure(3.0, 0.2, 0.2, f64::from(radius_px as u32)), if radius_px > 20 { "b" } else { "a" });
        let model = PsfModel::Moffat { fwhm_px: 3.0, beta: 3.5, e1: 0.0, e2: 0.0, radius_px, pixel_integrated: false };
        e.meta.psf = Psf::new(model).unwrap();
        add_star(&mut e, &t, star(), FLUX_NJY);
        e
    });
    assert_star(&pair, &t, "radius 14 and 31");
    assert_star(&pair[..1], &t, "one exposure");
}

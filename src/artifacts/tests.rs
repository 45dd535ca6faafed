//! The whole search on exposures drawn here: stars in different seeing, and what does not belong.

use super::*;
use crate::background::{BackgroundVariance, ExposureBackground, VisitProduct};
use crate::coadd::CoaddConfig;
use crate::footprint::{Span, SpanSet};
use crate::geometry::{Box2, PixelPoint, SkyMapConfig, Tract, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{ApCorrMap, Chebyshev2, Exposure, ExposureId, ExposureMeta, MaskPlane, PhotoCalib, PixelCounts, Psf};
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};

const SIDE: i32 = 200;
const SIGMA: f64 = 1.0;
/// Electrons per count: sources bring little noise of their own.
const GAIN: f64 = 100.0;

fn tract() -> Tract {
    Tract::new(&SkyMapConfig { cell_px: 25, tract_cells: [8, 8], patches: [1, 1], ..SkyMapConfig::default() }).unwrap()
}

/// Flux and place of the static stars; the brightest has a peak of some 500 sigma.
const STARS: [(f64, f64, f64); 4] = [(10_000.0, 60.3, 70.6), (1000.0, 140.0, 60.5), (100.0, 100.2, 150.9), (3000.0, 30.5, 160.0)];

/// An exposure on the tract's pixels, a little shifted: the stars, noise, and point sources of its own.
fn exposure(n: usize, fwhm_px: f64, own: &[(f64, f64, f64)]) -> (Exposure, VisitProduct) {
    let tract = tract();
    let s = tract.config().pixel_scale_arcsec / 3600.0;
    let (dx, dy) = (0.37 * n as f64, -0.21 * n as f64);
    let middle = f64::from(SIDE) / 2.0 - 0.5;
    let wcs = Wcs::tan(tract.center(), PixelPoint::new(middle - dx, middle - dy), [[-s, 0.0], [0.0, s]]).unwrap();
    let shape = (SIDE as usize, SIDE as usize);
    let psf = Psf::new(PsfModel::Moffat { fwhm_px, beta: 3.5, e1: 0.03, e2: -0.02, radius_px: 30, pixel_integrated: false }).unwrap();
    let meta = ExposureMeta {
        id: ExposureId(format!("{n}")),
        band: "r".into(),
        mjd: 60_000.0 + n as f64,
        exposure_time_s: 30.0,
        shape,
        psf: psf.clone(),
        wcs,
        photo_calib: PhotoCalib::uniform(1.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: GAIN,
        read_noise_e: 0.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    let mut rng = keyed_rng(3, "artifacts-test", n as u64, 0);
    let mut image = Array2::from_shape_simple_fn(shape, || SIGMA * Distribution::<f64>::sample(&StandardNormal, &mut rng));
    for (flux, x, y) in STARS.iter().chain(own) {
        let at = PixelPoint::new(x - dx, y - dy);
        let (px, py) = at.pixel();
        let stamp = psf.stamp(at, at.x - f64::from(px), at.y - f64::from(py));
        let r = stamp.nrows() as i32 / 2;
        for ((j, i), p) in stamp.indexed_iter() {
            if let Some(k) = meta.bbox().index(px + i as i32 - r, py + j as i32 - r) {
                image[k] += flux * p;
            }
        }
    }
    let bbox = meta.bbox();
    let visit = VisitProduct {
        id: meta.id.clone(),
        background: ExposureBackground::constant(bbox, 0.0),
        background_variance: BackgroundVariance { model_adu2: Chebyshev2::constant(bbox, SIGMA * SIGMA) },
        ap_corr: ApCorrMap::default(),
        stars: crate::catalog::Table::new(),
        counts: PixelCounts::default(),
    };
    let variance = Array2::from_elem(shape, (SIGMA * SIGMA) as f32);
    (Exposure::new(meta, image.mapv(|z| z as f32), variance, Array2::zeros(shape)).unwrap(), visit)
}

/// Candidates of the whole tract, pruned patch by patch.
fn candidates(made: &[(Exposure, VisitProduct)], patches: &[Box2]) -> (Vec<Candidate>, f64) {
    let inputs: Vec<_> = made.iter().map(|(e, v)| (e.meta.clone(), v.clone())).collect();
    let stage = FindArtifacts::new(ArtifactsConfig::default()).unwrap();
    let finder = stage.start(&tract(), &CoaddConfig::default(), &inputs);
    let (mut all, mut scratch) = (Vec::new(), finder.scratch());
    for patch in patches {
        let mut of_patch = Vec::new();
        for tile in finder.tiles(patch) {
            let epochs = made.iter().enumerate().filter_map(|(i, (e, _))| finder.epoch(i, e, &tile, &mut scratch)).collect();
            of_patch.extend(finder.find(&tile, epochs, patch));
        }
        all.extend(finder.prune(of_patch, patch));
    }
    (all, finder.target_fwhm_px())
}

fn decided(made: &[(Exposure, VisitProduct)], patches: &[Box2]) -> Vec<ClippedFootprint> {
    let (candidates, target_fwhm_px) = candidates(made, patches);
    let mjds: Vec<f64> = made.iter().map(|(e, _)| e.meta.mjd).collect();
    let tract = tract();
    let scale = tract.config().pixel_scale_arcsec;
    let input = DecideInput { candidates, mjds: &mjds, target_fwhm_px, pixel_scale_arcsec: scale, tract: tract.bbox() };
    decide(&ArtifactsConfig::default(), input)
}

/// A track of five pixels of 15 σ in exposure 0, in the middle of the tract.
const TRACK: [(i32, i32); 5] = [(97, 99), (98, 99), (99, 100), (100, 100), (101, 101)];

fn strike(exposure: &mut Exposure) {
    TRACK.iter().for_each(|&(x, y)| exposure.image[[y as usize, x as usize]] += 15.0);
}

fn scene(n: usize) -> Vec<(Exposure, VisitProduct)> {
    (0..n).map(|i| exposure(i, [3.0, 5.0, 4.0, 3.5, 4.5][i], &[])).collect()
}

/// Static stars of a peak up to 500 σ, in seeing from 3 to 5 pixels, are no artifacts, whatever the number of exposures; of 40 000 pixels an
/// exposure none is false at 5.5 σ (expected: 4e-8 a pixel and comparison).
#[test]
fn static_stars_stay() {
    for n in 1..=5 {
        let found = decided(&scene(n), &[tract().bbox()]);
        // Of two exposures the worse one may stand out in a star's wings, where a little of the other one's noise is much light.
        assert!(found.iter().all(|f| f.action == Action::Leave) && (n == 2 || found.is_empty()), "{n} exposures: {found:?}");
    }
}

/// A track in one of N exposures: nothing to be done with one, cut with two, three and more, and cut whole.
#[test]
fn a_cosmic_ray_is_cut_whole() {
    for n in 1..=4 {
        let mut made = scene(n);
        strike(&mut made[0].0);
        let mut found = decided(&made, &[tract().bbox()]);
        found.retain(|f| f.action != Action::Leave);
        if n == 1 {
            assert_eq!(found, []);
            continue;
        }
        let [one] = found.as_slice() else { panic!("{n} exposures: {found:?}") };
        assert_eq!((one.class, one.action, one.exposure, one.n_epochs), (ArtifactClass::CosmicRay, Action::Exclude, 0, n as u32));
        let cut = on_exposure(&tract(), &made[0].0.meta, &one.spans);
        assert!(TRACK.iter().all(|&(x, y)| cut.contains(x, y)), "{n} exposures: {cut:?}");
        assert!(cut.area() < 12 * TRACK.len(), "{n} exposures: {} pixels", cut.area());
    }
}

/// The same in patches that meet in the middle of the track: the same footprints and spans.
#[test]
fn patches_do_not_matter() {
    let mut made = scene(3);
    strike(&mut made[0].0);
    let whole = decided(&made, &[tract().bbox()]);
    let quarter = |x: i32, y: i32| Box2::new(100 * x, 100 * y, 100, 100);
    assert_eq!(decided(&made, &[quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)]), whole);
    assert_eq!(whole.len(), 1);
}

/// A point source in one epoch: with three exposures a transient, with two no one knows. Two epochs of five at the place of a star, one too
/// dark: a variable. Three epochs on a line: a mover.
#[test]
fn what_varies_is_told_apart() {
    let new = (600.0, 90.0, 110.0);
    let of = |own: &[&[(f64, f64, f64)]]| {
        let made: Vec<_> = own.iter().enumerate().map(|(i, own)| exposure(i, [3.0, 5.0, 4.0, 3.5, 4.5][i], own)).collect();
        let found = decided(&made, &[tract().bbox()]);
        found.iter().filter(|f| f.snr > 8.0).map(|f| (f.class, f.action, f.exposure)).collect::<Vec<_>>()
    };
    use ArtifactClass::*;
    assert_eq!(of(&[&[new], &[], &[]]), [(Transient, Action::Exclude, 0)]);
    assert_eq!(of(&[&[new], &[]]), [(Unclear, Action::Leave, 0)]);
    let (_, x, y) = STARS[1];
    assert_eq!(of(&[&[(500.0, x, y)], &[], &[], &[(-500.0, x, y)], &[]]), [(Variable, Action::Flag, 0), (Variable, Action::Flag, 3)]);
    let at = |t: f64| (800.0, 50.0 + 30.0 * t, 110.0 - 20.0 * t);
    let found = of(&[&[at(0.0)], &[at(1.0)], &[at(2.0)], &[], &[]]);
    assert_eq!(found, [0, 1, 2].map(|i| (Mover, Action::Exclude, i)));
}

/// A satellite across the tract, as wide as the PSF, in the better of two exposures and in one of three.
#[test]
fn a_satellite_is_a_streak() {
    for n in [2, 3] {
        let mut made = scene(n);
        let image = &mut made[0].0.image;
        image.indexed_iter_mut().for_each(|((y, x), z)| {
            let d = (x as f64 * 0.6 - y as f64 * 0.8) + 50.0;
            *z += 6.0 * (-d * d / (2.0 * 1.3f64.powi(2))).exp() as f32;
        });
        let mut found = decided(&made, &[tract().bbox()]);
        found.retain(|f| f.exposure == 0);
        assert!(found.iter().all(|f| f.class == ArtifactClass::Streak && f.action == Action::Exclude), "{n}: {found:?}");
        // From (0, 62) to (183, 200), away from the brighter stars.
        let on_line = |x: i32| (x, (0.75 * f64::from(x) + 62.5).round() as i32);
        let cut = SpanSet::from_spans(found.iter().flat_map(|f| f.spans.spans().to_vec()).collect());
        let n_cut = (10..175).map(on_line).filter(|&(x, y)| cut.contains(x, y)).count();
        assert!(n_cut > 155, "{n} exposures: {n_cut} of 165");
    }
}

/// An exposure without a good pixel is none: what is left are two, and then one.
#[test]
fn a_masked_exposure_does_not_count() {
    let mut made = scene(3);
    strike(&mut made[0].0);
    made[1].0.mask.fill(MaskPlane::Bad.bit());
    made[1].0.sanitize();
    let mut found = decided(&made, &[tract().bbox()]);
    found.retain(|f| f.action != Action::Leave);
    assert_eq!(found.iter().map(|f| (f.class, f.exposure, f.n_epochs)).collect::<Vec<_>>(), [(ArtifactClass::CosmicRay, 0, 2)]);
    made[2].0.mask.fill(MaskPlane::Bad.bit());
    made[2].0.sanitize();
    assert_eq!(decided(&made, &[tract().bbox()]), []);
    made[0].0.mask.fill(MaskPlane::Bad.bit());
    made[0].0.sanitize();
    assert_eq!(decided(&made, &[tract().bbox()]), []);
}

/// Marked pixels become useless, or suspect, also in a part of the exposure; and the tract's pixels are found again on an exposure that is
/// turned by 90 degrees and has pixels of half the size.
#[test]
fn clips_reach_the_exposure() {
    let (mut e, _) = exposure(0, 3.0, &[]);
    let span = |y: i32, x0: i32, x1: i32| SpanSet::from_spans(vec![Span { y, x0, x1 }]);
    let clips = ExposureClips { excluded: span(5, -3, 4), suspect: span(7, 190, 500) };
    clips.apply(&mut e);
    e.sanitize();
    let unusable = |e: &Exposure| e.mask.iter().filter(|m| **m & MaskPlane::UNUSABLE != 0).count();
    let suspect = |e: &Exposure| e.mask.iter().filter(|m| **m & MaskPlane::Suspect.bit() != 0).count();
    assert_eq!((unusable(&e), suspect(&e)), (5, 10));
    assert!(e.image[[5, 0]].abs() < 1e-30 && e.variance[[5, 4]].is_infinite());

    let tract = tract();
    let s = tract.config().pixel_scale_arcsec / 7200.0;
    let meta = ExposureMeta { wcs: Wcs::tan(tract.center(), PixelPoint::new(99.5, 99.5), [[0.0, s], [s, 0.0]]).unwrap(), ..e.meta };
    // The exposure covers the middle 100 x 100 tract pixels, four of its own to each.
    let on_tract =
        SpanSet::from_spans(vec![Span { y: 80, x0: 70, x1: 79 }, Span { y: 81, x0: 75, x1: 75 }, Span { y: 10, x0: 0, x1: 199 }]);
    let found = on_exposure(&tract, &meta, &on_tract);
    assert_eq!(found.area(), 4 * 11);
    for (x, y) in found.pixels() {
        let at = tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)))).unwrap().pixel();
        assert!(on_tract.contains(at.0, at.1));
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let with = |change: fn(&mut ArtifactsConfig)| {
        let mut config = ArtifactsConfig::default();
        change(&mut config);
        FindArtifacts::new(config).unwrap_err().to_string()
    };
    assert_eq!(with(|c| c.low_threshold = 7.0), "artifacts.low_threshold is 7; expected 2 sigma to artifacts.threshold");
    assert_eq!(with(|c| c.model_error = f64::NAN), "artifacts.model_error is NaN; expected 0..=0.5");
}

//! What the camera does to light, seen from outside: noise, amplifiers, steps, bleeding, vignetting, and what the chain is told.
//!
//! Keys are fixed; bounds are four standard deviations of the statistic, from the number of pixels.

use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom::image::{Exposure, MaskPlane};
use fathom_sim::{
    AstrometryConfig, CameraConfig, DetectorConfig, ExposurePlan, NoiseLaw, PhotometryConfig, PsfConfig, SkyConfig, VariancePlane,
    plan_exposures, simulate,
};
use ndarray::{Array2, Zip};

const SEED: u64 = 21;

fn clean() -> CameraConfig {
    CameraConfig {
        n_exposures: 1,
        size_px: [96, 80],
        dither_arcsec: 0.0,
        n_bad_columns: 0,
        hot_pixel_fraction: 0.0,
        cosmic_rays: 0.0,
        ..CameraConfig::default()
    }
}

fn plan(camera: &CameraConfig) -> ExposurePlan {
    plan_exposures(camera, SkyPoint::from_degrees(150.1, 2.2), &["r".into()], SEED).unwrap().remove(0)
}

/// Stars at pixel positions of a plan's true WCS.
fn stars(plan: &ExposurePlan, stars: &[(f64, f64, f64)]) -> Table {
    let sky: Vec<_> = stars.iter().map(|(x, y, _)| plan.meta.wcs.pixel_to_sky(PixelPoint::new(*x, *y))).collect();
    let n = stars.len();
    let mut table = Table::new();
    let mut push = |name: &str, data| table.push(name, "", "", data).unwrap();
    push("id", ColumnData::I64((1..=n as i64).collect()));
    push("ra", ColumnData::F64(sky.iter().map(SkyPoint::ra_deg).collect()));
    push("dec", ColumnData::F64(sky.iter().map(SkyPoint::dec_deg).collect()));
    push("class", ColumnData::Text(vec!["star".into(); n]));
    push("r_flux", ColumnData::F64(stars.iter().map(|s| s.2).collect()));
    for (name, value) in [("half_light_radius", 0.0), ("axis_ratio", 1.0), ("position_angle", 0.0), ("sersic_n", 0.0)] {
        push(name, ColumnData::F64(vec![value; n]));
    }
    push("is_injected", ColumnData::Bool(vec![false; n]));
    table
}

fn take(plan: &ExposurePlan, camera: &CameraConfig, truth: &Table, arm: u64) -> Exposure {
    simulate(plan, camera, truth, &fathom_sim::StampLibrary::default(), SEED, arm).unwrap()
}

/// Counts above the true background.
fn light(exposure: &Exposure, plan: &ExposurePlan) -> Array2<f64> {
    exposure.image.mapv(f64::from) - plan.background.image(&plan.meta.bbox())
}

fn amplified() -> DetectorConfig {
    DetectorConfig { amplifiers: [2, 2], amplifier_gain_scatter: 0.08, amplifier_read_noise_scatter: 0.2, ..DetectorConfig::default() }
}

/// The variance plane against the scatter of 200 realisations, on the sky and under stars, for both laws and both planes. With n
/// realisations and m pixels the ratio scatters by √(2/(n m)); under stars of few pixels Poisson's fourth moment adds nothing at
/// hundreds of electrons.
#[test]
fn variance_plane_is_the_scatter_of_realisations() {
    for (noise, variance) in [(NoiseLaw::Poisson, VariancePlane::Observed), (NoiseLaw::Gaussian, VariancePlane::Expected)] {
        let photometry = PhotometryConfig { vignetting: [0.2, 0.2], ..PhotometryConfig::default() };
        let camera = CameraConfig { noise, variance, photometry, detector: amplified(), ..clean() };
        let plan = plan(&camera);
        let truth = stars(&plan, &[(20.3, 30.1, 8e4), (70.0, 55.5, 1e6), (48.0, 40.0, 3e5)]);
        let n = 200;
        let (mut sum, mut sum_sq, mut planes) =
            (Array2::<f64>::zeros((80, 96)), Array2::<f64>::zeros((80, 96)), Array2::<f64>::zeros((80, 96)));
        // Offsets from the first realisation: squares of whole counts would lose digits.
        let first = take(&plan, &camera, &truth, 0).image.mapv(f64::from);
        for arm in 0..n {
            let exposure = take(&plan, &camera, &truth, arm);
            let off = exposure.image.mapv(f64::from) - &first;
            sum += &off;
            sum_sq += &(&off * &off);
            planes += &exposure.variance.mapv(f64::from);
        }
        let n = n as f64;
        let scatter = (&sum_sq - &(&sum * &sum / n)) / (n - 1.0);
        let plane = planes / n;
        let sky = plane.iter().copied().fold(f64::INFINITY, f64::min);
        for (regime, range) in [("all", 0.0..1e9), ("sky", 0.0..1.5 * sky), ("stars", 1.5 * sky..1e9)] {
            let ratios: Vec<f64> = scatter.iter().zip(&plane).filter(|(_, p)| range.contains(*p)).map(|(s, p)| s / p).collect();
            let m = ratios.len() as f64;
            let off = ratios.iter().sum::<f64>() / m - 1.0;
            let sigma = (2.0 / (n * m)).sqrt();
            println!("{noise:?} {variance:?} {regime}: {:+.2} % +- {:.2} % ({m} pixels)", 100.0 * off, 100.0 * sigma);
            assert!(m > 100.0 && off.abs() < 4.0 * sigma, "{noise:?} {regime}: {off} +- {sigma}");
        }
    }
}

/// Photon transfer: in each amplifier of a flat exposure, variance = mean/g + r²/g², to √(2/n); the chain's one gain predicts the mean.
#[test]
fn amplifiers_have_their_own_noise_and_the_mean_gain_is_right() {
    let camera = CameraConfig { size_px: [400, 400], background_gradient: 0.0, detector: amplified(), ..clean() };
    let plan = plan(&camera);
    let exposure = take(&plan, &camera, &stars(&plan, &[]), 0);
    let sky_adu = plan.meta.known_sky_adu.unwrap();
    let mut mean_variance = 0.0;
    for amplifier in plan.amplifiers.all() {
        let pixels = exposure.image.slice(plan.meta.bbox().slice_of(&amplifier.bbox)).mapv(f64::from);
        let n = pixels.len() as f64;
        let expected = sky_adu / amplifier.gain_e_per_adu + (amplifier.read_noise_e / amplifier.gain_e_per_adu).powi(2);
        let mean = pixels.mean().unwrap();
        assert!((mean - sky_adu).abs() < 4.0 * (expected / n).sqrt(), "{mean} {sky_adu}");
        let found = pixels.mapv(|z| (z - mean).powi(2)).mean().unwrap();
        assert!((found / expected - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{found} {expected}");
        mean_variance += expected / 4.0;
    }
    let gains: Vec<_> = plan.amplifiers.all().iter().map(|a| a.gain_e_per_adu / plan.meta.gain_e_per_adu).collect();
    assert!(gains.iter().any(|g| (g - 1.0).abs() > 0.03), "{gains:?}");
    let meta = &plan.meta;
    let by_the_chain = sky_adu / meta.gain_e_per_adu + (meta.read_noise_e / meta.gain_e_per_adu).powi(2);
    assert!((by_the_chain / mean_variance - 1.0).abs() < 1e-12);
}

/// Sky, glow, ghosts, steps: the image of nothing is the stored background plus noise, amplifier by amplifier and tile by tile.
#[test]
fn the_stored_background_is_what_was_put_in() {
    let sky = SkyConfig {
        detector_step: 0.02,
        amplifier_step: 0.02,
        scattered_light: 0.3,
        ghosts: 2.0,
        ghost_height: 0.1,
        band_factor: [("r".to_owned(), 2.0)].into(),
    };
    let photometry = PhotometryConfig { vignetting: [0.1, 0.2], ..PhotometryConfig::default() };
    let camera = CameraConfig { size_px: [400, 400], sky, photometry, detector: amplified(), ..clean() };
    let plan = plan(&camera);
    assert!((600.0..1600.0).contains(&plan.sky_e) && plan.meta.known_sky_adu.is_none());
    let exposure = take(&plan, &camera, &stars(&plan, &[]), 0);
    let residual = light(&exposure, &plan);
    let variance_njy2 = |x, y| plan.background_variance_njy2(x, y) / plan.meta.photo_calib.at(PixelPoint::new(x, y)).powi(2);
    for tile in 0..64 {
        let (x0, y0) = (tile % 8 * 50, tile / 8 * 50);
        let part = residual.slice(ndarray::s![y0..y0 + 50, x0..x0 + 50]);
        let sigma = (variance_njy2(x0 as f64 + 24.5, y0 as f64 + 24.5) / 2500.0).sqrt();
        assert!(part.mean().unwrap().abs() < 4.5 * sigma, "tile {tile}: {} +- {sigma}", part.mean().unwrap());
    }
    // The steps at the edges between amplifiers stand in the pixels: means of 4 columns or rows on either side, off by the stored
    // difference; half a count for the slope of the glows over 4 pixels.
    let step = |k: usize| plan.background.steps_adu[1 + k].1;
    let mean =
        |y: std::ops::Range<usize>, x: std::ops::Range<usize>| exposure.image.slice(ndarray::s![y, x]).mapv(f64::from).mean().unwrap();
    let mut largest = 0.0f64;
    for (found, expected) in [
        (mean(0..200, 200..204) - mean(0..200, 196..200), step(1) - step(0)),
        (mean(200..400, 200..204) - mean(200..400, 196..200), step(3) - step(2)),
        (mean(200..204, 0..200) - mean(196..200, 0..200), step(2) - step(0)),
        (mean(200..204, 200..400) - mean(196..200, 200..400), step(3) - step(1)),
    ] {
        let sigma = (2.0 * variance_njy2(200.0, 200.0) / 800.0).sqrt();
        assert!((found - expected).abs() < 4.0 * sigma + 0.5, "{found} {expected} +- {sigma}");
        largest = largest.max(expected.abs() / sigma);
    }
    assert!(largest > 8.0, "{largest}");
}

/// A star of ten times the full well: with the same noise, every column holds the same charge with bleeding as without a full well.
#[test]
fn bleeding_keeps_the_charge_of_each_column_and_flags_the_trail() {
    let detector = DetectorConfig { bleed: true, ..DetectorConfig::default() };
    let camera = CameraConfig { size_px: [100, 300], seeing_arcsec: [0.8, 0.8], detector, ..clean() };
    let endless = CameraConfig { saturation_e: 1e12, ..camera.clone() };
    let plan = plan(&camera);
    let peak = plan.meta.psf.value(PixelPoint::new(50.0, 150.0), 0.0, 0.0) * plan.meta.electrons_per_njy();
    let truth = stars(&plan, &[(50.2, 150.4, 10.0 * camera.saturation_e / peak)]);
    let (bled, whole) = (take(&plan, &camera, &truth, 0), take(&plan, &endless, &truth, 0));
    let n_sat = |x: usize| bled.mask.column(x).iter().filter(|m| **m & MaskPlane::Sat.bit() != 0).count();
    for x in 0..100 {
        let sum = |e: &Exposure| e.image.column(x).iter().map(|z| f64::from(*z)).sum::<f64>();
        // f32 counts: 1e-7 of each.
        assert!((sum(&bled) / sum(&whole) - 1.0).abs() < 1e-6, "column {x}");
    }
    assert!(n_sat(50) > 40 && n_sat(50) < 290 && n_sat(70) == 0, "{} {}", n_sat(50), n_sat(70));
    Zip::from(&bled.image).and(&whole.image).and(&bled.mask).for_each(|a, b, m| {
        assert!(m & MaskPlane::Sat.bit() != 0 || (a - b).abs() <= 1e-3 * b.abs());
    });
}

/// Stars in the corner and in the middle: counts above the background, through the given calibration pixel by pixel, are the flux.
#[test]
fn vignetted_stars_keep_their_flux() {
    let photometry = PhotometryConfig { vignetting: [0.1, 0.5], ..PhotometryConfig::default() };
    let camera = CameraConfig { size_px: [300, 300], photometry, ..clean() };
    let plan = plan(&camera);
    let flux = 2e6;
    for (x, y) in [(150.0, 150.0), (41.3, 258.8)] {
        let exposure = take(&plan, &camera, &stars(&plan, &[(x, y, flux)]), 0);
        let calibrated = light(&exposure, &plan);
        let njy_per_adu = |(j, i): (usize, usize)| plan.meta.photo_calib.at(PixelPoint::new(i as f64, j as f64));
        let (mut sum, mut variance) = (0.0, 0.0);
        for (at, adu) in calibrated.indexed_iter() {
            if (at.1 as f64 - x).hypot(at.0 as f64 - y) < 40.0 {
                sum += adu * njy_per_adu(at);
                variance += f64::from(exposure.variance[at]) * njy_per_adu(at).powi(2);
            }
        }
        // The stamp holds 0.9985 of the light and more.
        assert!((sum - flux).abs() < 4.0 * variance.sqrt() + 2e-3 * flux, "({x}, {y}): {sum} +- {}", variance.sqrt());
    }
    let throughput = |x, y| plan.meta.photo_calib.at(PixelPoint::new(150.0, 150.0)) / plan.meta.photo_calib.at(PixelPoint::new(x, y));
    assert!((throughput(0.0, 0.0) / 0.4 - 1.0).abs() < 0.02, "{}", throughput(0.0, 0.0));
}

/// Knobs of what the chain is told change no pixel, only the calibrations; masks that are not set leave the charge.
#[test]
fn errors_and_missing_flags_change_no_pixel() {
    let exact = CameraConfig { size_px: [300, 300], cosmic_rays: 20.0, ..clean() };
    let wrong = CameraConfig {
        psf: PsfConfig { given_size_error: 0.04, ..PsfConfig::default() },
        photometry: PhotometryConfig { zero_point_error: 0.02, ..PhotometryConfig::default() },
        astrometry: AstrometryConfig { residual_mas: 30.0, ..AstrometryConfig::default() },
        detector: DetectorConfig { cosmic_rays_flagged: false, ..DetectorConfig::default() },
        ..exact.clone()
    };
    let (a, b) = (plan(&exact), plan(&wrong));
    let truth = stars(&a, &[(100.0, 120.0, 1e5)]);
    let (x, y) = (take(&a, &exact, &truth, 0), take(&b, &wrong, &truth, 0));
    assert_eq!((&x.image, &x.variance), (&y.image, &y.variance));
    let n_cr = |e: &Exposure| e.mask.iter().filter(|m| **m & MaskPlane::Cr.bit() != 0).count();
    assert!(n_cr(&x) > 200 && n_cr(&y) == 0);
    assert!(y.meta.wcs != x.meta.wcs && y.meta.photo_calib != x.meta.photo_calib && y.meta.psf.model() != x.meta.psf.model());
    assert_eq!(b.meta.wcs, x.meta.wcs);
}

/// A satellite's light is in the pixels along its line, flagged or not as asked.
#[test]
fn satellites_cross_the_exposure() {
    let with = |satellites, satellites_flagged| CameraConfig {
        size_px: [300, 300],
        detector: DetectorConfig { satellites, satellites_flagged, satellite_e: [500.0, 500.0], ..DetectorConfig::default() },
        noise: NoiseLaw::Gaussian,
        ..clean()
    };
    let take_with = |camera: &CameraConfig| take(&plan(camera), camera, &stars(&plan(camera), &[]), 0);
    let (none, flagged, hidden) = (take_with(&with(0.0, true)), take_with(&with(3.0, true)), take_with(&with(3.0, false)));
    assert_eq!(flagged.image, hidden.image);
    assert!(hidden.mask.iter().all(|m| *m == 0));
    let gain = f64::from(1.5f32);
    let n_flagged = flagged.mask.iter().filter(|m| **m != 0).count();
    assert!(n_flagged > 500, "{n_flagged}");
    let added: f64 = (&flagged.image - &none.image).iter().map(|z| f64::from(*z) * gain).sum();
    // One trail of 500 electrons at its peak, five pixels wide and some 200 long, holds half a million electrons.
    assert!(added > 2e5, "{added}");
}

//! What every profile keeps, whatever its law: flux, centroid, second moments, transform at 0; rotated, shifted, flattened, off the grid.

use approx::{assert_abs_diff_eq, assert_relative_eq};
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{Box2, PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom_sim::{Bulge, GaussianMixture, Morphology, Renderer, StampGalaxy, StampLibrary, TruthObject, render_object};
use ndarray::Array2;
use std::f64::consts::{LN_2, TAU};
use std::sync::Arc;

const SIGMA_PX: f64 = 1.7;
const FLUX: f64 = 5000.0;

/// Pixels of 0.2 arcsec, turned by some angle.
fn meta(psf: PsfModel) -> ExposureMeta {
    let (sin, cos) = 25f64.to_radians().sin_cos();
    let s = 0.2 / 3600.0;
    ExposureMeta {
        id: ExposureId("contract".into()),
        band: "r".into(),
        mjd: 60_000.0,
        exposure_time_s: 60.0,
        shape: (300, 300),
        psf: Psf::new(psf).unwrap(),
        wcs: Wcs::tan(SkyPoint::from_degrees(150.1, 2.2), PixelPoint::new(150.0, 150.0), [[-s * cos, s * sin], [s * sin, s * cos]])
            .unwrap(),
        photo_calib: PhotoCalib::from_zero_point(27.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.5,
        read_noise_e: 6.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    }
}

fn gaussian_psf(sigma_px: f64) -> PsfModel {
    let s2 = sigma_px * sigma_px;
    PsfModel::GaussianMixture { components: vec![[1.0, 0.0, 0.0, s2, s2, 0.0]], radius_px: 16, pixel_integrated: true }
}

/// Sum, centre, and second moments (xx, xy, yy) in the exposure's frame.
fn moments(stamp_box: &Box2, stamp: &Array2<f64>) -> (f64, [f64; 2], [f64; 3]) {
    let sum = stamp.sum();
    let mean = |f: &dyn Fn(f64, f64) -> f64| {
        let (x0, y0) = (f64::from(stamp_box.x0), f64::from(stamp_box.y0));
        stamp.indexed_iter().map(|((j, i), v)| v * f(x0 + i as f64, y0 + j as f64)).sum::<f64>() / sum
    };
    let (x0, y0) = (mean(&|x, _| x), mean(&|_, y| y));
    (sum, [x0, y0], [mean(&|x, _| (x - x0).powi(2)), mean(&|x, y| (x - x0) * (y - y0)), mean(&|_, y| (y - y0).powi(2))])
}

/// A round Gaussian galaxy seen by a sharp telescope: σ 0.25 arcsec, through σ 0.06 arcsec, pixels of 0.04 arcsec.
fn round_stamp(noise: f64) -> StampGalaxy {
    let blob = |side: usize, sigma: f64| {
        let c = (side as f64 - 1.0) / 2.0;
        Array2::from_shape_fn((side, side), |(j, i)| {
            (-0.5 * ((i as f64 - c).powi(2) + (j as f64 - c).powi(2)) / (sigma * sigma)).exp() / (TAU * sigma * sigma)
        })
    };
    StampGalaxy::new("round", blob(64, 0.25f64.hypot(0.06) / 0.04).view(), 0.04, blob(31, 0.06 / 0.04).view(), noise).unwrap()
}

/// ⟨x²⟩ of a Sérsic profile \[r_e²\]: Γ(4n)/(2 b^2n Γ(2n)), here by the sum of its rings.
fn sersic_second_moment(n: f64) -> f64 {
    let profile = fathom_sim::Sersic::of_index(n);
    let (mut sum, mut before) = (0.0, 0.0);
    for i in 1..200_000 {
        let r = 1e-3 * f64::from(i);
        let inside = profile.enclosed(r);
        sum += (inside - before) * (r - 5e-4).powi(2);
        before = inside;
    }
    0.5 * sum
}

#[test]
fn every_profile_keeps_flux_centre_and_moments() {
    let meta = meta(gaussian_psf(SIGMA_PX));
    let mixture = GaussianMixture::new(&[(0.7, 0.8), (0.3, 1.6)]).unwrap();
    let gaussian_per_re_sq = 1.0 / (2.0 * LN_2);
    // Name, index, morphology, ⟨x²⟩ [r_e²] where the stamp holds it.
    let mut profiles = vec![
        ("mixture".to_owned(), 1.0, Morphology::Gaussians(Arc::new(mixture.clone())), Some(mixture.second_moment())),
        ("stamp".to_owned(), 1.0, Morphology::Stamp(Arc::new(round_stamp(0.0))), Some(gaussian_per_re_sq)),
    ];
    for n in [0.3, 0.5, 1.0, 1.5, 2.5, 4.0, 5.0, 6.2] {
        profiles.push((format!("n = {n}"), n, Morphology::Sersic, (n < 1.2).then(|| sersic_second_moment(n))));
    }
    for (name, n, morphology, second) in profiles {
        for (x, y, q, angle) in
            [(150.0, 150.0, 1.0, 0.0), (151.37, 148.81, 0.55, 28.0), (40.5, 299.5, 0.1, 115.0), (-3.2, 12.6, 0.8, -60.0)]
        {
            let at = PixelPoint::new(x, y);
            let re_arcsec = 0.8;
            let object = TruthObject {
                half_light_radius_arcsec: re_arcsec,
                axis_ratio: q,
                position_angle_deg: angle,
                sersic_n: n,
                morphology: morphology.clone(),
                ..TruthObject::point(1, meta.wcs.pixel_to_sky(at), FLUX)
            };
            let (stamp_box, stamp) = render_object(&meta, &object).unwrap().unwrap();
            let (sum, [x0, y0], [xx, xy, yy]) = moments(&stamp_box, &stamp);
            let cut = if second.is_some() { 2e-4 } else { 5.5e-3 };
            assert!(sum <= FLUX * (1.0 + 2e-5) && sum > FLUX * (1.0 - cut), "{name}, q = {q}: {sum}");
            // A stamp of even side reaches one pixel further to the left: the wings that it cuts off weigh more on the right.
            let epsilon = if second.is_some() { 5e-3 } else { 5e-2 };
            assert_abs_diff_eq!(x0, x, epsilon = epsilon);
            assert_abs_diff_eq!(y0, y, epsilon = epsilon);
            let Some(second) = second else { continue };
            let (sin, cos) = angle.to_radians().sin_cos();
            let tip = meta.wcs.sky_to_pixel(object.position.offset_by_arcsec(sin, cos)).unwrap();
            let length = (tip.x - x).hypot(tip.y - y);
            let (ux, uy) = ((tip.x - x) / length, (tip.y - y) / length);
            let major = second * (re_arcsec / 0.2).powi(2);
            let minor = major * q * q;
            let psf = SIGMA_PX * SIGMA_PX;
            let expected = [psf + major * ux * ux + minor * uy * uy, (major - minor) * ux * uy, psf + major * uy * uy + minor * ux * ux];
            for (found, expected) in [xx, xy, yy].into_iter().zip(expected) {
                // What the stamp cuts off lies far out: 1e-4 of the flux is 1 % of a disc's moment. The stamp galaxy's radius is measured.
                assert_abs_diff_eq!(found, expected, epsilon = 1.5e-2 * major);
            }
        }
    }
}

/// A galaxy of n = 0.3, 20 PSF widths in radius, is flat in its middle: there the PSF changes nothing, and the pixel is the surface brightness
/// itself. (Here GalSim's own table is off by 5e-4, which is what the golden comparison shows for this index.)
#[test]
fn flat_cores_are_closed_form() {
    let meta = meta(gaussian_psf(SIGMA_PX));
    let (re_px, q) = (70.0, 0.7);
    let object = TruthObject {
        half_light_radius_arcsec: re_px * 0.2,
        axis_ratio: q,
        sersic_n: 0.3,
        ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(150.0, 150.0)), FLUX)
    };
    let stamp = Renderer::new(&meta).render_square(&object, 16).unwrap().1;
    let r = 0.02f64;
    let expected = FLUX * fathom_sim::Sersic::of_index(0.3).enclosed(r) / (std::f64::consts::PI * r * r * q * re_px * re_px);
    assert_relative_eq!(stamp[[8, 8]], expected, max_relative = 2e-5);
}

/// A real galaxy, freed of its PSF and drawn through another, flattened and turned, is the Gaussian that it was: every pixel to 1e-3.
#[test]
fn stamp_galaxies_are_deconvolved() {
    let meta = meta(gaussian_psf(SIGMA_PX));
    let stamp = Arc::new(round_stamp(0.0));
    let re_arcsec = 0.25 * (2.0 * LN_2).sqrt();
    assert_relative_eq!(stamp.half_light_radius_arcsec(), re_arcsec, max_relative = 5e-3);
    for (size, q, angle) in [(re_arcsec, 1.0, 0.0), (1.6 * re_arcsec, 0.5, 40.0), (0.5 * re_arcsec, 0.7, -20.0)] {
        // The size that the stamp's own measure of itself makes exact.
        let named = size * stamp.half_light_radius_arcsec() / re_arcsec;
        let at = PixelPoint::new(120.3, 133.8);
        let real = TruthObject {
            half_light_radius_arcsec: named,
            axis_ratio: q,
            position_angle_deg: angle,
            sersic_n: 1.0,
            morphology: Morphology::Stamp(stamp.clone()),
            ..TruthObject::point(1, meta.wcs.pixel_to_sky(at), FLUX)
        };
        let ideal = TruthObject { half_light_radius_arcsec: size, sersic_n: 0.5, morphology: Morphology::Sersic, ..real.clone() };
        let renderer = Renderer::new(&meta);
        let (a, b) = (renderer.render_square(&real, 48).unwrap().1, renderer.render_square(&ideal, 48).unwrap().1);
        let peak = b.iter().fold(0.0f64, |m, v| m.max(*v));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / peak;
        assert!(worst < 1e-3, "size {size}: {worst}");
        assert_relative_eq!(a.sum(), b.sum(), max_relative = 1e-4);
    }
}

/// Noise in a stamp, drawn: its variance is what `stamp_noise_njy` says, within its scatter over 60 stamps (5 independent pixels: 8 %).
///
/// Noise moves the measured centre, flux and size of the galaxy, too, which is none of the pixels': it is made even about the centre and of
/// sum zero, and the sizes are matched.
#[test]
fn stamp_noise_is_known() {
    use rand::RngExt;
    let meta = meta(gaussian_psf(SIGMA_PX));
    let noise = 2e-4;
    let clean = round_stamp(noise);
    let mut rng = fathom::random::keyed_rng(5, "stamp-noise", 0, 0);
    let object = |stamp: StampGalaxy| TruthObject {
        half_light_radius_arcsec: 0.4 * stamp.half_light_radius_arcsec() / clean.half_light_radius_arcsec(),
        axis_ratio: 0.8,
        position_angle_deg: 30.0,
        sersic_n: 1.0,
        morphology: Morphology::Stamp(Arc::new(stamp)),
        ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(150.2, 149.9)), FLUX)
    };
    let renderer = Renderer::new(&meta);
    let expected = renderer.stamp_noise_njy(&object(clean.clone()));
    let gaussian = |side: usize, sigma: f64| {
        let c = (side as f64 - 1.0) / 2.0;
        Array2::from_shape_fn((side, side), |(j, i)| {
            (-0.5 * ((i as f64 - c).powi(2) + (j as f64 - c).powi(2)) / (sigma * sigma)).exp() / (TAU * sigma * sigma)
        })
    };
    let (light, psf) = (gaussian(64, 0.25f64.hypot(0.06) / 0.04), gaussian(31, 0.06 / 0.04));
    let squares: Vec<_> = (0..60)
        .map(|_| {
            // Twelve uniforms less six: a unit normal as far as a variance sees.
            let drawn = Array2::from_shape_fn((64, 64), |_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0);
            let even = Array2::from_shape_fn((64, 64), |(j, i)| (drawn[[j, i]] + drawn[[63 - j, 63 - i]]) * 0.5f64.sqrt());
            let image = &light + &((&even - even.mean().unwrap()) * noise);
            renderer.render_square(&object(StampGalaxy::new("noisy", image.view(), 0.04, psf.view(), noise).unwrap()), 32).unwrap().1
        })
        .collect();
    let mean = squares.iter().fold(Array2::<f64>::zeros((32, 32)), |sum, a| sum + a) / squares.len() as f64;
    let at = [(16, 21), (21, 16), (16, 20), (20, 20), (12, 20)];
    let of_pixel = |(y, x): (usize, usize)| squares.iter().map(|a| (a[[y, x]] - mean[[y, x]]).powi(2)).sum::<f64>() / 59.0;
    let variance = at.into_iter().map(of_pixel).sum::<f64>() / at.len() as f64;
    assert_relative_eq!(variance.sqrt(), expected, max_relative = 0.2);
}

/// Fluxes by the matched filter of the noiseless galaxy scatter over noisy stamps as `stamp_noise_of_filter` says: 300 stamps, 4 %; sizes are matched.
#[test]
fn stamp_noise_scatters_fluxes() {
    use rand_distr::{Distribution, StandardNormal};
    let meta = meta(gaussian_psf(SIGMA_PX));
    let noise = 2e-4;
    let clean = round_stamp(noise);
    let object = |stamp: StampGalaxy| TruthObject {
        half_light_radius_arcsec: 0.4 * stamp.half_light_radius_arcsec() / clean.half_light_radius_arcsec(),
        axis_ratio: 0.8,
        position_angle_deg: 30.0,
        sersic_n: 1.0,
        morphology: Morphology::Stamp(Arc::new(stamp)),
        ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(150.2, 149.9)), FLUX)
    };
    let renderer = Renderer::new(&meta);
    let blob = |side: usize, sigma: f64| {
        let c = (side as f64 - 1.0) / 2.0;
        Array2::from_shape_fn((side, side), |(j, i)| {
            (-0.5 * ((i as f64 - c).powi(2) + (j as f64 - c).powi(2)) / (sigma * sigma)).exp() / (TAU * sigma * sigma)
        })
    };
    let (light, psf) = (blob(64, 0.25f64.hypot(0.06) / 0.04), blob(31, 0.06 / 0.04));
    let profile = renderer.render_square(&object(clean.clone()), 32).unwrap().1 / FLUX;
    let expected = renderer.stamp_noise_of_filter(&object(clean.clone()), profile.view(), profile.view());
    let norm = profile.iter().map(|m| m * m).sum::<f64>();
    let fluxes: Vec<f64> = (0..300)
        .map(|k| {
            let mut rng = fathom::random::keyed_rng(6, "stamp-noise-of-flux", k, 0);
            let image = light.mapv(|v| v + noise * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng));
            let noisy = object(StampGalaxy::new("noisy", image.view(), 0.04, psf.view(), noise).unwrap());
            let pixels = renderer.render_square(&noisy, 32).unwrap().1;
            pixels.iter().zip(&profile).map(|(z, m)| z * m).sum::<f64>() / norm / FLUX
        })
        .collect();
    let mean = fluxes.iter().sum::<f64>() / 300.0;
    let scatter = (fluxes.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / 299.0).sqrt();
    println!("scatter {scatter:.5} of the flux, expected {expected:.5}, mean {mean:.5}");
    assert_relative_eq!(scatter, expected, max_relative = 4.0 / 600f64.sqrt());
}

/// Whole stamps and squares cut to size are the same pixels, also with a PSF that varies and one that is hardly sampled.
#[test]
fn squares_and_whole_stamps_agree() {
    let grid = |sigmas: [f64; 4]| {
        let stamps = sigmas.map(|s| Psf::new(gaussian_psf(s)).unwrap().stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0)).to_vec();
        PsfModel::StampGrid { x_px: vec![0.0, 300.0], y_px: vec![0.0, 300.0], stamps }
    };
    let sharp = PsfModel::Moffat { fwhm_px: 1.8, beta: 4.0, e1: 0.05, e2: 0.0, radius_px: 20, pixel_integrated: false };
    for psf in [gaussian_psf(SIGMA_PX), grid([1.5, 1.7, 1.9, 2.1]), sharp] {
        let meta = meta(psf);
        let renderer = Renderer::new(&meta);
        let at = PixelPoint::new(101.2, 210.6);
        for (re_arcsec, n) in [(0.4, 1.0), (0.6, 4.0), (3.0, 2.0)] {
            let object = TruthObject {
                half_light_radius_arcsec: re_arcsec,
                axis_ratio: 0.6,
                position_angle_deg: 50.0,
                sersic_n: n,
                bulge: Some(Bulge { fraction: 0.2, half_light_radius_arcsec: 0.2, axis_ratio: 0.9, sersic_n: 4.0 }),
                ..TruthObject::point(1, meta.wcs.pixel_to_sky(at), FLUX)
            };
            let (whole_box, whole) = renderer.render(&object).unwrap();
            let (square_box, square) = renderer.render_square(&object, 40).unwrap();
            let peak = whole.iter().fold(0.0f64, |m, v| m.max(*v));
            let worst = whole.slice(whole_box.slice_of(&square_box)).iter().zip(&square).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-5 * peak, "n = {n}: {}", worst / peak);
        }
    }
}

/// A point that moves by L pixels during the exposure: its flux, its mean place, and L²/12 more variance along its way.
#[test]
fn movers_are_trails() {
    let meta = meta(gaussian_psf(SIGMA_PX));
    let at = PixelPoint::new(150.3, 149.2);
    let still = TruthObject::point(1, meta.wcs.pixel_to_sky(at), FLUX);
    for length_px in [0.1, 3.0, 40.0] {
        let per_day = length_px * 0.2 * 86_400.0 / meta.exposure_time_s;
        let mover = TruthObject { motion_arcsec_per_day: [per_day * 0.6, per_day * 0.8], ..still.clone() };
        let (trail_box, trail) = render_object(&meta, &mover).unwrap().unwrap();
        let (sum, [x0, y0], [xx, _, yy]) = moments(&trail_box, &trail);
        assert_relative_eq!(sum, FLUX, max_relative = 1e-6);
        assert_abs_diff_eq!(x0, at.x, epsilon = 1e-5);
        assert_abs_diff_eq!(y0, at.y, epsilon = 1e-5);
        assert_relative_eq!(xx + yy, 2.0 * SIGMA_PX * SIGMA_PX + length_px * length_px / 12.0, max_relative = 1e-5);
    }
    // The same in Fourier space, for a galaxy of next to no size.
    let per_day = 6.0 * 0.2 * 86_400.0 / meta.exposure_time_s;
    let point = TruthObject { motion_arcsec_per_day: [per_day, 0.0], ..still };
    let galaxy = TruthObject { half_light_radius_arcsec: 1e-4, sersic_n: 1.0, ..point.clone() };
    let renderer = Renderer::new(&meta);
    let (a, b) = (renderer.render_square(&point, 40).unwrap().1, renderer.render_square(&galaxy, 40).unwrap().1);
    let peak = a.iter().fold(0.0f64, |m, v| m.max(*v));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5 * peak));
}

/// One row of a truth catalog; `extra` columns beside.
fn table(extra: &[(&str, ColumnData)]) -> Table {
    let mut table = Table::new();
    let mut columns: Vec<(&str, ColumnData)> = vec![
        ("id", ColumnData::I64(vec![17])),
        ("ra", ColumnData::F64(vec![150.1])),
        ("dec", ColumnData::F64(vec![2.2])),
        ("class", ColumnData::Text(vec!["galaxy".into()])),
        ("r_flux", ColumnData::F64(vec![1000.0])),
        ("half_light_radius", ColumnData::F64(vec![0.6])),
        ("axis_ratio", ColumnData::F64(vec![0.5])),
        ("position_angle", ColumnData::F64(vec![10.0])),
        ("sersic_n", ColumnData::F64(vec![1.0])),
        ("is_injected", ColumnData::Bool(vec![false])),
    ];
    for (name, data) in extra {
        columns.retain(|(n, _)| n != name);
        columns.push((name, data.clone()));
    }
    for (name, data) in columns {
        table.push(name, "", "", data).unwrap();
    }
    table
}

#[test]
fn optional_columns_are_read() {
    let f = |v: f64| ColumnData::F64(vec![v]);
    let text = |v: &str| ColumnData::Text(vec![v.into()]);
    let one = |extra: &[(&str, ColumnData)], mjd| TruthObject::of_table(&table(extra), "r", mjd).unwrap().remove(0);
    let plain = one(&[], 60_000.0);
    assert_eq!((plain.position, plain.flux_njy), (SkyPoint::from_degrees(150.1, 2.2), 1000.0));
    assert!(plain.bulge.is_none());

    let moved = one(&[("epoch", f(60_000.0)), ("pm_ra", f(3000.0))], 60_000.0 + 365.25);
    assert_abs_diff_eq!(plain.position.offset_to_arcsec(&moved.position).0, 3.0, epsilon = 1e-6);

    let sine = [("variability", text("sine")), ("var_period", f(2.0)), ("var_amplitude", f(0.3)), ("var_t0", f(60_000.0))];
    let ratio = one(&sine, 60_000.0).flux_njy / one(&sine, 60_001.0).flux_njy;
    assert_abs_diff_eq!(2.5 * ratio.log10(), 0.6, epsilon = 1e-9);
    let transient = [("variability", text("transient")), ("var_period", f(20.0)), ("var_t0", f(60_000.0))];
    assert_abs_diff_eq!(one(&transient, 60_020.0).flux_njy, 1000.0 * (-1.0f64).exp(), epsilon = 1e-9);
    assert!(TruthObject::of_table(&table(&transient), "r", 55_000.0).unwrap().is_empty());

    let bulge = one(&[("r_bulge_fraction", f(0.3)), ("bulge_half_light_radius", f(0.2))], 60_000.0).bulge.unwrap();
    assert_eq!(bulge, Bulge { fraction: 0.3, half_light_radius_arcsec: 0.2, axis_ratio: 1.0, sersic_n: 4.0 });

    let mut stamps = StampLibrary::default();
    stamps.insert("round", round_stamp(0.0));
    let with_stamp = table(&[("morphology", text("stamp:round"))]);
    let objects = TruthObject::of_table_with(&with_stamp, "r", 60_000.0, &stamps).unwrap();
    assert!(matches!(objects[0].morphology, Morphology::Stamp(_)));
}

/// The message names the row, the column, what was found and what was expected.
#[test]
fn bad_cells_are_named() {
    let f = |v: f64| ColumnData::F64(vec![v]);
    let text = |v: &str| ColumnData::Text(vec![v.into()]);
    let transient = || ("variability", text("transient"));
    for (extra, expected) in [
        (vec![("r_flux", f(f64::NAN))], "r_flux of object 17 is NaN; expected a finite number, not negative"),
        (vec![("r_flux", f(-3.0))], "r_flux of object 17 is -3"),
        (vec![("ra", f(f64::NAN))], "ra of object 17 is NaN"),
        (vec![("dec", f(93.0))], "dec of object 17 is 93; expected degrees in -90..=90"),
        (vec![("half_light_radius", f(-0.5))], "half_light_radius of object 17 is -0.5"),
        (vec![("axis_ratio", f(0.0))], "axis_ratio of object 17 is 0; expected a number in (0, 1]"),
        (vec![("axis_ratio", f(f64::NAN))], "axis_ratio of object 17 is NaN"),
        (vec![("sersic_n", f(0.2))], "sersic_n of object 17 is 0.2; expected 0 (point source) or 0.3..=6.2"),
        (vec![("sersic_n", f(6.5))], "sersic_n of object 17 is 6.5"),
        (vec![("class", text("quasar"))], "class of object 17 is quasar"),
        (vec![("morphology", text("stamp:m51"))], "morphology of object 17 is stamp:m51"),
        (vec![("morphology", text("spiral"))], "morphology of object 17 is spiral"),
        (vec![("variability", text("flare"))], "variability of object 17 is flare"),
        (vec![transient(), ("var_period", f(-1.0)), ("var_t0", f(6e4))], "var_period of object 17 is -1"),
        (vec![transient(), ("var_period", f(10.0))], "var_t0 of object 17 is NaN"),
        (vec![("pm_ra", f(10.0))], "epoch of object 17 is 0"),
        (vec![("r_bulge_fraction", f(1.2))], "r_bulge_fraction of object 17 is 1.2"),
        (vec![("r_bulge_fraction", f(0.5)), ("bulge_sersic_n", f(9.0))], "bulge_sersic_n of object 17 is 9"),
    ] {
        let error = TruthObject::of_table(&table(&extra), "r", 60_000.0).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(StampGalaxy::new("x", Array2::from_elem((4, 4), 1.0).view(), 0.03, Array2::from_elem((9, 9), 1.0).view(), 0.0).is_err());
}

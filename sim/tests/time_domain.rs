//! A moving source and light curves, recovered from the drawn pixels by photometry made by hand.
//!
//! Twenty visits over a month. A window of the PSF's shape and Σ p d / Σ p² are all that is used; what is found must agree with the truth
//! catalog within the errors that photons give (four standard deviations of each statistic).

use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::Exposure;
use fathom_sim::{CadenceConfig, CameraConfig, ExposurePlan, StampLibrary, plan_exposures, simulate};
use nalgebra::{DMatrix, DVector};

const SEED: u64 = 33;
const FLUX_NJY: f64 = 8e5;
const PERIOD_D: f64 = 4.37;
const AMPLITUDE_MAG: f64 = 0.35;
const T0_MJD: f64 = 60_003.2;
const RATE_ARCSEC_D: (f64, f64) = (0.31, -0.17);
const EPOCH_MJD: f64 = 60_015.0;

fn center() -> SkyPoint {
    SkyPoint::from_degrees(150.1, 2.2)
}

/// A constant star, a sine, a transient (brightest on day 12, falls in 5 days), a mover.
fn truth() -> Table {
    let at = [(-12.0, -12.0), (12.0, -12.0), (-12.0, 12.0), (6.0, 6.0)].map(|(e, n)| center().offset_by_arcsec(e, n));
    let mut table = Table::new();
    let mut push = |name: &str, data| table.push(name, "", "", data).unwrap();
    push("id", ColumnData::I64(vec![1, 2, 3, 4]));
    push("ra", ColumnData::F64(at.iter().map(SkyPoint::ra_deg).collect()));
    push("dec", ColumnData::F64(at.iter().map(SkyPoint::dec_deg).collect()));
    push("class", ColumnData::Text(["star", "variable", "transient", "mover"].map(String::from).to_vec()));
    push("r_flux", ColumnData::F64(vec![FLUX_NJY; 4]));
    for (name, value) in [("half_light_radius", 0.0), ("axis_ratio", 1.0), ("position_angle", 0.0), ("sersic_n", 0.0)] {
        push(name, ColumnData::F64(vec![value; 4]));
    }
    push("is_injected", ColumnData::Bool(vec![false; 4]));
    push("epoch", ColumnData::F64(vec![EPOCH_MJD; 4]));
    let mas_yr = |arcsec_d: f64| arcsec_d * 365.25 * 1000.0;
    push("pm_ra", ColumnData::F64(vec![0.0, 0.0, 0.0, mas_yr(RATE_ARCSEC_D.0)]));
    push("pm_dec", ColumnData::F64(vec![0.0, 0.0, 0.0, mas_yr(RATE_ARCSEC_D.1)]));
    push("variability", ColumnData::Text(["", "sine", "transient", ""].map(String::from).to_vec()));
    push("var_period", ColumnData::F64(vec![f64::NAN, PERIOD_D, 5.0, f64::NAN]));
    push("var_amplitude", ColumnData::F64(vec![0.0, AMPLITUDE_MAG, 0.0, 0.0]));
    push("var_t0", ColumnData::F64(vec![f64::NAN, T0_MJD, 60_012.0, f64::NAN]));
    table
}

fn visits() -> Vec<(ExposurePlan, Exposure)> {
    let camera = CameraConfig {
        n_exposures: 20,
        size_px: [220, 220],
        cadence: CadenceConfig { span_days: 30.0, ..CadenceConfig::default() },
        dither_arcsec: 1.0,
        n_bad_columns: 0,
        hot_pixel_fraction: 0.0,
        cosmic_rays: 0.0,
        background_gradient: 0.0,
        ..CameraConfig::default()
    };
    let plans = plan_exposures(&camera, center(), &["r".into()], SEED).unwrap();
    let table = truth();
    plans
        .into_iter()
        .map(|plan| {
            let exposure = simulate(&plan, &camera, &table, &StampLibrary::default(), SEED, 0).unwrap();
            (plan, exposure)
        })
        .collect()
}

/// Σ p d / Σ p² at a position, and its error by the variance plane \[nJy\].
fn photometry(plan: &ExposurePlan, exposure: &Exposure, at: PixelPoint) -> (f64, f64) {
    let ((x, y), r) = (at.pixel(), plan.meta.psf.radius_px() as i32);
    let stamp_box = Box2::new(x - r, y - r, 2 * r + 1, 2 * r + 1);
    let psf = plan.meta.psf.stamp(at, at.x - f64::from(x), at.y - f64::from(y));
    let (mut pd, mut pp, mut ppv) = (0.0, 0.0, 0.0);
    for ((j, i), p) in psf.indexed_iter() {
        let Some(k) = exposure.bbox.index(stamp_box.x0 + i as i32, stamp_box.y0 + j as i32) else { continue };
        let sky = plan.sky_e_at(f64::from(stamp_box.x0) + i as f64, f64::from(stamp_box.y0) + j as f64) / plan.meta.gain_e_per_adu;
        pd += p * (f64::from(exposure.image[k]) - sky);
        pp += p * p;
        ppv += p * p * f64::from(exposure.variance[k]);
    }
    let njy = plan.meta.photo_calib.at(at);
    (pd / pp * njy, ppv.sqrt() / pp * njy)
}

/// Centroid in a window of the PSF's shape, moved until it stands still; from a guess.
fn centroid(plan: &ExposurePlan, exposure: &Exposure, guess: PixelPoint) -> PixelPoint {
    let (sigma, mut at) = (plan.meta.psf.fwhm_px(guess) / 2.354_82, guess);
    for _ in 0..30 {
        let (mut w, mut wx, mut wy) = (0.0, 0.0, 0.0);
        let (x, y) = at.pixel();
        for (dy, dx) in (-8..=8).flat_map(|j| (-8..=8).map(move |i| (j, i))) {
            let Some(k) = exposure.bbox.index(x + dx, y + dy) else { continue };
            let (u, v) = (f64::from(x + dx) - at.x, f64::from(y + dy) - at.y);
            let sky = plan.sky_e_at(f64::from(x + dx), f64::from(y + dy)) / plan.meta.gain_e_per_adu;
            let value = (f64::from(exposure.image[k]) - sky) * (-(u * u + v * v) / (2.0 * sigma * sigma)).exp();
            w += value;
            wx += value * u;
            wy += value * v;
        }
        // A window as wide as the PSF sees about half of the offset.
        at = PixelPoint::new(at.x + 2.0 * wx / w, at.y + 2.0 * wy / w);
    }
    at
}

/// Weighted least squares: parameters and their errors.
fn fit(rows: &[Vec<f64>], values: &[f64], sigma: &[f64]) -> (DVector<f64>, Vec<f64>, f64) {
    let a = DMatrix::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j] / sigma[i]);
    let b = DVector::from_fn(values.len(), |i, _| values[i] / sigma[i]);
    let covariance = (a.transpose() * &a).try_inverse().unwrap();
    let solution = &covariance * a.transpose() * &b;
    let chi2 = (&a * &solution - &b).norm_squared();
    let errors = (0..solution.len()).map(|i| covariance[(i, i)].sqrt()).collect();
    (solution, errors, chi2)
}

#[test]
fn light_curves_are_recovered() {
    let (table, visits) = (truth(), visits());
    let curve = |row: usize| -> Vec<(f64, f64, f64)> {
        let sky = SkyPoint::from_degrees(table.f64("ra").unwrap()[row], table.f64("dec").unwrap()[row]);
        visits
            .iter()
            .map(|(plan, exposure)| {
                let (flux, error) = photometry(plan, exposure, plan.meta.wcs.sky_to_pixel(sky).unwrap());
                (plan.meta.mjd, flux, error)
            })
            .collect()
    };
    // 20 points less the parameters: χ² within four standard deviations.
    let is_good = |chi2: f64, dof: f64| (chi2 - dof).abs() < 4.0 * (2.0 * dof).sqrt();
    let column = |c: &[(f64, f64, f64)], k: usize| -> Vec<f64> { c.iter().map(|p| [p.0, p.1, p.2][k]).collect() };

    let star = curve(0);
    let (mean, error, chi2) = fit(&vec![vec![1.0]; star.len()], &column(&star, 1), &column(&star, 2));
    println!("star: {:.0} +- {:.0} of {FLUX_NJY} nJy, chi2 {chi2:.1} of 19", mean[0], error[0]);
    assert!((mean[0] - FLUX_NJY).abs() < 4.0 * error[0] && is_good(chi2, 19.0));

    // m(t) = m0 - A cos(2π (t - t0)/P): linear in m0, A cos, A sin.
    let variable = curve(1);
    let rows: Vec<Vec<f64>> = variable
        .iter()
        .map(|(t, _, _)| {
            let (sin, cos) = (std::f64::consts::TAU * (t - T0_MJD) / PERIOD_D).sin_cos();
            vec![1.0, -cos, -sin]
        })
        .collect();
    let magnitudes: Vec<f64> = variable.iter().map(|p| -2.5 * p.1.log10()).collect();
    let errors: Vec<f64> = variable.iter().map(|p| 1.085_736 * p.2 / p.1).collect();
    let (sine, error, chi2) = fit(&rows, &magnitudes, &errors);
    println!(
        "variable: amplitude {:.4} +- {:.4} of {AMPLITUDE_MAG} mag, quadrature {:.4} +- {:.4}, chi2 {chi2:.1} of 17",
        sine[1], error[1], sine[2], error[2]
    );
    assert!((sine[1] - AMPLITUDE_MAG).abs() < 4.0 * error[1] && sine[2].abs() < 4.0 * error[2] && is_good(chi2, 17.0));
    // The catalog's flux is the mean of the fluxes over a period.
    let n = 1000;
    let over_period = (0..n).map(|i| (f64::from(i) / f64::from(n) * std::f64::consts::TAU).cos());
    let mean = over_period.map(|c| 10f64.powf(-0.4 * (sine[0] - sine[1] * c))).sum::<f64>() / f64::from(n);
    let relative = (error[0].powi(2) + (0.5 * error[1]).powi(2)).sqrt() / 1.085_736;
    println!("variable: mean flux {:.5} +- {relative:.5} of the catalog's", mean / FLUX_NJY);
    assert!((mean / FLUX_NJY - 1.0).abs() < 4.0 * relative);

    let transient = curve(2);
    let expected = |t: f64| FLUX_NJY * if t < 60_012.0 { (5.0 * (t - 60_012.0) / 5.0).exp() } else { (-(t - 60_012.0) / 5.0).exp() };
    let chi2: f64 = transient.iter().map(|(t, f, e)| ((f - expected(*t)) / e).powi(2)).sum();
    println!("transient: chi2 {chi2:.1} of {}", transient.len());
    assert!(is_good(chi2, transient.len() as f64));
}

#[test]
fn a_motion_is_recovered() {
    let (table, visits) = (truth(), visits());
    let start = SkyPoint::from_degrees(table.f64("ra").unwrap()[3], table.f64("dec").unwrap()[3]);
    let (mut rows, mut east, mut north, mut sigma) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (plan, exposure) in &visits {
        let days = plan.meta.mjd - EPOCH_MJD;
        // A guess off by two pixels, as a search would give.
        let guess = plan.meta.wcs.sky_to_pixel(start.offset_by_arcsec(RATE_ARCSEC_D.0 * days + 0.3, RATE_ARCSEC_D.1 * days - 0.3)).unwrap();
        let at = centroid(plan, exposure, guess);
        let (flux, error) = photometry(plan, exposure, at);
        let (e, n) = start.offset_to_arcsec(&plan.meta.wcs.pixel_to_sky(at));
        rows.push(vec![1.0, days]);
        east.push(e);
        north.push(n);
        // σ = FWHM / (2.3548 S/N) is that of a Gaussian's best fit in white noise (King 1983); the window does nearly as well.
        sigma.push(plan.meta.psf.fwhm_px(at) * 0.2 / 2.354_82 * error / flux * 2f64.sqrt());
    }
    for (name, values, rate) in [("east", &east, RATE_ARCSEC_D.0), ("north", &north, RATE_ARCSEC_D.1)] {
        let (line, error, chi2) = fit(&rows, values, &sigma);
        println!(
            "mover, {name}: {:.5} +- {:.5} of {rate} arcsec/d, at the epoch {:.4} +- {:.4} arcsec, chi2 {chi2:.1} of 18",
            line[1], error[1], line[0], error[0]
        );
        assert!((line[1] - rate).abs() < 4.0 * error[1] && line[0].abs() < 4.0 * error[0], "{name}");
        // The window and the Moffat's wings cost up to 1.5 in variance, and χ² scatters by 6.
        assert!(chi2 < 1.5 * (18.0 + 4.0 * 6.0), "{name}: {chi2}");
    }
}

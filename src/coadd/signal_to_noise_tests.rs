//! Signal-to-noise of point sources on direct, likelihood and proper coadds against theory, for three distributions of seeing.

use super::proper_tests::{noisy, proper_of};
use super::tests::{CALIB, SIGMA_ADU, add_star, coadd_on, exposure, tract};
use super::*;
use crate::geometry::{Box2, PixelPoint};
use crate::image::{ApCorrMap, Exposure, ExposureId};
use ndarray::{Array2, ArrayView2, Axis, s};

/// Half-width of the filters \[pixel\].
const RADIUS: usize = 15;
/// Realisations of the noise.
const N: usize = 8;

/// Exposures of lognormal seeing around 3.5 px, at the middles of five equal parts of the distribution, rotated and moved.
fn exposures(scatter: f64) -> Vec<Exposure> {
    // Quantiles .1, .3, .5, .7, .9 of a unit normal.
    [-1.2816, -0.5244, 0.0, 0.5244, 1.2816]
        .iter()
        .enumerate()
        .map(|(k, z): (usize, &f64)| {
            let mut e = exposure(3.5 * (scatter * z).exp(), 0.1 * k as f64 - 0.2, 0.2, 1.3 * k as f64);
            e.meta.id = ExposureId(format!("e{k}"));
            e
        })
        .collect()
}

/// One way of measuring a point source on a pixel: the flux per unit of what is summed, and the error that it predicts \[nJy\].
struct Filter {
    name: &'static str,
    weights: Array2<f64>,
    predicted_njy: f64,
}

/// The PSF-weighted sum on an image whose noise has this covariance: Σ p z/Σ p², variance Σ_d C(d) (p ⋆ p)(d)/(Σ p²)².
fn psf_weighted(name: &'static str, psf: Array2<f64>, covariance: ArrayView2<f64>) -> Filter {
    let sq: f64 = psf.iter().map(|p| p * p).sum();
    let lags = stamp_autocorrelation(psf.view(), covariance.nrows() / 2);
    let variance: f64 = lags.iter().zip(covariance).map(|(l, c)| l * c).sum();
    Filter { name, weights: psf / sq, predicted_njy: variance.sqrt() / sq }
}

fn sum_at(image: &Array2<f32>, weights: &Array2<f64>, x: usize, y: usize) -> f64 {
    let r = weights.nrows() / 2;
    image.slice(s![y - r..=y + r, x - r..=x + r]).iter().zip(weights).map(|(z, w)| f64::from(*z) * w).sum()
}

/// Each kind's measured S/N (flux of a noiseless star over the scatter of blank sky) within 1 % of its own prediction, beyond the error of the
/// scatter; likelihood and proper within 1 % of the optimum √(Σ_e Σφ²/v).
#[test]
fn signal_to_noise_of_point_sources_is_that_of_theory() {
    let t = tract();
    let star = PixelPoint::new(96.0, 96.0);
    for scatter in [0.05, 0.2, 0.35] {
        let all = exposures(scatter);
        let mut with_star = all.clone();
        with_star.iter_mut().for_each(|e| add_star(e, &t, star, 1e4));
        let noiseless = coadd_on(&with_star, t.bbox());
        let optimum = all
            .iter()
            .map(|e| {
                let p = e.meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(star)).unwrap();
                let (px, py) = p.pixel();
                let stamp = e.meta.psf.stamp(p, p.x - f64::from(px), p.y - f64::from(py));
                stamp.iter().map(|v| v * v).sum::<f64>() / (SIGMA_ADU * CALIB).powi(2)
            })
            .sum::<f64>()
            .sqrt();
        let proper = proper_of(&t, &noiseless);
        let cell = proper.cells.iter().position(|c| *c == (1, 1)).unwrap();
        let inputs = all
            .iter()
            .zip(&noiseless.inputs)
            .map(|(e, i)| CoaddPsfInput { meta: e.meta.clone(), ap_corr: ApCorrMap::default(), weight: i.weight })
            .collect();
        let words = noiseless.inputs_wyx.slice(s![.., 96, 96]).to_vec();
        let direct_psf = CoaddPsf::new(inputs, t.wcs().clone(), 3).stamp(star, &words, RADIUS);
        let h = proper.half_width;
        let proper_psf = proper.psf.index_axis(Axis(0), cell).slice(s![h - RADIUS..=h + RADIUS, h - RADIUS..=h + RADIUS]).mapv(f64::from);
        let phi = f64::from(noiseless.phi[[96, 96]]);
        let filters = [
            psf_weighted("direct", direct_psf, noiseless.covariance.covariance_njy2.index_axis(Axis(0), cell)),
            psf_weighted("proper", proper_psf, proper.covariance_njy2.index_axis(Axis(0), cell).mapv(f64::from).view()),
            Filter { name: "likelihood", weights: Array2::from_elem((1, 1), 1.0 / phi), predicted_njy: phi.sqrt().recip() },
        ];
        let flux: Vec<f64> = filters
            .iter()
            .zip([&noiseless.image_njy, &proper.image_njy, &noiseless.psi])
            .map(|(f, image)| sum_at(image, &f.weights, 96, 96) / 1e4)
            .collect();
        let (mut squares, mut n) = ([0.0; 3], 0.0);
        for k in 0..N {
            let c = coadd_on(&noisy(all.clone(), 500 + k as u64), t.bbox());
            let proper = proper_of(&t, &c);
            let inner = Box2::new(64, 64, 128, 128).grown(32 - RADIUS as i32);
            // Positions 9 px apart: correlated by a few per cent at most.
            for (y, x) in
                (inner.y0..inner.y1()).step_by(9).flat_map(|y| (inner.x0..inner.x1()).step_by(9).map(move |x| (y as usize, x as usize)))
            {
                for ((sq, f), image) in squares.iter_mut().zip(&filters).zip([&c.image_njy, &proper.image_njy, &c.psi]) {
                    *sq += sum_at(image, &f.weights, x, y).powi(2);
                }
                n += 1.0;
            }
        }
        println!("seeing scatter {scatter}: optimum {:.5} per nJy, {n} sums of blank sky", optimum);
        for ((f, flux), sq) in filters.iter().zip(&flux).zip(squares) {
            let (predicted, measured) = (1.0 / f.predicted_njy, flux / (sq / n).sqrt());
            let error = 1.0 / (2.0 * n).sqrt();
            println!(
                "  {:10} predicted {:.4} measured {:.4} +- {error:.4} of the optimum; flux {flux:.5}",
                f.name,
                predicted / optimum,
                measured / optimum
            );
            assert!((measured / predicted - 1.0).abs() < 0.01 + 3.0 * error, "{scatter}, {}: {measured} {predicted}", f.name);
            let least = if f.name == "direct" { 0.9 } else { 0.99 };
            assert!((least..1.01).contains(&(predicted / optimum)), "{scatter}, {}: {}", f.name, predicted / optimum);
        }
    }
}

//! Autocorrelation of the PSFs, morphologies and the proper coadd on drawn sources and keyed noise.

use super::multi_band::BandMaps;
use super::tests::{CALIB, SIGMA_ADU, add_star, coadd_on, exposure, tract};
use super::*;
use crate::geometry::{Box2, Cell, PixelPoint, Tract};
use crate::image::psf::PsfModel;
use crate::image::{Exposure, ExposureId, MaskPlane, Psf};
use crate::random::keyed_rng;
use ndarray::{Array2, ArrayView2, s};
use rand_distr::{Distribution, Normal};

pub(super) const BORDER: usize = 48;
pub(super) const FLOOR: f64 = 1e-4;
const VARIANCE_NJY2: f64 = (SIGMA_ADU * CALIB) * (SIGMA_ADU * CALIB);

/// Exposures of this FWHM or a little more, in their own pixels, rotated, on two pixel scales.
fn exposures(fwhm_px: f64) -> Vec<Exposure> {
    let of = |k: usize, factor: f64, angle: f64, scale: f64| {
        let mut e = exposure(fwhm_px * factor, angle, scale, 1.7 * k as f64);
        e.meta.id = ExposureId(format!("e{k}"));
        e
    };
    vec![of(0, 1.0, 0.0, 0.2), of(1, 1.1, 0.2, 0.2), of(2, 1.05, -0.15, 0.22)]
}

pub(super) fn noisy(mut all: Vec<Exposure>, seed: u64) -> Vec<Exposure> {
    let normal = Normal::new(0.0, SIGMA_ADU).unwrap();
    for (k, e) in all.iter_mut().enumerate() {
        let mut rng = keyed_rng(seed, "noise", k as u64, 0);
        e.image.mapv_inplace(|_| normal.sample(&mut rng) as f32);
    }
    all
}

/// Autocorrelations of the tract's cells.
pub(super) fn cells_of(tract: &Tract, coadd: &BandCoadd) -> Vec<(Cell, Option<CellAutocorrelation>)> {
    let psfs = &coadd.autocorrelation;
    let of =
        |i: usize| CellAutocorrelation { lags: psfs.autocorrelation.index_axis(ndarray::Axis(0), i).to_owned(), weight: psfs.weight[i] };
    tract.cells_in(&coadd.bbox).into_iter().enumerate().map(|(i, cell)| (cell, (psfs.weight[i] > 0.0).then(|| of(i)))).collect()
}

pub(super) fn proper_of(tract: &Tract, coadd: &BandCoadd) -> ProperCoadd {
    let around = coadd.bbox.grown(BORDER as i32);
    let grown = |plane: &Array2<f32>| {
        let mut out = Array2::zeros(around.shape());
        out.slice_mut(around.slice_of(&coadd.bbox)).assign(plane);
        out
    };
    let (psi, phi) = (grown(&coadd.psi), grown(&coadd.phi));
    let maps = BandMaps { psi: psi.view(), phi: phi.view() };
    proper_coadd(coadd.bbox, &cells_of(tract, coadd), maps, coadd.mask.view(), BORDER, FLOOR)
}

/// A(0) is Φ, A(d) the image of a point source in Ψ, W the inverse variance of a pixel: for seeing, rotation and scale of all kinds.
///
/// The quintic spline's gain is 1.6e-3 for an FWHM of 2.5 px, and 3e-4 from 3 px on.
#[test]
fn autocorrelation_is_phi_and_the_image_of_a_star() {
    let t = tract();
    for fwhm in [2.6, 3.5, 5.0] {
        let mut all = exposures(fwhm);
        let star = PixelPoint::new(97.0, 161.0);
        all.iter_mut().for_each(|e| add_star(e, &t, star, 1e4));
        let c = coadd_on(&all, t.bbox());
        let h = c.autocorrelation.half_width;
        let cell = t.cell_of(star).unwrap();
        let i = c.autocorrelation.cells.iter().position(|c| *c == (cell.column, cell.row)).unwrap();
        let lags = c.autocorrelation.autocorrelation.index_axis(ndarray::Axis(0), i);
        let peak = f64::from(lags[[h, h]]);
        let phi = f64::from(c.phi[[161, 97]]);
        assert!((peak / phi - 1.0).abs() < 1e-3, "FWHM {fwhm}: A(0) {peak}, phi {phi}");
        for ((j, i), a) in lags.indexed_iter() {
            let at = c.bbox.index(97 + i as i32 - h as i32, 161 + j as i32 - h as i32).unwrap();
            let found = f64::from(c.psi[at]) / 1e4;
            assert!((found - f64::from(*a)).abs() < 2e-3 * peak, "FWHM {fwhm}, lag {j} {i}: {found} {a}");
        }
        let expected = (2.0 + (0.22f64 / 0.2).powi(2)) / VARIANCE_NJY2;
        // Tangent planes 40 arcsec apart, scales that agree to 1e-6.
        assert!((c.autocorrelation.weight[i] / expected - 1.0).abs() < 1e-5, "{} {expected}", c.autocorrelation.weight[i]);
        // l2 = ½ Σ|∇φ|²/v / Σφ²/v.
        let l2 = noise_curvature(lags);
        let statistics = {
            let visits: Vec<_> = all.iter().map(super::tests::visit).collect();
            let inputs: Vec<_> = all.iter().map(|e| &e.meta).zip(&visits).collect();
            noise_statistics(&inputs).l2_per_arcsec2 * 0.04
        };
        // Differences over half a pixel, there, smooth by (k/4)²/6: 3 % for the narrowest.
        assert!((l2 / statistics - 1.0).abs() < 0.05, "FWHM {fwhm}: l2 {l2} {statistics}");
    }
}

/// A PSF that varies over the exposure: A(0) is the Φ in the middle of every cell; half a cell has half of it.
#[test]
fn autocorrelation_follows_a_varying_psf() {
    let t = tract();
    let mut e = exposure(3.0, 0.1, 0.2, 0.0);
    let gaussian = |fwhm: f64| gaussian_psf(fwhm, 20);
    let stamps = vec![gaussian(3.0), gaussian(3.1), gaussian(3.2), gaussian(3.05)];
    e.meta.psf = Psf::new(PsfModel::StampGrid { x_px: vec![0.0, 330.0], y_px: vec![0.0, 330.0], stamps }).unwrap();
    let c = coadd_on(std::slice::from_ref(&e), t.bbox());
    let h = c.autocorrelation.half_width;
    for (i, (column, row)) in c.autocorrelation.cells.iter().enumerate() {
        let at = [*row as usize * 64 + 32, *column as usize * 64 + 32];
        let (a, phi) = (f64::from(c.autocorrelation.autocorrelation[[i, h, h]]), f64::from(c.phi[at]));
        // Between nodes 128 px apart, over which the PSF changes by 2 %, A bends by less than 1e-3.
        assert!((a / phi - 1.0).abs() < 2e-3, "cell {column} {row}: {a} {phi}");
    }
    // An exposure that begins at column 27.5 of the tract: half of the sampled columns of the first cells lie on it.
    let c = coadd_on(&[exposure(3.0, 0.0, 0.2, -65.0)], t.bbox());
    let h = c.autocorrelation.half_width;
    let (first, second) = (c.autocorrelation.autocorrelation[[0, h, h]], c.autocorrelation.autocorrelation[[1, h, h]]);
    assert!((first / second - 0.5).abs() < 1e-5, "{first} of {second}");
}

/// A disc drawn through the PSF: Ψ_g/Φ_g is its flux, Φ_g from the autocorrelation.
#[test]
fn a_discs_flux_follows_from_psi_and_the_autocorrelation() {
    let t = tract();
    for (fwhm, half_light_px) in [(2.6, 1.0), (3.5, 2.0), (3.5, 4.0)] {
        let g = exponential_stamp(half_light_px);
        let r = (g.nrows() / 2) as i32;
        let mut e = exposure(fwhm, 0.0, 0.2, 0.0);
        let at = PixelPoint::new(130.0, 122.0);
        // The exposure's pixels are the tract's, moved: the disc's light may be drawn on its own grid, star by star.
        for ((j, i), v) in g.indexed_iter() {
            add_star(&mut e, &t, PixelPoint::new(at.x + f64::from(i as i32 - r), at.y + f64::from(j as i32 - r)), 1e4 * v);
        }
        let c = coadd_on(&[e], t.bbox());
        let around = c.bbox.slice_of(&Box2::new(130, 122, 1, 1).grown(r));
        let psi = psi_of_morphology(c.psi.slice(around), g.view())[[0, 0]];
        let cell = c.autocorrelation.cells.iter().position(|c| *c == (2, 1)).unwrap();
        let phi = phi_of_morphology(c.autocorrelation.autocorrelation.index_axis(ndarray::Axis(0), cell), g.view());
        assert!((psi / phi / 1e4 - 1.0).abs() < 2e-3, "FWHM {fwhm}, r_half {half_light_px}: {}", psi / phi);
    }
}

/// A stamp moved by less than a pixel, in Fourier space.
pub(super) fn shifted(stamp: ArrayView2<f32>, dx: f64, dy: f64) -> Array2<f64> {
    let stamp = stamp.mapv(f64::from);
    let fft = fft2::RealFft2::new(fft2::fast_length(stamp.nrows() + 8));
    let n = fft.n();
    let frequency = |i: usize| (if 2 * i > n { i as f64 - n as f64 } else { i as f64 }) / n as f64;
    let mut spectrum = fft.of_stamp(stamp.view());
    spectrum.indexed_iter_mut().for_each(|((i, j), v)| {
        *v *= rustfft::num_complex::Complex64::cis(-std::f64::consts::TAU * (frequency(i) * dx + frequency(j) * dy));
    });
    morphology::centred(&fft.inverse(spectrum), stamp.nrows() / 2)
}

/// Flux inside `radius`, and size and ellipticity of the core under a Gaussian weight around (`x`, `y`).
pub(super) fn core(stamp: &Array2<f64>, x: f64, y: f64, radius: f64) -> [f64; 4] {
    let (mut sums, mut flux) = ([0.0; 4], 0.0);
    for ((j, i), v) in stamp.indexed_iter() {
        let (dx, dy) = (i as f64 - x, j as f64 - y);
        let r2 = dx * dx + dy * dy;
        let w = v * (-0.5 * r2 / (radius * radius / 2.0)).exp();
        if r2 < radius * radius {
            flux += v;
        }
        for (sum, term) in sums.iter_mut().zip([1.0, dx * dx, dy * dy, dx * dy]) {
            *sum += w * term;
        }
    }
    let [norm, xx, yy, xy] = sums;
    [flux, ((xx + yy) / norm).sqrt(), (xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)]
}

/// Noiseless stars on the proper coadd against the PSF given, 245 for every FWHM: core flux, size and ellipticity within 1e-3 in the mean and
/// 5e-3 each. The PSF-weighted sum is Ψ/Φ within 1e-3, its error by the covariance within 1 % of Φ^(-1/2).
#[test]
fn stars_on_the_proper_coadd_have_the_psf_given() {
    let t = tract();
    // 2.4 px is 2.5 with the pixel, and the third exposure of 4.2 px has 5 pixels of the tract.
    for fwhm in [2.4, 3.5, 4.2] {
        let mut residuals: Vec<[f64; 4]> = Vec::new();
        for k in 0..5 {
            let phase = |i: usize, m: f64| (m * i as f64 + 0.31 * f64::from(k)).fract() - 0.5;
            let stars: Vec<_> = (0..49)
                .map(|i| PixelPoint::new(33.0 + 31.5 * (i % 7) as f64 + phase(i, 0.377), 33.0 + 31.5 * (i / 7) as f64 + phase(i, 0.619)))
                // One star in five sits on a pixel: there its flux is compared.
                .map(|p| if k == 0 { PixelPoint::new(p.x.round(), p.y.round()) } else { p })
                .collect();
            let mut all = exposures(fwhm);
            all.iter_mut().for_each(|e| stars.iter().for_each(|s| add_star(e, &t, *s, 1e4)));
            let c = coadd_on(&all, t.bbox());
            let proper = proper_of(&t, &c);
            for star in &stars {
                let (x, y) = star.pixel();
                let cell = t.cell_of(*star).unwrap();
                let i = proper.cells.iter().position(|c| *c == (cell.column, cell.row)).unwrap();
                let h = proper.half_width as i32;
                let psf = proper.psf.index_axis(ndarray::Axis(0), i);
                let r = 13.min(h);
                let part = Box2::new(x, y, 1, 1).grown(r);
                let mask = proper.mask.slice(c.bbox.slice_of(&part));
                assert!(mask.iter().all(|m| m & (MaskPlane::InexactPsf.bit() | MaskPlane::NoData.bit()) == 0), "star at {x} {y}");
                let image = proper.image_njy.slice(c.bbox.slice_of(&part)).mapv(|v| f64::from(v) / 1e4);
                let (dx, dy) = (star.x - f64::from(x), star.y - f64::from(y));
                let inner = s![h - r..=h + r, h - r..=h + r];
                let model = shifted(psf, dx, dy).slice(inner).to_owned();
                let at = (f64::from(r) + dx, f64::from(r) + dy);
                let (found, expected) = (core(&image, at.0, at.1, 1.5 * fwhm), core(&model, at.0, at.1, 1.5 * fwhm));
                residuals.push([
                    found[0] / expected[0] - 1.0,
                    found[1] / expected[1] - 1.0,
                    found[2] - expected[2],
                    found[3] - expected[3],
                ]);
                if k == 0 {
                    let sq: f64 = model.iter().map(|p| p * p).sum();
                    let flux = image.iter().zip(&model).map(|(z, p)| z * p).sum::<f64>() / sq;
                    let at = [y as usize, x as usize];
                    let likelihood = f64::from(c.psi[at]) / f64::from(c.phi[at]) / 1e4;
                    assert!((flux / likelihood - 1.0).abs() < 1e-3, "FWHM {fwhm}, star at {x} {y}: {flux} {likelihood}");
                    let lags = stamp_autocorrelation(psf.mapv(f64::from).view(), h as usize);
                    let noise: f64 =
                        lags.iter().zip(proper.covariance_njy2.index_axis(ndarray::Axis(0), i)).map(|(l, c)| l * f64::from(*c)).sum();
                    let sigma = noise.sqrt() / psf.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>();
                    let optimum = f64::from(c.phi[at]).sqrt().recip();
                    assert!((sigma / optimum - 1.0).abs() < 0.01, "FWHM {fwhm}: {sigma} {optimum}");
                    // A program that takes the noise as white with the variance given is as right.
                    let white = (f64::from(proper.variance_njy2[at]) / psf.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>()).sqrt();
                    assert!((white / optimum - 1.0).abs() < 0.01, "FWHM {fwhm}: {white} {optimum}");
                }
            }
        }
        assert_eq!(residuals.len(), 245);
        for (k, name) in ["core flux", "size", "ellipticity 1", "ellipticity 2"].iter().enumerate() {
            let mean = residuals.iter().map(|r| r[k]).sum::<f64>() / residuals.len() as f64;
            let worst = residuals.iter().map(|r| r[k].abs()).fold(0.0, f64::max);
            println!("FWHM {fwhm} {name}: mean {mean:.2e}, worst {worst:.2e}");
            assert!(mean.abs() < 1e-3 && worst < 5e-3, "FWHM {fwhm}, {name}: mean {mean}, worst {worst}");
        }
    }
}

/// Blank sky on the proper coadd, 16 keyed realisations: the power is that of white noise of the variance given where the PSFs have
/// signal, within 3 %, pixels vary as the covariance says, and PSF-weighted sums as Φ says.
#[test]
fn noise_of_the_proper_coadd_is_white() {
    const N: usize = 16;
    // Away from the tract's edge, where the filter finds no pixels.
    let inner = Box2::new(64, 64, 128, 128);
    let t = tract();
    for fwhm in [2.4, 3.5] {
        let fft = fft2::RealFft2::new(128);
        let frequency = |i: usize| (if i > 64 { i as f64 - 128.0 } else { i as f64 }) / 128.0;
        let mut power = Array2::<f64>::zeros((65, 128));
        let (mut pixels, mut sums) = (0.0, Vec::new());
        let mut last = None;
        for k in 0..N {
            let c = coadd_on(&noisy(exposures(fwhm), 100 + k as u64), t.bbox());
            let proper = proper_of(&t, &c);
            let image = proper.image_njy.slice(c.bbox.slice_of(&inner)).mapv(f64::from);
            pixels += image.iter().map(|v| v * v).sum::<f64>() / (inner.n_pixels() * N) as f64;
            let i = proper.cells.iter().position(|c| *c == (1, 1)).unwrap();
            let (psf, h) = (proper.psf.index_axis(ndarray::Axis(0), i).mapv(f64::from), proper.half_width);
            let sq: f64 = psf.iter().map(|p| p * p).sum();
            // Sums a few FWHM apart are independent.
            for (y, x) in (h..128 - h).step_by(12).flat_map(|y| (h..128 - h).step_by(12).map(move |x| (y, x))) {
                let part = image.slice(s![y - h..=y + h, x - h..=x + h]);
                let at = [64 + y, 64 + x];
                sums.push(part.iter().zip(&psf).map(|(z, p)| z * p).sum::<f64>() / sq * f64::from(c.phi[at]).sqrt());
            }
            // A window keeps the power of neighbouring frequencies apart, where it falls by orders of magnitude.
            let hann = |k: usize| 0.5 - 0.5 * (std::f64::consts::TAU * (k as f64 + 0.5) / 128.0).cos();
            let windowed = Array2::from_shape_fn((128, 128), |(j, i)| image[[j, i]] * hann(j) * hann(i));
            // Σ of the window's squares: (3/8 · 128)².
            power.zip_mut_with(&fft.forward(windowed), |p, v| *p += v.norm_sqr() / (48.0 * 48.0 * N as f64));
            last = Some((c, proper, i));
        }
        let (c, proper, i) = last.unwrap();
        let white = 1.0 / c.autocorrelation.weight[i];
        let signal = {
            let lags = c.autocorrelation.autocorrelation.index_axis(ndarray::Axis(0), i).mapv(f64::from);
            let spectrum = fft.of_stamp(lags.view());
            let dc = spectrum[[0, 0]].re;
            spectrum.mapv(|a| a.re / dc)
        };
        // Rings of 0.05 cycles a pixel; a mode's power scatters by all of it, and the Hann window makes 9/4 modes of one.
        for ring in 0..6 {
            let (mut sum, mut n) = (0.0, 0.0);
            for ((i, j), p) in power.indexed_iter() {
                let k = frequency(i).hypot(frequency(j));
                if i > 0 && i < 64 && (k / 0.05) as usize == ring && signal[[i, j]] > FLOOR {
                    sum += p / white;
                    n += 1.0;
                }
            }
            if n < 20.0 {
                continue;
            }
            let (mean, sigma) = (sum / n, (2.25 * 2.25 / (n * N as f64)).sqrt());
            println!("FWHM {fwhm}, k {:.3}: power {mean:.4} +- {sigma:.4} of {n} modes", (ring as f64 + 0.5) * 0.05);
            assert!((mean - 1.0).abs() < 0.03 + 3.0 * sigma, "FWHM {fwhm}, ring {ring}: {mean} +- {sigma}");
        }
        let h = proper.half_width;
        let predicted = f64::from(proper.covariance_njy2[[i, h, h]]);
        println!("FWHM {fwhm}: pixel variance {pixels} predicted {predicted}, white {white}");
        // Rings without noise take their share of the independent pixels away.
        let independent = (inner.n_pixels() * N) as f64 * predicted / white;
        assert!((pixels / predicted - 1.0).abs() < 4.0 * (2.0 / independent).sqrt() + 5e-3, "{pixels} {predicted}");
        let variance = sums.iter().map(|v| v * v).sum::<f64>() / sums.len() as f64;
        println!("FWHM {fwhm}: variance of {} PSF-weighted sums {variance}", sums.len());
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / sums.len() as f64).sqrt(), "{variance} of {}", sums.len());
    }
}

/// Beside a dead column and an exposure's edge the flux stays right at the source's pixel, and what is inexact says so; without data it is NaN.
#[test]
fn masks_and_edges_are_told() {
    let t = tract();
    let mut all = exposures(3.2);
    // The second exposure begins at column 32 of the tract, the first has a dead column.
    all[1] = exposure(3.2, 0.0, 0.2, -60.0);
    all[1].meta.id = ExposureId("e1".into());
    let star = PixelPoint::new(100.0, 100.0);
    let p = all[0].meta.wcs.sky_to_pixel(t.wcs().pixel_to_sky(star)).unwrap();
    for y in 0..330 {
        all[0].mask[[y, p.pixel().0 as usize + 1]] |= MaskPlane::Bad.bit();
    }
    all.iter_mut().for_each(|e| add_star(e, &t, star, 1e4));
    let c = coadd_on(&all, t.bbox());
    let proper = proper_of(&t, &c);
    let inexact = MaskPlane::InexactPsf.bit();
    assert!(proper.mask[[100, 101]] & inexact != 0, "beside the column");
    assert_eq!(proper.mask[[100, 140]] & inexact, 0, "far from it");
    // Φ passes through the mean of both sides on the way.
    assert!((25..40).filter(|x| proper.mask[[200, *x]] & inexact != 0).count() >= 12, "at the edge");
    assert!(proper.variance_njy2[[100, 101]] > 1.05 * proper.variance_njy2[[100, 140]]);
    let nothing = coadd_on(&[exposure(3.2, 0.0, 0.2, 200.0)], t.bbox());
    let proper = proper_of(&t, &nothing);
    let empty = nothing.phi.indexed_iter().filter(|(_, phi)| **phi <= 0.0).map(|(at, _)| at);
    let mut n = 0;
    for at in empty {
        assert!(proper.image_njy[at].is_nan() && proper.variance_njy2[at].is_infinite());
        assert!(proper.mask[at] & MaskPlane::NoData.bit() != 0);
        n += 1;
    }
    assert!(n > 1000, "{n} pixels without data");
}

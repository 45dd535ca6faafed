//! Finely sampled stamps of effective PSFs: Moffat and Kolmogorov, elliptical, the pixel's response in.

use super::psf::PsfLaw;
use ndarray::Array2;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;
use std::f64::consts::PI;

/// A PSF at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Optics {
    pub(super) law: PsfLaw,
    /// Moffat's β.
    pub(super) beta: f64,
    /// FWHM before the pixel \[pixel\], of the circle of the same area.
    pub(super) fwhm_px: f64,
    /// Reduced shear.
    pub(super) e: [f64; 2],
    /// Share of the light that lies in a second component of the same law and twice the size.
    pub(super) halo: f64,
}

/// FWHM times the wave number at which a Kolmogorov transform falls to 1/e (tested by a Hankel transform).
///
/// # Source
/// Fried 1966, JOSA 56, 1372: MTF(k) = exp(-3.44 (λ k / 2π r0)^(5/3)); its FWHM is 0.976 λ/r0.
const KOLMOGOROV_FWHM_K0: f64 = 2.920_69;

/// Stamps are sampled `per_pixel` times a pixel, with `half` samples on either side of the centre; each is the share of the flux per
/// sample, as [`fathom::image::psf::PsfModel::PsfEx`] wants it.
///
/// Moffat: averaged over the pixel by Gauss quadrature (4 x 4 nodes, 2 x 2 in the wings; 1e-6 of the peak). Kolmogorov: the product
/// of its transform and the pixel's, brought back on a square of twice the side: the light of the images that wrap around, at three
/// half-widths and more, is below 1e-5 of the peak.
pub(super) fn effective_stamp(optics: &Optics, per_pixel: usize, half: usize) -> Array2<f64> {
    let one = |fwhm_px: f64| match optics.law {
        PsfLaw::Moffat => moffat(fwhm_px, optics.beta, optics.e, per_pixel, half),
        PsfLaw::Kolmogorov => kolmogorov(fwhm_px, optics.e, per_pixel, half),
    };
    let mut stamp = one(optics.fwhm_px);
    if optics.halo > 0.0 {
        stamp *= 1.0 - optics.halo;
        stamp.scaled_add(optics.halo, &one(2.0 * optics.fwhm_px));
    }
    stamp
}

/// Nodes and weights of Gauss-Legendre quadrature on [-1/2, 1/2], 4 and 2 points.
const FOUR: [(f64, f64); 4] = [
    (-0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
    (-0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
];
const TWO: [(f64, f64); 2] = [(-0.288_675_134_594_812_9, 0.5), (0.288_675_134_594_812_9, 0.5)];

fn moffat(fwhm_px: f64, beta: f64, [e1, e2]: [f64; 2], per_pixel: usize, half: usize) -> Array2<f64> {
    // FWHM = 2 α √(2^(1/β) - 1); the shear keeps the area.
    let alpha_sq = (fwhm_px / 2.0).powi(2) / (2f64.powf(1.0 / beta) - 1.0);
    let scale = 1.0 / (alpha_sq * (1.0 - e1 * e1 - e2 * e2));
    let (a, b, c) = (1.0 - e1, -e2, 1.0 + e1);
    let (xx, xy, yy) = (scale * (a * a + b * b), scale * (a * b + b * c), scale * (b * b + c * c));
    let norm = (beta - 1.0) / (PI * alpha_sq);
    let density = |x: f64, y: f64| norm * (1.0 + xx * x * x + 2.0 * xy * x * y + yy * y * y).powf(-beta);
    let step = 1.0 / per_pixel as f64;
    let at = |i: usize| (i as f64 - half as f64) * step;
    Array2::from_shape_fn((2 * half + 1, 2 * half + 1), |(j, i)| {
        let (x, y) = (at(i), at(j));
        let nodes: &[(f64, f64)] = if x.abs().max(y.abs()) > 1.5 * fwhm_px + 2.0 { &TWO } else { &FOUR };
        let mean: f64 = nodes.iter().map(|&(v, wv)| wv * nodes.iter().map(|&(u, wu)| wu * density(x + u, y + v)).sum::<f64>()).sum();
        mean * step * step
    })
}

fn kolmogorov(fwhm_px: f64, [e1, e2]: [f64; 2], per_pixel: usize, half: usize) -> Array2<f64> {
    let side = (2 * (2 * half + 1)).next_multiple_of(32);
    let k0 = KOLMOGOROV_FWHM_K0 / fwhm_px;
    let norm = 1.0 / (1.0 - e1 * e1 - e2 * e2).sqrt();
    // Wave number on this axis [radian per pixel].
    let wave = |i: usize| {
        let folded = if i < side / 2 { i as f64 } else { i as f64 - side as f64 };
        2.0 * PI * folded * per_pixel as f64 / side as f64
    };
    let pixel = |k: f64| if k.abs() < 1e-12 { 1.0 } else { (0.5 * k).sin() / (0.5 * k) };
    let along: Vec<(f64, f64)> = (0..side).map(|i| (wave(i), pixel(wave(i)))).collect();
    let mut spectrum = Array2::from_shape_fn((side, side), |(j, i)| {
        let ((kx, px), (ky, py)) = (along[i], along[j]);
        // The image is sheared by S, symmetric and of determinant 1; so is the argument of the transform.
        let (u, v) = (norm * ((1.0 + e1) * kx + e2 * ky), norm * (e2 * kx + (1.0 - e1) * ky));
        let q = (u * u + v * v) / (k0 * k0);
        Complex64::new((-q.powf(5.0 / 6.0)).exp() * px * py, 0.0)
    });
    let fft = FftPlanner::new().plan_fft_inverse(side);
    // Even and real: the order of the axes does not matter, and one transpose between the passes is enough.
    for _ in 0..2 {
        fft.process(spectrum.as_slice_mut().expect("owned arrays are contiguous"));
        spectrum = spectrum.t().as_standard_layout().into_owned();
    }
    let at = |i: usize| (i + side - half) % side;
    let factor = 1.0 / (side * side) as f64;
    Array2::from_shape_fn((2 * half + 1, 2 * half + 1), |(j, i)| spectrum[[at(j), at(i)]].re * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::geometry::PixelPoint;
    use fathom::image::Psf;
    use fathom::image::psf::PsfModel;

    /// ∫ k exp(-(k/k0)^(5/3)) J0(k r) dk at half the FWHM is half of its value at 0.
    #[test]
    fn kolmogorov_constant() {
        let hankel = |r: f64| {
            let (n, top) = (200_000, 30.0);
            let step = top / f64::from(n);
            (0..n).map(|i| (f64::from(i) + 0.5) * step).map(|k| k * (-k.powf(5.0 / 3.0)).exp() * libm::j0(k * r) * step).sum::<f64>()
        };
        let ratio = hankel(0.5 * KOLMOGOROV_FWHM_K0) / hankel(0.0);
        assert!((ratio - 0.5).abs() < 1e-5, "{ratio}");
    }

    /// Against the Hankel transform along a row, averaged over the pixel by Gauss quadrature: 1e-4 of the peak.
    #[test]
    fn kolmogorov_stamp_is_the_profile() {
        let (fwhm_px, per_pixel, half) = (4.0, 2, 61);
        let optics = Optics { law: PsfLaw::Kolmogorov, beta: 0.0, fwhm_px, e: [0.0, 0.0], halo: 0.0 };
        let stamp = effective_stamp(&optics, per_pixel, half);
        let k0 = KOLMOGOROV_FWHM_K0 / fwhm_px;
        let density = |r: f64| {
            let (n, top) = (4000, 12.0);
            let step = top / f64::from(n);
            let sum: f64 =
                (0..n).map(|i| (f64::from(i) + 0.5) * step).map(|k| k * (-k.powf(5.0 / 3.0)).exp() * libm::j0(k * k0 * r) * step).sum();
            sum * k0 * k0 / (2.0 * PI)
        };
        let pixel = |x: f64| {
            FOUR.iter().map(|(v, wv)| wv * FOUR.iter().map(|(u, wu)| wu * density((x + u).hypot(*v))).sum::<f64>()).sum::<f64>() / 4.0
        };
        for i in [0usize, 1, 3, 8, 20, 50] {
            let (found, expected) = (stamp[[half, half + i]], pixel(i as f64 / 2.0));
            assert!((found - expected).abs() < 1e-4 * stamp[[half, half]], "{i}: {found} against {expected}");
        }
    }

    /// The Moffat stamp is fathom's own Moffat, which is rendered by another code: 1e-5 of the peak; a halo has twice the size.
    #[test]
    fn moffat_stamp_is_the_parametric_model() {
        let (fwhm_px, beta, e) = (3.7, 3.5, [0.06, -0.03]);
        let psf = |fwhm_px| {
            let model = PsfModel::Moffat { fwhm_px, beta, e1: e[0], e2: e[1], radius_px: 30, pixel_integrated: false };
            Psf::new(model).unwrap()
        };
        let stamp = effective_stamp(&Optics { law: PsfLaw::Moffat, beta, fwhm_px, e, halo: 0.1 }, 2, 40);
        let (core, halo) = (psf(fwhm_px), psf(2.0 * fwhm_px));
        let at = PixelPoint::new(0.0, 0.0);
        for ((j, i), found) in stamp.indexed_iter() {
            let (dx, dy) = (0.5 * (i as f64 - 40.0), 0.5 * (j as f64 - 40.0));
            let expected = 0.25 * (0.9 * core.value(at, dx, dy) + 0.1 * halo.value(at, dx, dy));
            assert!((found - expected).abs() < 1e-5 * stamp[[40, 40]], "({dx}, {dy})");
        }
    }
}

//! Noise that a real galaxy's stamp brings along: in a pixel, and in a flux measured by a filter.

use super::psf_square::{PsfSquares, signed};
use super::spectrum::stamp_axes;
use super::{Component, Light, Renderer};
use crate::object::TruthObject;
use fathom::geometry::PixelPoint;
use ndarray::{Array2, ArrayView2};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;

impl Renderer<'_> {
    /// Standard deviation of the noise that a real galaxy's stamp brings into a pixel \[nJy\]; 0 for everything else.
    #[must_use]
    pub fn stamp_noise_njy(&self, object: &TruthObject) -> f64 {
        let Some(at) = self.place(object) else { return 0.0 };
        let components = self.components(object, at);
        let side = self.side_of(&components);
        components.iter().map(|c| c.flux_njy.powi(2) * variance(&self.squares, at, c, side, None)).sum::<f64>().sqrt()
    }

    /// Relative error, by the noise in its stamp, of a flux measured as Σ filter · pixels / Σ filter · `profile`; 0 for everything else.
    ///
    /// `filter` and `profile`: `[y, x]`, on the pixels around the object; `profile` of flux 1 is what is drawn if the stamp has no noise. The stamp's
    /// flux is its sum, noise included, so with n the noise as drawn and N its sum the error is Σ h n - N; the same in every exposure, as the stamp is.
    /// Of the filter's part outside the stamp, where no noise is, it counts too much: little, as there is no light either.
    #[must_use]
    pub fn stamp_noise_of_filter(&self, object: &TruthObject, filter: ArrayView2<f64>, profile: ArrayView2<f64>) -> f64 {
        let Some(at) = self.place(object).filter(|_| !object.is_point()) else { return 0.0 };
        let norm = filter.iter().zip(profile).map(|(h, m)| h * m).sum::<f64>();
        let side = self.side_of_at_least(filter.nrows().max(filter.ncols()) as f64);
        if !(norm > 0.0 && side >= filter.nrows().max(filter.ncols())) {
            return 0.0;
        }
        let spectrum = transform(filter, side, norm);
        let of_component = |c: &Component| {
            let Light::Stamp(stamp) = &c.light else { return 0.0 };
            let (of_pixel, n_pixels) = (stamp.noise_share().powi(2), stamp.n_pixels() as f64);
            let [[a, b], [d, e]] = c.shape;
            // Pixels of the stamp in one of the exposure.
            let density = 1.0 / (stamp.pixel_half_lights().powi(2) * (a * e - b * d).abs());
            let filtered = variance(&self.squares, at, c, side, Some(&spectrum));
            filtered + of_pixel * n_pixels - 2.0 * of_pixel * density * spectrum[[0, 0]].re
        };
        self.components(object, at).iter().map(of_component).sum::<f64>().max(0.0).sqrt()
    }
}

/// Transform of a filter over `norm`, `[ky][kx]`.
fn transform(filter: ArrayView2<f64>, side: usize, norm: f64) -> Array2<Complex64> {
    let mut square = Array2::<Complex64>::zeros((side, side));
    square.slice_mut(ndarray::s![..filter.nrows(), ..filter.ncols()]).zip_mut_with(&filter, |s, h| s.re = h / norm);
    let fft = FftPlanner::new().plan_fft_forward(side);
    for _ in 0..2 {
        fft.process(square.as_slice_mut().expect("owned arrays are contiguous"));
        square = square.t().as_standard_layout().to_owned();
    }
    square
}

/// Variance, per unit of flux, that a stamp galaxy brings into a pixel: 1/|det B| ∫ power(Bᵀk) |φ(k)|² dk, the integral a sum over the square's
/// frequencies (twice the half that is kept, but for the columns that are their own mirror image); into a filtered sum: times |h(k)|².
fn variance(squares: &PsfSquares, at: PixelPoint, component: &Component, side: usize, filter: Option<&Array2<Complex64>>) -> f64 {
    let Light::Stamp(stamp) = &component.light else { return 0.0 };
    let psf = squares.at(side, at);
    let [along_x, along_y] = stamp_axes(component.shape);
    let step = 1.0 / side as f64;
    let mut sum = 0.0;
    for plane in psf.planes() {
        for ((i, j), v) in plane.values.indexed_iter() {
            let (x, y) = (i as i64 + plane.kx_first, signed(j, side, plane.ky_is_far));
            let (kx, ky) = (x as f64 * step, y as f64 * step);
            let of_filter = filter.map_or(1.0, |f| f[[y.rem_euclid(side as i64) as usize, x.rem_euclid(side as i64) as usize]].norm_sqr());
            let weight = if i == 0 || i == side / 2 { 1.0 } else { 2.0 };
            let power = stamp.noise_power(along_x[0] * kx + along_x[1] * ky, along_y[0] * kx + along_y[1] * ky);
            sum += weight * v.norm_sqr() * of_filter * power;
        }
    }
    let [[a, b], [c, d]] = component.shape;
    sum * (psf.scale() * step).powi(2) / (a * d - b * c).abs()
}

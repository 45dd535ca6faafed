//! Objects in Fourier space: the PSF's transform times the profiles', and the way back to pixels.

use super::psf_square::{PsfSquare, signed};
use super::{Component, Light};
use ndarray::Array2;
use rustfft::num_complex::Complex64;
use std::f64::consts::{PI, TAU};

/// Rows of pixels made at a time: a cache line of the spectrum holds four of them.
const BLOCK: usize = 16;

/// Half of the spectrum of a real square: `[kx][ky]`, kx in 0..=side/2.
pub(super) struct Spectrum {
    values: Vec<Complex64>,
    /// Rows of kx from here on are zero.
    n_rows: usize,
}

impl Spectrum {
    pub(super) fn new(psf: &PsfSquare) -> Self {
        Self { values: vec![Complex64::ZERO; (psf.side / 2 + 1) * psf.side], n_rows: 0 }
    }

    /// Adds an object with its centre at element (side/2, side/2) + `offset` (x, y), moving by `trail` (x, y) \[pixel\].
    pub(super) fn draw(&mut self, psf: &PsfSquare, components: &[Component], offset: [f64; 2], trail: Option<[f64; 2]>) {
        let side = psf.side;
        let middle = (side / 2) as f64;
        let step = 1.0 / side as f64;
        let (mut frequency, mut phase_y) = (vec![0.0; side], vec![Complex64::ZERO; side]);
        let (mut q_sq, mut shape) = (vec![0.0; side], vec![0.0; side]);
        for plane in psf.planes() {
            for (j, (k, phase)) in frequency.iter_mut().zip(&mut phase_y).enumerate() {
                *k = signed(j, side, plane.ky_is_far) as f64 * step;
                *phase = Complex64::cis(-TAU * *k * (middle + offset[1]));
            }
            for (i, (runs, (psf_row, out_row))) in
                plane.runs.iter().zip(plane.values.rows().into_iter().zip(self.values.chunks_exact_mut(side))).enumerate()
            {
                if runs.is_empty() {
                    continue;
                }
                self.n_rows = self.n_rows.max(i + 1);
                let kx = (i as i64 + plane.kx_first) as f64 * step;
                let phase_x = Complex64::cis(-TAU * kx * (middle + offset[0])) * (psf.scale() * step * step);
                let psf_row = psf_row.to_slice().expect("rows of an owned array are contiguous");
                for &(from, to) in runs {
                    let (k, q_sq, shape) = (&frequency[from..to], &mut q_sq[from..to], &mut shape[from..to]);
                    shape.fill(0.0);
                    let mut stamps = None;
                    for component in components {
                        match &component.light {
                            Light::Round(profile) => {
                                // |Aᵀ k|² = kᵀ A Aᵀ k, with A from the unit circle to pixels.
                                let [[a, b], [c, d]] = component.shape;
                                let (xx, xy, yy) = ((a * a + b * b) * kx * kx, 2.0 * (a * c + b * d) * kx, c * c + d * d);
                                for (q_sq, k) in q_sq.iter_mut().zip(k) {
                                    *q_sq = (xx + *k * (xy + *k * yy)).max(0.0);
                                }
                                profile.add_transform(component.flux_njy, q_sq, shape);
                            }
                            Light::Stamp(stamp) => stamps = Some((stamp, component)),
                        }
                    }
                    if let Some([x, y]) = trail {
                        for (shape, k) in shape.iter_mut().zip(k) {
                            *shape *= sinc(kx * x + k * y);
                        }
                    }
                    let (phases, psfs, out) = (&phase_y[from..to], &psf_row[from..to], &mut out_row[from..to]);
                    for (((out, phase), psf), shape) in out.iter_mut().zip(phases).zip(psfs).zip(shape.iter()) {
                        *out += phase_x * phase * psf * *shape;
                    }
                    if let Some((stamp, component)) = stamps {
                        let [along_x, along_y] = stamp_axes(component.shape);
                        for (((out, phase), psf), ky) in out.iter_mut().zip(phases).zip(psfs).zip(k) {
                            let light = stamp.transform(along_x[0] * kx + along_x[1] * ky, along_y[0] * kx + along_y[1] * ky);
                            let moved = trail.map_or(1.0, |[x, y]| sinc(kx * x + ky * y));
                            *out += phase_x * phase * psf * light * (component.flux_njy * moved);
                        }
                    }
                }
            }
        }
    }

    /// The central `side_px` pixels of each axis.
    pub(super) fn into_pixels(mut self, psf: &PsfSquare, side_px: usize) -> Array2<f64> {
        let side = psf.side;
        let n_kx = side / 2 + 1;
        let mut scratch = Vec::new();
        psf.inverse_along_y(&mut self.values[..self.n_rows * side], &mut scratch);
        let mut pixels = Array2::<f64>::zeros((side_px, side_px));
        let first = side / 2 - side_px / 2;
        let (mut block, mut row) = (vec![Complex64::ZERO; BLOCK * n_kx], vec![0.0; side]);
        for start in (0..side_px).step_by(BLOCK) {
            let n = BLOCK.min(side_px - start);
            for i in 0..n_kx {
                let from = &self.values[i * side + first + start..][..n];
                for (y, v) in from.iter().enumerate() {
                    block[y * n_kx + i] = *v;
                }
            }
            for y in 0..n {
                psf.inverse_along_x(&mut block[y * n_kx..(y + 1) * n_kx], &mut row, &mut scratch);
                for (pixel, v) in pixels.row_mut(start + y).iter_mut().zip(&row[first..first + side_px]) {
                    *pixel = *v;
                }
            }
        }
        pixels
    }
}

/// Where a frequency in pixels lies on the axes of a stamp in half-light radii: the stamp's y along the major axis, its x 90 degrees clockwise on
/// the sky as seen, which is against the minor axis of the shape's matrix.
pub(super) fn stamp_axes([[major_x, minor_x], [major_y, minor_y]]: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    [[-minor_x, -minor_y], [major_x, major_y]]
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-6 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

//! Effective PSF models: what a point source looks like on one exposure's pixels.
//!
//! Every model is brought to one form, φ_x(d) = Σ_k c_k(x) b_k(d): basis images b_k that do not vary,
//! and coefficients c_k that vary smoothly over the exposure. Correlating an exposure with its varying
//! PSF is then exact, Ψ(x) = Σ_k c_k(x) (b_k ⋆ z/v)(x), without steps between tiles.

use crate::geometry::PixelPoint;
use ndarray::Array2;
use rustfft::num_complex::Complex64;
use serde::{Deserialize, Serialize};

/// Why a PSF model was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum PsfError {
    /// A parameter out of range.
    #[error("PSF {key} is {found}; expected {expected}")]
    Parameter {
        /// Parameter.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// The flux inside the stamp is out of range.
    #[error("PSF sums to {found} inside its stamp; expected 0.9 < sum <= 1.001")]
    Sum {
        /// The sum.
        found: f64,
    },
}

/// Parameters of a PSF model, as stored in files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PsfModel {
    /// I ∝ (1 + r²/α²)^-β, elliptical by a reduced shear.
    Moffat {
        /// Full width at half maximum \[pixel\] of the circle of the same area.
        fwhm_px: f64,
        /// β > 1.
        beta: f64,
        /// Reduced shear along the pixel axes (+: along x).
        e1: f64,
        /// Reduced shear along the diagonals (+: along x = y).
        e2: f64,
        /// Half-width of the stamp \[pixel\].
        radius_px: usize,
        /// True if the pixel response is already in; false: the box is still to be applied.
        pixel_integrated: bool,
    },
    /// Σ of Gaussians.
    GaussianMixture {
        /// One row a component: flux, x, y, σ_xx, σ_yy, σ_xy \[pixel, pixel²\].
        components: Vec<[f64; 6]>,
        /// Half-width of the stamp \[pixel\].
        radius_px: usize,
        /// True if the pixel response is already in; false: the box is still to be applied.
        pixel_integrated: bool,
    },
    /// PSFEx: Σ over monomials x'^i y'^j (i + j ≤ degree) of basis stamps.
    PsfEx {
        /// Highest total degree.
        degree: usize,
        /// (zero, scale) of x and y: x' = (x - zero) / scale, 0-based pixels.
        x_zero_scale: [f64; 2],
        /// Same for y.
        y_zero_scale: [f64; 2],
        /// Exposure pixels per stamp pixel.
        sampling_px: f64,
        /// Basis stamps in PSFEx's order (x first): `[k][y][x]`, odd sides.
        stamps: Vec<Array2<f64>>,
    },
    /// A grid of stamps over the exposure, bilinear between; one stamp: the same PSF everywhere.
    StampGrid {
        /// Columns of the nodes \[pixel\], rising.
        x_px: Vec<f64>,
        /// Rows of the nodes \[pixel\], rising.
        y_px: Vec<f64>,
        /// Stamps, row by row; odd sides, all the same shape; normalised as given.
        stamps: Vec<Array2<f64>>,
    },
}

/// The effective PSF of one exposure.
#[derive(Debug, Clone)]
pub struct Psf {
    model: PsfModel,
}

impl Psf {
    /// Makes the PSF ready for use; renders parametric models once, on a finer grid.
    ///
    /// # Errors
    /// [`PsfError`] if a parameter is out of range or the stamp holds too little of the flux (or too much).
    pub fn new(_model: PsfModel) -> Result<Self, PsfError> {
        todo!()
    }

    /// The parameters it was made from.
    #[must_use]
    pub fn model(&self) -> &PsfModel {
        &self.model
    }

    /// Half-width of the stamp \[exposure pixel\]: stamps have side 2 radius + 1.
    #[must_use]
    pub fn radius_px(&self) -> usize {
        todo!()
    }

    /// Number of basis images b_k.
    #[must_use]
    pub fn n_basis(&self) -> usize {
        todo!()
    }

    /// Coefficients c_k at a position of the exposure, one per basis image, into `out`.
    pub fn coefficients(&self, _at: PixelPoint, _out: &mut [f64]) {
        todo!()
    }

    /// Basis image b_k on the exposure's pixels, `[2r+1, 2r+1]`, with the source at the stamp's
    /// central pixel plus (`dx`, `dy`), |dx|, |dy| ≤ 1 (any real offset is allowed).
    #[must_use]
    pub fn basis_stamp(&self, _k: usize, _dx: f64, _dy: f64) -> Array2<f64> {
        todo!()
    }

    /// φ_at on the exposure's pixels, `[2r+1, 2r+1]`, with the source at the central pixel plus (`dx`, `dy`).
    ///
    /// `at` chooses the PSF (position of the source); it does not move it.
    #[must_use]
    pub fn stamp(&self, _at: PixelPoint, _dx: f64, _dy: f64) -> Array2<f64> {
        todo!()
    }

    /// One value φ_at(dx, dy): the share of the flux in the pixel whose centre is (`dx`, `dy`) from the source.
    #[must_use]
    pub fn value(&self, _at: PixelPoint, _dx: f64, _dy: f64) -> f64 {
        todo!()
    }

    /// Fourier transform Σ_d φ(d) exp(-2πi k·d) at a frequency \[cycles per pixel\]; its value at 0 is the stamp's sum.
    #[must_use]
    pub fn fourier(&self, _at: PixelPoint, _kx: f64, _ky: f64) -> Complex64 {
        todo!()
    }

    /// Full width at half maximum \[pixel\] of the effective PSF at a position: of the circle that
    /// has the area in which φ exceeds half its maximum.
    #[must_use]
    pub fn fwhm_px(&self, _at: PixelPoint) -> f64 {
        todo!()
    }
}

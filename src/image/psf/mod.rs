//! Effective PSF models: what a point source looks like on one exposure's pixels.
//!
//! Every model is brought to one form, φ_x(d) = Σ_k c_k(x) b_k(d): basis images b_k that do not vary,
//! and coefficients c_k that vary smoothly over the exposure. Correlating an exposure with its varying
//! PSF is then exact, Ψ(x) = Σ_k c_k(x) (b_k ⋆ z/v)(x), without steps between tiles.

mod parametric;
mod spline_stamp;
mod stamps;

use crate::geometry::PixelPoint;
use ndarray::Array2;
use rustfft::num_complex::Complex64;
use serde::{Deserialize, Serialize};
use spline_stamp::SplineStamp;

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
    basis: Vec<SplineStamp>,
    radius_px: usize,
}

/// Share of the flux that a stamp must hold, and how much rounding and noise may add.
const SUM_RANGE: std::ops::RangeInclusive<f64> = 0.9..=1.001;

impl Psf {
    /// Makes the PSF ready for use; renders parametric models once, on a finer grid.
    ///
    /// # Errors
    /// [`PsfError`] if a parameter is out of range or the stamp holds too little of the flux (or too much).
    pub fn new(model: PsfModel) -> Result<Self, PsfError> {
        let (basis, radius_px) = match &model {
            PsfModel::Moffat { fwhm_px, beta, e1, e2, radius_px, pixel_integrated } => {
                let moffat = parametric::Moffat::new(*fwhm_px, *beta, *e1, *e2)?;
                (vec![parametric::render(|x, y| moffat.density(x, y), *fwhm_px, *radius_px, *pixel_integrated)?], *radius_px)
            }
            PsfModel::GaussianMixture { components, radius_px, pixel_integrated } => {
                let mixture = parametric::GaussianMixture::new(components)?;
                let narrowest_px = mixture.narrowest_fwhm_px();
                (vec![parametric::render(|x, y| mixture.density(x, y), narrowest_px, *radius_px, *pixel_integrated)?], *radius_px)
            }
            PsfModel::PsfEx { degree, sampling_px, stamps, x_zero_scale, y_zero_scale } => {
                stamps::check_psf_ex(*degree, *sampling_px, [x_zero_scale, y_zero_scale], stamps)?;
                let basis: Vec<_> = stamps.iter().map(|s| SplineStamp::new(s.view(), *sampling_px)).collect();
                let radius_px = basis[0].radius_px();
                (basis, radius_px)
            }
            PsfModel::StampGrid { x_px, y_px, stamps } => {
                stamps::check_grid(x_px, y_px, stamps)?;
                let basis: Vec<_> = stamps.iter().map(|s| SplineStamp::new(s.view(), 1.0)).collect();
                let radius_px = basis[0].radius_px();
                (basis, radius_px)
            }
        };
        let psf = Self { model, basis, radius_px };
        let found = psf.stamp(psf.reference_point(), 0.0, 0.0).sum();
        if !SUM_RANGE.contains(&found) {
            return Err(PsfError::Sum { found });
        }
        Ok(psf)
    }

    /// Where the sum is checked: the middle of the model's domain.
    fn reference_point(&self) -> PixelPoint {
        match &self.model {
            PsfModel::PsfEx { x_zero_scale, y_zero_scale, .. } => PixelPoint::new(x_zero_scale[0], y_zero_scale[0]),
            PsfModel::StampGrid { x_px, y_px, .. } => PixelPoint::new(x_px[0], y_px[0]),
            _ => PixelPoint::new(0.0, 0.0),
        }
    }

    /// The parameters it was made from.
    #[must_use]
    pub fn model(&self) -> &PsfModel {
        &self.model
    }

    /// Half-width of the stamp \[exposure pixel\]: stamps have side 2 radius + 1.
    #[must_use]
    pub fn radius_px(&self) -> usize {
        self.radius_px
    }

    /// Number of basis images b_k.
    #[must_use]
    pub fn n_basis(&self) -> usize {
        self.basis.len()
    }

    /// True if the PSF is the same everywhere on the exposure.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.basis.len() == 1
    }

    /// Coefficients c_k at a position of the exposure, one per basis image, into `out`.
    pub fn coefficients(&self, at: PixelPoint, out: &mut [f64]) {
        match &self.model {
            PsfModel::PsfEx { degree, x_zero_scale, y_zero_scale, .. } => {
                let (x, y) = ((at.x - x_zero_scale[0]) / x_zero_scale[1], (at.y - y_zero_scale[0]) / y_zero_scale[1]);
                let mut k = 0;
                let mut y_power = 1.0;
                for j in 0..=*degree {
                    let mut x_power = 1.0;
                    for _ in 0..=degree - j {
                        out[k] = x_power * y_power;
                        k += 1;
                        x_power *= x;
                    }
                    y_power *= y;
                }
            }
            PsfModel::StampGrid { x_px, y_px, .. } => stamps::bilinear_weights(x_px, y_px, at, out),
            _ => out[0] = 1.0,
        }
    }

    /// Basis image b_k on the exposure's pixels, `[2r+1, 2r+1]`, with the source at the stamp's
    /// central pixel plus (`dx`, `dy`). Light further than r + 1/2 pixel from the source is cut off, so that every
    /// sub-pixel offset keeps the same pixels and the same sum.
    #[must_use]
    pub fn basis_stamp(&self, k: usize, dx: f64, dy: f64) -> Array2<f64> {
        self.basis_core(k, dx, dy, self.radius_px)
    }

    /// The central `[2r+1, 2r+1]` pixels of [`Self::basis_stamp`], r = `radius_px` or the whole stamp's, whichever is smaller.
    #[must_use]
    pub fn basis_core(&self, k: usize, dx: f64, dy: f64, radius_px: usize) -> Array2<f64> {
        let side = 2 * radius_px.min(self.radius_px) + 1;
        let mut out = Array2::zeros((side, side));
        self.basis[k].add_to(out.view_mut(), 1.0, dx, dy);
        out
    }

    /// φ_at on the exposure's pixels, `[2r+1, 2r+1]`, with the source at the central pixel plus (`dx`, `dy`).
    ///
    /// `at` chooses the PSF (position of the source); it does not move it.
    #[must_use]
    pub fn stamp(&self, at: PixelPoint, dx: f64, dy: f64) -> Array2<f64> {
        self.core(at, dx, dy, self.radius_px)
    }

    /// The central `[2r+1, 2r+1]` pixels of [`Self::stamp`], r = `radius_px` or the whole stamp's, whichever is smaller.
    #[must_use]
    pub fn core(&self, at: PixelPoint, dx: f64, dy: f64, radius_px: usize) -> Array2<f64> {
        let side = 2 * radius_px.min(self.radius_px) + 1;
        let mut out = Array2::zeros((side, side));
        self.with_coefficients(at, |c| {
            for (basis, &c) in self.basis.iter().zip(c).filter(|(_, c)| **c != 0.0) {
                basis.add_to(out.view_mut(), c, dx, dy);
            }
        });
        out
    }

    /// One value φ_at(dx, dy): the share of the flux in the pixel whose centre is (`dx`, `dy`) from the source.
    #[must_use]
    pub fn value(&self, at: PixelPoint, dx: f64, dy: f64) -> f64 {
        self.with_coefficients(at, |c| self.basis.iter().zip(c).filter(|(_, c)| **c != 0.0).map(|(b, &c)| c * b.value(dx, dy)).sum())
    }

    /// Fourier transform Σ_d φ(d) exp(-2πi k·d) at a frequency \[cycles per pixel\]; its value at 0 is the stamp's sum.
    #[must_use]
    pub fn fourier(&self, at: PixelPoint, kx: f64, ky: f64) -> Complex64 {
        let stamp = self.stamp(at, 0.0, 0.0);
        let r = self.radius_px as f64;
        let phase = |k: f64, i: usize| Complex64::cis(-std::f64::consts::TAU * k * (i as f64 - r));
        let along_x: Vec<_> = (0..stamp.ncols()).map(|i| phase(kx, i)).collect();
        stamp
            .rows()
            .into_iter()
            .enumerate()
            .map(|(j, row)| phase(ky, j) * row.iter().zip(&along_x).map(|(v, p)| p * *v).sum::<Complex64>())
            .sum()
    }

    /// Full width at half maximum \[pixel\] of the effective PSF at a position: of the circle that
    /// has the area in which φ exceeds half its central value.
    #[must_use]
    pub fn fwhm_px(&self, at: PixelPoint) -> f64 {
        const N_ANGLES: usize = 64;
        let half = 0.5 * self.value(at, 0.0, 0.0);
        let crossing = |angle: f64| {
            let (sin, cos) = angle.sin_cos();
            let above = |r: f64| self.value(at, r * cos, r * sin) > half;
            let step = 0.25;
            let outside =
                (1..).map(|i| f64::from(i) * step).find(|&r| !above(r) || r > self.radius_px as f64).expect("the radius is finite");
            let (mut lo, mut hi) = (outside - step, outside);
            for _ in 0..24 {
                let mid = 0.5 * (lo + hi);
                if above(mid) { lo = mid } else { hi = mid }
            }
            0.5 * (lo + hi)
        };
        let mean_r2: f64 =
            (0..N_ANGLES).map(|i| crossing(std::f64::consts::TAU * i as f64 / N_ANGLES as f64).powi(2)).sum::<f64>() / N_ANGLES as f64;
        2.0 * mean_r2.sqrt()
    }

    fn with_coefficients<T>(&self, at: PixelPoint, use_them: impl FnOnce(&[f64]) -> T) -> T {
        // Constant PSFs, the common case in inner loops, need no allocation.
        if self.is_constant() && !matches!(self.model, PsfModel::PsfEx { .. }) {
            return use_them(&[1.0]);
        }
        let mut c = vec![0.0; self.n_basis()];
        self.coefficients(at, &mut c);
        use_them(&c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn moffat(fwhm_px: f64, e1: f64) -> Psf {
        Psf::new(PsfModel::Moffat { fwhm_px, beta: 3.5, e1, e2: 0.02, radius_px: 24, pixel_integrated: false }).unwrap()
    }

    fn gaussian(sigma_px: f64) -> Psf {
        let s2 = sigma_px * sigma_px;
        Psf::new(PsfModel::GaussianMixture { components: vec![[1.0, 0.0, 0.0, s2, s2, 0.0]], radius_px: 24, pixel_integrated: true })
            .unwrap()
    }

    fn psf_ex() -> Psf {
        let stamp = gaussian(1.8).stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0);
        let slope = Array2::from_shape_fn(stamp.dim(), |(j, i)| stamp[[j, i]] * 1e-3 * (i as f64 - 24.0) * (j as f64 - 24.0));
        let model = PsfModel::PsfEx {
            degree: 1,
            x_zero_scale: [500.0, 500.0],
            y_zero_scale: [400.0, 400.0],
            sampling_px: 1.0,
            stamps: vec![stamp, slope.clone(), slope],
        };
        Psf::new(model).unwrap()
    }

    fn stamp_grid() -> Psf {
        let stamps = [1.5, 1.7, 1.9, 2.1].map(|s| gaussian(s).stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0)).to_vec();
        Psf::new(PsfModel::StampGrid { x_px: vec![0.0, 100.0], y_px: vec![0.0, 100.0], stamps }).unwrap()
    }

    /// What every model keeps.
    #[test]
    fn contract() {
        for (name, psf) in [("moffat", moffat(3.1, 0.05)), ("gaussian", gaussian(1.4)), ("psf_ex", psf_ex()), ("stamp_grid", stamp_grid())]
        {
            let at = PixelPoint::new(37.0, 81.0);
            let r = psf.radius_px() as f64;
            let reference = psf.stamp(at, 0.0, 0.0);
            let sum = reference.sum();
            let moments = |stamp: &Array2<f64>| {
                let s = stamp.sum();
                let mean = |f: &dyn Fn(f64, f64) -> f64| {
                    stamp.indexed_iter().map(|((j, i), v)| v * f(i as f64 - r, j as f64 - r)).sum::<f64>() / s
                };
                let (x, y) = (mean(&|x, _| x), mean(&|_, y| y));
                (x, y, mean(&|x, _| x * x) - x * x, mean(&|_, y| y * y) - y * y)
            };
            let (x0, y0, xx0, yy0) = moments(&reference);
            for (dx, dy) in [(0.5, 0.0), (-0.31, 0.22), (0.07, -0.5)] {
                let stamp = psf.stamp(at, dx, dy);
                assert_abs_diff_eq!(stamp.sum(), sum, epsilon = 2e-4);
                let (x, y, xx, yy) = moments(&stamp);
                // The wings of a Moffat that the window's edge cuts move the moments a little.
                assert_abs_diff_eq!(x - x0, dx, epsilon = 2e-2);
                assert_abs_diff_eq!(y - y0, dy, epsilon = 2e-2);
                assert_abs_diff_eq!(xx, xx0, epsilon = 5e-2);
                assert_abs_diff_eq!(yy, yy0, epsilon = 5e-2);
                assert_abs_diff_eq!(stamp[[20, 27]], psf.value(at, 27.0 - r - dx, 20.0 - r - dy), epsilon = 1e-14);
            }
            assert_abs_diff_eq!(psf.fourier(at, 0.0, 0.0).re, sum, epsilon = 1e-12);
            let mut c = vec![0.0; psf.n_basis()];
            psf.coefficients(at, &mut c);
            let mut from_basis = Array2::<f64>::zeros(reference.dim());
            for (k, c) in c.iter().enumerate() {
                from_basis.scaled_add(*c, &psf.basis_stamp(k, 0.1, -0.2));
            }
            let direct = psf.stamp(at, 0.1, -0.2);
            let r = psf.radius_px();
            assert_eq!(psf.core(at, 0.1, -0.2, 5), direct.slice(ndarray::s![r - 5..=r + 5, r - 5..=r + 5]));
            assert!(from_basis.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-15), "{name}");
        }
    }

    /// A Gaussian without pixel response is its formula; its FWHM is 2.3548 σ.
    #[test]
    fn gaussian_is_exact() {
        let (sigma, psf) = (1.4f64, gaussian(1.4));
        let at = PixelPoint::new(0.0, 0.0);
        for (dx, dy) in [(0.0, 0.0), (0.3, -1.2), (2.7, 3.3)] {
            let expected = (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp() / (std::f64::consts::TAU * sigma * sigma);
            assert_abs_diff_eq!(psf.value(at, dx, dy), expected, epsilon = 1e-6 * 0.081);
        }
        assert_abs_diff_eq!(psf.fwhm_px(at), 2.354_820_045 * sigma, epsilon = 1e-4);
        // Transform of a Gaussian: exp(-2π²σ²k²).
        let k: f64 = 0.13;
        let expected = (-2.0 * (std::f64::consts::PI * sigma * k).powi(2)).exp();
        assert_abs_diff_eq!(psf.fourier(at, k, 0.0).re, expected, epsilon = 1e-6);
    }

    /// A Moffat's light inside radius R is 1 - (1 + R²/α²)^(1-β): the corners of a square stamp add to the circle.
    #[test]
    fn moffat_keeps_its_total_flux() {
        let psf = moffat(3.0, 0.0);
        let alpha_sq = 1.5f64.powi(2) / (2f64.powf(1.0 / 3.5) - 1.0);
        let enclosed = |r: f64| 1.0 - (1.0 + r * r / alpha_sq).powf(-2.5);
        let sum = psf.stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0).sum();
        assert!(sum > enclosed(24.0) && sum < enclosed(24.5 * 2f64.sqrt()), "{sum}");
    }

    #[test]
    fn bad_models_are_refused() {
        let model = |fwhm_px, radius_px| PsfModel::Moffat { fwhm_px, beta: 2.5, e1: 0.0, e2: 0.0, radius_px, pixel_integrated: false };
        assert!(Psf::new(model(-1.0, 20)).unwrap_err().to_string().contains("fwhm_px is -1"));
        assert!(matches!(Psf::new(model(20.0, 5)), Err(PsfError::Sum { .. })));
        let even = PsfModel::StampGrid { x_px: vec![0.0], y_px: vec![0.0], stamps: vec![Array2::from_elem((4, 4), 1.0 / 16.0)] };
        assert!(matches!(Psf::new(even), Err(PsfError::Parameter { key: "stamps", .. })));
    }
}

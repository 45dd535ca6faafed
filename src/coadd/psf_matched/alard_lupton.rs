//! Alard-Lupton kernels: Gaussians times polynomials, fitted by least squares to the pixels of an image and of a reference.
//!
//! All terms that are fitted sum to zero: images are calibrated, and the level of the sky must stay.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, ArrayView2};

/// σ of the Gaussians for a target of [`SCALE_FWHM_PX`], and the degrees of their polynomials (Alard & Lupton 1998, as used for the Rubin
/// Observatory's warps).
const GAUSSIANS: [(f64, usize); 3] = [(1.0, 4), (2.0, 2), (4.5, 2)];

/// FWHM of a target for which the widths hold \[pixel\]: they go with it.
const SCALE_FWHM_PX: f64 = 6.0;

/// Narrowest Gaussian that pixels can hold.
const MIN_SIGMA_PX: f64 = 0.6;

/// Added to the unit diagonal of the normal matrix: below it, sums of single precision tell nothing.
const RIDGE: f64 = 1e-9;

/// Residuals beyond this are not of the PSF \[sigma\]: left out of a second fit.
const REJECT_SIGMA: f64 = 5.0;

/// The basis of kernels of one size.
pub(super) struct AlardLupton {
    half_width_px: usize,
    /// exp(-u²/2σ²) (u/σ)^p, u = -h..=h, by Gaussian and power.
    profiles: Vec<Vec<f64>>,
    /// Profiles along x and y of every term.
    terms: Vec<(usize, usize)>,
    /// Sum of the first term before it was brought to 1, and of every other.
    sums: Vec<f64>,
}

/// What a kernel is fitted to.
pub(super) struct FitInput<'a> {
    /// The image on the tile grown by the kernel's half-width, without bad pixels near those fitted.
    pub image: ArrayView2<'a, f32>,
    /// Variance of its pixels, of the same shape.
    pub image_variance: ArrayView2<'a, f32>,
    /// The reference on the tile.
    pub reference: ArrayView2<'a, f32>,
    /// Variance of the difference, on the tile; not positive where a pixel is not fitted.
    pub variance: ArrayView2<'a, f32>,
    /// Kernel to start from, of unit sum: what the pixels do not tell stays as it is there.
    pub start: ArrayView2<'a, f64>,
    /// The image through that kernel, on the tile.
    pub started: ArrayView2<'a, f32>,
    /// Share with which the image went into the reference, through the same kernel.
    pub own_share: f64,
    /// Relative error of the reference that is no reason to leave a pixel out.
    pub model_error: f64,
}

impl AlardLupton {
    /// The basis for a target of this FWHM, on kernels of side 2 `half_width_px` + 1.
    pub fn new(target_fwhm_px: f64, half_width_px: usize) -> Self {
        let h = half_width_px as f64;
        let (mut profiles, mut terms): (Vec<Vec<f64>>, Vec<(usize, usize)>) = Default::default();
        for (sigma, degree) in GAUSSIANS {
            let sigma_px = (sigma * target_fwhm_px / SCALE_FWHM_PX).max(MIN_SIGMA_PX);
            let first = profiles.len();
            for p in 0..=degree {
                let profile = |k: usize| {
                    let u = (k as f64 - h) / sigma_px;
                    (-0.5 * u * u).exp() * u.powi(p as i32)
                };
                profiles.push((0..2 * half_width_px + 1).map(profile).collect());
                terms.extend((0..=degree - p).map(|q| (first + p, first + q)));
            }
        }
        let sum = |k: usize| profiles[k].iter().sum::<f64>();
        let sums = terms.iter().map(|&(x, y)| sum(x) * sum(y)).collect();
        Self { half_width_px, profiles, terms, sums }
    }

    /// Number of coefficients that are free.
    pub fn n_free(&self) -> usize {
        self.terms.len() - 1
    }

    /// The terms as they are fitted, `[2h+1, 2h+1]`: the first of unit sum, the others of sum zero.
    fn images(&self) -> Vec<Array2<f64>> {
        let side = 2 * self.half_width_px + 1;
        let raw = |&(x, y): &(usize, usize)| Array2::from_shape_fn((side, side), |(j, i)| self.profiles[x][i] * self.profiles[y][j]);
        let first = raw(&self.terms[0]) / self.sums[0];
        let others = self.terms.iter().zip(&self.sums).skip(1).map(|(term, sum)| raw(term) - &first * *sum);
        std::iter::once(first.clone()).chain(others).collect()
    }

    /// The kernel of the least squares Σ (R - K * z)² / v over the pixels with v > 0, K being the kernel to start from and a sum of the terms;
    /// `None` if they do not determine it.
    ///
    /// The image's own noise is in what is fitted and in the terms: with n the noise of z, E\[(B_m * n)(s K * n - K * n)\] = -(1 - s) v_z Σ B_m K,
    /// which would draw the kernel to a delta or to nothing, is taken off. Its squares in the normal matrix are not: they shrink what little
    /// the pixels know of a term towards the kernel to start from.
    ///
    /// # Source
    /// Alard & Lupton 1998, ApJ 503, 325; Fuller 1987, Measurement Error Models, §2.2 for the noise.
    pub fn fit(&self, input: &FitInput) -> Option<Array2<f64>> {
        let images = self.images();
        let pixels: Vec<(usize, usize)> = input.variance.indexed_iter().filter(|(_, v)| **v > 0.0).map(|((j, i), _)| (j, i)).collect();
        let design = self.design(input, &pixels);
        let mut rows: Vec<usize> = (0..pixels.len()).collect();
        let mut coefficients = self.solve(input, &pixels, &design, &rows, &images)?;
        rows.retain(|&row| {
            let (j, i) = pixels[row];
            let d = &design[row * images.len()..][..images.len()];
            let model = f64::from(input.started[[j, i]]) + d[1..].iter().zip(coefficients.iter()).map(|(d, a)| d * a).sum::<f64>();
            let reference = f64::from(input.reference[[j, i]]);
            let variance = f64::from(input.variance[[j, i]]) + (input.model_error * reference).powi(2);
            (reference - model).powi(2) <= REJECT_SIGMA * REJECT_SIGMA * variance
        });
        if rows.len() < pixels.len() {
            coefficients = self.solve(input, &pixels, &design, &rows, &images)?;
        }
        let others = images[1..].iter().zip(coefficients.iter());
        Some(others.fold(input.start.to_owned(), |kernel, (term, a)| kernel + term * *a))
    }

    /// Values of every term convolved with the image at the pixels to fit, pixel after pixel.
    fn design(&self, input: &FitInput, pixels: &[(usize, usize)]) -> Vec<f64> {
        let h = self.half_width_px;
        let side = 2 * h + 1;
        let (height, width) = (input.image.nrows(), input.reference.ncols());
        // Along x first, on all rows; along y only where it is asked for. A convolution runs through the profile backwards.
        let along_x: Vec<Array2<f32>> = self
            .profiles
            .iter()
            .map(|profile| {
                let profile: Vec<f32> = profile.iter().rev().map(|p| *p as f32).collect();
                let mut out = Array2::<f32>::zeros((height, width));
                for (from, mut to) in input.image.rows().into_iter().zip(out.rows_mut()) {
                    let (from, to) = (from.to_slice().expect("contiguous rows"), to.as_slice_mut().expect("contiguous rows"));
                    for (k, p) in profile.iter().enumerate().filter(|(_, p)| p.abs() > 1e-7) {
                        to.iter_mut().zip(&from[k..k + width]).for_each(|(t, f)| *t += p * f);
                    }
                }
                out
            })
            .collect();
        let mut design = Vec::with_capacity(pixels.len() * self.terms.len());
        for &(j, i) in pixels {
            let start = design.len();
            for &(x, y) in &self.terms {
                let column = |k: usize| f64::from(along_x[x][[j + 2 * h - k, i]]);
                design.push((0..side).map(|k| self.profiles[y][k] * column(k)).sum::<f64>());
            }
            let row = &mut design[start..];
            row[0] /= self.sums[0];
            let first = row[0];
            row.iter_mut().zip(&self.sums).skip(1).for_each(|(d, sum)| *d -= sum * first);
        }
        design
    }

    fn solve(
        &self,
        input: &FitInput,
        pixels: &[(usize, usize)],
        design: &[f64],
        rows: &[usize],
        images: &[Array2<f64>],
    ) -> Option<DVector<f64>> {
        let (n, n_terms) = (self.n_free(), images.len());
        let (mut normal, mut rhs, mut noise) = (DMatrix::<f64>::zeros(n, n), DVector::<f64>::zeros(n), 0.0);
        for &row in rows {
            let (j, i) = pixels[row];
            let weight = f64::from(input.variance[[j, i]]).recip();
            let d = &design[row * n_terms..][..n_terms];
            let y = f64::from(input.reference[[j, i]]) - f64::from(input.started[[j, i]]);
            noise += weight * f64::from(input.image_variance[[j + self.half_width_px, i + self.half_width_px]]);
            for (a, da) in d[1..].iter().enumerate() {
                rhs[a] += weight * da * y;
                d[1..=a + 1].iter().enumerate().for_each(|(b, db)| normal[(a, b)] += weight * da * db);
            }
        }
        for a in 0..n {
            rhs[a] += noise * (1.0 - input.own_share) * (&images[a + 1] * &input.start).sum();
            (0..a).for_each(|b| normal[(b, a)] = normal[(a, b)]);
        }
        // Terms of very different size: a matrix of unit diagonal is solved.
        let scale = DVector::from_fn(n, |a, _| normal[(a, a)].sqrt().recip());
        if scale.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let ridge = |a, b| if a == b { RIDGE } else { 0.0 };
        let scaled = DMatrix::from_fn(n, n, |a, b| normal[(a, b)] * scale[a] * scale[b] + ridge(a, b));
        let solution = scaled.cholesky()?.solve(&rhs.component_mul(&scale)).component_mul(&scale);
        solution.iter().all(|a| a.is_finite()).then_some(solution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::psf_match::{gaussian_psf, matching_kernel};
    use crate::geometry::PixelPoint;
    use crate::image::psf::{Psf, PsfModel};
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    fn moffat(fwhm_px: f64, e1: f64, radius_px: usize) -> Array2<f64> {
        let model = PsfModel::Moffat { fwhm_px, beta: 3.5, e1, e2: 0.02, radius_px, pixel_integrated: false };
        let stamp = Psf::new(model).unwrap().stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0);
        let sum = stamp.sum();
        stamp / sum
    }

    fn convolve(image: &Array2<f64>, kernel: &Array2<f64>) -> Array2<f64> {
        let h = kernel.nrows() / 2;
        let (ny, nx) = image.dim();
        Array2::from_shape_fn((ny - 2 * h, nx - 2 * h), |(j, i)| {
            kernel.indexed_iter().map(|((b, a), k)| k * image[[j + 2 * h - b, i + 2 * h - a]]).sum()
        })
    }

    /// Both kernels, that of Fourier space and the fit of model to model, bring the PSF to the target: the matched PSFs agree to half a per cent
    /// of the peak, which is what 27 terms can do with the wings of a Moffat profile.
    #[test]
    fn models_fitted_agree_with_the_fourier_kernel() {
        let (fwhm, h, r) = (6.0, 24, 20);
        for (from_fwhm, e1) in [(3.0, 0.05), (4.0, 0.0), (5.0, -0.05)] {
            let side = 2 * (r + h) + 1;
            let psf = moffat(from_fwhm, e1, r + h);
            assert_eq!(psf.nrows(), side);
            let target = gaussian_psf(fwhm, r);
            let fourier = matching_kernel(psf.view(), gaussian_psf(fwhm, h).view(), h);
            let (image, reference) = (psf.mapv(|p| p as f32), target.mapv(|t| t as f32));
            let (nothing, ones) = (Array2::zeros(image.dim()), Array2::from_elem(target.dim(), 1.0));
            // From the first term alone: nothing is known of the other kernel.
            let start = AlardLupton::new(fwhm, h).images().remove(0);
            let started = convolve(&psf, &start).mapv(|p| p as f32);
            let input = FitInput {
                image: image.view(),
                image_variance: nothing.view(),
                reference: reference.view(),
                variance: ones.view(),
                start: start.view(),
                started: started.view(),
                own_share: 0.0,
                model_error: 0.0,
            };
            let kernel = AlardLupton::new(fwhm, h).fit(&input).unwrap();
            assert!((kernel.sum() - 1.0).abs() < 1e-12, "{}", kernel.sum());
            let (a, b) = (convolve(&psf, &fourier), convolve(&psf, &kernel));
            let peak = target[[r, r]];
            let worst = (&a - &b).iter().fold(0.0f64, |w, d| w.max(d.abs())) / peak;
            assert!(worst < 5e-3, "FWHM {from_fwhm}: {worst:.1e}");
        }
    }

    /// A field of stars with noise, its reference of ten such images, and a kernel to start from that is made for a PSF a tenth too broad: the fit
    /// brings the PSF's peak to the target's to a per cent, and the images' noise alone moves a right kernel by less than that.
    #[test]
    fn noisy_stars_mend_a_kernel() {
        let (fwhm, h, n) = (5.0, 20, 200);
        let psf = moffat(3.5, 0.05, 20);
        let kernel_for = |fwhm_px: f64| matching_kernel(moffat(fwhm_px, 0.05, 20).view(), gaussian_psf(fwhm, h).view(), h);
        let kernel_true = kernel_for(3.5);
        let mut rng = keyed_rng(1, "alard-lupton-test", 0, 0);
        let mut clean = Array2::<f64>::zeros((n + 2 * h, n + 2 * h));
        for k in 0..64 {
            let (y, x) = (h + 12 + 25 * (k / 8), h + 12 + 25 * (k % 8));
            for ((j, i), p) in psf.indexed_iter() {
                let (y, x) = ((y + j) as i64 - 20, (x + i) as i64 - 20);
                if (0..clean.nrows() as i64).contains(&y) && (0..clean.ncols() as i64).contains(&x) {
                    clean[[y as usize, x as usize]] += 1000.0 * p;
                }
            }
        }
        let image = clean.mapv(|z| (z + Distribution::<f64>::sample(&StandardNormal, &mut rng)) as f32);
        let share = 0.1;
        let others = convolve(&clean, &kernel_true);
        let noise = Array2::from_elem(image.dim(), 1.0);
        let peak = |kernel: &Array2<f64>| {
            let mut wide = Array2::<f64>::zeros((4 * h + 1, 4 * h + 1));
            wide.slice_mut(ndarray::s![h..3 * h + 1, h..3 * h + 1]).assign(&psf);
            convolve(&wide, kernel)[[h, h]] / gaussian_psf(fwhm, h)[[h, h]] - 1.0
        };
        for start in [kernel_true.clone(), kernel_for(3.85)] {
            let started = convolve(&image.mapv(f64::from), &start);
            let reference = (&started * share + &others * (1.0 - share)).mapv(|z| z as f32);
            let started = started.mapv(|z| z as f32);
            let variance = reference.mapv(|r| if r > 3.0 { 1.0 } else { 0.0 });
            let input = FitInput {
                image: image.view(),
                image_variance: noise.view(),
                reference: reference.view(),
                variance: variance.view(),
                start: start.view(),
                started: started.view(),
                own_share: share,
                model_error: 0.03,
            };
            let kernel = AlardLupton::new(fwhm, h).fit(&input).unwrap();
            let (before, after) = (peak(&start), peak(&kernel));
            println!("peak: {before:.4} before, {after:.4} after");
            // The reference has a tenth of what was wrong.
            assert!((after - share * before).abs() < 0.01, "{before} {after}");
        }
    }
}

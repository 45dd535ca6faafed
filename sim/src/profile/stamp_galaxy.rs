//! Real galaxies: a stamp from a sharper telescope, freed of its PSF, to be drawn through another.

use crate::SimError;
use crate::error::check;
use fathom::format::galaxy_stamps::GalaxyStamp;
use ndarray::{Array2, ArrayView2};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;
use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Where the stamp's PSF passes less than the first of these, nothing is kept; more than the second, everything: a raised cosine
/// between. What is left is band-limited, and its noise rises by 1/0.1 at most.
const PASS: [f64; 2] = [0.05, 0.1];

/// Zero padding before the transform, in stamp sides: cubic interpolation between its values is then good to 1e-4 for light in the
/// middle half of the stamp.
const PADDING: usize = 4;

/// A real galaxy of total flux 1, deconvolved by its PSF.
///
/// The transform I(k)/P(k) is kept where the stamp's PSF passes light (|P| > 0.1, falling to nothing at 0.05). Drawn through a PSF that is
/// wider on the sky than the stamp's (for HST: any from the ground), the lost band has no weight. Its noise is drawn with it:
/// [`Self::noise_power`] says how much that is; nothing whitens it, so faint galaxies drawn bright show it.
#[derive(Debug, Clone)]
pub struct StampGalaxy {
    /// I/P on the padded grid `[ky][kx]`, in FFT order, the centroid at the origin; 1 at k = 0.
    spectrum: Array2<Complex64>,
    /// |1/P|² where it is kept, on the same grid.
    gain_sq: Array2<f64>,
    pixel_arcsec: f64,
    half_light_arcsec: f64,
    half_side_arcsec: f64,
    n_pixels: usize,
    /// Noise of a stamp pixel / total flux.
    noise_share: f64,
}

impl StampGalaxy {
    /// From a stamp `[y, x]` of sky-subtracted counts, its pixel scale, the PSF `[y, x]` on the same scale, and the noise (standard
    /// deviation) of one pixel in the stamp's counts. Seen as on the sky: y along the position angle, x 90 degrees clockwise of it.
    ///
    /// The centre is the centroid of the light inside twice the half-light radius. Of that radius, from the growth curve, the PSF's is taken
    /// off in quadrature.
    ///
    /// # Errors
    /// [`SimError::Config`] for stamps with fewer than 8 or more than 1024 pixels on a side, pixels that are not finite, a sum that is not
    /// positive, or a scale or noise out of range; `name` is named.
    pub fn new(name: &str, image: ArrayView2<f64>, pixel_arcsec: f64, psf: ArrayView2<f64>, noise_sigma: f64) -> Result<Self, SimError> {
        let section = format!("stamp {name}");
        let largest = image.nrows().max(image.ncols());
        let smallest = image.nrows().min(image.ncols()).min(psf.nrows()).min(psf.ncols());
        check(&section, "shape", smallest >= 8 && largest <= 1024, (image.dim(), psf.dim()), "sides of 8..=1024 pixels")?;
        check(&section, "pixels", image.iter().chain(&psf).all(|v| v.is_finite()), "NaN", "finite values")?;
        check(&section, "sum", image.sum() > 0.0 && psf.sum() > 0.0, (image.sum(), psf.sum()), "positive sums of image and PSF")?;
        check(&section, "pixel_arcsec", pixel_arcsec > 0.0 && pixel_arcsec.is_finite(), pixel_arcsec, "a positive number")?;
        check(&section, "noise", noise_sigma >= 0.0 && noise_sigma.is_finite(), noise_sigma, "0 or more")?;

        let (center, radius_px) = center_and_radius(image);
        let (psf_center, psf_radius_px) = center_and_radius(psf);
        let n = (PADDING * largest.max(psf.nrows()).max(psf.ncols())).next_power_of_two();
        let light = transform(image, center, n);
        let blur = transform(psf, psf_center, n);
        let kept = |p: Complex64| {
            let pass = ((p.norm() - PASS[0]) / (PASS[1] - PASS[0])).clamp(0.0, 1.0);
            if pass > 0.0 { p.finv() * (0.5 - 0.5 * (PI * pass).cos()) } else { Complex64::ZERO }
        };
        let deconvolution = blur.mapv(kept);
        // A quarter of a pixel: smaller than anything the stamp resolves.
        let half_light_px = (radius_px * radius_px - psf_radius_px * psf_radius_px).max(0.0625).sqrt();
        Ok(Self {
            spectrum: &light * &deconvolution,
            gain_sq: deconvolution.mapv(|v| v.norm_sqr()),
            pixel_arcsec,
            half_light_arcsec: half_light_px * pixel_arcsec,
            half_side_arcsec: 0.5 * largest as f64 * pixel_arcsec,
            n_pixels: image.len(),
            noise_share: noise_sigma / image.sum(),
        })
    }

    /// Half-light radius of the galaxy without its PSF \[arcsec\].
    #[must_use]
    pub fn half_light_radius_arcsec(&self) -> f64 {
        self.half_light_arcsec
    }

    /// Half of the stamp's side \[half-light radius\].
    pub(crate) fn half_side(&self) -> f64 {
        self.half_side_arcsec / self.half_light_arcsec
    }

    /// Pixels of the stamp.
    pub(crate) fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    /// Noise of a stamp pixel / total flux.
    pub(crate) fn noise_share(&self) -> f64 {
        self.noise_share
    }

    /// Side of a stamp pixel \[half-light radius\].
    pub(crate) fn pixel_half_lights(&self) -> f64 {
        self.pixel_arcsec / self.half_light_arcsec
    }

    /// F at a frequency along the stamp's x and y \[cycles per half-light radius\]; 1 at 0, 0 beyond what the stamp resolves.
    pub(crate) fn transform(&self, kx: f64, ky: f64) -> Complex64 {
        let n = self.spectrum.nrows();
        let Some([(ix, wx), (iy, wy)]) = self.taps(kx, ky) else { return Complex64::ZERO };
        let mut sum = Complex64::ZERO;
        for (j, wy) in wy.iter().enumerate() {
            let row = (iy + j as i64).rem_euclid(n as i64) as usize;
            let along: Complex64 =
                wx.iter().enumerate().map(|(i, wx)| self.spectrum[[row, (ix + i as i64).rem_euclid(n as i64) as usize]] * *wx).sum();
            sum += along * *wy;
        }
        sum
    }

    /// Power spectrum of the noise that comes with total flux 1 \[(half-light radius)⁻²\] at a frequency \[cycles per half-light radius\]: white noise
    /// of the stamp's pixels, amplified by the deconvolution.
    ///
    /// Drawn with flux f, through a PSF φ, half-light radii of B pixels: a pixel's variance is f²/|det B| ∫ power(Bᵀk) |φ(k)|² dk.
    #[must_use]
    pub fn noise_power(&self, kx: f64, ky: f64) -> f64 {
        let n = self.spectrum.nrows() as i64;
        let Some([(ix, _), (iy, _)]) = self.taps(kx, ky) else { return 0.0 };
        let gain_sq = self.gain_sq[[(iy + 1).rem_euclid(n) as usize, (ix + 1).rem_euclid(n) as usize]];
        (self.noise_share * self.half_light_arcsec / self.pixel_arcsec).powi(2) * gain_sq
    }

    /// First of four nodes and Lagrange's weights along x and y; none beyond the Nyquist frequency.
    #[allow(clippy::type_complexity)] // two pairs, used in two places above
    fn taps(&self, kx: f64, ky: f64) -> Option<[(i64, [f64; 4]); 2]> {
        let scale = self.pixel_arcsec / self.half_light_arcsec;
        let (u, v) = (kx * scale, ky * scale);
        if !(u.abs() < 0.5 && v.abs() < 0.5) {
            return None;
        }
        let n = self.spectrum.nrows() as f64;
        Some([u * n, v * n].map(|t| {
            let f = t - t.floor();
            let (a, b, c) = (f + 1.0, f - 1.0, f - 2.0);
            (t.floor() as i64 - 1, [-f * b * c / 6.0, a * b * c / 2.0, -a * f * c / 2.0, a * f * b / 6.0])
        }))
    }
}

/// Transform of unit flux on a padded square `[ky][kx]` with the point `center` (x, y) at the origin.
fn transform(image: ArrayView2<f64>, center: [f64; 2], n: usize) -> Array2<Complex64> {
    let mut square = Array2::<Complex64>::zeros((n, n));
    let total = image.sum();
    for ((j, i), v) in image.indexed_iter() {
        square[[j, i]].re = v / total;
    }
    let fft = FftPlanner::new().plan_fft_forward(n);
    for _ in 0..2 {
        fft.process(square.as_slice_mut().expect("owned arrays are contiguous"));
        square = square.t().as_standard_layout().to_owned();
    }
    let phases = |c: f64| -> Vec<Complex64> {
        let k = |i: usize| (if i < n / 2 { i as f64 } else { i as f64 - n as f64 }) / n as f64;
        (0..n).map(|i| Complex64::cis(TAU * k(i) * c)).collect()
    };
    let (along_x, along_y) = (phases(center[0]), phases(center[1]));
    for ((j, i), v) in square.indexed_iter_mut() {
        *v *= along_x[i] * along_y[j];
    }
    square
}

/// Centroid (x, y) of the light inside twice the half-light radius, and that radius \[pixel\]: iterated from the stamp's middle.
fn center_and_radius(image: ArrayView2<f64>) -> ([f64; 2], f64) {
    let (ny, nx) = image.dim();
    let mut center = [(nx as f64 - 1.0) / 2.0, (ny as f64 - 1.0) / 2.0];
    let mut radius = 0.25 * nx.min(ny) as f64;
    let half = 0.5 * image.sum();
    for _ in 0..12 {
        let mut by_radius: Vec<(f64, f64)> =
            image.indexed_iter().map(|((j, i), v)| ((i as f64 - center[0]).hypot(j as f64 - center[1]), *v)).collect();
        by_radius.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        // The k-th pixel closes a disc of area k: smoother than the pixels' own distances.
        let n_inside = by_radius.iter().take_while(|(_, v)| (sum + v < half).then(|| sum += v).is_some()).count();
        let last = by_radius.get(n_inside).map_or(0.0, |(_, v)| *v);
        let area = n_inside as f64 + if last > 0.0 { ((half - sum) / last).clamp(0.0, 1.0) } else { 0.0 };
        radius = (area / PI).sqrt().max(0.25);
        let (mut weight, mut x, mut y) = (0.0, 0.0, 0.0);
        for ((j, i), v) in image.indexed_iter() {
            // A soft edge: with a hard one pixels jump in and out.
            let w = v * (-0.5 * ((i as f64 - center[0]).powi(2) + (j as f64 - center[1]).powi(2)) / (2.0 * radius).powi(2)).exp();
            weight += w;
            x += w * i as f64;
            y += w * j as f64;
        }
        if weight.is_nan() || weight <= 0.0 {
            break;
        }
        let at = [x / weight, y / weight];
        if !(at[0] >= 0.0 && at[0] < nx as f64 && at[1] >= 0.0 && at[1] < ny as f64) {
            break;
        }
        center = at;
    }
    (center, radius)
}

/// Real galaxies by name, for `morphology = stamp:<name>` of a truth catalog.
#[derive(Debug, Clone, Default)]
pub struct StampLibrary {
    stamps: BTreeMap<String, Arc<StampGalaxy>>,
}

impl StampLibrary {
    /// All galaxies of a catalog of stamps ([`fathom::format::galaxy_stamps::read`]).
    ///
    /// # Errors
    /// As [`StampGalaxy::new`], naming the galaxy.
    pub fn of_stamps(stamps: &[GalaxyStamp]) -> Result<Self, SimError> {
        let mut library = Self::default();
        for s in stamps {
            library.insert(&s.name, StampGalaxy::new(&s.name, s.image.view(), s.pixel_arcsec, s.psf.view(), s.noise_sigma)?);
        }
        Ok(library)
    }

    /// Adds a galaxy, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, galaxy: StampGalaxy) {
        self.stamps.insert(name.into(), Arc::new(galaxy));
    }

    /// The galaxy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<StampGalaxy>> {
        self.stamps.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stamps.keys().map(String::as_str)
    }
}

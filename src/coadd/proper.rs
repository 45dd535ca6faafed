//! The proper coadd of a cell: Ψ made white, with the PSF that then holds.
//!
//! The noise of Ψ has the power Â(k), the Fourier transform of the cell's autocorrelation, and a point source of flux F has F Â(k); so
//! Ψ̂/√Â has white noise and the PSF √Â (Kaiser 2004; Zackay & Ofek 2017, ApJ 836, 188). |φ̂|² falls by orders
//! of magnitude towards the Nyquist frequency, where the division only makes noise; the filter here,
//!
//! K̂(k) = W^(-1/2) (Â² + (ε/4)² Â(0)²)^(-1/4),
//!
//! is that division where Â > ε Â(0), within 3 % in power, and bounded elsewhere. The whole of K̂ is in the PSF and in the covariance.
//! K is cut to the cell's border by a taper, so that a pixel of the cell is a sum over the maps' pixels nearer than the border, and the PSF
//! the same in the whole cell.
//!
//! Where Φ differs from A(0), beside masks and edges, the filtered map is brought to level by A(0)/Φ: after the filter, for Ψ A(0)/Φ
//! has power where Ψ has none, and the filter would make ripples of it. A masked pixel then misses its own light, and its surroundings
//! have about the right flux, though not the cell's PSF. Pixels are marked `INEXACT_PSF` where |Φ/A(0) - 1|, averaged over the light of a source
//! there (with the weights A), exceeds 1 %, or where pixels without data are near it. Where all exposures are masked under a bright source, as in a saturated core, Ψ
//! has steps, and ripples remain around them. What a source beside an edge looks like all the same, [`super::ProperPsf`] says.

use super::autocorrelation::{CellAutocorrelation, spline_gain, spline_noise};
use super::fft2::{RealFft2, fast_length};
use super::morphology::{centred, padded};
use crate::image::MaskPlane;
use ndarray::{Array2, ArrayView2, Zip, s};
use rustfft::num_complex::Complex64;

/// Least share of A(0) that Φ must have for the cell's exposures to say something about a pixel.
const MIN_PHI_SHARE: f64 = 0.05;

/// Mean departure of Φ from A(0) under a source up to which the cell's PSF holds.
const MAX_DEPARTURE: f64 = 0.01;

/// Share of A(0) below which a source's Ψ has fallen where its light may be missed.
const NEAR_SHARE: f64 = 0.01;

/// Share of the half-width of A from which on it is tapered: a sharp edge of the lags would leak into frequencies where Â is small.
const LAGS_KEPT: f64 = 0.75;

/// The proper coadd on the pixels of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct ProperCell {
    /// Flux \[nJy per pixel\], `[ny, nx]`; NaN without data.
    pub image_njy: Array2<f32>,
    /// Variance \[nJy²\] of the white noise that the image has where there is signal, sources' own noise left out; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`MaskPlane`].
    pub mask: Array2<u32>,
}

/// The filter of one cell and band, with the PSF and noise of what it makes.
pub struct ProperFilter {
    fft: RealFft2,
    spectrum: Array2<Complex64>,
    border_px: usize,
    phi_of_cell: f64,
    weight: f64,
    /// Of A, with unit sum: the weights of a source's light in Ψ.
    light: Array2<Complex64>,
    /// Pixels nearer than this to one without data miss light of their sources.
    reach_px: usize,
    /// PSF, `[2h+1, 2h+1]`, h the half-width of the autocorrelation; its sum is the share of the flux inside, times that inside the
    /// exposures' own stamps.
    pub psf: Array2<f64>,
    /// Covariance of blank sky at lags of -h..=h \[nJy²\], `[2h+1, 2h+1]`. Its sum is the variance per pixel of large areas; at lag 0
    /// it is less than that, for the floor takes the noise of frequencies without signal away.
    pub covariance_njy2: Array2<f64>,
}

/// 1 up to `from`, 0 from `to` on, cos² between.
fn taper(r: f64, from: f64, to: f64) -> f64 {
    let t = ((r - from) / (to - from)).clamp(0.0, 1.0);
    (std::f64::consts::FRAC_PI_2 * t).cos().powi(2)
}

/// A stamp times a taper that depends on the distance from its middle.
fn tapered(mut stamp: Array2<f64>, from: f64, to: f64) -> Array2<f64> {
    let r = (stamp.nrows() / 2) as f64;
    stamp.indexed_iter_mut().for_each(|((j, i), v)| *v *= taper((j as f64 - r).hypot(i as f64 - r), from, to));
    stamp
}

impl ProperFilter {
    /// For cells of side `cell_px` and maps that go `border_px` further on every side.
    ///
    /// # Arguments
    /// * `autocorrelation`: of the cell, with A(0) and weight positive.
    /// * `floor`: ε, in (0, 1).
    #[must_use]
    pub fn new(autocorrelation: &CellAutocorrelation, cell_px: usize, border_px: usize, floor: f64) -> Self {
        let lags = autocorrelation.lags.mapv(f64::from);
        let h = lags.nrows() / 2;
        let b = border_px;
        // Neither the cell's sums nor the PSF come round the edges.
        let fft = RealFft2::<f64>::new(fast_length((cell_px + 2 * b).max(2 * (h + b) + 2)));
        let signal = fft.of_stamp(lags.view());
        let light = signal.mapv(|a| Complex64::new(a.re / signal[[0, 0]].re, 0.0));
        let smooth = fft.of_stamp(tapered(lags.clone(), LAGS_KEPT * h as f64, h as f64 + 1.0).view());
        let dc = smooth[[0, 0]].re;
        let ideal = smooth.mapv(|a| {
            let a = a.re.max(0.0) / dc;
            Complex64::new((a * a + (floor / 4.0).powi(2)).powf(-0.25) / (autocorrelation.weight * dc).sqrt(), 0.0)
        });
        let gain = ideal[[0, 0]].re;
        let mut kernel = tapered(centred(&fft.inverse(ideal), b), b as f64 / 2.0, b as f64);
        // What the taper took from the sum, which is the small difference of large numbers, is given back over its whole width: the
        // image keeps its level.
        let broad = tapered(Array2::ones(kernel.dim()), 0.0, b as f64);
        let lost = gain - kernel.sum();
        kernel.scaled_add(lost / broad.sum(), &broad);
        let spectrum = fft.of_stamp(kernel.view()).mapv(|k| Complex64::new(k.re, 0.0));
        let psf = centred(&fft.inverse(Zip::from(&signal).and(&spectrum).map_collect(|a, k| a.re * k)), h);
        // A has the gain of Ψ's sampling once; noise has it squared, and the images of what is beyond the Nyquist frequency. On exposure pixels
        // of the tract's size, near enough: it matters where there is hardly a signal.
        let n = fft.n();
        let noise = |k: usize| {
            let k = k.min(n - k) as f64 / n as f64;
            spline_noise(k) / spline_gain(k)
        };
        let axis: Vec<f64> = (0..n).map(noise).collect();
        let mut power = Zip::from(&signal).and(&spectrum).map_collect(|a, k| a.re * k * k);
        power.indexed_iter_mut().for_each(|((kx, ky), p)| *p *= axis[kx] * axis[ky]);
        let covariance_njy2 = centred(&fft.inverse(power), h);
        let reach_px = (1..=h).find(|&r| lags[[h, h + r]].max(lags[[h + r, h]]) < NEAR_SHARE * lags[[h, h]]).unwrap_or(h).min(b);
        Self { border_px, reach_px, phi_of_cell: lags[[h, h]], weight: autocorrelation.weight, psf, covariance_njy2, spectrum, light, fft }
    }

    /// How far the maps go beyond the cell \[pixel\].
    #[must_use]
    pub fn border_px(&self) -> usize {
        self.border_px
    }

    /// The proper coadd of the cell.
    ///
    /// # Arguments
    /// * `psi`, `phi`: Ψ \[1/nJy\] and Φ \[1/nJy²\] on the cell and its border, `[ny + 2b, nx + 2b]`; 0 without data.
    /// * `direct`: mask of the direct coadd on the cell, `[ny, nx]`: what it says of the sources goes over.
    #[must_use]
    pub fn run(&self, psi: ArrayView2<f32>, phi: ArrayView2<f32>, direct: ArrayView2<u32>) -> ProperCell {
        let b = self.border_px;
        let (ny, nx) = direct.dim();
        let cell = s![b..b + ny, b..b + nx];
        let has_data = phi.mapv(|phi| f64::from(phi) >= MIN_PHI_SHARE * self.phi_of_cell);
        let filtered = self.fft.inverse(self.fft.forward(padded(psi, self.fft.n())) * &self.spectrum);
        let departure = self.departure(phi);
        let is_whole = has_data.iter().all(|ok| *ok);
        let is_inside = |j: usize, i: usize| {
            let around = |k: usize| k + b - self.reach_px..k + b + self.reach_px + 1;
            has_data.slice(s![around(j), around(i)]).iter().all(|ok| *ok)
        };
        let (inexact, no_data) = (MaskPlane::InexactPsf.bit(), MaskPlane::NoData.bit());
        let phi = phi.slice(cell);
        let ok = has_data.slice(cell);
        let level = |z: f64, phi: f32| (z * self.phi_of_cell / f64::from(phi)) as f32;
        let image_njy =
            Zip::from(filtered.slice(cell)).and(phi).and(ok).map_collect(|&z, &phi, &ok| if ok { level(z, phi) } else { f32::NAN });
        let variance = |phi: f32| (self.phi_of_cell / (self.weight * f64::from(phi))) as f32;
        let variance_njy2 = Zip::from(phi).and(ok).map_collect(|&phi, &ok| if ok { variance(phi) } else { f32::INFINITY });
        let mask = Array2::from_shape_fn((ny, nx), |at| {
            let is_even = departure.as_ref().is_none_or(|d| d[[at.0 + b, at.1 + b]] <= MAX_DEPARTURE);
            let holds = is_even && (is_whole || is_inside(at.0, at.1));
            let own = match (ok[at], holds) {
                (false, _) => no_data,
                (true, false) => inexact,
                (true, true) => 0,
            };
            direct[at] & !(inexact | no_data) | own
        });
        ProperCell { image_njy, variance_njy2, mask }
    }

    /// |Φ/A(0) - 1|, averaged over the light of a source at every pixel of the cell and its border; none where it is small everywhere.
    fn departure(&self, phi: ArrayView2<f32>) -> Option<Array2<f64>> {
        let of = phi.mapv(|phi| (f64::from(phi) / self.phi_of_cell - 1.0).abs());
        let mut is_even = true;
        let mut image = Array2::zeros((self.fft.n(), self.fft.n()));
        for ((j, i), d) in of.indexed_iter() {
            is_even &= *d <= MAX_DEPARTURE;
            image[[j, i]] = d.min(1.0);
        }
        (!is_even).then(|| self.fft.inverse(self.fft.forward(image) * &self.light))
    }
}

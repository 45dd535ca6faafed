//! What galaxies look like before the PSF: profiles of total flux 1, by their Fourier transforms.
//!
//! A round profile has half-light radius 1 and is made an ellipse by the renderer; a [`StampGalaxy`] brings its own shape.

mod gaussian_mixture;
mod sersic;
mod stamp_galaxy;

pub use gaussian_mixture::GaussianMixture;
pub use sersic::{SERSIC_RANGE, Sersic};
pub use stamp_galaxy::{StampGalaxy, StampLibrary};

/// A round profile of total flux 1 with half of it inside radius 1.
pub(crate) trait Radial: Send + Sync {
    /// Adds `flux` F(q) to `out`, given q² = (k r_e)² with k in cycles per length; F(0) = 1. Both slices have the same length.
    fn add_transform(&self, flux: f64, q_sq: &[f64], out: &mut [f64]);

    /// Surface brightness at radius `r` > 0 \[flux per r_e²\].
    fn density(&self, r: f64) -> f64;

    /// Share of the flux outside `r`, to a per cent of itself: for the size of stamps and the light beyond them.
    fn outside(&self, r: f64) -> f64;

    /// Radius that a stamp covers: all but [`share_cut`] of the flux.
    fn reach(&self) -> f64;
}

/// Share of the light outside the ellipse that a stamp covers, before the PSF: 1e-4 for a disc, 0.5 % from n = 4 on.
///
/// No stamp holds it all: a Sérsic profile of n = 6 has 1e-4 of its light beyond 251 half-light radii. What lies beyond is cut off,
/// not folded back: the pixels of a stamp are right, and their sum is the flux that lies there. Profiles without wings are
/// followed further, at little cost: their edge would be seen, and what is beyond is steep.
pub(crate) fn share_cut(n: f64) -> f64 {
    (5e-3 * (n / 4.0).powi(3)).clamp(1e-5, 5e-3)
}

/// A root of a rising function.
pub(crate) fn bisect(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

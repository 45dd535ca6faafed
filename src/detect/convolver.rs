//! Ψ_g of several morphologies from Ψ on one tile, by transforms of one size.

use crate::coadd::exponential_stamp;
use crate::coadd::fft2::{RealFft2, fast_length};
use crate::geometry::Box2;
use ndarray::{Array2, Zip, s};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Plans and stamps' transforms for tiles of one size.
struct Plan {
    fft: RealFft2<f32>,
    /// Transforms of the stamps, which are real: the stamps are even.
    transforms: Vec<Array2<f32>>,
}

/// Makes Ψ_g = g ⋆ Ψ of round exponentials on tiles of any size.
pub struct Convolver {
    stamps: Vec<Array2<f64>>,
    reach_px: i32,
    plans: Mutex<BTreeMap<usize, Arc<Plan>>>,
}

impl std::fmt::Debug for Convolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Convolver").field("n_stamps", &self.stamps.len()).field("reach_px", &self.reach_px).finish_non_exhaustive()
    }
}

impl Convolver {
    /// For these half-light radii \[pixel\].
    #[must_use]
    pub fn new(half_light_px: &[f64]) -> Self {
        let stamps: Vec<_> = half_light_px.iter().map(|&r| exponential_stamp(r)).collect();
        let reach_px = stamps.iter().map(|s| s.nrows() as i32 / 2).max().unwrap_or(0);
        Self { stamps, reach_px, plans: Mutex::default() }
    }

    /// The stamps g.
    #[must_use]
    pub fn stamps(&self) -> &[Array2<f64>] {
        &self.stamps
    }

    /// Pixels of Ψ needed around a tile.
    #[must_use]
    pub fn reach_px(&self) -> i32 {
        self.reach_px
    }

    fn plan(&self, n: usize) -> Arc<Plan> {
        // A plan is made whole or not at all.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let fft = RealFft2::<f32>::new(n);
            // In double precision, once: what is rounded here is rounded in every pixel.
            let exact = RealFft2::<f64>::new(n);
            let transforms = self.stamps.iter().map(|g| exact.of_stamp(g.view()).mapv(|v| v.re as f32)).collect();
            Arc::new(Plan { fft, transforms })
        };
        Arc::clone(plans.entry(n).or_insert_with(make))
    }

    /// Ψ_g on `bbox` for every stamp, in single precision: errors of 1e-6 of the tile's largest value.
    ///
    /// `psi`: Ψ on `bbox` grown by [`Self::reach_px`], finite.
    #[must_use]
    pub fn run(&self, psi: &Array2<f32>, bbox: &Box2) -> Vec<Array2<f32>> {
        if self.stamps.is_empty() {
            return Vec::new();
        }
        let (ny, nx) = psi.dim();
        // What wraps round falls on the margin.
        let plan = self.plan(fast_length(ny.max(nx)));
        let n = plan.fft.n();
        let mut padded = Array2::<f32>::zeros((n, n));
        padded.slice_mut(s![..ny, ..nx]).assign(psi);
        let spectrum = plan.fft.forward(padded);
        let (r, (height, width)) = (self.reach_px as usize, bbox.shape());
        let make = |transform: &Array2<f32>| {
            let mut product = spectrum.clone();
            Zip::from(&mut product).and(transform).for_each(|v, g| *v *= *g);
            plan.fft.inverse(product).slice(s![r..r + height, r..r + width]).to_owned()
        };
        plan.transforms.par_iter().map(make).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::psi_of_morphology;

    /// Against the double-precision kernel, with a star 10⁵ times the noise in the tile.
    #[test]
    fn single_precision_is_enough() {
        let convolver = Convolver::new(&[2.0, 5.0]);
        let bbox = Box2::new(0, 0, 70, 50);
        let shape = bbox.grown(convolver.reach_px()).shape();
        let star = |j: usize, i: usize| 1e5 * (-((j as f32 - 60.0).powi(2) + (i as f32 - 71.0).powi(2)) / 8.0).exp();
        let psi = Array2::from_shape_fn(shape, |(j, i)| star(j, i) + ((j * 37 + i * 101) % 17) as f32 / 8.0 - 1.0);
        let found = convolver.run(&psi, &bbox);
        for (stamp, found) in convolver.stamps().iter().zip(&found) {
            let exact = psi_of_morphology(psi.view(), stamp.view());
            let skip = convolver.reach_px() as usize - stamp.nrows() / 2;
            let exact = exact.slice(s![skip..skip + 50, skip..skip + 70]);
            let largest = exact.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            for (a, b) in found.iter().zip(exact) {
                assert!((f64::from(*a) - b).abs() < 1e-6 * largest, "{a} {b}");
            }
        }
    }
}

//! Likelihood maps of one exposure at the tract's pixels: Ψ, Φ, Φ3, Ω.
//!
//! z/v is correlated with the PSF on the exposure's own grid, where the noise is white, in fixed tiles of the exposure, and sampled with
//! 6 x 6 taps of a quintic B-spline. A PSF that varies is Σ_k c_k(x) b_k: Ψ is then Σ_k c_k(x) (b_k ⋆ z/v)(x) at the exposure's pixels,
//! and the spline goes through that sum. Φ is Σφ²/v at the exact position less the sum over masked and missing pixels (Kaiser 2004; Bosch
//! 2016, DMTN-015).
//!
//! Transforms are in single precision: their error is 10⁻⁷ of the root mean square over a tile, thousandths of a sigma of Ψ/√Φ beside the
//! brightest star.

use super::fft2::RealFft2;
use super::mapping::Run;
use super::prepared::Prepared;
use super::psf_sums::{MaskedSums, PsfSums};
use super::spline_map::{SplineMap, Tiles, near};
use crate::geometry::{Box2, PixelPoint};
use crate::image::ExposureMeta;
use ndarray::{Array2, Zip};
use rustfft::num_complex::Complex32;

/// Least share of Σφ² that must fall on good pixels; below it the exposure says nothing about a source there.
const MIN_GOOD_SHARE: f64 = 0.1;

/// Spacing of the nodes between which the coefficients of a varying PSF are interpolated for Ψ \[exposure pixel\]: of a polynomial that
/// turns over 1000 pixels, 3e-5 of its amplitude.
const NODE_PX: i32 = 16;

/// The four sums at one position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LikelihoodTerms {
    pub psi: f64,
    pub phi: f64,
    pub phi3: f64,
    pub omega: f64,
}

impl LikelihoodTerms {
    pub fn add(&mut self, other: &Self) {
        self.psi += other.psi;
        self.phi += other.phi;
        self.phi3 += other.phi3;
        self.omega += other.omega;
    }
}

/// The tiles of an exposure's maps.
fn tiles_of(meta: &ExposureMeta) -> Tiles {
    // A tenth of Σφ² lies beyond 0.4 FWHM at most, on either side of a straight edge: further outside MIN_GOOD_SHARE is not reached.
    let outer_px = meta.psf.fwhm_px(meta.center()).ceil() as i32;
    Tiles::new(meta.shape, outer_px, meta.psf.radius_px() as i32)
}

/// Pixels of an exposure that the maps need for positions in `region`, not cut to the exposure.
pub(crate) fn pixels_for(region: &Box2, meta: &ExposureMeta) -> Box2 {
    tiles_of(meta).pixels_for(region)
}

/// One exposure's PSF ready to be correlated.
pub(crate) struct Correlator<'a> {
    meta: &'a ExposureMeta,
    tiles: Tiles,
    fft: RealFft2<f32>,
    filters: Filters,
    sums: PsfSums,
    masked: MaskedSums,
}

enum Filters {
    /// conj(φ̂), divided by the transform of the sampled B-spline.
    Constant(Array2<Complex32>),
    /// conj(b̂_k), and one over the transform of the sampled B-spline.
    Varying { basis: Vec<Array2<Complex32>>, prefilter: Array2<f32> },
}

impl<'a> Correlator<'a> {
    pub fn new(meta: &'a ExposureMeta) -> Self {
        let tiles = tiles_of(meta);
        let fft = RealFft2::new(tiles.transform_px());
        let conjugate = |k: usize| fft.of_stamp(meta.psf.basis_stamp(k, 0.0, 0.0).view()).mapv(|v| v.conj());
        let prefilter = prefilter(fft.n());
        let filters = if meta.psf.is_constant() {
            let mut c = [0.0];
            meta.psf.coefficients(meta.center(), &mut c);
            let mut filter = conjugate(0);
            filter.zip_mut_with(&prefilter, |f, p| *f *= c[0] as f32 * p);
            Filters::Constant(filter)
        } else {
            Filters::Varying { basis: (0..meta.psf.n_basis()).map(conjugate).collect(), prefilter }
        };
        Self { meta, tiles, fft, filters, sums: PsfSums::new(meta), masked: MaskedSums::new(meta) }
    }

    /// Ψ over the exposure under positions in `region`; pixels that `prepared` lacks count as masked. None if nothing is near.
    pub fn psi(&self, prepared: &Prepared, region: &Box2) -> Option<SplineMap> {
        Some(SplineMap::fill(&self.tiles, region, 1, |tile| vec![self.tile(prepared, tile)])?.remove(0))
    }

    fn tile(&self, prepared: &Prepared, tile: &Box2) -> Array2<f32> {
        let n = self.fft.n();
        let region = self.tiles.with_halo(tile);
        let part = region.intersect(&prepared.bbox);
        let mut weighted = Array2::zeros((n, n));
        if !part.is_empty() {
            let from = prepared.bbox.slice_of(&part);
            let to = weighted.slice_mut(region.slice_of(&part));
            Zip::from(to).and(prepared.flux_njy.slice(from)).and(prepared.background_njy2().slice(from)).for_each(|w, z, v| *w = z / v);
        }
        let spectrum = self.fft.forward(weighted);
        let correlated = match &self.filters {
            Filters::Constant(filter) => self.fft.inverse(spectrum * filter),
            Filters::Varying { basis, prefilter } => {
                let mut spectrum = self.fft.forward(self.varying(&region, &spectrum, basis));
                spectrum.zip_mut_with(prefilter, |v, p| *v *= *p);
                self.fft.inverse(spectrum)
            }
        };
        self.tiles.own(&correlated).to_owned()
    }

    /// Σ_k c_k(x) (b_k ⋆ z/v)(x) on the pixels of `region`, in the corner of a transform.
    fn varying(&self, region: &Box2, spectrum: &Array2<Complex32>, basis: &[Array2<Complex32>]) -> Array2<f32> {
        let n = self.fft.n();
        let first = |start: i32| start.div_euclid(NODE_PX);
        let n_nodes = |start: i32, size: i32| ((start + size).div_euclid(NODE_PX) + 2 - first(start)) as usize;
        let shape = (n_nodes(region.y0, region.height), n_nodes(region.x0, region.width));
        let mut c = vec![0.0; basis.len()];
        let mut nodes = vec![Array2::<f32>::zeros(shape); basis.len()];
        for (j, i) in (0..shape.0).flat_map(|j| (0..shape.1).map(move |i| (j, i))) {
            let at = |k: usize, start: i32| f64::from((first(start) + k as i32) * NODE_PX);
            self.meta.psf.coefficients(PixelPoint::new(at(i, region.x0), at(j, region.y0)), &mut c);
            nodes.iter_mut().zip(&c).for_each(|(nodes, c)| nodes[[j, i]] = *c as f32);
        }
        let place = |v: i32, start: i32| {
            let k = v.div_euclid(NODE_PX) - first(start);
            (k as usize, v.rem_euclid(NODE_PX) as f32 / NODE_PX as f32)
        };
        let mut sum = Array2::zeros((n, n));
        for (nodes, filter) in nodes.iter().zip(basis).filter(|(nodes, _)| nodes.iter().any(|c| *c != 0.0)) {
            let correlated = self.fft.inverse(spectrum * filter);
            for y in 0..region.height {
                let (j, v) = place(region.y0 + y, region.y0);
                let row: Vec<f32> = (0..shape.1).map(|i| nodes[[j, i]] + v * (nodes[[j + 1, i]] - nodes[[j, i]])).collect();
                for x in 0..region.width {
                    let (i, u) = place(region.x0 + x, region.x0);
                    let at = [y as usize, x as usize];
                    sum[at] += (row[i] + u * (row[i + 1] - row[i])) * correlated[at];
                }
            }
        }
        sum
    }

    /// Adds the sums of sources at the pixels of a run, where the exposure says anything; calls `each` with the run's pixel and its terms.
    pub fn run(&self, prepared: &Prepared, psi: &SplineMap, run: &Run, scratch: &mut RunScratch, each: impl FnMut(usize, LikelihoodTerms)) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature; it was just asked.
            return unsafe { self.run_avx2(prepared, psi, run, scratch, each) };
        }
        self.run_with(prepared, psi, run, scratch, each);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(
        &self,
        prepared: &Prepared,
        psi: &SplineMap,
        run: &Run,
        scratch: &mut RunScratch,
        each: impl FnMut(usize, LikelihoodTerms),
    ) {
        self.run_with(prepared, psi, run, scratch, each);
    }

    /// Inlined, so that it is compiled with the features of its caller; its bits do not depend on them, for no sum is reordered or fused.
    #[inline(always)]
    fn run_with(
        &self,
        prepared: &Prepared,
        psi: &SplineMap,
        run: &Run,
        scratch: &mut RunScratch,
        mut each: impl FnMut(usize, LikelihoodTerms),
    ) {
        self.masked_under(prepared, run, &mut scratch.masked);
        self.lost_under(run, scratch);
        let background_njy2 = prepared.background_njy2();
        let (ny, nx) = background_njy2.dim();
        for (i, x, y) in near(&self.tiles, run) {
            let (ix, iy) = ((x + 0.5).floor() as i32, (y + 0.5).floor() as i32);
            let [s1, s2, s3] = self.sums.at(x, y);
            let lost = if scratch.masked.is_empty() { [0.0; 3] } else { scratch.lost[i] };
            if s2 - lost[1] < MIN_GOOD_SHARE * s2 {
                continue;
            }
            // The variance is smooth: at the source's pixel, or at the nearest one of the exposure.
            let clamp = |v: i32, start: i32, n: usize| (v - start).clamp(0, n as i32 - 1) as usize;
            let at = [clamp(iy, prepared.bbox.y0, ny), clamp(ix, prepared.bbox.x0, nx)];
            let inverse_v = f64::from(background_njy2[at]).recip();
            let njy_per_electron = f64::from(prepared.njy_per_adu(at)) / self.meta.gain_e_per_adu;
            let terms = LikelihoodTerms {
                psi: f64::from(psi.at(x, y)),
                phi: (s2 - lost[1]) * inverse_v,
                phi3: (s3 - lost[2]) * njy_per_electron * inverse_v * inverse_v,
                omega: (s1 - lost[0]) * inverse_v,
            };
            each(i, terms);
        }
    }

    /// What masked pixels take from the sums of every pixel of the run. Pixel by masked pixel: each reaches a few of the run's.
    #[inline(always)]
    fn lost_under(&self, run: &Run, scratch: &mut RunScratch) {
        let RunScratch { masked, c, lost, near: pixels, coefficients } = scratch;
        if masked.is_empty() {
            return;
        }
        let n_basis = self.meta.psf.n_basis();
        c.resize(n_basis, 0.0);
        pixels.clear();
        coefficients.clear();
        for (i, x, y) in near(&self.tiles, run) {
            pixels.push((i, x, y));
            self.meta.psf.coefficients(PixelPoint::new(x, y), c);
            coefficients.extend_from_slice(c);
        }
        lost.clear();
        lost.resize(pixels.last().map_or(0, |p| p.0 + 1), [0.0; 3]);
        let reach = f64::from(self.masked.reach() as i32) + 0.5;
        for &(mx, my) in &*masked {
            let (mx, my) = (f64::from(mx), f64::from(my));
            for (&(i, x, y), c) in pixels.iter().zip(coefficients.chunks_exact(n_basis)) {
                let (dx, dy) = (mx - x, my - y);
                // Pixels whose nearest one is within the reach: [mx - reach, mx + reach) holds x + 1/2.
                if dx > -reach && dx <= reach && dy > -reach && dy <= reach {
                    let p = self.masked.value(c, dx, dy);
                    let sums = &mut lost[i];
                    sums[0] += p;
                    sums[1] += p * p;
                    sums[2] += p * p * p;
                }
            }
        }
    }

    /// Masked and missing pixels that may lie under a source at a pixel of the run, row by row.
    fn masked_under(&self, prepared: &Prepared, run: &Run, masked: &mut Vec<(i32, i32)>) {
        masked.clear();
        let reach = self.masked.reach() as i32;
        let (mut x, mut y) = ((i32::MAX, i32::MIN), (i32::MAX, i32::MIN));
        for (_, px, py) in near(&self.tiles, run) {
            let (ix, iy) = ((px + 0.5).floor() as i32, (py + 0.5).floor() as i32);
            x = (x.0.min(ix), x.1.max(ix));
            y = (y.0.min(iy), y.1.max(iy));
        }
        if x.0 > x.1 {
            return;
        }
        let (first, end) = (x.0 - reach, x.1 + reach + 1);
        for row in y.0 - reach..=y.1 + reach {
            for start in (first..end).step_by(64) {
                let width = (end - start).min(64) as usize;
                let mut bits = prepared.bad.window(i64::from(row - prepared.bbox.y0), i64::from(start - prepared.bbox.x0), width);
                while bits != 0 {
                    masked.push((start + bits.trailing_zeros() as i32, row));
                    bits &= bits - 1;
                }
            }
        }
    }
}

/// Memory of one thread.
#[derive(Default)]
pub(crate) struct RunScratch {
    masked: Vec<(i32, i32)>,
    c: Vec<f64>,
    /// By the run's pixel: Σφ, Σφ², Σφ³ over masked pixels.
    lost: Vec<[f64; 3]>,
    /// Pixels of the run near the exposure, and their coefficients of the PSF's basis.
    near: Vec<(usize, f64, f64)>,
    coefficients: Vec<f64>,
}

/// One over the transform of the quintic B-spline sampled at the pixels (66, 26 and 1 over 120), `[kx, ky]` of a transform of side `n`.
pub(super) fn prefilter(n: usize) -> Array2<f32> {
    let along = |k: usize| {
        let w = std::f64::consts::TAU * k as f64 / n as f64;
        (66.0 + 52.0 * w.cos() + 2.0 * (2.0 * w).cos()) / 120.0
    };
    Array2::from_shape_fn((n / 2 + 1, n), |(kx, ky)| (along(kx) * along(ky)).recip() as f32)
}

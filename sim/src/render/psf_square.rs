//! Transforms of an exposure's PSF on squares of a few sides, made once and shared by its objects.

use fathom::geometry::PixelPoint;
use fathom::image::Psf;
use ndarray::Array2;
use realfft::{ComplexToReal, RealFftPlanner};
use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values below this share of the PSF's flux are left out.
const NEGLIGIBLE: f64 = 3e-7;
/// Runs of values that are not negligible join over gaps up to this.
const GAP: usize = 8;
/// Most values to keep per side of a PSF that varies; with more, an object's own PSF is transformed.
const MOST_KEPT: usize = 1 << 21;

/// One quarter of the frequencies of a PSF sampled at half pixels: kx in 0..=side/2 or that minus the side, ky likewise.
///
/// The pixels see all four folded onto the first. A PSF sampled well has next to nothing in the other three.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    /// Of the element \[i\]\[0\]: kx = i + this.
    pub kx_first: i64,
    /// True where ky lies beyond the Nyquist frequency.
    pub ky_is_far: bool,
    /// `[kx][ky]`.
    pub values: Array2<Complex64>,
    /// Per kx: ranges of ky where something is.
    pub runs: Vec<Vec<(usize, usize)>>,
}

/// The way back from a spectrum, by side.
struct Plans {
    along_y: Arc<dyn Fft<f64>>,
    along_x: Arc<dyn ComplexToReal<f64>>,
}

/// Basis images' transforms on a square of one side.
struct Basis {
    plans: Arc<Plans>,
    /// By basis image: sum over the pixels; planes. Empty if too many to keep.
    kept: Vec<(f64, Arc<Vec<Plane>>)>,
}

/// The PSF at one place on a square.
pub(super) struct PsfSquare {
    pub side: usize,
    planes: Arc<Vec<Plane>>,
    /// Sum of the stamp's pixels, and what to multiply the planes with to have it at k = 0.
    sum: f64,
    scale: f64,
    plans: Arc<Plans>,
}

/// All squares of one PSF.
pub(super) struct PsfSquares<'a> {
    psf: &'a Psf,
    by_side: Mutex<BTreeMap<usize, Arc<Basis>>>,
}

impl<'a> PsfSquares<'a> {
    pub(super) fn new(psf: &'a Psf) -> Self {
        Self { psf, by_side: Mutex::default() }
    }

    /// The PSF of a source at `at` on a square of even side.
    pub(super) fn at(&self, side: usize, at: PixelPoint) -> PsfSquare {
        let basis = {
            // The lock is held while a side is made: others would only make it, too.
            let mut by_side = self.by_side.lock().unwrap_or_else(PoisonError::into_inner);
            by_side.entry(side).or_insert_with(|| Arc::new(self.basis(side))).clone()
        };
        let n = self.psf.n_basis();
        let mut c = vec![0.0; n];
        self.psf.coefficients(at, &mut c);
        let (sum, planes) = if basis.kept.is_empty() {
            let stamp = |dx, dy| self.psf.stamp(at, dx, dy);
            (stamp(0.0, 0.0).sum(), Arc::new(planes(&stamp, side)))
        } else if n == 1 {
            (c[0] * basis.kept[0].0, basis.kept[0].1.clone())
        } else {
            let parts = || basis.kept.iter().zip(&c).filter(|(_, c)| **c != 0.0);
            (parts().map(|((sum, _), c)| c * sum).sum(), Arc::new(combine(parts().map(|((_, planes), c)| (planes.as_slice(), *c)))))
        };
        let at_zero = planes[0].values[[0, 0]].re;
        PsfSquare { side, sum, scale: if at_zero.abs() > 1e-3 { sum / at_zero } else { 1.0 }, planes, plans: basis.plans.clone() }
    }

    fn basis(&self, side: usize) -> Basis {
        let plans = Plans { along_y: FftPlanner::new().plan_fft_inverse(side), along_x: RealFftPlanner::new().plan_fft_inverse(side) };
        let n = self.psf.n_basis();
        let kept = if n > 1 && n * side * side > MOST_KEPT {
            Vec::new()
        } else {
            (0..n)
                .map(|k| {
                    let stamp = |dx, dy| self.psf.basis_stamp(k, dx, dy);
                    (stamp(0.0, 0.0).sum(), Arc::new(planes(&stamp, side)))
                })
                .collect()
        };
        Basis { plans: Arc::new(plans), kept }
    }
}

impl PsfSquare {
    pub(super) fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// Sum of the stamp's pixels: the transform at 0.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Factor of the planes' values.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Back along ky, in place.
    pub(super) fn inverse_along_y(&self, rows: &mut [Complex64], scratch: &mut Vec<Complex64>) {
        scratch.resize(self.plans.along_y.get_inplace_scratch_len(), Complex64::ZERO);
        self.plans.along_y.process_with_scratch(rows, scratch);
    }

    /// Back along kx, from side/2 + 1 values (overwritten) to `side` pixels.
    pub(super) fn inverse_along_x(&self, spectrum: &mut [Complex64], pixels: &mut [f64], scratch: &mut Vec<Complex64>) {
        scratch.resize(self.plans.along_x.get_scratch_len(), Complex64::ZERO);
        // A row of a real image: these two are real but for rounding, which would be called an error.
        spectrum[0].im = 0.0;
        spectrum[self.side / 2].im = 0.0;
        self.plans.along_x.process_with_scratch(spectrum, pixels, scratch).expect("lengths are the plan's own");
    }
}

/// Σ c_k planes_k, of the planes that any of them has.
fn combine<'p>(parts: impl Iterator<Item = (&'p [Plane], f64)>) -> Vec<Plane> {
    let mut out: Vec<Plane> = Vec::new();
    for (planes, c) in parts {
        for plane in planes {
            match out.iter_mut().find(|p| p.kx_first == plane.kx_first && p.ky_is_far == plane.ky_is_far) {
                None => out.push(Plane { values: plane.values.mapv(|v| v * c), ..plane.clone() }),
                Some(sum) => {
                    sum.values.zip_mut_with(&plane.values, |a, b| *a += b * c);
                    for (runs, more) in sum.runs.iter_mut().zip(&plane.runs) {
                        runs.extend(more);
                        runs.sort_unstable();
                        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(runs.len());
                        for &(from, to) in runs.iter() {
                            match joined.last_mut() {
                                Some(last) if from <= last.1 + GAP => last.1 = last.1.max(to),
                                _ => joined.push((from, to)),
                            }
                        }
                        *runs = joined;
                    }
                }
            }
        }
    }
    out
}

/// Planes of a PSF image given by its stamps at sub-pixel offsets; the first is that of the low frequencies.
fn planes(stamp: &dyn Fn(f64, f64) -> Array2<f64>, side: usize) -> Vec<Plane> {
    let fine = 2 * side;
    let mut square = Array2::<Complex64>::zeros((fine, fine));
    for (py, px) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let samples = stamp(0.5 * f64::from(px), 0.5 * f64::from(py));
        let r = (samples.nrows() / 2) as i64;
        // Half pixels from the source, around element (0, 0).
        let index = |i: usize, p: i32| (2 * (i as i64 - r) - i64::from(p)).rem_euclid(fine as i64) as usize;
        for ((j, i), &v) in samples.indexed_iter() {
            square[[index(j, py), index(i, px)]].re += 0.25 * v;
        }
    }
    let fft = FftPlanner::new().plan_fft_forward(fine);
    for _ in 0..2 {
        fft.process(square.as_slice_mut().expect("owned arrays are contiguous"));
        square = square.t().as_standard_layout().to_owned();
    }
    let brightest = square.iter().map(|v| v.norm()).fold(0.0, f64::max);
    let (n, near) = (side as i64, side / 2);
    let mut out = Vec::new();
    for (kx_first, ky_is_far) in [(0, false), (-n, false), (0, true), (-n, true)] {
        let values = Array2::from_shape_fn((near + 1, side), |(i, j)| {
            let (kx, ky) = (i as i64 + kx_first, signed(j, side, ky_is_far));
            square[[ky.rem_euclid(2 * n) as usize, kx.rem_euclid(2 * n) as usize]]
        });
        let runs: Vec<_> = values.rows().into_iter().map(|row| runs_above(row.iter().map(|v| v.norm()), NEGLIGIBLE * brightest)).collect();
        if out.is_empty() || runs.iter().any(|r| !r.is_empty()) {
            out.push(Plane { kx_first, ky_is_far, values, runs });
        }
    }
    out
}

/// ky of element j of a plane.
pub(super) fn signed(j: usize, side: usize, is_far: bool) -> i64 {
    let (j, n) = (j as i64, side as i64);
    if (2 * j < n) == is_far { j - n } else { j }
}

fn runs_above(values: impl Iterator<Item = f64>, limit: f64) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, _) in values.enumerate().filter(|(_, v)| *v > limit) {
        match runs.last_mut() {
            Some(last) if i <= last.1 + GAP => last.1 = i + 1,
            _ => runs.push((i, i + 1)),
        }
    }
    runs
}

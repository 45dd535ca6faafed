//! Sums over an exposure's PSF, whole or over masked pixels only: what Φ, Φ3 and Ω are made of.

use crate::geometry::PixelPoint;
use crate::image::{ExposureMeta, Psf};
use ndarray::{Array2, s};

/// Spacing of the nodes between which the sums of a varying PSF are interpolated \[exposure pixel\].
const NODE_PX: f64 = 64.0;
/// Sub-pixel phases per axis at which the sums are tabulated.
const N_PHASES: usize = 8;
/// Table steps per pixel of [`MaskedSums`]: bilinear interpolation of φ errs by about 5e-4 φ'' at most.
const OVERSAMPLING: usize = 16;
/// Share of Σφ² that may lie outside the window in which masked pixels are looked for.
const OUTSIDE_SHARE: f64 = 1e-4;
/// Widest window: its rows must fit 64 bits.
const MAX_REACH: usize = 31;

/// Σφ, Σφ², Σφ³ over the pixels, for a source anywhere on the exposure.
pub(crate) struct PsfSums {
    nodes: Array2<[f64; 3]>,
    /// Ratio of the sums at a sub-pixel phase to those at phase 0, at the exposure's centre, `[phase y, phase x]`.
    phases: Array2<[f64; 3]>,
}

fn sums(stamp: &Array2<f64>) -> [f64; 3] {
    stamp.iter().fold([0.0; 3], |[a, b, c], &p| [a + p, b + p * p, c + p * p * p])
}

impl PsfSums {
    pub fn new(meta: &ExposureMeta) -> Self {
        let psf = &meta.psf;
        let basis: Vec<_> = (0..psf.n_basis()).map(|k| psf.basis_stamp(k, 0.0, 0.0)).collect();
        let n_nodes = |n: usize| if psf.is_constant() { 1 } else { (n as f64 / NODE_PX).ceil() as usize + 1 };
        let mut c = vec![0.0; psf.n_basis()];
        let mut stamp = Array2::zeros(basis[0].dim());
        let nodes = Array2::from_shape_fn((n_nodes(meta.shape.0), n_nodes(meta.shape.1)), |(j, i)| {
            psf.coefficients(PixelPoint::new(i as f64 * NODE_PX, j as f64 * NODE_PX), &mut c);
            stamp.fill(0.0);
            for (b, &c) in basis.iter().zip(&c).filter(|(_, c)| **c != 0.0) {
                stamp.scaled_add(c, b);
            }
            sums(&stamp)
        });
        let at = meta.center();
        let reference = sums(&psf.stamp(at, 0.0, 0.0));
        let phases = Array2::from_shape_fn((N_PHASES, N_PHASES), |(j, i)| {
            let s = sums(&psf.stamp(at, i as f64 / N_PHASES as f64, j as f64 / N_PHASES as f64));
            std::array::from_fn(|k| s[k] / reference[k])
        });
        Self { nodes, phases }
    }

    /// The sums for a source at (`x`, `y`).
    #[inline(always)]
    pub fn at(&self, x: f64, y: f64) -> [f64; 3] {
        let (rows, columns) = self.nodes.dim();
        let split = |v: f64, n: usize| {
            let u = (v / NODE_PX).clamp(0.0, (n - 1) as f64);
            let i = (u as usize).min(n.saturating_sub(2));
            (i, (i + 1).min(n - 1), u - i as f64)
        };
        let phase = |v: f64| {
            let u = (v - v.floor()) * N_PHASES as f64;
            let i = u as usize;
            (i % N_PHASES, (i + 1) % N_PHASES, u - i as f64)
        };
        let ratio = bilinear(&self.phases, phase(y), phase(x));
        let sums = if self.nodes.len() == 1 { self.nodes[[0, 0]] } else { bilinear(&self.nodes, split(y, rows), split(x, columns)) };
        std::array::from_fn(|k| sums[k] * ratio[k])
    }
}

/// Between four places: the lower and the upper row and the fraction between them; the same for columns.
#[inline(always)]
fn bilinear(a: &Array2<[f64; 3]>, (j, j1, v): (usize, usize, f64), (i, i1, u): (usize, usize, f64)) -> [f64; 3] {
    let [sw, se, nw, ne] = [a[[j, i]], a[[j, i1]], a[[j1, i]], a[[j1, i1]]];
    std::array::from_fn(|k| (1.0 - v) * ((1.0 - u) * sw[k] + u * se[k]) + v * ((1.0 - u) * nw[k] + u * ne[k]))
}

/// The same sums over given pixels only: φ from a finely sampled table.
pub(crate) struct MaskedSums {
    /// b_k on a grid of 1/16 pixel, `[y, x]`, offset 0 in the middle.
    tables: Vec<Array2<f32>>,
    reach: usize,
}

impl MaskedSums {
    pub fn new(meta: &ExposureMeta) -> Self {
        let psf = &meta.psf;
        let reach = reach(psf, meta.center());
        let r = (reach + 1).min(psf.radius_px());
        let side = 2 * (reach + 1) * OVERSAMPLING + 1;
        let tables = (0..psf.n_basis())
            .map(|k| {
                let mut table = Array2::zeros((side, side));
                for q in 0..OVERSAMPLING {
                    for p in 0..OVERSAMPLING {
                        let phase = |i: usize| -(i as f64) / OVERSAMPLING as f64;
                        let stamp = psf.basis_core(k, phase(p), phase(q), r);
                        for ((j, i), v) in table.slice_mut(s![q..;OVERSAMPLING, p..;OVERSAMPLING]).indexed_iter_mut() {
                            // Table node (j, i) is at the offset of stamp pixel (j, i) - reach - 1 from the centre.
                            let at = |n: usize| (n + r).checked_sub(reach + 1).filter(|&n| n < 2 * r + 1);
                            *v = at(j).zip(at(i)).map_or(0.0, |(j, i)| stamp[[j, i]] as f32);
                        }
                    }
                }
                table
            })
            .collect();
        Self { tables, reach }
    }

    /// Half-width of the window around the source's pixel in which masked pixels count.
    pub fn reach(&self) -> i64 {
        self.reach as i64
    }

    /// φ at offset (`dx`, `dy`) (within the reach plus half a pixel), with coefficients `c` of the PSF's basis.
    #[inline(always)]
    pub fn value(&self, c: &[f64], dx: f64, dy: f64) -> f64 {
        let split = |d: f64| {
            let u = (d + (self.reach + 1) as f64) * OVERSAMPLING as f64;
            (u as usize, u - u.floor())
        };
        let ((i, u), (j, v)) = (split(dx), split(dy));
        let mut sum = 0.0;
        for (table, &c) in self.tables.iter().zip(c).filter(|(_, c)| **c != 0.0) {
            let f = |j: usize, i: usize| f64::from(table[[j, i]]);
            sum += c * ((1.0 - v) * ((1.0 - u) * f(j, i) + u * f(j, i + 1)) + v * ((1.0 - u) * f(j + 1, i) + u * f(j + 1, i + 1)));
        }
        sum
    }
}

/// Half-width of the square that holds all of Σφ² but [`OUTSIDE_SHARE`].
fn reach(psf: &Psf, at: PixelPoint) -> usize {
    let stamp = psf.stamp(at, 0.0, 0.0).mapv(|p| p * p);
    let r = psf.radius_px();
    let total = stamp.sum();
    let outside = |reach: usize| 1.0 - stamp.slice(s![r - reach..=r + reach, r - reach..=r + reach]).sum() / total;
    (2..=r.min(MAX_REACH)).find(|&n| outside(n) < OUTSIDE_SHARE).unwrap_or(r.min(MAX_REACH))
}

//! The normal equations of the background, never written out: a product costs one pass over the samples.
//!
//! With cells of N exposures the matrix has N² / 2 blocks a cell, ten gigabytes for 10⁴ exposures; the samples have N rows. So the
//! equations are solved by conjugate gradients, preconditioned by each exposure's own block (Hestenes & Stiefel 1952; Golub & Van Loan
//! 10.3). Threads share cells and exposures; every sum is made by one of them, in the order of the samples.

use super::matching::{LevelSample, MatchError};
use super::solve::{SkySample, SolveExposure, cells};
use crate::geometry::PixelPoint;
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rayon::prelude::*;
use std::ops::Range;

/// ‖r‖ / ‖b‖ at which the iteration ends: far below the noise, which no iteration can lower.
const TOLERANCE: f64 = 1e-10;

/// Most iterations; a chain of a hundred detectors needs a few hundred.
const MAX_ITERATIONS: usize = 5000;

/// Prior on a step \[sky noise of a pixel\].
const STEP_PRIOR: f64 = 1.0;

/// Prior on a term of the polynomial \[sky noise of a pixel\].
const SMOOTH_PRIOR: f64 = 100.0;

/// A cell with a single exposure at weight w counts nothing.
const MIN_MEMBERS: usize = 2;

/// The samples as equations.
pub(super) struct System {
    exposures: Vec<SolveExposure>,
    samples: Vec<LevelSample>,
    /// 1/σ²; 0 if rejected.
    weights: Vec<f64>,
    /// Indices of samples.
    cells: Vec<Vec<usize>>,
    /// For each exposure: (cell, sample).
    members: Vec<Vec<(usize, usize)>>,
    /// Unknowns of each exposure.
    unknowns: Vec<Range<usize>>,
    /// Terms of each exposure, from the first, that are held at zero.
    held: Vec<usize>,
}

/// The iteration did not end.
#[derive(Debug)]
pub(super) struct Stalled {
    residual: f64,
}

impl Stalled {
    pub fn of_band(self, band: &str) -> MatchError {
        MatchError::NotConverged { band: band.to_owned(), residual: self.residual, n: MAX_ITERATIONS, limit: TOLERANCE }
    }
}

impl System {
    /// `samples` sorted by cell and exposure.
    pub fn new(exposures: &[SolveExposure], samples: Vec<LevelSample>) -> Self {
        let mut first = 0;
        let ranges: Vec<Vec<usize>> = cells(&samples)
            .map(|cell| {
                first += cell.len();
                (first - cell.len()..first).collect()
            })
            .collect();
        let mut end = 0;
        let unknowns = exposures
            .iter()
            .map(|e| {
                end += e.basis.n_terms();
                end - e.basis.n_terms()..end
            })
            .collect();
        let weights = samples.iter().map(|s| s.error_njy.powi(-2)).collect();
        let mut system = Self {
            exposures: exposures.to_vec(),
            samples,
            weights,
            cells: Vec::new(),
            members: Vec::new(),
            unknowns,
            held: vec![0; exposures.len()],
        };
        system.set_cells(ranges);
        system
    }

    fn set_cells(&mut self, cells: Vec<Vec<usize>>) {
        self.members = vec![Vec::new(); self.exposures.len()];
        for (c, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.len() >= MIN_MEMBERS) {
            cell.iter().for_each(|&s| self.members[self.samples[s].exposure as usize].push((c, s)));
        }
        self.cells = cells;
    }

    /// Holds the first `n` terms of an exposure at zero.
    pub fn hold(&mut self, exposure: usize, n: usize) {
        self.held[exposure] = n.min(self.unknowns[exposure].len());
    }

    /// Leaves only the differences of each exposure with one of the references, each by itself.
    pub fn keep_pairs_with(&mut self, references: &[usize]) {
        let is_reference = |&s: &usize| references.contains(&(self.samples[s].exposure as usize));
        let mut pairs = Vec::new();
        for cell in &self.cells {
            let Some(reference) = cell.iter().copied().find(is_reference) else { continue };
            pairs.extend(cell.iter().copied().filter(|s| !is_reference(s)).map(|s| vec![reference.min(s), reference.max(s)]));
        }
        self.set_cells(pairs);
    }

    pub fn n_unknowns(&self) -> usize {
        self.unknowns.last().map_or(0, |range| range.end)
    }

    pub fn n_samples(&self) -> Vec<usize> {
        self.members.iter().map(|members| members.iter().filter(|(_, s)| self.weights[*s] > 0.0).count()).collect()
    }

    /// Coefficients of each exposure.
    pub fn coefficients(&self, x: &[f64]) -> Vec<Vec<f64>> {
        self.unknowns.iter().map(|range| x[range.clone()].to_vec()).collect()
    }

    /// Terms of a sample \[nJy per count\].
    fn terms(&self, s: usize, out: &mut [f64]) {
        let sample = &self.samples[s];
        self.exposures[sample.exposure as usize].basis.values(sample.at, sample.amplifier as usize, out);
        out.iter_mut().for_each(|t| *t *= sample.njy_per_adu);
    }

    /// The background that `x` gives every sample \[nJy\].
    fn model(&self, x: &[f64]) -> Vec<f64> {
        let of_sample = |terms: &mut Vec<f64>, s: usize| {
            let range = self.unknowns[self.samples[s].exposure as usize].clone();
            terms.resize(range.len(), 0.0);
            self.terms(s, terms);
            terms.iter().zip(&x[range]).map(|(t, x)| t * x).sum()
        };
        (0..self.samples.len()).into_par_iter().map_init(Vec::new, of_sample).collect()
    }

    /// Levels less the background that `x` gives \[nJy\].
    fn residuals(&self, x: &[f64]) -> Vec<f64> {
        self.samples.iter().zip(self.model(x)).map(|(s, b)| s.level_njy - b).collect()
    }

    /// Weighted mean of the samples' values over each cell, and the sum of weights.
    fn means(&self, values: &[f64]) -> Vec<(f64, f64)> {
        let mean = |cell: &Vec<usize>| {
            let add = |(sum, all): (f64, f64), &s: &usize| (sum + self.weights[s] * values[s], all + self.weights[s]);
            let (sum, all) = cell.iter().fold((0.0, 0.0), add);
            (if all > 0.0 { sum / all } else { 0.0 }, all)
        };
        self.cells.par_iter().map(mean).collect()
    }

    /// Bᵀ (diag w - w wᵀ/Σw) values, the held terms zero.
    fn project(&self, values: &[f64]) -> Vec<f64> {
        let means = self.means(values);
        let of_exposure = |(members, range): (&Vec<(usize, usize)>, &Range<usize>)| {
            let (mut sums, mut terms) = (vec![0.0; range.len()], vec![0.0; range.len()]);
            for &(c, s) in members.iter().filter(|(_, s)| self.weights[*s] > 0.0) {
                let pull = self.weights[s] * (values[s] - means[c].0);
                self.terms(s, &mut terms);
                sums.iter_mut().zip(&terms).for_each(|(sum, t)| *sum += pull * t);
            }
            sums
        };
        let parts: Vec<Vec<f64>> = self.members.par_iter().zip(&self.unknowns).map(of_exposure).collect();
        let mut out = parts.concat();
        self.release(&mut out);
        out
    }

    /// Sets the held terms to zero.
    fn release(&self, x: &mut [f64]) {
        for (range, &n) in self.unknowns.iter().zip(&self.held) {
            x[range.start..range.start + n].fill(0.0);
        }
    }

    /// Right-hand side of the data.
    pub fn data(&self) -> Vec<f64> {
        self.project(&self.residuals(&vec![0.0; self.n_unknowns()]))
    }

    /// Inverse variance of the prior on each term.
    fn prior(&self) -> Vec<f64> {
        let of_exposure = |e: &SolveExposure| {
            let sigma = |k: usize| if k < e.basis.n_smooth() { SMOOTH_PRIOR } else { STEP_PRIOR };
            (0..e.basis.n_terms()).map(|k| (sigma(k) * e.sigma_adu).powi(-2)).collect::<Vec<_>>()
        };
        self.exposures.iter().flat_map(of_exposure).collect()
    }

    /// Factors of each exposure's own block.
    fn blocks(&self, prior: &[f64]) -> Vec<Cholesky<f64, Dyn>> {
        let means = self.means(&vec![0.0; self.samples.len()]);
        let block = |exposure: usize| {
            let (members, range, held) = (&self.members[exposure], &self.unknowns[exposure], self.held[exposure]);
            let n = range.len();
            let mut matrix = DMatrix::<f64>::from_diagonal(&DVector::from_column_slice(&prior[range.clone()]));
            let mut terms = vec![0.0; n];
            for &(c, s) in members.iter().filter(|(_, s)| self.weights[*s] > 0.0) {
                let w = self.weights[s] * (1.0 - self.weights[s] / means[c].1);
                self.terms(s, &mut terms);
                let terms = DVector::from_column_slice(&terms);
                matrix.ger(w, &terms, &terms, 1.0);
            }
            for k in 0..held {
                matrix.row_mut(k).fill(0.0);
                matrix.column_mut(k).fill(0.0);
                matrix[(k, k)] = 1.0;
            }
            matrix.cholesky().expect("a Gram matrix with a prior is positive definite")
        };
        (0..self.exposures.len()).into_par_iter().map(block).collect()
    }

    /// Solves for a right-hand side, from a first guess; with the number of iterations.
    pub fn solve(&self, rhs: &[f64], start: Vec<f64>) -> Result<(Vec<f64>, usize), Stalled> {
        let prior = self.prior();
        let blocks = self.blocks(&prior);
        let product = |x: &[f64]| {
            let mut out = self.project(&self.model(x));
            out.iter_mut().zip(x).zip(&prior).for_each(|((o, x), p)| *o += p * x);
            self.release(&mut out);
            out
        };
        let precondition = |r: &[f64]| -> Vec<f64> {
            let parts =
                self.unknowns.par_iter().zip(&blocks).map(|(range, block)| block.solve(&DVector::from_column_slice(&r[range.clone()])));
            let parts: Vec<DVector<f64>> = parts.collect();
            parts.iter().flat_map(|p| p.iter().copied()).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut x = start;
        let mut r: Vec<f64> = rhs.iter().zip(product(&x)).map(|(b, p)| b - p).collect();
        let mut z = precondition(&r);
        let mut p = z.clone();
        let (mut rz, norm) = (dot(&r, &z), dot(rhs, rhs).sqrt());
        for n in 0..MAX_ITERATIONS {
            if dot(&r, &r).sqrt() <= TOLERANCE * norm {
                return Ok((x, n));
            }
            let ap = product(&p);
            let step = rz / dot(&p, &ap);
            x.iter_mut().zip(&p).for_each(|(x, p)| *x += step * p);
            r.iter_mut().zip(&ap).for_each(|(r, a)| *r -= step * a);
            z = precondition(&r);
            let next = dot(&r, &z);
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + next / rz * *p);
            rz = next;
        }
        Err(Stalled { residual: dot(&r, &r).sqrt() / norm })
    }

    /// Error of one coefficient, of the noise alone \[counts\].
    #[cfg(test)]
    pub fn error(&self, exposure: usize, term: usize) -> Result<f64, Stalled> {
        let k = self.unknowns[exposure].start + term;
        let mut unit = vec![0.0; self.n_unknowns()];
        unit[k] = 1.0;
        let (x, _) = self.solve(&unit, vec![0.0; unit.len()])?;
        Ok(x[k].sqrt())
    }

    /// Takes the weight from samples further than `limit` from the solution, in units of their errors or of the robust scatter of all;
    /// returns their number and that scatter.
    ///
    /// Only the worst sample of a cell, and only those beyond half of the largest departure: a gross outlier bends the solution, so that its
    /// neighbours look bad, too, until it is gone.
    pub fn reject(&mut self, x: &[f64], limit: f64) -> (usize, f64) {
        let values = self.residuals(x);
        let mut all = Vec::new();
        let mut worst_of_cells: Vec<(usize, f64)> = Vec::new();
        for (cell, (mean, sum)) in self.cells.iter().zip(self.means(&values)) {
            let mut worst = (usize::MAX, 0.0);
            for &s in cell.iter().filter(|s| self.weights[**s] > 0.0) {
                // The sample is part of the mean that it is compared with.
                let share = 1.0 - self.weights[s] / sum;
                if share > 1e-6 {
                    let pull = ((values[s] - mean) * (self.weights[s] / share).sqrt()).abs();
                    all.push(pull);
                    worst = if pull > worst.1 { (s, pull) } else { worst };
                }
            }
            worst_of_cells.extend((worst.0 < usize::MAX).then_some(worst));
        }
        let scatter = robust_scatter(all);
        let largest = worst_of_cells.iter().fold(0.0f64, |largest, (_, pull)| largest.max(*pull));
        let limit = (limit * scatter.max(1.0)).max(0.5 * largest);
        let bad: Vec<usize> = worst_of_cells.into_iter().filter(|(_, pull)| *pull > limit).map(|(s, _)| s).collect();
        bad.iter().for_each(|s| self.weights[*s] = 0.0);
        (bad.len(), scatter)
    }

    /// The sky left on every superpixel, and the group that its exposures belong to.
    pub fn sky(&self, x: &[f64], group_of: &[usize]) -> Vec<SkySample> {
        // By cells of the samples, not by those of the equations, which may be pairs.
        let mut out = Vec::new();
        let residuals = self.residuals(x);
        let mut first = 0;
        for cell in cells(&self.samples) {
            let (mut sum, mut at, mut all) = (0.0, (0.0, 0.0), 0.0);
            for (s, sample) in (first..).zip(cell) {
                let w = self.weights[s];
                sum += w * residuals[s];
                at = (at.0 + w * sample.tract_at.x, at.1 + w * sample.tract_at.y);
                all += w;
            }
            first += cell.len();
            if all > 0.0 {
                out.push(SkySample {
                    group: group_of[cell[0].exposure as usize],
                    superpixel: (cell[0].row, cell[0].column),
                    at: PixelPoint::new(at.0 / all, at.1 / all),
                    level_njy: sum / all,
                    error_njy: all.sqrt().recip(),
                });
            }
        }
        out
    }
}

/// 1.4826 times the median of absolute values; 0 of none.
pub(super) fn robust_scatter(mut absolute: Vec<f64>) -> f64 {
    if absolute.is_empty() {
        return 0.0;
    }
    let middle = absolute.len() / 2;
    1.4826 * *absolute.select_nth_unstable_by(middle, f64::total_cmp).1
}

//! Solves for the backgrounds of all exposures of a band at once, from their levels on superpixels.
//!
//! With level m and weight w = 1/σ² of every sample, minimise Σ_cells Σ_u w_u (m_u - b_u - s)², b_u = Σ_k c_uk B_k(x, y), the sky s of
//! each cell (a set of connected samples of a superpixel) free. Eliminating s leaves Σ_{u<v} (w_u w_v / Σw) (D_uv - (b_u - b_v))²: all
//! pairs, each with the weight that makes their differences, which share exposures, as good as independent.
//!
//! **Gauge.** The data do not know what all exposures have in common: not a constant, and not any polynomial of the sky that the
//! polynomials of the detectors can represent. So the whole polynomial of one reference, the best-connected exposure, is held at zero in
//! every connected group of exposures. Its *steps* are not held: edges of amplifiers fall on other places of the sky in the other
//! exposures, which therefore see them; holding them at zero would press them into everybody else's polynomials. Where exposures are not
//! dithered, and for terms that too few superpixels see, a weak prior (a step of the sky noise of one pixel, other terms of a hundred
//! times that) keeps the solution finite; it is 10⁻⁵ of the information that one well-measured step has.

use super::DetectorBasis;
use super::difference::connected_sets;
use super::matching::{LevelSample, MatchError};
use super::system::System;
use crate::geometry::PixelPoint;
use serde::{Deserialize, Serialize};

/// Which differences are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// Those of all overlapping exposures.
    All,
    /// Those with the reference only, to compare with.
    Reference,
}

/// Settings of [`SolveBackground`]: section `[solve]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SolveConfig {
    /// Total order of the polynomial over a detector.
    pub order: usize,
    /// `all` or `reference`.
    pub pairs: Pairs,
    /// Samples further than this from the solution are left out \[sigma; of the residuals, where they scatter more than the noise\].
    pub reject_sigma: f64,
}

impl Default for SolveConfig {
    fn default() -> Self {
        Self { order: 2, pairs: Pairs::All, reject_sigma: 5.0 }
    }
}

/// Most rounds of rejection; each halves the largest departure, and starts from the solution before.
const N_ROUNDS: usize = 12;

/// The solving stage.
#[derive(Debug, Clone)]
pub struct SolveBackground {
    config: SolveConfig,
}

/// One exposure of the band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolveExposure {
    /// Terms of its background; the order is that of the solution.
    pub basis: DetectorBasis,
    /// Noise of a pixel's background \[counts\]: the scale of the prior.
    pub sigma_adu: f64,
}

/// Exposures that differences connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchGroup {
    /// The one whose polynomial is held at zero; none: the template is the reference.
    pub reference: Option<usize>,
    /// All of them, the reference too, in order.
    pub members: Vec<usize>,
}

/// What is left of the sky on one superpixel when every exposure's difference is taken off: the mean of all exposures there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkySample {
    /// Group of exposures.
    pub group: usize,
    /// Row and column of the superpixel.
    pub superpixel: (i32, i32),
    /// Mean position of the pixels \[tract pixel\].
    pub at: PixelPoint,
    /// Level \[nJy per tract pixel\].
    pub level_njy: f64,
    /// Its error \[nJy\].
    pub error_njy: f64,
}

/// Differences of all exposures from their references.
#[derive(Debug, Clone, PartialEq)]
pub struct BandSolution {
    /// Groups, by their first member.
    pub groups: Vec<MatchGroup>,
    /// Coefficients of each exposure's terms \[counts\], above the level at which it was compared.
    pub coefficients_adu: Vec<Vec<f64>>,
    /// The sky that is left.
    pub sky: Vec<SkySample>,
    /// Samples of each exposure that were used.
    pub n_samples: Vec<usize>,
    /// Samples that were left out.
    pub n_rejected: usize,
    /// Robust scatter of the residuals over their errors: 1 where noise is all there is.
    pub residual_scatter: f64,
    /// Iterations of the last round.
    pub n_iterations: usize,
}

impl SolveBackground {
    /// # Errors
    /// [`MatchError::Config`] if a setting is outside its range.
    pub fn new(config: SolveConfig) -> Result<Self, MatchError> {
        let wrong = |key, found: String, expected| Err(MatchError::Config { section: "solve", key, found, expected });
        if config.order > 6 {
            return wrong("order", config.order.to_string(), "0..=6");
        }
        if !(3.0..=100.0).contains(&config.reject_sigma) {
            return wrong("reject_sigma", config.reject_sigma.to_string(), "3..=100 sigma");
        }
        Ok(Self { config })
    }

    /// The basis of a detector.
    #[must_use]
    pub fn basis(&self, bbox: crate::Box2, amplifiers: [usize; 2]) -> DetectorBasis {
        DetectorBasis { bbox, order: self.config.order, amplifiers }
    }

    /// Solves; `samples` in any order.
    ///
    /// # Errors
    /// [`MatchError::NotConverged`].
    pub fn run(&self, band: &str, exposures: &[SolveExposure], samples: Vec<LevelSample>) -> Result<BandSolution, MatchError> {
        let (groups, mut system) = self.system(exposures, samples);
        let mut solution = vec![0.0; system.n_unknowns()];
        let (mut residual_scatter, mut n_rejected, mut n_iterations) = (0.0, 0, 0);
        for round in 0..=N_ROUNDS {
            (solution, n_iterations) = system.solve(&system.data(), solution).map_err(|e| e.of_band(band))?;
            // The last solution rejects nothing: what is left out has no part in what is returned.
            let limit = if round < N_ROUNDS { self.config.reject_sigma } else { f64::INFINITY };
            let more;
            (more, residual_scatter) = system.reject(&solution, limit);
            n_rejected += more;
            if more == 0 {
                break;
            }
        }
        let group_of = group_of(&groups, exposures.len() + 1);
        Ok(BandSolution {
            sky: system.sky(&solution, &group_of),
            coefficients_adu: system.coefficients(&solution)[..exposures.len()].to_vec(),
            n_samples: system.n_samples()[..exposures.len()].to_vec(),
            groups,
            n_rejected,
            residual_scatter,
            n_iterations,
        })
    }

    /// Errors of the steps of every exposure's amplifiers \[counts\], of the noise alone: roots of the diagonal of the inverse normal
    /// matrix, one solution each: the cost goes with the number of exposures squared.
    #[cfg(test)]
    fn step_errors(&self, band: &str, exposures: &[SolveExposure], samples: Vec<LevelSample>) -> Result<Vec<Vec<f64>>, MatchError> {
        let (_, system) = self.system(exposures, samples);
        let error = |exposure: usize, term: usize| system.error(exposure, term).map_err(|e| e.of_band(band));
        let of_exposure = |(i, e): (usize, &SolveExposure)| (e.basis.n_smooth()..e.basis.n_terms()).map(|k| error(i, k)).collect();
        exposures.iter().enumerate().map(of_exposure).collect()
    }

    /// Groups, and the equations with the reference of each held. The template, if any, is one exposure more, all of it held.
    fn system(&self, exposures: &[SolveExposure], mut samples: Vec<LevelSample>) -> (Vec<MatchGroup>, System) {
        // The order of every sum, whatever files the samples came from.
        samples.sort_by_key(|s| (s.row, s.column, s.set, s.exposure, s.amplifier));
        let n = exposures.len();
        let groups = groups(n, &samples);
        let template =
            SolveExposure { basis: DetectorBasis { bbox: crate::Box2::new(0, 0, 1, 1), order: 0, amplifiers: [1, 1] }, sigma_adu: 1.0 };
        let mut system = System::new(&[exposures, &[template]].concat(), samples);
        system.hold(n, usize::MAX);
        let references: Vec<usize> = groups.iter().map(|g| g.reference.unwrap_or(n)).collect();
        for &reference in references.iter().filter(|r| **r < n) {
            let held = if self.config.pairs == Pairs::All { exposures[reference].basis.n_smooth() } else { usize::MAX };
            system.hold(reference, held);
        }
        if self.config.pairs == Pairs::Reference {
            system.keep_pairs_with(&references);
        }
        (groups, system)
    }
}

/// Samples, sorted, cell by cell.
pub(super) fn cells(samples: &[LevelSample]) -> impl Iterator<Item = &[LevelSample]> {
    samples.chunk_by(|a, b| (a.row, a.column, a.set) == (b.row, b.column, b.set))
}

/// Connected groups of `n` exposures. The reference is the template, exposure `n`, where it is connected, or else the member with the most
/// information in common with the others, Σ w (W - w) / W over the cells.
fn groups(n: usize, samples: &[LevelSample]) -> Vec<MatchGroup> {
    let edges = cells(samples).flat_map(|cell| cell.windows(2).map(|p| (p[0].exposure as usize, p[1].exposure as usize)));
    let sets = connected_sets(n + 1, edges);
    let mut shared = vec![0.0; n + 1];
    for cell in cells(samples) {
        let weight = |s: &LevelSample| s.error_njy.powi(-2);
        let all: f64 = cell.iter().map(weight).sum();
        for part in cell.chunk_by(|a, b| a.exposure == b.exposure) {
            let own: f64 = part.iter().map(weight).sum();
            shared[part[0].exposure as usize] += own * (all - own) / all;
        }
    }
    let members = |set: usize| (0..n).filter(|&i| sets[i] == set).collect::<Vec<_>>();
    let best = |members: &[usize]| members.iter().copied().reduce(|best, i| if shared[i] > shared[best] { i } else { best });
    let group = |set: usize| {
        let members = members(set);
        let reference = if sets[n] == set { None } else { best(&members) };
        (!members.is_empty()).then_some(MatchGroup { reference, members })
    };
    (0..n).filter_map(group).collect()
}

/// The group of every exposure, and of the template.
fn group_of(groups: &[MatchGroup], n: usize) -> Vec<usize> {
    let mut out = vec![groups.iter().position(|g| g.reference.is_none()).unwrap_or(0); n];
    for (i, group) in groups.iter().enumerate() {
        group.members.iter().for_each(|m| out[*m] = i);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Box2;
    use crate::random::keyed_rng;
    use approx::assert_abs_diff_eq;
    use rand_distr::{Distribution, StandardNormal};

    const AMPLIFIERS: [usize; 2] = [2, 1];
    const SIGMA_ADU: f64 = 10.0;

    /// Exposure u sees the tract's superpixel at (x, y) at its own (x - dx, y - dy), 640 pixels a side, and counts at its own scale.
    fn exposures(shifts: &[(i32, i32)]) -> (Vec<SolveExposure>, Vec<Vec<f64>>) {
        let basis = DetectorBasis { bbox: Box2::new(0, 0, 640, 640), order: 2, amplifiers: AMPLIFIERS };
        let one = SolveExposure { basis, sigma_adu: SIGMA_ADU };
        let truth = |u: usize| (0..basis.n_terms()).map(|k| (((u * 5 + k * 3) % 7) as f64 - 3.0) * 2.0).collect();
        (vec![one; shifts.len()], (0..shifts.len()).map(truth).collect())
    }

    /// Levels of a sky with structure (a bump) and noise of `noise` x the error, on superpixels of 64 px.
    fn samples(shifts: &[(i32, i32)], truth: &[Vec<f64>], noise: f64) -> Vec<LevelSample> {
        let (list, _) = exposures(shifts);
        let mut rng = keyed_rng(3, "solve-test", 0, 0);
        let mut out = Vec::new();
        let mut terms = vec![0.0; list[0].basis.n_terms()];
        for row in 0..16 {
            for column in 0..16 {
                for (u, (dx, dy)) in shifts.iter().enumerate() {
                    let tract_at = PixelPoint::new(f64::from(column) * 64.0 + 31.5, f64::from(row) * 64.0 + 31.5);
                    let at = PixelPoint::new(tract_at.x - f64::from(*dx), tract_at.y - f64::from(*dy));
                    if !list[u].basis.bbox.contains_point(at) {
                        continue;
                    }
                    let njy_per_adu = 1.0 + 0.1 * u as f64;
                    let error_njy = SIGMA_ADU * njy_per_adu / 64.0;
                    let amplifier = list[u].basis.amplifier(at);
                    list[u].basis.values(at, amplifier, &mut terms);
                    let b: f64 = terms.iter().zip(&truth[u]).map(|(t, c)| t * c).sum();
                    let sky = 30.0 * (-((tract_at.x - 400.0).powi(2) + (tract_at.y - 500.0).powi(2)) / 1e4).exp();
                    let n: f64 = StandardNormal.sample(&mut rng);
                    out.push(LevelSample {
                        row,
                        column,
                        set: 0,
                        exposure: u as u32,
                        amplifier: amplifier as u32,
                        at,
                        tract_at,
                        level_njy: sky + b * njy_per_adu + noise * n * error_njy,
                        error_njy,
                        njy_per_adu,
                    });
                }
            }
        }
        out
    }

    fn difference(solution: &BandSolution, u: usize, at: PixelPoint) -> f64 {
        let (list, _) = exposures(&[(0, 0)]);
        list[0].basis.model(&solution.coefficients_adu[u]).at(at) * (1.0 + 0.1 * u as f64)
    }

    /// Without noise the differences of all exposures are exact where they overlap, steps of the reference included, and the sky's
    /// structure is left untouched; the order of the samples changes no bit.
    #[test]
    fn differences_are_exact_without_noise() {
        let shifts = [(0, 0), (130, 70), (300, 40), (60, 310), (250, 260)];
        let (list, truth) = exposures(&shifts);
        let data = samples(&shifts, &truth, 0.0);
        let stage = SolveBackground::new(SolveConfig::default()).unwrap();
        let found = stage.run("r", &list, data.clone()).unwrap();
        assert_eq!(found.groups.len(), 1);
        let reversed = stage.run("r", &list, data.iter().rev().copied().collect()).unwrap();
        assert_eq!(found, reversed);
        let true_b = |u: usize, at| list[0].basis.model(&truth[u]).at(at) * (1.0 + 0.1 * u as f64);
        let (x, y) = (330.0, 350.0);
        for u in 1..5 {
            let on = |u: usize| PixelPoint::new(x - f64::from(shifts[u].0), y - f64::from(shifts[u].1));
            let expected = true_b(u, on(u)) - true_b(0, on(0));
            // The prior, weak as it is, pulls by 1e-5 of the terms.
            assert_abs_diff_eq!(difference(&found, u, on(u)) - difference(&found, 0, on(0)), expected, epsilon = 1e-3);
        }
    }

    /// With noise, the residuals scatter by their errors, and the steps by theirs: chi-square of five steps, 99.9 % bounds.
    #[test]
    fn errors_are_honest() {
        let shifts = [(0, 0), (130, 70), (300, 40), (60, 310), (250, 260)];
        let (list, truth) = exposures(&shifts);
        let data = samples(&shifts, &truth, 1.0);
        let stage = SolveBackground::new(SolveConfig::default()).unwrap();
        let found = stage.run("r", &list, data.clone()).unwrap();
        assert!((found.residual_scatter - 1.0).abs() < 0.15, "{}", found.residual_scatter);
        let errors = stage.step_errors("r", &list, data).unwrap();
        let chi2: f64 = (0..5).map(|u| ((found.coefficients_adu[u][6] - truth[u][6]) / errors[u][0]).powi(2)).sum();
        assert!((0.2..20.5).contains(&chi2), "{chi2}");
        assert!(errors.iter().all(|e| (0.01..0.5).contains(&e[0])), "{errors:?}");
    }

    /// An outlier (a satellite on one superpixel) is left out; exposures without overlap form groups of their own.
    #[test]
    fn outliers_and_separate_groups() {
        let shifts = [(0, 0), (64, 0), (128, 0), (5000, 0)];
        let (list, truth) = exposures(&shifts);
        let mut data = samples(&shifts, &truth, 0.3);
        let clean = data.clone();
        data.iter_mut().filter(|s| s.exposure == 1 && s.row == 4 && s.column == 5).for_each(|s| s.level_njy += 100.0);
        let stage = SolveBackground::new(SolveConfig::default()).unwrap();
        let (found, expected) = (stage.run("r", &list, data).unwrap(), stage.run("r", &list, clean).unwrap());
        // What sat on the same superpixel may look bad, too, until the culprit is gone; nothing else.
        assert!((1..=3).contains(&found.n_rejected), "{}", found.n_rejected);
        let at = PixelPoint::new(200.0, 300.0);
        assert_abs_diff_eq!(difference(&found, 1, at), difference(&expected, 1, at), epsilon = 0.05);
        assert_eq!(found.groups.iter().map(|g| g.members.clone()).collect::<Vec<_>>(), [vec![0, 1, 2], vec![3]]);
        assert_eq!(found.groups[1].reference, Some(3));
        let reference = found.groups[0].reference.unwrap();
        assert!(found.coefficients_adu[reference][..6].iter().all(|c| c.abs() <= 0.0));
    }

    /// A template is the reference of what it touches, and its own errors do not move: exposures come out on its level.
    #[test]
    fn a_template_is_the_reference() {
        let shifts = [(0, 0), (130, 70), (300, 40)];
        let (list, truth) = exposures(&shifts);
        let mut data = samples(&shifts, &truth, 0.0);
        let sky = |p: PixelPoint| 30.0 * (-((p.x - 400.0).powi(2) + (p.y - 500.0).powi(2)) / 1e4).exp();
        let of_template: Vec<LevelSample> = data
            .iter()
            .filter(|s| s.exposure == 0)
            .map(|s| LevelSample { exposure: 3, amplifier: 0, level_njy: sky(s.tract_at) - 2.0, error_njy: 0.05, njy_per_adu: 1.0, ..*s })
            .collect();
        data.extend(of_template);
        let found = SolveBackground::new(SolveConfig::default()).unwrap().run("r", &list, data).unwrap();
        assert_eq!((found.groups[0].reference, found.coefficients_adu.len()), (None, 3));
        let at = PixelPoint::new(200.0, 300.0);
        assert_abs_diff_eq!(difference(&found, 0, at), list[0].basis.model(&truth[0]).at(at) + 2.0, epsilon = 2e-3);
    }

    /// With the reference alone, exposures that do not reach it stay as they are.
    #[test]
    fn a_single_reference_does_not_reach_everything() {
        let shifts = [(0, 0), (300, 0), (600, 0)];
        let (list, truth) = exposures(&shifts);
        let data = samples(&shifts, &truth, 0.0);
        let stage = SolveBackground::new(SolveConfig { pairs: Pairs::Reference, ..SolveConfig::default() }).unwrap();
        let found = stage.run("r", &list, data).unwrap();
        assert_eq!(found.groups[0].reference, Some(1));
        assert!(found.coefficients_adu[0].iter().any(|c| c.abs() > 0.1));
    }
}

//! Fisher information about overlapping objects: what the pixels can know of flux, position and shape, alone and in a blend.

use super::responses::{Block, N_RESPONSES};
use nalgebra::{Cholesky, DMatrix, Dyn};
use std::collections::BTreeMap;

/// Members of a blend at most, the object itself included: those of the largest overlap. With six bands that is a matrix of 176 rows.
pub const MAX_MEMBERS: usize = 16;

/// A variance that the neighbours raise by more than this says that the parameter cannot be told from theirs.
const MAX_INFLATION: f64 = 1e6;

/// Added to the normalised matrix's diagonal: what cannot be told apart spoils its own parameters and no others.
const RIDGE: f64 = 1e-9;

/// What may be unknown of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// Total flux in the band of that index \[nJy\].
    Flux(usize),
    /// Position towards east \[arcsec\].
    East,
    /// Position towards north \[arcsec\].
    North,
    /// Logarithm of the size √(ab).
    Size,
    /// Shear, north - east.
    ShearPlus,
    /// Shear, north-east - north-west.
    ShearCross,
}

impl Parameter {
    /// All of an object seen in `n_bands`.
    fn all(n_bands: usize) -> impl Iterator<Item = Self> {
        (0..n_bands).map(Self::Flux).chain([Self::East, Self::North, Self::Size, Self::ShearPlus, Self::ShearCross])
    }

    /// Its place among the responses of a band; none in other bands.
    fn response(self, band: usize) -> Option<usize> {
        match self {
            Self::Flux(b) => (b == band).then_some(0),
            Self::East => Some(1),
            Self::North => Some(2),
            Self::Size => Some(3),
            Self::ShearPlus => Some(4),
            Self::ShearCross => Some(5),
        }
    }
}

/// Fisher matrix of fluxes (one per band), positions and shapes (common to all bands) of many objects, sparse.
///
/// F_pq = Σ over exposures and pixels of ∂_p m ∂_q m / v, for Gaussian noise of variance v (Kay 1993, eq. 3.31); the inverse's diagonal
/// holds the Cramér-Rao bounds. Pieces of exposures add up in the order in which they come.
#[derive(Debug, Clone)]
pub struct BlendFisher {
    n_bands: usize,
    /// By (i, j), i ≤ j; then by band.
    blocks: BTreeMap<(usize, usize), Vec<Block>>,
    /// Other objects by object, those of any common pixel.
    neighbours: BTreeMap<usize, Vec<usize>>,
}

impl BlendFisher {
    /// Without any information.
    #[must_use]
    pub fn new(n_bands: usize) -> Self {
        Self { n_bands, blocks: BTreeMap::new(), neighbours: BTreeMap::new() }
    }

    /// Adds what an exposure of `band` tells; `block`: rows of object i, columns of object j.
    pub fn add(&mut self, band: usize, i: usize, j: usize, block: &Block) {
        if !block.iter().flatten().any(|v| v.abs() > 0.0) {
            return; // no pixel in common
        }
        if i != j && !self.blocks.contains_key(&(i.min(j), i.max(j))) {
            self.neighbours.entry(i).or_default().push(j);
            self.neighbours.entry(j).or_default().push(i);
        }
        let zero = [[0.0; N_RESPONSES]; N_RESPONSES];
        let sum = &mut self.blocks.entry((i.min(j), i.max(j))).or_insert_with(|| vec![zero; self.n_bands])[band];
        for (a, row) in block.iter().enumerate() {
            for (b, v) in row.iter().enumerate() {
                if i <= j { sum[a][b] += v } else { sum[b][a] += v }
            }
        }
    }

    fn of_band(&self, band: usize, (i, a): (usize, usize), (j, b): (usize, usize)) -> f64 {
        let Some(blocks) = self.blocks.get(&(i.min(j), i.max(j))) else { return 0.0 };
        if i <= j { blocks[band][a][b] } else { blocks[band][b][a] }
    }

    pub(super) fn n_bands(&self) -> usize {
        self.n_bands
    }

    /// What the pixels answer to.
    pub(super) fn parameters_of(&self, i: usize) -> impl Iterator<Item = Parameter> {
        Parameter::all(self.n_bands).filter(move |&p| self.element((i, p), (i, p)) > 0.0)
    }

    /// Product of a parameter of `by` and the light of `other`, over all bands.
    pub(super) fn response_to_light(&self, p: Parameter, by: usize, other: usize) -> f64 {
        (0..self.n_bands).filter_map(|band| Some(self.of_band(band, (by, p.response(band)?), (other, 0)))).sum()
    }

    pub(super) fn element(&self, (i, p): (usize, Parameter), (j, q): (usize, Parameter)) -> f64 {
        (0..self.n_bands).filter_map(|band| Some(self.of_band(band, (i, p.response(band)?), (j, q.response(band)?)))).sum()
    }

    /// Information about the flux of object i in a band, all else known \[nJy⁻²\].
    #[must_use]
    pub fn flux_information(&self, band: usize, i: usize) -> f64 {
        self.of_band(band, (i, 0), (i, 0))
    }

    /// Share of light that two objects have in common in a band, F_ij / √(F_ii F_jj), in -1..=1.
    #[must_use]
    pub fn overlap(&self, band: usize, i: usize, j: usize) -> f64 {
        let norm = (self.flux_information(band, i) * self.flux_information(band, j)).sqrt();
        if norm > 0.0 { self.of_band(band, (i, 0), (j, 0)) / norm } else { 0.0 }
    }

    /// Object i and the members of its blend: objects of which `is_member` holds and whose overlap with it is at least `min_overlap` in some band;
    /// the largest overlaps first, at most [`MAX_MEMBERS`].
    ///
    /// Members of members count as known: they change the bounds in second order of the overlap.
    #[must_use]
    pub fn members(&self, i: usize, min_overlap: f64, is_member: impl Fn(usize) -> bool) -> Vec<usize> {
        let largest = |j: usize| (0..self.n_bands).map(|b| self.overlap(b, i, j).abs()).fold(0.0, f64::max);
        let mut found: Vec<(f64, usize)> =
            self.neighbours.get(&i).into_iter().flatten().filter(|j| is_member(**j)).map(|&j| (largest(j), j)).collect();
        found.retain(|(overlap, _)| *overlap >= min_overlap);
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        std::iter::once(i).chain(found.into_iter().map(|m| m.1)).take(MAX_MEMBERS).collect()
    }

    /// Bounds with all parameters of all `members` unknown that the pixels answer to and that `is_unknown` names; everything else known.
    #[must_use]
    pub fn bounds(&self, members: &[usize], is_unknown: impl Fn(usize, Parameter) -> bool) -> Bounds {
        let parameters: Vec<(usize, Parameter)> =
            members.iter().flat_map(|&i| self.parameters_of(i).map(move |p| (i, p))).filter(|&(i, p)| is_unknown(i, p)).collect();
        let scale: Vec<f64> = parameters.iter().map(|&p| self.element(p, p).sqrt().recip()).collect();
        let n = parameters.len();
        // In units of each one's own error: then the matrix's condition is that of the blend and not of the units.
        let normalised =
            DMatrix::from_fn(
                n,
                n,
                |a, b| {
                    if a == b { 1.0 + RIDGE } else { self.element(parameters[a], parameters[b]) * scale[a] * scale[b] }
                },
            );
        let covariance = normalised.cholesky().map_or_else(|| DMatrix::from_element(n, n, f64::NAN), |c: Cholesky<f64, Dyn>| c.inverse());
        Bounds { parameters, scale, covariance }
    }
}

/// Covariance of the best unbiased estimate of some parameters.
#[derive(Debug, Clone)]
pub struct Bounds {
    parameters: Vec<(usize, Parameter)>,
    scale: Vec<f64>,
    /// In units of each parameter's error with all else known.
    covariance: DMatrix<f64>,
}

impl Bounds {
    fn index(&self, object: usize, parameter: Parameter) -> Option<usize> {
        let at = self.parameters.iter().position(|p| *p == (object, parameter))?;
        (self.covariance[(at, at)] <= MAX_INFLATION).then_some(at)
    }

    /// Covariance of two parameters; NaN where the pixels know nothing of one, or cannot tell it from others.
    #[must_use]
    pub fn covariance(&self, a: (usize, Parameter), b: (usize, Parameter)) -> f64 {
        match (self.index(a.0, a.1), self.index(b.0, b.1)) {
            (Some(i), Some(j)) => self.covariance[(i, j)] * self.scale[i] * self.scale[j],
            _ => f64::NAN,
        }
    }

    /// Standard deviation of a parameter; NaN as in [`Self::covariance`].
    #[must_use]
    pub fn error(&self, object: usize, parameter: Parameter) -> f64 {
        self.covariance((object, parameter), (object, parameter)).sqrt()
    }

    /// Standard deviations of the ellipticity (e₊, eₓ) = (a² - b²)/(a² + b²) (cos 2φ, sin 2φ) of an object: by de = 2 (γ - e (e·γ)).
    #[must_use]
    pub fn ellipticity_errors(&self, object: usize, e: [f64; 2]) -> [f64; 2] {
        let shears = [Parameter::ShearPlus, Parameter::ShearCross];
        [0, 1].map(|k| {
            let by_shear = [0, 1].map(|l| 2.0 * (f64::from(u8::from(k == l)) - e[k] * e[l]));
            let mut sum = 0.0;
            for (a, da) in shears.into_iter().zip(by_shear) {
                for (b, db) in shears.into_iter().zip(by_shear) {
                    sum += da * db * self.covariance((object, a), (object, b));
                }
            }
            sum.sqrt()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::responses::{Responses, information};
    use super::*;
    use approx::assert_relative_eq;
    use fathom::geometry::Box2;
    use ndarray::Array2;
    use std::f64::consts::{PI, TAU};

    const SIGMA: f64 = 2.0;
    const V: f64 = 9.0;

    /// A Gaussian star of flux f at x, its derivatives by flux and position; by size and shear too if it is a galaxy.
    fn gaussian(x: f64, flux: f64, is_galaxy: bool) -> Responses {
        let bbox = Box2::new(-20, -20, 60, 41);
        let s2 = SIGMA * SIGMA;
        let plane = |f: &dyn Fn(f64, f64) -> f64| {
            Array2::from_shape_fn(bbox.shape(), |(j, i)| {
                let (dx, dy) = (f64::from(bbox.x0) + i as f64 - x, f64::from(bbox.y0) + j as f64);
                f(dx, dy) * (-(dx * dx + dy * dy) / (2.0 * s2)).exp() / (TAU * s2)
            })
        };
        let mut planes = vec![plane(&|_, _| 1.0), plane(&|dx, _| flux * dx / s2), plane(&|_, dy| flux * dy / s2)];
        if is_galaxy {
            // All of its extent is its own (no PSF): m(r/(1+κ))/(1+κ)².
            planes.push(plane(&|dx, dy| flux * ((dx * dx + dy * dy) / s2 - 2.0)));
            planes.push(plane(&|dx, dy| flux * (dy * dy - dx * dx) / s2));
            planes.push(plane(&|dx, dy| flux * 2.0 * dx * dy / s2));
        }
        Responses { bbox, planes }
    }

    fn fisher(objects: &[Responses]) -> BlendFisher {
        let weight_box = Box2::new(-30, -30, 90, 70);
        let weight = Array2::from_elem(weight_box.shape(), 1.0 / V);
        let mut fisher = BlendFisher::new(1);
        for (i, a) in objects.iter().enumerate() {
            for (j, b) in objects.iter().enumerate().skip(i) {
                // Also in the other order of the pair.
                let (i, j, a, b) = if (i + j) % 2 == 0 { (i, j, a, b) } else { (j, i, b, a) };
                fisher.add(0, i, j, &information(a, b, &weight_box, weight.view()));
            }
        }
        fisher
    }

    fn alone_njy() -> f64 {
        (4.0 * PI * SIGMA * SIGMA * V).sqrt()
    }

    /// Two Gaussians of σ at a distance d: overlap ρ = exp(-d²/4σ²), and each flux error grows by 1/√(1 - ρ²) if only fluxes are unknown.
    #[test]
    fn fluxes_of_a_pair_are_closed_form() {
        for d in [1.0, 3.0, 6.0] {
            let fisher = fisher(&[gaussian(0.0, 1.0, false), gaussian(d, 1.0, false)]);
            let rho = (-d * d / (4.0 * SIGMA * SIGMA)).exp();
            assert_relative_eq!(fisher.overlap(0, 0, 1), rho, max_relative = 1e-6);
            let only_fluxes = |_, p| matches!(p, Parameter::Flux(_));
            let error = |members: &[usize]| fisher.bounds(members, only_fluxes).error(0, Parameter::Flux(0));
            assert_relative_eq!(error(&[0]), alone_njy(), max_relative = 1e-6);
            assert_relative_eq!(error(&fisher.members(0, 0.0, |_| true)), alone_njy() / (1.0 - rho * rho).sqrt(), max_relative = 1e-6);
            assert_eq!(fisher.members(0, 0.9999, |_| true), [0]);
            assert_eq!(fisher.members(0, 0.0, |j| j != 1), [0]);
            let covariance = fisher.bounds(&[0, 1], only_fluxes).covariance((0, Parameter::Flux(0)), (1, Parameter::Flux(0)));
            assert_relative_eq!(covariance, -rho / (1.0 - rho * rho) * alone_njy().powi(2), max_relative = 1e-6);
        }
    }

    /// A Gaussian star (King 1983): σ_x = √2 σ σ_F / F, independent of the flux. As a galaxy of free size and shear: flux and size answer alike,
    /// ρ² = ½, so the flux error is √2 larger; σ_κ = σ_F/F; shears σ_γ = σ_F/F as well.
    #[test]
    fn position_and_shape_of_one_are_closed_form() {
        let flux = 500.0;
        let relative = alone_njy() / flux;
        let star = fisher(&[gaussian(0.0, flux, false)]).bounds(&[0], |_, _| true);
        assert_relative_eq!(star.error(0, Parameter::Flux(0)), alone_njy(), max_relative = 1e-6);
        assert_relative_eq!(star.error(0, Parameter::East), 2f64.sqrt() * SIGMA * relative, max_relative = 1e-6);
        assert!(star.error(0, Parameter::Size).is_nan() && star.error(1, Parameter::East).is_nan());
        let galaxy = fisher(&[gaussian(0.0, flux, true)]).bounds(&[0], |_, _| true);
        assert_relative_eq!(galaxy.error(0, Parameter::Flux(0)), 2f64.sqrt() * alone_njy(), max_relative = 1e-6);
        assert_relative_eq!(galaxy.error(0, Parameter::Size), relative, max_relative = 1e-6);
        for p in [Parameter::ShearPlus, Parameter::ShearCross] {
            assert_relative_eq!(galaxy.error(0, p), relative, max_relative = 1e-6);
        }
        // e = 2γ for a round object; along e it answers less by 1 - e².
        let found = galaxy.ellipticity_errors(0, [0.0, 0.0]);
        assert_relative_eq!(found[1], 2.0 * relative, max_relative = 1e-6);
        assert_relative_eq!(galaxy.ellipticity_errors(0, [0.6, 0.0])[0], 2.0 * relative * 0.64, max_relative = 1e-6);
    }

    /// Bands: fluxes are each band's own, positions gain from both.
    #[test]
    fn bands_share_the_position() {
        let star = gaussian(0.0, 300.0, false);
        let weight = Array2::from_elem(star.bbox.shape(), 1.0 / V);
        let block = information(&star, &star, &star.bbox, weight.view());
        let mut fisher = BlendFisher::new(3);
        [0, 2].into_iter().for_each(|band| fisher.add(band, 5, 5, &block));
        let bounds = fisher.bounds(&[5], |_, _| true);
        assert_relative_eq!(bounds.error(5, Parameter::Flux(2)), alone_njy(), max_relative = 1e-6);
        assert!(bounds.error(5, Parameter::Flux(1)).is_nan());
        assert_relative_eq!(bounds.error(5, Parameter::North), SIGMA * alone_njy() / 300.0, max_relative = 1e-6);
    }

    /// Twins cannot be told apart; a third one that overlaps with both keeps its own bound: their sum is known.
    #[test]
    fn twins_cannot_be_told_apart_but_harm_no_others() {
        let twin = || gaussian(0.0, 100.0, false);
        let fisher = fisher(&[twin(), twin(), gaussian(5.0, 100.0, false)]);
        let only_fluxes = |_, p| matches!(p, Parameter::Flux(_));
        let all = fisher.bounds(&[2, 0, 1], only_fluxes);
        assert!(all.error(0, Parameter::Flux(0)).is_nan() && all.error(1, Parameter::Flux(0)).is_nan());
        let one = fisher.bounds(&[2, 0], only_fluxes);
        assert_relative_eq!(all.error(2, Parameter::Flux(0)), one.error(2, Parameter::Flux(0)), max_relative = 1e-6);
    }
}

//! Fisher information of fluxes: of each object alone, and with its neighbours' fluxes unknown.

use fathom::geometry::Box2;
use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView2, Zip};
use std::collections::BTreeMap;

/// Neighbours counted at most: those of the largest overlap.
const MAX_NEIGHBOURS: usize = 60;

/// Pixels of something, and where they are.
#[derive(Debug, Clone)]
pub struct Light {
    /// Pixels covered.
    pub bbox: Box2,
    /// Values, `[y, x]` of `bbox`.
    pub values: Array2<f64>,
}

/// Σ a b w over the pixels that all three cover.
///
/// `weight`: `[y, x]` over `weight_box`, inverse variance, 0 at bad pixels; units are the caller's: with a and b the responses of a
/// pixel to two parameters and w its inverse variance this is an element of the Fisher matrix (Kay 1993, eq. 3.31).
#[must_use]
pub fn weighted_product(a: &Light, b: &Light, weight_box: &Box2, weight: ArrayView2<f64>) -> f64 {
    let part = a.bbox.intersect(&b.bbox).intersect(weight_box);
    if part.is_empty() {
        return 0.0;
    }
    let mut sum = 0.0;
    Zip::from(a.values.slice(a.bbox.slice_of(&part)))
        .and(b.values.slice(b.bbox.slice_of(&part)))
        .and(weight.slice(weight_box.slice_of(&part)))
        .for_each(|a, b, w| sum += a * b * w);
    sum
}

/// Fisher matrix of the fluxes of many objects, sparse: pieces of exposures add up in the order in which they come.
#[derive(Debug, Clone, Default)]
pub struct FluxFisher {
    /// By (i, j), i ≤ j.
    elements: BTreeMap<(usize, usize), f64>,
    /// Other objects by object, those of any common pixel.
    neighbours: BTreeMap<usize, Vec<usize>>,
}

impl FluxFisher {
    /// Adds to element (i, j).
    pub fn add(&mut self, i: usize, j: usize, information: f64) {
        // No common pixel (or no number): no element.
        if information.is_nan() || information.abs() <= 0.0 {
            return;
        }
        let is_new = !self.elements.contains_key(&(i.min(j), i.max(j)));
        *self.elements.entry((i.min(j), i.max(j))).or_default() += information;
        if is_new && i != j {
            self.neighbours.entry(i).or_default().push(j);
            self.neighbours.entry(j).or_default().push(i);
        }
    }

    /// Element (i, j).
    #[must_use]
    pub fn element(&self, i: usize, j: usize) -> f64 {
        self.elements.get(&(i.min(j), i.max(j))).copied().unwrap_or(0.0)
    }

    /// Share of light that two objects have in common, F_ij / √(F_ii F_jj), in -1..=1.
    #[must_use]
    pub fn overlap(&self, i: usize, j: usize) -> f64 {
        let norm = (self.element(i, i) * self.element(j, j)).sqrt();
        if norm > 0.0 { self.element(i, j) / norm } else { 0.0 }
    }

    /// Error of the flux of object i, all else known: 1/√F_ii; infinite without information.
    #[must_use]
    pub fn error_alone(&self, i: usize) -> f64 {
        self.element(i, i).sqrt().recip()
    }

    /// Error of the flux of object i with the fluxes of its neighbours unknown: √(F⁻¹)_ii of i and the objects whose overlap with it is
    /// at least `min_overlap` (at most [`MAX_NEIGHBOURS`]); infinite if they cannot be told apart.
    ///
    /// The neighbours' own neighbours count as known: they change the error in second order of the overlap.
    #[must_use]
    pub fn error_in_blend(&self, i: usize, min_overlap: f64) -> f64 {
        let mut members: Vec<(f64, usize)> =
            self.neighbours.get(&i).into_iter().flatten().map(|&j| (self.overlap(i, j).abs(), j)).collect();
        members.retain(|(overlap, _)| *overlap >= min_overlap);
        members.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let members: Vec<usize> = std::iter::once(i).chain(members.into_iter().take(MAX_NEIGHBOURS).map(|m| m.1)).collect();
        // In units of each one's own error: then the matrix's condition is that of the blend and not of the fluxes.
        let n = members.len();
        let scaled = DMatrix::from_fn(n, n, |a, b| if a == b { 1.0 } else { self.overlap(members[a], members[b]) });
        scaled.cholesky().map_or(f64::INFINITY, |c| self.error_alone(i) * c.inverse()[(0, 0)].sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn gaussian(x: f64, sigma: f64) -> Light {
        let bbox = Box2::new(-20, -20, 60, 41);
        let norm = std::f64::consts::TAU * sigma * sigma;
        let values = Array2::from_shape_fn(bbox.shape(), |(j, i)| {
            let (dx, dy) = (f64::from(bbox.x0) + i as f64 - x, f64::from(bbox.y0) + j as f64);
            (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp() / norm
        });
        Light { bbox, values }
    }

    /// Two Gaussians of σ at a distance d: overlap ρ = exp(-d²/4σ²), and each flux error grows by 1/√(1 - ρ²).
    #[test]
    fn a_pair_of_gaussians_is_closed_form() {
        let (sigma, v) = (2.0f64, 9.0);
        for d in [1.0, 3.0, 6.0] {
            let lights = [gaussian(0.0, sigma), gaussian(d, sigma)];
            let weight_box = Box2::new(-30, -30, 90, 70);
            let weight = Array2::from_elem(weight_box.shape(), 1.0 / v);
            let mut fisher = FluxFisher::default();
            for (i, j) in [(0, 0), (0, 1), (1, 1)] {
                fisher.add(i, j, weighted_product(&lights[i], &lights[j], &weight_box, weight.view()));
            }
            let rho = (-d * d / (4.0 * sigma * sigma)).exp();
            let alone = (4.0 * std::f64::consts::PI * sigma * sigma * v).sqrt();
            assert_relative_eq!(fisher.overlap(0, 1), rho, max_relative = 1e-6);
            assert_relative_eq!(fisher.error_alone(0), alone, max_relative = 1e-6);
            assert_relative_eq!(fisher.error_in_blend(0, 0.0), alone / (1.0 - rho * rho).sqrt(), max_relative = 1e-6);
            assert_relative_eq!(fisher.error_in_blend(0, 0.9999), alone, max_relative = 1e-6);
        }
    }

    #[test]
    fn twins_cannot_be_told_apart_and_what_is_unseen_is_unknown() {
        let mut fisher = FluxFisher::default();
        for (i, j) in [(0, 0), (0, 1), (1, 1)] {
            fisher.add(i, j, 4.0);
        }
        assert!(fisher.error_in_blend(0, 0.01).is_infinite() && fisher.error_alone(2).is_infinite());
        assert_relative_eq!(fisher.error_alone(1), 0.5);
    }
}

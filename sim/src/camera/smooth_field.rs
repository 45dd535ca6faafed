//! A smooth random function over the focal plane.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Σ c_ij P_i(u) P_j(v), min ≤ i + j ≤ order, with u, v in [-1, 1] over the focal plane and Legendre polynomials P.
///
/// Legendre rather than Chebyshev: being orthogonal with unit weight, their coefficients say what the rms over the field is.
#[derive(Debug, Clone)]
pub(super) struct SmoothField {
    /// (i, j, c).
    terms: Vec<(usize, usize, f64)>,
}

impl SmoothField {
    /// Independent normal coefficients, all terms of the same power; the mean square over field and draws is `rms`².
    pub(super) fn draw(rng: &mut impl Rng, rms: f64, orders: std::ops::RangeInclusive<usize>) -> Self {
        let (min, max) = (*orders.start(), *orders.end());
        let pairs: Vec<_> = (0..=max).flat_map(|j| (0..=max - j).map(move |i| (i, j))).filter(|(i, j)| orders.contains(&(i + j))).collect();
        debug_assert!(min <= max && !pairs.is_empty());
        let scale = rms / (pairs.len() as f64).sqrt();
        let terms = pairs
            .into_iter()
            .map(|(i, j)| {
                let normal: f64 = StandardNormal.sample(rng);
                // ∫∫ P_i² P_j² / 4 = 1 / ((2i + 1)(2j + 1)).
                (i, j, scale * normal * (((2 * i + 1) * (2 * j + 1)) as f64).sqrt())
            })
            .collect();
        Self { terms }
    }

    pub(super) fn at(&self, [u, v]: [f64; 2]) -> f64 {
        self.terms.iter().map(|&(i, j, c)| c * legendre(i, u) * legendre(j, v)).sum()
    }

    /// Coefficients of u^p v^q: (p, q, coefficient), for i, j ≤ 3.
    pub(super) fn monomials(&self) -> Vec<(usize, usize, f64)> {
        let mut out = Vec::new();
        for &(i, j, c) in &self.terms {
            for (p, a) in POWERS[i].iter().enumerate() {
                for (q, b) in POWERS[j].iter().enumerate() {
                    if a * b * c != 0.0 {
                        out.push((p, q, a * b * c));
                    }
                }
            }
        }
        out
    }
}

/// Coefficients of P_0 .. P_3 by power.
const POWERS: [[f64; 4]; 4] = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-0.5, 0.0, 1.5, 0.0], [0.0, -1.5, 0.0, 2.5]];

fn legendre(n: usize, x: f64) -> f64 {
    let (mut before, mut now) = (1.0, x);
    if n == 0 {
        return before;
    }
    for k in 1..n {
        let k = k as f64;
        (before, now) = (now, ((2.0 * k + 1.0) * x * now - k * before) / (k + 1.0));
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::random::keyed_rng;

    /// The mean square over field and draws is rms²: χ² with n degrees of freedom a draw scatters by √(2/n) of itself.
    #[test]
    fn power_is_what_was_asked_for() {
        let (n_draws, n_terms, grid) = (400, 9.0, 40);
        let mut sum = 0.0;
        for draw in 0..n_draws {
            let field = SmoothField::draw(&mut keyed_rng(1, "field-test", draw, 0), 0.3, 1..=3);
            for j in 0..grid {
                for i in 0..grid {
                    let unit = |k: i32| (f64::from(k) + 0.5) / f64::from(grid) * 2.0 - 1.0;
                    sum += field.at([unit(i), unit(j)]).powi(2);
                }
            }
        }
        let found = sum / (n_draws as f64 * f64::from(grid * grid)) / 0.09;
        assert!((found - 1.0).abs() < 4.0 * (2.0 / (n_terms * n_draws as f64)).sqrt() + 2e-3, "{found}");
    }

    #[test]
    fn monomials_are_the_same_function() {
        let field = SmoothField::draw(&mut keyed_rng(2, "field-test", 0, 0), 1.0, 0..=3);
        for at in [[0.3f64, -0.9], [1.0, 1.0], [-0.2, 0.0]] {
            let sum: f64 = field.monomials().iter().map(|&(p, q, c)| c * at[0].powi(p as i32) * at[1].powi(q as i32)).sum();
            assert!((sum - field.at(at)).abs() < 1e-12);
        }
    }
}

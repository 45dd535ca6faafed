//! Non-negative least squares of a few templates.

use nalgebra::{DMatrix, DVector};

/// Passes over all variables; far more than a diagonally dominant blend needs.
const MAX_SWEEPS: usize = 500;

/// Minimises ½ aᵀ G a - bᵀ a over a ≥ 0 by coordinate descent (Franc, Hlaváč & Navara 2005), in a fixed order.
///
/// `gram`: G, symmetric, positive diagonal where a template exists; a zero diagonal gives a = 0.
pub(super) fn nnls(gram: &DMatrix<f64>, rhs: &DVector<f64>) -> DVector<f64> {
    let n = rhs.len();
    let mut a: DVector<f64> = DVector::zeros(n);
    // Gradient G a - b, kept up to date.
    let mut gradient = -rhs.clone();
    for _ in 0..MAX_SWEEPS {
        let mut largest = 0.0f64;
        for k in 0..n {
            let diagonal = gram[(k, k)];
            if diagonal <= 0.0 {
                continue;
            }
            let next = (a[k] - gradient[k] / diagonal).max(0.0);
            let step = next - a[k];
            if step.abs() > 0.0 {
                a[k] = next;
                for i in 0..n {
                    gradient[i] += step * gram[(i, k)];
                }
                largest = largest.max(step.abs());
            }
        }
        if largest < 1e-9 {
            break;
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_inside_and_on_the_boundary() {
        let gram = DMatrix::from_row_slice(2, 2, &[2.0, 1.0, 1.0, 3.0]);
        let inside = nnls(&gram, &DVector::from_row_slice(&[3.0, 4.0]));
        assert!((inside[0] - 1.0).abs() < 1e-7 && (inside[1] - 1.0).abs() < 1e-7);
        // The unconstrained optimum has a negative second component; on the boundary a = b/G = 1.5.
        let edge = nnls(&gram, &DVector::from_row_slice(&[3.0, -2.0]));
        assert!((edge[0] - 1.5).abs() < 1e-9 && edge[1].abs() < 1e-9);
    }
}

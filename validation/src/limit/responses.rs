//! Pixels' answers to an object's parameters, and the information that two objects' answers hold about both.

use fathom::geometry::Box2;
use ndarray::{Array2, ArrayView2};

/// Flux, position (two), size, shear (two).
pub const N_RESPONSES: usize = 6;

/// Information about the parameters of one object (rows) and another (columns); zero for those that an object does not have.
pub type Block = [[f64; N_RESPONSES]; N_RESPONSES];

/// Derivatives of an exposure's noiseless pixels by the parameters of one object.
#[derive(Debug, Clone)]
pub struct Responses {
    /// Pixels covered.
    pub bbox: Box2,
    /// By flux; then, if they count as unknown, by position (east, north); then size and shears (plus, cross), which stars do not have: 1, 3 or 6
    /// planes `[y, x]` of `bbox`.
    pub planes: Vec<Array2<f64>>,
}

/// Σ a_p b_q w over the pixels that all three cover, for all pairs of parameters.
///
/// `weight`: `[y, x]` over `weight_box`, inverse variance, 0 at bad pixels; units are the caller's. It equals the sum over the pixels of
/// `a.planes[p] * b.planes[q] * weight`, rows being taken one by one so that each is read from memory once.
#[must_use]
pub fn information(a: &Responses, b: &Responses, weight_box: &Box2, weight: ArrayView2<f64>) -> Block {
    let mut block = [[0.0; N_RESPONSES]; N_RESPONSES];
    let part = a.bbox.intersect(&b.bbox).intersect(weight_box);
    if part.is_empty() {
        return block;
    }
    let (in_a, in_b, in_weight) = (a.bbox.slice_of(&part), b.bbox.slice_of(&part), weight_box.slice_of(&part));
    let of_a: Vec<_> = a.planes.iter().map(|p| p.slice(in_a)).collect();
    let of_b: Vec<_> = b.planes.iter().map(|p| p.slice(in_b)).collect();
    let weight = weight.slice_move(in_weight);
    let mut weighted = vec![0.0; part.shape().1];
    for (y, w) in weight.rows().into_iter().enumerate() {
        for (plane, row) in of_a.iter().zip(&mut block) {
            weighted.iter_mut().zip(plane.row(y)).zip(w).for_each(|((out, a), w)| *out = a * w);
            for (other, sum) in of_b.iter().zip(row.iter_mut()) {
                *sum += other.row(y).iter().zip(&weighted).map(|(b, wa)| b * wa).sum::<f64>();
            }
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// Against the plain sum, for boxes that overlap in part and planes that differ in number.
    #[test]
    fn information_is_the_sum_over_common_pixels() {
        let plane = |bbox: &Box2, k: usize| Array2::from_shape_fn(bbox.shape(), |(j, i)| ((3 * j + 7 * i + 11 * k) % 13) as f64 - 5.0);
        let object = |bbox: Box2, n: usize| Responses { bbox, planes: (0..n).map(|k| plane(&bbox, k)).collect() };
        let (a, b) = (object(Box2::new(-2, 3, 9, 8), 6), object(Box2::new(1, 1, 12, 6), 3));
        let weight_box = Box2::new(0, 0, 8, 7);
        let weight = plane(&weight_box, 5).mapv(f64::abs);
        let found = information(&a, &b, &weight_box, weight.view());
        for (p, row) in found.iter().enumerate() {
            for (q, found) in row.iter().enumerate() {
                let mut expected = 0.0;
                for y in 0..20 {
                    for x in 0..20 {
                        if let (Some(i), Some(j), Some(k), true) = (a.bbox.index(x, y), b.bbox.index(x, y), weight_box.index(x, y), q < 3) {
                            expected += a.planes[p][i] * b.planes[q][j] * weight[k];
                        }
                    }
                }
                assert_relative_eq!(*found, expected, max_relative = 1e-12);
            }
        }
        assert!(information(&a, &object(Box2::new(50, 50, 3, 3), 1), &weight_box, weight.view())[0][0].abs() <= 0.0);
    }
}

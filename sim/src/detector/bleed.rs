//! Saturation: charge above the full well flows along the column.

use fathom::image::MaskPlane;
use ndarray::Axis;
use ndarray::{Array2, ArrayViewMut1, Zip};
use rayon::prelude::*;

/// Lets charge above `full_well_e` flow along the columns, half of it up and half down, and flags every pixel that is full.
///
/// A pixel on the way takes what it has room for. Nothing is lost but what leaves at either end of the column: the sum over a column
/// is kept. `electrons` and `mask` are `[y, x]`.
pub(crate) fn bleed(electrons: &mut Array2<f64>, full_well_e: impl Fn(usize, usize) -> f64 + Sync, mask: &mut Array2<u32>) {
    electrons.axis_iter_mut(Axis(1)).into_par_iter().zip(mask.axis_iter_mut(Axis(1))).enumerate().for_each(
        |(x, (mut column, mut mask))| {
            let full = |y: usize| full_well_e(x, y);
            bleed_column(&mut column, &full);
            Zip::indexed(&mut mask).and(&column).for_each(|y, m, &e| {
                if e >= full(y) {
                    *m |= MaskPlane::Sat.bit();
                }
            });
        },
    );
}

fn bleed_column(column: &mut ArrayViewMut1<f64>, full: &impl Fn(usize) -> f64) {
    let n = column.len();
    if (0..n).all(|y| column[y] <= full(y)) {
        return;
    }
    let excess: Vec<f64> = (0..n).map(|y| (column[y] - full(y)).max(0.0)).collect();
    for y in 0..n {
        if excess[y] > 0.0 {
            column[y] = full(y);
        }
    }
    // One sweep each way: what a pixel cannot hold goes on to the next, together with its own half.
    let sweep = |column: &mut ArrayViewMut1<f64>, y: usize, carried: &mut f64| {
        *carried += 0.5 * excess[y];
        if *carried > 0.0 {
            let taken = (full(y) - column[y]).max(0.0);
            // The last pixel of a trail holds exactly the well or the rest: no rounding may leave a full pixel unflagged.
            if taken <= *carried {
                column[y] = full(y);
                *carried -= taken;
            } else {
                column[y] += *carried;
                *carried = 0.0;
            }
        }
    };
    let (mut up, mut down) = (0.0, 0.0);
    for y in 0..n {
        sweep(column, y, &mut up);
    }
    for y in (0..n).rev() {
        sweep(column, y, &mut down);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 electrons over a well of 100 on a sky of 20: nine pixels too much, at 80 of room each: 900/80 = 11.25 pixels, half each way.
    #[test]
    fn charge_is_conserved_along_the_column() {
        let mut electrons = Array2::from_elem((61, 3), 20.0);
        electrons[[30, 1]] = 1000.0;
        electrons[[33, 1]] = 150.0;
        let before = electrons.clone();
        let mut mask = Array2::zeros(electrons.dim());
        bleed(&mut electrons, |_, _| 100.0, &mut mask);
        for x in 0..3 {
            assert!((electrons.column(x).sum() - before.column(x).sum()).abs() < 1e-9, "column {x}");
        }
        assert!(electrons.iter().all(|e| *e <= 100.0));
        let n_full = mask.iter().filter(|m| **m == MaskPlane::Sat.bit()).count();
        // Excess 950 = 475 each way, 80 a pixel: 5 full pixels and a part, and the two of the star and its neighbour.
        assert_eq!(n_full, 2 + 5 + 5);
        assert!(mask.column(0).iter().chain(mask.column(2)).all(|m| *m == 0));
    }

    /// At the end of a column the charge leaves.
    #[test]
    fn charge_leaves_at_the_edge() {
        let mut electrons = Array2::from_elem((4, 1), 0.0);
        electrons[[0, 0]] = 1000.0;
        let mut mask = Array2::zeros((4, 1));
        bleed(&mut electrons, |_, _| 100.0, &mut mask);
        assert_eq!(electrons.column(0).to_vec(), [100.0; 4]);
    }
}

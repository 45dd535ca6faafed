//! A small picture of the whole tract, filled patch by patch: the tract need not fit into memory.

use fathom::geometry::Box2;
use ndarray::{Array2, ArrayView2};

/// Means of finite values over squares of tract pixels.
pub struct Binned {
    bin: usize,
    sum: Array2<f64>,
    n: Array2<f64>,
}

impl Binned {
    /// For a tract, with sides of at most `longest` bins.
    pub fn new(tract: &Box2, longest: usize) -> Self {
        let bin = (tract.width.max(tract.height) as usize).div_ceil(longest).max(1);
        let shape = ((tract.height as usize).div_ceil(bin), (tract.width as usize).div_ceil(bin));
        Self { bin, sum: Array2::zeros(shape), n: Array2::zeros(shape) }
    }

    /// Tract pixels along a bin.
    pub fn bin(&self) -> usize {
        self.bin
    }

    /// Bins, `(y, x)`.
    pub fn shape(&self) -> (usize, usize) {
        self.sum.dim()
    }

    /// Adds the pixels of a patch; not finite ones are left out.
    pub fn add<T: Copy + Into<f64>>(&mut self, bbox: &Box2, values: ArrayView2<T>) {
        for ((j, i), value) in values.indexed_iter() {
            let value: f64 = (*value).into();
            if value.is_finite() {
                let at = [(bbox.y0 as usize + j) / self.bin, (bbox.x0 as usize + i) / self.bin];
                self.sum[at] += value;
                self.n[at] += 1.0;
            }
        }
    }

    /// The means; NaN without a value.
    pub fn mean(&self) -> Array2<f32> {
        ndarray::Zip::from(&self.sum).and(&self.n).map_collect(|&s, &n| if n > 0.0 { (s / n) as f32 } else { f32::NAN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn patches_add_up_to_means() {
        let mut binned = Binned::new(&Box2::new(0, 0, 4, 3), 2);
        assert_eq!((binned.bin(), binned.shape()), (2, (2, 2)));
        binned.add(&Box2::new(0, 0, 2, 3), array![[1.0f32, 2.0], [3.0, f32::NAN], [7.0, 9.0]].view());
        binned.add(&Box2::new(2, 0, 2, 3), array![[5.0f32, 5.0], [5.0, 5.0], [f32::NAN, f32::NAN]].view());
        let mean = binned.mean();
        assert_eq!((mean[[0, 0]], mean[[0, 1]], mean[[1, 0]]), (2.0, 5.0, 8.0));
        assert!(mean[[1, 1]].is_nan());
    }
}

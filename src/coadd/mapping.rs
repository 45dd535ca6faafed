//! Tract pixels to exposure pixels: exact on a grid of nodes, bilinear between, checked.

use crate::geometry::{Box2, PixelPoint, Wcs};
use ndarray::Array2;

/// Side of a block between nodes \[tract pixel\]; nodes are anchored to the tract, never to a patch.
const STEP_PX: i32 = 32;

/// Largest error of the bilinear interpolation that is accepted \[exposure pixel\]; blocks that err more are mapped pixel by pixel.
const TOLERANCE_PX: f64 = 5e-4;

/// Positions on one exposure of all pixels of a tract box.
pub(crate) struct Mapping {
    /// Exposure columns, `[y, x]`; NaN where the WCS cannot be inverted.
    pub x: Array2<f64>,
    /// Exposure rows.
    pub y: Array2<f64>,
    bbox: Box2,
    blocks: Nodes,
}

/// d(exposure pixel)/d(tract pixel): `[[dx/dX, dx/dY], [dy/dX, dy/dY]]`.
pub(crate) type Jacobian = [[f64; 2]; 2];

/// Positions at the nodes of all blocks that touch a box.
struct Nodes {
    first_block: (i32, i32),
    x: Array2<f64>,
    y: Array2<f64>,
}

/// A row's share of the bilinear interpolation in one block: position = start + u * step, u the fraction of the block's side.
struct Along {
    start: (f64, f64),
    step: (f64, f64),
}

fn exact(tract: &Wcs, exposure: &Wcs, x: f64, y: f64) -> (f64, f64) {
    exposure.sky_to_pixel(tract.pixel_to_sky(PixelPoint::new(x, y))).map_or((f64::NAN, f64::NAN), |p| (p.x, p.y))
}

impl Along {
    fn at(&self, u: f64) -> (f64, f64) {
        (self.start.0 + u * self.step.0, self.start.1 + u * self.step.1)
    }
}

impl Nodes {
    fn new(tract: &Wcs, exposure: &Wcs, bbox: &Box2) -> Self {
        let first_block = (bbox.x0.div_euclid(STEP_PX), bbox.y0.div_euclid(STEP_PX));
        let n = |start: i32, end: i32, first: i32| ((end - 1).max(start).div_euclid(STEP_PX) - first + 2) as usize;
        let shape = (n(bbox.y0, bbox.y1(), first_block.1), n(bbox.x0, bbox.x1(), first_block.0));
        let (mut x, mut y) = (Array2::zeros(shape), Array2::zeros(shape));
        for ((j, i), x) in x.indexed_iter_mut() {
            let at = |first: i32, k: usize| f64::from((first + k as i32) * STEP_PX);
            (*x, y[[j, i]]) = exact(tract, exposure, at(first_block.0, i), at(first_block.1, j));
        }
        Self { first_block, x, y }
    }

    /// Positions along the row at fraction `v` of block `(j, i)`.
    fn along(&self, j: usize, i: usize, v: f64) -> Along {
        let ends = |a: &Array2<f64>| {
            let left = a[[j, i]] + v * (a[[j + 1, i]] - a[[j, i]]);
            (left, a[[j, i + 1]] + v * (a[[j + 1, i + 1]] - a[[j, i + 1]]) - left)
        };
        let ((x, dx), (y, dy)) = (ends(&self.x), ends(&self.y));
        Along { start: (x, y), step: (dx, dy) }
    }

    fn jacobian(&self, j: usize, i: usize) -> Jacobian {
        let step = 2.0 * f64::from(STEP_PX);
        let along = |a: &Array2<f64>| {
            let (p, q, r, s) = (a[[j, i]], a[[j, i + 1]], a[[j + 1, i]], a[[j + 1, i + 1]]);
            [(q - p + s - r) / step, (r - p + s - q) / step]
        };
        [along(&self.x), along(&self.y)]
    }
}

/// The box of exposure pixels on which the tract box falls (not cut to the exposure); empty if the WCS cannot be inverted anywhere.
pub(crate) fn image_of(tract: &Wcs, exposure: &Wcs, bbox: &Box2) -> Box2 {
    let nodes = Nodes::new(tract, exposure, bbox);
    let range = |a: &Array2<f64>| {
        let finite = a.iter().copied().filter(|v| v.is_finite());
        // Far outside every exposure positions are clamped, so that they fit whole numbers.
        let clamp = |v: f64| v.clamp(-1e8, 1e8);
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(clamp(v)), hi.max(clamp(v))))
    };
    let ((x0, x1), (y0, y1)) = (range(&nodes.x), range(&nodes.y));
    if x0 > x1 || y0 > y1 {
        return Box2::new(0, 0, 0, 0);
    }
    Box2::from_ranges(x0.floor() as i32 - 1..x1.ceil() as i32 + 2, y0.floor() as i32 - 1..y1.ceil() as i32 + 2)
}

impl Mapping {
    pub fn new(tract: &Wcs, exposure: &Wcs, bbox: Box2) -> Self {
        let blocks = Nodes::new(tract, exposure, &bbox);
        let (mut x, mut y) = (Array2::zeros(bbox.shape()), Array2::zeros(bbox.shape()));
        let (n_rows, n_columns) = (blocks.x.nrows() - 1, blocks.x.ncols() - 1);
        for j in 0..n_rows {
            for i in 0..n_columns {
                let corner = ((blocks.first_block.0 + i as i32) * STEP_PX, (blocks.first_block.1 + j as i32) * STEP_PX);
                let part = bbox.intersect(&Box2::new(corner.0, corner.1, STEP_PX, STEP_PX));
                let half = f64::from(STEP_PX) / 2.0;
                let (mx, my) = exact(tract, exposure, f64::from(corner.0) + half, f64::from(corner.1) + half);
                let middle = blocks.along(j, i, 0.5).at(0.5);
                // NaN fails the comparison: such blocks, too, are mapped pixel by pixel.
                let is_smooth = (mx - middle.0).hypot(my - middle.1) <= TOLERANCE_PX;
                let fraction = |t: i32, corner: i32| f64::from(t - corner) / f64::from(STEP_PX);
                let (mut x, mut y) = (x.slice_mut(bbox.slice_of(&part)), y.slice_mut(bbox.slice_of(&part)));
                for (ty, (mut x, mut y)) in (part.y0..).zip(x.rows_mut().into_iter().zip(y.rows_mut())) {
                    let along = blocks.along(j, i, fraction(ty, corner.1));
                    for (tx, (x, y)) in (part.x0..).zip(x.iter_mut().zip(&mut y)) {
                        (*x, *y) =
                            if is_smooth { along.at(fraction(tx, corner.0)) } else { exact(tract, exposure, f64::from(tx), f64::from(ty)) };
                    }
                }
            }
        }
        Self { x, y, bbox, blocks }
    }

    /// Positions of row `j` of the box, and the ratio of pixel areas at each of its pixels: constant in a block.
    pub fn row(&self, j: usize) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        let row = |a: &'_ Array2<f64>| -> std::ops::Range<usize> { j * a.ncols()..(j + 1) * a.ncols() };
        let (x, y) = (self.x.as_slice().expect("standard layout"), self.y.as_slice().expect("standard layout"));
        let block_row = ((self.bbox.y0 + j as i32).div_euclid(STEP_PX) - self.blocks.first_block.1) as usize;
        let areas: Vec<f64> = (0..self.blocks.x.ncols() - 1).map(|i| area_ratio(&self.blocks.jacobian(block_row, i))).collect();
        let first = (self.bbox.x0 - self.blocks.first_block.0 * STEP_PX) as usize;
        let positions = x[row(&self.x)].iter().zip(&y[row(&self.y)]).enumerate();
        positions.map(move |(i, (&x, &y))| (x, y, areas[(first + i) / STEP_PX as usize]))
    }
}

/// |det J|: exposure pixels per tract pixel, the ratio of pixel areas.
pub(crate) fn area_ratio(j: &Jacobian) -> f64 {
    (j[0][0] * j[1][1] - j[0][1] * j[1][0]).abs()
}

/// Jacobian of the exact mapping at a tract position, by central differences.
pub(crate) fn jacobian_at(tract: &Wcs, exposure: &Wcs, at: PixelPoint) -> Jacobian {
    let difference = |dx: f64, dy: f64| {
        let (a, b) = (exact(tract, exposure, at.x + dx, at.y + dy), exact(tract, exposure, at.x - dx, at.y - dy));
        ((a.0 - b.0) / 2.0, (a.1 - b.1) / 2.0)
    };
    let (along_x, along_y) = (difference(1.0, 0.0), difference(0.0, 1.0));
    [[along_x.0, along_y.0], [along_x.1, along_y.1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SkyPoint;

    /// A rotated exposure on another tangent point: interpolation keeps 1e-3 px, and a part equals the whole.
    #[test]
    fn interpolates_within_tolerance_and_does_not_depend_on_the_box() {
        let s = 0.2 / 3600.0;
        let tract = Wcs::tan(SkyPoint::from_degrees(150.0, 2.0), PixelPoint::new(500.0, 500.0), [[-s, 0.0], [0.0, s]]).unwrap();
        let (sin, cos) = 0.3f64.sin_cos();
        let exposure =
            Wcs::tan(SkyPoint::from_degrees(150.2, 2.1), PixelPoint::new(100.0, 90.0), [[-s * cos, s * sin], [s * sin, s * cos]]).unwrap();
        let whole = Mapping::new(&tract, &exposure, Box2::new(0, 0, 200, 150));
        for (x, y) in [(0, 0), (37, 120), (199, 149)] {
            let (ex, ey) = exact(&tract, &exposure, f64::from(x), f64::from(y));
            let found = (whole.x[[y as usize, x as usize]], whole.y[[y as usize, x as usize]]);
            assert!((found.0 - ex).hypot(found.1 - ey) < 1e-3);
        }
        let part = Mapping::new(&tract, &exposure, Box2::new(64, 37, 50, 60));
        assert_eq!(part.x, whole.x.slice(Box2::new(0, 0, 200, 150).slice_of(&Box2::new(64, 37, 50, 60))));
        let (_, _, area) = whole.row(40).nth(70).unwrap();
        assert!((area - area_ratio(&jacobian_at(&tract, &exposure, PixelPoint::new(70.0, 40.0)))).abs() < 1e-5);
        let (_, _, of_part) = part.row(3).nth(6).unwrap();
        assert!(of_part.to_bits() == area.to_bits(), "a part's row 3, column 6 is the whole's row 40, column 70");
    }
}

//! Tract pixels to exposure pixels: exact on a grid of nodes, bilinear between, checked and refined where it errs.

use super::warp::MAX_RUN;
use crate::geometry::{Box2, PixelPoint, Wcs};
use ndarray::{Array2, s};

/// Side of a block between nodes \[tract pixel\]; nodes are anchored to the tract, never to a patch.
const STEP_PX: i32 = MAX_RUN as i32;

/// Squares are not divided further, but mapped pixel by pixel \[tract pixel\].
const MIN_STEP_PX: i32 = 4;

/// Largest error of the bilinear interpolation that is accepted \[exposure pixel\]; squares that err more are divided.
const TOLERANCE_PX: f64 = 5e-4;

/// Positions on one exposure of all pixels of a tract box, by blocks.
pub(crate) struct Mapping {
    bbox: Box2,
    first_block: (i32, i32),
    blocks: Array2<Block>,
}

struct Block {
    content: Content,
    /// Exposure pixels per tract pixel.
    area: f64,
}

enum Content {
    /// Bilinear between the corners.
    Smooth(Square),
    /// Pixel by pixel, of the part that lies in the box.
    Bent(Places),
}

/// Positions of the pixels of a box.
struct Places {
    bbox: Box2,
    x: Array2<f64>,
    y: Array2<f64>,
}

/// d(exposure pixel)/d(tract pixel): `[[dx/dX, dx/dY], [dy/dX, dy/dY]]`.
pub(crate) type Jacobian = [[f64; 2]; 2];

/// Part of a row of a [`Mapping`]: pixels of one block.
pub(crate) struct Run {
    /// Columns of the box.
    pub columns: std::ops::Range<usize>,
    /// Exposure pixels per tract pixel: the ratio of the pixels' areas.
    pub area: f64,
    n: usize,
    x: [f64; MAX_RUN],
    y: [f64; MAX_RUN],
}

impl Run {
    /// Exposure columns.
    pub fn x(&self) -> &[f64] {
        &self.x[..self.n]
    }

    /// Exposure rows.
    pub fn y(&self) -> &[f64] {
        &self.y[..self.n]
    }
}

/// A square of tract pixels and the positions of its corners: at the first pixel, along x, along y, opposite.
struct Square {
    corner: (i32, i32),
    side: i32,
    nodes: [(f64, f64); 4],
}

impl Square {
    fn bbox(&self) -> Box2 {
        Box2::new(self.corner.0, self.corner.1, self.side, self.side)
    }

    fn fraction(&self, pixels: i32) -> f64 {
        f64::from(pixels) / f64::from(self.side)
    }

    /// Position at fraction 0 of the row at fraction `v` of the side, and the step from there to fraction 1.
    fn row(&self, v: f64) -> ((f64, f64), (f64, f64)) {
        let [sw, se, nw, ne] = self.nodes;
        let ends = |a: f64, b: f64, c: f64, d: f64| {
            let left = a + v * (c - a);
            (left, b + v * (d - b) - left)
        };
        let ((x, dx), (y, dy)) = (ends(sw.0, se.0, nw.0, ne.0), ends(sw.1, se.1, nw.1, ne.1));
        ((x, y), (dx, dy))
    }

    /// Positions of a row of pixels from the tract pixel `first` on.
    fn interpolate(&self, first: (i32, i32), xs: &mut [f64], ys: &mut [f64]) {
        let ((x, y), (dx, dy)) = self.row(self.fraction(first.1 - self.corner.1));
        for (i, (to_x, to_y)) in (first.0 - self.corner.0..).zip(xs.iter_mut().zip(ys)) {
            let u = self.fraction(i);
            (*to_x, *to_y) = (x + u * dx, y + u * dy);
        }
    }

    /// Exact positions in the middles of the sides and of the square (south, west, middle, east, north), unless the bilinear ones are good there.
    fn middles_if_bent(&self, exact: &impl Fn(i32, i32) -> (f64, f64)) -> Option<[(f64, f64); 5]> {
        let half = self.side / 2;
        let places = [(half, 0), (0, half), (half, half), (2 * half, half), (half, 2 * half)];
        let middles = places.map(|(dx, dy)| exact(self.corner.0 + dx, self.corner.1 + dy));
        let error = |(found, (dx, dy)): (&(f64, f64), (i32, i32))| {
            let (u, ((x, y), (step_x, step_y))) = (self.fraction(dx), self.row(self.fraction(dy)));
            (found.0 - x - u * step_x).hypot(found.1 - y - u * step_y)
        };
        // NaN fails the comparison: such squares, too, are mapped pixel by pixel in the end.
        let is_smooth = middles.iter().zip(places).map(error).all(|e| e <= TOLERANCE_PX);
        (!is_smooth).then_some(middles)
    }

    fn quarters(&self, [s, w, m, e, n]: [(f64, f64); 5]) -> [Square; 4] {
        let (half, [sw, se, nw, ne]) = (self.side / 2, self.nodes);
        let quarters = [((0, 0), [sw, s, w, m]), ((half, 0), [s, se, m, e]), ((0, half), [w, m, nw, n]), ((half, half), [m, e, n, ne])];
        quarters.map(|((dx, dy), nodes)| Square { corner: (self.corner.0 + dx, self.corner.1 + dy), side: half, nodes })
    }
}

impl Places {
    fn new(bbox: Box2) -> Self {
        Self { x: Array2::zeros(bbox.shape()), y: Array2::zeros(bbox.shape()), bbox }
    }

    /// Sets the positions in the part of a square that lies in the box: bilinear between its corners where that holds, else by its quarters,
    /// at last pixel by pixel. Whether it holds does not depend on the box.
    fn fill(&mut self, exact: &impl Fn(i32, i32) -> (f64, f64), square: &Square) {
        let part = self.bbox.intersect(&square.bbox());
        if part.is_empty() {
            return;
        }
        if square.side == MIN_STEP_PX {
            for (x, y) in (part.y0..part.y1()).flat_map(|y| (part.x0..part.x1()).map(move |x| (x, y))) {
                let at = self.bbox.index(x, y).expect("the part is inside");
                (self.x[at], self.y[at]) = exact(x, y);
            }
        } else if let Some(middles) = square.middles_if_bent(exact) {
            square.quarters(middles).iter().for_each(|quarter| self.fill(exact, quarter));
        } else {
            let slice = self.bbox.slice_of(&part);
            let (mut x, mut y) = (self.x.slice_mut(slice), self.y.slice_mut(slice));
            for (ty, (mut x, mut y)) in (part.y0..).zip(x.rows_mut().into_iter().zip(y.rows_mut())) {
                square.interpolate((part.x0, ty), x.as_slice_mut().expect("a row"), y.as_slice_mut().expect("a row"));
            }
        }
    }
}

/// Positions at the nodes of all blocks that touch a box.
struct Nodes {
    first_block: (i32, i32),
    x: Array2<f64>,
    y: Array2<f64>,
}

fn exact(tract: &Wcs, exposure: &Wcs, x: f64, y: f64) -> (f64, f64) {
    exposure.sky_to_pixel(tract.pixel_to_sky(PixelPoint::new(x, y))).map_or((f64::NAN, f64::NAN), |p| (p.x, p.y))
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
        let nodes = Nodes::new(tract, exposure, &bbox);
        let position = |x: i32, y: i32| exact(tract, exposure, f64::from(x), f64::from(y));
        let blocks = Array2::from_shape_fn((nodes.x.nrows() - 1, nodes.x.ncols() - 1), |(j, i)| {
            let corner = (nodes.first_block.0 + i as i32, nodes.first_block.1 + j as i32);
            let square = Square {
                corner: (corner.0 * STEP_PX, corner.1 * STEP_PX),
                side: STEP_PX,
                nodes: [[j, i], [j, i + 1], [j + 1, i], [j + 1, i + 1]].map(|at| (nodes.x[at], nodes.y[at])),
            };
            let content = match square.middles_if_bent(&position) {
                None => Content::Smooth(square),
                Some(middles) => {
                    let mut places = Places::new(bbox.intersect(&square.bbox()));
                    square.quarters(middles).iter().for_each(|quarter| places.fill(&position, quarter));
                    Content::Bent(places)
                }
            };
            Block { content, area: area_ratio(&nodes.jacobian(j, i)) }
        });
        Self { bbox, first_block: nodes.first_block, blocks }
    }

    /// Row `j` of the box in runs of at most [`STEP_PX`] pixels.
    pub fn runs(&self, j: usize) -> impl Iterator<Item = Run> {
        (0..self.n_runs()).map(move |i| self.run(j, i))
    }

    /// Runs in a row; those of one number lie below one another.
    pub fn n_runs(&self) -> usize {
        self.blocks.ncols()
    }

    /// Run `i` of row `j` of the box.
    pub fn run(&self, j: usize, i: usize) -> Run {
        let y = self.bbox.y0 + j as i32;
        let block = &self.blocks[[(y.div_euclid(STEP_PX) - self.first_block.1) as usize, i]];
        let start = |i: usize| ((self.first_block.0 + i as i32) * STEP_PX - self.bbox.x0).clamp(0, self.bbox.width) as usize;
        let columns = start(i)..start(i + 1);
        let mut run = Run { n: columns.len(), x: [0.0; MAX_RUN], y: [0.0; MAX_RUN], area: block.area, columns };
        let first = self.bbox.x0 + run.columns.start as i32;
        match &block.content {
            Content::Smooth(square) => square.interpolate((first, y), &mut run.x[..run.n], &mut run.y[..run.n]),
            Content::Bent(places) => {
                let row = (y - places.bbox.y0) as usize;
                run.x[..run.n].copy_from_slice(places.x.row(row).as_slice().expect("a row"));
                run.y[..run.n].copy_from_slice(places.y.row(row).as_slice().expect("a row"));
            }
        }
        run
    }

    /// Exposure columns and rows of all pixels, `[y, x]`; NaN where the WCS cannot be inverted.
    pub fn positions(&self) -> (Array2<f64>, Array2<f64>) {
        let (mut xs, mut ys) = (Array2::zeros(self.bbox.shape()), Array2::zeros(self.bbox.shape()));
        for (j, (mut xs, mut ys)) in xs.rows_mut().into_iter().zip(ys.rows_mut()).enumerate() {
            for run in self.runs(j) {
                xs.slice_mut(s![run.columns.clone()]).iter_mut().zip(run.x()).for_each(|(to, x)| *to = *x);
                ys.slice_mut(s![run.columns.clone()]).iter_mut().zip(run.y()).for_each(|(to, y)| *to = *y);
            }
        }
        (xs, ys)
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
        let (xs, ys) = whole.positions();
        for (x, y) in [(0, 0), (37, 120), (199, 149)] {
            let (ex, ey) = exact(&tract, &exposure, f64::from(x), f64::from(y));
            let found = (xs[[y as usize, x as usize]], ys[[y as usize, x as usize]]);
            assert!((found.0 - ex).hypot(found.1 - ey) < 1e-3);
        }
        let part = Mapping::new(&tract, &exposure, Box2::new(64, 37, 50, 60));
        assert_eq!(part.positions().0, xs.slice(Box2::new(0, 0, 200, 150).slice_of(&Box2::new(64, 37, 50, 60))));
        let area_at = |m: &Mapping, j: usize, i: usize| m.runs(j).find(|r| r.columns.contains(&i)).unwrap().area;
        let area = area_at(&whole, 40, 70);
        assert!((area - area_ratio(&jacobian_at(&tract, &exposure, PixelPoint::new(70.0, 40.0)))).abs() < 1e-5);
        assert!(area_at(&part, 3, 6).to_bits() == area.to_bits(), "a part's row 3, column 6 is the whole's row 40, column 70");
        assert_eq!(part.runs(3).map(|r| r.columns).collect::<Vec<_>>(), [0..32, 32..50]);
    }

    /// Distortions that bend by 5e-3 pixel and by half a pixel within a block, one of them a saddle (no error in the middle of a block): every
    /// pixel within the tolerance, whatever the refinement took.
    #[test]
    fn strong_distortion_is_refined() {
        use crate::geometry::{Card, Cards};
        let s = 0.2 / 3600.0;
        let tract = Wcs::tan(SkyPoint::from_degrees(150.0, 2.0), PixelPoint::new(80.0, 60.0), [[-s, 0.0], [0.0, s]]).unwrap();
        for (bend, saddle) in [(2e-5, 1.0), (2e-5, -1.0), (2e-3, -1.0), (2e-3, 0.3)] {
            let mut cards = Cards::new();
            let numbers = [("CRVAL1", 150.0), ("CRVAL2", 2.0), ("CRPIX1", 91.0), ("CRPIX2", 71.0), ("CD1_1", -s), ("CD1_2", 0.0)];
            let sip = [("CD2_1", 0.0), ("CD2_2", s), ("A_ORDER", 2.0), ("B_ORDER", 2.0), ("A_2_0", bend), ("A_0_2", saddle * bend)];
            numbers.into_iter().chain(sip).for_each(|(k, v)| drop(cards.insert(k.into(), Card::Number(v))));
            let types = [("CTYPE1", "RA---TAN-SIP"), ("CTYPE2", "DEC--TAN-SIP")];
            types.into_iter().for_each(|(k, v)| drop(cards.insert(k.into(), Card::Text(v.into()))));
            let exposure = Wcs::from_cards(&cards).unwrap();
            let mapping = Mapping::new(&tract, &exposure, Box2::new(0, 0, 160, 120));
            let (xs, ys) = mapping.positions();
            let mut worst = 0.0f64;
            for ((y, x), found) in xs.indexed_iter() {
                let (ex, ey) = exact(&tract, &exposure, x as f64, y as f64);
                worst = worst.max((found - ex).hypot(ys[[y, x]] - ey));
            }
            assert!(worst < 1.2 * TOLERANCE_PX, "bend {bend}, saddle {saddle}: {worst}");
        }
    }
}

//! Points on a plane, found by distance: a uniform grid.

/// Points per grid cell, about: fewer cost empty cells, more cost distances.
const POINTS_PER_CELL: f64 = 2.0;

/// Points on a plane \[arcsec\], found by distance.
///
/// The points stand sorted by grid cell, so that memory is a few words a point whatever the field, and a search allocates nothing.
#[derive(Debug)]
pub struct Neighbours {
    origin: [f64; 2],
    cell_arcsec: f64,
    shape: [usize; 2],
    /// Where each cell's points start in `points`; one more than there are cells.
    starts: Vec<u32>,
    points: Vec<([f64; 2], u32)>,
}

impl Neighbours {
    /// Indexes the points by their order. A point without a position (NaN) has no neighbours.
    #[must_use]
    pub fn new(points: impl Iterator<Item = [f64; 2]>) -> Self {
        let mut points: Vec<([f64; 2], u32)> = points.zip(0..).filter(|(p, _)| p[0].is_finite() && p[1].is_finite()).collect();
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for (point, _) in &points {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        if points.is_empty() {
            return Self { origin: [0.0; 2], cell_arcsec: 1.0, shape: [1, 1], starts: vec![0, 0], points };
        }
        let extent = [high[0] - low[0], high[1] - low[1]];
        // A strip is as long as its points, not as their square root.
        let n_cells = (points.len() as f64 / POINTS_PER_CELL).max(1.0);
        let cell_arcsec = (extent[0] * extent[1] / n_cells).sqrt().max(extent[0].max(extent[1]) / n_cells).max(1e-3);
        let shape = extent.map(|e| (e / cell_arcsec) as usize + 1);
        let mut grid = Self { origin: low, cell_arcsec, shape, starts: Vec::new(), points: Vec::new() };
        points.sort_by_cached_key(|(p, i)| (grid.cell(*p), *i));
        let mut starts = vec![0u32; shape[0] * shape[1] + 1];
        for (point, _) in &points {
            starts[grid.cell(*point) + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        grid.starts = starts;
        grid.points = points;
        grid
    }

    fn column(&self, value: f64, axis: usize) -> usize {
        (((value - self.origin[axis]) / self.cell_arcsec).max(0.0) as usize).min(self.shape[axis] - 1)
    }

    fn cell(&self, point: [f64; 2]) -> usize {
        self.column(point[1], 1) * self.shape[0] + self.column(point[0], 0)
    }

    /// Calls `visit` with index and distance of every point within `radius`, in an order that only the points decide.
    pub fn each_within(&self, point: [f64; 2], radius: f64, mut visit: impl FnMut(usize, f64)) {
        if !(point[0].is_finite() && point[1].is_finite() && radius >= 0.0) {
            return;
        }
        let (x0, x1) = (self.column(point[0] - radius, 0), self.column(point[0] + radius, 0));
        for y in self.column(point[1] - radius, 1)..=self.column(point[1] + radius, 1) {
            let row = y * self.shape[0];
            for (p, i) in &self.points[self.starts[row + x0] as usize..self.starts[row + x1 + 1] as usize] {
                let distance = (p[0] - point[0]).hypot(p[1] - point[1]);
                if distance <= radius {
                    visit(*i as usize, distance);
                }
            }
        }
    }

    /// Indices and distances of all points within `radius`, nearest first, ties by index.
    #[allow(dead_code, reason = "for lists that are short; long ones are visited in place")]
    #[must_use]
    pub fn within(&self, point: [f64; 2], radius: f64) -> Vec<(usize, f64)> {
        let mut found = Vec::new();
        self.each_within(point, radius, |i, distance| found.push((i, distance)));
        found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found
    }

    /// The nearest point within `radius` that is `wanted`; ties go to the lower index.
    pub fn nearest(&self, point: [f64; 2], radius: f64, mut wanted: impl FnMut(usize) -> bool) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        self.each_within(point, radius, |i, distance| {
            let is_nearer = best.is_none_or(|b| distance < b.1 || (distance <= b.1 && i < b.0));
            if is_nearer && wanted(i) {
                best = Some((i, distance));
            }
        });
        best
    }

    /// True if a point lies within `radius`.
    #[must_use]
    pub fn any_within(&self, point: [f64; 2], radius: f64) -> bool {
        self.nearest(point, radius, |_| true).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::random::keyed_rng;
    use rand::RngExt;

    /// Every search equals the loop over all points, also far outside the field and in a field without width.
    #[test]
    fn the_grid_finds_what_a_loop_finds() {
        let mut rng = keyed_rng(1, "neighbours", 0, 0);
        for (width, height) in [(100.0, 60.0), (300.0, 0.0), (0.0, 0.0)] {
            let mut points: Vec<[f64; 2]> = (0..400).map(|_| [width * rng.random::<f64>(), height * rng.random::<f64>()]).collect();
            points[7] = [f64::NAN, 1.0];
            let grid = Neighbours::new(points.iter().copied());
            for (at, radius) in [([30.0, 20.0], 7.0), ([-50.0, -50.0], 60.0), ([99.0, 59.0], 0.5), ([150.0, 0.0], 1e4)] {
                let mut slow: Vec<(usize, f64)> =
                    (0..points.len()).map(|i| (i, (points[i][0] - at[0]).hypot(points[i][1] - at[1]))).filter(|p| p.1 <= radius).collect();
                slow.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                assert_eq!(grid.within(at, radius), slow);
                assert_eq!(grid.nearest(at, radius, |_| true), slow.first().copied());
                assert_eq!(grid.any_within(at, radius), !slow.is_empty());
            }
            assert!(grid.within([f64::NAN, 0.0], 1.0).is_empty());
        }
        assert!(Neighbours::new(std::iter::empty()).within([0.0, 0.0], 10.0).is_empty());
    }
}

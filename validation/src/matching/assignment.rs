//! The cheapest assignment of rows to columns, where a row may stay without, and by how much it is the cheapest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Margins are searched no further than this (a likelihood ratio of 1e-11): beyond, nothing is in doubt.
pub(super) const MARGIN_CAP: f64 = 50.0;

/// A sparse assignment problem: the edges of each row, and the price of a row without column.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    /// Edges (row, column, cost), sorted by row.
    pub edges: &'a [(u32, u32, f64)],
    /// Number of rows.
    pub n_rows: usize,
    /// Number of columns.
    pub n_columns: usize,
    /// Cost of a row that stays without column.
    pub unmatched: f64,
}

/// The assignment of least total cost.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    /// Column of each row.
    pub column: Vec<Option<u32>>,
    /// Per row, how much more the best assignment costs that treats the row otherwise: one without its pair, or, for a row without
    /// column, one with any. At most [`MARGIN_CAP`].
    pub margin: Vec<f64>,
}

/// Distance that sorts: no cost is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Distance(f64);

impl Eq for Distance {}
impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Distance {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

type Queue = BinaryHeap<Reverse<(Distance, u32)>>;

/// Where a search for a margin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// At this column.
    Column(u32),
    /// Where a column is left over.
    Outside,
}

/// State of the solver: duals u, v with cost - u - v ≥ 0, equal to 0 for pairs; v ≤ 0, equal to 0 for columns without row.
struct Solver<'a> {
    problem: &'a Problem<'a>,
    first_edge: Vec<u32>,
    u: Vec<f64>,
    v: Vec<f64>,
    column_of: Vec<Option<u32>>,
    row_of: Vec<Option<u32>>,
    distance: Vec<f64>,
    /// Row from which a column was reached.
    from: Vec<u32>,
    /// Columns whose distance is not infinite.
    touched: Vec<u32>,
}

impl Problem<'_> {
    /// Solves by shortest augmenting paths, one row after another.
    ///
    /// With n rows and m edges in a group the time is at most n m log m; a path ends where it costs more than a row without column,
    /// so that in practice it stays within a few objects.
    ///
    /// # Source
    /// Jonker & Volgenant 1987, Computing 38, 325, on a sparse graph, and with the way out for a row; margins: shortest paths in the
    /// residual graph (Ahuja, Magnanti & Orlin 1993, Network Flows, section 9).
    pub fn solve(&self) -> Assignment {
        let mut first_edge = vec![0u32; self.n_rows + 1];
        for edge in self.edges {
            first_edge[edge.0 as usize + 1] += 1;
        }
        for row in 0..self.n_rows {
            first_edge[row + 1] += first_edge[row];
        }
        let mut solver = Solver {
            problem: self,
            first_edge,
            u: vec![0.0; self.n_rows],
            v: vec![0.0; self.n_columns],
            column_of: vec![None; self.n_rows],
            row_of: vec![None; self.n_columns],
            distance: vec![f64::INFINITY; self.n_columns],
            from: vec![0; self.n_columns],
            touched: Vec::new(),
        };
        for row in 0..self.n_rows {
            solver.augment(row);
        }
        let margin = (0..self.n_rows).map(|row| solver.margin(row)).collect();
        Assignment { column: solver.column_of, margin }
    }
}

impl Solver<'_> {
    fn edges(&self, row: usize) -> &[(u32, u32, f64)] {
        &self.problem.edges[self.first_edge[row] as usize..self.first_edge[row + 1] as usize]
    }

    /// Puts the edges of a row that lies at `at` into the queue.
    fn relax(&mut self, row: usize, at: f64, without: Option<u32>, queue: &mut Queue) {
        for i in self.first_edge[row]..self.first_edge[row + 1] {
            let (_, column, cost) = self.problem.edges[i as usize];
            // Rounding may leave a reduced cost a little below zero.
            let distance = at + (cost - self.u[row] - self.v[column as usize]).max(0.0);
            if Some(column) != without && self.reach(column, distance, queue) {
                self.from[column as usize] = row as u32;
            }
        }
    }

    /// Puts a column into the queue if this way to it is shorter than those before.
    fn reach(&mut self, column: u32, distance: f64, queue: &mut Queue) -> bool {
        let known = &mut self.distance[column as usize];
        if distance >= *known {
            return false;
        }
        if known.is_infinite() {
            self.touched.push(column);
        }
        *known = distance;
        queue.push(Reverse((Distance(distance), column)));
        true
    }

    /// Gives `start` its place in the cheapest assignment of all rows up to it.
    fn augment(&mut self, start: usize) {
        let cheapest = self.edges(start).iter().map(|e| e.2 - self.v[e.1 as usize]).fold(self.problem.unmatched, f64::min);
        self.u[start] = cheapest;
        let mut queue = Queue::new();
        let mut settled: Vec<u32> = Vec::new();
        // Best way out so far: the row of the tree that would go without.
        let mut leaver = (self.problem.unmatched - self.u[start], start);
        self.relax(start, 0.0, None, &mut queue);
        let mut end: Option<u32> = None;
        while let Some(Reverse((Distance(at), column))) = queue.pop() {
            if at > self.distance[column as usize] {
                continue;
            }
            if at >= leaver.0 {
                break;
            }
            let Some(row) = self.row_of[column as usize] else {
                end = Some(column);
                break;
            };
            settled.push(column);
            let way_out = at + self.problem.unmatched - self.u[row as usize];
            if way_out < leaver.0 {
                leaver = (way_out, row as usize);
            }
            self.relax(row as usize, at, None, &mut queue);
        }
        let total = end.map_or(leaver.0, |column| self.distance[column as usize]);
        self.u[start] += total;
        for &column in &settled {
            let rest = (total - self.distance[column as usize]).max(0.0);
            self.v[column as usize] -= rest;
            let row = self.row_of[column as usize].expect("settled columns have rows");
            self.u[row as usize] += rest;
        }
        // Back along the path; each row hands its column on.
        let mut next = end.or_else(|| self.column_of[leaver.1].take());
        while let Some(column) = next {
            let row = self.from[column as usize] as usize;
            next = self.column_of[row].replace(column);
            self.row_of[column as usize] = Some(row as u32);
            if row == start {
                break;
            }
        }
        self.forget();
    }

    /// Ends a search.
    fn forget(&mut self) {
        for column in self.touched.drain(..) {
            self.distance[column as usize] = f64::INFINITY;
        }
    }

    /// See [`Assignment::margin`].
    fn margin(&mut self, row: usize) -> f64 {
        match self.column_of[row] {
            Some(column) => self.shortest(row, Some(column), Goal::Column(column)),
            None => self.shortest(row, None, Goal::Outside),
        }
    }

    /// Shortest path in the residual graph from a row to the goal: who else would have to change.
    fn shortest(&mut self, start: usize, without: Option<u32>, goal: Goal) -> f64 {
        let mut queue = Queue::new();
        // Outside: where left over columns end and from where any column may be given up.
        let mut outside = if without.is_some() { self.problem.unmatched - self.u[start] } else { f64::INFINITY };
        let mut outside_is_open = true;
        self.relax(start, 0.0, without, &mut queue);
        let found = loop {
            let next = queue.peek().map_or(f64::INFINITY, |q| q.0.0.0);
            if next.min(outside) >= MARGIN_CAP {
                break MARGIN_CAP;
            }
            if outside_is_open && outside <= next {
                if goal == Goal::Outside {
                    break outside;
                }
                outside_is_open = false;
                self.enter_from_outside(outside, &mut queue);
                outside = f64::INFINITY;
                continue;
            }
            let Some(Reverse((Distance(at), column))) = queue.pop() else { break MARGIN_CAP };
            if at > self.distance[column as usize] {
                continue;
            }
            if goal == Goal::Column(column) {
                break at;
            }
            let way_out = match self.row_of[column as usize] {
                Some(row) => {
                    self.relax(row as usize, at, None, &mut queue);
                    at + (self.problem.unmatched - self.u[row as usize]).max(0.0)
                }
                None => at,
            };
            if outside_is_open {
                outside = outside.min(way_out);
            }
        };
        self.forget();
        found
    }

    /// From outside every column can be given up by its row, and every row without column can take one.
    fn enter_from_outside(&mut self, at: f64, queue: &mut Queue) {
        for column in 0..self.v.len() {
            if self.row_of[column].is_some() {
                self.reach(column as u32, at - self.v[column], queue);
            }
        }
        for row in 0..self.u.len() {
            if self.column_of[row].is_none() {
                self.relax(row, at, None, queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom::random::keyed_rng;
    use rand::RngExt;

    const UNMATCHED: f64 = 20.0;

    /// All assignments of the rows from `row` on; calls back with total cost and columns.
    fn each(costs: &[Vec<Option<f64>>], row: usize, taken: &mut Vec<Option<u32>>, sum: f64, visit: &mut dyn FnMut(f64, &[Option<u32>])) {
        if row == costs.len() {
            return visit(sum, taken);
        }
        taken.push(None);
        each(costs, row + 1, taken, sum + UNMATCHED, visit);
        taken.pop();
        for (column, cost) in costs[row].iter().enumerate() {
            if let Some(cost) = cost.filter(|_| !taken.contains(&Some(column as u32))) {
                taken.push(Some(column as u32));
                each(costs, row + 1, taken, sum + cost, visit);
                taken.pop();
            }
        }
    }

    /// Cost and margins equal those of trying every assignment, on random sparse problems with negative costs.
    #[test]
    fn it_is_the_best_of_all_assignments() {
        for case in 0..400 {
            let mut rng = keyed_rng(4, "assignment", case, 0);
            let (n, m) = (1 + rng.random_range(0..5), 1 + rng.random_range(0..5));
            let share = rng.random::<f64>();
            let costs: Vec<Vec<Option<f64>>> = (0..n)
                .map(|_| (0..m).map(|_| (rng.random::<f64>() < share).then(|| -8.0 + 30.0 * rng.random::<f64>())).collect())
                .collect();
            let edges: Vec<(u32, u32, f64)> = (0..n)
                .flat_map(|r| costs[r].iter().enumerate().filter_map(move |(c, cost)| Some((r as u32, c as u32, (*cost)?))))
                .collect();
            let found = Problem { edges: &edges, n_rows: n, n_columns: m, unmatched: UNMATCHED }.solve();
            let mut all: Vec<(f64, Vec<Option<u32>>)> = Vec::new();
            each(&costs, 0, &mut Vec::new(), 0.0, &mut |sum, columns| all.push((sum, columns.to_vec())));
            let best = all.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert_eq!(found.column, best.1, "case {case}");
            for row in 0..n {
                let differs = |columns: &[Option<u32>]| match best.1[row] {
                    Some(column) => columns[row] != Some(column),
                    None => columns[row].is_some(),
                };
                let second = all.iter().filter(|a| differs(&a.1)).map(|a| a.0 - best.0).fold(MARGIN_CAP, f64::min);
                assert!((found.margin[row] - second).abs() < 1e-9, "case {case}, row {row}: {} {second}", found.margin[row]);
            }
        }
    }

    /// Two rows that want one column equally: whichever has it, nothing speaks for it.
    #[test]
    fn a_tie_has_no_margin() {
        let found = Problem { edges: &[(0, 0, 1.0), (1, 0, 1.0)], n_rows: 2, n_columns: 1, unmatched: UNMATCHED }.solve();
        assert_eq!((found.column, found.margin), (vec![Some(0), None], vec![0.0, 0.0]));
    }

    #[test]
    fn without_edges_nothing_is_matched() {
        let found = Problem { edges: &[], n_rows: 2, n_columns: 0, unmatched: UNMATCHED }.solve();
        assert_eq!((found.column, found.margin), (vec![None, None], vec![MARGIN_CAP; 2]));
    }
}

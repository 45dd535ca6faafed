//! Which of some numbered things belong together.

/// Disjoint sets of `0..n`; the root of a set is its smallest member.
pub(crate) struct DisjointSets(Vec<usize>);

impl DisjointSets {
    /// Everything by itself.
    pub fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    /// Smallest member of the set of `k`.
    pub fn root(&mut self, mut k: usize) -> usize {
        while self.0[k] != k {
            // Paths are halved, so that they stay short.
            self.0[k] = self.0[self.0[k]];
            k = self.0[k];
        }
        k
    }

    /// Makes one set of those of `a` and `b`.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_the_root() {
        let mut sets = DisjointSets::new(6);
        [(5, 3), (4, 2), (3, 2)].iter().for_each(|&(a, b)| sets.join(a, b));
        assert_eq!([0, 1, 2, 3, 4, 5].map(|k| sets.root(k)), [0, 1, 2, 2, 2, 2]);
    }
}

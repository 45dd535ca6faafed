//! Candidate pairs, and the connected groups that can be solved each on its own.

/// A pair within reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Index of the truth.
    pub truth: u32,
    /// Index of the detection.
    pub detection: u32,
    /// Cost as in [`super::likelihood::pair_cost`].
    pub cost: f64,
}

/// Truth objects of a group whose assignment is still solved as a whole; more are cut (see [`groups`]).
const LARGEST_GROUP: usize = 512;
/// Factor on the largest cost admitted each time that a group is too large.
const STRICTER: f64 = 0.7;

/// Connected groups of candidates, each sorted by (truth, detection), the groups by their first truth.
///
/// A group of more than [`LARGEST_GROUP`] truth objects (fields so crowded that the circles of reach percolate) loses its most
/// expensive pairs, those above 0.7, 0.49, ... of the range of costs, until what is left falls apart into groups small enough. So
/// time and memory stay bounded, and as a group is judged whole, any layout of patches cuts it in the same way.
pub(super) fn groups(mut candidates: Vec<Candidate>, highest_cost: f64) -> Vec<Vec<Candidate>> {
    candidates.retain(|c| c.cost < highest_cost);
    let mut out = Vec::new();
    let mut waiting = vec![(candidates, highest_cost)];
    while let Some((candidates, highest)) = waiting.pop() {
        for group in connected(candidates) {
            let n_truth = group.chunk_by(|a, b| a.truth == b.truth).count();
            if n_truth <= LARGEST_GROUP {
                out.push(group);
                continue;
            }
            let lowest = group.iter().map(|c| c.cost).fold(f64::INFINITY, f64::min);
            let limit = lowest + STRICTER * (highest - lowest);
            let kept: Vec<Candidate> = group.iter().copied().filter(|c| c.cost < limit).collect();
            if kept.is_empty() {
                // All cost the same: no order among them to cut by.
                out.push(group);
            } else {
                waiting.push((kept, limit));
            }
        }
    }
    out.sort_by_key(|g| (g[0].truth, g[0].detection));
    out
}

/// Splits into connected components by union-find over truth and detections.
fn connected(mut candidates: Vec<Candidate>) -> Vec<Vec<Candidate>> {
    let mut truths: Vec<u32> = candidates.iter().map(|c| c.truth).collect();
    let mut detections: Vec<u32> = candidates.iter().map(|c| c.detection).collect();
    for list in [&mut truths, &mut detections] {
        list.sort_unstable();
        list.dedup();
    }
    let node = |list: &[u32], id: u32| list.binary_search(&id).expect("listed above");
    let n = truths.len();
    let mut root: Vec<u32> = (0..(n + detections.len()) as u32).collect();
    for c in &candidates {
        let (a, b) = (find(&mut root, node(&truths, c.truth)), find(&mut root, n + node(&detections, c.detection)));
        // The lower node is the root: it is the group's first truth.
        root[a.max(b)] = a.min(b) as u32;
    }
    candidates.sort_by_cached_key(|c| (find(&mut root, node(&truths, c.truth)), c.truth, c.detection));
    candidates
        .chunk_by(|a, b| find(&mut root, node(&truths, a.truth)) == find(&mut root, node(&truths, b.truth)))
        .map(<[Candidate]>::to_vec)
        .collect()
}

fn find(root: &mut [u32], mut node: usize) -> usize {
    while root[node] as usize != node {
        root[node] = root[root[node] as usize];
        node = root[node] as usize;
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(truth: u32, detection: u32, cost: f64) -> Candidate {
        Candidate { truth, detection, cost }
    }

    #[test]
    fn groups_are_connected_and_sorted() {
        let pairs = [(5, 1), (2, 7), (9, 1), (2, 3), (4, 4)].map(|(t, d)| candidate(t, d, 1.0));
        let groups = groups(pairs.to_vec(), 20.0);
        let ids: Vec<Vec<(u32, u32)>> = groups.iter().map(|g| g.iter().map(|c| (c.truth, c.detection)).collect()).collect();
        assert_eq!(ids, [vec![(2, 3), (2, 7)], vec![(4, 4)], vec![(5, 1), (9, 1)]]);
    }

    /// A chain of 2000 truths, each with a sure detection and an expensive one to the next: cut at the expensive ones.
    #[test]
    fn a_group_without_end_is_cut_at_its_weakest_pairs() {
        let chain: Vec<Candidate> = (0..2000).flat_map(|i| [candidate(i, i, -5.0), candidate(i, i + 1, 18.0)]).collect();
        let groups = groups(chain, 20.0);
        assert_eq!(groups.len(), 2000);
        assert!(groups.iter().all(|g| g.len() == 1 && g[0].truth == g[0].detection));
    }
}

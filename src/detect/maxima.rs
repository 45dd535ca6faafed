//! Local maxima of a map above a floor, and the saddles by which they hang together.

use ndarray::ArrayView2;

/// Where two maxima join.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Join {
    /// Value at the saddle: the highest level at which a path leads to higher ground.
    pub height: f32,
    /// Pixel (row, column) of the saddle.
    pub at: (usize, usize),
    /// Pixel of the higher maximum reached there.
    pub higher: (usize, usize),
}

/// A local maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Maximum {
    /// Pixel (row, column).
    pub at: (usize, usize),
    /// Value.
    pub value: f32,
    /// Saddle to higher ground; none if no path above the floor leads there.
    pub join: Option<Join>,
}

const NONE: u32 = u32::MAX;

/// Dips of less than this share of the height are rounding of single-precision transforms.
const ROUNDING: f32 = 1e-5;

/// All maxima among the pixels with `is_above(index, value)`, in row-major order.
///
/// Pixels are taken in a total order, by value and then by position, and joined to their eight neighbours by union-find: a plateau, however
/// shaped, and a saturated core make one maximum. Sorting costs n log n of the pixels above the floor, the rest is near-linear.
///
/// # Arguments
/// * `map`: finite values, `[y, x]`; its outermost pixels are left out, so that every maximum has eight neighbours.
///
/// # Source
/// Join trees by union-find: Carr, Snoeyink & Axen 2003, Comput. Geom. 24, 75.
pub fn maxima(map: ArrayView2<f32>, is_above: impl Fn(usize, f32) -> bool) -> Vec<Maximum> {
    let (ny, nx) = map.dim();
    let map = map.as_standard_layout();
    let values = map.as_slice().expect("standard layout");
    let mut order: Vec<u64> = Vec::new();
    for j in 1..ny.saturating_sub(1) {
        let row = j * nx;
        for (i, &v) in values[row..row + nx].iter().enumerate().take(nx - 1).skip(1) {
            if is_above(row + i, v) {
                // Descending values, then rising positions; the bits of positive numbers order as they do.
                order.push(u64::from(!sortable(v)) << 32 | (row + i) as u64);
            }
        }
    }
    order.sort_unstable();
    let mut label = if order.is_empty() { Vec::new() } else { vec![NONE; values.len()] };
    let mut root: Vec<u32> = Vec::new();
    let mut found: Vec<Maximum> = Vec::new();
    let place = |p: usize| (p / nx, p % nx);
    for key in order {
        let p = (key & 0xffff_ffff) as usize;
        let (mut best, mut others) = (NONE, [NONE; 8]);
        let mut n_others = 0;
        for q in [p - nx - 1, p - nx, p - nx + 1, p - 1, p + 1, p + nx - 1, p + nx, p + nx + 1] {
            if label[q] == NONE {
                continue;
            }
            let r = find(&mut root, label[q]);
            if r == best || others[..n_others].contains(&r) {
                continue;
            }
            // Components are numbered from the highest maximum down.
            let lower = if best == NONE {
                best = r;
                continue;
            } else if r < best {
                std::mem::replace(&mut best, r)
            } else {
                r
            };
            others[n_others] = lower;
            n_others += 1;
        }
        if best == NONE {
            best = root.len() as u32;
            root.push(best);
            found.push(Maximum { at: place(p), value: values[p], join: None });
        }
        for &lower in &others[..n_others] {
            root[lower as usize] = best;
            found[lower as usize].join = Some(Join { height: values[p], at: place(p), higher: found[best as usize].at });
        }
        label[p] = best;
    }
    // Parts of one plateau met at its own height, but for rounding.
    found.retain(|m| m.join.is_none_or(|j| m.value - j.height > ROUNDING * m.value.abs()));
    found.sort_unstable_by_key(|m| m.at);
    found
}

fn sortable(v: f32) -> u32 {
    let bits = v.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn find(root: &mut [u32], mut i: u32) -> u32 {
    while root[i as usize] != i {
        root[i as usize] = root[root[i as usize] as usize];
        i = root[i as usize];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The obvious version: floods from a maximum in falling order until higher ground is met.
    fn flooded(map: &Array2<f32>, from: (usize, usize), floor: f32) -> Option<f32> {
        let (ny, nx) = map.dim();
        let (mut seen, mut border) = (BTreeSet::from([from]), vec![from]);
        let (mut level, top) = (map[from], map[from]);
        while let Some(k) = (0..border.len()).max_by(|&a, &b| map[border[a]].total_cmp(&map[border[b]])) {
            let (j, i) = border.swap_remove(k);
            level = level.min(map[[j, i]]);
            if map[[j, i]] > top {
                return Some(level);
            }
            for (dj, di) in (0..9).map(|k| (k / 3, k % 3)) {
                let next = (j + dj - 1, i + di - 1);
                let is_inside = next.0 >= 1 && next.0 < ny - 1 && next.1 >= 1 && next.1 < nx - 1;
                if is_inside && map[next] >= floor && seen.insert(next) {
                    border.push(next);
                }
            }
        }
        None
    }

    proptest! {
        /// Every regional maximum once, with the saddle that a flood finds; few values, so that plateaus abound.
        #[test]
        fn agrees_with_floods(values in prop::collection::vec(0u8..6, 12 * 10)) {
            let map = Array2::from_shape_vec((12, 10), values.into_iter().map(f32::from).collect()).unwrap();
            let found = maxima(map.view(), |_, v| v >= 2.0);
            for m in &found {
                // Ground of the same height counts as higher where it comes first: floods know only what is strictly higher.
                let strict = flooded(&map, m.at, 2.0);
                if let Some(join) = m.join {
                    prop_assert!(join.height < m.value);
                    if map[join.higher] > m.value {
                        prop_assert_eq!(Some(join.height), strict);
                    }
                } else {
                    prop_assert_eq!(strict, None);
                }
            }
            // Plateaus without higher ground beside them, by flood over equal values.
            let mut seen = BTreeSet::new();
            let mut n_plateaus = 0;
            for (j, i) in (1..11).flat_map(|j| (1..9).map(move |i| (j, i))) {
                if map[[j, i]] < 2.0 || seen.contains(&(j, i)) {
                    continue;
                }
                let (mut parts, mut is_peak) = (vec![(j, i)], true);
                seen.insert((j, i));
                while let Some((j, i)) = parts.pop() {
                    for next in (0..9).map(|k| (j + k / 3 - 1, i + k % 3 - 1)) {
                        if next.0 < 1 || next.0 > 10 || next.1 < 1 || next.1 > 8 {
                            continue;
                        }
                        is_peak &= map[next] <= map[[j, i]];
                        if map[next].total_cmp(&map[[j, i]]).is_eq() && seen.insert(next) {
                            parts.push(next);
                        }
                    }
                }
                n_plateaus += usize::from(is_peak);
            }
            prop_assert_eq!(found.len(), n_plateaus);
        }
    }

    /// Two peaks on a ridge: the lower one's saddle is the ridge's lowest point; below the floor they are apart.
    #[test]
    fn a_saddle_between_two_peaks() {
        let mut map = Array2::<f32>::zeros((7, 9));
        for (x, v) in [(2, 9.0), (3, 6.0), (4, 4.0), (5, 5.0), (6, 7.0)] {
            map[[3, x]] = v;
        }
        let found = maxima(map.view(), |_, v| v > 3.0);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Maximum { at: (3, 2), value: 9.0, join: None });
        assert_eq!(found[1].join, Some(Join { height: 4.0, at: (3, 4), higher: (3, 2) }));
        assert!(maxima(map.view(), |_, v| v > 4.5).iter().all(|m| m.join.is_none()));
        assert!(maxima(Array2::zeros((2, 2)).view(), |_, _| true).is_empty());
    }

    /// 10⁵ maxima in one connected region: each has its saddle.
    #[test]
    fn a_hundred_thousand_peaks_in_one_region() {
        const SIDE: usize = 660;
        let height = |j: usize, i: usize| 10.0 + ((j * 7919 + i * 104_729) % 1000) as f32 / 1000.0;
        let map = Array2::from_shape_fn((SIDE, SIDE), |(j, i)| if j % 2 == 1 && i % 2 == 1 { height(j, i) } else { 5.0 });
        let found = maxima(map.view(), |_, v| v > 4.0);
        assert!(found.len() > 100_000, "{}", found.len());
        assert_eq!(found.iter().filter(|m| m.join.is_none()).count(), 1);
    }
}

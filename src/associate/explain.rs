//! Which peaks of a parent are objects: those that the light of the others does not explain.
//!
//! In band b a peak is the height of a matched filter, ν_b = F_b/σ_b, and looks like a Gaussian of its template's width. Templates i and j at a
//! distance d overlap by
//!
//! R_ij = 2 s_i s_j / (s_i² + s_j²) exp(-d² / (2 (s_i² + s_j²))),
//!
//! so that objects N of heights ν have amplitudes R⁻¹ν, and make of a place p whose overlaps with them are r the height r R⁻¹ ν. What a peak has beyond
//! that has the variance 1 - r R⁻¹ r of noise, and that of the templates' errors: a share of what is predicted, and of the wings that bright stars and
//! galaxies have where a Gaussian has ended. The significance of the rest, over all non-negative SEDs, is
//! T² = Σ_b max(rest_b, 0)²/variance_b; [`Prior`] gives its odds.
//!
//! Peaks are chosen from the sharpest layer to the broadest, the highest first: one that the objects so far do not explain, or none of them touches, is a
//! new object, or, where
//! it is the same as one of them and higher, shows that its template is too sharp, and lends it its own (a star has wings that no Gaussian has, and is
//! still highest in the sharpest layer); the place stays that of the sharper layer, which neighbours disturb less. Then those that the others explain after all are dropped, the worst
//! first. So several sharp peaks stand for the broad one between them, and a broad one for the noise on top of it.

use super::outcome::{Outcome, Role};
use super::prior::Prior;
use crate::footprint::Peak;
use nalgebra::{Cholesky, DMatrix, DVector};
use rstar::RTree;
use rstar::primitives::GeomWithData;
use std::collections::BTreeSet;

/// Overlaps below this do not count,
const MIN_OVERLAP: f64 = 0.02;
/// nor do those beyond so many neighbours, the nearest first.
const MAX_NEIGHBOURS: usize = 12;
/// Least variance of what is left: two templates on top of each other would have none.
const MIN_VARIANCE: f64 = 0.05;
/// Keeps R away from singular.
const RIDGE: f64 = 1e-3;
/// Relative error of a flux in another template: gradients of colour, and neighbours whose light only the broader one takes.
const COLOUR_ERROR: f64 = 0.2;
/// Objects above this have wings that count wherever they are \[sigma\]:
const BRIGHT: f64 = 50.0;
/// those of a template that falls as (1 + d²/(2 β s²))^-β, as stars and galaxies do, where a Gaussian has ended.
const WING_SLOPE: f64 = 2.0;
/// An error below this is none \[sigma\].
const NO_DOUBT: f64 = 0.5;
/// Share of what is predicted from which on a neighbour is named as explaining it.
const MIN_SHARE: f64 = 0.1;

/// What is known of the layers and the field.
pub(super) struct Field<'a> {
    /// s of every layer's template \[pixel\].
    pub widths_px: &'a [f64],
    /// For every layer, the layers of single bands with its template; empty without.
    pub bands_of: &'a [Vec<usize>],
    pub prior: &'a Prior,
    /// Relative error of a template.
    pub model_error: f64,
    /// Error of positions beyond noise, as a share of the template's width.
    pub position_error: f64,
    /// Layers from this on are lists of known sources: objects, whatever explains them.
    pub first_known: u16,
}

/// Roles of the peaks of one parent, in their order.
pub(super) fn explain(peaks: &[Peak], field: &Field) -> Vec<Outcome> {
    let mut scene = Scene::new(peaks, field);
    let sharpest = field.widths_px.iter().copied().fold(f64::INFINITY, f64::min);
    // Layers that are about as sharp, as those of several bands are, count as one.
    let class = |p: &Peak| if scene.is_known(p) { i64::MIN } else { (2.0 * (scene.layer_width(p.layer) / sharpest).log2()).round() as i64 };
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|&a, &b| {
        let (p, q) = (&peaks[a], &peaks[b]);
        class(p).cmp(&class(q)).then(q.significance.total_cmp(&p.significance)).then(key(p).cmp(&key(q)))
    });
    let mut is_object = vec![false; peaks.len()];
    for &p in &order {
        let near = scene.neighbours(p, &is_object);
        if scene.is_known(&peaks[p]) {
            is_object[p] = true;
        } else if scene.is_alone(p, &near) || scene.log_odds(p, &near) > 0.0 {
            match scene.same(p, &near) {
                Some(object) if scene.height(p) > scene.height(scene.stand_in[object]) => scene.stand_in[object] = p,
                Some(_) => {}
                None => {
                    is_object[p] = true;
                    if scene.height(p) > BRIGHT {
                        scene.bright.push(p);
                    }
                }
            }
        }
    }
    drop_explained(&mut scene, &mut is_object);
    (0..peaks.len()).map(|p| scene.explained(p, &is_object)).collect()
}

/// Takes out objects that the others explain, the least significant first, until all have odds above one.
fn drop_explained(scene: &mut Scene, is_object: &mut [bool]) {
    let odds = |scene: &Scene, p: usize, is_object: &[bool]| {
        let (near, shown) = (scene.neighbours(p, is_object), scene.stand_in[p]);
        if scene.is_alone(shown, &near) { f64::INFINITY } else { scene.log_odds(shown, &near) }
    };
    let removable = |scene: &Scene, p: usize| !scene.is_known(&scene.peaks[p]);
    let objects: Vec<usize> = (0..is_object.len()).filter(|&p| is_object[p] && removable(scene, p)).collect();
    let mut current = vec![f64::INFINITY; is_object.len()];
    let mut queue: BTreeSet<(i64, usize)> = BTreeSet::new();
    for &p in &objects {
        current[p] = odds(scene, p, is_object);
        queue.insert((ordered(current[p]), p));
    }
    while let Some((_, worst)) = queue.pop_first() {
        if current[worst] > 0.0 {
            break;
        }
        is_object[worst] = false;
        scene.bright.retain(|p| *p != worst);
        for p in scene.neighbours(worst, is_object).into_iter().filter(|&p| removable(scene, p)) {
            queue.remove(&(ordered(current[p]), p));
            current[p] = odds(scene, p, is_object);
            queue.insert((ordered(current[p]), p));
        }
    }
}

/// Integers in the order of the numbers.
fn ordered(v: f64) -> i64 {
    let bits = v.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn key(p: &Peak) -> (u16, i32, i32) {
    (p.layer, p.pixel.1, p.pixel.0)
}

struct Scene<'a> {
    peaks: &'a [Peak],
    field: &'a Field<'a>,
    /// ν by band.
    heights: Vec<Vec<f64>>,
    /// The band of a layer of one band, whose peaks have no other witness: in the other bands there is none.
    own_band: Vec<Option<usize>>,
    /// Width of each peak's template \[pixel\].
    templates_px: Vec<f64>,
    /// For an object, the peak whose template and heights are its own.
    stand_in: Vec<usize>,
    /// Objects so far that are bright.
    bright: Vec<usize>,
    tree: RTree<GeomWithData<[f64; 2], usize>>,
    /// Beyond this no two templates overlap \[pixel\].
    reach_px: f64,
}

impl<'a> Scene<'a> {
    fn new(peaks: &'a [Peak], field: &'a Field) -> Self {
        let bands = |p: &Peak| field.bands_of.get(usize::from(p.layer)).filter(|b| !b.is_empty() && !p.layer_significance.is_empty());
        let heights = |p: &Peak| match bands(p) {
            Some(bands) => bands.iter().map(|&l| f64::from(p.layer_significance[l])).collect(),
            None => p.flux_njy.iter().zip(&p.flux_err_njy).map(|(f, e)| f64::from(*f) / f64::from(*e)).collect(),
        };
        // Without layers of single bands there are the fluxes, which are those of the best template.
        let layer = |p: &Peak| usize::from(if bands(p).is_some() { p.layer } else { p.best_layer });
        let width = |p: &Peak| field.widths_px.get(layer(p)).copied().unwrap_or(field.widths_px[0]);
        let tree = RTree::bulk_load(peaks.iter().enumerate().map(|(i, p)| GeomWithData::new([p.at.x, p.at.y], i)).collect());
        let widest = field.widths_px.iter().copied().fold(0.0, f64::max);
        let reach_px = 2.0 * widest * (-MIN_OVERLAP.ln()).sqrt();
        let own_band = |p: &Peak| bands(p).and_then(|bands| bands.iter().position(|&l| l == usize::from(p.layer)));
        Self {
            heights: peaks.iter().map(heights).collect(),
            own_band: peaks.iter().map(own_band).collect(),
            templates_px: peaks.iter().map(width).collect(),
            stand_in: (0..peaks.len()).collect(),
            bright: Vec::new(),
            peaks,
            field,
            tree,
            reach_px,
        }
    }

    fn layer_width(&self, layer: u16) -> f64 {
        self.field.widths_px.get(usize::from(layer)).copied().unwrap_or(self.field.widths_px[0])
    }

    /// Bands that speak for a peak, and its heights in them.
    fn witnesses(&self, p: usize) -> impl Iterator<Item = (usize, f64)> {
        let own = self.own_band[p];
        let all = self.heights[p].iter().copied().enumerate();
        all.filter(move |(b, h)| h.is_finite() && own.is_none_or(|own| own == *b))
    }

    /// Significance over all bands.
    fn height(&self, p: usize) -> f64 {
        self.heights[p].iter().filter(|h| h.is_finite()).map(|h| h.max(0.0).powi(2)).sum::<f64>().sqrt()
    }

    fn is_known(&self, p: &Peak) -> bool {
        p.layer >= self.field.first_known
    }

    fn distance_sq(&self, p: usize, q: usize) -> f64 {
        let (a, b) = (self.peaks[p].at, self.peaks[q].at);
        (a.x - b.x).powi(2) + (a.y - b.y).powi(2)
    }

    /// R of two peaks.
    fn overlap(&self, p: usize, q: usize) -> f64 {
        let [s, t] = [p, q].map(|p| self.templates_px[p]);
        let sum = s * s + t * t;
        2.0 * s * t / sum * (-self.distance_sq(p, q) / (2.0 * sum)).exp()
    }

    /// Nothing else has light there: that it is an object its layer's threshold has decided, and with it the rate of false ones.
    fn is_alone(&self, p: usize, near: &[usize]) -> bool {
        near.is_empty() && self.wings(p).iter().all(|w| self.field.model_error * w < NO_DOUBT)
    }

    /// What the bright objects' wings may make of the height of `p` in each band, at most.
    fn wings(&self, p: usize) -> Vec<f64> {
        let mut sums = vec![0.0; self.heights[p].len()];
        for &q in self.bright.iter().filter(|&&q| q != p && self.stand_in[q] != p) {
            let [s, t] = [p, self.stand_in[q]].map(|p| self.templates_px[p]);
            let sum = s * s + t * t;
            let wing = 2.0 * s * t / sum * (1.0 + self.distance_sq(p, q) / (2.0 * WING_SLOPE * sum)).powf(-WING_SLOPE);
            for (sum, height) in sums.iter_mut().zip(&self.heights[self.stand_in[q]]) {
                *sum += if height.is_finite() { wing * height.max(0.0) } else { 0.0 };
            }
        }
        sums
    }

    /// Objects other than `p` that overlap with it, those that do most first.
    fn neighbours(&self, p: usize, is_object: &[bool]) -> Vec<usize> {
        let at = [self.peaks[p].at.x, self.peaks[p].at.y];
        let near = self.tree.locate_within_distance(at, self.reach_px * self.reach_px).map(|n| n.data);
        let mut near: Vec<(f64, usize)> = near
            .filter(|&q| q != p && is_object[q])
            .map(|q| (self.overlap(p, self.stand_in[q]), q))
            .filter(|(r, _)| *r > MIN_OVERLAP)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        near.truncate(MAX_NEIGHBOURS);
        near.into_iter().map(|(_, q)| q).collect()
    }

    /// w = R⁻¹ r and the variance 1 - r·w of what is left at `p`.
    fn weights(&self, p: usize, near: &[usize]) -> (DVector<f64>, f64) {
        let near: Vec<usize> = near.iter().map(|&q| self.stand_in[q]).collect();
        let r = DVector::from_iterator(near.len(), near.iter().map(|&q| self.overlap(p, q)));
        let overlaps = DMatrix::from_fn(near.len(), near.len(), |i, j| if i == j { 1.0 + RIDGE } else { self.overlap(near[i], near[j]) });
        // Gaussians overlap by a positive matrix; should rounding undo that, nothing is explained by the furthest.
        match Cholesky::new(overlaps) {
            Some(factor) => {
                let w = factor.solve(&r);
                let left = 1.0 - r.dot(&w);
                (w, left.max(MIN_VARIANCE))
            }
            None => self.weights_of_first(r),
        }
    }

    fn weights_of_first(&self, mut r: DVector<f64>) -> (DVector<f64>, f64) {
        let first = r[0];
        r.fill(0.0);
        r[0] = first;
        (r, (1.0 - first * first).max(MIN_VARIANCE))
    }

    /// Significance of what the objects `near` leave of `p`.
    fn conditional(&self, p: usize, near: &[usize]) -> f64 {
        let finite = |v: f64| if v.is_finite() { v } else { 0.0 };
        if self.heights[p].is_empty() {
            return self.peaks[p].significance;
        }
        let (w, variance) = if near.is_empty() { (DVector::zeros(0), 1.0) } else { self.weights(p, near) };
        let wings = self.wings(p);
        let mut sum = 0.0;
        for (b, height) in self.witnesses(p) {
            let height_of = |q: usize| finite(self.heights[self.stand_in[q]].get(b).copied().unwrap_or(0.0));
            // Light only adds: a weight may be negative, what all make together is not.
            let predicted = near.iter().zip(w.iter()).map(|(&q, w)| w * height_of(q)).sum::<f64>().max(0.0);
            let rest = (height - predicted).max(0.0);
            sum += rest * rest / (variance + (self.field.model_error * predicted.max(wings[b])).powi(2));
        }
        // Neighbours never make a peak more significant than it is alone.
        let alone = self.witnesses(p).map(|(_, h)| h.max(0.0).powi(2)).sum::<f64>();
        sum.min(alone).sqrt()
    }

    fn log_odds(&self, p: usize, near: &[usize]) -> f64 {
        let n_bands = self.witnesses(p).count().max(1);
        self.field.prior.log_odds(self.conditional(p, near), n_bands)
    }

    /// The object that a peak is most likely the same as, if that is likelier than another object there.
    fn same(&self, p: usize, near: &[usize]) -> Option<usize> {
        let all = near.iter().map(|&o| (self.log_same(p, o), o)).filter(|(log_same, _)| *log_same > 0.0);
        all.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map(|(_, o)| o)
    }

    /// ln of the likelihood that two peaks are one object seen in two layers, over that of a second object there: by position and colour.
    fn log_same(&self, p: usize, o: usize) -> f64 {
        let (a, b) = (&self.peaks[p], &self.peaks[o]);
        if a.layer == b.layer || a.layer == self.peaks[self.stand_in[o]].layer && self.stand_in[o] != p {
            return f64::NEG_INFINITY;
        }
        let [ca, cb] = [a, b].map(|p| self.covariance(p));
        let floor = self.field.position_error * self.layer_width(a.layer).max(self.layer_width(b.layer));
        let (xx, xy, yy) = (ca[0] + cb[0] + floor * floor, ca[1] + cb[1], ca[2] + cb[2] + floor * floor);
        let det = xx * yy - xy * xy;
        let (dx, dy) = (a.at.x - b.at.x, a.at.y - b.at.y);
        let chi2 = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / det;
        let density = self.field.prior.density_per_px2;
        -0.5 * (chi2 + self.colour_chi2(p, o)) - (std::f64::consts::TAU * det.sqrt() * density).ln()
    }

    /// Position covariance of a peak; where the curvature gave none, that of its template's width.
    fn covariance(&self, p: &Peak) -> [f64; 3] {
        let c = p.covariance_px2.map(f64::from);
        if c.iter().all(|v| v.is_finite()) {
            return c;
        }
        let v = (self.layer_width(p.layer) / p.significance.max(1.0)).powi(2);
        [v, 0.0, v]
    }

    /// How far the fluxes differ by more than a factor: noise and the templates' errors.
    fn colour_chi2(&self, p: usize, o: usize) -> f64 {
        let fluxes = |p: &'a Peak| p.flux_njy.iter().zip(&p.flux_err_njy).map(|(f, e)| (f64::from(*f), f64::from(*e)));
        let pairs: Vec<_> =
            fluxes(&self.peaks[p]).zip(fluxes(&self.peaks[o])).filter(|((f, e), (g, h))| (f + e + g + h).is_finite()).collect();
        let weighted = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|((f, e), (g, _))| of(*f, *g) / (e * e)).sum::<f64>();
        let own = weighted(&|_, g| g * g);
        if own <= 0.0 {
            return 0.0;
        }
        let scale = weighted(&|f, g| f * g) / own;
        let term = |((f, e), (g, h)): &((f64, f64), (f64, f64))| {
            let variance = e * e + (scale * h).powi(2) + (COLOUR_ERROR * f).powi(2);
            (f - scale * g).powi(2) / variance
        };
        pairs.iter().map(term).sum()
    }

    fn explained(&self, p: usize, is_object: &[bool]) -> Outcome {
        let near = self.neighbours(p, is_object);
        let shown = if is_object[p] { self.stand_in[p] } else { p };
        let (conditional, log_odds) = (self.conditional(shown, &near), self.log_odds(shown, &near));
        let stands_for = || near.iter().copied().find(|&o| self.stand_in[o] == p);
        let role = if is_object[p] {
            Role::Object
        } else if let Some(o) = stands_for() {
            Role::SameAs(o)
        } else {
            // What several objects make together is none of them.
            let by = self.explaining(p, &near, is_object);
            match (by.as_slice(), self.same(p, &near)) {
                ([one], Some(o)) if *one == o => Role::SameAs(o),
                // Not explained, and yet no object: it was taken for one of them.
                (_, Some(o)) if log_odds > 0.0 => Role::SameAs(o),
                _ => Role::ExplainedBy(by),
            }
        };
        Outcome { role, conditional, log_odds }
    }

    /// Objects that make what is predicted at `p`, the largest part first; the nearest object where none overlaps.
    fn explaining(&self, p: usize, near: &[usize], is_object: &[bool]) -> Vec<usize> {
        let mut parts: Vec<(f64, usize)> = Vec::new();
        if !near.is_empty() {
            let (w, _) = self.weights(p, near);
            parts = near.iter().zip(w.iter()).map(|(&q, w)| (w.abs() * self.height(self.stand_in[q]), q)).collect();
        }
        let total: f64 = parts.iter().map(|(part, _)| part).sum();
        parts.retain(|(part, _)| *part >= MIN_SHARE * total);
        parts.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if !parts.is_empty() {
            return parts.into_iter().map(|(_, q)| q).collect();
        }
        let at = [self.peaks[p].at.x, self.peaks[p].at.y];
        let nearest = self.tree.nearest_neighbor_iter(&at).map(|n| n.data).find(|&q| is_object[q]);
        nearest.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PixelPoint;

    /// Layers of points and of templates twice and four times as broad; those of their two bands follow, 3 to 8.
    const WIDTHS: [f64; 3] = [1.5, 3.0, 6.0];

    fn overlap(s: f64, t: f64, d: f64) -> f64 {
        2.0 * s * t / (s * s + t * t) * (-d * d / (2.0 * (s * s + t * t))).exp()
    }

    /// Peaks of a scene without noise: for every (layer, x, y) the heights that sources (x, y, width, ν by band) make there.
    fn peaks(sources: &[(f64, f64, f64, [f64; 2])], places: &[(u16, f64, f64)]) -> Vec<Peak> {
        let of = |&(layer, x, y): &(u16, f64, f64)| {
            let height = |b: usize, width: f64| sources.iter().map(|s| s.3[b] * overlap(s.2, width, (s.0 - x).hypot(s.1 - y))).sum::<f64>();
            let total = |layer: usize| height(0, WIDTHS[layer]).hypot(height(1, WIDTHS[layer]));
            let best = (0..3).max_by(|&a, &b| total(a).total_cmp(&total(b))).unwrap();
            let significance = total(usize::from(layer));
            let mut peak = Peak::bare(PixelPoint::new(x, y), significance, layer);
            let variance = (WIDTHS[usize::from(layer)] / significance).powi(2) as f32;
            peak.covariance_px2 = [variance, 0.0, variance];
            peak.best_layer = best as u16;
            peak.flux_njy = [0, 1].map(|b| height(b, WIDTHS[best]) as f32).to_vec();
            peak.flux_err_njy = vec![1.0; 2];
            let of_bands = WIDTHS.iter().flat_map(|&w| [height(0, w) as f32, height(1, w) as f32]);
            peak.layer_significance = [f32::NAN; 3].into_iter().chain(of_bands).collect();
            peak
        };
        places.iter().map(of).collect()
    }

    fn roles(peaks: &[Peak]) -> Vec<Role> {
        let prior = Prior { density_per_px2: 3e-4, per_sigma_per_px2: 6e-5, l2_per_px2: 0.2, n_layers: 3 };
        let bands_of = [0, 1, 2, 0, 0, 1, 1, 2, 2].map(|w| vec![3 + 2 * w, 4 + 2 * w]);
        let field = Field { widths_px: &WIDTHS, bands_of: &bands_of, prior: &prior, model_error: 0.1, position_error: 0.1, first_known: 9 };
        explain(peaks, &field).into_iter().map(|e| e.role).collect()
    }

    /// One point source, seen in three layers at nearly one place: one object.
    #[test]
    fn layers_of_one_source_are_one_object() {
        let star = [(50.0, 50.0, 1.5, [30.0, 20.0])];
        let found = roles(&peaks(&star, &[(2, 50.3, 49.9), (0, 50.0, 50.0), (1, 50.1, 50.0)]));
        assert_eq!(found, [Role::SameAs(1), Role::Object, Role::SameAs(1)]);
    }

    /// Two stars that the point layer resolves and the broad one sees as one peak between: two objects, which explain it together.
    #[test]
    fn a_broad_peak_may_be_two_sharp_ones() {
        let pair = [(50.0, 50.0, 1.5, [100.0, 80.0]), (54.0, 50.0, 1.5, [90.0, 100.0])];
        let found = roles(&peaks(&pair, &[(0, 50.0, 50.0), (0, 54.0, 50.0), (2, 52.0, 50.0)]));
        assert_eq!(found[..2], [Role::Object, Role::Object]);
        let Role::ExplainedBy(by) = &found[2] else { panic!("{found:?}") };
        assert_eq!(
            {
                let mut by = by.clone();
                by.sort_unstable();
                by
            },
            [0, 1]
        );
    }

    /// Noise on top of a broad faint galaxy is no object; a faint star beside a bright one is, and what is only its wing is not.
    #[test]
    fn noise_on_a_galaxy_and_a_star_in_a_wing() {
        let galaxy = [(50.0, 50.0, 6.0, [15.0, 15.0])];
        let mut on_galaxy = peaks(&galaxy, &[(0, 47.0, 52.0), (2, 50.0, 50.0)]);
        // A bump of 2 σ.
        on_galaxy[0].layer_significance[3..5].iter_mut().for_each(|h| *h += 1.4);
        assert_eq!(roles(&on_galaxy), [Role::ExplainedBy(vec![1]), Role::Object]);
        let beside = [(50.0, 50.0, 1.5, [200.0, 200.0]), (53.5, 50.0, 1.5, [30.0, 30.0])];
        assert_eq!(roles(&peaks(&beside, &[(0, 50.0, 50.0), (0, 53.5, 50.0)])), [Role::Object, Role::Object]);
        let alone = [(50.0, 50.0, 1.5, [200.0, 200.0])];
        assert_eq!(roles(&peaks(&alone, &[(0, 50.0, 50.0), (1, 53.5, 50.0)]))[1], Role::ExplainedBy(vec![0]));
    }

    /// A star with wings that no template has, 6 σ more than expected in the broad layer where it is lower: keeps its own template, and a neighbour
    /// beyond, which the broad one would explain, stays an object.
    #[test]
    fn a_star_with_wings_keeps_its_template() {
        let pair = [(50.0, 50.0, 1.5, [800.0, 800.0]), (59.0, 50.0, 1.5, [40.0, 40.0])];
        let mut all = peaks(&pair, &[(0, 50.0, 50.0), (0, 59.0, 50.0), (2, 50.2, 50.0)]);
        all[2].layer_significance[7..].iter_mut().for_each(|h| *h += 100.0);
        let found = roles(&all);
        assert_eq!(found, [Role::Object, Role::Object, Role::SameAs(0)]);
    }

    /// Beside two objects whose weights have opposite signs a peak is no more than it is alone.
    #[test]
    fn neighbours_make_no_peak_more_significant() {
        let row = [(50.0, 50.0, 6.0, [300.0, 300.0]), (56.0, 50.0, 1.5, [60.0, 60.0])];
        let mut all = peaks(&row, &[(2, 50.0, 50.0), (0, 56.0, 50.0), (0, 53.0, 50.0)]);
        all[2].layer_significance[3..5].iter_mut().for_each(|h| *h = 3.0);
        let prior = Prior { density_per_px2: 3e-4, per_sigma_per_px2: 6e-5, l2_per_px2: 0.2, n_layers: 3 };
        let bands_of = [0, 1, 2, 0, 0, 1, 1, 2, 2].map(|w| vec![3 + 2 * w, 4 + 2 * w]);
        let field = Field { widths_px: &WIDTHS, bands_of: &bands_of, prior: &prior, model_error: 0.1, position_error: 0.1, first_known: 9 };
        assert!(explain(&all, &field).iter().zip(&all).all(|(e, p)| e.conditional
            <= p.layer_significance[3..5].iter().map(|h| f64::from(*h)).fold(0.0, f64::hypot).max(p.significance) + 1e-9));
    }

    /// A peak of one band has that band's evidence only: what the other has there is no peak.
    #[test]
    fn one_band_speaks_for_itself() {
        let pair = [(50.0, 50.0, 1.5, [3.0, 20.0]), (54.0, 50.0, 1.5, [60.0, 60.0])];
        let mut found = peaks(&pair, &[(0, 50.0, 50.0), (0, 54.0, 50.0)]);
        assert_eq!(roles(&found), [Role::Object, Role::Object]);
        found[0].layer = 3;
        assert_eq!(roles(&found)[0], Role::ExplainedBy(vec![1]));
        // Alone it is what its layer's threshold took it for.
        assert_eq!(roles(&found[..1]), [Role::Object]);
    }

    /// A known source stays an object, whatever explains it, and takes over what is seen at its place.
    #[test]
    fn known_sources_stay() {
        let star = [(50.0, 50.0, 1.5, [30.0, 20.0])];
        let mut all = peaks(&star, &[(0, 50.0, 50.0)]);
        all.push(Peak { covariance_px2: [1e-4, 0.0, 1e-4], ..Peak::bare(PixelPoint::new(50.05, 50.0), 0.0, 9) });
        all.push(Peak { covariance_px2: [1e-4, 0.0, 1e-4], ..Peak::bare(PixelPoint::new(58.0, 50.0), 0.0, 9) });
        assert_eq!(roles(&all), [Role::SameAs(1), Role::Object, Role::Object]);
    }

    #[test]
    fn numbers_keep_their_order() {
        let mut values = [3.0, -2.0, 0.0, f64::INFINITY, -1e9, 1e-300, f64::NEG_INFINITY];
        values.sort_by_key(|v| ordered(*v));
        assert!(values.windows(2).all(|w| w[0] <= w[1]), "{values:?}");
    }
}

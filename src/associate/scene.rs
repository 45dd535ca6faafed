//! The peaks of one parent, and what objects among them make of each other's places.
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

use super::prior::Prior;
use crate::footprint::Peak;
use nalgebra::{Cholesky, DMatrix, DVector};
use rstar::RTree;
use rstar::primitives::GeomWithData;

/// Overlaps below this do not count,
const MIN_OVERLAP: f64 = 0.02;
/// nor do those beyond so many neighbours, the nearest first.
const MAX_NEIGHBOURS: usize = 12;
/// Least variance of what is left: two templates on top of each other would have none.
pub(super) const MIN_VARIANCE: f64 = 0.05;
/// Keeps R away from singular.
pub(super) const RIDGE: f64 = 1e-3;
/// Relative error of a flux in another template: gradients of colour, and neighbours whose light only the broader one takes.
const COLOUR_ERROR: f64 = 0.2;
/// Objects above this have wings that count wherever they are \[sigma\]:
pub(super) const BRIGHT: f64 = 50.0;
/// those of a template that falls as (1 + d²/(2 β s²))^-β, as stars and galaxies do, where a Gaussian has ended.
pub(super) const WING_SLOPE: f64 = 2.0;
/// An error below this is none \[sigma\].
const NO_DOUBT: f64 = 0.5;

/// What is known of the layers and the field.
pub(super) struct Field<'a> {
    /// s of every layer's template \[pixel\].
    pub widths_px: &'a [f64],
    /// For every layer, the layers of single bands with its template; empty without.
    pub bands_of: &'a [Vec<usize>],
    /// For every layer, from the next broader template on, the layers of single bands with that template.
    pub broader: &'a [Vec<Vec<usize>>],
    /// Area of every layer's filter \[pixel²\].
    pub areas_px2: &'a [f64],
    pub prior: &'a Prior,
    /// Relative error of a template.
    pub model_error: f64,
    /// Error of positions beyond noise, as a share of the template's width.
    pub position_error: f64,
    /// Layers from this on are lists of known sources: objects, whatever explains them.
    pub first_known: u16,
}

/// The peaks, and which of them lend their templates to objects.
pub(super) struct Scene<'a> {
    pub peaks: &'a [Peak],
    pub field: &'a Field<'a>,
    /// ν by band.
    pub heights: Vec<Vec<f64>>,
    /// The band of a layer of one band, whose peaks have no other witness: in the other bands there is none.
    pub own_band: Vec<Option<usize>>,
    /// Width of each peak's template \[pixel\].
    pub templates_px: Vec<f64>,
    /// For an object, the peak whose template and heights are its own.
    pub stand_in: Vec<usize>,
    /// Objects so far that are bright.
    pub bright: Vec<usize>,
    tree: RTree<GeomWithData<[f64; 2], usize>>,
    /// Beyond this no two templates overlap \[pixel\].
    reach_px: f64,
}

impl<'a> Scene<'a> {
    pub fn new(peaks: &'a [Peak], field: &'a Field) -> Self {
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

    pub fn layer_width(&self, layer: u16) -> f64 {
        self.field.widths_px.get(usize::from(layer)).copied().unwrap_or(self.field.widths_px[0])
    }

    /// Bands that speak for a peak, and its heights in them.
    pub fn witnesses(&self, p: usize) -> impl Iterator<Item = (usize, f64)> {
        let own = self.own_band[p];
        let all = self.heights[p].iter().copied().enumerate();
        all.filter(move |(b, h)| h.is_finite() && own.is_none_or(|own| own == *b))
    }

    /// Significance over all bands.
    pub fn height(&self, p: usize) -> f64 {
        self.heights[p].iter().filter(|h| h.is_finite()).map(|h| h.max(0.0).powi(2)).sum::<f64>().sqrt()
    }

    pub fn is_known(&self, p: &Peak) -> bool {
        p.layer >= self.field.first_known
    }

    pub fn distance_sq(&self, p: usize, q: usize) -> f64 {
        let (a, b) = (self.peaks[p].at, self.peaks[q].at);
        (a.x - b.x).powi(2) + (a.y - b.y).powi(2)
    }

    /// R of two peaks.
    pub fn overlap(&self, p: usize, q: usize) -> f64 {
        overlap(self.templates_px[p], self.templates_px[q], self.distance_sq(p, q))
    }

    /// Nothing else has light there: that it is an object its layer's threshold has decided, and with it the rate of false ones.
    pub fn is_alone(&self, p: usize, near: &[usize]) -> bool {
        near.is_empty() && self.wings(self.stand_in[p]).iter().all(|w| self.field.model_error * w < NO_DOUBT)
    }

    /// What the bright objects' wings may make of the height of `p` in each band, at most.
    pub fn wings(&self, p: usize) -> Vec<f64> {
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
    pub fn neighbours(&self, p: usize, is_object: &[bool]) -> Vec<usize> {
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

    /// The nearest object.
    pub fn nearest(&self, p: usize, is_object: &[bool]) -> Option<usize> {
        let at = [self.peaks[p].at.x, self.peaks[p].at.y];
        self.tree.nearest_neighbor_iter(&at).map(|n| n.data).find(|&q| is_object[q])
    }

    /// w = R⁻¹ r and the variance 1 - r·w of what is left at `p`.
    pub fn weights(&self, p: usize, near: &[usize]) -> (DVector<f64>, f64) {
        let (r, w) = self.weights_in(p, self.templates_px[p], near);
        let left = 1.0 - r.dot(&w);
        (w, left.max(MIN_VARIANCE))
    }

    /// Overlaps r of the objects `near` with a template of width `s` at `p`, and R⁻¹ r.
    pub fn weights_in(&self, p: usize, s: f64, near: &[usize]) -> (DVector<f64>, DVector<f64>) {
        if near.is_empty() {
            return (DVector::zeros(0), DVector::zeros(0));
        }
        let near: Vec<usize> = near.iter().map(|&q| self.stand_in[q]).collect();
        let r = DVector::from_iterator(near.len(), near.iter().map(|&q| overlap(s, self.templates_px[q], self.distance_sq(p, q))));
        let overlaps = DMatrix::from_fn(near.len(), near.len(), |i, j| if i == j { 1.0 + RIDGE } else { self.overlap(near[i], near[j]) });
        // Gaussians overlap by a positive matrix; should rounding undo that, nothing is explained by the furthest.
        match Cholesky::new(overlaps) {
            Some(factor) => {
                let w = factor.solve(&r);
                (r, w)
            }
            None => {
                let mut w = DVector::zeros(r.len());
                w[0] = r[0];
                (r, w)
            }
        }
    }

    /// Height that the objects `near` make in a band, by their weights.
    pub fn predicted(&self, band: usize, near: &[usize], weights: &DVector<f64>) -> f64 {
        let height_of = |q: usize| self.heights[self.stand_in[q]].get(band).copied().filter(|h| h.is_finite()).unwrap_or(0.0);
        // Light only adds: a weight may be negative, what all make together is not.
        near.iter().zip(weights.iter()).map(|(&q, w)| w * height_of(q)).sum::<f64>().max(0.0)
    }

    /// Significance of what the objects `near` leave of `p`.
    pub fn conditional(&self, p: usize, near: &[usize]) -> f64 {
        if self.heights[p].is_empty() {
            return self.peaks[p].significance;
        }
        let (w, variance) = if near.is_empty() { (DVector::zeros(0), 1.0) } else { self.weights(p, near) };
        let wings = self.wings(p);
        let mut sum = 0.0;
        for (b, height) in self.witnesses(p) {
            let predicted = self.predicted(b, near, &w);
            let rest = (height - predicted).max(0.0);
            sum += rest * rest / (variance + (self.field.model_error * predicted.max(wings[b])).powi(2));
        }
        // Neighbours never make a peak more significant than it is alone.
        let alone = self.witnesses(p).map(|(_, h)| h.max(0.0).powi(2)).sum::<f64>();
        sum.min(alone).sqrt()
    }

    /// ln of the odds that what the objects leave of a peak is an object, and not noise.
    pub fn log_odds_left(&self, p: usize, near: &[usize]) -> f64 {
        let shown = self.stand_in[p];
        let n_bands = self.witnesses(shown).count().max(1);
        self.field.prior.log_odds(self.conditional(shown, near), n_bands)
    }

    /// True if the objects do not explain a peak.
    pub fn is_left(&self, p: usize, near: &[usize]) -> bool {
        self.is_alone(p, near) || self.log_odds_left(p, near) > 0.0
    }

    /// The object that a peak is most likely the same as, if that is likelier than another object there.
    pub fn same(&self, p: usize, near: &[usize]) -> Option<usize> {
        let all = near.iter().map(|&o| (self.log_same(p, o), o)).filter(|(log_same, _)| *log_same > 0.0);
        all.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map(|(_, o)| o)
    }

    /// ln of the likelihood that two peaks are one object seen in two layers, over that of a second object there: by position and colour.
    pub fn log_same(&self, p: usize, o: usize) -> f64 {
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
    pub fn covariance(&self, p: &Peak) -> [f64; 3] {
        let c = p.covariance_px2.map(f64::from);
        if c.iter().all(|v| v.is_finite()) {
            return c;
        }
        let v = (self.layer_width(p.layer) / p.significance.max(1.0)).powi(2);
        [v, 0.0, v]
    }

    /// How far the fluxes differ by more than a factor: noise and the templates' errors.
    pub fn colour_chi2(&self, p: usize, o: usize) -> f64 {
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
}

/// R of two templates.
pub(super) fn overlap(s: f64, t: f64, distance_sq: f64) -> f64 {
    let sum = s * s + t * t;
    2.0 * s * t / sum * (-distance_sq / (2.0 * sum)).exp()
}

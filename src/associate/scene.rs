//! The peaks of one parent, and what the objects among them make of each other's places.
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
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
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

/// The peaks, which of them are objects, and which lend those their templates.
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
    pub is_object: Vec<bool>,
    /// Objects that are bright.
    pub bright: Vec<usize>,
    /// Places of the objects.
    tree: RTree<GeomWithData<[f64; 2], usize>>,
    /// Beyond this no two templates overlap \[pixel\].
    reach_px: f64,
}

/// The objects about a place.
pub(super) struct Around {
    /// Those that overlap most first.
    pub objects: Vec<usize>,
    /// R of their templates; none without objects, or should rounding undo that Gaussians overlap by a positive matrix.
    factor: Option<Cholesky<f64, Dyn>>,
}

/// What the objects about a place make of a template there.
pub(super) struct Overlaps {
    /// R of each with the template.
    pub r: DVector<f64>,
    /// R⁻¹ r: their shares in its height.
    pub w: DVector<f64>,
}

impl Overlaps {
    /// Variance 1 - r R⁻¹ r of the noise that is left.
    pub fn variance(&self) -> f64 {
        (1.0 - self.r.dot(&self.w)).max(MIN_VARIANCE)
    }
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
        let widest = field.widths_px.iter().copied().fold(0.0, f64::max);
        let reach_px = 2.0 * widest * (-MIN_OVERLAP.ln()).sqrt();
        let own_band = |p: &Peak| bands(p).and_then(|bands| bands.iter().position(|&l| l == usize::from(p.layer)));
        Self {
            heights: peaks.iter().map(heights).collect(),
            own_band: peaks.iter().map(own_band).collect(),
            templates_px: peaks.iter().map(width).collect(),
            stand_in: (0..peaks.len()).collect(),
            is_object: vec![false; peaks.len()],
            bright: Vec::new(),
            tree: RTree::new(),
            peaks,
            field,
            reach_px,
        }
    }

    pub fn add_object(&mut self, p: usize) {
        self.is_object[p] = true;
        self.tree.insert(self.place(p));
        if !self.is_known(&self.peaks[p]) && self.height(p) > BRIGHT {
            self.bright.push(p);
        }
    }

    pub fn remove_object(&mut self, p: usize) {
        self.is_object[p] = false;
        self.stand_in[p] = p;
        self.tree.remove(&self.place(p));
        self.bright.retain(|&q| q != p);
    }

    fn place(&self, p: usize) -> GeomWithData<[f64; 2], usize> {
        GeomWithData::new([self.peaks[p].at.x, self.peaks[p].at.y], p)
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
    pub fn is_alone(&self, p: usize, around: &Around) -> bool {
        around.objects.is_empty() && self.wings(self.stand_in[p]).iter().all(|w| self.field.model_error * w < NO_DOUBT)
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

    /// Objects other than `p` that overlap with it.
    pub fn around(&self, p: usize) -> Around {
        let at = [self.peaks[p].at.x, self.peaks[p].at.y];
        let near = self.tree.locate_within_distance(at, self.reach_px * self.reach_px).map(|n| n.data);
        let mut near: Vec<(f64, usize)> =
            near.filter(|&q| q != p).map(|q| (self.overlap(p, self.stand_in[q]), q)).filter(|(r, _)| *r > MIN_OVERLAP).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        near.truncate(MAX_NEIGHBOURS);
        let objects: Vec<usize> = near.into_iter().map(|(_, q)| q).collect();
        let r = |i: usize, j: usize| if i == j { 1.0 + RIDGE } else { self.overlap(self.stand_in[objects[i]], self.stand_in[objects[j]]) };
        let factor = (!objects.is_empty()).then(|| Cholesky::new(DMatrix::from_fn(objects.len(), objects.len(), r))).flatten();
        Around { objects, factor }
    }

    /// The nearest object.
    pub fn nearest(&self, p: usize) -> Option<usize> {
        self.tree.nearest_neighbor(&[self.peaks[p].at.x, self.peaks[p].at.y]).map(|n| n.data)
    }

    /// Of a template of width `s` at `p`.
    pub fn overlaps(&self, p: usize, s: f64, around: &Around) -> Overlaps {
        let with = |&q: &usize| overlap(s, self.templates_px[self.stand_in[q]], self.distance_sq(p, self.stand_in[q]));
        let r = DVector::from_iterator(around.objects.len(), around.objects.iter().map(with));
        let w = around.factor.as_ref().map_or_else(
            // All by the one that overlaps most.
            || DVector::from_fn(r.len(), |i, _| if i == 0 { r[0] } else { 0.0 }),
            |factor| factor.solve(&r),
        );
        Overlaps { r, w }
    }

    /// Height that objects make in a band, by their shares.
    pub fn predicted(&self, band: usize, objects: &[usize], shares: &DVector<f64>) -> f64 {
        let height_of = |q: usize| self.heights[self.stand_in[q]].get(band).copied().filter(|h| h.is_finite()).unwrap_or(0.0);
        // Light only adds: a share may be negative, what all make together is not.
        objects.iter().zip(shares.iter()).map(|(&q, w)| w * height_of(q)).sum::<f64>().max(0.0)
    }

    /// Significance of what the objects leave of `p`.
    pub fn conditional(&self, p: usize, around: &Around) -> f64 {
        if self.heights[p].is_empty() {
            return self.peaks[p].significance;
        }
        let overlaps = self.overlaps(p, self.templates_px[p], around);
        let (variance, wings) = (overlaps.variance(), self.wings(p));
        let mut sum = 0.0;
        for (b, height) in self.witnesses(p) {
            let predicted = self.predicted(b, &around.objects, &overlaps.w);
            let rest = (height - predicted).max(0.0);
            sum += rest * rest / (variance + (self.field.model_error * predicted.max(wings[b])).powi(2));
        }
        // Neighbours never make a peak more significant than it is alone.
        let alone = self.witnesses(p).map(|(_, h)| h.max(0.0).powi(2)).sum::<f64>();
        sum.min(alone).sqrt()
    }

    /// ln of the odds that what is left of `p` is an object, and not noise.
    pub fn log_odds(&self, p: usize, left: f64) -> f64 {
        self.field.prior.log_odds(left, self.witnesses(p).count().max(1))
    }

    /// ln of the odds that what the objects leave of a peak is an object, and not noise.
    pub fn log_odds_left(&self, p: usize, around: &Around) -> f64 {
        let shown = self.stand_in[p];
        self.log_odds(shown, self.conditional(shown, around))
    }

    /// True if the objects do not explain a peak.
    pub fn is_left(&self, p: usize, around: &Around) -> bool {
        self.is_alone(p, around) || self.log_odds_left(p, around) > 0.0
    }

    /// The object that a peak is most likely the same as, if that is likelier than another object there.
    pub fn same(&self, p: usize, around: &Around) -> Option<usize> {
        let all = around.objects.iter().map(|&o| (self.log_same(p, o), o)).filter(|(log_same, _)| *log_same > 0.0);
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

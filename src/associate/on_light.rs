//! The odds that a peak is an object and not noise on light that no object models: halos, spikes, the outskirts of galaxies.
//!
//! Three things tell. How far the peak stands above the light in a broader filter at its place ([`Pair`]), which no gradient changes, but neighbours
//! disturb. How round it is ([`Ridge`]), for of a ridge as narrow as the PSF the broader filter takes little. And how far it rises over the saddle towards
//! higher ground ([`Dip`]), which sees no neighbour on other sides. Noise is low in all. An object stands above both smooth light and ridges, or over its
//! saddle.

use super::dip::{Dip, Models};
use super::prior::both;
use super::ridge::{Ridge, wing_curvature};
use super::scene::{Around, Overlaps, RIDGE, Scene, WING_SLOPE, overlap};
use super::smooth_light::{Pair, ln_share_of_ridges, ln_share_of_smooth};
use crate::geometry::PixelPoint;
use crate::image::MaskPlane;
use nalgebra::{DMatrix, DVector};

impl Scene<'_> {
    /// ln of the odds that a peak is an object and not noise on light that no object models; none where nothing tells: an island of the broadest layer, or no
    /// broader layer anywhere.
    pub fn log_odds_on_light(&self, p: usize, around: &Around) -> Option<f64> {
        self.both_odds_on_light(p, around).max_by(f64::total_cmp)
    }

    /// By the light in broader filters, and by the dip.
    fn both_odds_on_light(&self, p: usize, around: &Around) -> impl Iterator<Item = f64> {
        // A run without broader layers has the dip alone, which costs more blends than it saves from noise: 0.13 mag of the demo's 50 % limit.
        let is_asked = self.field.broader.iter().any(|b| !b.is_empty());
        let odds = is_asked.then(|| [self.log_odds_over_smooth(p, around), self.log_odds_of_dip(p, around)]);
        odds.into_iter().flatten().flatten()
    }

    /// True if noise on smooth light makes a peak likelier than an object does.
    pub fn is_shallow(&self, p: usize, around: &Around) -> bool {
        self.log_odds_on_light(p, around).is_some_and(|odds| odds <= 0.0)
    }

    /// The same if one of both says so.
    pub fn may_be_shallow(&self, p: usize, around: &Around) -> bool {
        self.both_odds_on_light(p, around).any(|odds| odds <= 0.0)
    }

    /// By what smooth light leaves of it, as the broader filter tells that leaves most; none in the broadest layers.
    fn log_odds_over_smooth(&self, p: usize, around: &Around) -> Option<f64> {
        let shown = self.stand_in[p];
        let broader = self.field.broader.get(usize::from(self.peaks[shown].layer))?;
        let own = self.overlaps(shown, self.templates_px[shown], around);
        let ridge = self.log_odds_on_ridge(p, around);
        let of = |bands: &Vec<usize>| {
            let (mut left, mut smooth) = (0.0, 0.0);
            for pair in self.pairs(shown, around, &own, bands) {
                left += pair.over_smooth().max(0.0).powi(2);
                smooth += pair.smooth().max(0.0).powi(2);
            }
            let over_smooth = self.log_odds(shown, left.sqrt()) - ln_share_of_smooth(smooth);
            both(over_smooth, ridge.map(|odds| odds - ln_share_of_ridges(smooth)))
        };
        broader.iter().map(of).max_by(f64::total_cmp)
    }

    /// By its curvature, less what the other objects add to it; none where that is not known.
    fn log_odds_on_ridge(&self, p: usize, around: &Around) -> Option<f64> {
        let peak = &self.peaks[self.stand_in[p]];
        let s = self.layer_width(peak.layer);
        let l2 = 0.5 / (s * s);
        let (objects, amplitudes) = self.amplitudes(p, around, peak.layer);
        let mut added = [0.0; 3];
        for (&q, a) in objects.iter().zip(amplitudes.iter()).skip(1) {
            let (at, width) = (self.peaks[self.stand_in[q]].at, self.templates_px[self.stand_in[q]]);
            let wing = wing_curvature(peak.at.x - at.x, peak.at.y - at.y, s * s + width * width, WING_SLOPE);
            added.iter_mut().zip(wing).for_each(|(sum, w)| *sum += a.max(0.0) * w);
        }
        let ridge = Ridge::of(peak.covariance_px2.map(f64::from), l2, added, self.field.model_error)?;
        // Of the layers' noise only that of bands is independent: on a ridge all see its maxima.
        let n_bands = self.field.bands_of[usize::from(peak.layer)].len().max(1);
        Some(ridge.log_odds(self.field.prior.per_sigma_per_px2, n_bands as f64 * l2))
    }

    /// A peak in its own filter and a broader one, by band.
    ///
    /// * `own`: what the objects make of the peak's filter; `broad`: the layers of single bands with the broader one.
    fn pairs(&self, p: usize, around: &Around, own: &Overlaps, broad: &[usize]) -> Vec<Pair> {
        let peak = &self.peaks[p];
        let own_bands = &self.field.bands_of[usize::from(peak.layer)];
        let (Some(first), false) = (broad.first(), peak.layer_significance.is_empty()) else { return Vec::new() };
        let (s, t) = (self.templates_px[p], self.layer_width(*first as u16));
        let of_broad = self.overlaps(p, t, around);
        let variance = [own, &of_broad].map(Overlaps::variance);
        let covariance = overlap(s, t, 0.0) - own.r.dot(&of_broad.w);
        let of = |(b, height): (usize, f64)| {
            let predicted = [own, &of_broad].map(|o| self.predicted(b, &around.objects, &o.w));
            let broad_height = f64::from(peak.layer_significance[broad[b]]);
            broad_height.is_finite().then(|| Pair {
                rest: [height - predicted[0], broad_height - predicted[1]],
                predicted,
                variance,
                covariance,
                q: (self.field.areas_px2[own_bands[b]] / self.field.areas_px2[broad[b]]).sqrt(),
                error: self.field.model_error,
            })
        };
        self.witnesses(p).filter_map(of).collect()
    }

    /// By the deeper of the dips in which it and its template's peak are seen; none for an island.
    fn log_odds_of_dip(&self, p: usize, around: &Around) -> Option<f64> {
        let prior = self.field.prior;
        let of = |seen: usize| {
            let peak = &self.peaks[seen];
            let dip = Dip::of(peak)?;
            let maxima = prior.trials * 0.5 * self.layer_width(peak.layer).powi(-2);
            Some(dip.log_odds(&self.models(p, around, &dip, peak.layer), prior.per_sigma_per_px2, maxima))
        };
        let (own, shown) = (of(p)?, of(self.stand_in[p])?);
        Some(own.max(shown))
    }

    /// `p` and the objects about it, and the amplitudes A_j of their light that make their heights in a layer.
    fn amplitudes(&self, p: usize, around: &Around, layer: u16) -> (Vec<usize>, DVector<f64>) {
        let objects: Vec<usize> = std::iter::once(p).chain(around.objects.iter().copied()).collect();
        let heights = DVector::from_iterator(objects.len(), objects.iter().map(|&q| self.height_in(q, layer)));
        let overlaps = DMatrix::from_fn(objects.len(), objects.len(), |i, j| {
            let at = self.peaks[self.stand_in[objects[i]]].at;
            self.light(objects[j], at, layer, j == 0) + if i == j { RIDGE } else { 0.0 }
        });
        let amplitudes = overlaps.lu().solve(&heights).unwrap_or(heights);
        (objects, amplitudes)
    }

    /// Height of an object in a layer; 0 without data.
    fn height_in(&self, q: usize, layer: u16) -> f64 {
        let height = self.peaks[self.stand_in[q]].layer_significance.get(usize::from(layer)).map(|h| f64::from(*h));
        height.filter(|h| h.is_finite()).unwrap_or(0.0)
    }

    /// An object's light in a layer, of variance s² + s_j²: a Gaussian, or with the wings of stars and galaxies, for it is these that slope at a neighbour.
    fn light(&self, q: usize, at: PixelPoint, layer: u16, is_gaussian: bool) -> f64 {
        let (s, width, from) = (self.layer_width(layer), self.templates_px[self.stand_in[q]], self.peaks[self.stand_in[q]].at);
        let u = ((from.x - at.x).powi(2) + (from.y - at.y).powi(2)) / (2.0 * (s * s + width * width));
        if is_gaussian { (-u).exp() } else { (1.0 + u / WING_SLOPE).powf(-WING_SLOPE) }
    }

    /// What the objects, and `p` as one, make of a dip in a layer; of bright ones wherever they are, but for saturated ones: what is left of a core says
    /// nothing of its wings.
    fn models(&self, p: usize, around: &Around, dip: &Dip, layer: u16) -> Models {
        let (objects, amplitudes) = self.amplitudes(p, around, layer);
        let is_far = |q: &usize| !objects.contains(q) && self.peaks[self.stand_in[*q]].flags & MaskPlane::Sat.bit() == 0;
        let others = |at: PixelPoint| {
            let near: f64 = objects.iter().zip(amplitudes.iter()).skip(1).map(|(&q, a)| a.max(0.0) * self.light(q, at, layer, false)).sum();
            let far = self.bright.iter().copied().filter(is_far);
            near + far.map(|q| self.height_in(q, layer).max(0.0) * self.light(q, at, layer, false)).sum::<f64>()
        };
        let (at_saddle, at_peak) = (others(dip.at), others(self.peaks[self.stand_in[p]].at));
        let own = amplitudes[0].max(0.0) * self.light(p, dip.at, layer, true);
        Models { at_saddle: own + at_saddle, slope: at_saddle - at_peak, error: self.field.model_error }
    }
}

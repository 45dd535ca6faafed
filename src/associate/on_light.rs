//! The odds that a peak is an object and not noise on light that no object models: halos, spikes, the outskirts of galaxies.
//!
//! Two things tell: how far the peak stands above the light in a broader filter at its place ([`Pair`]), which no gradient changes, but neighbours disturb;
//! and how far it rises over the saddle towards higher ground ([`Dip`]), which sees no neighbour on other sides. Noise is low in both, so the better of the
//! two counts.

use super::dip::{Dip, Models};
use super::scene::{MIN_VARIANCE, RIDGE, Scene, WING_SLOPE, overlap};
use super::smooth_light::{Pair, ln_share_of_smooth};
use crate::geometry::PixelPoint;
use crate::image::MaskPlane;
use nalgebra::{DMatrix, DVector};

impl Scene<'_> {
    /// ln of the odds that a peak is an object and not noise on light that no object models; none where nothing tells: an island of the broadest layer, or no
    /// broader layer anywhere.
    pub fn log_odds_on_light(&self, p: usize, near: &[usize]) -> Option<f64> {
        // A run without broader layers has the dip alone, which costs more blends than it saves from noise: 0.13 mag of the demo's 50 % limit.
        if self.field.broader.iter().all(Vec::is_empty) {
            return None;
        }
        let odds = [self.log_odds_over_smooth(p, near), self.log_odds_of_dip(p, near)];
        odds.into_iter().flatten().max_by(f64::total_cmp)
    }

    /// True if noise on smooth light makes a peak likelier than an object does.
    pub fn is_shallow(&self, p: usize, near: &[usize]) -> bool {
        self.log_odds_on_light(p, near).is_some_and(|odds| odds <= 0.0)
    }

    /// By what smooth light leaves of it, as the broader filter tells that leaves most; none in the broadest layers.
    fn log_odds_over_smooth(&self, p: usize, near: &[usize]) -> Option<f64> {
        let shown = self.stand_in[p];
        let n_bands = self.witnesses(shown).count().max(1);
        let broader = self.field.broader.get(usize::from(self.peaks[shown].layer))?;
        let of = |bands: &Vec<usize>| {
            let (mut left, mut smooth) = (0.0, 0.0);
            for pair in self.pairs(shown, near, bands) {
                left += pair.over_smooth().max(0.0).powi(2);
                smooth += pair.smooth().max(0.0).powi(2);
            }
            self.field.prior.log_odds(left.sqrt(), n_bands) - ln_share_of_smooth(smooth)
        };
        broader.iter().map(of).max_by(f64::total_cmp)
    }

    /// A peak in its own filter and a broader one, by band.
    ///
    /// * `broad`: the layers of single bands with that filter.
    fn pairs(&self, p: usize, near: &[usize], broad: &[usize]) -> Vec<Pair> {
        let peak = &self.peaks[p];
        let own = &self.field.bands_of[usize::from(peak.layer)];
        let (Some(first), false) = (broad.first(), peak.layer_significance.is_empty()) else { return Vec::new() };
        let (s, t) = (self.templates_px[p], self.layer_width(*first as u16));
        let [(r, w), (r_broad, w_broad)] = [s, t].map(|width| self.weights_in(p, width, near));
        let variance = [1.0 - r.dot(&w), 1.0 - r_broad.dot(&w_broad)].map(|v| v.max(MIN_VARIANCE));
        let covariance = overlap(s, t, 0.0) - r.dot(&w_broad);
        let of = |(b, height): (usize, f64)| {
            let predicted = [&w, &w_broad].map(|w| self.predicted(b, near, w));
            let broad_height = f64::from(peak.layer_significance[broad[b]]);
            broad_height.is_finite().then(|| Pair {
                rest: [height - predicted[0], broad_height - predicted[1]],
                predicted,
                variance,
                covariance,
                q: (self.field.areas_px2[own[b]] / self.field.areas_px2[broad[b]]).sqrt(),
                error: self.field.model_error,
            })
        };
        self.witnesses(p).filter_map(of).collect()
    }

    /// By the deeper of the dips in which it and its template's peak are seen; none for an island.
    fn log_odds_of_dip(&self, p: usize, near: &[usize]) -> Option<f64> {
        let prior = self.field.prior;
        let of = |seen: usize| {
            let peak = &self.peaks[seen];
            let dip = Dip::of(peak)?;
            let maxima = prior.trials * 0.5 * self.layer_width(peak.layer).powi(-2);
            Some(dip.log_odds(&self.models(p, near, &dip, peak.layer), prior.per_sigma_per_px2, maxima))
        };
        let (own, shown) = (of(p)?, of(self.stand_in[p])?);
        Some(own.max(shown))
    }

    /// What the objects, and `p` as one, make of a dip in a layer: A_j times a profile of variance s² + s_j² each, with the A_j that make their heights
    /// there. The others have the wings of stars and galaxies, for it is these that slope at a dip; of bright ones wherever they are, but for saturated
    /// ones: what is left of a core says nothing of its wings.
    fn models(&self, p: usize, near: &[usize], dip: &Dip, layer: u16) -> Models {
        let s = self.layer_width(layer);
        let seen = |of: usize| &self.peaks[self.stand_in[of]];
        let light = |of: usize, at: PixelPoint| {
            let width = self.templates_px[self.stand_in[of]];
            let u = ((seen(of).at.x - at.x).powi(2) + (seen(of).at.y - at.y).powi(2)) / (2.0 * (s * s + width * width));
            if of == p { (-u).exp() } else { (1.0 + u / WING_SLOPE).powf(-WING_SLOPE) }
        };
        let height = |of: usize| {
            let height = seen(of).layer_significance.get(usize::from(layer)).map(|h| f64::from(*h));
            height.filter(|h| h.is_finite()).unwrap_or(0.0)
        };
        let objects: Vec<usize> = std::iter::once(p).chain(near.iter().copied()).collect();
        let heights = DVector::from_iterator(objects.len(), objects.iter().map(|&q| height(q)));
        let overlaps = DMatrix::from_fn(objects.len(), objects.len(), |i, j| {
            light(objects[j], seen(objects[i]).at) + if i == j { RIDGE } else { 0.0 }
        });
        let amplitudes = overlaps.lu().solve(&heights).unwrap_or(heights);
        let is_far = |q: &usize| !objects.contains(q) && seen(*q).flags & MaskPlane::Sat.bit() == 0;
        let others = |at: PixelPoint| {
            let near: f64 = objects.iter().zip(amplitudes.iter()).skip(1).map(|(&q, a)| a.max(0.0) * light(q, at)).sum();
            near + self.bright.iter().copied().filter(is_far).map(|q| height(q).max(0.0) * light(q, at)).sum::<f64>()
        };
        let (at_saddle, at_peak) = (others(dip.at), others(seen(p).at));
        let own = amplitudes[0].max(0.0) * light(p, dip.at);
        Models { at_saddle: own + at_saddle, slope: at_saddle - at_peak, error: self.field.model_error }
    }
}

//! Which peaks of a parent are objects: those that neither the light of the others ([`Scene`]) nor noise on light that no object models
//! ([`on_light`](super::on_light)) explains.
//!
//! Peaks are chosen from the sharpest layer to the broadest, the highest first: one that the objects so far do not explain, or none of them touches, is a
//! new object, unless noise on smooth light is likelier; or, where it is the same as one of them and higher, shows that its template is too sharp, and
//! lends it its own (a star has wings that no Gaussian has, and is still highest in the sharpest layer); the place stays that of the sharper layer, which
//! neighbours disturb less. Then those that the others explain after all are dropped, the worst first. So several sharp peaks stand for the broad one
//! between them, and a broad one for the noise on top of it.
//!
//! What was the same as an object that is dropped may be left without one: a star, say, took a template in the light of a galaxy that was founded after it
//! and explains that. So peaks are chosen once more, and lend nothing. Objects on a light that none models explain each other's saddles: of those that come
//! so late all that tells noise on light must say that they are none.

use super::outcome::{Outcome, Rejection, Role};
use super::prior::both;
use super::scene::{Around, Field, Scene};
use crate::footprint::Peak;
use std::collections::BTreeSet;

/// Share of what is predicted from which on a neighbour is named as explaining it.
const MIN_SHARE: f64 = 0.1;

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
    for &p in &order {
        let around = scene.around(p);
        if scene.is_known(&peaks[p]) {
            scene.add_object(p);
        } else if scene.is_left(p, &around) {
            match scene.same(p, &around) {
                Some(object) if scene.height(p) > scene.height(scene.stand_in[object]) => scene.stand_in[object] = p,
                None if !scene.is_shallow(p, &around) => scene.add_object(p),
                _ => {}
            }
        }
    }
    if drop_explained(&mut scene) {
        for &p in &order {
            let around = scene.around(p);
            if !scene.is_object[p] && scene.is_left(p, &around) && scene.same(p, &around).is_none() && !scene.may_be_shallow(p, &around) {
                scene.add_object(p);
            }
        }
        drop_explained(&mut scene);
    }
    (0..peaks.len()).map(|p| scene.explained(p)).collect()
}

/// Takes out objects that the others explain, the least significant first, until all have odds above one. True if any was.
fn drop_explained(scene: &mut Scene) -> bool {
    let odds = |scene: &Scene, p: usize| {
        let around = scene.around(p);
        let left = if scene.is_alone(p, &around) { f64::INFINITY } else { scene.log_odds_left(p, &around) };
        if left > 0.0 { both(left, scene.log_odds_on_light(p, &around)) } else { left }
    };
    let removable = |scene: &Scene, p: usize| !scene.is_known(&scene.peaks[p]);
    let mut current = vec![f64::INFINITY; scene.peaks.len()];
    let mut queue: BTreeSet<(i64, usize)> = BTreeSet::new();
    for p in (0..scene.peaks.len()).filter(|&p| scene.is_object[p] && removable(scene, p)) {
        current[p] = odds(scene, p);
        queue.insert((ordered(current[p]), p));
    }
    let mut is_any = false;
    while let Some((_, worst)) = queue.pop_first() {
        if current[worst] > 0.0 {
            break;
        }
        scene.remove_object(worst);
        is_any = true;
        for p in scene.around(worst).objects.into_iter().filter(|&p| removable(scene, p)) {
            queue.remove(&(ordered(current[p]), p));
            current[p] = odds(scene, p);
            queue.insert((ordered(current[p]), p));
        }
    }
    is_any
}

/// Integers in the order of the numbers.
fn ordered(v: f64) -> i64 {
    let bits = v.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn key(p: &Peak) -> (u16, i32, i32) {
    (p.layer, p.pixel.1, p.pixel.0)
}

impl Scene<'_> {
    fn explained(&self, p: usize) -> Outcome {
        let around = self.around(p);
        let shown = self.stand_in[p];
        let conditional = self.conditional(shown, &around);
        let left = self.log_odds(shown, conditional);
        let is_left = left > 0.0 || self.is_alone(p, &around);
        let log_odds = if is_left { both(left, self.log_odds_on_light(p, &around)) } else { left };
        let stands_for = || around.objects.iter().copied().find(|&o| self.stand_in[o] == p);
        let role = if self.is_object[p] {
            Role::Object
        } else if let Some(o) = stands_for() {
            Role::SameAs(o)
        } else {
            // What several objects make together is none of them.
            let by = self.explaining(p, &around);
            match (by.as_slice(), self.same(p, &around)) {
                ([one], Some(o)) if *one == o => Role::SameAs(o),
                // Not explained, and yet no object: it was taken for one of them,
                (_, Some(o)) if is_left => Role::SameAs(o),
                // or for noise on smooth light.
                _ if is_left && log_odds <= 0.0 => Role::Rejected(Rejection::Shallow),
                _ => Role::ExplainedBy(by),
            }
        };
        Outcome { role, conditional, log_odds }
    }

    /// Objects that make what is predicted at `p`, the largest part first; the nearest object where none overlaps.
    fn explaining(&self, p: usize, around: &Around) -> Vec<usize> {
        let shares = self.overlaps(p, self.templates_px[p], around).w;
        let mut parts: Vec<(f64, usize)> =
            around.objects.iter().zip(shares.iter()).map(|(&q, w)| (w.abs() * self.height(self.stand_in[q]), q)).collect();
        let total: f64 = parts.iter().map(|(part, _)| part).sum();
        parts.retain(|(part, _)| *part >= MIN_SHARE * total);
        parts.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if !parts.is_empty() {
            return parts.into_iter().map(|(_, q)| q).collect();
        }
        self.nearest(p).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::associate::prior::Prior;
    use crate::footprint::Saddle;
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

    fn outcomes(peaks: &[Peak]) -> Vec<Outcome> {
        let prior = Prior { density_per_px2: 3e-4, per_sigma_per_px2: 6e-5, l2_per_px2: 0.2, trials: 3.0 };
        let bands_of = [0, 1, 2, 0, 0, 1, 1, 2, 2].map(|w| vec![3 + 2 * w, 4 + 2 * w]);
        let broader = [0, 1, 2, 0, 0, 1, 1, 2, 2].map(|w| (w + 1..3).map(|v| vec![3 + 2 * v, 4 + 2 * v]).collect::<Vec<_>>());
        let widths = [0, 1, 2, 0, 0, 1, 1, 2, 2].map(|w| WIDTHS[w]);
        let field = Field {
            widths_px: &widths,
            bands_of: &bands_of,
            broader: &broader,
            areas_px2: &widths.map(|s| 4.0 * std::f64::consts::PI * s * s),
            prior: &prior,
            model_error: 0.1,
            position_error: 0.1,
            first_known: 9,
        };
        explain(peaks, &field)
    }

    fn roles(peaks: &[Peak]) -> Vec<Role> {
        outcomes(peaks).into_iter().map(|e| e.role).collect()
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

    /// A star beside a galaxy that is founded after it, in whose light it took a broader template: it is left in its own.
    #[test]
    fn a_star_that_took_a_galaxy_s_light_stays() {
        let pair = [(50.0, 50.0, 6.0, [100.0, 100.0]), (58.0, 50.0, 1.5, [12.0, 12.0])];
        let found = roles(&peaks(&pair, &[(0, 58.0, 50.0), (1, 58.0, 50.0), (2, 50.0, 50.0)]));
        assert_eq!(found, [Role::Object, Role::ExplainedBy(vec![2, 0]), Role::Object]);
    }

    /// Beside two objects whose weights have opposite signs a peak is no more than it is alone.
    #[test]
    fn neighbours_make_no_peak_more_significant() {
        let row = [(50.0, 50.0, 6.0, [300.0, 300.0]), (56.0, 50.0, 1.5, [60.0, 60.0])];
        let mut all = peaks(&row, &[(2, 50.0, 50.0), (0, 56.0, 50.0), (0, 53.0, 50.0)]);
        all[2].layer_significance[3..5].iter_mut().for_each(|h| *h = 3.0);
        assert!(outcomes(&all).iter().zip(&all).all(|(e, p)| e.conditional
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

    /// The halo of a star whose core is masked: even light of 20 sigma in the points' layer of each band. A bump of noise on it is none, for it stands
    /// little over both the light around it and the saddle; a star of 15 sigma is an object, and so is one with no more than a saddle to tell.
    #[test]
    fn noise_on_a_halo() {
        let halo = |bump: f64, depth: f32| {
            let star = [(50.0, 50.0, 1.5, [bump; 2])];
            let mut peak = peaks(&star, &[(0, 50.0, 50.0)]).remove(0);
            for (k, height) in peak.layer_significance[3..].iter_mut().enumerate() {
                *height += (20.0 * WIDTHS[k / 2] / WIDTHS[0]) as f32;
            }
            peak.significance = f64::from(peak.layer_significance[3]).hypot(f64::from(peak.layer_significance[4]));
            let height = peak.significance as f32 - depth;
            // Far enough to have little noise in common.
            let significance = depth / (2.0f32 * (1.0 - 0.1)).sqrt();
            Peak { saddle: Some(Saddle { height, significance, at: (55, 50), higher: (90, 50) }), ..peak }
        };
        assert_eq!(roles(&[halo(1.5, 2.0)]), [Role::Rejected(Rejection::Shallow)]);
        assert_eq!(roles(&[halo(15.0, 2.0)]), [Role::Object]);
        assert_eq!(roles(&[halo(1.5, 7.0)]), [Role::Object]);
        // An island on the light.
        assert_eq!(roles(&[Peak { saddle: None, ..halo(1.5, 2.0) }]), [Role::Rejected(Rejection::Shallow)]);
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

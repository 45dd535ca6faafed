//! Whether noise on a smooth light that no object models makes a peak: by the dip between it and higher ground.
//!
//! Halos and spikes of saturated stars, and the outskirts of large galaxies, lie above the threshold, and every maximum of the noise on them is a peak of
//! their height. What tells such a peak from an object is how far it rises above the saddle through which a path leads to higher ground. Of noise alone
//! the depth of that dip, in units of the noise of the difference of two places so far apart, is distributed alike for all templates
//! ([`ln_dip_density`]); an object of amplitude a in the distance d makes it a (1 - ρ(d)).

use super::smooth_light::ln_share_of_smooth;
use crate::detect::{ln_dip_density, maximum_density};
use crate::footprint::Peak;
use crate::geometry::PixelPoint;

/// Two places have at least this share of their noise apart.
const MIN_APART: f64 = 1e-3;

/// The dip of a peak in its layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dip {
    /// Height of the saddle \[sigma\].
    pub saddle: f64,
    /// Place of the saddle.
    pub at: PixelPoint,
    /// Height of the peak over it \[sigma\].
    depth: f64,
    /// ρ: correlation of the noise at both.
    rho: f64,
}

/// What the objects make of a dip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Models {
    /// Height at the saddle, the peak's own object included \[sigma\].
    pub at_saddle: f64,
    /// By how much the others stand higher at the saddle than at the peak \[sigma\].
    pub slope: f64,
    /// Relative error of both.
    pub error: f64,
}

impl Dip {
    /// None where no path above the floor of the layer's maxima leads to higher ground.
    pub fn of(peak: &Peak) -> Option<Self> {
        let saddle = peak.saddle?;
        let (height, significance) = (f64::from(saddle.height), f64::from(saddle.significance));
        let depth = peak.significance - height;
        // The table has depth/√(2 (1 - ρ)).
        let apart = if significance > 0.0 { 0.5 * (depth / significance).powi(2) } else { MIN_APART };
        let rho = 1.0 - apart.clamp(MIN_APART, 1.0);
        Some(Self { saddle: height, at: PixelPoint::new(f64::from(saddle.at.0), f64::from(saddle.at.1)), depth, rho })
    }

    /// ln of the odds that the peak is an object and not noise on smooth light, whether there is any being judged by the saddle's height.
    ///
    /// Without smooth light the objects make the saddle as high as it is; what it is higher is the excess of
    /// [`ln_share_of_smooth`]. On smooth light the odds are those of the densities by the dip's significance, of objects and of noise.
    ///
    /// * `objects`: by significance \[1/pixel²/sigma\]; `l2`: curvature of the noise, of all layers that might have the peak \[1/pixel²\].
    pub fn log_odds(&self, models: &Models, objects: f64, l2: f64) -> f64 {
        let apart = 1.0 - self.rho;
        let doubt = (models.error * models.at_saddle).powi(2);
        let excess = ((self.saddle - models.at_saddle) / (1.0 + doubt).sqrt()).max(0.0);
        let t = (self.depth + models.slope) / (2.0 * apart + (models.error * models.slope).powi(2)).sqrt();
        let ln_objects = (objects * (2.0 / apart).sqrt()).ln();
        let ln_noise = maximum_density(l2).ln() + ln_dip_density(t.max(0.0));
        ln_objects - ln_noise - ln_share_of_smooth(excess * excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::Saddle;

    const L2: f64 = 0.2;
    const OBJECTS: f64 = 6e-5;

    /// A peak of 20 sigma whose dip has this significance, half of the noise being common to it and the saddle.
    fn dip(significance: f64) -> Dip {
        let saddle = Saddle { height: (20.0 - significance) as f32, significance: significance as f32, at: (14, 10), higher: (30, 10) };
        Dip::of(&Peak { saddle: Some(saddle), ..Peak::bare(PixelPoint::new(10.0, 10.0), 20.0, 0) }).unwrap()
    }

    fn odds(significance: f64, at_saddle: f64, slope: f64) -> f64 {
        dip(significance).log_odds(&Models { at_saddle, slope, error: 0.05 }, OBJECTS, L2)
    }

    #[test]
    fn an_island_has_none() {
        assert!(Dip::of(&Peak::bare(PixelPoint::new(0.0, 0.0), 20.0, 0)).is_none());
        assert!((dip(2.0).rho - 0.5).abs() < 1e-6);
    }

    /// On light that nothing explains: at dips of one sigma there are 58 maxima of noise for an object, at four 26 000 objects for one.
    #[test]
    fn smooth_light_asks_for_a_dip() {
        let all: Vec<f64> = (1..50).map(|k| odds(0.1 * f64::from(k), 0.0, 0.0)).collect();
        assert!(all.windows(2).all(|w| w[1] > w[0]), "{all:?}");
        let expected = (OBJECTS * 2.0).ln() - maximum_density(L2).ln() - ln_dip_density(2.0);
        assert!((odds(2.0, 0.0, 0.0) - expected).abs() < 1e-4, "{}", odds(2.0, 0.0, 0.0));
        assert!(odds(2.0, 0.0, 0.0) < -2.0 && odds(4.0, 0.0, 0.0) > 2.0);
    }

    /// Where objects make the saddle, or slope from it to the peak, the same dip is that of an object.
    #[test]
    fn objects_explain_dips() {
        // As much as the share of smooth light is small.
        assert!((odds(1.0, 19.0, 0.0) - odds(1.0, 0.0, 0.0) - (1.0 + 1.0 / (0.01 * std::f64::consts::TAU.sqrt())).ln()).abs() < 1e-6);
        assert!(odds(1.0, 10.0, 4.0) > 5.0);
    }
}

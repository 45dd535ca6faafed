//! How likely a significance is that of an object, and how likely that of noise.

use crate::detect::free_sed_peaks_per_sigma;

/// Below this the density of maxima is no longer that of peaks: the odds go on as a straight line.
const MIN_HEIGHT: f64 = 3.0;

/// Densities of a field.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Prior {
    /// Objects \[1/pixel²\].
    pub density_per_px2: f64,
    /// Objects by significance, near the threshold \[1/pixel²/sigma\].
    pub per_sigma_per_px2: f64,
    /// Curvature of the noise of the point-source layers \[1/pixel²\].
    pub l2_per_px2: f64,
    /// Chances that the layers give noise, in those of the layer of `l2_per_px2`: the sum of all l2 over it.
    pub trials: f64,
}

impl Prior {
    /// ln of the odds that a peak of significance `t` over `n_bands` free bands is an object and not the noise of any layer: densities by significance
    /// of both.
    pub fn log_odds(&self, t: f64, n_bands: usize) -> f64 {
        let at = |t: f64| {
            let noise = free_sed_peaks_per_sigma(t, n_bands, self.l2_per_px2);
            // Far out the density underflows: its logarithm goes as -t²/2.
            if noise > 1e-250 { (self.per_sigma_per_px2 / (self.trials * noise)).ln() } else { 0.5 * t * t }
        };
        if t >= MIN_HEIGHT {
            return at(t);
        }
        let slope = (at(MIN_HEIGHT + 0.1) - at(MIN_HEIGHT)) / 0.1;
        at(MIN_HEIGHT) + slope.max(1.0) * (t - MIN_HEIGHT)
    }
}

/// ln of the odds against two alternatives, of those against each.
pub(super) fn both(one: f64, other: Option<f64>) -> f64 {
    let Some(other) = other else { return one };
    if one.is_infinite() {
        return other;
    }
    one.min(other) - (-(one - other).abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::normal_peak_density;

    /// One band: the density of noise peaks falls as its derivative says; odds rise with significance, from below MIN_HEIGHT to far beyond underflow.
    #[test]
    fn odds_are_ratios_of_densities() {
        let prior = Prior { density_per_px2: 3e-4, per_sigma_per_px2: 6e-5, l2_per_px2: 0.2, trials: 3.0 };
        let slope = (normal_peak_density(4.99, 0.2) - normal_peak_density(5.01, 0.2)) / 0.02;
        assert!((prior.log_odds(5.0, 1) - (6e-5 / (3.0 * slope)).ln()).abs() < 1e-3);
        for n in [1, 3, 6] {
            let all: Vec<f64> = (0..400).map(|k| prior.log_odds(0.25 * f64::from(k), n)).collect();
            assert!(all.windows(2).all(|w| w[1] > w[0]), "{n}");
        }
    }
}

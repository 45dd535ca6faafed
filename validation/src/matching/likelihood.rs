//! How well a detection fits a truth object.

/// Systematic floor of a position \[FWHM of the object\]: centres of blends and galaxies are not better than that.
const POSITION_FLOOR_FWHM: f64 = 0.1;
/// Systematic floor of a flux, relative: a PSF flux of a galaxy or blend is not its total flux.
const FLUX_FLOOR: f64 = 0.2;
/// Share of true pairs whose position, or whose flux, is wrong by any amount: swallowed neighbours, cut stars, missing pixels.
const OUTLIER_SHARE: f64 = 0.01;
/// By how much a lone pair within the radius is preferred to a miss beside an unrelated detection (-2 ln of the odds).
const LONE_PAIR_MARGIN: f64 = 2.0;
/// Distance that is always within reach \[FWHM\]: the centre of two equal sources seen as one.
const BLEND_REACH_FWHM: f64 = 0.5;
/// Position errors within reach.
const REACH_SIGMA: f64 = 5.0;

/// Cost of a truth without partner beside a detection without: what a pair must undercut.
///
/// With the cost of a pair as -2 ln of its likelihood over that of an unrelated detection anywhere in the circle, this is the prior
/// of unrelated detections: OUTLIER_SHARE² / e within the circle of the largest radius, which is 0.05 per arcmin² for 0.9", about the
/// density of noise peaks at 5 sigma. So what is alone within reach is a pair even with wrong flux *and* wrong position, but two bad
/// pairs never replace a good one and a miss: no sure match is moved to give its partner's neighbour the leftover.
pub(super) fn unmatched_cost() -> f64 {
    -4.0 * OUTLIER_SHARE.ln() + LONE_PAIR_MARGIN
}

/// One side of a pair, as the likelihood sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    /// Point on the plane \[arcsec\].
    pub point: [f64; 2],
    /// Error per axis \[arcsec\]: expected of a truth (from its S/N), quoted of a detection; NaN if unknown.
    pub sigma: [f64; 2],
    /// Flux per band \[nJy\]; NaN if unknown.
    pub flux: &'a [f64],
    /// Its error; 0 of a truth.
    pub flux_err: &'a [f64],
}

/// Position error per axis expected of an object \[arcsec\]: FWHM / (2.355 S/N) times √2, as a matched filter has it; NaN without S/N.
///
/// # Source
/// King 1983, PASP 95, 163: σ = √2 σ_PSF / (S/N) for a Gaussian PSF on a noisy sky.
pub(super) fn expected_sigma(fwhm: f64, snr: f64) -> f64 {
    if snr > 0.0 { std::f64::consts::SQRT_2 * fwhm / 2.354_82 / snr } else { f64::NAN }
}

/// Largest distance of a pair \[arcsec\]: 5 sigma of the position beside half a FWHM, and never more than `largest`.
pub(super) fn reach(truth: &Side, detection: &Side, fwhm: f64, largest: f64) -> f64 {
    // max() ignores NaN; without any error the largest radius holds.
    let sigma = truth.sigma[0].max(detection.sigma[0]).max(detection.sigma[1]);
    if sigma.is_nan() { largest } else { (BLEND_REACH_FWHM * fwhm).hypot(REACH_SIGMA * sigma).min(largest) }
}

/// -2 ln of the likelihood that `detection` is `truth`, over that of an unrelated detection in a circle of radius `largest`.
///
/// Position and flux are each a normal with a share of outliers:
/// L = [(1-ε) e^(-χ²/2) R²/(2 σ_x σ_y) + ε] · [(1-ε) e^(-χ_f²/2) + ε], with χ_f² summed over the bands that both know. The flux
/// counts by its agreement alone: a sharper error must not make a pair less likely.
pub(super) fn pair_cost(truth: &Side, detection: &Side, fwhm: f64, largest: f64) -> f64 {
    let (mut chi2, mut area) = (0.0, 2.0);
    for axis in 0..2 {
        let quoted = detection.sigma[axis].max(0.0);
        // An error that honest data cannot have is not believed; an honest one is at least the expected.
        let sigma = quoted.max(truth.sigma[axis].max(0.0)).min(largest).hypot(POSITION_FLOOR_FWHM * fwhm);
        chi2 += ((detection.point[axis] - truth.point[axis]) / sigma).powi(2);
        area *= sigma;
    }
    let mixture = |height: f64| (1.0 - OUTLIER_SHARE) * height + OUTLIER_SHARE;
    let position = mixture((-0.5 * chi2).exp() * largest * largest / area);
    let flux: f64 = (0..truth.flux.len())
        .map(|b| {
            let (t, f, e) = (truth.flux[b], detection.flux[b], detection.flux_err[b]);
            // Relative to the larger: twice the light is as wrong as half of it.
            let floor = FLUX_FLOOR * t.abs().max(f.abs());
            let chi2 = (f - t).powi(2) / e.mul_add(e, floor * floor).max(f64::MIN_POSITIVE);
            if chi2.is_finite() { chi2 } else { 0.0 }
        })
        .sum();
    -2.0 * (position.ln() + mixture((-0.5 * flux).exp()).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side<'a>(x: f64, sigma: f64, flux: &'a [f64], flux_err: &'a [f64]) -> Side<'a> {
        Side { point: [x, 0.0], sigma: [sigma; 2], flux, flux_err }
    }

    /// The worst pair within reach is still cheaper than two without partner, by the margin (but for e^(-25/2) of a wrong flux).
    #[test]
    fn anything_alone_within_reach_is_a_pair() {
        let worst = pair_cost(&side(0.0, 0.01, &[1.0], &[0.0]), &side(1.0, 0.01, &[1e9], &[1.0]), 1.0, 1.0);
        assert!((worst - (unmatched_cost() - LONE_PAIR_MARGIN)).abs() < 1e-3, "{worst}");
    }

    /// A good pair and a miss are cheaper than two bad pairs, each wrong by 0.5 FWHM and by a factor in flux.
    #[test]
    fn a_sure_match_is_not_moved() {
        let good = pair_cost(&side(0.0, 0.02, &[100.0], &[0.0]), &side(0.01, 0.02, &[101.0], &[1.0]), 1.0, 1.0);
        let bad = pair_cost(&side(0.0, 0.02, &[100.0], &[0.0]), &side(0.5, 0.02, &[10.0], &[1.0]), 1.0, 1.0);
        assert!(good + unmatched_cost() < 2.0 * bad, "{good} {bad}");
    }

    /// 5 sigma at S/N 5 of a PSF of 1" is 0.60", beside 0.5": 0.78"; a bright source is looked for within half a FWHM.
    #[test]
    fn reach_follows_the_position_error() {
        let at = |snr: f64| reach(&side(0.0, expected_sigma(1.0, snr), &[], &[]), &side(0.0, f64::NAN, &[], &[]), 1.0, 1.0);
        assert!((at(5.0) - 0.781).abs() < 1e-3, "{}", at(5.0));
        assert!((at(1000.0) - 0.5).abs() < 1e-3);
        assert!((at(2.0) - 1.0).abs() < 1e-12);
        assert!((at(f64::NAN) - 1.0).abs() < 1e-12);
    }

    /// Bands without a number on either side say nothing; no flux at all leaves the position.
    #[test]
    fn unknown_fluxes_are_left_out() {
        let truth = side(0.0, 0.1, &[10.0, f64::NAN], &[0.0, 0.0]);
        let alone = pair_cost(&truth, &side(0.1, 0.1, &[f64::NAN, 5.0], &[1.0, 1.0]), 1.0, 1.0);
        let agreeing = pair_cost(&truth, &side(0.1, 0.1, &[10.0, 5.0], &[1.0, 1.0]), 1.0, 1.0);
        assert!((alone - agreeing).abs() < 1e-12 && alone.is_finite());
    }
}

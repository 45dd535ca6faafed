//! The three limits beside 10⁴ noisy images each.

use super::monte_carlo::{FWHM_PX, Galaxy, Source, Star, bounds, fit, highest_peak, image};
use fathom_validation::limit::{Autocorrelation, Parameter, completeness, recognised_fraction};
use rayon::prelude::*;

/// A limit and what the images say.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub theory: f64,
    pub found: f64,
    /// Standard error of `found`.
    pub error: f64,
}

impl Row {
    /// found - theory in standard errors.
    pub fn pull(&self) -> f64 {
        (self.found - self.theory) / self.error
    }
}

fn share(what: String, theory: f64, n: u64, is_found: impl Fn(u64) -> bool + Sync) -> Row {
    let found = (0..n).into_par_iter().filter(|i| is_found(*i)).count() as f64 / n as f64;
    Row { what, theory, found, error: (theory * (1.0 - theory) / n as f64).sqrt() }
}

/// Share of the stars of a true S/N whose peak passes threshold 5.
pub fn detected(snr: f64, n: u64) -> Row {
    let what = format!("completeness at S/N {snr}");
    let key = format!("detected {snr}");
    let offset = |i: u64| ((i % 7) as f64 / 7.0 - 0.5, (i % 11) as f64 / 11.0 - 0.5);
    share(what, completeness(snr, 5.0, 1), n, |i| {
        let (x, y) = offset(i);
        highest_peak(&image(&[Star::new(snr, x, y)], &key, i)) > 5.0
    })
}

/// A parameter by name, and its value in a fitted source.
type Fitted<S> = (&'static str, Parameter, fn(&S) -> f64);

const OF_STAR: [Fitted<Star>; 3] =
    [("flux", Parameter::Flux(0), |s| s.snr), ("x", Parameter::East, |s| s.x_px), ("y", Parameter::North, |s| s.y_px)];

const OF_GALAXY: [Fitted<Galaxy>; 6] = [
    ("flux", Parameter::Flux(0), |g| g.parameters[0]),
    ("x", Parameter::East, |g| g.parameters[1]),
    ("y", Parameter::North, |g| g.parameters[2]),
    ("ln size", Parameter::Size, |g| g.parameters[3]),
    ("shear, plus", Parameter::ShearPlus, |g| g.parameters[4]),
    ("shear, cross", Parameter::ShearCross, |g| g.parameters[5]),
];

/// Scatter of fitted fluxes and positions of the first star over their bounds.
pub fn errors(name: &str, stars: &[Star], n: u64) -> Vec<Row> {
    errors_of(name, stars, &OF_STAR, n)
}

/// The same of the first galaxy, and of its shape.
pub fn galaxy_errors(name: &str, galaxies: &[Galaxy], n: u64) -> Vec<Row> {
    errors_of(name, galaxies, &OF_GALAXY, n)
}

fn errors_of<S: Source>(name: &str, sources: &[S], parameters: &[Fitted<S>], n: u64) -> Vec<Row> {
    let key = format!("errors {name}");
    let fitted: Vec<S> = (0..n).into_par_iter().map(|i| fit(&image(sources, &key, i), sources).0[0]).collect();
    let bounds = bounds(sources);
    let row = |(what, parameter, value): &Fitted<S>| {
        let mean = fitted.iter().map(value).sum::<f64>() / n as f64;
        let found = (fitted.iter().map(|s| (value(s) - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        let theory = bounds.error(0, *parameter);
        Row { what: format!("σ of {what}, {name}"), theory, found, error: theory / (2.0 * n as f64).sqrt() }
    };
    parameters.iter().map(row).collect()
}

/// Share of the pairs that a fit of two stars describes better than the best single star by χ² > 5².
pub fn recognised(snr: f64, flux_ratio: f64, separation_fwhm: f64, n: u64) -> Row {
    let d = separation_fwhm * FWHM_PX;
    let delta_chi2 = Autocorrelation::of_gaussian().delta_chi2(snr, flux_ratio, separation_fwhm);
    let what = format!("recognised at S/N {snr}, ratio {flux_ratio}, {separation_fwhm:.3} FWHM (Δχ² {delta_chi2:.1})");
    // The brighter one left, so that both are as far from the edge.
    let stars = [Star::new(snr, -0.5 * d, 0.1), Star::new(snr * flux_ratio, 0.5 * d, 0.1)];
    let key = format!("recognised {snr} {flux_ratio} {separation_fwhm}");
    share(what, recognised_fraction(delta_chi2), n, |i| {
        let pixels = image(&stars, &key, i);
        let center = -0.5 * d + d * flux_ratio / (1.0 + flux_ratio);
        let (_, one) = fit(&pixels, &[Star::new(snr * (1.0 + flux_ratio), center, 0.1)]);
        let (_, two) = fit(&pixels, &stars);
        one - two > 25.0
    })
}

//! Figures that the survey's requirements name and no other family has: `photometry.psf_flux.beyond_pa2`.
//!
//! # Source
//! LSST LPM-17 table 14: PF1, the share of bright stars whose magnitude is off by more than PA2.

use super::Metric;
use super::photometry::flux_errors;
use super::residual::{Residual, part};
use crate::statistics::share;
use crate::survey::Survey;

/// PA2 \[mmag\] in g, r, i and in all other bands.
const PA2_MMAG: (f64, f64) = (15.0, 22.5);
/// True S/N of the stars: below, PA2 is a fifth of the noise and more.
const BRIGHT: std::ops::Range<f64> = 300.0..10_000.0;

/// Share of isolated bright stars with abs(-2.5 log10(measured / true)) > PA2, by band; Wilson's interval.
pub(crate) fn survey_numbers(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for (band, name) in survey.input.bands.iter().enumerate() {
        let errors = flux_errors(survey, "psf_flux", band);
        let stars = part(&errors, |at| at.is_point && at.is_isolated && BRIGHT.contains(&at.snr));
        let pa2 = if ["g", "r", "i"].contains(&name.as_str()) { PA2_MMAG.0 } else { PA2_MMAG.1 };
        let n_beyond = stars.iter().filter(|r| is_beyond(r, pa2)).count();
        let figure = share(n_beyond, stars.len());
        out.push(Metric::new("photometry.psf_flux.beyond_pa2", "", figure).band(name).class("star").regime("snr 300-10000"));
    }
}

/// A flux of none or less than none is beyond any magnitude.
fn is_beyond(residual: &Residual, pa2_mmag: f64) -> bool {
    let mmag = 2500.0 * (1.0 + residual.error).log10();
    mmag.is_nan() || mmag.abs() > pa2_mmag
}

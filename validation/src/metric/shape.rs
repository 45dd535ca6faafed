//! Shapes of matched galaxies: `shape.{e1,e2,size}.*` per band (figures: [`super::residual`]).
//!
//! The catalog has adaptive second moments M with the PSF in them. The moments of the PSF are the medians over matched, isolated point
//! sources of S/N 20 to 300 of the arm; with M' = M - M_psf, e1 = (M'xx - M'yy)/(M'xx + M'yy), e2 = 2 M'xy/(M'xx + M'yy), and the
//! half-light radius of a Gaussian is 1.1774 √(½ tr M'). True are e = (1 - q²)/(1 + q²) along the position angle, and r √q. For a
//! profile that is no Gaussian the subtraction is an approximation: a bias of some per cent of e, and of some tens of per cent of a
//! size, belongs to the estimator. Galaxies of a half-light radius of at least 0.3 FWHM; e is in the axes of the tract (x is west).
//!
//! # Source
//! Bernstein & Jarvis 2002, AJ 123, 583 (adaptive moments); Hirata & Seljak 2003, MNRAS 343, 459 (why the subtraction is not exact).

use super::Metric;
use super::residual::{Conditions, Detail, Report, Residual, part};
use crate::scene::optional;
use crate::statistics::median;
use crate::survey::Survey;

/// Smaller galaxies have no shape of their own \[FWHM\].
const SMALLEST_FWHM: f64 = 0.3;
/// S/N of the stars that say what the PSF is.
const STAR_SNR: std::ops::Range<f64> = 20.0..300.0;
/// Half-light radius of a Gaussian in units of its σ.
const GAUSSIAN_HALF_LIGHT: f64 = 1.177_41;
/// Moments less the PSF's below this share of the PSF's are noise.
const RESOLVED: f64 = 0.02;

/// Measured moments xx, yy, xy of a band \[arcsec²\].
pub(crate) struct Moments<'a> {
    columns: [&'a [f64]; 3],
    flag: Option<&'a [bool]>,
}

impl<'a> Moments<'a> {
    /// None if the catalog of the arm has none.
    pub fn new(survey: &Survey<'a>, arm: usize, band: usize) -> Option<Self> {
        let (table, band) = (&survey.input.arms[arm].catalog, &survey.input.bands[band]);
        let column = |k: &str| table.f64(&format!("{band}_moment_{k}")).ok();
        let flag = table.bool(&format!("{band}_moments_flag")).ok();
        Some(Self { columns: [column("xx")?, column("yy")?, column("xy")?], flag })
    }

    /// Moments of a row; none where the measurement failed.
    pub fn at(&self, row: usize) -> Option<[f64; 3]> {
        let m = self.columns.map(|c| c[row]);
        (!self.flag.is_some_and(|f| f[row]) && m.iter().all(|m| m.is_finite()) && m[0] + m[1] > 0.0).then_some(m)
    }
}

/// Moments of every arm, and those of its PSF.
pub(crate) fn moments_of_arms<'a>(survey: &Survey<'a>, band: usize) -> Vec<Option<(Moments<'a>, [f64; 3])>> {
    (0..survey.scenes.len())
        .map(|arm| {
            let moments = Moments::new(survey, arm, band)?;
            let stars = survey.tally(|piece, stars: &mut Vec<[f64; 3]>| {
                for (t, detection) in piece.pairs().filter(|_| piece.arm == arm) {
                    let at = Conditions::of(survey, piece, &t, detection, Some(band));
                    if at.is_point && at.is_isolated && STAR_SNR.contains(&at.snr) {
                        stars.extend(moments.at(detection.row));
                    }
                }
            });
            let psf = [0, 1, 2].map(|k| median(&stars.iter().map(|m| m[k]).collect::<Vec<_>>()));
            psf[0].is_finite().then_some((moments, psf))
        })
        .collect()
}

/// Galaxies of every band.
pub(crate) fn shape(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for (band, name) in survey.input.bands.iter().enumerate() {
        let all = shape_errors(survey, band);
        for (k, (what, unit)) in [("e1", ""), ("e2", ""), ("size", "")].into_iter().enumerate() {
            let errors: Vec<Residual> = all.iter().map(|e| e[k]).collect();
            let report = Report { survey, name: format!("shape.{what}"), unit, band: name.clone(), class: "galaxy" };
            report.push_by_snr(out, "", &part(&errors, |at| at.is_isolated), Detail::Errors);
            let blended = part(&errors, |at| !at.is_isolated);
            if !blended.is_empty() {
                report.push_by_snr(out, "blended", &blended, Detail::Errors);
            }
        }
    }
}

/// Errors of e1, e2 and relative size.
fn shape_errors(survey: &Survey, band: usize) -> Vec<[Residual; 3]> {
    let moments = moments_of_arms(survey, band);
    let truth: Vec<_> = survey
        .input
        .arms
        .iter()
        .map(|arm| {
            let column = |name: &str| optional(&arm.truth, name).ok().flatten();
            let bounds = ["e1", "e2", "radius"].map(|k| ["alone", "blend"].map(|w| column(&format!("{k}_err_{w}"))));
            Some((column("axis_ratio")?, column("position_angle")?, bounds))
        })
        .collect();
    survey.tally(|piece, errors: &mut Vec<[Residual; 3]>| {
        let (Some((moments, psf)), Some((q, angle, bounds))) = (&moments[piece.arm], &truth[piece.arm]) else { return };
        for (t, detection) in piece.pairs().filter(|(t, _)| t.truth.half_light_radius >= SMALLEST_FWHM * survey.input.fwhm_arcsec[band]) {
            let Some(m) = moments.at(detection.row) else { continue };
            let own = [0, 1, 2].map(|k| m[k] - psf[k]);
            let trace = own[0] + own[1];
            if trace < RESOLVED * (psf[0] + psf[1]) {
                continue;
            }
            let at = Conditions::of(survey, piece, &t, detection, Some(band));
            let measured = [(own[0] - own[1]) / trace, 2.0 * own[2] / trace, GAUSSIAN_HALF_LIGHT * (0.5 * trace).sqrt()];
            let radius = t.truth.half_light_radius * q[t.i].max(0.0).sqrt();
            let [e1, e2] = true_ellipticity(q[t.i], angle[t.i]);
            let limit = |k: usize| bounds[k][usize::from(!at.is_isolated)].map_or(f64::NAN, |b| b[t.i]);
            let of = |error: f64, limit: f64| Residual { error, sigma: f64::NAN, limit, at };
            let size = of(measured[2] / radius - 1.0, limit(2) / radius);
            errors.push([of(measured[0] - e1, limit(0)), of(measured[1] - e2, limit(1)), size]);
        }
    })
}

/// (e1, e2) on the tract, whose x points west and whose y points north, of an axis ratio and a position angle \[deg, east of north\].
fn true_ellipticity(axis_ratio: f64, position_angle_deg: f64) -> [f64; 2] {
    let e = (1.0 - axis_ratio * axis_ratio) / (1.0 + axis_ratio * axis_ratio);
    // The major axis lies at 90° + PA from x, so that both cosine and sine of the double angle change sign.
    let (sin, cos) = (2.0 * position_angle_deg.to_radians()).sin_cos();
    [-e * cos, -e * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// North-south (0°) is longer in y; east of north by 45° leans to -x, +y: negative xy.
    #[test]
    fn ellipticity_follows_the_position_angle() {
        let e = 0.6; // q = 0.5: (1 - 0.25)/(1 + 0.25)
        for (angle, expected) in [(0.0, [-e, 0.0]), (90.0, [e, 0.0]), (45.0, [0.0, -e])] {
            let found = true_ellipticity(0.5, angle);
            assert!((found[0] - expected[0]).abs() < 1e-12 && (found[1] - expected[1]).abs() < 1e-12, "{angle}: {found:?}");
        }
    }
}

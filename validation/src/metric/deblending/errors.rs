//! Errors of the matched members of blends, against what makes a blend hard.

use super::super::axis::{Axis, BLENDEDNESS, FLUX_RATIO, RESIDUAL_SNR, SEPARATION};
use super::super::residual::{Conditions, Detail, Report, Residual, part};
use super::super::shape::moments_of_arms;
use super::super::{Figure, Metric, colour, photometry};
use super::BLENDED_FWHM;
use crate::matching::TruthFate;
use crate::statistics::{mean, median};
use crate::survey::Survey;
use fathom::catalog::Table;

/// Smallest true S/N in the band: flux that a band does not see well scatters by more than itself, blended or not.
const SMALLEST_SNR: f64 = 5.0;
/// Pulls larger than this are outliers, which would be the correlation all by themselves.
const CLIP_PULL: f64 = 10.0;
/// Fewest pairs of a correlation.
const FEWEST_PAIRS: u64 = 5;

/// `deblend.{flux_error, colour_error, centroid_error, shape_error}.*` (figures: [`super::super::residual`]).
///
/// Matched members of blends (a detectable neighbour within 2 FWHM, S/N of at least 5 in the band), over all and against separation,
/// flux ratio, blendedness as measured, and S/N. Flux (PSF flux, relative, bound of the blend) and colour \[mag\] as in photometry; the
/// centroid along the line to the neighbour, positive towards it \[mas\]; the shape as ellipticity along that line, less the PSF's: a
/// neighbour's light that was left in pulls both up. Only point sources have a shape that is known without a model: it is 0.
pub(crate) fn errors(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for (band, name) in survey.input.bands.iter().enumerate() {
        let fluxes = photometry::flux_errors(survey, "psf_flux", band);
        report(survey, out, ("flux_error", "", Detail::Pulls), name, &fluxes);
        report(survey, out, ("shape_error", "", Detail::Errors), name, &shape_errors(survey, band));
        correlation(survey, out, band);
    }
    for blue in 0..survey.input.bands.len().saturating_sub(1) {
        let name = format!("{}-{}", survey.input.bands[blue], survey.input.bands[blue + 1]);
        report(survey, out, ("colour_error", "mag", Detail::Pulls), &name, &colour::colour_errors(survey, "psf_flux", blue));
    }
    report(survey, out, ("centroid_error", "mas", Detail::Pulls), "", &centroid_errors(survey));
}

/// All figures of one quantity: name, unit, and detail.
fn report(survey: &Survey, out: &mut Vec<Metric>, (what, unit, detail): (&str, &'static str, Detail), band: &str, errors: &[Residual]) {
    let report = Report { survey, name: format!("deblend.{what}"), unit, band: band.to_owned(), class: "" };
    let members = part(errors, |at| at.is_detectable && at.snr >= SMALLEST_SNR && at.separation_fwhm.is_finite());
    let close: Vec<&Residual> = members.iter().copied().filter(|r| r.at.separation_fwhm < BLENDED_FWHM).collect();
    report.push(out, "", &close, detail);
    let mut against = |axis: &Axis, group: &[&Residual], value: &dyn Fn(&Conditions) -> f64| {
        for bin in 0..axis.n_bins() {
            let of_bin: Vec<&Residual> = group.iter().copied().filter(|r| axis.bin(value(&r.at)) == Some(bin)).collect();
            report.push_bin(out, &axis.regime(bin), &of_bin, detail);
        }
    };
    against(&SEPARATION, &members, &|at| at.separation_fwhm);
    against(&FLUX_RATIO, &close, &|at| at.flux_ratio);
    against(&BLENDEDNESS, &close, &|at| at.blendedness);
    against(&RESIDUAL_SNR, &close, &|at| at.snr);
}

/// Unit vector from a truth to its neighbour on the plane (east, north).
fn towards(truth: &[crate::scene::Truth], i: usize) -> Option<[f64; 2]> {
    let (j, distance) = truth[i].neighbour?;
    (distance > 0.0).then(|| [0, 1].map(|k| (truth[j].point[k] - truth[i].point[k]) / distance))
}

/// Position errors along the line to the neighbour \[mas\].
fn centroid_errors(survey: &Survey) -> Vec<Residual> {
    survey.tally(|piece, errors: &mut Vec<Residual>| {
        for (t, detection) in piece.pairs() {
            let Some(line) = towards(&piece.scene.truth, t.i) else { continue };
            let at = Conditions::of(survey, piece, &t, detection, None);
            let along: f64 = (0..2).map(|k| line[k] * (detection.point[k] - t.truth.point[k])).sum();
            let sigma = (0..2).map(|k| (line[k] * detection.point_err[k]).powi(2)).sum::<f64>().sqrt();
            let information: f64 =
                piece.scene.snr(t.i).iter().zip(&survey.input.sqrt_l2).map(|(s, l)| (s * l).powi(2)).filter(|i| i.is_finite()).sum();
            let limit = if at.is_point { 1e3 / information.sqrt() } else { f64::NAN };
            errors.push(Residual { error: 1e3 * along, sigma: 1e3 * sigma, limit, at });
        }
    })
}

/// Ellipticity of point sources along the line to the neighbour, less that of the PSF.
fn shape_errors(survey: &Survey, band: usize) -> Vec<Residual> {
    let moments = moments_of_arms(survey, band);
    survey.tally(|piece, errors: &mut Vec<Residual>| {
        let Some((moments, psf)) = &moments[piece.arm] else { return };
        for (t, detection) in piece.pairs().filter(|(t, _)| t.truth.is_point) {
            let (Some(line), Some(m)) = (towards(&piece.scene.truth, t.i), moments.at(detection.row)) else { continue };
            let at = Conditions::of(survey, piece, &t, detection, Some(band));
            // x of the tract points west.
            let (x, y) = (-line[0], line[1]);
            let along = |m: &[f64; 3]| ((m[0] - m[1]) * (x * x - y * y) + 4.0 * m[2] * x * y) / (m[0] + m[1]);
            errors.push(Residual { error: along(&m) - along(psf), sigma: f64::NAN, limit: f64::NAN, at });
        }
    })
}

/// `deblend.flux_error_correlation` per band and separation: correlation of the flux pulls of neighbours that are both matched.
///
/// ρ = Σ p_1 p_2 / √(Σ p_1² Σ p_2²) about the medians, of mutual nearest neighbours, pulls clipped at 10. What a deblender takes from
/// one it gives to the other: ρ < 0. The limit is what the best joint fit would show on the same pairs: the mean of
/// cov(F_1, F_2) / (σ_1 σ_2) from the Fisher matrices of their blends; none where no pair of a bin has one.
///
/// # Source
/// Algorithms section 3.2: missing everywhere else.
fn correlation(survey: &Survey, out: &mut Vec<Metric>, band: usize) {
    let columns: Vec<_> = (0..survey.scenes.len()).map(|arm| photometry::Fluxes::new(survey, arm, "psf_flux", band)).collect();
    let bounds: Vec<_> = survey.input.arms.iter().map(|arm| BlendCovariances::new(&arm.blend_fisher, &survey.input.bands[band])).collect();
    let pairs = survey.tally(|piece, pairs: &mut Vec<Pair>| {
        let Some(columns) = &columns[piece.arm] else { return };
        let truth = &piece.scene.truth_bands[band];
        let pull = |i: usize, d: usize| {
            let (flux, sigma) = columns.at(piece.scene.detections[d].row)?;
            let pull = (flux - truth.flux[i]) / sigma;
            (pull.is_finite() && truth.snr[i] >= SMALLEST_SNR).then_some(pull.clamp(-CLIP_PULL, CLIP_PULL))
        };
        for (t, _) in piece.pairs().filter(|(t, _)| t.truth.is_detectable) {
            let (Some((j, distance)), TruthFate::Matched(d)) = (t.truth.neighbour, t.fate) else { continue };
            let is_mutual = piece.scene.truth[j].neighbour.is_some_and(|n| n.0 == t.i);
            if let (true, TruthFate::Matched(e)) = (is_mutual && t.i < j, piece.matches.truth[j])
                && let (Some(p), Some(q)) = (pull(t.i, d), pull(j, e))
            {
                // In each pair the brighter comes first: else the order of the catalog would decide which mean is whose.
                let ordered = if truth.flux[t.i] >= truth.flux[j] { [p, q] } else { [q, p] };
                let blend_err = |k: usize| truth.flux_err_blend.map_or(f64::NAN, |e| e[k]);
                let covariance = bounds[piece.arm].of(t.truth.id, piece.scene.truth[j].id);
                pairs.push(Pair {
                    block: t.block,
                    separation_fwhm: distance / survey.fwhm,
                    pulls: ordered,
                    limit: covariance / (blend_err(t.i) * blend_err(j)),
                });
            }
        }
    });
    let name = &survey.input.bands[band];
    let mut push = |regime: &str, low: f64, high: f64| {
        let group: Vec<_> = pairs.iter().filter(|p| (low..high).contains(&p.separation_fwhm)).collect();
        if regime.is_empty() || !group.is_empty() {
            let figure = correlation_figure(survey, &group);
            let known: Vec<f64> = group.iter().map(|p| p.limit).filter(|v| v.is_finite()).collect();
            let limit = (!known.is_empty()).then(|| mean(&known));
            out.push(Metric::new("deblend.flux_error_correlation", "", figure).band(name).regime(regime).limit(limit));
        }
    };
    push("", 0.0, BLENDED_FWHM);
    for bin in 0..SEPARATION.n_bins() {
        push(&SEPARATION.regime(bin), SEPARATION.edges[bin as usize], SEPARATION.edges[bin as usize + 1]);
    }
}

/// Two neighbours that are both matched.
struct Pair {
    block: u32,
    separation_fwhm: f64,
    /// Of the brighter and of the fainter.
    pulls: [f64; 2],
    /// Correlation of their fluxes in the best joint fit; NaN where it is not known.
    limit: f64,
}

/// Covariances of neighbours' fluxes in one band \[nJy²\], to be found by both ids.
struct BlendCovariances<'a> {
    /// Rows in the order of (id, neighbour).
    order: Vec<usize>,
    columns: Option<(&'a [i64], &'a [i64], &'a [f64])>,
}

impl<'a> BlendCovariances<'a> {
    fn new(table: &'a Table, band: &str) -> Self {
        let columns =
            || Some((table.i64("id").ok()?, table.i64("neighbour_id").ok()?, table.f64(&format!("{band}_flux_covariance")).ok()?));
        let columns = columns();
        let mut order: Vec<usize> = (0..columns.map_or(0, |c| c.0.len())).collect();
        if let Some((ids, neighbours, _)) = columns {
            order.sort_by_key(|&row| (ids[row], neighbours[row]));
        }
        Self { order, columns }
    }

    fn of(&self, id: i64, neighbour: i64) -> f64 {
        let Some((ids, neighbours, covariances)) = self.columns else { return f64::NAN };
        let place = self.order.binary_search_by_key(&(id, neighbour), |&row| (ids[row], neighbours[row]));
        place.map_or(f64::NAN, |k| covariances[self.order[k]])
    }
}

fn correlation_figure(survey: &Survey, pairs: &[&Pair]) -> Figure {
    let n = pairs.len() as u64;
    let middle = [0, 1].map(|k| median(&pairs.iter().map(|p| p.pulls[k]).collect::<Vec<_>>()));
    let products = |p: &[f64; 2]| {
        let [a, b] = [p[0] - middle[0], p[1] - middle[1]];
        [a * b, a * a, b * b]
    };
    let sums = pairs.iter().map(|p| products(&p.pulls)).fold([0.0; 3], |s, p| [s[0] + p[0], s[1] + p[1], s[2] + p[2]]);
    let of = |s: &[f64]| s[0] / (s[1] * s[2]).sqrt();
    let value = of(&sums);
    if n < FEWEST_PAIRS || !value.is_finite() {
        return Figure { n, ..Figure::NONE };
    }
    let entries = pairs.iter().flat_map(|p| products(&p.pulls).into_iter().enumerate().map(|(k, v)| (p.block, k, v))).collect();
    let (lo, hi) = survey.replicates.interval_of(3, entries, of);
    Figure { value: Some(value), lo, hi, n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use fathom::catalog::ColumnData;

    /// Rows in any order, one each way; what is not listed is not known.
    #[test]
    fn covariances_are_found_by_both_ids() {
        let mut table = Table::new();
        table.push("id", "", "", ColumnData::I64(vec![7, 3, 7])).unwrap();
        table.push("neighbour_id", "", "", ColumnData::I64(vec![9, 7, 3])).unwrap();
        table.push("r_flux_covariance", "nJy2", "", ColumnData::F64(vec![-1.0, -2.0, -3.0])).unwrap();
        let covariances = BlendCovariances::new(&table, "r");
        for ((id, neighbour), expected) in [((3, 7), -2.0), ((7, 3), -3.0), ((7, 9), -1.0)] {
            assert_relative_eq!(covariances.of(id, neighbour), expected);
        }
        assert!(covariances.of(9, 7).is_nan());
        assert!(BlendCovariances::new(&table, "g").of(3, 7).is_nan());
        assert!(BlendCovariances::new(&Table::new(), "r").of(3, 7).is_nan());
    }
}

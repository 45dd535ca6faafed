//! How well the same object measured twice agrees: `photometry.<algorithm>.repeatability` \[mmag\], `astrometry.repeatability` \[mas\].
//!
//! The same object: same id, position (1 mas) and flux (1e-6) in the truth of several arms whose noise is independent. Of n measurements
//! each deviation from their mean, times √(n/(n-1)), is one value; the figure is 1.4826 times their median absolute deviation. Isolated
//! point sources. Not measured where no object was seen twice, or where the arms share their noise (injection).
//!
//! # Source
//! LSST OSS-REQ-0387, PA1: rms about the mean of repeated measurements.

use super::Metric;
use super::axis::RESIDUAL_SNR;
use super::photometry::Fluxes;
use crate::statistics::{Samples, median};
use crate::survey::Survey;
use std::collections::BTreeMap;

/// Millimagnitudes per relative flux.
const MMAG: f64 = 1_085.736_2;
/// Positions that are the same \[arcsec\], and relative fluxes.
const SAME_ARCSEC: f64 = 1e-3;
const SAME_FLUX: f64 = 1e-6;
/// True S/N of the regime `bright`.
const BRIGHT_SNR: f64 = 100.0;

/// One measurement of an object: block, true S/N, bound, value.
#[derive(Debug, Clone, Copy)]
struct Measured {
    block: u32,
    ra_dec: [f64; 2],
    flux: f64,
    snr: f64,
    limit: f64,
    value: f64,
}

/// Fluxes of every algorithm and band, and positions.
pub(crate) fn repeatability(survey: &Survey, out: &mut Vec<Metric>) {
    if !survey.has_truth() {
        return;
    }
    for algorithm in survey.flux_algorithms() {
        for (band, name) in survey.input.bands.iter().enumerate() {
            let columns: Vec<_> = (0..survey.scenes.len()).map(|arm| Fluxes::new(survey, arm, &algorithm, band)).collect();
            let name_of = format!("photometry.{algorithm}.repeatability");
            report(survey, out, &name_of, "mmag", name, band, &|arm, row, true_flux, bound| {
                let (flux, _) = columns[arm].as_ref()?.at(row)?;
                (flux > 0.0).then_some((-MMAG * flux.ln(), MMAG * bound / true_flux))
            });
        }
    }
    for (axis, name) in super::astrometry::AXES.into_iter().enumerate() {
        let table = |arm: usize| &survey.input.arms[arm].catalog;
        let columns: Vec<_> = (0..survey.scenes.len()).map(|arm| table(arm).f64(name).ok()).collect();
        let scale = |dec: f64| if axis == 0 { dec.to_radians().cos() } else { 1.0 };
        report(survey, out, &format!("astrometry.{name}.repeatability"), "mas", "", 0, &|arm, row, _, _| {
            let dec = table(arm).f64("dec").ok()?[row];
            Some((3.6e6 * columns[arm]?[row] * scale(dec), f64::NAN))
        });
    }
}

/// Value and bound of (arm, row of the catalog, true flux, bound of the flux).
type ValueOf<'f> = dyn Fn(usize, usize, f64, f64) -> Option<(f64, f64)> + Sync + 'f;

fn report(survey: &Survey, out: &mut Vec<Metric>, name: &str, unit: &str, band_name: &str, band: usize, value_of: &ValueOf) {
    let by_id = survey.tally(|piece, by_id: &mut BTreeMap<i64, Vec<Measured>>| {
        let isolated = piece.pairs().filter(|(t, d)| t.truth.is_point && t.truth.is_isolated && d.is_single);
        for (t, detection) in isolated.filter(|_| survey.input.control.is_none() && survey.scenes.len() > 1) {
            let (truth, table) = (&piece.scene.truth_bands[band], &survey.input.arms[piece.arm].truth);
            let at = |name: &str| table.f64(name).map_or(f64::NAN, |c| c[t.i]);
            let flux = truth.flux[t.i];
            if let Some((value, limit)) = value_of(piece.arm, detection.row, flux, truth.flux_err_limit[t.i]) {
                let snr = truth.snr[t.i];
                by_id.entry(t.truth.id).or_default().push(Measured {
                    block: t.block,
                    ra_dec: [at("ra"), at("dec")],
                    flux,
                    snr,
                    limit,
                    value,
                });
            }
        }
    });
    let mut deviations: Vec<(Measured, f64)> = Vec::new();
    for mut measured in by_id.into_values() {
        let first = measured[0];
        measured.retain(|m| is_same(&first, m));
        let n = measured.len() as f64;
        if measured.len() > 1 {
            let mean = measured.iter().map(|m| m.value).sum::<f64>() / n;
            deviations.extend(measured.iter().map(|m| (*m, (m.value - mean) * (n / (n - 1.0)).sqrt())));
        }
    }
    let mut push = |regime: &str, wanted: &dyn Fn(&Measured) -> bool| {
        let group: Vec<&(Measured, f64)> = deviations.iter().filter(|d| wanted(&d.0)).collect();
        let samples: Samples = group.iter().map(|d| (d.0.block, d.1)).collect();
        let limits: Vec<f64> = group.iter().map(|d| d.0.limit).filter(|l| l.is_finite()).collect();
        let figure = survey.replicates.summary(&samples).mad_std;
        out.push(Metric::new(name, unit, figure).band(band_name).class("star").regime(regime).limit(Some(median(&limits))));
    };
    push("", &|_| true);
    push("bright", &|m| m.snr >= BRIGHT_SNR);
    for bin in 0..RESIDUAL_SNR.n_bins() {
        if deviations.iter().any(|d| RESIDUAL_SNR.bin(d.0.snr) == Some(bin)) {
            push(&RESIDUAL_SNR.regime(bin), &|m| RESIDUAL_SNR.bin(m.snr) == Some(bin));
        }
    }
}

fn is_same(a: &Measured, b: &Measured) -> bool {
    let near = |axis: usize, scale: f64| (a.ra_dec[axis] - b.ra_dec[axis]).abs() * scale * 3600.0 < SAME_ARCSEC;
    near(0, a.ra_dec[1].to_radians().cos()) && near(1, 1.0) && (a.flux / b.flux - 1.0).abs() < SAME_FLUX
}

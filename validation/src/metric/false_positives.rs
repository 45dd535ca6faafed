//! Density of layer peaks against significance, beside what pure noise gives.
//!
//! `detection.peaks_per_arcmin2` of each layer, regime `negative > 4.0`: peaks of the negated map at least this significant, per arcmin²,
//! with the exact Poisson interval; the limit is the expectation of Gaussian noise of the layer's own curvature, with the skewness of
//! Poisson noise for the sign ([`crate::limit::band_peak_density`]). Positive peaks are counted only in scenes without sources: elsewhere
//! they are the sources. `detection.excess_false_peaks` is measured over expected at the layer's threshold, per sign.
//!
//! # Source
//! Algorithms section 2.0 (false positives); Garwood 1936, Biometrika 28, 437 (interval).

use super::Metric;
use crate::limit::{band_peak_density, free_sed_peak_density};
use crate::scene::FREE_SED;
use crate::statistics::rate;
use crate::survey::Survey;
use crate::{ArmData, LayerPeaks};

/// Significances at which peaks are counted, if the layer's threshold is not above.
const LEVELS: [f64; 6] = [3.5, 4.0, 4.5, 5.0, 5.5, 6.0];

/// All layers, both signs.
pub(crate) fn peak_density(survey: &Survey, out: &mut Vec<Metric>) {
    let input = survey.input;
    // Injections share the noise of their field: its arms are the same negative peaks again and again.
    let arms: Vec<&ArmData> = input.control.as_ref().map_or_else(|| input.arms.iter().collect(), |control| vec![control]);
    // Real fields have sources whether we know them or not; only a scene that says it has none counts positive peaks.
    let is_empty_sky = input.control.is_none() && arms.iter().all(|a| a.truth.n_rows() == 0);
    let Some(first) = arms.first() else { return };
    for (i, layer) in first.layers.iter().enumerate() {
        let pooled: Vec<&LayerPeaks> = arms.iter().filter_map(|a| a.layers.get(i)).filter(|l| l.name == layer.name).collect();
        let area: f64 = pooled.iter().map(|l| l.area_arcmin2).sum();
        let mut levels: Vec<f64> = LEVELS.iter().copied().filter(|&level| level >= layer.threshold).collect();
        if levels.first().is_none_or(|&l| l > layer.threshold) {
            levels.insert(0, layer.threshold);
        }
        for (sign, is_shown) in [("negative", true), ("positive", is_empty_sky)] {
            for &level in levels.iter().filter(|_| is_shown) {
                let peaks = |l: &LayerPeaks| {
                    let list = if sign == "negative" { &l.negative_peaks } else { &l.peaks };
                    list.iter().filter(|p| p[2].abs() >= level).count()
                };
                let count = pooled.iter().map(|l| peaks(l)).sum();
                let expected = expected_per_arcmin2(survey, layer, level, if sign == "negative" { -1.0 } else { 1.0 });
                if let Some(expected) = expected.filter(|&e| e > 0.0 && level <= levels[0]) {
                    let figure = rate(count, area * expected);
                    out.push(Metric::new("detection.excess_false_peaks", "", figure).band(&layer.name).regime(sign).limit(Some(1.0)));
                }
                let metric = Metric::new("detection.peaks_per_arcmin2", "1/arcmin2", rate(count, area)).band(&layer.name);
                out.push(metric.regime(&format!("{sign} > {}", level_name(level))).limit(expected));
            }
        }
    }
}

fn level_name(level: f64) -> String {
    // One digit where that is exact; thresholds of equal false-positive rate have more.
    if ((level * 10.0).round() - level * 10.0).abs() < 1e-9 { format!("{level:.1}") } else { format!("{level:.3}") }
}

/// Expected peaks per arcmin² of a layer above `level`; none for layers without theory.
pub(crate) fn expected_per_arcmin2(survey: &Survey, layer: &LayerPeaks, level: f64, sign: f64) -> Option<f64> {
    let input = survey.input;
    let per_arcsec2 = if layer.name == FREE_SED {
        let l2 = input.sqrt_l2.iter().map(|l| l * l).sum::<f64>() / input.sqrt_l2.len().max(1) as f64;
        free_sed_peak_density(level, l2, layer.n_bands)
    } else {
        let Some(band) = input.bands.iter().position(|b| *b == layer.name) else {
            // Discs and fixed colours: Gaussian noise of their own curvature. Their many pixels leave little skewness.
            let l2 = Some(layer.l2_per_arcsec2).filter(|l2| l2.is_finite())?;
            let density = if layer.name.starts_with(FREE_SED) {
                free_sed_peak_density(level, l2, layer.n_bands)
            } else {
                band_peak_density(level, l2.sqrt(), 0.0)
            };
            return Some(density * 3600.0);
        };
        let skewness = input.skewness.get(band).copied().filter(|s| s.is_finite()).unwrap_or(0.0);
        band_peak_density(level, input.sqrt_l2[band], sign * skewness)
    };
    Some(per_arcsec2 * 3600.0)
}

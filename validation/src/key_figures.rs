//! The few figures that a reader looks at first.

use crate::Metric;
use crate::metric::depth::ONE_MAG_BRIGHTER;
use crate::metric::purity::ABOVE_HALF;

/// A key figure: what it is, and its record.
pub(crate) struct KeyFigure<'a> {
    /// In words.
    pub label: String,
    /// Factor of the unit shown: 100 for per cent.
    pub scale: f64,
    /// Unit shown.
    pub unit: &'a str,
    /// Record.
    pub metric: &'a Metric,
}

/// Those of a run, in a fixed order; what was not measured is left out.
pub(crate) fn select(metrics: &[Metric]) -> Vec<KeyFigure<'_>> {
    let mut found = Vec::new();
    let mut add = |name: &str, class: &str, regime: &str, label: &str, scale: f64, unit: &'static str, banded: bool| {
        let wanted = |m: &&Metric| m.name == name && m.class == class && m.regime == regime && m.band.is_empty() != banded;
        for metric in metrics.iter().filter(wanted).filter(|m| m.value.is_some()) {
            let label = if banded { format!("{label}, {}", metric.band.replace('_', " ")) } else { label.to_owned() };
            found.push(KeyFigure { label, scale, unit, metric });
        }
    };
    add("detection.completeness.m50", "", "", "50 % completeness", 1.0, "mag", true);
    add("detection.completeness.m50", "", "isolated", "50 % completeness of isolated objects", 1.0, "mag", true);
    add("detection.layer_completeness.snr50", "", "isolated", "50 % point of the layer in true S/N", 1.0, "", true);
    add("detection.purity", "", "", "purity", 100.0, "%", false);
    add("detection.purity", "", ABOVE_HALF, "purity above the 50 % limit", 100.0, "%", false);
    add("detection.recovered", "", ONE_MAG_BRIGHTER, "found 1 mag above the 50 % limit", 100.0, "%", true);
    add("photometry.psf_flux.bias", "star", "bright", "flux bias of bright stars", 100.0, "%", true);
    add("photometry.psf_flux.pull_std", "star", "bright", "flux pull of bright stars, standard deviation", 1.0, "", true);
    add("astrometry.ra.pull_std", "star", "", "position pull in right ascension, standard deviation", 1.0, "", false);
    add("astrometry.dec.pull_std", "star", "", "position pull in declination, standard deviation", 1.0, "", false);
    add("deblend.unrecognised_fraction", "", "", "unrecognised blends within 1.5 FWHM", 100.0, "%", false);
    add("deblend.blend_fraction", "", "", "blended within 2 FWHM", 100.0, "%", false);
    found
}

/// A handful of lines for the terminal.
#[must_use]
pub fn key_figures(metrics: &[Metric]) -> Vec<String> {
    select(metrics)
        .iter()
        // Isolated objects and the second axis stand in the report.
        .filter(|k| !k.label.contains("isolated") && k.metric.name != "astrometry.dec.pull_std")
        .map(|k| {
            let unit = if k.unit.is_empty() { String::new() } else { format!(" {}", k.unit) };
            let limit = k.metric.limit.map_or(String::new(), |l| format!("; theory {}{unit}", number(k.scale * l)));
            format!("{}: {}{unit}{limit} (n = {})", k.label, with_interval(k.metric, k.scale), k.metric.n)
        })
        .collect()
}

/// `24.31 (24.25 to 24.37)`.
pub(crate) fn with_interval(metric: &Metric, scale: f64) -> String {
    let Some(value) = metric.value else { return "not measured".into() };
    match (metric.lo, metric.hi) {
        (Some(lo), Some(hi)) => format!("{} ({} to {})", number(scale * value), number(scale * lo), number(scale * hi)),
        _ => number(scale * value),
    }
}

/// Four significant digits, without an exponent where that is legible.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !size.is_finite() {
        return "n/a".into();
    }
    if (value - value.round()).abs() < 1e-9 * size && size < 1e9 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let digits = if size < 0.1 { digits.min(5) } else { digits };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_four_digits() {
        let shown = [24.312_34, 0.012_345_6, 600.0, 1.0, 0.0, 123_456.7, -0.25].map(number);
        assert_eq!(shown, ["24.31", "0.01235", "600", "1", "0", "123457", "-0.2500"]);
    }
}

//! Plots of errors: fluxes, colours, positions, shapes.

use super::Metric;
use super::astrometry::{AXES, position_errors};
use super::axis::RESIDUAL_SNR;
use super::curves::{binned, limits, mark, plot, points, pull_panel, residual_panel, shift, values, x_range};
use super::photometry::flux_errors;
use super::residual::Residual;
use crate::plot::{Corner, MarkKind, Panel, Plot, Section};
use crate::survey::Survey;

/// All plots of errors that the run has data for.
pub(crate) fn plots(survey: &Survey, metrics: &[Metric]) -> Vec<Plot> {
    [photometry, algorithms, colour, astrometry, shapes].iter().filter_map(|f| f(survey, metrics)).collect()
}

/// Records against S/N on a logarithmic axis.
fn by_log_snr<'m>(metrics: &'m [Metric], name: &str, band: &str, class: &str) -> Vec<(f64, &'m Metric)> {
    let prefix = format!("{} ", RESIDUAL_SNR.name);
    binned(metrics, name, band, class, &prefix).into_iter().map(|(x, m)| (x.log10(), m)).collect()
}

fn stars(errors: &[Residual]) -> impl Iterator<Item = &Residual> {
    errors.iter().filter(|e| e.at.is_point && e.at.is_isolated)
}

fn photometry(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let (mut marks, mut pulls) = (Vec::new(), Vec::new());
    let bands = &survey.input.bands;
    for (i, band) in bands.iter().enumerate() {
        let records = binned(metrics, "photometry.psf_flux.bias", band, "star", "mag ");
        if !records.is_empty() {
            marks.push(mark(band.as_str(), i, points(&records, 100.0, shift(i, bands.len(), survey.config.magnitude_bin))));
        }
        let errors = flux_errors(survey, "psf_flux", i);
        pulls.push((band.clone(), i, stars(&errors).map(|e| e.error / e.sigma).filter(|p| p.is_finite()).collect()));
    }
    let x = x_range(&marks, (20.0, 28.0));
    let mut panels: Vec<Panel> = residual_panel("true magnitude [AB]", "median flux error [%]", x, marks, 1.0).into_iter().collect();
    panels.extend(pull_panel("flux pull, (measured - true) / error", pulls));
    let caption = "Left: median of (measured - true) / true; bars: 95 % (bootstrap over blocks of sky). At the detection limit only \
                   upward scatter is detected, so the median rises. Right: error over quoted error.";
    plot("photometry", Section::Photometry, "PSF fluxes of isolated point sources", caption, panels)
}

/// Bias and scatter of all algorithms against S/N, in the middle band.
fn algorithms(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let band = survey.input.bands.get(survey.input.bands.len() / 2)?;
    let algorithms = survey.flux_algorithms();
    let mut panels = Vec::new();
    for (class, what) in [("star", "point sources"), ("galaxy", "galaxies")] {
        let mut marks = Vec::new();
        for (i, algorithm) in algorithms.iter().enumerate() {
            let records = by_log_snr(metrics, &format!("photometry.{algorithm}.bias"), band, class);
            if !records.is_empty() {
                marks.push(mark(algorithm.replace('_', " "), i, points(&records, 100.0, shift(i, algorithms.len(), 0.2))));
            }
        }
        let x = x_range(&marks, (0.7, 3.0));
        panels.extend(residual_panel(&format!("log10 of the true S/N, {what}, {band}"), "median flux error [%]", x, marks, 1.0));
    }
    let caption = "Median of (measured - true) / true of isolated objects, for every flux algorithm. Aperture fluxes are not corrected for \
                   the light outside of the aperture. Bars: 95 % (bootstrap over blocks of sky).";
    plot("photometry_algorithms", Section::Photometry, "Flux algorithms", caption, panels)
}

fn colour(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let bands = &survey.input.bands;
    let mut panels = Vec::new();
    for (class, before, what) in [("star", "snr ", "isolated point sources"), ("", "blended, snr ", "blended objects")] {
        let mut marks = Vec::new();
        for blue in 0..bands.len().saturating_sub(1) {
            let name = format!("{}-{}", bands[blue], bands[blue + 1]);
            let of = |what: &str| -> Vec<(f64, &Metric)> {
                let records = binned(metrics, &format!("photometry.psf_flux.colour.{what}"), &name, class, before);
                records.into_iter().map(|(x, m)| (x.log10(), m)).collect()
            };
            let (bias, scatter) = (of("bias"), of("scatter"));
            if !bias.is_empty() {
                marks.push(mark(name.clone(), blue, points(&bias, 1e3, shift(blue, bands.len(), 0.2))));
                marks.push(mark(format!("{name}, scatter"), blue, MarkKind::Dashed(values(&scatter, 1e3))));
                marks.push(mark(format!("{name}, bound"), blue, MarkKind::Line(limits(&scatter, 1e3))));
            }
        }
        let x = x_range(&marks, (0.7, 3.0));
        panels.extend(residual_panel(&format!("log10 of the true S/N, {what}"), "colour error [mmag]", x, marks, 10.0));
    }
    let caption = "Points: median of measured - true colour, PSF fluxes, with 95 % intervals; dashes: scatter; lines: Cramér-Rao bound of \
                   the scatter. S/N is that of the fainter band.";
    plot("colour", Section::Photometry, "Colours", caption, panels)
}

fn astrometry(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let errors = AXES.map(|name| (name, position_errors(survey, usize::from(name == "dec"))));
    let mut panels = Vec::new();
    let mut marks = Vec::new();
    let label = |axis: usize| ["right ascension", "declination"][axis];
    for (axis, (name, _)) in errors.iter().enumerate() {
        let to_log = |line: Vec<(f64, f64)>| line.into_iter().filter(|p| p.1 > 0.0).collect::<Vec<_>>();
        let records = by_log_snr(metrics, &format!("astrometry.{name}.scatter"), "", "star");
        if !records.is_empty() {
            marks.push(mark(label(axis), axis, points(&records, 1.0, shift(axis, 2, 0.2))));
            marks.push(mark(format!("{}, bound", label(axis)), axis, MarkKind::Line(to_log(limits(&records, 1.0)))));
        }
    }
    if !marks.is_empty() {
        let y = marks.iter().flat_map(|m| match &m.kind {
            MarkKind::Line(line) => line.iter().map(|p| p.1).collect(),
            kind => kind.bars().iter().map(|p| p[1]).collect::<Vec<_>>(),
        });
        let (low, high) = y.filter(|v| *v > 0.0).fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        if low < high {
            panels.push(Panel {
                x_label: "log10 of the true S/N, all bands".into(),
                y_label: "scatter of the position [mas]".into(),
                x: x_range(&marks, (0.7, 3.0)),
                y: (low.log10().floor(), high.log10().ceil()),
                log_y: true,
                marks,
                legend: Corner::UpperRight,
            });
        }
    }
    let pulls = |of: &dyn Fn(&Residual) -> f64| {
        let of_axis = |(axis, (_, errors)): (usize, &(&str, Vec<Residual>))| {
            (label(axis).to_owned(), axis, stars(errors).map(of).filter(|p| p.is_finite()).collect())
        };
        errors.iter().enumerate().map(of_axis).collect::<Vec<_>>()
    };
    panels.extend(pull_panel("position pull, (measured - true) / error", pulls(&|e| e.error / e.sigma)));
    panels.extend(pull_panel("(measured - true) / Cramér-Rao bound", pulls(&|e| e.error / e.limit)));
    let caption = "Left: scatter of each axis against true S/N, beside the Cramér-Rao bound of the same data. Middle: error over quoted \
                   error. Right: error over the bound.";
    plot("astrometry", Section::Astrometry, "Positions of isolated point sources", caption, panels)
}

fn shapes(survey: &Survey, metrics: &[Metric]) -> Option<Plot> {
    let bands = &survey.input.bands;
    let mut panels = Vec::new();
    for (what, y_label) in [("e1", "error of e1"), ("e2", "error of e2"), ("size", "size, measured / true - 1")] {
        let mut marks = Vec::new();
        for (i, band) in bands.iter().enumerate() {
            let (bias, scatter) = ("bias", "scatter");
            let of = |figure: &str| by_log_snr(metrics, &format!("shape.{what}.{figure}"), band, "galaxy");
            if !of(bias).is_empty() {
                marks.push(mark(band.as_str(), i, points(&of(bias), 1.0, shift(i, bands.len(), 0.2))));
                marks.push(mark(format!("{band}, scatter"), i, MarkKind::Dashed(values(&of(scatter), 1.0))));
            }
        }
        let x = x_range(&marks, (0.7, 3.0));
        panels.extend(residual_panel("log10 of the true S/N", y_label, x, marks, 0.05));
    }
    let caption = "Isolated galaxies of at least 0.3 FWHM: second moments less those of the PSF against the true shape. Points: median \
                   with 95 % interval; dashes: scatter. The subtraction is exact for Gaussians only.";
    plot("shapes", Section::Shapes, "Shapes of isolated galaxies", caption, panels)
}

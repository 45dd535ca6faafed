//! Backgrounds: recovered less true sky, per scale.

use super::objects::wrong;
use super::{Figure, Metric};
use crate::assess::SCALES_PX;
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::statistics::{Bootstrap, mean};
use crate::{ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};

/// `background.residual_mean`, `.residual_rms` (`regime` scale) in units of a pixel's noise, and `.residual_mean_sb`, `.residual_rms_sb` in nJy/arcsec².
///
/// Of each exposure with a known sky: the mean of recovered less true background, and the rms about it of the means of superpixels of
/// 8 to 256 pixels; over the exposures of a band: the mean, the root mean square. Intervals: bootstrap over exposures.
/// `limit`: fit noise of a model of p free numbers on N pixels of noise 1: √(min(p, number of superpixels) / N) for the rms, 1/√N for
/// the mean (algorithms 2.0, background matching).
pub(crate) fn background(input: &ValidateInput, n_bootstrap: usize) -> Result<(Vec<Metric>, Vec<Plot>), ValidationError> {
    let table = &input.assessed.backgrounds;
    let bootstrap = Bootstrap { seed: input.seed, what: "background", n: n_bootstrap };
    let mut metrics = Vec::new();
    for band in &input.bands {
        if table.columns().is_empty() {
            metrics.push(Metric::new("background.residual_mean", "pixel sigma", Figure::NONE).band(band));
            metrics.push(Metric::new("background.residual_rms", "pixel sigma", Figure::NONE).band(band));
        } else {
            of_band(table, band, &bootstrap, &mut metrics).map_err(wrong("backgrounds"))?;
        }
    }
    let plots = plot(&input.bands, &metrics).into_iter().collect();
    Ok((metrics, plots))
}

fn root_mean_square(values: &[f64]) -> f64 {
    mean(&values.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt()
}

fn of_band(table: &Table, band: &str, bootstrap: &Bootstrap, out: &mut Vec<Metric>) -> Result<(), TableError> {
    let bands = table.text("band")?;
    let rows: Vec<usize> = (0..table.n_rows()).filter(|&i| bands[i] == band).collect();
    let (sigma, n_nodes, n_pixels) = (table.f64("pixel_sigma")?, table.f64("n_nodes")?, table.f64("n_pixels")?);
    let of_rows = |value: &dyn Fn(usize) -> f64| rows.iter().map(|&i| value(i)).collect::<Vec<f64>>();
    let mut push = |name: &str, values: &[f64], statistic: fn(&[f64]) -> f64, regime: &str, limits: &[f64]| {
        let limit = root_mean_square(limits);
        let figure = bootstrap.figure(values, statistic);
        out.push(Metric::new(&format!("background.{name}"), "pixel sigma", figure).band(band).regime(regime).limit(Some(limit)));
        let bright: Vec<f64> = values.iter().zip(&rows).map(|(v, &i)| v * sigma[i]).collect();
        let figure = bootstrap.figure(&bright, statistic);
        out.push(Metric::new(&format!("background.{name}_sb"), "nJy/arcsec2", figure).band(band).regime(regime));
    };
    let mean_column = table.f64("mean")?;
    push(
        "residual_mean",
        &of_rows(&|i| mean_column[i]),
        mean,
        "",
        &of_rows(&|i| if n_nodes[i] > 0.0 { n_pixels[i].sqrt().recip() } else { 0.0 }),
    );
    for scale in SCALES_PX {
        let rms = table.f64(&format!("rms_{scale}px"))?;
        let limits = of_rows(&|i| (n_nodes[i].min(n_pixels[i] / (scale * scale) as f64) / n_pixels[i]).sqrt());
        push("residual_rms", &of_rows(&|i| rms[i]), root_mean_square, &format!("scale {scale} px"), &limits);
    }
    Ok(())
}

fn plot(bands: &[String], metrics: &[Metric]) -> Option<Plot> {
    let mut marks = Vec::new();
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    for (i, band) in bands.iter().enumerate() {
        let records = SCALES_PX.iter().filter_map(|scale| {
            let regime = format!("scale {scale} px");
            let m = metrics.iter().find(|m| m.name == "background.residual_rms" && m.band == *band && m.regime == regime)?;
            Some(((*scale as f64).log2() + 0.06 * (i as f64 - 1.0), m))
        });
        let records: Vec<_> = records.filter(|(_, m)| m.value.is_some_and(|v| v > 0.0)).collect();
        let points: Vec<[f64; 4]> =
            records.iter().filter_map(|(x, m)| Some([*x, m.value?, m.lo.or(m.value)?, m.hi.or(m.value)?])).collect();
        let line: Vec<(f64, f64)> = records.iter().filter_map(|(x, m)| Some((*x, m.limit.filter(|l| *l > 0.0)?))).collect();
        for v in points.iter().flat_map(|p| [p[2].max(0.1 * p[1]), p[3]]).chain(line.iter().map(|p| p.1)) {
            (low, high) = (low.min(v), high.max(v));
        }
        let colour = COLOURS[i % COLOURS.len()];
        marks.push(Mark { label: band.clone(), colour, kind: MarkKind::Points(points) });
        marks.push(Mark { label: String::new(), colour, kind: MarkKind::Dashed(line) });
    }
    (high > 0.0).then(|| Plot {
        name: "background".into(),
        section: Section::Background,
        title: "Residual background by scale".into(),
        caption: "Recovered less true sky of the exposures: rms about the mean of superpixels, in units of one pixel's noise. Dashes: fit \
                  noise of a model with as many free numbers. Bars: 95 % (bootstrap over exposures)."
            .into(),
        panels: vec![Panel {
            x_label: "log2 of the superpixel's side [pixel]".into(),
            y_label: "rms of the residual background [pixel noise]".into(),
            x: (2.7, 8.3),
            y: (low.log10().floor(), high.log10().ceil()),
            log_y: true,
            marks,
            legend: Corner::UpperRight,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::{BackgroundResidual, background_table};
    use crate::metric::objects::blank_input;
    use approx::assert_relative_eq;

    /// Two exposures by hand: mean of means, root mean square of rms, units, and the fit noise of 64 nodes on 1000 x 1000 pixels.
    #[test]
    fn two_exposures_by_hand() {
        let mut input = blank_input("r", Table::new());
        let row = |mean_adu, rms: f64| BackgroundResidual {
            exposure: "e".into(),
            band: "r".into(),
            mean_adu,
            rms_adu: [rms; 6],
            pixel_sigma_adu: 2.0,
            njy_arcsec2_per_adu: 10.0,
            n_nodes: 64,
            n_pixels: 1_000_000,
        };
        input.assessed.backgrounds = background_table(&[row(0.2, 0.3), row(-0.1, 0.4)]).unwrap();
        let (metrics, plots) = background(&input, 100).unwrap();
        let find = |name: &str, regime: &str| metrics.iter().find(|m| m.name == name && m.regime == regime).unwrap();
        assert_relative_eq!(find("background.residual_mean", "").value.unwrap(), 0.025);
        let rms = find("background.residual_rms", "scale 8 px");
        assert_relative_eq!(rms.value.unwrap(), (0.5 * (0.15f64.powi(2) + 0.2f64.powi(2))).sqrt());
        assert_relative_eq!(rms.limit.unwrap(), 0.008);
        assert!(rms.lo.unwrap() <= rms.value.unwrap() && rms.n == 2);
        // 15.26 superpixels of 256 pixels are fewer than the nodes.
        assert_relative_eq!(find("background.residual_rms", "scale 256 px").limit.unwrap(), 1.0 / 256.0, max_relative = 1e-9);
        assert_relative_eq!(find("background.residual_mean_sb", "").value.unwrap(), 0.5);
        assert_eq!(plots.len(), 1);
    }

    #[test]
    fn an_unknown_sky_is_not_measured() {
        let (metrics, plots) = background(&blank_input("r", Table::new()), 100).unwrap();
        assert!(metrics.len() == 2 && metrics.iter().all(|m| m.value.is_none()) && plots.is_empty());
    }
}

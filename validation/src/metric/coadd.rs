//! Coadds against what their inputs promise: depth, PSF, noise covariance.

use super::objects::wrong;
use super::{Figure, Metric};
use crate::plot::{COLOURS, Corner, Mark, MarkKind, Panel, Plot, Section};
use crate::statistics::{Bootstrap, interval, mad_std, median, share};
use crate::{ValidateInput, ValidationError};
use fathom::catalog::{Table, TableError};
use std::collections::BTreeSet;

/// A cell this much shallower than its exposures promise is counted \[mag\].
const SHALLOW_MAG: f64 = 0.1;
/// Half-range and bins of the histogram of depth differences \[mag\].
const DEPTH_RANGE: f64 = 0.15;
const DEPTH_BINS: usize = 60;

/// `coadd.depth`, `coadd.psf.*`, `coadd.noise.*`.
///
/// - `depth`: median over cells of the 5 σ point-source depth of the likelihood map, `limit` that of the exposures' calibrations without
///   a masked pixel; `depth.difference` the median of both's difference, `depth.shallow_fraction` the share of cells more than 0.1 mag shallower;
/// - `psf.core`, `.size`, `.e1`, `.e2`: median of star against CoaddPsf over stars, and `..._scatter`; `class` `data` (bright isolated
///   stars of the exposures) or `truth pixels` (noiseless); see [`crate::assess::StarResidual`];
/// - `noise.pull_mean`, `.pull_std` (`regime` kind of sum): sums over blank sky over their error predicted with the stored covariance.
///   1 expected of the standard deviation; more: covariance, background or undetected sources. Truth pixels, where there are, are
///   taken off first. `noise.clipped_fraction`: beyond 5 σ, left out.
///
/// Intervals: bootstrap over cells (noise, depth) and stars.
pub(crate) fn coadd(input: &ValidateInput, n_bootstrap: usize) -> Result<(Vec<Metric>, Vec<Plot>), ValidationError> {
    let bootstrap = Bootstrap { seed: input.seed, what: "coadd", n: n_bootstrap };
    let mut metrics = Vec::new();
    let assessed = &input.assessed;
    let mut differences = Vec::new();
    for band in &input.bands {
        differences.push(depth(&assessed.depths, band, &bootstrap, &mut metrics).map_err(wrong("depths"))?);
        psf(&assessed.psf_stars, band, &bootstrap, &mut metrics).map_err(wrong("psf_stars"))?;
        noise(&assessed.noise, band, &bootstrap, &mut metrics).map_err(wrong("noise"))?;
    }
    let plots = [depth_plot(&input.bands, &differences), noise_plot(&input.bands, &metrics)];
    Ok((metrics, plots.into_iter().flatten().collect()))
}

/// Rows of a band; none of a table without columns.
fn rows_of(table: &Table, band: &str) -> Result<Vec<usize>, TableError> {
    if table.columns().is_empty() {
        return Ok(Vec::new());
    }
    let bands = table.text("band")?;
    Ok((0..table.n_rows()).filter(|&i| bands[i] == band).collect())
}

/// Returns the differences, map - expected \[mag\].
fn depth(table: &Table, band: &str, bootstrap: &Bootstrap, out: &mut Vec<Metric>) -> Result<Vec<f64>, TableError> {
    let rows = rows_of(table, band)?;
    let (mut found, mut expected, mut difference) = (Vec::new(), Vec::new(), Vec::new());
    if !rows.is_empty() {
        let (map, promised) = (table.f64("depth")?, table.f64("expected_depth")?);
        for i in rows.into_iter().filter(|&i| map[i].is_finite() && promised[i].is_finite()) {
            found.push(map[i]);
            expected.push(promised[i]);
            difference.push(map[i] - promised[i]);
        }
    }
    out.push(Metric::new("coadd.depth", "mag", bootstrap.figure(&found, median)).band(band).limit(Some(median(&expected))));
    out.push(Metric::new("coadd.depth.difference", "mag", bootstrap.figure(&difference, median)).band(band).limit(Some(0.0)));
    let n_shallow = difference.iter().filter(|d| **d < -SHALLOW_MAG).count();
    out.push(Metric::new("coadd.depth.shallow_fraction", "", share(n_shallow, difference.len())).band(band).limit(Some(0.0)));
    Ok(difference)
}

fn psf(table: &Table, band: &str, bootstrap: &Bootstrap, out: &mut Vec<Metric>) -> Result<(), TableError> {
    let rows = rows_of(table, band)?;
    for class in ["data", "truth pixels"] {
        for name in ["core", "size", "e1", "e2"] {
            let values: Vec<f64> = if rows.is_empty() {
                Vec::new()
            } else {
                let (source, column) = (table.text("source")?, table.f64(name)?);
                rows.iter().filter(|&&i| source[i] == class && column[i].is_finite()).map(|&i| column[i]).collect()
            };
            let mut push = |name: String, figure| out.push(Metric::new(&name, "", figure).band(band).class(class).limit(Some(0.0)));
            push(format!("coadd.psf.{name}"), bootstrap.figure(&values, median));
            push(format!("coadd.psf.{name}_scatter"), bootstrap.figure(&values, mad_std));
        }
    }
    Ok(())
}

/// Sums of one cell: n, Σ pull, Σ pull².
type CellPulls = [f64; 3];

fn moments<'a>(cells: impl Iterator<Item = &'a CellPulls>) -> [f64; 2] {
    let [n, sum, squares] = cells.fold([0.0; 3], |s, c| [s[0] + c[0], s[1] + c[1], s[2] + c[2]]);
    let mean = sum / n;
    [mean, ((squares - n * mean * mean) / (n - 1.0)).max(0.0).sqrt()]
}

fn noise(table: &Table, band: &str, bootstrap: &Bootstrap, out: &mut Vec<Metric>) -> Result<(), TableError> {
    let rows = rows_of(table, band)?;
    if rows.is_empty() {
        out.push(Metric::new("coadd.noise.pull_std", "", Figure::NONE).band(band).limit(Some(1.0)));
        return Ok(());
    }
    let (sum, n, clipped) = (table.text("sum")?, table.i64("n")?, table.i64("n_clipped")?);
    let (pulls, squares) = (table.f64("sum_of_pulls")?, table.f64("sum_of_squares")?);
    let kinds: BTreeSet<&str> = rows.iter().map(|&i| sum[i].as_str()).collect();
    for kind in kinds {
        let of_kind = || rows.iter().copied().filter(|&i| sum[i] == kind);
        let cells: Vec<CellPulls> = of_kind().filter(|&i| n[i] > 0).map(|i| [n[i] as f64, pulls[i], squares[i]]).collect();
        let n_all: usize = of_kind().map(|i| n[i] as usize).sum();
        let n_clipped: usize = of_kind().map(|i| clipped[i] as usize).sum();
        for (k, (name, limit)) in [("pull_mean", 0.0), ("pull_std", 1.0)].into_iter().enumerate() {
            let figure = if n_all < 2 {
                Figure { n: n_all as u64, ..Figure::NONE }
            } else {
                let (lo, hi) = interval(bootstrap.resample(cells.len(), |draw| moments(draw.iter().map(|&r| &cells[r]))[k]));
                Figure { value: Some(moments(cells.iter())[k]), lo, hi, n: n_all as u64 }
            };
            out.push(Metric::new(&format!("coadd.noise.{name}"), "", figure).band(band).regime(kind).limit(Some(limit)));
        }
        out.push(Metric::new("coadd.noise.clipped_fraction", "", share(n_clipped, n_all + n_clipped)).band(band).regime(kind));
    }
    Ok(())
}

fn depth_plot(bands: &[String], differences: &[Vec<f64>]) -> Option<Plot> {
    let width = 2.0 * DEPTH_RANGE / DEPTH_BINS as f64;
    let mut high = 0.0f64;
    let mut marks = Vec::new();
    for (i, (band, values)) in bands.iter().zip(differences).enumerate().filter(|(_, (_, v))| !v.is_empty()) {
        let mut counts = vec![0usize; DEPTH_BINS];
        for v in values {
            // What is beyond the ends stands at the ends.
            counts[(((v + DEPTH_RANGE) / width).max(0.0) as usize).min(DEPTH_BINS - 1)] += 1;
        }
        let steps = counts.iter().enumerate().map(|(k, &n)| {
            let left = -DEPTH_RANGE + k as f64 * width;
            [left, left + width, n as f64 / values.len() as f64]
        });
        let steps: Vec<[f64; 3]> = steps.collect();
        high = steps.iter().map(|s| s[2]).fold(high, f64::max);
        let label = format!("{band}, {} cells, median {:+.3}", values.len(), median(values));
        marks.push(Mark { label, colour: COLOURS[i % COLOURS.len()], kind: MarkKind::Steps(steps) });
    }
    (!marks.is_empty()).then(|| Plot {
        name: "coadd_depth".into(),
        section: Section::Coadd,
        title: "Depth against the depth that the exposures promise".into(),
        caption:
            "5 σ point-source depth of the likelihood map at the middle of every cell, less that of the exposures' calibrations without \
                  masked pixels; values beyond the ends stand at the ends."
                .into(),
        panels: vec![Panel {
            x_label: "depth found - promised [mag]".into(),
            y_label: "share of cells".into(),
            x: (-DEPTH_RANGE, DEPTH_RANGE),
            y: (0.0, 1.1 * high),
            log_y: false,
            marks,
            legend: Corner::UpperRight,
        }],
    })
}

fn noise_plot(bands: &[String], metrics: &[Metric]) -> Option<Plot> {
    let mut marks = vec![Mark { label: String::new(), colour: (120, 120, 120), kind: MarkKind::Line(vec![(-0.2, 1.0), (100.0, 1.0)]) }];
    let (mut x_high, mut low, mut high) = (0.5f64, 0.9f64, 1.1f64);
    for (i, band) in bands.iter().enumerate() {
        let of_band = metrics.iter().filter(|m| m.name == "coadd.noise.pull_std" && m.band == *band && m.n >= 30);
        let points = of_band.filter_map(|m| {
            // The PSF's sum stands at 0, apertures at their radius.
            let radius = m.regime.strip_prefix("aperture ").map_or(Some(0.0), |r| r.split(' ').next()?.parse().ok())?;
            Some([radius + 0.03 * (i as f64 - 1.0), m.value?, m.lo.or(m.value)?, m.hi.or(m.value)?])
        });
        let points: Vec<[f64; 4]> = points.collect();
        for p in &points {
            (x_high, low, high) = (x_high.max(p[0]), low.min(p[2]), high.max(p[3]));
        }
        if !points.is_empty() {
            marks.push(Mark { label: band.clone(), colour: COLOURS[i % COLOURS.len()], kind: MarkKind::Points(points) });
        }
    }
    (marks.len() > 1).then(|| Plot {
        name: "coadd_noise".into(),
        section: Section::Coadd,
        title: "Noise of sums over blank sky".into(),
        caption:
            "Standard deviation of sums over source-free pixels of the direct coadd in units of the error that the stored noise covariance \
                  predicts; 1 is perfect. At 0: PSF-weighted sums; else apertures of that radius. Bars: 95 % (bootstrap over cells)."
                .into(),
        panels: vec![Panel {
            x_label: "radius of the aperture [arcsec]".into(),
            y_label: "scatter / predicted error".into(),
            x: (-0.2, x_high + 0.3),
            y: (low - 0.05, high + 0.05),
            log_y: false,
            marks,
            legend: Corner::LowerRight,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::{CellDepth, NoiseSums, StarResidual, depth_table, noise_table, star_table};
    use crate::metric::objects::blank_input;
    use approx::assert_relative_eq;
    use fathom::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    fn find<'a>(metrics: &'a [Metric], name: &str, regime: &str) -> &'a Metric {
        metrics.iter().find(|m| m.name == name && m.regime == regime).unwrap_or_else(|| panic!("{name} {regime}"))
    }

    /// Φ lower by a fifth is 1.25 log10(0.8) mag less depth.
    #[test]
    fn depth_by_hand() {
        let mut input = blank_input("r", Table::new());
        let cell = |k: u32, phi: f64| CellDepth { band: "r".into(), cell: [k, 0], phi, expected_phi: 0.01 };
        input.assessed.depths = depth_table(&[cell(0, 0.01), cell(1, 0.008), cell(2, 0.008), cell(3, 0.0)]).unwrap();
        let (metrics, plots) = coadd(&input, 50).unwrap();
        let difference = find(&metrics, "coadd.depth.difference", "");
        assert_relative_eq!(difference.value.unwrap(), 1.25 * 0.8f64.log10(), epsilon = 1e-12);
        assert_eq!(difference.n, 3);
        assert_relative_eq!(find(&metrics, "coadd.depth.shallow_fraction", "").value.unwrap(), 2.0 / 3.0);
        // 5 / √0.01 = 50 nJy.
        assert_relative_eq!(find(&metrics, "coadd.depth", "").limit.unwrap(), 31.4 - 2.5 * 50f64.log10(), epsilon = 1e-12);
        assert_eq!(plots.len(), 1);
    }

    /// Pulls of unit normals times 1.1: the standard deviation is 1.1 within 4/√(2n), and its interval about 1.96/√(2n) wide each way.
    #[test]
    fn pulls_of_known_width() {
        let mut rng = keyed_rng(3, "test", 0, 0);
        let cells: Vec<NoiseSums> = (0..200)
            .map(|k| {
                let mut sums = NoiseSums::new("r", "psf", [k, 0]);
                for _ in 0..20 {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    sums.add(1.1 * z);
                }
                sums
            })
            .collect();
        let mut input = blank_input("r", Table::new());
        input.assessed.noise = noise_table(&cells).unwrap();
        let (metrics, _) = coadd(&input, 400).unwrap();
        let std = find(&metrics, "coadd.noise.pull_std", "psf");
        let sigma = 1.1 / 8000f64.sqrt();
        assert!((std.value.unwrap() - 1.1).abs() < 4.0 * sigma, "{std:?}");
        assert!((std.hi.unwrap() - std.value.unwrap() - 1.96 * sigma).abs() < 0.7 * sigma, "{std:?}");
        assert!(find(&metrics, "coadd.noise.pull_mean", "psf").value.unwrap().abs() < 4.0 * 1.1 / 4000f64.sqrt());
    }

    #[test]
    fn stars_by_source() {
        let star =
            |source, core| ("r".to_owned(), source, [150.0, 2.0], 300.0, StarResidual { core, size: 0.02, ellipticity: [0.0, 0.01] });
        let mut input = blank_input("r", Table::new());
        input.assessed.psf_stars = star_table(&[star("data", 0.03), star("data", 0.01), star("truth pixels", 0.001)]).unwrap();
        let (metrics, _) = coadd(&input, 50).unwrap();
        let core = |class: &str| metrics.iter().find(|m| m.name == "coadd.psf.core" && m.class == class).unwrap().value.unwrap();
        assert_relative_eq!(core("data"), 0.02);
        assert_relative_eq!(core("truth pixels"), 0.001);
    }

    #[test]
    fn nothing_is_not_measured() {
        let (metrics, plots) = coadd(&blank_input("r", Table::new()), 50).unwrap();
        assert!(!metrics.is_empty() && metrics.iter().all(|m| m.value.is_none()) && plots.is_empty());
    }
}

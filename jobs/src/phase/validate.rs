//! validate: catalog against truth: metrics, plots, report.

use super::{Phase, Task, detect::Detect, measure::Measure, truth::Truth};
use crate::config::ExposeMode;
use crate::product_key;
use crate::run::Run;
use anyhow::{Context, Result};
use fathom::catalog::Table;
use fathom::coadd::noise_statistics;
use fathom::detect::{DetectLayers, LayerKind};
use fathom::format::coadd::Plane;
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom_validation::{ArmData, BandImage, LayerPeaks, MetricsFile, ReportInput, RunInfo, ValidateInput, validate, write_report};
use ndarray::Array2;
use std::path::PathBuf;

pub struct Validate;

/// Longest side of the report's picture \[pixel\].
const PICTURE_PX: usize = 1400;

impl Phase for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn about(&self) -> &'static str {
        "Compares the catalog with the truth.\n\nReads: <arm>/catalog, <arm>/limits, <arm>/layers, <arm>/parents.h5, <arm>/coadd.\nWrites: validation.h5 (matches), metrics.json, report/index.html."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let c = &run.config;
        let (config, name) = (product_key::section(&c.validate), product_key::section(&c.run));
        let mut inputs = Vec::new();
        for phase in [&Measure as &dyn Phase, &Truth, &Detect] {
            inputs.extend(phase.tasks(run)?.into_iter().map(|t| t.key));
        }
        let key = product_key::key("validate", [config.as_str(), &name].into_iter().chain(inputs.iter().map(String::as_str)));
        Ok(vec![Task {
            name: "all".into(),
            path: PathBuf::from("validation.h5"),
            extra_paths: vec!["metrics.json".into(), "report/index.html".into(), "report".into()],
            key,
            cost: 1.0,
            arm: 0,
            index: 0,
            may_be_skipped: false,
        }])
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let input = gather(run)?;
        let validated = validate(&run.config.validate, &input)?;
        let exposures: Vec<String> = super::expose::Expose.tasks(run)?.into_iter().map(|t| t.key).collect();
        let metrics = MetricsFile {
            schema: 1,
            run: RunInfo {
                name: run.config.run.name.clone(),
                bands: run.config.run.bands.clone(),
                config_hash: product_key::section(&run.config),
                exposures_key: product_key::key("exposures", exposures.iter().map(String::as_str)),
            },
            metrics: validated.metrics.clone(),
        };
        report(run, &input, &validated, &metrics)?;
        fathom::format::product::write_text(&run.path("metrics.json"), &(serde_json::to_string_pretty(&metrics)? + "\n"))?;
        fathom::format::table::write(&run.path(&task.path), &task.key, "matches", &validated.matches)?;
        Ok(())
    }
}

/// The catalog of an arm, all batches in order.
pub fn catalog(run: &Run, arm: usize) -> Result<Table> {
    let mut catalog = Table::new();
    for task in Measure.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        catalog.append(fathom::format::table::read(&run.path(&task.path), "catalog")?)?;
    }
    Ok(catalog)
}

/// True objects of an arm with their limits; no columns if the arm has none.
pub fn limits(run: &Run, arm: usize) -> Result<Table> {
    let mut limits = Table::new();
    for task in Truth.tasks(run)?.into_iter().filter(|t| t.arm == arm) {
        limits.append(fathom::format::table::read(&run.path(&task.path), "limits")?)?;
    }
    Ok(limits)
}

fn gather(run: &Run) -> Result<ValidateInput> {
    let bands = &run.config.run.bands;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let is_injection = run.config.expose.mode == ExposeMode::Inject;
    let first = usize::from(is_injection);
    let mosaic = run.mosaic(first)?;
    let inputs = run.band_inputs(first)?;
    let statistics: Vec<_> = bands.iter().map(|b| noise_statistics(&inputs[b].iter().map(|(m, v)| (m, v)).collect::<Vec<_>>())).collect();
    let mut arms = (0..run.arms.len()).map(|arm| arm_data(run, arm)).collect::<Result<Vec<_>>>()?;
    let control = is_injection.then(|| arms.remove(0));
    Ok(ValidateInput {
        bands: bands.clone(),
        fwhm_arcsec: bands.iter().map(|b| Ok(mosaic.fwhm_px(b)? * scale)).collect::<Result<_>>()?,
        sqrt_l2: statistics.iter().map(|s| s.l2_per_arcsec2.sqrt()).collect(),
        skewness: statistics.iter().map(|s| s.skewness).collect(),
        arms,
        control,
        seed: run.config.run.seed,
    })
}

fn arm_data(run: &Run, arm: usize) -> Result<ArmData> {
    let name = run.arms[arm].name.clone();
    let stage = DetectLayers::new(&run.config.detect, &run.config.run.bands)?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let mut layers: Vec<LayerPeaks> = stage
        .kinds()
        .iter()
        .map(|kind| {
            let n_bands = if matches!(kind, LayerKind::FreeSed) { run.config.run.bands.len() } else { 1 };
            let threshold = stage.threshold(n_bands);
            LayerPeaks { name: kind.name().to_owned(), threshold, peaks: vec![], negative_peaks: vec![], area_arcmin2: 0.0, n_bands }
        })
        .collect();
    let mut n_pixels = vec![0u64; layers.len()];
    for patch in run.tract.patches() {
        let found = fathom::format::layers::read(&run.path(run.piece_path(arm, "layers", &patch.id.to_string())))?;
        for ((to, n), from) in layers.iter_mut().zip(&mut n_pixels).zip(found) {
            let on_sky = |p: &fathom::footprint::Peak| {
                let sky = run.tract.wcs().pixel_to_sky(p.at);
                [sky.ra_deg(), sky.dec_deg(), p.significance]
            };
            to.peaks.extend(from.peaks.iter().map(on_sky));
            to.negative_peaks.extend(from.negative_peaks.iter().map(on_sky));
            *n += from.n_pixels;
        }
    }
    // Scaled once: a sum of areas would depend on the number of patches in its last bits.
    for (layer, n) in layers.iter_mut().zip(n_pixels) {
        layer.area_arcmin2 = n as f64 * scale * scale / 3600.0;
    }
    let truth = limits(run, arm).with_context(|| format!("truth of {name}"))?;
    Ok(ArmData { truth, catalog: catalog(run, arm)?, layers, name })
}

fn report(run: &Run, input: &ValidateInput, validated: &fathom_validation::Validated, metrics: &MetricsFile) -> Result<()> {
    let arm = usize::from(run.config.expose.mode == ExposeMode::Inject);
    let bbox = run.tract.bbox();
    let bin = (bbox.width.max(bbox.height) as usize).div_ceil(PICTURE_PX);
    let shape = ((bbox.height as usize).div_ceil(bin), (bbox.width as usize).div_ceil(bin));
    let mosaic = run.mosaic(arm)?;
    let images = run
        .config
        .run
        .bands
        .iter()
        .map(|band| {
            // Patch by patch: the picture is small, the tract need not be.
            let (mut sum, mut n) = (Array2::<f64>::zeros(shape), Array2::<f64>::zeros(shape));
            for patch in run.tract.patches() {
                for ((j, i), &v) in mosaic.plane(band, Plane::Image, &patch.bbox)?.indexed_iter().filter(|(_, v)| v.is_finite()) {
                    let at = [(patch.bbox.y0 as usize + j) / bin, (patch.bbox.x0 as usize + i) / bin];
                    sum[at] += f64::from(v);
                    n[at] += 1.0;
                }
            }
            let image_njy = ndarray::Zip::from(&sum).and(&n).map_collect(|&s, &n| if n > 0.0 { (s / n) as f32 } else { f32::NAN });
            Ok(BandImage { band: band.clone(), image_njy })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut footprints = Array2::<u8>::zeros(shape);
    for parent in run.parents(arm)?.iter() {
        for (x, y) in parent.footprint.spans.pixels() {
            footprints[[y as usize / bin, x as usize / bin]] = 1;
        }
    }
    let to_picture = |ra: f64, dec: f64| {
        let p = run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra, dec));
        p.map_or((f64::NAN, f64::NAN), |p| ((p.x + 0.5) / bin as f64 - 0.5, (p.y + 0.5) / bin as f64 - 0.5))
    };
    let provenance: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(run.path("provenance.json")).unwrap_or_else(|_| "{}".into()))?;
    let plain = |v: serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let timing = crate::command::run::read_timing(run).into_iter().map(|t| (t.phase, t.n_tasks, t.seconds)).collect();
    // Files of a report that was taken over are links: another run's must not be written into.
    let _ = std::fs::remove_dir_all(run.path("report"));
    write_report(
        &run.path("report"),
        &ReportInput {
            title: run.config.run.name.clone(),
            metrics,
            input,
            validated,
            images,
            footprints: footprints.view(),
            to_picture: &to_picture,
            config: run.config.to_toml(),
            provenance: provenance.into_iter().map(|(k, v)| (k, plain(v))).collect(),
            skipped: run.skipped(),
            exposures: exposure_rows(run, arm)?,
            timing,
        },
    )?;
    Ok(())
}

/// Name, band, FWHM, sky level, masked share, aperture correction of every exposure.
fn exposure_rows(run: &Run, arm: usize) -> Result<Vec<Vec<String>>> {
    let inputs = run.band_inputs(arm)?;
    let mut rows = Vec::new();
    for band in &run.config.run.bands {
        for (meta, visit) in inputs[band].iter() {
            let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
            let area = meta.wcs.pixel_area_arcsec2(center);
            let part = fathom::geometry::Box2::new(center.x as i32, center.y as i32, 1, 1);
            let sky = f64::from(visit.background.image(&part)[[0, 0]]) * meta.photo_calib.at(center) / area;
            let counts = visit.counts;
            let masked = (counts.n_masked + counts.n_not_finite + counts.n_bad_variance) as f64 / counts.n_pixels.max(1) as f64;
            let corr = visit.ap_corr.by_algorithm.get("psf_flux").map_or_else(
                || "none".to_owned(),
                |a| {
                    if a.is_flagged {
                        format!("1 (flagged, {} stars)", a.n_stars)
                    } else {
                        format!("{:.4} ± {:.4}", a.factor.at(center), a.error)
                    }
                },
            );
            rows.push(vec![
                meta.id.to_string(),
                band.clone(),
                format!("{:.2}", meta.psf.fwhm_px(center) * area.sqrt()),
                format!("{sky:.0}"),
                format!("{:.2} %", 100.0 * masked),
                corr,
            ]);
        }
    }
    Ok(rows)
}

//! The report's page and pictures, made of what the run folder holds.

use crate::config::ExposeMode;
use crate::run::Run;
use anyhow::Result;
use fathom::format::coadd::Plane;
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom_validation::{BandImage, MetricsFile, ReportInput, ValidateInput, Validated, write_report};
use ndarray::Array2;

/// Longest side of the report's picture \[pixel\].
const PICTURE_PX: usize = 1400;

/// Writes `report/`.
pub fn report(run: &Run, input: &ValidateInput, validated: &Validated, metrics: &MetricsFile) -> Result<()> {
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

//! match: levels of all exposures on the superpixels of a patch, from the differences of every pair of PSF-matched warps.

use super::{Phase, Task, patch_tasks, visit::Visit};
use crate::command::status;
use crate::product_key;
use crate::run::Run;
use anyhow::{Context, Result, anyhow, bail};
use fathom::background::{BackgroundMethod, BandMatcher, LevelSample, MatchBackground, MatchConfig, TemplateTile};
use fathom::format::coadd::Plane;
use fathom::format::levels::BandLevels;
use fathom::geometry::{Box2, PixelPoint};
use fathom::image::MaskPlane;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

pub struct Match;

impl Phase for Match {
    fn name(&self) -> &'static str {
        "match"
    }

    fn about(&self) -> &'static str {
        "Compares the PSF-matched warps of all overlapping exposures of a band on the superpixels of a patch ([match] background = \"matched\").\n\nReads: <arm>/exposures/<id>.h5, <arm>/visit/<id>.h5.\nWrites: <arm>/match/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        if run.config.r#match.background == BackgroundMethod::Visit {
            return Ok(Vec::new());
        }
        let coadd = &run.config.coadd;
        // By content, below: a folder may be moved.
        let settings = MatchConfig { template: String::new(), ..run.config.r#match.clone() };
        let config = product_key::section(&(settings, coadd.lanczos_order, coadd.min_kernel_weight));
        let cells = format!("{:?} {:?}", run.tract.bbox(), run.tract.wcs().cards());
        let visits = Visit.tasks(run)?;
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let mut inputs = run.used_keys(arm, &visits);
            let template = Template::open(run, arm)?;
            let template_keys = template.as_ref().map_or(Ok(Vec::new()), Template::keys)?;
            inputs.extend(template_keys.iter().map(String::as_str));
            tasks.extend(patch_tasks(run, arm, "match", [&config, &cells], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = MatchBackground::new(run.config.r#match.clone())?;
        let patch = run.tract.patches()[task.index];
        let inputs = run.visit_inputs(task.arm)?;
        let template = Template::open(run, task.arm)?;
        let mut bands = Vec::new();
        for band in &run.config.run.bands {
            let all = &inputs[band];
            let fwhm_px = template.as_ref().map(|t| t.fwhm_px(band)).transpose()?;
            let matcher = stage.start(&run.tract, &run.config.coadd, all, fwhm_px);
            let paths: Vec<PathBuf> = all.iter().map(|(meta, _)| run.path(run.exposure_path(task.arm, &meta.id.0))).collect();
            bands.push(BandLevels {
                band: band.clone(),
                superpixel_px: run.config.r#match.superpixel_px,
                target_fwhm_px: matcher.target_fwhm_px(),
                exposures: all.iter().map(|(meta, _)| meta.id.clone()).collect(),
                samples: levels(&matcher, &paths, &patch.bbox, template.as_ref().map(|t| (t, band.as_str())))?,
            });
        }
        fathom::format::levels::write(&run.path(&task.path), &task.key, &bands)?;
        Ok(())
    }
}

/// Levels on the superpixels of a patch, tile by tile.
fn levels(matcher: &BandMatcher, paths: &[PathBuf], patch: &Box2, template: Option<(&Template, &str)>) -> Result<Vec<LevelSample>> {
    let of_tile = |tile: &Box2| -> Result<Vec<LevelSample>> {
        let mut stack = matcher.stack(*tile);
        for (i, path) in paths.iter().enumerate() {
            let needed = matcher.needed(i, tile);
            if !needed.is_empty() {
                let mut exposure = fathom::format::exposure::read_pixels(path, matcher.meta(i), &needed)?;
                exposure.sanitize();
                matcher.add(&mut stack, i, &exposure);
            }
        }
        if let Some((template, band)) = template
            && let Some(tile) = template.tile(matcher, band, tile)?
        {
            matcher.add_template(&mut stack, tile);
        }
        Ok(matcher.finish(&stack, patch))
    };
    let mut samples = Vec::new();
    // As many tiles at a time as there are threads: each holds a warp of every exposure.
    for tiles in matcher.tiles(patch).chunks(rayon::current_num_threads()) {
        let found: Vec<Result<Vec<LevelSample>>> = tiles.par_iter().map(of_tile).collect();
        for of_tile in found {
            samples.extend(of_tile?);
        }
    }
    Ok(samples)
}

/// The coadd of an earlier run on the same tract, as the reference.
struct Template {
    run: Run,
    arm: usize,
}

impl Template {
    /// The template of the configuration, if any: the arm of the same name, or its only one.
    fn open(run: &Run, arm: usize) -> Result<Option<Self>> {
        let folder = &run.config.r#match.template;
        if folder.is_empty() {
            return Ok(None);
        }
        let template = status::open(Path::new(folder)).with_context(|| format!("match.template: {folder}"))?;
        if template.tract.bbox() != run.tract.bbox() || template.tract.wcs() != run.tract.wcs() {
            bail!("match.template {folder}: another tract; expected the same [sky_map], but for patches");
        }
        let same = template.arms.iter().position(|a| a.name == run.arms[arm].name);
        let only = || (template.arms.len() == 1).then_some(0);
        let arm = same.or_else(only).ok_or_else(|| anyhow!("match.template {folder}: no arm {}", run.arms[arm].name))?;
        Ok(Some(Self { run: template, arm }))
    }

    /// Keys of its coadds.
    fn keys(&self) -> Result<Vec<String>> {
        let mosaic = self.run.mosaic(self.arm)?;
        let key = |path: &PathBuf| {
            fathom::format::product::key(path).ok_or_else(|| anyhow!("match.template: {} is no finished coadd", path.display()))
        };
        mosaic.paths().iter().map(key).collect()
    }

    fn fwhm_px(&self, band: &str) -> Result<f64> {
        Ok(self.run.mosaic(self.arm)?.fwhm_px(band)?)
    }

    /// What it shows on a tile; none where it has no data at the tile's middle.
    fn tile(&self, matcher: &BandMatcher, band: &str, tile: &Box2) -> Result<Option<TemplateTile>> {
        let (mosaic, region) = (self.run.mosaic(self.arm)?, matcher.region(tile));
        let (x, y) = (tile.x0 + tile.width / 2, tile.y0 + tile.height / 2);
        let Some(covariance) = mosaic.covariance(band, x, y)? else { return Ok(None) };
        let contributors = mosaic.inputs_wyx(band, &Box2::new(x, y, 1, 1))?.into_raw_vec_and_offset().0;
        let psf =
            self.run.coadd_psf(self.arm, band)?.stamp(PixelPoint::new(f64::from(x), f64::from(y)), &contributors, matcher.psf_radius_px());
        let white_variance_njy2 = covariance.sum();
        if psf.sum() <= 0.0 || white_variance_njy2 <= 0.0 {
            return Ok(None);
        }
        let mut image_njy = mosaic.plane(band, Plane::Image, &region)?;
        let bad = MaskPlane::UNUSABLE | MaskPlane::Rejected.bit();
        image_njy.zip_mut_with(&mosaic.mask(band, &region)?, |z, m| *z = if m & bad == 0 { *z } else { f32::NAN });
        Ok(Some(TemplateTile { image_njy, psf, white_variance_njy2 }))
    }
}

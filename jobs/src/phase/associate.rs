//! associate: the parents that begin in a patch, from its layers and those of the patches that share a parent with it.

use super::{Phase, Task, detect::Detect, keys_of, patch_tasks, seams::Seams};
use crate::product_key;
use crate::run::Run;
use anyhow::{Context, Result, bail};
use fathom::associate::{AssociateField, AssociatePeaks, ChangingLight, KnownPosition, PatchPeaks, Seam, on_tract};
use fathom::footprint::PeakMark;
use fathom::geometry::{Box2, PixelPoint};

pub struct Associate;

impl Phase for Associate {
    fn name(&self) -> &'static str {
        "associate"
    }

    fn about(&self) -> &'static str {
        "Joins footprints and peaks of all layers, and known sources, to the parents that begin in a patch.\n\nReads: <arm>/seams/<patch>.h5 of all patches, <arm>/layers/<patch>.h5 of those that share a parent, <arm>/clip.h5 if artifacts are looked for.\nWrites: <arm>/parents/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = settings_key(run)?;
        let mut tasks = Vec::new();
        for arm in 0..run.arms.len() {
            let (layers, seams) = (keys_of(&Detect, run, arm)?, keys_of(&Seams, run, arm)?);
            let inputs: Vec<&str> = layers.iter().chain(&seams).map(String::as_str).collect();
            tasks.extend(patch_tasks(run, arm, "parents", [&config, ""], &inputs));
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let input = AssociateInput::new(run, task.arm)?;
        let boxes: Vec<Box2> = run.tract.patches().iter().map(|p| p.bbox).collect();
        let seam = |patch: usize| fathom::format::seams::read(&run.path(patch_path(run, task.arm, "seams", patch)));
        let seams: Vec<Seam> = (0..boxes.len()).map(seam).collect::<Result<_, _>>()?;
        let peaks_of = |patch: usize| peaks_of(run, task.arm, patch);
        let (parents, peaks) = input.stage.run(task.index, &boxes, &seams, peaks_of, &input.field(run))?;
        fathom::format::parents::write(&run.path(&task.path), &task.key, &parents, &peaks)?;
        Ok(())
    }
}

/// The settings, and what the files hold that they name: the name of a file says nothing of that.
pub(super) fn settings_key(run: &Run) -> Result<String> {
    let mut config = product_key::section(&run.config.associate);
    for known in &run.config.associate.known {
        config += &product_key::file(&known.path).with_context(|| format!("associate.known: {}", known.path.display()))?;
    }
    Ok(config)
}

/// What detection found in a patch, by its place.
pub(super) fn peaks_of(run: &Run, arm: usize, patch: usize) -> Result<PatchPeaks> {
    let found = fathom::format::layers::read(&run.path(patch_path(run, arm, "layers", patch)))?;
    Ok(PatchPeaks { layers: found.layers, movers: found.movers, transients: found.transients })
}

fn patch_path(run: &Run, arm: usize, folder: &str, patch: usize) -> std::path::PathBuf {
    run.piece_path(arm, folder, &run.tract.patches()[patch].id.to_string())
}

/// The stage and what it must know of an arm's field.
pub(super) struct AssociateInput {
    pub stage: AssociatePeaks,
    fwhm_px: f64,
    known: Vec<KnownPosition>,
    changing: Vec<ChangingLight>,
}

impl AssociateInput {
    pub fn new(run: &Run, arm: usize) -> Result<Self> {
        Ok(Self {
            stage: AssociatePeaks::new(run.config.associate.clone())?,
            fwhm_px: run.mean_fwhm_px(arm)?,
            known: known(run, arm)?,
            changing: changing(run, arm)?,
        })
    }

    pub fn field(&self, run: &Run) -> AssociateField<'_> {
        AssociateField {
            tract: run.tract.bbox(),
            fwhm_px: self.fwhm_px,
            pixel_scale_arcsec: run.tract.config().pixel_scale_arcsec,
            known: &self.known,
            changing: &self.changing,
        }
    }
}

/// What the comparison of exposures took for movers, transients and variables, by rows.
fn changing(run: &Run, arm: usize) -> Result<Vec<ChangingLight>> {
    let mut all = Vec::new();
    if !run.config.artifacts.find {
        return Ok(all);
    }
    let path = run.path(run.clip_path(arm));
    for band in &run.config.run.bands {
        let table = fathom::format::clip::read_footprints(&path, band)?;
        let in_file = || path.display().to_string();
        let class = table.text("class").with_context(in_file)?;
        let (x, y) = (table.i64("x").with_context(in_file)?, table.i64("y").with_context(in_file)?);
        for (i, class) in class.iter().enumerate() {
            let mark = match class.as_str() {
                "mover" => PeakMark::Mover,
                "transient" => PeakMark::Transient,
                "variable" => PeakMark::Variable,
                _ => continue,
            };
            all.push(ChangingLight { mark, at: PixelPoint::new(x[i] as f64, y[i] as f64) });
        }
    }
    all.sort_by(|a, b| a.at.y.total_cmp(&b.at.y).then(a.at.x.total_cmp(&b.at.x)).then(a.mark.cmp(&b.mark)));
    Ok(all)
}

/// Known sources on the tract at the mean time of its exposures.
fn known(run: &Run, arm: usize) -> Result<Vec<KnownPosition>> {
    let lists = &run.config.associate.known;
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let inputs = run.visit_inputs(arm)?;
    let mjds: Vec<f64> = inputs.values().flat_map(|all| all.iter()).map(|(meta, _)| meta.mjd).collect();
    let mjd = mjds.iter().sum::<f64>() / mjds.len() as f64;
    let (tract, scale) = (run.tract.bbox(), run.tract.config().pixel_scale_arcsec);
    let mut all = Vec::new();
    for (i, list) in lists.iter().enumerate() {
        let sources = fathom::format::known::read(&list.path, &list.place)?;
        let found = on_tract(i, &sources, run.tract.wcs(), &tract, scale, mjd).with_context(|| list.path.display().to_string())?;
        if found.is_empty() {
            bail!("{}: none of its {} sources lies on the tract; expected at least one", list.path.display(), sources.len());
        }
        tracing::info!("{}: {} of {} known sources on the tract", list.path.display(), found.len(), sources.len());
        all.extend(found);
    }
    Ok(all)
}

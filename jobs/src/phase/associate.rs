//! associate: parents of the whole tract, from the layers of all patches.

use super::{Phase, Task, detect::Detect, keys_of};
use crate::product_key;
use crate::run::Run;
use anyhow::{Context, Result, bail};
use fathom::associate::{AssociateField, AssociatePeaks, KnownPosition, on_tract};

pub struct Associate;

impl Phase for Associate {
    fn name(&self) -> &'static str {
        "associate"
    }

    fn about(&self) -> &'static str {
        "Joins footprints and peaks of all layers and patches, and known sources, to parents.\n\nReads: <arm>/layers/<patch>.h5 of all patches.\nWrites: <arm>/parents.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let mut config = product_key::section(&run.config.associate);
        for known in &run.config.associate.known {
            // The name of a file says nothing of what it holds.
            config += &product_key::file(&known.path).with_context(|| format!("associate.known: {}", known.path.display()))?;
        }
        let task = |arm: usize| {
            let inputs = keys_of(&Detect, run, arm)?;
            Ok(Task {
                name: run.arms[arm].name.clone(),
                path: run.parents_path(arm),
                extra_paths: vec![],
                key: product_key::key("associate", [config.as_str()].into_iter().chain(inputs.iter().map(String::as_str))),
                cost: 1.0,
                arm,
                index: 0,
                may_be_skipped: false,
            })
        };
        (0..run.arms.len()).map(task).collect()
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = AssociatePeaks::new(run.config.associate.clone())?;
        let path = |p: &fathom::geometry::Patch| run.path(run.piece_path(task.arm, "layers", &p.id.to_string()));
        let read = |p: &fathom::geometry::Patch| Ok(fathom::format::layers::read(&path(p))?.layers);
        let patches = run.tract.patches().iter().map(read).collect::<Result<Vec<_>>>()?;
        let known = known(run, task.arm)?;
        let field = AssociateField {
            tract: run.tract.bbox(),
            fwhm_px: run.mean_fwhm_px(task.arm)?,
            pixel_scale_arcsec: run.tract.config().pixel_scale_arcsec,
            known: &known,
        };
        let (parents, peaks) = stage.run(&patches, &field);
        fathom::format::parents::write(&run.path(&task.path), &task.key, &parents, &peaks)?;
        Ok(())
    }
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

//! `fathom relink`: makes run.h5, which ties a run folder together.

use crate::phase::{blend_fisher, catalog_and_truth};
use crate::run::Run;
use anyhow::Result;
use fathom::format::run::RunIndex;
use std::path::PathBuf;

/// Writes run.h5: merged tables inside, links to the product files, configuration and provenance.
pub fn relink(run: &Run) -> Result<()> {
    let mut index = RunIndex { config: run.config.to_toml(), ..RunIndex::default() };
    index.provenance = std::fs::read_to_string(run.path("provenance.json")).unwrap_or_default();
    let is_single = run.arms.len() == 1;
    for (arm, a) in run.arms.iter().enumerate() {
        // One arm: tables stand at the root, where every reader looks first.
        let inside = |name: &str| if is_single { name.to_owned() } else { format!("{}/{name}", a.name) };
        let (catalog, truth) = catalog_and_truth(run, arm)?;
        index.tables.push((inside("catalog"), catalog));
        if !truth.columns().is_empty() {
            index.tables.push((inside("truth"), truth));
        }
        let blends = blend_fisher(run, arm)?;
        if !blends.columns().is_empty() {
            index.tables.push((inside("blend_fisher"), blends));
        }
        let mut link = |name: String, file: PathBuf| {
            if run.path(&file).is_file() {
                index.links.push((inside(&name), file, "/".to_owned()));
            }
        };
        link("background".into(), run.background_path(arm));
        for patch in run.tract.patches() {
            link(format!("coadds/{}", patch.id), run.piece_path(arm, "coadd", &patch.id.to_string()));
            link(format!("combined/{}", patch.id), run.piece_path(arm, "combined", &patch.id.to_string()));
            link(format!("psf_matched/{}", patch.id), run.piece_path(arm, "psf_matched", &patch.id.to_string()));
            link(format!("layers/{}", patch.id), run.piece_path(arm, "layers", &patch.id.to_string()));
            link(format!("parents/{}", patch.id), run.piece_path(arm, "parents", &patch.id.to_string()));
            link(format!("sky_objects/{}", patch.id), run.piece_path(arm, "sky_objects", &patch.id.to_string()));
        }
        for e in &run.exposures {
            link(format!("exposures/{}", e.name), run.exposure_path(arm, &e.name));
            link(format!("visits/{}", e.name), run.visit_path(arm, &e.name));
            link(format!("drawn/{}", e.name), run.piece_path(arm, "drawn", &e.name));
        }
    }
    let matches = run.path("validation.h5");
    if matches.is_file() {
        for name in ["matches", "blends", "worst_blends"] {
            index.tables.push((name.to_owned(), fathom::format::table::read(&matches, name)?));
        }
    }
    fathom::format::run::write(&run.folder, &index)?;
    Ok(())
}

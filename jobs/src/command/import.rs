//! `fathom import`: any survey's files, described by a layout, to fathom's exposures.

use anyhow::{Context, Result, bail};
use fathom::format::{self, import::Layout};
use fathom::image::ExposureId;
use std::path::Path;

/// Writes one exposure file per exposure of the layout, and truth.h5 if the layout has a truth.
pub fn import(layout: &Path, data: Option<&Path>, out: &Path, is_overwriting: bool) -> Result<()> {
    let from_environment = crate::run::data_folder();
    let read = Layout::read(layout, data.or(from_environment.as_deref()))?;
    let text = std::fs::read_to_string(layout).with_context(|| format!("{}", layout.display()))?;
    if out.is_dir() && std::fs::read_dir(out).with_context(|| format!("{}", out.display()))?.next().is_some() && !is_overwriting {
        bail!("{} exists and is not empty; give --overwrite, or another --out", out.display());
    }
    let items = read.items()?;
    for (i, item) in items.iter().enumerate() {
        let mut hashes = vec![text.clone()];
        for file in &item.files {
            hashes.push(crate::product_key::file(file).with_context(|| format!("{}", file.display()))?);
        }
        let key = crate::product_key::key("import", hashes.iter().map(String::as_str));
        let mut exposure = read.load(item)?;
        exposure.meta.id = ExposureId(item.name.clone());
        format::exposure::write(&out.join(format!("{}.h5", item.name)), &key, &exposure)?;
        eprintln!(
            "{:>3}/{} {} (band {}, {} x {} pixels)",
            i + 1,
            items.len(),
            item.name,
            exposure.meta.band,
            exposure.meta.shape.1,
            exposure.meta.shape.0
        );
    }
    if let Some(truth) = read.truth()? {
        format::table::write(&out.join("truth.h5"), &crate::product_key::key("import-truth", [text.as_str()]), "truth", &truth)?;
        eprintln!("truth: {} objects", truth.n_rows());
    }
    println!("{}", out.display());
    Ok(())
}

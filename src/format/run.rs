//! `run.h5`: ties a run folder together: merged tables inside, external links to the product files.
//!
//! # Format `fathom-run`, version 1
//!
//! - `/config`: text, the resolved configuration (TOML); `/provenance`: text (JSON).
//! - tables ([`super::table`]) at `/catalog`, `/truth`, `/matches`, `/peaks`, `/parents`, ..., with arms as `/<arm>/...`;
//! - external links, relative to the run folder, so that it can be moved: `/exposures/<id>`, `/coadds/<patch>`, `/background` (where backgrounds are matched), `/psf_matched/<patch>` (where that coadd is made), ...
//!
//! Its key is the SHA-256 of configuration and provenance; no other product depends on it.

use super::FormatError;
use super::hdf5_io::{About, Node};
use super::product::{self, Header};
use super::table;
use crate::catalog::Table;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What goes into `run.h5`.
#[derive(Debug, Clone, Default)]
pub struct RunIndex {
    /// Merged tables by group path, e.g. (`catalog`, ...) or (`real_00/truth`, ...).
    pub tables: Vec<(String, Table)>,
    /// External links: (group path, file relative to the run folder, group in it).
    pub links: Vec<(String, PathBuf, String)>,
    /// Resolved configuration, TOML, at `/config`.
    pub config: String,
    /// Provenance, JSON, at `/provenance`.
    pub provenance: String,
}

/// Writes `run.h5` into the run folder, atomically.
///
/// # Errors
/// [`FormatError`].
pub fn write(folder: &Path, index: &RunIndex) -> Result<(), FormatError> {
    let path = folder.join("run.h5");
    let mut hash = Sha256::new();
    hash.update((index.config.len() as u64).to_le_bytes());
    hash.update(&index.config);
    hash.update(&index.provenance);
    let key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    product::write(&path, &Header { format: "fathom-run", version: 1, key }, |root| {
        let root = Node::new(&path, root);
        root.write_document(About::new("config", "", "resolved configuration, TOML"), &index.config)?;
        root.write_document(About::new("provenance", "", "provenance, JSON"), &index.provenance)?;
        for (name, table) in &index.tables {
            table::put(&root, name, table)?;
        }
        for (name, file, target) in &index.links {
            let (parent, link) = name.rsplit_once('/').unwrap_or(("", name));
            let file = file.to_str().ok_or_else(|| root.wrong(name, &format!("a link to {}", file.display()), "a file name in UTF-8"))?;
            let target = if target.is_empty() { "/" } else { target };
            root.create(parent)?.link(link, file, target)?;
        }
        Ok(())
    })
}

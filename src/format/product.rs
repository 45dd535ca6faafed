//! Product files: written aside, synced, renamed; `complete` and the key written last.
//!
//! Root attributes of every product:
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `format` | text | name of the format, `fathom-<something>` |
//! | `version` | u32 | its version |
//! | `key` | text | product key: hash of configuration, inputs and format version |
//! | `complete` | u8 | 1, written after everything else |
//!
//! Every dataset has the attributes `unit` (empty for a pure number) and `description`. Texts are variable-length UTF-8. Flags
//! are bytes, 0 or 1. Files hold no times and no names of machines: the same content makes the same bytes.

use super::FormatError;
use super::hdf5_io::{Node, hdf5_error, open_file};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What every product says of itself: root attributes `format`, `version`, `key`, `complete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name of the format, e.g. `fathom-exposure`.
    pub format: &'static str,
    /// Version of the format.
    pub version: u32,
    /// Product key, see design: hash of configuration, inputs and format version.
    pub key: String,
}

/// A file in the making: removed when dropped, unless it was published.
pub(super) struct Aside<'a> {
    /// Name that it will have.
    pub path: &'a Path,
    folder: PathBuf,
    /// Name that it has until then.
    pub temporary: PathBuf,
}

impl<'a> Aside<'a> {
    /// Picks a temporary name in the folder of `path`, which is made if it is missing.
    pub fn new(path: &'a Path) -> Result<Self, FormatError> {
        // Two threads of one process may write the same path, so the process id alone is not enough.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).ok_or_else(|| FormatError::Io {
            path: path.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path names no file"),
        })?;
        fs::create_dir_all(&folder).map_err(|source| FormatError::Io { path: folder.clone(), source })?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{name}.{}.{count}.tmp", std::process::id()));
        Ok(Self { path, folder, temporary })
    }

    fn io(&self, source: std::io::Error) -> FormatError {
        FormatError::Io { path: self.path.to_owned(), source }
    }

    /// Syncs the file, gives it its name, and syncs the folder, without which the name may be lost in a crash.
    pub fn publish(self) -> Result<(), FormatError> {
        fs::File::open(&self.temporary).and_then(|f| f.sync_all()).map_err(|e| self.io(e))?;
        fs::rename(&self.temporary, self.path).map_err(|e| self.io(e))?;
        match fs::File::open(&self.folder).and_then(|f| f.sync_all()) {
            // Some file systems cannot sync folders; they order renames by themselves.
            Err(e) if !matches!(e.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported) => Err(self.io(e)),
            _ => Ok(()),
        }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // After publishing there is no such file any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a product atomically: `fill` writes into the temporary file's root group.
///
/// # Errors
/// [`FormatError`]; then no file stands under `path` that was not there before, and no temporary one is left.
pub fn write(path: &Path, header: &Header, fill: impl FnOnce(&hdf5::Group) -> Result<(), FormatError>) -> Result<(), FormatError> {
    let aside = Aside::new(path)?;
    hdf5::silence_errors(true);
    // HDF5's own words about a folder without permission are long and say less.
    drop(fs::File::create(&aside.temporary).map_err(|e| aside.io(e))?);
    // Strong: closing the file closes what `fill` may have left open, which would otherwise keep the file open and headless.
    let file = hdf5::File::with_options()
        .with_fapl(|fapl| fapl.fclose_degree(hdf5::file::FileCloseDegree::Strong))
        .with_fcpl(|fcpl| fcpl.obj_track_times(false))
        .create(&aside.temporary)
        .map_err(|e| hdf5_error(path, "make the file", &e))?;
    let written = fill_and_flush(path, header, &file, fill);
    if written.is_err() {
        // On a full disk HDF5 can neither write what it still holds nor close the file without it: make room first.
        let _ = fs::OpenOptions::new().write(true).open(&aside.temporary).and_then(|f| f.set_len(0));
    }
    let closed = file.close().map_err(|e| hdf5_error(path, "close the file", &e));
    written.and(closed)?;
    match key(&aside.temporary) {
        Some(found) if found == header.key => aside.publish(),
        _ => Err(FormatError::Hdf5 {
            path: path.to_owned(),
            what: "write the file".to_owned(),
            why: "it cannot be read back (disk full?)".to_owned(),
        }),
    }
}

fn fill_and_flush(
    path: &Path,
    header: &Header,
    file: &hdf5::File,
    fill: impl FnOnce(&hdf5::Group) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let flush = || file.flush().map_err(|e| hdf5_error(path, "write the file", &e));
    let root = Node::new(path, file);
    root.put_text("format", header.format)?;
    root.put("version", header.version)?;
    fill(file)?;
    // Everything must be on its way to the disk before the file may say that it is complete.
    flush()?;
    root.put_text("key", &header.key)?;
    root.put("complete", 1u8)?;
    flush()
}

/// Key of a finished product; `None` if there is no file or it is not complete (truncated, temporary, other format).
#[must_use]
pub fn key(path: &Path) -> Option<String> {
    let root = Node::new(path, &*open_file(path).ok()?);
    let is_ours = root.text("format").ok()?.starts_with("fathom-");
    let is_complete = root.flag("complete").ok()?;
    if is_ours && is_complete { root.text("key").ok() } else { None }
}

/// Writes text (JSON, HTML, TOML) atomically: aside, synced, renamed.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write_text(path: &Path, text: &str) -> Result<(), FormatError> {
    let aside = Aside::new(path)?;
    fs::File::create(&aside.temporary).and_then(|mut f| f.write_all(text.as_bytes())).map_err(|e| aside.io(e))?;
    aside.publish()
}

//! Logs: warnings (more with -v) on stderr, everything of note in the run folder, one file a rank.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// The rank's file, once there is a run folder.
static FILE: OnceLock<Mutex<File>> = OnceLock::new();

/// Writes to [`FILE`], or nowhere before it is set.
struct ToFile;

impl std::io::Write for ToFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A full disk must not turn a log line into a failure of the run.
        if let Some(Ok(mut file)) = FILE.get().map(Mutex::lock) {
            let _ = file.write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Starts logging; `verbosity` counts the -v.
pub fn start(verbosity: u8) {
    let level = [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG][usize::from(verbosity.min(2))];
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_filter(level);
    let to_file = tracing_subscriber::fmt::layer().json().with_writer(ToFile).with_filter(LevelFilter::DEBUG);
    tracing_subscriber::registry().with(to_stderr).with(to_file).init();
}

/// The log of a rank in the log folder.
pub fn file_of(folder: &Path, rank: usize) -> PathBuf {
    folder.join(format!("rank_{rank:04}.jsonl"))
}

/// From now on also into the rank's file in `folder`.
pub fn to_folder(folder: &Path, rank: usize) -> Result<()> {
    let path = file_of(folder, rank);
    std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let file = File::options().create(true).append(true).open(&path).with_context(|| format!("{}", path.display()))?;
    let _ = FILE.set(Mutex::new(file));
    Ok(())
}

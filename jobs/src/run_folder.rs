//! The run folder: made, locked, cleaned of what a crash left, described.

use crate::run::{Options, Run};
use crate::world::World;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Held while a job works in a folder; the kernel lets go of it when the process ends, however it ends.
pub struct Lock {
    _file: File,
}

/// Prepares the folder (rank 0 only): refuses what would mix two runs, locks, writes configuration and provenance.
pub fn prepare(run: &Run, world: &World, command: &str) -> Result<Lock> {
    let folder = &run.folder;
    let context = || format!("run folder {}", folder.display());
    let has_content = folder.is_dir() && fs::read_dir(folder).with_context(context)?.next().is_some();
    let Options { resume, overwrite, .. } = run.options;
    if has_content && !resume && !overwrite {
        bail!("run folder {} exists; give --resume to go on, or --overwrite to begin anew", folder.display());
    }
    if has_content && !folder.join("config.toml").is_file() && !folder.join("lock").is_file() {
        bail!("{} is not empty and no run folder (it has no config.toml); choose another --out", folder.display());
    }
    fs::create_dir_all(folder).with_context(context)?;
    let lock = lock(folder)?;
    if overwrite && !resume {
        for entry in fs::read_dir(folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if path.file_name().is_some_and(|n| n == "lock") {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
    }
    remove_temporary(folder).with_context(context)?;
    let _ = fs::remove_file(crate::last_words::claim_file(folder));
    fathom::format::product::write_text(&folder.join("config.toml"), &run.config.to_toml())?;
    let provenance = serde_json::to_string_pretty(&provenance(run, world, command))?;
    fathom::format::product::write_text(&folder.join("provenance.json"), &provenance)?;
    Ok(lock)
}

fn lock(folder: &Path) -> Result<Lock> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(|| format!("{}", path.display()))?;
    // SAFETY: flock(2) only takes the descriptor, which `file` keeps open.
    let status = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if status != 0 {
        bail!("another job works in {}; its lock is {}", folder.display(), path.display());
    }
    Ok(Lock { _file: file })
}

/// Temporary files of tasks that never finished.
fn remove_temporary(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_temporary(&path)?;
        } else if path.extension().is_some_and(|e| e == "tmp") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Everything that may differ between two runs with the same products.
pub fn provenance(run: &Run, world: &World, command: &str) -> serde_json::Value {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".into(), |h| h.trim().to_owned());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": env!("FATHOM_REVISION"),
        "command": command,
        "seed": run.config.run.seed,
        "ranks": world.size(),
        "threads_per_rank": rayon::current_num_threads(),
        "host": host,
        "started_unix_s": now,
        "cpu": cpu_features(),
    })
}

/// Features that change how sums are compiled or dispatched: ranks with other features could give other bits.
pub fn cpu_features() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find_map(|l| l.strip_prefix("flags").or_else(|| l.strip_prefix("Features")));
    let known = ["sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve"];
    let has = |f: &&str| flags.is_some_and(|line| line.split_whitespace().any(|w| w == *f));
    known.into_iter().filter(has).collect::<Vec<_>>().join(" ")
}

/// Ranks must agree on configuration and CPU.
pub fn check_agreement(run: &Run, world: &World) -> Result<()> {
    let config = crate::product_key::section(&run.config);
    if world.broadcast(&config) != config {
        return Err(anyhow!("rank {} read another configuration than rank 0", world.rank()));
    }
    let mine = cpu_features();
    let first = world.broadcast(&mine);
    if first != mine && !run.options.is_mixed_cpus {
        bail!("rank {} has CPU features \"{mine}\", rank 0 \"{first}\"; results could differ (--mixed-cpus accepts that)", world.rank());
    }
    Ok(())
}

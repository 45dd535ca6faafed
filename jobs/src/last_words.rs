//! Who says why a job ended: one message for all ranks, also for a rank that was killed and cannot speak.
//!
//! A launcher that loses a rank sends SIGTERM to the others. They look which rank of their machine is gone and read in that rank's
//! log what it was doing. The first to claim the word, by making a file in the run folder, speaks; all others keep silent.

use crate::world::World;
use anyhow::{Context, Result};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Run folder of this job, once it is prepared.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// A rank whose machine does not hold the lost one leaves the word this long to those who can name it.
const DEFERENCE: Duration = Duration::from_millis(400);

/// Made by the first rank that speaks; a new job removes it.
pub fn claim_file(folder: &Path) -> PathBuf {
    folder.join("failed").join("first")
}

/// True for the first of all ranks that asks; where there is no folder to agree in, for every one.
pub fn claim() -> bool {
    let Some(file) = FOLDER.get().map(|f| claim_file(f)) else { return true };
    // Where nothing can be written, two messages are better than none.
    let _ = std::fs::create_dir_all(file.parent().expect("a file in a folder"));
    !File::create_new(file).is_err_and(|e| e.kind() == ErrorKind::AlreadyExists)
}

/// From now on this rank speaks for the ranks of its machine that were killed. Every rank must call it, with the prepared folder.
pub fn arm(world: &World, folder: &Path) -> Result<()> {
    let _ = FOLDER.set(folder.to_owned());
    let (rank, peers) = (world.rank(), world.local_processes());
    if world.size() == 1 {
        return Ok(());
    }
    let mut signals = Signals::new([SIGTERM]).context("watching for SIGTERM")?;
    let log = folder.join("log");
    std::thread::Builder::new().name("last words".into()).spawn(move || {
        if signals.forever().next().is_some() {
            speak(rank, &peers, &log);
            let _ = signal_hook::low_level::emulate_default_handler(SIGTERM);
        }
    })?;
    Ok(())
}

/// Says which rank was lost at what; `peers`: rank and process id of the ranks of this machine.
fn speak(rank: usize, peers: &[(usize, i32)], log: &Path) {
    let (lost, living): (Vec<_>, Vec<_>) = peers.iter().partition(|(_, pid)| is_gone(*pid));
    if lost.is_empty() {
        std::thread::sleep(DEFERENCE);
        if rank == 0 && claim() {
            eprintln!("fathom: rank 0: {}: ended from outside by SIGTERM", crate::schedule::current_task());
        }
        return;
    }
    if living.first().is_some_and(|(first, _)| *first == rank) && claim() {
        let doing: Vec<String> = lost.iter().map(|(r, _)| last_task(log, *r).unwrap_or_else(|| format!("rank {r}: start"))).collect();
        eprintln!("fathom: {}: killed; ending all ranks", doing.join("; "));
    }
    // Whoever ended at once would look lost to a rank that looks later.
    std::thread::sleep(DEFERENCE);
}

/// True of a process that ended, whether or not its parent has taken notice.
fn is_gone(pid: i32) -> bool {
    // SAFETY: signal 0 is never delivered.
    if unsafe { libc::kill(pid, 0) } != 0 {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// The last line of a rank's log that says what it began: `rank 1: phase coadd, task main/000_001`.
fn last_task(log: &Path, rank: usize) -> Option<String> {
    let text = std::fs::read_to_string(crate::log::file_of(log, rank)).ok()?;
    let message = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let message = line["fields"]["message"].as_str()?;
        message.starts_with(&format!("rank {rank}: phase ")).then(|| message.to_owned())
    };
    text.lines().rev().find_map(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_it_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        std::thread::sleep(Duration::from_millis(200));
        // Ended, but its parent has not asked: a zombie.
        assert!(is_gone(pid));
        child.wait().unwrap();
        assert!(is_gone(pid) && !is_gone(std::process::id() as i32));
    }

    #[test]
    fn the_last_task_stands_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let line = |m: &str| format!("{{\"level\":\"INFO\",\"fields\":{{\"message\":\"{m}\"}}}}\n");
        let text = line("rank 3: phase visit, task a") + &line("rank 3: phase coadd, task b") + &line("something else");
        std::fs::write(crate::log::file_of(folder.path(), 3), text).unwrap();
        assert_eq!(last_task(folder.path(), 3).as_deref(), Some("rank 3: phase coadd, task b"));
        assert_eq!(last_task(folder.path(), 4), None);
    }
}

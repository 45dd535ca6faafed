//! `fathom run`, `simulate`, `inject`, and every phase as a command of its own.

use crate::command::relink::relink;
use crate::config::{Config, ConfigError, ExposeMode};
use crate::phase::{PHASES, Phase};
use crate::run::Run;
use crate::run_folder;
use crate::schedule::{PhaseTiming, run_phase};
use crate::world::World;
use anyhow::{Result, anyhow};
use fathom_validation::{MetricsFile, Outcome, key_figures, verdict_lines};
use std::time::Instant;

/// Runs phases, in order, on all ranks. Every rank must call it.
pub fn run_phases(world: &World, run: &Run, phases: &[&dyn Phase], command: &str) -> Result<()> {
    let start = Instant::now();
    run_folder::check_agreement(run, world)?;
    // Held to the end of the job.
    let mut lock = None;
    let prepared = if world.rank() == 0 {
        match run_folder::prepare(run, world, command) {
            Ok(l) => {
                lock = Some(l);
                String::new()
            }
            Err(e) => format!("{e:#}"),
        }
    } else {
        String::new()
    };
    let prepared = world.broadcast(&prepared);
    if !prepared.is_empty() {
        return Err(anyhow!(prepared));
    }
    crate::log::to_folder(&run.path("log"), world.rank())?;
    crate::last_words::arm(world, &run.folder)?;
    if world.rank() == 0 {
        let (n, t) = (world.size(), rayon::current_num_threads());
        eprintln!("{}: {n} rank{} of {t} thread{}, run folder {}", run.config.run.name, plural(n), plural(t), run.folder.display());
    }
    let mut timings: Vec<PhaseTiming> = Vec::new();
    for phase in phases {
        timings.push(run_phase(world, run, *phase)?);
        if world.rank() == 0 {
            write_timing(run, &timings, &[])?;
        }
    }
    let peak_mb = world.gather(peak_memory_mb());
    let cpu_s = world.gather(cpu_seconds());
    if world.rank() == 0 {
        write_timing(run, &timings, &[("peak_memory_mb_by_rank", &peak_mb), ("cpu_s_by_rank", &cpu_s)])?;
        if phases.last().is_some_and(|p| p.name() == "validate") {
            relink(run)?;
            summary(run, start.elapsed().as_secs_f64(), &peak_mb, &cpu_s)?;
        }
    }
    world.barrier();
    drop(lock);
    Ok(())
}

/// Requirements that failed under `--enforce`: exit status 3.
#[derive(Debug, thiserror::Error)]
#[error("{n_failed} of {n} requirements failed: {names}; see {report}")]
pub struct RequirementsFailed {
    n_failed: usize,
    n: usize,
    names: String,
    report: String,
}

/// An error if a requirement failed. Every rank must call it, after everything is written.
pub fn enforce(world: &World, run: &Run) -> Result<()> {
    // What rank 0 reads, all believe: another machine may not see the new file yet.
    let text = if world.rank() == 0 { std::fs::read_to_string(run.path("metrics.json"))? } else { String::new() };
    let metrics: MetricsFile = serde_json::from_str(&world.broadcast(&text))?;
    let mut failed: Vec<&str> = metrics.requirements.iter().filter(|v| v.outcome == Outcome::Fail).map(|v| v.name.as_str()).collect();
    let n_failed = failed.len();
    failed.dedup();
    if n_failed == 0 {
        return Ok(());
    }
    let report = run.path("report/index.html").display().to_string();
    Err(RequirementsFailed { n_failed, n: metrics.requirements.len(), names: failed.join(", "), report }.into())
}

/// A command that runs several phases.
pub struct Group {
    pub name: &'static str,
    /// What it does, reads and writes, for `--help`.
    pub about: &'static str,
    /// Number of the first phases that it runs.
    n_phases: usize,
    /// The only mode of [expose] that it makes sense for.
    mode: Option<ExposeMode>,
}

/// All such commands.
pub const GROUPS: [Group; 3] = [
    Group {
        name: "run",
        about: "Run all phases: sky, expose, visit, match, solve, deep-background, artifacts, clip, coadd, psf-matched, combine, detect, associate, deblend, measure, truth, assess, validate.\n\nReads: the configuration and what [expose] names.\nWrites: one run folder: config.toml, provenance.json, timing.json, log/, <arm>/... product files, metrics.json, report/index.html, run.h5.",
        n_phases: PHASES.len(),
        mode: None,
    },
    Group {
        name: "simulate",
        about: "Make simulated exposures and their truth, and stop there.\n\nReads: the configuration ([run], [sky], [camera]); [expose] mode is \"simulate\".\nWrites: a run folder with <arm>/truth.h5, <arm>/exposures/<id>.h5 and <arm>/drawn/<id>.h5 (the objects on it); `fathom run --resume` goes on from it.",
        n_phases: 2,
        mode: Some(ExposeMode::Simulate),
    },
    Group {
        name: "inject",
        about: "Inject synthetic sources into real exposures, and stop there: one control arm without, and run.realisations arms with them.\n\nReads: the configuration ([run], [sky], [expose.injection]) and the exposures that [expose] names; its mode is \"inject\".\nWrites: a run folder with <arm>/truth.h5, <arm>/exposures/<id>.h5 and <arm>/drawn/<id>.h5 (the objects on it); `fathom run --resume` goes on from it.",
        n_phases: 2,
        mode: Some(ExposeMode::Inject),
    },
];

impl Group {
    /// Its phases.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is for exposures of another origin.
    pub fn phases(&self, config: &Config) -> Result<&'static [&'static dyn Phase]> {
        static ALL: [&dyn Phase; PHASES.len()] = PHASES;
        match self.mode.filter(|mode| *mode != config.expose.mode) {
            Some(_) => {
                let found = format!("{:?}", config.expose.mode).to_lowercase();
                Err(ConfigError(format!("expose.mode is \"{found}\"; expected \"{}\" for this command", self.name)).into())
            }
            None => Ok(&ALL[..self.n_phases]),
        }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn summary(run: &Run, seconds: f64, peak_mb: &[f64], cpu_s: &[f64]) -> Result<()> {
    let metrics: MetricsFile = serde_json::from_str(&std::fs::read_to_string(run.path("metrics.json"))?)?;
    for line in key_figures(&metrics.metrics) {
        println!("{line}");
    }
    for line in verdict_lines(&metrics.requirements) {
        println!("{line}");
    }
    let skipped = run.skipped();
    if !skipped.is_empty() {
        println!("skipped exposures, listed in the report: {}", skipped.len());
    }
    let most = peak_mb.iter().copied().fold(0.0, f64::max);
    println!("{seconds:.0} s, {:.0} CPU-s, at most {most:.0} MB a rank", cpu_s.iter().sum::<f64>());
    println!("report: {}", run.path("report/index.html").display());
    Ok(())
}

fn usage() -> libc::rusage {
    // SAFETY: getrusage(2) fills the struct, for which all zeros are a valid value.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}

fn peak_memory_mb() -> f64 {
    usage().ru_maxrss as f64 / 1024.0
}

fn cpu_seconds() -> f64 {
    let u = usage();
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(u.ru_utime) + seconds(u.ru_stime)
}

fn write_timing(run: &Run, timings: &[PhaseTiming], by_rank: &[(&str, &Vec<f64>)]) -> Result<()> {
    let mut value = serde_json::json!({ "phases": timings });
    for (name, values) in by_rank {
        value[*name] = serde_json::json!(values);
    }
    fathom::format::product::write_text(&run.path("timing.json"), &serde_json::to_string_pretty(&value)?)?;
    Ok(())
}

/// Phases timed so far; empty if unreadable: it only goes into the report's provenance.
pub fn read_timing(run: &Run) -> Vec<PhaseTiming> {
    let text = std::fs::read_to_string(run.path("timing.json")).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    serde_json::from_value(value["phases"].clone()).unwrap_or_default()
}

//! `fathom status`: what is done, failed and left, per phase.

use crate::config::Config;
use crate::phase::PHASES;
use crate::run::{Options, Run};
use crate::schedule::failures;
use anyhow::{Context, Result};
use std::path::Path;

/// A run as its folder describes it.
pub fn open(folder: &Path) -> Result<Run> {
    let path = folder.join("config.toml");
    let text = path.to_str().context("the run folder's path is no UTF-8")?;
    let config = Config::load(text, &[]).with_context(|| format!("{} is no run folder", folder.display()))?;
    Run::new(config, folder.to_owned(), Options::default())
}

/// Prints one line a phase.
pub fn status(folder: &Path) -> Result<()> {
    let run = open(folder)?;
    println!("{:>15}  {:>6} {:>6} {:>6}", "phase", "done", "failed", "left");
    for phase in PHASES {
        match phase.tasks(&run) {
            Ok(tasks) => {
                let done = tasks.iter().filter(|t| t.is_done(folder, true)).count();
                let failed = failures(folder, phase.name()).len();
                println!("{:>15}  {done:>6} {failed:>6} {:>6}", phase.name(), tasks.len() - done);
            }
            // What a phase has to do may only be known when earlier ones are done.
            Err(_) => println!("{:>15}  {:>6} {:>6} {:>6}", phase.name(), "-", failures(folder, phase.name()).len(), "?"),
        }
    }
    for (name, why) in run.skipped() {
        println!("skipped {name}: {why}");
    }
    for phase in PHASES {
        for message in failures(folder, phase.name()) {
            println!("failed: {message}");
        }
    }
    Ok(())
}

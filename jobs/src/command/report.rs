//! `fathom report`: the page again, from what stands in the run folder.

use crate::command::status::open;
use crate::phase;
use anyhow::Result;
use std::path::Path;

/// Draws `report/` again; measures nothing.
pub fn report(folder: &Path) -> Result<()> {
    phase::report(&open(folder)?)?;
    println!("report: {}", folder.join("report/index.html").display());
    Ok(())
}

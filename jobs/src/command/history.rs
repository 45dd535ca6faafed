//! `fathom history`: the headline figures of many runs.

use crate::config::ConfigError;
use anyhow::{Context, Result};
use fathom_validation::{PastRun, write_history};
use std::path::{Path, PathBuf};

/// Writes the trends of the runs, in the order given or by their dates.
pub fn history(folders: &[PathBuf], out: &Path, by_date: bool) -> Result<()> {
    let mut runs = folders.iter().map(|f| past_run(f)).collect::<Result<Vec<_>>>()?;
    if by_date {
        if let Some(run) = runs.iter().find(|r| r.date.is_empty()) {
            return Err(ConfigError(format!("--by-date: provenance.json of {} holds no date", run.name)).into());
        }
        // ISO 8601: the order of texts is the order of times.
        runs.sort_by(|a, b| a.date.cmp(&b.date));
    }
    let command = format!("fathom history {}", folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" "));
    for line in write_history(out, &runs, &command)? {
        println!("{line}");
    }
    println!("report: {}", out.join("index.html").display());
    Ok(())
}

/// A run by its metrics.json alone: the products may be gone.
fn past_run(folder: &Path) -> Result<PastRun> {
    let path = folder.join("metrics.json");
    let text = std::fs::read_to_string(&path).map_err(|e| ConfigError(format!("{}: {e}; expected a validated run", path.display())))?;
    let metrics = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let provenance = std::fs::read_to_string(folder.join("provenance.json")).unwrap_or_default();
    let provenance: serde_json::Value = serde_json::from_str(&provenance).unwrap_or_default();
    let date = provenance["started_unix_s"].as_u64().map_or_else(String::new, utc);
    Ok(PastRun { name: folder.display().to_string(), date, metrics })
}

/// Date and time of Unix seconds, ISO 8601.
///
/// # Source
/// Hinnant 2013, chrono-compatible low-level date algorithms, `civil_from_days`: eras of 400 years that begin in March.
fn utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    /// From `date -u -d @...`: a leap day, the last second of a year, the epoch.
    #[test]
    fn dates_of_unix_seconds() {
        for (seconds, expected) in
            [(0, "1970-01-01T00:00:00Z"), (1_709_210_096, "2024-02-29T12:34:56Z"), (1_767_225_599, "2025-12-31T23:59:59Z")]
        {
            assert_eq!(super::utc(seconds), expected);
        }
    }
}

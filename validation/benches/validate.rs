//! Time and memory of matching and measuring mock fields of 10^5 and 10^6 true objects: `cargo bench -p fathom-validation`.
//!
//! Plain timing of one run each: a run is long against the clock, and takes the memory that is to be known. Sizes may be given as
//! arguments.

use fathom_validation::{ValidateConfig, selftest, validate};
use std::time::Instant;

/// Largest memory that this process has held \[MB\], as Linux says it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    for n in if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes } {
        let input = selftest::field(n, 1);
        let config = ValidateConfig::default();
        let (matched, matching_s, before_mb) = {
            let matching = selftest::matching(&config, &input).expect("a mock field is complete");
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
            let start = Instant::now();
            let matched = one.install(matching);
            (matched, start.elapsed().as_secs_f64(), peak_mb())
        };
        let start = Instant::now();
        let validated = validate(&config, &input).expect("a mock field is complete");
        println!(
            "{n} objects, {} rows, {matched} matched: matching {matching_s:.1} s on one thread (input and matching {before_mb:.0} MB); \
             all {} figures {:.1} s on {} threads (peak {:.0} MB)",
            input.arms[0].catalog.n_rows(),
            validated.metrics.len(),
            start.elapsed().as_secs_f64(),
            rayon::current_num_threads(),
            peak_mb(),
        );
    }
}

//! The command line: what each command says, reads, writes and returns.

use crate::launch::{self, SMOKE};

const PHASES: [&str; 20] = [
    "sky",
    "expose",
    "visit",
    "match",
    "solve",
    "deep-background",
    "artifacts",
    "clip",
    "coadd",
    "psf-matched",
    "combine",
    "detect",
    "seams",
    "associate",
    "deblend",
    "measure",
    "sky-objects",
    "truth",
    "assess",
    "validate",
];

#[test]
fn every_phase_says_what_it_reads_and_writes() {
    for command in PHASES.iter().chain(&["run", "simulate", "inject", "import", "compare", "history", "catalog", "cutout", "report"]) {
        let help = launch::solo(&[command, "--help"]).ok();
        assert!(help.stdout.contains("Reads:") && help.stdout.contains("Writes:"), "{command}: {help}");
        assert!(help.stderr.is_empty(), "{help}");
    }
    let all = launch::solo(&["--help"]).ok();
    for command in PHASES
        .iter()
        .chain(&["init", "run", "simulate", "inject", "import", "status", "relink", "compare", "history", "catalog", "cutout", "report"])
    {
        assert!(all.stdout.lines().any(|l| l.split_whitespace().next() == Some(command)), "{command}: {all}");
    }
}

#[test]
fn wrong_usage_has_status_2() {
    for arguments in [&["nonsense"][..], &[], &["run"], &["run", SMOKE, "--nonsense"], &["run", SMOKE, "--threads", "0"]] {
        let outcome = launch::solo(arguments);
        assert_eq!(outcome.status, Some(2), "{arguments:?}: {outcome}");
        assert!(!outcome.stderr.is_empty() && outcome.stdout.is_empty(), "{arguments:?}: {outcome}");
    }
}

/// The printed configuration holds every section with comments, is one that runs, and can be overridden by --set.
#[test]
fn the_printed_configuration_runs() {
    let printed = launch::solo(&["init"]).ok().stdout;
    let folder = launch::temporary();
    let (config, out) = (folder.path().join("default.toml"), folder.path().join("run"));
    std::fs::write(&config, &printed).unwrap();
    let mut arguments = vec!["sky", launch::text(&config), "--out", launch::text(&out)];
    arguments.extend(["--set", "sky.survey.galaxy_density=0.5", "--set", "run.bands=[\"r\"]", "--set", "run.name=a name"]);
    launch::solo(&arguments).ok();
    let resolved = std::fs::read_to_string(out.join("config.toml")).unwrap();
    let resolved: toml::Table = toml::from_str(&resolved).unwrap();
    assert_eq!(resolved["run"]["name"].as_str(), Some("a name"));
    assert_eq!(resolved["sky"]["survey"]["galaxy_density"].as_float(), Some(0.5));
    let printed_table: toml::Table = toml::from_str(&printed).unwrap();
    for (section, settings) in &resolved {
        for key in settings.as_table().unwrap().keys() {
            assert!(printed_table.get(section).and_then(|s| s.get(key)).is_some(), "init does not print {section}.{key}");
        }
    }
    assert!(printed.lines().filter(|l| l.contains('#')).count() > 30, "hardly a comment in what init prints");
}

/// A clean run says nothing at `warn` or above: not on stderr, not in a log.
#[test]
fn a_clean_run_warns_of_nothing() {
    let folder = launch::temporary();
    let run = launch::smoke(2, folder.path(), &[]);
    for line in run.stderr.lines() {
        let is_known = line.starts_with("smoke: ") || PHASES.iter().any(|p| line.trim_start().starts_with(&format!("{p} ")));
        assert!(is_known, "unexpected line {line:?}: {run}");
    }
    for path in launch::files(&folder.path().join("log")) {
        let log = std::fs::read_to_string(folder.path().join("log").join(path)).unwrap();
        assert!(!log.is_empty());
        for line in log.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(!["WARN", "ERROR"].contains(&record["level"].as_str().unwrap()), "{line}");
        }
    }
    // stdout: the key figures, and where the report is.
    assert!(run.stdout.contains("50 % completeness") && run.stdout.contains("report: "), "{run}");
    let provenance = std::fs::read_to_string(folder.path().join("provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_str(&provenance).unwrap();
    assert_eq!((provenance["ranks"].as_u64(), provenance["seed"].as_u64()), (Some(2), Some(5)));
    for key in ["version", "revision", "host", "command"] {
        assert!(provenance[key].as_str().is_some_and(|v| !v.is_empty()), "{key}");
    }
    // The report is one page that needs no other file, with plots, and the configuration.
    let page = std::fs::read_to_string(folder.path().join("report/index.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/png;base64,") && page.contains("density_per_arcmin2"));
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the report needs the network");
}

#[test]
fn status_counts_tasks() {
    let status = launch::solo(&["status", launch::text(launch::reference())]).ok();
    for (phase, n) in
        [("sky", 1), ("expose", 4), ("visit", 4), ("coadd", 4), ("detect", 4), ("seams", 4), ("associate", 4), ("validate", 1)]
    {
        let line = status.stdout.lines().find(|l| l.trim_start().starts_with(phase)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..], [n.to_string().as_str(), "0", "0"], "{status}");
    }
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::solo(&["sky", SMOKE, "--out", out]).ok();
    let status = launch::solo(&["status", out]).ok();
    let line =
        |phase: &str| status.stdout.lines().find(|l| l.trim_start().starts_with(phase)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("sky")[1..], ["1", "0", "0"]);
    assert_eq!(line("expose")[1..], ["0", "0", "4"]);
    let nowhere = folder.path().join("nowhere");
    let wrong = launch::solo(&["status", launch::text(&nowhere)]);
    assert_eq!(wrong.status, Some(2), "{wrong}");
    assert!(wrong.stderr.contains("nowhere") && wrong.stderr.contains("is no run folder"), "{wrong}");
}

/// run.h5 can be made again from the products, the same to the byte.
#[test]
fn relink_makes_run_h5_again() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::smoke(1, folder.path(), &["--reuse", launch::text(launch::reference())]);
    let path = folder.path().join("run.h5");
    let before = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let relinked = launch::solo(&["relink", out]).ok();
    assert!(relinked.stdout.trim().ends_with("run.h5"), "{relinked}");
    assert!(std::fs::read(&path).unwrap() == before, "run.h5 differs");
    // Its links lead to the products wherever the folder stands.
    let moved = launch::temporary();
    let to = moved.path().join("moved");
    std::fs::rename(folder.path(), &to).unwrap();
    let file = hdf5::File::open(to.join("run.h5")).unwrap();
    for (name, shape) in [("exposures/g_00/image", vec![190, 190]), ("catalog/id", vec![launch::run_table(&to, "catalog").n_rows()])] {
        assert_eq!(file.dataset(name).unwrap().shape(), shape, "{name}");
    }
    std::fs::create_dir(folder.path()).unwrap(); // its owner removes it
}

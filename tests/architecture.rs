//! The house as it is meant to stand: which crate may lean on which, and which file may name what.

use crate::launch::ROOT;
use std::path::{Path, PathBuf};

/// Sources of a folder, without its tests: path relative to the root, and code without comments.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn add(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    add(&Path::new(ROOT).join(folder), &mut paths);
    assert!(!paths.is_empty(), "{folder} holds no source");
    paths.sort();
    let code = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|l| l.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
    };
    paths.iter().map(|p| (p.strip_prefix(ROOT).unwrap().to_owned(), code(p))).collect()
}

fn product() -> Vec<(PathBuf, String)> {
    ["src", "sim/src", "validation/src", "jobs/src"].into_iter().flat_map(sources).collect()
}

/// True if `word` stands in `code` as a whole word.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].chars().next_back().is_some_and(is_part) && !code[at + word.len()..].chars().next().is_some_and(is_part))
}

/// Crates of this workspace that a crate depends on, by any kind of dependency.
fn arrows(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(manifest)).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let own = table["package"]["name"].as_str().unwrap();
    let mut found: Vec<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|kind| table.get(*kind)?.as_table())
        .flat_map(|dependencies| dependencies.keys())
        .filter(|name| name.starts_with("fathom") && *name != own)
        .cloned()
        .collect();
    found.sort();
    found.dedup();
    assert!(!table.contains_key("target"), "{manifest}: dependencies of a target are not looked at here");
    found
}

/// jobs -> {sim, validation} -> fathom, and no arrow back, not even for tests.
#[test]
fn crates_depend_downwards_only() {
    assert_eq!(arrows("Cargo.toml"), [""; 0]);
    assert_eq!(arrows("sim/Cargo.toml"), ["fathom"]);
    assert_eq!(arrows("validation/Cargo.toml"), ["fathom"]);
    assert_eq!(arrows("jobs/Cargo.toml"), ["fathom", "fathom-sim", "fathom-validation"]);
}

/// Everything else is a plain Rust library that runs anywhere.
#[test]
fn one_file_names_mpi() {
    for (path, code) in product() {
        let names = ["mpi::", "use mpi"].iter().any(|w| has_word(&code, w.trim_end_matches(':')) && code.contains(w));
        assert_eq!(names, path == Path::new("jobs/src/world.rs"), "{}", path.display());
    }
}

#[test]
fn one_folder_names_hdf5_and_cfitsio() {
    for (path, code) in product() {
        let names = ["hdf5", "fitsio", "fitsio_sys", "hdf5_metno", "hdf5_sys"].iter().any(|name| {
            code.match_indices(&format!("{name}::")).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
                || code.contains(&format!("use {name}"))
        });
        assert!(!names || path.starts_with("src/format"), "{}", path.display());
    }
}

/// The simulator shares geometry, PSFs and formats with the pipeline but none of what it is meant to check.
#[test]
fn the_simulator_uses_nothing_that_it_tests() {
    for (path, code) in sources("sim/src") {
        for verb in ["coadd", "detect", "associate", "deblend", "measure", "background", "apcorr"] {
            assert!(!code.contains(&format!("fathom::{verb}")), "{} uses fathom::{verb}", path.display());
            // `use fathom::{geometry, detect::Peak};`
            for (at, _) in code.match_indices("fathom::{") {
                let list = &code[at..][..code[at..].find(';').unwrap_or(0)];
                assert!(!has_word(list, verb), "{} uses fathom::{verb}", path.display());
            }
        }
    }
}

/// Their order changes from run to run, and with it the order of sums and rows.
#[test]
fn no_unordered_maps() {
    for (path, code) in product() {
        for name in ["HashMap", "HashSet"] {
            assert!(!has_word(&code, name), "{} uses {name}", path.display());
        }
    }
}

/// The embedded configurations and layouts name no machine.
#[test]
fn shipped_files_hold_no_absolute_path() {
    for folder in ["jobs", "jobs/layouts", "tests/data"] {
        for entry in std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!["\"/", "'/"].iter().any(|start| text.contains(start)), "{}", path.display());
            }
        }
    }
}

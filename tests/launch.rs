//! Starts the binary, with and without the launcher, one job at a time; reads what it left behind.

use fathom::associate::{Parent, PeakRecord};
use fathom::catalog::{ColumnData, Table};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Configuration that most stories run.
pub const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/smoke.toml");

/// The binary under test.
pub const FATHOM: &str = env!("CARGO_BIN_EXE_fathom");

/// Root of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const LAUNCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/launch.sh");

/// No job of this suite takes longer unless it hangs.
const TIMEOUT: Duration = Duration::from_secs(400);

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; none if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub seconds: f64,
}

impl Outcome {
    /// Demands success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{self}");
        self
    }

    /// Demands an exit status and that one line on stderr holds all of `parts`.
    #[track_caller]
    pub fn fails(self, status: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        let messages: Vec<&str> = self.messages();
        assert_eq!(messages.len(), 1, "expected one message: {self}");
        let has_all = parts.iter().all(|p| self.stderr.contains(p));
        assert!(has_all, "expected {parts:?}: {self}");
        self
    }

    /// Lines of stderr in which fathom says why it ended.
    pub fn messages(&self) -> Vec<&str> {
        self.stderr.lines().filter(|l| l.starts_with("fathom: ")).collect()
    }

    /// Tasks done and all tasks of a phase, from its line on stderr.
    #[track_caller]
    pub fn tasks(&self, phase: &str) -> (usize, usize) {
        let line = self.stderr.lines().find(|l| l.trim_start().starts_with(&format!("{phase} ")) && l.contains(" tasks in "));
        let words: Vec<&str> = line.unwrap_or_else(|| panic!("no line for {phase}: {self}")).split_whitespace().collect();
        let (done, all) = words[1].split_once('/').expect("done/all");
        (done.parse().unwrap(), all.parse().unwrap())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr, seconds } = self;
        write!(f, "status {status:?} after {seconds:.1} s\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// One job at a time: two would share the cores, and times would mean nothing.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `fathom ARGUMENTS` on `ranks` ranks under the launcher.
pub fn fathom(ranks: usize, arguments: &[&str]) -> Outcome {
    fathom_with(ranks, arguments, &[])
}

/// The same, with environment variables.
pub fn fathom_with(ranks: usize, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = bare(LAUNCH);
    command.arg(ranks.to_string()).arg(FATHOM).args(arguments).envs(variables.iter().copied());
    wait(command)
}

/// A command without what this process's environment says to fathom.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("FATHOM_DATA").env_remove("FATHOM_FAULT");
    command
}

/// `fathom ARGUMENTS` without a launcher.
pub fn solo(arguments: &[&str]) -> Outcome {
    let mut command = bare(FATHOM);
    command.args(arguments);
    wait(command)
}

/// Any command, in its turn.
pub fn wait(mut command: Command) -> Outcome {
    let _turn = turn();
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr, status) = std::thread::scope(|scope| {
        let read = |pipe: &mut dyn Read| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let out = scope.spawn(move || read(&mut pipes.0));
        let err = scope.spawn(move || read(&mut pipes.1));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > TIMEOUT {
                // SAFETY: kill(2) touches no memory. SIGTERM lets a launcher end its ranks.
                unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
                std::thread::sleep(Duration::from_secs(2));
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (out.join().unwrap(), err.join().unwrap(), status)
    });
    let seconds = start.elapsed().as_secs_f64();
    Outcome { status: status.code(), stdout, stderr, seconds }
}

/// A folder for a test's run folders.
pub fn temporary() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// The smoke scene, run once on one rank of two threads: what the stories compare with. Nobody may change it.
pub fn reference() -> &'static Path {
    static REFERENCE: OnceLock<PathBuf> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(folder) = REFERENCE.get() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    REFERENCE.get_or_init(|| {
        // A static is never dropped: the folder goes at exit.
        let folder = temporary().keep();
        // SAFETY: the function takes nothing and does not unwind.
        unsafe { libc::atexit(remove) };
        fathom(1, &["run", SMOKE, "--out", text(&folder), "--threads", "2"]).ok();
        folder
    })
}

/// Runs the smoke scene to the end on some ranks.
pub fn smoke(ranks: usize, folder: &Path, more: &[&str]) -> Outcome {
    fathom(ranks, &[&["run", SMOKE, "--out", text(folder)], more].concat()).ok()
}

/// All files below a folder, relative to it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    fn add(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { add(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    add(folder, &mut found);
    found.sort();
    found.into_iter().map(|p| p.strip_prefix(folder).unwrap().to_owned()).collect()
}

/// Content of every file that must not depend on ranks, threads or interruptions: all but provenance.json, timing.json, log/, lock
/// and the provenance inside run.h5 and the report.
pub fn products(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let is_free = |p: &PathBuf| {
        p.starts_with("log") || ["provenance.json", "timing.json", "lock", "run.h5"].iter().any(|free| p.as_path() == Path::new(free))
    };
    let mut content: BTreeMap<PathBuf, Vec<u8>> = files(folder)
        .into_iter()
        .filter(|p| !is_free(p))
        .map(|p| {
            let bytes = std::fs::read(folder.join(&p)).unwrap();
            let bytes = if p == Path::new("report/index.html") { without_provenance(&bytes) } else { bytes };
            (p, bytes)
        })
        .collect();
    for name in ["catalog", "truth", "matches"] {
        content.insert(format!("run.h5/{name}").into(), bits(&run_table(folder, name)).into_bytes());
    }
    content
}

fn without_provenance(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8(page.to_vec()).unwrap();
    let (before, after) = page.split_once("id=\"provenance\"").expect("the report has a provenance section");
    let (_, after) = after.split_once("</section>").expect("sections are closed");
    [before, after].concat().into_bytes()
}

/// Demands the same files with the same bytes.
#[track_caller]
pub fn assert_same_products(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (products(found), products(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: other files");
    let differing: Vec<_> = found.iter().filter(|(path, bytes)| expected[*path] != **bytes).map(|(path, _)| path).collect();
    assert!(differing.is_empty(), "{what}: {differing:?} differ");
}

/// Parents of an arm, by id, and all peaks with their decisions: of all patches.
pub fn parents(folder: &Path, arm: &str) -> (Vec<Parent>, Vec<PeakRecord>) {
    let (mut parents, mut peaks) = (Vec::new(), Vec::new());
    let of_patches = folder.join(arm).join("parents");
    for file in files(&of_patches) {
        let (some, decided) = fathom::format::parents::read(&of_patches.join(file)).unwrap();
        parents.extend(some);
        peaks.extend(decided);
    }
    parents.sort_by_key(|p| p.id);
    peaks.sort_by_key(|r| (r.parent_id, r.peak.layer, r.peak.pixel.1, r.peak.pixel.0));
    (parents, peaks)
}

/// A table of run.h5.
#[track_caller]
pub fn run_table(folder: &Path, name: &str) -> Table {
    fathom::format::table::read(&folder.join("run.h5"), name).unwrap()
}

/// A table as text, every bit of it: NaN equals NaN and 0 is not -0.
pub fn bits(table: &Table) -> String {
    let column = |data: &ColumnData| match data {
        ColumnData::F64(v) => v.iter().map(|x| format!("{:016x}", x.to_bits())).collect::<Vec<_>>().join(" "),
        ColumnData::I64(v) => format!("{v:?}"),
        ColumnData::Bool(v) => format!("{v:?}"),
        ColumnData::Text(v) => format!("{v:?}"),
    };
    table.columns().iter().map(|c| format!("{} [{}]: {}\n", c.name, c.unit, column(&c.data))).collect()
}

/// The metrics of a run.
pub fn metrics(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    all["metrics"].as_array().unwrap().clone()
}

//! Runs one phase: finds what is missing, hands it out dearest first, shows progress.

use crate::phase::{Phase, Task};
use crate::run::Run;
use crate::world::World;
use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What this process is doing, for messages: a rank works on one task at a time.
static CURRENT: Mutex<String> = Mutex::new(String::new());

/// `phase coadd, task main/000_001`, or `start`.
pub fn current_task() -> String {
    let text = CURRENT.lock().map(|c| c.clone()).unwrap_or_default();
    if text.is_empty() { "start".to_owned() } else { text }
}

fn set_current(text: String) {
    if let Ok(mut current) = CURRENT.lock() {
        *current = text;
    }
}

/// What one phase took.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct PhaseTiming {
    pub phase: String,
    pub n_tasks: usize,
    pub n_done_before: usize,
    pub seconds: f64,
}

/// Does a phase's missing tasks on all ranks. Every rank must call it.
pub fn run_phase(world: &World, run: &Run, phase: &dyn Phase) -> Result<PhaseTiming> {
    let start = Instant::now();
    set_current(format!("phase {}", phase.name()));
    let tasks = phase.tasks(run).with_context(|| format!("phase {}", phase.name()))?;
    // Rank 0 alone decides what is missing: two ranks that look at different moments could see different files.
    let missing = if world.rank() == 0 { find_missing(run, &tasks)? } else { Vec::new() };
    let order = dearest_first(&tasks, missing);
    let text = world.broadcast(&order.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
    let order: Vec<usize> = text.split(',').filter(|s| !s.is_empty()).map(|s| s.parse().expect("rank 0 sends numbers")).collect();
    let n_done_before = tasks.len() - order.len();
    let mut progress = Progress::new(world.rank() == 0, phase.name(), tasks.len(), n_done_before);
    let rank = world.rank();
    let work = |i: usize| {
        let task = &tasks[order[i]];
        set_current(format!("phase {}, task {}", phase.name(), task.name));
        tracing::info!("rank {rank}: phase {}, task {}", phase.name(), task.name);
        let begin = Instant::now();
        let note = failure_note(&run.folder, phase.name(), &task.name);
        if let Err(e) = fault(phase.name(), &task.name).and_then(|()| phase.run(run, task)) {
            let message = format!("rank {rank}: phase {}, task {}: {e:#}", phase.name(), task.name);
            // For `fathom status`; where even this cannot be written, the message itself must do.
            let _ = fathom::format::product::write_text(&note, &message);
            // Where ranks fail together, the first speaks for all and ends them.
            if !crate::last_words::claim() {
                std::thread::sleep(Duration::from_secs(4));
            }
            return Err(message);
        }
        let _ = std::fs::remove_file(note);
        tracing::debug!("rank {rank}: phase {}, task {}: {:.3} s", phase.name(), task.name, begin.elapsed().as_secs_f64());
        Ok(())
    };
    world.run_tasks(order.len(), &work, &mut |done| progress.show(n_done_before + done)).map_err(|e| anyhow!(e))?;
    let seconds = start.elapsed().as_secs_f64();
    progress.finish(seconds);
    set_current(String::new());
    Ok(PhaseTiming { phase: phase.name().to_owned(), n_tasks: tasks.len(), n_done_before, seconds })
}

/// Where the message of a failed task is kept until the task is done.
fn failure_note(folder: &Path, phase: &str, task: &str) -> PathBuf {
    folder.join("failed").join(phase).join(task.replace('/', "__"))
}

/// Messages of the failed tasks of a phase, in order.
pub fn failures(folder: &Path, phase: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("failed").join(phase)).into_iter().flatten().flatten();
    let mut messages: Vec<String> = entries.filter_map(|e| std::fs::read_to_string(e.path()).ok()).collect();
    messages.sort();
    messages
}

/// Indices of the tasks whose product is neither here nor in the run to reuse.
fn find_missing(run: &Run, tasks: &[Task]) -> Result<Vec<usize>> {
    let mut missing = Vec::new();
    for (i, task) in tasks.iter().enumerate() {
        if task.is_done(&run.folder, run.options.skip_bad_exposures) {
            continue;
        }
        let from_other = run.options.reuse.as_deref().map(|other| take_over(other, &run.folder, task)).transpose()?;
        if from_other != Some(true) {
            missing.push(i);
        }
    }
    Ok(missing)
}

/// Links (or copies) the products of a task from another run if its key agrees there.
fn take_over(other: &Path, folder: &Path, task: &Task) -> Result<bool> {
    if !task.is_done(other, false) {
        return Ok(false);
    }
    for path in [&task.path].into_iter().chain(&task.extra_paths) {
        let context = || format!("taking over {} from {}", path.display(), other.display());
        link(&other.join(path), &folder.join(path)).with_context(context)?;
    }
    Ok(true)
}

/// Products are never changed in place, so that a hard link is as good as a copy; of a folder, those of its files.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_dir() {
        for entry in std::fs::read_dir(from)? {
            let name = entry?.file_name();
            link(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let _ = std::fs::remove_file(to);
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
}

/// By predicted cost, never by measured time; ties in the plan's order.
fn dearest_first(tasks: &[Task], mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_by(|&a, &b| tasks[b].cost.total_cmp(&tasks[a].cost).then(a.cmp(&b)));
    indices
}

/// `FATHOM_FAULT=phase:task:kill|panic|fail` makes that task end badly: for tests of what happens then.
fn fault(phase: &str, task: &str) -> Result<()> {
    let Ok(fault) = std::env::var("FATHOM_FAULT") else { return Ok(()) };
    let mut parts = fault.splitn(3, ':');
    let (at_phase, at_task, what) = (parts.next(), parts.next(), parts.next());
    if at_phase != Some(phase) || !at_task.is_some_and(|t| t == task || t == "*") {
        return Ok(());
    }
    match what {
        // SAFETY: kill(2) with our own process id touches no memory.
        Some("kill") => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
            Ok(())
        },
        Some("panic") => panic!("FATHOM_FAULT asked for a panic"),
        _ => Err(anyhow!("FATHOM_FAULT asked for a failure")),
    }
}

/// One line per phase: a bar on a terminal, plain lines in a batch log, rank 0 only.
struct Progress {
    is_shown: bool,
    phase: &'static str,
    total: usize,
    n_before: usize,
    bar: Option<ProgressBar>,
    start: Instant,
    last: Instant,
}

/// Time between two lines in a batch log.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn new(is_shown: bool, phase: &'static str, total: usize, n_before: usize) -> Self {
        let bar = (is_shown && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix:>15} [{bar:30}] {pos}/{len} {per_sec} {eta} left").expect("a fixed template");
            ProgressBar::new(total as u64).with_style(style).with_prefix(phase)
        });
        Self { is_shown, phase, total, n_before, bar, start: Instant::now(), last: Instant::now() }
    }

    fn show(&mut self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        } else if self.is_shown && self.last.elapsed() > LINE_EVERY {
            self.last = Instant::now();
            let rate = (done - self.n_before) as f64 / self.start.elapsed().as_secs_f64();
            let left = if rate > 0.0 { format!("{:.0} s left", (self.total - done) as f64 / rate) } else { "time left unknown".into() };
            eprintln!("{:>15}  {done}/{} tasks, {rate:.2}/s, {left}", self.phase, self.total);
        }
    }

    fn finish(&self, seconds: f64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        // A phase that the configuration does not ask for has no tasks.
        if self.is_shown && self.total > 0 {
            let before = if self.n_before > 0 { format!(", {} taken over", self.n_before) } else { String::new() };
            let done = self.total - self.n_before;
            eprintln!("{:>15}  {done}/{} tasks in {seconds:.1} s, {:.2}/s{before}", self.phase, self.total, done as f64 / seconds);
        }
    }
}

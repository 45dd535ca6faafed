//! The binary `fathom`: command line, ranks, exit status.

mod command;
mod config;
mod last_words;
mod log;
mod phase;
mod product_key;
mod run;
mod run_folder;
mod schedule;
mod world;

use crate::command::run::{GROUPS, Group, RequirementsFailed};
use crate::config::{Config, ConfigError};
use crate::phase::{PHASES, Phase};
use crate::run::{Options, Run};
use crate::world::World;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    // A file that may grow no further is then an error of the write, with a message, and not the end of the process.
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let matches = command_line().get_matches();
    let (name, arguments) = matches.subcommand().expect("clap demands a command");
    let phase = PHASES.into_iter().find(|p| p.name() == name);
    let group = GROUPS.iter().find(|g| g.name == name);
    log::start(arguments.try_get_one::<u8>("verbose").ok().flatten().copied().unwrap_or(0));
    if group.is_some() || phase.is_some() {
        return compute(name, group, phase, arguments);
    }
    match command::look(name, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("fathom: {e:#}");
            ExitCode::from(status_of(&e))
        }
    }
}

/// Several phases, or one, on all ranks.
fn compute(name: &str, group: Option<&Group>, phase: Option<&'static dyn Phase>, arguments: &ArgMatches) -> ExitCode {
    // A file that outgrows its limit must be an error of the write, not the end of the process.
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let world = World::new();
    let result = (|| {
        // Before the configuration is checked: the check plans the exposures, on all threads.
        let n_threads = arguments.get_one::<usize>("threads").copied().unwrap_or_else(|| default_threads(&world));
        rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global()?;
        let source = arguments.get_one::<String>("config").expect("required");
        let settings: Vec<String> = arguments.get_many("set").map(|v| v.cloned().collect()).unwrap_or_default();
        let config = Config::load(source, &settings)?;
        let options = Options {
            // A phase on its own goes on with what stands in the folder.
            resume: arguments.get_flag("resume") || (phase.is_some() && !arguments.get_flag("overwrite")),
            overwrite: arguments.get_flag("overwrite"),
            reuse: arguments.get_one::<PathBuf>("reuse").cloned(),
            skip_bad_exposures: arguments.get_flag("skip-bad-exposures"),
            is_mixed_cpus: arguments.get_flag("mixed-cpus"),
        };
        if let Some(other) = options.reuse.as_ref().filter(|r| !r.join("config.toml").is_file()) {
            return Err(ConfigError(format!("--reuse {}: no run folder (it has no config.toml)", other.display())).into());
        }
        let stem = PathBuf::from(source).file_stem().map_or_else(|| source.into(), PathBuf::from);
        let folder = arguments.get_one::<PathBuf>("out").cloned().unwrap_or_else(|| PathBuf::from("runs").join(stem));
        let run = Run::new(config, folder, options)?;
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let one: Vec<&dyn Phase> = phase.into_iter().collect();
        let phases = group.map_or(Ok(&one[..]), |g| g.phases(&run.config))?;
        command::run::run_phases(&world, &run, phases, &format!("fathom {command}"))?;
        if matches!(arguments.try_get_one::<bool>("enforce"), Ok(Some(true))) { command::run::enforce(&world, &run) } else { Ok(()) }
    })();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // What rank 0 meets, all ranks meet: one message is enough. What only another rank met, it says itself.
            if world.rank() > 0 {
                std::thread::sleep(Duration::from_secs(4));
            }
            let message = if group.is_some() { format!("{e:#}") } else { format!("{name}: {e:#}") };
            world.abort(&message, i32::from(status_of(&e)))
        }
    }
}

/// 2 for a wrong configuration or usage, 3 for a requirement that failed, else 1.
fn status_of(e: &anyhow::Error) -> u8 {
    let is_config = |c: &(dyn std::error::Error + 'static)| c.is::<ConfigError>();
    if e.chain().any(is_config) {
        2
    } else if e.is::<RequirementsFailed>() {
        3
    } else {
        1
    }
}

/// Cores of this rank: what its affinity allows, shared out among the ranks of the machine.
fn default_threads(world: &World) -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: sysconf(3) only reads.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as usize;
    allowed.min(online / world.n_local()).max(1)
}

fn command_line() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let path = |name: &'static str, help: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf)).help(help);
    let verbose = || Arg::new("verbose").short('v').action(ArgAction::Count).help("More on stderr: -v what is done, -vv how long it took");
    let computing = |command: Command| {
        command
            .arg(
                Arg::new("config")
                    .required(true)
                    .value_name("CONFIG")
                    .help("Configuration: a TOML file, or an embedded one (demo, grid, noise-known, noise-mesh, real-decam, galsim-gri)"),
            )
            .arg(path("out", "Run folder [default: runs/<configuration's name>]").long("out").value_name("DIR"))
            .arg(
                Arg::new("set")
                    .long("set")
                    .action(ArgAction::Append)
                    .value_name("SECTION.KEY=VALUE")
                    .help("Override one setting; may be repeated"),
            )
            .arg(flag("resume", "Go on in an existing run folder: redo only what is missing or has another key"))
            .arg(flag("overwrite", "Empty an existing run folder first").conflicts_with("resume"))
            .arg(path("reuse", "Take every product whose key agrees from another run").long("reuse").value_name("RUN"))
            .arg(
                Arg::new("threads")
                    .long("threads")
                    .value_parser(clap::builder::RangedU64ValueParser::<usize>::new().range(1..1025))
                    .value_name("N")
                    .help("Threads of each rank [default: its share of the machine's cores]"),
            )
            .arg(flag("skip-bad-exposures", "List exposures that cannot be read or characterised in the report instead of stopping"))
            .arg(flag("mixed-cpus", "Accept ranks on CPUs with different features (results may then differ in the last bits)"))
            .arg(verbose())
    };
    let enforcing = |command: Command, is_judging: bool| {
        let enforce = flag("enforce", "Exit with status 3, after everything is written, if a requirement fails ([validate] requirements)");
        if is_judging { command.arg(enforce) } else { command }
    };
    let mut root = Command::new("fathom")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sounds how deep a survey really sees: simulate or inject, run the deep-processing chain, compare with the truth")
        .after_help("Under a launcher (mpirun -n 8 fathom run ...) the same command runs on all ranks.\nExit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 a requirement failed (--enforce), 101 a panic.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("init").about("Print a commented configuration with every default"));
    for group in &GROUPS {
        let first = group.about.lines().next().unwrap_or_default();
        root = root.subcommand(enforcing(computing(Command::new(group.name).about(first).long_about(group.about)), group.name == "run"));
    }
    for phase in PHASES {
        let about = phase.about();
        let first = about.lines().next().unwrap_or_default();
        root = root.subcommand(enforcing(computing(Command::new(phase.name()).about(first).long_about(about)), phase.name() == "validate"));
    }
    root.subcommands(command::looking())
}

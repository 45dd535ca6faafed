//! Commands that start no ranks: their arguments, and the call of each.

use super::{catalog, compare, history, import, relink, report, status};
use crate::config;
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use fathom::format::export::Format;
use std::path::PathBuf;

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf)).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    text(name, value, help).value_parser(value_parser!(f64)).allow_negative_numbers(true)
}

fn run_folder() -> Arg {
    path("folder", "Run folder").required(true).value_name("RUN")
}

/// The command of a name, with a short and a long text.
fn command(name: &'static str, about: &'static str, long: &'static str) -> Command {
    Command::new(name).about(about).long_about(format!("{about}.\n\n{long}"))
}

/// All of them.
pub fn looking() -> Vec<Command> {
    vec![
        command("import", "Turn any survey's files, described by a layout, into fathom's exposures", "Reads: LAYOUT and the files it names (FITS); ${FATHOM_DATA} in it is replaced by --data or the environment variable.\nWrites: DIR/<id>.h5, and DIR/truth.h5 if the layout has a truth.")
            .arg(path("layout", "Layout, TOML").required(true).value_name("LAYOUT"))
            .arg(path("out", "Folder for the exposures").long("out").required(true).value_name("DIR"))
            .arg(path("data", "Folder that the layout's ${FATHOM_DATA} stands for").long("data").value_name("DIR"))
            .arg(flag("overwrite", "Write into a folder that is not empty"))
            .arg(Arg::new("verbose").short('v').action(ArgAction::Count).help("More on stderr")),
        Command::new("status").about("Tasks done, failed and left, per phase").arg(run_folder()),
        Command::new("relink").about("Make run.h5 again, which ties a run folder together").arg(run_folder()),
        command("report", "Draw the report again from the run folder, without measuring again", "Reads: config.toml, metrics.json, plots.json, validation.h5, provenance.json, timing.json and the products of the first arm with truth.\nWrites: report/index.html, report/report.md, report/plots/*.").arg(run_folder()),
        command("compare", "Compare runs on the same pixels, object by object", "All runs are compared with the first: paired differences with intervals, McNemar's test for detections, a verdict per figure and regime.\n\nReads: metrics.json, validation.h5, catalogs and truth of two or more run folders whose exposures have the same keys; others are refused (status 2).\nWrites: DIR/index.html, report.md, compare.json, figures-<run>.csv, objects-<run>.csv, plots/.")
            .arg(path("folders", "Run folders; the first is what the others are compared with").required(true).num_args(2..).value_name("RUN"))
            .arg(path("out", "Folder for the report [default: compare-<names of the runs>]").long("out").value_name("DIR")),
        command("history", "Headline figures of many runs as trends", "Reads: metrics.json and provenance.json of run folders.\nWrites: DIR/index.html, report.md, history.csv, plots/; the table also on stdout.")
            .arg(path("folders", "Run folders, in the order of the trend").required(true).num_args(1..).value_name("RUN"))
            .arg(flag("by-date", "Order the runs by the date in provenance.json"))
            .arg(path("out", "Folder for the report").long("out").value_name("DIR").default_value("history")),
        catalog_command(),
        cutout_command(),
    ]
}

fn catalog_command() -> Command {
    command("catalog", "A run's catalog for other programs: FITS, Parquet, CSV", "Units and descriptions go along. A condition compares columns, numbers and texts: =, !=, <, <=, >, >=, + - * /, and, or, not, brackets, is_nan(), abs(), sqrt(), log10().\nExample: --where 'is_primary and r_psf_flux / r_psf_flux_err > 10 and not r_psf_flux_flag'\n\nReads: a run folder, batch by batch.\nWrites: FILE; its name also on stdout.")
        .arg(run_folder())
        .arg(text("format", "FORMAT", "Format of the file").required(true).value_parser(["fits", "parquet", "csv"]))
        .arg(text("table", "TABLE", "Table").value_parser(["catalog", "truth", "matches"]).default_value("catalog"))
        .arg(text("columns", "A,B,...", "Columns, in this order [default: all]").value_delimiter(','))
        .arg(text("where", "CONDITION", "Rows that the condition holds for [default: all]"))
        .arg(text("arm", "ARM", "Arm of the run [default: the first with truth]"))
        .arg(path("out", "File [default: RUN/<table>.<format>]").long("out").value_name("FILE"))
}

fn cutout_command() -> Command {
    command("cutout", "Pixels around a place, or a blend taken apart, as FITS and PNG", "Either a place of the sky (--ra, --dec, --size) or a parent of the catalog (--parent: data, model, every child, residual, and truth where [truth] pixels = true).\nPlanes: image, variance, mask, psi, phi, phi3, omega, significance (of a band's detection layer), free_sed (the layer of all bands); proper, proper_variance, proper_mask and the maps of all bands by name, where [combine] made them.\n\nReads: coadds, combined images, blends and truth pixels of a run folder.\nWrites: STEM.fits, an HDU an image with its WCS and unit, and STEM.png; their names also on stdout.")
        .arg(run_folder())
        .arg(number("ra", "DEG", "Right ascension of the middle [deg]").requires_all(["dec", "size"]))
        .arg(number("dec", "DEG", "Declination of the middle [deg]").requires("ra"))
        .arg(number("size", "ARCSEC", "Side of the square [arcsec]").requires("ra"))
        .arg(text("plane", "PLANE", "Planes").value_delimiter(',').default_value("image"))
        .arg(text("parent", "ID", "Parent (parent_id of the catalog)").value_parser(value_parser!(i64)).conflicts_with_all(["ra", "dec", "size"]))
        .group(clap::ArgGroup::new("target").args(["ra", "parent"]).required(true))
        .arg(text("band", "BAND", "Band [default: all]"))
        .arg(text("arm", "ARM", "Arm of the run [default: the first with truth]"))
        .arg(path("out", "Stem of the files' names [default: cutout-<ra>-<dec> or parent-<id>]").long("out").value_name("STEM"))
}

/// Does what a command asks for.
pub fn look(name: &str, arguments: &ArgMatches) -> Result<()> {
    let path = |key: &str| arguments.get_one::<PathBuf>(key);
    let text = |key: &str| arguments.get_one::<String>(key).map(String::as_str);
    let folders = || arguments.get_many::<PathBuf>("folders").map(|f| f.cloned().collect::<Vec<_>>()).unwrap_or_default();
    let list = |key: &str| arguments.get_many::<String>(key).map(|v| v.cloned().collect::<Vec<_>>()).unwrap_or_default();
    let out = path("out").map(PathBuf::as_path);
    match name {
        "init" => print!("{}", config::DEFAULT_TOML),
        "import" => {
            let layout = path("layout").expect("required");
            import::import(layout, path("data").map(PathBuf::as_path), out.expect("required"), arguments.get_flag("overwrite"))?;
        }
        "status" => status::status(path("folder").expect("required"))?,
        "relink" => {
            let folder = path("folder").expect("required");
            relink::relink(&status::open(folder)?)?;
            println!("{}", folder.join("run.h5").display());
        }
        "report" => report::report(path("folder").expect("required"))?,
        "compare" => compare::compare_runs(&folders(), out)?,
        "history" => history::history(&folders(), out.expect("it has a default"), arguments.get_flag("by-date"))?,
        "catalog" => {
            let format = Format::ALL.into_iter().find(|f| Some(f.0) == text("format")).expect("clap knows the formats").1;
            let wanted = catalog::Wanted {
                format,
                table: text("table").expect("it has a default"),
                columns: list("columns"),
                condition: text("where"),
                arm: text("arm"),
                out,
            };
            catalog::catalog(path("folder").expect("required"), &wanted)?;
        }
        "cutout" => cut(arguments, list("plane"), text("band"), text("arm"))?,
        _ => unreachable!("clap knows the commands"),
    }
    Ok(())
}

#[cfg(feature = "fits")]
fn cut(arguments: &ArgMatches, planes: Vec<String>, band: Option<&str>, arm: Option<&str>) -> Result<()> {
    use super::cutout::{Target, cutout};
    let degrees = |key: &str| *arguments.get_one::<f64>(key).expect("clap demands ra, dec and size together");
    let target = match arguments.get_one::<i64>("parent") {
        Some(id) => Target::Parent(*id),
        None => Target::Place { ra_deg: degrees("ra"), dec_deg: degrees("dec"), size_arcsec: degrees("size"), planes },
    };
    let out = arguments.get_one::<PathBuf>("out").map(PathBuf::as_path);
    cutout(arguments.get_one::<PathBuf>("folder").expect("required"), &target, band, arm, out)
}

#[cfg(not(feature = "fits"))]
fn cut(_arguments: &ArgMatches, _planes: Vec<String>, _band: Option<&str>, _arm: Option<&str>) -> Result<()> {
    anyhow::bail!("cutout writes FITS; it needs a fathom built with the feature fits")
}

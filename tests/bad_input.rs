//! Bad input ends in one message that says what and where, and loses nothing.

use crate::launch::{self, FATHOM, Outcome, SMOKE};
use fathom::image::{Exposure, ExposureMeta};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The reference run's exposures in a folder of their own, to be spoiled, and a place for the run.
struct Imported {
    folder: TempDir,
}

impl Imported {
    fn new() -> Self {
        let folder = launch::temporary();
        std::fs::create_dir(folder.path().join("exposures")).unwrap();
        let from = launch::reference().join("main");
        for name in ["g_00", "g_01", "r_00", "r_01"] {
            let file = format!("exposures/{name}.h5");
            std::fs::copy(from.join(&file), folder.path().join(&file)).unwrap();
        }
        std::fs::copy(from.join("truth.h5"), folder.path().join("exposures/truth.h5")).unwrap();
        Self { folder }
    }

    fn exposure(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("exposures/{name}.h5"))
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn run(&self, ranks: usize, more: &[&str]) -> Outcome {
        let (out, folder) = (self.out(), self.folder.path().join("exposures"));
        let setting = format!("expose.folder={}", launch::text(&folder));
        let own = ["run", SMOKE, "--out", launch::text(&out), "--set", "expose.mode=import", "--set", &setting];
        launch::fathom(ranks, &[&own, more].concat())
    }

    /// Changes a copy of the exposure r_01 through HDF5, and demands an error that names the file and `parts`.
    fn spoiled(spoil: impl Fn(&hdf5::File), parts: &[&str]) {
        let imported = Self::new();
        let path = imported.exposure("r_01");
        let file = hdf5::File::open_rw(&path).unwrap();
        spoil(&file);
        file.close().unwrap();
        let failed = imported.run(2, &[]);
        failed.fails(1, &[&["r_01.h5", "rank ", "phase expose, task main/r_01"], parts].concat());
        imported.assert_nothing_half();
    }

    /// No product of the run is half a product, none was made of the bad exposure, and the run can go on when it is mended.
    fn assert_nothing_half(&self) {
        // A rank that is ended by another leaves its temporary file, which the next job removes.
        let is_temporary = |p: &PathBuf| p.extension().is_some_and(|e| e == "tmp");
        for path in launch::files(&self.out().join("main")).into_iter().filter(|p| !is_temporary(p)) {
            let full = self.out().join("main").join(&path);
            assert!(fathom::format::product::key(&full).is_some(), "{} is half a product", path.display());
            assert!(!path.to_str().unwrap().contains("r_01"), "{} was made of a bad exposure", path.display());
        }
    }
}

/// Rewrites an exposure with other pixels.
fn change(path: &Path, change: impl Fn(&mut Exposure)) {
    let mut exposure = fathom::format::exposure::read(path, None).unwrap();
    change(&mut exposure);
    fathom::format::exposure::write(path, "changed", &exposure).unwrap();
}

// --- configuration

#[test]
fn unknown_key() {
    let folder = launch::temporary();
    let (config, out) = (folder.path().join("typo.toml"), folder.path().join("run"));
    let text = std::fs::read_to_string(SMOKE).unwrap().replace("seeing_arcsec", "seing_arcsec");
    std::fs::write(&config, text).unwrap();
    // All ranks read it; one message is enough.
    for ranks in [1, 3] {
        let failed = launch::fathom(ranks, &["run", launch::text(&config), "--out", launch::text(&out)]);
        failed.fails(2, &["typo.toml", "seing_arcsec", "expected", "seeing_arcsec"]);
    }
    launch::solo(&["run", SMOKE, "--out", launch::text(&out), "--set", "detect.treshold=4"]).fails(2, &["smoke.toml", "treshold"]);
    assert!(!out.exists(), "a wrong configuration made a run folder");
}

#[test]
fn value_out_of_range_or_of_another_kind() {
    let folder = launch::temporary();
    let out = folder.path().join("run");
    for (setting, parts) in [
        ("detect.threshold=0.1", &["detect.threshold is 0.1", "expected"][..]),
        ("camera.n_exposures=0", &["n_exposures", "0", "expected"]),
        ("camera.seeing_arcsec=[1.2, 0.6]", &["seeing_arcsec", "expected"]),
        ("run.realisations=0", &["run.realisations is 0; expected 1..=100"]),
        ("run.bands=[\"r\", \"r\"]", &["run.bands", "\"r\"", "expected"]),
        ("sky_map.patches=[7, 2]", &["patches", "expected"]),
        ("sky_map.ra_deg=north", &["ra_deg", "north"]),
        ("sky.field=emty", &["sky.field", "emty", "expected", "empty"]),
        ("coadd.lanczos_order=4", &["coadd.lanczos_order is 4", "expected"]),
        ("nonsense", &["--set nonsense", "expected section.key=value"]),
    ] {
        let failed = launch::solo(&["run", SMOKE, "--out", launch::text(&out), "--set", setting]);
        assert_eq!(failed.status, Some(2), "{setting}: {failed}");
        assert!(parts.iter().all(|p| failed.stderr.contains(p)), "{setting}: expected {parts:?}: {failed}");
    }
    assert!(!out.exists(), "a wrong configuration made a run folder");
}

// --- files that are not there

#[test]
fn missing_files_and_folders() {
    let folder = launch::temporary();
    let (out, nowhere) = (folder.path().join("run"), folder.path().join("nowhere"));
    let (out, nowhere) = (launch::text(&out), launch::text(&nowhere));
    launch::fathom(2, &["run", nowhere, "--out", out]).fails(2, &[nowhere, "No such file", "expected a TOML file"]);
    let run = |settings: &[&str]| {
        let settings: Vec<&str> = settings.iter().flat_map(|s| ["--set", *s]).collect();
        launch::solo(&[&["run", SMOKE, "--out", out][..], &settings].concat())
    };
    run(&["expose.mode=import", &format!("expose.folder={nowhere}")]).fails(1, &["expose.folder", nowhere, "No such file"]);
    run(&["expose.mode=import", &format!("expose.layout={nowhere}.toml")]).fails(1, &[&format!("{nowhere}.toml"), "No such file"]);
    run(&["expose.mode=import"]).fails(2, &["expose.layout and expose.folder are empty"]);
    std::fs::create_dir(nowhere).unwrap();
    run(&["expose.mode=import", &format!("expose.folder={nowhere}")]).fails(1, &[nowhere, "holds no exposure", "expected files *.h5"]);
    // A layout without its data: not said where they are, and not there.
    let import = |data: &[&str]| {
        let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/layouts/galsim_gri_4epoch.toml");
        launch::solo(&[&["import", layout, "--out", out][..], data].concat())
    };
    import(&[]).fails(1, &["galsim_gri_4epoch.toml", "FATHOM_DATA"]);
    import(&["--data", nowhere]).fails(1, &["galsim_gri_4epoch", nowhere]);
    assert!(!Path::new(out).exists(), "a missing file made a run folder");
}

// --- files that are not what they should be

#[test]
fn truncated_exposure() {
    let imported = Imported::new();
    let path = imported.exposure("r_01");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    imported.run(2, &[]).fails(1, &["r_01.h5", "phase expose, task main/r_01", "truncated"]);
    imported.assert_nothing_half();
    // Mended, the run goes on.
    std::fs::write(&path, &bytes).unwrap();
    let mended = imported.run(1, &["--resume"]).ok();
    assert_eq!(mended.tasks("visit"), (4, 4), "{mended}");
}

#[test]
fn file_that_is_no_hdf5() {
    let imported = Imported::new();
    std::fs::write(imported.exposure("r_01"), "SIMPLE  =                    T / but not HDF5").unwrap();
    imported.run(2, &[]).fails(1, &["r_01.h5", "phase expose, task main/r_01"]);
    imported.assert_nothing_half();
    // HDF5, but something else of ours.
    std::fs::copy(launch::reference().join("main/visit/r_01.h5"), imported.exposure("r_01")).unwrap();
    imported.run(1, &["--overwrite"]).fails(1, &["r_01.h5", "fathom-visit", "expected", "fathom-exposure"]);
}

#[test]
fn exposure_without_psf() {
    Imported::spoiled(|file| file.unlink("psf").unwrap(), &["psf", "missing", "expected"]);
}

#[test]
fn exposure_without_wcs() {
    Imported::spoiled(|file| file.unlink("wcs").unwrap(), &["wcs", "missing", "expected"]);
}

#[test]
fn singular_wcs() {
    let set = |file: &hdf5::File| {
        for key in ["CD1_1", "CD1_2"] {
            file.group("wcs").unwrap().attr(key).unwrap().write_scalar(&0.0).unwrap();
        }
    };
    Imported::spoiled(set, &["wcs", "singular"]);
}

#[test]
fn image_and_variance_of_different_shapes() {
    let cut = |file: &hdf5::File| {
        file.unlink("variance").unwrap();
        file.new_dataset::<f32>().shape([190, 100]).create("variance").unwrap();
    };
    Imported::spoiled(cut, &["variance", "(190, 100)", "expected (190, 190)"]);
}

#[test]
fn exposure_without_variance() {
    Imported::spoiled(|file| file.unlink("variance").unwrap(), &["variance", "missing", "expected"]);
}

/// Bad pixels are no reason to stop: they are masked, counted and reported.
#[test]
fn pixels_that_are_no_numbers_and_variances_that_are_none() {
    let imported = Imported::new();
    let clean: ExposureMeta = fathom::format::exposure::read_meta(&imported.exposure("g_01")).unwrap();
    assert_eq!(clean.shape, (190, 190));
    change(&imported.exposure("g_01"), |e| {
        e.mask.slice_mut(ndarray::s![60..64, ..]).fill(0); // so that what is counted was not masked before
        e.image[[60, 70]] = f32::NAN;
        e.image[[60, 90]] = f32::INFINITY;
        e.image[[61, 95]] = f32::NEG_INFINITY;
        e.variance[[62, 70]] = 0.0;
        e.variance[[62, 80]] = -4.0;
        e.variance[[62, 90]] = f32::NAN;
        e.variance[[63, 100]] = f32::INFINITY;
    });
    let run = imported.run(2, &["-v"]).ok();
    let visit = fathom::format::visit::read(&imported.out().join("main/visit/g_01.h5")).unwrap();
    assert_eq!((visit.counts.n_not_finite, visit.counts.n_bad_variance), (3, 4), "{:?}", visit.counts);
    let words = "masked 3 pixels that are no numbers and 4 without a positive variance";
    assert!(run.stderr.contains("g_01") && run.stderr.contains(words), "{run}");
    // Nothing of them gets into a flux or an error.
    let catalog = launch::run_table(&imported.out(), "catalog");
    assert!(catalog.n_rows() >= 10);
    for band in ["g", "r"] {
        let flags = catalog.bool(&format!("{band}_psf_flux_flag")).unwrap();
        for name in [format!("{band}_psf_flux"), format!("{band}_psf_flux_err")] {
            let is_bad = |(value, flag): (&f64, &bool)| !value.is_finite() && !flag;
            assert!(!catalog.f64(&name).unwrap().iter().zip(flags).any(is_bad), "{name} is no number and not flagged");
        }
    }
    let page = std::fs::read_to_string(imported.out().join("report/index.html")).unwrap();
    assert!(page.contains("g_01"));
}

// --- skies and surveys with nothing in them

#[test]
fn band_without_exposure() {
    let imported = Imported::new();
    let failed = imported.run(2, &["--set", "run.bands=[\"g\", \"r\", \"i\"]"]);
    assert_eq!(failed.status, Some(1), "{failed}");
    let messages = failed.messages();
    assert_eq!(messages.len(), 1, "{failed}");
    // The truth of the import lacks the band too; either may be met first.
    assert!(messages[0].contains("band i has no exposure") || messages[0].contains("i_flux"), "{failed}");
    let only_r = Imported::new();
    for name in ["g_00", "g_01"] {
        std::fs::remove_file(only_r.exposure(name)).unwrap();
    }
    only_r.run(2, &[]).fails(1, &["band g has no exposure", "[\"g\", \"r\"]"]);
}

/// A tract larger than the exposures: some patches see no light, and have nothing.
#[test]
fn patch_without_coverage() {
    let folder = launch::temporary();
    let more = ["--set", "sky_map.tract_cells=[16, 4]", "--set", "sky_map.patches=[4, 1]", "--set", "camera.size_px=[120, 120]"];
    launch::smoke(2, folder.path(), &more);
    let (parents, _) = launch::parents(folder.path(), "main");
    assert!(!parents.is_empty());
    // The exposures cover the tract's centre ± 60 pixels, rotation and dither added: not its first and last 96.
    assert!(parents.iter().all(|p| p.footprint.spans.bbox().x0 > 60 && p.footprint.spans.bbox().x1() < 4 * 96 - 60));
    let tract = fathom::geometry::Tract::new(&toml_sky_map(&folder.path().join("config.toml"))).unwrap();
    let paths = tract.patches().iter().map(|p| folder.path().join(format!("main/coadd/{}.h5", p.id))).collect();
    let mosaic = fathom::format::coadd::CoaddMosaic::new(tract.clone(), paths);
    let mask = mosaic.mask("r", &fathom::geometry::Box2::new(0, 0, 20, 20)).unwrap();
    assert!(mask.iter().all(|m| m & fathom::MaskPlane::NoData.bit() != 0), "no light, but not NO_DATA");
}

fn toml_sky_map(config: &Path) -> fathom::geometry::SkyMapConfig {
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    table["sky_map"].clone().try_into().unwrap()
}

/// No object at all: an empty truth, hardly a catalog, and a report that says so.
#[test]
fn empty_sky() {
    let folder = launch::temporary();
    launch::smoke(2, folder.path(), &["--set", "sky.field=empty"]);
    assert_eq!(launch::run_table(folder.path(), "truth").n_rows(), 0);
    // 20 000 pixels of noise, 3000 PSF areas and 3 layers, threshold near 5 sigma: 0.01 peaks expected.
    assert!(launch::run_table(folder.path(), "catalog").n_rows() <= 2);
    assert!(std::fs::read_to_string(folder.path().join("report/index.html")).unwrap().contains("id=\"provenance\""));
}

// --- run folders

#[test]
fn existing_run_folder() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::smoke(1, folder.path(), &["--reuse", launch::text(launch::reference())]);
    let before = launch::products(folder.path());
    launch::fathom(2, &["run", SMOKE, "--out", out]).fails(1, &["run folder", out, "exists", "--resume", "--overwrite"]);
    assert!(launch::products(folder.path()) == before, "a refused run changed the folder");
    // Somebody's own folder is not emptied, even when asked.
    let other = launch::temporary();
    std::fs::write(other.path().join("thesis.txt"), "years of work").unwrap();
    launch::solo(&["run", SMOKE, "--out", launch::text(other.path()), "--overwrite"]).fails(1, &["no run folder", "config.toml"]);
    assert_eq!(std::fs::read_to_string(other.path().join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn two_jobs_on_one_folder() {
    let folder = launch::temporary();
    let out = launch::text(folder.path());
    launch::smoke(1, folder.path(), &["--reuse", launch::text(launch::reference())]);
    // Held as a running job holds it.
    let lock = std::fs::File::open(folder.path().join("lock")).unwrap();
    // SAFETY: flock(2) only takes the descriptor, which `lock` keeps open.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    let before = launch::products(folder.path());
    for how in ["--resume", "--overwrite"] {
        launch::fathom(2, &["run", SMOKE, "--out", out, how]).fails(1, &["another job works in", out, "lock"]);
    }
    assert!(launch::products(folder.path()) == before, "a refused run changed the folder");
    // The kernel lets go of it when the process ends.
    drop(lock);
    launch::solo(&["run", SMOKE, "--out", out, "--resume"]).ok();
}

/// A limit on the size of a file stands for a full disk: the write fails half-way.
#[test]
fn full_disk() {
    let folder = launch::temporary();
    let out = folder.path().join("run");
    // In blocks of 512 bytes: more than the configuration and less than the truth, than an exposure's image of 190 x 190 x 4 bytes, and than a whole exposure.
    for blocks in ["16", "150", "400"] {
        let mut command = Command::new("sh");
        let script = "ulimit -f $0 && exec \"$@\"";
        command.args(["-c", script, blocks, FATHOM, "run", SMOKE, "--out", launch::text(&out), "--overwrite"]);
        let failed = launch::wait(command).fails(1, &["rank 0: phase ", ", task main", ".h5", launch::text(&out)]);
        assert!(["File too large", "disk full", "write"].iter().any(|why| failed.stderr.contains(why)), "{failed}");
        for path in launch::files(&out.join("main")) {
            let full = out.join("main").join(&path);
            assert!(fathom::format::product::key(&full).is_some(), "{} is half a product", path.display());
        }
    }
    // With room again, it goes on.
    launch::solo(&["run", SMOKE, "--out", launch::text(&out), "--resume"]).ok();
    launch::assert_same_products(&out, launch::reference(), "after the disk was full");
}

/// Root passes every permission check, so an unprivileged user must try.
#[test]
fn read_only_run_folder() {
    // SAFETY: geteuid(2) only reads.
    let is_root = unsafe { libc::geteuid() } == 0;
    if is_root && !Command::new("setpriv").arg("--version").output().is_ok_and(|o| o.status.success()) {
        println!("skipped: root passes every permission check, and there is no setpriv to run as somebody else");
        return;
    }
    // Under /tmp: the user must be able to reach binary, configuration and folder.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mode = |path: &Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(folder.path(), 0o755);
    std::fs::copy(FATHOM, path("fathom")).unwrap();
    std::fs::copy(SMOKE, path("smoke.toml")).unwrap();
    mode(&path("fathom"), 0o755);
    mode(&path("smoke.toml"), 0o644);
    std::fs::create_dir(path("closed")).unwrap();
    mode(&path("closed"), 0o555);
    // A run folder whose products can no longer be written.
    let run = path("run");
    launch::smoke(1, &run, &["--reuse", launch::text(launch::reference())]);
    let before = launch::products(&run);
    mode(&run, 0o555);
    let as_user = |out: &Path, how: &[&str]| {
        let mut command = if is_root { Command::new("setpriv") } else { Command::new("env") };
        if is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        let (binary, config) = (path("fathom"), path("smoke.toml"));
        command.args([launch::text(&binary), "run", launch::text(&config), "--out", launch::text(out)]).args(how);
        launch::wait(command)
    };
    let inside = path("closed/run");
    as_user(&inside, &[]).fails(1, &[launch::text(&inside), "Permission denied"]);
    as_user(&run, &["--resume"]).fails(1, &[launch::text(&run), "Permission denied"]);
    mode(&run, 0o755);
    mode(&path("closed"), 0o755);
    assert!(launch::products(&run) == before, "a refused run changed the folder");
}

// --- one bad exposure among many

#[test]
fn bad_exposures_can_be_skipped() {
    let spoil = |imported: &Imported| {
        let file = hdf5::File::open_rw(imported.exposure("r_01")).unwrap();
        file.unlink("psf").unwrap();
        file.close().unwrap();
    };
    let imported = Imported::new();
    spoil(&imported);
    // The default is to stop.
    imported.run(1, &[]).fails(1, &["r_01.h5", "psf"]);
    let run = imported.run(3, &["--resume", "--skip-bad-exposures"]).ok();
    assert!(run.stdout.contains("skipped exposures, listed in the report: 1\n"), "{run}");
    let out = imported.out();
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    let (_, after) = page.split_once("skipped exposure").expect("a table of skipped exposures");
    let table = after.split("</table>").next().unwrap();
    assert!(table.contains("main/r_01") && table.contains("psf") && !table.contains("r_00"), "{table}");
    let status = launch::solo(&["status", launch::text(&out)]).ok();
    assert!(status.stdout.lines().any(|l| l.starts_with("skipped main/r_01") && l.contains("psf")), "{status}");
    // The result is that of a survey without the exposure.
    let without = Imported::new();
    std::fs::remove_file(without.exposure("r_01")).unwrap();
    without.run(1, &[]).ok();
    let catalog = |i: &Imported| launch::bits(&launch::run_table(&i.out(), "catalog"));
    assert_eq!(catalog(&imported), catalog(&without));
}

/// A catalog of objects with a value that cannot be: file, row and column are named, and nothing is drawn.
#[test]
fn catalog_with_a_bad_value() {
    let folder = launch::temporary();
    let catalog = folder.path().join("objects.csv");
    let head = "id,ra,dec,class,g_flux,r_flux,half_light_radius,axis_ratio,position_angle,sersic_n\n";
    let good = "1,150.1,2.2,star,1000,1000,0,1,0,0\n";
    for (row, parts) in [
        ("2,150.1,2.2,galaxy,1000,-5,0.5,0.7,30,1.5", ["r_flux in row 2 is -5", "a finite flux of 0 or more"]),
        ("2,150.1,2.2,galaxy,1000,1000,0.5,1.7,30,1.5", ["axis_ratio in row 2 is 1.7", "a number in (0, 1]"]),
        ("2,150.1,2.2,galaxy,1000,1000,0.5,0.7,30,9", ["sersic_n in row 2 is 9", "0.3..=6.2"]),
        ("2,150.1,2.2,nebula,1000,1000,0.5,0.7,30,1", ["class in row 2 is \"nebula\"", "star, galaxy"]),
    ] {
        std::fs::write(&catalog, format!("{head}{good}{row}\n")).unwrap();
        let out = folder.path().join("run");
        let file = format!("sky.catalog.file={}", launch::text(&catalog));
        let arguments = ["run", SMOKE, "--out", launch::text(&out), "--overwrite", "--set", "sky.field=catalog", "--set", &file];
        launch::fathom(2, &arguments).fails(1, &["objects.csv", parts[0], parts[1], "phase sky"]);
        assert!(!out.join("main/truth.h5").exists());
    }
}

/// Nothing is detected: the run ends well, and the metrics say that the catalog is empty; what cannot be measured is null, not 0.
#[test]
fn a_catalog_without_rows_is_reported_as_such() {
    let folder = launch::temporary();
    // Objects at the limit, and a threshold far above them.
    let faint = ["sky.scaled.magnitude_range=[-1.0, 1.5]", "sky.scaled.n_bright_stars=0", "detect.threshold=100"];
    launch::smoke(1, folder.path(), &faint.map(|setting| ["--set", setting]).concat());
    assert_eq!(launch::run_table(folder.path(), "catalog").n_rows(), 0);
    assert_notes(folder.path(), "arm main: the catalog has no rows");
    let metrics = launch::metrics(folder.path());
    let value = |name: &str| metrics.iter().find(|m| m["name"] == name && m["band"] == "" && m["regime"] == "").unwrap()["value"].clone();
    assert_eq!(value("detection.completeness"), 0.0);
    assert!(value("detection.purity").is_null() && value("astrometry.ra.bias").is_null());
    assert!(folder.path().join("report/index.html").exists());
}

/// The truth of another field: all of it is outside, nothing matches, and the report says why.
#[test]
fn truth_of_another_field_is_reported_as_such() {
    let imported = Imported::new();
    let path = imported.folder.path().join("exposures/truth.h5");
    let rows = fathom::format::truth::tile_rows(&path).unwrap().last().map_or(0, |(_, rows)| rows.end);
    let truth = fathom::format::truth::read_rows(&path, 0..rows).unwrap();
    let mut moved = fathom::catalog::Table::new();
    for column in truth.columns() {
        let mut data = column.data.clone();
        if let (fathom::catalog::ColumnData::F64(values), "dec") = (&mut data, column.name.as_str()) {
            values.iter_mut().for_each(|dec| *dec += 3.0);
        }
        moved.push(&column.name, &column.unit, &column.description, data).unwrap();
    }
    fathom::format::truth::write(&path, "", &moved).unwrap();
    imported.run(2, &[]).ok();
    assert_notes(&imported.out(), "arm main: truth and catalog lie on different fields: dec");
    assert_notes(&imported.out(), "no truth object is usable");
}

/// metrics.json says so.
fn assert_notes(run: &Path, text: &str) {
    let metrics: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(run.join("metrics.json")).unwrap()).unwrap();
    let notes = metrics["notes"].as_array().unwrap_or_else(|| panic!("no notes; expected {text}"));
    assert!(notes.iter().any(|n| n.as_str().unwrap().contains(text)), "{notes:?} lack {text}");
}

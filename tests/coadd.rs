//! Coadds of every kind: which exposures they are made of, and that nothing else decides their bits.

use crate::launch;
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::geometry::{Box2, SkyMapConfig, Tract};
use std::path::Path;

const PHASES: [&str; 4] = ["sky", "expose", "visit", "coadd"];

/// Everything that the coadd phase can be asked for.
const ALL: [&str; 12] = [
    "--set",
    "coadd.edges=cell",
    "--set",
    "coadd.weight=inverse_variance",
    "--set",
    "coadd.morphologies_arcsec=[0.4, 0.8]",
    "--set",
    "select.selections=[\"deep\", \"sharp\"]",
    "--set",
    "select.window_step_days=0.01",
    "--set",
    "select.sharp_fraction=0.5",
];

fn coadds(ranks: usize, folder: &Path, more: &[&str]) {
    for phase in PHASES {
        launch::fathom(ranks, &[&[phase, launch::SMOKE, "--out", launch::text(folder)], more].concat()).ok();
    }
}

fn mosaic(folder: &Path, patches: [u32; 2]) -> CoaddMosaic {
    let config = SkyMapConfig { cell_px: 24, tract_cells: [6, 6], patches, ..SkyMapConfig::default() };
    let tract = Tract::new(&config).unwrap();
    let paths = tract.patches().iter().map(|p| folder.join(format!("main/coadd/{}.h5", p.id))).collect();
    CoaddMosaic::new(tract, paths)
}

/// All planes of a coadd, as text of their bits.
fn planes(mosaic: &CoaddMosaic, name: &str) -> Vec<(String, Vec<u32>)> {
    let bbox = mosaic.tract().bbox();
    let bits = |values: ndarray::ArrayView2<f32>| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut all: Vec<_> = [Plane::Image, Plane::Variance, Plane::Psi, Plane::Phi, Plane::Phi3, Plane::Omega]
        .into_iter()
        .map(|plane| (format!("{plane:?}"), bits(mosaic.plane(name, plane, &bbox).unwrap().view())))
        .collect();
    let (radii, phi) = mosaic.phi_morphology(name, &bbox).unwrap();
    assert_eq!(radii, [0.4, 0.8]);
    all.extend(phi.outer_iter().map(|plane| ("phi_exponential".to_owned(), bits(plane))));
    for step in mosaic.window_steps(name).unwrap() {
        let maps = mosaic.window(name, step.step, 1, &bbox).unwrap();
        all.push((format!("psi of step {}", step.step), bits(maps.psi.view())));
        all.push((format!("phi of step {}", step.step), bits(maps.phi.view())));
    }
    let words = mosaic.inputs_wyx(name, &bbox).unwrap();
    all.push(("inputs".into(), words.iter().map(|w| *w as u32).collect()));
    all.push(("mask".into(), mosaic.mask(name, &bbox).unwrap().into_raw_vec_and_offset().0));
    all
}

#[test]
fn coadds_of_every_kind_do_not_depend_on_patches_or_ranks() {
    let first = launch::temporary();
    coadds(1, first.path(), &[&ALL[..], &["--threads", "2"]].concat());
    let reference = mosaic(first.path(), [2, 2]);
    for (ranks, patches) in [(2, [1, 1]), (3, [3, 3])] {
        let folder = launch::temporary();
        let setting = format!("sky_map.patches={patches:?}");
        coadds(ranks, folder.path(), &[&ALL[..], &["--set", &setting, "--threads", "1"]].concat());
        let found = mosaic(folder.path(), patches);
        for name in ["g", "r", "g@sharp", "r@sharp"] {
            // As text: NaN is no equal of itself.
            let decisions = |m: &CoaddMosaic| format!("{:?}", m.decisions(name).unwrap());
            assert_eq!(decisions(&found), decisions(&reference));
            for (found, expected) in planes(&found, name).iter().zip(&planes(&reference, name)) {
                assert_eq!(found.0, expected.0);
                assert!(found.1 == expected.1, "{name}, {}: {ranks} ranks, patches of {patches:?}", found.0);
            }
        }
    }
    // The ladder: both exposures of a band somewhere in it, and together what the band has.
    let bbox = Box2::new(20, 30, 40, 40);
    for name in ["g", "r"] {
        let steps = reference.window_steps(name).unwrap();
        assert_eq!(steps.iter().map(|s| s.n_exposures).sum::<u64>(), 2, "{steps:?}");
        let n_steps = (steps[steps.len() - 1].step - steps[0].step + 1) as usize;
        let window = reference.window(name, steps[0].step, n_steps, &bbox).unwrap();
        let phi = reference.plane(name, Plane::Phi, &bbox).unwrap();
        assert!(window.phi.iter().zip(&phi).all(|(w, p)| (w - p).abs() <= 4e-7 * p), "{name}");
    }
    assert!(reference.window_steps("r@sharp").unwrap().is_empty());
    // One of two exposures is sharp; the other has a reason not to be part.
    let decisions = reference.decisions("r@sharp").unwrap();
    assert_eq!(decisions.iter().filter(|d| d.is_selected).count(), 1);
    let (sharp, other) = (decisions.iter().find(|d| d.is_selected).unwrap(), decisions.iter().find(|d| !d.is_selected).unwrap());
    assert!(sharp.fwhm_arcsec < other.fwhm_arcsec && other.reason.contains("select.sharp_fraction 0.5"), "{decisions:?}");
    let properties = reference.properties("r@sharp", &bbox).unwrap();
    assert!(properties.n_exposures.iter().all(|&n| n <= 1) && properties.n_exposures.iter().any(|&n| n == 1));
}

/// Cuts that leave nothing end the run with the band, the exposure and the limit; cuts that leave something are told in the report.
#[test]
fn selection_says_what_it_leaves_out() {
    let reference = launch::reference();
    let folder = launch::temporary();
    let arguments = ["coadd", launch::SMOKE, "--out", launch::text(folder.path()), "--set", "select.max_fwhm_arcsec=0.1"];
    for phase in ["sky", "expose", "visit"] {
        launch::fathom(1, &[phase, launch::SMOKE, "--out", launch::text(folder.path())]).ok();
    }
    launch::solo(&arguments).fails(1, &["band g: select leaves none of 2 exposures", "g_00", "beyond select.max_fwhm_arcsec 0.1"]);
    let report = std::fs::read_to_string(reference.join("report/index.html")).unwrap();
    assert!(report.contains("the deepest") && report.contains("Selection"), "no table of decisions");
}

//! The whole grid of layers, and the cull: the same for every layout of patches and ranks, with thresholds for the rate that was asked for.

use crate::launch;
use fathom::associate::Parent;
use fathom::detect::{Layer, PatchLayers, is_good};
use fathom::footprint::SpanSet;
use fathom::geometry::{SkyMapConfig, Tract};
use std::path::Path;

const GRID: [&str; 10] = [
    "--set",
    "detect.seds=[\"free_sed\", \"flat\", \"red\", \"blue\", \"bands\"]",
    "--set",
    "detect.morphologies_arcsec=[0.0, 0.4, 0.8]",
    "--set",
    "detect.false_peaks_per_arcmin2=0.2",
    "--set",
    "detect.calibration_mpx=1",
    "--set",
    "detect.sky_objects_per_arcmin2=40.0",
];

/// The layers of all patches, joined.
fn joined(folder: &Path, patches: [u32; 2]) -> PatchLayers {
    let tract = Tract::new(&SkyMapConfig { cell_px: 24, tract_cells: [6, 6], patches, ..SkyMapConfig::default() }).unwrap();
    let read = |id: String| fathom::format::layers::read(&folder.join("main/layers").join(format!("{id}.h5"))).unwrap();
    let mut all = tract.patches().iter().map(|p| read(p.id.to_string())).reduce(|mut all, patch| {
        for (to, from) in all.layers.iter_mut().zip(patch.layers) {
            to.peaks.extend(from.peaks);
            to.negative_peaks.extend(from.negative_peaks);
            to.n_pixels += from.n_pixels;
            to.spans = SpanSet::from_spans(to.spans.spans().iter().chain(from.spans.spans()).copied().collect());
        }
        all.sky_objects.extend(patch.sky_objects);
        all
    });
    let all = all.as_mut().unwrap();
    for layer in &mut all.layers {
        layer.peaks.sort_by_key(|p| (p.pixel.1, p.pixel.0));
        layer.negative_peaks.sort_by(|a, b| a.at.y.total_cmp(&b.at.y).then(a.at.x.total_cmp(&b.at.x)));
    }
    all.sky_objects.sort_by_key(|s| (s.pixel.1, s.pixel.0));
    all.clone()
}

fn parents(folder: &Path) -> Vec<Parent> {
    fathom::format::parents::read(&folder.join("main/parents.h5")).unwrap().0
}

fn run(ranks: usize, folder: &Path, patches: &str, more: &[&str]) {
    launch::smoke(ranks, folder, &[&GRID[..], more, &["--set", patches]].concat()).ok();
}

#[test]
fn the_grid_does_not_depend_on_patches_or_ranks() {
    let (one, other) = (launch::temporary(), launch::temporary());
    run(1, one.path(), "sky_map.patches=[1, 1]", &["--threads", "2"]);
    run(3, other.path(), "sky_map.patches=[3, 2]", &["--reuse", launch::text(one.path())]);
    let found = joined(one.path(), [1, 1]);
    // NaN equals itself in text.
    assert_eq!(format!("{:?}", joined(other.path(), [3, 2])), format!("{found:?}"));
    assert_eq!(parents(one.path()), parents(other.path()));
    assert_eq!(found.layers.len(), 18);
    assert!(found.layers.iter().all(|l| !l.peaks.is_empty() && l.peaks.iter().all(|p| p.layer_significance.len() == 18)));
    // A fifth of a false peak per arcmin² in all layers together asks for more than 5 sigma of each.
    assert!(found.threshold_offset.abs() < 1.0 && found.layers.iter().all(|l| l.threshold > 4.0));
    // The broader the disc, the broader what is grown for it.
    let of = |name: &str| found.layers.iter().find(|l: &&Layer| l.kind.name() == name).unwrap();
    assert!(of("r").broadening < of("r:0.4").broadening && of("r:0.4").broadening < of("r:0.8").broadening);
    assert!(!found.sky_objects.is_empty() && found.sky_objects.iter().all(|s| s.flux_njy.len() == 2));
}

#[test]
fn the_cull_finds_what_the_point_source_layer_finds() {
    let folder = launch::temporary();
    run(2, folder.path(), "sky_map.patches=[2, 2]", &["--set", "detect.strategy=cull", "--set", "detect.false_peaks_per_arcmin2=0.0"]);
    let found = joined(folder.path(), [2, 2]);
    assert_eq!(found.layers.len(), 1);
    let peaks = &found.layers[0].peaks;
    assert!(peaks.iter().any(|p| !is_good(p)));
    // What the layer alone would have found is kept.
    assert!(peaks.iter().filter(|p| p.significance >= found.layers[0].threshold).all(is_good_or_masked));
    assert!(peaks.iter().all(|p| p.layer_significance.len() == 3));
    assert!(!parents(folder.path()).is_empty());
}

fn is_good_or_masked(peak: &fathom::footprint::Peak) -> bool {
    peak.fate != fathom::footprint::PeakFate::Culled
}

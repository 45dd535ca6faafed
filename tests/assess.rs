//! What the assess phase finds on a small field: whose light the children hold, and coadds that keep what their exposures promise.

use crate::launch;
use fathom::catalog::Table;
use std::collections::BTreeMap;

fn metrics(folder: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["metrics"].as_array().unwrap().clone()
}

/// Values of all records of a name, not measured ones left out.
fn values(metrics: &[serde_json::Value], name: &str) -> Vec<f64> {
    metrics.iter().filter(|m| m["name"] == name).filter_map(|m| m["value"].as_f64()).collect()
}

/// Σ over the children of what they hold of an object is all of its light on the parent; children hold no light that is not there.
#[test]
fn children_hold_the_light_of_their_parents() {
    let folder = launch::temporary();
    launch::smoke(2, folder.path(), &["--set", "truth.pixels=true"]).ok();
    let validation = folder.path().join("validation.h5");
    let blends: Table = fathom::format::table::read(&validation, "blends").unwrap();
    let (parent, truth) = (blends.i64("parent_id").unwrap(), blends.i64("truth_id").unwrap());
    assert!(blends.i64("n_children").unwrap().iter().any(|n| *n > 1));
    for band in ["g", "r"] {
        let column = |name: &str| blends.f64(&format!("{band}_{name}")).unwrap();
        let (held, inside, total, blendedness) = (column("flux_held"), column("flux_inside"), column("flux_total"), column("blendedness"));
        let mut sums: BTreeMap<(i64, i64), f64> = BTreeMap::new();
        for i in 0..blends.n_rows() {
            *sums.entry((parent[i], truth[i])).or_default() += held[i];
        }
        for i in 0..blends.n_rows() {
            // Pairs of less than a thousandth of both are not listed: a child of each sibling may hide one.
            let slack = 0.02 * total[i].abs() + 0.02 * inside[i].abs();
            let sum = sums[&(parent[i], truth[i])];
            assert!((sum - inside[i]).abs() <= slack, "{band} row {i}: children hold {sum} of {}", inside[i]);
            // Lanczos wings are negative in places, so neighbours may take a little light away.
            assert!(inside[i] <= total[i] * 1.02 && !(blendedness[i] < -0.05 || blendedness[i] > 1.0), "{band} row {i}");
        }
    }
    let metrics = metrics(folder.path());
    for purity in values(&metrics, "deblend.light.purity") {
        assert!((0.0..=1.0).contains(&purity));
    }
    assert!(!values(&metrics, "deblend.light.purity").is_empty());
    // Few members of so small a field's blends are matched: the share may be unmeasured, its record stands.
    assert!(values(&metrics, "deblend.light.misassigned_fraction").iter().all(|share| (0.0..1.0).contains(share)));
    assert!(metrics.iter().any(|m| m["name"] == "deblend.light.misassigned_fraction"));
    let worst = fathom::format::table::read(&validation, "worst_blends").unwrap();
    let score = worst.f64("score").unwrap();
    assert!(score.windows(2).all(|w| w[0] >= w[1]) && score.iter().all(|s| *s > 0.0));
}

/// Depth, noise and backgrounds of the reference run; what needs truth pixels is not measured.
#[test]
fn coadds_keep_what_their_exposures_promise() {
    let metrics = metrics(launch::reference());
    for difference in values(&metrics, "coadd.depth.difference") {
        // Masks only take; the variance of a source-free pixel is known to a few per cent, 0.03 mag of depth.
        assert!((-0.1..0.05).contains(&difference), "{difference}");
    }
    assert_eq!(values(&metrics, "coadd.depth.difference").len(), 2);
    let rms = values(&metrics, "background.residual_rms");
    assert_eq!(rms.len(), 12);
    assert!(rms.iter().all(|r| *r < 1.0), "{rms:?}");
    assert!(values(&metrics, "deblend.light.purity").is_empty());
    assert!(metrics.iter().any(|m| m["name"] == "deblend.light.purity" && m["value"].is_null()));
    // Every seam has its record, near and far; of cells this small nothing is far from a border.
    assert_eq!(metrics.iter().filter(|m| m["name"] == "association.duplicate_fraction").count(), 4);
    let at_patches = |m: &&serde_json::Value| m["regime"] == "within 3 FWHM of a patch border";
    let duplicates = metrics.iter().filter(at_patches).find(|m| m["name"] == "association.duplicate_fraction").unwrap();
    assert!(duplicates["value"].as_f64().unwrap() < 0.1 && duplicates["n"].as_u64().unwrap() > 0);
}

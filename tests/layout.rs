//! Patches are bookkeeping: the catalog is the same, bit for bit, for every layout of patches over one field.

use crate::launch;

#[test]
fn catalog_does_not_depend_on_patches() {
    let reference = launch::reference(); // 2 x 2
    let tables = |folder: &std::path::Path| ["catalog", "truth", "matches"].map(|name| launch::bits(&launch::run_table(folder, name)));
    let expected = tables(reference);
    // Something must cross a border of the patches, or the comparison shows little: parents of 2 x 2 and 3 x 3 patches.
    let (parents, _) = launch::parents(reference, "main");
    for border in [48, 72, 96] {
        let crosses = |p: &&fathom::associate::Parent| {
            let b = p.footprint.spans.bbox();
            (b.x0 < border && b.x1() > border) || (b.y0 < border && b.y1() > border)
        };
        assert!(parents.iter().any(|p| crosses(&p)), "no parent crosses {border}");
    }
    for (patches, n) in [("[1, 1]", 1), ("[3, 3]", 9)] {
        let folder = launch::temporary();
        let setting = format!("sky_map.patches={patches}");
        let run = launch::smoke(2, folder.path(), &["--set", &setting, "--reuse", launch::text(reference)]);
        // Exposures do not know of patches: their keys agree.
        assert_eq!(run.tasks("expose"), (0, 4), "{run}");
        assert_eq!(run.tasks("coadd"), (n, n), "{run}");
        for ((found, expected), name) in tables(folder.path()).iter().zip(&expected).zip(["catalog", "truth", "matches"]) {
            assert_eq!(found, expected, "{name} with patches {patches}");
        }
        // What is told by the distance from a seam depends on where the seams are; nothing else does.
        let elsewhere = |folder: &std::path::Path| {
            let mut metrics = launch::metrics(folder);
            metrics.retain(|m| !m["regime"].as_str().unwrap().replace('_', " ").contains("patch border"));
            metrics
        };
        assert_eq!(elsewhere(folder.path()), elsewhere(reference), "metrics with patches {patches}");
    }
}

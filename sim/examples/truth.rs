//! Writes the truth catalog of a field in all six bands, without exposures: `truth FIELD SIDE_ARCMIN OUT.h5`; and how blended it is.

use fathom::geometry::{SkyMapConfig, Tract};
use fathom_sim::{FieldConfig, blend_fraction, make_truth};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [field, side_arcmin, path] = &arguments[..] else { return Err("usage: truth FIELD SIDE_ARCMIN OUT.h5".into()) };
    let cells = (side_arcmin.parse::<f64>()? * 60.0 / 0.2 / 64.0).round() as u32;
    let tract = Tract::new(&SkyMapConfig { tract_cells: [cells, cells], patches: [1, 1], ..SkyMapConfig::default() })?;
    let bands = ["u", "g", "r", "i", "z", "y"].map(String::from);
    let mut config = FieldConfig { field: field.clone(), ..FieldConfig::default() };
    let default = config.survey.clustering;
    for clustering in [0.0, 0.02, 0.1, 0.3, default] {
        config.survey.clustering = clustering;
        let start = Instant::now();
        let table = make_truth(&config, &tract, &bands, &[], 1, 0)?;
        println!("clustering {clustering}: {} objects in {:.2?}", table.n_rows(), start.elapsed());
        for limit in [24.0, 25.3, 26.0, 27.0] {
            let found = blend_fraction(&table, "i", 0.7, limit, 0.01)?;
            println!("  i < {limit}: {} objects, blended {:.3} (FWHM 0.7 arcsec)", found.n_objects, found.value());
        }
        if (clustering - default).abs() <= 0.0 {
            fathom::format::table::write(path.as_ref(), "", "truth", &table)?;
        }
    }
    Ok(())
}

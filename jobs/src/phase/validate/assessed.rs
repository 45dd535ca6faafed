//! What the assess phase found, merged; and how far objects are from seams.

use crate::phase::assess;
use crate::run::Run;
use anyhow::Result;
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom_validation::assess::{Assessed, SeamDistances, Seams};
use fathom_validation::{ArmData, ValidateInput};

/// Objects nearer to the tract's own edge than this count at no seam \[FWHM\].
const EDGE_FWHM: f64 = 5.0;

/// Rows of all arms with truth; arm `first` is the first of them.
pub fn assessed(run: &Run, arms: &[ArmData], first: usize) -> Result<Assessed> {
    let mut all = Assessed::default();
    for (i, data) in arms.iter().enumerate() {
        let arm = first + i;
        all.blends.push(assess::rows(run, arm, "blends")?);
        all.seams.push(seams(run, arm, data)?);
        for (to, name) in [
            (&mut all.backgrounds, "backgrounds"),
            (&mut all.depths, "depths"),
            (&mut all.psf_stars, "psf_stars"),
            (&mut all.noise, "noise"),
        ] {
            to.append(assess::rows(run, arm, name)?)?;
        }
    }
    // Patches are bookkeeping: what resamples these rows must not see their order.
    all.depths = in_order_of(&all.depths, ["cell_row", "cell_column"])?;
    all.noise = in_order_of(&all.noise, ["cell_row", "cell_column"])?;
    all.psf_stars = in_order_of(&all.psf_stars, ["dec", "ra"])?;
    Ok(all)
}

/// Rows of `/blends` of all arms, with the arm.
pub fn blends_of_all(input: &ValidateInput) -> Result<Table> {
    let mut all = Table::new();
    for (arm, blends) in input.arms.iter().zip(&input.assessed.blends).filter(|(_, b)| !b.columns().is_empty()) {
        let mut of_arm = blends.clone();
        of_arm.push("arm", "", "arm of the run", ColumnData::Text(vec![arm.name.clone(); blends.n_rows()]))?;
        all.append(of_arm)?;
    }
    Ok(all)
}

/// The rows sorted by two columns, equal ones as they stood.
fn in_order_of(table: &Table, [major, minor]: [&str; 2]) -> Result<Table> {
    if table.columns().is_empty() {
        return Ok(table.clone());
    }
    let numbers = |name: &str| -> Result<Vec<f64>> {
        Ok(match table.i64(name) {
            Ok(values) => values.iter().map(|v| *v as f64).collect(),
            Err(_) => table.f64(name)?.to_vec(),
        })
    };
    let (major, minor) = (numbers(major)?, numbers(minor)?);
    let mut rows: Vec<usize> = (0..table.n_rows()).collect();
    rows.sort_by(|&a, &b| major[a].total_cmp(&major[b]).then(minor[a].total_cmp(&minor[b])));
    Ok(table.take(&rows))
}

fn seams(run: &Run, arm: usize, data: &ArmData) -> Result<Seams> {
    let edge_px = EDGE_FWHM * run.mean_fwhm_px(arm)?;
    let scale = run.config.sky_map.pixel_scale_arcsec;
    let (patch, cell) = (patch_borders(run), cell_borders(run));
    let distances = |borders: &[Vec<f64>; 2]| -> Result<SeamDistances> {
        let of = |table: &Table| -> Result<Vec<f64>> {
            if table.columns().is_empty() {
                return Ok(Vec::new());
            }
            let positions = table.f64("ra")?.iter().zip(table.f64("dec")?);
            Ok(positions.map(|(&ra, &dec)| scale * distance_px(run, borders, ra, dec, edge_px)).collect())
        };
        Ok(SeamDistances { truth_arcsec: of(&data.truth)?, catalog_arcsec: of(&data.catalog)? })
    };
    Ok(Seams { patch: distances(&patch)?, cell: distances(&cell)? })
}

/// Columns and rows at which a new patch begins, the tract's own edges left out \[tract pixel\].
fn patch_borders(run: &Run) -> [Vec<f64>; 2] {
    let starts = |start: fn(&fathom::geometry::Box2) -> i32| {
        let mut starts: Vec<i32> = run.tract.patches().iter().map(|p| start(&p.bbox)).filter(|&s| s > 0).collect();
        starts.sort_unstable();
        starts.dedup();
        // Pixel centres are whole numbers, so a border lies half a pixel before the first of them.
        starts.into_iter().map(|s| f64::from(s) - 0.5).collect()
    };
    [starts(|b| b.x0), starts(|b| b.y0)]
}

/// The same of cells.
fn cell_borders(run: &Run) -> [Vec<f64>; 2] {
    let c = &run.config.sky_map;
    c.tract_cells.map(|n| (1..n).map(|k| f64::from(k * c.cell_px) - 0.5).collect())
}

/// Distance of the nearest border \[pixel\]; NaN within `edge_px` of the tract's edge or outside.
fn distance_px(run: &Run, borders: &[Vec<f64>; 2], ra: f64, dec: f64, edge_px: f64) -> f64 {
    let inner = run.tract.bbox().grown(-(edge_px.ceil() as i32));
    let Some(PixelPoint { x, y }) = run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra, dec)).ok().filter(|p| inner.contains_point(*p))
    else {
        return f64::NAN;
    };
    let nearest = |borders: &[f64], at: f64| borders.iter().map(|b| (b - at).abs()).fold(f64::INFINITY, f64::min);
    nearest(&borders[0], x).min(nearest(&borders[1], y))
}

//! One exposure a band, before and after its background was taken off.

use super::binned::Binned;
use super::maps::{heat_panel, range_of};
use crate::run::Run;
use anyhow::Result;
use fathom::background::ExposureBackground;
use fathom::geometry::Box2;
use fathom::image::MaskPlane;
use fathom_validation::{Palette, Plot, Section};
use ndarray::{Array2, Zip};

/// Longest side of a picture \[bin\].
const CELLS: usize = 48;
/// What is left is shown from minus to plus this many sigma of a bin.
const RESIDUAL_SIGMA: f64 = 5.0;

/// The first exposure of every band: image, background, difference; and the files that they come from.
pub fn before_and_after(run: &Run, arm: usize) -> Result<Vec<(Plot, String)>> {
    let inputs = run.band_inputs(arm)?;
    let mut plots = Vec::new();
    for band in &run.config.run.bands {
        let Some((meta, visit)) = inputs[band].first() else { continue };
        let path = run.path(run.exposure_path(arm, &meta.id.0));
        let exposure = fathom::format::exposure::read(&path, None)?;
        let on_array = Box2::of_shape(exposure.image.dim());
        let model = visit.background.image(&exposure.bbox);
        let good = |image: &Array2<f32>| {
            Zip::from(image).and(&exposure.mask).map_collect(|&v, &m| if m & MaskPlane::UNUSABLE == 0 { v } else { f32::NAN })
        };
        let binned = |image: &Array2<f32>| {
            let mut binned = Binned::new(&on_array, CELLS);
            binned.add(&on_array, image.view());
            (binned.mean(), binned.bin())
        };
        let ((before, bin), (background, _)) = (binned(&good(&exposure.image)), binned(&model));
        let variance: Vec<f64> = exposure.variance.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite() && *v > 0.0).collect();
        let sigma = (variance.iter().sum::<f64>() / variance.len().max(1) as f64).sqrt() / bin as f64;
        let after = &before - &background;
        let (low, high) = range_of(&background, 0.0);
        let common = (low - RESIDUAL_SIGMA * sigma, high + RESIDUAL_SIGMA * sigma);
        let (x, y) = ((0.0, f64::from(on_array.width)), (0.0, f64::from(on_array.height)));
        let panel =
            |map: &Array2<f32>, range, label: &str, palette| heat_panel(["x [pixel]", "y [pixel]"], [x, y], map, range, label, palette);
        let ends = (-RESIDUAL_SIGMA * sigma, RESIDUAL_SIGMA * sigma);
        let plot = Plot {
            name: format!("background_{band}"),
            section: Section::Background,
            title: format!("Background of an exposure, {band}"),
            caption: format!(
                "Exposure {}, means over {bin} x {bin} pixels, masked ones left out. Left: before; middle: its background, \
                 same colours; right: after, from −{RESIDUAL_SIGMA} to +{RESIDUAL_SIGMA} sigma of a bin's noise: what is orange are sources.",
                meta.id
            ),
            panels: vec![
                panel(&before, common, "before [ADU]", Palette::Sequential),
                panel(&background, common, "background [ADU]", Palette::Sequential),
                panel(&after, ends, "after [ADU]", Palette::Diverging),
            ],
        };
        let source = match visit.background {
            ExposureBackground::Mesh(_) => format!("{} /background", run.visit_path(arm, &meta.id.0).display()),
            ExposureBackground::Matched(_) => format!("{} /{band}/exposures/{}", run.background_path(arm).display(), meta.id),
        };
        let image = run.exposure_path(arm, &meta.id.0);
        plots.push((plot, format!("{} /image, {source}", image.display())));
    }
    Ok(plots)
}

//! The table of exposures.

use crate::run::Run;
use anyhow::Result;
use fathom::geometry::{Box2, PixelPoint};
use fathom_validation::Section;
use fathom_validation::report::{Grid, StageText};

/// Name, band, FWHM, sky level, masked share, aperture correction of every exposure.
pub fn table(run: &Run, arm: usize) -> Result<StageText> {
    let heads = ["exposure", "band", "FWHM [arcsec]", "sky [nJy/arcsec²]", "masked [%]", "aperture correction", "error", "stars"];
    let mut grid = Grid::new(&heads);
    let inputs = run.band_inputs(arm)?;
    for band in &run.config.run.bands {
        for (meta, visit) in inputs[band].iter() {
            let center = PixelPoint::new((meta.shape.1 as f64 - 1.0) / 2.0, (meta.shape.0 as f64 - 1.0) / 2.0);
            let area = meta.wcs.pixel_area_arcsec2(center);
            let part = Box2::new(center.x as i32, center.y as i32, 1, 1);
            let sky = f64::from(visit.background.image(&part)[[0, 0]]) * meta.photo_calib.at(center) / area;
            let counts = visit.counts;
            let masked = (counts.n_masked + counts.n_not_finite + counts.n_bad_variance) as f64 / counts.n_pixels.max(1) as f64;
            let [factor, error, n_stars] = match visit.ap_corr.by_algorithm.get("psf_flux") {
                None => ["none".into(), "–".into(), "–".into()],
                Some(a) if a.is_flagged => ["1 (flagged)".into(), "–".into(), a.n_stars.to_string()],
                Some(a) => [format!("{:.4}", a.factor.at(center)), format!("{:.4}", a.error), a.n_stars.to_string()],
            };
            let fwhm = format!("{:.2}", meta.psf.fwhm_px(center) * area.sqrt());
            grid.rows.push(vec![
                meta.id.to_string(),
                band.clone(),
                fwhm,
                format!("{sky:.0}"),
                format!("{:.2}", 100.0 * masked),
                factor,
                error,
                n_stars,
            ]);
        }
    }
    Ok(StageText {
        section: Section::Background,
        title: "Exposures".into(),
        text: format!("At the centre of each; aperture correction of PSF fluxes. Made by fathom visit; {}/visit/*.h5.", run.arms[arm].name),
        grid,
    })
}

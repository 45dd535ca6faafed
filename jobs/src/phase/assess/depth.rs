//! Depth of a patch's cells against what the exposures promise.

use crate::run::Run;
use anyhow::Result;
use fathom::background::VisitProduct;
use fathom::catalog::Table;
use fathom::format::coadd::Plane;
use fathom::geometry::{Patch, PixelPoint};
use fathom::image::{ExposureMeta, TrueBackground};
use fathom_validation::assess::{CellDepth, depth_table, expected_phi};
use rayon::prelude::*;

/// An exposure by which light really fell: calibrations, true sky where it is known.
struct Promise<'a> {
    meta: ExposureMeta,
    visit: &'a VisitProduct,
    sky: Option<TrueBackground>,
}

impl Promise<'_> {
    /// Variance of a source-free pixel \[nJy²\]: of the true sky and read noise, or the one that the chain fitted.
    fn variance_njy2(&self, p: PixelPoint) -> f64 {
        let (m, g) = (&self.meta, self.meta.gain_e_per_adu);
        let variance_adu2 = self
            .sky
            .as_ref()
            .map_or_else(|| self.visit.background_variance.at(p), |sky| (sky.at(p) * g + m.read_noise_e.powi(2)) / (g * g));
        variance_adu2 * m.photo_calib.at(p).powi(2)
    }
}

/// The table `/depths` of a patch.
pub fn depths(run: &Run, arm: usize, patch: &Patch) -> Result<Table> {
    let inputs = run.band_inputs(arm)?;
    let mosaic = run.mosaic(arm)?;
    let cells = run.tract.cells_in(&patch.bbox);
    let mut rows = Vec::new();
    for band in &run.config.run.bands {
        let promises = inputs[band]
            .iter()
            .map(|(given, visit)| {
                let sky = fathom::format::exposure::read_true_background(&run.path(run.exposure_path(arm, &given.id.0)))?;
                Ok(Promise { meta: run.true_meta(given)?, visit, sky })
            })
            .collect::<Result<Vec<_>>>()?;
        let phi = mosaic.plane(band, Plane::Phi, &patch.bbox)?;
        let of_cell = |cell: &fathom::geometry::Cell| {
            let (x, y) = (cell.bbox.x0 + cell.bbox.width / 2, cell.bbox.y0 + cell.bbox.height / 2);
            let sky = run.tract.wcs().pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)));
            let variances: Vec<_> = promises.iter().map(|e| move |p: PixelPoint| e.variance_njy2(p)).collect();
            let exposures = promises.iter().zip(&variances).map(|(e, v)| (&e.meta, v as &dyn Fn(PixelPoint) -> f64));
            let found = patch.bbox.index(x, y).map_or(0.0, |at| f64::from(phi[at]));
            CellDepth { band: band.clone(), cell: [cell.column, cell.row], phi: found, expected_phi: expected_phi(sky, exposures) }
        };
        rows.par_extend(cells.par_iter().map(of_cell));
    }
    Ok(depth_table(&rows)?)
}

//! combine: proper coadds and maps of all bands, from finished coadds.

use super::{Phase, Task, coadd::Coadd};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::coadd::multi_band::BandMaps;
use fathom::coadd::{CellAutocorrelation, Combine, MultiBandCoadd, ProperCoadd, proper_coadd};
use fathom::format::coadd::{CoaddMosaic, Plane};
use fathom::geometry::{Box2, Cell};
use ndarray::Array2;

pub struct CombinePhase;

impl Phase for CombinePhase {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn about(&self) -> &'static str {
        "Makes the proper coadd of every band and the maps of all bands that [combine] asks for; nothing by default.\n\nReads: <arm>/coadd/<patch>.h5 and its neighbours' margins.\nWrites: <arm>/combined/<patch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        if !stage(run)?.is_asked_for() {
            return Ok(Vec::new());
        }
        let config = product_key::section(&run.config.combine);
        let coadds = Coadd.tasks(run)?;
        let with_margin = |t: &Task| {
            // Margins come from the neighbours: any coadd of the arm may change them.
            let inputs = coadds.iter().filter(|c| c.arm == t.arm).map(|c| c.key.as_str());
            let key = product_key::key("combine", [config.as_str(), &t.key].into_iter().chain(inputs));
            let patch = run.tract.patches()[t.index].id.to_string();
            Task { path: run.piece_path(t.arm, "combined", &patch), key, ..t.clone() }
        };
        Ok(coadds.iter().map(with_margin).collect())
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = stage(run)?;
        let mosaic = run.mosaic(task.arm)?;
        let bbox = run.tract.patches()[task.index].bbox;
        let bands = &run.config.run.bands;
        let with_proper = if stage.config().proper { bands.as_slice() } else { &[] };
        fathom::format::combined::write(
            &run.path(&task.path),
            &task.key,
            stage.config(),
            with_proper,
            |band| proper(&stage, &mosaic, band, bbox),
            || if stage.maps().is_empty() { Ok(None) } else { multi_band(&stage, &mosaic, bands, bbox).map(Some) },
        )
    }
}

fn stage(run: &Run) -> Result<Combine> {
    Ok(Combine::new(run.config.combine.clone(), &run.config.run.bands)?)
}

fn autocorrelation(mosaic: &CoaddMosaic, band: &str, cell: &Cell) -> Result<Option<CellAutocorrelation>> {
    Ok(mosaic.autocorrelation(band, cell.bbox.x0, cell.bbox.y0)?)
}

/// Ψ and Φ of a band.
fn maps(mosaic: &CoaddMosaic, band: &str, bbox: &Box2) -> Result<(Array2<f32>, Array2<f32>)> {
    Ok((mosaic.plane(band, Plane::Psi, bbox)?, mosaic.plane(band, Plane::Phi, bbox)?))
}

fn proper(stage: &Combine, mosaic: &CoaddMosaic, band: &str, bbox: Box2) -> Result<ProperCoadd> {
    let config = stage.config();
    let (psi, phi) = maps(mosaic, band, &bbox.grown(config.border_px as i32))?;
    let direct = mosaic.mask(band, &bbox)?;
    let with_psfs = |cell: Cell| Ok((cell, autocorrelation(mosaic, band, &cell)?));
    let cells = mosaic.tract().cells_in(&bbox).into_iter().map(with_psfs).collect::<Result<Vec<_>>>()?;
    let maps = BandMaps { psi: psi.view(), phi: phi.view() };
    Ok(proper_coadd(bbox, &cells, maps, direct.view(), config.border_px as usize, config.floor))
}

fn multi_band(stage: &Combine, mosaic: &CoaddMosaic, bands: &[String], bbox: Box2) -> Result<MultiBandCoadd> {
    let planes = bands.iter().map(|band| maps(mosaic, band, &bbox)).collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = planes.iter().map(|(psi, phi)| BandMaps { psi: psi.view(), phi: phi.view() }).collect();
    let with_psfs = |cell: Cell| {
        let of_bands = bands.iter().map(|band| autocorrelation(mosaic, band, &cell)).collect::<Result<Vec<_>>>()?;
        Ok((cell, of_bands))
    };
    let cells = mosaic.tract().cells_in(&bbox).into_iter().map(with_psfs).collect::<Result<Vec<_>>>()?;
    Ok(stage.multi_band(bbox, &views, &cells))
}

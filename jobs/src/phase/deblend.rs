//! deblend: children of every parent with more than one peak.

use super::{Phase, Task, associate::Associate, batch};
use crate::product_key;
use crate::run::Run;
use anyhow::Result;
use fathom::associate::Parent;
use fathom::deblend::{Blend, BlendBand, DeblendParent, Deblended};
use fathom::format::coadd::Plane;
use rayon::prelude::*;

pub struct Deblend;

/// Half-width of the PSF stamps given to deblenders \[FWHM\].
const PSF_RADIUS_FWHM: f64 = 5.0;

impl Phase for Deblend {
    fn name(&self) -> &'static str {
        "deblend"
    }

    fn about(&self) -> &'static str {
        "Shares the pixels of blends among their children.\n\nReads: <arm>/parents/<patch>.h5, <arm>/coadd/<patch>.h5, PSFs of <arm>/exposures and <arm>/visit.\nWrites: <arm>/blends/<batch>.h5."
    }

    fn tasks(&self, run: &Run) -> Result<Vec<Task>> {
        let config = product_key::section(&run.config.deblend);
        let mut tasks = Vec::new();
        let of_parents = Associate.tasks(run)?;
        for arm in 0..run.arms.len() {
            let of_arm = || of_parents.iter().filter(|t| t.arm == arm);
            let inputs: Vec<&str> = of_arm().map(|t| t.key.as_str()).collect();
            let (Some(like), parents) = (of_arm().next(), run.parents(arm)?) else { continue };
            for (index, range) in batch::batches(&parents).into_iter().enumerate() {
                let part = &parents[range];
                let ids = format!("{}..={}", part[0].id, part[part.len() - 1].id);
                tasks.push(Task {
                    name: format!("{}/{}", run.arms[arm].name, batch::name(index)),
                    path: run.piece_path(arm, "blends", &batch::name(index)),
                    key: product_key::key("deblend", [config.as_str(), &ids].into_iter().chain(inputs.iter().copied())),
                    cost: part.iter().map(batch::cost).sum(),
                    index,
                    ..like.clone()
                });
            }
        }
        Ok(tasks)
    }

    fn run(&self, run: &Run, task: &Task) -> Result<()> {
        let stage = DeblendParent::new(&run.config.deblend)?;
        let parents = run.parents(task.arm)?;
        let range = batch::batches(&parents).swap_remove(task.index);
        let blends = parents[range]
            .par_iter()
            .filter(|p| p.footprint.peaks.len() > 1)
            .map(|p| Ok((p.id, stage.run(&blend_of(run, task.arm, p)?)?)))
            .collect::<Result<Vec<(i64, Deblended)>>>()?;
        fathom::format::blends::write(&run.path(&task.path), &task.key, &run.config.run.bands, &blends)?;
        Ok(())
    }
}

/// A parent with its pixels and PSFs in all bands.
fn blend_of(run: &Run, arm: usize, parent: &Parent) -> Result<Blend> {
    let mosaic = run.mosaic(arm)?;
    let bbox = parent.footprint.spans.bbox();
    let bands = run.config.run.bands.iter().map(|band| {
        let fwhm_px = mosaic.fwhm_px(band)?;
        let psf = run.coadd_psf(arm, band)?;
        let inputs = mosaic.inputs_wyx(band, &bbox)?;
        let radius_px = (PSF_RADIUS_FWHM * fwhm_px).ceil() as usize;
        let psfs = parent.footprint.peaks.iter().map(|peak| {
            let (x, y) = peak.at.pixel();
            let words = bbox.index(x, y).map_or_else(Vec::new, |[j, i]| inputs.slice(ndarray::s![.., j, i]).to_vec());
            psf.stamp(peak.at, &words, radius_px)
        });
        Ok(BlendBand {
            band: band.clone(),
            image_njy: mosaic.plane(band, Plane::Image, &bbox)?,
            variance_njy2: mosaic.plane(band, Plane::Variance, &bbox)?,
            mask: mosaic.mask(band, &bbox)?,
            psfs: psfs.collect(),
            fwhm_px,
        })
    });
    Ok(Blend { footprint: parent.footprint.clone(), bbox, bands: bands.collect::<Result<_>>()? })
}

//! A group of true objects and what lies around it.

use crate::run::Run;
use anyhow::Result;
use fathom::catalog::Table;
use fathom::geometry::SkyPoint;
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// PSF widths and half-light radii to which information reaches, of an object and of its neighbour: [`fathom_sim::Renderer::information_half_px`].
const REACH_FWHM: f64 = 6.0;
const REACH_HALF_LIGHT: f64 = 4.0;

/// The objects of the group by their rows, 0..n; others behind them.
pub struct Surroundings {
    /// Rows of the truth catalog: the group and everything that may overlap with it.
    pub table: Table,
    /// Objects of the group.
    pub n: usize,
    number: BTreeMap<i64, usize>,
    /// Of the object of that number.
    pub ids: Vec<i64>,
    pub positions: Vec<SkyPoint>,
    /// What the catalog states, by band and number: the parameter whose bound is asked for \[nJy\].
    pub flux_njy: Vec<Vec<f64>>,
    /// By number: bright enough to be a member of a blend.
    counts: Vec<bool>,
}

impl Surroundings {
    pub fn new(run: &Run, arm: usize, group: &Table) -> Result<Self> {
        let table = near(run, arm, group)?;
        let mut number: BTreeMap<i64, usize> = group.i64("id")?.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let near_ids = table.i64("id")?;
        for id in near_ids {
            let next = number.len();
            number.entry(*id).or_insert(next);
        }
        let mut row_of = vec![0; number.len()];
        near_ids.iter().enumerate().for_each(|(row, id)| row_of[number[id]] = row);
        let (ra, dec) = (table.f64("ra")?, table.f64("dec")?);
        let positions: Vec<SkyPoint> = row_of.iter().map(|&r| SkyPoint::from_degrees(ra[r], dec[r])).collect();
        let flux_njy = run
            .config
            .run
            .bands
            .iter()
            .map(|band| Ok(table.f64(&format!("{band}_flux")).map(|f| row_of.iter().map(|&r| f[r]).collect())?))
            .collect::<Result<Vec<Vec<f64>>>>()?;
        let (size, ratio) = (table.f64("half_light_radius")?, table.f64("axis_ratio")?);
        let sizes_arcsec: Vec<f64> = row_of.iter().map(|&r| size[r] * ratio[r].max(0.0).sqrt()).collect();
        let snr = rough_snr(run, arm, &positions, &flux_njy, &sizes_arcsec)?;
        let counts = snr.into_iter().map(|s| s >= run.config.truth.min_snr).collect();
        Ok(Self { n: group.n_rows(), ids: row_of.iter().map(|&r| near_ids[r]).collect(), table, number, positions, flux_njy, counts })
    }

    pub fn number(&self, id: i64) -> usize {
        self.number[&id]
    }

    /// False for what noise hides: `truth.min_snr`. The same for an object of the group as for one beside it.
    pub fn counts(&self, number: usize) -> bool {
        self.counts[number]
    }
}

fn near(run: &Run, arm: usize, group: &Table) -> Result<Table> {
    let positions: Vec<SkyPoint> =
        group.f64("ra")?.iter().zip(group.f64("dec")?).map(|(&ra, &dec)| SkyPoint::from_degrees(ra, dec)).collect();
    let center = positions[positions.len() / 2];
    let radius = positions.iter().map(|p| p.separation_arcsec(&center)).fold(0.0, f64::max);
    let largest = group.f64("half_light_radius")?.iter().copied().fold(0.0, f64::max);
    // What is larger is in the file's list of the far-reaching, which is read in any case.
    let sizes_arcsec = REACH_HALF_LIGHT * (largest + fathom::format::truth::FAR_REACHING_ARCSEC);
    let fwhm_arcsec = run.mean_fwhm_px(arm)? * run.config.sky_map.pixel_scale_arcsec;
    let reach = radius + 1.5 * REACH_FWHM * fwhm_arcsec + sizes_arcsec;
    Ok(fathom::format::truth::read_near(&run.path(run.truth_path(arm)), center, reach)?)
}

/// (S/N)² = Σ_e F² / (4π (σ_PSF² + σ_galaxy²) v): Gaussians against the background at the middle of each exposure that holds the object.
fn rough_snr(run: &Run, arm: usize, positions: &[SkyPoint], flux_njy: &[Vec<f64>], sizes_arcsec: &[f64]) -> Result<Vec<f64>> {
    let mut sum = vec![0.0; positions.len()];
    let inputs = run.band_inputs(arm)?;
    for (band, flux) in run.config.run.bands.iter().zip(flux_njy) {
        for (meta, visit) in inputs[band].iter() {
            let middle = fathom::PixelPoint::new(meta.shape.1 as f64 / 2.0, meta.shape.0 as f64 / 2.0);
            let variance_njy2 = visit.background_variance.at(middle) * meta.photo_calib.at(middle).powi(2);
            let psf_px2 = (meta.psf.fwhm_px(middle) / 2.355).powi(2);
            let area_arcsec2 = meta.wcs.pixel_area_arcsec2(middle);
            let within = meta.bbox().grown(32);
            for (i, sum) in sum.iter_mut().enumerate() {
                if meta.wcs.sky_to_pixel(positions[i]).is_ok_and(|p| within.contains_point(p)) {
                    let size_px2 = (sizes_arcsec[i] / 1.177).powi(2) / area_arcsec2;
                    *sum += flux[i].powi(2) / (4.0 * PI * (psf_px2 + size_px2) * variance_njy2);
                }
            }
        }
    }
    Ok(sum.into_iter().map(f64::sqrt).collect())
}

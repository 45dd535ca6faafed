//! Movers of one tile: the ladder of velocities on the maps of its time windows, away from static sources.

use super::tile_grid::Tile;
use super::velocity_ladder::{EpochMaps, VelocityLadder, search_movers};
use super::{DetectFrame, DetectLayers, MapSource, WindowPlanes};
use crate::footprint::{Peak, Span, SpanSet};
use crate::geometry::Box2;
use ndarray::{Array2, s};

/// Peaks of one mover at other velocities stand within so many FWHM.
const APART_FWHM: f64 = 3.0;

impl DetectLayers {
    /// Movers whose pixel in the middle of the windows lies in `own`; none where no ladder is asked for or the bands have no windows.
    ///
    /// Windows of all bands with equal times are summed as for a flat SED. Static light is left out, not subtracted: subtracting the mean of
    /// the same epochs takes most of the signal of slow movers.
    ///
    /// # Errors
    /// That of the source.
    ///
    /// # Source
    /// Algorithms 2.0, movers.
    pub(super) fn movers<S: MapSource + ?Sized>(
        &self,
        source: &S,
        frame: &DetectFrame,
        tile: &Tile,
        own: &Box2,
    ) -> Result<Vec<Peak>, S::Error> {
        let config = &self.config.movers;
        let fastest = config.fastest_arcsec_per_day / self.pixel_arcsec;
        // A box of one pixel tells the times, and with them the reach.
        let mut times: Vec<[f64; 2]> = Vec::new();
        if fastest > 0.0 && !own.is_empty() {
            for band in &self.bands {
                times.extend(source.windows(band, &Box2::new(own.x0, own.y0, 1, 1))?.into_iter().map(|w| w.mjd));
            }
        }
        let (first, last) = times.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), t| (a.min(t[0]), b.max(t[1])));
        if times.is_empty() {
            return Ok(Vec::new());
        }
        let middle = 0.5 * (first + last);
        let of = |mjd: [f64; 2]| 0.5 * (mjd[0] + mjd[1]) - middle;
        let (begin, end) = times.iter().map(|t| of(*t)).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), t| (a.min(t), b.max(t)));
        let ladder = VelocityLadder::new(fastest, config.step_fwhm * frame.fwhm_px, end - begin);
        let reach_px = ladder.reach_px([begin, end].into_iter());
        let wide = tile.bbox.grown(reach_px);
        let mut epochs: Vec<EpochMaps> = Vec::new();
        for band in &self.bands {
            for WindowPlanes { mjd, psi, phi } in source.windows(band, &wide)? {
                let time_d = of(mjd);
                match epochs.iter_mut().find(|e| (e.time_d - time_d).abs() < 1e-9) {
                    Some(epoch) => {
                        epoch.psi += &psi;
                        epoch.phi += &phi;
                    }
                    None => epochs.push(EpochMaps { time_d, psi, phi }),
                }
            }
        }
        epochs.sort_by(|a, b| a.time_d.total_cmp(&b.time_d));
        mask_static(&mut epochs, config.static_threshold, frame.fwhm_px);
        let found = search_movers(&epochs, &ladder, &tile.bbox, config.threshold, APART_FWHM * frame.fwhm_px);
        let with_window = |mut peak: Peak| {
            peak.window_mjd = Some([first, last]);
            peak.seen_in = 0;
            peak
        };
        Ok(found.into_iter().filter(|p| own.contains(p.pixel.0, p.pixel.1)).map(with_window).collect())
    }
}

/// Takes out of all epochs what stands above `threshold` in their sum, and an FWHM around it.
fn mask_static(epochs: &mut [EpochMaps], threshold: f64, fwhm_px: f64) {
    let Some(first) = epochs.first() else { return };
    let bbox = Box2::of_shape(first.psi.dim());
    let (mut psi, mut phi) = (Array2::<f64>::zeros(bbox.shape()), Array2::<f64>::zeros(bbox.shape()));
    for epoch in &*epochs {
        // Values that are no numbers are no data.
        psi.zip_mut_with(&epoch.psi, |s, v| *s += if v.is_finite() { f64::from(*v) } else { 0.0 });
        phi.zip_mut_with(&epoch.phi, |s, v| *s += if v.is_finite() { f64::from(*v) } else { 0.0 });
    }
    let is_static = |((j, i), psi): ((usize, usize), &f64)| {
        let phi = phi[[j, i]];
        (phi > 0.0 && psi.abs() / phi.sqrt() > threshold).then_some(Span { y: j as i32, x0: i as i32, x1: i as i32 })
    };
    let spans: Vec<Span> = psi.indexed_iter().filter_map(is_static).collect();
    let masked = SpanSet::from_spans(spans).grown(fwhm_px.round() as i32, &bbox);
    for epoch in epochs {
        for span in masked.spans() {
            let at = s![span.y as usize, span.x0 as usize..=span.x1 as usize];
            epoch.psi.slice_mut(at).fill(0.0);
            epoch.phi.slice_mut(at).fill(0.0);
        }
        let odd = |psi: &mut f32, phi: &mut f32| {
            if !(psi.is_finite() && phi.is_finite()) {
                (*psi, *phi) = (0.0, 0.0);
            }
        };
        ndarray::Zip::from(&mut epoch.psi).and(&mut epoch.phi).for_each(odd);
    }
}

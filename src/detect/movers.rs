//! Movers of one tile: the ladder of velocities on the maps of its time windows.

use super::tile_grid::Tile;
use super::time_windows::{above, blank, whole_of};
use super::velocity_ladder::{MoverLimits, MoverMaps, VelocityLadder, search_movers};
use super::{DetectFrame, DetectLayers, MapSource};
use crate::footprint::Peak;
use crate::geometry::Box2;

/// Peaks of one mover at other velocities stand within so many FWHM.
const APART_FWHM: f64 = 3.0;

impl DetectLayers {
    /// Movers whose pixel in the middle of the windows lies in `own`; none where no ladder is asked for or the bands have no windows.
    ///
    /// Windows of all bands with equal times are summed as for a flat SED. Two ways to be rid of static light, of which the better counts: static
    /// sources left out, which costs what of the path lies on them; or the mean of all windows taken off, which costs most of the signal of slow
    /// movers and is done for fast ones only, and leaves what PSFs differ by beside bright sources, which are left out.
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
        if fastest <= 0.0 || own.is_empty() {
            return Ok(Vec::new());
        }
        let Some(times) = self.window_times(source, own)? else { return Ok(Vec::new()) };
        let [begin, end] = times.span_d;
        let ladder = VelocityLadder::new(fastest, config.step_fwhm * frame.fwhm_px, end - begin);
        let wide = tile.bbox.grown(ladder.reach_px(times.span_d.into_iter()));
        let mut masked = self.window_maps(source, &times, &wide)?;
        let whole = whole_of(&masked);
        let around_px = frame.fwhm_px.round() as i32;
        let mut subtracted = masked.clone();
        let [psi, phi] = &whole;
        for epoch in &mut subtracted {
            let subtract = |value: &mut f32, own: &f32, psi: &f64, phi: &f64| {
                if *phi > 0.0 {
                    *value -= (f64::from(*own) * psi / phi) as f32;
                }
            };
            ndarray::Zip::from(&mut epoch.psi).and(&epoch.phi).and(psi).and(phi).for_each(subtract);
        }
        blank(&mut masked, &above(&whole, config.static_threshold, around_px));
        blank(&mut subtracted, &above(&whole, config.bright_threshold.max(config.static_threshold), around_px));
        let l2 = self.noise(frame).first().map_or(0.0, |n| n.l2_per_px2);
        let maps = [MoverMaps { epochs: masked, subtracted_l2: None }, MoverMaps { epochs: subtracted, subtracted_l2: Some(l2) }];
        let limits = MoverLimits { threshold: config.threshold, motion: config.motion_threshold, apart_px: APART_FWHM * frame.fwhm_px };
        let found = search_movers(&maps, whole[1].view(), &ladder, &tile.bbox, &limits);
        let with_window = |peak: Peak| Peak { window_mjd: Some(times.mjd), seen_in: 0, ..peak };
        Ok(found.into_iter().filter(|p| own.contains(p.pixel.0, p.pixel.1)).map(with_window).collect())
    }
}

//! Long transients of one tile: what is brighter, over some consecutive time windows, than on the mean of all.

use super::maxima::maxima;
use super::peaks::refine;
use super::tile_grid::Tile;
use super::time_windows::whole_of;
use super::velocity_ladder::{EpochMaps, highest_apart};
use super::{DetectFrame, DetectLayers, MapSource};
use crate::footprint::Peak;
use crate::geometry::{Box2, PixelPoint};
use ndarray::{Array2, Zip};
use std::ops::Range;

impl DetectLayers {
    /// Transients whose pixel lies in `own`; none where they are not asked for or the bands have no windows. Windows of all bands with equal times
    /// are summed as for a flat SED.
    ///
    /// # Errors
    /// That of the source.
    pub(super) fn transients<S: MapSource + ?Sized>(
        &self,
        source: &S,
        frame: &DetectFrame,
        tile: &Tile,
        own: &Box2,
    ) -> Result<Vec<Peak>, S::Error> {
        let config = &self.config.transients;
        if config.threshold <= 0.0 || own.is_empty() {
            return Ok(Vec::new());
        }
        let Some(times) = self.window_times(source, own)? else { return Ok(Vec::new()) };
        let epochs = self.window_maps(source, &times, &tile.bbox)?;
        let found = search_transients(&epochs, &tile.bbox, config.threshold, config.model_error, frame.fwhm_px);
        let with_times = |(peak, steps): (Peak, Range<usize>)| {
            let window_mjd = Some([times.each[steps.start].mjd[0], times.each[steps.end - 1].mjd[1]]);
            Peak { window_mjd, seen_in: 0, ..peak }
        };
        Ok(found.into_iter().filter(|(p, _)| own.contains(p.pixel.0, p.pixel.1)).map(with_times).collect())
    }
}

/// Overlapping windows of 1, 2, 4, ... consecutive steps, at most half of all, each beginning in the middle of the one before.
fn ladder(n_steps: usize) -> Vec<Range<usize>> {
    let lengths = std::iter::successors(Some(1), |l| Some(2 * l)).take_while(|l| 2 * l <= n_steps);
    lengths.flat_map(|l| (0..=n_steps - l).step_by((l / 2).max(1)).map(move |start| start..start + l)).collect()
}

/// ν = (Ψ_w - Φ_w S) / √(Φ_w (1 - Φ_w/Φ) + (ε Φ_w S)²) of a window, S = Ψ/Φ the mean of all: what it has more than the mean, whose noise it shares,
/// against noise and the error ε of what a static source is in one window beside another.
fn contrast(window: [&Array2<f32>; 2], whole: &[Array2<f64>; 2], model_error: f64) -> Array2<f32> {
    let [psi_w, phi_w] = window;
    let mut nu = Array2::zeros(psi_w.dim());
    let value = |nu: &mut f32, psi_w: &f32, phi_w: &f32, psi: &f64, phi: &f64| {
        let (p, f) = (f64::from(*psi_w), f64::from(*phi_w));
        // A window that is nearly all there is has nothing to be compared with.
        if f > 0.0 && f < 0.9 * phi {
            let mean = psi / phi;
            *nu = ((p - f * mean) / (f * (1.0 - f / phi) + (model_error * f * mean).powi(2)).sqrt()) as f32;
        }
    };
    Zip::from(&mut nu).and(psi_w).and(phi_w).and(&whole[0]).and(&whole[1]).for_each(value);
    nu
}

/// Peaks of the best contrast over the ladder of windows at or above `threshold`, in pixel order, each with its steps; of those within an FWHM the
/// highest.
pub(super) fn search_transients(
    epochs: &[EpochMaps],
    bbox: &Box2,
    threshold: f64,
    model_error: f64,
    fwhm_px: f64,
) -> Vec<(Peak, Range<usize>)> {
    let whole = whole_of(epochs);
    let windows = ladder(epochs.len());
    let of_window = |steps: &Range<usize>| {
        let (mut psi, mut phi) = (Array2::<f32>::zeros(bbox.shape()), Array2::<f32>::zeros(bbox.shape()));
        for epoch in &epochs[steps.clone()] {
            psi += &epoch.psi;
            phi += &epoch.phi;
        }
        contrast([&psi, &phi], &whole, model_error)
    };
    let (mut best, mut of) = (Array2::<f32>::zeros(bbox.shape()), Array2::<u16>::zeros(bbox.shape()));
    for (w, steps) in windows.iter().enumerate() {
        Zip::from(&mut best).and(&mut of).and(&of_window(steps)).for_each(|best, of, nu| {
            if *nu > *best {
                (*best, *of) = (*nu, w as u16);
            }
        });
    }
    let floor = 0.75 * threshold as f32;
    let found: Vec<_> = maxima(best.view(), |_, v| v >= floor).into_iter().map(|m| (m.at, usize::from(of[m.at]))).collect();
    let mut peaks = Vec::new();
    for (w, steps) in windows.iter().enumerate().filter(|(w, _)| found.iter().any(|(_, of)| of == w)) {
        // On the map of one window: the map of the best ones is not smooth.
        let nu = of_window(steps);
        for (at, _) in found.iter().filter(|(_, of)| *of == w) {
            let refined = refine(&nu, *at);
            if refined.height >= threshold {
                let (x, y) = (f64::from(bbox.x0) + at.1 as f64, f64::from(bbox.y0) + at.0 as f64);
                let mut peak = Peak::bare(PixelPoint::new(x + refined.offset.0, y + refined.offset.1), refined.height, 0);
                peak.pixel = (bbox.x0 + at.1 as i32, bbox.y0 + at.0 as i32);
                peaks.push(peak);
            }
        }
    }
    let steps_at = |p: &Peak| windows[usize::from(of[[(p.pixel.1 - bbox.y0) as usize, (p.pixel.0 - bbox.x0) as usize]])].clone();
    highest_apart(peaks, fwhm_px).into_iter().map(|p| (p.clone(), steps_at(&p))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::fft2::RealFft2;
    use crate::coadd::gaussian_psf;
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn windows_overlap() {
        assert_eq!(ladder(5), [0..1, 1..2, 2..3, 3..4, 4..5, 0..2, 1..3, 2..4, 3..5]);
        assert!(ladder(1).is_empty());
        assert_eq!(ladder(8).last(), Some(&(4..8)));
    }

    /// 16 steps of noise with a static source of 30 σ, one that flares over four steps by 4 σ each (8 in all), and one on a static source: found with
    /// about their windows, and nothing else is.
    #[test]
    fn flares_are_found_with_their_window() {
        const SIDE: usize = 192;
        let fwhm = 3.5;
        let (stamp, fft) = (gaussian_psf(fwhm, 12), RealFft2::<f64>::new(SIDE));
        let filter = fft.of_stamp(stamp.view());
        let norm = stamp.iter().map(|p| p * p).sum::<f64>();
        let s2 = 2.0 * (fwhm / 2.354_82f64).powi(2);
        let statics = [([50.0, 60.0], 30.0), ([120.0, 130.0], 20.0)];
        let flares = [([90.0, 40.0], 4..8, 4.0), ([120.0, 130.0], 8..16, 5.0)];
        let epoch = |k: usize| {
            let mut rng = keyed_rng(9, "transient test", k as u64, 0);
            let white = Array2::from_shape_simple_fn((SIDE, SIDE), || -> f64 { StandardNormal.sample(&mut rng) });
            let mut psi = fft.inverse(fft.forward(white) * &filter).mapv(|v| v as f32);
            let mut add = |[x, y]: [f64; 2], snr: f64| {
                psi.indexed_iter_mut().for_each(|((j, i), p)| {
                    let d2 = (i as f64 - x).powi(2) + (j as f64 - y).powi(2);
                    *p += (snr * norm.sqrt() * (-d2 / (2.0 * s2)).exp()) as f32;
                });
            };
            statics.iter().for_each(|(at, snr)| add(*at, *snr));
            flares.iter().filter(|f| f.1.contains(&k)).for_each(|(at, _, snr)| add(*at, *snr));
            EpochMaps { time_d: k as f64, psi, phi: Array2::from_elem((SIDE, SIDE), norm as f32) }
        };
        let epochs: Vec<EpochMaps> = (0..16).map(epoch).collect();
        let found = search_transients(&epochs, &Box2::new(0, 0, SIDE as i32, SIDE as i32), 5.5, 0.01, fwhm);
        assert_eq!(found.len(), 2, "{:?}", found.iter().map(|(p, w)| (p.pixel, p.significance, w)).collect::<Vec<_>>());
        for (([x, y], steps, _), (peak, window)) in flares.iter().zip(&found) {
            assert!((peak.at.x - x).hypot(peak.at.y - y) < 1.5, "{:?}", peak.at);
            // Noise may prefer the next window of the ladder: most of the steps are right.
            let shared = window.clone().filter(|k| steps.contains(k)).count();
            assert!(2 * shared >= steps.len() && 2 * shared >= window.len(), "{window:?} for {steps:?}");
        }
    }
}

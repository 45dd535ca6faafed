//! Maps of the time windows under a tile, all bands together.

use super::velocity_ladder::EpochMaps;
use super::{DetectLayers, MapSource, Window, WindowPlanes};
use crate::footprint::{Span, SpanSet};
use crate::geometry::Box2;
use ndarray::{Array2, Zip};

/// When the windows were.
#[derive(Debug, Clone)]
pub(super) struct WindowTimes {
    /// Begin of the first, end of the last, MJD (TAI).
    pub mjd: [f64; 2],
    /// Mean times of the first and of the last \[d\], from the middle of `mjd`.
    pub span_d: [f64; 2],
    /// Every one, in order; those of all bands with equal begin and end are one.
    pub each: Vec<Window>,
}

impl WindowTimes {
    fn time_d(&self, window: &Window) -> f64 {
        window.mean_mjd - 0.5 * (self.mjd[0] + self.mjd[1])
    }
}

fn is_same(a: [f64; 2], b: [f64; 2]) -> bool {
    a[0].total_cmp(&b[0]).is_eq() && a[1].total_cmp(&b[1]).is_eq()
}

/// One window of several bands: at the mean time of all exposures.
fn mean_of(bands: &[Window]) -> Window {
    let n_exposures: u64 = bands.iter().map(|w| w.n_exposures).sum();
    let total: f64 = bands.iter().map(|w| (w.mean_mjd - bands[0].mean_mjd) * w.n_exposures as f64).sum();
    Window { mean_mjd: bands[0].mean_mjd + total / n_exposures.max(1) as f64, n_exposures, ..bands[0] }
}

impl DetectLayers {
    /// Times of the windows of all bands; none where no band has any.
    pub(super) fn window_times<S: MapSource + ?Sized>(&self, source: &S, own: &Box2) -> Result<Option<WindowTimes>, S::Error> {
        // A box of one pixel tells the times.
        let pixel = Box2::new(own.x0, own.y0, 1, 1);
        let mut all: Vec<Window> = Vec::new();
        for band in &self.bands {
            all.extend(source.windows(band, &pixel)?.into_iter().map(|w| w.window));
        }
        all.sort_by(|a, b| a.mjd[0].total_cmp(&b.mjd[0]).then(a.mjd[1].total_cmp(&b.mjd[1])));
        let each: Vec<Window> = all.chunk_by(|a, b| is_same(a.mjd, b.mjd)).map(mean_of).collect();
        let Some(first) = each.first().map(|w| w.mjd) else { return Ok(None) };
        let end = each.iter().fold(first[1], |end, w| end.max(w.mjd[1]));
        let mut times = WindowTimes { mjd: [first[0], end], span_d: [0.0; 2], each };
        let means = || times.each.iter().map(|w| times.time_d(w));
        times.span_d = [means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max)];
        Ok(Some(times))
    }

    /// Maps of every window on a box, in time order, the bands summed as for a flat SED; values that are no numbers are no data.
    pub(super) fn window_maps<S: MapSource + ?Sized>(
        &self,
        source: &S,
        times: &WindowTimes,
        bbox: &Box2,
    ) -> Result<Vec<EpochMaps>, S::Error> {
        let empty = |w: &Window| EpochMaps { time_d: times.time_d(w), psi: Array2::zeros(bbox.shape()), phi: Array2::zeros(bbox.shape()) };
        let mut epochs: Vec<EpochMaps> = times.each.iter().map(empty).collect();
        for band in &self.bands {
            for WindowPlanes { window, psi, phi } in source.windows(band, bbox)? {
                let Some(k) = times.each.iter().position(|w| is_same(w.mjd, window.mjd)) else {
                    continue;
                };
                let add = |sum: &mut f32, total: &mut f32, psi: &f32, phi: &f32| {
                    if psi.is_finite() && phi.is_finite() && *phi > 0.0 {
                        (*sum, *total) = (*sum + psi, *total + phi);
                    }
                };
                let EpochMaps { psi: sum, phi: total, .. } = &mut epochs[k];
                Zip::from(sum).and(total).and(&psi).and(&phi).for_each(add);
            }
        }
        Ok(epochs)
    }
}

/// ΣΨ and ΣΦ of all windows.
pub(super) fn whole_of(epochs: &[EpochMaps]) -> [Array2<f64>; 2] {
    let shape = epochs.first().map_or((0, 0), |e| e.psi.dim());
    let mut sums = [Array2::<f64>::zeros(shape), Array2::<f64>::zeros(shape)];
    for epoch in epochs {
        for (sum, map) in sums.iter_mut().zip([&epoch.psi, &epoch.phi]) {
            sum.zip_mut_with(map, |s, v| *s += f64::from(*v));
        }
    }
    sums
}

/// Pixels at which |ΣΨ/√ΣΦ| is above `threshold`, grown by `radius_px`.
pub(super) fn above([psi, phi]: &[Array2<f64>; 2], threshold: f64, radius_px: i32) -> SpanSet {
    let bbox = Box2::of_shape(psi.dim());
    let is_above = |((j, i), psi): ((usize, usize), &f64)| {
        let phi = phi[[j, i]];
        (phi > 0.0 && psi.abs() / phi.sqrt() > threshold).then_some(Span { y: j as i32, x0: i as i32, x1: i as i32 })
    };
    SpanSet::from_spans(psi.indexed_iter().filter_map(is_above).collect()).grown(radius_px, &bbox)
}

/// Takes the data out of some pixels of all windows.
pub(super) fn blank(epochs: &mut [EpochMaps], pixels: &SpanSet) {
    for epoch in epochs {
        for span in pixels.spans() {
            let at = ndarray::s![span.y as usize, span.x0 as usize..=span.x1 as usize];
            epoch.psi.slice_mut(at).fill(0.0);
            epoch.phi.slice_mut(at).fill(0.0);
        }
    }
}

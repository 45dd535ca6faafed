//! Maps of the time windows under a tile, all bands together.

use super::velocity_ladder::EpochMaps;
use super::{DetectLayers, MapSource, WindowPlanes};
use crate::footprint::{Span, SpanSet};
use crate::geometry::Box2;
use ndarray::{Array2, Zip};

/// When the windows were.
#[derive(Debug, Clone)]
pub(super) struct WindowTimes {
    /// Begin of the first, end of the last, MJD (TAI).
    pub mjd: [f64; 2],
    /// Middle of the first and of the last \[d\], from the middle between those.
    pub span_d: [f64; 2],
    /// Begin and end of every one, MJD (TAI), in order.
    pub each: Vec<[f64; 2]>,
}

impl WindowTimes {
    fn time_d(&self, window: [f64; 2]) -> f64 {
        0.5 * (window[0] + window[1]) - 0.5 * (self.mjd[0] + self.mjd[1])
    }
}

impl DetectLayers {
    /// Times of the windows of all bands; none where no band has any.
    pub(super) fn window_times<S: MapSource + ?Sized>(&self, source: &S, own: &Box2) -> Result<Option<WindowTimes>, S::Error> {
        // A box of one pixel tells the times.
        let pixel = Box2::new(own.x0, own.y0, 1, 1);
        let mut each: Vec<[f64; 2]> = Vec::new();
        for band in &self.bands {
            each.extend(source.windows(band, &pixel)?.into_iter().map(|w| w.mjd));
        }
        each.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        each.dedup();
        let Some(first) = each.first().copied() else { return Ok(None) };
        let end = each.iter().fold(first[1], |end, w| end.max(w[1]));
        let mut times = WindowTimes { mjd: [first[0], end], span_d: [0.0; 2], each };
        let middles = || times.each.iter().map(|w| times.time_d(*w));
        times.span_d = [middles().fold(f64::INFINITY, f64::min), middles().fold(f64::NEG_INFINITY, f64::max)];
        Ok(Some(times))
    }

    /// Maps of every window on a box, in time order, the bands summed as for a flat SED; values that are no numbers are no data.
    pub(super) fn window_maps<S: MapSource + ?Sized>(
        &self,
        source: &S,
        times: &WindowTimes,
        bbox: &Box2,
    ) -> Result<Vec<EpochMaps>, S::Error> {
        let empty =
            |w: &[f64; 2]| EpochMaps { time_d: times.time_d(*w), psi: Array2::zeros(bbox.shape()), phi: Array2::zeros(bbox.shape()) };
        let mut epochs: Vec<EpochMaps> = times.each.iter().map(empty).collect();
        for band in &self.bands {
            for WindowPlanes { mjd, psi, phi } in source.windows(band, bbox)? {
                let Some(k) = times.each.iter().position(|w| w[0].total_cmp(&mjd[0]).is_eq() && w[1].total_cmp(&mjd[1]).is_eq()) else {
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

//! A whole footprint of candidates of one exposure, and its shape.

use super::Candidate;
use super::candidates::connected;
use crate::footprint::{Span, SpanSet};
use crate::geometry::PixelPoint;

/// Connected candidates of one exposure and sign.
#[derive(Debug, Clone)]
pub(super) struct ArtifactFootprint {
    /// Its pixels, row by row.
    pub pixels: Vec<Candidate>,
    pub is_positive: bool,
}

/// Second moments of a difference \[tract pixel\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub at: PixelPoint,
    /// RMS along the longest axis and across it.
    pub major: f64,
    pub minor: f64,
}

impl ArtifactFootprint {
    /// All footprints of an exposure with a pixel over the threshold; `candidates` sorted by (y, x).
    pub fn all_of(candidates: &[Candidate], threshold: f64) -> Vec<Self> {
        let of_sign = |is_positive| connected(candidates, is_positive).into_iter().map(move |pixels| Self { pixels, is_positive });
        of_sign(true).chain(of_sign(false)).filter(|f| f.peak().snr() >= threshold).collect()
    }

    /// The most significant pixel, the first of equals.
    pub fn peak(&self) -> &Candidate {
        self.pixels.iter().rev().max_by(|a, b| a.snr().total_cmp(&b.snr())).expect("a footprint has pixels")
    }

    /// The pixel where the matched difference is largest.
    pub fn matched_peak(&self) -> &Candidate {
        let key = |c: &&Candidate| c.difference_njy.abs();
        self.pixels.iter().rev().max_by(|a, b| key(a).total_cmp(&key(b))).expect("a footprint has pixels")
    }

    pub fn exposure(&self) -> usize {
        self.pixels[0].exposure as usize
    }

    /// The first pixel: its place in every order.
    pub fn first(&self) -> (i32, i32) {
        (self.pixels[0].y, self.pixels[0].x)
    }

    /// Median number of exposures under it.
    pub fn n_epochs(&self) -> u32 {
        let mut n: Vec<u32> = self.pixels.iter().map(|c| c.n_epochs).collect();
        n.sort_unstable();
        n[n.len() / 2]
    }

    /// Pixels that are sharper than the PSF allows by this \[sigma\].
    pub fn n_sharp(&self, threshold: f64) -> usize {
        self.pixels.iter().filter(|c| f64::from(c.sharp_snr) >= threshold).count()
    }

    pub fn sharp_snr(&self) -> f64 {
        self.pixels.iter().map(|c| f64::from(c.sharp_snr)).fold(0.0, f64::max)
    }

    pub fn matched_snr(&self) -> f64 {
        self.pixels.iter().map(|c| f64::from(c.matched_snr.abs())).fold(0.0, f64::max)
    }

    /// The pixels for which this holds.
    pub fn spans(&self, is_in: impl Fn(&Candidate) -> bool) -> SpanSet {
        SpanSet::from_spans(self.pixels.iter().filter(|c| is_in(c)).map(|c| Span { y: c.y, x0: c.x, x1: c.x }).collect())
    }

    /// Moments weighted by the matched difference; `None` if it is known nowhere.
    pub fn shape(&self) -> Option<Shape> {
        // Relative to a pixel of its own, so that nothing cancels.
        let origin = self.pixels[0];
        let (mut w, mut sums) = (0.0, [0.0; 5]);
        for c in self.pixels.iter().filter(|c| c.matched_snr.abs() > 0.0) {
            let d = f64::from(c.difference_njy.abs());
            let (x, y) = (f64::from(c.x - origin.x), f64::from(c.y - origin.y));
            w += d;
            sums.iter_mut().zip([x, y, x * x, y * y, x * y]).for_each(|(sum, m)| *sum += d * m);
        }
        if w <= 0.0 {
            return None;
        }
        let [x, y, xx, yy, xy] = sums.map(|s| s / w);
        let (xx, yy, xy) = (xx - x * x, yy - y * y, xy - x * y);
        let (half, root) = (0.5 * (xx + yy), (0.25 * (xx - yy).powi(2) + xy * xy).sqrt());
        Some(Shape {
            at: PixelPoint::new(x + f64::from(origin.x), y + f64::from(origin.y)),
            major: (half + root).max(0.0).sqrt(),
            minor: (half - root).max(0.0).sqrt(),
        })
    }
}

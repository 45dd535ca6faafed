//! How far every object lies from the nearest seam of patches and from the nearest border of a detector.

use crate::run::Run;
use anyhow::Result;
use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{Patch, PixelPoint, SkyPoint};

/// Borders farther than this are not near \[arcsec\].
const REACH_ARCSEC: f64 = 128.0;
/// Straight pieces that a side of a detector is made of: the sky bends it.
const PIECES: usize = 8;

/// A straight piece of a border, in tract pixels.
type Segment = [PixelPoint; 2];

/// The borders of a run.
pub struct Borders {
    seams: Vec<Segment>,
    detectors: Vec<Segment>,
}

impl Borders {
    /// Of the tract's patches, and of all exposures of an arm.
    pub fn new(run: &Run, arm: usize) -> Result<Self> {
        let seams = run.tract.patches().iter().flat_map(|p| seams_of(run, p)).collect();
        let mut detectors = Vec::new();
        for (meta, _) in run.band_inputs(arm)?.values().flat_map(|inputs| inputs.iter()) {
            let (width, height) = (meta.shape.1 as f64, meta.shape.0 as f64);
            let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height), (0.0, 0.0)];
            for side in corners.windows(2) {
                let at = |k: usize| {
                    let t = k as f64 / PIECES as f64;
                    let (x, y) = (side[0].0 + t * (side[1].0 - side[0].0), side[0].1 + t * (side[1].1 - side[0].1));
                    // Borders are half a pixel outside of the centres.
                    run.tract.wcs().sky_to_pixel(meta.wcs.pixel_to_sky(PixelPoint::new(x - 0.5, y - 0.5)))
                };
                for k in 0..PIECES {
                    if let (Ok(a), Ok(b)) = (at(k), at(k + 1)) {
                        detectors.push([a, b]);
                    }
                }
            }
        }
        Ok(Self { seams, detectors })
    }

    /// Joins `patch_border` and `detector_border` \[arcsec\] to a table with `ra` and `dec`; infinite where none is near.
    pub fn join(&self, run: &Run, table: &mut Table) -> Result<()> {
        if table.columns().is_empty() {
            return Ok(());
        }
        let scale = run.config.sky_map.pixel_scale_arcsec;
        let positions = table.f64("ra")?.iter().zip(table.f64("dec")?);
        let points: Vec<PixelPoint> = positions
            .map(|(&ra, &dec)| {
                let nowhere = PixelPoint::new(f64::NAN, f64::NAN);
                run.tract.wcs().sky_to_pixel(SkyPoint::from_degrees(ra, dec)).unwrap_or(nowhere)
            })
            .collect();
        let names = [
            ("patch_border", "nearest seam of patches", &self.seams),
            ("detector_border", "nearest border of a detector", &self.detectors),
        ];
        for (name, what, segments) in names {
            let distances = distances(&points, segments, REACH_ARCSEC / scale).into_iter().map(|d| d * scale).collect();
            table.push(name, "arcsec", what, ColumnData::F64(distances))?;
        }
        Ok(())
    }
}

/// Left and lower side of a patch, where another patch is beyond.
fn seams_of(run: &Run, patch: &Patch) -> Vec<Segment> {
    let b = &patch.bbox;
    let (x0, y0, x1, y1) = (f64::from(b.x0) - 0.5, f64::from(b.y0) - 0.5, f64::from(b.x1()) - 0.5, f64::from(b.y1()) - 0.5);
    let mut seams = Vec::new();
    if run.tract.patch_of(b.x0 - 1, b.y0).is_some() {
        seams.push([PixelPoint::new(x0, y0), PixelPoint::new(x0, y1)]);
    }
    if run.tract.patch_of(b.x0, b.y0 - 1).is_some() {
        seams.push([PixelPoint::new(x0, y0), PixelPoint::new(x1, y0)]);
    }
    seams
}

/// Distance of every point to the nearest segment, up to `reach`; infinite beyond.
///
/// Points are sorted by row, so that a segment looks only at those that it can reach.
fn distances(points: &[PixelPoint], segments: &[Segment], reach: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..points.len()).filter(|&i| points[i].x.is_finite() && points[i].y.is_finite()).collect();
    order.sort_by(|&a, &b| points[a].y.total_cmp(&points[b].y));
    let mut nearest = vec![f64::INFINITY; points.len()];
    for [a, b] in segments {
        let (low, high) = (a.y.min(b.y) - reach, a.y.max(b.y) + reach);
        let first = order.partition_point(|&i| points[i].y < low);
        for &i in order[first..].iter().take_while(|&&i| points[i].y <= high) {
            let p = points[i];
            if p.x < a.x.min(b.x) - reach || p.x > a.x.max(b.x) + reach {
                continue;
            }
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let t = (((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            let distance = (p.x - a.x - t * dx).hypot(p.y - a.y - t * dy);
            if distance <= reach {
                nearest[i] = nearest[i].min(distance);
            }
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the middle of a segment, beyond its end, and out of reach.
    #[test]
    fn distance_to_a_segment() {
        let at = PixelPoint::new;
        let found = distances(&[at(5.0, 3.0), at(13.0, 4.0), at(5.0, 90.0), at(f64::NAN, 0.0)], &[[at(0.0, 0.0), at(10.0, 0.0)]], 20.0);
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] - 5.0).abs() < 1e-12);
        assert!(found[2].is_infinite() && found[3].is_infinite());
    }
}

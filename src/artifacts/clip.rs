//! Decisions on the pixels of an exposure.

use crate::footprint::{Span, SpanSet};
use crate::geometry::{Box2, PixelPoint, Tract};
use crate::image::{Exposure, ExposureMeta, MaskPlane};
use std::collections::BTreeSet;

/// Pixels are mapped by squares of this side \[tract pixel\]: a streak's box is all the tract.
const SQUARE_PX: i32 = 32;

/// What was decided about an exposure's pixels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExposureClips {
    /// Left out of every coadd.
    pub excluded: SpanSet,
    /// Kept, but not to be trusted.
    pub suspect: SpanSet,
}

impl ExposureClips {
    /// Marks the pixels in the mask of the exposure, or of a part of it: `CLIPPED`, which makes a pixel useless, and `SUSPECT`. To be
    /// done before [`Exposure::sanitize`].
    pub fn apply(&self, exposure: &mut Exposure) {
        let bbox = exposure.bbox;
        for (set, plane) in [(&self.excluded, MaskPlane::Clipped), (&self.suspect, MaskPlane::Suspect)] {
            for s in set.spans().iter().filter(|s| (bbox.y0..bbox.y1()).contains(&s.y)) {
                for x in s.x0.max(bbox.x0)..(s.x1 + 1).min(bbox.x1()) {
                    exposure.mask[[(s.y - bbox.y0) as usize, (x - bbox.x0) as usize]] |= plane.bit();
                }
            }
        }
    }
}

/// Pixels of an exposure whose centres lie on the given pixels of the tract.
#[must_use]
pub fn on_exposure(tract: &Tract, meta: &ExposureMeta, on_tract: &SpanSet) -> SpanSet {
    let square = |v: i32| v.div_euclid(SQUARE_PX);
    let squares: BTreeSet<(i32, i32)> =
        on_tract.spans().iter().flat_map(|s| (square(s.x0)..=square(s.x1)).map(move |i| (square(s.y), i))).collect();
    let mut spans = Vec::new();
    for (j, i) in squares {
        let here = Box2::new(i * SQUARE_PX, j * SQUARE_PX, SQUARE_PX, SQUARE_PX);
        for (x, y) in under(tract, meta, &here).into_iter().flat_map(|b| pixels(&b)) {
            let sky = meta.wcs.pixel_to_sky(PixelPoint::new(f64::from(x), f64::from(y)));
            let Ok(at) = tract.wcs().sky_to_pixel(sky) else { continue };
            let at = at.pixel();
            if here.contains(at.0, at.1) && on_tract.contains(at.0, at.1) {
                spans.push(Span { y, x0: x, x1: x });
            }
        }
    }
    SpanSet::from_spans(spans)
}

fn pixels(bbox: &Box2) -> impl Iterator<Item = (i32, i32)> + use<> {
    let (columns, rows) = (bbox.x0..bbox.x1(), bbox.y0..bbox.y1());
    rows.flat_map(move |y| columns.clone().map(move |x| (x, y)))
}

/// The box of an exposure's pixels under a small square of the tract.
fn under(tract: &Tract, meta: &ExposureMeta, square: &Box2) -> Option<Box2> {
    let (x0, y0) = (f64::from(square.x0) - 0.5, f64::from(square.y0) - 0.5);
    let side = f64::from(square.width);
    let corner = |(i, j): (f64, f64)| meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(PixelPoint::new(x0 + i * side, y0 + j * side))).ok();
    let corners: Option<Vec<PixelPoint>> = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].into_iter().map(corner).collect();
    let corners = corners?;
    let range = |of: fn(&PixelPoint) -> f64| {
        let (low, high) = corners.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        // One pixel for what the sides of the square bend; far away from the exposure positions are clamped to fit.
        let clamp = |v: f64| v.clamp(-1e6, 1e6) as i32;
        clamp(low.floor()) - 1..clamp(high.ceil()) + 2
    };
    let bbox = Box2::from_ranges(range(|p| p.x), range(|p| p.y)).intersect(&meta.bbox());
    (!bbox.is_empty()).then_some(bbox)
}

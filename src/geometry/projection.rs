//! Zenithal projections: native plane (ξ, η) <-> sky, about a tangent point.

use crate::geometry::SkyPoint;

/// A zenithal projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Projection {
    /// Gnomonic: R = tan θ.
    Tan,
    /// Orthographic: R = sin θ.
    Sin,
}

/// The tangent point with its sines and cosines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TangentPoint {
    ra_rad: f64,
    sin_dec: f64,
    cos_dec: f64,
}

impl TangentPoint {
    pub(super) fn new(at: SkyPoint) -> Self {
        let (sin_dec, cos_dec) = at.dec_rad().sin_cos();
        Self { ra_rad: at.ra_rad(), sin_dec, cos_dec }
    }

    /// Sky position of (ξ, η) \[rad\]; `None` outside the projection.
    ///
    /// # Source
    /// Calabretta & Greisen 2002, A&A 395, 1077, sections 5.1.3 (TAN) and 5.1.5 (SIN, without obliqueness).
    pub(super) fn to_sky(self, projection: Projection, xi: f64, eta: f64) -> Option<SkyPoint> {
        let r2 = xi * xi + eta * eta;
        let w = match projection {
            Projection::Tan => 1.0,
            Projection::Sin if r2 <= 1.0 => (1.0 - r2).sqrt(),
            Projection::Sin => return None,
        };
        // Direction = w * (tangent point) + ξ * (east) + η * (north).
        let along = w * self.cos_dec - eta * self.sin_dec;
        let d_ra = xi.atan2(along);
        let dec = (w * self.sin_dec + eta * self.cos_dec).atan2(xi.hypot(along));
        Some(SkyPoint::from_radians(self.ra_rad + d_ra, dec))
    }

    /// (ξ, η) \[rad\] of a sky position; `None` on the far side.
    pub(super) fn to_plane(self, projection: Projection, at: SkyPoint) -> Option<(f64, f64)> {
        let (sin_dec, cos_dec) = at.dec_rad().sin_cos();
        let (sin_ra, cos_ra) = (at.ra_rad() - self.ra_rad).sin_cos();
        let w = self.sin_dec * sin_dec + self.cos_dec * cos_dec * cos_ra;
        if w <= 0.0 {
            return None;
        }
        let east = cos_dec * sin_ra;
        let north = sin_dec * self.cos_dec - cos_dec * self.sin_dec * cos_ra;
        Some(match projection {
            Projection::Tan => (east / w, north / w),
            Projection::Sin => (east, north),
        })
    }
}

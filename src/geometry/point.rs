//! Positions: on the sky, and on a pixel grid.

use serde::{Deserialize, Serialize};

/// A direction, ICRS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SkyPoint {
    ra_rad: f64,
    dec_rad: f64,
}

impl SkyPoint {
    /// From right ascension and declination in degrees.
    #[must_use]
    pub fn from_degrees(ra_deg: f64, dec_deg: f64) -> Self {
        Self::from_radians(ra_deg.to_radians(), dec_deg.to_radians())
    }

    /// From right ascension and declination in radians; the right ascension is brought into [0, 2π).
    #[must_use]
    pub fn from_radians(ra_rad: f64, dec_rad: f64) -> Self {
        Self { ra_rad: ra_rad.rem_euclid(std::f64::consts::TAU), dec_rad }
    }

    /// From a vector of any positive length.
    #[must_use]
    pub fn from_vector([x, y, z]: [f64; 3]) -> Self {
        Self::from_radians(y.atan2(x), z.atan2(x.hypot(y)))
    }

    /// Right ascension \[rad\], in [0, 2π).
    #[must_use]
    pub fn ra_rad(&self) -> f64 {
        self.ra_rad
    }

    /// Declination \[rad\].
    #[must_use]
    pub fn dec_rad(&self) -> f64 {
        self.dec_rad
    }

    /// Right ascension \[deg\].
    #[must_use]
    pub fn ra_deg(&self) -> f64 {
        self.ra_rad.to_degrees()
    }

    /// Declination \[deg\].
    #[must_use]
    pub fn dec_deg(&self) -> f64 {
        self.dec_rad.to_degrees()
    }

    /// Unit vector (x to RA 0, y to RA 90°, z to the north pole).
    #[must_use]
    pub fn unit_vector(&self) -> [f64; 3] {
        let (sin_ra, cos_ra) = self.ra_rad.sin_cos();
        let (sin_dec, cos_dec) = self.dec_rad.sin_cos();
        [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec]
    }

    /// Angle to `other` \[arcsec\]; haversine, exact for small angles.
    #[must_use]
    pub fn separation_arcsec(&self, other: &Self) -> f64 {
        let h = ((other.dec_rad - self.dec_rad) / 2.0).sin().powi(2)
            + self.dec_rad.cos() * other.dec_rad.cos() * ((other.ra_rad - self.ra_rad) / 2.0).sin().powi(2);
        (2.0 * h.sqrt().min(1.0).asin()).to_degrees() * 3600.0
    }

    /// Offset from `self` to `other` \[arcsec\], (east, north) in the tangent plane of `self`.
    #[must_use]
    pub fn offset_to_arcsec(&self, other: &Self) -> (f64, f64) {
        let d_ra = other.ra_rad - self.ra_rad;
        let (s0, c0) = self.dec_rad.sin_cos();
        let (s1, c1) = other.dec_rad.sin_cos();
        let w = s0 * s1 + c0 * c1 * d_ra.cos();
        let east = c1 * d_ra.sin() / w;
        let north = (s1 * c0 - c1 * s0 * d_ra.cos()) / w;
        (east.to_degrees() * 3600.0, north.to_degrees() * 3600.0)
    }

    /// The point at (east, north) arcsec in the tangent plane of `self`; inverse of [`Self::offset_to_arcsec`].
    #[must_use]
    pub fn offset_by_arcsec(&self, east: f64, north: f64) -> Self {
        let (e, n) = ((east / 3600.0).to_radians(), (north / 3600.0).to_radians());
        let (sr, cr) = self.ra_rad.sin_cos();
        let (sd, cd) = self.dec_rad.sin_cos();
        Self::from_vector([cd * cr - e * sr - n * sd * cr, cd * sr + e * cr - n * sd * sr, sd + n * cd])
    }
}

/// A position on a pixel grid; the centre of the first pixel is (0.0, 0.0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelPoint {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
}

impl PixelPoint {
    /// A position from column and row.
    #[must_use]
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// The pixel that holds the position, (column, row).
    #[must_use]
    pub fn pixel(&self) -> (i32, i32) {
        ((self.x + 0.5).floor() as i32, (self.y + 0.5).floor() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::SkyPoint;
    use approx::assert_abs_diff_eq;

    #[test]
    fn offsets_there_and_back() {
        for (ra, dec) in [(0.0, 0.0), (150.1, 2.2), (359.9999, -70.0), (10.0, 89.9)] {
            let p = SkyPoint::from_degrees(ra, dec);
            let q = p.offset_by_arcsec(12.5, -7.25);
            let (e, n) = p.offset_to_arcsec(&q);
            assert_abs_diff_eq!(e, 12.5, epsilon = 1e-8);
            assert_abs_diff_eq!(n, -7.25, epsilon = 1e-8);
            // tan θ = θ to (1.4e1 arcsec)^3/3: 1e-8 arcsec
            assert_abs_diff_eq!(p.separation_arcsec(&q), 12.5f64.hypot(7.25), epsilon = 1e-6);
        }
    }
}

//! The plane on which distances are taken.

/// Tangent plane at a point of the sky.
#[derive(Debug, Clone, Copy)]
pub struct TangentPlane {
    ra0: f64,
    dec0: f64,
}

impl TangentPlane {
    /// At the mean direction of the points (ra, dec \[deg\]).
    #[must_use]
    pub fn at_mean(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut sum = [0.0; 3];
        for (ra, dec) in points.filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let (ra, dec) = (ra.to_radians(), dec.to_radians());
            sum[0] += dec.cos() * ra.cos();
            sum[1] += dec.cos() * ra.sin();
            sum[2] += dec.sin();
        }
        Self { ra0: sum[1].atan2(sum[0]), dec0: sum[2].atan2(sum[0].hypot(sum[1])) }
    }

    /// Gnomonic coordinates \[arcsec\]: east, north. NaN for what lies beyond the horizon of the plane.
    #[must_use]
    pub fn project(&self, ra_deg: f64, dec_deg: f64) -> [f64; 2] {
        let (ra, dec) = (ra_deg.to_radians() - self.ra0, dec_deg.to_radians());
        let cos_distance = self.dec0.sin() * dec.sin() + self.dec0.cos() * dec.cos() * ra.cos();
        if cos_distance <= 0.0 {
            // The projection would put it back among the others, mirrored.
            return [f64::NAN; 2];
        }
        let x = dec.cos() * ra.sin() / cos_distance;
        let y = (self.dec0.cos() * dec.sin() - self.dec0.sin() * dec.cos() * ra.cos()) / cos_distance;
        [x.to_degrees() * 3600.0, y.to_degrees() * 3600.0]
    }
}

#[cfg(test)]
mod tests {
    use super::TangentPlane;

    #[test]
    fn near_the_point_of_touch_it_is_the_sky() {
        let plane = TangentPlane::at_mean([(150.0, 60.0)].into_iter());
        let at = plane.project(150.0 + 2.0 / 3600.0, 60.0 + 1.0 / 3600.0);
        assert!((at[0] - 1.0).abs() < 1e-4 && (at[1] - 1.0).abs() < 1e-4, "{at:?}");
        assert!(plane.project(330.0, -60.0)[0].is_nan());
    }
}

//! Where an object is at a time: proper motion and parallax.

use super::check;
use crate::SimError;
use fathom::catalog::Table;
use fathom::format::truth::optional_f64;
use fathom::geometry::SkyPoint;
use std::f64::consts::TAU;

const DAYS_PER_YEAR: f64 = 365.25;

/// Motion of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motion {
    epoch_mjd: f64,
    /// Towards east and north \[mas/yr\].
    pm: [f64; 2],
    parallax_mas: f64,
}

impl Motion {
    /// One a row.
    ///
    /// # Errors
    /// [`SimError::Truth`] if a column is of another type.
    pub(super) fn of_table(table: &Table) -> Result<Vec<Self>, SimError> {
        let or_zero = |name| optional_f64(table, name, 0.0);
        let (epoch, east, north, parallax) = (or_zero("epoch")?, or_zero("pm_ra")?, or_zero("pm_dec")?, or_zero("parallax")?);
        Ok((0..table.n_rows()).map(|i| Self { epoch_mjd: epoch[i], pm: [east[i], north[i]], parallax_mas: parallax[i] }).collect())
    }

    pub(super) fn check(&self, id: i64) -> Result<(), SimError> {
        check(id, self.pm[0].is_finite(), "pm_ra", self.pm[0], "mas/yr")?;
        check(id, self.pm[1].is_finite(), "pm_dec", self.pm[1], "mas/yr")?;
        check(id, self.parallax_mas >= 0.0 && self.parallax_mas < 1e7, "parallax", self.parallax_mas, "mas, not negative")?;
        check(id, self.epoch_mjd.is_finite(), "epoch", self.epoch_mjd, "MJD")?;
        // The default, in the year 1858, would put a star of 10 mas/yr off by 1.7 arcsec without a word.
        let is_known = self.epoch_mjd.abs() > 0.0 || self.pm.iter().all(|v| v.abs() <= 0.0);
        check(id, is_known, "epoch", self.epoch_mjd, "the MJD at which ra and dec hold, as it has a proper motion")
    }

    /// Towards east and north \[arcsec/day\].
    pub(super) fn arcsec_per_day(&self) -> [f64; 2] {
        self.pm.map(|v| v * 1e-3 / DAYS_PER_YEAR)
    }

    /// From the mean position at the epoch to that at `mjd`.
    ///
    /// Proper motion runs along a great circle, at the rate and in the direction that it has at the epoch. Parallax by the Earth's orbit to
    /// 1e-4 of itself in angle and 1 % in the barycentre (the Sun's own way around it is left out).
    ///
    /// # Source
    /// Astronomical Almanac, low-precision Sun (page C5) and stellar parallax (page B29).
    pub(super) fn position(&self, mean: SkyPoint, mjd: f64) -> SkyPoint {
        let days = mjd - self.epoch_mjd;
        let [east, north] = self.arcsec_per_day().map(|v| v * days);
        // At rest the catalog's own bits: a way there and back would round.
        let moved = if east.abs() > 0.0 || north.abs() > 0.0 { along_great_circle(mean, east, north) } else { mean };
        if self.parallax_mas <= 0.0 {
            return moved;
        }
        let [x, y, z] = earth_au(mjd);
        let (sin_ra, cos_ra) = moved.ra_rad().sin_cos();
        let (sin_dec, cos_dec) = moved.dec_rad().sin_cos();
        let parallax = self.parallax_mas * 1e-3;
        moved.offset_by_arcsec(parallax * (x * sin_ra - y * cos_ra), parallax * ((x * cos_ra + y * sin_ra) * sin_dec - z * cos_dec))
    }
}

/// The point at the way (`east`, `north`) \[arcsec\] on a great circle. An offset in the tangent plane is the tangent of the way.
fn along_great_circle(from: SkyPoint, east: f64, north: f64) -> SkyPoint {
    let way = (east.hypot(north) / 3600.0).to_radians();
    // A quarter of the sky is farther than anything moves while it is observed; beyond, the tangent plane ends.
    let stretch = if way > 1e-9 { way.min(1.5).tan() / way } else { 1.0 };
    from.offset_by_arcsec(east * stretch, north * stretch)
}

/// The Earth as seen from the Sun, equatorial \[au\].
fn earth_au(mjd: f64) -> [f64; 3] {
    let days = mjd - 51_544.5;
    let mean_longitude = 280.460 + 0.985_647_4 * days;
    let anomaly = (357.528 + 0.985_600_3 * days).rem_euclid(360.0).to_radians();
    let longitude = (mean_longitude + 1.915 * anomaly.sin() + 0.020 * (2.0 * anomaly).sin()).to_radians().rem_euclid(TAU);
    let distance = 1.000_14 - 0.016_71 * anomaly.cos() - 0.000_14 * (2.0 * anomaly).cos();
    let obliquity = (23.439 - 4e-7 * days).to_radians();
    [-distance * longitude.cos(), -distance * longitude.sin() * obliquity.cos(), -distance * longitude.sin() * obliquity.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Ten years of 100 mas/yr east and -50 mas/yr north; nothing at the epoch itself.
    #[test]
    fn proper_motion_adds_up() {
        let motion = Motion { epoch_mjd: 55_000.0, pm: [100.0, -50.0], parallax_mas: 0.0 };
        let mean = SkyPoint::from_degrees(150.0, -60.0);
        assert_eq!(motion.position(mean, 55_000.0), mean);
        let (east, north) = mean.offset_to_arcsec(&motion.position(mean, 55_000.0 + 3652.5));
        assert_abs_diff_eq!(east, 1.0, epsilon = 1e-4);
        assert_abs_diff_eq!(north, -0.5, epsilon = 1e-4);
    }

    /// At the pole of the ecliptic the parallax is a circle of that radius; at the March equinox (2020-03-20.16, MJD 58928.16) the Earth stands
    /// at x = -1, east of a star at RA 90 degrees on the equator, which is seen shifted the other way.
    #[test]
    fn parallax_is_a_circle_at_the_ecliptic_pole() {
        let motion = Motion { epoch_mjd: 0.0, pm: [0.0; 2], parallax_mas: 700.0 };
        let pole = SkyPoint::from_degrees(270.0, 66.561);
        for mjd in [58_900.0, 58_991.0, 59_082.0, 59_174.0] {
            assert_abs_diff_eq!(pole.separation_arcsec(&motion.position(pole, mjd)), 0.7, epsilon = 0.7 * 0.018);
        }
        let star = SkyPoint::from_degrees(90.0, 0.0);
        let (east, north) = star.offset_to_arcsec(&motion.position(star, 58_928.16));
        assert_abs_diff_eq!(east, -0.7, epsilon = 0.01);
        assert_abs_diff_eq!(north, 0.0, epsilon = 0.005);
    }
}

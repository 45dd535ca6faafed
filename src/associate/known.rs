//! Known sources, where they are on the tract at the time of its exposures.

use super::AssociateError;
use crate::geometry::{Box2, PixelPoint, SkyPoint, Wcs};

/// One source of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownSource {
    /// Its number in the list it comes from.
    pub id: i64,
    /// Right ascension and declination at the epoch \[deg\].
    pub radec_deg: (f64, f64),
    /// Epoch of the position \[MJD\]; NaN if it does not move.
    pub epoch_mjd: f64,
    /// Proper motion, cos(dec) included \[mas/yr\].
    pub pm_mas_yr: (f64, f64),
    /// Error of the position, per axis \[mas\].
    pub position_error_mas: f64,
}

/// A known source on the tract.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownPosition {
    /// Number in its list.
    pub id: i64,
    /// Place among the lists.
    pub list: usize,
    /// On the tract.
    pub at: PixelPoint,
    /// Error per axis \[pixel\].
    pub error_px: f64,
}

/// The sources of a list that lie on the tract at a time, in the order of the list.
///
/// # Errors
/// [`AssociateError::Known`] for an id that comes twice.
pub fn on_tract(
    list: usize,
    sources: &[KnownSource],
    wcs: &Wcs,
    tract: &Box2,
    pixel_scale_arcsec: f64,
    mjd: f64,
) -> Result<Vec<KnownPosition>, AssociateError> {
    let mut ids: Vec<i64> = sources.iter().map(|s| s.id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|w| w[0] == w[1]) {
        return Err(AssociateError::Known { list, what: format!("id {} comes twice", twice[0]) });
    }
    let place = |s: &KnownSource| -> Option<KnownPosition> {
        let years = if s.epoch_mjd.is_nan() { 0.0 } else { (mjd - s.epoch_mjd) / 365.25 };
        let (ra, dec) = s.radec_deg;
        let moved = SkyPoint::from_degrees(
            ra + years * s.pm_mas_yr.0 / (3.6e6 * dec.to_radians().cos().max(1e-6)),
            (dec + years * s.pm_mas_yr.1 / 3.6e6).clamp(-90.0, 90.0),
        );
        let at = wcs.sky_to_pixel(moved).ok().filter(|at| tract.contains_point(*at))?;
        Some(KnownPosition { id: s.id, list, at, error_px: s.position_error_mas / (1000.0 * pixel_scale_arcsec) })
    };
    Ok(sources.iter().filter_map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A star that moves by 1" a year in ten years, one beyond the tract, one that comes twice.
    #[test]
    fn sources_move_to_the_epoch() {
        let s = 0.2 / 3600.0;
        let wcs = Wcs::tan(SkyPoint::from_degrees(150.0, 60.0), PixelPoint::new(50.0, 50.0), [[-s, 0.0], [0.0, s]]).unwrap();
        let star =
            KnownSource { id: 7, radec_deg: (150.0, 60.0), epoch_mjd: 50_000.0, pm_mas_yr: (1000.0, -500.0), position_error_mas: 20.0 };
        let far = KnownSource { id: 8, radec_deg: (151.0, 60.0), epoch_mjd: f64::NAN, ..star };
        let tract = Box2::new(0, 0, 120, 120);
        let mjd = 50_000.0 + 3652.5;
        let found = on_tract(0, &[star, far], &wcs, &tract, 0.2, mjd).unwrap();
        assert_eq!(found.len(), 1);
        // 10" east are 50 pixels to smaller x, 5" south 25 pixels down.
        assert!((found[0].at.x - 0.0).abs() < 0.02 && (found[0].at.y - 25.0).abs() < 0.02, "{:?}", found[0]);
        assert!((found[0].error_px - 0.1).abs() < 1e-12);
        let error = on_tract(2, &[star, star], &wcs, &tract, 0.2, mjd).unwrap_err();
        assert!(error.to_string().contains("id 7 comes twice"), "{error}");
    }
}

//! Times in headers: ISO 8601 text, and UTC to TAI.

/// MJD (UTC) from which TAI - UTC has a value \[s\]. Source: IERS Bulletin C.
const LEAP_SECONDS: [(f64, f64); 28] = [
    (41317.0, 10.0),
    (41499.0, 11.0),
    (41683.0, 12.0),
    (42048.0, 13.0),
    (42413.0, 14.0),
    (42778.0, 15.0),
    (43144.0, 16.0),
    (43509.0, 17.0),
    (43874.0, 18.0),
    (44239.0, 19.0),
    (44786.0, 20.0),
    (45151.0, 21.0),
    (45516.0, 22.0),
    (46247.0, 23.0),
    (47161.0, 24.0),
    (47892.0, 25.0),
    (48257.0, 26.0),
    (48804.0, 27.0),
    (49169.0, 28.0),
    (49534.0, 29.0),
    (50083.0, 30.0),
    (50630.0, 31.0),
    (51179.0, 32.0),
    (53736.0, 33.0),
    (54832.0, 34.0),
    (56109.0, 35.0),
    (57204.0, 36.0),
    (57754.0, 37.0),
];

/// MJD (TAI) of an MJD (UTC); before 1972 the offset of 1972.
pub(super) fn tai_of_utc(mjd_utc: f64) -> f64 {
    let after = LEAP_SECONDS.partition_point(|(from, _)| *from <= mjd_utc);
    mjd_utc + LEAP_SECONDS[after.max(1) - 1].1 / 86400.0
}

/// MJD of `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ss.s`, in the text's own scale.
pub(super) fn mjd_of_iso(text: &str) -> Option<f64> {
    let (date, time) = text.trim().trim_end_matches('Z').split_once(['T', ' ']).unwrap_or((text.trim(), "0"));
    let mut fields = date.splitn(3, '-');
    let mut whole = || fields.next()?.parse::<i64>().ok();
    let (year, month, day) = (whole()?, whole()?, whole()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil calendar, with years that begin in March so that the leap day comes last.
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 678_881;
    let mut fraction = 0.0;
    for (field, seconds) in time.split(':').zip([3600.0, 60.0, 1.0]) {
        fraction += field.parse::<f64>().ok()? * seconds / 86400.0;
    }
    Some(days as f64 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// MJD 0 is 1858-11-17 and MJD 51544 is 2000-01-01 by definition; the third is DATE-OBS and MJD-OBS of one DECam header.
    #[test]
    fn iso_dates() {
        assert_abs_diff_eq!(mjd_of_iso("1858-11-17").unwrap(), 0.0);
        assert_abs_diff_eq!(mjd_of_iso("2000-01-01T12:00:00").unwrap(), 51544.5);
        assert_abs_diff_eq!(mjd_of_iso("2015-04-11T03:50:00.053886").unwrap(), 57123.15972285, epsilon = 1e-8);
        assert_eq!(mjd_of_iso("yesterday"), None);
    }

    #[test]
    fn leap_seconds() {
        assert_abs_diff_eq!((tai_of_utc(57123.0) - 57123.0) * 86400.0, 35.0, epsilon = 1e-5);
        assert_abs_diff_eq!((tai_of_utc(60000.0) - 60000.0) * 86400.0, 37.0, epsilon = 1e-5);
    }
}

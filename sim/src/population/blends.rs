//! How blended a truth catalog is.

use crate::SimError;
use crate::error::check;
use fathom::catalog::Table;
use fathom::geometry::SkyPoint;
use fathom::image::ab_magnitude;

/// Share of objects with a neighbour, as [`blend_fraction`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlendFraction {
    /// Objects brighter than the limit.
    pub n_objects: usize,
    /// Of them, those with a neighbour that counts.
    pub n_blended: usize,
}

impl BlendFraction {
    /// The share; NaN without objects.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.n_blended as f64 / self.n_objects as f64
    }
}

/// Counts the objects brighter than `magnitude_limit` in `band` that have a neighbour (also brighter than that) within one FWHM whose light
/// overlaps theirs by more than `min_overlap`.
///
/// The overlap is what the neighbour j adds to the matched-filter flux of i, as a share of i's own: f_j ∫ p_i p_j / (f_i ∫ p_i²), with the
/// profiles p as round Gaussians of the PSF's and the objects' own widths (a half-light radius of 1.177 σ). Looks at the pairs of a
/// strip of declination of one FWHM.
///
/// # Errors
/// [`SimError::Truth`] for a missing column, [`SimError::Config`] for a FWHM that is not positive.
///
/// # Source
/// The blendedness of Bosch et al. 2018, PASJ 70, S5, section 4.9.11, for two Gaussians.
pub fn blend_fraction(
    truth: &Table,
    band: &str,
    fwhm_arcsec: f64,
    magnitude_limit: f64,
    min_overlap: f64,
) -> Result<BlendFraction, SimError> {
    check("blends", "fwhm_arcsec", fwhm_arcsec > 0.0, fwhm_arcsec, "a positive number")?;
    let (ra, dec, flux) = (truth.f64("ra")?, truth.f64("dec")?, truth.f64(&format!("{band}_flux"))?);
    let (radius, ratio) = (truth.f64("half_light_radius")?, truth.f64("axis_ratio")?);
    let sigma_psf = fwhm_arcsec / 2.354_82;
    let mut objects: Vec<(SkyPoint, f64, f64)> = (0..truth.n_rows())
        .filter(|&i| ab_magnitude(flux[i]) < magnitude_limit)
        .map(|i| (SkyPoint::from_degrees(ra[i], dec[i]), flux[i], sigma_psf.powi(2) + (radius[i] / 1.177).powi(2) * ratio[i]))
        .collect();
    objects.sort_by(|a, b| a.0.dec_deg().total_cmp(&b.0.dec_deg()));
    let reach_deg = fwhm_arcsec / 3600.0;
    let mut is_blended = vec![false; objects.len()];
    for (i, (p, f_i, v_i)) in objects.iter().enumerate() {
        for (j, (q, f_j, v_j)) in objects.iter().enumerate().skip(i + 1) {
            if q.dec_deg() - p.dec_deg() > reach_deg {
                break;
            }
            // By the right ascension first: most pairs of a strip are far apart.
            if ((q.ra_deg() - p.ra_deg() + 180.0).rem_euclid(360.0) - 180.0).abs() * p.dec_rad().cos() > 1.01 * reach_deg {
                continue;
            }
            let d = p.separation_arcsec(q);
            if d > fwhm_arcsec {
                continue;
            }
            let cross = (-0.5 * d * d / (v_i + v_j)).exp() / (v_i + v_j);
            is_blended[i] |= f_j * cross * 2.0 * v_i / f_i > min_overlap;
            is_blended[j] |= f_i * cross * 2.0 * v_j / f_j > min_overlap;
        }
    }
    Ok(BlendFraction { n_objects: objects.len(), n_blended: is_blended.iter().filter(|b| **b).count() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Source, to_table};

    /// Two equal points at d: the overlap is exp(-d²/4σ²): at one FWHM 0.25, so a faint one of 1/30 counts for nobody but itself.
    #[test]
    fn pairs_count_by_distance_and_flux() {
        let at = SkyPoint::from_degrees(40.0, 60.0);
        let pair = |east: f64, flux: f64| {
            let sources = [Source::star(0, at, vec![1000.0]), Source::star(1, at.offset_by_arcsec(east, 0.0), vec![flux])];
            let table = to_table(&sources, &["r".into()], 0, 0).unwrap();
            blend_fraction(&table, "r", 0.8, 30.0, 0.01).unwrap().n_blended
        };
        assert_eq!(pair(0.79, 1000.0), 2);
        assert_eq!(pair(0.81, 1000.0), 0);
        assert_eq!(pair(0.79, 1000.0 / 30.0), 1);
        assert_eq!(pair(-0.4, 1000.0 / 30.0), 2);
    }
}

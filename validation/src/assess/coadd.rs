//! A coadd against what its inputs promise: depth, PSF, noise.

use fathom::catalog::{ColumnData, Table, TableError};
use fathom::geometry::{Box2, PixelPoint, SkyPoint};
use fathom::image::{ExposureMeta, ab_magnitude};
use fathom::measure::adaptive_moments;
use ndarray::{Array2, ArrayView2, Zip};

/// Φ of exposures without a bad pixel: Σ_e Σφ_e² / v_e over those that hold the position \[1/nJy²\].
///
/// * `exposures`: calibrations, and the variance of a source-free pixel \[nJy²\] at a position on the exposure.
///
/// # Source
/// Kaiser 2004, and DMTN-015: the information of a likelihood coadd about a point source.
#[must_use]
pub fn expected_phi<'a>(at: SkyPoint, exposures: impl Iterator<Item = (&'a ExposureMeta, &'a dyn Fn(PixelPoint) -> f64)>) -> f64 {
    let mut phi = 0.0;
    for (meta, variance_njy2) in exposures {
        let Some(p) = meta.wcs.sky_to_pixel(at).ok().filter(|p| meta.bbox().contains_point(*p)) else { continue };
        let (x, y) = p.pixel();
        let stamp = meta.psf.stamp(p, p.x - f64::from(x), p.y - f64::from(y));
        phi += stamp.iter().map(|v| v * v).sum::<f64>() / variance_njy2(p);
    }
    phi
}

/// Depth of one cell in one band, at its middle.
#[derive(Debug, Clone, PartialEq)]
pub struct CellDepth {
    /// Band.
    pub band: String,
    /// Column and row of the cell in the tract's grid.
    pub cell: [u32; 2],
    /// Φ of the likelihood map \[1/nJy²\]; 0 without data.
    pub phi: f64,
    /// Φ of the exposures' calibrations alone.
    pub expected_phi: f64,
}

/// The table `/depths`: one row per cell and band.
///
/// # Errors
/// [`TableError`], never in practice.
pub fn depth_table(rows: &[CellDepth]) -> Result<Table, TableError> {
    // 5 σ of a point source: 5 / √Φ.
    let depth = |phi: f64| if phi > 0.0 { ab_magnitude(5.0 / phi.sqrt()) } else { f64::NAN };
    let mut table = Table::new();
    table.push("band", "", "band", ColumnData::Text(rows.iter().map(|r| r.band.clone()).collect()))?;
    for (i, name) in ["column", "row"].into_iter().enumerate() {
        let what = format!("{name} of the cell in the tract's grid");
        table.push(&format!("cell_{name}"), "", &what, ColumnData::I64(rows.iter().map(|r| i64::from(r.cell[i])).collect()))?;
    }
    let found = rows.iter().map(|r| depth(r.phi)).collect();
    table.push("depth", "mag", "5 sigma point-source depth of the likelihood map at the cell's middle", ColumnData::F64(found))?;
    let expected = rows.iter().map(|r| depth(r.expected_phi)).collect();
    table.push("expected_depth", "mag", "the same of the exposures' calibrations, without masks", ColumnData::F64(expected))?;
    Ok(table)
}

/// A star on the coadd against the coadd's PSF.
#[derive(Debug, Clone, PartialEq)]
pub struct StarResidual {
    /// Share of the flux within 3 FWHM that lies within half a FWHM: star / PSF - 1.
    pub core: f64,
    /// Trace of the adaptive moments: star / PSF - 1.
    pub size: f64,
    /// Ellipticity (Q_xx - Q_yy) / T, 2 Q_xy / T of the adaptive moments: star - PSF.
    pub ellipticity: [f64; 2],
}

/// Least share of Σφ² on good pixels.
const MIN_GOOD_SHARE: f64 = 0.9;

/// Compares a star with the PSF; `None` where moments fail or too many pixels are spoiled.
///
/// Spoiled pixels take the PSF's value times the flux that the good ones have: they add nothing to any difference.
///
/// * `star_njy`, `psf`, `is_good`: `[2r+1, 2r+1]`, the same pixels, the middle one that of `at`; r at least 3 FWHM.
/// * `at`: position of the star relative to the middle pixel \[pixel\].
#[must_use]
pub fn star_residual(
    star_njy: ArrayView2<f32>,
    psf: ArrayView2<f32>,
    is_good: ArrayView2<bool>,
    at: (f64, f64),
    fwhm_px: f64,
) -> Option<StarResidual> {
    let star = filled(star_njy, psf, is_good)?;
    let star_njy = star.view();
    let r = (psf.nrows() / 2) as i32;
    let bbox = Box2::new(-r, -r, 2 * r + 1, 2 * r + 1);
    let center = PixelPoint::new(at.0, at.1);
    let within = |radius_px: f64| fathom::measure::aperture_weights(&bbox, center, radius_px);
    let (core, all) = (within(0.5 * fwhm_px), within(3.0 * fwhm_px));
    let share = |image: ArrayView2<f32>| {
        let sum = |w: &Array2<f64>| image.iter().zip(w).map(|(v, w)| f64::from(*v) * w).sum::<f64>();
        sum(&core) / sum(&all)
    };
    let ones = Array2::<f32>::ones(psf.dim());
    let moments = |image: ArrayView2<f32>| adaptive_moments(&image.to_owned(), &ones, &bbox, center, fwhm_px);
    let (of_star, of_psf) = (moments(star_njy)?, moments(psf)?);
    let trace = |q: [f64; 3]| q[0] + q[1];
    let shape = |q: [f64; 3]| [(q[0] - q[1]) / trace(q), 2.0 * q[2] / trace(q)];
    let (e_star, e_psf) = (shape(of_star), shape(of_psf));
    Some(StarResidual {
        core: share(star_njy) / share(psf) - 1.0,
        size: trace(of_star) / trace(of_psf) - 1.0,
        ellipticity: [e_star[0] - e_psf[0], e_star[1] - e_psf[1]],
    })
}

/// Band, source of the pixels (`data` or `truth pixels`), right ascension and declination \[deg\], S/N, residual.
pub type StarRow = (String, &'static str, [f64; 2], f64, StarResidual);

/// The star with spoiled pixels replaced by the scaled PSF's.
fn filled(star_njy: ArrayView2<f32>, psf: ArrayView2<f32>, is_good: ArrayView2<bool>) -> Option<Array2<f32>> {
    if star_njy.dim() != psf.dim() || is_good.dim() != psf.dim() {
        return None;
    }
    let (mut product, mut good, mut all) = (0.0, 0.0, 0.0);
    Zip::from(star_njy).and(psf).and(is_good).for_each(|&z, &p, &ok| {
        let p = f64::from(p);
        all += p * p;
        if ok && z.is_finite() {
            product += p * f64::from(z);
            good += p * p;
        }
    });
    let flux = product / good;
    (good >= MIN_GOOD_SHARE * all && flux.is_finite()).then(|| {
        Zip::from(star_njy)
            .and(psf)
            .and(is_good)
            .map_collect(|&z, &p, &ok| if ok && z.is_finite() { z } else { (flux * f64::from(p)) as f32 })
    })
}

/// The table `/psf_stars`: one row per star and band; `source` is `data` or `truth pixels`.
///
/// # Errors
/// [`TableError`], never in practice.
pub fn star_table(rows: &[StarRow]) -> Result<Table, TableError> {
    let numbers = |value: &dyn Fn(&StarRow) -> f64| ColumnData::F64(rows.iter().map(value).collect());
    let mut table = Table::new();
    table.push("band", "", "band", ColumnData::Text(rows.iter().map(|r| r.0.clone()).collect()))?;
    table.push(
        "source",
        "",
        "the star's pixels: data, or truth pixels (noiseless)",
        ColumnData::Text(rows.iter().map(|r| r.1.to_owned()).collect()),
    )?;
    table.push("ra", "deg", "right ascension", numbers(&|r| r.2[0]))?;
    table.push("dec", "deg", "declination", numbers(&|r| r.2[1]))?;
    table.push("snr", "", "flux of the stamp over the point-source error", numbers(&|r| r.3))?;
    table.push("core", "", "share of the flux within half a FWHM: star / PSF - 1", numbers(&|r| r.4.core))?;
    table.push("size", "", "trace of the adaptive moments: star / PSF - 1", numbers(&|r| r.4.size))?;
    table.push("e1", "", "(Qxx - Qyy) / T on the tract: star - PSF", numbers(&|r| r.4.ellipticity[0]))?;
    table.push("e2", "", "2 Qxy / T: star - PSF", numbers(&|r| r.4.ellipticity[1]))?;
    Ok(table)
}

/// Pulls of one kind of sum over blank sky in one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSums {
    /// Band.
    pub band: String,
    /// `psf` or `aperture <radius> arcsec`.
    pub sum: String,
    /// Column and row of the cell.
    pub cell: [u32; 2],
    /// Positions.
    pub n: usize,
    /// Σ pull.
    pub sum_of_pulls: f64,
    /// Σ pull².
    pub sum_of_squares: f64,
    /// Pulls beyond 5, left out: sources that nothing detected, or artifacts.
    pub n_clipped: usize,
}

impl NoiseSums {
    /// Nothing yet.
    #[must_use]
    pub fn new(band: &str, sum: &str, cell: [u32; 2]) -> Self {
        Self { band: band.to_owned(), sum: sum.to_owned(), cell, n: 0, sum_of_pulls: 0.0, sum_of_squares: 0.0, n_clipped: 0 }
    }

    /// Adds one position: a sum over pixels, divided by its predicted error.
    pub fn add(&mut self, pull: f64) {
        // A unit normal is beyond 5 six times in ten million.
        if pull.abs() > 5.0 {
            self.n_clipped += 1;
        } else if pull.is_finite() {
            self.n += 1;
            self.sum_of_pulls += pull;
            self.sum_of_squares += pull * pull;
        }
    }
}

/// The table `/noise`: one row per cell, band and kind of sum.
///
/// # Errors
/// [`TableError`], never in practice.
pub fn noise_table(rows: &[NoiseSums]) -> Result<Table, TableError> {
    let texts = |value: fn(&NoiseSums) -> &String| ColumnData::Text(rows.iter().map(|r| value(r).clone()).collect());
    let ints = |value: fn(&NoiseSums) -> i64| ColumnData::I64(rows.iter().map(value).collect());
    let numbers = |value: fn(&NoiseSums) -> f64| ColumnData::F64(rows.iter().map(value).collect());
    let mut table = Table::new();
    table.push("band", "", "band", texts(|r| &r.band))?;
    table.push("sum", "", "psf, or aperture <radius> arcsec", texts(|r| &r.sum))?;
    table.push("cell_column", "", "column of the cell in the tract's grid", ints(|r| i64::from(r.cell[0])))?;
    table.push("cell_row", "", "row of the cell in the tract's grid", ints(|r| i64::from(r.cell[1])))?;
    table.push("n", "", "positions on blank sky", ints(|r| r.n as i64))?;
    table.push("sum_of_pulls", "", "sum of value / predicted error", numbers(|r| r.sum_of_pulls))?;
    table.push("sum_of_squares", "", "sum of its squares", numbers(|r| r.sum_of_squares))?;
    table.push("n_clipped", "", "positions beyond 5 sigma, left out", ints(|r| r.n_clipped as i64))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn gaussian(sigma_px: f64, stretch: f64) -> Array2<f32> {
        Array2::from_shape_fn((61, 61), |(j, i)| {
            let (x, y) = ((i as f64 - 30.0 - 0.3) / stretch, (j as f64 - 30.0 + 0.2) * stretch);
            (1000.0 * (-(x * x + y * y) / (2.0 * sigma_px * sigma_px)).exp()) as f32
        })
    }

    /// A star 2 % wider than the PSF: T is 4.04 % larger, and the core holds 1 - exp(-r²/2σ²) of its light at r = 1.1774 σ
    /// of the PSF; stretched by s along x and 1/s along y the ellipticity is (s⁴ - 1)/(s⁴ + 1).
    #[test]
    fn a_wide_and_a_stretched_star() {
        let (sigma, fwhm) = (2.5, 2.5 * 2.354_82);
        let psf = gaussian(sigma, 1.0);
        let good = Array2::from_elem(psf.dim(), true);
        let compare = |star: &Array2<f32>| star_residual(star.view(), psf.view(), good.view(), (0.3, -0.2), fwhm).unwrap();
        let same = compare(&psf);
        assert_eq!(same, StarResidual { core: 0.0, size: 0.0, ellipticity: [0.0; 2] });
        let wide = compare(&gaussian(1.02 * sigma, 1.0));
        assert_relative_eq!(wide.size, 1.02f64.powi(2) - 1.0, epsilon = 1e-4);
        let share = |s: f64| 1.0 - (-0.5 * (0.5 * fwhm / s).powi(2)).exp();
        assert_relative_eq!(wide.core, share(1.02 * sigma) / share(sigma) - 1.0, epsilon = 2e-3);
        let s: f64 = 1.01;
        let stretched = compare(&gaussian(sigma, s));
        assert_relative_eq!(stretched.ellipticity[0], (s.powi(4) - 1.0) / (s.powi(4) + 1.0), epsilon = 1e-4);
        assert_relative_eq!(stretched.ellipticity[1], 0.0, epsilon = 1e-5);
    }

    #[test]
    fn spoiled_pixels_add_nothing_but_too_many_are_no_star() {
        let psf = gaussian(2.5, 1.0);
        let mut star = psf.mapv(|v| 3.0 * v);
        star[[29, 32]] = f32::NAN;
        star[[27, 30]] = 1e6;
        let mut is_good = Array2::from_elem(psf.dim(), true);
        is_good[[27, 30]] = false;
        let residual = star_residual(star.view(), psf.view(), is_good.view(), (0.3, -0.2), 5.9).unwrap();
        assert!(residual.core.abs() < 1e-6 && residual.size.abs() < 1e-6, "{residual:?}");
        is_good.slice_mut(ndarray::s![.., ..30]).fill(false);
        assert!(star_residual(star.view(), psf.view(), is_good.view(), (0.3, -0.2), 5.9).is_none());
    }

    #[test]
    fn noise_sums_leave_out_the_far() {
        let mut sums = NoiseSums::new("r", "psf", [1, 2]);
        for pull in [1.0, -2.0, 7.0, f64::NAN] {
            sums.add(pull);
        }
        assert_eq!((sums.n, sums.n_clipped), (2, 1));
        assert_relative_eq!(sums.sum_of_squares, 5.0);
    }
}

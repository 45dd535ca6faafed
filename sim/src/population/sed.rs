//! Spectra and bands: flux in u g r i z y relative to i, over redshift.
//!
//! Templates are coarse tables of AB magnitude against wavelength, bands are trapezoids: good to a few hundredths of a magnitude, which is
//! what a population needs and a photometric redshift does not. No emission lines, no dust beyond what the templates hold.

use super::interpolate;
use crate::SimError;
use crate::error::check;
use std::sync::LazyLock;

/// Bands that a physical sky knows, blue first.
pub(crate) const BANDS: [&str; 6] = ["u", "g", "r", "i", "z", "y"];
/// Index of i, to which magnitudes and colours refer.
const I_BAND: usize = 3;

/// Corners of the trapezoids \[Å\]: begin, full, full, end.
///
/// # Source
/// The LSST baseline throughputs (Ivezić et al. 2019, ApJ 873, 111, Fig. 4), read off at 0, 90, 90 and 0 per cent of their maxima.
const TRAPEZOIDS: [[f64; 4]; 6] = [
    [3200.0, 3500.0, 3850.0, 4080.0],
    [3880.0, 4200.0, 5350.0, 5650.0],
    [5370.0, 5600.0, 6750.0, 7050.0],
    [6760.0, 7000.0, 8030.0, 8350.0],
    [8030.0, 8250.0, 9100.0, 9450.0],
    [9080.0, 9350.0, 10050.0, 10950.0],
];

/// Mean wavelengths of the bands \[Å\].
pub(crate) const PIVOT: [f64; 6] = [3660.0, 4770.0, 6190.0, 7540.0, 8710.0, 9860.0];

/// Shape of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    Elliptical,
    Sbc,
    Scd,
    Irregular,
    Starburst,
    Quasar,
    Supernova,
}

impl Template {
    const ALL: [Self; 7] = [Self::Elliptical, Self::Sbc, Self::Scd, Self::Irregular, Self::Starburst, Self::Quasar, Self::Supernova];

    /// As in the truth catalog's column `sed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elliptical => "E",
            Self::Sbc => "Sbc",
            Self::Scd => "Scd",
            Self::Irregular => "Im",
            Self::Starburst => "SB",
            Self::Quasar => "QSO",
            Self::Supernova => "SN",
        }
    }

    /// (wavelength \[Å\], AB magnitude relative to 5500 Å).
    ///
    /// # Source
    /// E: Coleman, Wu & Weedman 1980, ApJS 43, 393, with the near infrared of Bruzual & Charlot as usual in photometric redshifts.
    /// Sbc, Scd, Im: optical colours of Fukugita, Shimasaku & Ichikawa 1995, PASP 107, 945, Table 3, on the ultraviolet
    /// of Coleman, Wu & Weedman. SB: Kinney et al. 1996, ApJ 467, 38, little reddening. QSO: f_ν ∝ ν^-0.5 (Vanden Berk et al. 2001, AJ 122, 549).
    /// SN: a black body of 10 000 K with the ultraviolet of line blanketing.
    fn magnitudes(self) -> &'static [(f64, f64)] {
        match self {
            Self::Elliptical => &[
                (912.0, 8.2),
                (1300.0, 6.93),
                (1700.0, 6.52),
                (2100.0, 5.74),
                (2400.0, 5.69),
                (2600.0, 5.19),
                (2900.0, 3.69),
                (3100.0, 3.2),
                (3300.0, 2.6),
                (3500.0, 2.37),
                (3700.0, 2.02),
                (3830.0, 2.25),
                (3940.0, 1.91),
                (4050.0, 1.26),
                (4200.0, 1.17),
                (4500.0, 0.62),
                (4800.0, 0.32),
                (5150.0, 0.30),
                (5500.0, 0.0),
                (6000.0, -0.23),
                (6300.0, -0.29),
                (7000.0, -0.54),
                (7500.0, -0.71),
                (7900.0, -0.66),
                (8300.0, -0.83),
                (9000.0, -0.98),
                (10000.0, -1.22),
                (11000.0, -1.22),
                (12500.0, -1.29),
                (16500.0, -1.55),
                (22000.0, -1.30),
                (30000.0, -0.60),
            ],
            Self::Sbc => &[
                (912.0, 4.6),
                (1500.0, 3.9),
                (2000.0, 3.45),
                (2500.0, 3.1),
                (3000.0, 2.4),
                (3500.0, 1.75),
                (3700.0, 1.55),
                (3900.0, 1.25),
                (4100.0, 0.80),
                (4700.0, 0.36),
                (5500.0, 0.0),
                (6200.0, -0.20),
                (7500.0, -0.52),
                (9000.0, -0.76),
                (10000.0, -0.88),
                (12500.0, -1.10),
                (16500.0, -1.35),
                (22000.0, -1.15),
                (30000.0, -0.5),
            ],
            Self::Scd => &[
                (912.0, 3.5),
                (1500.0, 2.85),
                (2000.0, 2.55),
                (2500.0, 2.25),
                (3000.0, 1.85),
                (3500.0, 1.40),
                (3700.0, 1.20),
                (3900.0, 0.90),
                (4100.0, 0.58),
                (4700.0, 0.30),
                (5500.0, 0.0),
                (6200.0, -0.16),
                (7500.0, -0.42),
                (9000.0, -0.62),
                (10000.0, -0.72),
                (12500.0, -0.90),
                (16500.0, -1.10),
                (22000.0, -0.9),
                (30000.0, -0.3),
            ],
            Self::Irregular => &[
                (912.0, 2.2),
                (1500.0, 1.70),
                (2000.0, 1.55),
                (2500.0, 1.40),
                (3000.0, 1.22),
                (3500.0, 1.02),
                (3700.0, 0.88),
                (3900.0, 0.58),
                (4100.0, 0.36),
                (4700.0, 0.14),
                (5500.0, 0.0),
                (6200.0, -0.09),
                (7500.0, -0.20),
                (9000.0, -0.28),
                (10000.0, -0.34),
                (12500.0, -0.40),
                (16500.0, -0.45),
                (22000.0, -0.2),
                (30000.0, 0.3),
            ],
            Self::Starburst => &[
                (912.0, 0.95),
                (1500.0, 0.62),
                (2000.0, 0.62),
                (2500.0, 0.62),
                (3000.0, 0.60),
                (3500.0, 0.60),
                (3700.0, 0.52),
                (3900.0, 0.32),
                (4100.0, 0.22),
                (4700.0, 0.08),
                (5500.0, 0.0),
                (6200.0, -0.03),
                (7500.0, -0.04),
                (9000.0, -0.06),
                (10000.0, -0.08),
                (12500.0, -0.05),
                (16500.0, 0.0),
                (22000.0, 0.3),
                (30000.0, 0.6),
            ],
            Self::Quasar => &[(912.0, 0.98), (5500.0, 0.0), (30000.0, -0.92)],
            Self::Supernova => &[
                (912.0, 8.0),
                (2000.0, 3.2),
                (3000.0, 1.1),
                (3500.0, 0.45),
                (4100.0, 0.0),
                (5500.0, 0.0),
                (7500.0, 0.30),
                (10000.0, 0.75),
                (16500.0, 1.6),
                (30000.0, 2.8),
            ],
        }
    }

    fn f_nu(self, rest_angstrom: f64) -> f64 {
        10f64.powf(-0.4 * interpolate(self.magnitudes(), rest_angstrom))
    }

    /// Flux in a band over that in i, at a redshift in 0..=[`Z_MAX`].
    pub fn relative_to_i(self, i_band: usize, redshift: f64) -> f64 {
        static RATIOS: LazyLock<Vec<Vec<[f64; 6]>>> = LazyLock::new(|| {
            let of_z = |template: Template, step: usize| {
                let z = step as f64 * Z_STEP;
                let flux: [f64; 6] = std::array::from_fn(|b| band_flux(template, b, z));
                flux.map(|f| f / flux[I_BAND])
            };
            Template::ALL.iter().map(|&t| (0..=(Z_MAX / Z_STEP).round() as usize).map(|step| of_z(t, step)).collect()).collect()
        });
        let table = &RATIOS[self as usize];
        let at = (redshift.clamp(0.0, Z_MAX) / Z_STEP).min(table.len() as f64 - 1.001);
        let (low, t) = (at.floor() as usize, at.fract());
        (1.0 - t) * table[low][i_band] + t * table[low + 1][i_band]
    }
}

/// Largest redshift of the tables: beyond, nothing is left in i.
pub(crate) const Z_MAX: f64 = 5.5;
const Z_STEP: f64 = 0.02;

/// Mean f_ν over a band, weighted by the photons: ∫ f_ν T dλ/λ / ∫ T dλ/λ.
fn band_flux(template: Template, i_band: usize, redshift: f64) -> f64 {
    let corners = TRAPEZOIDS[i_band];
    let n_steps = 64;
    let step = (corners[3] - corners[0]) / f64::from(n_steps);
    let (mut sum, mut weight) = (0.0, 0.0);
    for k in 0..n_steps {
        let lambda = corners[0] + (f64::from(k) + 0.5) * step;
        let [a, b, c, d] = corners;
        let through = ((lambda - a) / (b - a)).min((d - lambda) / (d - c)).clamp(0.0, 1.0) / lambda;
        let rest = lambda / (1.0 + redshift);
        sum += through * template.f_nu(rest) * igm_transmission(lambda, redshift);
        weight += through;
    }
    sum / weight
}

/// Mean transmission of the intergalactic medium.
///
/// # Source
/// Madau 1995, ApJ 441, 18: equation 12 and the coefficients of Lyman α to δ; nothing is let through below the Lyman limit.
fn igm_transmission(observed_angstrom: f64, redshift: f64) -> f64 {
    const LINES: [(f64, f64); 4] = [(1215.67, 0.0036), (1025.72, 0.0017), (972.54, 0.0012), (949.74, 0.00093)];
    let rest = observed_angstrom / (1.0 + redshift);
    if rest < 912.0 {
        return 0.0;
    }
    let depth: f64 = LINES.iter().filter(|(line, _)| rest < *line).map(|(line, a)| a * (observed_angstrom / line).powf(3.46)).sum();
    (-depth).exp()
}

/// Indices in [`BANDS`] of the bands of a run.
///
/// # Errors
/// [`SimError::Config`] naming a band that a physical sky does not know.
pub(crate) fn indices(field: &str, bands: &[String]) -> Result<Vec<usize>, SimError> {
    let index = |band: &String| {
        let found = BANDS.iter().position(|b| b == band);
        check("run", "bands", found.is_some(), band, &format!("one of u, g, r, i, z, y for the field {field}"))?;
        Ok(found.expect("checked above"))
    };
    bands.iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(template: Template, blue: usize, red: usize, z: f64) -> f64 {
        -2.5 * (template.relative_to_i(blue, z) / template.relative_to_i(red, z)).log10()
    }

    /// Fukugita, Shimasaku & Ichikawa 1995, Table 3: g'-r' = 0.77, 0.52, 0.48 of E, Sbc, Scd and 0.20 of Im; r'-i' = 0.39, 0.32, 0.28, 0.07.
    /// LSST's bands are not SDSS's, and the tables are coarse: to 0.1.
    #[test]
    fn colours_at_rest_are_those_of_local_galaxies() {
        for (template, g_r, r_i) in [
            (Template::Elliptical, 0.77, 0.39),
            (Template::Sbc, 0.55, 0.32),
            (Template::Scd, 0.46, 0.28),
            (Template::Irregular, 0.22, 0.10),
        ] {
            let found = (colour(template, 1, 2, 0.0), colour(template, 2, 3, 0.0));
            assert!((found.0 - g_r).abs() < 0.1 && (found.1 - r_i).abs() < 0.1, "{template:?}: {found:?}");
        }
    }

    /// The 4000 Å break is between g and r at z = 0.38, between r and i at 0.75; Lyman's limit is past u at z = 3.5.
    #[test]
    fn breaks_wander_through_the_bands() {
        let e = Template::Elliptical;
        assert!(colour(e, 1, 2, 0.4) > 1.5 && colour(e, 2, 3, 0.8) > 0.9, "{} {}", colour(e, 1, 2, 0.4), colour(e, 2, 3, 0.8));
        assert!(colour(Template::Starburst, 0, 1, 3.5) > 3.0 && colour(Template::Starburst, 0, 1, 1.0).abs() < 0.4);
        assert!(colour(Template::Starburst, 1, 2, 4.2) > 1.0);
        assert!(indices("survey", &["r".into(), "w".into()]).unwrap_err().to_string().contains("\"w\""));
    }
}

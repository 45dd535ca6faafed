//! The seeing of each visit.

use super::table_file::TableFile;
use super::{CameraConfig, Streams};
use crate::SimError;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The law that the seeing is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeeingLaw {
    /// Uniform in `camera.seeing_arcsec`.
    Uniform,
    /// ln(FWHM) is normal about the logarithm of `seeing_median_arcsec`, cut at 3 σ.
    Lognormal,
    /// A row of `seeing_table`, drawn with replacement.
    Table,
}

/// What seeing is drawn from, with the table read.
pub(super) enum Seeing {
    Uniform([f64; 2]),
    Lognormal { median_arcsec: f64, sigma_ln: f64 },
    Table { arcsec: Vec<f64>, bands: Option<Vec<String>> },
}

impl Seeing {
    /// # Errors
    /// [`SimError::Format`] or [`SimError::TableRow`] if the table cannot be used.
    pub(super) fn new(camera: &CameraConfig) -> Result<Self, SimError> {
        let psf = &camera.psf;
        Ok(match psf.seeing_law {
            SeeingLaw::Uniform => Self::Uniform(camera.seeing_arcsec),
            SeeingLaw::Lognormal => Self::Lognormal { median_arcsec: psf.seeing_median_arcsec, sigma_ln: psf.seeing_sigma_ln },
            SeeingLaw::Table => {
                let table = TableFile::open(Path::new(&psf.seeing_table), "seeing")?;
                let arcsec = table.numbers("seeing", 1e-3..=20.0, "arcsec in 0.001..=20")?;
                Self::Table { arcsec, bands: table.has("band").then(|| table.texts("band")).transpose()? }
            }
        })
    }

    /// FWHM before the pixel response \[arcsec\].
    pub(super) fn draw(&self, streams: &Streams) -> f64 {
        match self {
            Self::Uniform(range) => streams.within("seeing", *range),
            Self::Lognormal { median_arcsec, sigma_ln } => median_arcsec * (sigma_ln * streams.normal("seeing", 0)).exp(),
            Self::Table { arcsec, bands } => {
                // Conditions of the same band if the table has some: seeing goes with wavelength.
                let of_band: Vec<f64> =
                    bands.iter().flat_map(|b| b.iter().zip(arcsec)).filter(|(b, _)| *b == streams.band).map(|(_, s)| *s).collect();
                let rows = if of_band.is_empty() { arcsec } else { &of_band };
                rows[streams.stream("seeing").random_range(0..rows.len())]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::PsfConfig;

    fn draws(seeing: &Seeing, n: usize) -> Vec<f64> {
        (0..n).map(|visit| seeing.draw(&Streams { seed: 5, band: "r", visit })).collect()
    }

    /// Mean of n logarithms scatters by σ/√n, their standard deviation by σ/√2n; cut at 3 σ a normal's σ is 0.9866.
    #[test]
    fn lognormal_has_its_moments() {
        let psf = PsfConfig { seeing_law: SeeingLaw::Lognormal, seeing_median_arcsec: 0.8, seeing_sigma_ln: 0.25, ..PsfConfig::default() };
        let seeing = Seeing::new(&CameraConfig { psf, ..CameraConfig::default() }).unwrap();
        let n = 4000;
        let ln: Vec<f64> = draws(&seeing, n).iter().map(|s| (s / 0.8).ln()).collect();
        let mean = ln.iter().sum::<f64>() / n as f64;
        let std = (ln.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        assert!(mean.abs() < 4.0 * 0.25 / (n as f64).sqrt(), "{mean}");
        // Clamping, not redrawing: the tails pile up at 3 σ, and σ falls by 0.25 % only.
        assert!((std / 0.25 - 1.0).abs() < 4.0 / (2.0 * n as f64).sqrt() + 2.5e-3, "{std}");
    }

    /// Rows of the band if there are some, else all; the mean of n draws of {0.6, 1.0} scatters by 0.2/√n.
    #[test]
    fn a_table_gives_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conditions.csv");
        std::fs::write(&path, "band,seeing\nr,0.6\ng,1.9\nr,1.0\n").unwrap();
        let psf = PsfConfig { seeing_law: SeeingLaw::Table, seeing_table: path.display().to_string(), ..PsfConfig::default() };
        let seeing = Seeing::new(&CameraConfig { psf, ..CameraConfig::default() }).unwrap();
        let found = draws(&seeing, 1000);
        assert!(found.iter().all(|s| *s < 1.5));
        assert!((found.iter().sum::<f64>() / 1000.0 - 0.8).abs() < 4.0 * 0.2 / 1000f64.sqrt());
        assert!((0..100).any(|visit| seeing.draw(&Streams { seed: 5, band: "z", visit }) > 1.5));
    }
}

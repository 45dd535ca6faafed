//! A table of pointings: a real survey's log, or a plan.
//!
//! A row a visit, CSV with a header or HDF5 (group `/pointings`). Columns: `band` (text), `mjd` (TAI, middle), `ra`, `dec` \[deg\] of the
//! focal plane's middle; optional: `rotation` \[deg\], `seeing` \[arcsec, before the pixel\], `sky` \[electrons per pixel\], `zero_point` \[AB
//! magnitude of one count\], `exposure_time` \[s\]; what is not given is drawn as without a table. Other columns are ignored. Rows of
//! other bands than the run's are left out; within a band, visits are numbered by time.

use super::table_file::TableFile;
use crate::SimError;
use fathom::geometry::SkyPoint;
use std::path::Path;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pointing {
    pub(super) mjd: f64,
    pub(super) pointing: SkyPoint,
    pub(super) rotation_deg: Option<f64>,
    pub(super) seeing_arcsec: Option<f64>,
    pub(super) sky_e: Option<f64>,
    pub(super) zero_point: Option<f64>,
    pub(super) exposure_time_s: Option<f64>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Pointings {
    rows: Vec<(String, Pointing)>,
}

impl Pointings {
    /// # Errors
    /// [`SimError::Format`] naming a missing column or a band without rows, [`SimError::TableRow`] naming row and column of a bad value.
    pub(super) fn open(path: &Path, bands: &[String]) -> Result<Self, SimError> {
        let table = TableFile::open(path, "pointings")?;
        let names = table.texts("band")?;
        if let Some(i) = names.iter().position(String::is_empty) {
            return Err(table.wrong(i + 1, "band", "empty", "the name of a band"));
        }
        let mjd = table.numbers("mjd", 0.0..=200_000.0, "days in 0..=200000")?;
        let ra = table.numbers("ra", -360.0..=360.0, "degrees in -360..=360")?;
        let dec = table.numbers("dec", -90.0..=90.0, "degrees in -90..=90")?;
        let optional = |name: &str, range, expected| table.has(name).then(|| table.numbers(name, range, expected)).transpose();
        let rotation = optional("rotation", -360.0..=360.0, "degrees in -360..=360")?;
        let seeing = optional("seeing", 1e-3..=20.0, "arcsec in 0.001..=20")?;
        let sky = optional("sky", 0.0..=1e7, "electrons per pixel in 0..=1e7")?;
        let zero_point = optional("zero_point", 0.0..=50.0, "AB magnitude in 0..=50")?;
        let time = optional("exposure_time", 1e-6..=1e6, "seconds in 1e-6..=1e6")?;
        let of = |column: &Option<Vec<f64>>, i: usize| column.as_ref().map(|c| c[i]);
        let mut rows: Vec<_> = names
            .into_iter()
            .enumerate()
            .map(|(i, band)| {
                let pointing = Pointing {
                    mjd: mjd[i],
                    pointing: SkyPoint::from_degrees(ra[i], dec[i]),
                    rotation_deg: of(&rotation, i),
                    seeing_arcsec: of(&seeing, i),
                    sky_e: of(&sky, i),
                    zero_point: of(&zero_point, i),
                    exposure_time_s: of(&time, i),
                };
                (band, pointing)
            })
            .collect();
        rows.sort_by(|a, b| a.1.mjd.total_cmp(&b.1.mjd));
        if let Some(band) = bands.iter().find(|band| rows.iter().all(|(b, _)| b != *band)) {
            let why = "expected at least one of every band of the run";
            return Err(SimError::Format(format!("{}: it has no row of band {band}; {why}", path.display())));
        }
        Ok(Self { rows })
    }

    /// Rows of a band, in the order of time.
    pub(super) fn of_band(&self, band: &str) -> Vec<&Pointing> {
        self.rows.iter().filter(|(b, _)| b == band).map(|(_, p)| p).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Pointings, SimError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, text).unwrap();
        Pointings::open(&path, &["r".to_owned()])
    }

    #[test]
    fn rows_are_sorted_by_time_and_band() {
        let log = "mjd, band, ra, dec, seeing, note\n60002.5,r,10,-5,0.9,b\n60001.5,g,11,-5,0.8,\n60000.5,r,12,-5,0.7,a\n";
        let table = open(log).unwrap();
        let r = table.of_band("r");
        assert_eq!(r.iter().map(|p| p.seeing_arcsec.unwrap()).collect::<Vec<_>>(), [0.7, 0.9]);
        assert!((r[0].pointing.ra_deg() - 12.0).abs() < 1e-12 && r[0].rotation_deg.is_none());
    }

    #[test]
    fn errors_name_file_row_and_column() {
        for (text, message) in [
            ("band,mjd,ra\nr,60000,10\n", "log.csv: column dec is missing"),
            ("band,mjd,ra,dec\n", "log.csv: it has no rows"),
            ("band,mjd,ra,dec\nr,60000,10,20\nr,60001,10,95\n", "log.csv: dec in row 2 is \"95\"; expected degrees in -90..=90"),
            ("band,mjd,ra,dec\nr,sixty,10,20\n", "log.csv: mjd in row 1 is \"sixty\""),
            ("band,mjd,ra,dec,seeing\nr,60000,10,20,NaN\n", "seeing in row 1 is \"NaN\""),
            ("band,mjd,ra,dec\n,60000,10,20\n", "band in row 1 is empty"),
            ("band,mjd,ra,dec\ng,60000,10,20\n", "log.csv: it has no row of band r"),
            ("band,mjd,ra,dec\nr,60000,10\n", "log.csv: line 2 is of 3 values; expected 4"),
        ] {
            let found = open(text).unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
        let missing = Pointings::open(Path::new("nowhere.h5"), &[]).unwrap_err().to_string();
        assert!(missing.contains("nowhere.h5"), "{missing}");
    }

    #[test]
    fn a_table_in_hdf5_is_the_same() {
        use fathom::catalog::{ColumnData, Table};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.h5");
        let mut table = Table::new();
        table.push("band", "", "", ColumnData::Text(vec!["r".into()])).unwrap();
        for (name, value) in [("mjd", 60_000.25), ("ra", 10.0), ("dec", -95.0)] {
            table.push(name, "", "", ColumnData::F64(vec![value])).unwrap();
        }
        fathom::format::table::write(&path, "k", "pointings", &table).unwrap();
        let found = Pointings::open(&path, &["r".to_owned()]).unwrap_err().to_string();
        assert!(found.contains("log.h5: dec in row 1 is \"-95\""), "{found}");
    }
}

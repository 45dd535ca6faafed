//! The truth catalog: what sim drew or an independent simulator says; where sim and validation meet.
//!
//! A [`Table`] in group `/truth`, one row an object:
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `id` | i64 | | unique, > 0 |
//! | `ra`, `dec` | f64 | deg | ICRS, at `epoch` |
//! | `class` | text | | `star`, `galaxy`, `variable`, `transient`, `mover` |
//! | `<band>_flux` | f64 | nJy | total flux, mean over the epochs |
//! | `half_light_radius` | f64 | arcsec | along the major axis; 0 for a point source |
//! | `axis_ratio` | f64 | | minor / major, 1 for a point source |
//! | `position_angle` | f64 | deg | of the major axis, east of north |
//! | `sersic_n` | f64 | | 0 for a point source; 0.3 to 6.2 for what has a size. Only a `galaxy` has one |
//! | `is_injected` | bool | | added to real pixels |
//!
//! and, where the scene prescribes it, `snr_target` (f64; NaN else) and `regime` (text, e.g. `faint`, `bright`).
//!
//! A catalog may say more; a column that is missing has the default for all rows ([`optional_f64`], [`optional_text`]):
//!
//! | column | type | unit | default | what |
//! |---|---|---|---|---|
//! | `epoch` | f64 | MJD | 0 | at which `ra`, `dec` hold |
//! | `pm_ra`, `pm_dec` | f64 | mas/yr | 0 | proper motion, cos(dec) included in `pm_ra`; movers too: 1 arcsec/h is 8.77e6 mas/yr |
//! | `parallax` | f64 | mas | 0 | |
//! | `variability` | text | | | empty: constant; `sine`, `walk` (damped random walk), `transient` (rise and fall) |
//! | `var_period` | f64 | d | NaN | period; damping time of a walk; e-folding time of a transient's fall (its rise takes a fifth) |
//! | `var_amplitude` | f64 | mag | 0 | half of peak to peak; standard deviation of a walk; not used by a transient |
//! | `var_seed` | i64 | | 0 | with `id`, the key of a walk |
//! | `var_t0` | f64 | MJD | NaN | of maximum light; `<band>_flux` of a transient is that at maximum, of all others the mean |
//! | `<band>_bulge_fraction` | f64 | | 0 | share of the flux in a bulge; the other shape columns are then those of the disc |
//! | `bulge_half_light_radius`, `bulge_axis_ratio`, `bulge_sersic_n` | f64 | arcsec, , | 0, 1, 4 | same angle as the disc |
//! | `morphology` | text | | | empty: Sérsic; `stamp:<name>`: a real galaxy; `gaussians:<flux sigma; ...>`: concentric Gaussians. The last two are scaled to `half_light_radius`, and `sersic_n` may be 0 |
//! | `redshift` | f64 | | NaN | |
//! | `sed` | text | | | name of the template |
//! | `cluster_id`, `host_id` | i64 | | 0 | cluster that it belongs to; galaxy that a transient lies on |
//!
//! The truth phase joins what the same data allow; NaN where nothing is known:
//!
//! | column | unit | what |
//! |---|---|---|
//! | `<band>_snr_true` | | significance of the object's peak in the noiseless likelihood map |
//! | `<band>_flux_err_limit` | nJy | Cramér-Rao bound of a point source's flux by the likelihood maps, its own noise included |
//! | `<band>_snr_optimal` | | matched filter of the object itself over the exposures' usable pixels, noise of the background |
//! | `<band>_flux_err_alone`, `<band>_flux_err_blend` | nJy | bound of the flux, noise of everything in the pixels included, and the noise in a real galaxy's stamp |
//! | `ra_err_alone`, `dec_err_alone`, `ra_err_blend`, `dec_err_blend` | mas | bound of the position on the sky (cos(dec) included), from all bands |
//! | `radius_err_alone`, `radius_err_blend` | arcsec | bound of the circularised half-light radius √(ab), from all bands; NaN for point sources |
//! | `e1_err_alone`, `e2_err_alone`, `e1_err_blend`, `e2_err_blend` | | bound of the ellipticity (a² - b²)/(a² + b²) (cos 2φ, sin 2φ), φ the position angle |
//! | `pair_id` | | nearest other object within 2 FWHM (both of `truth.min_snr` at least); 0 for none |
//! | `pair_delta_chi2` | | χ² that the best single source in the place of both leaves unexplained; half of the pairs are recognised at 22.9 |
//! | `is_usable` | | covered in all bands, not saturated, not beside a real object of the control run |
//!
//! Bounds are Cramér and Rao's: *alone* with all parameters of the object itself unknown (its fluxes, position, size and ellipticity; the profile
//! is known), *blend* with those of all members of its blend unknown as well ([`super::truth_limits`] says who they are, and has the covariances). They are
//! NaN where pixels do not tell, or members cannot be told apart; below `truth.min_snr` an object's position and shape count as known.
//!
//! A table `drawn` (`<arm>/drawn/<id>.h5`) says what stands on one exposure: `id`, `x`, `y` \[pixel\], `flux` \[nJy\] at its time.

//!
//! # File, version 1
//!
//! The table stands in `/truth`, its rows in the order of sky tiles and, in a tile, of `id`; `/truth_tiles` says where each tile's rows
//! are: `tile` (i64), `first`, `n` (i64). So an exposure reads the objects near it and no others, however large the catalog. A tile
//! is a stretch of [`TILE_DEG`] in a strip of as much declination, counted from the south pole and from RA 0: `tile` = strip x 2^20 +
//! number in the strip. Tile -1 holds what may be far from its `ra`, `dec`: half-light radii above [`FAR_REACHING_ARCSEC`], motions above
//! [`FAR_MOVING_MAS_YR`].

use super::hdf5_io::Node;
use super::product::{self, Header};
use super::{FormatError, table as table_format};
use crate::catalog::{ColumnData, Table, TableError};
use crate::geometry::SkyPoint;
use std::ops::Range;
use std::path::Path;

/// Side of a sky tile \[deg\].
pub const TILE_DEG: f64 = 1.0 / 30.0;

/// Larger half-light radii are near everywhere \[arcsec\].
pub const FAR_REACHING_ARCSEC: f64 = 10.0;

/// Faster objects are near everywhere \[mas/yr\]: 30 arcsec in thirty years.
pub const FAR_MOVING_MAS_YR: f64 = 1000.0;

/// Distance that slower objects may have moved \[arcsec\].
const MOVED_ARCSEC: f64 = 30.0;

const STRIP: i64 = 1 << 20;

/// Number of tiles in a strip.
fn n_in_strip(strip: i64) -> i64 {
    let middle_deg = (strip as f64 + 0.5) * TILE_DEG - 90.0;
    ((360.0 / TILE_DEG * middle_deg.to_radians().cos()).floor() as i64).max(1)
}

/// Number in the strip of a right ascension in 0..360.
fn in_strip(strip: i64, ra_deg: f64) -> i64 {
    let n = n_in_strip(strip);
    ((ra_deg.rem_euclid(360.0) / 360.0 * n as f64).floor() as i64).min(n - 1)
}

fn strip_of(dec_deg: f64) -> i64 {
    (((dec_deg + 90.0) / TILE_DEG).floor() as i64).clamp(0, (180.0 / TILE_DEG) as i64 - 1)
}

/// Tile of every row.
fn tiles(table: &Table) -> Result<Vec<i64>, TableError> {
    let (ra, dec) = (table.f64("ra")?, table.f64("dec")?);
    let size = optional_f64(table, "half_light_radius", 0.0)?;
    let bulge = optional_f64(table, "bulge_half_light_radius", 0.0)?;
    let (pm_ra, pm_dec) = (optional_f64(table, "pm_ra", 0.0)?, optional_f64(table, "pm_dec", 0.0)?);
    let tile = |i: usize| {
        let is_far = size[i].max(bulge[i]) > FAR_REACHING_ARCSEC || pm_ra[i].hypot(pm_dec[i]) > FAR_MOVING_MAS_YR;
        if is_far { -1 } else { strip_of(dec[i]) * STRIP + in_strip(strip_of(dec[i]), ra[i]) }
    };
    Ok((0..table.n_rows()).map(tile).collect())
}

/// Writes a truth catalog (or an empty table, where there is none), sorted by tile and id.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, table: &Table) -> Result<(), FormatError> {
    let header = Header { format: "fathom-table", version: 1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        if table.columns().is_empty() {
            return table_format::put(&root, "truth", table);
        }
        let bad = |e: TableError| root.wrong("truth", &e.to_string(), "the columns of a truth catalog");
        let (tile, id) = (tiles(table).map_err(bad)?, table.i64("id").map_err(bad)?);
        let mut order: Vec<usize> = (0..table.n_rows()).collect();
        order.sort_by_key(|&i| (tile[i], id[i]));
        let (mut names, mut first): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
        for (row, &i) in order.iter().enumerate() {
            if names.last() != Some(&tile[i]) {
                names.push(tile[i]);
                first.push(row as i64);
            }
        }
        let ends = first.iter().skip(1).copied().chain([order.len() as i64]);
        let n: Vec<i64> = first.iter().zip(ends).map(|(a, b)| b - a).collect();
        let mut index = Table::new();
        let columns = [("tile", "sky tile", names), ("first", "its first row in /truth", first), ("n", "its number of rows", n)];
        for (name, what, values) in columns {
            index.push(name, "", what, ColumnData::I64(values)).map_err(bad)?;
        }
        table_format::put(&root, "truth", &table.take(&order))?;
        table_format::put(&root, "truth_tiles", &index)
    })
}

/// The whole catalog.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<Table, FormatError> {
    table_format::read(path, "truth")
}

/// Number of objects.
///
/// # Errors
/// [`FormatError`].
pub fn n_rows(path: &Path) -> Result<usize, FormatError> {
    Ok(Node::open(path, None)?.child("truth", "a table")?.count("n_rows")? as usize)
}

/// Tiles and their rows, in the order of the file; one nameless tile for a catalog without an index.
///
/// # Errors
/// [`FormatError`].
pub fn tile_rows(path: &Path) -> Result<Vec<(i64, Range<usize>)>, FormatError> {
    let root = Node::open(path, None)?;
    if !root.has("truth_tiles") {
        return Ok(vec![(0, 0..n_rows(path)?)]);
    }
    let index = table_format::take(&root, "truth_tiles", None)?;
    let bad = |e: TableError| root.wrong("truth_tiles", &e.to_string(), "columns tile, first, n");
    let (tile, first, n) = (index.i64("tile").map_err(bad)?, index.i64("first").map_err(bad)?, index.i64("n").map_err(bad)?);
    Ok((0..tile.len()).map(|i| (tile[i], first[i] as usize..(first[i] + n[i]) as usize)).collect())
}

/// Some rows of the catalog, in the order of the file.
///
/// # Errors
/// [`FormatError`].
pub fn read_rows(path: &Path, rows: Range<usize>) -> Result<Table, FormatError> {
    table_format::take(&Node::open(path, None)?, "truth", Some(&[rows]))
}

/// The objects whose tiles come within `radius_arcsec` of `center`, motion allowed for, and all that may be far from their
/// position: never fewer than there are, in the order of the file.
///
/// # Errors
/// [`FormatError`].
pub fn read_near(path: &Path, center: SkyPoint, radius_arcsec: f64) -> Result<Table, FormatError> {
    let root = Node::open(path, None)?;
    if !root.has("truth_tiles") {
        return read(path);
    }
    let index = table_format::take(&root, "truth_tiles", None)?;
    let bad = |e: TableError| root.wrong("truth_tiles", &e.to_string(), "columns tile, first, n");
    let (tile, first, n) = (index.i64("tile").map_err(bad)?, index.i64("first").map_err(bad)?, index.i64("n").map_err(bad)?);
    let near = near_tiles(center, (radius_arcsec + MOVED_ARCSEC) / 3600.0);
    let mut rows: Vec<Range<usize>> = Vec::new();
    for tiles in std::iter::once(-1..0).chain(near) {
        let (from, to) = (tile.partition_point(|t| *t < tiles.start), tile.partition_point(|t| *t < tiles.end));
        if from < to {
            rows.push(first[from] as usize..(first[to - 1] + n[to - 1]) as usize);
        }
    }
    table_format::take(&root, "truth", Some(&rows))
}

/// Ranges of tiles, rising, that hold every point within `radius_deg` of `center`.
fn near_tiles(center: SkyPoint, radius_deg: f64) -> Vec<Range<i64>> {
    let (ra, dec) = (center.ra_deg(), center.dec_deg());
    let mut ranges = Vec::new();
    for strip in strip_of(dec - radius_deg)..=strip_of(dec + radius_deg) {
        // Widest where the strip is nearest to the pole; beyond the pole's distance every right ascension.
        let (low, high) = (strip as f64 * TILE_DEG - 90.0, (strip + 1) as f64 * TILE_DEG - 90.0);
        let nearest_pole_deg = low.abs().max(high.abs()).max(dec.abs());
        let cos = nearest_pole_deg.to_radians().cos();
        let half_deg =
            if dec.abs() + radius_deg < 90.0 && cos > 0.0 { (radius_deg.to_radians() / 2.0).sin() / cos.max(1e-12) } else { f64::INFINITY };
        let start = strip * STRIP;
        if half_deg >= 1.0 {
            ranges.push(start..start + n_in_strip(strip));
            continue;
        }
        let half_deg = 2.0 * half_deg.asin().to_degrees();
        let (from, to) = (in_strip(strip, ra - half_deg), in_strip(strip, ra + half_deg));
        // A range that comes round to its own tile covers the strip.
        if 2.0 * half_deg >= 360.0 - 360.0 / n_in_strip(strip) as f64 {
            ranges.push(start..start + n_in_strip(strip));
        } else if from <= to {
            ranges.push(start + from..start + to + 1);
        } else {
            // Across RA 0.
            ranges.push(start..start + to + 1);
            ranges.push(start + from..start + n_in_strip(strip));
        }
    }
    ranges
}

/// A column, or `default` in every row where the catalog has none.
///
/// # Errors
/// [`TableError`] if the column is of another type.
pub fn optional_f64(table: &Table, name: &str, default: f64) -> Result<Vec<f64>, TableError> {
    if table.column(name).is_ok() { table.f64(name).map(<[f64]>::to_vec) } else { Ok(vec![default; table.n_rows()]) }
}

/// A column of whole numbers, or `default` in every row where the catalog has none.
///
/// # Errors
/// [`TableError`] if the column is of another type.
pub fn optional_i64(table: &Table, name: &str, default: i64) -> Result<Vec<i64>, TableError> {
    if table.column(name).is_ok() { table.i64(name).map(<[i64]>::to_vec) } else { Ok(vec![default; table.n_rows()]) }
}

/// A column of text, or empty text in every row where the catalog has none.
///
/// # Errors
/// [`TableError`] if the column is of another type.
pub fn optional_text(table: &Table, name: &str) -> Result<Vec<String>, TableError> {
    if table.column(name).is_ok() { table.text(name).map(<[String]>::to_vec) } else { Ok(vec![String::new(); table.n_rows()]) }
}

/// Checks that a table is a truth catalog for these bands.
///
/// # Errors
/// [`TableError`] naming the missing or wrong column.
pub fn check(table: &Table, bands: &[String]) -> Result<(), TableError> {
    table.i64("id")?;
    for name in ["ra", "dec", "half_light_radius", "axis_ratio", "position_angle", "sersic_n"] {
        table.f64(name)?;
    }
    table.text("class")?;
    table.bool("is_injected")?;
    for band in bands {
        table.f64(&format!("{band}_flux"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnData;

    fn sky(positions: &[(f64, f64)]) -> Table {
        let n = positions.len();
        let mut t = Table::new();
        t.push("id", "", "", ColumnData::I64((1..=n as i64).rev().collect())).unwrap();
        t.push("ra", "deg", "", ColumnData::F64(positions.iter().map(|p| p.0).collect())).unwrap();
        t.push("dec", "deg", "", ColumnData::F64(positions.iter().map(|p| p.1).collect())).unwrap();
        t.push("class", "", "", ColumnData::Text((0..n).map(|i| format!("class {}", i % 3)).collect())).unwrap();
        t.push("is_injected", "", "", ColumnData::Bool((0..n).map(|i| i % 2 == 0).collect())).unwrap();
        t.push("half_light_radius", "", "", ColumnData::F64((0..n).map(|i| if i == 7 { 30.0 } else { 0.0 }).collect())).unwrap();
        t
    }

    /// Points all over the sky, more of them at the poles and about RA 0: none within the radius is left out, most others are.
    #[test]
    fn what_is_near_is_read_and_little_else() {
        let mut rng = crate::random::keyed_rng(4, "truth-tiles", 0, 0);
        let mut draw = || rand::RngExt::random::<f64>(&mut rng);
        let mut positions: Vec<(f64, f64)> = (0..3000).map(|_| (360.0 * draw(), (2.0 * draw() - 1.0).asin().to_degrees())).collect();
        for (ra, dec) in [(0.0, 10.0), (0.0, -89.9), (180.0, 89.95), (123.0, 60.0)] {
            let middle = SkyPoint::from_degrees(ra, dec);
            positions.extend(
                (0..500)
                    .map(|_| middle.offset_by_arcsec(1500.0 * (draw() - 0.5), 1500.0 * (draw() - 0.5)))
                    .map(|p| (p.ra_deg(), p.dec_deg())),
            );
        }
        let table = sky(&positions);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.h5");
        write(&path, "key", &table).unwrap();
        let all = read(&path).unwrap();
        assert_eq!(all.n_rows(), positions.len());
        for (ra, dec, radius) in
            [(0.001, 10.0, 300.0), (359.9, -89.95, 200.0), (10.0, 89.99, 400.0), (123.1, 60.02, 240.0), (0.0, 90.0, 100.0)]
        {
            let center = SkyPoint::from_degrees(ra, dec);
            let near = read_near(&path, center, radius).unwrap();
            let is_near = |t: &Table, i: usize| {
                SkyPoint::from_degrees(t.f64("ra").unwrap()[i], t.f64("dec").unwrap()[i]).separation_arcsec(&center) <= radius
            };
            let ids = |t: &Table| -> Vec<i64> { (0..t.n_rows()).filter(|&i| is_near(t, i)).map(|i| t.i64("id").unwrap()[i]).collect() };
            assert_eq!(ids(&near), ids(&all), "{ra} {dec}");
            assert!(near.n_rows() < 600, "{} rows", near.n_rows());
            // The large object is near everywhere, and every row is whole.
            assert!(near.f64("half_light_radius").unwrap()[0] > 29.0);
            for i in 0..near.n_rows() {
                let id = near.i64("id").unwrap()[i];
                let k = positions.len() - id as usize;
                assert!(
                    near.text("class").unwrap()[i] == format!("class {}", k % 3)
                        && near.bool("is_injected").unwrap()[i] == k.is_multiple_of(2)
                );
            }
        }
    }

    #[test]
    fn missing_columns_have_their_default_and_wrong_ones_are_errors() {
        let mut table = Table::new();
        table.push("id", "", "", ColumnData::I64(vec![1, 2])).unwrap();
        table.push("parallax", "mas", "", ColumnData::F64(vec![3.0, 4.0])).unwrap();
        assert_eq!(optional_f64(&table, "parallax", 0.0).unwrap(), [3.0, 4.0]);
        assert_eq!(optional_f64(&table, "pm_ra", 0.5).unwrap(), [0.5, 0.5]);
        assert_eq!(optional_text(&table, "sed").unwrap(), ["", ""]);
        assert!(optional_text(&table, "parallax").is_err());
    }
}

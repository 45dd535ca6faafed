//! The truth catalog of a scene.

use super::Layout;
use super::spec::{Ellipticity, FirstAxis, FluxUnit, HduSpec, RadiusKind, ShapeSpec, TruthSpec};
use crate::catalog::{ColumnData, Table, TableError};
use crate::format::FormatError;
use crate::format::fits::{Fits, Hdu};
use crate::image::flux_njy;

/// Size and orientation of one galaxy, in the truth catalog's terms.
struct Shape {
    half_light_radius_arcsec: f64,
    axis_ratio: f64,
    position_angle_deg: f64,
    sersic_n: f64,
}

const POINT: Shape = Shape { half_light_radius_arcsec: 0.0, axis_ratio: 1.0, position_angle_deg: 0.0, sersic_n: 0.0 };

struct Source<'a> {
    layout: &'a Layout,
    fits: Fits,
    hdu: Hdu,
}

impl Source<'_> {
    fn numbers(&mut self, key: &str, column: &str) -> Result<Vec<f64>, FormatError> {
        let (values, per_row) = self.fits.column_f64(&self.hdu, column)?;
        if per_row != 1 {
            return Err(self.wrong(key, format!("column {column} with {per_row} numbers a row"), "one a row"));
        }
        Ok(values)
    }

    fn wrong(&self, key: &str, found: impl Into<String>, expected: &str) -> FormatError {
        FormatError::Content {
            path: self.fits.path().to_owned(),
            key: format!("{key} (of {})", self.layout.path.display()),
            found: found.into(),
            expected: expected.into(),
        }
    }

    fn ids(&mut self, spec: &TruthSpec) -> Result<Vec<i64>, FormatError> {
        let (ids, _) = self.fits.column_i64(&self.hdu, &spec.id)?;
        let ids: Vec<i64> = ids.into_iter().map(|id| id.saturating_add(spec.id_offset)).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        if let Some(id) = sorted.first().filter(|id| **id <= 0) {
            return Err(self.wrong("truth.id", id.to_string(), "positive (see id_offset)"));
        }
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.wrong("truth.id", format!("{} twice", pair[0]), "unique"));
        }
        Ok(ids)
    }

    fn classes(&mut self, spec: &TruthSpec, n_rows: usize) -> Result<Vec<String>, FormatError> {
        let Some(column) = &spec.class.column else {
            return Ok(vec![spec.class.constant.clone().expect("checked: one of the two"); n_rows]);
        };
        let codes: Vec<String> = if self.fits.is_text_column(&self.hdu, column)? {
            self.fits.column_text(&self.hdu, column)?
        } else {
            self.fits.column_i64(&self.hdu, column)?.0.iter().map(i64::to_string).collect()
        };
        let class = |code: String| {
            let known = spec.class.codes.keys().cloned().collect::<Vec<_>>().join(", ");
            spec.class
                .codes
                .get(&code)
                .cloned()
                .ok_or_else(|| self.wrong("truth.class", format!("code {code}"), &format!("one of {known}")))
        };
        codes.into_iter().map(class).collect()
    }

    fn shapes(&mut self, spec: &ShapeSpec, classes: &[String]) -> Result<Vec<Shape>, FormatError> {
        let radius = self.numbers("truth.shape.half_light_radius", &spec.half_light_radius)?;
        let sersic_n = spec.sersic_n.as_ref().map(|c| self.numbers("truth.shape.sersic_n", c)).transpose()?;
        let (first, second) = match (&spec.e1, &spec.e2, &spec.axis_ratio, &spec.position_angle) {
            (Some(e1), Some(e2), ..) => (self.numbers("truth.shape.e1", e1)?, self.numbers("truth.shape.e2", e2)?),
            (.., Some(q), Some(pa)) => (self.numbers("truth.shape.axis_ratio", q)?, self.numbers("truth.shape.position_angle", pa)?),
            _ => unreachable!("checked: one of the two"),
        };
        let shape = |i: usize| {
            if classes[i] != "galaxy" {
                return POINT;
            }
            let (axis_ratio, position_angle_deg) = match spec.first_axis {
                Some(u) => axes(first[i], second[i], spec.ellipticity, u),
                None => (first[i], second[i].rem_euclid(180.0)),
            };
            let to_major = match spec.radius {
                RadiusKind::MajorAxis => 1.0,
                RadiusKind::Circularised => axis_ratio.sqrt().recip(),
            };
            let sersic_n = sersic_n.as_ref().map(|n| n[i]).filter(|n| *n > 0.0).unwrap_or(f64::NAN);
            Shape { half_light_radius_arcsec: radius[i] * to_major, axis_ratio, position_angle_deg, sersic_n }
        };
        Ok((0..classes.len()).map(shape).collect())
    }
}

/// Axis ratio, and position angle \[deg, east of north, 0..180\] of an ellipse with ellipticity e1 + i e2 in the frame (u, v = north).
fn axes(e1: f64, e2: f64, kind: Ellipticity, u: FirstAxis) -> (f64, f64) {
    let e = e1.hypot(e2);
    let q = match kind {
        Ellipticity::ReducedShear => (1.0 - e) / (1.0 + e),
        Ellipticity::Distortion => ((1.0 - e) / (1.0 + e)).sqrt(),
    };
    let beta = 0.5 * e2.atan2(e1);
    // The major axis points to cos β along u and sin β along north.
    let east = match u {
        FirstAxis::East => beta.cos(),
        FirstAxis::West => -beta.cos(),
    };
    (q, east.atan2(beta.sin()).to_degrees().rem_euclid(180.0))
}

/// See [`Layout::truth`].
pub(super) fn read(layout: &Layout, spec: &TruthSpec) -> Result<Table, FormatError> {
    let path = layout.root.join(layout.with_data("truth.file", &spec.file)?);
    let hdu = match &spec.hdu {
        None => Hdu::FirstTable,
        Some(HduSpec::Number(n)) => Hdu::Number(*n),
        Some(HduSpec::Name(n)) => Hdu::Name(n.clone()),
    };
    let mut source = Source { layout, fits: Fits::open(&path)?, hdu };
    let n_rows = source.fits.n_rows(&source.hdu)?;
    let classes = source.classes(spec, n_rows)?;
    let shapes = match &spec.shape {
        Some(shape) => source.shapes(shape, &classes)?,
        None => classes.iter().map(|_| POINT).collect(),
    };
    let shape = |f: fn(&Shape) -> f64| ColumnData::F64(shapes.iter().map(f).collect());

    let mut columns: Vec<(String, &str, &str, ColumnData)> = vec![
        ("id".into(), "", "unique, positive", ColumnData::I64(source.ids(spec)?)),
        ("ra".into(), "deg", "right ascension, ICRS, at the mean epoch", ColumnData::F64(source.numbers("truth.ra", &spec.ra)?)),
        ("dec".into(), "deg", "declination, ICRS, at the mean epoch", ColumnData::F64(source.numbers("truth.dec", &spec.dec)?)),
        ("half_light_radius".into(), "arcsec", "along the major axis; 0 for a point source", shape(|s| s.half_light_radius_arcsec)),
        ("axis_ratio".into(), "", "minor / major, 1 for a point source", shape(|s| s.axis_ratio)),
        ("position_angle".into(), "deg", "of the major axis, east of north", shape(|s| s.position_angle_deg)),
        ("sersic_n".into(), "", "0 for a point source, NaN for several components", shape(|s| s.sersic_n)),
        ("is_injected".into(), "", "added to real pixels", ColumnData::Bool(vec![false; n_rows])),
    ];
    columns.insert(3, ("class".into(), "", "star, galaxy, variable, transient or mover", ColumnData::Text(classes)));
    for (band, column) in &spec.flux {
        let mut flux = source.numbers(&format!("truth.flux.{band}"), column)?;
        for f in &mut flux {
            *f = match spec.flux_unit {
                FluxUnit::Njy => *f,
                FluxUnit::Ujy => 1e3 * *f,
                // 1 nanomaggy is AB = 22.5.
                FluxUnit::Nanomaggy => flux_njy(22.5) * *f,
                FluxUnit::MagAb => flux_njy(*f),
            };
        }
        columns.push((format!("{band}_flux"), "nJy", "total flux, mean over the epochs", ColumnData::F64(flux)));
    }
    for (band, column) in &spec.snr {
        let snr = source.numbers(&format!("truth.snr.{band}"), column)?;
        columns.push((format!("{band}_snr_given"), "", "signal-to-noise as the scene's own truth gives it", ColumnData::F64(snr)));
    }
    for (ours, theirs) in &spec.extra {
        columns.push((
            ours.clone(),
            "",
            "as in the scene's own truth",
            ColumnData::F64(source.numbers(&format!("truth.extra.{ours}"), theirs)?),
        ));
    }

    let refused = |e: TableError| FormatError::Layout { path: layout.path.clone(), why: format!("truth: {e}") };
    let mut table = Table::new();
    for (name, unit, description, data) in columns {
        if table.has(&name) {
            return Err(layout.wrong("truth.extra", format!("column {name} is there already")));
        }
        table.push(&name, unit, description, data).map_err(refused)?;
    }
    crate::format::truth::check(&table, &spec.flux.keys().cloned().collect::<Vec<_>>()).map_err(refused)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// e1 > 0 stretches along u, e2 > 0 along u = v: with u = west, v = north these are PA 90 and (north-west) 135; the
    /// axis ratios are the definitions of shear and distortion for q = 1/2.
    #[test]
    fn axes_of_simple_shears() {
        for (e1, e2, u, angle) in [
            (1.0, 0.0, FirstAxis::West, 90.0),
            (-1.0, 0.0, FirstAxis::West, 0.0),
            (0.0, 1.0, FirstAxis::West, 135.0),
            (0.0, 1.0, FirstAxis::East, 45.0),
            (0.0, -1.0, FirstAxis::East, 135.0),
        ] {
            let (q, found) = axes(e1 / 3.0, e2 / 3.0, Ellipticity::ReducedShear, u);
            assert_abs_diff_eq!(q, 0.5, epsilon = 1e-12);
            let off = (found - angle + 90.0).rem_euclid(180.0) - 90.0;
            assert_abs_diff_eq!(off, 0.0, epsilon = 1e-9);
            assert_abs_diff_eq!(axes(e1 * 0.6, e2 * 0.6, Ellipticity::Distortion, u).0, 0.5, epsilon = 1e-12);
        }
    }
}

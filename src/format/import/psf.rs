//! The PSF of one exposure.

use super::load::Reader;
use super::spec::{PsfKind, PsfSpec};
use crate::format::FormatError;
use crate::format::fits::{Fits, Hdu, Header, Value};
use crate::geometry::{PixelPoint, Wcs};
use crate::image::Psf;
use crate::image::psf::PsfModel;
use ndarray::{Array2, Array3, Axis};
use std::path::Path;

/// σ of a Gaussian with FWHM 1.
const SIGMA_PER_FWHM: f64 = 0.424_660_900_144_009_5;

/// PSF as the layout says.
pub(super) fn read(reader: &mut Reader, wcs: &Wcs, shape: (usize, usize)) -> Result<Psf, FormatError> {
    let (layout, item) = (reader.layout, reader.item);
    let spec = &layout.spec.psf;
    let path = item.place.psf.as_deref().unwrap_or(&item.place.image);
    let middle = PixelPoint::new(0.5 * (shape.1 as f64 - 1.0), 0.5 * (shape.0 as f64 - 1.0));
    let default = if spec.kind == PsfKind::Psfex { Hdu::FirstTable } else { Hdu::FirstImage };
    let mut hdu = || reader.companion_hdu("psf.hdu", spec.file.is_some(), spec.hdu.as_ref(), spec.hdu_offset, default.clone());
    let model = match spec.kind {
        PsfKind::Stamp => stamp(&mut Fits::open(path)?, &hdu()?, spec)?,
        PsfKind::Psfex => psf_ex(&mut Fits::open(path)?, &hdu()?, spec.normalize.then_some(middle))?,
        PsfKind::Moffat | PsfKind::Gaussian => parametric(reader, spec, wcs, middle)?,
    };
    Psf::new(model).map_err(|e| wrong(path, "PSF", format!("unusable ({e})"), "a PSF that sums to 1 (see normalize)"))
}

fn wrong(path: &Path, key: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> FormatError {
    FormatError::Content { path: path.to_owned(), key: key.into(), found: found.into(), expected: expected.into() }
}

fn stamp(fits: &mut Fits, hdu: &Hdu, spec: &PsfSpec) -> Result<PsfModel, FormatError> {
    let mut stamp = fits.image_f64(hdu, spec.plane)?;
    if spec.normalize {
        let sum = stamp.sum();
        if !(sum.is_finite() && sum > 0.0) {
            return Err(wrong(fits.path(), "sum of the PSF stamp", sum.to_string(), "a positive number"));
        }
        stamp /= sum;
    }
    Ok(PsfModel::StampGrid { x_px: vec![0.0], y_px: vec![0.0], stamps: vec![stamp] })
}

fn parametric(reader: &mut Reader, spec: &PsfSpec, wcs: &Wcs, middle: PixelPoint) -> Result<PsfModel, FormatError> {
    let fwhm_px = match (&spec.fwhm_px, &spec.fwhm_arcsec) {
        (Some(px), _) => reader.number("psf.fwhm_px", px)?,
        (None, Some(arcsec)) => reader.number("psf.fwhm_arcsec", arcsec)? / wcs.pixel_area_arcsec2(middle).sqrt(),
        (None, None) => unreachable!("checked: one of the two"),
    };
    if !(fwhm_px > 0.0 && fwhm_px < 1e3) {
        return Err(wrong(&reader.item.place.image, "psf.fwhm_px", fwhm_px.to_string(), "a positive number of pixels"));
    }
    let e1 = reader.number_or("psf.e1", spec.e1.as_ref(), 0.0)?;
    let e2 = reader.number_or("psf.e2", spec.e2.as_ref(), 0.0)?;
    let radius_px = spec.radius_px.unwrap_or((5.0 * fwhm_px).ceil() as usize);
    let pixel_integrated = spec.pixel_integrated;
    if let Some(beta) = &spec.beta {
        let beta = reader.number("psf.beta", beta)?;
        return Ok(PsfModel::Moffat { fwhm_px, beta, e1, e2, radius_px, pixel_integrated });
    }
    // Covariance σ² S Sᵀ with the area-preserving shear S = [[1+e1, e2], [e2, 1-e1]] / √(1-e²).
    let scale = (fwhm_px * SIGMA_PER_FWHM).powi(2) / (1.0 - e1 * e1 - e2 * e2);
    let component = [1.0, 0.0, 0.0, scale * ((1.0 + e1).powi(2) + e2 * e2), scale * ((1.0 - e1).powi(2) + e2 * e2), scale * 2.0 * e2];
    Ok(PsfModel::GaussianMixture { components: vec![component], radius_px, pixel_integrated })
}

/// A parameter of a PSFEx table: a card, or a column of its one row.
fn parameter(fits: &mut Fits, hdu: &Hdu, header: &Header, columns: &[String], key: &str) -> Result<Value, FormatError> {
    if let Some(value) = header.get(key) {
        return Ok(value.clone());
    }
    if !columns.iter().any(|c| c.eq_ignore_ascii_case(key)) {
        return Err(wrong(fits.path(), format!("{key} of {hdu}"), "missing", "a PSFEx parameter, as a header card or a column"));
    }
    if fits.is_text_column(hdu, key)? {
        return Ok(Value::Text(fits.column_text(hdu, key)?.swap_remove(0)));
    }
    Ok(Value::Number(fits.column_f64(hdu, key)?.0[0]))
}

/// A PSFEx model; with `middle`, brought to sum 1 as the page of the layout format says.
fn psf_ex(fits: &mut Fits, hdu: &Hdu, middle: Option<PixelPoint>) -> Result<PsfModel, FormatError> {
    let (header, columns, n_rows) = (fits.header(hdu)?, fits.column_names(hdu)?, fits.n_rows(hdu)?);
    if n_rows != 1 {
        return Err(wrong(fits.path(), format!("PSFEx table of {hdu}"), format!("of {n_rows} rows"), "one row"));
    }
    let mut number = |key: &str| match parameter(fits, hdu, &header, &columns, key)? {
        Value::Number(v) if v.is_finite() => Ok(v),
        other => Err(wrong(fits.path(), key, format!("{other:?}"), "a finite number")),
    };
    let degree = number("POLDEG1")?;
    if !(0.0..=8.0).contains(&degree) || degree.fract() != 0.0 {
        return Err(wrong(fits.path(), "POLDEG1", degree.to_string(), "a whole number in 0..=8"));
    }
    let degree = degree as usize;
    let sampling_px = number("PSF_SAMP")?;
    // A constant model has no polynomial, and need not say in what.
    let mut zero_scale = [[0.0, 1.0]; 2];
    if degree > 0 {
        for (i, zs) in zero_scale.iter_mut().enumerate() {
            // PSFEx counts pixels from 1.
            *zs = [number(&format!("POLZERO{}", i + 1))? - 1.0, number(&format!("POLSCAL{}", i + 1))?];
        }
        for (key, first) in [("POLNAME1", 'X'), ("POLNAME2", 'Y')] {
            match parameter(fits, hdu, &header, &columns, key)? {
                Value::Text(name) if name.starts_with(first) => {}
                other => {
                    return Err(wrong(
                        fits.path(),
                        key,
                        format!("{other:?}"),
                        format!("{first}_IMAGE: a PSF that varies with the position only"),
                    ));
                }
            }
        }
    }
    let (values, _) = fits.column_f64(hdu, "PSF_MASK")?;
    let n_terms = (degree + 1) * (degree + 2) / 2;
    let side = ((values.len() / n_terms) as f64).sqrt().round() as usize;
    let n_values = values.len();
    let mut cube = Array3::from_shape_vec((n_terms, side, side), values).map_err(|_| {
        wrong(fits.path(), "PSF_MASK", format!("{n_values} values"), format!("{n_terms} square stamps, as POLDEG1 = {degree} says"))
    })?;
    if let Some(middle) = middle {
        normalize(&mut cube, &terms(degree, zero_scale, middle))
            .ok_or_else(|| wrong(fits.path(), "sum of the PSF", "not positive", "about 1"))?;
    }
    let stamps: Vec<Array2<f64>> = cube.axis_iter(Axis(0)).map(|s| s.to_owned()).collect();
    Ok(PsfModel::PsfEx { degree, x_zero_scale: zero_scale[0], y_zero_scale: zero_scale[1], sampling_px, stamps })
}

/// Monomials at a position, in PSFEx's order: 1, x, x², y, xy, y².
fn terms(degree: usize, zero_scale: [[f64; 2]; 2], at: PixelPoint) -> Vec<f64> {
    let (x, y) = ((at.x - zero_scale[0][0]) / zero_scale[0][1], (at.y - zero_scale[1][0]) / zero_scale[1][1]);
    (0..=degree).flat_map(|j| (0..=degree - j).map(move |i| x.powi(i as i32) * y.powi(j as i32))).collect()
}

/// φ_k → \[φ_k - (S_k/S_m - δ_k0) φ_m\] / S_m, so that Σ c_k φ_k sums to 1 everywhere; none if S_m is not positive.
fn normalize(cube: &mut Array3<f64>, at_middle: &[f64]) -> Option<()> {
    let mut phi_m = Array2::<f64>::zeros(cube.index_axis(Axis(0), 0).dim());
    cube.axis_iter(Axis(0)).zip(at_middle).for_each(|(phi, &c)| phi_m.scaled_add(c, &phi));
    let s_m = phi_m.sum();
    if !(s_m.is_finite() && s_m > 0.0) {
        return None;
    }
    for (k, mut phi) in cube.axis_iter_mut(Axis(0)).enumerate() {
        let delta = if k == 0 { 1.0 } else { 0.0 };
        let share = phi.sum() / s_m - delta;
        phi.scaled_add(-share, &phi_m);
        phi /= s_m;
    }
    Some(())
}

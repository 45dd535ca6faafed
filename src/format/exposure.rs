//! `fathom-exposure` files: one detector of one visit, with all it carries.
//!
//! # Format, version 1
//!
//! Root attributes, besides those of every product ([`super::product`]): `id` (text, unique in a run), `band` (text), `mjd`
//! (f64, TAI, middle of the exposure), `exposure_time_s`, `gain_e_per_adu`, `read_noise_e`, `saturation_adu` (f64; infinite if
//! unknown), `known_sky_adu` (f64, the sky level still in the image, only where it is known exactly), `mask_planes` (texts: the
//! name of bit 0, 1, ... of `/mask`; planes may be missing at the end of the list).
//!
//! | object | type, shape | unit | what |
//! |---|---|---|---|
//! | `/image` | f32 `[ny, nx]` | adu | counts; NaN is allowed and gets masked by the reader's [`Exposure::sanitize`] |
//! | `/variance` | f32 `[ny, nx]` | adu2 | variance |
//! | `/mask` | u32 `[ny, nx]` | | bit planes, see `mask_planes`; shuffled and deflated |
//! | `/psf` | group | | attribute `kind` and the parameters below |
//! | `/wcs` | group | | FITS keywords as attributes, numbers or texts: TAN, TAN-SIP, TPV, SIN; CRPIX is 1-based |
//! | `/photo_calib` | group | | attribute `mean_njy_per_adu`; optionally the polynomial `relative`, a factor on it |
//! | `/background_true` | group | | only from a simulation: the polynomial of the sky and the parts below; the chain does not read it |
//! | `/ap_corr/<algorithm>` | groups | | polynomial, attributes `error`, `n_stars`, `is_flagged`; none: still to be measured |
//!
//! The centre of the first pixel is (0.0, 0.0), everywhere but in CRPIX. A **polynomial** is a group with the attribute `bbox`
//! (x0, y0, width, height, i32) and the dataset `coefficients_yx` (f64, Chebyshev, `[order in y, order in x]`).
//!
//! `/background_true` ([`TrueBackground`]), in counts: (polynomial + glows) / relative + steps. Datasets `glows` (f64 `[n, 5]`: x, y, σ
//! \[pixel\], flatness, height: height exp(-(r²/2σ²)^flatness)), `steps` (f64 `[n, 5]`: x0, y0, width, height of a box, counts);
//! optionally the polynomial `relative` (vignetting).
//!
//! Kinds of `/psf`, always the effective PSF ([`crate::image::psf::PsfModel`]):
//! - `moffat`: attributes `fwhm_px`, `beta`, `e1`, `e2` (f64), `radius_px` (u64), `pixel_integrated` (0: the pixel is still to be applied);
//! - `gaussian_mixture`: dataset `components` (f64 `[n, 6]`: flux, x, y, σ_xx, σ_yy, σ_xy), attributes `radius_px`, `pixel_integrated`;
//! - `psf_ex`: dataset `stamps` (f64 `[k, y, x]`), attributes `degree` (u64), `x_zero_scale`, `y_zero_scale` (f64 `[2]`), `sampling_px` (f64);
//! - `stamp_grid`: datasets `x_px`, `y_px` (f64, the nodes) and `stamps` (f64 `[node, y, x]`, row by row).

use super::FormatError;
use super::calibration::{
    put_ap_corr, put_chebyshev, put_photo_calib, put_psf, put_wcs, take_ap_corr, take_chebyshev, take_photo_calib, take_psf, take_wcs,
};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use crate::geometry::Box2;
use crate::image::{Exposure, ExposureId, ExposureMeta, Glow, MaskPlane, TrueBackground};
use ndarray::Array2;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-exposure", 1);

/// Writes a whole exposure.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, exposure: &Exposure) -> Result<(), FormatError> {
    write_simulated(path, key, exposure, None)
}

/// Writes a whole exposure and, of a simulated one, the background that was put in.
///
/// # Errors
/// [`FormatError`].
pub fn write_simulated(path: &Path, key: &str, exposure: &Exposure, background: Option<&TrueBackground>) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        let meta = &exposure.meta;
        let planes = [("image", exposure.image.dim()), ("variance", exposure.variance.dim()), ("mask", exposure.mask.dim())];
        if let Some((name, shape)) = planes.into_iter().find(|(_, shape)| *shape != meta.shape) {
            return Err(root.wrong(name, &format!("of shape {shape:?}"), &format!("{:?}, the whole exposure", meta.shape)));
        }
        put_meta(&root, meta)?;
        if let Some(background) = background {
            put_background(&root, background)?;
        }
        root.write(About::new("image", "adu", "counts"), exposure.image.view(), Storage::Tiled)?;
        root.write(About::new("variance", "adu2", "variance of the counts"), exposure.variance.view(), Storage::Tiled)?;
        root.write(About::new("mask", "", "bit planes, named by mask_planes"), exposure.mask.view(), Storage::Packed)
    })
}

fn put_meta(root: &Node, meta: &ExposureMeta) -> Result<(), FormatError> {
    root.put_text("id", &meta.id.0)?;
    root.put_text("band", &meta.band)?;
    for (name, value) in [
        ("mjd", Some(meta.mjd)),
        ("exposure_time_s", Some(meta.exposure_time_s)),
        ("gain_e_per_adu", Some(meta.gain_e_per_adu)),
        ("read_noise_e", Some(meta.read_noise_e)),
        ("saturation_adu", Some(meta.saturation_adu)),
        ("known_sky_adu", meta.known_sky_adu),
    ] {
        if let Some(value) = value {
            root.put(name, value)?;
        }
    }
    root.put_texts("mask_planes", MaskPlane::ALL.map(MaskPlane::name))?;
    put_psf(root, &meta.psf)?;
    put_wcs(root, &meta.wcs)?;
    put_photo_calib(root, &meta.photo_calib)?;
    put_ap_corr(root, &meta.ap_corr)
}

/// Reads calibrations only.
///
/// # Errors
/// [`FormatError`] naming what is missing: an exposure without PSF or WCS, singular WCS, ...
pub fn read_meta(path: &Path) -> Result<ExposureMeta, FormatError> {
    take_meta(&Node::open(path, Some(FORMAT))?)
}

fn take_meta(root: &Node) -> Result<ExposureMeta, FormatError> {
    let shape = root.shape_2d::<f32>("image")?;
    for (name, found) in [("variance", root.shape_2d::<f32>("variance")?), ("mask", root.shape_2d::<u32>("mask")?)] {
        if found != shape {
            return Err(root.wrong(name, &format!("of shape {found:?}"), &format!("{shape:?}, that of /image")));
        }
    }
    check_mask_planes(root)?;
    let known_sky_adu = if root.has_attribute("known_sky_adu") { Some(root.number("known_sky_adu")?) } else { None };
    let meta = ExposureMeta {
        id: ExposureId(root.text("id")?),
        band: root.text("band")?,
        mjd: root.number("mjd")?,
        exposure_time_s: root.number("exposure_time_s")?,
        shape,
        psf: take_psf(root)?,
        wcs: take_wcs(root)?,
        photo_calib: take_photo_calib(root)?,
        ap_corr: take_ap_corr(root)?,
        gain_e_per_adu: root.number("gain_e_per_adu")?,
        read_noise_e: root.number("read_noise_e")?,
        saturation_adu: root.number("saturation_adu")?,
        known_sky_adu,
    };
    for (name, value) in [("gain_e_per_adu", meta.gain_e_per_adu), ("photo_calib/mean_njy_per_adu", meta.photo_calib.mean_njy_per_adu)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(root.wrong(name, &value.to_string(), "a positive number"));
        }
    }
    Ok(meta)
}

fn put_background(root: &Node, background: &TrueBackground) -> Result<(), FormatError> {
    let group = root.create("background_true")?;
    put_chebyshev(&group, &background.smooth_adu, "adu")?;
    let rows = |rows: Vec<[f64; 5]>| ndarray::arr2(&rows);
    let glows = rows(background.glows.iter().map(|g| [g.x_px, g.y_px, g.sigma_px, g.flatness, g.height_adu]).collect());
    let about = About::new("glows", "", "one row a glow: x, y, sigma [pixel], flatness, height [adu]");
    group.write(about, glows.view(), Storage::Plain)?;
    let of_box = |(b, step): &(Box2, f64)| [f64::from(b.x0), f64::from(b.y0), f64::from(b.width), f64::from(b.height), *step];
    let steps = rows(background.steps_adu.iter().map(of_box).collect());
    group.write(About::new("steps", "", "one row a box: x0, y0, width, height [pixel], step [adu]"), steps.view(), Storage::Plain)?;
    background.relative.as_ref().map_or(Ok(()), |relative| put_chebyshev(&group.create("relative")?, relative, ""))
}

/// Reads the background that a simulation put in; none where the exposure is real.
///
/// # Errors
/// [`FormatError`].
pub fn read_true_background(path: &Path) -> Result<Option<TrueBackground>, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    if !root.has("background_true") {
        return Ok(None);
    }
    let group = root.child("background_true", "the true background")?;
    let rows = |name: &str| -> Result<Array2<f64>, FormatError> {
        let rows: Array2<f64> = group.read(name)?;
        let has_columns = rows.is_empty() || rows.ncols() == 5;
        if has_columns { Ok(rows) } else { Err(group.wrong(name, &format!("of shape {:?}", rows.shape()), "5 columns")) }
    };
    let (glows, steps) = (rows("glows")?, rows("steps")?);
    Ok(Some(TrueBackground {
        smooth_adu: take_chebyshev(&group)?,
        glows: glows
            .rows()
            .into_iter()
            .map(|g| Glow { x_px: g[0], y_px: g[1], sigma_px: g[2], flatness: g[3], height_adu: g[4] })
            .collect(),
        steps_adu: steps.rows().into_iter().map(|s| (Box2::new(s[0] as i32, s[1] as i32, s[2] as i32, s[3] as i32), s[4])).collect(),
        relative: if group.has("relative") { Some(take_chebyshev(&group.child("relative", "a polynomial")?)?) } else { None },
    }))
}

/// The bits must mean what they mean here; files of another meaning would be read wrongly without a word.
fn check_mask_planes(root: &Node) -> Result<(), FormatError> {
    let found = root.texts("mask_planes")?;
    let expected = MaskPlane::ALL.map(MaskPlane::name);
    // A file from before the last planes were added has fewer, and none of their bits.
    if !found.is_empty() && found.len() <= expected.len() && found.iter().zip(expected).all(|(f, e)| f == e) {
        Ok(())
    } else {
        Err(root.wrong_attribute("mask_planes", &found.join(" "), &expected.join(" ")))
    }
}

/// Reads the pixels of `part` (cut to the exposure), or all of them.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path, part: Option<&Box2>) -> Result<Exposure, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let meta = take_meta(&root)?;
    let bbox = part.map_or(meta.bbox(), |part| meta.bbox().intersect(part));
    take_pixels(&root, meta, bbox)
}

/// The same for an exposure whose calibrations were read before: a PSF takes longer to read than a small part.
///
/// # Errors
/// [`FormatError`].
pub fn read_pixels(path: &Path, meta: &ExposureMeta, part: &Box2) -> Result<Exposure, FormatError> {
    take_pixels(&Node::open(path, Some(FORMAT))?, meta.clone(), meta.bbox().intersect(part))
}

fn take_pixels(root: &Node, meta: ExposureMeta, bbox: Box2) -> Result<Exposure, FormatError> {
    let (rows, columns) = (bbox.y0 as usize..bbox.y1() as usize, bbox.x0 as usize..bbox.x1() as usize);
    Ok(Exposure {
        image: root.read_part("image", rows.clone(), columns.clone())?,
        variance: root.read_part("variance", rows.clone(), columns.clone())?,
        mask: root.read_part("mask", rows, columns)?,
        meta,
        bbox,
    })
}

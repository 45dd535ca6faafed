//! Groups that hold calibrations: PSF, WCS, photometric calibration, aperture corrections, polynomials, boxes.

use super::FormatError;
use super::hdf5_io::{About, Node, Storage};
use crate::geometry::{Box2, Card, Cards, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{ApCorr, ApCorrMap, Chebyshev2, PhotoCalib, Psf};

pub(super) fn put_box(node: &Node, bbox: &Box2) -> Result<(), FormatError> {
    node.put_list("bbox", &[bbox.x0, bbox.y0, bbox.width, bbox.height])
}

pub(super) fn take_box(node: &Node) -> Result<Box2, FormatError> {
    let [x0, y0, width, height] = node.numbers::<4>("bbox")?.map(|v| v as i32);
    Ok(Box2::new(x0, y0, width, height))
}

/// The polynomial as attribute `bbox` and dataset `coefficients_yx` of the group itself.
pub(super) fn put_chebyshev(node: &Node, polynomial: &Chebyshev2, unit: &str) -> Result<(), FormatError> {
    put_box(node, &polynomial.bbox)?;
    let about = About::new("coefficients_yx", unit, "Chebyshev coefficients [order in y, order in x]; bbox spans [-1, 1]");
    node.write(about, polynomial.coefficients_yx.view(), Storage::Plain)
}

pub(super) fn take_chebyshev(node: &Node) -> Result<Chebyshev2, FormatError> {
    Ok(Chebyshev2 { bbox: take_box(node)?, coefficients_yx: node.read("coefficients_yx")? })
}

pub(super) fn put_ap_corr(parent: &Node, map: &ApCorrMap) -> Result<(), FormatError> {
    let group = parent.create("ap_corr")?;
    for (algorithm, correction) in &map.by_algorithm {
        if algorithm.is_empty() || algorithm.contains('/') {
            return Err(group.wrong(algorithm, "the name of an algorithm", "a name without /"));
        }
        let node = group.create(algorithm)?;
        put_chebyshev(&node, &correction.factor, "")?;
        node.put("error", correction.error)?;
        node.put("n_stars", correction.n_stars)?;
        node.put_flag("is_flagged", correction.is_flagged)?;
    }
    Ok(())
}

pub(super) fn take_ap_corr(parent: &Node) -> Result<ApCorrMap, FormatError> {
    let group = parent.child("ap_corr", "the group of aperture corrections (empty if there are none)")?;
    let mut map = ApCorrMap::default();
    for algorithm in group.members()? {
        let node = group.child(&algorithm, "an aperture correction")?;
        let correction = ApCorr {
            factor: take_chebyshev(&node)?,
            error: node.number("error")?,
            n_stars: node.count("n_stars")? as u32,
            is_flagged: node.flag("is_flagged")?,
        };
        map.by_algorithm.insert(algorithm, correction);
    }
    Ok(map)
}

pub(super) fn put_photo_calib(parent: &Node, calib: &PhotoCalib) -> Result<(), FormatError> {
    let group = parent.create("photo_calib")?;
    group.put("mean_njy_per_adu", calib.mean_njy_per_adu)?;
    calib.relative.as_ref().map_or(Ok(()), |relative| put_chebyshev(&group.create("relative")?, relative, ""))
}

pub(super) fn take_photo_calib(parent: &Node) -> Result<PhotoCalib, FormatError> {
    let group = parent.child("photo_calib", "the photometric calibration (attribute mean_njy_per_adu)")?;
    let relative = if group.has("relative") { Some(take_chebyshev(&group.child("relative", "a polynomial")?)?) } else { None };
    Ok(PhotoCalib { mean_njy_per_adu: group.number("mean_njy_per_adu")?, relative })
}

pub(super) fn put_wcs(parent: &Node, wcs: &Wcs) -> Result<(), FormatError> {
    let group = parent.create("wcs")?;
    for (keyword, card) in wcs.cards() {
        match card {
            Card::Number(v) => group.put(keyword, *v)?,
            Card::Text(v) => group.put_text(keyword, v)?,
        }
    }
    Ok(())
}

pub(super) fn take_wcs(parent: &Node) -> Result<Wcs, FormatError> {
    let group = parent.child("wcs", "the exposure's WCS: a group with FITS keywords as attributes")?;
    let mut cards = Cards::new();
    for keyword in group.attribute_names()? {
        let card = match group.text_if(&keyword) {
            Some(text) => Card::Text(text),
            None => Card::Number(group.number(&keyword)?),
        };
        cards.insert(keyword, card);
    }
    Wcs::from_cards(&cards).map_err(|e| parent.wrong("wcs", &e.to_string(), "a WCS with an inverse"))
}

pub(super) fn put_psf(parent: &Node, psf: &Psf) -> Result<(), FormatError> {
    let group = parent.create("psf")?;
    let stamps_about = |description| About::new("stamps", "", description);
    match psf.model() {
        PsfModel::Moffat { fwhm_px, beta, e1, e2, radius_px, pixel_integrated } => {
            group.put_text("kind", "moffat")?;
            for (name, value) in [("fwhm_px", fwhm_px), ("beta", beta), ("e1", e1), ("e2", e2)] {
                group.put(name, *value)?;
            }
            group.put("radius_px", *radius_px as u64)?;
            group.put_flag("pixel_integrated", *pixel_integrated)
        }
        PsfModel::GaussianMixture { components, radius_px, pixel_integrated } => {
            group.put_text("kind", "gaussian_mixture")?;
            group.put("radius_px", *radius_px as u64)?;
            group.put_flag("pixel_integrated", *pixel_integrated)?;
            let about = About::new("components", "", "one row a component: flux, x, y [pixel], sigma_xx, sigma_yy, sigma_xy [pixel2]");
            group.write(about, ndarray::arr2(components).view(), Storage::Plain)
        }
        PsfModel::PsfEx { degree, x_zero_scale, y_zero_scale, sampling_px, stamps } => {
            group.put_text("kind", "psf_ex")?;
            group.put("degree", *degree as u64)?;
            group.put_list("x_zero_scale", x_zero_scale)?;
            group.put_list("y_zero_scale", y_zero_scale)?;
            group.put("sampling_px", *sampling_px)?;
            group.write_stack(stamps_about("basis stamps [monomial, y, x], x first; monomials of (pixel - zero) / scale"), stamps)
        }
        PsfModel::StampGrid { x_px, y_px, stamps } => {
            group.put_text("kind", "stamp_grid")?;
            group.write(About::new("x_px", "pixel", "columns of the nodes, rising"), ndarray::aview1(x_px), Storage::Plain)?;
            group.write(About::new("y_px", "pixel", "rows of the nodes, rising"), ndarray::aview1(y_px), Storage::Plain)?;
            group.write_stack(stamps_about("stamps [node, y, x], row by row of the grid; bilinear between"), stamps)
        }
    }
}

pub(super) fn take_psf(parent: &Node) -> Result<Psf, FormatError> {
    let group = parent.child("psf", "the exposure's PSF: a group with the attribute kind")?;
    let radius_px = || group.count("radius_px").map(|r| r as usize);
    let model = match group.text("kind")?.as_str() {
        "moffat" => PsfModel::Moffat {
            fwhm_px: group.number("fwhm_px")?,
            beta: group.number("beta")?,
            e1: group.number("e1")?,
            e2: group.number("e2")?,
            radius_px: radius_px()?,
            pixel_integrated: group.flag("pixel_integrated")?,
        },
        "gaussian_mixture" => {
            let components = group.read::<f64, ndarray::Ix2>("components")?;
            if components.ncols() != 6 {
                return Err(group.wrong("components", &format!("of shape {:?}", components.shape()), "6 columns"));
            }
            PsfModel::GaussianMixture {
                components: components.rows().into_iter().map(|row| std::array::from_fn(|i| row[i])).collect(),
                radius_px: radius_px()?,
                pixel_integrated: group.flag("pixel_integrated")?,
            }
        }
        "psf_ex" => PsfModel::PsfEx {
            degree: group.count("degree")? as usize,
            x_zero_scale: group.numbers("x_zero_scale")?,
            y_zero_scale: group.numbers("y_zero_scale")?,
            sampling_px: group.number("sampling_px")?,
            stamps: group.read_stack("stamps")?,
        },
        "stamp_grid" => PsfModel::StampGrid {
            x_px: group.numbers_column("x_px")?.to_vec(),
            y_px: group.numbers_column("y_px")?.to_vec(),
            stamps: group.read_stack("stamps")?,
        },
        other => return Err(group.wrong_attribute("kind", &format!("\"{other}\""), "moffat, gaussian_mixture, psf_ex or stamp_grid")),
    };
    Psf::new(model).map_err(|e| parent.wrong("psf", &e.to_string(), "a usable PSF"))
}

//! One exposure from its files.

use super::pattern::fill;
use super::source::{Combine, Look, Source};
use super::spec::{HduSpec, MaskKind, TimeOf, TimeScale, VarianceKind};
use super::{ImportItem, Layout, psf, time};
use crate::format::FormatError;
use crate::format::fits::{Fits, Hdu, Header, Value};
use crate::geometry::{Card, Wcs};
use crate::image::{ApCorrMap, Exposure, ExposureId, ExposureMeta, MaskPlane, PhotoCalib};
use ndarray::{Array2, Zip};
use std::collections::BTreeMap;
use std::path::Path;

/// A number or a text, as found.
pub(super) enum Found {
    Number(f64),
    Text(String),
}

impl Found {
    fn text(self) -> String {
        match self {
            Self::Number(v) => v.to_string(),
            Self::Text(t) => t,
        }
    }

    /// A number; header cards and tables may hold it as text.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(v) => Some(*v),
            Self::Text(t) => t.trim().parse().ok(),
        }
    }
}

/// What is open while one exposure is read.
pub(super) struct Reader<'a> {
    pub(super) layout: &'a Layout,
    pub(super) item: &'a ImportItem,
    image: Fits,
    image_hdu: Hdu,
    header: Header,
    primary: Header,
    rows: BTreeMap<String, (Fits, Hdu, usize)>,
}

fn content(path: &Path, key: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> FormatError {
    FormatError::Content { path: path.to_owned(), key: key.into(), found: found.into(), expected: expected.into() }
}

impl<'a> Reader<'a> {
    fn open(layout: &'a Layout, item: &'a ImportItem) -> Result<Self, FormatError> {
        let mut image = Fits::open(&item.place.image)?;
        let image_hdu = match &item.place.image_hdu {
            None => Hdu::FirstImage,
            Some(HduSpec::Number(n)) => Hdu::Number(*n),
            Some(HduSpec::Name(name)) => Hdu::Name(name.clone()),
        };
        let header = image.header(&image_hdu)?;
        let primary = image.header(&Hdu::Number(0))?;
        Ok(Self { layout, item, image, image_hdu, header, primary, rows: BTreeMap::new() })
    }

    fn path(&self) -> &Path {
        &self.item.place.image
    }

    /// HDU of a companion plane.
    pub(super) fn companion_hdu(
        &mut self,
        key: &str,
        has_file: bool,
        hdu: Option<&HduSpec>,
        offset: Option<usize>,
        default: Hdu,
    ) -> Result<Hdu, FormatError> {
        match (hdu, offset) {
            (Some(HduSpec::Number(n)), _) => Ok(Hdu::Number(*n)),
            (Some(HduSpec::Name(name)), _) => {
                let name = fill(name, |_| None, &self.item.place.captures).map_err(|why| self.layout.wrong(key, why))?;
                Ok(name.parse().map_or(Hdu::Name(name), Hdu::Number))
            }
            (None, Some(offset)) => Ok(Hdu::Number(self.image.position(&self.image_hdu)? + offset)),
            (None, None) if !has_file || self.layout.spec.image.hdus.is_some() => Ok(self.image_hdu.clone()),
            (None, None) => Ok(default),
        }
    }

    /// A card of the image's HDU, or else of the primary.
    fn card(&self, key: &str) -> Option<Found> {
        match self.header.get(key).or_else(|| self.primary.get(key))? {
            Value::Number(v) => Some(Found::Number(*v)),
            Value::Text(t) => Some(Found::Text(t.clone())),
            Value::Bool(b) => Some(Found::Text(if *b { "T" } else { "F" }.into())),
        }
    }

    fn fill(&self, what: &str, template: &str) -> Result<String, FormatError> {
        let card = |name: &str| self.card(name.strip_prefix("card.")?).map(Found::text);
        fill(template, card, &self.item.place.captures).map_err(|why| self.layout.wrong(what, why))
    }

    /// The exposure's row of a table, with the open file.
    fn row(&mut self, name: &str) -> Result<&mut (Fits, Hdu, usize), FormatError> {
        if !self.rows.contains_key(name) {
            let key = format!("table.{name}");
            let spec = &self.layout.spec.table[name];
            let file = self.fill(&key, &self.layout.with_data(&key, &spec.file)?)?;
            let mut fits = Fits::open(&self.layout.root.join(file))?;
            let hdu = match &spec.hdu {
                None => Hdu::FirstTable,
                Some(HduSpec::Number(n)) => Hdu::Number(*n),
                Some(HduSpec::Name(n)) => Hdu::Name(n.clone()),
            };
            let mut is_match = vec![true; fits.n_rows(&hdu)?];
            let mut wanted = Vec::new();
            for m in &spec.matches {
                let value = self.fill(&format!("{key}.match"), &m.value)?;
                let present = texts(&mut fits, &hdu, &m.column)?;
                let base = |text: &str| if m.base_name { text.rsplit('/').next().unwrap_or(text).to_owned() } else { text.to_owned() };
                is_match.iter_mut().zip(&present).for_each(|(is, text)| *is &= base(text) == value);
                wanted.push(format!("{} = {value}", m.column));
            }
            let rows: Vec<usize> = (0..is_match.len()).filter(|&i| is_match[i]).collect();
            let [row] = rows[..] else {
                return Err(content(
                    fits.path(),
                    format!("row with {} (for {})", wanted.join(", "), self.path().display()),
                    format!("found {} times in {} rows", rows.len(), is_match.len()),
                    "one row",
                ));
            };
            self.rows.insert(name.to_owned(), (fits, hdu, row));
        }
        Ok(self.rows.get_mut(name).expect("inserted above"))
    }

    fn look(&mut self, what: &str, look: &Look) -> Result<Found, FormatError> {
        let missing =
            |path: &Path, key: &str, expected: &str| content(path, format!("header card {key} (for {what})"), "missing", expected);
        if !look.keys.is_empty() {
            let mut values = Vec::new();
            for key in &look.keys {
                let found = self.card(key).and_then(|c| c.number()).or(look.default);
                values.push(found.ok_or_else(|| missing(self.path(), key, "a number"))?);
            }
            return Ok(Found::Number(match look.combine {
                Combine::Mean => values.iter().sum::<f64>() / values.len() as f64,
                Combine::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                Combine::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            }));
        }
        if let Some(key) = &look.key {
            let found = self.card(key).or(look.default.map(Found::Number));
            return found.ok_or_else(|| missing(self.path(), key, "a value"));
        }
        let column = look.column.as_ref().expect("checked: one of key, keys, column");
        let table = match &look.table {
            Some(name) => name.clone(),
            None => self.layout.spec.table.keys().next().expect("checked: there is a table").clone(),
        };
        let (fits, hdu, row) = self.row(&table)?;
        if fits.is_text_column(hdu, column)? {
            return Ok(Found::Text(fits.column_text(hdu, column)?.swap_remove(*row)));
        }
        let (values, per_row) = fits.column_f64(hdu, column)?;
        if per_row != 1 {
            return Err(content(fits.path(), format!("column {column} (for {what})"), format!("{per_row} numbers a row"), "one"));
        }
        Ok(Found::Number(values[*row]))
    }

    fn source(&mut self, what: &str, source: &Source) -> Result<Found, FormatError> {
        let look = match source {
            Source::Number(v) => return Ok(Found::Number(*v)),
            Source::Template(t) => return Ok(Found::Text(self.fill(what, t)?)),
            Source::From(look) => look,
        };
        let mut found = self.look(what, look)?;
        if look.first.is_some() || !look.map.is_empty() {
            let mut text = found.text();
            if let Some(n) = look.first {
                text = text.chars().take(n).collect();
            }
            if !look.map.is_empty() {
                let known = || look.map.keys().cloned().collect::<Vec<_>>().join(", ");
                text = look
                    .map
                    .get(&text)
                    .cloned()
                    .ok_or_else(|| content(self.path(), what, format!("'{text}'"), format!("one of {} in its map", known())))?;
            }
            found = Found::Text(text);
        }
        if look.scale.is_some() || look.offset.is_some() {
            let number = found.number().ok_or_else(|| self.no_number(what, &found))?;
            found = Found::Number(number * look.scale.unwrap_or(1.0) + look.offset.unwrap_or(0.0));
        }
        Ok(found)
    }

    fn no_number(&self, what: &str, found: &Found) -> FormatError {
        let text = match found {
            Found::Number(v) => v.to_string(),
            Found::Text(t) => format!("'{t}'"),
        };
        content(self.path(), what, text, "a finite number")
    }

    /// A finite number.
    pub(super) fn number(&mut self, what: &str, source: &Source) -> Result<f64, FormatError> {
        let found = self.source(what, source)?;
        found.number().filter(|v| v.is_finite()).ok_or_else(|| self.no_number(what, &found))
    }

    /// A finite number, or the default if the layout does not say where it is.
    pub(super) fn number_or(&mut self, what: &str, source: Option<&Source>, default: f64) -> Result<f64, FormatError> {
        source.map_or(Ok(default), |s| self.number(what, s))
    }

    fn band(&mut self) -> Result<String, FormatError> {
        let band = self.source("exposure.band", &self.layout.spec.exposure.band)?.text();
        if band.is_empty() || !band.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            // Bands become names of columns and of HDF5 groups.
            return Err(content(
                self.path(),
                "exposure.band",
                format!("'{band}'"),
                "a name of letters, digits and '_' (see map and first)",
            ));
        }
        Ok(band)
    }

    /// Middle of the exposure, MJD (TAI).
    fn mjd(&mut self, exposure_time_s: f64) -> Result<f64, FormatError> {
        let spec = &self.layout.spec.exposure;
        let found = self.source("exposure.mjd", &spec.mjd)?;
        let iso = if let Found::Text(t) = &found { time::mjd_of_iso(t) } else { None };
        let given = found.number().or(iso).filter(|v| v.is_finite()).ok_or_else(|| self.no_number("exposure.mjd", &found))?;
        let tai = match spec.mjd_scale {
            TimeScale::Tai => given,
            TimeScale::Utc => time::tai_of_utc(given),
        };
        let half_d = 0.5 * exposure_time_s / 86400.0;
        Ok(match spec.mjd_of {
            TimeOf::Start => tai + half_d,
            TimeOf::Middle => tai,
            TimeOf::End => tai - half_d,
        })
    }

    /// The header's WCS with the layout's offsets.
    fn wcs(&mut self) -> Result<Wcs, FormatError> {
        let from = if self.header.get("CTYPE1").is_some() { &self.header } else { &self.primary };
        let mut cards = from.wcs_cards();
        if let Some(Card::Text(frame)) = cards.get("RADESYS").or_else(|| cards.get("RADECSYS"))
            && !["ICRS", "FK5", ""].contains(&frame.trim())
        {
            // FK5 of J2000 differs from ICRS by 0.02 arcsec at most; every other frame by minutes of arc or more.
            return Err(content(self.path(), "header card RADESYS", format!("'{frame}'"), "ICRS or FK5"));
        }
        let spec = &self.layout.spec.astrometry;
        let ra_arcsec = self.number_or("astrometry.ra_offset_arcsec", spec.ra_offset_arcsec.as_ref(), 0.0)?;
        let dec_arcsec = self.number_or("astrometry.dec_offset_arcsec", spec.dec_offset_arcsec.as_ref(), 0.0)?;
        if let (Some(&Card::Number(ra)), Some(&Card::Number(dec))) = (cards.get("CRVAL1"), cards.get("CRVAL2")) {
            cards.insert("CRVAL1".into(), Card::Number(ra + ra_arcsec / 3600.0 / dec.to_radians().cos()));
            cards.insert("CRVAL2".into(), Card::Number(dec + dec_arcsec / 3600.0));
        }
        Wcs::from_cards(&cards).map_err(|e| {
            content(self.path(), "WCS of the header", format!("unusable ({e})"), "TAN, TAN-SIP, TPV or SIN that can be inverted")
        })
    }

    fn photo_calib(&mut self, exposure_time_s: f64) -> Result<PhotoCalib, FormatError> {
        let spec = &self.layout.spec.photometry;
        if let Some(source) = &spec.njy_per_adu {
            return Ok(PhotoCalib::uniform(self.number("photometry.njy_per_adu", source)?));
        }
        let zero_point = self.number("photometry.zero_point", spec.zero_point.as_ref().expect("checked: one of the two"))?;
        // mag = zp - 2.5 log10(ADU / t) = (zp + 2.5 log10 t) - 2.5 log10(ADU).
        let of_time = if spec.per_second { 2.5 * exposure_time_s.log10() } else { 0.0 };
        Ok(PhotoCalib::from_zero_point(zero_point + of_time))
    }

    fn variance(&mut self, mask: &mut Array2<u32>) -> Result<Array2<f32>, FormatError> {
        let spec = &self.layout.spec.variance;
        if let (VarianceKind::Constant, Some(value)) = (spec.kind, &spec.value) {
            let value_adu2 = self.number("variance.value", value)?;
            return Ok(Array2::from_elem(mask.dim(), value_adu2 as f32));
        }
        let hdu = self.companion_hdu("variance.hdu", spec.file.is_some(), spec.hdu.as_ref(), spec.hdu_offset, Hdu::FirstImage)?;
        let mut fits = Fits::open(&self.item.place.variance)?;
        let mut plane = fits.image_f32(&hdu, spec.plane)?;
        same_shape(&fits, "variance", plane.dim(), mask.dim())?;
        match spec.kind {
            VarianceKind::Variance | VarianceKind::Constant => {}
            VarianceKind::Sigma => plane.mapv_inplace(|s| s * s),
            VarianceKind::InverseVariance => Zip::from(&mut plane).and(mask).for_each(|w, m| {
                if *w > 0.0 {
                    *w = w.recip();
                } else {
                    *w = f32::INFINITY;
                    *m |= MaskPlane::NoData.bit();
                }
            }),
        }
        Ok(plane)
    }

    fn mask(&mut self, shape: (usize, usize)) -> Result<Array2<u32>, FormatError> {
        let (Some(spec), Some(path)) = (&self.layout.spec.mask, &self.item.place.mask) else {
            return Ok(Array2::zeros(shape));
        };
        let hdu = self.companion_hdu("mask.hdu", spec.file.is_some(), spec.hdu.as_ref(), spec.hdu_offset, Hdu::FirstImage)?;
        let mut fits = Fits::open(path)?;
        let theirs = fits.image_i64(&hdu, spec.plane)?;
        same_shape(&fits, "mask", theirs.dim(), shape)?;
        let planes = &self.layout.mask_planes;
        let listed: i64 = planes.iter().fold(0, |all, (bit, _)| all | bit);
        let mut ours = Array2::zeros(shape);
        for (ours, &v) in ours.iter_mut().zip(&theirs) {
            let unknown = match spec.kind {
                _ if v == i64::MIN => {
                    *ours = MaskPlane::NoData.bit();
                    continue;
                }
                MaskKind::Bits => {
                    planes.iter().filter(|(bit, _)| v & bit != 0).for_each(|(_, bits)| *ours |= bits);
                    v & !listed
                }
                MaskKind::Codes => match planes.iter().find(|(code, _)| *code == v) {
                    Some((_, bits)) => {
                        *ours = *bits;
                        0
                    }
                    None => v,
                },
            };
            if unknown != 0 {
                *ours |=
                    self.layout.mask_unknown.ok_or_else(|| content(path, "mask", format!("{v}"), "only values listed in mask.planes"))?;
            }
        }
        Ok(ours)
    }
}

/// Any column as texts.
fn texts(fits: &mut Fits, hdu: &Hdu, column: &str) -> Result<Vec<String>, FormatError> {
    if fits.is_text_column(hdu, column)? {
        return fits.column_text(hdu, column);
    }
    Ok(fits.column_f64(hdu, column)?.0.iter().map(f64::to_string).collect())
}

fn same_shape(fits: &Fits, plane: &str, found: (usize, usize), expected: (usize, usize)) -> Result<(), FormatError> {
    if found == expected {
        return Ok(());
    }
    Err(content(
        fits.path(),
        format!("{plane} plane"),
        format!("of {} rows, {} columns", found.0, found.1),
        format!("{} and {}, as the image", expected.0, expected.1),
    ))
}

/// See [`Layout::bands`].
pub(super) fn band(layout: &Layout, item: &ImportItem) -> Result<String, FormatError> {
    // Without opening the file where the name says it all.
    if let Source::Template(t) = &layout.spec.exposure.band
        && let Ok(band) = fill(t, |_| None, &item.place.captures)
    {
        return Ok(band);
    }
    Reader::open(layout, item)?.band()
}

/// See [`Layout::load`].
pub(super) fn exposure(layout: &Layout, item: &ImportItem) -> Result<Exposure, FormatError> {
    let mut reader = Reader::open(layout, item)?;
    let spec = &layout.spec.exposure;
    let image_hdu = reader.image_hdu.clone();
    let image = reader.image.image_f32(&image_hdu, layout.spec.image.plane)?;
    let mut mask = reader.mask(image.dim())?;
    let variance = reader.variance(&mut mask)?;
    let exposure_time_s = reader.number("exposure.exposure_time", &spec.exposure_time)?;
    if exposure_time_s <= 0.0 {
        return Err(content(&item.place.image, "exposure.exposure_time", exposure_time_s.to_string(), "a positive number of seconds"));
    }
    let wcs = reader.wcs()?;
    let meta = ExposureMeta {
        id: ExposureId(item.name.clone()),
        band: reader.band()?,
        mjd: reader.mjd(exposure_time_s)?,
        exposure_time_s,
        shape: image.dim(),
        psf: psf::read(&mut reader, &wcs, image.dim())?,
        wcs,
        photo_calib: reader.photo_calib(exposure_time_s)?,
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: reader.number("exposure.gain", &spec.gain)?,
        read_noise_e: reader.number_or("exposure.read_noise", spec.read_noise.as_ref(), 0.0)?,
        saturation_adu: reader.number_or("exposure.saturation", spec.saturation.as_ref(), f64::INFINITY)?,
        known_sky_adu: spec.known_sky.as_ref().map(|s| reader.number("exposure.known_sky", s)).transpose()?,
    };
    Exposure::new(meta, image, variance, mask)
        .map_err(|e| content(&item.place.image, "exposure", format!("unusable ({e})"), "planes and calibrations that agree"))
}

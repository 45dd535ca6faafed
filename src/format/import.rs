//! Layouts: a TOML file that says how any survey's files become fathom exposures (and a truth catalog).
//!
//! This page is the specification of the format. An unknown key is an error; every error names file and key.
//!
//! # Paths, patterns, templates
//!
//! - `root` (default `"."`): folder that all files are relative to. `${FATHOM_DATA}` in `root` or in any file stands for the data
//!   folder: the one given to [`Layout::read`], else the environment variable. A relative `root` is taken from the data folder
//!   if one was given, else from the layout's own folder.
//! - A **pattern** (only `image.file`) may hold `*`, `?` and captures `{name}`: each stands for text without `/`, a capture for at
//!   least one character and the fewest that let the rest match; a name used twice stands for the same text.
//! - A **template** is a text with captures to be put in: those of the pattern, and `{file}` (base name of the image), `{stem}` (the
//!   same without `.fits`, `.fit`, `.fz`, `.gz`), `{hdu}` (with `image.hdus`); in values also `{card.KEY}`, a header card of the image.
//!
//! # Values
//!
//! Where a key below is called a *value*, it is one of
//! - a number, the same for all exposures; or a template;
//! - `{ key = "EXPTIME" }`: a card of the image's HDU, or else of its primary HDU;
//! - `{ keys = ["GAINA", "GAINB"], combine = "mean" }`: several cards, combined by `mean` (default), `min` or `max`;
//! - `{ column = "ccdzpt", table = "ccds" }`: the exposure's row of a table (`table` may be left out if there is one only).
//!
//! and with any of the last three `first = n` (the first n characters of a text), `map = { theirs = "ours" }` (for texts; a text not
//! in it is an error), `scale` and `offset` (number × scale + offset) and `default` (a number used where a card is missing).
//!
//! # Tables of the layout
//!
//! `[image]`
//! - `file`: pattern, one match an exposure (or `hdus` exposures). Undefined pixels become NaN.
//! - `hdu`: number (0 is the primary) or name; default the first HDU with an image. `hdus = [..]`: one exposure each, instead.
//! - `plane` (default 0): which plane of a cube.
//! - `name`: template of the exposure's name, unique; default `{stem}`, with `hdus` `{stem}_{hdu}`.
//!
//! `[variance]`
//! - `kind`: `variance` \[ADU²\], `inverse_variance` (zero, negative or NaN: variance +∞ and masked `NO_DATA`) `sigma` \[ADU\], or
//!   `constant`: the same for all pixels, `value`: value \[ADU²\], and none of the keys below.
//! - `file`: template; default the image's file. `hdu`: as above, or a template; or `hdu_offset`: so many HDUs after the image's.
//!   Default: with `image.hdus` the HDU of the same name or number, else the first image. `plane` as above.
//!
//! `[mask]` (optional; without it no pixel is masked)
//! - `file`, `hdu`, `hdu_offset`, `plane`: as for `[variance]`.
//! - `kind`: `bits` (every bit a plane) or `codes` (the pixel's whole number is one code; 0 is good).
//! - `planes = { 1 = "BAD", 4 = "SAT" }`: value of the bit (1, 2, 4, ...) or code = name of our plane
//!   ([`MaskPlane`]), several with `|`, or `IGNORE`.
//! - `unknown` (default `BAD`): the same, for all bits or codes not listed; `ERROR` refuses the exposure.
//!
//! `[psf]`: the effective PSF, pixel response included
//! - `file`, `hdu`, `hdu_offset`, `plane`: as for `[variance]`.
//! - `kind`: `stamp` (an image with odd, equal sides, the source on the central pixel), `psfex` (a table with one row: column `PSF_MASK` and
//!   `POLNAME1/2`, `POLZERO1/2`, `POLSCAL1/2`, `POLDEG1`, `PSF_SAMP` as cards or columns; zeros are 1-based pixels of the image),
//!   `moffat` or `gaussian`.
//! - `fwhm_px` or `fwhm_arcsec`, `beta` (moffat), `e1`, `e2` (reduced shear on the pixel axes; default 0): values.
//! - `radius_px`: half-width of a parametric stamp; default 5 FWHM. `pixel_integrated` (default true): false lets fathom apply the pixel.
//! - `normalize` (default false): sum 1. A stamp is divided by its sum. Of a psfex model, φ(x) = Σ c_k(x) φ_k with sum S(x), becomes
//!   \[φ(x) - (S(x)/S_m - 1) φ_m\] / S_m with m the middle of the image: still a polynomial, of sum 1 everywhere, and equal to φ/S there
//!   (elsewhere up to the product of two small terms). PSFEx does not tie its sums to 1; zero points measured with unit-sum PSFs ask for this.
//!
//! `[table.<name>]` (any number): a FITS table with a row an exposure
//! - `file`: template, `hdu`: default the first table.
//! - `match = [{ column = "image_filename", value = "{file}", base_name = true }]`: the row in which every named column equals the
//!   template; `base_name` first removes folders from what stands in the column. No row or more than one is an error.
//!
//! `[exposure]`
//! - `band`: value (text). `exposure_time`: value \[s\], positive.
//! - `mjd`: value, days; a text in ISO 8601 is converted. `mjd_of`: `start`, `middle` (default) or `end` of the exposure; `mjd_scale`: `utc` or
//!   `tai` (default). Exposures carry the middle, in TAI.
//! - `gain`: value \[e/ADU\]. `read_noise` (default 0): value \[e\]. `saturation` (default none): value \[ADU\].
//! - `sky_subtracted`: true or false. `known_sky`: value \[ADU\], the exact sky level that is still in the image, where one is known;
//!   refused with `sky_subtracted = true`.
//!
//! `[photometry]`: one of
//! - `zero_point`: value, AB magnitude of 1 ADU; with `per_second = true` of 1 ADU/s: mag = zero_point - 2.5 log10(ADU / exposure_time);
//! - `njy_per_adu`: value.
//!
//! `[astrometry]` (optional): the header's WCS (TAN, TAN-SIP, TPV, SIN; of the image's HDU, or else of the primary) is shifted by
//! - `ra_offset_arcsec`, `dec_offset_arcsec`: values; CRVAL1 += ra_offset / cos(CRVAL2), CRVAL2 += dec_offset (on the sky, ours = theirs + offset).
//!
//! `[truth]` (optional): a FITS table of what is really there; becomes a [truth catalog](super::truth)
//! - `file`: path, `hdu`: default the first table.
//! - `id`: column; `id_offset` (default 0) is added: ids must come out unique and positive. `ra`, `dec`: columns \[deg\], at the mean epoch.
//! - `class = { column = "type", codes = { 0 = "galaxy", .. } }` (whole numbers or texts = `star`, `galaxy`, `variable`, `transient`,
//!   `mover`), or `class = { constant = "star" }`.
//! - `flux = { g = "flux_g", .. }`: column of the total flux, mean over the epochs (of a variable: its mean), per band; `flux_unit`: `njy` (default),
//!   `ujy`, `nanomaggy`, `mag_ab`.
//! - `shape` (optional; without it all are point sources):
//!   - `half_light_radius`: column \[arcsec\]; `radius`: `major_axis` or `circularised` (r_major √q: what an area-preserving shear leaves fixed);
//!   - either `e1`, `e2`: columns in the frame u, v with v = north and `first_axis` u = `west` or `east`; `ellipticity`: `reduced_shear`
//!     (default; |e| = (1-q)/(1+q)) or `distortion` (|e| = (1-q²)/(1+q²)). The major axis is at β = ½ atan2(e2, e1) from u towards v;
//!   - or `axis_ratio` and `position_angle` (deg, east of north): columns;
//!   - `sersic_n` (optional): column; NaN for galaxies where it is missing or not positive (several components).
//!
//!   Only galaxies get a shape; everything else is a point source.
//! - `snr = { g = "snr_g" }` (optional): columns kept as `<band>_snr_given`. `extra = { ours = "theirs" }`: further columns, kept as numbers.

// Without FITS a layout is still read and checked, but most of what it says is for the reader of the pixels.
#![cfg_attr(not(feature = "fits"), allow(dead_code))]

#[cfg(feature = "fits")]
mod load;
mod pattern;
#[cfg(feature = "fits")]
mod psf;
mod source;
mod spec;
mod time;
#[cfg(feature = "fits")]
mod truth;

use super::FormatError;
use crate::catalog::Table;
use crate::image::{Exposure, MaskPlane};
use pattern::{Captures, Pattern};
use source::Source;
use spec::{HduSpec, MaskKind, PsfKind, Spec, VarianceKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A parsed and checked layout.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
    root: PathBuf,
    data: Option<PathBuf>,
    spec: Spec,
    /// Bits of our planes for each of theirs, and for those not listed.
    mask_planes: Vec<(i64, u32)>,
    mask_unknown: Option<u32>,
}

/// One exposure that a layout names, not yet read.
#[derive(Debug, Clone)]
pub struct ImportItem {
    /// Name of the exposure to come.
    pub name: String,
    /// Input files, each once: image, variance, mask, PSF, tables; for the product key, which hashes their content.
    pub files: Vec<PathBuf>,
    place: Place,
}

/// Where the planes of one exposure are.
#[derive(Debug, Clone)]
struct Place {
    captures: Captures,
    image: PathBuf,
    image_hdu: Option<HduSpec>,
    variance: PathBuf,
    mask: Option<PathBuf>,
    psf: Option<PathBuf>,
}

impl Layout {
    /// Reads and checks a layout; `data` stands for `${FATHOM_DATA}` (default: the environment variable).
    ///
    /// # Errors
    /// [`FormatError::Layout`] naming the key; also if `FATHOM_DATA` is needed and not set.
    pub fn read(path: &Path, data: Option<&Path>) -> Result<Self, FormatError> {
        let text = std::fs::read_to_string(path).map_err(|source| FormatError::Io { path: path.to_owned(), source })?;
        let wrong = |why: String| FormatError::Layout { path: path.to_owned(), why };
        let spec: Spec = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(String::new(), |span| format!("line {}: ", text[..span.start].matches('\n').count() + 1));
            wrong(format!("{line}{}", e.message()))
        })?;
        // Absolute, so that a relative data folder is not joined to the root once more.
        let absolute = |p: &Path| std::path::absolute(p).map_err(|source| FormatError::Io { path: p.to_owned(), source });
        let given = data.map(absolute).transpose()?;
        let from_environment = std::env::var_os("FATHOM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = given.clone().unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).to_owned());
        let mut layout = Self {
            path: path.to_owned(),
            root: PathBuf::new(),
            data: given.or(from_environment.as_deref().map(absolute).transpose()?),
            mask_planes: Vec::new(),
            mask_unknown: None,
            spec,
        };
        layout.root = base.join(layout.with_data("root", &layout.spec.root)?);
        layout.check()?;
        Ok(layout)
    }

    fn wrong(&self, key: &str, why: impl std::fmt::Display) -> FormatError {
        FormatError::Layout { path: self.path.clone(), why: format!("{key}: {why}") }
    }

    /// Replaces `${FATHOM_DATA}`.
    fn with_data(&self, key: &str, text: &str) -> Result<String, FormatError> {
        const VARIABLE: &str = "${FATHOM_DATA}";
        if !text.contains(VARIABLE) {
            return Ok(text.to_owned());
        }
        let data = self.data.as_ref().ok_or_else(|| {
            self.wrong(
                key,
                format!("'{text}' needs the data folder; give one on the command line or set the environment variable FATHOM_DATA"),
            )
        })?;
        Ok(text.replace(VARIABLE, &data.to_string_lossy()))
    }

    /// All values, with their keys.
    fn sources(&self) -> Vec<(&'static str, &Source)> {
        let (e, p, a, psf) = (&self.spec.exposure, &self.spec.photometry, &self.spec.astrometry, &self.spec.psf);
        let mut all = vec![
            ("exposure.band", &e.band),
            ("exposure.mjd", &e.mjd),
            ("exposure.exposure_time", &e.exposure_time),
            ("exposure.gain", &e.gain),
        ];
        let optional = [
            ("exposure.read_noise", &e.read_noise),
            ("exposure.saturation", &e.saturation),
            ("exposure.known_sky", &e.known_sky),
            ("photometry.zero_point", &p.zero_point),
            ("photometry.njy_per_adu", &p.njy_per_adu),
            ("astrometry.ra_offset_arcsec", &a.ra_offset_arcsec),
            ("astrometry.dec_offset_arcsec", &a.dec_offset_arcsec),
            ("psf.fwhm_px", &psf.fwhm_px),
            ("psf.fwhm_arcsec", &psf.fwhm_arcsec),
            ("psf.beta", &psf.beta),
            ("psf.e1", &psf.e1),
            ("psf.e2", &psf.e2),
        ];
        all.extend(optional.into_iter().filter_map(|(key, source)| source.as_ref().map(|s| (key, s))));
        all
    }

    /// What can be said without looking at any other file.
    fn check(&mut self) -> Result<(), FormatError> {
        for (key, source) in self.sources() {
            if let Some(problem) = source.problem() {
                return Err(self.wrong(key, problem));
            }
            let Source::From(look) = source else { continue };
            match &look.table {
                Some(name) if !self.spec.table.contains_key(name) => {
                    return Err(self.wrong(key, format!("there is no [table.{name}]")));
                }
                None if look.column.is_some() && self.spec.table.len() != 1 => {
                    return Err(
                        self.wrong(key, format!("a column needs one [table.<name>], or 'table' to choose from {}", self.spec.table.len()))
                    );
                }
                _ => {}
            }
        }
        let image = &self.spec.image;
        Pattern::parse(&image.file).map_err(|why| self.wrong("image.file", why))?;
        if image.hdu.is_some() && image.hdus.is_some() {
            return Err(self.wrong("image", "has both hdu and hdus"));
        }
        // In the image's own file and HDU, variance and mask would be the image itself.
        let v = &self.spec.variance;
        let is_constant = v.kind == VarianceKind::Constant;
        if is_constant != v.value.is_some() {
            return Err(self.wrong("variance.value", "goes with kind = \"constant\", and must be there then"));
        }
        if is_constant && (v.file.is_some() || v.hdu.is_some() || v.hdu_offset.is_some()) {
            return Err(self.wrong("variance", "of kind constant has no file, hdu or hdu_offset"));
        }
        if !is_constant && v.file.is_none() && v.hdu.is_none() && v.hdu_offset.is_none() && v.plane == image.plane {
            return Err(self.wrong("variance", "needs file, hdu, hdu_offset or plane: it cannot be the image itself"));
        }
        let p = &self.spec.photometry;
        if p.zero_point.is_some() == p.njy_per_adu.is_some() {
            return Err(self.wrong("photometry", "needs exactly one of zero_point and njy_per_adu"));
        }
        if p.njy_per_adu.is_some() && p.per_second {
            return Err(self.wrong("photometry.per_second", "goes with zero_point only"));
        }
        if self.spec.exposure.sky_subtracted && self.spec.exposure.known_sky.is_some() {
            return Err(self.wrong("exposure.known_sky", "is the sky still in the image; sky_subtracted = true says there is none"));
        }
        self.check_psf()?;
        self.check_mask()?;
        self.check_truth()
    }

    fn check_psf(&self) -> Result<(), FormatError> {
        let psf = &self.spec.psf;
        let is_parametric = matches!(psf.kind, PsfKind::Moffat | PsfKind::Gaussian);
        if !is_parametric && psf.file.is_none() && psf.hdu.is_none() && psf.hdu_offset.is_none() {
            return Err(self.wrong("psf", "needs file, hdu or hdu_offset"));
        }
        if is_parametric && psf.fwhm_px.is_some() == psf.fwhm_arcsec.is_some() {
            return Err(self.wrong("psf", "needs exactly one of fwhm_px and fwhm_arcsec"));
        }
        if (psf.kind == PsfKind::Moffat) != psf.beta.is_some() {
            return Err(self.wrong("psf.beta", "is needed for kind = \"moffat\", and only there"));
        }
        Ok(())
    }

    /// Bits of a list of plane names such as `SAT|BAD`; 0 for `IGNORE`.
    fn plane_bits(&self, key: &str, names: &str) -> Result<u32, FormatError> {
        if names == "IGNORE" {
            return Ok(0);
        }
        names.split('|').map(str::trim).try_fold(0, |bits, name| match MaskPlane::from_name(name) {
            Some(plane) => Ok(bits | plane.bit()),
            None => {
                let known = MaskPlane::ALL.map(MaskPlane::name).join(", ");
                Err(self.wrong(key, format!("'{name}' is no mask plane; there are {known}, and IGNORE")))
            }
        })
    }

    fn check_mask(&mut self) -> Result<(), FormatError> {
        let Some(mask) = &self.spec.mask else { return Ok(()) };
        if mask.file.is_none() && mask.hdu.is_none() && mask.hdu_offset.is_none() {
            return Err(self.wrong("mask", "needs file, hdu or hdu_offset: it cannot be the image itself"));
        }
        let mut planes = Vec::new();
        for (theirs, ours) in &mask.planes {
            let key = format!("mask.planes.{theirs}");
            let value: i64 = theirs.parse().map_err(|_| self.wrong(&key, "the key is no whole number"))?;
            if mask.kind == MaskKind::Bits && !(value > 0 && value & (value - 1) == 0) {
                return Err(self.wrong(&key, "the value of a bit is 1, 2, 4, 8, ..."));
            }
            planes.push((value, self.plane_bits(&key, ours)?));
        }
        let unknown = if mask.unknown == "ERROR" { None } else { Some(self.plane_bits("mask.unknown", &mask.unknown)?) };
        self.mask_planes = planes;
        self.mask_unknown = unknown;
        Ok(())
    }

    fn check_truth(&self) -> Result<(), FormatError> {
        const CLASSES: [&str; 5] = ["star", "galaxy", "variable", "transient", "mover"];
        let Some(truth) = &self.spec.truth else { return Ok(()) };
        if truth.class.column.is_some() == truth.class.constant.is_some() {
            return Err(self.wrong("truth.class", "needs exactly one of column and constant"));
        }
        if let Some(class) = truth.class.codes.values().chain(&truth.class.constant).find(|c| !CLASSES.contains(&c.as_str())) {
            return Err(self.wrong("truth.class", format!("'{class}' is no class; there are {}", CLASSES.join(", "))));
        }
        let Some(shape) = &truth.shape else { return Ok(()) };
        let sheared = [shape.e1.is_some(), shape.e2.is_some(), shape.first_axis.is_some()];
        let direct = [shape.axis_ratio.is_some(), shape.position_angle.is_some()];
        let is_one = (sheared == [true; 3] && direct == [false; 2]) || (sheared == [false; 3] && direct == [true; 2]);
        if is_one { Ok(()) } else { Err(self.wrong("truth.shape", "needs either e1, e2 and first_axis, or axis_ratio and position_angle")) }
    }

    /// Exposures that the layout finds, sorted by name.
    ///
    /// # Errors
    /// [`FormatError`] if a pattern matches nothing, a companion file is missing, or two exposures have one name.
    pub fn items(&self) -> Result<Vec<ImportItem>, FormatError> {
        let full = self.root.join(self.with_data("image.file", &self.spec.image.file)?);
        let full = full.to_string_lossy();
        let pattern = Pattern::parse(&full).map_err(|why| self.wrong("image.file", why))?;
        let found = pattern.find().map_err(|(path, source)| FormatError::Io { path, source })?;
        if found.is_empty() {
            let hint = if self.root.is_dir() { String::new() } else { format!(" (there is no folder {})", self.root.display()) };
            return Err(self.wrong("image.file", format!("no file matches {full}{hint}")));
        }
        let hdus: Vec<Option<HduSpec>> = match &self.spec.image.hdus {
            Some(hdus) => hdus.iter().cloned().map(Some).collect(),
            None => vec![self.spec.image.hdu.clone()],
        };
        let mut items = Vec::new();
        for (image, captures) in found {
            for hdu in &hdus {
                items.push(self.item(&image, hdu.clone(), captures.clone())?);
            }
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = items.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let (a, b) = (pair[0].place.image.display(), pair[1].place.image.display());
            return Err(self.wrong("image.name", format!("two exposures would be called {}: {a} and {b}", pair[0].name)));
        }
        Ok(items)
    }

    fn item(&self, image: &Path, hdu: Option<HduSpec>, mut captures: Captures) -> Result<ImportItem, FormatError> {
        let file = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut stem = file.as_str();
        for ending in [".gz", ".fz", ".fits", ".fit"] {
            stem = stem.strip_suffix(ending).unwrap_or(stem);
        }
        captures.insert("stem".into(), stem.to_owned());
        let mut default_name = "{stem}";
        if self.spec.image.hdus.is_some() {
            let text = match &hdu {
                Some(HduSpec::Number(n)) => n.to_string(),
                Some(HduSpec::Name(name)) => name.clone(),
                None => String::new(),
            };
            captures.insert("hdu".into(), text);
            default_name = "{stem}_{hdu}";
        }
        captures.insert("file".into(), file);
        let name = self.spec.image.name.as_deref().unwrap_or(default_name);
        let name = pattern::fill(name, |_| None, &captures).map_err(|why| self.wrong("image.name", why))?;
        let companion = |key: &str, file: &Option<String>| -> Result<PathBuf, FormatError> {
            let Some(file) = file else { return Ok(image.to_owned()) };
            let file = pattern::fill(&self.with_data(key, file)?, |_| None, &captures).map_err(|why| self.wrong(key, why))?;
            let path = self.root.join(file);
            if path.is_file() {
                return Ok(path);
            }
            Err(FormatError::Content {
                path,
                key: format!("{key} of {}", self.path.display()),
                found: "missing".into(),
                expected: format!("a file that goes with {}", image.display()),
            })
        };
        let spec = &self.spec;
        let variance = companion("variance.file", &spec.variance.file)?;
        let mask = spec.mask.as_ref().map(|m| companion("mask.file", &m.file)).transpose()?;
        let psf = Some(companion("psf.file", &spec.psf.file)?);
        let mut files = vec![image.to_owned(), variance.clone()];
        files.extend(mask.clone());
        files.extend(psf.clone());
        for (name, table) in &spec.table {
            files.push(companion(&format!("table.{name}.file"), &Some(table.file.clone()))?);
        }
        let mut seen = BTreeSet::new();
        files.retain(|f| seen.insert(f.clone()));
        Ok(ImportItem { name, files, place: Place { captures, image: image.to_owned(), image_hdu: hdu, variance, mask, psf } })
    }

    /// Reads one exposure. Bad pixels are left as they are: see [`Exposure::sanitize`].
    ///
    /// # Errors
    /// [`FormatError`]; [`FormatError::Layout`] if fathom was built without the feature `fits`.
    pub fn load(&self, item: &ImportItem) -> Result<Exposure, FormatError> {
        #[cfg(feature = "fits")]
        return load::exposure(self, item);
        #[cfg(not(feature = "fits"))]
        Err(self.wrong(&item.name, WITHOUT_FITS))
    }

    /// The bands of all exposures, sorted; opens files only if the band stands in their headers or in a table.
    ///
    /// # Errors
    /// As [`Self::items`] and [`Self::load`].
    pub fn bands(&self) -> Result<Vec<String>, FormatError> {
        let mut bands = BTreeSet::new();
        for item in self.items()? {
            #[cfg(feature = "fits")]
            bands.insert(load::band(self, &item)?);
            #[cfg(not(feature = "fits"))]
            match &self.spec.exposure.band {
                Source::Template(t) => {
                    bands.insert(pattern::fill(t, |_| None, &item.place.captures).map_err(|why| self.wrong("exposure.band", why))?)
                }
                _ => return Err(self.wrong("exposure.band", WITHOUT_FITS)),
            };
        }
        Ok(bands.into_iter().collect())
    }

    /// The truth catalog, if the layout has a `[truth]` table.
    ///
    /// # Errors
    /// [`FormatError`]; [`FormatError::Layout`] if fathom was built without the feature `fits`.
    pub fn truth(&self) -> Result<Option<Table>, FormatError> {
        let Some(spec) = &self.spec.truth else { return Ok(None) };
        #[cfg(feature = "fits")]
        return truth::read(self, spec).map(Some);
        #[cfg(not(feature = "fits"))]
        Err(self.wrong("truth.file", format!("{}: {WITHOUT_FITS}", spec.file)))
    }
}

#[cfg(not(feature = "fits"))]
const WITHOUT_FITS: &str = "cannot be read: fathom was built without the feature `fits`";

#[cfg(all(test, feature = "fits"))]
mod tests;

//! FITS through cfitsio: images, header cards and table columns of one file, plain, gzip'd or tile-compressed.
//!
//! Images go through `ffgpv` with an explicit null value, because fitsio's own reader does not turn the
//! undefined pixels of a compressed image into NaN. File names are taken literally: a bracket in a name is no filter.

use super::FormatError;
use fitsio::sys;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// Codes of cfitsio's `datatype` arguments.
const TLOGICAL: c_int = 14;
const TSTRING: c_int = 16;
const TFLOAT: c_int = 42;
const TLONGLONG: c_int = 81;
const TDOUBLE: c_int = 82;
/// Codes of HDU types.
const IMAGE_HDU: c_int = 0;
const ANY_HDU: c_int = -1;
/// Longest token that cfitsio writes into a buffer, with room to spare.
const BUFFER: usize = 256;

/// cfitsio keeps its message stack and file table in globals, and need not be built re-entrant: one call at a time.
static CFITSIO: Mutex<()> = Mutex::new(());

pub(super) fn lock() -> MutexGuard<'static, ()> {
    // A panic while the lock was held leaves cfitsio as usable as before.
    CFITSIO.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Which header-data unit of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hdu {
    /// By position; 0 is the primary.
    Number(usize),
    /// By `EXTNAME`.
    Name(String),
    /// The first one that holds an image with pixels.
    FirstImage,
    /// The first one that holds a table.
    FirstTable,
}

impl std::fmt::Display for Hdu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "HDU {n}"),
            Self::Name(name) => write!(f, "HDU \"{name}\""),
            Self::FirstImage => write!(f, "first image"),
            Self::FirstTable => write!(f, "first table"),
        }
    }
}

/// Value of a header card.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Integer or real number.
    Number(f64),
    /// Character string, trailing blanks removed.
    Text(String),
    /// `T` or `F`.
    Bool(bool),
}

/// Cards of one HDU, by keyword in capitals; of repeated keywords the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Header(pub BTreeMap<String, Value>);

impl Header {
    /// A card's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(&key.to_ascii_uppercase())
    }

    /// A card's value, if it is a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(v) => Some(*v),
            _ => None,
        }
    }

    /// Numbers and texts as cards of a WCS.
    #[must_use]
    pub fn wcs_cards(&self) -> crate::geometry::Cards {
        use crate::geometry::Card;
        let card = |value: &Value| match value {
            Value::Number(v) => Some(Card::Number(*v)),
            Value::Text(t) => Some(Card::Text(t.clone())),
            Value::Bool(_) => None,
        };
        self.0.iter().filter_map(|(k, v)| Some((k.clone(), card(v)?))).collect()
    }
}

/// A type that pixels and columns are read as.
trait Scalar: Copy {
    /// cfitsio's code.
    const CODE: c_int;
    /// What stands for an undefined value.
    const NULL: Self;
    /// What a flag becomes.
    fn of_flag(flag: bool) -> Self;
}

impl Scalar for f32 {
    const CODE: c_int = TFLOAT;
    const NULL: Self = Self::NAN;
    fn of_flag(flag: bool) -> Self {
        if flag { 1.0 } else { 0.0 }
    }
}

impl Scalar for f64 {
    const CODE: c_int = TDOUBLE;
    const NULL: Self = Self::NAN;
    fn of_flag(flag: bool) -> Self {
        if flag { 1.0 } else { 0.0 }
    }
}

impl Scalar for i64 {
    const CODE: c_int = TLONGLONG;
    const NULL: Self = Self::MIN;
    fn of_flag(flag: bool) -> Self {
        Self::from(flag)
    }
}

/// A FITS file open for reading.
#[derive(Debug)]
pub struct Fits {
    path: PathBuf,
    raw: *mut sys::fitsfile,
}

// SAFETY: the pointer is owned by this value alone, and every call on it takes the global lock.
unsafe impl Send for Fits {}

impl Drop for Fits {
    fn drop(&mut self) {
        let _guard = lock();
        let mut status = 0;
        // SAFETY: `raw` came from a successful open and is closed only here.
        unsafe { sys::ffclos(self.raw, &raw mut status) };
    }
}

/// cfitsio's words for a status, and empties its message stack. The lock must be held.
pub(super) fn words(status: c_int) -> String {
    let mut text = [0 as c_char; BUFFER];
    // SAFETY: cfitsio writes at most 31 characters here and 81 below, each with its zero.
    let short = unsafe {
        sys::ffgerr(status, text.as_mut_ptr());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    };
    let mut out = format!("cfitsio status {status}, {short}");
    // SAFETY: as above.
    while unsafe { sys::ffgmsg(text.as_mut_ptr()) } != 0 {
        // SAFETY: as above.
        let line = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
        out.push_str("; ");
        out.push_str(line.trim());
    }
    out
}

impl Fits {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`FormatError::Io`] if it cannot be read, [`FormatError::Fits`] if it is not FITS.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        // cfitsio's "could not open the named file" hides the reason; the system's own words do not.
        std::fs::File::open(path).map_err(|source| FormatError::Io { path: path.to_owned(), source })?;
        let name = CString::new(path.to_string_lossy().as_bytes()).map_err(|_| FormatError::Fits {
            path: path.to_owned(),
            what: "opening".into(),
            why: "the name holds a zero byte".into(),
        })?;
        let _guard = lock();
        let (mut raw, mut status) = (std::ptr::null_mut(), 0);
        // SAFETY: `name` outlives the call; `raw` is written only on success.
        unsafe { sys::ffdkopn(&raw mut raw, name.as_ptr(), 0, &raw mut status) };
        if status != 0 {
            return Err(FormatError::Fits { path: path.to_owned(), what: "opening".into(), why: words(status) });
        }
        Ok(Self { path: path.to_owned(), raw })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Turns a status into a result. The lock must be held.
    fn check(&self, status: c_int, what: impl std::fmt::Display) -> Result<(), FormatError> {
        if status == 0 {
            return Ok(());
        }
        Err(FormatError::Fits { path: self.path.clone(), what: what.to_string(), why: words(status) })
    }

    fn content(&self, key: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> FormatError {
        FormatError::Content { path: self.path.clone(), key: key.into(), found: found.into(), expected: expected.into() }
    }

    /// Makes an HDU the current one; the lock must be held.
    fn go_to(&self, hdu: &Hdu) -> Result<(), FormatError> {
        let (mut status, mut kind) = (0, 0);
        match hdu {
            Hdu::Number(n) => {
                let number = c_int::try_from(*n + 1).map_err(|_| self.content("HDU", n.to_string(), "a smaller number"))?;
                // SAFETY: `raw` is open; the others are valid for writing.
                unsafe { sys::ffmahd(self.raw, number, &raw mut kind, &raw mut status) };
                self.check(status, format!("going to {hdu}"))
            }
            Hdu::Name(name) => {
                let c_name = CString::new(name.as_str()).map_err(|_| self.content("HDU", name.clone(), "a name without zero bytes"))?;
                // SAFETY: as above; cfitsio does not write to the name.
                unsafe { sys::ffmnhd(self.raw, ANY_HDU, c_name.as_ptr().cast_mut(), 0, &raw mut status) };
                self.check(status, format!("going to {hdu}"))
            }
            Hdu::FirstImage | Hdu::FirstTable => {
                let mut n_hdus = 0;
                // SAFETY: as above.
                unsafe { sys::ffthdu(self.raw, &raw mut n_hdus, &raw mut status) };
                self.check(status, "counting the HDUs")?;
                for number in 1..=n_hdus {
                    let mut n_axes = 0;
                    // SAFETY: as above. `ffghdt` and not `ffmahd` says IMAGE for a tile-compressed image.
                    unsafe {
                        sys::ffmahd(self.raw, number, &raw mut kind, &raw mut status);
                        sys::ffghdt(self.raw, &raw mut kind, &raw mut status);
                        if kind == IMAGE_HDU {
                            sys::ffgidm(self.raw, &raw mut n_axes, &raw mut status);
                        }
                    }
                    self.check(status, format!("looking at HDU {}", number - 1))?;
                    if (*hdu == Hdu::FirstImage && kind == IMAGE_HDU && n_axes > 1) || (*hdu == Hdu::FirstTable && kind != IMAGE_HDU) {
                        return Ok(());
                    }
                }
                let what = if *hdu == Hdu::FirstImage { "an image" } else { "a table" };
                Err(self.content("file", format!("without {what} in its {n_hdus} HDUs"), what))
            }
        }
    }

    /// Position of an HDU; 0 is the primary.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU.
    pub fn position(&mut self, hdu: &Hdu) -> Result<usize, FormatError> {
        let _guard = lock();
        self.go_to(hdu)?;
        let mut number = 0;
        // SAFETY: `raw` is open.
        unsafe { sys::ffghdn(self.raw, &raw mut number) };
        Ok(usize::try_from(number - 1).unwrap_or(0))
    }

    /// Cards of an HDU.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU or its header cannot be read. A card without a value is left out.
    pub fn header(&mut self, hdu: &Hdu) -> Result<Header, FormatError> {
        let _guard = lock();
        self.go_to(hdu)?;
        let (mut n_cards, mut status) = (0, 0);
        // SAFETY: `raw` is open; cfitsio allows a null pointer for what is not asked for.
        unsafe { sys::ffghsp(self.raw, &raw mut n_cards, std::ptr::null_mut(), &raw mut status) };
        self.check(status, format!("reading the header of {hdu}"))?;
        let mut cards = BTreeMap::new();
        for i in 1..=n_cards {
            let (mut key, mut value) = ([0 as c_char; BUFFER], [0 as c_char; BUFFER]);
            let mut status = 0;
            // SAFETY: keyword and value have at most 74 characters and their zero.
            let (key, value) = unsafe {
                sys::ffgkyn(self.raw, i, key.as_mut_ptr(), value.as_mut_ptr(), std::ptr::null_mut(), &raw mut status);
                (CStr::from_ptr(key.as_ptr()).to_string_lossy(), CStr::from_ptr(value.as_ptr()).to_string_lossy())
            };
            if status != 0 {
                // Real headers hold cards that break the rules; only those that are asked for matter.
                // SAFETY: empties the message stack.
                unsafe { sys::ffcmsg() };
                continue;
            }
            if let Some(value) = parse_value(&value) {
                cards.entry(key.to_ascii_uppercase()).or_insert(value);
            }
        }
        Ok(Header(cards))
    }

    /// Shape `(ny, nx)` and number of planes of the current HDU's image; the lock must be held.
    fn image_shape(&self, hdu: &Hdu) -> Result<((usize, usize), usize), FormatError> {
        let (mut kind, mut n_axes, mut status) = (0, 0, 0);
        let mut axes = [0 as sys::LONGLONG; 8];
        // SAFETY: `raw` is open; `axes` has room for the 8 lengths asked for.
        unsafe {
            sys::ffghdt(self.raw, &raw mut kind, &raw mut status);
            if kind == IMAGE_HDU {
                sys::ffgidm(self.raw, &raw mut n_axes, &raw mut status);
                sys::ffgiszll(self.raw, 8, axes.as_mut_ptr(), &raw mut status);
            }
        }
        self.check(status, format!("reading the shape of {hdu}"))?;
        if kind != IMAGE_HDU {
            return Err(self.content(hdu.to_string(), "a table", "an image"));
        }
        let n_axes = usize::try_from(n_axes).unwrap_or(0);
        let axes: Vec<usize> = axes.iter().take(n_axes).map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        match axes.as_slice() {
            [nx, ny, further @ ..] if *nx > 0 && *ny > 0 => Ok(((*ny, *nx), further.iter().product())),
            _ => Err(self.content(hdu.to_string(), format!("an array with axes {axes:?}"), "an image")),
        }
    }

    /// Plane `plane` of an image as `T`.
    fn image<T: Scalar>(&mut self, hdu: &Hdu, plane: usize) -> Result<Array2<T>, FormatError> {
        let _guard = lock();
        self.go_to(hdu)?;
        let ((ny, nx), n_planes) = self.image_shape(hdu)?;
        if plane >= n_planes {
            return Err(self.content(hdu.to_string(), format!("an image of {n_planes} planes"), format!("at least {}", plane + 1)));
        }
        let (mut null, mut pixels) = (T::NULL, vec![T::NULL; ny * nx]);
        let (mut any_null, mut status) = (0, 0);
        // SAFETY: `pixels` has room for the ny·nx values of type `T` asked for; `null` is of that type.
        unsafe {
            sys::ffgpv(
                self.raw,
                T::CODE,
                (plane * ny * nx + 1) as sys::LONGLONG,
                (ny * nx) as sys::LONGLONG,
                (&raw mut null).cast::<c_void>(),
                pixels.as_mut_ptr().cast::<c_void>(),
                &raw mut any_null,
                &raw mut status,
            );
        }
        self.check(status, format!("reading the image of {hdu}"))?;
        Ok(Array2::from_shape_vec((ny, nx), pixels).expect("as many pixels as the shape has"))
    }

    /// An image as `[y, x]`; undefined pixels are NaN. `plane` chooses from a cube, 0 for a plain image.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU, it is no image, or its pixels cannot be read.
    pub fn image_f32(&mut self, hdu: &Hdu, plane: usize) -> Result<Array2<f32>, FormatError> {
        self.image(hdu, plane)
    }

    /// As [`Self::image_f32`], in double precision.
    ///
    /// # Errors
    /// As there.
    pub fn image_f64(&mut self, hdu: &Hdu, plane: usize) -> Result<Array2<f64>, FormatError> {
        self.image(hdu, plane)
    }

    /// An image of whole numbers; undefined pixels are `i64::MIN`.
    ///
    /// # Errors
    /// As [`Self::image_f32`].
    pub fn image_i64(&mut self, hdu: &Hdu, plane: usize) -> Result<Array2<i64>, FormatError> {
        self.image(hdu, plane)
    }

    /// Number of rows of a table.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU or it is no table.
    pub fn n_rows(&mut self, hdu: &Hdu) -> Result<usize, FormatError> {
        let _guard = lock();
        self.go_to(hdu)?;
        self.rows(hdu)
    }

    fn rows(&self, hdu: &Hdu) -> Result<usize, FormatError> {
        let (mut n_rows, mut status) = (0, 0);
        // SAFETY: `raw` is open.
        unsafe { sys::ffgnrwll(self.raw, &raw mut n_rows, &raw mut status) };
        self.check(status, format!("counting the rows of {hdu}"))?;
        Ok(usize::try_from(n_rows).unwrap_or(0))
    }

    /// Names of a table's columns, as written in the file.
    ///
    /// # Errors
    /// As [`Self::n_rows`].
    pub fn column_names(&mut self, hdu: &Hdu) -> Result<Vec<String>, FormatError> {
        let header = self.header(hdu)?;
        let name = |i: usize| match header.get(&format!("TTYPE{i}")) {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        };
        let n = header.number("TFIELDS").ok_or_else(|| self.content(hdu.to_string(), "not a table", "a table"))?;
        Ok((1..=n as usize).map(name).collect())
    }

    /// Number (from 1), type code and values a row of a column; capitals do not matter. The lock must be held.
    fn find_column(&self, hdu: &Hdu, name: &str, present: &[String]) -> Result<(c_int, c_int, usize), FormatError> {
        // By our own comparison: cfitsio takes `*`, `?` and `#` in a name for patterns.
        let Some(i) = present.iter().position(|p| p.eq_ignore_ascii_case(name)) else {
            return Err(self.content(format!("column {name} of {hdu}"), "missing", format!("one of {}", present.join(", "))));
        };
        let number = c_int::try_from(i + 1).expect("FITS allows 999 columns");
        let (mut code, mut repeat, mut width, mut status) = (0, 0, 0, 0);
        // SAFETY: `raw` is open at a table that has this column.
        unsafe { sys::ffgtclll(self.raw, number, &raw mut code, &raw mut repeat, &raw mut width, &raw mut status) };
        self.check(status, format!("looking at column {name}"))?;
        if code < 0 {
            return Err(self.content(format!("column {name} of {hdu}"), "of variable length", "a column of fixed length"));
        }
        Ok((number, code, usize::try_from(if code == TSTRING { width } else { repeat }).unwrap_or(0)))
    }

    /// Values of a column as `T`, and how many a row has.
    fn column<T: Scalar>(&mut self, hdu: &Hdu, name: &str) -> Result<(Vec<T>, usize), FormatError> {
        let present = self.column_names(hdu)?;
        let _guard = lock();
        self.go_to(hdu)?;
        let n_rows = self.rows(hdu)?;
        let (number, found, repeat) = self.find_column(hdu, name, &present)?;
        if found == TSTRING {
            return Err(self.content(format!("column {name} of {hdu}"), "text", "numbers"));
        }
        let n = n_rows * repeat;
        let (mut any_null, mut status) = (0, 0);
        // cfitsio does not read a logical column as numbers.
        if found == TLOGICAL {
            let mut flags = vec![0 as c_char; n];
            // SAFETY: `flags` has room for n values.
            unsafe { sys::ffgcvl(self.raw, number, 1, 1, n as sys::LONGLONG, 0, flags.as_mut_ptr(), &raw mut any_null, &raw mut status) };
            self.check(status, format!("reading column {name} of {hdu}"))?;
            return Ok((flags.iter().map(|&f| T::of_flag(f != 0)).collect(), repeat));
        }
        let (mut null, mut values) = (T::NULL, vec![T::NULL; n]);
        // SAFETY: `values` has room for the n values of type `T` asked for; `null` is of that type.
        unsafe {
            sys::ffgcv(
                self.raw,
                T::CODE,
                number,
                1,
                1,
                n as sys::LONGLONG,
                (&raw mut null).cast::<c_void>(),
                values.as_mut_ptr().cast::<c_void>(),
                &raw mut any_null,
                &raw mut status,
            );
        }
        self.check(status, format!("reading column {name} of {hdu}"))?;
        Ok((values, repeat))
    }

    /// A column of numbers, row after row, and how many values a row has; undefined values are NaN, flags 0 and 1.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU or column, or it holds text.
    pub fn column_f64(&mut self, hdu: &Hdu, name: &str) -> Result<(Vec<f64>, usize), FormatError> {
        self.column(hdu, name)
    }

    /// As [`Self::column_f64`], as whole numbers; undefined values are `i64::MIN`.
    ///
    /// # Errors
    /// As there.
    pub fn column_i64(&mut self, hdu: &Hdu, name: &str) -> Result<(Vec<i64>, usize), FormatError> {
        self.column(hdu, name)
    }

    /// True if a column holds text.
    ///
    /// # Errors
    /// As [`Self::column_f64`].
    pub fn is_text_column(&mut self, hdu: &Hdu, name: &str) -> Result<bool, FormatError> {
        let present = self.column_names(hdu)?;
        let _guard = lock();
        self.go_to(hdu)?;
        Ok(self.find_column(hdu, name, &present)?.1 == TSTRING)
    }

    /// A column of texts, one a row, without trailing blanks.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such HDU or column, or it holds no text.
    pub fn column_text(&mut self, hdu: &Hdu, name: &str) -> Result<Vec<String>, FormatError> {
        let present = self.column_names(hdu)?;
        let _guard = lock();
        self.go_to(hdu)?;
        let n_rows = self.rows(hdu)?;
        let (number, found, width) = self.find_column(hdu, name, &present)?;
        if found != TSTRING {
            return Err(self.content(format!("column {name} of {hdu}"), "numbers", "text"));
        }
        let mut bytes = vec![0 as c_char; n_rows * (width + 1)];
        let mut rows: Vec<*mut c_char> = bytes.chunks_mut(width + 1).map(<[c_char]>::as_mut_ptr).collect();
        let mut null = [0 as c_char; 1];
        let (mut any_null, mut status) = (0, 0);
        // SAFETY: every row has room for `width` characters and their zero.
        unsafe {
            sys::ffgcvs(
                self.raw,
                number,
                1,
                1,
                n_rows as sys::LONGLONG,
                null.as_mut_ptr(),
                rows.as_mut_ptr(),
                &raw mut any_null,
                &raw mut status,
            );
        }
        self.check(status, format!("reading column {name} of {hdu}"))?;
        // SAFETY: cfitsio ended every row with a zero; `bytes` is alive.
        Ok(rows.iter().map(|&row| unsafe { CStr::from_ptr(row) }.to_string_lossy().trim_end().to_owned()).collect())
    }
}

/// Value of a card from cfitsio's token: quoted text, T or F, or a number (with D for E, as Fortran writes).
fn parse_value(token: &str) -> Option<Value> {
    let token = token.trim();
    if let Some(quoted) = token.strip_prefix('\'') {
        let inner = quoted.strip_suffix('\'').unwrap_or(quoted);
        return Some(Value::Text(inner.replace("''", "'").trim_end().to_owned()));
    }
    match token {
        "" => None,
        "T" => Some(Value::Bool(true)),
        "F" => Some(Value::Bool(false)),
        number => number.replace(['D', 'd'], "E").parse().ok().map(Value::Number),
    }
}

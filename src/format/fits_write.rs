//! A FITS file in the making, through cfitsio: images with a WCS, and binary tables.

use super::FormatError;
use super::fits::{lock, words};
use crate::geometry::{Card, Cards};
use fitsio::sys;
use ndarray::ArrayView2;
use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};

const TINT: c_int = 31;
const TFLOAT: c_int = 42;
const LONG_IMG: c_int = 32;
const FLOAT_IMG: c_int = -32;
const BINARY_TBL: c_int = 2;

/// Pixels of an image.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// Real; NaN without data.
    Real(ArrayView2<'a, f32>),
    /// Bit planes.
    Bits(ArrayView2<'a, u32>),
}

/// A column of a table to be: name, TFORM, unit, description.
pub(super) struct TableColumn<'a> {
    pub name: &'a str,
    pub form: String,
    pub unit: &'a str,
    pub description: &'a str,
}

/// An open file; what was written is only sure after [`Self::close`].
#[derive(Debug)]
pub struct FitsWriter {
    /// Name that messages show.
    path: PathBuf,
    raw: *mut sys::fitsfile,
}

// SAFETY: the pointer is owned by this value alone, and every call on it takes the global lock.
unsafe impl Send for FitsWriter {}

impl Drop for FitsWriter {
    fn drop(&mut self) {
        let _guard = lock();
        let mut status = 0;
        if !self.raw.is_null() {
            // SAFETY: `raw` came from a successful creation and was not closed yet.
            unsafe { sys::ffclos(self.raw, &raw mut status) };
        }
    }
}

fn text(value: &str) -> CString {
    // Only control characters are not allowed in a card anyway.
    CString::new(value.replace('\0', " ")).expect("zeros were replaced")
}

impl FitsWriter {
    /// Makes the file `at`, which must not exist; errors name `shown`.
    ///
    /// # Errors
    /// [`FormatError::Fits`].
    pub fn create(at: &Path, shown: &Path) -> Result<Self, FormatError> {
        let name = text(&at.to_string_lossy());
        let _guard = lock();
        let (mut raw, mut status) = (std::ptr::null_mut(), 0);
        // SAFETY: `name` outlives the call; `raw` is written only on success. A disk file: brackets in the name are no filter.
        unsafe { sys::ffdkinit(&raw mut raw, name.as_ptr(), &raw mut status) };
        if status != 0 {
            return Err(FormatError::Fits { path: shown.to_owned(), what: "making the file".into(), why: words(status) });
        }
        Ok(Self { path: shown.to_owned(), raw })
    }

    /// Turns a status into a result. The lock must be held.
    fn check(&self, status: c_int, what: &str) -> Result<(), FormatError> {
        if status == 0 {
            return Ok(());
        }
        Err(FormatError::Fits { path: self.path.clone(), what: what.to_owned(), why: words(status) })
    }

    /// Appends an image as an HDU of its own, with cards.
    ///
    /// # Arguments
    /// * `pixels`: `[y, x]`; the first pixel of FITS is `[0, 0]`.
    ///
    /// # Errors
    /// [`FormatError::Fits`].
    pub fn image(&mut self, name: &str, pixels: Pixels, cards: &Cards) -> Result<(), FormatError> {
        let (ny, nx) = match pixels {
            Pixels::Real(p) => p.dim(),
            Pixels::Bits(p) => p.dim(),
        };
        let kind = if matches!(pixels, Pixels::Real(_)) { FLOAT_IMG } else { LONG_IMG };
        {
            let _guard = lock();
            let (mut axes, mut status) = ([nx as sys::LONGLONG, ny as sys::LONGLONG], 0);
            // SAFETY: `raw` is open; `axes` holds two lengths.
            unsafe { sys::ffcrimll(self.raw, kind, 2, axes.as_mut_ptr(), &raw mut status) };
            self.check(status, &format!("making image {name}"))?;
        }
        self.card("EXTNAME", &Card::Text(name.to_owned()))?;
        for (key, card) in cards {
            self.card(key, card)?;
        }
        let _guard = lock();
        let mut status = 0;
        let n = (nx * ny) as sys::LONGLONG;
        match pixels {
            Pixels::Real(p) => {
                let mut values: Vec<f32> = p.iter().copied().collect();
                // SAFETY: `values` holds n reals, which cfitsio may swap in place.
                unsafe { sys::ffppr(self.raw, TFLOAT, 1, n, values.as_mut_ptr().cast::<c_void>(), &raw mut status) };
            }
            Pixels::Bits(p) => {
                let mut values: Vec<i32> = p.iter().map(|b| b.cast_signed()).collect();
                // SAFETY: as above, of integers.
                unsafe { sys::ffppr(self.raw, TINT, 1, n, values.as_mut_ptr().cast::<c_void>(), &raw mut status) };
            }
        }
        self.check(status, &format!("writing image {name}"))
    }

    /// Writes a card into the current HDU.
    fn card(&mut self, key: &str, value: &Card) -> Result<(), FormatError> {
        let (c_key, c_comment) = (text(key), text(""));
        let _guard = lock();
        let mut status = 0;
        match value {
            // SAFETY: `raw` is open; the texts outlive the call. 15 digits after the point hold any double.
            Card::Number(v) => unsafe { sys::ffpkyd(self.raw, c_key.as_ptr(), *v, -15, c_comment.as_ptr(), &raw mut status) },
            Card::Text(t) => {
                let c_value = text(t);
                // SAFETY: as above. Long texts go on in CONTINUE cards.
                unsafe { sys::ffpkls(self.raw, c_key.as_ptr(), c_value.as_ptr(), c_comment.as_ptr(), &raw mut status) }
            }
        };
        self.check(status, &format!("writing card {key}"))
    }

    /// Appends an empty binary table.
    pub(super) fn table(&mut self, name: &str, columns: &[TableColumn]) -> Result<(), FormatError> {
        let texts = |of: &dyn Fn(&TableColumn) -> String| columns.iter().map(|c| text(&of(c))).collect::<Vec<_>>();
        let (names, forms, units) = (texts(&|c| c.name.to_owned()), texts(&|c| c.form.clone()), texts(&|c| c.unit.to_owned()));
        let pointers = |list: &[CString]| list.iter().map(|t| t.as_ptr().cast_mut()).collect::<Vec<_>>();
        let (mut p_names, mut p_forms, mut p_units) = (pointers(&names), pointers(&forms), pointers(&units));
        let n = c_int::try_from(columns.len()).unwrap_or(c_int::MAX);
        {
            let (c_name, _guard) = (text(name), lock());
            let mut status = 0;
            // SAFETY: three lists of n texts that outlive the call; cfitsio does not write to them.
            unsafe {
                let (names, forms, units) = (p_names.as_mut_ptr(), p_forms.as_mut_ptr(), p_units.as_mut_ptr());
                sys::ffcrtb(self.raw, BINARY_TBL, 0, n, names, forms, units, c_name.as_ptr(), &raw mut status);
            }
            self.check(status, &format!("making table {name} of {n} columns"))?;
        }
        for (i, column) in columns.iter().enumerate().filter(|(_, c)| !c.description.is_empty()) {
            self.card(&format!("TCOMM{}", i + 1), &Card::Text(column.description.to_owned()))?;
        }
        Ok(())
    }

    /// Writes a part of a column of the current table: rows from `first_row` (0: the first).
    pub(super) fn column(&mut self, number: usize, first_row: usize, data: &crate::catalog::ColumnData) -> Result<(), FormatError> {
        use crate::catalog::ColumnData;
        let (column, row) = (number as c_int + 1, first_row as sys::LONGLONG + 1);
        let n = data.len() as sys::LONGLONG;
        let _guard = lock();
        let mut status = 0;
        // SAFETY: every list holds n values; cfitsio takes them as `mut` but does not keep or change them.
        unsafe {
            match data {
                ColumnData::F64(v) => {
                    let mut values = v.clone();
                    sys::ffpcld(self.raw, column, row, 1, n, values.as_mut_ptr(), &raw mut status);
                }
                ColumnData::I64(v) => {
                    let mut values = v.clone();
                    sys::ffpcljj(self.raw, column, row, 1, n, values.as_mut_ptr(), &raw mut status);
                }
                ColumnData::Bool(v) => {
                    let mut values: Vec<std::ffi::c_char> = v.iter().map(|&b| b.into()).collect();
                    sys::ffpcll(self.raw, column, row, 1, n, values.as_mut_ptr(), &raw mut status);
                }
                ColumnData::Text(v) => {
                    let texts: Vec<CString> = v.iter().map(|t| text(t)).collect();
                    let mut pointers: Vec<_> = texts.iter().map(|t| t.as_ptr().cast_mut()).collect();
                    sys::ffpcls(self.raw, column, row, 1, n, pointers.as_mut_ptr(), &raw mut status);
                }
            }
        }
        self.check(status, &format!("writing column {}", number + 1))
    }

    /// Closes the file; only then it is whole.
    ///
    /// # Errors
    /// [`FormatError::Fits`] if something could not be written.
    pub fn close(mut self) -> Result<(), FormatError> {
        let raw = std::mem::replace(&mut self.raw, std::ptr::null_mut());
        let _guard = lock();
        let mut status = 0;
        // SAFETY: `raw` is open, and nobody uses it after this.
        unsafe { sys::ffclos(raw, &raw mut status) };
        self.check(status, "closing the file")
    }
}

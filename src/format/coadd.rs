//! `fathom-coadd` files: all bands of one patch; and reading across patches.

use super::FormatError;
use crate::coadd::{BandCoadd, CoaddInputRecord};
use crate::geometry::{Box2, Tract};
use ndarray::{Array2, Array3};
use std::path::{Path, PathBuf};

/// Writes all bands of a patch, taking each when it is made (memory: one band at a time).
///
/// # Errors
/// [`FormatError`], or the error of a coadd.
pub fn write<E: From<FormatError>>(
    _path: &Path,
    _key: &str,
    _bands: &[String],
    _make: impl FnMut(&str) -> Result<BandCoadd, E>,
) -> Result<(), E> {
    todo!()
}

/// A plane of real values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Direct coadd \[nJy\].
    Image,
    /// Its variance \[nJy²\].
    Variance,
    /// Ψ.
    Psi,
    /// Φ.
    Phi,
    /// Φ3.
    Phi3,
    /// Ω.
    Omega,
}

/// All patches of a tract as one image: reads any box from the files that hold its pixels.
#[derive(Debug, Clone)]
pub struct CoaddMosaic {
    tract: Tract,
    /// One file per patch, in the order of [`Tract::patches`].
    paths: Vec<PathBuf>,
}

impl CoaddMosaic {
    /// `paths` in the order of [`Tract::patches`].
    #[must_use]
    pub fn new(tract: Tract, paths: Vec<PathBuf>) -> Self {
        Self { tract, paths }
    }

    /// The tract.
    #[must_use]
    pub fn tract(&self) -> &Tract {
        &self.tract
    }

    /// Files of the patches.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Pixels of one plane; outside the tract: NaN for the image, +∞ for the variance, 0 else.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn plane(&self, _band: &str, _plane: Plane, _bbox: &Box2) -> Result<Array2<f32>, FormatError> {
        todo!()
    }

    /// Mask; `NO_DATA` outside the tract.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn mask(&self, _band: &str, _bbox: &Box2) -> Result<Array2<u32>, FormatError> {
        todo!()
    }

    /// Contributing exposures, `[word, y, x]`; 0 outside.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn inputs_wyx(&self, _band: &str, _bbox: &Box2) -> Result<Array3<u64>, FormatError> {
        todo!()
    }

    /// Exposures of the band, in the order of the bits (`n_pixels` summed over the patches).
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn inputs(&self, _band: &str) -> Result<Vec<CoaddInputRecord>, FormatError> {
        todo!()
    }

    /// Noise covariance of the cell that holds the pixel, `[2h+1, 2h+1]` \[nJy²\]; `None` outside or without data.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn covariance(&self, _band: &str, _x: i32, _y: i32) -> Result<Option<Array2<f64>>, FormatError> {
        todo!()
    }

    /// Mean FWHM of the band's PSF \[tract pixel\].
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn fwhm_px(&self, _band: &str) -> Result<f64, FormatError> {
        todo!()
    }
}

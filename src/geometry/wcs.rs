//! World coordinates: pixel <-> sky for FITS headers with TAN, TAN-SIP, TPV and SIN projections.

use crate::geometry::{PixelPoint, SkyPoint};
use std::collections::BTreeMap;

/// Value of one FITS header card.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Card {
    /// Integer or real value.
    Number(f64),
    /// Character string.
    Text(String),
}

/// Header cards that make a WCS, by keyword; CRPIX is 1-based here, as in FITS.
pub type Cards = BTreeMap<String, Card>;

/// Why a WCS could not be made or used.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum WcsError {
    /// A needed card is missing.
    #[error("WCS card {key} is missing")]
    Missing {
        /// Keyword.
        key: String,
    },
    /// A card has a value that makes no WCS.
    #[error("WCS card {key} is {found}; expected {expected}")]
    Card {
        /// Keyword.
        key: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The linear part cannot be inverted.
    #[error("singular WCS: determinant of the CD matrix is {determinant}")]
    Singular {
        /// Determinant \[deg²\].
        determinant: f64,
    },
    /// A position outside the projection, or where the distortion has no inverse.
    #[error("no pixel for ra {ra_deg} dec {dec_deg} (deg): {why}")]
    NoPixel {
        /// Right ascension \[deg\].
        ra_deg: f64,
        /// Declination \[deg\].
        dec_deg: f64,
        /// Reason.
        why: String,
    },
}

/// Pixel <-> sky of one grid. Pixels are 0-based.
#[derive(Debug, Clone, PartialEq)]
pub struct Wcs {
    cards: Cards,
}

impl Wcs {
    /// From FITS header cards (CTYPE1/2, CRVAL, CRPIX, CD or PC+CDELT, PV, A/B/AP/BP; others are ignored).
    ///
    /// # Errors
    /// [`WcsError`] if a card is missing or wrong, or the matrix is singular.
    pub fn from_cards(_cards: &Cards) -> Result<Self, WcsError> {
        todo!()
    }

    /// Gnomonic projection without distortion. `crpix` is 0-based; `cd_deg[i][j]` = d(ξ, η)_i / d(x, y)_j \[deg\].
    ///
    /// # Errors
    /// [`WcsError::Singular`] if the matrix has no inverse.
    pub fn tan(_crval: SkyPoint, _crpix: PixelPoint, _cd_deg: [[f64; 2]; 2]) -> Result<Self, WcsError> {
        todo!()
    }

    /// The cards that [`Self::from_cards`] makes this WCS from.
    #[must_use]
    pub fn cards(&self) -> &Cards {
        &self.cards
    }

    /// Sky position of a pixel position.
    #[must_use]
    pub fn pixel_to_sky(&self, _at: PixelPoint) -> SkyPoint {
        todo!()
    }

    /// Pixel position of a sky position, to 1e-9 pixel.
    ///
    /// # Errors
    /// [`WcsError::NoPixel`] on the far side of the sky, or where Newton's steps do not converge.
    pub fn sky_to_pixel(&self, _at: SkyPoint) -> Result<PixelPoint, WcsError> {
        todo!()
    }

    /// Local matrix d(east, north)/d(x, y) \[arcsec per pixel\] in the tangent plane at `at`: `[[de/dx, de/dy], [dn/dx, dn/dy]]`.
    #[must_use]
    pub fn jacobian_arcsec(&self, _at: PixelPoint) -> [[f64; 2]; 2] {
        todo!()
    }

    /// Solid angle of the pixel at `at` \[arcsec²\].
    #[must_use]
    pub fn pixel_area_arcsec2(&self, at: PixelPoint) -> f64 {
        let [[a, b], [c, d]] = self.jacobian_arcsec(at);
        (a * d - b * c).abs()
    }
}

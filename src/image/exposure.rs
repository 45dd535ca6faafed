//! One detector of one visit, with all it carries.

use crate::geometry::{Box2, PixelPoint, Wcs};
use crate::image::{ApCorrMap, MaskPlane, PhotoCalib, Psf};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Name of an exposure, unique in a run; its order fixes the order of every sum over exposures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExposureId(pub String);

impl std::fmt::Display for ExposureId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why planes and calibrations make no exposure.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum ExposureError {
    /// Planes of different shapes.
    #[error("exposure {id}: {plane} has shape {found:?}; expected {expected:?} (that of the image)")]
    Shape {
        /// Exposure.
        id: ExposureId,
        /// Plane.
        plane: &'static str,
        /// `(ny, nx)` of the plane.
        found: (usize, usize),
        /// `(ny, nx)` of the image.
        expected: (usize, usize),
    },
    /// A number out of range.
    #[error("exposure {id}: {key} is {found}; expected {expected}")]
    Value {
        /// Exposure.
        id: ExposureId,
        /// What.
        key: &'static str,
        /// Value.
        found: f64,
        /// Range.
        expected: &'static str,
    },
}

/// Everything of an exposure but its pixels: small, and enough to draw its PSF anywhere on the sky.
#[derive(Debug, Clone)]
pub struct ExposureMeta {
    /// Unique name.
    pub id: ExposureId,
    /// Band name, e.g. `r`.
    pub band: String,
    /// Middle of the exposure, MJD (TAI).
    pub mjd: f64,
    /// Exposure time \[s\].
    pub exposure_time_s: f64,
    /// Shape of the planes, `(ny, nx)`.
    pub shape: (usize, usize),
    /// Effective PSF.
    pub psf: Psf,
    /// Pixel <-> sky.
    pub wcs: Wcs,
    /// Counts to nJy.
    pub photo_calib: PhotoCalib,
    /// Aperture corrections that came with the exposure; empty if they are still to be measured.
    pub ap_corr: ApCorrMap,
    /// Electrons per count.
    pub gain_e_per_adu: f64,
    /// Read noise \[electrons\].
    pub read_noise_e: f64,
    /// Count at which a pixel saturates; infinite if unknown.
    pub saturation_adu: f64,
    /// Sky level that is still in the image \[counts\], where it is known exactly (a simulation's truth).
    pub known_sky_adu: Option<f64>,
}

impl ExposureMeta {
    /// All pixels of the exposure, first pixel (0, 0).
    #[must_use]
    pub fn bbox(&self) -> Box2 {
        Box2::of_shape(self.shape)
    }

    /// The middle of the exposure.
    #[must_use]
    pub fn center(&self) -> PixelPoint {
        PixelPoint::new((self.shape.1 as f64 - 1.0) / 2.0, (self.shape.0 as f64 - 1.0) / 2.0)
    }

    /// FWHM of the PSF in the middle \[arcsec\].
    #[must_use]
    pub fn fwhm_arcsec(&self) -> f64 {
        self.psf.fwhm_px(self.center()) * self.wcs.pixel_area_arcsec2(self.center()).sqrt()
    }

    /// Electrons per nJy at the middle of the exposure.
    #[must_use]
    pub fn electrons_per_njy(&self) -> f64 {
        self.gain_e_per_adu / self.photo_calib.mean_njy_per_adu
    }
}

/// One detector of one visit: pixels in counts (ADU), and what calibrates them.
///
/// `image`, `variance` \[ADU²\] and `mask` have the same shape `[y, x]`; array index `[0, 0]` is pixel
/// (`bbox.x0`, `bbox.y0`): an exposure may be a cut-out of the whole, whose calibrations keep the frame of the whole.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Calibrations.
    pub meta: ExposureMeta,
    /// Pixels present, in the frame of the whole exposure.
    pub bbox: Box2,
    /// Counts.
    pub image: Array2<f32>,
    /// Variance \[ADU²\].
    pub variance: Array2<f32>,
    /// Bits of [`MaskPlane`].
    pub mask: Array2<u32>,
}

/// How many pixels of an exposure were unusable, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PixelCounts {
    /// All pixels.
    pub n_pixels: u64,
    /// Pixels whose input mask says unusable.
    pub n_masked: u64,
    /// Unmasked pixels with a NaN or infinite value, masked now.
    pub n_not_finite: u64,
    /// Unmasked pixels with zero, negative or NaN variance, masked now.
    pub n_bad_variance: u64,
}

impl Exposure {
    /// Joins planes of a whole exposure to its calibrations; see [`Self::sanitize`] for bad values.
    ///
    /// # Errors
    /// [`ExposureError`] if the shapes differ or a number is out of range.
    pub fn new(meta: ExposureMeta, image: Array2<f32>, variance: Array2<f32>, mask: Array2<u32>) -> Result<Self, ExposureError> {
        let expected = meta.shape;
        for (plane, found) in [("image", image.dim()), ("variance", variance.dim()), ("mask", mask.dim())] {
            if found != expected {
                return Err(ExposureError::Shape { id: meta.id, plane, found, expected });
            }
        }
        let positive = |key, found: f64| {
            (found > 0.0).then_some(()).ok_or(ExposureError::Value { id: meta.id.clone(), key, found, expected: "a positive number" })
        };
        positive("gain_e_per_adu", meta.gain_e_per_adu)?;
        positive("photo_calib.mean_njy_per_adu", meta.photo_calib.mean_njy_per_adu)?;
        Ok(Self { bbox: meta.bbox(), meta, image, variance, mask })
    }

    /// Masks (`NO_DATA`) every pixel whose value or variance is no usable number, and counts them.
    ///
    /// Masked pixels get value 0 and variance +∞, so that no later sum meets a NaN.
    pub fn sanitize(&mut self) -> PixelCounts {
        let mut counts = PixelCounts { n_pixels: self.image.len() as u64, ..PixelCounts::default() };
        ndarray::Zip::from(&mut self.image).and(&mut self.variance).and(&mut self.mask).for_each(|z, v, m| {
            if *m & MaskPlane::UNUSABLE != 0 {
                counts.n_masked += 1;
            } else if !z.is_finite() {
                counts.n_not_finite += 1;
                *m |= MaskPlane::NoData.bit();
            } else if !(*v > 0.0 && v.is_finite()) {
                counts.n_bad_variance += 1;
                *m |= MaskPlane::NoData.bit();
            }
            if *m & MaskPlane::UNUSABLE != 0 {
                *z = 0.0;
                *v = f32::INFINITY;
            }
        });
        counts
    }
}

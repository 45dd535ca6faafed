//! What a measurement gets and gives.

use crate::geometry::{Box2, PixelPoint};
use ndarray::Array2;

/// One band of one source, on the source's box.
#[derive(Debug, Clone)]
pub struct SourceBand {
    /// Band name.
    pub band: String,
    /// The source's own pixels \[nJy\]: the child's share inside its parent, the coadd outside any other parent.
    pub image_njy: Array2<f32>,
    /// The coadd's pixels before deblending \[nJy\].
    pub parent_image_njy: Array2<f32>,
    /// Variance \[nJy²\]; +∞ marks a pixel that must not be used (no data, another parent's pixel).
    pub variance_njy2: Array2<f32>,
    /// Bits of [`crate::MaskPlane`].
    pub mask: Array2<u32>,
    /// True where `draw_psf` is the PSF of the pixel: elsewhere an exposure is masked, or ends, and the stack is another one.
    pub is_psf_valid: Array2<bool>,
    /// Noise autocorrelation ρ(dy, dx) of the coadd at the source, `[2h+1, 2h+1]`, ρ(0) = 1: Cov(i, j) = ρ(i - j) √(V_i V_j).
    pub correlation: Array2<f64>,
    /// FWHM of the PSF \[pixel\].
    pub fwhm_px: f64,
    /// Aperture correction of fixed apertures and of the PSF flux here, by algorithm; (1, flagged) if unknown.
    pub ap_corr: std::collections::BTreeMap<String, (f64, bool)>,
}

/// Draws the PSF of a band (by index) for a source at a tract position: `[2r+1, 2r+1]`, central pixel = the position's pixel.
pub type DrawPsf<'a> = &'a (dyn Fn(usize, PixelPoint) -> Array2<f64> + Sync);

/// One source in all bands.
#[derive(Clone)]
pub struct SourcePixels<'a> {
    /// Box of all planes, in tract coordinates.
    pub bbox: Box2,
    /// Position of the founding peak, in tract coordinates.
    pub peak: PixelPoint,
    /// Pixel scale \[arcsec\].
    pub pixel_scale_arcsec: f64,
    /// Bands, in the order of the run.
    pub bands: Vec<SourceBand>,
    /// PSF at any position near the peak.
    pub draw_psf: DrawPsf<'a>,
}

/// One column that a measurement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: &'static str,
    /// One line.
    pub description: String,
    /// A flag (bool) rather than a number.
    pub is_flag: bool,
}

impl ColumnSpec {
    /// A column of numbers.
    #[must_use]
    pub fn number(name: &str, unit: &'static str, description: &str) -> Self {
        Self { name: name.to_owned(), unit, description: description.to_owned(), is_flag: false }
    }

    /// A column of flags.
    #[must_use]
    pub fn flag(name: &str, description: &str) -> Self {
        Self { name: name.to_owned(), unit: "", description: description.to_owned(), is_flag: true }
    }
}

/// Values of one source, by column; made and read by name.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Numbers by column.
    pub values: std::collections::BTreeMap<String, f64>,
    /// Flags by column.
    pub flags: std::collections::BTreeMap<String, bool>,
}

impl Row {
    /// Sets a number.
    pub fn value(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    /// Sets a flag.
    pub fn flag(&mut self, name: &str, is_set: bool) {
        self.flags.insert(name.to_owned(), is_set);
    }

    /// The centroid, or `peak` where none was measured.
    #[must_use]
    pub fn position(&self, peak: PixelPoint) -> PixelPoint {
        match (self.values.get("x"), self.values.get("y")) {
            (Some(&x), Some(&y)) if x.is_finite() && y.is_finite() => PixelPoint::new(x, y),
            _ => peak,
        }
    }
}

/// Why a measurement cannot be set up. What befalls one source is a flag and NaN, never an error.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum MeasureError {
    /// A setting out of range or an unknown measurement.
    #[error("measure.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: String,
    },
}

/// One algorithm. Runs after those before it in the list and may read their columns (the centroid).
pub trait Measurement: Send + Sync {
    /// Name in the configuration.
    fn name(&self) -> &'static str;

    /// Columns it writes, for these bands.
    fn columns(&self, bands: &[String]) -> Vec<ColumnSpec>;

    /// Measures one source: writes every one of its columns (NaN and the flag where it fails).
    fn measure(&self, source: &SourcePixels, row: &mut Row);
}

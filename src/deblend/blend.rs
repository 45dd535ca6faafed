//! What a deblender gets and gives.

use super::{SymmetricConfig, SymmetricDeblender, apportion};
use crate::footprint::{Footprint, HeavyFootprint, Span, SpanSet};
use crate::geometry::Box2;
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

/// One band of a blend, on the blend's box.
#[derive(Debug, Clone)]
pub struct BlendBand {
    /// Band name.
    pub band: String,
    /// Direct coadd \[nJy\], `[y, x]`; NaN without data.
    pub image_njy: Array2<f32>,
    /// Variance \[nJy²\]; +∞ without data.
    pub variance_njy2: Array2<f32>,
    /// Bits of [`crate::MaskPlane`].
    pub mask: Array2<u32>,
    /// PSF of every peak, in the order of the footprint's peaks: `[2r+1, 2r+1]`, central pixel = the peak's sub-pixel position's pixel.
    pub psfs: Vec<Array2<f64>>,
    /// FWHM of the PSF \[pixel\].
    pub fwhm_px: f64,
}

/// A parent with its pixels in all bands.
#[derive(Debug, Clone)]
pub struct Blend {
    /// Pixels and peaks.
    pub footprint: Footprint,
    /// Box of the planes (that of the footprint), in tract coordinates.
    pub bbox: Box2,
    /// Bands, in the order of the run.
    pub bands: Vec<BlendBand>,
}

/// Non-negative light of one peak in one band, on the box that holds it: zero elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Pixels covered, in tract coordinates; empty without light.
    pub bbox: Box2,
    /// Light \[nJy\], `[y, x]`.
    pub light_njy: Array2<f64>,
}

impl Template {
    /// No light.
    #[must_use]
    pub fn empty() -> Self {
        Self { bbox: Box2::new(0, 0, 0, 0), light_njy: Array2::zeros((0, 0)) }
    }

    /// Cuts an image over `bbox` to the box of its positive pixels: most of a large blend is none of a peak's business.
    #[must_use]
    pub fn trimmed(bbox: &Box2, light_njy: &Array2<f64>) -> Self {
        let lit = light_njy.indexed_iter().filter(|(_, v)| **v > 0.0);
        let pixel = |j: usize, i: usize| Box2::new(bbox.x0 + i as i32, bbox.y0 + j as i32, 1, 1);
        let range = lit.fold(None, |r: Option<[usize; 4]>, ((j, i), _)| {
            Some(r.map_or([j, j, i, i], |[a, b, c, d]| [a.min(j), b.max(j), c.min(i), d.max(i)]))
        });
        match range {
            None => Self::empty(),
            Some([j0, j1, i0, i1]) => {
                Self { bbox: pixel(j0, i0).union(&pixel(j1, i1)), light_njy: light_njy.slice(s![j0..=j1, i0..=i1]).to_owned() }
            }
        }
    }

    /// Light of a pixel.
    #[must_use]
    pub fn at(&self, x: i32, y: i32) -> f64 {
        self.bbox.index(x, y).map_or(0.0, |p| self.light_njy[p])
    }

    /// Σ of the product of two templates.
    #[must_use]
    pub fn dot(&self, other: &Self) -> f64 {
        let common = self.bbox.intersect(&other.bbox);
        if common.is_empty() {
            return 0.0;
        }
        let (a, b) = (self.light_njy.slice(self.bbox.slice_of(&common)), other.light_njy.slice(other.bbox.slice_of(&common)));
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }
}

/// Non-negative templates that say how light is shared.
#[derive(Debug, Clone)]
pub struct Templates {
    /// Fitted templates, `[peak][band]`; all empty: the peak was dropped.
    pub by_peak: Vec<Vec<Template>>,
    /// Peak treated as a point source in all bands.
    pub is_psf: Vec<bool>,
    /// Peak dropped as a duplicate of another (index), in all bands together.
    pub merged_into: Vec<Option<usize>>,
}

/// A way to separate overlapping objects. Pure: same blend, same templates.
pub trait Deblender: Send + Sync {
    /// Name in the configuration.
    fn name(&self) -> &'static str;

    /// Templates of all peaks in all bands.
    ///
    /// # Errors
    /// [`DeblendError`] if the blend makes no sense (no peak, shapes differ).
    fn templates(&self, blend: &Blend) -> Result<Templates, DeblendError>;
}

/// Settings of the deblend phase: section `[deblend]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeblendConfig {
    /// Which deblender: `symmetric`.
    pub algorithm: String,
    /// Settings of `symmetric`.
    pub symmetric: SymmetricConfig,
}

impl Default for DeblendConfig {
    fn default() -> Self {
        Self { algorithm: "symmetric".into(), symmetric: SymmetricConfig::default() }
    }
}

/// Why a blend could not be deblended.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DeblendError {
    /// A setting out of range, or an unknown deblender.
    #[error("deblend.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// The blend is inconsistent.
    #[error("blend at tract pixel ({x}, {y}): {why}")]
    Blend {
        /// Column of the box.
        x: i32,
        /// Row of the box.
        y: i32,
        /// Reason.
        why: String,
    },
}

/// Children of one parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Deblended {
    /// One per peak, in the order of the peaks; a dropped peak has an empty footprint.
    pub children: Vec<HeavyFootprint>,
    /// Treated as a point source.
    pub is_psf: Vec<bool>,
    /// Dropped as a duplicate of that peak.
    pub merged_into: Vec<Option<usize>>,
}

/// The deblending stage: any deblender, then the one apportioning function.
pub struct DeblendParent {
    deblender: Box<dyn Deblender>,
}

impl DeblendParent {
    /// # Errors
    /// [`DeblendError::Config`] for an unknown deblender or a setting outside its range.
    pub fn new(config: &DeblendConfig) -> Result<Self, DeblendError> {
        let deblender: Box<dyn Deblender> = match config.algorithm.as_str() {
            "symmetric" => Box::new(SymmetricDeblender::new(config.symmetric.clone())?),
            other => {
                return Err(DeblendError::Config { key: "algorithm", found: format!("{other:?}"), expected: "symmetric" });
            }
        };
        Ok(Self { deblender })
    }

    /// Children of one parent: their pixels sum to the parent's exactly, in every band.
    ///
    /// # Errors
    /// [`DeblendError::Blend`].
    pub fn run(&self, blend: &Blend) -> Result<Deblended, DeblendError> {
        check(blend)?;
        let templates = self.deblender.templates(blend)?;
        let n = blend.footprint.peaks.len();
        let n_bands = blend.bands.len();
        let mut spans: Vec<Vec<Span>> = vec![Vec::new(); n];
        let mut values: Vec<Vec<Vec<f32>>> = vec![vec![Vec::new(); n_bands]; n];
        let (mut weights, mut shares) = (vec![0.0; n], vec![0.0; n]);
        let mut by_band = vec![0.0f32; n * n_bands];
        for (x, y) in blend.footprint.spans.pixels() {
            let p = blend.bbox.index(x, y).expect("the box is the footprint's");
            let nearest = nearest_peak(blend, &templates.merged_into, x, y);
            let mut has_light = vec![false; n];
            has_light[nearest] = true;
            for (b, band) in blend.bands.iter().enumerate() {
                for (w, t) in weights.iter_mut().zip(&templates.by_peak) {
                    *w = t[b].at(x, y);
                }
                apportion(band.image_njy[p], &weights, nearest, &mut shares);
                for k in 0..n {
                    has_light[k] |= weights[k] > 0.0;
                    by_band[k * n_bands + b] = shares[k];
                }
            }
            for k in (0..n).filter(|&k| has_light[k]) {
                spans[k].push(Span { y, x0: x, x1: x });
                for b in 0..n_bands {
                    values[k][b].push(by_band[k * n_bands + b]);
                }
            }
        }
        let children =
            spans.into_iter().zip(values).map(|(s, values_njy)| HeavyFootprint { spans: SpanSet::from_spans(s), values_njy }).collect();
        Ok(Deblended { children, is_psf: templates.is_psf, merged_into: templates.merged_into })
    }
}

/// The surviving peak nearest to a pixel: takes the light that no template claims.
fn nearest_peak(blend: &Blend, merged_into: &[Option<usize>], x: i32, y: i32) -> usize {
    let distance = |k: usize| {
        let at = blend.footprint.peaks[k].at;
        (at.x - f64::from(x)).hypot(at.y - f64::from(y))
    };
    let survivors = (0..blend.footprint.peaks.len()).filter(|&k| merged_into[k].is_none());
    survivors.min_by(|&a, &b| distance(a).total_cmp(&distance(b))).expect("a duplicate's partner survives")
}

fn check(blend: &Blend) -> Result<(), DeblendError> {
    let wrong = |why: String| DeblendError::Blend { x: blend.bbox.x0, y: blend.bbox.y0, why };
    let n_peaks = blend.footprint.peaks.len();
    if n_peaks == 0 {
        return Err(wrong("no peak; expected at least one".into()));
    }
    if blend.footprint.spans.bbox() != blend.bbox {
        return Err(wrong(format!("footprint covers {:?}; expected the box {:?}", blend.footprint.spans.bbox(), blend.bbox)));
    }
    for band in &blend.bands {
        let shape = blend.bbox.shape();
        let shapes = [band.image_njy.dim(), band.variance_njy2.dim(), band.mask.dim()];
        if let Some(found) = shapes.into_iter().find(|s| *s != shape) {
            return Err(wrong(format!("band {} has a plane of shape {found:?}; expected {shape:?}", band.band)));
        }
        if band.psfs.len() != n_peaks {
            return Err(wrong(format!("band {} has {} PSFs; expected {n_peaks}, one a peak", band.band, band.psfs.len())));
        }
    }
    Ok(())
}

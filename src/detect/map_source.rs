//! Where detection takes its single-band maps from: files, or memory.

use crate::geometry::Box2;
use crate::image::MaskPlane;
use ndarray::Array2;

/// Single-band maps of a tract, any box of them; several threads read at once.
pub trait MapSource: Sync {
    /// Why a map could not be had.
    type Error: Send;

    /// Ψ \[1/nJy\] of a coadd (a band, or `band@selection`), `[y, x]`; 0 without data and outside the tract.
    ///
    /// # Errors
    /// That of the source.
    fn psi(&self, coadd: &str, bbox: &Box2) -> Result<Array2<f32>, Self::Error>;

    /// Φ of point sources, then of round exponentials of these half-light radii \[arcsec\], \[1/nJy²\]; 0 without data and outside the tract.
    ///
    /// # Errors
    /// That of the source.
    fn phi(&self, coadd: &str, half_light_arcsec: &[f64], bbox: &Box2) -> Result<Vec<Array2<f32>>, Self::Error>;

    /// Mask; `NO_DATA` outside the tract.
    ///
    /// # Errors
    /// That of the source.
    fn mask(&self, coadd: &str, bbox: &Box2) -> Result<Array2<u32>, Self::Error>;

    /// Maps of every time window of a band, in time order; none where there are no windows.
    ///
    /// # Errors
    /// That of the source.
    fn windows(&self, _band: &str, _bbox: &Box2) -> Result<Vec<WindowPlanes>, Self::Error> {
        Ok(Vec::new())
    }
}

/// When the exposures of a time window were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Where the window begins and ends, MJD (TAI).
    pub mjd: [f64; 2],
    /// Mean of its exposures, those of the whole tract, MJD (TAI).
    pub mean_mjd: f64,
    /// Their number.
    pub n_exposures: u64,
}

/// Single-band maps of one time window on a box.
#[derive(Debug, Clone)]
pub struct WindowPlanes {
    /// When it was.
    pub window: Window,
    /// Ψ \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
}

/// Maps of one coadd in memory; outside their box there is nothing.
#[derive(Debug, Clone)]
pub struct LikelihoodMaps {
    /// Name of the coadd: the band, or `band@selection`.
    pub coadd: String,
    /// Pixels covered.
    pub bbox: Box2,
    /// Ψ \[1/nJy\].
    pub psi: Array2<f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
    /// Half-light radii \[arcsec\] and Φ_g of extended morphologies.
    pub phi_extended: Vec<(f64, Array2<f32>)>,
    /// Mask planes, if there are any.
    pub mask: Option<Array2<u32>>,
}

impl LikelihoodMaps {
    fn cut<T: Copy>(&self, plane: &Array2<T>, bbox: &Box2, outside: T) -> Array2<T> {
        let mut out = Array2::from_elem(bbox.shape(), outside);
        let shared = self.bbox.intersect(bbox);
        if !shared.is_empty() {
            out.slice_mut(bbox.slice_of(&shared)).assign(&plane.slice(self.bbox.slice_of(&shared)));
        }
        out
    }
}

impl MapSource for [LikelihoodMaps] {
    type Error = std::convert::Infallible;

    fn psi(&self, coadd: &str, bbox: &Box2) -> Result<Array2<f32>, Self::Error> {
        let found = self.iter().find(|m| m.coadd == coadd);
        Ok(found.map_or_else(|| Array2::zeros(bbox.shape()), |m| m.cut(&m.psi, bbox, 0.0)))
    }

    fn phi(&self, coadd: &str, half_light_arcsec: &[f64], bbox: &Box2) -> Result<Vec<Array2<f32>>, Self::Error> {
        let none = || Array2::zeros(bbox.shape());
        let Some(maps) = self.iter().find(|m| m.coadd == coadd) else { return Ok(vec![none(); half_light_arcsec.len() + 1]) };
        let extended = half_light_arcsec.iter().map(|r| {
            let plane = maps.phi_extended.iter().find(|(of, _)| (of - r).abs() < 1e-9);
            plane.map_or_else(none, |(_, phi)| maps.cut(phi, bbox, 0.0))
        });
        Ok(std::iter::once(maps.cut(&maps.phi, bbox, 0.0)).chain(extended).collect())
    }

    fn mask(&self, coadd: &str, bbox: &Box2) -> Result<Array2<u32>, Self::Error> {
        let found = self.iter().find(|m| m.coadd == coadd);
        let empty = Array2::from_elem(bbox.shape(), MaskPlane::NoData.bit());
        Ok(found.map_or(empty, |m| match &m.mask {
            Some(mask) => m.cut(mask, bbox, MaskPlane::NoData.bit()),
            None => Array2::zeros(bbox.shape()),
        }))
    }
}

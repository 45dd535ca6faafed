//! Single-band maps of all morphologies on one tile, and the layers' statistics from them.

use super::{Convolver, LayerKind, MapSource, Sed};
use crate::geometry::Box2;
use ndarray::{Array2, Zip};

/// Maps of one band, one selection and one morphology on a tile.
#[derive(Debug, Clone)]
pub struct BandPlanes {
    /// Φ_g \[1/nJy²\]; 0 without data.
    pub phi: Array2<f32>,
    /// ν = Ψ_g/√Φ_g; 0 without data.
    pub nu: Array2<f32>,
}

impl BandPlanes {
    /// From the maps; pixels that are not finite have no data.
    #[must_use]
    pub fn new(mut psi: Array2<f32>, mut phi: Array2<f32>) -> Self {
        Zip::from(&mut psi).and(&mut phi).for_each(|psi, phi| {
            let nu = *psi / phi.sqrt();
            let is_good = *phi > 0.0 && phi.is_finite() && nu.is_finite();
            (*psi, *phi) = if is_good { (nu, *phi) } else { (0.0, 0.0) };
        });
        Self { phi, nu: psi }
    }
}

/// Those of all coadds and morphologies.
#[derive(Debug, Clone)]
pub struct TileMaps {
    /// Pixels covered.
    pub bbox: Box2,
    /// Number of bands.
    n_bands: usize,
    /// Half-light radii \[arcsec\], 0 for points, in the order of the planes.
    half_light_arcsec: Vec<f64>,
    selections: Vec<Option<String>>,
    /// `[selection][morphology][band]`, flat.
    planes: Vec<BandPlanes>,
}

/// What every tile's maps are made for.
#[derive(Debug)]
pub struct MapPlan {
    bands: Vec<String>,
    selections: Vec<Option<String>>,
    /// Half-light radii of extended morphologies \[arcsec\].
    extended_arcsec: Vec<f64>,
    convolver: Convolver,
}

impl MapPlan {
    /// For these layers; `pixel_arcsec`: side of a tract pixel.
    #[must_use]
    pub fn new(kinds: &[LayerKind], bands: &[String], pixel_arcsec: f64) -> Self {
        let mut selections: Vec<Option<String>> = Vec::new();
        let mut extended_arcsec: Vec<f64> = Vec::new();
        for kind in kinds {
            if !selections.contains(&kind.selection) {
                selections.push(kind.selection.clone());
            }
            if kind.half_light_arcsec > 0.0 && !extended_arcsec.iter().any(|r| (r - kind.half_light_arcsec).abs() < 1e-12) {
                extended_arcsec.push(kind.half_light_arcsec);
            }
        }
        let radii_px: Vec<f64> = extended_arcsec.iter().map(|r| r / pixel_arcsec).collect();
        Self { bands: bands.to_vec(), selections, extended_arcsec, convolver: Convolver::new(&radii_px) }
    }

    /// The stamps of the extended morphologies.
    #[must_use]
    pub fn stamps(&self) -> &[Array2<f64>] {
        self.convolver.stamps()
    }

    /// The half-light radii of the extended morphologies \[arcsec\].
    #[must_use]
    pub fn extended_arcsec(&self) -> &[f64] {
        &self.extended_arcsec
    }

    /// Whether anything is convolved.
    #[must_use]
    pub fn is_convolving(&self) -> bool {
        !self.extended_arcsec.is_empty()
    }

    /// Names of the coadds that a tile's masks come from.
    pub fn coadds(&self) -> impl Iterator<Item = String> + '_ {
        self.selections.iter().flat_map(|s| self.bands.iter().map(move |b| s.as_ref().map_or_else(|| b.clone(), |s| format!("{b}@{s}"))))
    }

    /// Makes the maps of one tile.
    ///
    /// # Errors
    /// That of the source.
    pub fn make<S: MapSource + ?Sized>(&self, source: &S, bbox: &Box2) -> Result<TileMaps, S::Error> {
        let n_bands = self.bands.len();
        let n_morphologies = self.extended_arcsec.len() + 1;
        let mut planes: Vec<Option<BandPlanes>> = (0..self.selections.len() * n_morphologies * n_bands).map(|_| None).collect();
        for (k, coadd) in self.coadds().enumerate() {
            let (selection, band) = (k / n_bands, k % n_bands);
            let reach = self.convolver.reach_px();
            let region = bbox.grown(reach);
            let mut wide = source.psi(&coadd, &region)?;
            let phis = source.phi(&coadd, &self.extended_arcsec, bbox)?;
            let own = wide.slice(region.slice_of(bbox)).to_owned();
            // One value that is no number would make all of a tile's.
            wide.mapv_inplace(|v| if v.is_finite() { v } else { 0.0 });
            let extended = self.convolver.run(&wide, bbox).into_iter().map(|mut psi| {
                Zip::from(&mut psi).and(&own).for_each(|g, p| {
                    if !p.is_finite() {
                        *g = f32::NAN;
                    }
                });
                psi
            });
            // Where a point says nothing, all that an extended source has is a tail of its profile over what is next to nothing.
            let has_points = phis[0].mapv(|phi| phi > 0.0);
            for (m, (psi, mut phi)) in std::iter::once(own.clone()).chain(extended).zip(phis).enumerate() {
                phi.zip_mut_with(&has_points, |phi, has| *phi = if *has { *phi } else { 0.0 });
                planes[(selection * n_morphologies + m) * n_bands + band] = Some(BandPlanes::new(psi, phi));
            }
        }
        Ok(TileMaps {
            bbox: *bbox,
            n_bands,
            half_light_arcsec: std::iter::once(0.0).chain(self.extended_arcsec.iter().copied()).collect(),
            selections: self.selections.clone(),
            planes: planes.into_iter().flatten().collect(),
        })
    }
}

/// A layer's statistic on a tile.
#[derive(Debug, Clone)]
pub struct Statistic {
    /// ν or T \[sigma\]; 0 without data.
    pub values: Array2<f32>,
    /// The same of the negated maps where it is not just the negative (free SED).
    pub negated: Option<Array2<f32>>,
    /// Bands of the layer with data (0 or 1 for layers of one SED).
    pub n_bands: Array2<u8>,
}

impl TileMaps {
    /// Planes of all bands in a layer's selection and morphology, in the order of the bands.
    #[must_use]
    pub fn bands_of(&self, kind: &LayerKind) -> &[BandPlanes] {
        let selection = self.selections.iter().position(|s| *s == kind.selection).expect("the plan knows all selections");
        let is_same = |r: &f64| (r - kind.half_light_arcsec).abs() < 1e-12;
        let m = self.half_light_arcsec.iter().position(is_same).expect("the plan knows all morphologies");
        let from = (selection * self.half_light_arcsec.len() + m) * self.n_bands;
        &self.planes[from..from + self.n_bands]
    }

    /// The statistic of a layer.
    ///
    /// `bands`: names of the run's bands.
    #[must_use]
    pub fn statistic(&self, kind: &LayerKind, bands: &[String]) -> Statistic {
        let planes = self.bands_of(kind);
        match &kind.sed {
            Sed::Band(name) => {
                let b = bands.iter().position(|b| b == name).expect("layers are of bands of the run");
                let values = planes[b].nu.clone();
                Statistic { values, negated: None, n_bands: planes[b].phi.mapv(|phi| u8::from(phi > 0.0)) }
            }
            Sed::Fixed(_, sed) => fixed(planes, sed),
            Sed::Free => free(planes, self.bbox.shape()),
        }
    }
}

/// Σ s Ψ / √(Σ s² Φ), Ψ = ν √Φ.
fn fixed(planes: &[BandPlanes], sed: &[f64]) -> Statistic {
    let shape = planes.first().map_or((0, 0), |p| p.nu.dim());
    let (mut psi, mut phi) = (Array2::<f32>::zeros(shape), Array2::<f32>::zeros(shape));
    // Relative to the largest Φ, so that no square of a faint flux unit falls below what single precision holds.
    let scale = planes.iter().flat_map(|p| &p.phi).fold(0.0f32, |a, v| a.max(*v));
    if scale > 0.0 {
        let norm = scale.recip();
        for (plane, &s) in planes.iter().zip(sed).filter(|(_, s)| **s > 0.0) {
            let s = s as f32;
            Zip::from(&mut psi).and(&mut phi).and(&plane.nu).and(&plane.phi).for_each(|psi, phi, nu, p| {
                let p = p * norm;
                *psi += s * nu * p.sqrt();
                *phi += s * s * p;
            });
        }
    }
    let n_bands = phi.mapv(|v| u8::from(v > 0.0));
    psi.zip_mut_with(&phi, |psi, phi| *psi = if *phi > 0.0 { *psi / phi.sqrt() } else { 0.0 });
    Statistic { values: psi, negated: None, n_bands }
}

/// √Σ max(±ν, 0)².
fn free(planes: &[BandPlanes], shape: (usize, usize)) -> Statistic {
    let mut values = Array2::<f32>::zeros(shape);
    let mut negated = Array2::<f32>::zeros(shape);
    let mut n_bands = Array2::<u8>::zeros(shape);
    for plane in planes {
        Zip::from(&mut values).and(&mut negated).and(&mut n_bands).and(&plane.nu).and(&plane.phi).for_each(|t, u, n, nu, phi| {
            let (up, down) = (nu.max(0.0), (-nu).max(0.0));
            *t += up * up;
            *u += down * down;
            *n += u8::from(*phi > 0.0);
        });
    }
    values.mapv_inplace(f32::sqrt);
    negated.mapv_inplace(f32::sqrt);
    Statistic { values, negated: Some(negated), n_bands }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::multi_band::{self, BandMaps};
    use crate::detect::LikelihoodMaps;

    /// Against the multi-band kernels of the coadds, with a band that has no data in places.
    #[test]
    fn statistics_are_those_of_the_multi_band_maps() {
        let bbox = Box2::new(0, 0, 30, 20);
        let bands = ["g".to_owned(), "r".to_owned()];
        let map = |k: usize| LikelihoodMaps {
            coadd: bands[k].clone(),
            bbox,
            psi: Array2::from_shape_fn((20, 30), |(j, i)| 1e-3 * (((j * 31 + i * 17 + 5 * k) % 23) as f32 - 11.0)),
            phi: Array2::from_shape_fn((20, 30), |(j, i)| if i < 10 * k { 0.0 } else { 1e-6 * (1.0 + (j + k) as f32) }),
            phi_extended: vec![],
            mask: None,
        };
        let maps = [map(0), map(1)];
        let views: Vec<_> = maps.iter().map(|m| BandMaps { psi: m.psi.view(), phi: m.phi.view() }).collect();
        let sed = [0.5, 1.0];
        let kinds = [Sed::Free, Sed::Band("r".into()), Sed::Fixed("red".into(), sed.to_vec())].map(LayerKind::point);
        let tile = MapPlan::new(&kinds, &bands, 0.2).make(&maps[..], &bbox).unwrap();
        let (psi, phi) = multi_band::sed_weighted(&views, &sed);
        let expected = [
            multi_band::free_sed(&views).mapv(f32::sqrt),
            multi_band::significance(views[1]),
            multi_band::significance(BandMaps { psi: psi.view(), phi: phi.view() }),
        ];
        for (kind, expected) in kinds.iter().zip(&expected) {
            let found = tile.statistic(kind, &bands);
            for (at, v) in found.values.indexed_iter() {
                let e = expected[at];
                let is_same = if e.is_nan() { *v == 0.0 } else { (v - e).abs() <= 1e-5 * e.abs().max(1.0) };
                assert!(is_same, "{}: {v} {e}", kind.name());
            }
        }
        assert_eq!(tile.statistic(&kinds[0], &bands).n_bands, multi_band::n_bands(&views));
    }

    /// An extended layer has no data where points have none, whatever is left of Φ_g there.
    #[test]
    fn extended_layers_end_with_the_data() {
        let bbox = Box2::new(0, 0, 60, 60);
        let kinds = [0.0, 0.4].map(|half_light_arcsec| LayerKind { selection: None, sed: Sed::Free, half_light_arcsec });
        let phi = Array2::from_shape_fn((60, 60), |(_, i)| if i < 30 { 1.0f32 } else { 0.0 });
        let tail = Array2::from_shape_fn((60, 60), |(_, i)| if i < 30 { 0.5f32 } else { 1e-12 });
        let maps = LikelihoodMaps { coadd: "r".into(), bbox, psi: phi.clone(), phi, phi_extended: vec![(0.4, tail)], mask: None };
        let tile = MapPlan::new(&kinds, &["r".to_owned()], 0.2).make(std::slice::from_ref(&maps), &bbox).unwrap();
        let extended = tile.statistic(&kinds[1], &["r".to_owned()]);
        assert!(extended.n_bands.indexed_iter().all(|((_, i), n)| *n == u8::from(i < 30)));
        assert!(extended.values.iter().all(|v| *v < 10.0), "a tail over next to nothing");
    }

    /// Values that are no numbers are no data, and spoil nothing around them.
    #[test]
    fn odd_values_are_no_data() {
        let bbox = Box2::new(0, 0, 60, 60);
        let kind = LayerKind { selection: None, sed: Sed::Free, half_light_arcsec: 0.4 };
        let kinds = [LayerKind::point(Sed::Free), kind];
        let ones = Array2::<f32>::ones((60, 60));
        let mut maps =
            LikelihoodMaps { coadd: "r".into(), bbox, psi: ones.clone(), phi: ones.clone(), phi_extended: vec![(0.4, ones)], mask: None };
        maps.psi[[30, 30]] = f32::NAN;
        maps.phi[[30, 31]] = f32::INFINITY;
        maps.phi[[30, 32]] = -1.0;
        let plan = MapPlan::new(&kinds, &["r".to_owned()], 0.2);
        let tile = plan.make(std::slice::from_ref(&maps), &bbox).unwrap();
        for kind in &kinds {
            let s = tile.statistic(kind, &["r".to_owned()]);
            assert!(s.values.iter().all(|v| v.is_finite()) && s.n_bands[[30, 30]] == 0);
        }
        assert_eq!(tile.statistic(&kinds[0], &["r".to_owned()]).n_bands.iter().filter(|n| **n == 0).count(), 3);
    }
}

//! Maps of all bands together, from single-band likelihood maps: true χ², free SED, SED-weighted.
//!
//! A band counts at a pixel where its Φ > 0. On blank sky the bands' ν = Ψ/√Φ are independent unit normals, so with n bands at the pixel:
//!
//! | map | at a point | peaks above a height |
//! |---|---|---|
//! | [`chi2`] | χ² of n degrees of freedom: [`chi_tail`](crate::detect::chi_tail) | [`chi_peak_density`](crate::detect::chi_peak_density) |
//! | [`free_sed`] | [`free_sed_tail`](crate::detect::free_sed_tail) | [`free_sed_peak_density`](crate::detect::free_sed_peak_density) |
//! | [`significance`] of [`sed_weighted`] | unit normal | [`normal_peak_density`](crate::detect::normal_peak_density) |

use ndarray::{Array2, ArrayView2, Zip};

/// Likelihood maps of one band; both of one shape `[y, x]`, the same in all bands.
#[derive(Debug, Clone, Copy)]
pub struct BandMaps<'a> {
    /// Ψ \[1/nJy\].
    pub psi: ArrayView2<'a, f32>,
    /// Φ \[1/nJy²\]; 0 without data.
    pub phi: ArrayView2<'a, f32>,
}

impl BandMaps<'_> {
    /// Ψ and Φ at a pixel, if the band has data there.
    fn at(&self, pixel: (usize, usize)) -> Option<(f64, f64)> {
        let phi = f64::from(self.phi[pixel]);
        (phi > 0.0).then(|| (f64::from(self.psi[pixel]), phi))
    }
}

fn shape(bands: &[BandMaps]) -> (usize, usize) {
    bands.first().map_or((0, 0), |b| b.psi.dim())
}

/// Number of bands with data at every pixel.
#[must_use]
pub fn n_bands(bands: &[BandMaps]) -> Array2<u8> {
    Array2::from_shape_fn(shape(bands), |at| bands.iter().filter(|b| b.at(at).is_some()).count() as u8)
}

/// Σ over the bands with data of f(Ψ, Φ); NaN without any.
fn summed(bands: &[BandMaps], term: impl Fn(f64, f64) -> f64) -> Array2<f32> {
    Array2::from_shape_fn(shape(bands), |at| {
        let values = bands.iter().filter_map(|b| b.at(at));
        values.map(|(psi, phi)| term(psi, phi)).reduce(|a, b| a + b).map_or(f32::NAN, |sum| sum as f32)
    })
}

/// χ² = Σ_b Ψ_b²/Φ_b: the largest ν² over all SEDs, of either sign; NaN without data.
#[must_use]
pub fn chi2(bands: &[BandMaps]) -> Array2<f32> {
    summed(bands, |psi, phi| psi * psi / phi)
}

/// T² = Σ_b max(Ψ_b, 0)²/Φ_b: the largest ν² over all SEDs without negative fluxes, reached with fluxes max(Ψ_b, 0)/Φ_b; NaN without data.
#[must_use]
pub fn free_sed(bands: &[BandMaps]) -> Array2<f32> {
    summed(bands, |psi, phi| psi.max(0.0).powi(2) / phi)
}

/// Ψ_s = Σ_b s_b Ψ_b and Φ_s = Σ_b s_b² Φ_b for a source of fluxes F s_b: its F is Ψ_s/Φ_s, with variance 1/Φ_s.
///
/// `sed`: s_b, one a band. Bands without data at a pixel add nothing; both maps are 0 where none has any.
#[must_use]
pub fn sed_weighted(bands: &[BandMaps], sed: &[f64]) -> (Array2<f32>, Array2<f32>) {
    let sum = |term: &dyn Fn(f64, (f64, f64)) -> f64| {
        Array2::from_shape_fn(shape(bands), |at| {
            bands.iter().zip(sed).filter_map(|(b, &s)| b.at(at).map(|values| term(s, values))).sum::<f64>() as f32
        })
    };
    (sum(&|s, (psi, _)| s * psi), sum(&|s, (_, phi)| s * s * phi))
}

/// ν = Ψ/√Φ; NaN where Φ = 0.
#[must_use]
pub fn significance(maps: BandMaps) -> Array2<f32> {
    Zip::from(maps.psi).and(maps.phi).map_collect(
        |&psi, &phi| {
            if phi > 0.0 { (f64::from(psi) / f64::from(phi).sqrt()) as f32 } else { f32::NAN }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coadd::fft2::RealFft2;
    use crate::coadd::gaussian_psf;
    use crate::detect::{
        chi_peak_density, chi_tail, free_sed_peak_density, free_sed_tail, normal_peak_density, normal_tail, quadratic_peak,
    };
    use crate::random::keyed_rng;
    use rand_distr::{Distribution, StandardNormal};

    /// Ψ of a band of Φ = 4: blank sky of unit normals, white or seen through a PSF.
    fn blank_sky(n: usize, key: u64, filter: Option<&Array2<f64>>) -> Array2<f32> {
        let mut rng = keyed_rng(11, "null", key, 0);
        let white = Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut rng));
        let nu: Array2<f64> = match filter {
            None => white,
            Some(stamp) => {
                let fft = RealFft2::new(n);
                let norm = stamp.iter().map(|p| p * p).sum::<f64>().sqrt();
                fft.inverse(fft.forward(white) * &fft.of_stamp(stamp.view())) / norm
            }
        };
        nu.mapv(|v| 2.0 * v as f32)
    }

    /// Counts of pixels of white sky above heights are binomial with the tails given: within 4 sigma of them.
    #[test]
    fn tails_at_a_point_are_those_of_blank_sky() {
        const SIDE: usize = 1000;
        for n in [1, 2, 3, 5] {
            let planes: Vec<_> = (0..n).map(|b| blank_sky(SIDE, (100 * n + b) as u64, None)).collect();
            let phi = Array2::from_elem((SIDE, SIDE), 4.0f32);
            let bands: Vec<_> = planes.iter().map(|psi| BandMaps { psi: psi.view(), phi: phi.view() }).collect();
            let sed: Vec<f64> = (1..=n).map(|b| b as f64).collect();
            let (psi_s, phi_s) = sed_weighted(&bands, &sed);
            let nu = significance(BandMaps { psi: psi_s.view(), phi: phi_s.view() });
            for t in [1.5f64, 3.0, 4.0] {
                let above = |map: &Array2<f32>, height: f64| map.iter().filter(|v| f64::from(**v) > height).count() as f64;
                for (name, found, tail) in [
                    ("chi2", above(&chi2(&bands), t * t), chi_tail(t, n)),
                    ("free", above(&free_sed(&bands), t * t), free_sed_tail(t, n)),
                    ("sed", above(&nu, t), normal_tail(t)),
                ] {
                    let trials = (SIDE * SIDE) as f64;
                    let sigma = (trials * tail * (1.0 - tail)).sqrt();
                    assert!((found - trials * tail).abs() < 4.0 * sigma + 1.0, "{name}, {n} bands, {t}: {found} of {}", trials * tail);
                }
            }
        }
    }

    /// Peaks of blank sky through PSFs of 3.5 px, refined by a quadratic, 10⁷ pixels: Poisson around the densities given, which count
    /// the excess of maxima over saddles, fewer than the maxima by a few per cent at 4 σ.
    #[test]
    fn peaks_are_as_dense_as_predicted() {
        const SIDE: usize = 512;
        const FIELDS: u64 = 40;
        let stamp = gaussian_psf(3.5, 16);
        let l2 = 2.354_82f64.powi(2) / (2.0 * 3.5 * 3.5);
        for n in [1, 3] {
            let mut counts = [0.0; 3];
            for field in 0..FIELDS {
                let planes: Vec<_> = (0..n).map(|b| blank_sky(SIDE, 10_000 + field * 10 + b, Some(&stamp))).collect();
                let phi = Array2::from_elem((SIDE, SIDE), 4.0f32);
                let bands: Vec<_> = planes.iter().map(|psi| BandMaps { psi: psi.view(), phi: phi.view() }).collect();
                let (psi_s, phi_s) = sed_weighted(&bands, &vec![1.0; bands.len()]);
                let maps = [
                    chi2(&bands).mapv(|v| f64::from(v).sqrt()),
                    free_sed(&bands).mapv(|v| f64::from(v).sqrt()),
                    significance(BandMaps { psi: psi_s.view(), phi: phi_s.view() }).mapv(f64::from),
                ];
                for (count, map) in counts.iter_mut().zip(&maps) {
                    for window in map.windows((3, 3)) {
                        let v = window[[1, 1]];
                        let is_peak = v > 3.0 && window.indexed_iter().all(|(at, other)| at == (1, 1) || *other < v);
                        *count += f64::from(u8::from(is_peak && quadratic_peak(window).2 > 4.0));
                    }
                }
            }
            let pixels = FIELDS as f64 * ((SIDE - 2) * (SIDE - 2)) as f64;
            let n = n as usize;
            let densities = [chi_peak_density(4.0, n, l2), free_sed_peak_density(4.0, n, l2), normal_peak_density(4.0, l2)];
            for ((name, found), density) in ["chi2", "free", "sed"].iter().zip(counts).zip(densities) {
                let expected = density * pixels;
                println!("{name}, {n} bands: {found} peaks, {expected} expected");
                assert!((found - expected).abs() < 4.0 * expected.sqrt() + 0.06 * expected, "{name}, {n} bands: {found} of {expected}");
            }
        }
    }

    /// A band without data at a pixel counts in nothing there.
    #[test]
    fn bands_without_data_do_not_count() {
        let (psi, phi) = (ndarray::array![[3.0f32, -2.0, 5.0]], ndarray::array![[1.0f32, 1.0, 0.0]]);
        let (psi_2, phi_2) = (ndarray::array![[4.0f32, 2.0, 7.0]], ndarray::array![[4.0f32, 4.0, 0.0]]);
        let bands = [BandMaps { psi: psi.view(), phi: phi.view() }, BandMaps { psi: psi_2.view(), phi: phi_2.view() }];
        assert_eq!(n_bands(&bands), ndarray::array![[2, 2, 0]]);
        let (chi2, free) = (chi2(&bands), free_sed(&bands));
        assert_eq!((chi2[[0, 0]], chi2[[0, 1]], free[[0, 0]], free[[0, 1]]), (13.0, 5.0, 13.0, 1.0));
        assert!(chi2[[0, 2]].is_nan() && free[[0, 2]].is_nan());
        let (psi_s, phi_s) = sed_weighted(&bands, &[1.0, 0.5]);
        assert_eq!((psi_s, phi_s.clone()), (ndarray::array![[5.0, -1.0, 0.0]], ndarray::array![[2.0, 2.0, 0.0]]));
        assert!(significance(BandMaps { psi: phi_s.view(), phi: phi_s.view() })[[0, 2]].is_nan());
    }
}

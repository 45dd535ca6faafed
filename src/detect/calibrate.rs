//! Thresholds at which the whole grid of layers makes as many false peaks as asked for.

use super::detect_layers::excess;
use super::null_distribution::{free_sed_peak_density, normal_peak_density};
use super::{Autocorrelations, DetectConfig, DetectFrame, DetectLayers, LayerKind, LayerNoise, MapSource, Sed, Strategy};
use crate::coadd::fft2::RealFft2;
use crate::footprint::{Peak, PeakFate};
use crate::geometry::Box2;
use crate::random::keyed_rng;
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};
use rustfft::num_complex::Complex64;
use std::collections::BTreeMap;

/// Side of a field of blank sky \[pixel\].
pub(super) const FIELD_PX: usize = 1024;

/// By how much thresholds are lowered in blank sky, to count more peaks than are asked for \[sigma\].
const LOWERED: f64 = 1.25;

/// Peaks that make a rate good to 5 %.
const ENOUGH: usize = 400;

/// Counts of independent false peaks in blank sky, by their excess over the nominal thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct FalsePeaks {
    /// Excesses \[sigma\] of peaks with no higher one of any layer within 1 FWHM, falling.
    pub excess: Vec<f64>,
    /// Sky searched \[pixel\].
    pub n_pixels: f64,
    /// Peaks of each layer at least so much above its nominal threshold as -[`LOWERED`].
    pub n_of_layer: Vec<u64>,
}

/// Periodic blank sky with the noise of a tract's coadds.
pub(super) struct BlankSky {
    coadds: BTreeMap<String, Field>,
    extended_arcsec: Vec<f64>,
}

struct Field {
    psi: Array2<f32>,
    /// Of point sources, then of the extended morphologies.
    phi: Vec<f32>,
}

impl MapSource for BlankSky {
    type Error = std::convert::Infallible;

    fn psi(&self, coadd: &str, bbox: &Box2) -> Result<Array2<f32>, Self::Error> {
        let Some(field) = self.coadds.get(coadd) else { return Ok(Array2::zeros(bbox.shape())) };
        let n = FIELD_PX as i32;
        let at = |start: i32, k: usize| (start + k as i32).rem_euclid(n) as usize;
        Ok(Array2::from_shape_fn(bbox.shape(), |(j, i)| field.psi[[at(bbox.y0, j), at(bbox.x0, i)]]))
    }

    fn phi(&self, coadd: &str, half_light_arcsec: &[f64], bbox: &Box2) -> Result<Vec<Array2<f32>>, Self::Error> {
        debug_assert_eq!(half_light_arcsec.len(), self.extended_arcsec.len());
        let values = |m: usize| self.coadds.get(coadd).map_or(0.0, |f| f.phi[m]);
        Ok((0..=half_light_arcsec.len()).map(|m| Array2::from_elem(bbox.shape(), values(m))).collect())
    }

    fn mask(&self, _: &str, bbox: &Box2) -> Result<Array2<u32>, Self::Error> {
        Ok(Array2::zeros(bbox.shape()))
    }
}

impl DetectLayers {
    /// The offset of all thresholds \[sigma\] at which all layers together have `false_peaks_per_arcmin2`; 0 where none is asked for.
    ///
    /// Blank sky is searched by the same code at lower thresholds; peaks of different layers within 1 FWHM count once. Where fewer than
    /// [`ENOUGH`] would be left at the rate asked for, the counts' ratio to the sum of the layers' own densities, an upper bound that they
    /// come nearer to the higher the threshold, is carried on as it changes. Never below -[`LOWERED`].
    ///
    /// # Source
    /// Algorithms 2.0, false positives, many layers.
    #[must_use]
    pub fn calibrate(&self, frame: &DetectFrame) -> f64 {
        let wanted = self.config.false_peaks_per_arcmin2 * (self.pixel_arcsec / 60.0).powi(2);
        if wanted <= 0.0 {
            return 0.0;
        }
        let n_fields = (f64::from(self.config.calibration_mpx) * 1e6 / (FIELD_PX * FIELD_PX) as f64).ceil() as u64;
        let found = self.false_peaks(frame, n_fields);
        let noise = self.noise(frame);
        offset(&found, wanted, |delta| self.upper_bound(&noise, delta))
    }

    /// Sum of the layers' own densities of peaks \[1/pixel\] at thresholds `delta` above the nominal ones.
    fn upper_bound(&self, noise: &[LayerNoise], delta: f64) -> f64 {
        let density = |(kind, noise): (&LayerKind, &LayerNoise)| {
            let n = self.bands.len();
            match kind.sed {
                Sed::Free => free_sed_peak_density(self.threshold(kind, n) + delta, n, noise.l2_per_px2),
                _ => normal_peak_density(self.threshold(kind, 1) + delta, noise.l2_per_px2),
            }
        };
        self.kinds.iter().zip(noise).map(density).filter(|d| d.is_finite()).sum()
    }

    /// Peaks of `n_fields` fields of blank sky of 2²⁰ pixels, with the noise of the frame's autocorrelations.
    ///
    /// The noise of different coadds is independent; of two selections of one band that is an upper bound.
    #[must_use]
    pub fn false_peaks(&self, frame: &DetectFrame, n_fields: u64) -> FalsePeaks {
        let tract = Box2::new(0, 0, FIELD_PX as i32, FIELD_PX as i32);
        let blank = DetectFrame { tract, cell_px: 64, threshold_offset: -LOWERED, ..frame.clone() };
        // Sky objects are of no use here, and their flux neither.
        let config = DetectConfig { sky_objects_per_arcmin2: 0.0, ..self.config.clone() };
        let stage = Self::new(&config, &self.bands, self.pixel_arcsec).expect("checked when this stage was made");
        let mut out = FalsePeaks { excess: Vec::new(), n_pixels: 0.0, n_of_layer: vec![0; self.kinds.len()] };
        for i_field in 0..n_fields {
            let sky = blank_sky(self, &frame.autocorrelations, frame.seed, i_field);
            // Maxima at the field's edge have no neighbours.
            let found = stage.run(&sky, &blank, &tract).unwrap_or_else(|never| match never {});
            let mut peaks: Vec<(f64, &Peak)> = Vec::new();
            for peak in found.layers.iter().flat_map(|l| &l.peaks) {
                if stage.config.strategy == Strategy::Grid || peak.fate == PeakFate::Good {
                    peaks.push((excess(self, peak), peak));
                    out.n_of_layer[usize::from(peak.layer)] += 1;
                }
            }
            out.excess.extend(counted_once(peaks, frame.fwhm_px));
            out.n_pixels += tract.n_pixels() as f64;
        }
        out.excess.sort_by(|a, b| b.total_cmp(a));
        out
    }
}

/// Excesses of peaks with no higher one within a radius: from the highest down, each takes out what is near.
fn counted_once(mut peaks: Vec<(f64, &Peak)>, radius_px: f64) -> Vec<f64> {
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1.layer, a.1.pixel.1, a.1.pixel.0).cmp(&(b.1.layer, b.1.pixel.1, b.1.pixel.0))));
    let cell = |v: f64| (v / radius_px.max(1.0)).floor() as i64;
    let mut kept: BTreeMap<(i64, i64), Vec<(f64, f64)>> = BTreeMap::new();
    let mut out = Vec::new();
    for (excess, peak) in peaks {
        let (x, y) = (peak.at.x, peak.at.y);
        let (cx, cy) = (cell(x), cell(y));
        let mut around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (cx + dx, cy + dy))).filter_map(|c| kept.get(&c)).flatten();
        if around.any(|(a, b)| (a - x).hypot(b - y) < radius_px) {
            continue;
        }
        kept.entry((cx, cy)).or_default().push((x, y));
        out.push(excess);
    }
    out
}

/// The offset at which the density of counted peaks is `wanted` per pixel.
fn offset(found: &FalsePeaks, wanted: f64, upper_bound: impl Fn(f64) -> f64) -> f64 {
    let n_wanted = wanted * found.n_pixels;
    let all = found.excess.len();
    if n_wanted >= ENOUGH as f64 && n_wanted < all as f64 {
        return found.excess[n_wanted as usize];
    }
    // ln of the ratio of counts to the upper bound, at two places, carried on as a straight line.
    let ratio = |n: usize| {
        let delta = found.excess[n - 1];
        (delta, (n as f64 / found.n_pixels / upper_bound(delta)).ln())
    };
    let line = if all >= 4 * ENOUGH {
        let ((d0, r0), (d1, r1)) = (ratio(all / 2), ratio(ENOUGH));
        let slope = if d1 - d0 > 0.1 { (r1 - r0) / (d1 - d0) } else { 0.0 };
        (d1, r1, slope)
    } else if all > 0 {
        let (d, r) = ratio(all);
        (d, r, 0.0)
    } else {
        (0.0, 0.0, 0.0)
    };
    // No more peaks than the sum of all layers has.
    let density = |delta: f64| upper_bound(delta) * (line.1 + line.2 * (delta - line.0)).min(0.0).exp();
    let (mut lo, mut hi) = (-LOWERED, 20.0);
    for _ in 0..60 {
        let mid = 0.5 * (lo + hi);
        if density(mid) > wanted { lo = mid } else { hi = mid }
    }
    0.5 * (lo + hi)
}

/// Field `i_field` of blank sky: white noise given the spectrum of each coadd's autocorrelation.
pub(super) fn blank_sky(stage: &DetectLayers, autocorrelations: &Autocorrelations, seed: u64, i_field: u64) -> BlankSky {
    let fft = RealFft2::<f64>::new(FIELD_PX);
    let pixels = (FIELD_PX * FIELD_PX) as f64;
    let mean_power = |power: &Array2<f64>| {
        // Half of the plane is kept: its inner columns stand for two.
        let of_column = |(i, column): (usize, ndarray::ArrayView1<f64>)| column.sum() * if i == 0 || i == FIELD_PX / 2 { 1.0 } else { 2.0 };
        power.outer_iter().enumerate().map(of_column).sum::<f64>() / pixels
    };
    let mut coadds = BTreeMap::new();
    for (i_coadd, coadd) in stage.coadds().into_iter().enumerate() {
        let Some(lags) = autocorrelations.get(&coadd) else { continue };
        // Lags that were cut off leave the spectrum a little below zero.
        let power = fft.of_stamp(lags.view()).mapv(|v| v.re.max(0.0));
        let mut rng = keyed_rng(seed, "blank sky", i_field, i_coadd as u64);
        let white = Array2::from_shape_simple_fn((FIELD_PX, FIELD_PX), || -> f64 { StandardNormal.sample(&mut rng) });
        let mut spectrum = fft.forward(white);
        spectrum.zip_mut_with(&power, |v, p| *v *= Complex64::new(p.sqrt(), 0.0));
        let psi = fft.inverse(spectrum).mapv(|v| v as f32);
        let seen = |stamp: &Array2<f64>| mean_power(&(&power * &fft.of_stamp(stamp.view()).mapv(|g| g.norm_sqr())));
        let phi = std::iter::once(mean_power(&power)).chain(stage.plan.stamps().iter().map(seen)).map(|v| v as f32).collect();
        coadds.insert(coadd, Field { psi, phi });
    }
    BlankSky { coadds, extended_arcsec: stage.plan.extended_arcsec().to_vec() }
}

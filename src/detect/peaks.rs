//! From a maximum of a layer to a peak with all that is known of it.

use super::maxima::{Join, Maximum};
use super::{BandPlanes, LayerKind, LayerNoise, Quadratic, Statistic, TileMaps};
use crate::footprint::{Peak, PeakFate, Saddle};
use crate::geometry::PixelPoint;
use ndarray::{Array2, s};

/// The layers of a tile, made.
pub struct TileLayers<'a> {
    /// Single-band maps.
    pub maps: &'a TileMaps,
    /// What the layers are.
    pub kinds: &'a [LayerKind],
    /// Their statistics.
    pub statistics: &'a [Statistic],
    /// Their noise.
    pub noise: &'a [LayerNoise],
    /// Thresholds \[sigma\], `[layer][n_bands]`.
    pub thresholds: &'a [Vec<f64>],
    /// Mean FWHM of the PSF \[pixel\].
    pub fwhm_px: f64,
}

/// A maximum, refined.
#[derive(Debug, Clone, Copy)]
pub struct Refined {
    /// Pixel (row, column).
    pub at: (usize, usize),
    /// Offset (x, y) from it.
    pub offset: (f64, f64),
    /// Height \[sigma\].
    pub height: f64,
}

/// The quadratic through the 3 x 3 pixels around one that is not at the edge.
pub fn fit(map: &Array2<f32>, (j, i): (usize, usize)) -> Quadratic {
    Quadratic::fit(map.slice(s![j - 1..=j + 1, i - 1..=i + 1]).mapv(f64::from).view())
}

/// Place and height of a maximum.
pub fn refine(map: &Array2<f32>, at: (usize, usize)) -> Refined {
    let fit = fit(map, at);
    let offset = fit.vertex().unwrap_or((0.0, 0.0));
    Refined { at, offset, height: fit.at(offset.0, offset.1) }
}

/// Uphill from a pixel, by at most `n_steps`, refined.
fn climb(map: &Array2<f32>, from: (usize, usize), n_steps: usize) -> Refined {
    let (ny, nx) = map.dim();
    let mut at = from;
    for _ in 0..n_steps.max(1) {
        let (j, i) = at;
        let around = (0..9).map(|k| (j + k / 3 - 1, i + k % 3 - 1)).filter(|p| (1..ny - 1).contains(&p.0) && (1..nx - 1).contains(&p.1));
        let highest = around.fold(at, |best, p| if map[p] > map[best] { p } else { best });
        if highest == at {
            break;
        }
        at = highest;
    }
    refine(map, at)
}

impl TileLayers<'_> {
    /// By how much a significance in a layer at a pixel exceeds the layer's threshold \[sigma\]; none without data.
    fn excess(&self, layer: usize, at: (usize, usize), significance: f64) -> Option<f64> {
        let n = usize::from(self.statistics[layer].n_bands[at]);
        (n > 0).then(|| significance - self.thresholds[layer][n])
    }

    /// The peak of a maximum of a layer.
    pub fn peak(&self, layer: usize, maximum: &Maximum, refined: Refined) -> Peak {
        let (dx, dy) = refined.offset;
        let at = refined.at;
        let values: Vec<f64> =
            self.statistics.iter().map(|s| if s.n_bands[at] > 0 { fit(&s.values, at).at(dx, dy) } else { f64::NAN }).collect();
        let mut peak = self.with_values(layer, refined, &values);
        if let Some(join) = maximum.join {
            peak.saddle = Some(self.saddle(layer, refined, &join));
            if refined.height - f64::from(join.height) < 0.5 * self.unevenness(layer, at) * refined.height {
                peak.fate = PeakFate::Masked;
            }
        }
        peak
    }

    /// Every layer's highest point uphill from a pixel, and the layer in which that exceeds the threshold by most, with its excess.
    ///
    /// `negated`: of the negated maps; layers that have none are passed over.
    pub fn climbed(&self, from: (usize, usize), negated: bool) -> (Vec<Option<Refined>>, usize, f64) {
        let climb = |(s, noise): (&Statistic, &LayerNoise)| {
            let map = if negated { s.negated.as_ref() } else { Some(&s.values) };
            map.map(|m| climb(m, from, (self.fwhm_px * noise.broadening).ceil() as usize))
        };
        let climbed: Vec<Option<Refined>> = self.statistics.iter().zip(self.noise).map(climb).collect();
        let excess = |(l, c): (usize, &Option<Refined>)| c.and_then(|c| self.excess(l, c.at, c.height)).unwrap_or(f64::NEG_INFINITY);
        let best = first_largest(climbed.iter().enumerate().map(excess));
        let most = excess((best, &climbed[best]));
        (climbed, best, most)
    }

    /// The peak of a maximum with the highest significance of every layer near it, kept at the place of the best, which is returned too.
    pub fn evaluated(&self, layer: usize, maximum: &Maximum, refined: Refined) -> (Peak, (usize, (usize, usize))) {
        let (climbed, best, excess) = self.climbed(refined.at, false);
        let value = |(s, c): (&Statistic, &Option<Refined>)| c.filter(|c| s.n_bands[c.at] > 0).map_or(f64::NAN, |c| c.height);
        let values: Vec<f64> = self.statistics.iter().zip(&climbed).map(value).collect();
        let mut peak = self.peak(layer, maximum, refined);
        let place = climbed[best].unwrap_or(refined);
        let found = self.with_values(best, place, &values);
        peak.layer_significance = found.layer_significance;
        peak.best_layer = best as u16;
        (peak.at, peak.covariance_px2) = (found.at, found.covariance_px2);
        (peak.flux_njy, peak.flux_err_njy) = (found.flux_njy, found.flux_err_njy);
        if excess < 0.0 {
            peak.fate = PeakFate::Culled;
        }
        (peak, (best, place.at))
    }

    fn with_values(&self, layer: usize, refined: Refined, values: &[f64]) -> Peak {
        let ((j, i), (dx, dy)) = (refined.at, refined.offset);
        let pixel = (self.maps.bbox.x0 + i as i32, self.maps.bbox.y0 + j as i32);
        let mut peak = Peak::bare(PixelPoint::new(f64::from(pixel.0) + dx, f64::from(pixel.1) + dy), refined.height, layer as u16);
        // A maximum between pixels may lie nearer to another pixel than to the highest.
        peak.pixel = pixel;
        let curvature = fit(&self.statistics[layer].values, refined.at);
        if curvature.vertex().is_some() {
            peak.covariance_px2 = covariance(curvature.curvature(), self.noise[layer].gradient_variance);
        }
        peak.layer_significance = values.iter().map(|v| *v as f32).collect();
        let excess =
            values.iter().enumerate().map(|(l, v)| self.excess(l, refined.at, *v).filter(|e| !e.is_nan()).unwrap_or(f64::NEG_INFINITY));
        let best = first_largest(excess);
        peak.best_layer = best as u16;
        for plane in self.maps.bands_of(&self.kinds[best]) {
            let (flux, error) = flux(plane, refined.at, (dx, dy));
            peak.flux_njy.push(flux);
            peak.flux_err_njy.push(error);
        }
        peak
    }

    fn saddle(&self, layer: usize, peak: Refined, join: &Join) -> Saddle {
        let place = |(j, i): (usize, usize)| (self.maps.bbox.x0 + i as i32, self.maps.bbox.y0 + j as i32);
        let (dx, dy) = (join.at.1 as f64 - peak.at.1 as f64 - peak.offset.0, join.at.0 as f64 - peak.at.0 as f64 - peak.offset.1);
        let dip = peak.height - f64::from(join.height);
        // Of noise of curvature l2 two places differ by √(2 (1 - ρ)).
        let rho = (-0.5 * self.noise[layer].l2_per_px2 * (dx * dx + dy * dy)).exp();
        let significance = dip / (2.0 * (1.0 - rho)).sqrt();
        Saddle { height: join.height, significance: significance as f32, at: place(join.at), higher: place(join.higher) }
    }

    /// By what share Φ falls around a pixel, mean over the bands by their part in ν².
    ///
    /// Of a smooth light B, ν = B Σφ/√Σφ² over the good pixels: masked ones change it by up to half of what they take from Φ.
    fn unevenness(&self, layer: usize, (j, i): (usize, usize)) -> f64 {
        let (ny, nx) = self.statistics[layer].values.dim();
        let r = (self.fwhm_px.round() as usize).max(1);
        // The outermost pixels may lie outside the tract, where nothing is.
        let (rows, columns) = (j.saturating_sub(r).max(1)..(j + r + 1).min(ny - 1), i.saturating_sub(r).max(1)..(i + r + 1).min(nx - 1));
        let (mut sum, mut weight) = (0.0, 0.0);
        for plane in self.maps.bands_of(&self.kinds[layer]) {
            let part = plane.phi.slice(s![rows.clone(), columns.clone()]);
            let (lowest, highest) = part.iter().fold((f32::INFINITY, 0.0f32), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
            if highest > 0.0 {
                let w = f64::from(plane.nu[[j, i]]).powi(2);
                sum += w * f64::from(1.0 - lowest / highest);
                weight += w;
            }
        }
        if weight > 0.0 { sum / weight } else { 0.0 }
    }
}

/// Index of the largest value, the first of equals.
fn first_largest(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().fold((0, f64::NEG_INFINITY), |best, (i, v)| if v > best.1 { (i, v) } else { best }).0
}

/// Ψ/Φ at a place between pixels, and Φ^-1/2; NaN without data.
fn flux(plane: &BandPlanes, at: (usize, usize), (dx, dy): (f64, f64)) -> (f32, f32) {
    let phi = f64::from(plane.phi[at]);
    if phi <= 0.0 {
        return (f32::NAN, f32::NAN);
    }
    // ν is as smooth as Ψ; where Φ is uneven, its value at the pixel is as good as any.
    let error = phi.sqrt().recip();
    ((fit(&plane.nu, at).at(dx, dy) * error) as f32, error as f32)
}

/// Covariance xx, xy, yy \[pixel²\] of a maximum of curvature H where noise has gradients of variance g per axis: H⁻¹ g H⁻¹.
///
/// For a matched layer H = ν l2 and g = l2: 1/(ν² l2).
fn covariance([xx, xy, yy]: [f64; 3], gradient_variance: f64) -> [f32; 3] {
    let det = xx * yy - xy * xy;
    let inverse = [yy / det, -xy / det, xx / det];
    let [a, b, c] = inverse;
    [a * a + b * b, b * (a + c), b * b + c * c].map(|v| (gradient_variance * v) as f32)
}

//! Sérsic profiles: their Fourier transform, tabulated once per index.

use super::{Radial, bisect, share_cut};
use rayon::prelude::*;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::{Arc, LazyLock, Mutex};

/// Sérsic indices that can be drawn, without truncation: below, the transform only oscillates; above, the core outresolves any table.
pub const SERSIC_RANGE: std::ops::RangeInclusive<f64> = 0.3..=6.2;

/// The table runs over v = q² + V_MIN from V_MIN to 2^10, in segments of the same width inside an octave: exponent and leading
/// bits of v are the segment, the other bits the place in it. F is smooth in q², and no logarithm or root is taken per pixel.
const V_MIN: f64 = 1.0 / 4_194_304.0;
/// log2(2^10 / V_MIN).
const N_OCTAVES: usize = 32;

/// Step in ln r and first ln r of the table of the light outside.
const OUTSIDE_STEP: f64 = 0.05;
const OUTSIDE_FIRST: f64 = -7.0;
const N_OUTSIDE: usize = 400;

/// I(r) ∝ exp(-b (r/r_e)^(1/n)) of total flux 1, half of it inside r_e; n = 1 is the exponential disc, n = 4 de Vaucouleurs' law.
///
/// # Source
/// Sérsic 1968; Graham & Driver 2005, PASA 22, 118 for b and the growth curve.
#[derive(Debug)]
pub struct Sersic {
    n: f64,
    b: f64,
    /// I(0) [flux per r_e²].
    central: f64,
    /// Cubic through the four nearest nodes, per segment, in the place in the segment (0..1).
    segments: Vec<[f64; 4]>,
    /// Bits of v below those that choose the segment.
    n_place_bits: u32,
    /// Logarithmic slope dlnF/dlnq at the end of the table.
    end_slope: f64,
    /// Share of the flux outside exp(OUTSIDE_FIRST + i OUTSIDE_STEP).
    outside: Vec<f64>,
    reach: f64,
}

impl Sersic {
    /// The profile of index `n`, which must lie in [`SERSIC_RANGE`]; made once per process and index (some 0.1 s).
    ///
    /// # Panics
    /// If `n` is out of range.
    #[must_use]
    pub fn of_index(n: f64) -> Arc<Self> {
        static MADE: LazyLock<Mutex<BTreeMap<u64, Arc<Sersic>>>> = LazyLock::new(Mutex::default);
        assert!(SERSIC_RANGE.contains(&n), "Sérsic index {n} is outside {SERSIC_RANGE:?}");
        let find = || MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&n.to_bits()).cloned();
        // The lock is not held while the table is made: that runs on the thread pool, whose threads may ask here themselves.
        find().unwrap_or_else(|| {
            let made = Arc::new(Self::new(n));
            MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(n.to_bits()).or_insert(made).clone()
        })
    }

    fn new(n: f64) -> Self {
        let b = bisect(0.01, 20.0, |b| gamma_lr(2.0 * n, b) - 0.5);
        // Sharp edges (small n) make the transform oscillate: finer.
        let log_per_octave = if n < 0.8 { 6 } else { 4 };
        let per_octave = 1usize << log_per_octave;
        let n_segments = N_OCTAVES * per_octave;
        let node = |i: usize| V_MIN * 2f64.powi((i / per_octave) as i32) * (1.0 + (i % per_octave) as f64 / per_octave as f64);
        let values: Vec<f64> = (0..=n_segments).into_par_iter().map(|i| hankel(n, b, (node(i) - V_MIN).sqrt())).collect();
        let segments = (0..n_segments)
            .map(|i| {
                let first = i.saturating_sub(1).min(n_segments - 3);
                let width = node(i + 1) - node(i);
                cubic_through(std::array::from_fn(|j| ((node(first + j) - node(i)) / width, values[first + j])))
            })
            .collect();
        let (last, before) = (values[n_segments].abs(), values[n_segments - per_octave].abs());
        let is_resolved = n > 0.5 && last > 1e-11 && before > last;
        // An octave of q² is half an octave of q. Without a cusp (n <= 0.5) nothing that a table could hold is left there.
        let end_slope = if is_resolved { 2.0 * (last / before).log2() } else { f64::NEG_INFINITY };
        let outside = (0..N_OUTSIDE)
            .map(|i| {
                let x = b * ((OUTSIDE_FIRST + i as f64 * OUTSIDE_STEP) / n).exp();
                if x < 600.0 { gamma_ur(2.0 * n, x) } else { 0.0 }
            })
            .collect();
        let central = (2.0 * n * b.ln() - ln_gamma(2.0 * n)).exp() / (TAU * n);
        let mut made = Self { n, b, central, segments, n_place_bits: 52 - log_per_octave, end_slope, outside, reach: 0.0 };
        made.reach = made.radius_enclosing(1.0 - share_cut(n));
        made
    }

    /// Fourier transform at q = k r_e (k in cycles per length); 1 at 0.
    #[must_use]
    pub fn transform(&self, q: f64) -> f64 {
        self.transform_sq(q * q)
    }

    /// The same by q².
    #[must_use]
    #[inline]
    fn transform_sq(&self, q_sq: f64) -> f64 {
        let bits = (q_sq + V_MIN).to_bits();
        let i = ((bits >> self.n_place_bits) - (V_MIN.to_bits() >> self.n_place_bits)) as usize;
        let Some([a, b, c, d]) = self.segments.get(i) else { return self.beyond_table(q_sq) };
        let mask = (1u64 << self.n_place_bits) - 1;
        let place = (bits & mask) as i64 as f64 * (1.0 / (1u64 << self.n_place_bits) as f64);
        a + place * (b + place * (c + place * d))
    }

    /// The cusp r^(1/n) goes on as a power law, with the slope that it has reached.
    #[cold]
    fn beyond_table(&self, q_sq: f64) -> f64 {
        let end_sq = V_MIN * 2f64.powi(N_OCTAVES as i32);
        let [a, b, c, d] = self.segments[self.segments.len() - 1];
        (a + b + c + d) * (q_sq / end_sq).powf(0.5 * self.end_slope)
    }

    /// Share of the flux inside `r` \[r_e\].
    #[must_use]
    pub fn enclosed(&self, r: f64) -> f64 {
        if r > 0.0 { gamma_lr(2.0 * self.n, self.b * r.powf(1.0 / self.n)) } else { 0.0 }
    }

    /// Radius \[r_e\] that holds a share of the flux, in 0..1.
    #[must_use]
    pub fn radius_enclosing(&self, share: f64) -> f64 {
        bisect(0.0, 1e4, |r| self.enclosed(r) - share)
    }
}

impl Radial for Sersic {
    fn add_transform(&self, flux: f64, q_sq: &[f64], out: &mut [f64]) {
        for (out, q_sq) in out.iter_mut().zip(q_sq) {
            *out += flux * self.transform_sq(*q_sq);
        }
    }

    fn density(&self, r: f64) -> f64 {
        self.central * (-self.b * r.powf(1.0 / self.n)).exp()
    }

    fn outside(&self, r: f64) -> f64 {
        let t = (r.max(1e-6).ln() - OUTSIDE_FIRST) / OUTSIDE_STEP;
        if t <= 0.0 {
            return 1.0;
        }
        let i = t as usize;
        if i + 1 >= self.outside.len() {
            return 0.0;
        }
        self.outside[i] + (t - i as f64) * (self.outside[i + 1] - self.outside[i])
    }

    fn reach(&self) -> f64 {
        self.reach
    }
}

/// Coefficients a + b x + c x² + d x³ of the cubic through four points, by Newton's divided differences.
fn cubic_through(points: [(f64, f64); 4]) -> [f64; 4] {
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = points;
    let (d01, d12, d23) = ((y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1), (y3 - y2) / (x3 - x2));
    let (d02, d13) = ((d12 - d01) / (x2 - x0), (d23 - d12) / (x3 - x1));
    let d03 = (d13 - d02) / (x3 - x0);
    // y0 + (x - x0)(d01 + (x - x1)(d02 + (x - x2) d03)), multiplied out.
    [
        y0 - x0 * (d01 - x1 * (d02 - x2 * d03)),
        d01 - x1 * (d02 - x2 * d03) - x0 * (d02 - x2 * d03 - x1 * d03),
        d02 - (x0 + x1 + x2) * d03,
        d03,
    ]
}

/// Half of the nodes and weights of 8-point Gauss-Legendre quadrature on [-1, 1] (Abramowitz & Stegun, table 25.4).
const NODES: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_27),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];

/// F(q) = b^2n / (n Γ(2n)) ∫ e^(-b r^(1/n)) J0(2π q r) r dr, in r or, from n = 1 on, in u = r^(1/n).
///
/// Gauss-Legendre panels, each no longer than 6 rad of the Bessel function's phase, an e-folding of the profile, and its own
/// distance from the centre, where a power of r may be no integer. The integral ends where the light left is below 1e-9, or the
/// oscillation averages what is left to below 1e-9: the remainder of ∫ g J0(kr) r dr is near g(R) R^(1/2) k^(-3/2).
fn hankel(n: f64, b: f64, q: f64) -> f64 {
    let log_norm = 2.0 * n * b.ln() - ln_gamma(2.0 * n);
    let in_u = n >= 1.0;
    let radius = |x: f64| if in_u { x.powf(n) } else { x };
    let integrand = |x: f64| {
        let (r, u, log_measure) = if in_u { (x.powf(n), x, (2.0 * n - 1.0) * x.ln()) } else { (x, x.powf(1.0 / n), x.ln() - n.ln()) };
        (log_norm - b * u + log_measure).exp() * libm::j0(TAU * q * r)
    };
    let end_u = bisect(0.0, 120.0, |u| gamma_lr(2.0 * n, b * u) - (1.0 - 1e-9));
    let end = if in_u { end_u } else { end_u.powf(n) };
    let folding = if in_u { 1.0 / b } else { 0.25 * end.min(1.0) * n.min(0.5) };
    let (mut sum, mut from) = (0.0, 0.0f64);
    while from < end {
        let by_phase = if q > 0.0 {
            let r = radius(from) + 6.0 / (TAU * q);
            if in_u { r.powf(1.0 / n) } else { r }
        } else {
            end
        };
        let to = by_phase.min(from + folding).min((2.0 * from).max(1e-3 * folding)).min(end);
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        sum += half * NODES.iter().map(|(x, w)| w * (integrand(middle - half * x) + integrand(middle + half * x))).sum::<f64>();
        from = to;
        let r = radius(from);
        let left = (log_norm - b * r.powf(1.0 / n)).exp() / n * r.sqrt() / (TAU * q).powf(1.5);
        if q * r > 1.0 && left < 1e-9 {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Exponential disc of scale h = r_e / 1.678347: F = (1 + (2π k h)²)^(-3/2).
    #[test]
    fn exponential_disc_is_closed_form() {
        let disc = Sersic::of_index(1.0);
        for q in [0.0, 0.003, 0.05, 0.2, 0.77, 3.0, 12.0, 29.0, 100.0] {
            let expected = (1.0 + (TAU * q / 1.678_346_99f64).powi(2)).powf(-1.5);
            assert_abs_diff_eq!(disc.transform(q), expected, epsilon = 1e-6);
        }
    }

    /// Gaussian, b = ln 2: F = exp(-(π q)² / ln 2).
    #[test]
    fn gaussian_is_closed_form() {
        let gaussian = Sersic::of_index(0.5);
        for q in [0.0, 0.01, 0.1, 0.3, 0.5, 1.0, 5.0, 40.0] {
            let expected = (-(std::f64::consts::PI * q).powi(2) / std::f64::consts::LN_2).exp();
            assert_abs_diff_eq!(gaussian.transform(q), expected, epsilon = 1e-6);
        }
    }

    /// Between its nodes the table is the integral, for the sharpest, the usual and the most concentrated profile.
    #[test]
    fn table_is_the_integral_between_its_nodes() {
        for n in [0.3, 0.4, 0.9, 2.5, 4.0, 6.2] {
            let profile = Sersic::of_index(n);
            let mut q = 2.3e-4;
            while q < 20.0 {
                assert_abs_diff_eq!(profile.transform(q), hankel(n, profile.b, q), epsilon = 2e-6);
                q *= 1.37;
            }
        }
    }

    /// A sharp-edged profile's transform goes below zero, as a disc's does.
    #[test]
    fn sharp_edges_oscillate() {
        let profile = Sersic::of_index(0.3);
        assert!((1..200).any(|i| profile.transform(0.02 * f64::from(i)) < -1e-3));
    }

    /// The transform at 0 is the flux; growth curve and b as Graham & Driver's table (b = 7.669 at n = 4).
    #[test]
    fn every_index_has_unit_flux_and_half_light_radius() {
        for n in [0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.2] {
            let profile = Sersic::of_index(n);
            assert_abs_diff_eq!(profile.transform(0.0), 1.0, epsilon = 2e-7);
            assert_abs_diff_eq!(profile.enclosed(1.0), 0.5, epsilon = 1e-9);
            assert_abs_diff_eq!(profile.radius_enclosing(0.5), 1.0, epsilon = 1e-6);
            assert!(profile.transform(0.1) > profile.transform(0.2));
            for r in [0.7, 3.1, 21.0] {
                assert_abs_diff_eq!(profile.outside(r), 1.0 - profile.enclosed(r), epsilon = 1e-3);
            }
        }
        assert_abs_diff_eq!(Sersic::of_index(4.0).b, 7.669_249_44, epsilon = 1e-6);
        // Q(12, x) = 1e-4 at x = 29.306485 (a finite sum for an integer), (x/b)^6 = 251.03.
        assert_abs_diff_eq!(1.0 - Sersic::of_index(6.0).enclosed(251.03), 1e-4, epsilon = 1e-8);
    }
}

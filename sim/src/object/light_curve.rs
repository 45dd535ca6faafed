//! How bright an object is at a time.

use super::check;
use crate::SimError;
use fathom::catalog::Table;
use fathom::format::truth::{optional_f64, optional_i64, optional_text};
use fathom::random::keyed_rng;
use std::f64::consts::{LN_10, TAU};

/// Natural logarithm of a flux ratio per magnitude.
const LN_PER_MAG: f64 = 0.4 * LN_10;
/// A transient rises this many times faster than it falls.
const RISE: f64 = 5.0;
/// A damped random walk is drawn afresh at the ends of cells of this many damping times (correlation e^-32), and bisected between.
const CELL: f64 = 32.0;
/// Bisections of a cell: down to 32/2^20 = 3e-5 damping times, where the walk moves by 0.008 of its amplitude; straight between.
const N_BISECTIONS: u32 = 20;

/// The law of one object's light.
#[derive(Debug, Clone)]
pub(super) struct LightCurve {
    kind: String,
    period_d: f64,
    amplitude_mag: f64,
    t0_mjd: f64,
    seed: u64,
}

impl LightCurve {
    /// One a row.
    ///
    /// # Errors
    /// [`SimError::Truth`] if a column is of another type.
    pub(super) fn of_table(table: &Table) -> Result<Vec<Self>, SimError> {
        let kind = optional_text(table, "variability")?;
        let (period, amplitude) = (optional_f64(table, "var_period", f64::NAN)?, optional_f64(table, "var_amplitude", 0.0)?);
        let t0 = optional_f64(table, "var_t0", f64::NAN)?;
        let seed = optional_i64(table, "var_seed", 0)?;
        let rows = kind.into_iter().enumerate();
        let curve = |(i, kind)| Self { kind, period_d: period[i], amplitude_mag: amplitude[i], t0_mjd: t0[i], seed: seed[i] as u64 };
        Ok(rows.map(curve).collect())
    }

    pub(super) fn check(&self, id: i64) -> Result<(), SimError> {
        let is_known = ["", "sine", "walk", "transient"].contains(&self.kind.as_str());
        check(id, is_known, "variability", &self.kind, "empty text, sine, walk or transient")?;
        if self.kind.is_empty() {
            return Ok(());
        }
        check(id, self.period_d > 0.0 && self.period_d.is_finite(), "var_period", self.period_d, "a positive number of days")?;
        let is_amplitude = self.kind == "transient" || (0.0..=5.0).contains(&self.amplitude_mag);
        check(id, is_amplitude, "var_amplitude", self.amplitude_mag, "magnitudes in 0..=5")?;
        check(id, self.kind == "walk" || self.t0_mjd.is_finite(), "var_t0", self.t0_mjd, "an MJD")
    }

    /// Flux at `mjd` / flux of the catalog: 1 on average (sine, walk), 1 at the maximum (transient).
    ///
    /// The walk is the same in every band and depends on `var_seed` and `id` only.
    pub(super) fn factor(&self, id: i64, mjd: f64) -> f64 {
        let a = LN_PER_MAG * self.amplitude_mag;
        match self.kind.as_str() {
            // ⟨exp(a cos)⟩ = I0(a): a star that varies by magnitudes is brighter on average than at its mean magnitude.
            "sine" => (a * (TAU * (mjd - self.t0_mjd) / self.period_d).cos()).exp() / bessel_i0(a),
            "walk" => (a * walk(self.seed, id, mjd / self.period_d) - 0.5 * a * a).exp(),
            "transient" => {
                let t = (mjd - self.t0_mjd) / self.period_d;
                let factor = if t < 0.0 { (RISE * t).exp() } else { (-t).exp() };
                // 30 magnitudes down there is no light left to draw.
                if factor > 1e-12 { factor } else { 0.0 }
            }
            _ => 1.0,
        }
    }
}

/// Modified Bessel function I0 by its series: all terms positive, a below 5.
fn bessel_i0(a: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..60 {
        term *= (0.5 * a / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// A damped random walk of unit variance and correlation exp(-|Δt|) at one time, alone.
///
/// The process is Markov: between two known values a and b, a time h from either, its middle is normal with mean (a + b)/(2 cosh h) and
/// variance tanh h. Values at the cells' ends are independent (e^-32), each middle has its own key: any epoch can be had without the
/// others, and all agree.
///
/// # Source
/// Kelly, Bechtold & Siemiginowska 2009, ApJ 698, 895 for the process; the bridge is the conditional normal of its covariance.
fn walk(seed: u64, id: i64, time: f64) -> f64 {
    let cell = (time / CELL).floor();
    let normal = |cell: f64, node: u64| {
        // Nodes of a cell are fewer than 2^21.
        let mut rng = keyed_rng(seed, "light-curve", id as u64, ((cell as i64 as u64) << 21) | node);
        crate::noise::normal(&mut rng)
    };
    let (mut from, mut to) = (normal(cell, 0), normal(cell + 1.0, 0));
    let mut place = time / CELL - cell;
    let mut node = 1u64;
    let mut half = 0.5 * CELL;
    for _ in 0..N_BISECTIONS {
        let middle = (from + to) / (2.0 * half.cosh()) + half.tanh().sqrt() * normal(cell, node);
        place *= 2.0;
        if place < 1.0 {
            to = middle;
            node *= 2;
        } else {
            from = middle;
            place -= 1.0;
            node = 2 * node + 1;
        }
        half *= 0.5;
    }
    from + place * (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn curve(kind: &str) -> LightCurve {
        LightCurve { kind: kind.into(), period_d: 10.0, amplitude_mag: 0.5, t0_mjd: 60_000.0, seed: 0 }
    }

    #[test]
    fn sine_is_brightest_at_t0_and_one_on_average() {
        let sine = curve("sine");
        let mean = (0..1000).map(|i| sine.factor(1, 60_003.0 + 0.01 * f64::from(i))).sum::<f64>() / 1000.0;
        assert_abs_diff_eq!(mean, 1.0, epsilon = 1e-9);
        // Peak to peak is twice the amplitude: 1 mag.
        assert_abs_diff_eq!(-2.5 * (sine.factor(1, 60_005.0) / sine.factor(1, 60_000.0)).log10(), 1.0, epsilon = 1e-9);
    }

    #[test]
    fn transient_rises_five_times_faster_than_it_falls() {
        let transient = curve("transient");
        assert_abs_diff_eq!(transient.factor(1, 60_000.0), 1.0, epsilon = 1e-12);
        assert_abs_diff_eq!(transient.factor(1, 60_010.0), (-1.0f64).exp(), epsilon = 1e-12);
        assert_abs_diff_eq!(transient.factor(1, 59_998.0), (-1.0f64).exp(), epsilon = 1e-12);
        assert!(transient.factor(1, 59_000.0) <= 0.0);
    }

    /// 4000 independent walks: unit variance (scatter √(2/n) = 0.022), correlation exp(-Δt) within 4/√n; across the ends of cells too.
    #[test]
    fn walk_has_its_covariance() {
        let n = 4000;
        for (t0, lag) in [(5.3, 0.1), (31.8, 0.5), (63.99, 1.0), (-0.4, 0.7)] {
            let pairs: Vec<_> = (0..n).map(|id| (walk(5, id, t0), walk(5, id, t0 + lag))).collect();
            let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n as f64;
            assert_abs_diff_eq!(mean(&|p| p.0), 0.0, epsilon = 4.0 / (n as f64).sqrt());
            assert_abs_diff_eq!(mean(&|p| p.1 * p.1), 1.0, epsilon = 4.0 * (2.0 / n as f64).sqrt());
            assert_abs_diff_eq!(mean(&|p| p.0 * p.1), (-lag).exp(), epsilon = 6.0 / (n as f64).sqrt());
        }
        assert_eq!(walk(1, 7, 3.25).to_bits(), walk(1, 7, 3.25).to_bits());
        assert!((walk(1, 7, 3.25) - walk(2, 7, 3.25)).abs() > 1e-6 && (walk(1, 7, 3.25) - walk(1, 8, 3.25)).abs() > 1e-6);
    }
}

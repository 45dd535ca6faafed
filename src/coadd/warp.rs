//! Warping: one exposure at a run of tract pixels, through a Lanczos kernel ([`super::convolve`]).
//!
//! Bad pixels hold 0 in both planes; a pixel whose kernel meets one is renormalised apart.

use super::convolve;
use super::kernel::Lanczos;
use super::prepared::{BitRows, Prepared};

/// Most pixels of a run.
pub(crate) const MAX_RUN: usize = 32;

/// Positions are whole multiples of 2^-20 pixel: a shift that is whole but for rounding is whole.
pub(crate) const FRACTION_BITS: u32 = 20;

/// What an exposure gives at a tract pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A value of all taps.
    Value,
    /// A value of the good taps, renormalised; or one beside pixels that are left out with their cell.
    Inexact,
    /// Too much of the kernel falls on bad pixels.
    Masked,
    /// The kernel leaves the exposure.
    Edge,
    /// The exposure is not there.
    Beyond,
}

/// What an exposure gives at a run of tract pixels, before the pixel-area ratio.
pub(crate) struct WarpedRun {
    /// Σ k z / Σ k over the good taps \[nJy\]; 0 without a value.
    pub flux_njy: [f32; MAX_RUN],
    /// Σ k² v / (Σ k)² over the good taps \[nJy²\]; 0 without a value.
    pub variance_njy2: [f32; MAX_RUN],
    pub outcome: [Outcome; MAX_RUN],
    /// Index of the nearest pixel in the planes of [`Prepared`], where there is a value.
    pub nearest: [usize; MAX_RUN],
}

impl WarpedRun {
    pub fn new() -> Self {
        Self { flux_njy: [0.0; MAX_RUN], variance_njy2: [0.0; MAX_RUN], outcome: [Outcome::Beyond; MAX_RUN], nearest: [0; MAX_RUN] }
    }
}

/// One exposure under one kernel.
pub(crate) struct Warper<'a> {
    pub prepared: &'a Prepared,
    pub kernel: &'a Lanczos,
    /// First pixels of the windows that hold a bad pixel: `prepared.bad.windows_with_any(kernel.n_taps())`.
    pub touched: &'a BitRows,
    /// Of the whole exposure, `[y, x]`.
    pub shape: (usize, usize),
    /// Least share of Σk and of Σk² that the good taps must supply.
    pub min_weight: f64,
}

impl Warper<'_> {
    /// The values at exposure pixels (`x`, `y`), at most [`MAX_RUN`]; NaN is beyond the exposure.
    pub fn run(&self, x: &[f64], y: &[f64], out: &mut WarpedRun) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features; it was just asked.
            return match self.kernel.n_taps() {
                6 => unsafe { self.run_avx2::<6, 8, 1>(x, y, out) },
                _ => unsafe { self.run_avx2::<10, 16, 2>(x, y, out) },
            };
        }
        self.run_plain(x, y, out);
    }

    fn run_plain(&self, x: &[f64], y: &[f64], out: &mut WarpedRun) {
        let table = self.kernel.lanes();
        match self.kernel.n_taps() {
            6 => self.run_with::<6, 8>(x, y, out, |phases, z, v, width| convolve::plain::<6, 8>(table, phases, z, v, width)),
            _ => self.run_with::<10, 16>(x, y, out, |phases, z, v, width| convolve::plain::<10, 16>(table, phases, z, v, width)),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn run_avx2<const N: usize, const L: usize, const R: usize>(&self, x: &[f64], y: &[f64], out: &mut WarpedRun) {
        let table = self.kernel.lanes();
        self.run_with::<N, L>(x, y, out, |phases, z, v, width| convolve::avx2::convolve::<N, R>(table, phases, z, v, width));
    }

    /// Inlined, so that it is compiled with the features of its caller.
    #[inline(always)]
    fn run_with<const N: usize, const L: usize>(
        &self,
        x: &[f64],
        y: &[f64],
        out: &mut WarpedRun,
        convolve: impl Fn(convolve::Phases, &[f32], &[f32], usize) -> (f32, f32),
    ) {
        let flux_njy = self.prepared.flux_njy.as_slice().expect("standard layout");
        let variance_njy2 = self.prepared.variance_njy2.as_slice().expect("standard layout");
        let (bbox, width) = (self.prepared.bbox, self.prepared.flux_njy.ncols());
        let (last_x0, last_y0) = (self.shape.1 as i64 - N as i64, self.shape.0 as i64 - N as i64);
        for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
            let (x, y) = (fixed(x), fixed(y));
            let (x0, y0) = ((x >> FRACTION_BITS) + self.kernel.first_tap(), (y >> FRACTION_BITS) + self.kernel.first_tap());
            if x0 < 0 || y0 < 0 || x0 > last_x0 || y0 > last_y0 {
                (out.flux_njy[i], out.variance_njy2[i]) = (0.0, 0.0);
                out.outcome[i] = if is_near(x, self.shape.1) && is_near(y, self.shape.0) { Outcome::Edge } else { Outcome::Beyond };
                continue;
            }
            let fraction = |v: i64| (v & ((1 << FRACTION_BITS) - 1)) as u32;
            let phases = (fraction(x), fraction(y));
            let (ax, ay) = ((x0 - i64::from(bbox.x0)) as usize, (y0 - i64::from(bbox.y0)) as usize);
            let first = ay * width + ax;
            (out.flux_njy[i], out.variance_njy2[i]) = if first + (N - 1) * width + L <= flux_njy.len() {
                convolve(phases, &flux_njy[first..], &variance_njy2[first..], width)
            } else {
                last_pixels::<N, L>(self.kernel.lanes(), phases, &flux_njy[first..], &variance_njy2[first..], width)
            };
            let round = |v: i64| ((v >> (FRACTION_BITS - 1)) & 1) as usize;
            out.nearest[i] = first + (N / 2 - 1 + round(y)) * width + N / 2 - 1 + round(x);
            out.outcome[i] = Outcome::Value;
            if self.touched.bit(ay, ax) {
                self.renormalise::<N, L>((ax, ay), phases, i, out);
            }
        }
    }

    /// The good taps' share of Σk (which is 1) and of Σk²: all less the bad ones, which are few. Inlined for the fused multiply-adds of the
    /// weights, which are calls where the processor's features are not known.
    #[inline(always)]
    fn renormalise<const N: usize, const L: usize>(
        &self,
        (ax, ay): (usize, usize),
        phases: convolve::Phases,
        i: usize,
        out: &mut WarpedRun,
    ) {
        let weights = |phase| convolve::lanes::<L>(self.kernel.lanes(), phase).map(f64::from);
        let (wx, wy) = (weights(phases.0), weights(phases.1));
        let sum_sq = |w: &[f64; L]| w.iter().map(|w| w * w).sum::<f64>();
        let all_2 = sum_sq(&wx) * sum_sq(&wy);
        let (mut good_1, mut good_2) = (1.0, all_2);
        for (mut bits, &wy) in self.prepared.bad.windows::<N>(ay, ax).into_iter().zip(&wy) {
            while bits != 0 {
                let k = wx[bits.trailing_zeros() as usize] * wy;
                bits &= bits - 1;
                good_1 -= k;
                good_2 -= k * k;
            }
        }
        let is_kept = good_1 >= self.min_weight && good_2 >= self.min_weight * all_2;
        let scale = if is_kept { good_1.recip() } else { 0.0 };
        out.flux_njy[i] = (f64::from(out.flux_njy[i]) * scale) as f32;
        out.variance_njy2[i] = (f64::from(out.variance_njy2[i]) * scale * scale) as f32;
        out.outcome[i] = if is_kept { Outcome::Inexact } else { Outcome::Masked };
    }
}

/// At the last pixels of the planes, where there is no whole register left. Apart from the loop, so that the other way is inlined there.
#[cold]
#[inline(never)]
fn last_pixels<const N: usize, const L: usize>(
    table: &[f32],
    phases: convolve::Phases,
    flux_njy: &[f32],
    variance_njy2: &[f32],
    width: usize,
) -> (f32, f32) {
    let (mut z, mut v) = ([[0.0; L]; N], [[0.0; L]; N]);
    for j in 0..N {
        z[j][..N].copy_from_slice(&flux_njy[j * width..][..N]);
        v[j][..N].copy_from_slice(&variance_njy2[j * width..][..N]);
    }
    convolve::plain::<N, L>(table, phases, z.as_flattened(), v.as_flattened(), L)
}

/// A position in multiples of 2^-[`FRACTION_BITS`], rounded; NaN and what is beyond ±2^31 pixels becomes some number far outside.
///
/// In the sum with 1.5 x 2^32 the last bit of the mantissa is worth 2^-20, whatever the position: no conversion is needed, nor a floor.
#[inline(always)]
fn fixed(position_px: f64) -> i64 {
    const SHIFT: f64 = 1.5 * (1u64 << (52 - FRACTION_BITS)) as f64;
    (position_px + SHIFT).to_bits() as i64 - SHIFT.to_bits() as i64
}

/// True within three pixels of an exposure of `n` pixels along this axis: its edge is near.
fn is_near(v: i64, n: usize) -> bool {
    (-3..n as i64 + 3).contains(&(v >> FRACTION_BITS))
}

/// The whole number below: without SSE 4.1 `f64::floor` is a call.
pub(crate) fn floor(x: f64) -> i64 {
    let whole = x as i64;
    whole - i64::from(x < whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// A plane of noise in which every seventeenth pixel or so is bad.
    fn prepared(shape: (usize, usize), bad_one_in: usize) -> Prepared {
        let hash = |y: usize, x: usize| (y * 7919 + x * 104_729) % 100_003;
        let is_bad = |y, x| bad_one_in > 0 && hash(y, x) % bad_one_in == 0;
        let plane = |f: &dyn Fn(usize, usize) -> f32| Array2::from_shape_fn(shape, |(y, x)| if is_bad(y, x) { 0.0 } else { f(y, x) });
        let variance_njy2 = plane(&|y, x| 1.0 + hash(x + 5, y) as f32 * 1e-5);
        Prepared::of(plane(&|y, x| hash(x, y) as f32 * 1e-3 - 50.0), variance_njy2, BitRows::of(shape, is_bad))
    }

    /// Every tap by its law, in f64: Σkz/Σk, Σk²v/(Σk)² and the share of Σk over the good pixels.
    fn slow(p: &Prepared, order: i64, x: f64, y: f64) -> (f64, f64, f64) {
        let sinc = |t: f64| if t.abs() < 1e-9 { 1.0 } else { (std::f64::consts::PI * t).sin() / (std::f64::consts::PI * t) };
        let law = |t: f64| if t.abs() < order as f64 { sinc(t) * sinc(t / order as f64) } else { 0.0 };
        let (ix, iy) = (x.floor() as i64, y.floor() as i64);
        let taps = |i: i64| i + 1 - order..=i + order;
        let (sum_x, sum_y) = (taps(ix).map(|i| law(i as f64 - x)).sum::<f64>(), taps(iy).map(|j| law(j as f64 - y)).sum::<f64>());
        let (mut z, mut v, mut k1) = (0.0, 0.0, 0.0);
        for (j, i) in taps(iy).flat_map(|j| taps(ix).map(move |i| (j, i))) {
            let k = law(i as f64 - x) * law(j as f64 - y) / (sum_x * sum_y);
            if p.bad.window(j, i, 1) == 0 {
                let at = [j as usize, i as usize];
                (z, v, k1) = (z + k * f64::from(p.flux_njy[at]), v + k * k * f64::from(p.variance_njy2[at]), k1 + k);
            }
        }
        (z / k1, v / (k1 * k1), k1)
    }

    /// Positions all over the exposure and beyond it, up to its last corner.
    fn positions() -> (Vec<f64>, Vec<f64>) {
        let at = |i: usize, n: f64| -4.0 + (n + 8.0) * ((i as f64 * 0.618_033_988_75) % 1.0);
        (0..4000).map(|i| (at(i, 70.0), at(i * 7 + 3, 60.0))).chain([(66.5, 56.5), (67.0 - 1e-3, 57.0 - 1e-3)]).unzip()
    }

    fn run_all(warper: &Warper, mut each: impl FnMut(f64, f64, usize, &WarpedRun)) {
        let (xs, ys) = positions();
        let mut out = WarpedRun::new();
        for (x, y) in xs.chunks(MAX_RUN).zip(ys.chunks(MAX_RUN)) {
            warper.run(x, y, &mut out);
            (0..x.len()).for_each(|i| each(x[i], y[i], i, &out));
        }
    }

    /// Against the law itself: 36 taps or more of values up to 50 and variances up to 2, by a kernel good to 5e-7.
    #[test]
    fn runs_equal_the_slow_sum() {
        for (order, bad_one_in) in [(3, 0), (3, 97), (5, 211)] {
            let (p, kernel) = (prepared((60, 70), bad_one_in), Lanczos::new(order));
            let touched = p.bad.windows_with_any(kernel.n_taps());
            let warper = Warper { prepared: &p, kernel: &kernel, touched: &touched, shape: (60, 70), min_weight: 0.8 };
            let mut counts = [0; 5];
            run_all(&warper, |x, y, i, out| {
                counts[out.outcome[i] as usize] += 1;
                let margin = order as f64;
                let is_inside = x >= margin - 1.0 && y >= margin - 1.0 && x < 70.0 - margin && y < 60.0 - margin;
                assert_eq!(is_inside, matches!(out.outcome[i], Outcome::Value | Outcome::Inexact | Outcome::Masked), "({x}, {y})");
                if is_inside {
                    let (z, v, k1) = slow(&p, order as i64, x, y);
                    let is_kept = out.outcome[i] != Outcome::Masked;
                    assert!(is_kept || k1 < 0.9, "({x}, {y}): {k1}");
                    assert_eq!(out.outcome[i] == Outcome::Value, (k1 - 1.0).abs() < 1e-12 && bad_windows(&p, order as i64, x, y) == 0);
                    let (found_z, found_v) = (f64::from(out.flux_njy[i]), f64::from(out.variance_njy2[i]));
                    assert!(
                        !is_kept || (found_z - z).abs() < 1e-3 && (found_v - v).abs() < 1e-5,
                        "({x}, {y}): {found_z} {z}, {found_v} {v}"
                    );
                    assert_eq!(out.nearest[i], (y + 0.5) as usize * 70 + (x + 0.5) as usize, "({x}, {y})");
                }
            });
            assert!(counts[0] > 1000 && counts[3] > 100 && counts[4] > 50 && (counts[1] > 100) == (bad_one_in > 0), "{counts:?}");
        }
    }

    fn bad_windows(p: &Prepared, order: i64, x: f64, y: f64) -> u64 {
        let n = 2 * order as usize;
        (0..n as i64).fold(0, |any, j| any | p.bad.window(y.floor() as i64 + 1 - order + j, x.floor() as i64 + 1 - order, n))
    }

    /// A whole shift returns its input bit for bit, also one that is whole but for rounding.
    #[test]
    fn whole_shifts_are_exact() {
        for order in [3, 5] {
            let (p, kernel) = (prepared((60, 70), 0), Lanczos::new(order));
            let touched = p.bad.windows_with_any(kernel.n_taps());
            let warper = Warper { prepared: &p, kernel: &kernel, touched: &touched, shape: (60, 70), min_weight: 0.97 };
            let mut out = WarpedRun::new();
            for (x, y) in (5..64).flat_map(|x| [5, 21, 54].map(|y| (x, y))) {
                for rounding in [0.0, 3e-10, -3e-10] {
                    warper.run(&[x as f64 + rounding], &[y as f64 - rounding], &mut out);
                    assert_eq!(out.flux_njy[0].to_bits(), p.flux_njy[[y, x]].to_bits());
                    assert_eq!(out.variance_njy2[0].to_bits(), p.variance_njy2[[y, x]].to_bits());
                }
            }
        }
    }

    /// The plain version and that for AVX2 round alike.
    #[test]
    fn versions_give_the_same_bits() {
        for order in [3, 5] {
            let (p, kernel) = (prepared((60, 70), 97), Lanczos::new(order));
            let touched = p.bad.windows_with_any(kernel.n_taps());
            let warper = Warper { prepared: &p, kernel: &kernel, touched: &touched, shape: (60, 70), min_weight: 0.9 };
            let mut plain = WarpedRun::new();
            run_all(&warper, |x, y, i, out| {
                warper.run_plain(&[x], &[y], &mut plain);
                assert_eq!(out.flux_njy[i].to_bits(), plain.flux_njy[0].to_bits());
                assert_eq!(out.variance_njy2[i].to_bits(), plain.variance_njy2[0].to_bits());
                assert_eq!(out.outcome[i], plain.outcome[0]);
            });
        }
    }

    #[test]
    fn what_has_no_place_is_beyond() {
        let (p, kernel) = (prepared((60, 70), 0), Lanczos::new(3));
        let touched = p.bad.windows_with_any(6);
        let warper = Warper { prepared: &p, kernel: &kernel, touched: &touched, shape: (60, 70), min_weight: 0.97 };
        let mut out = WarpedRun::new();
        for far in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e8, -1e8, 3e9, -3e9, 1e300, -1e300, -3.5, 73.5] {
            warper.run(&[far, 30.0], &[30.0, far], &mut out);
            assert_eq!(out.outcome[..2], [Outcome::Beyond; 2], "{far}");
        }
        warper.run(&[-2.5, 30.0, 68.0], &[30.0, 62.9, 30.0], &mut out);
        assert_eq!(out.outcome[..3], [Outcome::Edge; 3]);
    }
}

//! One Lanczos kernel on the rows of two planes: Σ k z and Σ k² v, the inner loop of the warp.
//!
//! Rows are read L ≥ N pixels at a time, one vector register of eight or two; the weights beyond the N taps are 0. The plain version and that
//! for AVX2 do the same operations in the same order, fused multiply-adds included, which round alike on every processor: their bits are
//! the same. Left to itself the compiler makes registers of two of the sixteen lanes of Lanczos-5, at half the speed.

/// Sub-pixel phases of a kernel along x and y, in 2^-20 pixel.
pub(super) type Phases = (u32, u32);

/// Bits of a phase below those that choose a row of the table.
pub(super) const PLACE_BITS: u32 = 10;

/// Position between two rows of the table, in 0..1.
#[inline(always)]
fn place(phase: u32) -> f32 {
    (phase & ((1 << PLACE_BITS) - 1)) as i32 as f32 * (1.0 / (1 << PLACE_BITS) as f32)
}

/// Weights of one axis, `L` lanes: linear between two rows of a table.
#[inline(always)]
pub(super) fn lanes<const L: usize>(table: &[f32], phase: u32) -> [f32; L] {
    let t = place(phase);
    let (a, b) = table[(phase >> PLACE_BITS) as usize * L..][..2 * L].split_at(L);
    let mut weights = [0.0; L];
    // No closure: it would not have the features of the caller, and every fused multiply-add would be a call.
    for ((w, a), b) in weights.iter_mut().zip(a).zip(b) {
        *w = t.mul_add(b - a, *a);
    }
    weights
}

/// (Σ k z, Σ k² v) over `N` rows of `N` taps from the first pixels of the planes on, `width` pixels from row to row; the planes have `L`
/// pixels in each of these rows.
pub(super) fn plain<const N: usize, const L: usize>(table: &[f32], phases: Phases, z: &[f32], v: &[f32], width: usize) -> (f32, f32) {
    let (wx, wy) = (lanes::<L>(table, phases.0), lanes::<L>(table, phases.1));
    // Along y first: the columns are the lanes.
    let (mut column_z, mut column_v) = ([0.0f32; L], [0.0f32; L]);
    for (j, &w) in wy.iter().enumerate().take(N) {
        let (z, v, w2) = (&z[j * width..][..L], &v[j * width..][..L], w * w);
        for l in 0..L {
            column_z[l] = w.mul_add(z[l], column_z[l]);
            column_v[l] = w2.mul_add(v[l], column_v[l]);
        }
    }
    for l in 0..L {
        column_z[l] *= wx[l];
        column_v[l] *= wx[l] * wx[l];
    }
    (sum(column_z), sum(column_v))
}

/// Sum of the lanes by halves.
fn sum<const L: usize>(mut lanes: [f32; L]) -> f32 {
    let mut half = L / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The same in `R` = `L` / 8 registers.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use super::{PLACE_BITS, Phases, place};
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(eight: &[f32]) -> __m256 {
        let eight: &[f32; 8] = eight.try_into().expect("eight pixels");
        // SAFETY: eight numbers are read from an array of eight; no alignment is asked for.
        unsafe { _mm256_loadu_ps(eight.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(register: __m256) -> [f32; 8] {
        let mut eight = [0.0; 8];
        // SAFETY: eight numbers are written to an array of eight; no alignment is asked for.
        unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), register) };
        eight
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn lanes<const R: usize>(table: &[f32], phase: u32) -> [__m256; R] {
        let t = _mm256_set1_ps(place(phase));
        let rows = &table[(phase >> PLACE_BITS) as usize * 8 * R..][..16 * R];
        std::array::from_fn(|r| {
            let (a, b) = (load(&rows[8 * r..][..8]), load(&rows[8 * (R + r)..][..8]));
            _mm256_fmadd_ps(t, _mm256_sub_ps(b, a), a)
        })
    }

    /// [`super::plain`].
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn convolve<const N: usize, const R: usize>(table: &[f32], phases: Phases, z: &[f32], v: &[f32], width: usize) -> (f32, f32) {
        let (wx, wy) = (lanes::<R>(table, phases.0), lanes::<R>(table, phases.1));
        let (w, w2) = (wy.map(|w| store(w)), wy.map(|w| store(_mm256_mul_ps(w, w))));
        let (w, w2) = (w.as_flattened(), w2.as_flattened());
        let n = (N - 1) * width + 8 * R;
        let (z, v) = (&z[..n], &v[..n]);
        let (mut column_z, mut column_v) = ([_mm256_setzero_ps(); R], [_mm256_setzero_ps(); R]);
        for j in 0..N {
            let (w, w2) = (_mm256_set1_ps(w[j]), _mm256_set1_ps(w2[j]));
            for r in 0..R {
                let at = j * width + 8 * r;
                column_z[r] = _mm256_fmadd_ps(w, load(&z[at..at + 8]), column_z[r]);
                column_v[r] = _mm256_fmadd_ps(w2, load(&v[at..at + 8]), column_v[r]);
            }
        }
        for r in 0..R {
            column_z[r] = _mm256_mul_ps(column_z[r], wx[r]);
            column_v[r] = _mm256_mul_ps(column_v[r], _mm256_mul_ps(wx[r], wx[r]));
        }
        let join = |columns: [__m256; R]| if R == 2 { _mm256_add_ps(columns[0], columns[R - 1]) } else { columns[0] };
        let halve = |a: __m256| _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let (a, b) = (halve(join(column_z)), halve(join(column_v)));
        // Both sums side by side: z0 + z2, z1 + z3, v0 + v2, v1 + v3; then their neighbours.
        let both = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
        let both = _mm_add_ps(both, _mm_movehdup_ps(both));
        (_mm_cvtss_f32(both), _mm_cvtss_f32(_mm_movehl_ps(both, both)))
    }
}

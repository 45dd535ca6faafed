//! What a footprint is: by its shape, and by how many of the exposures of its place have it.

use super::footprint::ArtifactFootprint;

/// A static source stands out of the noise by this \[sigma\].
const STATIC_SNR: f64 = 5.0;

/// A point source's difference is no broader than the common PSF, but for noise.
const COMPACT: f64 = 1.35;

/// A streak is longer than this \[FWHM of the common PSF\], √12 times its rms,
const STREAK_FWHM: f64 = 4.0;
/// and narrower than this share of its length.
const STREAK_RATIO: f64 = 0.35;

/// A track is sharp all along: in this share of the pixels of its length, at least.
const SHARP_SHARE: f64 = 0.3;

/// What a footprint is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArtifactClass {
    /// Sharper than the PSF, in few epochs.
    CosmicRay,
    /// Long and narrow, in few epochs: a satellite, an aeroplane, a fast mover.
    Streak,
    /// Neither sharp nor like the PSF, in few epochs: a ghost, a reflection; too dark: a bad column that is not masked.
    Extended,
    /// Like the PSF, where the static sky has no source as bright, in few epochs.
    Transient,
    /// Like the PSF, in successive epochs at places on a line.
    Mover,
    /// Like the PSF, at a static source: in many epochs, or fainter at times, or no brighter than the source itself.
    Variable,
    /// In many epochs, and not like the PSF: a static source that is not understood.
    Persistent,
    /// Of two epochs, light that might be wrong in either; or too faint to tell its shape.
    Unclear,
}

impl ArtifactClass {
    /// All classes.
    pub const ALL: [Self; 8] =
        [Self::CosmicRay, Self::Streak, Self::Extended, Self::Transient, Self::Mover, Self::Variable, Self::Persistent, Self::Unclear];

    /// As in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CosmicRay => "cosmic_ray",
            Self::Streak => "streak",
            Self::Extended => "extended",
            Self::Transient => "transient",
            Self::Mover => "mover",
            Self::Variable => "variable",
            Self::Persistent => "persistent",
            Self::Unclear => "unclear",
        }
    }

    /// Why a footprint of this class is taken for it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::CosmicRay => "sharper than the PSF, in few epochs",
            Self::Streak => "long and narrow, in few epochs",
            Self::Extended => "not like the PSF, in few epochs",
            Self::Transient => "like the PSF, in few epochs",
            Self::Mover => "like the PSF, on a line through several epochs",
            Self::Variable => "like the PSF, at a static source",
            Self::Persistent => "not like the PSF, in many epochs",
            Self::Unclear => "its shape does not tell, or only two epochs",
        }
    }
}

/// Most epochs of `n` that may have what is not in the sky: ⌊min(0.4 n, 2 + 0.03 n)⌋, and at least one of three or more.
///
/// # Source
/// LSST drp_tasks, `CompareWarpAssembleCoaddTask`; it gives none of two.
#[must_use]
pub fn largest_epoch_count(n: u32) -> u32 {
    let n = f64::from(n);
    (0.4 * n).min(2.0 + 0.03 * n).floor() as u32
}

/// What is known of a footprint beside its own pixels.
pub(super) struct Surroundings {
    /// Epochs with a footprint of either sign here, this one included.
    pub n_with: u32,
    /// Epochs with something here that is sharper than the PSF, this one included if it is.
    pub n_sharp: u32,
    /// One of them is too dark.
    pub is_dark_elsewhere: bool,
    pub target_fwhm_px: f64,
    pub sharp_threshold: f64,
    pub threshold: f64,
}

/// The class of a footprint by itself; movers are told later, from several.
pub(super) fn class_of(footprint: &ArtifactFootprint, around: &Surroundings) -> ArtifactClass {
    let n = footprint.n_epochs();
    let is_pair = n <= 2;
    let are_few = |n_with: u32| is_pair || n_with <= largest_epoch_count(n);
    let is_few = are_few(around.n_with);
    let sigma_px = around.target_fwhm_px / 2.354_82;
    let shape = footprint.shape();
    // A trail across the tract meets cosmic rays: what is long is a streak, whatever is on it, but for a track that is sharp all along.
    let is_streak = shape.is_some_and(|s| {
        let length = 12f64.sqrt() * s.major;
        let is_long = length > STREAK_FWHM * around.target_fwhm_px && s.minor < STREAK_RATIO * s.major;
        is_long && (footprint.n_sharp(around.sharp_threshold) as f64) < SHARP_SHARE * length
    });
    let is_compact = shape.is_some_and(|s| s.major < COMPACT * sigma_px);
    let is_seen_matched = footprint.matched_snr() >= around.threshold;
    let peak = footprint.matched_peak();
    let is_static = f64::from(peak.static_snr) >= STATIC_SNR;
    if footprint.is_positive && is_streak && is_few && is_seen_matched {
        return ArtifactClass::Streak;
    }
    if footprint.is_positive && footprint.n_sharp(around.sharp_threshold) > 0 && are_few(around.n_sharp) {
        return ArtifactClass::CosmicRay;
    }
    if is_pair {
        return ArtifactClass::Unclear;
    }
    if !is_compact {
        return match (is_few, is_seen_matched) {
            (_, false) => ArtifactClass::Unclear,
            (true, true) => ArtifactClass::Extended,
            (false, true) => ArtifactClass::Persistent,
        };
    }
    if !footprint.is_positive {
        return if is_static { ArtifactClass::Variable } else { ArtifactClass::Unclear };
    }
    if !is_few {
        return ArtifactClass::Variable;
    }
    let is_flicker = around.n_with > 1 || around.is_dark_elsewhere || peak.difference_njy <= peak.static_njy;
    if is_static && is_flicker { ArtifactClass::Variable } else { ArtifactClass::Transient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::Candidate;

    /// A difference with Gaussian profile, or a line, of peak 100 σ on a static sky of a given brightness.
    fn footprint(n_epochs: u32, static_njy: f32, sharp_snr: f32, value: impl Fn(f64, f64) -> f64) -> ArtifactFootprint {
        let pixel = |(y, x): (i32, i32)| {
            let v = value(f64::from(x), f64::from(y)) as f32;
            let (matched_snr, native_snr) = (v, v.max(0.0));
            let static_snr = static_njy;
            Candidate { exposure: 0, y, x, matched_snr, native_snr, sharp_snr, difference_njy: v, static_njy, static_snr, n_epochs }
        };
        let pixels: Vec<_> = (-60..=60).flat_map(|y| (-60..=60).map(move |x| (y, x))).map(pixel).collect();
        ArtifactFootprint::all_of(&pixels.into_iter().filter(|c| c.matched_snr.abs() >= 3.0).collect::<Vec<_>>(), 5.0).swap_remove(0)
    }

    #[test]
    fn shapes_and_epochs_decide() {
        let target_fwhm_px = 7.0;
        let s2 = 2.0 * (7.0f64 / 2.354_82).powi(2);
        let star = move |x: f64, y: f64| 100.0 * (-(x * x + y * y) / s2).exp();
        let line = move |x: f64, y: f64| 100.0 * (-(x - y).powi(2) / (2.0 * s2)).exp();
        let blob = move |x: f64, y: f64| 100.0 * (-(x * x + y * y) / (9.0 * s2)).exp();
        let of = |f: &ArtifactFootprint, n_with: u32| {
            class_of(
                f,
                &Surroundings { n_with, n_sharp: n_with, is_dark_elsewhere: false, target_fwhm_px, sharp_threshold: 4.0, threshold: 5.0 },
            )
        };
        use ArtifactClass::*;
        for (n, n_with, static_njy, sharp, expected) in [
            (3, 1, 0.0, 0.0, Transient),
            (3, 1, 50.0, 0.0, Transient), // outshines the source
            (3, 1, 500.0, 0.0, Variable), // a tenth of the source
            (3, 2, 0.0, 0.0, Variable),   // in two of three
            (10, 2, 0.0, 0.0, Transient), // in two of ten
            (10, 3, 0.0, 0.0, Variable),
            (3, 1, 0.0, 9.0, CosmicRay),
            (2, 1, 0.0, 9.0, CosmicRay),
            (2, 1, 0.0, 0.0, Unclear),
            (5, 3, 0.0, 9.0, Variable), // sharp, but always there
        ] {
            assert_eq!(of(&footprint(n, static_njy, sharp, star), n_with), expected, "{n} {n_with} {static_njy} {sharp}");
        }
        assert_eq!(of(&footprint(2, 0.0, 0.0, line), 1), Streak);
        assert_eq!(of(&footprint(9, 0.0, 0.0, line), 1), Streak);
        // Sharp all along.
        assert_eq!(of(&footprint(9, 0.0, 9.0, line), 1), CosmicRay);
        assert_eq!(of(&footprint(9, 0.0, 0.0, line), 6), Persistent);
        assert_eq!(of(&footprint(3, 0.0, 0.0, blob), 1), Extended);
        assert_eq!(of(&footprint(5, 0.0, 0.0, move |x, y| -blob(x, y)), 1), Extended);
        assert_eq!(of(&footprint(5, 200.0, 0.0, move |x, y| -star(x, y)), 1), Variable);
        assert_eq!(of(&footprint(5, 0.0, 0.0, move |x, y| -star(x, y)), 1), Unclear);
    }

    /// The least numbers of epochs, by hand.
    #[test]
    fn one_of_three_and_none_of_two() {
        let found: Vec<u32> = (1..=10).map(largest_epoch_count).collect();
        assert_eq!(found, [0, 0, 1, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(largest_epoch_count(100), 5);
    }
}

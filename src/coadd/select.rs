//! Selection: which exposures of a band the coadds are made of, for the whole tract, by what they are predicted to add.
//!
//! The prediction is that of a direct coadd of point-source-optimal weights w, with every PSF taken for the Gaussian of its Σφ²:
//! (S/N)² ∝ Σ_ij w_i w_j ⟨φ_i, φ_j⟩ / Σ_i w_i² v_i. Nothing is measured on pixels, so that it can be made before any is read.

use super::make_coadd::{CoaddWeight, direct_weight};
use crate::background::VisitProduct;
use crate::geometry::Tract;
use crate::image::{ExposureId, ExposureMeta};
use crate::measure::adaptive_moments;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Which exposures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All that raise the figure of merit.
    Deep,
    /// Of the sharpest, as many as make the figure of merit largest.
    Sharp,
}

impl Selection {
    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deep => "deep",
            Self::Sharp => "sharp",
        }
    }
}

/// What is to be large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureOfMerit {
    /// (S/N)² of a point source: the 5 σ depth.
    Depth,
    /// (S/N)² of a point source by Σφ² of the coadd's PSF: what is known about a source, by the number of sources that an area holds.
    Information,
}

/// Settings of [`SelectExposures`]: section `[select]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectConfig {
    /// Selections of which coadds are made; the first is the band's own, the others stand beside it as `<band>@<selection>`.
    pub selections: Vec<Selection>,
    /// What is to be large.
    pub figure: FigureOfMerit,
    /// Least gain of an exposure of `deep` \[mag of the figure, 1.25 log10\].
    pub min_gain_mag: f64,
    /// Share of the exposures that `sharp` may take, the sharpest first.
    pub sharp_fraction: f64,
    /// Broadest PSF \[arcsec\].
    pub max_fwhm_arcsec: f64,
    /// Largest ellipticity √(e1² + e2²) = (a² - b²)/(a² + b²) of the PSF.
    pub max_ellipticity: f64,
    /// How much shallower than the band's median an exposure may be \[mag\].
    pub max_depth_loss_mag: f64,
    /// Largest share of unusable pixels.
    pub max_unusable_share: f64,
    /// Step of the ladder of time windows \[day\]; 0: no windows. A window is any number of consecutive steps: windows may overlap.
    pub window_step_days: f64,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            selections: vec![Selection::Deep],
            figure: FigureOfMerit::Depth,
            min_gain_mag: 0.0,
            sharp_fraction: 0.35,
            max_fwhm_arcsec: f64::INFINITY,
            max_ellipticity: 1.0,
            max_depth_loss_mag: f64::INFINITY,
            max_unusable_share: 1.0,
            window_step_days: 0.0,
        }
    }
}

/// Why exposures could not be selected.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum SelectError {
    /// A setting out of range.
    #[error("select.{key} is {found}; expected {expected}")]
    Config {
        /// Setting.
        key: &'static str,
        /// Value.
        found: String,
        /// Range.
        expected: &'static str,
    },
    /// Nothing is left.
    #[error("band {band}: select leaves none of {n} exposures, the first because: {reason}")]
    Empty {
        /// Band.
        band: String,
        /// Exposures that there were.
        n: usize,
        /// Of the first.
        reason: String,
    },
}

/// What was decided about one exposure, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Exposure.
    pub id: ExposureId,
    /// True if it is part of the coadds.
    pub is_selected: bool,
    /// The reason, in words.
    pub reason: String,
    /// FWHM of its PSF at its centre \[arcsec\].
    pub fwhm_arcsec: f64,
    /// Ellipticity of its PSF at its centre; NaN if it could not be measured.
    pub ellipticity: f64,
    /// Its own 5 σ depth for point sources \[AB mag\].
    pub depth_mag: f64,
    /// Share of its pixels that is unusable.
    pub unusable_share: f64,
    /// Gain of the figure when it was taken (or would have been) \[mag\]; NaN where a cut decided.
    pub gain_mag: f64,
}

/// Selects the exposures of a band.
#[derive(Debug, Clone)]
pub struct SelectExposures {
    config: SelectConfig,
}

/// What the prediction needs of an exposure.
struct Candidate {
    /// Place in the band.
    index: usize,
    fwhm_arcsec: f64,
    /// Σφ²/v of a point source \[nJy⁻²\].
    information: f64,
    /// Variance of the sky per square arcsec \[nJy²\].
    variance: f64,
    /// σ² of the Gaussian with the PSF's Σφ² \[arcsec²\].
    sigma2_arcsec2: f64,
    weight: f64,
}

/// Sums over the exposures of a prediction.
#[derive(Debug, Clone, Copy, Default)]
struct Prediction {
    /// Σ_ij w_i w_j ⟨φ_i, φ_j⟩.
    overlap: f64,
    /// Σ w² v.
    noise: f64,
    weight: f64,
}

impl Prediction {
    fn figure(&self, figure: FigureOfMerit) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        let snr2 = self.overlap / self.noise;
        match figure {
            FigureOfMerit::Depth => snr2,
            FigureOfMerit::Information => snr2 * self.overlap / (self.weight * self.weight),
        }
    }

    /// With one more exposure.
    fn with(&self, members: &[&Candidate], new: &Candidate) -> Self {
        let product = |other: &Candidate| (std::f64::consts::TAU * (other.sigma2_arcsec2 + new.sigma2_arcsec2)).recip();
        let with_others: f64 = members.iter().map(|m| m.weight * product(m)).sum();
        Self {
            overlap: self.overlap + new.weight * (2.0 * with_others + new.weight * product(new)),
            noise: self.noise + new.weight * new.weight * new.variance,
            weight: self.weight + new.weight,
        }
    }
}

/// 1.25 log10 of a ratio of figures, which go as (S/N)².
fn gain_mag(after: f64, before: f64) -> f64 {
    1.25 * (after / before).log10()
}

impl SelectExposures {
    /// # Errors
    /// [`SelectError::Config`] if a setting is outside its range.
    pub fn new(config: SelectConfig) -> Result<Self, SelectError> {
        let c = &config;
        let check = |is_good: bool, key, found: &dyn std::fmt::Debug, expected| {
            if is_good { Ok(()) } else { Err(SelectError::Config { key, found: format!("{found:?}"), expected }) }
        };
        let is_new = |(i, s): (usize, &Selection)| !c.selections[..i].contains(s);
        let are_good = !c.selections.is_empty() && c.selections.iter().enumerate().all(is_new);
        check(are_good, "selections", &c.selections, "one or more different ones of deep, sharp")?;
        check((0.0..1.0).contains(&c.min_gain_mag), "min_gain_mag", &c.min_gain_mag, "0..1 mag")?;
        check(c.sharp_fraction > 0.0 && c.sharp_fraction <= 1.0, "sharp_fraction", &c.sharp_fraction, "a share in (0, 1]")?;
        check(c.max_fwhm_arcsec > 0.0, "max_fwhm_arcsec", &c.max_fwhm_arcsec, "a positive number of arcsec, or inf")?;
        check(c.max_ellipticity > 0.0 && c.max_ellipticity <= 1.0, "max_ellipticity", &c.max_ellipticity, "a number in (0, 1]")?;
        check(c.max_depth_loss_mag > 0.0, "max_depth_loss_mag", &c.max_depth_loss_mag, "a positive number of mag, or inf")?;
        check(c.max_unusable_share > 0.0 && c.max_unusable_share <= 1.0, "max_unusable_share", &c.max_unusable_share, "a share in (0, 1]")?;
        let step = c.window_step_days;
        check(step == 0.0 || (1e-4..=1e5).contains(&step), "window_step_days", &step, "0 (no windows) or 1e-4..=1e5 days")?;
        Ok(Self { config })
    }

    /// Decides about all exposures of a band in the tract, given in id order: one decision each, in that order.
    ///
    /// # Errors
    /// [`SelectError::Empty`] if none is left.
    pub fn run(
        &self,
        selection: Selection,
        tract: &Tract,
        band: &str,
        all: &[(&ExposureMeta, &VisitProduct)],
    ) -> Result<Vec<Decision>, SelectError> {
        let mut decisions: Vec<Decision> = all.iter().map(|(meta, visit)| described(meta, visit)).collect();
        let mut depths: Vec<f64> = decisions.iter().map(|d| d.depth_mag).filter(|d| d.is_finite()).collect();
        depths.sort_by(f64::total_cmp);
        let median_depth_mag = depths.get(depths.len() / 2).copied().unwrap_or(f64::NAN);
        for decision in &mut decisions {
            if let Some(reason) = self.failed_cut(decision, median_depth_mag) {
                decision.reason = reason;
            }
        }
        let passed = |i: &usize| decisions[*i].reason.is_empty();
        let candidates: Vec<Candidate> = (0..all.len()).filter(passed).map(|i| candidate(i, tract, all[i].0, all[i].1)).collect();
        match selection {
            Selection::Deep => self.deep(candidates, &mut decisions),
            Selection::Sharp => self.sharp(candidates, &mut decisions),
        }
        if decisions.iter().any(|d| d.is_selected) {
            return Ok(decisions);
        }
        let reason = decisions.first().map_or_else(String::new, |d| format!("{}: {}", d.id, d.reason));
        Err(SelectError::Empty { band: band.to_owned(), n: all.len(), reason })
    }

    /// The first limit that an exposure fails, in words.
    fn failed_cut(&self, d: &Decision, median_depth_mag: f64) -> Option<String> {
        let c = &self.config;
        if !d.depth_mag.is_finite() {
            return Some("its weight is zero: no finite depth".to_owned());
        }
        let cuts = [
            ("max_fwhm_arcsec", "FWHM", d.fwhm_arcsec, c.max_fwhm_arcsec, "arcsec"),
            ("max_ellipticity", "ellipticity", d.ellipticity, c.max_ellipticity, ""),
            ("max_depth_loss_mag", "loss of depth", median_depth_mag - d.depth_mag, c.max_depth_loss_mag, "mag"),
            ("max_unusable_share", "unusable share", d.unusable_share, c.max_unusable_share, ""),
        ];
        let failed = cuts.into_iter().find(|(_, _, found, limit, _)| found > limit)?;
        let (key, what, found, limit, unit) = failed;
        Some(format!("{what} {found:.3}{}{unit}, beyond select.{key} {limit}", if unit.is_empty() { "" } else { " " }))
    }

    /// The deepest first; each that raises the figure.
    fn deep(&self, mut candidates: Vec<Candidate>, decisions: &mut [Decision]) {
        candidates.sort_by(|a, b| b.information.total_cmp(&a.information).then(a.index.cmp(&b.index)));
        let (mut sum, mut members) = (Prediction::default(), Vec::with_capacity(candidates.len()));
        for new in &candidates {
            let with = sum.with(&members, new);
            let gain = gain_mag(with.figure(self.config.figure), sum.figure(self.config.figure));
            let decision = &mut decisions[new.index];
            decision.gain_mag = gain;
            decision.is_selected = members.is_empty() || gain > self.config.min_gain_mag;
            decision.reason = match (members.is_empty(), decision.is_selected) {
                (true, _) => "the deepest".to_owned(),
                (_, true) => format!("adds {gain:.4} mag"),
                _ => format!("would add {gain:.4} mag, not more than select.min_gain_mag {}", self.config.min_gain_mag),
            };
            if decision.is_selected {
                sum = with;
                members.push(new);
            }
        }
    }

    /// The sharpest first, up to the largest figure.
    fn sharp(&self, mut candidates: Vec<Candidate>, decisions: &mut [Decision]) {
        candidates.sort_by(|a, b| a.fwhm_arcsec.total_cmp(&b.fwhm_arcsec).then(a.index.cmp(&b.index)));
        let n_sharp = ((self.config.sharp_fraction * candidates.len() as f64).ceil() as usize).min(candidates.len());
        let (mut sum, mut members, mut figures) = (Prediction::default(), Vec::new(), Vec::with_capacity(n_sharp));
        for new in &candidates[..n_sharp] {
            sum = sum.with(&members, new);
            members.push(new);
            figures.push(sum.figure(self.config.figure));
        }
        // The first of equals: fewer and sharper ones.
        let n_best = 1 + (1..figures.len()).fold(0, |best, i| if figures[i] > figures[best] { i } else { best });
        for (rank, new) in candidates.iter().enumerate() {
            let decision = &mut decisions[new.index];
            decision.is_selected = rank < n_best;
            if rank > 0 && rank < n_sharp {
                decision.gain_mag = gain_mag(figures[rank], figures[rank - 1]);
            }
            let place = rank + 1;
            decision.reason = if rank < n_best {
                format!("place {place} in sharpness, of {n_best} that make the figure largest")
            } else if rank < n_sharp {
                format!("place {place} in sharpness: the figure is largest with {n_best}")
            } else {
                format!("place {place} in sharpness, beyond select.sharp_fraction {}", self.config.sharp_fraction)
            };
        }
    }
}

/// What is known of an exposure before anything is decided.
fn described(meta: &ExposureMeta, visit: &VisitProduct) -> Decision {
    let at = meta.center();
    let counts = visit.counts;
    let unusable = counts.n_masked + counts.n_not_finite + counts.n_bad_variance;
    let variance_njy2 = visit.background_variance.at(at) * meta.photo_calib.at(at).powi(2);
    let stamp = meta.psf.stamp(at, 0.0, 0.0);
    let sigma_njy = (variance_njy2 / stamp.mapv(|p| p * p).sum()).sqrt();
    Decision {
        id: meta.id.clone(),
        is_selected: false,
        reason: String::new(),
        fwhm_arcsec: meta.psf.fwhm_px(at) * meta.wcs.pixel_area_arcsec2(at).sqrt(),
        ellipticity: ellipticity(&stamp, meta.psf.fwhm_px(at)),
        depth_mag: 31.4 - 2.5 * (5.0 * sigma_njy).log10(),
        unusable_share: unusable as f64 / counts.n_pixels.max(1) as f64,
        gain_mag: f64::NAN,
    }
}

/// √(e1² + e2²) of a stamp, by adaptive moments.
fn ellipticity(stamp: &Array2<f64>, fwhm_px: f64) -> f64 {
    let (ny, nx) = stamp.dim();
    let bbox = crate::geometry::Box2::of_shape((ny, nx));
    let middle = crate::geometry::PixelPoint::new((nx / 2) as f64, (ny / 2) as f64);
    let (image, variance) = (stamp.mapv(|p| p as f32), Array2::ones((ny, nx)));
    adaptive_moments(&image, &variance, &bbox, middle, fwhm_px).map_or(f64::NAN, |[xx, yy, xy]| (xx - yy).hypot(2.0 * xy) / (xx + yy))
}

fn candidate(index: usize, tract: &Tract, meta: &ExposureMeta, visit: &VisitProduct) -> Candidate {
    let at = meta.center();
    let area = meta.wcs.pixel_area_arcsec2(at);
    let sum_sq = meta.psf.stamp(at, 0.0, 0.0).mapv(|p| p * p).sum();
    let variance_njy2 = visit.background_variance.at(at) * meta.photo_calib.at(at).powi(2);
    Candidate {
        index,
        fwhm_arcsec: meta.psf.fwhm_px(at) * area.sqrt(),
        information: sum_sq / variance_njy2,
        variance: variance_njy2 / area,
        // Σφ² of a Gaussian is 1/(4πσ²).
        sigma2_arcsec2: area / (4.0 * std::f64::consts::PI * sum_sq),
        weight: direct_weight(CoaddWeight::PointSource, meta, visit, tract),
    }
}

/// Number of the step of the ladder that holds an instant; steps count from MJD 0, so that all bands and runs share them.
#[must_use]
pub fn window_step(mjd: f64, step_days: f64) -> i64 {
    (mjd / step_days).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn seeing(index: usize, fwhm_arcsec: f64, variance: f64) -> Candidate {
        let sigma2_arcsec2 = (fwhm_arcsec / 2.354_82).powi(2);
        let sum_sq = (4.0 * std::f64::consts::PI * sigma2_arcsec2).recip();
        Candidate { index, fwhm_arcsec, information: sum_sq / variance, variance, sigma2_arcsec2, weight: sum_sq.sqrt() / variance }
    }

    fn blank(n: usize) -> Vec<Decision> {
        let nan = f64::NAN;
        let of = |i: usize| Decision {
            id: ExposureId(format!("e{i}")),
            is_selected: false,
            reason: String::new(),
            fwhm_arcsec: nan,
            ellipticity: nan,
            depth_mag: nan,
            unusable_share: 0.0,
            gain_mag: nan,
        };
        (0..n).map(of).collect()
    }

    /// N equal exposures: (S/N)² is N times that of one, whichever way it is summed.
    #[test]
    fn equal_exposures_add_up() {
        let candidates: Vec<_> = (0..5).map(|i| seeing(i, 0.8, 3.0)).collect();
        let (mut sum, mut members) = (Prediction::default(), Vec::new());
        for (n, new) in candidates.iter().enumerate() {
            sum = sum.with(&members, new);
            members.push(new);
            assert_abs_diff_eq!(sum.figure(FigureOfMerit::Depth) / ((n + 1) as f64 * new.information), 1.0, epsilon = 1e-12);
        }
    }

    /// In seeing that varies, the weights are within 2e-4 of the best there are (algorithms: the top eigenvector), which for two exposures
    /// a search over the ratio of the weights finds.
    #[test]
    fn weights_are_nearly_the_best() {
        let (a, b) = (seeing(0, 0.7, 1.0), seeing(1, 1.1, 1.5));
        let snr2 = |ratio: f64| {
            let b = Candidate { weight: ratio * a.weight, ..seeing(1, 1.1, 1.5) };
            Prediction::default().with(&[], &a).with(&[&a], &b).figure(FigureOfMerit::Depth)
        };
        let best = (1..4000).map(|i| snr2(f64::from(i) * 1e-3)).fold(0.0, f64::max);
        let used = snr2(b.weight / a.weight);
        assert!(used <= best * (1.0 + 1e-12) && used > best * (1.0 - 1e-3), "{used} {best}");
        // And below the sum of both informations, which only the likelihood coadd reaches.
        assert!(best < a.information + b.information);
    }

    /// A useless exposure is left out of `deep`, with its reason; `sharp` stops where the figure falls or the share ends.
    #[test]
    fn decisions_have_reasons() {
        let stage = |c: SelectConfig| SelectExposures::new(c).unwrap();
        let candidates = || vec![seeing(0, 0.7, 1.0), seeing(1, 5.0, 400.0), seeing(2, 0.8, 1.2), seeing(3, 0.6, 1.0)];
        let mut decisions = blank(4);
        stage(SelectConfig { min_gain_mag: 0.01, ..SelectConfig::default() }).deep(candidates(), &mut decisions);
        assert_eq!(decisions.iter().map(|d| d.is_selected).collect::<Vec<_>>(), [true, false, true, true]);
        assert!(decisions[1].reason.contains("select.min_gain_mag 0.01"), "{}", decisions[1].reason);
        assert_eq!(decisions[3].reason, "the deepest");
        let mut decisions = blank(4);
        stage(SelectConfig { sharp_fraction: 0.75, ..SelectConfig::default() }).sharp(candidates(), &mut decisions);
        assert_eq!(decisions.iter().map(|d| d.is_selected).collect::<Vec<_>>(), [true, false, true, true]);
        assert!(decisions[1].reason.contains("select.sharp_fraction 0.75"));
        // Much sharper than the next: information by area is largest alone.
        let mut decisions = blank(2);
        let config = SelectConfig { sharp_fraction: 1.0, figure: FigureOfMerit::Information, ..SelectConfig::default() };
        stage(config).sharp(vec![seeing(0, 0.4, 1.0), seeing(1, 1.6, 1.0)], &mut decisions);
        assert!(decisions[0].is_selected && !decisions[1].is_selected && decisions[1].gain_mag < 0.0, "{decisions:?}");
    }

    #[test]
    fn windows_count_from_zero() {
        assert_eq!([window_step(59_999.9, 2.0), window_step(60_000.0, 2.0), window_step(60_001.9, 2.0)], [29_999, 30_000, 30_000]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let error = |config: SelectConfig| SelectExposures::new(config).unwrap_err().to_string();
        assert!(error(SelectConfig { selections: vec![], ..SelectConfig::default() }).starts_with("select.selections is []"));
        assert!(error(SelectConfig { window_step_days: -1.0, ..SelectConfig::default() }).starts_with("select.window_step_days is -1"));
    }
}

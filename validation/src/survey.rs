//! All arms together, matched: what the metrics and the plots ask.

use crate::matching::{DetectionFate, Matches, TruthFate, match_scene};
use crate::scene::{Detection, Neighbours, Scene, Truth, mean_fwhm};
use crate::{ValidateConfig, ValidateInput, ValidationError};

/// Scenes and matches of a run.
pub(crate) struct Survey<'a> {
    /// Settings.
    pub config: &'a ValidateConfig,
    /// Input.
    pub input: &'a ValidateInput,
    /// One per arm.
    pub scenes: Vec<Scene>,
    /// One per arm.
    pub matches: Vec<Matches>,
    /// Mean FWHM of the bands \[arcsec\].
    pub fwhm: f64,
}

/// Flux error of one match in one band.
#[derive(Debug, Clone)]
pub(crate) struct FluxError {
    /// Measured - true \[nJy\].
    pub error: f64,
    /// Quoted error \[nJy\].
    pub sigma: f64,
    /// True flux \[nJy\].
    pub truth: f64,
    /// Cramér-Rao bound \[nJy\].
    pub limit: f64,
    /// True S/N in the band.
    pub snr: f64,
    /// True magnitude in the band.
    pub magnitude: f64,
    /// Point source.
    pub is_point: bool,
    /// Alone in truth and in its parent.
    pub is_isolated: bool,
    /// Above a layer's 50 % point.
    pub is_detectable: bool,
    /// Distance of the nearest detectable truth \[FWHM\], within 3.
    pub separation_fwhm: Option<f64>,
}

/// Position error of one match.
#[derive(Debug, Clone)]
pub(crate) struct PositionError {
    /// East, north \[mas\].
    pub error_mas: [f64; 2],
    /// Quoted errors \[mas\].
    pub sigma_mas: [f64; 2],
    /// Cramér-Rao bound per axis \[mas\].
    pub limit_mas: f64,
    /// True S/N of all bands.
    pub snr: f64,
}

impl<'a> Survey<'a> {
    /// Reads and matches all arms.
    pub fn new(config: &'a ValidateConfig, input: &'a ValidateInput) -> Result<Self, ValidationError> {
        let fwhm = mean_fwhm(input);
        let radius = config.match_radius_fwhm * fwhm;
        let (mut scenes, mut all_matches) = (Vec::new(), Vec::new());
        let control = input.control.as_ref().map(|arm| Scene::new(config, input, arm, input.arms.len())).transpose()?;
        for (i, arm) in input.arms.iter().enumerate() {
            let scene = Scene::new(config, input, arm, i)?;
            // Planes differ by where the objects lie; the control's detections go onto this scene's.
            let real = match (&input.control, &control) {
                (Some(arm), Some(control)) if !control.detections.is_empty() => {
                    let wrong = |source| ValidationError::Table { what: "catalog of control".into(), source };
                    let (ra, dec) = (arm.catalog.f64("ra").map_err(wrong)?, arm.catalog.f64("dec").map_err(wrong)?);
                    Some(Neighbours::new(control.detections.iter().map(|d| scene.plane.project(ra[d.row], dec[d.row]))))
                }
                _ => None,
            };
            all_matches.push(match_scene(&scene, radius, fwhm, config.ignore_below_snr, real.as_ref()));
            scenes.push(scene);
        }
        Ok(Self { config, input, scenes, matches: all_matches, fwhm })
    }

    /// Any truth to judge by.
    pub fn has_counted_truth(&self) -> bool {
        self.scenes.iter().any(|s| s.truth.iter().any(|t| t.counts))
    }

    /// None for all bands, then each band.
    pub fn all_and_bands(&self) -> Vec<(Option<usize>, &str)> {
        let bands = self.input.bands.iter().enumerate().map(|(i, b)| (Some(i), b.as_str()));
        std::iter::once((None, "")).chain(bands).collect()
    }

    /// Truth that counts, and whether it is found.
    pub fn truth_fates(&self) -> impl Iterator<Item = (&Truth, bool)> {
        self.scenes.iter().zip(&self.matches).flat_map(|(scene, matches)| {
            scene.truth.iter().zip(&matches.truth).map(|(t, fate)| (t, matches!(fate, TruthFate::Matched(..))))
        })
    }

    /// Detections of the arms with truth.
    pub fn detection_fates(&self) -> impl Iterator<Item = (&Detection, DetectionFate)> {
        self.scenes
            .iter()
            .zip(&self.matches)
            .filter(|(scene, _)| scene.has_truth)
            .flat_map(|(scene, matches)| scene.detections.iter().zip(matches.detections.iter().copied()))
    }

    /// Matches that count: arm, truth, detection.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, &Truth, &Detection)> {
        self.scenes
            .iter()
            .zip(&self.matches)
            .enumerate()
            .flat_map(|(arm, (scene, matches))| matches.pairs().map(move |(i, d)| (arm, &scene.truth[i], &scene.detections[d])))
    }

    /// Matches with a second partner nearly as likely.
    pub fn n_ambiguous(&self) -> usize {
        self.matches.iter().flat_map(|m| &m.truth).filter(|f| matches!(f, TruthFate::Matched(_, true))).count()
    }

    /// Groups by bins of magnitude, brightest first: centre, members. Without a magnitude (no flux) is in none.
    pub fn by_magnitude<T: Copy>(&self, items: &[T], magnitude: impl Fn(T) -> f64) -> Vec<(f64, Vec<T>)> {
        let width = self.config.magnitude_bin;
        let mut binned: Vec<(i64, T)> =
            items.iter().map(|&t| (magnitude(t) / width, t)).filter(|b| b.0.is_finite()).map(|(m, t)| (m.round() as i64, t)).collect();
        binned.sort_by_key(|b| b.0);
        binned.chunk_by(|a, b| a.0 == b.0).map(|bin| (bin[0].0 as f64 * width, bin.iter().map(|b| b.1).collect())).collect()
    }

    /// Flux algorithms of the catalogs, `psf_flux` first: all names with a flux and an error in the first band.
    pub fn flux_algorithms(&self) -> Vec<String> {
        let mut algorithms = vec!["psf_flux".to_owned()];
        let (Some(band), Some(arm)) = (self.input.bands.first(), self.input.arms.first()) else { return algorithms };
        for column in arm.catalog.columns() {
            let name = column.name.strip_prefix(band.as_str()).and_then(|n| n.strip_prefix('_')).and_then(|n| n.strip_suffix("_err"));
            if let Some(name) = name.filter(|n| n.contains("flux") && *n != "psf_flux") {
                let complete = |table: &fathom::catalog::Table| {
                    self.input
                        .bands
                        .iter()
                        .all(|b| table.f64(&format!("{b}_{name}")).is_ok() && table.f64(&format!("{b}_{name}_err")).is_ok())
                };
                if self.input.arms.iter().all(|a| complete(&a.catalog)) {
                    algorithms.push(name.to_owned());
                }
            }
        }
        algorithms
    }

    /// Flux errors of all matches with a flux in this band.
    pub fn flux_errors(&self, algorithm: &str, band: usize) -> Vec<FluxError> {
        let name = format!("{}_{algorithm}", self.input.bands[band]);
        let columns: Vec<_> = self
            .input
            .arms
            .iter()
            .map(|a| (a.catalog.f64(&name), a.catalog.f64(&format!("{name}_err")), a.catalog.bool(&format!("{name}_flag"))))
            .collect();
        self.pairs()
            .filter_map(|(arm, truth, detection)| {
                let (Ok(flux), Ok(sigma), flag) = (&columns[arm].0, &columns[arm].1, &columns[arm].2) else { return None };
                let row = detection.row;
                let is_flagged = flag.as_ref().is_ok_and(|f| f[row]);
                let error = FluxError {
                    error: flux[row] - truth.flux[band],
                    sigma: sigma[row],
                    truth: truth.flux[band],
                    limit: truth.flux_err_limit[band],
                    snr: truth.snr[band],
                    magnitude: truth.magnitude(Some(band)),
                    is_point: truth.is_point,
                    is_isolated: truth.is_isolated && detection.is_single,
                    is_detectable: truth.is_detectable,
                    separation_fwhm: truth.neighbour.map(|n| n.1 / self.fwhm),
                };
                (!is_flagged && error.error.is_finite() && error.truth > 0.0).then_some(error)
            })
            .collect()
    }

    /// Position errors of matched, isolated point sources.
    pub fn position_errors(&self) -> Vec<PositionError> {
        self.pairs()
            .filter(|(_, truth, detection)| truth.is_point && truth.is_isolated && detection.is_single)
            .map(|(_, truth, detection)| {
                let information: f64 =
                    truth.snr.iter().zip(&self.input.sqrt_l2).filter(|(s, _)| s.is_finite()).map(|(s, l)| (s * l).powi(2)).sum();
                PositionError {
                    error_mas: [0, 1].map(|axis| 1e3 * (detection.point[axis] - truth.point[axis])),
                    sigma_mas: detection.point_err.map(|e| 1e3 * e),
                    limit_mas: 1e3 / information.sqrt(),
                    snr: truth.snr_all,
                }
            })
            .collect()
    }
}

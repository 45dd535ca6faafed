//! The exposures of a run: everything but the objects and the noise.

use super::amplifiers::Amplifiers;
use super::astrometry::VisitWcs;
use super::cadence::{Visit, visits};
use super::layout::FocalPlane;
use super::psf::VisitPsf;
use super::sky::VisitSky;
use super::{CameraConfig, Streams, photometry};
use crate::{ExposureDepth, SimError};
use fathom::geometry::{Box2, PixelPoint, SkyPoint, Tract, Wcs};
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, TrueBackground};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// One exposure to be taken: one detector of one visit.
#[derive(Debug, Clone)]
pub struct ExposurePlan {
    /// True calibrations: what objects are drawn with.
    pub meta: ExposureMeta,
    /// What the chain is told, where it differs: a wrong PSF, zero point or WCS.
    given: Option<Box<ExposureMeta>>,
    /// Number of the visit in its band.
    pub visit: usize,
    /// Number of the detector, row by row.
    pub detector: usize,
    /// FWHM of the visit before the pixel response \[pixel\].
    pub fwhm_px: f64,
    /// Sky level at the middle of the focal plane \[electrons per pixel\].
    pub sky_e: f64,
    /// The background, in counts.
    pub background: TrueBackground,
    /// Gains and read noises.
    pub amplifiers: Amplifiers,
}

impl ExposurePlan {
    /// The calibrations that are written into the exposure: true ones, unless a setting makes them wrong.
    #[must_use]
    pub fn given_meta(&self) -> &ExposureMeta {
        self.given.as_deref().unwrap_or(&self.meta)
    }

    /// The disc on the sky that holds its pixels: centre and radius \[arcsec\].
    #[must_use]
    pub fn disc(&self) -> (SkyPoint, f64) {
        disc_of(&self.meta.wcs, self.meta.shape)
    }

    /// Background at a pixel \[electrons\], at the mean gain.
    #[must_use]
    pub fn sky_e_at(&self, x_px: f64, y_px: f64) -> f64 {
        self.background.at(PixelPoint::new(x_px, y_px)) * self.meta.gain_e_per_adu
    }

    /// Variance of background and read noise at a pixel \[nJy²\]: without any object.
    #[must_use]
    pub fn background_variance_njy2(&self, x_px: f64, y_px: f64) -> f64 {
        background_variance_njy2(&self.background, &self.amplifiers, &self.meta.photo_calib, x_px, y_px)
    }
}

/// Makes the plan of any exposure of a run when it is asked for: a plan holds a PSF, a list of names does not.
///
/// Keyed by `seed`, the band's name, visit and detector, so that neither another band nor another exposure changes one.
#[derive(Debug)]
pub struct Planner {
    config: CameraConfig,
    seed: u64,
    plane: FocalPlane,
    visits: Vec<Visit>,
    /// Every exposure, sorted by id: index of its visit, detector.
    places: BTreeMap<ExposureId, (usize, usize)>,
}

impl Planner {
    /// # Errors
    /// [`crate::SimError::Config`] if a setting is outside its range, [`SimError::Format`] or [`SimError::TableRow`] if a table
    /// cannot be used.
    pub fn new(config: &CameraConfig, center: SkyPoint, bands: &[String], seed: u64) -> Result<Self, SimError> {
        config.check()?;
        let (visits, plane) = (visits(config, center, bands, seed)?, FocalPlane::new(config));
        // Two digits at least: the order of the names is then that of the numbers.
        let n_digits = |last: usize| last.to_string().len().max(2);
        let digits = n_digits(visits.iter().map(|v| v.number).max().unwrap_or(0));
        let id = |visit: &Visit, detector: usize| {
            let name = format!("{}_{:0digits$}", visit.band, visit.number);
            match plane.n_detectors() {
                1 => ExposureId(name),
                n => ExposureId(format!("{name}_d{detector:0width$}", width = n_digits(n - 1))),
            }
        };
        let of_visit = |(i, visit)| (0..plane.n_detectors()).map(move |d| (id(visit, d), (i, d)));
        let places = visits.iter().enumerate().flat_map(of_visit).collect();
        Ok(Self { config: config.clone(), seed, plane, visits, places })
    }

    /// Names of all exposures, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &ExposureId> {
        self.places.keys()
    }

    /// All plans, sorted by id.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn all(&self) -> Result<Vec<ExposurePlan>, SimError> {
        self.places.par_iter().map(|(id, place)| self.plan_at(id, *place)).collect()
    }

    /// What the exposures that may hold a pixel of the tract add to its depth, sorted by id. Plans are made one by one and thrown away.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn depths(&self, tract: &Tract) -> Result<Vec<ExposureDepth>, SimError> {
        let (center, radius_arcsec) = disc_of(tract.wcs(), tract.bbox().shape());
        let reaches = |(i_visit, detector): (usize, usize)| {
            let (visit, config) = (&self.visits[i_visit], &self.config);
            let streams = Streams { seed: self.seed, band: &visit.band, visit: visit.number };
            let (wcs, _) = VisitWcs::new(config, self.plane, visit.pointing, visit.rotation_deg, &streams).of(detector)?;
            let (middle, radius) = disc_of(&wcs, (config.size_px[1], config.size_px[0]));
            Ok::<_, SimError>(middle.separation_arcsec(&center) <= radius + radius_arcsec)
        };
        let plan = |(id, place): (&ExposureId, &(usize, usize))| match reaches(*place) {
            Ok(true) => Some(self.plan_at(id, *place).and_then(|plan| ExposureDepth::new(&plan))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
        self.places.par_iter().filter_map(plan).collect()
    }

    /// Plans the exposures of best and of worst seeing: what one of them allows and the other, all allow.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn check_extremes(&self) -> Result<(), SimError> {
        let seeing = |(_, (visit, _)): &(&ExposureId, &(usize, usize))| self.visits[*visit].seeing_arcsec;
        let by_seeing = |a: &_, b: &_| seeing(a).total_cmp(&seeing(b));
        for (id, place) in [self.places.iter().min_by(by_seeing), self.places.iter().max_by(by_seeing)].into_iter().flatten() {
            self.plan_at(id, *place)?;
        }
        Ok(())
    }

    /// The plan of one exposure.
    ///
    /// # Errors
    /// [`SimError::Psf`] if the stamp holds too little of the PSF, [`SimError::Config`] if there is no exposure of that name.
    pub fn plan(&self, id: &ExposureId) -> Result<ExposurePlan, SimError> {
        let place = self.places.get(id).ok_or_else(|| SimError::Config {
            key: "exposure".into(),
            found: id.to_string(),
            expected: format!("one of the {} of this camera", self.places.len()),
        })?;
        self.plan_at(id, *place)
    }

    fn plan_at(&self, id: &ExposureId, (i_visit, detector): (usize, usize)) -> Result<ExposurePlan, SimError> {
        let (config, visit, plane) = (&self.config, &self.visits[i_visit], self.plane);
        let streams = Streams { seed: self.seed, band: &visit.band, visit: visit.number };
        let (true_wcs, given_wcs) = VisitWcs::new(config, plane, visit.pointing, visit.rotation_deg, &streams).of(detector)?;
        let (true_psf, given_psf) = VisitPsf::draw(config, visit.seeing_arcsec, &streams).of(&plane, detector)?;
        let (nx, ny) = (config.size_px[0], config.size_px[1]);
        let bbox = Box2::of_shape((ny, nx));
        let gain_e_per_adu = config.gain_e_per_adu * (config.gain_scatter * streams.normal("gain", detector)).exp();
        // Clouds dim all detectors alike.
        let zero_point =
            visit.zero_point.unwrap_or_else(|| config.zero_point + config.zero_point_scatter * streams.normal("zero-point", 0));
        let photo_calib = config.photometry.calibration(zero_point, &plane, detector, bbox);
        let given_calib = photometry::given(&photo_calib, config, &streams, detector);
        let d = &config.detector;
        let scatter = (d.amplifier_gain_scatter, d.amplifier_read_noise_scatter);
        let amplifiers = Amplifiers::draw((ny, nx), d.amplifiers, (gain_e_per_adu, config.read_noise_e), scatter, &streams, detector);
        let sky = VisitSky::draw(config, plane, visit.sky_e, streams);
        let background = sky.background(detector, gain_e_per_adu, &amplifiers, photo_calib.relative.as_ref());
        let meta = ExposureMeta {
            id: id.clone(),
            band: visit.band.clone(),
            mjd: visit.mjd,
            exposure_time_s: visit.exposure_time_s,
            shape: (ny, nx),
            psf: true_psf,
            wcs: true_wcs,
            photo_calib,
            ap_corr: ApCorrMap::default(),
            gain_e_per_adu,
            read_noise_e: amplifiers.mean_read_noise_e(gain_e_per_adu),
            saturation_adu: config.saturation_e / gain_e_per_adu,
            known_sky_adu: flat_level(&background),
        };
        let is_given_true = given_wcs.is_none() && given_psf.is_none() && given_calib.is_none();
        let given = (!is_given_true).then(|| {
            let mut given = meta.clone();
            given.wcs = given_wcs.unwrap_or(given.wcs);
            given.psf = given_psf.unwrap_or(given.psf);
            given.photo_calib = given_calib.unwrap_or(given.photo_calib);
            Box::new(given)
        });
        let fwhm_px = visit.seeing_arcsec / config.pixel_scale_arcsec;
        Ok(ExposurePlan { meta, given, visit: visit.number, detector, fwhm_px, sky_e: visit.sky_e, background, amplifiers })
    }
}

/// All exposures of a small run, sorted by id: see [`Planner`].
///
/// # Errors
/// Those of [`Planner::new`] and [`Planner::plan`].
pub fn plan_exposures(config: &CameraConfig, center: SkyPoint, bands: &[String], seed: u64) -> Result<Vec<ExposurePlan>, SimError> {
    Planner::new(config, center, bands, seed)?.all()
}

/// Variance of background and read noise at a pixel \[nJy²\].
pub(crate) fn background_variance_njy2(
    background: &TrueBackground,
    amplifiers: &Amplifiers,
    photo_calib: &PhotoCalib,
    x_px: f64,
    y_px: f64,
) -> f64 {
    let at = PixelPoint::new(x_px, y_px);
    let amplifier = amplifiers.at(x_px.max(0.0).round() as usize, y_px.max(0.0).round() as usize);
    let gain = amplifier.gain_e_per_adu;
    let variance_adu2 = background.at(at).max(0.0) / gain + (amplifier.read_noise_e / gain).powi(2);
    variance_adu2 * photo_calib.at(at).powi(2)
}

/// The disc around an image of `[y, x]` pixels, centre and radius \[arcsec\]: along the edges, for with distortion the farthest need not be a corner.
fn disc_of(wcs: &Wcs, (ny, nx): (usize, usize)) -> (SkyPoint, f64) {
    let (width, height) = (nx as f64, ny as f64);
    let center = wcs.pixel_to_sky(PixelPoint::new(0.5 * (width - 1.0), 0.5 * (height - 1.0)));
    // A pixel more than the edge: between the points it may bulge.
    let edge = |u: f64, v: f64| PixelPoint::new(-1.5 + u * (width + 2.0), -1.5 + v * (height + 2.0));
    let points = (0..=16).map(|i| f64::from(i) / 16.0).flat_map(|t| [edge(t, 0.0), edge(t, 1.0), edge(0.0, t), edge(1.0, t)]);
    let radius_arcsec = points.map(|p| wcs.pixel_to_sky(p).separation_arcsec(&center)).fold(0.0, f64::max);
    (center, radius_arcsec)
}

/// The level of a background that is the same everywhere.
fn flat_level(background: &TrueBackground) -> Option<f64> {
    let is_flat = background.glows.is_empty() && background.steps_adu.is_empty() && background.relative.is_none();
    let c = &background.smooth_adu.coefficients_yx;
    (is_flat && c.len() == 1).then(|| c[[0, 0]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{AstrometryConfig, LayoutConfig, PhotometryConfig, PsfConfig, SkyConfig};
    use crate::detector::DetectorConfig;

    fn center() -> SkyPoint {
        SkyPoint::from_degrees(150.1, 2.2)
    }

    #[test]
    fn plans_stay_in_their_ranges_and_do_not_depend_on_the_other_bands() {
        let config = CameraConfig { n_exposures: 12, ..CameraConfig::default() };
        let plans = plan_exposures(&config, center(), &["r".into(), "g".into()], 7).unwrap();
        assert_eq!(plans.len(), 24);
        assert!(plans.is_sorted_by(|a, b| a.meta.id < b.meta.id));
        assert_eq!(plans[23].meta.id.0, "r_11");
        for plan in &plans {
            let at = PixelPoint::new(499.5, 499.5);
            assert!(plan.meta.wcs.pixel_to_sky(at).separation_arcsec(&center()) <= 8.0);
            assert!((300.0..800.0).contains(&plan.sky_e));
            assert!(plan.meta.psf.stamp(at, 0.0, 0.0).sum() > 0.995);
            assert!(plan.meta.known_sky_adu.is_none());
            assert!((plan.sky_e_at(499.5, 499.5) - plan.sky_e).abs() < 1e-9);
        }
        let alone = plan_exposures(&config, center(), &["r".into()], 7).unwrap();
        assert_eq!(alone[3].meta.wcs, plans[15].meta.wcs);
        assert_eq!(alone[3].meta.psf.model(), plans[15].meta.psf.model());
        let other = plan_exposures(&config, center(), &["r".into()], 8).unwrap();
        assert_ne!(alone[3].meta.wcs, other[3].meta.wcs);
    }

    /// Of nine detectors around a small tract those are planned that hold some of its pixels, and few others.
    #[test]
    fn only_exposures_that_reach_the_tract_are_planned() {
        use fathom::geometry::SkyMapConfig;
        let tract = Tract::new(&SkyMapConfig { tract_cells: [3, 2], patches: [1, 1], ..SkyMapConfig::default() }).unwrap();
        let layout = LayoutConfig { detectors: [3, 3], gap_px: [40, 40] };
        let config = CameraConfig { n_exposures: 3, size_px: [400, 300], dither_arcsec: 60.0, layout, ..CameraConfig::default() };
        let planner = Planner::new(&config, tract.center(), &["r".into()], 7).unwrap();
        let holds = |plan: &ExposurePlan| {
            let (w, h) = (tract.bbox().width, tract.bbox().height);
            let pixels = (0..h).step_by(8).flat_map(|y| (0..w).step_by(8).map(move |x| PixelPoint::new(f64::from(x), f64::from(y))));
            let on = |p| plan.meta.wcs.sky_to_pixel(tract.wcs().pixel_to_sky(p)).is_ok_and(|at| plan.meta.bbox().contains_point(at));
            pixels.into_iter().any(on)
        };
        let all = planner.all().unwrap();
        let reaching: Vec<ExposureId> = planner.depths(&tract).unwrap().iter().map(|d| d.id().clone()).collect();
        assert!(all.len() == 27 && reaching.len() < 18 && reaching.is_sorted(), "{}", reaching.len());
        for plan in all.iter().filter(|p| holds(p)) {
            assert!(reaching.contains(&plan.meta.id), "{}", plan.meta.id);
        }
    }

    #[test]
    fn a_flat_sky_is_known() {
        let config = CameraConfig { background_gradient: 0.0, ..CameraConfig::default() };
        let plan = &plan_exposures(&config, center(), &["r".into()], 7).unwrap()[0];
        let known_e = plan.meta.known_sky_adu.unwrap() * plan.meta.gain_e_per_adu;
        assert!((known_e - plan.sky_e_at(3.0, 900.0)).abs() < 1e-9);
    }

    #[test]
    fn detectors_share_a_visit() {
        let layout = LayoutConfig { detectors: [2, 2], gap_px: [40, 40] };
        let photometry = PhotometryConfig { vignetting: [0.2, 0.1], zero_point_error: 0.01 };
        let astrometry = AstrometryConfig { distortion_px: 5.0, residual_mas: 20.0 };
        let sky = SkyConfig { detector_step: 0.01, amplifier_step: 0.005, scattered_light: 0.1, ..SkyConfig::default() };
        let detector = DetectorConfig { amplifiers: [2, 2], ..DetectorConfig::default() };
        let config =
            CameraConfig { n_exposures: 2, size_px: [200, 200], layout, photometry, astrometry, sky, detector, ..CameraConfig::default() };
        let plans = plan_exposures(&config, center(), &["r".into()], 7).unwrap();
        let ids: Vec<_> = plans.iter().map(|p| p.meta.id.0.as_str()).collect();
        assert_eq!(ids, ["r_00_d00", "r_00_d01", "r_00_d02", "r_00_d03", "r_01_d00", "r_01_d01", "r_01_d02", "r_01_d03"]);
        for plan in &plans[..4] {
            assert_eq!((plan.meta.mjd, plan.sky_e, plan.visit), (plans[0].meta.mjd, plans[0].sky_e, 0));
            assert!(plan.meta.known_sky_adu.is_none());
            let given = plan.given_meta();
            assert!(given.wcs != plan.meta.wcs && given.photo_calib != plan.meta.photo_calib && given.psf.model() == plan.meta.psf.model());
            // One step of the detector and one of each amplifier.
            assert_eq!(plan.background.steps_adu.len(), 5);
        }
        // The slope of the sky goes on from one detector to the next: at the middle of the focal plane all would meet.
        let smooth = |d: usize| {
            let middle = FocalPlane::new(&config).middle_on(d);
            plans[d].background.smooth_adu.at(middle) * plans[d].meta.gain_e_per_adu
        };
        for d in 0..4 {
            assert!((smooth(d) / plans[0].sky_e - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn bad_settings_are_named() {
        let d = CameraConfig::default;
        for (config, message) in [
            (CameraConfig { n_exposures: 0, ..d() }, "camera.n_exposures is 0; expected 1..=1000"),
            (CameraConfig { seeing_arcsec: [1.2, 0.6], ..d() }, "camera.seeing_arcsec is [1.2, 0.6]; expected [low, high]"),
            (CameraConfig { sky_e: [f64::NAN, 1.0], ..d() }, "camera.sky_e is [NaN, 1.0]"),
            (CameraConfig { moffat_beta: 1.0, ..d() }, "camera.moffat_beta is 1.0"),
            (CameraConfig { hot_pixel_fraction: 0.5, ..d() }, "camera.hot_pixel_fraction is 0.5"),
            (CameraConfig { sky_e: [0.0, 1.0], read_noise_e: 0.0, ..d() }, "camera.read_noise_e is 0.0"),
            (
                CameraConfig { layout: LayoutConfig { detectors: [0, 1], ..LayoutConfig::default() }, ..d() },
                "camera.layout.detectors is [0, 1]; expected 1..=40 columns and rows",
            ),
            (
                CameraConfig { psf: PsfConfig { given_size_error: 0.7, ..PsfConfig::default() }, ..d() },
                "camera.psf.given_size_error is 0.7; expected -0.5..=0.5",
            ),
            (
                CameraConfig { photometry: PhotometryConfig { vignetting: [1.0, 0.0], ..PhotometryConfig::default() }, ..d() },
                "camera.photometry.vignetting is [1.0, 0.0]",
            ),
            (
                CameraConfig { detector: DetectorConfig { amplifiers: [200, 1], ..DetectorConfig::default() }, ..d() },
                "camera.detector.amplifiers is [200, 1]",
            ),
        ] {
            let found = plan_exposures(&config, center(), &["r".into()], 1).unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
    }
}

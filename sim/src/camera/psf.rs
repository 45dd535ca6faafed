//! The PSF of each exposure: how it varies over the field, the model that holds it, and the model that the chain is told.
//!
//! Size and ellipticity are smooth random functions over the focal plane, drawn per visit. On each detector the PSF is a polynomial
//! basis of stamps ([`PsfModel::PsfEx`]) fitted to the stamps at (order + 2)² places; objects are drawn with that very model, so that the PSF
//! that the chain is told is exact. Against the law itself, at the size and ellipticity of each place, the model is good to 5e-3 of the
//! peak where the PSF varies by 18 % of it over a detector (rms 3 % in size, 0.02 in ellipticity; tested). A constant Moffat stays a Moffat.

use super::layout::FocalPlane;
use super::psf_stamp::{Optics, effective_stamp};
use super::seeing::SeeingLaw;
use super::smooth_field::SmoothField;
use super::{CameraConfig, Streams, in_disc};
use crate::SimError;
use crate::error::check;
use fathom::image::Psf;
use fathom::image::psf::PsfModel;
use nalgebra::DMatrix;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The law of the PSF before the pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PsfLaw {
    /// (1 + r²/α²)^-β with `camera.moffat_beta`.
    Moffat,
    /// Long exposure through the turbulence of the atmosphere.
    Kolmogorov,
}

/// Law, variation and errors of the PSF: section `[camera.psf]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PsfConfig {
    /// `moffat` or `kolmogorov`.
    pub law: PsfLaw,
    /// `uniform` (in `camera.seeing_arcsec`), `lognormal` or `table`.
    pub seeing_law: SeeingLaw,
    /// Median FWHM before the pixel \[arcsec\] of `lognormal`, in 0.001..=20.
    pub seeing_median_arcsec: f64,
    /// Standard deviation of ln(FWHM) of `lognormal`, in 0..=1.
    pub seeing_sigma_ln: f64,
    /// Of `table`: a file (CSV, CSV.gz, or HDF5 with group `/seeing`) with a column `seeing` \[arcsec\] and, optionally, `band`.
    pub seeing_table: String,
    /// Variation of the size over the field, relative rms, in 0..=0.2.
    pub size_variation: f64,
    /// Variation of each component of the ellipticity over the field, rms, in 0..=0.1.
    pub ellipticity_variation: f64,
    /// Order of the variation over the field, 1..=3.
    pub variation_order: usize,
    /// The size of the PSF that the chain is told is wrong by this, relative (0.02: two per cent too large), in ±0.5.
    pub given_size_error: f64,
    /// Its ellipticity is wrong by this, [e1, e2], each in ±0.3.
    pub given_ellipticity_error: [f64; 2],
    /// Share of its light that is wrong: moved from the PSF into a component of twice the size, in 0..=0.5.
    pub given_power_error: f64,
}

impl Default for PsfConfig {
    fn default() -> Self {
        Self {
            law: PsfLaw::Moffat,
            seeing_law: SeeingLaw::Uniform,
            seeing_median_arcsec: 0.8,
            seeing_sigma_ln: 0.2,
            seeing_table: String::new(),
            size_variation: 0.0,
            ellipticity_variation: 0.0,
            variation_order: 2,
            given_size_error: 0.0,
            given_ellipticity_error: [0.0, 0.0],
            given_power_error: 0.0,
        }
    }
}

impl PsfConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.psf", key, is_good, found, expected);
        let within = |v: f64, limit: f64| v.abs() <= limit;
        let median = self.seeing_median_arcsec;
        c("seeing_median_arcsec", (1e-3..=20.0).contains(&median), &median, "arcsec in 0.001..=20")?;
        c("seeing_sigma_ln", (0.0..=1.0).contains(&self.seeing_sigma_ln), &self.seeing_sigma_ln, "0..=1")?;
        let has_table = self.seeing_law != SeeingLaw::Table || !self.seeing_table.is_empty();
        c("seeing_table", has_table, &self.seeing_table, "a file, for seeing_law = \"table\"")?;
        c("size_variation", (0.0..=0.2).contains(&self.size_variation), &self.size_variation, "0..=0.2")?;
        c("ellipticity_variation", (0.0..=0.1).contains(&self.ellipticity_variation), &self.ellipticity_variation, "0..=0.1")?;
        c("variation_order", (1..=3).contains(&self.variation_order), &self.variation_order, "1..=3")?;
        c("given_size_error", within(self.given_size_error, 0.5), &self.given_size_error, "-0.5..=0.5")?;
        let e = self.given_ellipticity_error;
        c("given_ellipticity_error", e.iter().all(|e| within(*e, 0.3)), &e, "[e1, e2] in -0.3..=0.3")?;
        c("given_power_error", (0.0..=0.5).contains(&self.given_power_error), &self.given_power_error, "0..=0.5")
    }

    fn is_given_exact(&self) -> bool {
        let [a, b] = self.given_ellipticity_error;
        [self.given_size_error, a, b, self.given_power_error].iter().all(|v| v.abs() <= 0.0)
    }
}

/// The PSF of one visit over the whole field.
#[derive(Debug)]
pub(super) struct VisitPsf<'a> {
    camera: &'a CameraConfig,
    fwhm_px: f64,
    e: [f64; 2],
    /// Relative size, e1, e2; none: constant.
    variation: Option<[SmoothField; 3]>,
}

/// How the given PSF differs from the true one.
#[derive(Debug, Clone, Copy, Default)]
struct PsfError {
    size: f64,
    e: [f64; 2],
    power: f64,
}

impl<'a> VisitPsf<'a> {
    pub(super) fn draw(camera: &'a CameraConfig, seeing_arcsec: f64, streams: &Streams) -> Self {
        let (e1, e2) = in_disc(&mut streams.stream("ellipticity"), camera.ellipticity);
        let psf = &camera.psf;
        let field = |what: &str, rms: f64| SmoothField::draw(&mut streams.stream(what), rms, 1..=psf.variation_order);
        let varies = psf.size_variation > 0.0 || psf.ellipticity_variation > 0.0;
        let variation = varies.then(|| {
            let e = psf.ellipticity_variation;
            [field("psf-size", psf.size_variation), field("psf-e1", e), field("psf-e2", e)]
        });
        Self { camera, fwhm_px: seeing_arcsec / camera.pixel_scale_arcsec, e: [e1, e2], variation }
    }

    /// (what is drawn, what the chain is told if it differs) on one detector.
    ///
    /// # Errors
    /// [`SimError::Psf`] if the stamp holds too little of the light.
    pub(super) fn of(&self, plane: &FocalPlane, detector: usize) -> Result<(Psf, Option<Psf>), SimError> {
        let truth = self.model(plane, detector, PsfError::default())?;
        let psf = &self.camera.psf;
        if psf.is_given_exact() {
            return Ok((truth, None));
        }
        let error = PsfError { size: psf.given_size_error, e: psf.given_ellipticity_error, power: psf.given_power_error };
        Ok((truth, Some(self.model(plane, detector, error)?)))
    }

    /// At a place of the field.
    fn optics(&self, field: [f64; 2], error: PsfError) -> Optics {
        let [size, de1, de2] = self.variation.as_ref().map_or([0.0; 3], |v| [0, 1, 2].map(|k| v[k].at(field)));
        let mut e = [self.e[0] + de1 + error.e[0], self.e[1] + de2 + error.e[1]];
        // Far in the tail of the draws a shear may leave the unit disc, where there is no ellipse.
        let total = e[0].hypot(e[1]);
        if total > 0.7 {
            e = e.map(|v| v * 0.7 / total);
        }
        // Likewise a size: at least a third of the visit's.
        let fwhm_px = self.fwhm_px * (1.0 + size).max(1.0 / 3.0) * (1.0 + error.size);
        Optics { law: self.camera.psf.law, beta: self.camera.moffat_beta, fwhm_px, e, halo: error.power }
    }

    fn model(&self, plane: &FocalPlane, detector: usize, error: PsfError) -> Result<Psf, SimError> {
        let radius_px = self.camera.psf_radius_px(self.fwhm_px);
        let plain = self.optics([0.0, 0.0], error);
        if self.variation.is_none() && plain.law == PsfLaw::Moffat && plain.halo <= 0.0 {
            let (fwhm_px, beta, [e1, e2]) = (plain.fwhm_px, plain.beta, plain.e);
            return Ok(Psf::new(PsfModel::Moffat { fwhm_px, beta, e1, e2, radius_px, pixel_integrated: false })?);
        }
        // Eight samples a FWHM: the spline between them is then good to 1e-5 of the peak.
        let per_pixel = ((8.0 / self.fwhm_px).ceil() as usize).clamp(1, 16);
        // As much as the model cuts off: light up to the radius and half a pixel.
        let half = if per_pixel == 1 { radius_px } else { (radius_px + 1) * per_pixel - 1 };
        let [nx, ny] = self.camera.size_px;
        let (x_zero_scale, y_zero_scale) = (middle_and_half(nx), middle_and_half(ny));
        let (degree, places) = match &self.variation {
            None => (0, vec![[0.0, 0.0]]),
            // Chebyshev's nodes: the fit is good up to the edges.
            Some(_) => {
                let (order, n) = (self.camera.psf.variation_order, self.camera.psf.variation_order + 2);
                (order, (0..n * n).map(|k| [node(k % n, n), node(k / n, n)]).collect())
            }
        };
        let stamps: Vec<Array2<f64>> = places
            .iter()
            .map(|[u, v]| {
                let (x, y) = (x_zero_scale[0] + u * x_zero_scale[1], y_zero_scale[0] + v * y_zero_scale[1]);
                effective_stamp(&self.optics(plane.field(detector, x, y), error), per_pixel, half)
            })
            .collect();
        let stamps = fit_monomials(degree, &places, &stamps);
        Ok(Psf::new(PsfModel::PsfEx { degree, x_zero_scale, y_zero_scale, sampling_px: 1.0 / per_pixel as f64, stamps })?)
    }
}

/// (zero, scale) that map a detector's pixels to [-1, 1].
fn middle_and_half(n: usize) -> [f64; 2] {
    [(n as f64 - 1.0) / 2.0, 0.5 * n as f64]
}

fn node(i: usize, n: usize) -> f64 {
    -(PI * (i as f64 + 0.5) / n as f64).cos()
}

/// Least-squares stamps of the monomials u^i v^j, i + j ≤ degree, u first, from stamps at places (u, v).
fn fit_monomials(degree: usize, places: &[[f64; 2]], stamps: &[Array2<f64>]) -> Vec<Array2<f64>> {
    let powers: Vec<(i32, i32)> = (0..=degree as i32).flat_map(|j| (0..=degree as i32 - j).map(move |i| (i, j))).collect();
    let design = DMatrix::from_fn(places.len(), powers.len(), |row, k| places[row][0].powi(powers[k].0) * places[row][1].powi(powers[k].1));
    let inverse = design.pseudo_inverse(1e-12).expect("the tolerance is positive");
    (0..powers.len())
        .map(|k| {
            let mut out = Array2::zeros(stamps[0].dim());
            for (row, stamp) in stamps.iter().enumerate() {
                out.scaled_add(inverse[(k, row)], stamp);
            }
            out
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::LayoutConfig;
    use fathom::geometry::PixelPoint;

    fn camera(psf: PsfConfig) -> CameraConfig {
        let layout = LayoutConfig { detectors: [2, 1], gap_px: [50, 0] };
        CameraConfig { size_px: [400, 300], layout, psf, ..CameraConfig::default() }
    }

    fn psf_of(camera: &CameraConfig, visit: usize, detector: usize) -> (Psf, Option<Psf>) {
        let streams = Streams { seed: 4, band: "r", visit };
        VisitPsf::draw(camera, 0.8, &streams).of(&FocalPlane::new(camera), detector).unwrap()
    }

    /// The polynomial model against the law at the place itself, off the nodes: 6e-3 of the peak for either law.
    #[test]
    fn the_model_is_the_law_at_every_place() {
        for law in [PsfLaw::Moffat, PsfLaw::Kolmogorov] {
            let camera = camera(PsfConfig { law, size_variation: 0.03, ellipticity_variation: 0.02, ..PsfConfig::default() });
            let plane = FocalPlane::new(&camera);
            let (mut worst, mut varies) = (0.0f64, 0.0f64);
            for visit in 0..4 {
                let streams = Streams { seed: 4, band: "r", visit };
                let field = VisitPsf::draw(&camera, 0.8, &streams);
                let (psf, given) = field.of(&plane, 1).unwrap();
                assert!(given.is_none() && !psf.is_constant());
                let middle = psf.stamp(PixelPoint::new(200.0, 150.0), 0.0, 0.0);
                for (x, y) in [(3.0, 5.0), (390.0, 10.0), (120.0, 290.0), (222.0, 151.0)] {
                    let optics = field.optics(plane.field(1, x, y), PsfError::default());
                    let expected = effective_stamp(&optics, 1, psf.radius_px());
                    let found = psf.stamp(PixelPoint::new(x, y), 0.0, 0.0);
                    let peak = expected[[psf.radius_px(), psf.radius_px()]];
                    let most = |a: &Array2<f64>, b: &Array2<f64>| a.iter().zip(b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / peak;
                    worst = worst.max(most(&found, &expected));
                    varies = varies.max(most(&middle, &expected));
                }
            }
            println!("{law:?}: worst error {worst:.2e} of the peak, where the PSF varies by {varies:.2e}");
            assert!(worst < 6e-3 && varies > 0.03, "{law:?}: {worst} {varies}");
        }
    }

    /// The given size, ellipticity and power are wrong by what was asked for; exact where nothing was.
    #[test]
    fn the_given_psf_is_wrong_by_the_stated_amount() {
        let at = PixelPoint::new(100.0, 100.0);
        assert!(psf_of(&camera(PsfConfig::default()), 0, 0).1.is_none());
        let (truth, given) = psf_of(&camera(PsfConfig { given_size_error: 0.05, ..PsfConfig::default() }), 0, 0);
        let parameters = |psf: &Psf| match *psf.model() {
            PsfModel::Moffat { fwhm_px, e1, e2, .. } => (fwhm_px, e1, e2),
            _ => panic!("no Moffat"),
        };
        let (a, b) = (parameters(&truth), parameters(&given.unwrap()));
        assert!((b.0 / a.0 - 1.05).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12);

        let wrong = PsfConfig { given_ellipticity_error: [0.02, -0.01], ..PsfConfig::default() };
        let (truth, given) = psf_of(&camera(wrong), 0, 0);
        let (a, b) = (parameters(&truth), parameters(&given.unwrap()));
        assert!((b.1 - a.1 - 0.02).abs() < 1e-12 && (b.2 - a.2 + 0.01).abs() < 1e-12);

        // The halo's peak is a quarter of the PSF's, but for the pixel: the peak falls by 0.1 (1 - 0.27).
        let (truth, given) = psf_of(&camera(PsfConfig { given_power_error: 0.1, ..PsfConfig::default() }), 0, 0);
        let ratio = given.unwrap().value(at, 0.0, 0.0) / truth.value(at, 0.0, 0.0);
        assert!((ratio - 0.927).abs() < 3e-3, "{ratio}");

        // Varying PSFs: the FWHM at the same place.
        let wrong = PsfConfig { law: PsfLaw::Kolmogorov, size_variation: 0.03, given_size_error: 0.05, ..PsfConfig::default() };
        let (truth, given) = psf_of(&camera(wrong), 1, 1);
        let ratio = given.unwrap().fwhm_px(at) / truth.fwhm_px(at);
        // The pixel adds 0.4 px² to 4² in quadrature and does not grow.
        assert!((ratio - 1.05).abs() < 3e-3, "{ratio}");
    }
}

//! Where pixels are on the sky, and where the chain is told they are.

use super::layout::FocalPlane;
use super::smooth_field::SmoothField;
use super::{CameraConfig, Streams};
use crate::SimError;
use crate::error::check;
use fathom::geometry::{Card, Cards, SkyPoint, Wcs};
use serde::{Deserialize, Serialize};

/// Distortion and errors: section `[camera.astrometry]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AstrometryConfig {
    /// Radial distortion of third order: shift at the corner of the focal plane \[pixel\], in -1000..=1000; 0: none (a TAN projection).
    pub distortion_px: f64,
    /// Error of the given WCS \[mas\], rms per axis over field and visits, in 0..=10000: a polynomial of order 3 over the field, with
    /// its constant and linear part, drawn per visit.
    pub residual_mas: f64,
}

impl Default for AstrometryConfig {
    fn default() -> Self {
        Self { distortion_px: 0.0, residual_mas: 0.0 }
    }
}

impl AstrometryConfig {
    pub(super) fn check(&self) -> Result<(), SimError> {
        let c = |key, is_good, found: &dyn std::fmt::Debug, expected| check("camera.astrometry", key, is_good, found, expected);
        c("distortion_px", (-1000.0..=1000.0).contains(&self.distortion_px), &self.distortion_px, "pixels in -1000..=1000")?;
        c("residual_mas", (0.0..=10_000.0).contains(&self.residual_mas), &self.residual_mas, "mas in 0..=10000")
    }
}

/// (u, v) -> (u, v) + Σ c u^p v^q, pixels from the focal plane's middle: the same polynomial for all detectors of a visit.
#[derive(Debug, Clone, Default)]
struct PixelPolynomial {
    /// (p, q, coefficient) along x and y.
    terms: [Vec<(usize, usize, f64)>; 2],
}

impl PixelPolynomial {
    /// r -> r (1 + k r²): cubic terms in u, v alone, so that SIP of order 3 holds it exactly.
    fn radial(shift_at_corner_px: f64, corner_px: f64) -> Self {
        let k = shift_at_corner_px / corner_px.powi(3);
        Self { terms: [vec![(3, 0, k), (1, 2, k)], vec![(0, 3, k), (2, 1, k)]] }
    }

    fn add_field(&mut self, axis: usize, field: &SmoothField, half_px: [f64; 2]) {
        for (p, q, c) in field.monomials() {
            self.terms[axis].push((p, q, c / (half_px[0].powi(p as i32) * half_px[1].powi(q as i32))));
        }
    }

    fn coefficient(&self, axis: usize, power: (usize, usize)) -> f64 {
        self.terms[axis].iter().filter(|(p, q, _)| (*p, *q) == power).map(|(_, _, c)| c).sum()
    }

    fn is_zero(&self) -> bool {
        self.terms.iter().flatten().all(|(_, _, c)| c.abs() <= 0.0)
    }
}

/// The true WCS of each detector of one visit, and the given one where it differs.
pub(super) struct VisitWcs {
    plane: FocalPlane,
    pointing: SkyPoint,
    cd_deg: [[f64; 2]; 2],
    truth: PixelPolynomial,
    given: Option<PixelPolynomial>,
}

impl VisitWcs {
    pub(super) fn new(camera: &CameraConfig, plane: FocalPlane, pointing: SkyPoint, rotation_deg: f64, streams: &Streams) -> Self {
        let (sin, cos) = rotation_deg.to_radians().sin_cos();
        let scale_deg = camera.pixel_scale_arcsec / 3600.0;
        let config = &camera.astrometry;
        let truth = PixelPolynomial::radial(config.distortion_px, plane.half_diagonal_px());
        let given = (config.residual_mas > 0.0).then(|| {
            let rms_px = config.residual_mas / 1000.0 / camera.pixel_scale_arcsec;
            let mut given = truth.clone();
            for (axis, what) in ["residual-x", "residual-y"].into_iter().enumerate() {
                given.add_field(axis, &SmoothField::draw(&mut streams.stream(what), rms_px, 0..=3), plane.half_px());
            }
            given
        });
        Self { plane, pointing, cd_deg: [[-scale_deg * cos, scale_deg * sin], [scale_deg * sin, scale_deg * cos]], truth, given }
    }

    /// (true, given where it differs).
    pub(super) fn of(&self, detector: usize) -> Result<(Wcs, Option<Wcs>), SimError> {
        let given = self.given.as_ref().map(|polynomial| self.wcs(polynomial, detector)).transpose()?;
        Ok((self.wcs(&self.truth, detector)?, given))
    }

    fn wcs(&self, polynomial: &PixelPolynomial, detector: usize) -> Result<Wcs, SimError> {
        let middle = self.plane.middle_on(detector);
        if polynomial.is_zero() {
            return Ok(Wcs::tan(self.pointing, middle, self.cd_deg)?);
        }
        let mut cards = Cards::new();
        let mut put = |key: String, value: f64| cards.insert(key, Card::Number(value));
        put("CRVAL1".into(), self.pointing.ra_deg());
        put("CRVAL2".into(), self.pointing.dec_deg());
        put("CRPIX1".into(), middle.x + 1.0);
        put("CRPIX2".into(), middle.y + 1.0);
        // SIP has no linear terms: they go into the CD matrix, CD (I + L), and the higher terms lose that factor, (I + L)⁻¹.
        // Constant terms A_0_0, B_0_0 are kept where they are: they shift CRPIX, and all readers evaluate them as any other term.
        let c = |axis, power| polynomial.coefficient(axis, power);
        let l = [[1.0 + c(0, (1, 0)), c(0, (0, 1))], [c(1, (1, 0)), 1.0 + c(1, (0, 1))]];
        let det = l[0][0] * l[1][1] - l[0][1] * l[1][0];
        let inverse = [[l[1][1] / det, -l[0][1] / det], [-l[1][0] / det, l[0][0] / det]];
        for (i, [a, b]) in self.cd_deg.into_iter().enumerate() {
            for (j, column) in [[l[0][0], l[1][0]], [l[0][1], l[1][1]]].into_iter().enumerate() {
                put(format!("CD{}_{}", i + 1, j + 1), a * column[0] + b * column[1]);
            }
        }
        for (axis, name) in ["A", "B"].into_iter().enumerate() {
            put(format!("{name}_ORDER"), 3.0);
            for p in 0..=3 {
                for q in (0..=3 - p).filter(|q| p + q != 1) {
                    let value = inverse[axis][0] * c(0, (p, q)) + inverse[axis][1] * c(1, (p, q));
                    if value != 0.0 {
                        put(format!("{name}_{p}_{q}"), value);
                    }
                }
            }
        }
        for (key, value) in [("CTYPE1", "RA---TAN-SIP"), ("CTYPE2", "DEC--TAN-SIP")] {
            cards.insert(key.to_owned(), Card::Text(value.to_owned()));
        }
        Ok(Wcs::from_cards(&cards)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::LayoutConfig;
    use fathom::geometry::PixelPoint;

    fn camera(distortion_px: f64, residual_mas: f64) -> CameraConfig {
        CameraConfig {
            astrometry: AstrometryConfig { distortion_px, residual_mas },
            layout: LayoutConfig { detectors: [2, 2], gap_px: [100, 60] },
            ..CameraConfig::default()
        }
    }

    fn wcs(camera: &CameraConfig, visit: usize) -> VisitWcs {
        let streams = Streams { seed: 9, band: "r", visit };
        VisitWcs::new(camera, FocalPlane::new(camera), SkyPoint::from_degrees(30.0, -40.0), 25.0, &streams)
    }

    /// There and back to 1e-8 pixel on every detector; the corner is shifted by the stated amount; detectors share one sky:
    /// the gap between neighbours is the stated one.
    #[test]
    fn distorted_wcs_comes_back_and_shifts_the_corner() {
        let (bent, straight) = (wcs(&camera(12.0, 0.0), 0), wcs(&camera(0.0, 0.0), 0));
        for detector in 0..4 {
            let (truth, given) = bent.of(detector).unwrap();
            assert!(given.is_none());
            for (x, y) in [(0.0, 0.0), (999.0, 3.0), (500.2, 711.9)] {
                let back = truth.sky_to_pixel(truth.pixel_to_sky(PixelPoint::new(x, y))).unwrap();
                assert!((back.x - x).abs() < 1e-8 && (back.y - y).abs() < 1e-8);
            }
        }
        let (corner, plain) = (PixelPoint::new(999.5, 999.5), straight.of(3).unwrap().0);
        let shifted = plain.sky_to_pixel(bent.of(3).unwrap().0.pixel_to_sky(corner)).unwrap();
        assert!(((shifted.x - corner.x).hypot(shifted.y - corner.y) - 12.0).abs() < 1e-6);
        let neighbour = straight.of(2).unwrap().0;
        let at = plain.sky_to_pixel(neighbour.pixel_to_sky(PixelPoint::new(999.0, 400.0))).unwrap();
        assert!((at.x + 101.0).abs() < 1e-6 && (at.y - 400.0).abs() < 1e-6, "{at:?}");
    }

    /// Mean square of the error over field and visits: 2 axes x 10 terms x n visits degrees of freedom, √(2/n) of scatter.
    #[test]
    fn residuals_have_the_stated_size() {
        let camera = camera(12.0, 30.0);
        let (n_visits, mut sum, mut n) = (60, 0.0, 0.0);
        for visit in 0..n_visits {
            let visit_wcs = wcs(&camera, visit);
            for detector in 0..4 {
                let (truth, given) = visit_wcs.of(detector).unwrap();
                let given = given.unwrap();
                for (x, y) in (0..36).map(|i| ((f64::from(i % 6) + 0.5) * 166.7, (f64::from(i / 6) + 0.5) * 166.7)) {
                    let at = PixelPoint::new(x, y);
                    sum += (truth.pixel_to_sky(at).separation_arcsec(&given.pixel_to_sky(at)) * 1000.0).powi(2) / 2.0;
                    n += 1.0;
                }
            }
        }
        let found = sum / n / 900.0;
        // The gaps are not sampled, and the grid is coarse: 3 % more.
        assert!((found - 1.0).abs() < 4.0 * (2.0 / (20.0 * n_visits as f64)).sqrt() + 0.03, "{found}");
    }
}
